"""Starts the interpreter of a fork server behind the walls that its isolation level asks for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evolve.evaluators.sandbox import bubblewrap, confinement, landlock, visible
from evolve.program import Isolation, Limits

_RUNNER = Path(__file__).with_name("runner.py")


class Launched(NamedTuple):
    """An interpreter that has just been started and waits for what it is told first.

    Attributes:
        process: It, or bubblewrap above it.
        control: Our end of its socket.
        libraries: Folders that it may import from: its first message, in plain bytes, for it can decode nothing yet.
        orders: Its second message, see ``runner.py``.
        others: Processes beside it that count towards its user's limit (see `confinement.other_processes`).
    """

    process: subprocess.Popen[bytes]
    control: socket.socket
    libraries: bytes
    orders: dict[str, Any]  # Any: plain data
    others: int


def launch(limits: Limits, isolation: Isolation, *, number: int, hidden: Sequence[Path], keep_open: Sequence[int]) -> Launched:
    """Starts an interpreter and does not wait for it.

    Args:
        limits: Of one evaluation.
        isolation: The level, which must be available.
        number: Tells it from the other fork servers of this process.
        hidden: Folders that no program may read.
        keep_open: Descriptors that it holds until it is gone.

    Raises:
        OSError: If it cannot be started.
    """
    strong = isolation is Isolation.STRONG
    restricted = isolation is not Isolation.PROCESS
    machine = visible.of_machine(hidden, limits.gpus)
    kernel = visible.kernel_rules(limits.gpus)
    rules = [*visible.rules(machine, limits.gpus), *([] if strong else kernel)]
    others = confinement.other_processes(strong=strong)
    ruleset = landlock.make_ruleset(rules) if restricted else -1
    try:
        orders = {
            "preload": list(limits.preload),
            "temporary": tempfile.gettempdir(),
            # Inside a process-id namespace the kernel's files are others.
            "grants": [(str(path), landlock.grantable(rights, folder=path.is_dir())) for path, rights in kernel if strong],
            "devices": bubblewrap.devices(limits.gpus) if strong else [],
            "writing": landlock.grantable(landlock.WRITE, folder=True) if restricted else 0,
            "confinement": confinement.of(limits, ruleset, number, others=others, strong=strong),
        }
        libraries = "\0".join(map(str, visible.site_packages())).encode()
        passed = [*keep_open, *([ruleset] if restricted else [])]
        process, control = _popen(machine, passed, limits.gpus, strong=strong)
        return Launched(process, control, libraries, orders, others)
    finally:
        if ruleset >= 0:
            os.close(ruleset)


def _popen(
    machine: visible.Visible, passed: Sequence[int], gpus: float, *, strong: bool
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts the process, which inherits some descriptors, and returns it with our end of its socket."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        # Not -I: it would ignore PYTHONHASHSEED, the one Python variable in the scrubbed environment.
        python = [bubblewrap.python() if strong else sys.executable, "-s", "-S", "-P", "-B"]
        runner = f"{bubblewrap.INSIDE}/{_RUNNER.name}" if strong else str(_RUNNER)
        # Inside a process-id namespace a parent outside is 0.
        argv = [*python, runner, str(theirs.fileno()), "0" if strong else str(os.getpid())]
        try:
            process = subprocess.Popen(
                bubblewrap.command(machine, argv, gpus=gpus) if strong else argv,
                stdin=subprocess.DEVNULL,
                env=confinement.environment(),
                cwd="/",
                pass_fds=(theirs.fileno(), *passed),
                start_new_session=True,
            )
        except OSError:
            control.close()
            raise
    return process, control
