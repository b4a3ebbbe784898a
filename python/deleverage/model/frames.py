"""Frames at the edge: the columns of the contract, checked, and handed on as arrays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.model.quantise import Int64, Numbers, decimal_of, read_numbers
from deleverage.model.refusals import bad_value, nearest_name, plain
from deleverage.model.sources import FrameLike, load

__all__ = ["Keys", "Table", "encode", "rank", "read_marks", "read_table", "refuse_repeats"]

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "positions": (
        "position_id",
        "account",
        "market",
        "side",
        "qty",
        "entry_price",
        "entry_value",
        "margin_mode",
        "margin",
        "bankruptcy_price",
        "bankruptcy_value",
        "maintenance_margin",
        "initial_margin",
        "leverage",
        "open_value",
        "opened_at",
        "hedged_qty",
        "status",
    ),
    "accounts": (
        "account",
        "asset",
        "wallet_balance",
        "equity",
        "maintenance_margin",
        "position_mode",
        "created_at",
    ),
    "marks": ("market", "mark_price", "previous_mark_price", "oracle_price"),
    "markets": (
        "market",
        "kind",
        "underlier",
        "contract_size",
        "lot_size",
        "tick_size",
        "price_unit",
        "money_unit",
        "settle",
        "max_leverage",
        "pool",
    ),
    "neutral": ("account", "underlier", "delta_neutral"),
}
"""The columns each table may have by contract; others are carried along untouched."""

_SILENT = ("side", "margin_mode", "status")
"""Columns whose absence means something else than that they are not there."""
_NEAR_SILENT = 0.8
_NEAR = 0.9
"""How alike a stranger and a column of the contract are that is taken for a slip of the pen; a
column of one's own such as `maintenance_margin_rate` is not."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """A frame with a name; rows count from 0.

    Attributes:
        kind: positions, accounts, marks, markets or neutral.
        name: the kind, with the file's name where there is one.
        frame: the frame as given.
    """

    kind: str
    name: str
    frame: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height

    def has(self, column: str) -> bool:
        """Tell whether the column is there."""
        return column in self.frame.columns

    def require(self, *columns: str, why: str = "") -> None:
        """Refuse a frame without these columns; `a|b` means either.

        Raises:
            InputError: names the column, and the nearest name that the frame has.
        """
        for column in columns:
            names = column.split("|")
            if any(self.has(name) for name in names):
                continue
            strangers = [name for name in self.frame.columns if name not in _COLUMNS[self.kind]]
            hints = (nearest_name(name, strangers) for name in names)
            hint = next((hint for hint in hints if hint), "")
            wanted = " or ".join(names)
            reason = f" ({why})" if why else ""
            raise InputError(
                f"{self.name}: expected a column {wanted}{reason}, got {self.frame.columns}{hint}"
            )

    def numbers(self, column: str, *, optional: NDArray[np.bool_] | None = None) -> Numbers:
        """Read a column of numbers; see `read_numbers`.

        Raises:
            InputError: the column is missing, or names the first row with a null or no number.
        """
        self.require(column)
        return read_numbers(self.frame[column], table=self.name, optional=optional)

    def keys(self, column: str) -> "Keys":
        """Read a column of ids: whole numbers or text.

        Raises:
            InputError: the column is missing, of another type, or has a null or a negative number.
        """
        self.require(column)
        series = self.frame[column]
        self._refuse_null(series)
        dtype = series.dtype
        if dtype.is_integer():
            numbers = series.cast(pl.UInt64, strict=False)
            if numbers.null_count():
                row = int(numbers.is_null().arg_max() or 0)
                raise self.refuse(column, row, "a whole number in 0..2^64")
            return Keys(numbers=numbers.rechunk().to_numpy(allow_copy=False))
        if dtype in (pl.String, pl.Categorical, pl.Enum):
            return Keys(texts=series.cast(pl.String))
        if dtype == pl.Null and not len(series):
            return Keys(texts=series.cast(pl.String))
        raise InputError(
            f"{self.name}: column {column}: expected text or whole numbers, got type {dtype}"
        )

    def codes(
        self, column: str, names: Sequence[str], *, expected: str = "", way_out: str = ""
    ) -> NDArray[np.uint32]:
        """Give each row's place in a list of names.

        Args:
            column: text, categorical or whole numbers.
            names: distinct names.
            expected: what the value may be; the list itself if not said.
            way_out: ends the message of an error.

        Returns:
            (n,) uint32.

        Raises:
            InputError: the column is missing, or names the first row with a null or unknown name.
        """
        self.require(column)
        series = self.frame[column]
        self._refuse_null(series)
        if not len(series):
            return np.empty(0, np.uint32)
        first = str(series[0])
        if series.dtype == pl.String and first in names and bool((series == first).all()):
            return np.full(len(series), names.index(first), np.uint32)
        places = _places(series, names)
        unknown = places.is_null()
        if unknown.any():
            row = int(unknown.arg_max() or 0)
            listed = expected or " or ".join(names)
            hint = nearest_name(str(series[row]), names)
            raise self.refuse(column, row, listed, (way_out + hint).removeprefix(", "))
        return places.to_numpy()

    def places(self, column: str, names: Sequence[str]) -> NDArray[np.uint32]:
        """Give each row's place in a list of names, and the list's length where it has none.

        Raises:
            InputError: the column is missing, or names the first row with a null.
        """
        self.require(column)
        series = self.frame[column]
        self._refuse_null(series)
        return _places(series, names).fill_null(len(names)).to_numpy()

    def distinct(self, column: str) -> list[str]:
        """Give the texts of a column, each once and sorted, without nulls."""
        self.require(column)
        return self.frame[column].cast(pl.String).drop_nulls().unique().sort().to_list()

    def flags(self, column: str) -> NDArray[np.bool_]:
        """Read a column of true and false.

        Raises:
            InputError: the column is missing, of another type, or has a null.
        """
        self.require(column)
        series = self.frame[column]
        if series.dtype == pl.Boolean:
            self._refuse_null(series)
            return series.to_numpy()
        return self.codes(column, ("false", "true")).astype(np.bool_)

    def times(self, column: str) -> Int64:
        """Read a column of times: nanoseconds UTC as whole numbers, or date-times.

        Returns:
            (n,) int64 nanoseconds since 1970, UTC.

        Raises:
            InputError: the column is missing, of another type, or has a null.
        """
        self.require(column)
        series = self.frame[column]
        self._refuse_null(series)
        dtype = series.dtype
        if dtype == pl.String:
            series = series.cast(pl.Int64, strict=False)
            if series.null_count():
                row = int(series.is_null().arg_max() or 0)
                raise self.refuse(column, row, "nanoseconds UTC as a whole number")
        elif isinstance(dtype, pl.Datetime):
            if dtype.time_zone is not None:
                series = series.dt.convert_time_zone("UTC")
            series = series.dt.epoch("ns")
        elif not dtype.is_integer():
            raise InputError(
                f"{self.name}: column {column}: expected nanoseconds UTC or date-times, "
                f"got type {dtype}"
            )
        return series.cast(pl.Int64).rechunk().to_numpy()

    def texts(self, column: str) -> list[str | None]:
        """Read a column of a small table as text; nulls stay."""
        self.require(column)
        return self.frame[column].cast(pl.String).to_list()

    def decimals(self, column: str) -> list[Decimal | None]:
        """Read a positive number of each row of a small table; nulls stay.

        Raises:
            InputError: names the first row that holds no number, or one that is not above zero.
        """
        self.require(column)
        missing = self.frame[column].is_null().to_numpy()
        numbers = self.numbers(column, optional=missing)
        found: list[Decimal | None] = []
        for row, is_missing in enumerate(missing.tolist()):
            exact = numbers.exact(row)
            if not is_missing and exact <= 0:
                raise numbers.refuse(row, "a number above zero")
            found.append(None if is_missing else decimal_of(exact))
        return found

    def refuse(self, column: str, row: int, expected: str, way_out: str = "") -> InputError:
        """Give the error for one value of this table."""
        value = self.frame[column][row]
        return bad_value(
            table=self.name,
            column=column,
            row=row,
            value=value,
            expected=expected,
            way_out=way_out,
        )

    def _refuse_null(self, series: pl.Series) -> None:
        """Refuse a column with a null."""
        if series.null_count():
            row = int(series.is_null().arg_max() or 0)
            raise self.refuse(series.name, row, "a value")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Keys:
    """A column of ids: (n,) uint64 numbers, or text."""

    numbers: NDArray[np.uint64] | None = None
    texts: pl.Series | None = None

    def __len__(self) -> int:
        return len(self.as_text()) if self.numbers is None else len(self.numbers)

    def as_text(self) -> pl.Series:
        """Give the ids as text."""
        if self.numbers is None:
            return self.texts if self.texts is not None else pl.Series(dtype=pl.String)
        return pl.Series(self.numbers).cast(pl.String)

    def at(self, row: int) -> int | str:
        """Give one id as it was given."""
        if self.numbers is not None:
            return int(self.numbers[row])
        return str(self.as_text()[row])


def read_table(source: FrameLike, *, kind: str) -> Table:
    """Read one table of the contract.

    Args:
        source: see `sources.FrameLike`; a `Table` is handed back.
        kind: positions, accounts, marks, markets or neutral.

    Raises:
        InputError: it cannot be read, a required column is missing, or a column that is optional
            stands there under a name that is nearly right.
    """
    if isinstance(source, Table):
        return source
    name, frame = load(source, name=kind)
    table = Table(kind=kind, name=name, frame=frame)
    required = {"positions": ("account", "market", "qty"), "marks": ("market", "mark_price")}
    required |= {"accounts": ("account",), "markets": ("market", "kind")}
    required |= {"neutral": ("account", "underlier", "delta_neutral")}
    table.require(*required[kind])
    _refuse_near_misses(table)
    return table


def read_marks(source: FrameLike) -> Table:
    """Read marks: a table, or a mapping from market to mark price.

    Raises:
        InputError: it cannot be read, or a market stands there twice.
    """
    if isinstance(source, Mapping) and "market" not in source:
        prices = list(source.values())
        if all(isinstance(price, (Decimal, str, int, float)) for price in prices):
            source = {"market": [str(market) for market in source], "mark_price": prices}
    table = read_table(source, kind="marks")
    refuse_repeats(table, table.texts("market"), "market")
    return table


def refuse_repeats(table: Table, names: Iterable[object], column: str) -> None:
    """Refuse a key that stands in two rows of a small table.

    Raises:
        InputError: names both rows.
    """
    seen: dict[object, int] = {}
    for row, name in enumerate(names):
        if name is None:
            raise table.refuse(column, row, "a value")
        if name in seen:
            raise bad_value(
                table=table.name,
                column=column,
                row=row,
                value=name if isinstance(name, str) else plain(name),
                expected="each one once",
                way_out=f"row {seen[name]} has it too",
            )
        seen[name] = row


def encode(*columns: Keys) -> tuple[list[NDArray[Any]], pl.Series | None]:
    """Give ids of several columns codes that compare as the ids do.

    Numbers are their own codes (uint64). If one column is text all are read as text, and codes
    (uint32) are places in the sorted list of names.

    Returns:
        The codes of each column; the names, or None for numbers.
    """
    numbers = [column.numbers for column in columns]
    if all(one is not None for one in numbers):
        return [one for one in numbers if one is not None], None
    first, *others = [column.as_text() for column in columns]
    if not others:
        names = _distinct(first)
        return [_codes_of(first, names).to_numpy()], names
    # Tables of accounts name nearly everybody, each once: positions are looked up among them.
    names = _distinct(pl.concat(others))
    found = _codes_of(first, names)
    if found.null_count():
        strangers = first.filter(found.is_null())
        names = _distinct(pl.concat([names, strangers]))
        found = _codes_of(first, names)
    return [one.to_numpy() for one in (found, *(_codes_of(one, names) for one in others))], names


def rank(keys: Keys) -> NDArray[np.uint64]:
    """Give numbers that compare as the ids do: numbers themselves, places of text when sorted.

    Equal ids have equal numbers.
    """
    if keys.numbers is not None:
        return keys.numbers
    texts = keys.as_text().rechunk()
    rest = max(len(texts) - 1, 0)
    if bool((texts.slice(1) > texts.slice(0, rest)).all()):
        return np.arange(len(texts), dtype=np.uint64)
    return _codes_of(texts, _distinct(texts)).to_numpy().astype(np.uint64)


def _distinct(texts: pl.Series) -> pl.Series:
    """Give texts sorted, each once; a sort by values is several times as quick as one by rows."""
    ordered = texts.sort()
    is_first = ordered.slice(1) != ordered.slice(0, max(len(ordered) - 1, 0))
    first = pl.Series([True] * min(len(ordered), 1), dtype=pl.Boolean)
    return ordered.filter(pl.concat([first, is_first]))


def _codes_of(texts: pl.Series, names: pl.Series) -> pl.Series:
    """Give each text's place among names as UInt32, null where it has none: a hash join."""
    known = pl.DataFrame(
        {"text": names, "code": pl.arange(len(names), dtype=pl.UInt32, eager=True)}
    )
    rows = pl.DataFrame({"text": texts})
    return rows.join(known, on="text", how="left", maintain_order="left")["code"].rechunk()


