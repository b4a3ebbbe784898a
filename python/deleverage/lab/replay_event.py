"""Some markets of a snapshot replayed: its events in order, under each venue and policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.errors import InputError, InvariantError
from deleverage.lab.dump import Dump
from deleverage.lab.replay_book import Columns, RemainingSide, Remains, Unit, prepared
from deleverage.lab.replay_policy import Policy, Share
from deleverage.lab.replay_shown import LIGHTS, QUEUES, Shown, Watch
from deleverage.model.quantise import LIMIT, decimal_of
from deleverage.model.records import Venue
from deleverage.model.scales import MarketScale
from deleverage.model.snapshot import Snapshot
from deleverage.model.terms import Completion
from deleverage.planning import PlanReason
from deleverage.planning.pricing import settlement_price
from deleverage.planning.side import QueueSide

__all__ = ["COVERED", "EVENTS", "FILLS", "METRICS", "Results", "replay_unit"]

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

_OPPOSITE = {"long": "short", "short": "long"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Outcome:
    """One event under one venue and policy."""

    event: Mapping[str, Any]
    venue: str
    policy: str
    side: str
    scale: MarketScale
    entries: int
    share: Share
    requested: int
    price: Decimal | None
    reason: str
    held: Int64
    entry: Int64
    original: Int64

    @property
    def key(self) -> dict[str, object]:
        """What the rows of every table start with."""
        return {"event": self.event["event"], "venue": self.venue, "policy": self.policy}

    def contracts(self, lots: int) -> Decimal:
        """Lots as contracts."""
        return decimal_of(lots * Fraction(self.scale.lot_size)) if lots else Decimal(0)

    @property
    def value(self) -> float:
        """What a lot is worth at the mark, money."""
        return self.scale.mark_num / self.scale.mark_den * float(self.scale.money_unit)

    def profit(self) -> Float64:
        """What each cut position had gained on what was closed, at the mark, money, (k,)."""
        money = float(self.scale.money_unit)
        worth = self.share.lots * (self.scale.mark_num / self.scale.mark_den)
        entry = self.entry * (self.share.lots / np.maximum(self.held, 1))
        is_gain = (self.side == "long") is not self.scale.is_inverse
        gain: Float64 = (worth - entry) * (money if is_gain else -money)
        return gain

    def moved(self, lots: int, before: Decimal, after: Decimal) -> float:
        """What lots gain for those who are cut, from one price to another, money."""
        size = float(self.scale.lot_size) * float(self.scale.contract_size)
        one, other = float(before), float(after)
        gain = 1 / one - 1 / other if self.scale.is_inverse else other - one
        return (lots if self.side == "long" else -lots) * size * gain


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
        dump: marks, contract terms and accounts.
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
    columns = Columns(names=tuple(positions.columns), has_cross="margin_mode" in positions.columns)
    marks = dump.marks_of(unit.events)
    by_market: dict[str, list[dict[str, Any]]] = {}
    for event in unit.events.iter_rows(named=True):
        by_market.setdefault(str(event["market"]), []).append(event)
    bankrupt = {
        market: sorted({str(event["account"]) for event in events})
        for market, events in by_market.items()
    }
    is_here = shown is not None and shown.snapshot == unit.snapshot
    outcomes: list[_Outcome] = []
    seen: list[tuple[Watch, pl.DataFrame]] = []
    for number, venue in enumerate(venues):
        if number or book is None:
            book = prepared(dump, unit, positions, venue, columns)
        for name, policy in policies.items():
            for market, events in by_market.items():
                history = _History(
                    dump=dump,
                    book=book,
                    market=market,
                    marks=marks[market],
                    bankrupt=bankrupt[market],
                    covered=covered.get(venue.name, frozenset()),
                    shown=shown if is_here and shown and shown.market == market else None,
                    ids=positions["position_id"],
                )
                outcomes += history.planned(events, name, policy)
                seen += history.seen
    outcomes.sort(key=lambda one: int(one.event["event"]))
    profits = [one.profit() for one in outcomes]
    lights = [row for watch, _ in seen for row in watch.lights]
    return {
        "fills": _fills(outcomes, positions, profits),
        "events": pl.DataFrame([_event_row(one) for one in outcomes], schema=dict(EVENTS)),
        "metrics": _metrics(outcomes, profits),
        "queues": pl.concat([pl.DataFrame(schema=dict(QUEUES)), *(queue for _, queue in seen)]),
        "lights": pl.DataFrame(lights, schema=dict(LIGHTS)),
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _History:
    """The events of one market under one venue, each on what the ones before have left."""

    dump: Dump
    book: Snapshot
    market: str
    marks: Mapping[int, tuple[Decimal, Decimal | None]]
    bankrupt: Sequence[str]
    covered: frozenset[int]
    shown: Shown | None
    ids: pl.Series
    seen: list[tuple[Watch, pl.DataFrame]] = field(default_factory=list)

    def planned(
        self, events: Sequence[Mapping[str, Any]], name: str, policy: Policy
    ) -> list[_Outcome]:
        """Plan them, under one policy; bankrupt accounts are no candidates."""
        remains: dict[str, Remains] = {}
        outcomes = []
        watch: Watch | None = None
        for event in events:
            cut = _OPPOSITE[str(event["side"])]
            if cut not in remains:
                side = QueueSide.of(self.book, self.market, cut)
                rows = [side.rows_of(account) for account in self.bankrupt]
                remains[cut] = Remains.of(side, np.concatenate(rows))
            if self.shown is not None and self.shown.side == cut:
                remains[cut].take_out()
                now = self._at(event, remains[cut])
                key = {"venue": self.book.venue.name, "policy": name}
                watch = Watch.of(now, self.ids, key) if watch is None else watch
                watch.note(now, event)
            now = self._at(event, remains[cut])
            if int(event["event"]) in self.covered:
                outcomes.append(_left_to_the_pool(now, event, name))
                continue
            outcome = _planned(now, event, name, policy, remains[cut].excluded)
            remains[cut].cut(outcome.share.rows, outcome.share.lots)
            outcomes.append(outcome)
        if watch is not None and self.shown is not None:
            self.seen.append((watch, watch.queue(remains[self.shown.side], self.shown)))
        return outcomes

    def _at(self, event: Mapping[str, Any], remains: Remains) -> RemainingSide:
        """What is left at the mark of an event."""
        if event["time"] not in self.marks:
            raise InputError(
                f"{self.dump.directory}: expected a mark of {self.market} at {event['time']} "
                f"(event {event['event']}), got none"
            )
        return remains.at(*self.marks[event["time"]])


def _left_to_the_pool(side: QueueSide, event: Mapping[str, Any], name: str) -> _Outcome:
    """An event that cuts nobody."""
    nobody = np.zeros(0, np.int64)
    return _Outcome(
        event=event,
        venue=side.snapshot.venue.name,
        policy=name,
        side=side.side,
        scale=side.scale,
        entries=len(side),
        share=Share(rows=nobody, lots=nobody, unfilled=0),
        requested=_lots(side, event["qty"]),
        price=None,
        reason=COVERED,
        held=nobody,
        entry=nobody,
        original=nobody,
    )


def _planned(
    side: QueueSide, event: Mapping[str, Any], name: str, policy: Policy, excluded: Int64
) -> _Outcome:
    """One event on one side."""
    venue = side.snapshot.venue
    lots = _lots(side, event["qty"])
    share = policy(side, lots, excluded)
    held = np.abs(side.columns.lots[share.rows])
    if int(share.lots.sum()) + share.unfilled != lots or bool((share.lots > held).any()):
        raise InvariantError(f"policy {name}: expected {lots} lots closed and unfilled, got others")
    reason = PlanReason.FILLED
    if share.unfilled and venue.allocation.completion is Completion.ALL_OR_NOTHING:
        reason = PlanReason.ALL_OR_NOTHING_FAILED
        share = Share(rows=share.rows[:0], lots=share.lots[:0], unfilled=lots)
    elif share.unfilled:
        is_empty = not len(share.rows)
        reason = PlanReason.NOTHING_ELIGIBLE if is_empty else PlanReason.QUEUE_EXHAUSTED
    price, _ = settlement_price(
        venue.price,
        mark=side.scale.mark_price,
        previous_mark=side.scale.previous_mark_price,
        bankruptcy=event["bankruptcy_price"],
    )
    return _Outcome(
        event=event,
        venue=venue.name,
        policy=name,
        side=side.side,
        scale=side.scale,
        entries=len(side),
        share=share,
        requested=lots,
        price=price,
        reason=str(reason),
        # Taken now: a later event of the same unit may shorten these rows.
        held=np.abs(side.columns.lots[share.rows]),
        entry=side.columns.entry_value[share.rows],
        original=side.original(share.rows),
    )


def _lots(side: QueueSide, qty: Decimal) -> int:
    """Contracts as lots; what is not whole, or too many, the scale refuses in its own words."""
    whole, rest = divmod(qty, side.scale.lot_size)
    return int(whole) if rest == 0 and whole < LIMIT else side.scale.lots(qty)


def _fills(
    outcomes: Sequence[_Outcome], positions: pl.DataFrame, profits: Sequence[Float64]
) -> pl.DataFrame:
    """The fills of a unit's events; see `FILLS`."""
    counts = np.array([len(one.share.rows) for one in outcomes])
    which = np.repeat(np.arange(len(outcomes)), counts)
    rank = np.arange(len(which)) - (np.cumsum(counts) - counts)[which] + 1
    original = np.concatenate([one.original for one in outcomes])
    closed = np.concatenate([one.share.lots for one in outcomes])
    left = np.concatenate([one.held for one in outcomes]) - closed
    by_event = pl.DataFrame(
        [{**one.key, "side": one.side, "price": one.price} for one in outcomes],
        schema={name: FILLS[name] for name in (*_KEY, "side", "price")},
    )
    sizes = [one.scale.lot_size for one in outcomes]
    lot_size = pl.Series(sizes, dtype=_AMOUNT).gather(which)
    own = pl.DataFrame(
        [
            pl.Series("rank_in_queue", rank).cast(pl.UInt32),
            positions["position_id"].gather(original),
            positions["account"].gather(original),
            _contracts("qty_closed", closed, lot_size),
            _contracts("qty_left", left, lot_size),
            pl.Series("profit", np.concatenate(profits)),
        ]
    )
    return own.hstack(by_event[which]).select(list(FILLS))


