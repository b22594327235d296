"""Watches the process tree of one program from outside: what it uses, which limit it passes, how it ended."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from evolve.evaluators.sandbox import tree
from evolve.evaluators.sandbox.server import ForkServer, ServerLost
from evolve.program import Limits, Outcome

#: How often a tree is measured while it works. A deadline is noticed this much late at most.
_MEASURE_EVERY_S = 0.05
#: What making the namespace takes, and the grain of the kernel's clocks, are not the program's.
_NOTICED_S = 0.05


class LimitPassed(Exception):
    """A program is to be ended, or has ended, for a reason of its own.

    Attributes:
        outcome: How it failed.
        text: What to tell of it.
        timing_dependent: Whether the wall clock decided.
    """

    def __init__(self, outcome: Outcome, text: str, *, timing_dependent: bool = False) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.text = text
        self.timing_dependent = timing_dependent


class Watch:
    """Measures the child of a fork server and everything below it, from its fork to its end."""

    def __init__(self, server: ForkServer, pid: int, limits: Limits, spent_cpu_s: float = 0.0) -> None:
        """Begins to watch.

        Args:
            server: Has just forked the child.
            pid: The child.
            limits: What it is held to.
            spent_cpu_s: CPU seconds that were used up before, by others that share its limit.
        """
        self._server = server
        self._pid = pid
        self._limits = limits
        self._spent_cpu_s = spent_cpu_s
        self._limit_cpu_s = limits.timeout_s
        self._memory_kills = server.memory_kills
        self._counted_before_s = server.counted_cpu_s
        self._measured_cpu_s = 0.0
        self._final_cpu_s: float | None = None
        self.next_at = time.monotonic() + _MEASURE_EVERY_S
        """When it has to be looked at again, as `time.monotonic` counts."""

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the whole tree so far."""
        if self._final_cpu_s is not None:
            return self._final_cpu_s
        return max(self._measured_cpu_s, self._used_s(tree.usage_below(self._server.pid)))

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._final_cpu_s is not None

    def allow(self, cpu_s: float) -> None:
        """Holds it to so many CPU seconds from now on, what was used up before it included."""
        self._limit_cpu_s = cpu_s

    def look(self) -> None:
        """Measures the whole tree.

        Raises:
            LimitPassed: If it is over a limit.
        """
        usage = tree.usage_below(self._server.pid)
        left_s = self._check_cpu(usage)
        limit = self._limits.max_processes
        threads = usage.threads - self._server.strong
        if threads > limit:
            raise LimitPassed(Outcome.CRASHED, f"{threads} processes and threads at once; limits.max_processes = {limit}")
        if self._server.memory_group and self._server.memory_kills > self._memory_kills:
            raise LimitPassed(Outcome.OUT_OF_MEMORY, self.memory_text())
        look_s = self._look_at_memory(usage)
        # With n threads the CPU limit cannot be reached sooner than in 1/n of what is left.
        self.next_at = time.monotonic() + max(min(_MEASURE_EVERY_S, left_s / max(usage.threads, 1)), 0.002, look_s)

    def _check_cpu(self, usage: tree.Usage) -> float:
        """Returns the CPU seconds that are left; raises if there are none."""
        # Processes that are waited for late, or never, must not lower the count.
        self._measured_cpu_s = max(self._measured_cpu_s, self._used_s(usage))
        left_s = self._limit_cpu_s - self._spent_cpu_s - self._measured_cpu_s
        if left_s <= 0:
            raise self._out_of_cpu()
        return left_s

    def _used_s(self, usage: tree.Usage) -> float:
        """CPU seconds of the tree, with those of processes that nobody waited for, where the kernel has counted them."""
        counted = self._server.counted_cpu_s
        if counted is None or self._counted_before_s is None:
            return usage.cpu_s
        missing = counted - self._counted_before_s - usage.cpu_s
        return usage.cpu_s + missing if missing > _NOTICED_S else usage.cpu_s

    def _look_at_memory(self, usage: tree.Usage) -> float:
        """Returns how many seconds looking took; raises if the tree is over its memory."""
        memory_bytes = self._limits.memory_mb * 2**20
        if usage.rss_bytes <= memory_bytes:
            return 0.0
        started = time.monotonic()
        # A program can make this slow; it must not gain time by it.
        if tree.proportional_bytes(usage.pids, until=started + _MEASURE_EVERY_S) > memory_bytes:
            raise LimitPassed(Outcome.OUT_OF_MEMORY, self.memory_text())
        return time.monotonic() - started

    def glance(self) -> None:
        """Looks at the child's own CPU time alone, which costs next to nothing: many short answers are never caught working.

        Raises:
            LimitPassed: If it is over the limit.
        """
        if tree.own_cpu_s(self._pid) > self._limit_cpu_s - self._spent_cpu_s:
            raise self._out_of_cpu()

    def _out_of_cpu(self) -> LimitPassed:
        return LimitPassed(Outcome.TIMED_OUT, f"used more than {self._limit_cpu_s:g} s of CPU time")

    def late(self, wall_s: float) -> LimitPassed:
        """What to raise for a program that has not answered within so many wall-clock seconds."""
        # CPU time first: it does not hang on the machine's load.
        self._check_cpu(tree.usage_below(self._server.pid))
        text = (
            f"no answer within {wall_s:g} s of wall-clock time, with {self.cpu_s:.2f} s of CPU time used; "
            "does the program wait for something?"
        )
        return LimitPassed(Outcome.TIMED_OUT, text, timing_dependent=True)

    def memory_text(self) -> str:
        """What to tell of a program that needs too much memory."""
        return f"used more memory than limits.memory_mb = {self._limits.memory_mb} allows"

    def end(self) -> int | None:
        """Has the whole tree killed; returns the child's wait status, None if even the server was gone."""
        status = None
        # What is killed with its process-id namespace is not in any wait status.
        self._measured_cpu_s = max(self._measured_cpu_s, self._used_s(tree.usage_below(self._server.pid)))
        self._final_cpu_s = self._measured_cpu_s
        with suppress(ServerLost):
            ended = self._server.end()
            status, self._final_cpu_s = ended.status, max(ended.cpu_s, self._measured_cpu_s)
        return status

    def verdict(self, status: int | None) -> LimitPassed | None:
        """Reads a wait status: what to raise for a child that a signal has ended; None for one that exited."""
        if status is None:
            return LimitPassed(Outcome.CRASHED, "the program took its sandbox down")
        if not os.WIFSIGNALED(status):
            return None
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return self._out_of_cpu()
        if number == signal.SIGKILL and self._server.memory_kills > self._memory_kills:
            if self._server.memory_group:
                return LimitPassed(Outcome.OUT_OF_MEMORY, self.memory_text())
            return LimitPassed(Outcome.OUT_OF_MEMORY, "the machine ran out of memory", timing_dependent=True)
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return LimitPassed(Outcome.CRASHED, f"the program was ended by {name}")
