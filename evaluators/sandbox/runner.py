"""The sandbox's inner side: a warm interpreter that forks one child per evaluation, and what the child does.

Stands alone: it imports the standard library, MessagePack, numpy and its neighbour ``wire.py``, nothing else of this
package, so that the package itself can be hidden from the program.

**Server.** Started with a scrubbed environment and without ``site``, so that no ``.pth`` file runs. It imports what
programs are going to need once, then serves one request at a time on a SOCK_SEQPACKET socket whose other end the worker
holds. Messages are payloads of ``wire.py``:

=======================  =============================================================================================
the worker sends         the server does and answers
=======================  =============================================================================================
settings (a dict, once)  imports; ``["ready"]``, or ``["failed", why]``
``["fork", seed, …]``    forks a child, with the two descriptors that came along (its socket, its output);
                         ``["forked", process id, bytes mapped by the server]``
``["end"]``              kills and reaps everything below itself; ``["ended", wait status, CPU seconds]``
end of stream            the same, deletes the scratch folder, exits
=======================  =============================================================================================

The server is the reaper of orphans, so a program that daemonises itself stays below it.

**Child.** Answers frames ``["call", function, arguments, keyword arguments]`` on its socket with one of ``["ok", value]``,
``["raised", exception's name, text]``, ``["unsendable", why]``, ``["missing", names that exist]``, ``["load", exception's
name, text]``. The program can forge any of them, which changes nothing: an answer is data from the program in any case.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import os
import random
import resource
import shutil
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

#: Arguments come from the trusted side.
_REQUEST_LIMIT_BYTES = 2**31
_MESSAGE_BYTES = 2**16
_TEXT_LIMIT = 4000
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_SYS_LANDLOCK_RESTRICT_SELF = 446
#: What a thread maps for its stack where nobody has changed it.
_STACK_BYTES = 8 * 2**20
#: Descriptors that a child may find open beyond its own; what preloaded modules opened lies below.
_MAX_INHERITED_FD = 1024


def _load_wire() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wire", Path(__file__).with_name("wire.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The server.


class _Server:
    """Forks children on request and leaves nothing of them behind."""

    def __init__(self, control: socket.socket, settings: dict[str, Any], wire: ModuleType) -> None:
        self._control = control
        self._settings = settings
        self._wire = wire
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._child = 0

    def serve(self) -> None:
        """Answers the worker until it hangs up."""
        self._send(["ready"])
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, 2)
            if not message:
                return
            request = self._wire.decode(message)
            if request[0] == "fork":
                self._fork(request[1], descriptors)
            else:
                self._send(["ended", *_sweep(self._child)])

    def _send(self, message: list[Any]) -> None:  # Any: plain data
        self._control.send(self._wire.encode(message))

    def _fork(self, seed: int, descriptors: list[int]) -> None:
        mapped_bytes = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
        server = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            status = 70
            try:
                channel, output = descriptors
                _enter(self._libc, self._settings, server)
                _arrange_descriptors(channel, output, keep=self._settings["ruleset"])
                _limit(self._settings, mapped_bytes)
                _restrict(self._libc, self._settings["ruleset"])
                _Program(self._wire, self._settings).run(seed)
                status = 0
            finally:
                os._exit(status)
        for descriptor in descriptors:
            os.close(descriptor)
        self._send(["forked", self._child, mapped_bytes])


def _sweep(main_child: int = 0) -> tuple[int, float]:
    """Kills and reaps every process below this one.

    Killing a process hands its children to the server, so the loop ends when there is none left.

    Args:
        main_child: The process whose end is of interest.

    Returns:
        Its wait status, 0 if it is not among them, and the CPU seconds of all.
    """
    status, cpu_s = 0, 0.0
    while True:
        try:
            pid, ended, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return status, cpu_s
        if pid:
            cpu_s += usage.ru_utime + usage.ru_stime
            status = ended if pid == main_child else status
            continue
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.0003)  # a killed process takes about as long to go


def _children() -> list[int]:
    """Process ids of the children of this (single-threaded) process, zombies included."""
    me = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _parent(pid) == me]


def _parent(pid: str) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat.rpartition(b")")[2].split()[1])


def _preload(settings: dict[str, Any]) -> str:
    """Imports what programs need; returns why that failed, or nothing."""
    for name in settings["preload"]:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - reported to the worker
            return f"limits.preload names {name!r}, which cannot be imported: {type(error).__name__}: {error}"
    return ""


def main(control_fd: int, parent: int) -> None:
    """Runs the server on an inherited socket until its worker, process ``parent``, hangs up or dies.

    The current folder is the scratch folder, which the server deletes in the end: the worker may have been killed.
    """
    scratch = os.getcwd()
    try:
        try:
            signal.signal(signal.SIGTERM, _exit_on_signal)
            # The end of the stream says the same, unless a process that the evaluator forked keeps the worker's end open.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() == parent:
                _warm_up_and_serve(socket.socket(fileno=control_fd))
        finally:
            # The end of the stream and the signal come together, and the signal must not end the sweep.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    finally:
        _sweep()
        shutil.rmtree(scratch, ignore_errors=True)


def _warm_up_and_serve(control: socket.socket) -> None:
    _lower(resource.RLIMIT_NOFILE, _MAX_INHERITED_FD, _MAX_INHERITED_FD)
    site_packages, message = control.recv(_MESSAGE_BYTES), control.recv(_MESSAGE_BYTES)
    if not message:
        return
    sys.path.extend(os.fsdecode(site_packages).split("\0"))
    wire = _load_wire()
    settings = wire.decode(message)
    problem = _preload(settings)
    if problem:
        control.send(wire.encode(["failed", problem]))
        return
    importlib.import_module("numpy.random")  # seeded in every child, and 20 ms to import there
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page it looks at
    _Server(control, settings, wire).serve()


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


# The child.

_CHANNEL = 3
#: Without a traceback: there may be no memory to format one in.
_OUT_OF_MEMORY = ["raised", "MemoryError", "MemoryError"]


def _enter(libc: ctypes.CDLL, settings: dict[str, Any], server: int) -> None:
    """Becomes a process of its own that dies with the server and has the scratch folder as its working folder."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.setsid()
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:
        os._exit(70)
    os.chdir(settings["scratch"])


