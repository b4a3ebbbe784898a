"""What a replay reads of a dump, and the book that a venue's own cuts leave behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.lab.dump import Dump
from deleverage.lab.replay_waves import with_waves
from deleverage.model.records import Venue
from deleverage.model.rules import Scope
from deleverage.model.snapshot import Snapshot
from deleverage.planning.side import QueueSide

__all__ = [
    "Columns",
    "RemainingSide",
    "Remains",
    "Unit",
    "prepared",
    "read_columns",
    "read_positions",
    "split",
]

Int64 = NDArray[np.int64]

_ALWAYS = ("position_id", "account", "side", "qty")
_WHERE_GIVEN = ("margin_mode", "status", "hedged_qty")
_SHRINKING = ("entry_value", "margin", "maintenance_margin", "initial_margin", "open_value")
_TAKEN_OUT_FROM = 64
"""Rows that are gone are taken out once they are one in so many."""
_NOBODY = pl.DataFrame(
    schema={"account": pl.UInt64, "underlier": pl.String, "delta_neutral": pl.Boolean}
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """What is read and planned at once: some markets of one snapshot.

    Attributes:
        snapshot: number.
        part: number within the snapshot.
        counts: positions of each market, by its name, sorted.
        events: their bankruptcies, in order, as `replay_waves.with_waves` gives them, with their
            marks.
    """

    snapshot: int
    part: int
    counts: Mapping[str, int]
    events: pl.DataFrame

    @property
    def key(self) -> tuple[int, int]:
        """What it is known by."""
        return self.snapshot, self.part

    @property
    def rows(self) -> int:
        """Its positions."""
        return sum(self.counts.values())


def split(dump: Dump, rows_at_once: int) -> list[Unit]:
    """Split what happens into units, by snapshot, markets by their first event.

    Args:
        dump: what happened.
        rows_at_once: positions of a unit at most; a market that has more is a unit of its own.

    Returns:
        The units; they depend on the dump and on `rows_at_once` alone.

    Raises:
        InputError: nobody holds anything in a market with a bankruptcy.
    """
    bankruptcies = dump.marked(with_waves(dump))
    names = bankruptcies.with_columns(pl.col("market").cast(pl.String))
    keys = names.select("snapshot", "market").unique(maintain_order=True).rows()
    units: dict[tuple[int, int], dict[str, int]] = {}
    last: dict[int, tuple[int, int]] = {}
    for (snapshot, market), rows in zip(keys, dump.rows(keys), strict=True):
        part, held = last.get(snapshot, (0, 0))
        if held and held + rows > rows_at_once:
            part, held = part + 1, 0
        last[snapshot] = (part, held + rows)
        units.setdefault((snapshot, part), {})[market] = rows
    return [
        Unit(
            snapshot=snapshot,
            part=part,
            counts=dict(sorted(counts.items())),
            events=bankruptcies.filter(
                pl.col("snapshot") == snapshot, names["market"].is_in(list(counts))
            ),
        )
        for (snapshot, part), counts in sorted(units.items())
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What is read of the positions.

    Attributes:
        names: columns of the files.
        has_cross: whether rows say their margin mode, so that accounts may judge some.
    """

    names: tuple[str, ...]
    has_cross: bool


def read_columns(dump: Dump, venues: Sequence[Venue]) -> Columns:
    """Settle which columns the editions ask for.

    Args:
        dump: whose files are looked at.
        venues: the editions.

    Returns:
        The columns; of alternatives the first that the files have.

    Raises:
        InputError: an edition asks for a column that neither stands there nor is implied.
    """
    given = dump.position_columns()
    names = [name for name in (*_ALWAYS, *_WHERE_GIVEN) if name in given]
    for venue in venues:
        for need in (*venue.needs.positions, *venue.needs.isolated):
            found = [name for name in need.split("|") if name in given]
            if found:
                names.append(found[0])
            elif need != "open_value":
                raise InputError(
                    f"{dump.directory}: expected a column {need.replace('|', ' or ')} "
                    f"(edition {venue.name} needs it), got {', '.join(given)}"
                )
    return Columns(names=tuple(dict.fromkeys(names)), has_cross="margin_mode" in given)


def read_positions(dump: Dump, unit: Unit, columns: Columns) -> pl.DataFrame:
    """Read the positions of a unit, market by market."""
    frame = dump.positions(unit.snapshot, list(unit.counts), list(columns.names))
    markets = pl.Series("market", list(unit.counts), dtype=pl.Enum(list(unit.counts)))
    places = np.repeat(np.arange(len(markets), dtype=np.uint32), list(unit.counts.values()))
    return frame.with_columns(markets.gather(places))


