"""A dump: the book of a venue over time, as partitioned Parquet that a plan reads as it is.

```text
DIR/
  dump.json                                        what it is, and whether it is whole
  markets.parquet                                  contract terms, one row a market
  marks.parquet                                    snapshot, time, market, mark_price,
                                                   previous_mark_price, oracle_price
  bankruptcies.parquet                             event, time, snapshot, market, side, qty,
                                                   bankruptcy_price, account: in event order
  bursts.parquet                                   burst, time, snapshot, events, fills
  positions/snapshot=0000/market=BTC/part-00000.parquet ...
  accounts/snapshot=0000/part-00000.parquet ...
  fills/part-00000.parquet ...                     what the venue itself did: event, position_id,
                                                   account, market, side, qty_closed, price,
                                                   closed_pnl (only where that is known)
```

Every table has the columns of the public contract (ARCHITECTURE.md, section 5) with `market` in
the files too, so `plan(positions=, accounts=, marks=, markets=)` takes each snapshot's frames, and
each single part, without a change. Parts are read in the order of their names. `marks` has a row a
market and time at which something happens; a snapshot's own are those of its first time. Times are
int64 nanoseconds UTC; numbers are Decimal; ids are UInt64; `snapshot` counts from 0 in time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from deleverage.errors import InputError
from deleverage.model.digest import text_digest

__all__ = ["MANIFEST", "Dump", "positions_folder"]

MANIFEST = "dump.json"
LAYOUT = 1

_BANKRUPTCIES = (
    "event",
    "time",
    "snapshot",
    "market",
    "side",
    "qty",
    "bankruptcy_price",
    "account",
)
_MARKS = ("snapshot", "time", "market", "mark_price")


def positions_folder(directory: Path, snapshot: int, market: str) -> Path:
    """Give where the positions of one market at one moment are.

    Args:
        directory: of the dump.
        snapshot: number.
        market: name.

    Returns:
        A folder of parts.
    """
    return directory / "positions" / f"snapshot={snapshot:04d}" / f"market={market}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dump:
    """An opened dump; its small tables are read, the large ones when they are asked for.

    Attributes:
        directory: where it is.
        facts: what `dump.json` says.
        markets: contract terms.
        marks: by snapshot, time and market.
        bankruptcies: in event order.
    """

    directory: Path
    facts: Mapping[str, Any]
    markets: pl.DataFrame
    marks: pl.DataFrame
    bankruptcies: pl.DataFrame

    @classmethod
    def open(cls, directory: Path) -> "Dump":
        """Open a dump.

        Args:
            directory: holds `dump.json`.

        Returns:
            The dump.

        Raises:
            InputError: there is none, it is not whole, or a table is missing or garbled.
        """
        facts = _manifest(directory)
        return cls(
            directory=directory,
            facts=facts,
            markets=_table(directory / "markets.parquet", ("market", "kind")),
            marks=_table(directory / "marks.parquet", _MARKS),
            bankruptcies=_bankruptcies(directory / "bankruptcies.parquet"),
        )

    def parts(self, snapshot: int, market: str) -> list[Path]:
        """Give the files of one market at one moment, in order; none where nobody holds any."""
        return sorted(positions_folder(self.directory, snapshot, market).glob("part-*.parquet"))

    def positions(
        self,
        snapshot: int,
        market: str | Sequence[str] | None = None,
        columns: list[str] | None = None,
    ) -> pl.DataFrame:
        """Read positions.

        Args:
            snapshot: number.
            market: one market, several, or all of them in the order of the contract terms.
            columns: only these.

        Returns:
            The rows of the parts in order.

        Raises:
            InputError: there is no such snapshot, or a part cannot be read.
        """
        asked = self.markets["market"].to_list() if market is None else market
        markets = [asked] if isinstance(asked, str) else asked
        parts = [part for one in markets for part in self.parts(snapshot, str(one))]
        if not parts:
            raise InputError(
                f"{self.directory}: expected positions of snapshot {snapshot}"
                f"{'' if market is None else f' and market {market!r}'}, got none"
            )
        return _read(parts, columns)

    def rows(self, keys: Sequence[tuple[int, str]]) -> list[int]:
        """Count positions, from the files' own notes.

        Args:
            keys: snapshot and market of each count.

        Raises:
            InputError: somewhere there are none, or a part cannot be read.
        """
        parts = [self.parts(*key) for key in keys]
        for (snapshot, market), found in zip(keys, parts, strict=True):
            if not found:
                raise InputError(
                    f"{self.directory}: expected positions of snapshot {snapshot} and market "
                    f"{market!r}, got none"
                )
        every = [part for found in parts for part in found]
        if not every:
            return []
        try:
            scan = pl.scan_parquet(every, hive_partitioning=False, include_file_paths="file")
            # Rows come file by file: runs are counted without a hash of every row.
            runs = scan.select(pl.col("file").rle()).collect(engine="streaming")["file"].struct
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            first = str(error).strip().split("\n", 1)[0]
            raise InputError(f"{self.directory}: expected whole parts, got: {first}") from error
        # A file without a row has no line.
        files = map(Path, runs.field("value").cast(pl.String))
        counts = dict(zip(files, runs.field("len"), strict=True))
        return [sum(counts.get(part, 0) for part in found) for found in parts]

    def position_columns(self) -> list[str]:
        """Give the columns of the positions, by the first part there is.

        Raises:
            InputError: the dump has no positions.
        """
        first = next(self.directory.glob("positions/snapshot=*/market=*/part-*.parquet"), None)
        if first is None:
            raise InputError(f"{self.directory}: expected positions, got none")
        return list(pl.read_parquet_schema(first))

    def accounts_of(self, snapshot: int, holders: pl.DataFrame) -> pl.DataFrame:
        """Read some accounts of a moment, in bounded memory.

        Args:
            snapshot: number.
            holders: their ids, in a column `account`.

        Returns:
            One row an account.
        """
        files = self.directory / "accounts" / f"snapshot={snapshot:04d}" / "part-*.parquet"
        found = pl.scan_parquet(files).join(holders.lazy(), on="account", how="semi")
        return found.collect(engine="streaming")

    @property
    def digest(self) -> str:
        """SHA-256 over the bankruptcies, marks and contract terms: which dump it is."""
        tables = (self.bankruptcies, self.marks, self.markets)
        parts = [json.dumps(self.facts, sort_keys=True)]
        parts += [frame.write_csv() for frame in tables]
        return text_digest(parts).hex()

    def accounts(self, snapshot: int, columns: list[str] | None = None) -> pl.DataFrame:
        """Read the accounts of a moment, those without a position too.

        Args:
            snapshot: number.
            columns: only these.

        Returns:
            One row an account.

        Raises:
            InputError: there is no such snapshot, or a part cannot be read.
        """
        folder = self.directory / "accounts" / f"snapshot={snapshot:04d}"
        parts = sorted(folder.glob("part-*.parquet"))
        if not parts:
            raise InputError(f"{folder}: expected accounts, got none")
        return _read(parts, columns)

    def fills(self) -> pl.DataFrame:
        """Read what the venue itself did; no row where that is not in the dump."""
        parts = sorted((self.directory / "fills").glob("part-*.parquet"))
        return _read(parts, None) if parts else pl.DataFrame()

    def marks_at(self, snapshot: int, time: int | None = None) -> pl.DataFrame:
        """Give the marks of one moment.

        Args:
            snapshot: number.
            time: nanoseconds UTC, or None for the first of the snapshot.

        Returns:
            One row a market.

        Raises:
            InputError: there are none.
        """
        marks = self.marks.filter(pl.col("snapshot") == snapshot)
        moment = marks["time"].min() if time is None else time
        found = marks.filter(pl.col("time") == moment)
        if not found.height:
            raise InputError(
                f"{self.directory / 'marks.parquet'}: expected marks of snapshot {snapshot}"
                f"{'' if time is None else f' at {time}'}, got none"
            )
        return found

    def marked(self, events: pl.DataFrame) -> pl.DataFrame:
        """Give events with the marks of their times.

        Args:
            events: snapshot, market and time of each.

        Returns:
            They, with `mark` and `previous_mark`, null where the dump has none.

        Raises:
            InputError: the prices are no decimals.
        """
        kind = self.marks.schema["mark_price"]
        if not kind.is_decimal():
            raise InputError(
                f"{self.directory / 'marks.parquet'}: column mark_price: expected decimals, "
                f"got type {kind}"
            )
        has_previous = "previous_mark_price" in self.marks.columns
        keys = ["snapshot", "time", "named"]
        marks = self.marks.select(
            *("snapshot", "time"),
            named=pl.col("market").cast(pl.String),
            mark="mark_price",
            previous_mark="previous_mark_price" if has_previous else pl.lit(None, dtype=kind),
        ).unique(keys, keep="last")
        named = events.with_columns(named=pl.col("market").cast(pl.String))
        return named.join(marks, on=keys, how="left", maintain_order="left").drop("named")


def _manifest(directory: Path) -> Mapping[str, Any]:
    """Read `dump.json`."""
    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(f"{directory}: expected a dump with {MANIFEST}, got none")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(facts, dict) or facts.get("layout") != LAYOUT:
        raise InputError(f"{path}: expected layout {LAYOUT} of a dump, got another")
    if facts.get("complete") is not True:
        raise InputError(f"{directory}: expected a whole dump, got one whose writing was cut off")
    return facts


def _table(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """Read a small table."""
    if not path.is_file():
        raise InputError(f"{path}: expected a file, got none at this path")
    frame = _read([path], None)
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise InputError(f"{path}: expected a column {missing[0]}, got {frame.columns}")
    return frame


def _bankruptcies(path: Path) -> pl.DataFrame:
    """Read the events, in order, and see that each is one that can be replayed."""
    frame = _table(path, _BANKRUPTCIES).with_row_index("row").sort("event", maintain_order=True)
    side = pl.col("side").cast(pl.String)
    rules = (
        ("event", pl.col("event").is_first_distinct(), "a number that no other row has"),
        ("time", pl.col("time").diff().fill_null(0) >= 0, "one not before the event before"),
        ("snapshot", pl.col("snapshot") >= 0, "a number"),
        ("market", pl.col("market").cast(pl.String).str.len_chars() > 0, "a name"),
        ("side", side.is_in(["long", "short"]), "long or short"),
        ("qty", pl.col("qty") > 0, "a number above zero"),
    )
    for column, is_sound, expected in rules:
        try:
            wrong = frame.filter(~is_sound.fill_null(value=False) | pl.col(column).is_null())
        except pl.exceptions.PolarsError as error:
            kind = frame.schema[column]
            raise InputError(
                f"{path}: column {column}: expected {expected}, got type {kind}"
            ) from error
        if wrong.height:
            row, value = wrong["row"][0], "null" if wrong[column][0] is None else wrong[column][0]
            raise InputError(
                f"{path}: column {column}, row {row}: expected {expected}, got {value}"
            )
    return frame.drop("row")


def _read(parts: list[Path], columns: list[str] | None) -> pl.DataFrame:
    """Read files one after the other."""
    try:
        return pl.read_parquet(parts, columns=columns, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise InputError(f"{parts[0].parent}: expected whole parts, got: {first}") from error
