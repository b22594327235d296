"""The worker's end of a sandboxed process: frames in both directions, printed text, and the news of its end."""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress

from evolve.evaluators.sandbox import wire

_CHUNK_BYTES = 2**16
_KEPT_OUTPUT_BYTES = 2**13
#: A pipe holds at most this much (``/proc/sys/fs/pipe-max-size``), so what is left of the output is read in so many steps.
_LAST_READS = 2**20 // _CHUNK_BYTES + 1
#: Waking a process on an idle processor takes some 30 us, more than a quick answer does.
_SPIN_S = 1e-4


class FrameTooLong(Exception):
    """The process announces more than it may send.

    Attributes:
        size_bytes: What it announced.
    """

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes


class Channel:
    """Never blocks on a process that neither reads nor writes, and never stores more than one frame of it.

    What the process prints goes through a pipe that is drained while waiting for an answer: printing costs the process
    nothing, never fails and fills neither memory nor disk, and the last lines, which say what went wrong, are kept.
    """

    def __init__(self, channel: socket.socket, output: int, process: int, limit_bytes: int) -> None:
        """Takes over the descriptors.

        Args:
            channel: Non-blocking; carries frames.
            output: Non-blocking read end of what the process prints.
            process: Descriptor of the process.
            limit_bytes: Of one received frame.
        """
        self._socket = channel
        self._output = output
        self._process = process
        self._limit_bytes = limit_bytes
        self._outgoing = memoryview(b"")
        self._descriptor = -1
        self._header = bytearray()
        self._payload: bytearray | None = None
        self._filled = 0
        self._printed = bytearray()
        self._hung_up = False
        self._poll = select.poll()
        for descriptor in (channel.fileno(), output, self._process):
            self._poll.register(descriptor, select.POLLIN)

    def send(self, payload: bytes, descriptor: int = -1) -> None:
        """Queues a frame; `pump` sends it.

        Args:
            payload: What it holds.
            descriptor: Sent after it with a byte of its own, unless -1; must stay open until there is an answer.
        """
        self._outgoing = memoryview(bytes(self._outgoing) + wire.frame(payload))
        self._descriptor = descriptor
        self._write()

    def spin(self) -> None:
        """Waits for something to move for a moment without sleeping, so that the process need not wake anybody.

        The process gets the processor first, should it want this one.
        """
        until = time.monotonic() + _SPIN_S
        while time.monotonic() < until:
            os.sched_yield()
            if self._poll.poll(0):
                return

    def pump(self, timeout_s: float) -> bool:
        """Moves what can be moved, waiting for it up to ``timeout_s``.

        Returns:
            Whether a frame is complete or none will come any more.

        Raises:
            FrameTooLong: If the process announces more than the limit, before anything of it is stored.
        """
        writing = select.POLLOUT if self._outgoing or self._descriptor >= 0 else 0
        self._poll.modify(self._socket.fileno(), select.POLLIN | writing)
        # Rounded up: a wait of 0 ms would turn into a busy loop.
        ready = dict(self._poll.poll(max(int(timeout_s * 1000) + 1, 0)))
        if self._output in ready:
            self._drain(1)
        events = ready.get(self._socket.fileno(), 0)
        if events & select.POLLOUT:
            self._write()
        if events & ~select.POLLOUT:
            self._read()
        ended = self._process in ready
        if ended and not self._hung_up and not self._complete:
            # What it sent before it ended is still there; whoever has inherited its end is not heard.
            self._read()
        return self._complete or self._hung_up or ended

    def take(self) -> bytes | None:
        """The frame that was received, or None when there will be none."""
        if not self._complete:
            return None
        payload = self._payload
        self._header, self._payload, self._filled = bytearray(), None, 0
        return bytes(payload or b"")

    def wait_for_end(self, timeout_s: float) -> bool:
        """Whether the process itself has ended, or does so within ``timeout_s``."""
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        return bool(poll.poll(int(timeout_s * 1000)))

    def output_tail(self, characters: int) -> str:
        """The end of what the process printed."""
        return self._printed.decode(errors="replace")[-characters:]

    def close(self) -> None:
        """Gives the descriptors back; what was printed can still be asked for."""
        if self._process < 0:
            return
        self._drain(_LAST_READS)
        self._socket.close()
        os.close(self._output)
        os.close(self._process)
        self._process = -1

    @property
    def unsent(self) -> bool:
        """Whether something waits to be sent: whoever answers first has not read what it answers."""
        return bool(self._outgoing)

    @property
    def _complete(self) -> bool:
        return self._payload is not None and self._filled == len(self._payload)

    def _write(self) -> None:
        try:
            while self._outgoing:
                sent = self._socket.send(self._outgoing, socket.MSG_NOSIGNAL)
                self._outgoing = self._outgoing[sent:]
            if self._descriptor >= 0:
                socket.send_fds(self._socket, [b"\0"], [self._descriptor], socket.MSG_NOSIGNAL)
                self._descriptor = -1
        except BlockingIOError:
            return
        except OSError:
            # Reading finds out what became of it.
            self._outgoing, self._descriptor = memoryview(b""), -1

    def _read(self) -> None:
        """Reads as much of one frame as there is."""
        try:
            while not self._complete:
                if self._payload is None:
                    part = self._socket.recv(wire.HEADER.size - len(self._header))
                    self._header += part
                    size = len(part)
                    self._begin_payload()
                else:
                    size = self._socket.recv_into(memoryview(self._payload)[self._filled :])
                    self._filled += size
                if size == 0 and not self._complete:
                    self._hung_up = True
                    return
        except BlockingIOError:
            return
        except OSError:
            self._hung_up = True

    def _begin_payload(self) -> None:
        if len(self._header) < wire.HEADER.size:
            return
        (size,) = wire.HEADER.unpack(self._header)
        if size > self._limit_bytes:
            raise FrameTooLong(size)
        self._payload = bytearray(size)

    def _drain(self, reads: int) -> None:
        for _ in range(reads):
            with suppress(BlockingIOError):
                part = os.read(self._output, _CHUNK_BYTES)
                if part:
                    self._printed += part
                    del self._printed[:-_KEPT_OUTPUT_BYTES]
                    continue
                # At its end a pipe is always ready.
                with suppress(KeyError):
                    self._poll.unregister(self._output)
            return
