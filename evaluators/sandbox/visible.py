"""What a program may see of the machine: the interpreter, its libraries, installed packages, and its own scratch folder."""

from __future__ import annotations

import site
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgpack
import numpy as np

import evolve
from evolve.evaluators.sandbox import landlock

_DISTRIBUTION = "evolve_platform"
#: Folders of the system that hold programs and libraries. Not ``/usr`` itself: images keep applications in ``/usr/src``.
_SYSTEM_FOLDERS = (
    *(f"/usr/{name}" for name in ("bin", "include", "lib", "lib32", "lib64", "libexec", "share")),
    *(f"/usr/local/{name}" for name in ("bin", "include", "lib", "lib64")),
    *("/bin", "/lib", "/lib32", "/lib64"),
    # Which compiler ``cc`` is.
    "/etc/alternatives",
    # How many processors there are, for thread pools.
    "/sys/devices/system/cpu",
)
#: Node.js ends at once where its OpenSSL finds a configuration that it may not read.
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/openssl.cnf")
#: Of the file system in which the kernel tells about itself: the machine's, or the sandbox's own.
_KERNEL_FILES = ("/proc/cpuinfo", "/proc/meminfo")
_GPU_KERNEL_FILES = ("/proc/driver/nvidia", "/proc/self", "/proc/devices", "/proc/modules")
#: Not ``/dev/zero``, of which a shared mapping is memory that nobody counts.
DEVICES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")


def site_packages() -> list[Path]:
    """Folders of installed packages, in the order in which Python searches them."""
    names = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    names += [name for name in sys.path if Path(name).name in ("site-packages", "dist-packages")]
    # What the runner itself needs, wherever it was found.
    names += [str(Path(module.__file__ or "").parent.parent) for module in (np, msgpack)]
    return [path for path in dict.fromkeys(Path(name).resolve() for name in names) if path.is_dir()]


class Visible(NamedTuple):
    """What a program may read.

    Attributes:
        roots: Resolved folders and files, with all below them.
        secret: Resolved paths that are left out nevertheless.
    """

    roots: tuple[Path, ...]
    secret: frozenset[Path]


def of_machine(hidden: Iterable[Path] = (), gpus: float = 0.0) -> Visible:
    """Lists what a program may read of this machine.

    This package, its metadata, editable installs and ``.pth`` files (which name folders of the user) are left out.

    Args:
        hidden: More paths to leave out, such as a task's folder.
        gpus: Whether there are accelerators that it may use.
    """
    packages = site_packages()
    base = Path(sys.base_prefix)
    named = [*map(Path, (*_SYSTEM_FOLDERS, *_SYSTEM_FILES)), base / "bin", base / "lib", base / "include"]
    named += [Path(sys.base_exec_prefix) / "lib", Path(sys.executable), *packages]
    named += gpu_files() if gpus else []
    roots = sorted({path.resolve() for path in named if path.exists()})
    return Visible(tuple(roots), frozenset(path.resolve() for path in (*hidden, *_own_files(packages))))


def rules(visible: Visible, gpus: float = 0.0) -> list[tuple[Path, int]]:
    """Turns what is visible into what a Landlock ruleset grants; the scratch folder is for the caller to add."""
    granted = [rule for root in visible.roots for rule in landlock.readable_without(root, visible.secret)]
    devices = [*map(Path, DEVICES), *(gpu_devices() if gpus else [])]
    return [*granted, *((device, landlock.USE) for device in devices)]


def kernel_rules(gpus: float = 0.0) -> list[tuple[Path, int]]:
    """What is granted of ``/proc``, which is another file system inside a process-id namespace."""
    names = [*_KERNEL_FILES, *(_GPU_KERNEL_FILES if gpus else [])]
    return [(Path(name), landlock.READ) for name in names if Path(name).exists()]


def gpu_devices() -> list[Path]:
    """Device files of NVIDIA and AMD accelerators."""
    folder = Path("/dev")
    return sorted([*folder.glob("nvidia*"), *folder.glob("kfd"), *folder.glob("dri")])


def gpu_files() -> list[Path]:
    """What their libraries read."""
    return [Path("/sys/class/kfd"), Path("/sys/module/nvidia"), Path("/sys/bus/pci"), Path("/usr/local/cuda")]


def _own_files(packages: list[Path]) -> Iterator[Path]:
    # Two folders: with an editable install the package's parts lie side by side.
    yield Path(evolve.__file__).parent
    yield Path(__file__).parent.parent
    for folder in packages:
        for pattern in (f"{_DISTRIBUTION}*", "__editable__*", "__pycache__/__editable__*", "*.pth"):
            yield from folder.glob(pattern)
