"""What a program may see of the machine: the interpreter, its libraries, installed packages, and its own scratch folder."""

from __future__ import annotations

import site
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgpack
import numpy as np

import evolve
from evolve.evaluators.sandbox import landlock

_DISTRIBUTION = "evolve_platform"
#: Folders of the system that hold programs and libraries. Not ``/usr`` itself: images keep applications in ``/usr/src``.
_SYSTEM_FOLDERS = (
    *(f"/usr/{name}" for name in ("bin", "lib", "lib32", "lib64", "libexec", "share")),
    *(f"/usr/local/{name}" for name in ("bin", "lib", "lib64")),
    *("/bin", "/lib", "/lib32", "/lib64"),
    # How many processors there are, for thread pools.
    "/sys/devices/system/cpu",
)
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/proc/cpuinfo", "/proc/meminfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def site_packages() -> list[Path]:
    """Folders of installed packages, in the order in which Python searches them."""
    names = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    names += [name for name in sys.path if Path(name).name in ("site-packages", "dist-packages")]
    # What the runner itself needs, wherever it was found.
    names += [str(Path(module.__file__ or "").parent.parent) for module in (np, msgpack)]
    return [path for path in dict.fromkeys(Path(name).resolve() for name in names) if path.is_dir()]


def rules(scratch: Path, hidden: Iterable[Path] = ()) -> list[tuple[Path, int]]:
    """Lists what a Landlock ruleset grants.

    This package, its metadata, editable installs and ``.pth`` files (which name folders of the user) are left out.

    Args:
        scratch: The only folder that may be written.
        hidden: More paths to leave out, such as a task's folder.
    """
    packages = site_packages()
    secret = frozenset(path.resolve() for path in (*hidden, *_own_files(packages)))
    base = Path(sys.base_prefix)
    roots = {Path(name).resolve() for name in _SYSTEM_FOLDERS}
    roots |= {base / "bin", base / "lib", Path(sys.base_exec_prefix) / "lib", Path(sys.executable).resolve(), *packages}
    granted = [rule for root in sorted(roots) if root.exists() for rule in landlock.readable_without(root.resolve(), secret)]
    granted += [(Path(name), landlock.READ) for name in _SYSTEM_FILES]
    granted += [(Path(name), landlock.USE) for name in _DEVICES]
    return [*granted, (scratch, landlock.WRITE)]


def _own_files(packages: list[Path]) -> Iterator[Path]:
    # Two folders: with an editable install the package's parts lie side by side.
    yield Path(evolve.__file__).parent
    yield Path(__file__).parent.parent
    for folder in packages:
        for pattern in (f"{_DISTRIBUTION}*", "__editable__*", "__pycache__/__editable__*", "*.pth"):
            yield from folder.glob(pattern)
