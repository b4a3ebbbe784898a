"""What a trader can change about a position, each as a step from one state to the next.

Amounts follow the venue's own arithmetic and never flatter: what is asked as margin is rounded up,
what is realised as profit is rounded down, a closed part takes the lower share of every amount.
Fees are not counted. Equity stays what it is when a part is closed or hedged at the mark.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from deleverage.advice.holding import Holding, State
from deleverage.errors import InputError
from deleverage.model.quantise import decimal_of
from deleverage.model.refusals import plain
from deleverage.model.rules import Factor
from deleverage.model.terms import Hedged
from deleverage.model.tiers import NEUTRAL
from deleverage.planning.side import QueueSide

__all__ = ["Change", "changed"]

PPM = 1_000_000
_MONEY = ("entry_value", "margin", "maintenance_margin", "initial_margin", "open_value")
_MAINTENANCE = (Factor.MAINTENANCE_OVER_EQUITY, Factor.NOTIONAL_OVER_FLOORED_EQUITY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is changed, in whole units; the steps are taken in this order.

    Attributes:
        close: lots closed at the mark.
        leverage: the new setting in ppm, or None.
        margin: money units added.
        hedge: lots of an opposite position, opened at the mark in the same account.
        is_neutral: whether the account then counts as delta-neutral, or None where nothing is said.
    """

    close: int = 0
    leverage: int | None = None
    margin: int = 0
    hedge: int = 0
    is_neutral: bool | None = None


def changed(holding: Holding, change: Change) -> State:
    """Give a position's state after a change.

    Args:
        holding: the position as it is.
        change: what is done.

    Raises:
        InputError: more is closed than there is, or the positions do not say what the account's
            maintenance margin changes by.
    """
    state, side = holding.state, holding.side
    if change.close:
        state = _closed(state, change.close, side)
    if change.leverage is not None:
        state = _levered(state, change.leverage)
    if change.margin:
        state = _funded(state, change.margin)
    if change.hedge and not holding.is_isolated:
        state = _hedged(state, change.hedge, side)
    is_asked = change.is_neutral is not None and side.snapshot.venue.tiers.neutral
    if is_asked and holding.may_be_neutral:
        state = replace(state, tier=NEUTRAL if change.is_neutral else 0)
    return state


def _contracts(lots: int, side: QueueSide) -> str:
    """Write lots as contracts."""
    return f"{decimal_of(lots * Fraction(side.scale.lot_size)):f}"


def _lot_value(side: QueueSide) -> Fraction:
    """Give what a lot is worth at the mark, in money units."""
    return Fraction(side.scale.mark_num, side.scale.mark_den)


def _closed(state: State, lots: int, side: QueueSide) -> State:
    """Close a part at the mark: it takes its share of every amount, and its profit is realised."""
    if lots >= state.size:
        raise InputError(
            f"close of {side.scale.market}: expected less than the whole position, "
            f"got {_contracts(lots, side)} of {_contracts(state.size, side)} contracts; a position "
            "that is gone has no rank"
        )
    shares = {
        name: state.columns[name] * lots // state.size for name in _MONEY if name in state.columns
    }
    columns = {**state.columns, **{n: state.columns[n] - share for n, share in shares.items()}}
    columns["lots"] -= state.sign * lots
    direction = -state.sign if side.scale.is_inverse else state.sign
    profit = direction * (lots * _lot_value(side) - shares["entry_value"])
    joint = (-state.sign * lots, -state.sign * shares["entry_value"])
    pool = _with_maintenance(state, side, -shares.get("maintenance_margin", 0))
    if pool is not None and "wallet_balance" in pool:
        pool["wallet_balance"] += profit.__floor__()
    return _joined(
        replace(state, columns=columns, pool=pool, hedged=min(state.hedged, abs(columns["lots"]))),
        joint,
    )


def _levered(state: State, leverage: int) -> State:
    """Set the leverage: the position's own margin follows, an account's equity stays."""
    columns = dict(state.columns)
    needed = -(-columns["entry_value"] * PPM // leverage)
    before = columns.get("margin", needed)
    if columns.get("leverage"):
        # What was added to the margin by hand stays added.
        before = -(-columns["entry_value"] * PPM // columns["leverage"])
    if "margin" in columns:
        columns["margin"] += needed - before
    columns |= {"initial_margin": needed, "leverage": leverage}
    return replace(state, columns=columns)


def _funded(state: State, amount: int) -> State:
    """Add margin to the position, or to the pool that it is judged by."""
    if state.pool is None:
        margin = state.columns.get("margin", 0) + amount
        return replace(state, columns={**state.columns, "margin": margin})
    grown = ("equity", "wallet_balance")
    pool = {n: value + (amount if n in grown else 0) for n, value in state.pool.items()}
    return replace(state, pool=pool)


def _hedged(state: State, lots: int, side: QueueSide) -> State:
    """Open an opposite position of the account; its margin rate is that of the position."""
    own = state.columns.get("maintenance_margin", 0)
    pool = _with_maintenance(state, side, -(-own * lots // state.size))
    hedged = state.hedged
    if side.snapshot.venue.eligibility.hedged is not Hedged.CANDIDATE:
        hedged = min(state.size, hedged + lots)
    joint = (-state.sign * lots, -state.sign * round(lots * _lot_value(side)))
    opened = state.opened - state.sign * lots
    return _joined(replace(state, pool=pool, hedged=hedged, opened=opened), joint)


def _joined(state: State, joint: tuple[int, int]) -> State:
    """Add to the profit that hedge legs share, where the rule has one."""
    if "profit_lots" not in state.columns:
        return state
    columns = dict(state.columns)
    columns["profit_lots"] += joint[0]
    columns["profit_value"] += joint[1]
    return replace(
        state,
        columns=columns,
        joint_lots=state.joint_lots + joint[0],
        joint_value=state.joint_value + joint[1],
    )


def _with_maintenance(state: State, side: QueueSide, change: int) -> dict[str, int] | None:
    """Give the pool with another maintenance margin.

    Raises:
        InputError: the rule reads it, and the positions do not say the position's share of it.
    """
    if state.pool is None:
        return None
    pool = dict(state.pool)
    if "maintenance_margin" not in pool:
        return pool
    if "maintenance_margin" not in state.columns and side.rule.factor in _MAINTENANCE:
        raise InputError(
            "positions: expected a maintenance_margin of the position, by which its account's "
            f"changes, got {plain(None)}; give it in the column maintenance_margin"
        )
    pool["maintenance_margin"] += change
    return pool
