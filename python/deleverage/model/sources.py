"""Whatever holds a table, read as one Polars frame; text files keep their numbers as written."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import polars as pl

from deleverage.errors import InputError
from deleverage.model.refusals import plain

__all__ = ["FrameLike", "load"]

FrameLike: TypeAlias = object
"""A Polars or pandas frame, any object with `__arrow_c_stream__`, a mapping from column name to
values, or the path (str or Path) of a CSV, Parquet, JSON or JSON Lines file."""

_READERS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
_ACCEPTED = (
    "a Polars or pandas frame, an Arrow table, a mapping of columns, "
    "or the path of a .csv, .parquet, .json or .jsonl file"
)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_FIRST_BYTES = 1024
# A broken Parquet file may end in a panic of the reader, which is no Exception.
_READ_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def load(source: FrameLike, *, name: str) -> tuple[str, pl.DataFrame]:
    """Read a table.

    Args:
        source: see `FrameLike`.
        name: what the table is, for messages.

    Returns:
        The name, with the file's where there is one, and the frame. Numbers in CSV are text.

    Raises:
        InputError: the object is of no known kind, or the file cannot be read.
    """
    if isinstance(source, pl.DataFrame):
        return name, source
    if isinstance(source, (str, Path)):
        return f"{name} ({source})", _from_file(Path(source), f"{name} ({source})")
    if isinstance(source, Mapping):
        return name, _from_mapping(source, name)
    try:
        if isinstance(source, pl.LazyFrame):
            return name, source.collect()
        if hasattr(source, "__arrow_c_stream__"):
            return name, pl.DataFrame(source)
    except ImportError:
        pass  # pandas asks for pyarrow here; its columns can be read without it
    except _READ_ERRORS as error:
        raise InputError(f"{name}: expected a readable frame, got: {_first_line(error)}") from error
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):
        return name, _from_mapping({str(key): source[key] for key in source.columns}, name)
    raise InputError(f"{name}: expected {_ACCEPTED}, got {type(source).__name__}")


def _first_line(error: BaseException) -> str:
    """Give the first line of another library's message."""
    return str(error).strip().split("\n", 1)[0]


def _from_file(path: Path, name: str) -> pl.DataFrame:
    """Read a file by its ending."""
    kind = _READERS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(_READERS)
        raise InputError(f"{name}: expected a file ending in {known}, got {path.suffix!r}")
    if not path.is_file():
        raise InputError(f"{name}: expected a file, got none at this path")
    try:
        if kind == "parquet":
            return pl.read_parquet(path)
        _refuse_wide_text(path, name)
        readers = {"csv": _from_csv, "json": _from_json, "jsonl": _from_json_lines}
        return readers[kind](path, name)
    except _READ_ERRORS as error:
        raise InputError(
            f"{name}: expected a whole {kind} file, got: {_first_line(error)}"
        ) from error


def _refuse_wide_text(path: Path, name: str) -> None:
    """Refuse UTF-16, which spreadsheets write: read as UTF-8 its columns would have odd names."""
    with path.open("rb") as file:
        start = file.read(_FIRST_BYTES)
    if start.startswith(_UTF_16) or b"\0" in start:
        raise InputError(
            f"{name}: expected UTF-8 text, got UTF-16 or other bytes; save it as UTF-8"
        )


def _from_csv(path: Path, name: str) -> pl.DataFrame:
    """Read every column as text; ids that are whole numbers in every row become numbers."""
    frame = pl.read_csv(path, infer_schema=False)
    for column in frame.columns:
        if column.endswith("_duplicated_0"):
            twice = column.removesuffix("_duplicated_0")
            raise InputError(f"{name}: expected each column once, got {twice!r} twice")
    for column in ("position_id", "account"):
        if column in frame.columns and frame.height:
            texts = frame[column]
            numbers = texts.cast(pl.UInt64, strict=False)
            if texts.str.contains(r"^(?:0|[1-9]\d*)$").all() and not numbers.null_count():
                frame = frame.with_columns(numbers)
    return frame


