"""Runs attempts at evaluations as Ray tasks, and tells what becomes of each.

An *attempt* is one Ray task: Ray chooses the node, by the task's resources, and a worker process there, which it keeps warm. Ray
itself repeats nothing (``max_retries=0``): who decides on that (`executor`) knows what an evaluation is.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from evolve.executors.cluster import seat
from evolve.executors.cluster.attempts import Cause
from evolve.executors.cluster.needs import Needs
from evolve.executors.cluster.orders import Notice, Refusal, first_sentence

logger = logging.getLogger(__name__)

_WATCH_S = 2.0
_SILENT_S = 15.0
#: A node that is there answers in milliseconds, one that is busy in a second or two.
_PING_S = 10.0
_NODE_LABEL = "ray.io/node-id"

Tell = Callable[[Mapping[str, Any]], None]  # Any: plain data


#: What Ray raises, most special first. What is not here is the node's fault.
_CAUSES: tuple[tuple[type[BaseException], Cause], ...] = (
    (exceptions.OutOfMemoryError, Cause.PRESSURE),
    (exceptions.ObjectStoreFullError, Cause.PRESSURE),
    (exceptions.OutOfDiskError, Cause.PRESSURE),
    (exceptions.NodeDiedError, Cause.NODE),
    (exceptions.LocalRayletDiedError, Cause.NODE),
    (exceptions.WorkerCrashedError, Cause.WORKER),
    (exceptions.RayTaskError, Cause.REFUSED),
)


def _here() -> tuple[str, str]:
    node = ray.get_runtime_context().get_node_id()
    return node, f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"


# Ray's head would keep some kilobytes of each of the latest hundred thousand.
@ray.remote(max_retries=0, num_returns="streaming", enable_task_events=False)  # type: ignore[untyped-decorator]  # reading Ray's types takes minutes
def _serve(order: bytes, parcel: list[ray.ObjectRef]) -> Iterator[bytes]:
    """Serves an order in a Ray worker; the parcel is fetched where it is wanted, and not before."""
    yield from seat.serve(order, _here(), (lambda: ray.get(parcel[0])) if parcel else None)


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _ping() -> bool:
    return True


class Dispatcher:
    """Starts, ends and watches attempts; lives in a process that Ray knows, with an event loop of its own."""

    def __init__(self, needs: Needs, parcel: bytes, tell: Tell) -> None:
        """Starts nothing yet.

        Args:
            needs: Resources of one evaluation.
            parcel: What nodes unpack.
            tell: Is called with everything that happens, as plain data.
        """
        self._options = {
            "num_cpus": needs.cpus,
            "num_gpus": needs.gpus or None,
            "memory": needs.memory_bytes or None,
            "resources": dict(needs.custom) or None,
        }
        self._task = _serve.options(**self._options)
        self._parcel = parcel
        self._ref: ray.ObjectRef | None = None
        self._tell = tell
        self._running: dict[int, asyncio.Task[None]] = {}
        self._streams: dict[int, ray.ObjectRefGenerator] = {}
        self._on: dict[int, str] = {}
        self._nodes: list[dict[str, Any]] = []
        self._pinging: set[asyncio.Task[None]] = set()

    def take(self, message: Mapping[str, Any]) -> None:  # Any: plain data
        """Does what a controller asks for: to evaluate, to cancel, or to ping."""
        match message["kind"]:
            case "evaluate":
                self.evaluate(message["attempt"], message["order"], message["avoid"])
            case "cancel":
                self.cancel(message["attempt"])
            case "ping":
                task = asyncio.create_task(self.ping(message["node"], message["number"]))
                self._pinging.add(task)
                task.add_done_callback(self._pinging.discard)

    def evaluate(self, attempt: int, order: bytes, avoid: Collection[str]) -> None:
        """Begins an attempt.

        Args:
            attempt: Its number.
            order: What is asked for.
            avoid: Nodes that it is kept off.
        """
        self._running[attempt] = asyncio.create_task(self._run(attempt, order, avoid))

    def cancel(self, attempt: int) -> None:
        """Ends an attempt, and the worker process that it runs in; nothing more is told of it."""
        task = self._running.pop(attempt, None)
        if task is not None:
            task.cancel()
        stream = self._streams.pop(attempt, None)
        if stream is not None:
            ray.cancel(stream, force=True)

    async def ping(self, node: str, number: int) -> None:
        """Finds out whether a node answers."""
        try:
            task = _ping.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
            async with asyncio.timeout(_PING_S):
                alive = await task.remote()
        except Exception as error:  # noqa: BLE001 - whatever it was, somebody waits for the answer
            logger.info("node %s does not answer: %r", node, error)
            alive = False
        self._tell({"kind": "pong", "number": number, "alive": alive})

    async def watch(self) -> None:
        """Tells of nodes that come and go, for good; attempts on those that went are lost.

        Raises:
            ConnectionError: If the cluster's head does not answer. Ray itself waits for it a minute, and then ends the process.
        """
        while True:
            try:
                async with asyncio.timeout(_SILENT_S):
                    nodes = await asyncio.to_thread(_nodes)
            except TimeoutError:
                raise ConnectionError(f"the head has not answered for {_SILENT_S:g} s") from None
            if nodes != self._nodes:
                self._nodes = nodes
                self._tell({"kind": "nodes", "nodes": nodes})
            alive = {node["node"] for node in nodes}
            for attempt in [attempt for attempt, node in self._on.items() if node not in alive]:
                node = self._on.pop(attempt)
                self.cancel(attempt)
                self._lost(attempt, Cause.NODE, "its node is gone", node)
            await asyncio.sleep(_WATCH_S)

    async def close(self) -> None:
        """Ends every attempt."""
        for attempt in [*self._running]:
            self.cancel(attempt)

    async def _run(self, attempt: int, order: bytes, avoid: Collection[str]) -> None:
        try:
            if not await self._serve(attempt, order, avoid, []):
                await self._serve(attempt, order, avoid, [self._put()])
        except Exception as error:  # noqa: BLE001 - whatever it was, the attempt is over, and somebody waits for it
            where = {"node": self._on[attempt]} if attempt in self._on else self._source(error)
            cause = self._cause(error)
            if cause is Cause.REFUSED and attempt in self._on:
                cause = Cause.NODE  # it had begun: what went wrong there may go well another time
            self._lost(attempt, cause, _first_words(error), **where)
        finally:
            self._running.pop(attempt, None)
            self._streams.pop(attempt, None)
            self._on.pop(attempt, None)

    async def _serve(self, attempt: int, order: bytes, avoid: Collection[str], parcel: list[ray.ObjectRef]) -> bool:
        """Has an order served; returns whether the node had what it needs for that."""
        selector = {_NODE_LABEL: f"!in({','.join(sorted(avoid))})"} if avoid else None
        task = _serve.options(**self._options, label_selector=selector) if selector else self._task
        stream = task.remote(order, parcel)
        self._streams[attempt] = stream
        notice = Notice.unpacked(await (await anext(stream)))
        if notice.isolation is None and notice.refusal is None:
            self._on[attempt] = notice.node
            self._tell({"kind": "placed", "attempt": attempt, "node": notice.node, "host": notice.host})
            notice = Notice.unpacked(await (await anext(stream)))
        if notice.refusal is Refusal.PARCEL and not parcel:
            self._on.pop(attempt, None)  # whatever goes wrong next need not do so there
            return False
        if notice.refusal is not None:
            cause = Cause.PRESSURE if notice.refusal is Refusal.SHORT else Cause.REFUSED
            self._lost(attempt, cause, notice.why, notice.node, refusal=notice.refusal.value, host=notice.host)
            return True
        self._on[attempt] = notice.node
        level = notice.isolation.value if notice.isolation else None
        self._tell({"kind": "started", "attempt": attempt, "node": notice.node, "host": notice.host, "isolation": level})
        answer = await (await anext(stream))
        self._tell({"kind": "answer", "attempt": attempt, "answer": answer})
        return True

    def _put(self) -> ray.ObjectRef:
        if self._ref is None:
            self._ref = ray.put(self._parcel)
        return self._ref

    def _cause(self, error: Exception) -> Cause:
        if isinstance(error, exceptions.RayTaskError) and isinstance(error.cause, exceptions.ObjectLostError):
            self._ref = None  # the parcel went with a store that is no more: the next attempt puts it anew
            return Cause.PRESSURE
        return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.NODE)

    def _source(self, error: Exception) -> dict[str, str]:
        """Finds the node of an error that came before any notice, where there is no `evolve`, say; empty if two may be it."""
        # Ray raises its error in the guise of the one that it wraps, which has lost the address but for its text.
        said = re.search(r"\(pid=\d+, ip=([^,)\s]+)", str(error)) if isinstance(error, exceptions.RayTaskError) else None
        there = [node for node in self._nodes if said is not None and node["host"].endswith(f"({said[1]})")]
        return {"node": there[0]["node"], "host": there[0]["host"]} if len(there) == 1 else {"node": ""}

    def _lost(self, attempt: int, cause: Cause, why: str, node: str, **more: str) -> None:
        self._tell({"kind": "lost", "attempt": attempt, "cause": cause.value, "why": why, "node": node, **more})


def _nodes() -> list[dict[str, Any]]:  # Any: plain data
    """Lists the nodes that are alive, in a fixed order."""
    found = [
        {
            "node": node["NodeID"],
            "host": f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})",
            "resources": {name: float(amount) for name, amount in node["Resources"].items()},
        }
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sorted(found, key=lambda node: str(node["node"]))


def _first_words(error: Exception) -> str:
    """The part of Ray's message that says something, without its paragraphs of advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1][:500] if isinstance(error, exceptions.RayTaskError) else first_sentence(" ".join(lines))
