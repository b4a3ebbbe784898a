"""The commands of a liquidation: it begins, the market answers, the queue is cut.

Each takes the liquidation through the waterfall as far as it goes, and writes down at once what
that moved: positions, pool, books, trigger.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from deleverage.backstop.bankruptcy import Bankruptcy, Cross, bankruptcy, gain_of, rounded
from deleverage.backstop.bankruptcy import Holding as Taken
from deleverage.backstop.liquidation import Liquidation, Step
from deleverage.backstop.notices import Leg
from deleverage.backstop.pool import Pool
from deleverage.backstop.settlement import Cut, Settlement, Terms, settle
from deleverage.backstop.waterfall import Stage, Waterfall, after_deleveraging
from deleverage.engine import accounts, applying, events
from deleverage.engine.applying import Moved, apply_moved, own_legs_netted
from deleverage.engine.body import Body
from deleverage.engine.freshness import require_fresh
from deleverage.engine.planner import stage_of, terms_of
from deleverage.engine.positions import Holding
from deleverage.engine.pricing import settlement_price
from deleverage.engine.queueing import POOL_PLACE, pool_id, pool_row
from deleverage.engine.state import Open, State, opposite
from deleverage.engine.triggers import shown
from deleverage.errors import InputError, StateError
from deleverage.ledger import Value
from deleverage.model.terms import Clamp, Convention

__all__ = ["commit", "liquidate", "outcome"]

_WHY = "it stood at place {} of the queue when the liquidation was planned"


def liquidate(state: State, body: Body) -> tuple[State, dict[str, Value]]:
    """Begin a liquidation: freeze its bankruptcy, net its own legs, walk the first steps.

    Raises:
        InputError: there is no such position, or something the edition reads is missing.
        StateError: the position is in liquidation, or the name is taken.
    """
    body.only(
        "id", "position_id", "pool", "market", "bankruptcy_price", "facts", "fills", "cancelled"
    )
    name = body.text("id")
    if name in state.liquidations:
        raise StateError(f"liquidation {name}: expected a new name, got that of an open one")
    if body.has("pool"):
        open_ = _shedding(state, body, name)
        return _walked(state, open_, body, is_new=True, steps=())
    held, state = _taken(state, body)
    scale = state.scale(held.market)
    frozen = _frozen(state, held, body)
    liquidation = Liquidation(
        id=name,
        account=held.account,
        market=held.market,
        lots=held.lots,
        entry_value=held.entry_value,
        bankruptcy=frozen,
        opened_at=state.at,
        margin=held.margin if held.mode == "isolated" else None,
        position_id=held.position_id,
    )
    facts = events.facts(body, scale)
    open_ = Open(liquidation=liquidation, place=held.place, touched=state.sequence, facts=facts)
    state = applying.set_aside(state, open_)
    state, left, steps = own_legs_netted(state, open_, scale)
    if left is None:
        return applying.finished(state, name), {"left": 0, "steps": applying.told(steps)}
    return _walked(state, replace(open_, liquidation=left), body, is_new=True, steps=steps)


def outcome(state: State, body: Body) -> tuple[State, dict[str, Value]]:
    """Take what the market closed since, and read the trigger again.

    Raises:
        StateError: there is no such open liquidation.
        InputError: a fill closes nothing or too much, or a fact is missing.
    """
    body.only("id", "fills", "facts", "cancelled")
    open_ = state.opened(body.text("id"))
    scale = state.scale(open_.liquidation.market)
    open_ = replace(open_, facts={**open_.facts, **events.facts(body, scale)})
    return _walked(state, open_, body, is_new=False, steps=())


def commit(state: State, body: Body) -> tuple[State, dict[str, Value]]:
    """Cut the queue as planned.

    Raises:
        StateError: the plan is stale, or the trigger does not permit it.
        InputError: a fill is no part of its position.
        InvariantError: postings or lots do not add to zero.
    """
    open_ = state.opened(body.text("liquidation"))
    manual = str(body.value.get("manual", ""))  # type: ignore[union-attr]
    fills = [_planned(item) for item in body.items("fills")]
    require_fresh(state, open_, body, [place for place, _, _ in fills if place != POOL_PLACE])
    waterfall, stage = stage_of(state, open_, manual=manual)
    left = stage.left
    unfilled = body.at_least("unfilled", least=0)
    closed = sum(count for _, _, count in fills)
    if left is None or not stage.permits:
        raise StateError(
            f"liquidation {open_.liquidation.id}: expected an active trigger, got "
            f"{stage.status.state} ({stage.status.reason})"
        )
    if closed + unfilled != abs(left.lots):
        raise StateError(
            f"plan: expected {abs(left.lots)} lots to offset, got {closed + unfilled}; plan again"
        )
    settlement: Settlement | None = None
    places: tuple[int, ...] = ()
    if fills:
        settlement, places = _settled(state, open_, (waterfall, stage), fills, body)
    moved = _behind(state, open_, waterfall, stage, settlement)
    moved = replace(
        moved,
        steps=(*stage.steps, *moved.steps),
        legs=_legs(settlement, places),
        keeps_status=bool(manual),
    )
    after, result = apply_moved(state, moved)
    notices: list[Value] = []
    if settlement is not None:
        notices = [[n.account, n.position_id, n.text] for n in settlement.notices]
        result["dust"] = settlement.dust
        result["cancels"] = settlement.notices[0].cancelled.value
        result["difference"] = settlement.difference
    return after, {**result, "unfilled": unfilled, "notices": notices}


def _walked(
    state: State, open_: Open, body: Body, *, is_new: bool, steps: Sequence[Step]
) -> tuple[State, dict[str, Value]]:
    """Walk the steps before the queue, and those behind it where nothing is left for the queue."""
    given = events.fills(state, open_.liquidation, body)
    waterfall, stage = stage_of(state, open_, manual="", is_new=is_new, fills=given)
    moved = Moved(
        open_=open_,
        left=stage.left,
        pool=stage.pool,
        status=stage.status,
        steps=stage.steps,
        debt=stage.debt,
    )
    if stage.left is None:
        behind = _behind(state, open_, waterfall, stage, None)
        moved = replace(behind, steps=(*stage.steps, *behind.steps))
    after, result = apply_moved(state, moved)
    result["steps"] = [*applying.told(steps), *result["steps"]]  # type: ignore[misc]
    frozen = open_.liquidation.bankruptcy
    return after, {
        **result,
        "trigger": shown(stage.status),
        "permits": stage.permits,
        "refused": len(stage.refused),
        "bankruptcy": None if frozen is None else str(frozen.value),
        "cancelled": body.items("cancelled"),
    }


def _behind(
    state: State, open_: Open, waterfall: Waterfall, stage: Stage, settlement: Settlement | None
) -> Moved:
    """Walk the steps behind the queue."""
    del state
    ended = after_deleveraging(waterfall, stage, settlement)
    return Moved(
        open_=open_,
        left=ended.left,
        pool=ended.pool,
        status=ended.status,
        steps=ended.steps,
        debt=ended.debt,
        socialised=ended.socialised,
        gate=ended.gate,
    )


def _planned(item: Value) -> tuple[int, str, int]:
    """Read one fill of a plan: place, id, lots."""
    match item:
        case [int(place), str(name), int(lots)] if lots > 0 and place >= POOL_PLACE:
            return place, name, lots
    raise InputError(f"fills: expected [place, position_id, lots above 0], got {item!r}")


def _taken(state: State, body: Body) -> tuple[Holding, State]:
    """Give the position that is taken over, with its hedged part put back to it."""
    places = state.book.roster.find(body.text("position_id"))
    state = replace(state, positions=state.book.folded(places, sequence=state.sequence))
    held = state.book.holding(int(places[0]))
    if held.lots == 0:
        raise StateError(f"position {held.position_id}: expected an open one, got a closed one")
    for name, other in state.liquidations.items():
        if other.place == held.place:
            raise StateError(
                f"position {held.position_id}: expected none in liquidation, got that of {name}"
            )
    return held, state


def _shedding(state: State, body: Body, name: str) -> Open:
    """Give the liquidation of what a pool holds in a market."""
    market, owner = body.text("market"), body.text("pool")
    pool = state.pool_behind(market)
    if pool is None or pool.name != owner:
        raise InputError(f"pool: expected the one behind {market}, got {owner!r}")
    held = pool.inventory(market)
    if held.lots == 0:
        raise StateError(f"pool {owner}: expected a position in {market}, got none")
    if any(
        o.liquidation.is_pool and o.liquidation.market == market
        for o in state.liquidations.values()
    ):
        raise StateError(f"pool {owner}: expected no open liquidation in {market}, got one")
    liquidation = Liquidation(
        id=name,
        account=owner,
        market=market,
        lots=held.lots,
        entry_value=held.entry_value,
        bankruptcy=None,
        opened_at=state.at,
        is_pool=True,
    )
    facts = events.facts(body, state.scale(market))
    return Open(liquidation=liquidation, place=-1, touched=state.sequence, facts=facts)


def _frozen(state: State, held: Holding, body: Body) -> Bankruptcy:
    """Freeze the bankruptcy value on the full size: the one that is said, or by the edition."""
    scale, venue = state.scale(held.market), state.rules
    if body.has("bankruptcy_price"):
        value = events.value(scale, held.lots, body.text("bankruptcy_price"), "bankruptcy_price")
        return Bankruptcy(lots=held.lots, value=value, is_inverse=scale.is_inverse)
    taken = Taken(
        lots=held.lots,
        entry_value=held.entry_value,
        mark_value=Fraction(abs(held.lots) * scale.mark_num, scale.mark_den),
        maintenance=held.maintenance or 0,
        is_inverse=scale.is_inverse,
    )
    if held.mode == "isolated":
        behind, convention = Cross(margin=held.margin), Convention.OWN_MARGIN
    else:
        stands = accounts.cross(state, held.account, scale.settle)
        behind = Cross(
            margin=held.margin,
            equity=stands.equity,
            maintenance=stands.maintenance,
            cash=stands.cash,
            notional=stands.notional,
        )
        convention = venue.price.convention
        if convention is Convention.UNPUBLISHED:
            convention = state.choices.convention or convention
    part = venue.backstop
    clamp = Clamp.ALLOWED if part is None else part.clamp
    return bankruptcy(taken, behind, convention=convention, clamp=clamp)


def _settled(
    state: State,
    open_: Open,
    walked: tuple[Waterfall, Stage],
    fills: Sequence[tuple[int, str, int]],
    body: Body,
) -> tuple[Settlement, tuple[int, ...]]:
    """Settle the fills at the price that was planned."""
    waterfall, stage = walked
    left = stage.left
    if left is None:
        raise StateError("plan: expected an open liquidation, got none; plan again")
    price = settlement_price(state, stage)
    said = body.table("decision").get("price")
    if not isinstance(said, list) or said[:2] != [price.kind.value, str(price.lot_value)]:
        raise StateError(f"plan: expected the price {price.reason}, got {said}; plan again")
    places = [place for place, _, _ in fills]
    rows = np.array([place for place in places if place != POOL_PLACE], np.int64)
    held = {one.place: one for one in state.book.holdings(rows)}
    live = set(rows[state.book.columns["live"][rows]].tolist())
    cuts = []
    for number, (place, name, closed) in enumerate(fills, 1):
        if place == POOL_PLACE:
            cuts.append(_pool_cut(state, left, (name, closed), number))
            continue
        if held[place].position_id != name or place not in live:
            raise StateError(f"position {name}: expected it in the queue, got another; plan again")
        cuts.append(_cut(held[place], closed, number))
    terms = terms_of(state, waterfall, stage.pool, left.market)
    own = sum(cut.closed for cut in cuts if cut.is_pool)
    if own and stage.pool is not None:
        terms = _less_what_it_sheds(terms, stage.pool, own, price.lot_value)
    if left.is_pool:
        parts = [count for _, _, count in fills]
        most = _pool_fee_most(stage.pool, left, price.lot_value, parts, terms)
    else:
        most = _fee_most(state, open_)
    return settle(cuts, replace(left.bankrupt, fee_most=most), price, terms), tuple(places)


def _cut(holding: Holding, closed: int, number: int) -> Cut:
    """Give a position of the queue as the settlement takes it."""
    part = "/hedged" if holding.tier and holding.tier > 1 else ""
    return Cut(
        position_id=f"{holding.position_id}{part}",
        account=holding.account,
        lots=holding.lots,
        entry_value=holding.entry_value,
        closed=closed,
        why=_WHY.format(number),
    )


def _pool_cut(state: State, left: Liquidation, fill: tuple[str, int], number: int) -> Cut:
    """Give the pool's own position, where it stands in the queue, as the settlement takes it."""
    name, closed = fill
    pool = pool_row(state, left.market, opposite("long" if left.lots > 0 else "short"))
    if pool is None or pool_id(pool, left.market) != name:
        raise StateError(f"position {name}: expected it in the queue, got another; plan again")
    held = pool.inventory(left.market)
    return Cut(
        position_id=name,
        account=pool.name,
        lots=held.lots,
        entry_value=held.entry_value,
        closed=closed,
        is_pool=True,
        why=_WHY.format(number),
    )


