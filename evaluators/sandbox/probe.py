"""Tries out, once per process, whether this machine lets a program run at level ``strong``, and says what is in the way."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache

from evolve.evaluators.sandbox import bubblewrap, confine, confinement, landlock, seccomp, visible
from evolve.program import Limits

#: A cold disk and a busy machine; it takes some 50 ms.
_TIMEOUT_S = 30.0
_TAIL = 500
_CONTAINER = (
    "in a container allow nested namespaces (docker: --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined, as root with --cap-add SYS_ADMIN --cap-add NET_ADMIN as well; docs/cluster.md)"
)
_USER_NAMESPACES = (
    "let ordinary users make namespaces (sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000; on "
    f"Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0), or run as root; {_CONTAINER}"
)


@cache
def what_strong_lacks() -> str:
    """Names the piece of level ``strong`` that is missing, with the remedy; empty if all is there."""
    if not sys.platform.startswith("linux"):
        return f"it needs Linux, this is {sys.platform}"
    if bubblewrap.executable() is None:
        return "bubblewrap is not installed; install it, on Debian or Ubuntu with: apt-get install bubblewrap"
    try:
        landlock.abi()
    except OSError as error:
        return why_no_landlock(error)
    if not seccomp.supported():
        return f"there is no system-call filter for {os.uname().machine}; use level landlock, or an x86_64 or aarch64 machine"
    return _try_out()


def why_no_landlock(error: OSError) -> str:
    """Says why Landlock is not to be had, and what to do."""
    if error.errno == errno.EOPNOTSUPP:
        return "Landlock is switched off; add it to the kernel's lsm= boot parameter"
    if error.errno == errno.ENOSYS:
        return "the kernel has no Landlock, or a container's filter hides it; use Linux 5.13 or later and a current runtime"
    return f"Landlock cannot be used ({error.strerror}); a container may need another seccomp profile"


def _try_out() -> str:
    """Starts a sandbox whose one process does what a server and a program's process do."""
    ours, theirs = socket.socketpair()
    machine = visible.of_machine()
    ruleset = landlock.make_ruleset(visible.rules(machine))
    with ours, theirs:
        inside = f"{bubblewrap.INSIDE}/{confine.__file__.rpartition('/')[2]}"
        argv = [bubblewrap.python(), "-I", "-S", "-B", inside, str(theirs.fileno()), _fields(ruleset)]
        try:
            ran = subprocess.run(
                bubblewrap.command(machine, argv),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT_S,
                pass_fds=(theirs.fileno(), ruleset),
                start_new_session=True,
                env={},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"bubblewrap cannot be run: {error}"
        finally:
            os.close(ruleset)
        theirs.close()
        said = _all_of(ours)
    if ran.returncode == 0 and said == b"confined":
        return ""
    text = (said + ran.stderr).decode(errors="replace").strip()[-_TAIL:]
    remedy = _CONTAINER if os.geteuid() == 0 else _USER_NAMESPACES
    return f"the kernel refuses a part of it: {text or f'status {ran.returncode}'}; {remedy}"


def _fields(ruleset: int) -> str:
    limits = Limits(timeout_s=1.0, memory_mb=64, scratch_mb=1, max_processes=8)
    fields = confinement.of(limits, ruleset, 0, others=confinement.other_processes(strong=True), strong=True)
    return json.dumps({**fields, "scratch": confine.SCRATCH, "seccomp": fields["seccomp"].hex()})


def _all_of(stream: socket.socket) -> bytes:
    parts = []
    with suppress(OSError):
        while part := stream.recv(4096):
            parts.append(part)
    return b"".join(parts)
