import contextlib
import struct
from collections import OrderedDict
from typing import NamedTuple

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from evolve.evaluators.sandbox import wire


class Point(NamedTuple):
    x: float
    y: float


def crossed(value):
    return wire.decode(wire.encode(value))


plain_keys = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.binary(max_size=5)
plain = st.recursive(
    plain_keys | st.integers(-(2**300), 2**300) | st.floats(allow_nan=False) | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(plain_keys, inner, max_size=4)
    ),
    max_leaves=20,
)


@given(plain)
def test_plain_data_comes_back_the_same(value):
    assert crossed(value) == value


@given(plain)
def test_types_come_back_the_same(value):
    assert repr(crossed(value)) == repr(value)


@given(
    stnp.arrays(
        st.sampled_from(["?", "i1", "u1", ">i2", "<u4", "i8", "f2", "f4", ">f8", "c8", "c16"]),
        stnp.array_shapes(min_dims=0, max_dims=4, min_side=0),
    )
)
def test_arrays_come_back_with_value_shape_and_kind(array):
    back = crossed(array)
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.shape == array.shape
    assert back.tobytes() == array.astype(back.dtype).tobytes()
    assert back.flags.writeable
    assert back.flags.owndata or back.base.flags.owndata


@given(
    stnp.arrays(st.sampled_from(["?", "u1", ">i2", "f8", "c16"]), stnp.array_shapes(min_dims=0, max_dims=3, min_side=0)),
    st.booleans(),
)
def test_an_array_can_be_written_to_unless_it_could_not_and_the_reader_keeps_that(array, writeable):
    array.setflags(write=writeable)
    payload = wire.encode({"both": (array, np.zeros(2))})
    for keep in (False, True):
        back, other = wire.decode(payload, keep_read_only=keep)["both"]
        assert back.flags.writeable == (writeable or not keep)
        assert other.flags.writeable
        assert (back.shape, back.tobytes()) == (array.shape, array.astype(back.dtype).tobytes())


def test_a_read_only_array_is_as_long_as_any_other():
    array = np.arange(10)
    payload = wire.encode(array)
    array.setflags(write=False)
    assert len(wire.encode(array)) == len(payload)
    view = np.broadcast_to(array, (3, 10))
    assert (wire.decode(wire.encode(view), keep_read_only=True) == view).all()


def test_arrays_of_payloads_from_before_can_be_written_to():
    payload = array_payload(b"<f8", (2,), struct.pack("<2d", 1.0, 2.0))
    assert wire.decode(payload, keep_read_only=True).flags.writeable


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_malformed(data):
    with contextlib.suppress(wire.Malformed):
        wire.decode(data)


@settings(max_examples=300)
@given(plain, st.data())
def test_damaged_bytes_are_a_value_or_malformed(value, data):
    payload = bytearray(wire.encode([value, np.arange(3.0), np.broadcast_to(1, 2), (1, 2**80)]))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(wire.Malformed):
        wire.decode(payload)


def test_not_a_number_is_data():
    assert np.isnan(crossed(float("nan")))
    assert np.isnan(crossed(np.array([np.nan, np.inf]))[0])


def test_numpy_scalars_become_python_numbers():
    values = crossed([np.float32(0.5), np.int64(3), np.bool_(True), np.complex64(2j)])
    assert [type(value) for value in values] == [float, int, bool, complex]