def _restrict(libc: ctypes.CDLL, ruleset: int) -> None:
    """Gives up privileges for good and, where there is a ruleset, everything that it does not grant."""
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if ruleset >= 0:
        if libc.syscall(_SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_restrict_self failed")
        os.close(ruleset)


def _arrange_descriptors(channel: int, output: int, keep: int) -> None:
    """Leaves 0 (nothing to read), 1 and 2 (captured), 3 (the channel) and ``keep`` (above 3, or -1) open."""
    # Duplicated above everything first: the numbers handed over may be the ones to be overwritten.
    high = [os.dup(fd) for fd in (channel, output)]
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(high[1], 1)
    os.dup2(high[1], 2)
    os.dup2(high[0], _CHANNEL, inheritable=False)
    for low, above in ((_CHANNEL + 1, keep), (max(keep, _CHANNEL) + 1, _MAX_INHERITED_FD)):
        if low < above:
            os.closerange(low, above)


def _limit(settings: dict[str, Any], mapped_bytes: int) -> None:
    """Sets the kernel's own limits; most are backstops of what the worker measures from outside."""
    memory_bytes = settings["memory_mb"] * 2**20
    cpu_s = int(settings["timeout_s"]) + 2
    _lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)
    _lower(resource.RLIMIT_CORE, 0, 0)
    _lower(resource.RLIMIT_FSIZE, memory_bytes, memory_bytes)
    _lower(resource.RLIMIT_NOFILE, 512, 512)
    if settings["limit_address_space"]:
        # Stacks are mapped in full and hardly used; the worker counts what is used.
        address_bytes = mapped_bytes + memory_bytes + settings["max_processes"] * _STACK_BYTES
        _lower(resource.RLIMIT_AS, address_bytes, address_bytes)
    if settings["user_processes"]:
        _lower(resource.RLIMIT_NPROC, settings["user_processes"], settings["user_processes"])


def _lower(which: int, soft: int, hard: int) -> None:
    most = resource.getrlimit(which)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(which, (soft, hard))


class _Program:
    """Loads the program and answers calls until the worker hangs up."""

    def __init__(self, wire: ModuleType, settings: dict[str, Any]) -> None:
        self._wire = wire
        self._scratch: str = settings["scratch"]
        self._entry: str = settings["entry"]
        self._module = ModuleType("none")

    def run(self, seed: int) -> None:
        channel = socket.socket(fileno=_CHANNEL)
        random.seed(seed)
        sys.modules["numpy.random"].seed(seed % 2**32)
        failure = self._load()
        while True:
            request = self._wire.read_frame(channel.recv, _REQUEST_LIMIT_BYTES)
            if request is None:
                return
            _, function, arguments, keywords = self._wire.decode(request)
            reply = failure or self._call(function, arguments, keywords)
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # the program may have closed or replaced it
                    stream.flush()
            payload = reply if isinstance(reply, bytes) else self._wire.encode(reply)
            channel.sendall(self._wire.HEADER.pack(len(payload)))
            channel.sendall(payload)

    def _load(self) -> list[str] | None:
        """Imports the entry file by path, whatever it is called; returns what every call is to be answered with if it fails."""
        sys.path.insert(0, self._scratch)  # for siblings
        name = self._entry.removesuffix(".py").replace("/", ".")
        try:
            spec = importlib.util.spec_from_file_location(name, f"{self._scratch}/{self._entry}")
            if spec is None or spec.loader is None:
                raise ImportError(f"{self._entry} is not a Python file")
            self._module = importlib.util.module_from_spec(spec)
            sys.modules[name] = self._module
            spec.loader.exec_module(self._module)
        except MemoryError:
            return _OUT_OF_MEMORY
        except BaseException as error:  # noqa: BLE001 - SystemExit too: reported to the worker
            return ["load", type(error).__name__, _describe(error, self._scratch)]
        return None

    def _call(self, function: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bytes | list[Any]:
        """Answers one call: the program's answer already encoded, or what went wrong."""
        found = getattr(self._module, function, None)
        if not callable(found):
            names = sorted(name for name, value in vars(self._module).items() if callable(value) and name[:1] != "_")
            return ["missing", names[:20]]
        try:
            answer = found(*arguments, **keywords)
            try:
                encoded: bytes = self._wire.encode(["ok", answer])
            except self._wire.Unsendable as error:
                return ["unsendable", str(error)]
            return encoded
        except MemoryError:
            return _OUT_OF_MEMORY
        except BaseException as error:  # noqa: BLE001 - SystemExit too: reported to the worker
            return ["raised", type(error).__name__, _describe(error, self._scratch)]


def _describe(error: BaseException, scratch: str) -> str:
    """Formats an exception with the frames that lie in the program's own files, their paths relative."""
    report = traceback.TracebackException(type(error), error, error.__traceback__, limit=-200)
    pending = [report]
    while pending:
        part = pending.pop()
        part.stack = traceback.StackSummary.from_list([f for f in part.stack if f.filename.startswith(scratch)])
        pending.extend(cause for cause in (part.__cause__, part.__context__) if cause is not None)
    text = "".join(report.format()).replace(scratch + "/", "")
    # Lone surrogates cannot cross.
    return text.encode(errors="replace").decode()[-_TEXT_LIMIT:]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