def _contracts(name: str, lots: Int64, lot_size: pl.Series) -> pl.Series:
    """Lots as contracts, exactly; `lot_size` has a row for each."""
    return (pl.Series(name, lots).cast(pl.Decimal(38, 0)) * lot_size).cast(_AMOUNT)


def _event_row(one: _Outcome) -> dict[str, object]:
    """The row of the events table."""
    return {
        **one.key,
        "time": one.event["time"],
        "wave": one.event["wave"],
        "snapshot": one.event["snapshot"],
        "market": str(one.event["market"]),
        "bankrupt_side": str(one.event["side"]),
        # What was asked for was whole lots: they are as many contracts again.
        "requested": one.event["qty"],
        "unfilled": one.contracts(one.share.unfilled),
        "fills": len(one.share.rows),
        "reason": one.reason,
        "price": one.price,
        "mark": one.scale.mark_price,
    }


def _metrics(outcomes: Sequence[_Outcome], profits: Sequence[Float64]) -> pl.DataFrame:
    """The metrics of a unit's events; see `METRICS`."""
    rows = [_metrics_row(one, gained) for one, gained in zip(outcomes, profits, strict=True)]
    frame = pl.DataFrame(rows, schema={name: METRICS[name] for name in rows[0]})
    return frame.with_columns(_spread(outcomes)).select(list(METRICS))


