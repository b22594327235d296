"""The worker's end of a fork server: starts it, asks it for children, has them swept away."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, NamedTuple, Self

from evolve.errors import TaskError
from evolve.evaluators.sandbox import landlock, tree, visible, wire
from evolve.evaluators.sandbox.levels import require_level
from evolve.program import Files, Isolation, Limits

_RUNNER = Path(__file__).with_name("runner.py")
#: Preloading may mean importing torch from a cold disk.
_START_TIMEOUT_S = 120.0
#: Forking takes milliseconds; a program at level ``process`` may have stopped the server.
_ANSWER_TIMEOUT_S = 5.0
_MESSAGE_BYTES = 2**16
_ONE_THREAD = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS")
#: They map more address space than they use, by tens of gigabytes.
_LARGE_ADDRESS_SPACE = frozenset(("torch", "jax", "tensorflow", "cupy"))
#: Non-root users have other processes, which RLIMIT_NPROC counts as well; the limit is only there to stop a runaway.
_SPARE_USER_PROCESSES = 1000


class ServerLost(Exception):
    """The fork server died or does not answer any more."""


class Child(NamedTuple):
    """A forked process in which nothing of the program has run yet.

    Attributes:
        pid: Its process id; not reused until `ForkServer.end`.
        channel: Carries calls and answers, the caller's to close.
        output: Where what it prints can be read, the caller's to close.
    """

    pid: int
    channel: socket.socket
    output: int


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
    """

    entry: str
    limits: Limits
    isolation: Isolation
    hidden: tuple[Path, ...] = ()
    keep_open: tuple[int, ...] = ()


