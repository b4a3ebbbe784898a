"""Where a position stands: light, rank, score, and how much of its account a bankruptcy cuts."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import numpy as np

from deleverage import ranking
from deleverage.advice.curve import Curve
from deleverage.advice.holding import Holding, State, queue_of
from deleverage.advice.liquidation import liquidation_price
from deleverage.explanation import Working, show, why_left_out
from deleverage.model.quantise import Int64, decimal_of
from deleverage.model.rules import Reason
from deleverage.model.terms import Completion
from deleverage.planning.side import QueueSide
from deleverage.ranking import REASONS

__all__ = ["Standing", "stand"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One position in its queue at one moment, or as it would be after a change.

    Attributes:
        account: name.
        position_id: as given, or None.
        market: name.
        side: `long` or `short`.
        qty: contracts; without the part that the edition exempts.
        hedged_qty: contracts of it that queue behind the rest.
        mark_price: of the market.
        profit: unrealised, in the settlement asset, exact.
        notional: value at the mark, exact.
        leverage: the setting; without one the effective leverage; None where nothing says it.
        leverage_source: which of them, in words.
        rank: place in the queue, 1 is cut first; None without a place.
        queue_length: entries with a place.
        ahead: contracts that stand before it; None without a place.
        light: 1 (last) to `bands` (next in line), 0 without a place.
        bands: number of lights.
        indicator: the light on the venue's own scale, or None where it has none.
        tier: of the entry that is cut first; 0 is cut before 1.
        score: for display, or None.
        working: the score worked by hand, exactly.
        reason: `Reason.SCORED`, or why it has no place.
        liquidation_price: see `liquidation_note`.
        liquidation_note: why no price is given; empty where one is.
        curve: how much of the account's side is cut, by the bankrupt quantity.
    """

    account: str
    position_id: int | str | None
    market: str
    side: str
    qty: Decimal
    hedged_qty: Decimal
    mark_price: Decimal
    profit: Fraction
    notional: Fraction
    leverage: Fraction | None
    leverage_source: str
    rank: int | None
    queue_length: int
    ahead: Decimal | None
    light: int
    bands: int
    indicator: Decimal | None
    tier: int
    score: float | None
    working: Working | None
    reason: Reason
    liquidation_price: Decimal | None
    liquidation_note: str
    curve: Curve

    def facts(self) -> Mapping[str, object]:
        """The standing for people and for JSON, value by name."""
        ratio = None if self.working is None else self.working.ratio
        rank = "none" if self.rank is None else f"{self.rank} of {self.queue_length}"
        return MappingProxyType(
            {
                "qty": self.qty,
                "mark_price": self.mark_price,
                "profit": show(self.profit),
                "notional": show(self.notional),
                "leverage": None if self.leverage is None else show(self.leverage),
                "light": f"{self.light} of {self.bands}",
                "rank": rank,
                "contracts_ahead": self.ahead,
                "score": self.score,
                "exact_score": None if ratio is None else str(ratio),
                "tier": self.tier,
                "reason": str(self.reason),
                "liquidation_price": self.liquidation_price,
            }
        )

    def __str__(self) -> str:
        """The standing in two lines."""
        name = f"{self.account}: {self.market} {self.side} {self.qty}"
        if self.rank is None:
            return f"{name}: no place in the queue, {why_left_out(self.reason)}"
        price = self.liquidation_price
        limit = self.liquidation_note if price is None else f"liquidation price {price}"
        return (
            f"{name}: light {self.light} of {self.bands}, rank {self.rank} of "
            f"{self.queue_length}, score {show(self._ratio)}\n"
            f"  {self.ahead} contracts stand before it; {limit}"
        )

    @property
    def _ratio(self) -> Fraction:
        ratio = None if self.working is None else self.working.ratio
        return Fraction(0) if ratio is None else ratio


def stand(holding: Holding, state: State) -> Standing:
    """Place a position, as it is or in another state, in its whole queue.

    Args:
        holding: the position.
        state: its own, or what a change made of it.
    """
    side, entries, others = queue_of(holding, state)
    placed = ranking.rank(side.columns, side.rate, rule=side.rule, accounts=side.accounts)
    first, reason = _first(placed, entries)
    rank = int(placed.rank[first]) if first is not None else 0
    before, capacity = _before(side, placed.rank)
    score = None if first is None or not rank else float(placed.score[first])
    price, note = _liquidation(holding, state)
    leverage, source = _leverage(state, side)
    light = _light(side, first) if rank else 0
    asset = Fraction(side.scale.money_unit)
    profit, notional = _profit(state, side)
    return Standing(
        account=holding.account,
        position_id=holding.position_id,
        market=side.scale.market,
        side=side.side,
        qty=_contracts(side, state.size),
        hedged_qty=_contracts(side, state.hedged),
        mark_price=side.scale.mark_price,
        profit=profit * asset,
        notional=notional * asset,
        leverage=leverage,
        leverage_source=source,
        rank=rank or None,
        queue_length=int(np.count_nonzero(placed.rank)),
        ahead=_contracts(side, before[rank - 1]) if rank else None,
        light=light,
        bands=side.snapshot.venue.lights.bands,
        indicator=side.snapshot.venue.indicator(light),
        tier=_tier(side, first),
        score=score,
        working=None if first is None or score is None else side.work(first, score),
        reason=reason,
        liquidation_price=price,
        liquidation_note=note,
        curve=_curve(side, np.append(entries, others), placed.rank, before, capacity),
    )


