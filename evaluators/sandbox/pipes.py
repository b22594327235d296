"""The worker's ends of an executed process's standard streams, and the news of its end. Nothing here blocks on the process."""

from __future__ import annotations

import os
import select
from contextlib import suppress

_CHUNK_BYTES = 2**16
KEPT_ERROR_BYTES = 2**13
#: A pipe holds at most this much (``/proc/sys/fs/pipe-max-size``), so what is left of a stream is read in so many steps.
_LAST_READS = 2**20 // _CHUNK_BYTES + 1


class TooMuchOutput(Exception):
    """The process prints more than it may."""


class Pipes:
    """Feeds standard input, stores standard output up to a limit, and keeps the end (or the beginning) of standard error."""

    def __init__(self, stdin: int, stdout: int, stderr: int, process: int, limit_bytes: int, *, keep_first: bool = False) -> None:
        """Takes over the descriptors.

        Args:
            stdin: Write end of its input.
            stdout: Read end of its output.
            stderr: Read end of its standard error.
            process: Descriptor of the process.
            limit_bytes: Of output that is stored.
            keep_first: Keep the beginning of standard error, not its end.
        """
        self.output = bytearray()
        """What it has printed and nobody has taken yet."""
        self.error = bytearray()
        """The end, or the beginning, of what it has printed to standard error."""
        self.output_ended = False
        """Whether no more output can come."""
        self._stdin, self._stdout, self._stderr, self._process = stdin, stdout, stderr, process
        self._limit_bytes = limit_bytes
        self._keep_first = keep_first
        self._outgoing = memoryview(b"")
        self._closing = False
        self._poll = select.poll()
        for descriptor in (stdout, stderr, process):
            self._poll.register(descriptor, select.POLLIN)
        for descriptor in (stdin, stdout, stderr):
            os.set_blocking(descriptor, False)

    @property
    def ended(self) -> bool:
        """Whether the process itself has ended."""
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        return bool(poll.poll(0))

    def feed(self, data: bytes) -> None:
        """Queues input; `pump` writes it."""
        if self._stdin >= 0 and not self._closing:
            self._outgoing = memoryview(bytes(self._outgoing) + data)
            self._write()

    def close_input(self) -> None:
        """Closes standard input once everything queued is written."""
        self._closing = True
        self._write()

    def pump(self, timeout_s: float) -> None:
        """Moves what can be moved, waiting for it up to ``timeout_s``.

        Raises:
            TooMuchOutput: If more is printed than may be stored.
        """
        # Rounded up: a wait of 0 ms would turn into a busy loop.
        ready = dict(self._poll.poll(max(int(timeout_s * 1000) + 1, 0)))
        if self._stdin in ready:
            self._write()
        if self._stdout in ready:
            self._read_output()
        if self._stderr in ready:
            self._read_error()

    def drain(self) -> None:
        """Reads what an ended process has left in its streams, whoever still holds their other ends.

        Raises:
            TooMuchOutput: See `pump`.
        """
        for _ in range(_LAST_READS):
            read = self._read_output()
            if not (self._read_error() or read):
                return

    def close(self) -> None:
        """Gives the descriptors back; what was read stays."""
        self._closing, self._outgoing = True, memoryview(b"")
        self._write()
        for descriptor in (self._stdout, self._stderr, self._process):
            if descriptor >= 0:
                os.close(descriptor)
        self._stdout = self._stderr = self._process = -1

    def _write(self) -> None:
        if self._stdin < 0:
            return
        try:
            while self._outgoing:
                self._outgoing = self._outgoing[os.write(self._stdin, self._outgoing[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            self._poll.register(self._stdin, select.POLLOUT)
            return
        except OSError:
            # It does not read any more; what becomes of it shows in what it prints and how it ends.
            self._outgoing, self._closing = memoryview(b""), True
        with suppress(KeyError):
            self._poll.unregister(self._stdin)
        if self._closing:
            os.close(self._stdin)
            self._stdin = -1

    def _read_output(self) -> bool:
        part = self._read(self._stdout)
        if part == b"":
            self.output_ended = True
        elif part:
            self.output += part
            if len(self.output) > self._limit_bytes:
                raise TooMuchOutput
        return bool(part)

    def _read_error(self) -> bool:
        part = self._read(self._stderr) or b""
        self.error += part
        if self._keep_first:
            del self.error[KEPT_ERROR_BYTES:]
        else:
            del self.error[:-KEPT_ERROR_BYTES]
        return bool(part)

    def _read(self, descriptor: int) -> bytes | None:
        """Reads once: nothing at the end of the stream, None where there is nothing now."""
        try:
            part = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return None
        if not part:
            # At its end a pipe is always ready.
            with suppress(KeyError):
                self._poll.unregister(descriptor)
        return part
