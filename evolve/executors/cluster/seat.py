"""A seat: the place in a Ray worker process where one evaluation at a time runs.

It holds a `LocalExecutor` of one worker, and with it the task's loaded evaluator and the warm fork server, for as long as Ray keeps
the process: evaluations on a cluster are in every respect those of the machine that they run on.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from evolve.errors import EvolveError, IsolationError, TaskError
from evolve.executors.base import Evaluated
from evolve.executors.cluster import installation, parcel
from evolve.executors.cluster.orders import Notice, Order, Refusal, pack_answer
from evolve.executors.local import LocalExecutor
from evolve.program import Stage

T = TypeVar("T")

#: Which accelerators a process sees: Ray sets them for each evaluation, and a worker reads them when it starts.
_ACCELERATORS = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")

#: Errors that pass when somebody makes room.
_SHORT = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN)


class _Refused(Exception):
    """This node does not evaluate."""

    def __init__(self, refusal: Refusal, why: str) -> None:
        super().__init__(why)
        self.refusal = refusal
        self.why = why


@dataclass(frozen=True, slots=True)
class _Occupied:
    """What a seat was made ready for."""

    key: str
    isolation: str | None
    grace_s: float
    accelerators: tuple[str | None, ...]

    @classmethod
    def by(cls, order: Order) -> _Occupied:
        accelerators = tuple(os.environ.get(name) for name in _ACCELERATORS)
        return cls(order.key, order.isolation, order.grace_s, accelerators)


class Seat:
    """Evaluates programs of one task at a time; another order makes it ready for another task."""

    def __init__(self) -> None:
        """Starts the thread that owns the workers: the kernel ends them with the thread that started them."""
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="evolve-seat", daemon=True).start()
        self._executor: LocalExecutor | None = None
        self._occupied: _Occupied | None = None

    def evaluate(self, order: Order, where: tuple[str, str], fetch: Callable[[], bytes] | None) -> Iterator[bytes]:
        """Serves one order: yields notices, and the answer unless this node refuses.

        Args:
            order: What is asked for.
            where: Identifier and name of this node.
            fetch: Gets the parcel; None where it was not sent along.
        """
        if self._occupied != _Occupied.by(order):
            # At once: loading an evaluator takes seconds, and whoever waits should know where.
            yield Notice(*where).packed()
        try:
            self._make_ready(order, fetch)
        except _Refused as refused:
            yield Notice(*where, refusal=refused.refusal, why=refused.why).packed()
            return
        assert self._executor is not None
        yield Notice(*where, isolation=self._executor.isolation).packed()
        yield pack_answer(self._wait(self._answer(self._executor, order)) if order.request else None)

    @staticmethod
    async def _answer(executor: LocalExecutor, order: Order) -> Evaluated | None:
        request = order.request
        files, seed, artifacts = request["files"], request["seed"], request["artifacts"]
        match Stage(request["stage"]):
            case Stage.HOLDOUT:
                held_out = await executor.holdout(files, seed=seed)
                return None if held_out is None else Evaluated(held_out)
            case Stage.PAIRED:
                return await executor.paired(files, seed=seed, artifacts=artifacts)
        return await executor.evaluate(files, seed=seed, artifacts=artifacts, fresh=request["fresh"])

    def _make_ready(self, order: Order, fetch: Callable[[], bytes] | None) -> None:
        if order.code != installation.code_sha256():
            raise _Refused(
                Refusal.CODE,
                f"another evolve is installed there (code {installation.code_sha256()[:12]}, and the run's is {order.code[:12]}); "
                "install the same on every node, or start all of them from one image",
            )
        wanted = _Occupied.by(order)
        if self._occupied == wanted:
            return
        self._vacate()
        try:
            place = self._place(order.key, fetch)
            executor = LocalExecutor(parcel.load(place), 1, order.isolation, order.grace_s)
            self._wait(executor.__aenter__())
        except IsolationError as error:
            raise _Refused(Refusal.ISOLATION, str(error)) from error
        except TaskError as error:
            raise _Refused(Refusal.TASK, str(error)) from error
        except (EvolveError, OSError, MemoryError, ValueError) as error:
            short = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _SHORT)
            raise _Refused(Refusal.SHORT if short else Refusal.BROKEN, f"{type(error).__name__}: {error}") from error
        self._executor, self._occupied = executor, wanted

    @staticmethod
    def _place(key: str, fetch: Callable[[], bytes] | None) -> Path:
        root = parcel.cache_root()
        place = parcel.find(key, root)
        if place is not None:
            return place
        if fetch is None:
            raise _Refused(Refusal.PARCEL, "the task's files are not there")
        return parcel.unpack(fetch(), key, root)

    def _vacate(self) -> None:
        if self._executor is not None:
            self._wait(self._executor.__aexit__(None, None, None))
        self._executor = self._occupied = None

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:  # Any: what coroutines are declared with
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


_seat: Seat | None = None


def serve(order: bytes, where: tuple[str, str], fetch: Callable[[], bytes] | None = None) -> Iterator[bytes]:
    """Serves one order in this process's seat; see `Seat.evaluate`."""
    global _seat  # noqa: PLW0603 - what Ray keeps between two calls is its process
    if _seat is None:
        _seat = Seat()
    sys.stdout.flush()
    return _seat.evaluate(Order.unpacked(order), where, fetch)
