"""What a liquidation goes through: orders, market, pool, deleveraging, and what is left.

The order of the steps is the edition's (Cube asks its fund after the queue, most before it). The
queue itself is not walked here: the steps before it are one pure function, the steps after it
another, and between the two the caller ranks, selects and settles.

    waterfall = Waterfall.of(venue, trigger)      # refuses by name what was never published
    stage = before_deleveraging(
        waterfall, liquidation, fills=fills, facts=facts, status=status, scale=scale
    )
    settlement = None
    if stage.permits:                              # rank, select, then
        terms = waterfall.terms(scale, stage.pool)
        settlement = settle(cuts, stage.left.bankrupt, price, terms)
    outcome = after_deleveraging(waterfall, stage, settlement)

Kept for the next event: `outcome.pool`, `outcome.status`, `outcome.left` (a Liquidation that stays
open, or None). Booked, in order: the postings of `stage.steps`, then of `outcome.steps`; they hold
those of the settlement too. `outcome.socialised` is for an allocation policy to share out.

`facts` are those of `lines.Facts` that the caller knows: `at`, `pool`, `account_value`, backlog,
flags. What follows from the liquidation, the pool and the mark is filled in here.

A pool that sheds its own position is the same engine: a Liquidation with `is_pool` and the pool's
name as its account; no pool takes it over, and the queue does the rest.

Nothing is changed in place. A call that is refused gives nothing, so nothing has happened.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from deleverage.backstop import steps
from deleverage.backstop.lines import Facts, distance_to_bankruptcy
from deleverage.backstop.liquidation import Fill, Gate, Liquidation, Move, Step
from deleverage.backstop.pool import Pool
from deleverage.backstop.rules import Rules, Waterfall
from deleverage.backstop.settlement import Book, Settlement
from deleverage.backstop.steps import Course
from deleverage.backstop.trigger import State, Status
from deleverage.errors import InputError, InvariantError, StateError
from deleverage.model.scales import MarketScale
from deleverage.model.terms import (
    Completion,
    PartFill,
    StepKind,
)

__all__ = ["Outcome", "Stage", "Waterfall", "after_deleveraging", "before_deleveraging"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A liquidation at the gate of the queue.

    Attributes:
        opened: the liquidation as it came in.
        left: what is still open, with the debt of its fills; None where nothing is.
        steps: what happened, in order.
        pool: after the steps; None where the facts have none.
        scale: units of the market at the mark.
        facts: as the trigger read them.
        status: what the trigger says; keep it for the next event.
        permits: the rest may be deleveraged now; where it may not, it stays open as it is.
        refused: fills that do not count, because the pool cannot pay for them.
        debt: what fills fell short of bankruptcy and nobody paid, money units.
    """

    opened: Liquidation
    left: Liquidation | None
    steps: tuple[Step, ...]
    pool: Pool | None
    scale: MarketScale
    facts: Facts
    status: Status
    permits: bool
    refused: tuple[Fill, ...]
    debt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A liquidation behind the queue.

    Attributes:
        left: what stays open on the account; None where nothing is.
        steps: the deleveraging and what came after it, in order.
        pool: after the steps; None where there was none.
        status: what the trigger says after them; keep it for the next event.
        debt: what nobody paid and the account owes, money units.
        socialised: what everybody is to pay, money units; it stands on the owner
            `liquidation.EVERYBODY` until a policy shares it out.
        gate: how long withdrawals wait; None where they do not.
    """

    left: Liquidation | None
    steps: tuple[Step, ...]
    pool: Pool | None
    status: Status
    debt: int
    socialised: int
    gate: Gate | None


def before_deleveraging(
    waterfall: Waterfall,
    liquidation: Liquidation,
    *,
    fills: Sequence[Fill] = (),
    facts: Facts,
    status: Status,
    scale: MarketScale,
) -> Stage:
    """Take a liquidation through the steps before the queue.

    Args:
        waterfall: the edition's steps.
        liquidation: the position as it is still open.
        fills: what the market closed of it since, in order.
        facts: what the caller knows at this instant; `facts.pool` is the pool behind the market.
        status: what the trigger said last.
        scale: units of the market at the mark.

    Raises:
        InputError: a fact is missing, a fill closes nothing or too much, or the scale is that of
            another market.
        StateError: time runs backwards.
        VenueError: the pool stands on the other side and the edition never said what then.
        InvariantError: postings or lots do not add to zero.
    """
    if scale.market != liquidation.market:
        raise InputError(
            f"scale: expected the market {liquidation.market!r} of liquidation {liquidation.id}, "
            f"got {scale.market!r}"
        )
    before, _ = waterfall.split()
    if fills and StepKind.MARKET not in before:
        raise InputError(
            f"fills: expected none, as {waterfall.venue.name} closes nothing in a market before "
            f"its queue, got {len(fills)}"
        )
    pool = None if facts.pool is None else facts.pool.advance(facts.at)
    course = Course(
        left=liquidation,
        opened=liquidation,
        pool=pool,
        scale=scale,
        facts=facts,
        fills=fills,
        debt=liquidation.debt,
    )
    course, after = _walk(waterfall, course, before, status)
    left = course.left
    if left is not None:
        closed = sum(step.lots for step in course.steps if step.kind is StepKind.MARKET)
        left = replace(left, debt=course.debt, filled=left.filled + closed)
    waits = waterfall.part.part_fill is PartFill.WAITS and bool(fills) and left != liquidation
    _prove(liquidation, left, course.steps)
    return Stage(
        opened=liquidation,
        left=left,
        steps=course.steps,
        pool=course.pool,
        scale=scale,
        facts=course.facts,
        status=after,
        permits=left is not None and after.state is State.ACTIVE and not waits,
        refused=course.refused,
        debt=course.debt,
    )


def after_deleveraging(
    waterfall: Waterfall, stage: Stage, settlement: Settlement | None = None
) -> Outcome:
    """Take a liquidation through the steps behind the queue.

    Args:
        waterfall: the edition's steps.
        stage: what came before.
        settlement: what the queue closed, booked by `waterfall.terms`; None where nobody was cut.

    Raises:
        InputError: a fact is missing.
        StateError: a settlement that the stage does not permit, of another position, or of a part
            where the edition closes all or nothing.
        InvariantError: postings or lots do not add to zero, or a pool's books part.
    """
    course = Course(
        left=stage.left,
        opened=stage.opened,
        pool=stage.pool,
        scale=stage.scale,
        facts=stage.facts,
        is_active=stage.permits,
        is_behind=True,
        debt=stage.debt,
    )
    if settlement is not None:
        _check(waterfall, stage, settlement)
        course = _deleveraged(course, settlement)
    status = stage.status
    if stage.permits or course.left is None:
        _, behind = waterfall.split()
        course = _behind(waterfall, course, behind)
        facts = _known(course)
        status = waterfall.trigger.step(status, facts)
    left = course.left
    if left is not None:
        left = replace(left, debt=course.debt)
    _prove(stage.left, left, course.steps)
    return Outcome(
        left=left,
        steps=course.steps,
        pool=course.pool,
        status=status,
        debt=course.debt,
        socialised=course.socialised,
        gate=course.gate,
    )


StepFunction = Callable[[Rules, Course], Course]

_FUNCTIONS: Mapping[StepKind, StepFunction] = MappingProxyType(
    {
        StepKind.ORDERS: steps.cancel_orders,
        StepKind.FEE: steps.charge_fee,
        StepKind.MARKET: steps.fill_in_market,
        StepKind.POOL: steps.pool_steps,
        StepKind.REMAINDER: steps.leave_remainder,
    }
)


def _walk(
    waterfall: Waterfall, course: Course, kinds: Sequence[StepKind], status: Status
) -> tuple[Course, Status]:
    """Walk the steps before the queue; the trigger is read once, before the pool is asked."""
    rules = waterfall.rules
    asked = [*kinds, StepKind.DELEVERAGING]
    place = next(
        place for place, kind in enumerate(asked) if kind in {StepKind.POOL, StepKind.DELEVERAGING}
    )
    for kind in kinds[:place]:
        course = _FUNCTIONS[kind](rules, course)
    facts = _known(course)
    after = waterfall.trigger.step(status, facts)
    course = replace(course, facts=facts, is_active=after.state is State.ACTIVE)
    for kind in kinds[place:]:
        course = _FUNCTIONS[kind](rules, course)
    return course, after


def _behind(waterfall: Waterfall, course: Course, kinds: Sequence[StepKind]) -> Course:
    """Walk the steps behind the queue."""
    for kind in kinds:
        course = _FUNCTIONS[kind](waterfall.rules, course)
    return course


def _known(course: Course) -> Facts:
    """Fill in what follows from the liquidation, the pool and the mark."""
    left, pool = course.left, course.pool
    facts = replace(course.facts, pool=pool, market=course.opened.market)
    rate = steps.rate_of(course.scale)
    lots = 0 if left is None else left.lots
    if pool is not None:
        held = 0 if course.opened.is_pool else lots
        facts = replace(facts, fund_notional=pool.notional_with(course.opened.market, held, rate))
        if facts.group is not None:
            group = tuple(pool if each.name == pool.name else each for each in facts.group)
            facts = replace(facts, group=group)
    facts = replace(facts, unfilled_lots=abs(lots), remaining_lots=abs(lots))
    if left is None:
        return replace(facts, deficit=0, to_bankruptcy=1, position_margin=0, position_pnl=0)
    gain = steps.gain_at(left, course.scale)
    margin = facts.position_margin if left.margin is None else left.margin
    facts = replace(facts, position_margin=margin, position_pnl=gain)
    if left.bankruptcy is None:
        return facts
    value = left.bankruptcy.lot_value * abs(lots)
    distance = distance_to_bankruptcy(lots, rate, value)
    return replace(facts, to_bankruptcy=distance, deficit=max(0, -distance))


def _check(waterfall: Waterfall, stage: Stage, settlement: Settlement) -> None:
    """Refuse a settlement that is not of this stage."""
    left, leg = stage.left, settlement.liquidated
    if left is None or not stage.permits:
        raise StateError(
            f"liquidation {stage.opened.id}: expected no settlement, as deleveraging is not "
            f"permitted ({stage.status.reason})"
        )
    if (leg.account, leg.lots) != (left.account, left.lots):
        raise StateError(
            f"liquidation {left.id}: expected a settlement of {left.lots} lots of "
            f"{left.account!r}, got {leg.lots} of {leg.account!r}"
        )
    is_whole = waterfall.venue.allocation.completion is Completion.ALL_OR_NOTHING
    if is_whole and leg.closed < abs(left.lots):
        raise StateError(
            f"liquidation {left.id}: expected all {abs(left.lots)} lots or nothing, "
            f"got {leg.closed}"
        )


def _deleveraged(course: Course, settlement: Settlement) -> Course:
    """Note what the queue closed, in the books and in the pool's own record."""
    leg, market = settlement.liquidated, course.scale.market
    left = course.left
    if left is None:
        raise InvariantError("settlement: expected an open liquidation, got none")
    pool = None if course.pool is None else _pool_after(course, course.pool, settlement)
    legs = (*settlement.legs, leg)
    missing = abs(leg.lots) - leg.closed
    rest = f"; {course.size(missing)} find nobody" if missing else ""
    moves = tuple(
        Move(owner=each.account, market=market, lots=each.lots_left - each.lots) for each in legs
    )
    step = Step(
        kind=StepKind.DELEVERAGING,
        lots=leg.closed,
        postings=settlement.postings,
        moves=moves,
        text=f"the queue closes {course.size(leg.closed)} for {course.money(abs(leg.quote))}{rest}",
    )
    return replace(
        course,
        left=left.less(leg.closed, leg.basis),
        pool=pool,
        debt=course.debt + settlement.unpaid,
        steps=(*course.steps, step),
    )


