import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.budget import Budget, Dollars
from evolve.errors import BudgetExceeded


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_steps_are_allowed_up_to_the_number_asked_for():
    budget = Budget(3, None)
    assert [budget.allows(step) for step in (1, 3, 4)] == [True, True, False]
    assert budget.left_s is None


def test_seconds_of_earlier_sessions_count():
    clock = Clock()
    budget = Budget(9, 10.0, spent_s=4.0, clock=clock)
    clock.now += 3.0
    assert (budget.seconds, budget.left_s, budget.allows(1)) == (7.0, 3.0, True)


def test_no_step_is_begun_when_time_is_up_and_what_is_left_is_never_negative():
    clock = Clock()
    budget = Budget(9, 1.0, clock=clock)
    clock.now += 2.0
    assert (budget.left_s, budget.allows(1)) == (0.0, False)


def test_a_call_that_can_never_fit_is_refused_with_the_amounts():
    async def scenario():
        with pytest.raises(BudgetExceeded, match=r"up to \$0\.6000.*\$0\.5000 of \$1\.0000 is spent"):
            await Dollars(1.0, spent=0.5).reserve(0.6)

    asyncio.run(scenario())


def test_without_a_cap_everything_is_granted_and_counted():
    async def scenario():
        dollars = Dollars(None)
        reservation = await dollars.reserve(1e6)
        assert (dollars.reserved, dollars.left) == (1e6, None)
        reservation.settle(2.5)
        assert (dollars.spent, dollars.reserved) == (2.5, 0.0)

    asyncio.run(scenario())


def test_ten_dimes_make_a_dollar_exactly():
    async def scenario():
        dollars = Dollars(1.0)
        for _ in range(10):
            (await dollars.reserve(0.1)).settle(0.1)
        assert (dollars.spent, dollars.left) == (1.0, 0.0)

    asyncio.run(scenario())


def test_a_call_waits_for_what_those_in_flight_may_leave():
    async def scenario():
        dollars = Dollars(1.0)
        first = await dollars.reserve(0.7)
        second = asyncio.create_task(dollars.reserve(0.8))
        await asyncio.sleep(0)
        assert not second.done()
        first.settle(0.1)
        assert (await second).usd == 0.8
        assert dollars.left == pytest.approx(0.1)

    asyncio.run(scenario())


def test_a_waiting_call_is_refused_as_soon_as_too_much_is_spent():
    async def scenario():
        dollars = Dollars(1.0)
        first, second = await dollars.reserve(0.5), await dollars.reserve(0.4)
        waiting = asyncio.create_task(dollars.reserve(0.6))
        await asyncio.sleep(0)
        first.settle(0.5)
        with pytest.raises(BudgetExceeded):
            await waiting
        assert dollars.reserved == 0.4
        second.release()

    asyncio.run(scenario())


def test_a_small_call_does_not_overtake_a_large_one():
    async def scenario():
        dollars, order = Dollars(1.0), []

        async def take(name, usd):
            reservation = await dollars.reserve(usd)
            order.append(name)
            reservation.release()

        held = await dollars.reserve(0.9)
        tasks = [asyncio.create_task(take(name, usd)) for name, usd in (("large", 0.95), ("small", 0.05))]
        await asyncio.sleep(0)
        assert order == []
        held.release()
        await asyncio.gather(*tasks)
        assert order == ["large", "small"]

    asyncio.run(scenario())


def test_a_cancelled_waiter_lets_those_behind_it_through():
    async def scenario():
        dollars = Dollars(1.0)
        await dollars.reserve(0.5)
        large, small = (asyncio.create_task(dollars.reserve(usd)) for usd in (0.6, 0.5))
        await asyncio.sleep(0)
        large.cancel()
        assert (await small).usd == 0.5

    asyncio.run(scenario())


def test_a_waiter_cancelled_after_it_was_served_gives_the_dollars_back():
    async def scenario():
        dollars = Dollars(1.0)
        held = await dollars.reserve(1.0)
        waiting = asyncio.create_task(dollars.reserve(1.0))
        await asyncio.sleep(0)
        held.release()  # serves the waiter, which has not come to run yet
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (dollars.reserved, dollars.left) == (0.0, 1.0)

    asyncio.run(scenario())


def test_more_than_was_reserved_is_recorded_in_full_and_logged(caplog):
    async def scenario():
        dollars = Dollars(1.0)
        (await dollars.reserve(0.25)).settle(0.5)
        assert (dollars.spent, dollars.left) == (0.5, 0.5)

    asyncio.run(scenario())
    assert "at most $0.250000 was reserved" in caplog.text


def test_a_reservation_is_settled_once_and_released_any_number_of_times():
    async def scenario():
        dollars = Dollars(1.0)
        reservation = await dollars.reserve(0.5)
        reservation.settle(0.25)
        reservation.release()
        with pytest.raises(RuntimeError, match="twice"):
            reservation.settle(0.25)
        assert (dollars.spent, dollars.reserved) == (0.25, 0.0)

    asyncio.run(scenario())


@pytest.mark.parametrize("amount", [-0.1, math.nan, math.inf])
def test_amounts_that_are_none_are_refused(amount):
    with pytest.raises(ValueError, match="finite and >= 0"):
        Dollars(amount)
    with pytest.raises(ValueError, match="finite and >= 0"):
        asyncio.run(Dollars(None).reserve(amount))


CALLS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["settle", "worst", "release", "cancel"]), st.integers(0, 3)), max_size=40
)


@settings(deadline=None)  # a shared machine may stall
@given(calls=CALLS, spent=st.integers(0, 40))
def test_the_cap_is_never_exceeded_whatever_settles_or_is_cancelled(calls, spent):
    """Sixteen in flight, cap 100: amounts are in cents, and every turn of the loop checks the sum."""

    async def scenario():
        dollars = Dollars(1.0, spent / 100)
        turns, total = asyncio.Semaphore(16), []

        async def call(cents, end, delay):
            async with turns:
                try:
                    reservation = await dollars.reserve(cents / 100)
                except BudgetExceeded:
                    assert round(dollars.spent * 100) + cents > 100
                    return
                try:
                    for _ in range(delay):
                        await asyncio.sleep(0)
                    actual = {"settle": cents // 2, "worst": cents}.get(end)
                    if actual is None:
                        return
                    reservation.settle(actual / 100)
                    total.append(actual)
                finally:
                    reservation.release()

        async def watch():
            while True:
                assert dollars.spent + dollars.reserved <= 1.0 + 1e-12
                await asyncio.sleep(0)

        watcher = asyncio.create_task(watch())
        tasks = [asyncio.create_task(call(*item)) for item in calls]
        for (_, end, delay), task in zip(calls, tasks, strict=True):
            if end == "cancel":
                for _ in range(delay):
                    await asyncio.sleep(0)
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not watcher.done()
        watcher.cancel()
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
        assert dollars.reserved == 0.0
        assert dollars.spent == pytest.approx((spent + sum(total)) / 100)

    asyncio.run(scenario())
