"""Evaluates programs on a Ray cluster."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from evolve.errors import EvolveError, ExecutorError, IsolationError, TaskError
from evolve.executors import messages
from evolve.executors.base import Evaluated, failed
from evolve.executors.cluster import installation
from evolve.executors.cluster.address import Address, Way
from evolve.executors.cluster.attempts import Answer, Attempts, Cause, Loss
from evolve.executors.cluster.link import CONNECT_S, Link
from evolve.executors.cluster.needs import Needs
from evolve.executors.cluster.nodes import Nodes
from evolve.executors.cluster.orders import Order, Refusal, unpack_answer
from evolve.executors.cluster.parcel import Parcel, pack
from evolve.executors.deadlines import deadline_s, own_s
from evolve.gate import Gate
from evolve.program import Evaluation, Files, Isolation, Outcome, Stage, Task

logger = logging.getLogger(__name__)

#: A worker that dies is most often somebody else's doing; one that dies twice with the same program, on nodes that live, is not.
_STRIKES = 2
#: What an answer may take from the node to here, beyond what the evaluation itself may.
_ON_THE_WAY_S = 15.0
#: A place loads the task's evaluator: torch from a cold disk takes a minute.
_READY_S = 300.0
#: Attempts that wait while later ones find a place: Ray may have sent them to a node that is cut off.
_UNHEARD_S = 30.0
_STRIKING = frozenset((Cause.WORKER, Cause.OVERDUE))
#: Attempts in a row that came to nothing in one place, not for want of room, before it is said that they always will.
_STUCK, _NODES_FAULTS = 20, frozenset((Cause.NODE, Cause.REFUSED))
_WATCH_S = 1.0
_WAITING_SAID_AFTER_S, _WAITING_SAID_EVERY_S = 5.0, 60.0
_RETRY_FROM_S, _RETRY_UP_TO_S, _DOUBLINGS = 0.05, 5.0, 10
_CONNECT_AGAIN_S, _CONNECT_AT_LEAST_S = 2.0, 10.0
_ERRORS: Mapping[Refusal | None, type[EvolveError]] = {Refusal.TASK: TaskError, Refusal.ISOLATION: IsolationError}


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """How patient a run is with its cluster.

    Attributes:
        patience_s: How long it waits for a cluster that was lost, or for a first node that can evaluate, before it is given up.
    """

    patience_s: float = 600.0

    def __post_init__(self) -> None:
        if not self.patience_s > 0:
            raise ValueError(f"patience_s must be > 0, got {self.patience_s}")


class RayExecutor:
    """Runs evaluations as Ray tasks with the resources that their task's limits say; implements `Executor`.

    Each evaluation is made of attempts. One that infrastructure has lost (its node died, was cut off or ran out of memory, the head
    was started anew) is followed by another, elsewhere, as often as need be: it never counts against the program. One during which
    the worker process ended, or was not heard of any more, while its node lives, counts; at the second the program is ``CRASHED``.
    Of several answers to one evaluation the first counts, so that none is taken twice.
    """

    def __init__(
        self,
        task: Task,
        address: Address,
        workers: int | None = None,
        isolation: Isolation | None = None,
        config: ClusterConfig = ClusterConfig(),
        *,
        evaluator_grace_s: float | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            task: Whose programs are evaluated.
            address: Of the cluster.
            workers: Evaluations in flight at once; None is as many as the cluster holds, and some more that wait. Of a cluster that
                is started for this, how many it holds.
            isolation: The level to run programs at; None is the strongest that each node offers.
            config: How patient to be.
            evaluator_grace_s: What an evaluator may take beyond its program's wall-clock limit before it counts as hung; None is
                what the task's limits say.

        Raises:
            ValueError: If a number is out of range.
            TaskError: If a cluster cannot give out what the task asks for.
            ExecutorError: If Ray is not installed.
        """
        _require_ray(address)
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be >= 1, got {workers}")
        self._task = task
        self._address = address
        self._workers = workers
        self._asked = isolation
        self._config = config
        self._grace_s = own_s(task, evaluator_grace_s)
        self._needs = Needs.of(task)
        self._nodes = Nodes(self._needs)
        # A seat evaluates a second time where its own worker died.
        self._attempts = Attempts(2 * deadline_s(task, evaluator_grace_s) + _ON_THE_WAY_S, _READY_S, _UNHEARD_S)
        self._gate = Gate(lambda: self.slots)
        self._parcel = Parcel("", b"")
        self._link: Link | None = None
        self._linking: asyncio.Task[Link] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._listed: asyncio.Future[None]  # from entering on: done once the nodes are known
        self._pings: dict[int, asyncio.Future[bool]] = {}
        self._entered = False

    @property
    def slots(self) -> int:
        if self._workers is None:
            return self._nodes.in_flight
        # A cluster that was started for the run has as many places as were asked for, and some more may wait.
        return max(self._workers, self._nodes.in_flight) if self._address.way is Way.HERE else self._workers

    @property
    def isolation(self) -> Isolation:
        if not self._nodes.levels:
            raise ExecutorError("the isolation level is known once the executor is entered (async with)")
        return min(self._nodes.levels.values(), key=lambda level: level.rank)

    async def __aenter__(self) -> Self:
        self._parcel = pack(self._task)
        self._listed = asyncio.get_running_loop().create_future()
        self._link = await self._open()
        self._entered = True
        self._watching = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(self._config.patience_s):
                if self._address.way is Way.HERE:
                    await self._see_room(self._link)
                await self._answer({})
        except TimeoutError:
            await self._leave()
            raise ExecutorError(
                f"{self._address.described} had no place for an evaluation ({self._needs.text()}) within "
                f"{self._config.patience_s:g} s; it has: {self._nodes.text()}"
            ) from None
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._leave()

    async def evaluate(self, files: Files, *, seed: int, artifacts: bool = False, fresh: bool = False) -> Evaluated:
        request = messages.request(Stage.EVALUATE, files, seed, artifacts=artifacts, fresh=fresh)
        async with self._gate:
            answer = await self._answer(request)
        assert answer is not None
        return answer

    async def holdout(self, files: Files, *, seed: int) -> Evaluation | None:
        request = messages.request(Stage.HOLDOUT, files, seed, fresh=True)
        async with self._gate:
            answer = await self._answer(request)
        return None if answer is None else answer.evaluation

    async def paired(self, files: Files, *, seed: int, artifacts: bool = False) -> Evaluated | None:
        async with self._gate:
            return await self._answer(messages.request(Stage.PAIRED, files, seed, artifacts=artifacts))

    async def _see_room(self, link: Link) -> None:
        """Sees that a cluster of one machine, which never grows, has room for an evaluation.

        Raises:
            ExecutorError: If it has not.
        """
        either: list[asyncio.Future[Any]] = [self._listed, link.closed]  # Any: of different types
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._listed.done() and self._nodes.capacity == 0:
            raise ExecutorError(
                f"this machine has no room for an evaluation ({self._needs.text()}); it has: {self._nodes.text()}. Lower the "
                "task's limits, or name a cluster that has it: --executor HOST:PORT"
            )

    # One evaluation

    async def _answer(self, request: Mapping[str, Any]) -> Evaluated | None:  # Any: plain data
        """Has a request answered, by as many attempts as it takes; None for a part of the evaluator that there is not.

        Raises:
            ExecutorError: If there is nothing left to run on.
        """
        order = Order(self._parcel.key, installation.code_sha256(), self._asked, self._grace_s, request).packed()
        losses: list[Loss] = []
        strikes: list[asyncio.Future[bool]] = []
        while True:
            ended = await self._attempt(order, {loss.node for loss in losses[-1:]})
            if isinstance(ended, Answer):
                return self._evaluated(ended)
            losses.append(ended)
            if ended.cause is Cause.REFUSED and ended.node:
                self._leave_out(ended)
            if ended.cause in _STRIKING:
                strikes.append(self._ping(ended.node))
                if len(strikes) >= _STRIKES and sum(await asyncio.gather(*strikes)) >= _STRIKES:
                    whys = "; ".join(loss.why for loss in losses if loss.cause in _STRIKING)
                    text = f"the worker that evaluates the program ended twice: {whys}"
                    return failed(self._task, self.isolation, Outcome.CRASHED, text)
            if _is_stuck(losses):
                raise ExecutorError(f"{self._address.described} takes no evaluation, {_STUCK} times in a row: {ended.why}")
            logger.warning("an evaluation was lost on %s, and is repeated: %s", ended.host or "the cluster", ended.why)
            await asyncio.sleep(_wait_s(len(losses)))

    async def _attempt(self, order: bytes, avoid: set[str]) -> Answer | Loss:
        link = await self._linked()
        attempt = self._attempts.begin()
        try:
            link.send({"kind": "evaluate", "attempt": attempt.number, "order": order, "avoid": self._nodes.to_avoid(avoid)})
            return await attempt.ended
        except asyncio.CancelledError:
            link.send({"kind": "cancel", "attempt": attempt.number})
            raise
        finally:
            self._attempts.end(attempt)

    def _evaluated(self, answer: Answer) -> Evaluated | None:
        evaluated = unpack_answer(answer.content)
        if evaluated is None:
            return None
        return evaluated._replace(evaluation=dataclasses.replace(evaluated.evaluation, host=answer.host))

    def _leave_out(self, loss: Loss) -> None:
        """Keeps evaluations off a node that does not evaluate.

        Raises:
            TaskError: If it is a node like the others and the task's evaluator does not load there.
            EvolveError: If no node is left.
        """
        logger.warning("node %s is left out: %s", loss.host, loss.why)
        self._nodes.leave_out(loss.node, loss.why)
        if self._nodes.some_left and not (loss.refusal is Refusal.TASK and not self._nodes.levels):
            return
        kind = ExecutorError if self._nodes.levels else _ERRORS.get(loss.refusal, ExecutorError)
        raise kind(
            f"no node of {self._address.described} can evaluate; {loss.host}: {loss.why}" if kind is not TaskError else loss.why
        )

    def _ping(self, node: str) -> asyncio.Future[bool]:
        """Finds out whether a node lives; of one that is not known, nobody can say so."""
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        number = id(pong)
        self._pings[number] = pong
        pong.add_done_callback(lambda _: self._pings.pop(number, None))
        if not node or self._link is None or self._link.closed.done():
            pong.set_result(False)
        else:
            self._link.send({"kind": "ping", "node": node, "number": number})
        return pong

    # The connection

    async def _open(self, timeout_s: float = CONNECT_S) -> Link:
        content, workers = self._parcel.content, self._workers
        link = await Link.open(self._address, self._needs, content, workers, self._hear, timeout_s=timeout_s)
        # At once: attempts of a later connection must not be taken for its own.
        link.closed.add_done_callback(self._cut_off)
        return link

    async def _linked(self) -> Link:
        """Returns the connection, another one if it was lost.

        Raises:
            ExecutorError: If the executor is not entered, or the cluster stays lost.
        """
        while self._entered:
            if self._link is not None and not self._link.closed.done():
                return self._link
            if self._linking is None or self._linking.done():
                self._linking = asyncio.create_task(self._link_again())
            linking = self._linking
            await asyncio.wait([linking])  # others wait for it too: a call that is cancelled does not end it
            if not linking.cancelled():
                linking.result()
        raise ExecutorError("the executor is not running; use it inside its context (async with)")

    async def _link_again(self) -> Link:
        """Connects again, as often as patience lasts."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._config.patience_s
        lost = self._link
        why = await lost.closed if lost is not None else ""
        logger.warning("%s was lost (%s); connecting again for up to %g s", self._address.described, why, self._config.patience_s)
        if lost is not None:
            await lost.close()
            self._link = None
        while True:
            try:
                self._link = await self._open(min(CONNECT_S, max(give_up_at - loop.time(), _CONNECT_AT_LEAST_S)))
            except ExecutorError as error:
                if loop.time() > give_up_at:
                    raise ExecutorError(
                        f"{error} (tried for {self._config.patience_s:g} s; nothing is lost: `evolve resume` goes on)"
                    ) from error
                logger.info("%s", error)
                await asyncio.sleep(_CONNECT_AGAIN_S)
            else:
                logger.warning("%s is back", self._address.described)
                return self._link

    async def _leave(self) -> None:
        self._entered = False
        tasks = [task for task in (self._watching, self._linking) if task is not None]
        for task in tasks:
            task.cancel()
        # Whoever connects again ends the process that it has started.
        await asyncio.gather(*tasks, return_exceptions=True)
        self._attempts.lose_all("the executor was left before the evaluation was over")
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def _cut_off(self, closed: asyncio.Future[str]) -> None:
        """Gives up what was asked by a connection that is lost."""
        if closed.cancelled():
            return
        self._attempts.lose_all(f"the connection with the cluster was lost: {closed.result()}")
        for pong in [*self._pings.values()]:
            if not pong.done():
                pong.set_result(False)

    async def _watch(self) -> None:
        """Gives up attempts that nothing is heard of, and says what is waited for."""
        loop = asyncio.get_running_loop()
        say_at = loop.time() + _WAITING_SAID_AFTER_S
        while True:
            await asyncio.sleep(_WATCH_S)
            for attempt in self._attempts.overdue():
                if self._link is not None:
                    self._link.send({"kind": "cancel", "attempt": attempt.number})
            nobody = self._nodes.capacity == 0 or not self._nodes.levels
            if nobody and self._attempts.waiting() and loop.time() > say_at:
                say_at = loop.time() + _WAITING_SAID_EVERY_S
                logger.warning(
                    "%d evaluations wait for a node that has room for one (%s); the cluster has: %s",
                    self._attempts.waiting(), self._needs.text(), self._nodes.text(),
                )  # fmt: skip

    def _hear(self, event: Mapping[str, Any]) -> None:  # Any: plain data
        kind = event["kind"]
        if kind == "answer":
            self._attempts.answered(event)
        elif kind == "placed":
            self._attempts.placed(event)
        elif kind == "started":
            if self._attempts.started(event):
                self._nodes.offers(event["host"], Isolation(event["isolation"]))
        elif kind == "lost":
            self._attempts.lost(event)
        elif kind == "nodes":
            self._nodes.are(event["nodes"])
            if not self._listed.done():
                self._listed.set_result(None)
            self._gate.widened()
        elif kind == "pong" and (pong := self._pings.get(event["number"])) is not None and not pong.done():
            pong.set_result(event["alive"])


def _is_stuck(losses: list[Loss]) -> bool:
    """Whether attempts come to nothing again and again, on one node or before they reach any: a node dies but once."""
    last = losses[-_STUCK:]
    return len(last) == _STUCK and len({loss.node for loss in last}) == 1 and {loss.cause for loss in last} <= _NODES_FAULTS


def _require_ray(address: Address) -> None:
    # Not by looking for a module: Ray leaves folders of this name behind, in which a search would end.
    try:
        importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        raise ExecutorError(f"{address.described} needs Ray, which is not installed: pip install 'evolve-platform[ray]'") from None


def _wait_s(losses: int) -> float:
    """How long to wait before an evaluation that was lost so often is repeated."""
    # A power with an exponent in the thousands is no float any more: a cluster may be full for hours.
    return min(_RETRY_FROM_S * 2.0 ** min(losses - 1, _DOUBLINGS), _RETRY_UP_TO_S)
