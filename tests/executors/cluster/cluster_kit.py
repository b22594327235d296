"""A cluster that a test plays, on a clock that does not wait."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from evolve.errors import ExecutorError
from evolve.executors.base import Evaluated
from evolve.executors.cluster import ClusterConfig, RayExecutor, parse
from evolve.executors.cluster import executor as executor_module
from evolve.executors.cluster.orders import Order, pack_answer
from evolve.program import Evaluation, Isolation, Limits, Outcome, Task

PROGRAM = {"initial.py": "def f(x):\n    return 2 * x\n"}
CPUS_2 = {"CPU": 2.0, "memory": 64.0 * 2**30}


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # which class it is depends on the system
    """Waits for nothing: where time would pass, it has passed."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found:
            if timeout is None:
                raise AssertionError("everybody waits for something that nobody will do")
            self.passed_s += timeout
        return found


class QuickLoop(asyncio.SelectorEventLoop):
    """An event loop on which sleeping takes no time: its clock jumps to whatever comes next."""

    def __init__(self) -> None:
        self._quick = _Selector()
        super().__init__(self._quick)

    def time(self) -> float:
        return 1000.0 + self._quick.passed_s


def quickly(story: Awaitable[Any]) -> Any:
    """Runs a coroutine on a clock that does not wait."""

    async def told() -> Any:
        return await story

    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        return runner.run(told())


async def settled() -> None:
    """Lets everything happen that can happen without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


def node(name: str, **resources: float) -> dict[str, Any]:
    return {"node": name, "host": f"host-{name}", "resources": resources or CPUS_2}


def evaluated(objective: float = 42.0, isolation: Isolation = Isolation.STRONG) -> Evaluated:
    return Evaluated(Evaluation(Outcome.OK, objective, isolation=isolation))


class Cluster:
    """Plays a cluster: `Link`'s part is taken by links to it, and a script says what becomes of each attempt.

    Attributes:
        nodes: Those that are alive.
        script: Is called with the cluster, the link and each attempt's message, in place of a node.
        probe: The same for what is asked on entering.
        alive: Which nodes answer pings; None answers none at all.
        links: All that were opened, the latest last.
        refused: How many of the next tries to open one fail.
    """

    def __init__(self, *nodes: Mapping[str, Any], script: Callable[..., None] | None = None) -> None:
        self.nodes = list(nodes) or [node("a")]
        self.script = script or answer
        self.probe: Callable[..., None] = answer
        self.alive: set[str] | None = {n["node"] for n in self.nodes}
        self.links: list[FakeLink] = []
        self.refused = 0

    @property
    def link(self) -> FakeLink:
        return self.links[-1]

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """All attempts that evaluate something, over all links."""
        return [m for m in self.sent("evaluate") if Order.unpacked(m["order"]).request]

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [message for link in self.links for message in link.sent if message["kind"] == kind]

    def are(self, *nodes: Mapping[str, Any]) -> None:
        self.nodes = list(nodes)
        self.link.hear({"kind": "nodes", "nodes": self.nodes})


class FakeLink:
    """Stands where a `Link` stands."""

    def __init__(self, cluster: Cluster, hear: Callable[[Mapping[str, Any]], None]) -> None:
        self.cluster = cluster
        self.hear = hear
        self.sent: list[dict[str, Any]] = []
        self.left = False
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def send(self, message: Mapping[str, Any]) -> None:
        if self.left or self.closed.done():
            return
        self.sent.append(dict(message))
        if message["kind"] == "evaluate":
            asked = Order.unpacked(message["order"]).request
            (self.cluster.script if asked else self.cluster.probe)(self.cluster, self, message)
        elif message["kind"] == "ping" and self.cluster.alive is not None:
            pong = {"kind": "pong", "number": message["number"], "alive": message["node"] in self.cluster.alive}
            asyncio.get_running_loop().call_soon(self.hear, pong)

    def lose(self, why: str = "its head is gone") -> None:
        """The cluster goes."""
        self.closed.set_result(why)

    async def close(self) -> None:
        self.left = True


def answer(cluster: Cluster, link: FakeLink, message: Mapping[str, Any], value: float = 42.0, on: str | None = None) -> None:
    """Has an attempt answered by a node that is not to be avoided."""
    where = on or next((n["node"] for n in cluster.nodes if n["node"] not in message["avoid"]), None)
    if where is None:
        return
    started(cluster, link, message, where)
    asked = Order.unpacked(message["order"]).request
    content = pack_answer(evaluated(value) if asked else None)
    link.hear({"kind": "answer", "attempt": message["attempt"], "answer": content})


def placed(link: FakeLink, message: Mapping[str, Any], where: str) -> None:
    link.hear({"kind": "placed", "attempt": message["attempt"], "node": where, "host": f"host-{where}"})


def started(
    cluster: Cluster, link: FakeLink, message: Mapping[str, Any], where: str, isolation: Isolation = Isolation.STRONG
) -> None:
    event = {"kind": "started", "attempt": message["attempt"], "node": where, "host": f"host-{where}"}
    link.hear({**event, "isolation": isolation.value})


def lost(link: FakeLink, message: Mapping[str, Any], cause: str, where: str = "a", **more: str) -> None:
    why = more.pop("why", f"lost to {cause}")
    link.hear({"kind": "lost", "attempt": message["attempt"], "cause": cause, "why": why, "node": where, **more})


def task(**more: Any) -> Task:
    """A task that scores nothing here: answers come from the script."""
    limits = more.pop("limits", Limits(timeout_s=1.0, wall_timeout_s=2.0, memory_mb=128))
    return Task("t", PROGRAM, limits=limits, evaluate=len, evaluator_sha256="ab", **more)


def play(
    monkeypatch: Any,
    cluster: Cluster,
    story: Callable[[RayExecutor], Awaitable[Any]],
    *,
    workers: int | None = None,
    isolation: Isolation | None = None,
    patience_s: float = 600.0,
    of: Task | None = None,
    at: str = "h:1",
) -> Any:
    """Enters an executor of a played cluster, and returns what the story comes to."""

    class Opened:
        @staticmethod
        async def open(address: Any, needs: Any, parcel: bytes, at_once: int | None, hear: Any, *, timeout_s: float) -> FakeLink:
            await asyncio.sleep(0.1)
            if cluster.refused:
                cluster.refused -= 1
                raise ExecutorError("the cluster cannot be reached")
            cluster.links.append(FakeLink(cluster, hear))
            cluster.are(*cluster.nodes)
            return cluster.link

    monkeypatch.setattr(executor_module, "Link", Opened)

    async def entered() -> Any:
        address = parse(at)
        assert address is not None
        config = ClusterConfig(patience_s=patience_s)
        async with RayExecutor(of or task(), address, workers, isolation, config) as executor:
            return await story(executor)

    return quickly(entered())
