"""A program in its sandbox, as an ``evaluate.py`` sees it: calls, deadlines, and what went wrong in words."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NoReturn, Self

from evolve.evaluators.base import ProgramFailed, SiblingFailed
from evolve.evaluators.calls import Callback
from evolve.evaluators.executed import Completed
from evolve.evaluators.sandbox import callbacks as callbacks_outside
from evolve.evaluators.sandbox import gpus, scratch, wire
from evolve.evaluators.sandbox.channel import Channel, FrameTooLong
from evolve.evaluators.sandbox.crossing import Line
from evolve.evaluators.sandbox.execution import Executions, Order
from evolve.evaluators.sandbox.hooks import SandboxedHooks
from evolve.evaluators.sandbox.server import Collected, ForkServer, ServerLost, Streams
from evolve.evaluators.sandbox.session import SandboxedSession
from evolve.evaluators.sandbox.watch import LimitPassed, Watch
from evolve.program import Files, Outcome

#: An ending process closes its files a moment before it counts as ended.
_END_AFTER_HANGUP_S = 0.2
_OUTPUT_SHOWN = 2000
_TEXT_SHOWN = 4000


class SandboxedProgram:
    """One program during one evaluation; implements `evolve.evaluators.base.IsolatedProgram`.

    The process starts at the first call and is gone, with everything that it started, when the context is left.
    """

    def __init__(
        self,
        server: ForkServer,
        files: Files,
        seed: int,
        *,
        built: dict[str, Collected] | None = None,
        failed_as: type[ProgramFailed] = ProgramFailed,
    ) -> None:
        """Prepares; nothing runs yet.

        Args:
            server: Forks the process; serves no other program meanwhile.
            files: The program's source.
            seed: For the program's global generators.
            built: What earlier builds of the same sources left, to be used again and added to.
            failed_as: What is raised when it fails.
        """
        self._server = server
        self._files = files
        self._seed = seed
        self._limits = server.settings.limits
        self._failed_as = failed_as
        self._channel: Channel | None = None
        self._watch: Watch | None = None
        self._failure: ProgramFailed | None = None
        self._wall_s = 0.0
        self._executions = Executions(server, files, {} if built is None else built, failed_as)
        self._siblings: list[SandboxedProgram] = []
        self._n_calls = 0
        self._in_callback = False
        self._hooked = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()
        self._executions.close()
        for sibling in self._siblings:
            sibling.__exit__(None, None, None)

    @property
    def files(self) -> Files:
        return self._files

    @property
    def cpu_s(self) -> float:
        return self._executions.cpu_s + (self._watch.cpu_s if self._watch is not None else 0.0)

    @property
    def failure(self) -> ProgramFailed | None:
        """How it failed, once it has."""
        return self._failure

    @contextmanager
    def limited_to(self, cpu_s: float | None) -> Iterator[None]:
        """Holds the program to fewer CPU seconds, from its start, inside the context; None for as many as its limits say."""
        before = self._executions.cpu_limit_s
        self._allow(min(before, cpu_s if cpu_s is not None else before))
        try:
            yield
        finally:
            self._allow(before)

    def _allow(self, cpu_s: float) -> None:
        self._executions.cpu_limit_s = cpu_s
        if self._watch is not None:
            self._watch.allow(cpu_s)

    def call(
        self,
        function: str,
        *args: Any,  # Any: see IsolatedProgram
        callbacks: Mapping[str, Callback | Callable[..., Any]] | None = None,
        **kwargs: Any,
    ) -> Any:
        self._require_alive()
        self._n_calls += 1
        lent = callbacks_outside.Lent(callbacks or {}, self._n_calls, kwargs)
        request = wire.encode(["call", function, args, kwargs, self._n_calls, lent.names])
        if self._channel is None:
            self._start()
        payload = self._ask(function, request)
        while callbacks_outside.is_request(message := self._decode(function, payload)):
            payload = self._ask(function, self._run_callback(lent, message, len(payload)), quick=True)
        return self._value(function, message)

    def execute(
        self,
        args: Sequence[str] = (),
        stdin: str | bytes = b"",
        files: Mapping[str, str | bytes] | None = None,
        *,
        timeout_s: float | None = None,
        check: bool = True,
    ) -> Completed:
        self._require_executable()
        order = Order(tuple(args), dict(files or {}), timeout_s)
        return self._executions.execute(order, stdin.encode() if isinstance(stdin, str) else stdin, check=check)

    def session(self, args: Sequence[str] = (), files: Mapping[str, str | bytes] | None = None) -> SandboxedSession:
        self._require_executable()
        return self._executions.session(Order(tuple(args), dict(files or {})))

    def sibling(self, files: Files) -> SandboxedProgram:
        server, built = self._server.sibling(len(self._siblings))
        sibling = SandboxedProgram(server, files, self._seed, built=built, failed_as=SiblingFailed)
        self._siblings.append(sibling)
        return sibling

    def _require_executable(self) -> None:
        self._require_alive()
        if self._channel is not None:
            raise RuntimeError("the program's process waits for calls; execute it before, or as a program.sibling(program.files)")

    def hooks(self, *, shared_mb: int = 64) -> SandboxedHooks:
        self._require_alive()
        if self._hooked:
            raise RuntimeError("hooks of this program are open already: bind all functions to one memory, or leave its context")
        line = Line(
            ask=self._ask_for_hooks,
            wake=self._wake,
            value=lambda function, payload: self._value(function, self._decode(function, payload)),
            fail=lambda text: self._fail(Outcome.INVALID, text),
            closed=self._unhook,
        )
        hooks = SandboxedHooks(line, shared_mb)
        self._hooked = True
        return hooks

    def _ask_for_hooks(self, function: str, request: bytes, descriptor: int) -> bytes:
        self._require_alive()
        if self._channel is None:
            self._start()
        return self._ask(function, request, descriptor)

    def _wake(self, function: str, request: bytes) -> bytes:
        self._require_alive()
        return self._ask(function, request, quick=True)

    def _unhook(self) -> None:
        self._hooked = False

    def _require_alive(self) -> None:
        if self._failure is not None:
            self._raise(self._failure)
        if self._in_callback:
            raise RuntimeError("a callback cannot call the program, which waits for it")
        if self._watch is not None and self._watch.ended:
            raise RuntimeError("the program was ended: its evaluation is over, or a callback raised an exception")

    def _run_callback(self, lent: callbacks_outside.Lent, message: object, size_bytes: int) -> bytes:
        """Does what the program asked for; returns what it is to be told. Its time is not the program's."""
        try:
            request = lent.admit(message, size_bytes)
        except callbacks_outside.Overstepped as overstepped:
            self._fail(Outcome.INVALID, str(overstepped))
        self._in_callback = True
        try:
            return request.run()
        except BaseException:
            self._end()
            raise
        finally:
            self._in_callback = False

    def _decode(self, function: str, payload: bytes) -> Any:  # Any: as the program sent it
        try:
            return wire.decode(payload)
        except wire.Malformed as error:
            self._fail(Outcome.INVALID, f"the answer of {function} cannot be read: {error}")

    def _value(self, function: str, reply: Any) -> Any:  # Any: as the program sent it
        # The types come first: comparing an array gives an array.
        if not (type(reply) is list and len(reply) == 2 and type(reply[0]) is str and reply[0] == "ok"):
            self._fail_reply(function, reply)
        return reply[1]

    def _start(self) -> None:
        if self._executions.busy:
            raise RuntimeError("a session of the program is open; leave it before calling the program")
        contents = scratch.laid_out(self._files)
        null = os.open(os.devnull, os.O_RDONLY)
        output, printed = os.pipe()
        try:
            child = self._server.fork(Streams(null, printed, printed))
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(null)
            os.close(printed)
        os.set_blocking(output, False)
        self._watch = Watch(self._server, child.pid, self._limits, self._executions.cpu_s)
        self._watch.allow(self._executions.cpu_limit_s)
        self._channel = Channel(child.channel, output, child.process, self._limits.max_reply_mb * 2**20)
        orders = {"files": contents, "seed": self._seed, "entry": self._server.settings.entry}
        self._channel.send(wire.encode(orders | {"gpu_fraction": gpus.memory_fraction(self._limits)}))

    def _ask(self, function: str, request: bytes, descriptor: int = -1, *, quick: bool = False) -> bytes:
        """Sends a message and waits for the next one of the program, whose time this is; eagerly for a ``quick`` answer."""
        started = time.monotonic()
        try:
            payload = self._exchange(request, descriptor, started, quick=quick)
        except FrameTooLong as error:
            size, limit = error.size_bytes / 2**20, self._limits.max_reply_mb
            what = f"the answer of {function}, or what it sends to a callback,"
            self._fail(Outcome.INVALID, f"{what} has {size:.1f} MB, more than limits.max_reply_mb = {limit}")
        except LimitPassed as passed:
            self._fail_at(passed)
        finally:
            self._wall_s += time.monotonic() - started
        if payload is None:
            self._fail_ended()
        return payload

    def _exchange(self, request: bytes, descriptor: int, started: float, *, quick: bool) -> bytes | None:
        """Sends a message and waits for one, measuring meanwhile; None when the process ended instead."""
        assert self._channel is not None
        assert self._watch is not None
        self._channel.send(request, descriptor)
        deadline = started + max(self._limits.wall_s - self._wall_s - self._executions.wall_s, 0.0)
        if quick:
            self._channel.spin()
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise self._watch.late(self._limits.wall_s)
            if now >= self._watch.next_at:
                self._watch.look()
            if self._channel.pump(min(deadline, self._watch.next_at) - now):
                self._watch.glance()
                payload = self._channel.take()
                if payload is not None and self._channel.unsent:
                    # Or what it never reads would pile up here.
                    self._fail(Outcome.INVALID, "the program answered before it had read what it was sent")
                return payload

    def _fail_reply(self, function: str, reply: object) -> NoReturn:
        """Fails a program for a reply that is not an answer. The program may have forged it: nothing in it is relied on."""
        assert self._watch is not None
        match reply:
            case [str(step), str(kind), str(text)] if step in ("raised", "load"):
                if kind == "MemoryError":
                    self._fail(Outcome.OUT_OF_MEMORY, f"{self._watch.memory_text()}\n{text[-_TEXT_SHOWN:]}")
                where = "while the program was loaded" if step == "load" else f"in {function}"
                refused = kind == "BlockingIOError" or "can't start new thread" in text
                limit = f"(limits.max_processes = {self._limits.max_processes})\n" if refused else ""
                self._fail(Outcome.CRASHED, f"an exception {where}:\n{limit}{text[-_TEXT_SHOWN:]}")
            case [str(step), str(why)] if step == "unsendable":
                self._fail(Outcome.INVALID, f"the answer of {function} cannot be sent: {why[:_TEXT_SHOWN]}")
            case [str(step), str(why)] if step == "unfit":
                self._fail(Outcome.INVALID, f"{function} returned {why[:_TEXT_SHOWN]}")
            case [str(step), *_] if step == "callback":
                self._fail(Outcome.INVALID, f"{function} called a callback; hooks have none")
            case [str(step), list(names)] if step == "missing":
                known = ", ".join(name[:100] for name in names[:20] if isinstance(name, str)) or "none"
                entry = self._server.settings.entry
                self._fail(Outcome.INVALID, f"{entry} has no function {function!r}; functions and classes in it: {known}")
        self._fail(Outcome.INVALID, f"the answer of {function} is not in the protocol: a {type(reply).__name__}")

    def _fail_ended(self) -> NoReturn:
        """Fails a program whose process ended before it answered; says how."""
        assert self._channel is not None
        ended = self._channel.wait_for_end(_END_AFTER_HANGUP_S)
        status = self._end()
        if not ended:
            self._fail(Outcome.CRASHED, "the program closed its connection before it answered")
        assert self._watch is not None
        verdict = self._watch.verdict(status)
        if verdict is None and status is not None:
            code = os.waitstatus_to_exitcode(status)
            verdict = LimitPassed(Outcome.CRASHED, f"the program exited with status {code} before it answered")
        assert verdict is not None
        self._fail_at(verdict)

    def _fail_at(self, passed: LimitPassed) -> NoReturn:
        self._fail(passed.outcome, passed.text, timing_dependent=passed.timing_dependent)

    def _fail(self, outcome: Outcome, text: str, *, timing_dependent: bool = False) -> NoReturn:
        self._end()
        printed = self._channel.output_tail(_OUTPUT_SHOWN) if self._channel is not None else ""
        feedback = f"{text.rstrip()}\nIt printed:\n{printed.rstrip()}" if printed.strip() else text.rstrip()
        self._failure = self._failed_as(outcome, feedback, timing_dependent=timing_dependent)
        self._raise(self._failure)

    def _raise(self, failure: ProgramFailed) -> NoReturn:
        # A new one each time: a raised exception collects tracebacks.
        raise self._failed_as(failure.outcome, failure.feedback, timing_dependent=failure.timing_dependent) from None

    def _end(self) -> int | None:
        """Has the whole tree killed; returns the process's wait status, None if even the server was gone."""
        if self._channel is None or self._watch is None or self._watch.ended:
            return None
        status = self._watch.end()
        if status is not None:
            with suppress(ServerLost):
                self._server.clear()
        self._channel.close()
        return status
