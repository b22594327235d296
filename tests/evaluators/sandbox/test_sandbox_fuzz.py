"""Whatever bytes a program sends, whoever reads them refuses or decodes them: nothing else happens."""

import contextlib
import os
import resource
import socket
import time

import msgpack
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evolve.evaluators.base import ProgramFailed
from evolve.evaluators.sandbox import available_levels, wire
from evolve.evaluators.sandbox.channel import Channel, FrameTooLong
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Limits, Outcome

LIMIT_BYTES = 2**16
LEVELS = [report.level for report in available_levels() if report.available]

#: The first text that hypothesis draws on a busy machine takes seconds.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

keys = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.binary(max_size=5)
plain = st.recursive(
    keys | st.floats() | st.complex_numbers() | st.integers(-(2**400), 2**400),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=30,
)


@st.composite
def mutated(draw):
    """A valid payload in which some bytes were replaced, put in, or taken away."""
    payload = bytearray(wire.encode(draw(plain)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(payload)))
        payload[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(payload)


@st.composite
def extension(draw):
    """A value of one of the types that are decoded by hand, whatever it holds."""
    return msgpack.packb(msgpack.ExtType(draw(st.integers(0, 6)), draw(st.binary(max_size=60))))


@patient
@given(st.binary(max_size=200) | mutated() | extension())
@example(b"\xdd\x00\x0f\xff\xff" * 40)
@example(b"\x91" * 2000 + b"\x00")
def test_any_bytes_are_decoded_or_malformed(data):
    with contextlib.suppress(wire.Malformed):
        wire.decode(data)


@patient
@given(mutated())
def test_what_is_decoded_can_be_sent_on_and_stays_the_same(data):
    try:
        value = wire.decode(data)
    except wire.Malformed:
        return
    assert repr(wire.decode(wire.encode(value))) == repr(value)


@patient
@given(plain)
def test_nested_data_comes_back_the_same(value):
    assert repr(wire.decode(wire.encode(value))) == repr(value)


@patient
@given(st.lists(st.binary(max_size=40), max_size=4), st.data())
def test_frames_are_read_whole_however_they_are_cut(payloads, data):
    stream = b"".join(map(wire.frame, payloads))
    position = 0

    def receive(most):
        nonlocal position
        part = stream[position : position + data.draw(st.integers(1, most))]
        position += len(part)
        return part

    assert [wire.read_frame(receive, LIMIT_BYTES) for _ in payloads] == payloads
    assert wire.read_frame(receive, LIMIT_BYTES) is None


@patient
@given(st.binary(min_size=1, max_size=40), st.data())
def test_a_stream_that_ends_inside_a_frame_is_malformed(payload, data):
    framed = wire.frame(payload)
    stream = memoryview(framed[: data.draw(st.integers(1, len(framed) - 1))])
    position = 0

    def receive(most):
        nonlocal position
        part = bytes(stream[position : position + most])
        position += len(part)
        return part

    with pytest.raises(wire.Malformed):
        wire.read_frame(receive, LIMIT_BYTES)


@contextlib.contextmanager
def channel():
    """A channel to a peer of ours, which stands for a program; its process is this one, which goes on."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    output, printed = os.pipe()
    os.set_blocking(output, False)
    open_channel = Channel(ours, output, os.pidfd_open(os.getpid()), LIMIT_BYTES)
    try:
        yield open_channel, theirs, printed
    finally:
        open_channel.close()
        theirs.close()
        os.close(printed)


@patient
@given(st.lists(st.binary(max_size=300) | st.binary(max_size=60).map(wire.frame), max_size=5), st.booleans())
@example([wire.HEADER.pack(2**64 - 1)], False)
@example([wire.HEADER.pack(LIMIT_BYTES + 1), b"x" * 300], True)
def test_a_channel_takes_frames_and_nothing_else(parts, hangs_up):
    with channel() as (reader, theirs, printed):
        reader.send(b"a call")
        for part in parts:
            theirs.sendall(part)
            os.write(printed, part)
        if hangs_up:
            theirs.shutdown(socket.SHUT_RDWR)
        stream = b"".join(parts)
        with contextlib.suppress(FrameTooLong):
            for _ in range(len(parts) + 1):
                if not reader.pump(0.0):
                    break
                payload = reader.take()
                assert payload is None or wire.frame(payload) in stream
                if payload is None:
                    break
        assert reader.output_tail(10).encode(errors="replace") is not None


def test_a_promise_of_gigabytes_costs_no_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with channel() as (reader, theirs, _):
        theirs.sendall(wire.HEADER.pack(2**40))
        with pytest.raises(FrameTooLong):
            reader.pump(0.0)
    with pytest.raises(wire.Malformed):
        wire.decode(b"\xdd\x00\x0f\xff\xff" * 1000)
    # ru_maxrss is in kilobytes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 2**10


@pytest.fixture(scope="module")
def server():
    limits = Limits(timeout_s=0.5, wall_timeout_s=1.0, memory_mb=128)
    with ForkServer(SandboxSettings("initial.py", limits, LEVELS[-1])) as server:
        yield server


@given(st.binary(max_size=100) | st.binary(max_size=40).map(wire.frame) | mutated().map(wire.frame), st.booleans())
@settings(patient, max_examples=25)
def test_a_program_that_writes_to_its_channel_fails_as_a_program(server, written, leaves):
    ending = "os._exit(0)" if leaves else "while True: pass"
    source = f"import os\nos.write(3, {written!r} + b'\\0')\n{ending}\n"
    started = time.monotonic()
    with SandboxedProgram(server, {"initial.py": source}, 0) as program:
        # A well-formed answer that was forged is an answer; what it holds is the evaluator's to judge.
        with contextlib.suppress(ProgramFailed):
            program.call("f")
        failed = program.failure
    assert failed is None or failed.outcome in (Outcome.INVALID, Outcome.CRASHED, Outcome.TIMED_OUT)
    assert time.monotonic() - started < 30