def _places(series: pl.Series, names: Sequence[str]) -> pl.Series:
    """Give each row's place among names as UInt32, null where it has none."""
    if series.dtype.is_integer():
        unique = series.unique()
        known = {name: place for place, name in enumerate(names)}
        places = [known.get(str(value)) for value in unique]
        new = pl.Series(places, dtype=pl.UInt32)
        return series.replace_strict(unique, new, default=None, return_dtype=pl.UInt32)
    if isinstance(series.dtype, pl.Enum):
        categories = {name: place for place, name in enumerate(names)}
        codes = [categories.get(name) for name in series.dtype.categories]
        return pl.Series(codes, dtype=pl.UInt32).gather(series.to_physical())
    if series.dtype not in (pl.String, pl.Categorical):
        return pl.Series([None], dtype=pl.UInt32).new_from_index(0, len(series))
    texts = series if series.dtype == pl.String else series.cast(pl.String)
    return texts.cast(pl.Enum(names), strict=False).to_physical().cast(pl.UInt32)


def _refuse_near_misses(table: Table) -> None:
    """Refuse `Status` or `maintenence_margin`: taken for a column of one's own it is not read."""
    strangers = [name for name in table.frame.columns if name not in _COLUMNS[table.kind]]
    for column in _COLUMNS[table.kind]:
        if table.has(column):
            continue
        cutoff = _NEAR_SILENT if column in _SILENT else _NEAR
        hint = nearest_name(column, strangers, cutoff=cutoff)
        if hint:
            stranger = hint.split("'")[1]
            raise InputError(
                f"{table.name}: expected column names of the contract, got {stranger!r}, "
                f"did you mean {column!r}? (rename or drop it)"
            )
