"""Plain data and numpy arrays as bytes, and bytes back without trusting whoever wrote them.

Stands alone: it imports nothing of this package, so that it can be loaded by path inside a sandbox where the package is
hidden.

**Frame.** Eight bytes, the payload's length as an unsigned big-endian integer, then the payload.

**Payload.** One MessagePack value. None, bool, int, float, str, bytes and lists are MessagePack's own; so are maps, whose
keys must be None, bool, int, float, str or bytes. On top of that:

====  ========================================================================================================
type  meaning
====  ========================================================================================================
1     empty: as the first item of a list it makes the list a tuple
2     array: length of the dtype's name, number of dimensions (a byte each), the name (such as ``<f8``), the
      dimensions (unsigned 64-bit little-endian), the items in C order
3     integer outside 64 bits: two's complement, little-endian, at most 512 bytes
4     complex number: two little-endian doubles
5     array that cannot be written to (``flags.writeable`` is off): as 2
====  ========================================================================================================

Nothing is ever unpickled. What is decoded is bounded in depth and in the number of lists, maps and arrays; arrays are
copied into memory of their own. Those of type 5 arrive read-only inside the sandbox, and in no other place: a program that
edits what it was lent fails, and an evaluator may edit what it was answered, whatever the program made it of.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

MAX_DEPTH = 64
#: Items of one list or map. MessagePack allocates a list before it has seen the items, so nested headers that promise
#: more would cost gigabytes; larger collections belong in an array.
MAX_ITEMS = 2**20
#: Lists, maps, arrays and big integers in one payload: each costs some 60 bytes here for one byte there.
MAX_OBJECTS = 2**16
#: Numbers that are keys, in one payload: their hashes are no secret, and chosen so that they collide they make a dict
#: quadratic. Those of text are salted.
MAX_NUMERIC_KEYS = 2**14
MAX_INT_BYTES = 512
HEADER = struct.Struct(">Q")

_TUPLE, _ARRAY, _INT, _COMPLEX, _READ_ONLY = 1, 2, 3, 4, 5
_TUPLE_MARK = msgpack.ExtType(_TUPLE, b"")
DTYPES = frozenset(["|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16"])
MAX_DIMENSIONS = 32
_KEYS = frozenset((type(None), bool, int, float, str, bytes))
_PLAIN = _KEYS | {complex, np.ndarray}
_CONTAINERS = frozenset((list, tuple, dict))


class Unsendable(TypeError):
    """A value that cannot cross; the message says what it is and what could."""


class Malformed(ValueError):
    """Bytes that do not hold a value; the message says why."""


def encode(value: Any) -> bytes:  # Any: refused where it is not plain data
    """Encodes a value; subclasses of plain types and of arrays become their base, numpy scalars Python numbers.

    Raises:
        Unsendable: If something in it is neither plain data nor an array of numbers, or it is nested too deeply.
    """
    try:
        # strict_types hands tuples, subclasses and numpy scalars to _encode_other.
        packed: bytes = msgpack.packb(value, default=_encode_other, strict_types=True)
    except Unsendable:
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        raise Unsendable(f"the value cannot be sent: {error}") from None
    return packed


def decode(data: bytes | bytearray | memoryview, *, keep_read_only: bool = False) -> Any:  # Any: whatever plain data was sent
    """Decodes what `encode` made, or refuses.

    Args:
        data: The payload.
        keep_read_only: Whether arrays that could not be written to cannot be here either; all can by default.

    Raises:
        Malformed: If the bytes are not a complete, bounded value of the schema.
    """
    hooks = _Hooks(keep_read_only)
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            list_hook=hooks.sequence,
            object_pairs_hook=hooks.mapping,
            ext_hook=hooks.extension,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
        )
    except Malformed:
        raise
    # MessagePack's own errors are ValueErrors, but for a nesting of more than 1024 and for bytes left over.
    except (ValueError, TypeError, msgpack.UnpackException, MemoryError, RecursionError, OverflowError) as error:
        raise Malformed(f"not a value of the schema: {type(error).__name__}: {error}"[:300]) from None
    _check_tree(value)
    return value


def frame(payload: bytes) -> bytes:
    """Puts the length before a payload."""
    return HEADER.pack(len(payload)) + payload


def read_frame(receive: Callable[[int], bytes], limit_bytes: int) -> bytes | None:
    """Reads one frame by blocking calls.

    Args:
        receive: Returns up to so many bytes, none at the end of the stream.
        limit_bytes: Checked before anything is allocated.

    Returns:
        The payload, or None when the stream ends before a frame begins.

    Raises:
        Malformed: If the stream ends inside a frame, or the frame is too long.
    """
    header = _read_up_to(receive, HEADER.size)
    if not header:
        return None
    if len(header) < HEADER.size:
        raise Malformed("the stream ended inside a frame")
    (length,) = HEADER.unpack(header)
    if length > limit_bytes:
        raise Malformed(f"a frame of {length} bytes; at most {limit_bytes} are accepted")
    payload = _read_up_to(receive, length)
    if len(payload) < length:
        raise Malformed("the stream ended inside a frame")
    return payload


def _read_up_to(receive: Callable[[int], bytes], length: int) -> bytes:
    """Reads ``length`` bytes, fewer only at the end of the stream."""
    parts: list[bytes] = []
    missing = length
    while missing:
        part = receive(min(missing, 2**20))
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _encode_other(value: Any) -> Any:  # Any: MessagePack hands over whatever it does not know
    """Replaces a value that MessagePack does not know by one that it does."""
    if isinstance(value, tuple):
        return [_TUPLE_MARK, *value]
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(_ARRAY if value.flags.writeable else _READ_ONLY, _encode_array(value))
    if isinstance(value, np.generic):
        return _scalar(value)
    # MessagePack asks once per value: what is returned here must be its own.
    if isinstance(value, complex):
        return msgpack.ExtType(_COMPLEX, struct.pack("<dd", value.real, value.imag))
    if isinstance(value, int) and not isinstance(value, bool):
        return _encode_int(int(value))
    plain_types: tuple[type, ...] = (float, str, bytes, list, dict)
    for plain in plain_types:
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    raise Unsendable(
        f"an object of type {kind} cannot be sent; send None, numbers, str, bytes, lists, tuples, dicts or numpy arrays of numbers"
    )


def _scalar(value: np.generic) -> Any:  # Any: a Python number, or an extension
    plain = value.item()
    if type(plain) is complex:
        return _encode_other(plain)
    if type(plain) not in _KEYS:
        raise Unsendable(f"a numpy scalar of dtype {value.dtype} cannot be sent; convert it to a Python number")
    return plain


def _encode_int(value: int) -> Any:  # Any: an int that MessagePack knows, or an extension
    if -(2**63) <= value < 2**64:
        return value
    size = value.bit_length() // 8 + 1
    if size > MAX_INT_BYTES:
        raise Unsendable(f"an integer of {size} bytes cannot be sent; at most {MAX_INT_BYTES}")
    return msgpack.ExtType(_INT, value.to_bytes(size, "little", signed=True))


def _encode_array(array: np.ndarray) -> bytes:
    if array.dtype.kind not in "biufc":
        raise Unsendable(f"an array of dtype {array.dtype} cannot be sent; numbers and bool can")
    little = np.asarray(array).astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    name = little.dtype.str
    if name not in DTYPES:
        raise Unsendable(f"an array of dtype {array.dtype} cannot be sent; convert it, for example with astype(float)")
    if little.ndim > MAX_DIMENSIONS:
        raise Unsendable(f"an array of {little.ndim} dimensions cannot be sent; at most {MAX_DIMENSIONS}")
    head = bytes((len(name), little.ndim)) + name.encode() + struct.pack(f"<{little.ndim}Q", *little.shape)
    return head + little.tobytes()


def _decode_array(data: bytes) -> np.ndarray:
    if len(data) < 2:
        raise Malformed("an array without a header")
    name_size, n_dimensions = data[0], data[1]
    start = 2 + name_size + 8 * n_dimensions
    name = data[2 : 2 + name_size].decode("ascii", "replace")
    if name not in DTYPES or n_dimensions > MAX_DIMENSIONS or len(data) < start:
        raise Malformed(f"an array of dtype {name[:20]!r} with {n_dimensions} dimensions is not in the schema")
    shape = struct.unpack(f"<{n_dimensions}Q", data[2 + name_size : start])
    dtype = np.dtype(name)
    # The product of all dimensions but the zeros must be small as well, or numpy refuses the shape.
    if max(shape, default=0) > len(data) or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise Malformed(f"an array of shape {shape} and dtype {name} in {len(data) - start} bytes")
    if dtype.kind == "b":
        # A byte of 255 is a bool that counts 255 in a sum.
        flags: np.ndarray = np.frombuffer(data, np.uint8, offset=start) != 0
        return flags.reshape(shape)
    return np.frombuffer(data, dtype, offset=start).reshape(shape).copy()


class _Hooks:
    """Builds what MessagePack leaves to us, and counts it."""

    def __init__(self, keep_read_only: bool) -> None:
        self._keep_read_only = keep_read_only
        self._objects = 0
        self._numeric_keys = 0

    def sequence(self, items: list[Any]) -> Any:  # Any: a list or a tuple of whatever was sent
        self._count()
        # Identity, since an array among the items would compare element by element.
        return tuple(items[1:]) if items and items[0] is _TUPLE_MARK else items

    def mapping(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:  # Any: as sent; keys are checked
        self._count()
        # Checked before the dict is built: keys of other types can be chosen so that their hashes collide.
        if not {type(key) for key, _ in pairs} <= _KEYS:
            raise Malformed("a dict's keys must be None, bool, int, float, str or bytes")
        self._numeric_keys += sum(type(key) in (int, float) for key, _ in pairs)
        if self._numeric_keys > MAX_NUMERIC_KEYS:
            raise Malformed(f"more than {MAX_NUMERIC_KEYS} numbers as keys; send arrays of keys and values")
        return dict(pairs)

    def extension(self, code: int, data: bytes) -> Any:  # Any: what the extension stands for
        self._count()
        if code == _TUPLE and not data:
            return _TUPLE_MARK
        if code in (_ARRAY, _READ_ONLY):
            array = _decode_array(data)
            array.flags.writeable = code == _ARRAY or not self._keep_read_only
            return array
        if code == _INT and len(data) <= MAX_INT_BYTES:
            return int.from_bytes(data, "little", signed=True)
        if code == _COMPLEX and len(data) == 16:
            return complex(*struct.unpack("<dd", data))
        raise Malformed(f"extension type {code} with {len(data)} bytes is not in the schema")

    def _count(self) -> None:
        self._objects += 1
        if self._objects > MAX_OBJECTS:
            raise Malformed(f"more than {MAX_OBJECTS} lists, dicts and arrays; send numbers in arrays")


def _check_tree(value: Any) -> None:  # Any: a decoded value, level by level
    """Refuses what is too deep or of a type outside the schema (MessagePack's timestamps, a stray tuple mark)."""
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 2):
        below: list[Any] = []
        for container in level:
            items = container.values() if type(container) is dict else container
            kinds = set(map(type, items))
            if not kinds <= _PLAIN | _CONTAINERS:
                odd = sorted(kind.__name__ for kind in kinds - _PLAIN - _CONTAINERS)
                raise Malformed(f"{', '.join(odd)} is not in the schema")
            if kinds & _CONTAINERS:
                below.extend(item for item in items if type(item) in _CONTAINERS)
        if not below:
            return
        level = below
    raise Malformed(f"nested more than {MAX_DEPTH} deep")