def _from_json_lines(path: Path, name: str) -> pl.DataFrame:
    """Read one object a line; numbers with a point become decimals, never floats."""
    with path.open(encoding="utf-8") as lines:
        numbered = enumerate(_decoded(lines, name), start=1)
        records = (
            _json_object(line, f"{name}: line {number}")
            for number, line in numbered
            if line.strip()
        )
        return _from_records(records, name)


def _from_json(path: Path, name: str) -> pl.DataFrame:
    """Read a list of objects, as this program writes it; numbers as in JSON Lines."""
    with path.open(encoding="utf-8") as lines:
        text = "".join(_decoded(lines, name))
    expected = "a JSON list of objects, one a row (one object a line is a .jsonl file)"
    try:
        records = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: expected {expected}, got: {_first_line(error)}") from error
    if not isinstance(records, list):
        raise InputError(f"{name}: expected {expected}, got one {type(records).__name__}")
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError(f"{name}: row {row}: expected a JSON object, got {plain(record)}")
    return _from_records(records, name)


def _from_records(records: Iterable[dict[str, object]], name: str) -> pl.DataFrame:
    """Make a frame of rows; a key that a row does not have is null there."""
    columns: dict[str, list[object]] = {}
    count = 0
    for record in records:
        for key, value in record.items():
            column = columns.setdefault(key, [])
            column.extend([None] * (count - len(column)))
            column.append(value)
        count += 1
    for column in columns.values():
        column.extend([None] * (count - len(column)))
    return _from_mapping(columns, name)


def _decoded(lines: Iterable[str], name: str) -> Iterable[str]:
    """Give lines of text, refuse what is none."""
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: expected UTF-8 text, got other bytes") from error


def _json_object(line: str, where: str) -> dict[str, object]:
    """Read one line."""
    try:
        value = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected a JSON object, got {plain(line.strip())}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, got {plain(line.strip())}")
    return value


def _from_mapping(columns: Mapping[Any, object], name: str) -> pl.DataFrame:
    """Make a frame of named columns of one length."""
    series = [_column(str(key), values, name) for key, values in columns.items()]
    lengths = {one.name: len(one) for one in series}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{name}: expected columns of one length, got {lengths}")
    return pl.DataFrame(series)


def _column(key: str, values: object, name: str) -> pl.Series:
    """Make one column; Python decimals go through text, as they have no limit of digits."""
    try:
        if isinstance(values, pl.Series):
            return values.alias(key)
        if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iufbU":
            return pl.Series(key, values.astype(values.dtype.newbyteorder("="), copy=False))
        if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
            return pl.Series(key, cast("Iterable[object]", values))
    except (ImportError, TypeError, ValueError, *_READ_ERRORS):
        pass  # read entry by entry instead
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InputError(f"{name}: column {key}: expected a list or array, got {plain(values)}")
    return _listed(key, list(values), name)


def _listed(key: str, values: list[object], name: str) -> pl.Series:
    """Make a column of Python objects: one kind as it is, mixed numbers and text as text."""
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds - {Decimal, str, int, float} or (len(kinds) <= 1 and not kinds & {Decimal}):
        try:
            return pl.Series(key, values, strict=True)
        except (TypeError, OverflowError, *_READ_ERRORS) as error:
            if kinds != {int}:
                raise InputError(
                    f"{name}: column {key}: expected values of one kind, got {_first_line(error)}"
                ) from error
    return pl.Series(key, [_text(value, kinds) for value in values], dtype=pl.String)


def _text(value: object, kinds: set[type]) -> str | None:
    """Write a number so that it reads back exactly; a NaN among text is a missing value."""
    if isinstance(value, float):
        return None if str in kinds and isnan(value) else repr(value)
    return None if value is None else str(value)
