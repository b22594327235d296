"""A system-call filter as classic BPF: what neither namespaces nor Landlock keep a program from asking the kernel.

A list of what is refused, not of what is allowed: programs are compiled, interpreted and threaded in ways that nobody can
list, and what a call could reach is mostly gone already (no other process, no device, no network, no writable file). What
is refused is what reaches past that: other processes' memory, the kernel's keyring and modules, mounts and new
namespaces, sockets other than unix ones, memory that no process maps, and the calls with the longest record of bugs.

Sources: Linux, ``Documentation/userspace-api/seccomp_filter.rst`` (the program's input and return values),
``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h`` (the numbers).
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass

# Instructions: load a word, mask it, compare it, return.
_LOAD, _AND, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
#: Where the filter finds the call's number, the architecture, and the low half of argument i (at 16 + 8 i).
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT, _SECOND_ARGUMENT_AT, _FOURTH_ARGUMENT_AT = 0, 4, 16, 24, 40
#: Calls of the x32 ABI, which have numbers of their own for the same functions.
_X32 = 0x40000000
_AF_UNIX = 1
#: CLONE_NEWTIME, _NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET. (NEWTIME is a signal number in `clone`.)
_NEW_NAMESPACES = 0x7E020000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
#: MAP_SHARED and MAP_ANONYMOUS together: memory that stays when nobody maps all of it, so that nobody counts it.
_SHARED_ANONYMOUS = 0x21


@dataclass(frozen=True, slots=True)
class _Architecture:
    """How a processor's system calls are told apart.

    Attributes:
        audit: ``AUDIT_ARCH_…``.
        numbers: Calls that have numbers of their own here.
    """

    audit: int
    numbers: Mapping[str, int]


#: The same on every architecture (calls that were added since Linux 5.1).
_COMMON = {
    **{"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427},
    **{"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433},
    **{"clone3": 435, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442, "quotactl_fd": 443},
    **{"memfd_secret": 447, "process_mrelease": 448, "set_mempolicy_home_node": 450, "open_tree_attr": 467},
}
_X86_64 = {
    **{
        "socket": 41,
        "socketpair": 53,
        "mmap": 9,
        "io_setup": 206,
        "clone": 56,
        "unshare": 272,
        "setns": 308,
        "ioctl": 16,
        "memfd_create": 319,
    },
    **{"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312},
    **{"keyctl": 250, "add_key": 248, "request_key": 249},
    **{"mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "swapon": 167, "swapoff": 168},
    **{"init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320},
    **{"reboot": 169, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "fanotify_init": 300},
    **{"name_to_handle_at": 303, "open_by_handle_at": 304, "quotactl": 179, "acct": 163, "syslog": 103},
    **{"settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305},
    **{"sethostname": 170, "setdomainname": 171, "personality": 135, "move_pages": 279, "migrate_pages": 256},
    **{"shmget": 29, "shmat": 30, "shmctl": 31, "shmdt": 67, "semget": 64, "semop": 65, "semctl": 66, "semtimedop": 220},
    **{"msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241},
    **{"iopl": 172, "ioperm": 173, "modify_ldt": 154, "vhangup": 153, "nfsservctl": 180, "uselib": 134, "lookup_dcookie": 212},
}
_AARCH64 = {
    **{
        "socket": 198,
        "socketpair": 199,
        "mmap": 222,
        "io_setup": 0,
        "clone": 220,
        "unshare": 97,
        "setns": 268,
        "ioctl": 29,
        "memfd_create": 279,
    },
    **{"ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272},
    **{"keyctl": 219, "add_key": 217, "request_key": 218},
    **{"mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "swapon": 224, "swapoff": 225},
    **{"init_module": 105, "finit_module": 273, "delete_module": 106, "kexec_load": 104, "kexec_file_load": 294},
    **{"reboot": 142, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "fanotify_init": 262},
    **{"name_to_handle_at": 264, "open_by_handle_at": 265, "quotactl": 60, "acct": 89, "syslog": 116},
    **{"settimeofday": 170, "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266},
    **{"sethostname": 161, "setdomainname": 162, "personality": 92, "move_pages": 239, "migrate_pages": 238},
    **{"shmget": 194, "shmat": 196, "shmctl": 195, "shmdt": 197, "semget": 190, "semop": 193, "semctl": 191, "semtimedop": 192},
    **{"msgget": 186, "msgsnd": 189, "msgrcv": 188, "msgctl": 187, "mq_open": 180, "mq_unlink": 181},
    **{"vhangup": 58, "nfsservctl": 42, "lookup_dcookie": 18},
}
_ARCHITECTURES = {
    "x86_64": _Architecture(0xC000003E, _COMMON | _X86_64),
    "aarch64": _Architecture(0xC00000B7, _COMMON | _AARCH64),
}
#: Not refused as a whole, but for some arguments.
_BY_ARGUMENT = ("clone", "socket", "socketpair", "ioctl", "mmap")
#: The C library falls back to older calls, which it does not after EPERM.
_UNKNOWN_CALL = frozenset(("clone3", "memfd_create", "memfd_secret", "io_uring_setup"))


def supported(machine: str = "") -> bool:
    """Whether there is a filter for this processor (or the one named, as ``uname -m`` has it)."""
    return (machine or platform.machine()) in _ARCHITECTURES


def refused(machine: str = "") -> Mapping[str, int]:
    """Names and numbers of the calls that the filter refuses whatever their arguments."""
    numbers = _ARCHITECTURES[machine or platform.machine()].numbers
    return {name: number for name, number in numbers.items() if name not in _BY_ARGUMENT}


def program(machine: str = "") -> bytes:
    """Assembles the filter: an array of ``struct sock_filter``.

    Raises:
        OSError: ``ENOSYS`` if there is none for this processor.
    """
    machine = machine or platform.machine()
    if not supported(machine):
        raise OSError(errno.ENOSYS, f"there is no system-call filter for {machine}; there is for {', '.join(_ARCHITECTURES)}")
    architecture = _ARCHITECTURES[machine]
    numbers = architecture.numbers
    parts = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        _instruction(_JUMP_EQUAL, architecture.audit, 1, 0),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _NUMBER_AT),
        # Also above every number of other architectures.
        *_returning(_JUMP_AT_LEAST, _X32, errno.ENOSYS),
    ]
    for name, number in sorted(refused(machine).items()):
        parts += _returning(_JUMP_EQUAL, number, errno.ENOSYS if name in _UNKNOWN_CALL else errno.EPERM)
    parts += _about_argument(numbers["clone"], _FIRST_ARGUMENT_AT, _returning(_JUMP_ANY_BIT, _NEW_NAMESPACES, errno.EPERM))
    for name in ("socket", "socketpair"):
        parts += _about_argument(numbers[name], _FIRST_ARGUMENT_AT, _returning_unless(_AF_UNIX, errno.EACCES))
    shared = [_instruction(_AND, _SHARED_ANONYMOUS), *_returning(_JUMP_EQUAL, _SHARED_ANONYMOUS, errno.EPERM)]
    parts += _about_argument(numbers["mmap"], _FOURTH_ARGUMENT_AT, shared)
    input_forged = [instruction for code in (_TIOCSTI, _TIOCLINUX) for instruction in _returning(_JUMP_EQUAL, code, errno.EPERM)]
    parts += _about_argument(numbers["ioctl"], _SECOND_ARGUMENT_AT, input_forged)
    parts.append(_instruction(_RETURN, _ALLOW))
    return b"".join(parts)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _returning(test: int, value: int, error: int) -> list[bytes]:
    """Fails the call with ``error`` if the loaded word passes a test."""
    return [_instruction(test, value, 0, 1), _instruction(_RETURN, _ERRNO | error)]


def _returning_unless(value: int, error: int) -> list[bytes]:
    return [_instruction(_JUMP_EQUAL, value, 1, 0), _instruction(_RETURN, _ERRNO | error)]


def _about_argument(number: int, offset: int, tests: list[bytes]) -> list[bytes]:
    """Applies tests to an argument of one call; the call's number is loaded before and after."""
    # The kernel looks at the low half of these arguments only.
    body = [_instruction(_LOAD, offset), *tests, _instruction(_LOAD, _NUMBER_AT)]
    return [_instruction(_JUMP_EQUAL, number, 0, len(body)), *body]
