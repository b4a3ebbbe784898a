"""What a reduced trader is told: why, how much, at what price, and what he still holds."""

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from deleverage.backstop.bankruptcy import price_of
from deleverage.backstop.prices import SettlementPrice
from deleverage.model.scales import MarketScale
from deleverage.model.terms import Cancelled

__all__ = ["Leg", "Notice", "NoticeWriter"]

_ORDERS = {
    Cancelled.ALL: "All your open orders were cancelled.",
    Cancelled.MARKET: "Your open orders in this contract were cancelled.",
    Cancelled.NONE: "Your open orders stay.",
    Cancelled.UNPUBLISHED: "The venue does not say which open orders it cancels.",
}


class Leg(NamedTuple):
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
        lots_left: signed lots after.
        entry_left: entry value after.
        is_fund_fee: the fee goes to the fund.
    """

    account: str
    position_id: str
    lots: int
    closed: int
    quote: int
    basis: int
    pnl: int
    fee: int
    lots_left: int
    entry_left: int
    is_fund_fee: bool = False


class Notice(NamedTuple):
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


class NoticeWriter:
    """Writes the notices of one event; what they have in common is worked out once.

    Args:
        price: the settlement price.
        scale: units of the market.
        cancelled: which open orders the edition cancels.
    """

    def __init__(self, price: SettlementPrice, scale: MarketScale, cancelled: Cancelled) -> None:
        self._scale, self._cancelled = scale, cancelled
        self._contracts = _Unit(scale.lot_size)
        self._money = _Unit(scale.money_unit)
        self._prices = _Unit(scale.price_unit)
        self._ratio = scale.value_ratio
        shown = price_of(price.lot_value, self._ratio, is_inverse=scale.is_inverse)
        self._price = None if shown is None else shown * Fraction(scale.price_unit)
        self._reason = price.reason
        spelled = self._spelled(*((0, 0) if shown is None else shown.as_integer_ratio()))
        self._sentence = f"Price: {spelled} ({price.reason})."

    def write(self, leg: Leg, *, why: str) -> Notice:
        """Write the notice of one leg.

        Args:
            leg: the leg.
            why: why this position, in words and numbers.
        """
        side = "long" if leg.lots > 0 else "short"
        closed, held = self._contracts.spell(leg.closed), self._contracts.spell(abs(leg.lots))
        market, asset = self._scale.market, self._scale.settle
        profit = f"{'+' if leg.pnl > 0 else ''}{self._money.spell(leg.pnl)} {asset}".rstrip()
        fee = f"{self._money.spell(leg.fee)} {asset}".rstrip()
        reason = f" Why: {why}." if why else ""
        text = (
            f"{market}: automatic deleveraging closed {closed} contracts of your {side} {held}."
            f"{reason} {self._sentence} Realised profit: {profit}; fee: {fee}. {self._left(leg)} "
            f"{_ORDERS[self._cancelled]}"
        )
        return Notice(
            account=leg.account,
            position_id=leg.position_id,
            market=market,
            why=why,
            price=self._price,
            price_reason=self._reason,
            leg=leg,
            cancelled=self._cancelled,
            text=text,
        )

    def _left(self, leg: Leg) -> str:
        """Say what is still held, and at which entry price."""
        if leg.lots_left == 0:
            return "Nothing of the position is left."
        lots, ratio = abs(leg.lots_left), self._ratio
        value = f"{self._money.spell(leg.entry_left)} {self._scale.settle}".rstrip()
        price = (leg.entry_left * ratio.denominator, lots * ratio.numerator)
        if self._scale.is_inverse:
            price = (ratio.numerator * lots, ratio.denominator * leg.entry_left)
        return (
            f"You still hold {self._contracts.spell(lots)} contracts, entry value {value}, "
            f"entry price {self._spelled(*price)}."
        )

    def _spelled(self, num: int, den: int) -> str:
        """Write num / den price units to the unit, half to even, and say so where it is longer."""
        if den <= 0:
            return "none that is finite"
        units, rest = divmod(num, den)
        units += 2 * rest > den or (2 * rest == den and units % 2 == 1)
        return f"{'about ' if rest else ''}{self._prices.spell(units)}"


class _Unit:
    """Writes whole units as a decimal: exactly, without an exponent and without idle zeros."""

    __slots__ = ("_digits", "_factor", "_whole")

    def __init__(self, unit: Decimal) -> None:
        ratio = Fraction(unit)
        self._digits = 0
        while 10**self._digits % ratio.denominator:
            self._digits += 1
        self._whole = 10**self._digits
        self._factor = ratio.numerator * self._whole // ratio.denominator

    def spell(self, units: int) -> str:
        """Write a number of units."""
        whole, rest = divmod(abs(units) * self._factor, self._whole)
        text = f"{whole}.{rest:0{self._digits}}".rstrip("0") if rest else str(whole)
        return f"-{text}" if units < 0 else text
