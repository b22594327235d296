"""Programs that are executed: built once per evaluation, then run in fresh processes, to their end or in conversation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from evolve.evaluators.base import ProgramFailed
from evolve.evaluators.executed import Completed
from evolve.evaluators.sandbox import scratch, wire
from evolve.evaluators.sandbox.process import Held, Process
from evolve.evaluators.sandbox.server import Collected, ForkServer, ServerLost
from evolve.evaluators.sandbox.session import SandboxedSession
from evolve.evaluators.sandbox.watch import LimitPassed
from evolve.program import Files, Limits, Outcome

_TEXT_SHOWN = 4000
#: What builds of siblings left is kept for so many sources.
_MOST_BUILT = 4


@dataclass(frozen=True, slots=True)
class Order:
    """What an evaluator wants executed.

    Attributes:
        args: Arguments behind the task's command.
        files: More files.
        timeout_s: CPU seconds, where that is less than what is left.
    """

    args: tuple[str, ...] = ()
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    timeout_s: float | None = None


class Executions:
    """All that is executed of one program during one evaluation, one process at a time."""

    def __init__(self, server: ForkServer, files: Files, built: dict[str, Collected], failed_as: type[ProgramFailed]) -> None:
        """Prepares; nothing runs yet.

        Args:
            server: Forks the processes.
            files: The program's source.
            built: What earlier builds left, by a hash of the source; added to.
            failed_as: What is raised when the program fails.
        """
        self._server = server
        self._files = files
        self._built = built
        self._failed_as = failed_as
        self._ready: Collected | None = None
        self._build_failure: ProgramFailed | None = None
        self._running: Process | None = None
        self._ended_cpu_s = 0.0
        self.cpu_limit_s = server.settings.limits.timeout_s
        """CPU seconds that the program may use in all."""
        self._ended_wall_s = 0.0

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all executions so far."""
        return self._ended_cpu_s + (self._running.cpu_s if self._running is not None else 0.0)

    @property
    def wall_s(self) -> float:
        """Wall-clock seconds that were waited for them."""
        return self._ended_wall_s + (self._running.wall_s if self._running is not None else 0.0)

    @property
    def limits(self) -> Limits:
        """What one evaluation may use."""
        limits = self._server.settings.limits
        return replace(limits, timeout_s=self.cpu_limit_s, wall_timeout_s=limits.wall_s)

    @property
    def busy(self) -> bool:
        """Whether a process is running."""
        return self._running is not None

    def execute(self, order: Order, stdin: bytes, *, check: bool) -> Completed:
        """Runs a process to its end (see `evolve.evaluators.base.IsolatedProgram.execute`)."""
        process = self._start(order)
        try:
            process.pipes.feed(stdin)
            process.pipes.close_input()
            process.wait_until(lambda: False)
            return process.completed(check=check)
        except LimitPassed as passed:
            raise self.failure_of(passed, process) from None
        finally:
            self.release(process)

    def session(self, order: Order) -> SandboxedSession:
        """Runs a process to talk to (see `evolve.evaluators.base.IsolatedProgram.session`)."""
        process = self._start(order)
        return SandboxedSession(process, self.failure_of, self.release)

    def close(self) -> None:
        """Ends what is running."""
        if self._running is not None:
            self.release(self._running)

    def _start(self, order: Order) -> Process:
        if self._running is not None:
            raise RuntimeError("a session of the program is open; leave it before executing another process")
        command = self._server.settings.command
        if not command:
            raise RuntimeError('the task says nothing to execute; add the command to task.toml: [run] command = ["./program"]')
        extra = scratch.laid_out(order.files)
        ready = self._build()
        files = {**ready.files, **extra}
        orders = {"files": files, "executable": [*ready.executable], "argv": [*command, *order.args]}
        self._running = self._begin(Process(self._server, orders, self._held(order.timeout_s)))
        return self._running

    def _held(self, timeout_s: float | None) -> Held:
        limits = self.limits
        whole = Held(limits, self.cpu_s, self.wall_s)
        if timeout_s is None or timeout_s >= limits.timeout_s - self.cpu_s:
            return whole
        # In the proportion that the task's author has chosen.
        wall_s = timeout_s * limits.wall_s / limits.timeout_s
        return Held(replace(limits, timeout_s=timeout_s, wall_timeout_s=wall_s))

    def _begin(self, process: Process) -> Process:
        try:
            process.begin()
        except LimitPassed as passed:
            raise self.failure_of(passed, process) from None
        except BaseException:
            process.end()
            raise
        return process

    def _build(self) -> Collected:
        """The files that every execution begins with."""
        if self._build_failure is not None:
            raise self._failed_as(self._build_failure.outcome, self._build_failure.feedback) from None
        if self._ready is None:
            sources = scratch.laid_out(self._files)
            build = self._server.settings.build
            self._ready = Collected(sources, ()) if build is None else self._build_or_reuse(sources, build.command)
        return self._ready

    def _build_or_reuse(self, sources: Mapping[str, bytes], command: tuple[str, ...]) -> Collected:
        key = hashlib.sha256(wire.encode([dict(sources), list(command)])).hexdigest()
        if key not in self._built:
            built = self._run_build(sources, command)
            while len(self._built) >= _MOST_BUILT:
                self._built.pop(next(iter(self._built)))
            self._built[key] = built
        return self._built[key]

    def _run_build(self, sources: Mapping[str, bytes], command: tuple[str, ...]) -> Collected:
        build = self._server.settings.build
        assert build is not None
        limits = build.limits(self.limits)
        process = Process(self._server, {"files": dict(sources), "argv": list(command)}, Held(limits), building=True)
        try:
            process.begin()
            process.pipes.close_input()
            process.wait_until(lambda: False)
            process.completed(check=True)
            return self._server.collect()
        except LimitPassed as passed:
            # Compilers say first what is wrong, and to either stream.
            reason = passed.text.replace("limits.memory_mb", "build.memory_mb").replace("limits.max_proc", "build.max_proc")
            said = (bytes(process.pipes.error) + bytes(process.pipes.output)).decode(errors="replace").strip()[:_TEXT_SHOWN]
            text = f"the program does not build ({' '.join(command)}): {reason}\n{said}".rstrip()
            self._build_failure = self._failed_as(passed.outcome, text, timing_dependent=passed.timing_dependent)
            raise self._build_failure from None
        except ValueError as error:
            text = f"what its build leaves does not fit: {error} (limits.scratch_mb)"
            self._build_failure = self._failed_as(Outcome.INVALID, text)
            raise self._build_failure from None
        finally:
            process.end()
            with suppress(ServerLost):
                self._server.clear()

    def failure_of(self, passed: LimitPassed, process: Process) -> ProgramFailed:
        """Ends a process that has failed; returns what to raise."""
        process.end()
        printed = bytes(process.pipes.error).decode(errors="replace").strip()[-_TEXT_SHOWN:]
        text = f"{passed.text}\nIt printed to standard error:\n{printed}" if printed else passed.text
        return self._failed_as(passed.outcome, text, timing_dependent=passed.timing_dependent)

    def release(self, process: Process) -> None:
        """Ends a process and counts what it has used."""
        process.end()
        if self._running is process:
            self._ended_cpu_s += process.cpu_s
            self._ended_wall_s += process.wall_s
            self._running = None
