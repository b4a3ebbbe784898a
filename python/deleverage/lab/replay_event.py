"""Some markets of a snapshot replayed: its events in order, under each venue and policy."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.lab.dump import Dump
from deleverage.lab.replay_book import Columns, Unit, prepared
from deleverage.lab.replay_cuts import (
    Asked,
    Cuts,
    asked_of,
    barred_rows,
    cut_one_by_one,
    cut_side,
    sides_of,
)
from deleverage.lab.replay_policy import Policy, by_queue
from deleverage.lab.replay_shown import LIGHTS, QUEUES, Shown, Watching
from deleverage.model.records import Venue
from deleverage.model.scales import MarketScale
from deleverage.model.snapshot import Snapshot
from deleverage.model.terms import Completion
from deleverage.planning import PlanReason
from deleverage.planning.pricing import settlement_price

__all__ = ["COVERED", "EVENTS", "FILLS", "METRICS", "Results", "replay_unit"]

Bools = NDArray[np.bool_]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Results: TypeAlias = dict[str, pl.DataFrame]
COVERED = "covered_by_pool"
"""The reason of a bankruptcy that the insurance pool took over: nobody was cut."""

_AMOUNT = pl.Decimal(38, 9)
_KEY: dict[str, pl.DataType] = {
    "event": pl.UInt32(),
    "venue": pl.String(),
    "policy": pl.String(),
}
FILLS: Mapping[str, pl.DataType] = {
    **_KEY,
    "rank_in_queue": pl.UInt32(),
    "position_id": pl.UInt64(),
    "account": pl.UInt64(),
    "side": pl.String(),
    "qty_closed": _AMOUNT,
    "qty_left": _AMOUNT,
    "price": _AMOUNT,
    "profit": pl.Float64(),
}
EVENTS: Mapping[str, pl.DataType] = {
    **_KEY,
    "time": pl.Int64(),
    "wave": pl.UInt32(),
    "snapshot": pl.UInt32(),
    "market": pl.String(),
    "bankrupt_side": pl.String(),
    "requested": _AMOUNT,
    "unfilled": _AMOUNT,
    "fills": pl.UInt32(),
    "reason": pl.String(),
    "price": _AMOUNT,
    "mark": _AMOUNT,
}
METRICS: Mapping[str, pl.DataType] = {
    **_KEY,
    "entries": pl.UInt32(),
    "participation": pl.Float64(),
    "notional": pl.Float64(),
    "profit": pl.Float64(),
    "top_share": pl.Float64(),
    "concentration": pl.Float64(),
    "gini": pl.Float64(),
    "needed": pl.Float64(),
    "missing": pl.Float64(),
    "executed": pl.Float64(),
    "markout": pl.Float64(),
}
"""entries: candidates' side; participation: fills over entries; notional and profit: of what is
closed, at the mark, money of the settlement asset; top_share, concentration (HHI) and gini: of the
closed notional over the fills; needed: what the closed lots are worth less at the bankruptcy price
than at the mark, or more (B); missing: the same of the lots that nobody offset; executed: what
those who are cut lose by the settlement price against the mark, 0 or more (H); markout: what they
would have more at the mark when the wave was over had they not been cut, below zero where the cut
spared them a loss; both null where the price is not known."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Outcome:
    """A unit's events under one venue and policy, in order.

    Attributes:
        venue: the edition.
        policy: its name.
        events: of the unit.
        scales: (t,) units of each event's market.
        worth: (t,) what a lot is worth at each event's mark, in money units.
        is_covered: (t,) whether a pool took it over.
        cuts: what they closed.
    """

    venue: Venue
    policy: str
    events: pl.DataFrame
    scales: Sequence[MarketScale]
    worth: Float64
    is_covered: Bools
    cuts: Cuts

    @property
    def key(self) -> list[pl.Series]:
        """What the rows of every table start with."""
        count = self.events.height
        names = {"venue": self.venue.name, "policy": self.policy}
        own = [pl.Series(name, [word], dtype=pl.String) for name, word in names.items()]
        return [self.events["event"], *(one.new_from_index(0, count) for one in own)]

    def each(self, read: Callable[[MarketScale], float | bool]) -> NDArray[Any]:
        """Read something of the market of each event."""
        markets = {scale.market: scale for scale in self.scales}
        by_market = {name: read(scale) for name, scale in markets.items()}
        return np.array([by_market[scale.market] for scale in self.scales])

    def floats(self, column: str) -> Float64:
        """A column of decimals as the nearest floats, null as NaN."""
        values = self.events[column].to_list()
        return np.array([np.nan if value is None else float(value) for value in values])

    @property
    def is_long(self) -> Bools:
        """Whether the side that is cut is long, (t,)."""
        return (self.events["side"].cast(pl.String) == "short").to_numpy()

    def prices(self) -> list[Decimal | None]:
        """The settlement price of each event that is not covered, where it is known."""
        names = ("mark", "previous_mark", "bankruptcy_price")
        found: list[Decimal | None] = []
        for (mark, before, bankruptcy), is_covered in zip(
            self.events.select(names).iter_rows(), self.is_covered.tolist(), strict=True
        ):
            price, _ = settlement_price(
                self.venue.price, mark=mark, previous_mark=before, bankruptcy=bankruptcy
            )
            found.append(None if is_covered else price)
        return found


