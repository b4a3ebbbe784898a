"""Who is cut: the events of a unit on one side after the other, in columns.

A venue's queue is asked for all events of a side in one call. Every other policy, and the side
that is shown, go event by event over what is left, which comes to the same and takes its time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.book import Turns, in_turn
from deleverage.errors import InvariantError
from deleverage.lab.replay_book import RemainingSide, Remains, Unit
from deleverage.lab.replay_policy import Policy, Share
from deleverage.lab.replay_shown import Watching
from deleverage.model.quantise import LIMIT
from deleverage.model.scales import MarketScale
from deleverage.model.snapshot import Snapshot
from deleverage.model.terms import Completion
from deleverage.planning.side import QueueSide

__all__ = ["Asked", "Cuts", "asked_of", "barred_rows", "cut_one_by_one", "cut_side", "sides_of"]

Bools = NDArray[np.bool_]
Int64 = NDArray[np.int64]

_OPPOSITE = {"long": "short", "short": "long"}
_NONE = np.zeros(0, np.int64)
_NO_TURNS = Turns(
    counts=_NONE, unfilled=_NONE, rows=_NONE, lots=_NONE, held=_NONE, entry_value=_NONE
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What is asked of one side: some events, in order, at their marks.

    Attributes:
        side: that is cut, as the snapshot has it.
        barred: rows of it that are never candidates.
        places: (t,) places of the events among those of the unit.
        lots: of each.
        marks: of each, and the mark before it where that is known.
        rates: what a lot is worth at each, as `MarketScale.rate`.
    """

    side: QueueSide
    barred: Int64
    places: Int64
    lots: Sequence[int]
    marks: Sequence[tuple[Decimal, Decimal | None]]
    rates: Sequence[tuple[int, int, bool]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cuts:
    """What events closed; the rows of all events stand one after the other.

    Attributes:
        places: (t,) places of the events among those of the unit.
        entries: (t,) entries on the side before each.
        unfilled: (t,) lots that nobody offset.
        counts: (t,) rows that each closed.
        rows: (k,) rows of the position frame, first to be cut first.
        lots: (k,) lots closed of each.
        held: (k,) lots that each held before.
        entry_value: (k,) entry value of each before.
    """

    places: Int64
    entries: Int64
    unfilled: Int64
    counts: Int64
    rows: Int64
    lots: Int64
    held: Int64
    entry_value: Int64

    @classmethod
    def joined(cls, parts: Sequence["Cuts"]) -> "Cuts":
        """Put the events of several sides into one order, by their places."""
        given = {
            one.name: np.concatenate([getattr(part, one.name) for part in parts])
            for one in fields(cls)
        }
        counts = given["counts"]
        order = np.argsort(given["places"], kind="stable")
        starts, lengths = (np.cumsum(counts) - counts)[order], counts[order]
        behind = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        fills = behind + np.arange(len(behind))
        by_fill = ("rows", "lots", "held", "entry_value")
        return cls(
            **{name: values[fills if name in by_fill else order] for name, values in given.items()}
        )


def sides_of(unit: Unit) -> dict[tuple[str, str], Int64]:
    """Give the events of each side that is cut, by their places; by market and side cut."""
    found: dict[tuple[str, str], list[int]] = {}
    markets = unit.events["market"].cast(pl.String).to_list()
    sides = unit.events["side"].cast(pl.String).to_list()
    for place, (market, side) in enumerate(zip(markets, sides, strict=True)):
        found.setdefault((market, _OPPOSITE[side]), []).append(place)
    return {key: np.array(places, np.int64) for key, places in found.items()}


def barred_rows(unit: Unit, positions: pl.DataFrame) -> Int64:
    """Find the positions of accounts that go bankrupt in their market: they are no candidates.

    Args:
        unit: the events.
        positions: of the unit.

    Returns:
        (b,) rows of the position frame, rising.
    """
    account = pl.col("account").cast(positions.schema["account"], strict=False)
    failed = unit.events.select(pl.col("market").cast(pl.String), account)
    rows = positions["account"].is_in(failed["account"].implode()).arg_true()
    held = zip(*(positions[name].gather(rows) for name in failed.columns), strict=True)
    pairs = set(failed.iter_rows())
    barred = [row for row, pair in zip(rows, held, strict=True) if pair in pairs]
    return np.array(barred, np.int64)


def asked_of(
    snapshot: Snapshot, unit: Unit, sides: Mapping[tuple[str, str], Int64], barred: Int64
) -> list[Asked]:
    """Gather what is asked of each side.

    Args:
        snapshot: of the unit, under one edition.
        unit: the events.
        sides: as `sides_of` gives them.
        barred: (b,) rows of the position frame that are never candidates.

    Returns:
        The events of each side.

    Raises:
        InputError: a quantity is no whole number of lots, or a mark is not above zero.
    """
    # As lists of the whole unit: to take a few rows of a frame costs more than many of a list.
    events = list(unit.events.select("qty", "mark", "previous_mark").iter_rows())
    found = []
    for key, places in sides.items():
        side = QueueSide.of(snapshot, *key)
        own = [events[place] for place in places.tolist()]
        found.append(
            Asked(
                side=side,
                barred=_rows_of(side, barred),
                places=places,
                lots=[_lots(side.scale, qty) for qty, _, _ in own],
                marks=[(mark, before) for _, mark, before in own],
                rates=[side.scale.rate_at(mark) for _, mark, _ in own],
            )
        )
    return found


def _rows_of(side: QueueSide, rows: Int64) -> Int64:
    """The rows of a side that stand for some of the position frame."""
    if not len(rows):
        return rows
    return np.flatnonzero(np.isin(side.original(np.arange(len(side))), rows))


def cut_side(asked: Asked, is_covered: Bools) -> Cuts:
    """Cut the edition's queue for all events of a side in one call.

    Args:
        asked: the events.
        is_covered: (t,) events that a pool takes over: they close nobody.

    Returns:
        What they closed; `Remains` and the queue's policy come to the same event by event.
    """
    side, is_open = asked.side, ~is_covered
    unfilled = np.zeros(len(is_covered), np.int64)
    counts = np.zeros(len(is_covered), np.int64)
    turns = _NO_TURNS
    if is_open.any():
        chosen = np.flatnonzero(is_open).tolist()
        turns = in_turn(
            _arrays(side.columns),
            [asked.rates[place] for place in chosen],
            rule=side.rule,
            side=side.side,
            lots=np.array([asked.lots[place] for place in chosen], np.int64),
            accounts=_arrays(side.accounts),
            excluded=asked.barred,
            wants_all=side.snapshot.venue.allocation.completion is Completion.ALL_OR_NOTHING,
        )
    unfilled[is_open], counts[is_open] = turns.unfilled, turns.counts
    return Cuts(
        places=asked.places,
        entries=_entries(len(side) - len(asked.barred), turns, counts),
        unfilled=unfilled,
        counts=counts,
        rows=side.original(turns.rows),
        lots=turns.lots,
        held=turns.held,
        entry_value=turns.entry_value,
    )


def _arrays(table: object) -> dict[str, NDArray[Any]]:
    """The arrays of a record of columns that are there."""
    if table is None:
        return {}
    given = {one.name: getattr(table, one.name) for one in fields(table)}  # type: ignore[arg-type]
    return {name: values for name, values in given.items() if values is not None}


def _entries(whole: int, turns: Turns, counts: Int64) -> Int64:
    """Count the entries before each event: those closed whole are gone."""
    gone = np.concatenate(([0], np.cumsum(turns.lots == turns.held)))
    found: Int64 = whole - gone[np.cumsum(counts) - counts]
    return found


def cut_one_by_one(
    asked: Asked, is_covered: Bools, policy: Policy, name: str, watching: Watching | None
) -> Cuts:
    """Cut a side event by event, under any policy.

    Args:
        asked: the events.
        is_covered: (t,) events that a pool takes over.
        policy: how a quantity is shared out.
        name: of the policy.
        watching: what follows the side, where it is shown.

    Returns:
        What they closed.

    Raises:
        InvariantError: the policy closed another quantity than asked for.
    """
    remains = Remains.of(asked.side, asked.barred)
    parts = []
    for place, (lots, marks) in enumerate(zip(asked.lots, asked.marks, strict=True)):
        if watching is not None:
            remains.take_out()
            watching.note(remains.at(*marks), int(asked.places[place]))
        side = remains.at(*marks)
        share = Share(rows=_NONE, lots=_NONE, unfilled=0)
        if not is_covered[place]:
            share = _share(side, lots, policy, name, remains.excluded)
        parts.append(
            Cuts(
                places=asked.places[place : place + 1],
                entries=np.array([len(side) - len(remains.excluded)]),
                unfilled=np.array([share.unfilled]),
                counts=np.array([len(share.rows)]),
                rows=side.original(share.rows),
                lots=share.lots,
                held=np.abs(side.columns.lots[share.rows]),
                entry_value=side.columns.entry_value[share.rows],
            )
        )
        if not is_covered[place]:
            remains.cut(share.rows, share.lots)
    if watching is not None:
        watching.end(remains)
    return Cuts.joined(parts)


def _share(side: RemainingSide, lots: int, policy: Policy, name: str, excluded: Int64) -> Share:
    """Let a policy share out, and see that nothing is lost."""
    share = policy(side, lots, excluded)
    held = np.abs(side.columns.lots[share.rows])
    if int(share.lots.sum()) + share.unfilled != lots or bool((share.lots > held).any()):
        raise InvariantError(f"policy {name}: expected {lots} lots closed and unfilled, got others")
    is_whole = side.snapshot.venue.allocation.completion is Completion.ALL_OR_NOTHING
    if share.unfilled and is_whole:
        return Share(rows=share.rows[:0], lots=share.lots[:0], unfilled=lots)
    return share


def _lots(scale: MarketScale, qty: Decimal) -> int:
    """Contracts as lots; what is not whole, or too many, the scale refuses in its own words."""
    whole, rest = divmod(qty, scale.lot_size)
    return int(whole) if rest == 0 and whole < LIMIT else scale.lots(qty)
