"""What a dispatcher tells of attempts, with seats that a test plays in Ray's place."""

import asyncio

import pytest
from ray import exceptions

from evolve.executors.cluster import dispatcher as dispatcher_module
from evolve.executors.cluster.dispatcher import Dispatcher
from evolve.executors.cluster.needs import Needs
from evolve.executors.cluster.orders import Notice, Refusal
from evolve.program import Isolation

PLACED = Notice("n", "oak").packed()
BEGUN = Notice("n", "oak", Isolation.STRONG).packed()
LACKS = Notice("n", "oak", refusal=Refusal.PARCEL).packed()


class Stream:
    """What a seat says: bytes, or an error instead of them."""

    def __init__(self, words):
        self._words = iter(words)

    async def __anext__(self):
        return self._said(next(self._words))

    async def _said(self, word):
        if isinstance(word, Exception):
            raise word
        return word


class Task:
    """Stands where a remote function stands; each call is served by the next of the seats."""

    def __init__(self, *seats):
        self._seats = iter(seats)
        self.calls = []

    def options(self, **more):
        return self

    def remote(self, *arguments):
        self.calls.append(arguments)
        return Stream(next(self._seats))


@pytest.fixture
def told(monkeypatch):
    """Runs one attempt on seats that are played; returns what is told of it, and which parcels were sent."""
    monkeypatch.setattr(dispatcher_module.ray, "put", lambda parcel: f"reference of {parcel!r}")

    def run(*seats):
        task, events = Task(*seats), []
        monkeypatch.setattr(dispatcher_module, "_serve", task)

        async def story():
            dispatcher = Dispatcher(Needs(), b"parcel", events.append)
            dispatcher.evaluate(7, b"order", [])
            await dispatcher._running[7]
            assert (dispatcher._running, dispatcher._streams, dispatcher._on) == ({}, {}, {})

        asyncio.run(story())
        assert all(event.pop("attempt") == 7 for event in events)
        return events, [parcel for _, parcel in task.calls]

    return run


PLACED_TOLD = {"kind": "placed", "node": "n", "host": "oak"}
STARTED_TOLD = {"kind": "started", "node": "n", "host": "oak", "isolation": "strong"}
ANSWER_TOLD = {"kind": "answer", "answer": b"answer"}


def test_a_place_that_gets_ready_is_told_before_the_evaluation_begins(told):
    assert told([PLACED, BEGUN, b"answer"])[0] == [PLACED_TOLD, STARTED_TOLD, ANSWER_TOLD]


def test_a_place_that_is_ready_begins_at_once(told):
    assert told([BEGUN, b"answer"])[0] == [STARTED_TOLD, ANSWER_TOLD]


@pytest.mark.parametrize("first", [[], [PLACED]])
def test_a_node_that_refuses_is_told_with_its_reason(told, first):
    events, _ = told([*first, Notice("n", "oak", refusal=Refusal.BROKEN, why="its disk is full").packed()])
    assert events[len(first) :] == [
        {"kind": "lost", "cause": "refused", "why": "its disk is full", "node": "n", "refusal": "broken", "host": "oak"}
    ]


def test_a_node_that_lacks_the_parcel_is_sent_it(told):
    events, parcels = told([PLACED, LACKS], [PLACED, BEGUN, b"answer"])
    assert events == [PLACED_TOLD, PLACED_TOLD, STARTED_TOLD, ANSWER_TOLD]
    assert parcels == [[], ["reference of b'parcel'"]]


def test_a_worker_that_ends_while_its_place_gets_ready_is_told_with_its_node(told):
    events, _ = told([PLACED, exceptions.WorkerCrashedError()])
    (lost,) = events[1:]
    assert (lost["kind"], lost["cause"], lost["node"]) == ("lost", "worker", "n")


def test_what_goes_wrong_where_the_parcel_is_sent_is_no_fault_of_the_node_that_lacked_it(told):
    events, _ = told([PLACED, LACKS], [exceptions.WorkerCrashedError()])
    assert [event["node"] for event in events] == ["n", ""]


@pytest.mark.parametrize(("addresses", "node"), [(["10.0.0.1", "10.0.0.2"], "n2"), (["10.0.0.2", "10.0.0.2"], "")])
def test_a_node_without_evolve_is_named_by_its_address_unless_two_share_it(addresses, node, monkeypatch):
    cause = ModuleNotFoundError("No module named 'evolve'")
    said = f"ray::_serve() (pid=1, ip=10.0.0.2)\n{cause!r}"
    error = exceptions.RayTaskError("_serve", said, cause, "ray::_serve()", 1, "10.0.0.2").as_instanceof_cause()
    events = []
    monkeypatch.setattr(dispatcher_module, "_serve", Task([error]))

    async def story():
        dispatcher = Dispatcher(Needs(), b"", events.append)
        dispatcher._nodes = [{"node": f"n{i}", "host": f"oak ({address})"} for i, address in enumerate(addresses, 1)]
        dispatcher.evaluate(7, b"order", [])
        await dispatcher._running[7]

    asyncio.run(story())
    assert [(event["cause"], event["node"]) for event in events] == [("refused", node)]


@pytest.mark.parametrize("error", [exceptions.TaskUnschedulableError("gone"), ValueError("no such node"), None])
def test_a_ping_is_answered_whatever_is_raised(monkeypatch, error):
    events = []

    class Ping:
        def options(self, **more):
            return self

        async def remote(self):
            if error is not None:
                raise error
            return True

    async def story():
        await Dispatcher(Needs(), b"", events.append).ping("0" * 56, 3)

    monkeypatch.setattr(dispatcher_module, "_ping", Ping())
    asyncio.run(story())
    assert events == [{"kind": "pong", "number": 3, "alive": error is None}]


def test_a_ping_to_what_is_no_name_of_a_node_is_answered():
    events = []
    asyncio.run(Dispatcher(Needs(), b"", events.append).ping("no node", 3))
    assert events == [{"kind": "pong", "number": 3, "alive": False}]
