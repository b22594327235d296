"""What a relay tells the driver process, without a cluster."""

import asyncio

import pytest

from evolve.executors.cluster import relay as relay_module
from evolve.executors.cluster.needs import Needs


class Dispatcher:
    """Tells of one event, and stops watching as the test says."""

    error: Exception | None = None

    def __init__(self, needs, parcel, tell):
        self._tell = tell

    async def watch(self):
        self._tell({"kind": "nodes", "nodes": []})
        await asyncio.sleep(0.01)
        if self.error is not None:
            raise self.error
        await asyncio.sleep(3600)


@pytest.fixture
def relay(monkeypatch):
    """The actor's class as it is on the cluster, with a dispatcher that is played."""
    monkeypatch.setattr(relay_module, "Dispatcher", Dispatcher)
    monkeypatch.setattr(relay_module, "_POLL_S", 0.05)
    return relay_module.Relay.__ray_metadata__.modified_class()


def test_what_has_happened_is_told_once(relay):
    async def story():
        await relay.begin(Needs(), b"")
        return [await relay.events(), await relay.events()]

    assert asyncio.run(story()) == [[{"kind": "nodes", "nodes": []}], []]


def test_a_relay_that_watches_no_more_says_so(relay, monkeypatch):
    monkeypatch.setattr(Dispatcher, "error", ConnectionError("the head has not answered for 15 s"))

    async def story():
        await relay.begin(Needs(), b"")
        assert await relay.events()
        with pytest.raises(ConnectionError, match="has not answered"):
            await relay.events()

    asyncio.run(story())
