"""Arrays as text: what a command or a state keeps of a book's columns.

Numbers of one column differ in their low bytes and agree in the high ones. So a column is cut into
planes, the first byte of every number, the second, and so on; a plane of zeros is left out, and one
that a compressor makes smaller is compressed. Rising columns are kept as steps.
"""

import struct
import zlib
from base64 import b64decode, b64encode
from typing import Any
from zlib import compress, decompress

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.ledger import Value, decode, encode

__all__ = ["are_texts", "pack", "pack_texts", "unpack", "unpack_texts"]

Bytes = NDArray[np.uint8]

_PLAIN, _PLANES, _STEPS = "", "p", "s"
# Compressed in one piece: how earlier journals hold a column.
_WHOLE = "z"
_TEXTS = "t"
_HEAD = struct.Struct("<Q")
_ZEROS, _RAW, _SMALLER = range(3)
_LEVEL = 1
# A plane is compressed if this much of it becomes smaller than that share.
_SAMPLE, _WORTH = 1 << 16, 0.8


def pack(array: NDArray[Any], *, is_compressed: bool) -> str:
    """Write an array as text: how it is written, its type, and its bytes.

    Args:
        array: one-dimensional, of bool or integers.
        is_compressed: smaller, but the bytes are then those of one compressor.
    """
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    word, data = _PLAIN, little.tobytes()
    if is_compressed:
        word, data = _squeezed(little)
    return f"{word}{little.dtype.str} {b64encode(data).decode()}"


def unpack(text: str) -> NDArray[Any]:
    """Read an array from text; it is the reader's own.

    Raises:
        ValueError: the text is not what `pack` gives.
    """
    kind, _, data = text.partition(" ")
    word, raw = kind[:1], b64decode(data, validate=True)
    if word not in {_PLANES, _STEPS, _WHOLE}:
        return np.frombuffer(raw, kind).copy()
    try:
        if word == _WHOLE:
            return np.frombuffer(decompress(raw), kind[1:]).copy()
        planes = _joined(memoryview(raw), np.dtype(kind[1:]))
    except (zlib.error, struct.error, IndexError, MemoryError) as error:
        raise ValueError(f"column: expected what pack gives, got {error!r}") from error
    if word == _STEPS:
        np.cumsum(planes, dtype=planes.dtype, out=planes)
    return planes.view(kind[1:])


def pack_texts(texts: list[str], *, is_compressed: bool) -> Value:
    """Write texts: as they are, or their canonical bytes compressed."""
    if not is_compressed:
        return list[Value](texts)
    return f"{_TEXTS} {b64encode(compress(encode(texts), _LEVEL)).decode()}"


def are_texts(value: object) -> bool:
    """Tell texts from a packed array."""
    return isinstance(value, list) or (isinstance(value, str) and value.startswith(_TEXTS))


def unpack_texts(value: object) -> list[str]:
    """Read texts.

    Raises:
        ValueError: the value is not what `pack_texts` gives.
    """
    if isinstance(value, str) and value.startswith(_TEXTS):
        try:
            squeezed = b64decode(value.removeprefix(f"{_TEXTS} "), validate=True)
            value = decode(decompress(squeezed))
        except (zlib.error, InputError) as error:
            raise ValueError(f"texts: expected what pack_texts gives, got {error!r}") from error
    if not isinstance(value, list):
        raise ValueError(f"texts: expected a list, got {type(value).__name__}")  # noqa: TRY004
    return value


def _squeezed(array: NDArray[Any]) -> tuple[str, bytes]:
    """Cut a column, or its steps where it rises, into planes."""
    unsigned = array.view(f"<u{array.itemsize}")
    word = _PLANES
    if len(array) and array.itemsize > 1:
        steps = np.diff(unsigned, prepend=unsigned.dtype.type(0))
        # A step down wraps to a large number.
        if np.count_nonzero(steps > unsigned.max()) * array.itemsize < len(array):
            word, unsigned = _STEPS, steps
    table = unsigned.view(np.uint8).reshape(len(array), array.itemsize)
    planes = [_plane(np.ascontiguousarray(table[:, place])) for place in range(array.itemsize)]
    return word, _HEAD.pack(len(array)) + b"".join(planes)


def _plane(plane: Bytes) -> bytes:
    """Write one plane: how it is kept, how long that is, and it."""
    if not plane.any():
        return bytes([_ZEROS])
    sample = plane[:_SAMPLE].tobytes()
    if len(compress(sample, _LEVEL)) < _WORTH * len(sample):
        kept, data = _SMALLER, compress(plane.data, _LEVEL)
    else:
        kept, data = _RAW, plane.tobytes()
    return bytes([kept]) + _HEAD.pack(len(data)) + data


def _joined(raw: memoryview, kind: np.dtype[Any]) -> NDArray[Any]:
    """Put planes together again.

    Raises:
        ValueError: the bytes are not those of so many planes.
    """
    (count,), at = _HEAD.unpack_from(raw), _HEAD.size
    table = np.zeros((count, kind.itemsize), np.uint8)
    for place in range(kind.itemsize):
        kept, at = raw[at], at + 1
        if kept == _ZEROS:
            continue
        (length,), at = _HEAD.unpack_from(raw, at), at + _HEAD.size
        data = raw[at : at + length]
        table[:, place] = np.frombuffer(decompress(data) if kept == _SMALLER else data, np.uint8)
        at += length
    if at != len(raw):
        raise ValueError(f"expected {at} bytes, got {len(raw)}")
    return table.reshape(-1).view(f"<u{kind.itemsize}")
