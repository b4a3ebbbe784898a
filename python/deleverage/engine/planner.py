"""Planning one liquidation: where the waterfall leaves it, who is cut, by how much, at what price.

A plan is a pure function of a state and changes nothing. What it rests on is in it: the state's
place in the journal, the root over the positions, the edition's hash, the cut, the tie-break, the
mark. A commit holds all of that against the state it meets.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.backstop.bankruptcy import price_of
from deleverage.backstop.lines import Facts
from deleverage.backstop.liquidation import Fill as MarketFill
from deleverage.backstop.pool import Pool
from deleverage.backstop.prices import SettlementPrice
from deleverage.backstop.settlement import Terms
from deleverage.backstop.waterfall import Stage, Waterfall, before_deleveraging
from deleverage.engine import accounts
from deleverage.engine.explaining import explain
from deleverage.engine.positions import Holding
from deleverage.engine.pricing import settlement_price
from deleverage.engine.queueing import POOL_PLACE, contracts, head_of, pool_id
from deleverage.engine.state import (
    Open,
    State,
    manual_trigger,
    opposite,
    waterfall_of,
)
from deleverage.errors import InvariantError, StateError
from deleverage.explanation import Explanation
from deleverage.ledger import Value, encode
from deleverage.model.quantise import decimal_of
from deleverage.model.scales import MarketScale
from deleverage.model.terms import Completion, StepKind
from deleverage.planning import PlanReason

__all__ = [
    "Fill",
    "Plan",
    "contracts",
    "decide",
    "facts_of",
    "stage_of",
    "terms_of",
]

Int64 = NDArray[np.int64]
_NO_ROWS: Int64 = np.empty(0, np.int64)


class Fill(NamedTuple):
    """One position that is cut.

    Attributes:
        place: of its row; `queueing.POOL_PLACE` where the pool itself is cut.
        position_id: as text.
        account: its owner.
        tier: of its entry.
        lots: signed, before.
        entry_value: money units, before.
        closed: lots, above zero.
        score: for display.
    """

    place: int
    position_id: str
    account: str
    tier: int
    lots: int
    entry_value: int
    closed: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Who is cut for one liquidation, and everything that decided it.

    Attributes:
        liquidation: its id.
        market: of it.
        side: of the liquidated position; the queue stands on the other.
        requested: lots that market and pool did not take.
        fills: positions that are cut, in the order of the queue.
        unfilled: lots that nobody can offset.
        reason: how it ends.
        price: at which both sides are closed, and why.
        sequence: place in the journal of the state it was made in.
        manual: why it may be done outside of an active trigger; empty where the trigger permits it.
        exclude: accounts that are never cut, sorted.
        decision: what decided, as the journal keeps it.
        state: that it was made in.
    """

    liquidation: str
    market: str
    side: str
    requested: int
    fills: tuple[Fill, ...]
    unfilled: int
    reason: PlanReason
    price: SettlementPrice
    sequence: int
    manual: str
    exclude: tuple[str, ...]
    decision: Mapping[str, Value]
    state: State

    @property
    def scale(self) -> MarketScale:
        """Units of the market, at the mark it was made at."""
        return self.state.scales[self.market]

    def explain(self, account: str) -> Explanation:
        """Say why an account is cut or is not, with the rule's numbers filled in.

        Raises:
            InputError: it holds nothing on the candidates' side; names the nearest account.
        """
        shown = price_of(
            self.price.lot_value, self.scale.value_ratio, is_inverse=self.scale.is_inverse
        )
        price = None if shown is None else shown * Fraction(self.scale.price_unit)
        lot = Fraction(self.scale.lot_size)
        return explain(
            self.state,
            market=self.market,
            side=opposite(self.side),
            account=account,
            cuts=[(fill.place, fill.closed) for fill in self.fills],
            price=None if price is None or not _is_decimal(price) else decimal_of(price),
            event=f"{contracts(self.requested, lot)} contracts of a {self.side} are to be offset, "
            f"{contracts(self.unfilled, lot)} cannot be ({self.reason})",
        )

    @property
    def body(self) -> dict[str, Value]:
        """The body of the command that commits it."""
        return {
            "liquidation": self.liquidation,
            "sequence": self.sequence,
            "manual": self.manual,
            "exclude": list(self.exclude),
            "decision": dict(self.decision),
            "fills": [[fill.place, fill.position_id, fill.closed] for fill in self.fills],
            "unfilled": self.unfilled,
        }

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal over what it rests on and what it decides."""
        return sha256(encode(self.body)).hexdigest()

    def frame(self) -> pl.DataFrame:
        """The fills: rank_in_queue, position_id, account, qty, qty_closed, qty_left, score."""
        lot = Fraction(self.scale.lot_size)
        columns = {
            "rank_in_queue": list(range(1, len(self.fills) + 1)),
            "position_id": [fill.position_id for fill in self.fills],
            "account": [fill.account for fill in self.fills],
            "qty": [contracts(abs(fill.lots), lot) for fill in self.fills],
            "qty_closed": [contracts(fill.closed, lot) for fill in self.fills],
            "qty_left": [contracts(abs(fill.lots) - fill.closed, lot) for fill in self.fills],
            "score": [fill.score for fill in self.fills],
        }
        return pl.DataFrame(columns)


def _is_decimal(value: Fraction) -> bool:
    """Tell whether a fraction ends after some digits."""
    rest = value.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1


def stage_of(
    state: State,
    open_: Open,
    *,
    manual: str,
    is_new: bool = False,
    fills: Sequence[MarketFill] = (),
) -> tuple[Waterfall, Stage]:
    """Take a liquidation through the steps before the queue, as things stand now.

    Args:
        state: at the time in question.
        open_: the liquidation.
        manual: why it may be deleveraged outside of an active trigger, or empty.
        is_new: whether orders are cancelled and a fee is charged; that happens once.
        fills: what the market closed of it since.
    """
    liquidation = open_.liquidation
    waterfall = waterfall_of(state, liquidation.market)
    status = state.statuses[liquidation.market]
    if not is_new:
        once = {StepKind.ORDERS, StepKind.FEE}
        order = tuple(kind for kind in waterfall.part.order if kind not in once)
        waterfall = replace(waterfall, part=replace(waterfall.part, order=order))
    if manual:
        waterfall = replace(waterfall, trigger=manual_trigger())
        status = manual_trigger().idle(state.at)
    stage = before_deleveraging(
        waterfall,
        liquidation,
        fills=fills,
        facts=facts_of(state, open_, is_emergency=bool(manual)),
        status=status,
        scale=state.scale(liquidation.market),
    )
    return waterfall, stage


def facts_of(state: State, open_: Open, *, is_emergency: bool = False) -> Facts:
    """Give what is known at the time of a state; what the caller said of the event comes first.

    What waits in the market is what this engine has open there, unless the caller knows more.
    """
    liquidation = open_.liquidation
    market = liquidation.market
    pool = state.pool_behind(market)
    facts = Facts(at=state.at, pool=pool, market=market, group=state.group_of(pool))
    if not liquidation.is_pool:
        facts = replace(facts, account_value=_account_value(state, open_))
    waiting = [one.liquidation for one in state.liquidations.values()]
    waiting = [one for one in waiting if one.market == market and one.id != liquidation.id]
    waiting.append(liquidation)
    known = {
        "is_emergency": is_emergency,
        "is_backstop_full": False,
        "is_book_thin": False,
        "backlog_lots": sum(abs(one.lots) for one in waiting),
        "backlog_since": min(one.opened_at for one in waiting),
    }
    return replace(facts, **{**known, **open_.facts})  # type: ignore[arg-type]


def _account_value(state: State, open_: Open) -> int:
    """Give the equity of a liquidated account, rounded down."""
    liquidation = open_.liquidation
    scale = state.scale(liquidation.market)
    held = state.book.holding(open_.place)
    if held.mode == "isolated" and held.margin is not None:
        return int((held.margin + accounts.gain(held, scale)) // 1)
    return int(accounts.cross(state, liquidation.account, scale.settle).equity // 1)


def terms_of(state: State, waterfall: Waterfall, pool: Pool | None, market: str) -> Terms:
    """Give how a deleveraging is booked, with what the operator chose."""
    choices = state.choices
    terms = waterfall.terms(state.scale(market), pool)
    return replace(
        terms,
        deleveraged=choices.deleveraged or terms.deleveraged,
        liquidated=choices.liquidated or terms.liquidated,
        cancelled=choices.cancelled or terms.cancelled,
        maker_ppm=choices.maker_ppm,
        taker_ppm=choices.taker_ppm,
        liquidation_ppm=choices.liquidation_ppm,
    )


def decide(state: State, name: str, *, exclude: Iterable[str] = (), manual: str = "") -> Plan:
    """Plan the deleveraging of an open liquidation.

    Args:
        state: as it is.
        name: the liquidation.
        exclude: accounts that are never cut.
        manual: why it may be done outside of an active trigger.

    Returns:
        The plan; a queue that is too short is no error.

    Raises:
        StateError: there is no such liquidation, or the trigger does not permit it.
        InputError: a fact or a price that the edition reads is not known.
    """
    open_ = state.opened(name)
    _, stage = stage_of(state, open_, manual=manual)
    left = stage.left
    if left is None or not stage.permits:
        raise StateError(
            f"liquidation {name}: expected an active trigger, got {stage.status.state} "
            f"({stage.status.reason}); say manual= with a reason to deleverage all the same"
        )
    side = opposite("long" if left.lots > 0 else "short")
    barred = tuple(sorted({left.account, *exclude}))
    taken = _taken(state, left.market, side, abs(left.lots), barred)
    price = settlement_price(state, stage)
    completion = state.rules.allocation.completion
    fills, unfilled, reason = _completed(taken, abs(left.lots), completion)
    return Plan(
        liquidation=name,
        market=left.market,
        side=opposite(side),
        requested=abs(left.lots),
        fills=fills,
        unfilled=unfilled,
        reason=reason,
        price=price,
        sequence=state.sequence,
        manual=manual,
        exclude=tuple(sorted(set(exclude))),
        decision=_decision(state, stage, price, fills, reason),
        state=state,
    )


def _completed(
    fills: tuple[Fill, ...], lots: int, completion: Completion
) -> tuple[tuple[Fill, ...], int, PlanReason]:
    """Say how it ends, and drop everything where it is all or nothing."""
    unfilled = lots - sum(fill.closed for fill in fills)
    if not unfilled:
        return fills, 0, PlanReason.FILLED
    if completion is Completion.ALL_OR_NOTHING:
        return (), lots, PlanReason.ALL_OR_NOTHING_FAILED
    ended = PlanReason.QUEUE_EXHAUSTED if fills else PlanReason.NOTHING_ELIGIBLE
    return fills, unfilled, ended


def _decision(
    state: State,
    stage: Stage,
    price: SettlementPrice,
    fills: tuple[Fill, ...],
    reason: PlanReason,
) -> dict[str, Value]:
    """Give what decided, as the journal keeps it."""
    market = stage.opened.market
    scale, last = state.scale(market), fills[-1] if fills else None
    before = scale.previous_mark_price
    return {
        "book": state.book.root,
        "venue": state.rules.name,
        "edition": state.edition,
        "ties": [tie.value for tie in state.rules.score.ties],
        "trigger": stage.status.reason,
        "mark": f"{scale.mark_price:f}",
        "previous_mark": None if before is None else f"{before:f}",
        "cut": None if last is None else [last.place, last.closed, last.score.hex()],
        "price": [price.kind.value, str(price.lot_value), price.reason],
        "reason": reason.value,
    }


def _taken(
    state: State, market: str, side: str, lots: int, barred: tuple[str, ...]
) -> tuple[Fill, ...]:
    """Take the head of the queue, without some accounts."""
    rows = [state.book.roster.places_of(account) for account in barred]
    head = head_of(state, market, side, lots, np.concatenate([_NO_ROWS, *rows]))
    places = [place for place in head.places if place != POOL_PLACE]
    held = {one.place: one for one in state.book.holdings(np.array(places, np.int64))}
    return tuple(
        _fill(held[place], closed, score)
        if place != POOL_PLACE
        else _pool_fill(state, market, closed, score)
        for place, closed, score in zip(head.places, head.closed, head.scores, strict=True)
    )


def _fill(holding: Holding, closed: int, score: float) -> Fill:
    """Give one fill."""
    return Fill(
        place=holding.place,
        position_id=holding.position_id,
        account=holding.account,
        tier=holding.tier,
        lots=holding.lots,
        entry_value=holding.entry_value,
        closed=closed,
        score=score,
    )


def _pool_fill(state: State, market: str, closed: int, score: float) -> Fill:
    """Give the fill of a pool that stands in the queue."""
    pool = state.pool_behind(market)
    if pool is None:
        raise InvariantError(f"{market}: expected the pool that stands in its queue, got none")
    held = pool.inventory(market)
    return Fill(
        place=POOL_PLACE,
        position_id=pool_id(pool, market),
        account=pool.name,
        tier=0,
        lots=held.lots,
        entry_value=held.entry_value,
        closed=closed,
        score=score,
    )
