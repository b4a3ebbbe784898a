"""The mark at which a position would be liquidated, as far as the inputs say it."""

from decimal import Decimal
from fractions import Fraction

from deleverage.advice.holding import State
from deleverage.model.quantise import decimal_of
from deleverage.model.scales import MarketScale

__all__ = ["liquidation_price"]


def liquidation_price(
    state: State, scale: MarketScale, partners: int
) -> tuple[Decimal | None, str]:
    """Give the mark at which equity falls to the maintenance margin, all other marks equal.

    The maintenance margin is taken as it is now: a tier that changes with the value is not
    followed. Isolated: margin + profit = maintenance margin of the position. Cross: equity of the
    pool = its maintenance margin, with every leg of the account in this market moving together.

    Args:
        state: the position.
        scale: its market.
        partners: net lots of the account's other legs in this market that share its pool.

    Returns:
        The price, rounded to the price unit towards the mark, and an empty text; or None and why.
    """
    pool, columns = state.pool, state.columns
    values = columns if pool is None else pool
    wanted = ("margin", "maintenance_margin") if pool is None else ("equity", "maintenance_margin")
    missing = [name for name in wanted if name not in values]
    if missing:
        where = "positions" if pool is None else "accounts, as this edition reads them,"
        return None, f"liquidation price: {where} do not say {' and '.join(missing)}"
    mark = Fraction(scale.mark_num, scale.mark_den)
    net = columns["lots"]
    if pool is None:
        direction = -state.sign if scale.is_inverse else state.sign
        equity = columns["margin"] + direction * (state.size * mark - columns["entry_value"])
    else:
        equity = Fraction(pool["equity"])
        net += partners + state.opened
    if not net:
        return None, "liquidation price: none, as the account's legs offset each other here"
    room = values["maintenance_margin"] - equity
    # Profit moves by net x (lot value - mark), the other way round for an inverse contract.
    lot_value = mark + room / (-net if scale.is_inverse else net)
    if lot_value <= 0:
        return None, "liquidation price: none, as no price above zero reaches it"
    ratio = scale.value_ratio
    units = ratio / lot_value if scale.is_inverse else lot_value / ratio
    rounded = -(-units // 1) if net > 0 else units // 1
    return decimal_of(rounded * Fraction(scale.price_unit)), ""
