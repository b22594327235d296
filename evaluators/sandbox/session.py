"""A conversation with a program that is executed: lines or bytes in both directions."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Self

from evolve.evaluators.base import ProgramFailed
from evolve.evaluators.sandbox.process import Process
from evolve.evaluators.sandbox.watch import LimitPassed
from evolve.program import Outcome


class SandboxedSession:
    """A conversation with an executed process; implements `evolve.evaluators.executed.Session`.

    The process is gone, with everything that it started, when the context is left.
    """

    def __init__(
        self, process: Process, failure_of: Callable[[LimitPassed, Process], ProgramFailed], release: Callable[[Process], None]
    ) -> None:
        """Takes over a process that has begun.

        Args:
            process: The process.
            failure_of: Ends it and says what to raise.
            release: Ends it and counts what it has used.
        """
        self._process = process
        self._failure_of = failure_of
        self._release = release
        self._failure: ProgramFailed | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._release(self._process)

    @property
    def cpu_s(self) -> float:
        return self._process.cpu_s

    @property
    def returncode(self) -> int | None:
        if not self._process.ended and self._process.pipes.ended:
            self._process.end()
        return self._process.returncode

    def send(self, data: str | bytes) -> None:
        self._process.pipes.feed(data.encode() + b"\n" if isinstance(data, str) else data)

    def close_input(self) -> None:
        self._process.pipes.close_input()

    def receive_line(self, timeout_s: float | None = None) -> bytes:
        output = self._process.pipes.output
        seen = 0

        def complete() -> bool:
            nonlocal seen
            found = output.find(b"\n", seen) >= 0
            seen = len(output)
            return found or self._process.pipes.output_ended

        self._wait(complete, timeout_s)
        if not output:
            self._fail_ended()
        line, end, _ = output.partition(b"\n")
        del output[: len(line) + len(end)]
        return bytes(line.removesuffix(b"\r"))

    def receive(self, n_bytes: int, timeout_s: float | None = None) -> bytes:
        limit = self._process.limits.max_reply_mb
        if n_bytes > limit * 2**20:
            raise ValueError(f"{n_bytes} bytes are more than limits.max_reply_mb = {limit} lets a program say at once")
        output = self._process.pipes.output
        self._wait(lambda: len(output) >= n_bytes or self._process.pipes.output_ended, timeout_s)
        if len(output) < n_bytes:
            self._fail_ended()
        received = bytes(output[:n_bytes])
        del output[:n_bytes]
        return received

    def wait(self, timeout_s: float | None = None) -> int:
        pipes = self._process.pipes
        pipes.close_input()

        def drop() -> bool:
            pipes.output.clear()
            return False

        self._wait(drop, timeout_s)
        return self._status()

    def _wait(self, done: Callable[[], bool], timeout_s: float | None) -> None:
        if self._failure is not None:
            failure = self._failure
            raise type(failure)(failure.outcome, failure.feedback, timing_dependent=failure.timing_dependent) from None
        try:
            if not self._process.ended:
                self._process.wait_until(done, timeout_s)
        except LimitPassed as passed:
            self._fail(passed)

    def _fail_ended(self) -> NoReturn:
        """Fails a process that has closed its output, and most likely ended, without the answer that is waited for."""
        if not self._process.wait_for_end():
            self._fail(LimitPassed(Outcome.CRASHED, "the program closed its output before it answered"))
        code = self._status()
        self._fail(LimitPassed(Outcome.CRASHED, f"the program exited with status {code} before it answered"))

    def _status(self) -> int:
        try:
            return self._process.completed(check=False).returncode
        except LimitPassed as passed:
            self._fail(passed)

    def _fail(self, passed: LimitPassed) -> NoReturn:
        self._failure = self._failure_of(passed, self._process)
        raise self._failure from None
