"""An executor's end of one worker process."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from evolve.evaluators.sandbox import wire
from evolve.executors.messages import MESSAGE_LIMIT_BYTES

#: How long a killed worker's fork server may take to sweep away what was running.
_GONE_TIMEOUT_S = 10.0
_LOG_SHOWN_BYTES = 2000
#: An evaluator's thread pools must not crowd out the programs of other workers; a user's own setting wins.
_DEFAULTS = {"MPLBACKEND": "Agg", **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}}


class WorkerDied(Exception):
    """The worker process ended before it answered; the message says how, and what it printed."""


class WorkerProcess:
    """Starts a worker, talks to it, and makes sure that nothing is left of it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        alive: int,
        log: int,
    ) -> None:
        """Takes over what `start` made; use that."""
        self._process = process
        self._reader, self._writer = streams
        self._alive = alive
        self._log = log

    @classmethod
    async def start(cls) -> Self:
        """Starts the interpreter; the first `request` is the greeting."""
        ours, theirs = socket.socketpair()
        alive, alive_worker = os.pipe()
        # What the evaluator prints goes to a file that nobody sees unless something fails: never to the terminal, nor
        # into the JSON that a command prints.
        log = _log_file()
        with theirs:
            process = subprocess.Popen(
                _command(theirs.fileno(), alive_worker),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_DEFAULTS | dict(os.environ),
                pass_fds=(theirs.fileno(), alive_worker),
                start_new_session=True,
            )
        os.close(alive_worker)
        os.set_blocking(alive, False)
        return cls(process, await asyncio.open_connection(sock=ours), alive, log)

    async def request(self, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:  # Any: plain data
        """Sends one message and waits for the answer.

        Raises:
            WorkerDied: If the worker ends before it has answered.
            TimeoutError: If it does not answer in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.write(wire.frame(wire.encode(message)))
                await self._writer.drain()
                (size,) = wire.HEADER.unpack(await self._reader.readexactly(wire.HEADER.size))
                if size > MESSAGE_LIMIT_BYTES:
                    raise WorkerDied(f"the worker announces a message of {size} bytes")
                answer: dict[str, Any] = wire.decode(await self._reader.readexactly(size))
                return answer
        except (asyncio.IncompleteReadError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            await self._wait_until_gone()
            raise WorkerDied(f"{self._how_it_ended()}{self.log_tail()}") from None

    def log_tail(self) -> str:
        """What the evaluator printed last, as the end of a message; empty if it printed nothing."""
        size = os.fstat(self._log).st_size
        text = os.pread(self._log, _LOG_SHOWN_BYTES, max(size - _LOG_SHOWN_BYTES, 0)).decode(errors="replace").strip()
        return f"\nThe evaluator printed:\n{text}" if text else ""

    async def stop(self) -> None:
        """Lets an idle worker end by itself, kills it if it does not."""
        self._writer.close()
        await self._wait_until_gone()
        await self._release()

    async def kill(self) -> None:
        """Ends a worker in whatever it is doing, with its program; done when nothing of them is left."""
        self.kill_now()
        self._writer.close()
        await self._wait_until_gone()
        await self._release()

    def kill_now(self) -> None:
        """Kills the worker and what the evaluator started; its fork server sweeps up the program and ends."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _wait_until_gone(self) -> None:
        deadline = asyncio.get_running_loop().time() + _GONE_TIMEOUT_S
        while self._process.poll() is None or not self._server_is_gone():
            if asyncio.get_running_loop().time() > deadline:
                self.kill_now()
                return
            await asyncio.sleep(0.002)

    def _server_is_gone(self) -> bool:
        try:
            return os.read(self._alive, 1) == b""
        except BlockingIOError:
            return False

    def _how_it_ended(self) -> str:
        code = self._process.returncode
        if code is None:
            return "the worker does not answer"
        return f"the worker was ended by signal {-code}" if code < 0 else f"the worker exited with status {code}"

    async def _release(self) -> None:
        with suppress(OSError):
            await self._writer.wait_closed()
        if self._alive >= 0:
            os.close(self._alive)
            os.close(self._log)
            self._alive = -1
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)


def _command(stream_fd: int, alive_fd: int) -> list[str]:
    # -P: a file of the current folder must not take a library's place.
    return [sys.executable, "-P", "-m", "evolve.executors.worker", str(stream_fd), str(alive_fd), str(os.getpid())]


def _log_file() -> int:
    log = os.memfd_create("evolve-worker-log")
    # Appending: the worker empties the file before every evaluation, and its position must follow.
    fcntl.fcntl(log, fcntl.F_SETFL, os.O_APPEND)
    return log
