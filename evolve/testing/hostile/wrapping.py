"""Puts a hostile source in front of an honest one, so that a program exists that does both."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import PurePosixPath

from evolve.errors import TaskError
from evolve.program import Files

#: How a program says that its attack went through.
GOT = "THE ATTACK WENT THROUGH: "
# Runs in the sandbox. The name of a process is inherited by whatever it forks, and is what remains are found by.
_BEGIN = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(15, b"@TOKEN@", 0, 0, 0)

def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def system_call(name, *arguments):
    machine = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
    number = {
        "ptrace": (101, 117), "mount": (165, 40), "unshare": (272, 97), "add_key": (248, 217), "bpf": (321, 280),
        "io_uring_setup": (425, 425), "perf_event_open": (298, 241), "process_vm_readv": (310, 270), "shmget": (29, 194),
        "process_vm_writev": (311, 271), "userfaultfd": (323, 282), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
        "open_by_handle_at": (304, 265), "init_module": (175, 105), "setns": (308, 268), "clock_settime": (227, 112),
    }[name][machine]
    return called(libc.syscall(number, *arguments))
"""
_RUN = """
if "attack" in globals():
    try:
        got = attack()
    except Exception:
        got = None
    if got:
        raise SystemExit(@GOT@ + str(got)[-1500:])
"""
# Only the outermost call answers with a lie: the honest source calls its own functions.
_LIE = """
def _wrap(module):
    depth = []

    def lying(function):
        def wrapper(*arguments, **keywords):
            depth.append(1)
            try:
                answer = function(*arguments, **keywords)
            finally:
                depth.pop()
            return answer if depth else lie(answer)
        return wrapper

    for name, value in list(module.items()):
        if type(value) is type(_wrap) and value.__module__ == module["__name__"]:
            module[name] = lying(value)
"""


def wrapped(files: Files, source: str, facts: Mapping[str, str]) -> dict[str, str]:
    """Adds a hostile source to a program.

    Args:
        files: The honest program; the first file is the one that calls go to.
        source: See `evolve.testing.hostile.record.Hostile`.
        facts: What ``@NAME@`` in the source stands for.

    Raises:
        TaskError: If the program is not one of Python.
    """
    entry = next(iter(files))
    if PurePosixPath(entry).suffix != ".py":
        raise TaskError(f"hostile programs are written in Python, and {entry} is not; choose a task whose first file is")
    # Backwards, so that a traceback that shows the source is not taken for its word.
    hostile = _BEGIN + source + _RUN.replace("@GOT@", f"{GOT[::-1]!r}[::-1]") + (_LIE if "def lie(" in source else "")
    for name, value in facts.items():
        hostile = hostile.replace(f"@{name}@", value)
    before = f"_hostile = {{'__name__': 'hostile'}}\nexec({hostile!r}, _hostile)\n"
    after = "\n_hostile['_wrap'](globals())\n" if "def lie(" in source else ""
    lines = files[entry].splitlines(keepends=True)
    first = _first_line(files[entry])
    return {**files, entry: "".join(lines[:first]) + before + "".join(lines[first:]) + after}


def _first_line(text: str) -> int:
    """Finds the line before which code may be put: imports from ``__future__`` must stay first."""
    ends = [
        node.end_lineno or 0 for node in ast.parse(text).body if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    return max(ends, default=0)
