"""Canonical bytes: one value, one spelling, so that equal things have equal hashes.

The spelling is JSON in UTF-8 without spaces, keys sorted by code point, whole numbers only. A
float is refused wherever it hides, because two machines may not print it alike.
"""

import json
from hashlib import sha256
from typing import NoReturn, TypeAlias

from deleverage import _core
from deleverage.errors import InputError

__all__ = ["Value", "decode", "digest", "encode", "frame", "spell", "spell_out"]

Value: TypeAlias = "bool | int | str | list[Value] | dict[str, Value] | None"

_LENGTH_BYTES = 8


def _no_float(text: str) -> NoReturn:
    raise InputError(f"canonical value: expected whole numbers only, got {text}")


# A value that holds itself meets the limit on depth, which is a refusal like any other.
_ENCODER = json.JSONEncoder(
    sort_keys=True,
    separators=(",", ":"),
    ensure_ascii=False,
    allow_nan=False,
    check_circular=False,
)
_DECODER = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float)


def encode(value: object, what: str = "value") -> bytes:
    """Spell a value canonically.

    Args:
        value: null, booleans, integers, strings, lists, and dicts with string keys.
        what: what the value is, for the message of an error.

    Raises:
        InputError: a float, a tuple, a set, a key that is no string, or text that is no Unicode;
            the message names the place.
    """
    data = _core.spell(value)
    return spell_out(value, what)[0] if data is None else data


def spell(value: object, what: str = "value") -> tuple[bytes, Value]:
    """Spell a value canonically and read it back: what a replay will see.

    Raises:
        InputError: as `encode`.
    """
    plain = _core.spell_twin(value)
    return spell_out(value, what) if plain is None else plain


def spell_out(value: object, what: str = "value") -> tuple[bytes, Value]:
    """Do what `spell` does the long way: whatever is not plain comes here, and wrong values too.

    Raises:
        InputError: as `encode`.
    """
    try:
        text = _ENCODER.encode(value)
        # What the encoder wrote has no spaces around it, which is all that `decode` would add.
        twin: Value = _DECODER.raw_decode(text)[0]
        data = text.encode()
    except (InputError, TypeError, ValueError, RecursionError) as error:
        _refuse(value, what, str(error))
    if twin != value:
        _refuse(value, what, "expected what JSON gives back unchanged, got another value")
    return data, twin


def decode(data: bytes, what: str = "value") -> Value:
    """Read canonical bytes; any other spelling of the same value is refused.

    Raises:
        InputError: the bytes are not the canonical spelling of a value.
    """
    try:
        value: Value = _DECODER.decode(data.decode())
        if encode(value, what) == data:
            return value
    except (InputError, ValueError, RecursionError) as error:
        raise InputError(f"{what}: expected canonical JSON, got {error}") from error
    raise InputError(f"{what}: expected canonical JSON, got another spelling")


def frame(*parts: bytes) -> bytes:
    """Join parts so that no two lists of parts give the same bytes: each with its length first."""
    return b"".join(
        piece for part in parts for piece in (len(part).to_bytes(_LENGTH_BYTES, "big"), part)
    )


def digest(*parts: bytes) -> bytes:
    """The SHA-256 of framed parts, 32 bytes."""
    return sha256(frame(*parts)).digest()


def _refuse(value: object, what: str, otherwise: str) -> NoReturn:
    """Find the first thing that has no canonical spelling, and name it and its place."""
    raise InputError(_complaint(value, what, 0) or f"{what}: {otherwise}")


_DEPTH = 100


def _complaint(value: object, place: str, depth: int) -> str:
    if depth > _DEPTH:
        return f"{place}: expected at most {_DEPTH} levels, got more"
    if value is None or isinstance(value, bool | int | str):
        return _scalar_complaint(value, place)
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                return f"{place}: expected keys that are strings, got {key!r}"
            found = _scalar_complaint(key, place) or _complaint(part, f"{place}.{key}", depth + 1)
            if found:
                return found
        return ""
    if isinstance(value, list):
        parts = enumerate(value)
        complaints = (_complaint(part, f"{place}[{n}]", depth + 1) for n, part in parts)
        return next(filter(None, complaints), "")
    return (
        f"{place}: expected null, true, false, an integer, a string, a list or a dict, got "
        f"{type(value).__name__} {value!r}; a quantity or a price goes in as integer units"
    )


def _scalar_complaint(value: bool | int | str | None, place: str) -> str:  # noqa: FBT001
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"{place}: expected Unicode text, got {value!r}"
    return ""
