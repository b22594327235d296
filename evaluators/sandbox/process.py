"""One executed process as its worker sees it, from its fork to its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from evolve.evaluators.executed import Completed
from evolve.evaluators.sandbox import wire
from evolve.evaluators.sandbox.pipes import Pipes, TooMuchOutput
from evolve.evaluators.sandbox.server import Child, ForkServer, ServerLost, Streams
from evolve.evaluators.sandbox.watch import LimitPassed, Watch
from evolve.program import Limits, Outcome

#: Writing the files down and beginning; nothing of the program runs meanwhile.
_BEGIN_TIMEOUT_S = 60.0
#: An ending process closes its output a moment before it counts as ended.
_END_AFTER_OUTPUT_S = 0.2


class Held(NamedTuple):
    """What one process is held to: limits, and how much of their seconds is used up already."""

    limits: Limits
    spent_cpu_s: float = 0.0
    spent_wall_s: float = 0.0


class Process:
    """One executed process, from its fork to its end."""

    def __init__(self, server: ForkServer, orders: Mapping[str, object], held: Held, *, building: bool = False) -> None:
        """Forks it; `begin` makes it what it is to be."""
        self._server = server
        self._orders = orders
        self._held = held
        self._building = building
        self._status: int | None = None
        self._closed = False
        self._begun_cpu_s = 0.0
        self._begun_at = 0.0
        self._ended_at: float | None = None
        self.wall_s = 0.0
        """Wall-clock seconds that were waited for it."""
        child, self.pipes = _fork(server, held.limits, keep_first=building)
        self._child = child
        self._watch = Watch(server, child.pid, held.limits, held.spent_cpu_s)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of its own code."""
        return max(self._watch.cpu_s - self._begun_cpu_s, 0.0)

    @property
    def limits(self) -> Limits:
        """What it is held to."""
        return self._held.limits

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._closed

    def begin(self) -> None:
        """Sends it its files and what to run; returns when that begins.

        Raises:
            LimitPassed: If the files do not fit.
        """
        channel = self._child.channel
        channel.settimeout(_BEGIN_TIMEOUT_S)
        payload = None
        with suppress(OSError, wire.Malformed):
            channel.sendall(wire.frame(wire.encode(self._orders)))
            payload = wire.read_frame(channel.recv, 2**10)
        if payload is None:
            limits = self._held.limits
            text = f"its files do not fit: limits.scratch_mb = {limits.scratch_mb}, limits.memory_mb = {limits.memory_mb}"
            raise LimitPassed(Outcome.INVALID, text)
        # Nothing of the program has run in it so far: this is to be relied on.
        self._begun_cpu_s = float(wire.decode(payload)[1])
        self._begun_at = time.monotonic()

    def wait_until(self, done: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Waits until something is so, or the process has ended, and measures it meanwhile.

        Args:
            done: Asked after everything that it prints.
            timeout_s: Wall-clock seconds, where that is less than what is left.

        Raises:
            LimitPassed: If it passes a limit.
        """
        started = time.monotonic()
        left_s = max(self._held.limits.wall_s - self._held.spent_wall_s - self.wall_s, 0.0)
        told_s = self._held.limits.wall_s if timeout_s is None or timeout_s >= left_s else timeout_s
        deadline = started + (left_s if timeout_s is None else min(left_s, timeout_s))
        try:
            while not done():
                if self.pipes.ended:
                    self._ended_at = self._ended_at or time.monotonic()
                    self.pipes.drain()
                    break
                now = time.monotonic()
                if now >= deadline:
                    raise self._watch.late(told_s)
                if now >= self._watch.next_at:
                    self._watch.look()
                self.pipes.pump(min(deadline, self._watch.next_at) - now)
            self._watch.glance()
        except TooMuchOutput:
            limit = self._held.limits.max_reply_mb
            raise LimitPassed(Outcome.INVALID, f"printed more than limits.max_reply_mb = {limit}") from None
        finally:
            self.wall_s += time.monotonic() - started

    def wait_for_end(self) -> bool:
        """Gives a process that has closed its output a moment to end; returns whether it has ended by itself."""
        if not self._closed:
            with suppress(LimitPassed):
                self.wait_until(lambda: False, _END_AFTER_OUTPUT_S)
        return self._ended_at is not None

    def completed(self, *, check: bool) -> Completed:
        """Ends it and says how it went.

        Raises:
            LimitPassed: If it passed a limit, or failed and ``check``.
        """
        self.end()
        code = self.returncode
        verdict = self._watch.verdict(self._status)
        if verdict is not None and (check or verdict.outcome is not Outcome.CRASHED or code is None):
            raise verdict
        assert code is not None
        if code and check:
            raise LimitPassed(Outcome.CRASHED, f"the program exited with status {code}")
        if self.cpu_s + self._held.spent_cpu_s > self._held.limits.timeout_s:
            raise LimitPassed(Outcome.TIMED_OUT, f"used more than {self._held.limits.timeout_s:g} s of CPU time")
        wall_s = (self._ended_at or time.monotonic()) - self._begun_at
        return Completed(bytes(self.pipes.output), bytes(self.pipes.error), code, self.cpu_s, wall_s)

    @property
    def returncode(self) -> int | None:
        """Exit status, or minus a signal; None while it runs or where nobody knows."""
        if not self._closed or self._status is None:
            return None
        return os.waitstatus_to_exitcode(self._status)

    def end(self) -> None:
        """Has it killed with everything that it started, and its files deleted, but for those of a build."""
        if self._closed:
            return
        self._closed = True
        self._status = self._watch.end()
        with suppress(TooMuchOutput):
            self.pipes.drain()
        self.pipes.close()
        self._child.channel.close()
        if self._status is not None and not self._building:
            with suppress(ServerLost):
                self._server.clear()


def _fork(server: ForkServer, limits: Limits, *, keep_first: bool) -> tuple[Child, Pipes]:
    """Has a process forked, with a pipe for each of its streams."""
    pairs = [os.pipe() for _ in range(3)]
    (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = pairs
    ours = (to_stdin, from_stdout, from_stderr)
    try:
        child = server.fork(Streams(stdin, stdout, stderr), interpreter=False, limits=limits)
    except BaseException:
        for descriptor in ours:
            os.close(descriptor)
        raise
    finally:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
    return child, Pipes(*ours, child.process, limits.max_reply_mb * 2**20, keep_first=keep_first)
