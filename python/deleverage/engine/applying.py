"""Writing down what a liquidation moved: positions, pool, books and triggers, in one step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from deleverage.backstop.bankruptcy import Rounding, gain_of, rounded
from deleverage.backstop.liquidation import MARKET, Gate, Liquidation, Move, Step
from deleverage.backstop.notices import Leg
from deleverage.backstop.pool import Pool
from deleverage.backstop.settlement import Book, Posting, split_basis
from deleverage.backstop.trigger import Status
from deleverage.engine.positions import Change, Holding
from deleverage.engine.posting import book, prove
from deleverage.engine.queueing import POOL_PLACE
from deleverage.engine.sharing import charges, told_shares
from deleverage.engine.state import Open, State, queue_name
from deleverage.engine.triggers import shown, watch
from deleverage.errors import InvariantError
from deleverage.ledger import Value
from deleverage.model.scales import MarketScale
from deleverage.model.terms import StepKind

__all__ = ["Moved", "apply_moved", "finished", "own_legs_netted", "set_aside", "told"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a command did to a liquidation.

    Attributes:
        open_: the liquidation before it.
        left: what is still open of it; None where nothing is.
        pool: after it; None where there is none.
        status: what the trigger of its market says.
        steps: what happened, in order.
        debt: what nobody paid, money units.
        socialised: what everybody is to pay, money units.
        gate: how long withdrawals wait, or None.
        legs: place and leg of every position of the queue that was cut.
        keeps_status: the trigger was not asked: it was done by hand.
    """

    open_: Open
    left: Liquidation | None
    pool: Pool | None
    status: Status
    steps: tuple[Step, ...]
    debt: int
    socialised: int = 0
    gate: Gate | None = None
    legs: tuple[tuple[int, Leg], ...] = ()
    keeps_status: bool = False


def apply_moved(state: State, moved: Moved) -> tuple[State, dict[str, Value]]:
    """Write it down.

    Returns:
        The state after it, and what a result tells of it.

    Raises:
        InvariantError: postings or lots do not add to zero, a position grew, or a pool's record
            and the books part.
    """
    liquidation = moved.open_.liquidation
    market = liquidation.market
    postings = [posting for step in moved.steps for posting in step.postings]
    after = book(state, postings)
    changes = _changes(state, moved, postings)
    if changes:
        after = _changed(after, market, changes)
    after = _with_pool(after, moved)
    shared: dict[str, Value] = {}
    if moved.socialised:
        dues, paying = charges(after, market, moved.socialised, liquidation.account)
        after = _changed(book(after, dues), market, paying) if paying else after
        shared = {"shared": told_shares(after, moved.socialised, paying)}
    outside = dict(after.outside)
    for move in (move for step in moved.steps for move in step.moves):
        if move.owner == MARKET:
            outside[move.market] = outside.get(move.market, 0) + move.lots
    after = replace(after, outside=outside)
    if not moved.keeps_status:
        after = replace(after, statuses={**after.statuses, market: moved.status})
    if moved.gate is not None:
        after = replace(after, gates={**after.gates, moved.gate.pool: moved.gate})
    after = _followed(_kept(after, moved), moved.pool)
    after, changed = watch(after, [] if moved.pool is None else [moved.pool.name])
    left = 0 if moved.left is None else moved.left.lots
    result: dict[str, Value] = {
        "left": left,
        "steps": told(moved.steps),
        "debt": moved.debt,
        "socialised": moved.socialised,
        "legs": [_leg(leg) for _, leg in moved.legs],
        "status": shown(moved.status),
        "triggers": changed,
    }
    return prove(after, [market]), result | shared


def told(steps: Sequence[Step]) -> list[Value]:
    """Give steps as a result has them: kind, lots, words."""
    return [[step.kind.value, step.lots, step.text] for step in steps]


