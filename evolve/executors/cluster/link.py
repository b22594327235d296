"""The controller's end of a driver process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Self

from evolve.errors import ExecutorError
from evolve.evaluators.sandbox import wire
from evolve.executors.cluster.address import Address, Way
from evolve.executors.cluster.needs import Needs
from evolve.executors.cluster.orders import first_sentence

#: Starting Ray takes seconds, on a busy machine half a minute; joining a cluster that does not answer, as long as Ray tries.
CONNECT_S = 150.0
_LEAVE_S = 20.0
_LOG_SHOWN_BYTES = 1500
_LOG_READ_BYTES = 2**16

#: Ray gives ports to processes which bind them later, and ends those that find theirs taken; a second one gets another port.
_TRIES = 2

#: In the line with which Ray's own code says why it ends a process; hundreds of lines of its stack follow.
_FATAL = "Check failed"

#: Ray's name of the head's process, in its last words when that is gone.
_GCS = "GCS"

Hear = Callable[[Mapping[str, Any]], None]  # Any: plain data


class Link:
    """A connection with a cluster, by a driver process; once `closed` is done, it is of no more use."""

    def __init__(self, process: subprocess.Popen[bytes], log: int, hear: Hear) -> None:
        """Takes over what `open` made; use that."""
        self._process = process
        self._log = log
        self._hear = hear
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._why = ""
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(
        cls, address: Address, needs: Needs, parcel: bytes, at_once: int | None, hear: Hear, *, timeout_s: float = CONNECT_S
    ) -> Self:
        """Starts a driver process and waits until it is connected; starts another one where Ray crashes meanwhile.

        Args:
            address: Of the cluster.
            needs: Resources of one evaluation.
            parcel: What nodes unpack.
            at_once: How many evaluations a cluster that is started here shall hold; None is what the machine has.
            hear: Is called with what happens.
            timeout_s: How long to wait.

        Raises:
            ExecutorError: If the cluster cannot be reached, or Ray is not installed.
        """
        greeting = {
            "way": address.way.value,
            "address": address.text,
            "needs": asdict(needs),
            "parcel": parcel,
            "at_once": at_once,
        }
        for left in reversed(range(_TRIES)):
            try:
                return await cls._open(address, greeting, hear, timeout_s)
            except _Crashed:
                if not left:
                    raise
        raise AssertionError("every try returns or raises")

    @classmethod
    async def _open(cls, address: Address, greeting: Mapping[str, Any], hear: Hear, timeout_s: float) -> Self:  # Any: plain data
        ours, theirs = socket.socketpair()
        log = os.memfd_create("evolve-driver-log")
        with theirs:
            process = subprocess.Popen(
                # -P: a file of the current folder must not take a library's place.
                [sys.executable, "-P", "-m", "evolve.executors.cluster.driver", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                # Ray adds the driver's folder to the import path of every worker, on every node.
                cwd=tempfile.gettempdir(),
                start_new_session=True,
            )
        link = cls(process, log, hear)
        try:
            reader, link._writer = await asyncio.open_connection(sock=ours)
            link.send(greeting)
            async with asyncio.timeout(timeout_s):
                first = await _receive(reader)
        except TimeoutError:
            await link.close(patiently=address.way is Way.HERE)
            raise ExecutorError(f"{address.described} did not answer within {timeout_s:g} s. {_advice(address, '')}") from None
        except BaseException as error:
            text = link.log_tail()
            await link.close(patiently=address.way is Way.HERE)
            if isinstance(error, asyncio.IncompleteReadError | OSError):
                raise _Crashed(f"{address.described} cannot be reached: {_last_words(text)}. {_advice(address, text)}") from None
            raise
        if first["kind"] == "failed":
            text = f"{first['why']}\n{link.log_tail()}"
            await link.close()
            raise ExecutorError(f"{address.described} cannot be reached: {_brief(first['why'])}. {_advice(address, text)}")
        link._listening = asyncio.create_task(link._listen(reader))
        return link

    def send(self, message: Mapping[str, Any]) -> None:  # Any: plain data
        """Sends a message; one that can no longer arrive is dropped, and `closed` tells."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(wire.frame(wire.encode(dict(message))))

    def log_tail(self) -> str:
        """What Ray printed last."""
        size = os.fstat(self._log).st_size
        return os.pread(self._log, _LOG_READ_BYTES, max(size - _LOG_READ_BYTES, 0)).decode(errors="replace").strip()

    async def close(self, *, patiently: bool = True) -> None:
        """Leaves the cluster, ends one that was started for this, and waits until the process is gone.

        Args:
            patiently: Whether the process may take its time for that.
        """
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
        if self._listening is not None:
            self._listening.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S if patiently else 0.0):
                while self._process.poll() is None:
                    await asyncio.sleep(0.01)
        # Whatever is left of the session: the process itself where it hangs.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                event = await _receive(reader)
                if event["kind"] == "failed":
                    self._why = _brief(event["why"])
                else:
                    self._hear(event)
        except (asyncio.IncompleteReadError, OSError):
            self._why = self._why or (_brief(self.log_tail()) if _GCS in self.log_tail() else "")
        finally:
            if not self.closed.done():
                self.closed.set_result(self._why or "Ray ended its driver")


async def _receive(reader: asyncio.StreamReader) -> dict[str, Any]:  # Any: plain data
    (size,) = wire.HEADER.unpack(await reader.readexactly(wire.HEADER.size))
    message: dict[str, Any] = wire.decode(await reader.readexactly(size))
    return message


class _Crashed(ExecutorError):
    """A driver process ended before it said anything."""


def _last_words(text: str) -> str:
    """The end of a log, or the line in which Ray says why it ends its process."""
    fatal = [line for line in text.splitlines() if _FATAL in line]
    return fatal[-1].strip() if fatal else text[-_LOG_SHOWN_BYTES:]


def _brief(text: str) -> str:
    """The last line of a message that says something, as far as its first sentence goes."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return first_sentence(lines[-1]) if lines else ""


def _advice(address: Address, text: str) -> str:
    """Says what to do about a cluster that cannot be reached."""
    if "No module named 'ray'" in text:
        return "Ray is not installed; install it with: pip install 'evolve-platform[ray]'"
    if "AuthenticationError" in text or "InvalidAuthToken" in text or "Unauthenticated" in text:
        return "The cluster asks for its token: put it into RAY_AUTH_TOKEN or ~/.ray/auth_token here (docs/cluster.md)"
    if address.way is Way.HERE:
        return "Look at what Ray says above; `--executor local` evaluates without it"
    if address.way is Way.NODE:
        return (
            "Is its head running, and does a node of it run on this machine? If not, start one with "
            f"`ray start --address={address.text}`, or come in by the client server: --executor ray://HOST:10001"
        )
    if "timeout" in text:
        return "Is its token in RAY_AUTH_TOKEN or ~/.ray/auth_token here, and its client server on that port (10001 by default)?"
    return "Is its head running, with the client server on that port (10001 by default), and not behind a firewall?"
