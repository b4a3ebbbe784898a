"""What a reduced trader is told: why, how much, at what price, and what he still holds."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from deleverage.backstop.bankruptcy import price_of
from deleverage.backstop.prices import SettlementPrice
from deleverage.model.quantise import decimal_of
from deleverage.model.scales import MarketScale
from deleverage.model.terms import Cancelled

__all__ = ["Leg", "Notice", "write_notice"]

_ORDERS = {
    Cancelled.ALL: "All your open orders were cancelled.",
    Cancelled.MARKET: "Your open orders in this contract were cancelled.",
    Cancelled.NONE: "Your open orders stay.",
    Cancelled.UNPUBLISHED: "The venue does not say which open orders it cancels.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One side of a settlement, whole money units and lots.

    Attributes:
        account: its owner.
        position_id: its id.
        lots: signed lots before.
        closed: lots closed, above zero.
        quote: what closing them credits, signed.
        basis: entry value that is released.
        pnl: realised profit, before the fee.
        fee: what is paid for it; below zero a rebate.
        is_fund_fee: the fee goes to the fund.
        lots_left: signed lots after.
        entry_left: entry value after.
    """

    account: str
    position_id: str
    lots: int
    closed: int
    quote: int
    basis: int
    pnl: int
    fee: int
    is_fund_fee: bool = False
    lots_left: int
    entry_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice to one trader, in numbers and in words.

    Attributes:
        account: to whom.
        position_id: about which position.
        market: its market.
        why: why this position.
        price: settlement price, exact; None where no finite price gives the value.
        price_reason: why this price.
        leg: what was closed, earned, paid and left.
        cancelled: which of his open orders go.
        text: the words.
    """

    account: str
    position_id: str
    market: str
    why: str
    price: Fraction | None
    price_reason: str
    leg: Leg
    cancelled: Cancelled
    text: str


def write_notice(
    leg: Leg, price: SettlementPrice, scale: MarketScale, cancelled: Cancelled, *, why: str
) -> Notice:
    """Write the notice of one leg.

    Args:
        leg: the leg.
        price: the settlement price.
        scale: units of the market.
        cancelled: which open orders the edition cancels.
        why: why this position, in words and numbers.
    """
    shown = price_of(price.lot_value, scale.value_ratio, is_inverse=scale.is_inverse)
    exact_price = None if shown is None else shown * Fraction(scale.price_unit)
    side = "long" if leg.lots > 0 else "short"
    closed, held = _contracts(leg.closed, scale), _contracts(abs(leg.lots), scale)
    sentences = (
        f"{scale.market}: automatic deleveraging closed {closed} contracts of your {side} {held}.",
        f"Why: {why}." if why else "",
        f"Price: {_price(exact_price, scale)} ({price.reason}).",
        f"Realised profit: {_money(leg.pnl, scale, signed=True)}; fee: {_money(leg.fee, scale)}.",
        _left(leg, scale),
        _ORDERS[cancelled],
    )
    return Notice(
        account=leg.account,
        position_id=leg.position_id,
        market=scale.market,
        why=why,
        price=exact_price,
        price_reason=price.reason,
        leg=leg,
        cancelled=cancelled,
        text=" ".join(sentence for sentence in sentences if sentence),
    )


def _left(leg: Leg, scale: MarketScale) -> str:
    """Say what is still held."""
    if leg.lots_left == 0:
        return "Nothing of the position is left."
    value = Fraction(leg.entry_left, abs(leg.lots_left))
    entry = price_of(value, scale.value_ratio, is_inverse=scale.is_inverse)
    at = _price(None if entry is None else entry * Fraction(scale.price_unit), scale)
    return (
        f"You still hold {_contracts(abs(leg.lots_left), scale)} contracts, entry value "
        f"{_money(leg.entry_left, scale)}, entry price {at}."
    )


def _contracts(lots: int, scale: MarketScale) -> str:
    """Write lots as contracts."""
    return _plain(lots, scale.lot_size)


def _money(units: int, scale: MarketScale, *, signed: bool = False) -> str:
    """Write money units as an amount of the settlement asset."""
    sign = "+" if signed and units > 0 else ""
    return f"{sign}{_plain(units, scale.money_unit)} {scale.settle}".rstrip()


def _price(price: Fraction | None, scale: MarketScale) -> str:
    """Write a price to its unit, and say so where it is longer."""
    if price is None:
        return "none that is finite"
    units = price / Fraction(scale.price_unit)
    about = "" if units.denominator == 1 else "about "
    return about + _plain(round(units), scale.price_unit)


def _plain(units: int, unit: Decimal) -> str:
    """Write a number of units exactly, without an exponent and without idle zeros."""
    return f"{decimal_of(units * Fraction(unit)):f}"
