"""The price at which both sides of a deleveraging are closed, from what the engine knows."""

from dataclasses import replace
from fractions import Fraction

from deleverage.backstop.groups import drawdown_bankruptcy, group_bankruptcies
from deleverage.backstop.liquidation import Liquidation
from deleverage.backstop.pool import Pool
from deleverage.backstop.prices import Candidates, SettlementPrice, price_by_edition
from deleverage.backstop.waterfall import Stage
from deleverage.backstop.window import EIGHT_HOURS, HOUR
from deleverage.engine.state import State
from deleverage.errors import InputError, StateError
from deleverage.model.parts import Price
from deleverage.model.scales import MarketScale
from deleverage.model.terms import ConditionKind, PriceKind
from deleverage.ranking import Rate

__all__ = ["settlement_price"]


def settlement_price(state: State, stage: Stage) -> SettlementPrice:
    """Give the price at which both sides are closed.

    Raises:
        InputError: a price that the edition's rule reads is not known.
        VenueError: a number of it was never published.
    """
    left, pool = stage.left, stage.pool
    if left is None:
        raise StateError(f"liquidation {stage.opened.id}: expected one that is open, got none")
    scale, rule = state.scale(left.market), state.rules.price
    known = Candidates(
        is_inverse=scale.is_inverse,
        is_long=left.lots > 0,
        bankruptcy=None if left.bankruptcy is None else left.bankruptcy.lot_value,
        mark=_lot_value(scale),
        previous_mark=_previous(scale),
        oracle=_oracle(state, scale),
        cost=Fraction(left.entry_value, abs(left.lots)),
        unit=(Fraction(scale.money_unit), scale.settle),
        fund_balance=None if pool is None else pool.balance,
        fund_peak=None if pool is None else pool.balance_window(EIGHT_HOURS).peak,
    )
    if rule.kind is PriceKind.POOL_BANKRUPTCY:
        known = replace(known, pool_bankruptcy=_pool_bankruptcy(state, stage, rule))
    return price_by_edition(rule, known)


def _lot_value(scale: MarketScale) -> Fraction:
    """Give the exact value of one lot at the mark."""
    return Fraction(scale.mark_num, scale.mark_den)


def _previous(scale: MarketScale) -> Fraction | None:
    """Give it at the mark before."""
    before = scale.previous_mark_price
    return None if before is None else _lot_value(scale.at(before))


def _oracle(state: State, scale: MarketScale) -> Fraction | None:
    """Give it at the oracle price."""
    oracle = state.oracles.get(scale.market)
    return None if oracle is None else _lot_value(scale.at(oracle))


def _pool_bankruptcy(state: State, stage: Stage, rule: Price) -> Fraction:
    """Give the value of a lot at which the pool has lost the most it may lose in the market.

    By the drawdown line while the pool and its group have money, else by the market's share of what
    they still have. A trader's position counts as if the pool had taken it over: one price for all.
    """
    left, pool = stage.left, stage.pool
    if left is None or pool is None:
        raise InputError(
            f"pool: expected one behind {stage.opened.market}, as {rule.kind} reads it"
        )
    if not left.is_pool:
        pool = _with_position(state, pool, left)
    rules = state.choices.for_market(state.rules, left.market)
    line = next(
        (c for c in rules.trigger.conditions if c.kind is ConditionKind.SYMBOL_DRAWDOWN), None
    )
    group = state.group_of(pool) or (pool,)
    if line is not None and sum(each.balance for each in group) > 0:
        length = int(line.number("window_hours")) * HOUR
        ratio = Fraction(line.number("ratio"))
        return drawdown_bankruptcy(pool, left.market, line=ratio, length=length).lot_value
    found = group_bankruptcies(group).get(left.market)
    if found is None:
        raise InputError(f"pool {pool.name}: expected a loss in {left.market}, got none")
    return found.lot_value


def _with_position(state: State, pool: Pool, left: Liquidation) -> Pool:
    """Give the pool as it would be with a position taken over at its bankruptcy value."""
    held = pool.inventory(left.market).lots
    if left.bankruptcy is None or held * left.lots < 0:
        raise InputError(
            f"liquidation {left.id}: expected a bankruptcy and a pool on its side, as the price "
            f"is the pool's, got {held} lots of the pool"
        )
    num, den, is_inverse = state.scale(left.market).rate
    return pool.take_over(
        left.market,
        lots=left.lots,
        entry_value=max(0, round(left.bankruptcy.lot_value * abs(left.lots))),
        rate=Rate(mark_num=num, mark_den=den, is_inverse=is_inverse),
        at=pool.at,
    )
