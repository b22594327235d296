"""A program in its sandbox, as an ``evaluate.py`` sees it: calls, deadlines, and what went wrong in words."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NoReturn, Self

from evolve.evaluators.base import ProgramFailed
from evolve.evaluators.calls import Callback
from evolve.evaluators.sandbox import callbacks as callbacks_outside
from evolve.evaluators.sandbox import gpus, scratch, tree, wire
from evolve.evaluators.sandbox.channel import Channel, FrameTooLong
from evolve.evaluators.sandbox.hooks import Line, SandboxedHooks
from evolve.evaluators.sandbox.server import ForkServer, ServerLost, Streams
from evolve.program import Files, Outcome

#: How often a tree is measured while it works. A deadline is noticed this much late at most.
_MEASURE_EVERY_S = 0.05
#: An ending process closes its files a moment before it counts as ended.
_END_AFTER_HANGUP_S = 0.2
#: What making the namespace takes, and the grain of the kernel's clocks, are not the program's.
_NOTICED_S = 0.05
_OUTPUT_SHOWN = 2000
_TEXT_SHOWN = 4000


class SandboxedProgram:
    """One program during one evaluation; implements `evolve.evaluators.base.IsolatedProgram`.

    The process starts at the first call and is gone, with everything that it started, when the context is left.
    """

    def __init__(self, server: ForkServer, files: Files, seed: int) -> None:
        """Prepares; nothing runs yet.

        Args:
            server: Forks the process; serves no other program meanwhile.
            files: The program's source.
            seed: For the program's global generators.
        """
        self._server = server
        self._files = files
        self._seed = seed
        self._limits = server.settings.limits
        self._cpu_limit_s = self._limits.timeout_s
        self._channel: Channel | None = None
        self._pid = 0
        self._failure: ProgramFailed | None = None
        self._measured_cpu_s = 0.0
        self._final_cpu_s: float | None = None
        self._wall_s = 0.0
        self._measure_at = 0.0
        self._memory_kills = 0
        self._counted_before_s: float | None = None
        self._n_calls = 0
        self._in_callback = False
        self._hooked = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    @property
    def files(self) -> Files:
        return self._files

    @property
    def cpu_s(self) -> float:
        if self._final_cpu_s is not None:
            return self._final_cpu_s
        if self._channel is None:
            return 0.0
        return max(self._measured_cpu_s, self._used_s(tree.usage_below(self._server.pid)))

    @property
    def failure(self) -> ProgramFailed | None:
        """How it failed, once it has."""
        return self._failure

    @contextmanager
    def limited_to(self, cpu_s: float | None) -> Iterator[None]:
        """Holds the program to fewer CPU seconds, from its start, inside the context; None for as many as its limits say."""
        before = self._cpu_limit_s
        self._cpu_limit_s = min(before, cpu_s if cpu_s is not None else before)
        try:
            yield
        finally:
            self._cpu_limit_s = before

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
        if self._final_cpu_s is not None:
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
        self._pid = child.pid
        self._memory_kills = self._server.memory_kills
        self._counted_before_s = self._server.counted_cpu_s
        self._channel = Channel(child.channel, output, child.process, self._limits.max_reply_mb * 2**20)
        orders = {"files": contents, "seed": self._seed, "entry": self._server.settings.entry}
        self._channel.send(wire.encode(orders | {"gpu_fraction": gpus.memory_fraction(self._limits)}))
        self._measure_at = time.monotonic() + _MEASURE_EVERY_S

    def _ask(self, function: str, request: bytes, descriptor: int = -1, *, quick: bool = False) -> bytes:
        """Sends a message and waits for the next one of the program, whose time this is; eagerly for a ``quick`` answer."""
        started = time.monotonic()
        try:
            payload = self._exchange(request, descriptor, started, quick=quick)
        except FrameTooLong as error:
            size, limit = error.size_bytes / 2**20, self._limits.max_reply_mb
            what = f"the answer of {function}, or what it sends to a callback,"
            self._fail(Outcome.INVALID, f"{what} has {size:.1f} MB, more than limits.max_reply_mb = {limit}")
        finally:
            self._wall_s += time.monotonic() - started
        if payload is None:
            self._fail_ended()
        return payload

    def _exchange(self, request: bytes, descriptor: int, started: float, *, quick: bool) -> bytes | None:
        """Sends a message and waits for one, measuring meanwhile; None when the process ended instead."""
        assert self._channel is not None
        self._channel.send(request, descriptor)
        deadline = started + max(self._limits.wall_s - self._wall_s, 0.0)
        if quick:
            self._channel.spin()
        while True:
            now = time.monotonic()
            if now >= deadline:
                # CPU time first: it does not hang on the machine's load.
                self._check_cpu(tree.usage_below(self._server.pid))
                self._fail(Outcome.TIMED_OUT, self._wall_text(), timing_dependent=True)
            if now >= self._measure_at:
                self._measure()
            if self._channel.pump(min(deadline, self._measure_at) - now):
                # Quick calls in great number are never caught measuring.
                if tree.own_cpu_s(self._pid) > self._cpu_limit_s:
                    self._fail(Outcome.TIMED_OUT, self._cpu_text())
                payload = self._channel.take()
                if payload is not None and self._channel.unsent:
                    # Or what it never reads would pile up here.
                    self._fail(Outcome.INVALID, "the program answered before it had read what it was sent")
                return payload

    def _wall_text(self) -> str:
        return (
            f"no answer within {self._limits.wall_s:g} s of wall-clock time, with {self.cpu_s:.2f} s of CPU time used; "
            "does the program wait for something?"
        )

    def _cpu_text(self) -> str:
        return f"used more than {self._cpu_limit_s:g} s of CPU time"

    def _measure(self) -> None:
        """Looks at the whole tree and fails the program if it is over a limit."""
        usage = tree.usage_below(self._server.pid)
        left_s = self._check_cpu(usage)
        limit = self._limits.max_processes
        threads = usage.threads - self._server.strong
        if threads > limit:
            self._fail(Outcome.CRASHED, f"{threads} processes and threads at once; limits.max_processes = {limit}")
        if self._server.memory_group and self._server.memory_kills > self._memory_kills:
            self._fail(Outcome.OUT_OF_MEMORY, self._memory_text())
        look_s = self._look_at_memory(usage)
        # With n threads the CPU limit cannot be reached sooner than in 1/n of what is left.
        self._measure_at = time.monotonic() + max(min(_MEASURE_EVERY_S, left_s / max(usage.threads, 1)), 0.002, look_s)

    def _check_cpu(self, usage: tree.Usage) -> float:
        """Fails the program if its tree is over its CPU limit; returns the seconds that it has left."""
        # Processes that are waited for late, or never, must not lower the count.
        self._measured_cpu_s = max(self._measured_cpu_s, self._used_s(usage))
        left_s = self._cpu_limit_s - self._measured_cpu_s
        if left_s <= 0:
            self._fail(Outcome.TIMED_OUT, self._cpu_text())
        return left_s

    def _used_s(self, usage: tree.Usage) -> float:
        """CPU seconds of the tree, with those of processes that nobody waited for, where the kernel has counted them."""
        counted = self._server.counted_cpu_s
        if counted is None or self._counted_before_s is None:
            return usage.cpu_s
        missing = counted - self._counted_before_s - usage.cpu_s
        return usage.cpu_s + missing if missing > _NOTICED_S else usage.cpu_s

    def _look_at_memory(self, usage: tree.Usage) -> float:
        """Fails the program if its tree is over its memory; returns how many seconds looking took."""
        memory_bytes = self._limits.memory_mb * 2**20
        if usage.rss_bytes <= memory_bytes:
            return 0.0
        started = time.monotonic()
        # A program can make this slow; it must not gain time by it.
        if tree.proportional_bytes(usage.pids, until=started + _MEASURE_EVERY_S) > memory_bytes:
            self._fail(Outcome.OUT_OF_MEMORY, self._memory_text())
        return time.monotonic() - started

    def _memory_text(self) -> str:
        return f"used more memory than limits.memory_mb = {self._limits.memory_mb} allows"

    def _fail_reply(self, function: str, reply: object) -> NoReturn:
        """Fails a program for a reply that is not an answer. The program may have forged it: nothing in it is relied on."""
        match reply:
            case [str(step), str(kind), str(text)] if step in ("raised", "load"):
                if kind == "MemoryError":
                    self._fail(Outcome.OUT_OF_MEMORY, f"{self._memory_text()}\n{text[-_TEXT_SHOWN:]}")
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
        if status is None:
            self._fail(Outcome.CRASHED, "the program took its sandbox down")
        if not os.WIFSIGNALED(status):
            self._fail(Outcome.CRASHED, f"the program exited with status {os.waitstatus_to_exitcode(status)} before it answered")
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            self._fail(Outcome.TIMED_OUT, self._cpu_text())
        if number == signal.SIGKILL and self._server.memory_kills > self._memory_kills:
            if self._server.memory_group:
                self._fail(Outcome.OUT_OF_MEMORY, self._memory_text())
            self._fail(Outcome.OUT_OF_MEMORY, "the machine ran out of memory", timing_dependent=True)
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        self._fail(Outcome.CRASHED, f"the program was ended by {name}")

    def _fail(self, outcome: Outcome, text: str, *, timing_dependent: bool = False) -> NoReturn:
        self._end()
        printed = self._channel.output_tail(_OUTPUT_SHOWN) if self._channel is not None else ""
        feedback = f"{text.rstrip()}\nIt printed:\n{printed.rstrip()}" if printed.strip() else text.rstrip()
        self._failure = ProgramFailed(outcome, feedback, timing_dependent=timing_dependent)
        self._raise(self._failure)

    def _raise(self, failure: ProgramFailed) -> NoReturn:
        # A new one each time: a raised exception collects tracebacks.
        raise ProgramFailed(failure.outcome, failure.feedback, timing_dependent=failure.timing_dependent) from None

    def _end(self) -> int | None:
        """Has the whole tree killed; returns the process's wait status, None if even the server was gone."""
        if self._channel is None or self._final_cpu_s is not None:
            return None
        status = None
        # What is killed with its process-id namespace is not in any wait status.
        self._measured_cpu_s = max(self._measured_cpu_s, self._used_s(tree.usage_below(self._server.pid)))
        self._final_cpu_s = self._measured_cpu_s
        with suppress(ServerLost):
            ended = self._server.end()
            status, self._final_cpu_s = ended.status, max(ended.cpu_s, self._measured_cpu_s)
            self._server.clear()
        self._channel.close()
        return status
