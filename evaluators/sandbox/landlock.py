"""Landlock by system call: a ruleset that says what a program may open, connect to and signal.

Source: Linux, ``Documentation/userspace-api/landlock.rst`` and ``include/uapi/linux/landlock.h``. The numbers below are
the kernel's; they are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446
_PR_SET_NO_NEW_PRIVS = 38
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_ALL_OF_FIRST_ABI = (1 << 13) - 1
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1 << 0, 1 << 1

#: Rights that make sense on something that is not a folder.
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
LIST = _READ_DIR
#: To look at, with all below, and to run.
READ = _EXECUTE | _READ_FILE | _READ_DIR
#: To read and write a device.
USE = _READ_FILE | _WRITE_FILE
#: All but making devices, which are a way around file rights.
WRITE = (_ALL_OF_FIRST_ABI & ~(1 << 6) & ~(1 << 11)) | _REFER | _TRUNCATE
#: Descriptors 0 to 3 are spoken for in a sandboxed child.
_LOWEST_FD = 10


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64), ("handled_access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """Asks the kernel for its Landlock version; the newest known at the time of writing is 7.

    Raises:
        OSError: ``ENOSYS`` or ``EPERM`` where the kernel or a container's filter knows no Landlock, ``EOPNOTSUPP``
            where it is switched off at boot.
    """
    return _check(_libc().syscall(_SYS_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION))


def handled(version: int) -> tuple[int, int, int]:
    """What a kernel of this Landlock version can forbid: rights on files, rights on the network, scopes."""
    files = _ALL_OF_FIRST_ABI
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        if version >= since:
            files |= right
    network = _BIND_TCP | _CONNECT_TCP if version >= 4 else 0
    scopes = _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if version >= 6 else 0
    return files, network, scopes


def make_ruleset(rules: Iterable[tuple[Path, int]], *, network: bool = False) -> int:
    """Builds a ruleset that forbids everything the kernel can forbid, but for what is named.

    Args:
        rules: Files and folders with the rights (`LIST`, `READ`, `USE`, `WRITE`) that hold for them and all below them;
            missing ones are skipped.
        network: Whether the network stays as it is.

    Returns:
        A descriptor for ``landlock_restrict_self``, the caller's to close; not inherited by default.

    Raises:
        OSError: Where the kernel has no Landlock.
    """
    files, ports, scopes = handled(abi())
    attr = _RulesetAttr(files, 0 if network else ports, scopes)
    # Older kernels know a shorter structure; they take a longer one if the rest is zero.
    ruleset = _check(_libc().syscall(_SYS_CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(ctypes.sizeof(attr)), 0))
    try:
        for path, rights in rules:
            _allow(ruleset, path, rights)
        return fcntl.fcntl(ruleset, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FD)
    finally:
        os.close(ruleset)


def restrict_self(ruleset: int) -> None:
    """Puts this process, and all that it starts from here on, behind a ruleset for good.

    Raises:
        OSError: If the kernel refuses.
    """
    _check(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check(_libc().syscall(_SYS_RESTRICT_SELF, ruleset, 0))


def readable_without(root: Path, hidden: frozenset[Path]) -> Iterator[tuple[Path, int]]:
    """Divides what lies under ``root`` so that hidden paths are left out.

    Landlock grants whole hierarchies and cannot take anything back, so a folder that holds something hidden is granted
    entry by entry. Such a folder may still be listed, since Python cannot import from one that is not.

    Args:
        root: A resolved path.
        hidden: Resolved paths.

    Yields:
        Rules for `make_ruleset`.
    """
    if root in hidden:
        return
    if not any(path.is_relative_to(root) for path in hidden):
        yield root, READ
        return
    yield root, LIST
    try:
        entries = sorted(root.iterdir())
    except OSError:
        return
    for entry in entries:
        # A link's own target is granted where it lies, or not at all.
        if not entry.is_symlink():
            yield from readable_without(entry, hidden)


def grantable(rights: int, *, folder: bool) -> int:
    """The part of some rights that this kernel knows and that makes sense for what they are granted on."""
    files, _, _ = handled(abi())
    return rights & files if folder else rights & files & _FILE_RIGHTS


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        allowed = grantable(rights, folder=path.is_dir())
        if not allowed:
            return
        rule = _PathBeneathAttr(allowed, descriptor)
        _check(_libc().syscall(_SYS_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {errno.errorcode.get(number, number)}: {os.strerror(number)}")
    return result
