"""Frozen records as canonical values and back: what a state is made of, spelled one way.

The annotations of a record are its schema. Fractions and decimals become text, enumerations their
word, tuples lists, mappings dicts; a window is what it holds.
"""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from deleverage.backstop.window import Segment, Window
from deleverage.errors import InputError
from deleverage.ledger import Value

__all__ = ["pack", "unpack"]

Record = TypeVar("Record")
_TEXTS = (Fraction, Decimal)


def pack(value: object) -> Value:
    """Give a record as a canonical value.

    Args:
        value: a frozen record, or what one holds.

    Raises:
        InputError: something has no canonical spelling.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Enum | str):
        return str(value)
    if isinstance(value, _TEXTS):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    if isinstance(value, Window):
        parts: list[Value] = [[part.start, part.end, part.value] for part in value.segments()]
        return [*parts, [value.length]]
    if isinstance(value, tuple | list):
        return [pack(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): pack(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: pack(getattr(value, f.name)) for f in fields(value)}
    raise InputError(f"record: expected what has a canonical spelling, got {value!r}")


def unpack(kind: type[Record], value: Value) -> Record:
    """Read a record from what `pack` gave.

    Args:
        kind: the record's type.
        value: the canonical value.

    Raises:
        InputError: the value is not that of such a record.
    """
    try:
        found: Record = _read(kind, value)
    except (TypeError, KeyError, ValueError, ZeroDivisionError, IndexError) as error:
        raise InputError(f"{kind.__name__}: expected a packed record, got {error!r}") from error
    return found


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    """Give the annotations of a record."""
    return get_type_hints(kind)


def _read(hint: Any, value: Any) -> Any:  # noqa: ANN401 - a type hint, and what it is of
    """Read one value as its annotation says."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(hint), value)
    if origin is tuple:
        item, *more = get_args(hint)
        kinds = [item] * len(value) if more == [...] else [item, *more]
        return tuple(_read(kind, part) for kind, part in zip(kinds, value, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        _, item = get_args(hint)
        return {key: _read(item, part) for key, part in value.items()}
    if hint is Window:
        return _window(value)
    if is_dataclass(hint):
        hints = _hints(hint)  # type: ignore[arg-type]
        names = [field.name for field in fields(hint)]
        # What an older record did not have yet is as the record has it by default.
        told = {n: _read(hints[n], value[n]) for n in names if n in value}
        return hint(**told)  # type: ignore[operator]
    if hint in (bool, int, str):
        return _plain(hint, value)
    if isinstance(value, str):
        return hint(value)
    raise TypeError(f"expected a {hint}, got {value!r}")


def _plain(hint: type, value: object) -> object:
    """Read a whole number, a truth or a text, of exactly that type."""
    if type(value) is not hint:
        raise TypeError(f"expected {hint.__name__}, got {value!r}")
    return value


def _read_union(options: tuple[Any, ...], value: Any) -> Any:  # noqa: ANN401 - as `_read`
    """Read a value of one of several kinds: the first that it can be."""
    if value is None and types.NoneType in options:
        return None
    for option in options:
        if option is types.NoneType:
            continue
        try:
            return _read(option, value)
        except (TypeError, ValueError, KeyError):
            continue
    raise TypeError(f"expected one of {options}, got {value!r}")


def _window(value: list[list[int]]) -> Window:
    """Build a window again from what it held, segment by segment, as a copy of one is built."""
    *parts, (length,) = value
    segments = tuple(Segment(start=start, end=end, value=held) for start, end, held in parts)
    last = segments[-1]
    build, _ = Window.open(length=length, at=last.start, value=last.value).__reduce__()
    if not callable(build):
        raise TypeError(f"expected how a window is copied, got {build!r}")
    window: Window = build(Window, length, segments)
    return window
