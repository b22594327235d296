"""The worker's end of a fork server: starts it, asks it for children, has them swept away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from evolve.errors import TaskError
from evolve.evaluators.sandbox import confinement, scratch, tree, wire
from evolve.evaluators.sandbox.cgroup import MemoryGroup
from evolve.evaluators.sandbox.launch import launch
from evolve.evaluators.sandbox.levels import require_level
from evolve.program import Build, Isolation, Limits

#: Preloading may mean importing torch from a cold disk.
_START_TIMEOUT_S = 120.0
#: Forking takes milliseconds; a program at level ``process`` may have stopped the server.
_ANSWER_TIMEOUT_S = 5.0
_COLLECT_TIMEOUT_S = 30.0
_MAX_SIBLINGS = 7
_MESSAGE_BYTES = 2**16


class ServerLost(Exception):
    """The fork server died or does not answer any more."""


class Child(NamedTuple):
    """A confined process in which nothing of the program has run yet: it waits for its orders (see ``serve.py``).

    Attributes:
        pid: Its process id; not reused until `ForkServer.end`.
        process: A descriptor of the process, the caller's to close.
        channel: Carries frames, non-blocking, the caller's to close.
    """

    pid: int
    process: int
    channel: socket.socket


class Streams(NamedTuple):
    """Standard input, output and error of a child; the caller's to close."""

    stdin: int
    stdout: int
    stderr: int


class Collected(NamedTuple):
    """The regular files of a scratch folder.

    Attributes:
        files: Their contents, by relative path.
        executable: Which of them may be run.
    """

    files: dict[str, bytes]
    executable: tuple[str, ...]


class Ended(NamedTuple):
    """What was left of a child.

    Attributes:
        status: As ``waitpid`` has it; SIGKILL if it was still running.
        cpu_s: CPU seconds of its whole tree.
    """

    status: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """What is the same for all evaluations of a task.

    Attributes:
        entry: Path of the file that calls go to, among the program's files.
        limits: Of one evaluation.
        isolation: The level that programs run at.
        hidden: Folders that no program may read, such as the task's.
        keep_open: Descriptors that the server holds until it is gone, so that somebody else can tell.
        build: How programs are built before they are executed.
        command: What is executed.
    """

    entry: str
    limits: Limits
    isolation: Isolation
    hidden: tuple[Path, ...] = ()
    keep_open: tuple[int, ...] = ()
    build: Build | None = None
    command: tuple[str, ...] = ()