def replay_unit(
    dump: Dump,
    unit: Unit,
    positions: pl.DataFrame,
    *,
    venues: Sequence[Venue],
    policies: Mapping[str, Policy],
    book: Snapshot | None = None,
    covered: Mapping[str, frozenset[int]] = MappingProxyType({}),
    shown: Shown | None = None,
) -> Results:
    """Plan every event of a unit.

    Args:
        dump: contract terms and accounts.
        unit: the events.
        positions: as `replay_book.read_positions` gives them.
        venues: the editions.
        policies: by name.
        book: the unit under the first edition, where it is made already.
        covered: events that a venue's pool takes over, by the venue's name.
        shown: the side whose queue and lights are noted, which may be another unit's.

    Returns:
        The tables by name, in event order.

    Raises:
        InputError: a table of the dump is not what the contract says.
        InvariantError: a policy closed another quantity than asked for.
    """
    _check_marks(dump, unit)
    columns = Columns(names=tuple(positions.columns), has_cross="margin_mode" in positions.columns)
    barred, sides = barred_rows(unit, positions), sides_of(unit)
    is_here = shown is not None and shown.snapshot == unit.snapshot
    outcomes: list[_Outcome] = []
    seen: list[Watching] = []
    for number, venue in enumerate(venues):
        if number or book is None:
            book = prepared(dump, unit, positions, venue, columns)
        asked = asked_of(book, unit, sides, barred)
        taken = covered.get(venue.name, frozenset())
        is_covered = np.array([event in taken for event in unit.events["event"]])
        for name, policy in policies.items():
            key, watching = {"venue": venue.name, "policy": name}, None
            if is_here and shown is not None:
                ids = positions["position_id"]
                watching = Watching(shown=shown, events=unit.events, ids=ids, key=key)
                seen.append(watching)
            cuts = _cuts(asked, is_covered, policy, name, watching)
            outcomes.append(_outcome(book, unit, name, asked, is_covered=is_covered, cuts=cuts))
    return _tables(outcomes, positions, seen)


def _check_marks(dump: Dump, unit: Unit) -> None:
    """Refuse an event without a mark."""
    missing = unit.events.filter(pl.col("mark").is_null())
    if missing.height:
        market, time, event = missing.select("market", "time", "event").row(0)
        raise InputError(
            f"{dump.directory}: expected a mark of {market} at {time} (event {event}), got none"
        )


def _outcome(
    book: Snapshot,
    unit: Unit,
    policy: str,
    asked: Sequence[Asked],
    *,
    is_covered: Bools,
    cuts: Cuts,
) -> _Outcome:
    """Put what was cut beside the units and marks that it is measured by."""
    worth = np.zeros(unit.events.height)
    for one in asked:
        worth[one.places] = [num / den for num, den, _ in one.rates]
    return _Outcome(
        venue=book.venue,
        policy=policy,
        events=unit.events,
        scales=[book.scale(market) for market in unit.events["market"].cast(pl.String)],
        worth=worth,
        is_covered=is_covered,
        cuts=cuts,
    )