def _less_what_it_sheds(terms: Terms, pool: Pool, lots: int, lot_value: Fraction) -> Terms:
    """Let a pool that is cut itself pay only what it has left at the settlement price."""
    if terms.fund_balance is None:
        return terms
    held = pool.inventory(terms.scale.market)
    gain = gain_of(held.lots, is_inverse=terms.scale.is_inverse)
    quote = -rounded(-gain * lot_value * lots, terms.rounding)
    shed = pool.shed(terms.scale.market, lots=lots, exit_value=gain * quote, at=pool.at)
    return replace(terms, fund_balance=min(terms.fund_balance, shed.available))


def _fee_most(state: State, open_: Open) -> int:
    """Give what the liquidated account can pay as a fee: what is left of its margin."""
    held = state.book.holding(open_.place)
    if held.mode == "isolated":
        return 0
    asset = state.scale(held.market).settle
    return max(0, int(accounts.cross(state, held.account, asset).equity // 1))


def _pool_fee_most(
    pool: Pool | None,
    left: Liquidation,
    lot_value: Fraction,
    parts: Sequence[int],
    terms: Terms,
) -> int | None:
    """Give what a pool can pay as a fee for what it sheds: what the price leaves it.

    Raises:
        StateError: not even the units that rounding fill by fill left it.
    """
    if pool is None or pool.may_be_negative:
        return None
    gain = gain_of(left.lots, is_inverse=terms.scale.is_inverse)
    quote = sum(rounded(gain * lot_value * part, terms.rounding) for part in parts)
    dust = quote - rounded(gain * lot_value * sum(parts), terms.rounding)
    shed = pool.shed(left.market, lots=sum(parts), exit_value=gain * quote, at=pool.at)
    if shed.available < dust:
        unit, asset = terms.scale.money_unit, terms.scale.settle
        said = [accounts.worded(units, unit, asset) for units in (dust, shed.balance)]
        raise StateError(
            f"pool {pool.name}: expected it to be able to pay {said[0]} after closing at this "
            f"price, got a balance of {said[1]}; contribute to it first"
        )
    return shed.available - dust


def _legs(settlement: Settlement | None, places: Sequence[int]) -> tuple[tuple[int, Leg], ...]:
    """Give each reduced position's place with its leg."""
    return () if settlement is None else tuple(zip(places, settlement.legs, strict=True))