def _metrics_row(one: _Outcome, profit: Float64) -> dict[str, object]:
    """What one event comes to."""
    share, mark, later = one.share, one.scale.mark_price, one.event["wave_mark"]
    closed, bankruptcy = int(share.lots.sum()), one.event["bankruptcy_price"]
    executed = markout = None
    if not closed:
        executed = markout = 0.0
    elif one.price is not None:
        executed = max(one.moved(closed, one.price, mark), 0.0)
        markout = None if later is None else one.moved(closed, one.price, later)
    return {
        **one.key,
        "entries": one.entries,
        "participation": len(share.rows) / one.entries if one.entries else 0.0,
        "notional": closed * one.value,
        "profit": float(profit.sum()),
        "needed": abs(one.moved(closed, bankruptcy, mark)),
        "missing": abs(one.moved(share.unfilled, bankruptcy, mark)) if share.unfilled else 0.0,
        "executed": executed,
        "markout": markout,
    }


def _spread(outcomes: Sequence[_Outcome]) -> list[pl.Series]:
    """How the closed notional of each event lies on its fills, all events at once.

    The three are those of `metrics`; within an event notional is as lots.
    """
    counts = np.array([len(one.share.rows) for one in outcomes])
    lots = np.concatenate([one.share.lots for one in outcomes]).astype(np.float64)
    which = np.repeat(np.arange(len(outcomes)), counts)
    lots = lots[np.lexsort((lots, which))]
    ends = np.cumsum(counts)
    place = np.arange(len(lots)) - (ends - counts)[which] + 1

    def summed(values: Float64) -> Float64:
        return np.bincount(which, values, len(outcomes)).astype(np.float64, copy=False)

    whole = np.maximum(summed(lots), 1.0)
    rising = summed((2 * place - counts[which] - 1) * lots)
    top = np.zeros(len(outcomes))
    top[counts > 0] = lots[ends[counts > 0] - 1] / whole[counts > 0]
    return [
        pl.Series("top_share", top),
        pl.Series("concentration", summed((lots / whole[which]) ** 2)),
        pl.Series("gini", rising / (np.maximum(counts, 1) * whole)),
    ]
