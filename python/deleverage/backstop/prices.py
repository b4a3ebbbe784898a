"""Which price both sides of a deleveraging are closed at, by the edition's rule.

A price is carried as the exact value of one lot in money units: it is the same question for linear
and inverse contracts, and a bankruptcy without a finite price has a value all the same.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from deleverage.backstop.bankruptcy import Exact, exact
from deleverage.errors import InputError, VenueError
from deleverage.model.parts import Price
from deleverage.model.prices import deviation
from deleverage.model.quantise import decimal_of
from deleverage.model.terms import PriceKind

__all__ = ["Candidates", "SettlementPrice", "choose_price", "deviation_of", "price_by_edition"]

FAR = Fraction(1, 20)
"""More than 5 % from the mark is far (wuyelx.com/6291, a paraphrase of Bybit's page, 2025)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The prices an event knows, each the exact value of one lot in money units.

    Attributes:
        is_inverse: whether the price divides.
        is_long: whether the position that is closed for its owner is a long.
        bankruptcy: of the liquidated position, frozen at takeover.
        mark: the mark.
        previous_mark: the one before.
        oracle: the oracle or index price.
        cost: entry value of the pool's position, one lot of it.
        pool_bankruptcy: of the pool's whole position; see `bankruptcy.of_pool`.
        fund_balance: balance of the fund, money units.
        fund_peak: its highest balance in the edition's window, money units.
        unit: what one money unit is, and of which asset, for words; without it they are units.
    """

    is_inverse: bool
    is_long: bool
    bankruptcy: Exact | None = None
    mark: Exact | None = None
    previous_mark: Exact | None = None
    oracle: Exact | None = None
    cost: Exact | None = None
    pool_bankruptcy: Exact | None = None
    fund_balance: int | None = None
    fund_peak: int | None = None
    unit: tuple[Fraction, str] | None = None

    def read(self, name: str) -> Fraction:
        """Give one number.

        Raises:
            InputError: it is not known; nothing takes its place.
        """
        value = getattr(self, name)
        if value is None:
            raise InputError(f"{name}: not given, and the edition settles by it")
        return exact(value, name)

    def money(self, units: Exact) -> str:
        """Write an amount as its owner says it; a part of a unit is left off."""
        whole = floor(units)
        if self.unit is None:
            return str(whole)
        return f"{decimal_of(whole * self.unit[0]):f} {self.unit[1]}"

    @property
    def gain(self) -> int:
        """+1 where the liquidated position gains as its value rises, else -1."""
        return 1 if self.is_long is not self.is_inverse else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementPrice:
    """The price of a deleveraging.

    Attributes:
        rule: the edition's rule.
        kind: the price the rule came to.
        lot_value: exact value of one lot, money units.
        reason: why this one, in words and numbers.
    """

    rule: PriceKind
    kind: PriceKind
    lot_value: Fraction
    reason: str


def price_by_edition(rule: Price, known: Candidates) -> SettlementPrice:
    """Give the settlement price by an edition's price part.

    Raises:
        InputError: a price that the rule reads is not known.
        VenueError: a number of the rule was never published and is not supplied.
    """
    numbers = {number.name: Fraction(number.value) for number in rule.numbers}
    for name in rule.required:
        raise VenueError(
            f"price.{name}: the venue never published it; supply it with Venue.with_parameters"
        )
    return choose_price(
        rule.kind,
        known,
        deviation=numbers.get("deviation", FAR),
        depleted_ratio=numbers.get("depleted_ratio", Fraction(0)),
    )


def choose_price(
    rule: PriceKind,
    known: Candidates,
    *,
    deviation: Fraction = FAR,
    depleted_ratio: Fraction = Fraction(0),
) -> SettlementPrice:
    """Give the settlement price by a rule.

    Bankruptcy: BitMEX, Binance, KuCoin, Gate, dYdX and most; mark: Aevo, GRVT, CoinEx, Strike's
    second type; previous mark: Hyperliquid; bankruptcy unless far: Bybit 2025; mark until the
    fund is nearly empty: OKX since 2025-11; cost: Bitget H1 2025, IDEX when its fund closes;
    oracle capped at bankruptcy: Ethereal; pool bankruptcy: Bybit since 2025-11.

    Args:
        rule: the rule.
        known: the prices of the event.
        deviation: how far from the mark bankruptcy may be, as a share of the mark; exactly that
            far is near enough.
        depleted_ratio: a fund at or under this share of its peak counts as empty; 0 means at or
            below zero only.

    Raises:
        InputError: a price that the rule reads is not known, or the rule closes nobody.
    """
    if rule is PriceKind.NONE:
        raise InputError("price: expected a rule that closes positions, got one that closes none")
    if rule is PriceKind.BANKRUPTCY_UNLESS_FAR:
        return _unless_far(rule, known, deviation)
    if rule is PriceKind.MARK_UNTIL_DEPLETED:
        return _until_depleted(rule, known, depleted_ratio)
    if rule is PriceKind.ORACLE_CAPPED_AT_BANKRUPTCY:
        return _capped(rule, known)
    value = known.read(rule.value)
    words = rule.value.replace("_", " ")
    return SettlementPrice(rule=rule, kind=rule, lot_value=value, reason=f"{words} price")


def deviation_of(known: Candidates) -> Fraction | None:
    """Give how far the bankruptcy price is from the mark price, as a share of the mark price.

    Returns:
        As `model.prices.deviation`.

    Raises:
        InputError: mark or bankruptcy is not known, or the mark is not above zero.
    """
    return deviation(known.read("bankruptcy"), known.read("mark"), is_inverse=known.is_inverse)


def _unless_far(rule: PriceKind, known: Candidates, limit: Fraction) -> SettlementPrice:
    """Bankruptcy price, or the mark where it lies farther from the mark than the limit."""
    found = deviation_of(known)
    is_far = found is None or found > limit
    kind = PriceKind.MARK if is_far else PriceKind.BANKRUPTCY
    distance = "without limit" if found is None else f"by {_share(found)}"
    verb = "more than" if is_far else "no more than"
    return SettlementPrice(
        rule=rule,
        kind=kind,
        lot_value=known.read(kind.value),
        reason=f"{kind.value} price: bankruptcy is off the mark {distance}, {verb} {_share(limit)}",
    )


def _until_depleted(rule: PriceKind, known: Candidates, ratio: Fraction) -> SettlementPrice:
    """Mark price, or the bankruptcy price once the fund counts as empty."""
    balance = known.read("fund_balance")
    line = ratio * known.read("fund_peak") if ratio else Fraction(0)
    is_empty = balance <= line
    kind = PriceKind.BANKRUPTCY if is_empty else PriceKind.MARK
    relation = "at or under" if is_empty else "above"
    return SettlementPrice(
        rule=rule,
        kind=kind,
        lot_value=known.read(kind.value),
        reason=f"{kind.value} price: the fund holds {known.money(int(balance))}, {relation} "
        f"{known.money(line)}",
    )


def _capped(rule: PriceKind, known: Candidates) -> SettlementPrice:
    """Oracle price, but never one that costs the liquidated account more than it has."""
    oracle, limit = known.read("oracle"), known.read("bankruptcy")
    is_worse = known.gain * oracle < known.gain * limit
    kind = PriceKind.BANKRUPTCY if is_worse else PriceKind.ORACLE_CAPPED_AT_BANKRUPTCY
    text = "bankruptcy price: the oracle price is beyond it" if is_worse else "oracle price"
    return SettlementPrice(
        rule=rule, kind=kind, lot_value=limit if is_worse else oracle, reason=text
    )


def _share(value: Fraction) -> str:
    """Write a share in per cent: two places, and a sign that says whether that is all of it."""
    hundredths, rest = divmod(value * 10_000, 1)
    about = "about " if rest else ""
    return f"{about}{hundredths // 100}.{hundredths % 100:02d} %"
