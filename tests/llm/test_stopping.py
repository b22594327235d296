import asyncio

import pytest

from evolve.budget import Dollars
from evolve.llm.stopping import Stop, Stopping


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, 60))


async def turns(count=5):
    """Lets everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_wait_that_ends_of_itself_is_left_alone():
    stop = Stop("the run is stopping")

    async def scenario():
        async with stop.ends():
            await asyncio.sleep(0)
        stop.set()

    run(scenario())
    assert stop.is_set


def test_every_wait_is_ended_at_once_and_none_begins_afterwards():
    stop = Stop("the run is stopping")
    reached = []

    async def wait():
        async with stop.ends():
            reached.append("begun")
            await asyncio.Event().wait()

    async def scenario():
        waits = [asyncio.create_task(wait()) for _ in range(3)]
        await turns()
        stop.set()
        stop.set()
        results = await asyncio.gather(*waits, wait(), return_exceptions=True)
        assert [(type(result), str(result)) for result in results] == [(Stopping, "the run is stopping")] * 4

    run(scenario())
    assert reached == ["begun"] * 3


def test_whoever_is_cancelled_while_the_run_stops_is_cancelled():
    stop = Stop("the run is stopping")

    async def wait():
        async with stop.ends():
            await asyncio.Event().wait()

    async def scenario():
        waiting = asyncio.create_task(wait())
        await turns()
        stop.set()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(scenario())


def test_a_timeout_of_what_is_awaited_is_no_stop():
    stop = Stop("the run is stopping")

    async def scenario():
        with pytest.raises(TimeoutError):
            async with stop.ends():
                raise TimeoutError

    run(scenario())


@pytest.mark.parametrize("order", ["granted first", "stopped first"])
@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("lag", range(4))
def test_dollars_granted_in_the_moment_of_a_stop_are_kept_or_given_back(order, cancelled, lag):
    stop, dollars = Stop("the run is stopping"), Dollars(1.0)

    async def reserve():
        async with stop.ends():
            return await dollars.reserve(1.0)

    async def scenario():
        held = await dollars.reserve(1.0)
        waiting = asyncio.create_task(reserve())
        await turns()
        first, second = (held.release, stop.set) if order == "granted first" else (stop.set, held.release)
        first()
        await turns(lag)
        second()
        if cancelled:
            waiting.cancel()
        (result,) = await asyncio.gather(waiting, return_exceptions=True)
        if not isinstance(result, Stopping | asyncio.CancelledError):
            result.release()

    run(scenario())
    assert (dollars.reserved, dollars.spent, dollars.left) == (0.0, 0.0, 1.0)
