import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.gate import Gate


class Door:
    """A gate of so many, and visitors who stay until they are let out."""

    def __init__(self, size):
        self.size = size
        self.gate = Gate(lambda: self.size)
        self.entered = []
        self._inside = set()
        self._out = {}
        self._visits = {}

    @property
    def inside(self):
        return set(self._inside)

    async def _visit(self, name):
        async with self.gate:
            self.entered.append(name)
            self._inside.add(name)
            try:
                await self._out[name].wait()
            finally:
                self._inside.remove(name)

    async def come(self, *names):
        for name in names:
            self._out[name] = asyncio.Event()
            self._visits[name] = asyncio.create_task(self._visit(name))
        await settled()

    async def go(self, *names):
        for name in names:
            self._out[name].set()
        await settled()

    async def cancel(self, name):
        self._visits[name].cancel()
        await settled()

    async def close(self):
        for visit in self._visits.values():
            visit.cancel()
        await asyncio.gather(*self._visits.values(), return_exceptions=True)


async def settled():
    """Lets everything happen that can happen without anybody else."""
    for _ in range(10):
        await asyncio.sleep(0)


def at_a_door(size, story):
    async def told():
        door = Door(size)
        try:
            return await story(door)
        finally:
            await door.close()

    return asyncio.run(told())


def test_whoever_came_first_is_let_in_first():
    async def story(door):
        await door.come(*range(5))
        assert door.entered == [0]
        for name in range(4):
            await door.go(name)
        return door.entered

    assert at_a_door(1, story) == [0, 1, 2, 3, 4]


def test_nobody_overtakes_those_who_wait():
    async def story(door):
        await door.come("a", "b")
        door.size = 2
        await door.come("c")  # there is room for one, and b was first
        assert door.entered == ["a", "b"]
        await door.go("a")
        return door.entered

    assert at_a_door(1, story) == ["a", "b", "c"]


def test_whoever_is_cancelled_while_waiting_takes_no_place():
    async def story(door):
        await door.come("a", "b", "c")
        await door.cancel("b")
        await door.go("a")
        assert door.entered == ["a", "c"]
        await door.go("c")
        await door.come("d")
        return door.entered

    assert at_a_door(1, story) == ["a", "c", "d"]


def test_whoever_is_cancelled_just_after_being_let_in_passes_the_place_on():
    async def story(door):
        await door.gate.__aenter__()
        await door.come("b", "c")
        await door.gate.__aexit__(None, None, None)  # b is let in,
        await door.cancel("b")  # and is cancelled before it comes
        return door.entered, door.inside

    assert at_a_door(1, story) == (["c"], {"c"})


def test_whoever_is_cancelled_inside_leaves():
    async def story(door):
        await door.come("a", "b")
        await door.cancel("a")
        return door.inside

    assert at_a_door(1, story) == {"b"}


def test_growth_is_seen_when_somebody_leaves():
    async def story(door):
        await door.come(*range(5))
        door.size = 3
        await settled()
        assert door.inside == {0}
        await door.go(0)
        return door.inside

    assert at_a_door(1, story) == {1, 2, 3}


def test_growth_is_seen_when_the_gate_is_told():
    async def story(door):
        await door.come(*range(5))
        door.size = 3
        door.gate.widened()
        await settled()
        return door.inside

    assert at_a_door(1, story) == {0, 1, 2}


def test_a_gate_that_shrank_lets_nobody_in_until_there_are_fewer_inside():
    async def story(door):
        await door.come(*range(4))
        door.size = 1
        await door.go(0)
        assert door.inside == {1, 2}
        await door.go(1)
        assert door.inside == {2}
        await door.go(2)
        return door.inside

    assert at_a_door(3, story) == {3}


def test_an_error_inside_leaves_the_gate_open():
    async def fail_twice():
        gate = Gate(lambda: 1)
        for _ in range(2):
            with pytest.raises(KeyError):
                async with gate:
                    raise KeyError("inside")
        async with gate:
            return True

    assert asyncio.run(fail_twice())


acts = st.lists(
    st.one_of(
        st.just(("come", 0)),
        st.tuples(st.sampled_from(["go", "cancel"]), st.integers(0, 30)),
        st.tuples(st.sampled_from(["grow"]), st.integers(1, 4)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(acts, st.integers(1, 3))
def test_never_more_are_inside_than_may_be_and_nobody_waits_for_nothing(story, size):
    async def told(door):
        came, gone = 0, set()
        for act, number in story:
            if act == "come":
                await door.come(came)
                came += 1
            elif act == "grow":
                door.size += number
                door.gate.widened()
                await settled()
            elif number < came and number not in gone:
                await (door.go if act == "go" else door.cancel)(number)
                gone.add(number)
            assert len(door.inside) <= door.size
            waiting = came - len(gone | door.inside)
            # Those who were told to go before they were inside pass through.
            assert len(door.inside) == door.size or waiting == 0
        return sorted(door.entered) == sorted(set(door.entered))

    assert at_a_door(size, told)
