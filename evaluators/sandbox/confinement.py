"""What the children of a fork server are held to, as its runner is told by whoever starts it."""

from __future__ import annotations

import os
from typing import Any

from evolve.evaluators.sandbox import confine, seccomp, tree
from evolve.program import Limits

#: Where programs, compilers and interpreters are looked for.
PATH = "/usr/local/bin:/usr/bin:/bin"
_ONE_THREAD = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS")
#: They map more address space than they use, by tens of gigabytes.
_LARGE_ADDRESS_SPACE = frozenset(("torch", "jax", "tensorflow", "cupy"))
#: Non-root users have other processes, which RLIMIT_NPROC counts as well; the limit is only there to stop a runaway.
_SPARE_USER_PROCESSES = 1000


def of(limits: Limits, ruleset: int, server: int, *, others: int, strong: bool) -> dict[str, Any]:  # Any: plain data
    """Writes down a `confine.Confinement`, but for the scratch folder, which is the runner's to fill in.

    Args:
        limits: What children are held to unless they are told otherwise.
        ruleset: Landlock's descriptor; -1 for none.
        server: Which fork server of this process it is for.
        others: Processes that the kernel counts with the program's (see `other_processes`).
        strong: Whether it is for level ``strong``.
    """
    large = limits.gpus > 0 or not _LARGE_ADDRESS_SPACE.isdisjoint(limits.preload)
    fields = confine.Confinement(
        strong=strong,
        scratch="",
        ruleset=ruleset,
        seccomp=seccomp.program() if strong else b"",
        uid=confine.user(os.getpid(), server) if strong and os.geteuid() == 0 else -1,
        scratch_mb=limits.scratch_mb,
        limit_address_space=not large,
        **kernel_limits(limits, others),
    )
    return fields._asdict()


def other_processes(*, strong: bool) -> int:
    """How many processes the kernel's limit on a user's has to leave room for beside a program's; -1 where it does not bind."""
    root = os.geteuid() == 0
    if strong:
        # In namespaces of their own a user has no others; the server and the first process are root's, or else count.
        return 0 if root else 2
    return -1 if root else tree.processes_of_user() + _SPARE_USER_PROCESSES


def kernel_limits(limits: Limits, others: int) -> dict[str, Any]:  # Any: plain data
    """The part of a confinement that can differ from child to child.

    Args:
        limits: Of the child.
        others: See `other_processes`.
    """
    return {
        "timeout_s": limits.timeout_s,
        "memory_mb": limits.memory_mb,
        "max_processes": limits.max_processes,
        "user_processes": 0 if others < 0 else limits.max_processes + others,
    }


def environment() -> dict[str, str]:
    """The whole environment of a program, but for its folders: nothing of the user's is in it."""
    one_thread = {f"{name}_NUM_THREADS": "1" for name in _ONE_THREAD}
    fixed = {"PATH": PATH, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg"}
    # Every arena of the C library's allocator maps 64 MB of address space, which is limited.
    return fixed | {"USER": "program", "MALLOC_ARENA_MAX": "2"} | one_thread