def _first(placed: ranking.Ranking, entries: Int64) -> tuple[int | None, Reason]:
    """Find the position's entry that is cut first, or why it has none."""
    if not len(entries):
        return None, Reason.HEDGED_PART
    ranks = placed.rank[entries]
    if not ranks.any():
        return int(entries[0]), REASONS[placed.reason[entries[0]]]
    standing = entries[ranks > 0]
    return int(standing[np.argmin(placed.rank[standing])]), Reason.SCORED


def _tier(side: QueueSide, row: int | None) -> int:
    tiers = side.columns.tier
    return 0 if tiers is None or row is None else int(tiers[row])


def _before(side: QueueSide, ranks: Int64) -> tuple[list[int] | Int64, int]:
    """Give the lots that stand before each place, and those of the whole queue."""
    rows = np.flatnonzero(ranks)
    queue = np.empty(len(rows), np.int64)
    queue[ranks[rows] - 1] = np.abs(side.columns.lots[rows])
    # Whole numbers below 2^51 each: a queue of 4096 of the largest ones may leave 63 bits.
    if float(queue.astype(np.float64).sum()) < 2.0**62:
        total = np.cumsum(queue)
        return total - queue, int(total[-1]) if len(total) else 0
    sums, added = [], 0
    for lots in queue.tolist():
        sums.append(added)
        added += lots
    return sums, added


def _curve(
    side: QueueSide, rows: Int64, ranks: Int64, before: list[int] | Int64, capacity: int
) -> Curve:
    """Give the curve of all entries of the account on this side."""
    places = sorted((int(ranks[row]), int(row)) for row in rows.tolist() if ranks[row])
    return Curve(
        lot_size=side.scale.lot_size,
        steps=tuple(
            (int(before[place - 1]), abs(int(side.columns.lots[row]))) for place, row in places
        ),
        capacity=capacity,
        is_all_or_nothing=side.snapshot.venue.allocation.completion is Completion.ALL_OR_NOTHING,
    )


def _light(side: QueueSide, row: int | None) -> int:
    """Give the light of one row by the edition's bands."""
    if row is None:
        return 0
    lights = side.snapshot.venue.lights
    found = ranking.lights(
        side.columns,
        side.rate,
        rule=side.rule,
        accounts=side.accounts,
        bands=lights.bands,
        weight=lights.weight,
    )
    return int(found[row])


def _profit(state: State, side: QueueSide) -> tuple[Fraction, Fraction]:
    """Give unrealised profit and value at the mark, in money units."""
    notional = state.size * Fraction(side.scale.mark_num, side.scale.mark_den)
    direction = -state.sign if side.scale.is_inverse else state.sign
    return direction * (notional - state.columns["entry_value"]), notional


def _leverage(state: State, side: QueueSide) -> tuple[Fraction | None, str]:
    """Give the setting; without one the value at the mark over what carries it."""
    columns = state.columns
    if columns.get("leverage"):
        return Fraction(columns["leverage"], 1_000_000), "the setting"
    profit, notional = _profit(state, side)
    if state.pool is not None:
        equity = Fraction(state.pool.get("equity", 0))
        source = "value at the mark over the account's equity, this position alone"
    else:
        equity = columns["margin"] + profit if "margin" in columns else Fraction(0)
        source = "value at the mark over margin and profit"
    if equity <= 0:
        return None, "neither a setting nor an equity above zero is given"
    return notional / equity, source


def _liquidation(holding: Holding, state: State) -> tuple[Decimal | None, str]:
    """Give the liquidation price with the account's other legs of this market."""
    snapshot, scale = holding.side.snapshot, holding.side.scale
    partners = 0
    if state.pool is not None:
        pointers, start = snapshot.columns["account"], holding.side.start
        own = holding.entries + start
        rows = snapshot.account_rows(holding.account, scale.market)
        theirs = rows[(pointers[rows] == pointers[own[0]]) & ~np.isin(rows, own)]
        partners = int(snapshot.columns["lots"][theirs].sum())
    return liquidation_price(state, scale, partners)


def _contracts(side: QueueSide, lots: int) -> Decimal:
    return decimal_of(int(lots) * Fraction(side.scale.lot_size))