class ForkServer:
    """A warm interpreter and a scratch folder, for one program at a time. Starts anew by itself when it was lost."""

    def __init__(self, settings: SandboxSettings, number: int = 0) -> None:
        """Starts nothing yet.

        Args:
            settings: What is the same for all programs.
            number: Tells it from the other fork servers of this process, whose programs must not be the same user.
        """
        self.settings = settings
        self._number = number
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._scratch = Path()
        self._pid = 0
        self._others = -1
        self._group: MemoryGroup | None = None
        self._siblings: list[tuple[ForkServer, dict[str, Collected]]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process id, as this process sees it; 0 while it is not running."""
        return self._pid

    @property
    def strong(self) -> bool:
        """Whether it lives in namespaces of its own, with a process of ours above each program."""
        return self.settings.isolation is Isolation.STRONG

    @property
    def memory_kills(self) -> int:
        """How many processes the kernel has ended for the limit on the tree's memory, or for want of it on the machine."""
        return self._group.kills() if self._group is not None else tree.out_of_memory_kills()

    @property
    def counted_cpu_s(self) -> float | None:
        """CPU seconds that the kernel has counted for all programs so far; None where it does not count them."""
        counted = self._group.cpu_s() if self._group is not None else None
        return None if counted is None else counted - tree.own_cpu_s(self._pid)

    @property
    def memory_group(self) -> bool:
        """Whether the kernel limits the memory of the whole tree, not only whoever measures it."""
        return self._group is not None

    def sibling(self, index: int) -> tuple[ForkServer, dict[str, Collected]]:
        """Another server of the same settings, with what builds in it have left; both last as long as this server."""
        while len(self._siblings) <= index:
            number = self._number * _MAX_SIBLINGS + len(self._siblings) + 1
            if len(self._siblings) >= _MAX_SIBLINGS:
                raise ValueError(f"a program can have {_MAX_SIBLINGS} siblings at most")
            self._siblings.append((ForkServer(self.settings, number), {}))
        return self._siblings[index]

    def start(self) -> None:
        """Starts the interpreter and waits until it is warm.

        Raises:
            IsolationError: If the level is not available.
            TaskError: If a module of ``limits.preload`` cannot be imported.
        """
        require_level(self.settings.isolation)
        try:
            self._launch()
            answer = self._receive(_START_TIMEOUT_S)[0]
        except ServerLost as lost:
            self.close()
            raise TaskError(f"the sandbox's interpreter did not start: {lost}") from lost
        if answer[0] != "ready":
            self.close()
            raise TaskError(str(answer[1]))
        assert self._process is not None
        self._scratch = Path() if self.strong else Path(answer[1])
        # Bubblewrap stays above it, to notice this process's death.
        self._pid = tree.children_of(self._process.pid)[0] if self.strong else self._process.pid
        if self.strong:
            self._group = MemoryGroup.make(self.settings.limits.memory_mb + self.settings.limits.scratch_mb)
            if self._group is not None and not self._group.take(self._pid):
                self._group.remove()
                self._group = None

    def fork(self, streams: Streams, *, interpreter: bool = True, limits: Limits | None = None) -> Child:
        """Has a child forked and confined.

        Args:
            streams: What it reads and writes.
            interpreter: Whether a program is going to run in the warm interpreter; otherwise in one of its own.
            limits: What it is held to; None is what the settings say.

        Raises:
            ServerLost: If the server cannot do so any more; the next call starts another one.
        """
        if self._process is None:
            self.start()
        channel, theirs = socket.socketpair()
        try:
            wanted = limits or self.settings.limits
            if self._group is not None:
                self._group.limit(wanted.memory_mb + wanted.scratch_mb)
            self._send(["fork", interpreter, confinement.kernel_limits(wanted, self._others)], [theirs.fileno(), *streams])
            answer, descriptors = self._receive(_ANSWER_TIMEOUT_S)
            theirs.close()
            if not descriptors:
                raise self._lost(f"it cannot fork: {answer[1]}")
            self._await_confined(channel)
        except BaseException:
            channel.close()
            raise
        finally:
            theirs.close()
        channel.setblocking(False)
        return Child(_pid_of(descriptors[0]), descriptors[0], channel)

    def end(self) -> Ended:
        """Kills and reaps whatever the last child has left; its files stay.

        Raises:
            ServerLost: If the server cannot do so any more; the next `fork` starts another one.
        """
        self._send(["end"])
        answer = self._receive(_ANSWER_TIMEOUT_S)[0]
        return Ended(int(answer[1]), float(answer[2]))

    def collect(self) -> Collected:
        """Reads the scratch folder after the last child has ended; links, pipes and the like are left out.

        Raises:
            ValueError: If there is more in it than ``limits.scratch_mb``.
            ServerLost: See `end`.
        """
        self._send(["collect", self.settings.limits.scratch_mb * 2**20])
        answer, descriptors = self._receive(_COLLECT_TIMEOUT_S)
        if not descriptors:
            raise ValueError(answer[1])
        with os.fdopen(descriptors[0], "rb") as file:
            file.seek(0)
            # Its own child wrote the names and contents, but the server the message.
            files, executable = wire.decode(file.read())
        return Collected(files, tuple(executable))

    def clear(self) -> None:
        """Empties the scratch folder after the last child of a program.

        Raises:
            ServerLost: See `end`.
        """
        if self.settings.limits.gpus > 0:
            self.close()  # what a driver keeps for a process is not for the next program
        elif self.strong:
            self._send(["clear"])
            self._receive(_ANSWER_TIMEOUT_S)
        else:
            try:
                scratch.empty(self._scratch)
            except OSError as error:
                raise self._lost(f"its scratch folder cannot be emptied: {error}") from error

    def close(self) -> None:
        """Ends the server with everything below it, and its siblings, and deletes the scratch folder."""
        for sibling, _ in self._siblings:
            sibling.close()
        self._siblings.clear()
        self._pid = 0
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(_ANSWER_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._group is not None:
            self._group.remove()
            self._group = None
        if self._scratch.name:
            # For a server that was killed by its program; otherwise it has done so itself.
            scratch.remove(self._scratch)
            self._scratch = Path()

    def _launch(self) -> None:
        settings = self.settings
        launched = launch(
            settings.limits, settings.isolation, number=self._number, hidden=settings.hidden, keep_open=settings.keep_open
        )
        self._process, self._control, self._others = launched.process, launched.control, launched.others
        self._send_bytes(launched.libraries)
        self._send(launched.orders)

    def _await_confined(self, channel: socket.socket) -> None:
        """Waits until a child has given up what it is to give up; nothing of a program has run in it so far."""
        channel.settimeout(_ANSWER_TIMEOUT_S)
        try:
            payload = wire.read_frame(channel.recv, _MESSAGE_BYTES)
        except (OSError, wire.Malformed) as error:
            raise self._lost(f"a child of it does not begin: {error}") from error
        answer = wire.decode(payload) if payload is not None else ["refused", "a child of it ended before it began"]
        if answer != ["confined"]:
            raise self._lost(str(answer[-1]))

    def _send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        self._send_bytes(wire.encode(message), descriptors)

    def _send_bytes(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        if self._control is None:
            raise ServerLost("it is not running")
        try:
            socket.send_fds(self._control, [message], descriptors)
        except OSError as error:
            raise self._lost(f"its socket is closed ({error.strerror})") from error

    def _receive(self, timeout_s: float) -> tuple[list[Any], list[int]]:  # Any: plain data; the server is trusted
        """Reads one answer and the descriptors that came along."""
        assert self._control is not None
        self._control.settimeout(timeout_s)
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, 1)
        except TimeoutError:
            raise self._lost(f"it does not answer within {timeout_s:.0f} s") from None
        except OSError as error:
            raise self._lost(f"its socket is closed ({error.strerror})") from error
        if not message:
            raise self._lost("it died")
        answer: list[Any] = wire.decode(message)  # Any: see above
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return answer, descriptors

    def _lost(self, why: str) -> ServerLost:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        self.close()
        return ServerLost(why)


def _pid_of(process: int) -> int:
    """The id that a process has in this namespace; 0 if it is gone already."""
    for line in Path(f"/proc/self/fdinfo/{process}").read_text().splitlines():
        if line.startswith("Pid:"):
            return max(int(line.split()[1]), 0)
    return 0


def sweep_strangers(servers: Collection[int] = ()) -> None:
    """Kills the children of this process that belong to another session.

    For a worker whose fork server was killed by its program: the orphans come to the worker, which must be their reaper
    (``PR_SET_CHILD_SUBREAPER``). What the evaluator started itself is in the worker's session.

    Args:
        servers: Process ids of the fork servers that are still at work.
    """
    mine = tree.session_of(os.getpid())

    def is_stranger(pid: int) -> bool:
        return pid not in servers and tree.session_of(pid) not in (mine, 0)

    while strangers := [pid for pid in tree.children_of(os.getpid()) if is_stranger(pid)]:
        for pid in strangers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