def finished(state: State, name: str) -> State:
    """Forget a liquidation of which nothing is left."""
    others = {key: value for key, value in state.liquidations.items() if key != name}
    return replace(state, liquidations=others)


def set_aside(state: State, open_: Open) -> State:
    """Take a liquidated position out of the queue, with all that shares its margin."""
    roster, held = state.book.roster, state.book.holding(open_.place)
    places = [open_.place]
    if held.mode != "isolated":
        theirs = state.book.holdings(roster.places_of(held.account))
        asset = state.scale(held.market).settle
        places = [
            other.place
            for other in theirs
            if other.mode != "isolated" and state.scale(other.market).settle == asset
        ]
    store, queues = state.book, dict(state.stamps.queues)
    live = [place for place in places if store.is_live(place)]
    if live:
        store = store.left_queue(np.array(live, np.int64))
    for place in live:
        side = "short" if roster.section[place] % 2 else "long"
        queues[queue_name(roster.market(place), side)] = state.sequence
    return replace(state, positions=store, stamps=replace(state.stamps, queues=queues))


def own_legs_netted(
    state: State, open_: Open, scale: MarketScale
) -> tuple[State, Liquidation | None, tuple[Step, ...]]:
    """Close a cross position against its own account's opposite legs at the mark, before anybody.

    Legs share one margin, so the account itself is the first to give; what one leg gains the other
    pays.
    """
    left: Liquidation | None = open_.liquidation
    held, steps = state.book.holding(open_.place), []
    if held.mode == "isolated":
        return state, left, ()
    for other in state.book.holdings(state.book.roster.places_of(held.account)):
        opposes = other.market == held.market and other.lots * held.lots < 0
        if left is None or not opposes or other.mode == "isolated":
            continue
        closed = min(abs(other.lots), abs(left.lots))
        step, own = _netted(left, other, closed, scale)
        state = book(state, step.postings)
        left = left.less(closed, split_basis(left.entry_value, left.lots, closed))
        rest = 0 if left is None else left.lots
        entry = 0 if left is None else left.entry_value
        wallet = sum(p.amount for p in step.postings if p.book is Book.WALLET)
        changes = [own, Change(open_.place, rest, entry, wallet - own.paid, is_aside=True)]
        state = _changed(state, held.market, changes)
        steps.append(step)
    return state, left, tuple(steps)


def _netted(
    left: Liquidation, other: Holding, closed: int, scale: MarketScale
) -> tuple[Step, Change]:
    """Net one leg: the step, and what becomes of the other leg."""
    gain = gain_of(left.lots, is_inverse=scale.is_inverse)
    quote = rounded(gain * Fraction(closed * scale.mark_num, scale.mark_den), Rounding.NEAREST)
    mine = gain * split_basis(left.entry_value, left.lots, closed)
    theirs = split_basis(other.entry_value, other.lots, closed)
    paid = -quote + gain * theirs
    pairs = (
        (Book.WALLET, quote - mine + paid),
        (Book.BASIS, mine - gain * theirs),
    )
    postings = tuple(
        Posting(
            owner=left.account,
            book=kind,
            asset=scale.settle,
            amount=amount,
            market=scale.market if kind is Book.BASIS else "",
        )
        for kind, amount in pairs
        if amount
    )
    side = 1 if left.lots > 0 else -1
    moves = (
        Move(owner=left.account, market=scale.market, lots=-side * closed),
        Move(owner=left.account, market=scale.market, lots=side * closed),
    )
    text = f"{closed} lots are netted against {left.account}'s own opposite position at the mark"
    step = Step(kind=StepKind.ORDERS, lots=closed, postings=postings, moves=moves, text=text)
    rest = other.lots + side * closed
    return step, Change(other.place, rest, other.entry_value - theirs, paid, is_aside=True)