def test_subclasses_become_their_base():
    values = crossed([Point(1, 2), OrderedDict(a=1), np.float64(1.5), np.ma.masked_array([1, 2])])
    assert [type(value) for value in values] == [tuple, dict, float, np.ndarray]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        np.array([object()]),
        np.array(["a"]),
        np.longdouble(1),
        np.datetime64("2020"),
        len,
        "\ud800",
        2**5000,
        np.zeros((1,), dtype=[("a", "f8")]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_cross_is_refused_with_a_reason(value):
    with pytest.raises(wire.Unsendable, match=r"cannot be sent"):
        wire.encode([value])


def test_a_value_that_contains_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(wire.Unsendable):
        wire.encode(loop)


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_nesting_is_limited():
    assert crossed(nested(wire.MAX_DEPTH)) == nested(wire.MAX_DEPTH)
    with pytest.raises(wire.Malformed, match="nested"):
        crossed(nested(wire.MAX_DEPTH + 10))


def test_a_flood_of_empty_lists_is_refused():
    with pytest.raises(wire.Malformed, match="lists, dicts and arrays"):
        wire.decode(msgpack.packb([[[]] * 1024] * 1024))


def test_headers_that_promise_gigabytes_are_refused():
    with pytest.raises(wire.Malformed):
        wire.decode(b"\xdd\xff\xff\xff\xff" * 500)


def test_keys_whose_hashes_can_be_chosen_are_refused():
    with pytest.raises(wire.Malformed, match="keys"):
        crossed({(1, 2): 3})


def test_a_timestamp_is_not_in_the_schema():
    with pytest.raises(wire.Malformed, match="Timestamp"):
        wire.decode(msgpack.packb(msgpack.Timestamp(1, 2)))


def array_payload(name, shape, data, extension=2):
    head = bytes((len(name), len(shape))) + name + struct.pack(f"<{len(shape)}Q", *shape)
    return msgpack.packb(msgpack.ExtType(extension, head + data))


@pytest.mark.parametrize(
    "payload",
    [
        array_payload(b"|O", (1,), bytes(8)),
        array_payload(b"<f8", (2,), bytes(8)),
        array_payload(b"<f8", (2**61,), bytes(0)),
        array_payload(b"<f8", (2**40, 2**40, 0), bytes(0)),
        array_payload(b"<M8[ns]", (1,), bytes(8)),
        array_payload(b"<f8", (1,) * 60, bytes(8)),
        msgpack.packb(msgpack.ExtType(2, b"")),
        array_payload(b"<f8", (2,), bytes(8), extension=5),
        msgpack.packb(msgpack.ExtType(5, b"")),
    ],
    ids=[
        *("objects", "too short", "overflow", "absurd shape", "dates", "too many dimensions", "empty"),
        *("too short, read-only", "empty, read-only"),
    ],
)
def test_a_forged_array_is_refused(payload):
    with pytest.raises(wire.Malformed):
        wire.decode(payload)


def test_a_forged_bool_counts_once():
    assert wire.decode(array_payload(b"|b1", (2,), b"\xff\x00")).sum() == 1


def stream(data):
    position = 0

    def receive(size):
        nonlocal position
        part = data[position : position + min(size, 3)]
        position += len(part)
        return part

    return receive


def test_a_frame_is_read_back_in_pieces():
    receive = stream(wire.frame(b"hello") + wire.frame(b""))
    assert wire.read_frame(receive, 10) == b"hello"
    assert wire.read_frame(receive, 10) == b""
    assert wire.read_frame(receive, 10) is None


@pytest.mark.parametrize("data", [wire.frame(b"hello")[:-1], wire.frame(b"hello")[:3], wire.frame(b"12345678901")])
def test_a_cut_or_too_long_frame_is_refused(data):
    with pytest.raises(wire.Malformed):
        wire.read_frame(stream(data), 10)


def test_keys_that_could_be_chosen_to_collide_are_few():
    wire.decode(wire.encode(dict.fromkeys(range(wire.MAX_NUMERIC_KEYS))))
    for keys in (range(wire.MAX_NUMERIC_KEYS + 1), map(float, range(wire.MAX_NUMERIC_KEYS + 1))):
        with pytest.raises(wire.Malformed, match="numbers as keys"):
            wire.decode(wire.encode(dict.fromkeys(keys)))
    wire.decode(wire.encode(dict.fromkeys(map(str, range(2 * wire.MAX_NUMERIC_KEYS)))))
