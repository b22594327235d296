"""What a process of the sandbox gives up before a program's first line runs in it.

Stands alone like ``runner.py``, which loads it by path: the standard library only. Every function raises OSError with the
name of what the kernel refused.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
from typing import Any, NamedTuple

#: The one folder that programs may write, and below it the file system that is mounted for each of them.
SCRATCH_ROOT = "/scratch"
#: As root each worker's programs run as a user of their own: this number and the worker's process id, far from real users.
FIRST_USER = 0x70000000
_MOUNTED = f"{SCRATCH_ROOT}/run"
SCRATCH = f"{_MOUNTED}/work"
#: Where programs find a folder for temporary files even if ``/tmp`` holds the interpreter's packages.
TEMPORARY = f"{_MOUNTED}/tmp"
_TEMPORARY_FOLDERS = ("tmp", "shm")
#: Files and folders: an empty one costs the kernel about 1 kB.
_INODES_PER_MB = 64

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 22, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_SYS_LANDLOCK_ADD_RULE, _SYS_LANDLOCK_RESTRICT_SELF = 445, 446
_LANDLOCK_RULE_PATH_BENEATH = 1
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_MS_NOSUID, _MS_NODEV, _MNT_DETACH = 2, 4, 2
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_RELATIME = 1, 32, 4096, 1 << 21
#: NOSUID, NODEV, NOEXEC, NOATIME, NODIRATIME: the same bits for statvfs and for mount.
_SAME_MOUNT_FLAGS = 2 | 4 | 8 | 1024 | 2048
_CLONE_NEWPID = 0x20000000
#: What a thread maps for its stack where nobody has changed it.
_STACK_BYTES = 8 * 2**20
#: Carries frames to and from the worker.
CHANNEL = 3

_libc = ctypes.CDLL(None, use_errno=True)


class Confinement(NamedTuple):
    """What one program is held to; the worker decides, the runner passes it on.

    Attributes:
        strong: Whether it gets namespaces, a user of its own and a system-call filter.
        scratch: Its working folder.
        ruleset: Landlock's descriptor; -1 for none.
        seccomp: The system-call filter; empty for none.
        uid: The user that it becomes; -1 for the one that it is.
        timeout_s: CPU seconds.
        memory_mb: Memory of one process, and the size of one file.
        scratch_mb: Size of its private file system, where it has one.
        max_processes: Processes and threads at once.
        user_processes: The kernel's limit on its user's processes; 0 for none.
        limit_address_space: Whether mapped memory is limited.
    """

    strong: bool
    scratch: str
    ruleset: int
    seccomp: bytes
    uid: int
    timeout_s: float
    memory_mb: int
    scratch_mb: int
    max_processes: int
    user_processes: int
    limit_address_space: bool


def user(worker: int, number: int) -> int:
    """The user that the programs of a worker's fork servers become, each server's another one.

    Args:
        worker: The worker's process id, of 22 bits at most.
        number: Which of its servers.
    """
    return FIRST_USER + worker + (number << 22)


# In the server.


def grant(ruleset: int, rules: list[list[Any]]) -> None:
    """Adds rights on paths that exist only inside the sandbox to a Landlock ruleset."""
    for path, rights in rules:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, descriptor), 12)
        result = _libc.syscall(_SYS_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        os.close(descriptor)
        _check(result, f"Landlock's rule for {path}")


def keep_times(devices: list[str]) -> None:
    """Mounts device files read-only: they can be used as before, but not have their times changed, which everybody would see."""
    for device in devices:
        found = os.statvfs(device).f_flag
        # Flags that another user namespace has set must stay set.
        flags = found & _SAME_MOUNT_FLAGS | (_MS_RELATIME if found & os.ST_RELATIME else 0)
        result = _libc.mount(None, device.encode(), None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | flags, None)
        _check(result, f"mounting {device} read-only")


def mount_scratch(confinement: Confinement) -> None:
    """Mounts an empty file system of bounded size with the program's folders in it."""
    owner = "" if confinement.uid < 0 else f",uid={confinement.uid},gid={confinement.uid}"
    options = f"size={confinement.scratch_mb}m,nr_inodes={confinement.scratch_mb * _INODES_PER_MB},mode=0700{owner}"
    result = _libc.mount(b"scratch", _MOUNTED.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, options.encode())
    _check(result, "a file system in memory (tmpfs)")
    for name in (os.path.basename(SCRATCH), *_TEMPORARY_FOLDERS):
        path = f"{_MOUNTED}/{name}"
        os.mkdir(path, 0o700)
        if confinement.uid >= 0:
            os.chown(path, confinement.uid, confinement.uid)


def unmount_scratch() -> None:
    """Gives the file system back; it is gone with the last process that uses it."""
    _check(_libc.umount2(_MOUNTED.encode(), _MNT_DETACH), "unmounting the scratch folder")


