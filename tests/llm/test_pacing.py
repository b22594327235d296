import asyncio

from fake_clock import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.llm.pacing import Lane, Pace
from evolve.llm.specs import ModelSettings


def pace(per_minute=None, tokens_per_minute=None, clock=None):
    clock = clock or Clock()
    return Pace(per_minute, tokens_per_minute, clock=clock, sleep=clock.sleep), clock


def test_without_limits_nothing_waits():
    async def scenario():
        limits, clock = pace()
        for _ in range(100):
            await limits.enter(10**6)
        assert clock.slept == []

    asyncio.run(scenario())


def test_the_call_after_the_last_allowed_waits_for_the_first_to_leave_the_minute():
    async def scenario():
        limits, clock = pace(per_minute=2)
        await limits.enter(1)
        clock.now += 10
        await limits.enter(1)
        begun = clock.now
        await limits.enter(1)
        assert clock.now - begun == 50

    asyncio.run(scenario())


def test_tokens_count_as_expected_until_the_call_has_ended_and_then_as_they_were():
    async def scenario():
        limits, clock = pace(tokens_per_minute=100)
        slot = await limits.enter(90)
        waiting = asyncio.create_task(limits.enter(50))
        await asyncio.sleep(0)
        slot.tokens = 30
        begun = clock.now
        await waiting
        assert clock.now - begun <= 1.0

    asyncio.run(scenario())


def test_a_call_larger_than_the_limit_goes_alone_once_the_minute_is_empty():
    async def scenario():
        limits, clock = pace(tokens_per_minute=100)
        await limits.enter(10)
        begun = clock.now
        await asyncio.wait_for(limits.enter(500), 30)
        assert clock.now - begun == 60

    asyncio.run(scenario())


def test_a_call_that_is_not_made_takes_no_room():
    async def scenario():
        limits, clock = pace(per_minute=1)
        limits.leave(await limits.enter(1))
        await limits.enter(1)
        assert clock.slept == []

    asyncio.run(scenario())


def test_a_cancelled_waiter_does_not_hold_up_the_next():
    async def scenario():
        limits, clock = pace(per_minute=1)
        await limits.enter(1)
        first, second = (asyncio.create_task(limits.enter(1)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        begun = clock.now
        await second
        assert clock.now - begun == 60

    asyncio.run(scenario())


@settings(deadline=None)  # a shared machine may stall
@given(
    per_minute=st.one_of(st.none(), st.integers(1, 4)),
    tokens_per_minute=st.one_of(st.none(), st.integers(50, 200)),
    calls=st.lists(st.tuples(st.floats(0, 40), st.integers(1, 50)), max_size=15),
)
def test_no_minute_holds_more_than_the_limits(per_minute, tokens_per_minute, calls):
    async def scenario():
        limits, clock = pace(per_minute, tokens_per_minute)
        begun = []
        for gap, tokens in calls:
            clock.now += gap
            slot = await limits.enter(tokens)
            begun.append((slot.at, tokens))
        for start, _ in begun:
            window = [tokens for at, tokens in begun if start <= at < start + 60 - 1e-6]
            assert per_minute is None or len(window) <= per_minute
            assert tokens_per_minute is None or sum(window) <= tokens_per_minute

    asyncio.run(scenario())


def test_those_who_share_a_lane_keep_to_the_least_of_their_limits():
    lane = Lane.of(
        [ModelSettings(concurrency=4, per_minute=60), ModelSettings(concurrency=8, tokens_per_minute=1000, per_minute=30)]
    )
    assert (lane.concurrency, lane.pace.per_minute, lane.pace.tokens_per_minute) == (4, 30, 1000)
