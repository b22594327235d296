"""The sandbox's inner side: a warm interpreter that forks one child per evaluation and leaves nothing of it behind.

Stands alone: it imports the standard library, MessagePack, numpy and its neighbours (`bubblewrap.RUNNER_FILES`), nothing
else of this package, so that the package itself can be hidden from the program.

It is started with a scrubbed environment and without ``site``, so that no ``.pth`` file runs. It imports what programs are
going to need once, then serves one request at a time on a SOCK_SEQPACKET socket whose other end the worker holds. Messages
are payloads of ``wire.py``:

=======================  =============================================================================================
the worker sends         the server does and answers
=======================  =============================================================================================
settings (a dict, once)  imports; ``["ready", scratch folder]``, or ``["failed", why]``
``["fork", python,       forks a child under these limits, with the four descriptors that came along (channel, standard
limits]``                input, output, error); ``["forked", …]`` with a descriptor of the process, or ``["refused", why]``
``["end"]``              kills and reaps everything below itself; ``["ended", wait status, CPU seconds]``
``["collect", bytes]``   reads the files in the scratch folder; ``["collected"]`` with a file in memory that holds them, or
                         ``["refused", why]``
``["clear"]``            gives the private scratch folder back, where there is one; ``["cleared"]``
end of stream            ends everything, deletes the scratch folder, exits
=======================  =============================================================================================

The server is the reaper of orphans, so a program that daemonises itself stays below it. At level ``strong`` each program has
a process-id namespace, whose first process is one that sleeps: it takes everything in the namespace with it when it is
killed. It is a small program, not another fork of this interpreter, which would cost as much as the first.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

_MESSAGE_BYTES = 2**16
_STANDARD_ERROR = 2
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: Exit status of a process of ours that failed before the program began.
_FAILED = 70


def _neighbour(name: str) -> ModuleType:
    """Loads a file beside this one, by a name that no program's own file can take."""
    spec = importlib.util.spec_from_file_location(f"_evolve_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class _Server:
    """Forks children on request."""

    def __init__(self, control: socket.socket, settings: dict[str, Any], confine: ModuleType) -> None:
        self._control = control
        self._wire = _neighbour("wire")
        self._serve = _neighbour("serve")
        self._collect = _neighbour("collect")
        inside = [_neighbour(f"{name}_inside") for name in ("callbacks", "hooks", "torch")]
        self._parts = self._serve.Parts(self._wire, *inside)
        self._confine = confine
        self._confinement = confine.Confinement(**settings["confinement"])
        confine.keep_times(settings["devices"])
        if self._confinement.ruleset >= 0:
            writable = confine.SCRATCH_ROOT if self._confinement.strong else self._confinement.scratch
            confine.grant(self._confinement.ruleset, [*settings["grants"], [writable, settings["writing"]]])
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._mounted = False
        self._child = 0
        self._sleeper = shutil.which("sleep") or ""
        if self._confinement.strong and not self._sleeper:
            raise OSError("level strong needs the program `sleep` (Debian: coreutils) in /usr/bin")

    def answer(self) -> None:
        """Answers the worker until it hangs up."""
        self._send(["ready", self._confinement.scratch])
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, 4)
            for descriptor in descriptors:
                # The sleeper must not hold these streams open when the program closes them. (`recv_fds` ignores its flags.)
                os.set_inheritable(descriptor, False)
            if not message:
                return
            request = self._wire.decode(message)
            if request[0] == "fork":
                try:
                    self._fork(descriptors, self._confinement._replace(**request[2]), interpreter=request[1])
                except OSError as error:
                    self._send(["refused", str(error)])
                for descriptor in descriptors:
                    os.close(descriptor)
            elif request[0] == "end":
                self._send(["ended", *_sweep(self._child)])
            elif request[0] == "collect":
                self._send_collected(request[1])
            else:
                self._clear()
                self._send(["cleared"])

    def _send(self, message: list[Any], descriptors: tuple[int, ...] = ()) -> None:  # Any: plain data
        socket.send_fds(self._control, [self._wire.encode(message)], descriptors)

    def _fork(self, descriptors: list[int], confinement: Any, *, interpreter: bool) -> None:  # Any: loaded by path
        if self._confinement.strong:
            self._make_namespace()
        mapped_bytes = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
        # A process does not see a parent outside its namespace.
        parent = 0 if self._confinement.strong else os.getpid()
        self._child = os.fork()
        if self._child == 0:
            try:
                self._confine.die_with(parent)
                self._be_program(descriptors, confinement, mapped_bytes, interpreter=interpreter)
            finally:
                os._exit(_FAILED)
        self._announce(self._child)

    def _make_namespace(self) -> None:
        """Gives the next children a process-id namespace, and its first process."""
        if not self._mounted:
            self._confine.mount_scratch(self._confinement)
            self._mounted = True
        self._confine.next_children_in_new_pid_namespace()
        os.posix_spawn(self._sleeper, ["sleep", "2147483647"], {})

    def _announce(self, pid: int) -> None:
        descriptor = os.pidfd_open(pid)
        self._send(["forked"], (descriptor,))
        os.close(descriptor)

    def _be_program(self, descriptors: list[int], confinement: Any, mapped_bytes: int, *, interpreter: bool) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if not interpreter:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.setsid()
        self._confine.arrange_descriptors(descriptors, keep=(self._confinement.ruleset,))
        channel = socket.socket(fileno=self._confine.CHANNEL)
        try:
            self._confine.confine(confinement, mapped_bytes, interpreter=interpreter)
        except OSError as error:
            # No program has run here, so the worker can tell this from anything that one says.
            channel.sendall(self._wire.frame(self._wire.encode(["refused", str(error)])))
            os._exit(_FAILED)
        channel.sendall(self._wire.frame(self._wire.encode(["confined"])))
        self._serve.serve(self._parts, channel, self._confinement.scratch)
        os._exit(0)

    def _send_collected(self, limit_bytes: int) -> None:
        try:
            collected = self._collect.collect(self._confinement.scratch, limit_bytes)
        except (OSError, ValueError) as error:
            self._send(["refused", str(error)])
            return
        # Far more than a message holds.
        with os.fdopen(os.memfd_create("collected"), "wb") as file:
            file.write(self._wire.encode(collected))
            file.flush()
            self._send(["collected"], (file.fileno(),))

    def _clear(self) -> None:
        if self._mounted:
            self._confine.unmount_scratch()
            self._mounted = False


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
    """Runs the server on an inherited socket until its worker hangs up or dies.

    Args:
        control_fd: The socket.
        parent: Process id of what this process must end with; 0 where that is in another namespace.
    """
    os.environ.pop("PWD", None)  # bubblewrap's
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the listing's own
            os.set_inheritable(descriptor, descriptor <= _STANDARD_ERROR)
    made: list[str] = []
    try:
        try:
            signal.signal(signal.SIGTERM, _exit_on_signal)
            # The end of the stream says the same, unless a process that the evaluator forked keeps the worker's end open.
            # Inside a process-id namespace nothing needs to be swept: it ends with this process, even with a stopped one.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM if parent else signal.SIGKILL, 0, 0, 0)
            if os.getppid() == parent:
                _warm_up_and_answer(socket.socket(fileno=control_fd), made)
        finally:
            # The end of the stream and the signal come together, and the signal must not end the sweep.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    finally:
        _sweep()
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def _scratch(confine: ModuleType, settings: dict[str, Any], made: list[str]) -> str:
    """Names the scratch folder, and makes it where it is not mounted anew for each program.

    It is made, and deleted, by this process, which outlives a worker that is killed.
    """
    if settings["confinement"]["strong"]:
        scratch, temporary = confine.SCRATCH, confine.TEMPORARY
    else:
        # Resolved: Landlock and the descriptions of errors compare real paths.
        scratch = temporary = os.path.realpath(tempfile.mkdtemp(prefix="evolve-", dir=settings["temporary"]))
        made.append(scratch)
    os.environ.update({"HOME": scratch, **dict.fromkeys(("TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"), temporary)})
    return str(scratch)


def _warm_up_and_answer(control: socket.socket, made: list[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1024 if hard == resource.RLIM_INFINITY else min(hard, 1024)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, most), most))
    site_packages, message = control.recv(_MESSAGE_BYTES), control.recv(_MESSAGE_BYTES)
    if not message:
        return
    sys.path.extend(os.fsdecode(site_packages).split("\0"))
    wire = _neighbour("wire")
    settings = wire.decode(message)
    confine = _neighbour("confine")
    settings["confinement"]["scratch"] = _scratch(confine, settings, made)
    problem = _preload(settings)
    if not problem:
        importlib.import_module("numpy.random")  # seeded in every child, and 20 ms to import there
        try:
            server = _Server(control, settings, confine)
        except OSError as error:
            problem = str(error)
    if problem:
        control.send(wire.encode(["failed", problem]))
        return
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page it looks at
    server.answer()


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
