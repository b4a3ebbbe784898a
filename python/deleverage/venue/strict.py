"""A TOML table as a record, or an error that says what to write instead.

The record's annotations are the schema: no key beyond them, none of them missing, nothing
converted silently. Decimals are written as strings, so that no number passes through a float.
"""

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from deleverage.errors import VenueError
from deleverage.model.parts import Number

__all__ = ["build"]

Record = TypeVar("Record")


def build(record: type[Record], table: Mapping[str, object], *, where: str) -> Record:
    """Build a record from a TOML table.

    Args:
        record: a dataclass; its annotations say what each key must hold.
        table: the parsed TOML table.
        where: file and dotted key, for the error message.

    Raises:
        VenueError: a key is unknown or missing, a value is of the wrong kind or not a legal word,
            or the record contradicts itself.
    """
    hints = get_type_hints(record)
    known = {field.name: field for field in fields(record)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise VenueError(f"{where}: key: expected one of {', '.join(known)}, got {key!r}{hint}")
    values: dict[str, object] = {}
    for name, field in known.items():
        if name in table:
            values[name] = _value(hints[name], table[name], where=f"{where}: {name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise VenueError(f"{where}: {name}: expected {_wanted(hints[name])}, got nothing")
    try:
        return record(**values)
    except VenueError as error:
        raise VenueError(f"{where}: {error}") from None


def _value(hint: Any, value: object, *, where: str) -> object:  # noqa: ANN401 - a type hint
    """Read one value as its annotation says."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(option for option in get_args(hint) if option is not types.NoneType)
    if get_origin(hint) is tuple:
        return _items(get_args(hint)[0], value, where=where)
    if hint is Decimal:
        return _decimal(value, where=where)
    if issubclass(hint, StrEnum):
        if isinstance(value, str) and value in list(hint):
            return hint(value)
        raise VenueError(f"{where}: expected {_wanted(hint)}, got {value!r}")
    if hint in (str, bool, int):
        if type(value) is hint:
            return value
        raise VenueError(f"{where}: expected {_wanted(hint)}, got {value!r}")
    if isinstance(value, dict):
        return build(hint, value, where=where)
    raise VenueError(f"{where}: expected a table, got {value!r}")


def _items(item: Any, value: object, *, where: str) -> tuple[object, ...]:  # noqa: ANN401
    """Read a list, or the table of names and decimals that stands for a list of numbers."""
    if item is Number:
        if isinstance(value, dict):
            return tuple(
                Number(name=name, value=_decimal(text, where=f"{where}.{name}"))
                for name, text in value.items()
            )
        raise VenueError(f"{where}: expected a table of decimals, got {value!r}")
    if isinstance(value, list):
        return tuple(
            _value(item, entry, where=f"{where}[{index}]") for index, entry in enumerate(value)
        )
    raise VenueError(f"{where}: expected a list, got {value!r}")


def _decimal(value: object, *, where: str) -> Decimal:
    """Read a decimal written as a string."""
    if isinstance(value, str):
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite():
            return number
    raise VenueError(f'{where}: expected a decimal in quotes such as "0.30", got {value!r}')


def _wanted(hint: Any) -> str:  # noqa: ANN401 - a type hint
    """Say in words what an annotation accepts."""
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return "one of " + ", ".join(hint)
    words = {str: "a text", bool: "true or false", int: "a whole number", Decimal: "a decimal"}
    return words.get(hint, "a list" if get_origin(hint) is tuple else "a table")