def _pool_after(course: Course, pool: Pool, settlement: Settlement) -> Pool:
    """Let the pool's record follow the settlement: what it sheds, pays and receives."""
    market, at, before = course.scale.market, course.at, pool.cash
    for leg in (*settlement.legs, settlement.liquidated):
        if leg.account == pool.name:
            side = 1 if leg.lots > 0 else -1
            gain = -side if course.scale.is_inverse else side
            pool = pool.shed(market, lots=leg.closed, exit_value=gain * leg.quote, at=at)
    booked = sum(
        posting.amount
        for posting in settlement.postings
        if posting.owner == pool.name and posting.book is Book.FUND
    )
    rest = booked - (pool.cash - before)
    if rest >= 0:
        return pool.receive_surplus(market, rest, at=at) if rest else pool
    payment = pool.pay_deficit(market, -rest, at=at)
    if payment.unpaid:
        raise InvariantError(
            f"pool {pool.name}: expected to pay {-rest} as booked, {payment.unpaid} are missing; "
            "settle by Waterfall.terms"
        )
    return payment.pool


def _prove(before: Liquidation | None, left: Liquidation | None, done: Sequence[Step]) -> None:
    """Check that what the steps closed is what is no longer open."""
    wanted = sum(abs(each.lots) * sign for each, sign in ((before, 1), (left, -1)) if each)
    closed = sum(step.lots for step in done)
    if closed != wanted:
        raise InvariantError(f"steps: expected {wanted} lots closed, got {closed}")
