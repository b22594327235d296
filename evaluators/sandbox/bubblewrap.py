"""Bubblewrap's command line: the namespaces and the file system that a fork server of level ``strong`` lives in.

Everything is absent that is not named: the machine's folders that hold programs and libraries are bound read-only, what
is hidden below them is covered, and one folder takes a small file system for each program.

As root there is no user namespace: process limits do not bind user 0 of any namespace, and real ids are there to be given
away. An ordinary user gets one, in which the server, and no program, keeps the capability to mount.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from evolve.evaluators.sandbox import confine
from evolve.evaluators.sandbox.visible import DEVICES, Visible, gpu_devices

#: Where the runner's files lie inside.
INSIDE = "/run/evolve"
#: Stand alone, so that the rest of this package need not be there.
RUNNER_FILES = tuple(
    Path(__file__).with_name(f"{name}.py")
    for name in ("runner", "collect", "confine", "serve", "wire", "callbacks_inside", "hooks_inside", "torch_inside")
)
#: What the server needs for mounts and namespaces, for giving each program a user of its own, and for ending it.
_CAPABILITIES = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE", "CAP_KILL")
_LINKS = {
    "/tmp": confine.TEMPORARY,
    "/dev/shm": f"{confine.SCRATCH_ROOT}/run/shm",
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}


def executable() -> str | None:
    """Path of bubblewrap, None if it is not installed."""
    return shutil.which("bwrap", path=f"{os.environ.get('PATH', '')}:/usr/bin:/bin")


def python() -> str:
    """Path of the interpreter, inside as outside: the real one, since a virtual environment's is a link."""
    return str(Path(sys.executable).resolve())


def devices(gpus: float) -> list[str]:
    """Paths of the device files inside."""
    return [*filter(os.path.exists, DEVICES), *map(str, gpu_devices() if gpus else [])]


def command(visible: Visible, argv: Sequence[str], *, gpus: float = 0.0) -> list[str]:
    """Builds the command that runs ``argv`` as the first process of the sandbox.

    Args:
        visible: What can be read inside.
        argv: The command; its path is one inside.
        gpus: Whether accelerators' device files are there.

    Raises:
        FileNotFoundError: If bubblewrap is not installed.
    """
    bwrap = executable()
    if bwrap is None:
        raise FileNotFoundError("bubblewrap (bwrap) is not installed")
    return [bwrap, *_namespaces(), *_file_system(visible, gpus), "--chdir", "/", "--", *argv]


def _namespaces() -> Iterator[str]:
    yield from (f"--unshare-{name}" for name in ("pid", "net", "ipc", "uts", "cgroup-try"))
    if os.geteuid():
        yield "--unshare-user"
    yield from ("--as-pid-1", "--die-with-parent", "--new-session", "--hostname", "sandbox", "--cap-drop", "ALL")
    for name in _CAPABILITIES:
        yield from ("--cap-add", name)


def _file_system(visible: Visible, gpus: float) -> Iterator[str]:
    # Explicitly: bubblewrap would let only their owner into the folders that lead to something, which programs are not.
    leading = {parent for path in (*visible.roots, Path(INSIDE, "runner.py")) for parent in path.parents[:-1]}
    for folder in sorted(leading):
        if not any(folder.is_relative_to(root) for root in visible.roots):
            yield from ("--dir", str(folder))
    yield from _system_links()
    for root in visible.roots:
        # Of a folder inside one that is there already, a second mount would be seen twice.
        if not any(root != other and root.is_relative_to(other) for other in visible.roots):
            yield from ("--ro-bind", str(root), str(root))
    for path in sorted(visible.secret):
        inside = any(path.is_relative_to(root) for root in visible.roots)
        if inside and path.exists() and not any(parent in visible.secret for parent in path.parents):
            cover = ("--tmpfs", str(path), "--remount-ro", str(path)) if path.is_dir() else ("--ro-bind", "/dev/null", str(path))
            yield from cover
    yield from ("--proc", "/proc", "--dir", "/dev", "--dir", "/sys", "--dir", f"{confine.SCRATCH_ROOT}/run")
    for device in devices(gpus):
        yield from ("--dev-bind", device, device)
    yield from ("--ro-bind-try", "/etc/localtime", "/etc/localtime")
    for link, target in _LINKS.items():
        if any(root.is_relative_to(link) for root in visible.roots):
            continue
        yield from ("--symlink", target, link)
    for file in RUNNER_FILES:
        yield from ("--ro-bind", str(file), f"{INSIDE}/{file.name}")
    yield from ("--remount-ro", "/")


def _system_links() -> Iterator[str]:
    """Links such as ``/lib`` → ``usr/lib``, under which everything is known to everybody."""
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), str(path))