def prepared(
    dump: Dump, unit: Unit, positions: pl.DataFrame, venue: Venue, columns: Columns
) -> Snapshot:
    """Make the snapshot of a unit for one edition.

    What a dump does not say is taken as it is implied: a position was opened once, nothing is
    hedged, nobody is declared delta-neutral, and accounts are as old as their ids are small.

    Args:
        dump: the rest of the tables.
        unit: snapshot and markets.
        positions: the rows.
        venue: the edition.
        columns: what was read.

    Returns:
        The snapshot at the marks of the unit's first moment.
    """
    needs = venue.needs
    implied = []
    if "open_value" in needs.positions and "open_value" not in positions.columns:
        implied.append(pl.col("entry_value").alias("open_value"))
    if "hedged_qty" in needs.tiers and "hedged_qty" not in positions.columns:
        implied.append(pl.lit(Decimal(0), dtype=pl.Decimal(18, 6)).alias("hedged_qty"))
    is_asked = venue.score.scope is not Scope.MARGIN_MODE or columns.has_cross
    accounts = None
    if "created_at" in needs.accounts or (needs.accounts and is_asked):
        accounts = _accounts(dump, unit, positions, needs.accounts)
    market = pl.col("market").cast(pl.String).is_in(list(unit.counts))
    return Snapshot.prepare(
        positions.with_columns(implied),
        marks=dump.marks_at(unit.snapshot).filter(market),
        markets=dump.markets.filter(market),
        accounts=accounts,
        neutral=_NOBODY if "neutral" in needs.tiers else None,
        venue=venue,
    )


def _accounts(
    dump: Dump, unit: Unit, positions: pl.DataFrame, needs: Sequence[str]
) -> pl.DataFrame:
    """The accounts of a unit's rows."""
    frame = dump.accounts_of(unit.snapshot, positions.select("account").unique())
    if "created_at" in needs and "created_at" not in frame.columns:
        frame = frame.with_columns(created_at=pl.col("account").rank("dense").cast(pl.Int64))
    return frame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RemainingSide(QueueSide):
    """A side without the rows that are gone; its rows count what is left.

    Attributes:
        kept: rising rows of the whole side.
    """

    kept: Int64

    def original(self, rows: Int64) -> Int64:
        """Give the rows of the position frame behind rows of what is left."""
        return QueueSide.original(self, self.kept[rows])

    def owners(self) -> NDArray[np.uint32]:
        """Give a number for the account behind each row."""
        return self.snapshot.account_codes.take(self.kept + self.start)

    def rows_of(self, account: str) -> Int64:
        """Give the rows of an account that are left."""
        return np.flatnonzero(np.isin(self.kept, QueueSide.rows_of(self, account)))


@dataclass(slots=True, eq=False)
class Remains:
    """What is left of one side after a venue's own cuts, in columns of our own.

    Rows that are gone are passed over as excluded, and taken out for good when they are many:
    every event looks at the whole side.
    """

    side: RemainingSide
    excluded: Int64

    @classmethod
    def of(cls, side: QueueSide, barred: Int64) -> "Remains":
        """Start with a whole side.

        Args:
            side: of the snapshot.
            barred: rows that are never candidates: those of the bankrupt accounts.
        """
        given = {one.name: getattr(side, one.name) for one in fields(QueueSide)}
        kept = np.arange(len(side.columns.lots))
        owned = {
            name: column.copy()
            for name in ("lots", *_SHRINKING)
            if (column := getattr(side.columns, name)) is not None
        }
        given["columns"] = replace(side.columns, **owned)
        remains = cls(side=RemainingSide(**given, kept=kept), excluded=np.unique(barred))
        remains.take_out()
        return remains

    def at(self, mark: Decimal, previous: Decimal | None) -> RemainingSide:
        """Give what is left at a mark.

        Args:
            mark: of the event.
            previous: the mark before, where it is known.
        """
        return replace(self.side, scale=self.side.scale.at(mark, previous=previous))

    def cut(self, rows: Int64, lots: Int64) -> None:
        """Take lots away; values are split by lots, what is left rounded down.

        Args:
            rows: (k,) rows of what is left.
            lots: (k,) lots closed of each.
        """
        is_whole = lots == np.abs(self.side.columns.lots[rows])
        for row, closed in zip(rows[~is_whole].tolist(), lots[~is_whole].tolist(), strict=True):
            self._shrink(row, closed)
        # Whoever is cut was not excluded: sorting is enough.
        self.excluded = np.sort(np.concatenate((self.excluded, rows[is_whole])))
        self.take_out(len(self.side.columns.lots) // _TAKEN_OUT_FROM)

    def _shrink(self, row: int, closed: int) -> None:
        """Close a part of one row, in whole numbers."""
        columns = self.side.columns
        whole = int(columns.lots[row])
        left = abs(whole) - closed
        for name in _SHRINKING:
            column = getattr(columns, name)
            if column is not None:
                column[row] = int(column[row]) * left // abs(whole)
        columns.lots[row] = left if whole > 0 else -left

    def take_out(self, most: int = 0) -> None:
        """Take the excluded rows out where they are more than this; what is left is the same."""
        if len(self.excluded) <= most:
            return
        keep = np.ones(len(self.side.columns.lots), dtype=bool)
        keep[self.excluded] = False
        columns = self.side.columns
        given = {one.name: getattr(columns, one.name) for one in fields(columns)}
        left = {name: column[keep] for name, column in given.items() if column is not None}
        self.side = replace(self.side, columns=replace(columns, **left), kept=self.side.kept[keep])
        self.excluded = self.excluded[:0]