def _cuts(
    asked: Sequence[Asked],
    is_covered: Bools,
    policy: Policy,
    name: str,
    watching: Watching | None,
) -> Cuts:
    """Cut every side; the one that is shown event by event, others in one call where they can."""
    parts = []
    for one in asked:
        here, key = is_covered[one.places], (one.side.scale.market, one.side.side)
        own = watching if watching is not None and watching.shown.key == key else None
        if policy is by_queue and own is None:
            parts.append(cut_side(one, here))
        else:
            parts.append(cut_one_by_one(one, here, policy, name, own))
    return Cuts.joined(parts)


def _tables(
    outcomes: Sequence[_Outcome], positions: pl.DataFrame, seen: Sequence[Watching]
) -> Results:
    """The tables of a unit."""
    found: dict[str, list[pl.DataFrame]] = {"fills": [], "events": [], "metrics": []}
    for one in outcomes:
        prices, profit = one.prices(), _profit(one)
        found["fills"].append(_fills(one, positions, prices, profit))
        found["events"].append(_events(one, prices))
        found["metrics"].append(_metrics(one, prices, profit))
    lights = [row for one in seen if one.watch is not None for row in one.watch.lights]
    queues = [one.queue for one in seen if one.queue is not None]
    tables = {name: _in_order(frames) for name, frames in found.items()}
    return tables | {
        "queues": pl.concat([pl.DataFrame(schema=dict(QUEUES)), *queues]),
        "lights": pl.DataFrame(lights, schema=dict(LIGHTS)),
    }