def next_children_in_new_pid_namespace() -> None:
    """Has the children that this process makes from here on be in a process-id namespace of their own, the next its first."""
    # Back to our own first: a process may choose a namespace for its children once only.
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(own, _CLONE_NEWPID), "joining a process-id namespace")
    finally:
        os.close(own)
    _check(_libc.unshare(_CLONE_NEWPID), "a process-id namespace for each evaluation")


# In the child.


def die_with(parent: int) -> None:
    """Ties this process to its parent, whose id inside this namespace is ``parent`` (0: outside)."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(70)


def arrange_descriptors(descriptors: list[int], keep: tuple[int, ...]) -> None:
    """Puts the channel, standard input, output and error in their places (3, 0, 1, 2) and closes what is not to be kept.

    Args:
        descriptors: In the order above.
        keep: Others to leave open.
    """
    # Duplicated above everything first: the numbers handed over may be the ones to be overwritten.
    high = [os.dup(fd) for fd in descriptors]
    os.dup2(high[0], CHANNEL, inheritable=False)
    for target, source in enumerate(high[1:]):
        os.dup2(source, target)
    kept = sorted(fd for fd in keep if fd > CHANNEL)
    # Numbers may be above every limit: the worker may have had a higher one when it opened them.
    end = max(map(int, os.listdir("/proc/self/fd"))) + 1
    for low, above in zip([CHANNEL, *kept], [*kept, max(end, *kept, CHANNEL)], strict=True):
        if low + 1 < above:
            os.closerange(low + 1, above)


def confine(confinement: Confinement, mapped_bytes: int, *, interpreter: bool) -> None:
    """Gives up, for good, everything that the program is not to have.

    Args:
        confinement: What it is held to.
        mapped_bytes: Address space that the warm interpreter has mapped already.
        interpreter: Whether the program runs in this interpreter; otherwise another one is started in its place, which may
            reserve far more address space than it uses (Node.js, Go, the JVM).
    """
    os.chdir(confinement.scratch)
    # Out of memory, the kernel is to end a program before the server that it was forked from, and before anything else.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    _limit(confinement, mapped_bytes, interpreter=interpreter)
    if confinement.strong:
        _drop_privileges(confinement.uid)
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "giving up new privileges")
    if confinement.ruleset >= 0:
        _check(_libc.syscall(_SYS_LANDLOCK_RESTRICT_SELF, confinement.ruleset, 0), "Landlock")
        os.close(confinement.ruleset)
    if confinement.seccomp:
        _filter_system_calls(confinement.seccomp)


def _drop_privileges(uid: int) -> None:
    """Becomes a user whom nothing else belongs to, and drops every capability."""
    if uid >= 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "giving up ambient capabilities")
    header = ctypes.create_string_buffer(struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0), 8)
    _check(_libc.capset(header, ctypes.create_string_buffer(24)), "giving up capabilities")
    # A change of user clears it.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _filter_system_calls(program: bytes) -> None:
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.create_string_buffer(header, len(header)), 0, 0), "seccomp")


def _limit(confinement: Confinement, mapped_bytes: int, *, interpreter: bool) -> None:
    """Sets the kernel's own limits; most are backstops of what the worker measures from outside."""
    memory_bytes = confinement.memory_mb * 2**20
    cpu_s = int(confinement.timeout_s) + 2
    _lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)
    _lower(resource.RLIMIT_CORE, 0, 0)
    _lower(resource.RLIMIT_FSIZE, memory_bytes, memory_bytes)
    _lower(resource.RLIMIT_NOFILE, 512, 512)
    # Stacks are mapped in full and hardly used; the worker counts what is used.
    stacks_bytes = confinement.max_processes * _STACK_BYTES
    if interpreter and confinement.limit_address_space:
        _lower(resource.RLIMIT_AS, *[mapped_bytes + memory_bytes + stacks_bytes] * 2)
    elif not interpreter:
        _lower(resource.RLIMIT_DATA, *[memory_bytes + stacks_bytes] * 2)
    if confinement.user_processes:
        _lower(resource.RLIMIT_NPROC, *[confinement.user_processes] * 2)


def _lower(which: int, soft: int, hard: int) -> None:
    most = resource.getrlimit(which)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(which, (soft, hard))


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


# Trying it out.


def _try_out(descriptor: int, fields: dict[str, Any]) -> None:
    """Does once what a server and a program's process do, and writes ``confined``, or what was refused, to a descriptor."""
    confinement = Confinement(**{**fields, "seccomp": bytes.fromhex(fields["seccomp"])})
    try:
        mount_scratch(confinement)
        next_children_in_new_pid_namespace()
        child = os.fork()
        if child:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        confine(confinement, 2**30, interpreter=True)
        os.write(descriptor, b"confined")
    except OSError as error:
        os.write(descriptor, str(error).encode())
        os._exit(1)


if __name__ == "__main__":
    _try_out(int(sys.argv[1]), json.loads(sys.argv[2]))