class ForkServer:
    """A warm interpreter and a scratch folder, for one evaluation at a time. Starts anew by itself when it was lost."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._scratch = Path()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process id; 0 while it is not running."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Starts the interpreter and waits until it is warm.

        Raises:
            IsolationError: If the level is not available.
            TaskError: If a module of ``limits.preload`` cannot be imported.
        """
        require_level(self.settings.isolation)
        # Resolved: Landlock and the runner compare real paths.
        self._scratch = Path(tempfile.mkdtemp(prefix="evolve-")).resolve()
        ruleset = -1
        if self.settings.isolation is Isolation.LANDLOCK:
            ruleset = landlock.make_ruleset(visible.rules(self._scratch, self.settings.hidden))
        try:
            self._launch(ruleset)
            answer = self._receive(_START_TIMEOUT_S)
        except ServerLost as lost:
            self.close()
            raise TaskError(f"the sandbox's interpreter did not start: {lost}") from lost
        finally:
            if ruleset >= 0:
                os.close(ruleset)
        if answer[0] != "ready":
            self.close()
            raise TaskError(str(answer[1]))

    def fork(self, files: Files, seed: int) -> Child:
        """Writes the program's files into the scratch folder and forks a child that is about to load them.

        Raises:
            ServerLost: If the server cannot do so any more; the next call starts another one.
            ValueError: If a path leads out of the folder.
        """
        if self._process is None:
            self.start()
        _write(files, self._scratch)
        channel, theirs = socket.socketpair()
        output, their_output = os.pipe()
        try:
            self._send(["fork", seed], [theirs.fileno(), their_output])
            answer = self._receive(_ANSWER_TIMEOUT_S)
        except BaseException:
            channel.close()
            os.close(output)
            raise
        finally:
            theirs.close()
            os.close(their_output)
        os.set_blocking(output, False)
        channel.setblocking(False)
        return Child(int(answer[1]), channel, output)

    def end(self) -> Ended:
        """Kills and reaps whatever the last child has left, and empties the scratch folder.

        Raises:
            ServerLost: If the server cannot do so any more; the next `fork` starts another one.
        """
        self._send(["end"])
        answer = self._receive(_ANSWER_TIMEOUT_S)
        _empty(self._scratch)
        return Ended(int(answer[1]), float(answer[2]))

    def close(self) -> None:
        """Ends the server with everything below it, and deletes the scratch folder."""
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
        if self._scratch.name:
            # The server deletes it as well, for a worker that is killed.
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = Path()

    def _launch(self, ruleset: int) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            kept = (*self.settings.keep_open, *([ruleset] if ruleset >= 0 else []))
            # Not -I: it would ignore PYTHONHASHSEED, the one Python variable in the scrubbed environment.
            options = ["-s", "-S", "-P", "-B"]
            self._process = subprocess.Popen(
                [sys.executable, *options, str(_RUNNER), str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                env=_environment(self._scratch),
                cwd=self._scratch,
                pass_fds=(theirs.fileno(), *kept),
                start_new_session=True,
            )
        self._control.send("\0".join(map(str, visible.site_packages())).encode())
        self._send(self._runner_settings(ruleset))

    def _runner_settings(self, ruleset: int) -> dict[str, Any]:  # Any: plain data
        limits = self.settings.limits
        large = limits.gpus > 0 or not _LARGE_ADDRESS_SPACE.isdisjoint(limits.preload)
        return {
            "preload": list(limits.preload),
            "scratch": str(self._scratch),
            "entry": self.settings.entry,
            "ruleset": ruleset,
            "timeout_s": limits.timeout_s,
            "memory_mb": limits.memory_mb,
            "max_processes": limits.max_processes,
            "limit_address_space": not large,
            # The kernel applies no such limit to root.
            "user_processes": _user_processes() + limits.max_processes + _SPARE_USER_PROCESSES if os.getuid() else 0,
        }

    def _send(self, message: object, descriptors: list[int] | None = None) -> None:
        if self._control is None:
            raise ServerLost("it is not running")
        try:
            socket.send_fds(self._control, [wire.encode(message)], descriptors or [])
        except OSError as error:
            raise self._lost(f"its socket is closed ({error.strerror})") from error

    def _receive(self, timeout_s: float) -> list[Any]:  # Any: plain data; the server is trusted
        assert self._control is not None
        self._control.settimeout(timeout_s)
        try:
            message = self._control.recv(_MESSAGE_BYTES)
        except TimeoutError:
            raise self._lost(f"it does not answer within {timeout_s:.0f} s") from None
        except OSError as error:
            raise self._lost(f"its socket is closed ({error.strerror})") from error
        if not message:
            raise self._lost("it died")
        answer: list[Any] = wire.decode(message)  # Any: see above
        return answer

    def _lost(self, why: str) -> ServerLost:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        self.close()
        return ServerLost(why)


def _environment(scratch: Path) -> dict[str, str]:
    """The whole environment of a program: nothing of the user's is in it."""
    one_thread = {f"{name}_NUM_THREADS": "1" for name in _ONE_THREAD}
    folders = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"), str(scratch))
    fixed = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg"}
    # Every arena of the C library's allocator maps 64 MB of address space, which is limited.
    return fixed | {"MALLOC_ARENA_MAX": "2"} | one_thread | folders


def _user_processes() -> int:
    """Processes and threads of this user now."""
    count = 0
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and Path(f"/proc/{name}").stat().st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


def _write(files: Files, folder: Path) -> None:
    for name, text in files.items():
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"a program's file must lie inside its folder, got {name!r}")
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        # Lone surrogates would be an error of ours; the program's own loader complains about them.
        path.write_bytes(text.encode(errors="surrogatepass"))


def _empty(folder: Path) -> None:
    """Deletes what lies in a folder, which itself stays: Landlock's rule is bound to it. Follows no link."""
    for entry in os.scandir(folder):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
            continue
        if os.getuid():  # root can enter a folder that the program has closed
            _unlock(entry.path)
        shutil.rmtree(entry.path)


def _unlock(folder: str) -> None:
    os.chmod(folder, stat.S_IRWXU, follow_symlinks=False)
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            _unlock(entry.path)


def sweep_strangers() -> None:
    """Kills the children of this process that belong to another session.

    For a worker whose fork server was killed by its program: the orphans come to the worker, which must be their reaper
    (``PR_SET_CHILD_SUBREAPER``) and have no other fork server. What the evaluator started itself is in the worker's session.
    """
    mine = tree.session_of(os.getpid())
    while strangers := [pid for pid in tree.children_of(os.getpid()) if tree.session_of(pid) not in (mine, 0)]:
        for pid in strangers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
