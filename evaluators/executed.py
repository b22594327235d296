"""What an evaluator gets of a program that it executes: what came out in the end, or a conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Completed", "Session"]


@dataclass(frozen=True, slots=True)
class Completed:
    """A process that has ended.

    Attributes:
        stdout: All that it printed.
        stderr: The end of what it printed to standard error, 8 kB at most.
        returncode: Its exit status, or minus the signal that ended it.
        cpu_s: CPU seconds of its process tree, measured outside it, from the moment in which it takes the place of the warm
            interpreter. Letting go of that one's memory counts still, the same for every program: some 4 ms with numpy.
        wall_s: Wall-clock seconds from that moment to its end.
    """

    stdout: bytes
    stderr: bytes
    returncode: int
    cpu_s: float
    wall_s: float


class Session(Protocol):
    """A running process to talk to, line by line or byte by byte.

    The evaluation's wall clock runs while a method waits for the program; its CPU seconds always do. Whatever
    goes wrong is `ProgramFailed`, once and for every further call.
    """

    @property
    def cpu_s(self) -> float:
        """CPU seconds of its process tree so far, measured outside it (see `Completed`)."""
        ...

    @property
    def returncode(self) -> int | None:
        """Its exit status, or minus the signal that ended it; None while it runs."""
        ...

    def send(self, data: str | bytes) -> None:
        """Writes to its standard input: a text as a line, with the line's end added, bytes as they are.

        Never waits: what the program has not read yet is sent while something is received. To a program that has ended or
        closed its input nothing is sent, which shows when an answer is waited for.
        """
        ...

    def receive_line(self, timeout_s: float | None = None) -> bytes:
        r"""Waits for a line and returns it without its end (``\n`` or ``\r\n``); the last one need not have any.

        Args:
            timeout_s: Wall-clock seconds for this line, where that is less than what the evaluation has left.

        Raises:
            ProgramFailed: If it ends before, passes a limit, or the line is longer than ``limits.max_reply_mb``.
        """
        ...

    def receive(self, n_bytes: int, timeout_s: float | None = None) -> bytes:
        """Waits for exactly so many bytes.

        Raises:
            ProgramFailed: See `receive_line`.
            ValueError: If more are wanted than ``limits.max_reply_mb``.
        """
        ...

    def close_input(self) -> None:
        """Ends its standard input, once everything is sent."""
        ...

    def wait(self, timeout_s: float | None = None) -> int:
        """Ends its standard input, waits for its end and returns `returncode`; what it prints meanwhile is dropped.

        Raises:
            ProgramFailed: If it does not end by itself within the limits.
        """
        ...
