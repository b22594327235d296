"""A scripted model server: real HTTP on loopback, answers that a test decides.

A client is pointed at it as at any other server, and so is tested with its SDK, its connection pool and its time-outs:

    >>> import json, urllib.request
    >>> from evolve.testing.model_server import Answer, ModelServer
    >>> question = json.dumps({"model": "some-model", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}).encode()
    >>> with ModelServer([Answer("4")]) as server:
    ...     with urllib.request.urlopen(f"{server.url}/chat/completions", question) as response:
    ...         json.load(response)["choices"][0]["message"]["content"]
    '4'
    >>> server.asked[0].messages[-1].text
    'What is 2 + 2?'

It speaks OpenAI's Chat Completions and Responses and Anthropic's Messages, each whole or as events, lists its models, and embeds
texts. A script is a sequence of answers, used in order, or a function from what was asked to the answer. Everything that was
asked is kept, headers too. Needs nothing but the standard library and binds 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import responses
from types import TracebackType
from typing import NamedTuple, Self

from evolve.archive.embeddings import HashedNgrams
from evolve.llm.base import Usage
from evolve.testing import wire_formats, wire_openai
from evolve.testing.wire import Answer, Asked, Fault, Json, Wire

__all__ = ["Answer", "Asked", "Fault", "ModelServer", "Script", "Wire"]

Script = Callable[[Asked], Answer | str] | Sequence[Answer | str]

#: How often a wait looks at its event and at the client: a `threading.Event` cannot be awaited.
_LOOK_S = 0.005
#: Longest time a test waits for something to happen at the server.
_PATIENCE_S = 30.0
_BROKEN_STREAMS = frozenset((Fault.CUT, Fault.ENDED_EARLY, Fault.ERROR_IN_STREAM, Fault.NOT_JSON))
_BODIES = {Fault.NOT_JSON: b"<html><body>Bad gateway</body></html>", Fault.WRONG_JSON: b'{"ok": true}', Fault.NO_BODY: b""}


class _HungUp(Exception):
    """The client closed the connection."""


class _Request(NamedTuple):
    """A request as HTTP has it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class ModelServer:
    """Answers as its script says, until the ``with`` block ends; then the port is closed and its thread has ended.

    Args:
        script: Answers in order, or a function from what was asked to the answer; text alone is an answer too. The function
            runs in the server's thread, one call at a time.
        models: What ``/v1/models`` lists.
        embed: Makes the embedding of a text; by itself the server counts tokens, as the built-in embedder of Python does.
        embedding: What becomes of a request for embeddings, where it is not answered: its faults and waits; words are for chats.
        count_tokens: Whether answers without a usage get one of four bytes a token; otherwise they say nothing of tokens.

    Raises:
        AssertionError: At the end of the block, if the script was asked for more answers than it holds, or raised.
    """

    def __init__(
        self,
        script: Script,
        *,
        models: Sequence[str] = ("scripted",),
        embed: Callable[[str], Sequence[float]] | None = None,
        embedding: Callable[[Asked], Answer] = lambda _: Answer(),
        count_tokens: bool = True,
    ) -> None:
        self._script = script
        self._embed = embed or _hashed
        self._embedding = embedding
        self._models = tuple(models)
        self._count_tokens = count_tokens
        self._changed = threading.Condition()
        self._asked: list[Asked] = []
        self._in_flight = 0
        self._most_in_flight = 0
        self._hung_up = 0
        self._broken: list[str] = []
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model-server", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._port = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(_PATIENCE_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(_PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()
        if self._broken and error is None:
            raise AssertionError(f"the model server's script failed: {self._broken[0]}")

    @property
    def root(self) -> str:
        """Its address without a path."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """Its address as clients of OpenAI's formats want it: with ``/v1``."""
        return f"{self.root}/v1"

    @property
    def asked(self) -> list[Asked]:
        """Everything asked so far."""
        with self._changed:
            return list(self._asked)

    @property
    def in_flight(self) -> int:
        """Calls that are being answered now."""
        with self._changed:
            return self._in_flight

    @property
    def most_in_flight(self) -> int:
        """The most calls that were being answered at once."""
        with self._changed:
            return self._most_in_flight

    @property
    def hung_up(self) -> int:
        """Calls whose client closed the connection before it had its answer."""
        with self._changed:
            return self._hung_up

    def wait_until(self, holds: Callable[[ModelServer], bool], timeout_s: float = _PATIENCE_S) -> None:
        """Waits until something holds of the server; tests that run an event loop call it in a thread.

        Args:
            holds: Looked at whenever a call begins or ends, such as ``lambda server: server.in_flight == 2``.
            timeout_s: How long to wait.

        Raises:
            TimeoutError: If it does not come to hold.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: holds(self), timeout_s):
                raise TimeoutError(
                    f"not so after {timeout_s:g} s: {len(self._asked)} calls asked, {self._in_flight} in flight, "
                    f"{self._hung_up} hung up"
                )

    async def _open(self) -> int:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=256)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _shut(self) -> None:
        for listening in self._server.sockets:
            self._loop.remove_reader(listening.fileno())
        await asyncio.sleep(_LOOK_S)  # asyncio loses a connection that it is accepting while the server is closed
        self._server.close()
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers a connection's requests until either side closes it."""
        try:
            while (request := await _read(reader)) is not None:
                await self._respond(request, reader, writer)
        except (_HungUp, ConnectionError, asyncio.IncompleteReadError):
            pass  # counted where it happened
        except asyncio.CancelledError:
            writer.transport.abort()  # the block has ended: what the client did not read is of no use
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _respond(self, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = request.path.partition("?")[0]
        wire = next((wire for wire in Wire if path.endswith(wire.value)), None)
        if wire is None:
            await _send(writer, 404, b'{"error": {"message": "no such path"}}')
        elif wire is Wire.MODELS:
            await _send(writer, 200, json.dumps(wire_formats.models(self._models)).encode())
        else:
            await self._answer(wire, request, reader, writer)

    async def _answer(self, wire: Wire, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one call as the script says, and keeps count of it."""
        asked, answer = self._begin(wire, request)
        try:
            await _wait(answer.before, reader)
            await self._say(asked, answer, reader, writer)
        except (_HungUp, ConnectionError):
            with self._changed:
                self._hung_up += 1
            raise
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def _begin(self, wire: Wire, request: _Request) -> tuple[Asked, Answer]:
        """Records a call and has the script decide it."""
        with self._changed:
            body = json.loads(request.body)
            asked = wire_formats.read_request(len(self._asked), wire, request.path, request.headers, body)
            self._asked.append(asked)
            self._in_flight += 1
            self._most_in_flight = max(self._most_in_flight, self._in_flight)
            self._changed.notify_all()
        return asked, self._decide(asked)

    def _decide(self, asked: Asked) -> Answer:
        """Takes the script's answer; one that fails is remembered, and fails the test at the end of its block."""
        try:
            if asked.wire is Wire.EMBEDDINGS:
                return self._embedding(asked)
            decided = self._script(asked) if callable(self._script) else self._script[asked.number]
        except IndexError:
            return self._break(f"it holds {asked.number} answers, and call {asked.number + 1} came")
        except Exception as error:  # noqa: BLE001 - a test's own code, in a thread where nobody would see it fail
            return self._break(repr(error))
        return Answer(decided) if isinstance(decided, str) else decided

    def _break(self, why: str) -> Answer:
        self._broken.append(why)
        return Answer(fault=Fault.SERVER_ERROR, words=f"the script failed: {why}")

    async def _say(self, asked: Asked, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = answer.fault
        usage = answer.usage
        if usage is None and self._count_tokens:
            usage = wire_formats.counted(asked, answer)
        if asked.stream and (fault is None or fault in _BROKEN_STREAMS):
            await _stream(asked, answer, wire_formats.events(asked, answer, usage), reader, writer)
        elif fault is None or fault in (Fault.CUT, Fault.ENDED_EARLY):
            await _send_slowly(json.dumps(self._whole(asked, answer, usage)).encode(), answer, reader, writer)
        elif fault in _BODIES:
            await _send(writer, 200, _BODIES[fault], answer.headers)
        else:
            status, body = wire_formats.error(asked.wire, answer)
            await _send(writer, status, json.dumps(body).encode(), answer.headers)

    def _whole(self, asked: Asked, answer: Answer, usage: Usage | None) -> Json:
        if asked.wire is not Wire.EMBEDDINGS:
            return wire_formats.whole(asked, answer, usage)
        return wire_openai.embeddings(asked, [self._embed(message.text) for message in asked.messages], usage)


def _hashed(text: str) -> list[float]:
    return [float(number) for number in HashedNgrams(64).embed({"text.py": text})]


async def _read(reader: asyncio.StreamReader) -> _Request | None:
    """Reads a request; None when the client is done."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return _Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


async def _wait(until: threading.Event | float | None, reader: asyncio.StreamReader) -> None:
    """Waits for an event or some seconds, or for the client to hang up."""
    loop = asyncio.get_running_loop()
    end = loop.time() + until if isinstance(until, (int, float)) else None
    while until is not None:
        if reader.at_eof() or reader.exception() is not None:
            raise _HungUp
        if loop.time() >= end if end is not None else isinstance(until, threading.Event) and until.is_set():
            return
        # Not beyond the end: what is to take half a second must not take longer.
        await asyncio.sleep(_LOOK_S if end is None else min(_LOOK_S, max(0.0, end - loop.time())))


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {responses.get(status, 'Overloaded')}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes, extra: Mapping[str, str] | None = None) -> None:
    """Sends a response in one piece."""
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(extra or {})}
    writer.write(_head(status, headers) + body)
    await writer.drain()


async def _send_slowly(body: bytes, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends half of a response, and the rest after the answer's wait, if it is not to be cut off there."""
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **answer.headers}
    half = len(body) // 2
    writer.write(_head(200, headers) + body[:half])
    await writer.drain()
    await _wait(answer.during, reader)
    if answer.fault is not None:
        writer.close()
        raise asyncio.IncompleteReadError(b"", None)
    writer.write(body[half:])
    await writer.drain()


async def _stream(
    asked: Asked, answer: Answer, events: list[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Sends events one by one, in chunks, with the answer's wait and fault in their middle."""
    writer.write(_head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **answer.headers}))
    half = len(events) // 2
    for number, event in enumerate(events):
        if number == half:
            await _wait(answer.during, reader)
            if answer.fault is not None:
                return await _break_stream(asked.wire, answer.fault, writer)
        writer.write(_chunk(event))
        await writer.drain()
    writer.write(_chunk(b""))
    return await writer.drain()


async def _break_stream(wire: Wire, fault: Fault, writer: asyncio.StreamWriter) -> None:
    if fault is Fault.CUT:
        writer.close()
        raise asyncio.IncompleteReadError(b"", None)
    if fault is Fault.NOT_JSON:
        writer.write(_chunk(wire_formats.broken_event(wire)))
    if fault is Fault.ERROR_IN_STREAM:
        writer.write(_chunk(wire_formats.error_event(wire)))
    writer.write(_chunk(b""))
    await writer.drain()


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