def _changes(state: State, moved: Moved, postings: Sequence[Posting]) -> list[Change]:
    """Give what becomes of every position that moved."""
    # A pool that is cut keeps its own record, which follows the settlement.
    legs = [(place, leg) for place, leg in moved.legs if place != POOL_PLACE]
    found = [Change(place, leg.lots_left, leg.entry_left, leg.pnl - leg.fee) for place, leg in legs]
    places = np.array([place for place, _ in legs], np.int64)
    for held, (_, leg) in zip(state.book.columns["lots"][places].tolist(), legs, strict=True):
        if abs(leg.lots_left) >= abs(leg.lots) or leg.lots_left * leg.lots < 0:
            raise InvariantError(f"position {leg.position_id}: expected a smaller one, got {leg}")
        if leg.lots != held:
            raise InvariantError(f"position {leg.position_id}: expected the lots of its row")
    open_, left = moved.open_, moved.left
    if open_.place < 0:
        return found
    account = open_.liquidation.account
    paid = sum(p.amount for p in postings if p.owner == account and p.book is Book.WALLET)
    lots, entry = (0, 0) if left is None else (left.lots, left.entry_value)
    return [*found, Change(open_.place, lots, entry, paid, is_aside=True)]


def _changed(state: State, market: str, changes: Sequence[Change]) -> State:
    """Change positions, and note which queues that moved."""
    places = np.array([change.place for change in changes], np.int64)
    before = sum(state.book.columns["lots"][places].tolist())
    roster, queues = state.book.roster, dict(state.stamps.queues)
    for number in np.unique(roster.section[places]).tolist():
        queues[queue_name(market, "short" if number % 2 else "long")] = state.sequence
    store = state.book.change(changes, state.scale(market), sequence=state.sequence)
    net = {**state.net, market: state.net[market] - before + sum(c.lots for c in changes)}
    stamps = replace(state.stamps, queues=queues)
    return replace(state, positions=store, net=net, stamps=stamps)


def _with_pool(state: State, moved: Moved) -> State:
    """Put the pool in its place, and note when it moved."""
    pool = moved.pool
    if pool is None:
        return state
    before = state.pools[pool.name]
    stamps = dict(state.stamps.pools)
    if (before.cash, _held(before)) != (pool.cash, _held(pool)):
        stamps[pool.name] = state.sequence
    return replace(
        state,
        pools={**state.pools, pool.name: pool},
        stamps=replace(state.stamps, pools=stamps),
    )


def _held(pool: Pool) -> tuple[tuple[str, int, int], ...]:
    """Give what a pool holds."""
    return tuple((each.market, each.lots, each.entry_value) for each in pool.inventories)


def _kept(state: State, moved: Moved) -> State:
    """Keep what is left of the liquidation, or forget it."""
    name = moved.open_.liquidation.id
    if moved.left is None:
        return finished(state, name)
    open_ = replace(moved.open_, liquidation=moved.left, touched=state.sequence)
    return replace(state, liquidations={**state.liquidations, name: open_})


def _followed(state: State, pool: Pool | None) -> State:
    """Let what a pool sheds follow what it holds: it may have taken over more, or netted it."""
    if pool is None:
        return state
    found = {}
    for name, open_ in state.liquidations.items():
        shed = open_.liquidation
        held = pool.inventory(shed.market) if shed.is_pool and shed.account == pool.name else None
        if held is None or (held.lots, held.entry_value) == (shed.lots, shed.entry_value):
            found[name] = open_
        elif held.lots:
            shed = replace(shed, lots=held.lots, entry_value=held.entry_value)
            found[name] = replace(open_, liquidation=shed, touched=state.sequence)
    return replace(state, liquidations=found)


def _leg(leg: Leg) -> Value:
    """Give a leg as a result has it."""
    return {
        "position_id": leg.position_id,
        "account": leg.account,
        "closed": leg.closed,
        "lots_left": leg.lots_left,
        "entry_left": leg.entry_left,
        "pnl": leg.pnl,
        "fee": leg.fee,
    }