def _in_order(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of several venues and policies, event by event."""
    if len(frames) == 1:
        return frames[0]
    return pl.concat(frames).sort("event", maintain_order=True)


def _profit(one: _Outcome) -> Float64:
    """What each cut position had gained on what was closed, at the mark, money, (k,)."""
    cuts, counts = one.cuts, one.cuts.counts
    money = one.each(lambda scale: float(scale.money_unit))
    is_gain = one.is_long != one.each(lambda scale: scale.is_inverse)
    entry = cuts.entry_value * (cuts.lots / np.maximum(cuts.held, 1))
    gain: Float64 = cuts.lots * np.repeat(one.worth, counts) - entry
    gain *= np.repeat(np.where(is_gain, money, -money), counts)
    return gain


def _fills(
    one: _Outcome,
    positions: pl.DataFrame,
    prices: Sequence[Decimal | None],
    profit: Float64,
) -> pl.DataFrame:
    """The fills of a unit's events; see `FILLS`."""
    cuts, counts = one.cuts, one.cuts.counts
    which = np.repeat(np.arange(len(counts)), counts)
    rank = np.arange(len(which)) - (np.cumsum(counts) - counts)[which] + 1
    lot_size = _lot_sizes(one).gather(which)
    by_event = pl.DataFrame(
        [
            *one.key,
            pl.Series("side", np.where(one.is_long, "long", "short"), dtype=pl.String),
            pl.Series("price", prices, dtype=FILLS["price"]),
        ]
    )
    own = pl.DataFrame(
        [
            pl.Series("rank_in_queue", rank).cast(pl.UInt32),
            positions["position_id"].gather(cuts.rows),
            positions["account"].gather(cuts.rows),
            _contracts("qty_closed", cuts.lots, lot_size),
            _contracts("qty_left", cuts.held - cuts.lots, lot_size),
            pl.Series("profit", profit),
        ]
    )
    return own.hstack(by_event[which]).select(list(FILLS))


def _lot_sizes(one: _Outcome) -> pl.Series:
    """The lot size of each event's market."""
    return pl.Series([scale.lot_size for scale in one.scales], dtype=_AMOUNT)


def _contracts(name: str, lots: Int64, lot_size: pl.Series) -> pl.Series:
    """Lots as contracts, exactly; `lot_size` has a row for each."""
    return (pl.Series(name, lots).cast(pl.Decimal(38, 0)) * lot_size).cast(_AMOUNT)


def _events(one: _Outcome, prices: Sequence[Decimal | None]) -> pl.DataFrame:
    """What became of each event; see `EVENTS`."""
    events, cuts = one.events, one.cuts
    own = [
        *one.key,
        *(events[name] for name in ("time", "wave", "snapshot", "market")),
        events["side"].alias("bankrupt_side"),
        # What was asked for was whole lots: they are as many contracts again.
        events["qty"].alias("requested"),
        _contracts("unfilled", cuts.unfilled, _lot_sizes(one)),
        pl.Series("fills", cuts.counts),
        pl.Series("reason", list(_reasons(one)), dtype=pl.String),
        pl.Series("price", prices, dtype=EVENTS["price"]),
        events["mark"],
    ]
    return pl.DataFrame(own).cast(dict(EVENTS))  # type: ignore[arg-type] # a schema by name


def _reasons(one: _Outcome) -> Iterable[str]:
    """Why each event ended as it did."""
    is_whole = one.venue.allocation.completion is Completion.ALL_OR_NOTHING
    short = PlanReason.ALL_OR_NOTHING_FAILED if is_whole else PlanReason.QUEUE_EXHAUSTED
    nobody = PlanReason.ALL_OR_NOTHING_FAILED if is_whole else PlanReason.NOTHING_ELIGIBLE
    rows = zip(
        one.is_covered.tolist(), one.cuts.unfilled.tolist(), one.cuts.counts.tolist(), strict=True
    )
    for is_covered, unfilled, count in rows:
        if is_covered:
            yield COVERED
        elif not unfilled:
            yield str(PlanReason.FILLED)
        else:
            yield str(short if count else nobody)


def _metrics(one: _Outcome, prices: Sequence[Decimal | None], profit: Float64) -> pl.DataFrame:
    """The metrics of a unit's events; see `METRICS`."""
    cuts = one.cuts
    ends = np.cumsum(cuts.counts)
    parts = [profit[end - count : end] for end, count in zip(ends, cuts.counts, strict=True)]
    closed = np.array([part.sum() for part in np.split(cuts.lots, ends[:-1])], np.int64)
    mark, later = one.floats("mark"), one.floats("wave_mark")
    price = np.array([np.nan if each is None else float(each) for each in prices])
    money = one.each(lambda scale: float(scale.money_unit))
    gap = _moved(one, one.floats("bankruptcy_price"), mark)
    executed, markout = (_scaled(one, closed, _moved(one, price, to)) for to in (mark, later))
    own = {
        "entries": cuts.entries,
        "participation": cuts.counts / np.maximum(cuts.entries, 1),
        "notional": closed * (one.worth * money),
        "profit": np.array([part.sum() for part in parts]),
        **_spread(cuts),
        "needed": np.abs(_scaled(one, closed, gap)),
        "missing": np.abs(_scaled(one, cuts.unfilled, gap)),
        "executed": np.where(executed < 0, 0.0, executed),
        "markout": markout,
    }
    frame = pl.DataFrame([*one.key, *(pl.Series(name, values) for name, values in own.items())])
    return frame.with_columns(pl.col("executed", "markout").fill_nan(None)).cast(
        dict(METRICS)  # type: ignore[arg-type] # a schema by name
    )


def _moved(one: _Outcome, before: Float64, after: Float64) -> Float64:
    """What a contract of size one gains from one price to another, (t,)."""
    is_inverse = one.each(lambda scale: scale.is_inverse)
    gain: Float64 = after - before
    gain[is_inverse] = 1 / before[is_inverse] - 1 / after[is_inverse]
    return gain


def _scaled(one: _Outcome, lots: Int64, gain: Float64) -> Float64:
    """What lots gain for those who are cut, money; no lots gain nothing at any price."""
    size = one.each(lambda scale: float(scale.lot_size) * float(scale.contract_size))
    moved: Float64 = np.where(one.is_long, lots, -lots) * size * gain
    return np.where(lots == 0, 0.0, moved)


def _spread(cuts: Cuts) -> dict[str, Float64]:
    """How the closed notional of each event lies on its fills, all events at once.

    The three are those of `metrics`; within an event notional is as lots.
    """
    counts, lots = cuts.counts, cuts.lots.astype(np.float64)
    which = np.repeat(np.arange(len(counts)), counts)
    lots = lots[np.lexsort((lots, which))]
    ends = np.cumsum(counts)
    place = np.arange(len(lots)) - (ends - counts)[which] + 1

    def summed(values: Float64) -> Float64:
        return np.bincount(which, values, len(counts)).astype(np.float64, copy=False)

    whole = np.maximum(summed(lots), 1.0)
    rising = summed((2 * place - counts[which] - 1) * lots)
    top = np.zeros(len(counts))
    top[counts > 0] = lots[ends[counts > 0] - 1] / whole[counts > 0]
    return {
        "top_share": top,
        "concentration": summed((lots / whole[which]) ** 2),
        "gini": rising / (np.maximum(counts, 1) * whole),
    }
