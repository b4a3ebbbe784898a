"""Where data goes and in what shape: table, JSON, CSV, Parquet; standard output or a file.

In JSON, money, prices and sizes are strings, and so are ids: a reader that parses numbers as
doubles must not change them. Counts, ranks, lights and scores are numbers; a score that does not
exist is null.
"""

import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path

import polars as pl

from deleverage.cli.exits import OutputError, ReaderWentAway
from deleverage.cli.options import Format
from deleverage.errors import InputError

__all__ = ["Sink", "emit_frame", "emit_record", "json_value"]

TEXT_COLUMNS = frozenset(
    {
        "position_id",
        "account",
        "market",
        "qty",
        "entry_price",
        "entry_value",
        "margin",
        "bankruptcy_price",
        "bankruptcy_value",
        "maintenance_margin",
        "initial_margin",
        "leverage",
        "open_value",
        "period_profit",
        "hedged_qty",
        "wallet_balance",
        "equity",
        "mark_price",
        "qty_closed",
        "qty_left",
        "price",
    }
)
"""Columns that are strings in JSON whatever their type: money, prices, sizes, ids."""


_STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_SYSTEM = ("/dev", "/proc", "/sys")
_SUFFIXES = {
    ".json": Format.JSON,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
    ".txt": Format.TABLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """Where one command's data goes.

    Attributes:
        format: the shape.
        path: a file, or None for standard output.
    """

    format: Format
    path: Path | None

    @classmethod
    def of(cls, shape: Format | None, output: str, *, allowed: tuple[Format, ...]) -> "Sink":
        """Settle shape and place from the options of a command.

        Args:
            shape: `--format`, or None to follow the file's suffix (a table without one).
            output: `-o`; `-` is standard output.
            allowed: shapes that the command has.

        Returns:
            The sink.

        Raises:
            InputError: the command has no such shape, or Parquet would go to a terminal.
        """
        path = None if output in _STANDARD_OUTPUT else Path(output)
        suffix = "" if path is None else path.suffix.lower()
        if shape is None and suffix not in {"", *_SUFFIXES} and not str(path).startswith(_SYSTEM):
            raise InputError(
                f"-o {output}: expected a suffix of {', '.join(_SUFFIXES)}, got {suffix}; "
                "pass --format to write this name all the same"
            )
        chosen = shape or _SUFFIXES.get(suffix, Format.TABLE)
        if chosen not in allowed:
            names = ", ".join(allowed)
            raise InputError(f"--format: expected one of {names} here, got {chosen}")
        if chosen is Format.PARQUET and path is None and _is_terminal():
            raise InputError("--format parquet: expected -o FILE or a pipe, got a terminal")
        return cls(format=chosen, path=path)

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches the data arrive."""
        return self.path is None and _is_terminal()

    def write_text(self, text: str) -> None:
        """Write text; a last newline is added where it is missing.

        Args:
            text: what to write.

        Raises:
            OutputError: the file cannot be written.
            ReaderWentAway: nobody reads standard output any more.
        """
        ended = text if text.endswith("\n") else f"{text}\n"
        self.write_bytes(ended.encode())

    def write_bytes(self, data: bytes) -> None:
        """Write bytes.

        Args:
            data: what to write.

        Raises:
            OutputError: the file cannot be written.
            ReaderWentAway: nobody reads standard output any more.
        """
        if self.path is None:
            _write_standard_output(data)
        else:
            _write_file(self.path, data)


def emit_frame(frame: pl.DataFrame, sink: Sink, *, table: Callable[[pl.DataFrame], str]) -> None:
    """Write a frame in the sink's shape.

    Args:
        frame: the data.
        sink: shape and place.
        table: draws the table for people.

    Raises:
        OutputError: the file cannot be written.
    """
    if sink.format is Format.TABLE:
        sink.write_text(table(frame))
    elif sink.format is Format.JSON:
        sink.write_text(_json_rows(frame))
    elif sink.format is Format.CSV:
        sink.write_text(_flat(frame).write_csv())
    else:
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        sink.write_bytes(buffer.getvalue())


def emit_record(
    record: Mapping[str, object] | Sequence[Mapping[str, object]],
    sink: Sink,
    *,
    table: Callable[[], str],
) -> None:
    """Write a record, or several, as JSON or as the table for people.

    Args:
        record: names and values; frames inside become lists of rows.
        sink: shape and place; JSON or table.
        table: draws the table for people.

    Raises:
        OutputError: the file cannot be written.
    """
    if sink.format is Format.TABLE:
        sink.write_text(table())
    else:
        sink.write_text(json.dumps(json_value(record), indent=2, ensure_ascii=False))


def json_value(value: object) -> object:
    """Turn a value into what JSON can hold without changing a number.

    Args:
        value: a scalar, a mapping, a record, a sequence or a frame.

    Returns:
        The same as JSON types.
    """
    if isinstance(value, pl.DataFrame):
        return list(_json_records(value))
    if is_dataclass(value) and not isinstance(value, type):
        return json_value({one.name: getattr(value, one.name) for one in fields(value)})
    if isinstance(value, Mapping):
        return {str(key): _json_named(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(inner) for inner in value]
    return _json_scalar(value)


def _json_scalar(value: object) -> object:
    """One scalar as a JSON type."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _json_rows(frame: pl.DataFrame) -> str:
    """A JSON list with one row a line."""
    rows = ",\n".join(json.dumps(record, ensure_ascii=False) for record in _json_records(frame))
    return f"[\n{rows}\n]" if rows else "[]"


def _json_records(frame: pl.DataFrame) -> Iterator[dict[str, object]]:
    """The rows as JSON objects."""
    for row in frame.iter_rows(named=True):
        yield {name: _json_named(name, value) for name, value in row.items()}


def _json_named(name: str, value: object) -> object:
    """A value under its name: ids, money, prices and sizes are text."""
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return _as_text(value) if name in TEXT_COLUMNS and is_number else json_value(value)


def _as_text(value: object) -> str | None:
    """A number or an id as text without an exponent."""
    if value is None:
        return None
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}" if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with columns that CSV can hold: nested values become JSON text."""
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    texts = [
        pl.Series(name, [json.dumps(json_value(v)) for v in frame[name].to_list()], pl.String)
        for name in nested
    ]
    return frame.with_columns(texts)


def _is_terminal() -> bool:
    """Whether standard output is a terminal; a process may have none."""
    return sys.stdout is not None and sys.stdout.isatty()


def _write_standard_output(data: bytes) -> None:
    """Write to standard output and see it through."""
    if sys.stdout is None:
        raise OutputError("standard output: expected an open one, got none")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        raise ReaderWentAway from error
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror}; nothing more was written") from error


def _write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; devices, pipes and what a link names are kept."""
    try:
        real = path.resolve()
        if _is_replaceable(path, real):
            _replace_file(real, data)
            return
        with path.open("wb") as device:
            device.write(data)
    except BrokenPipeError as error:
        raise ReaderWentAway from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def _is_replaceable(path: Path, real: Path) -> bool:
    """Whether a path names a plain file, or nothing yet, outside of the system's own folders.

    `/dev/fd/3` may lead to a plain file that another process holds open: replacing that file, or
    the link itself, would take it away from under everybody else.
    """
    places = (path.absolute(), real)
    is_system = any(place.is_relative_to(folder) for place in places for folder in _SYSTEM)
    return not is_system and (real.is_file() or not real.exists())


def _replace_file(path: Path, data: bytes) -> None:
    """Write beside the file, then take its place."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
