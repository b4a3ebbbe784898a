"""What published Hyperliquid ADL fills say about themselves.

Arithmetic only, no rule of ours: do the sizes of a market add up to the published total, is
anybody cut by more than he holds, and does the published profit of a full close follow from the
published prices. Where it does not follow, the fill is listed and nothing is explained away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal

from deleverage.interop.hyperliquid import AdlFill, Event, total_size

__all__ = ["MarketCheck", "ProfitDeviation", "check_event"]

SIGNIFICANT_DIGITS = 5

_EXACT = Context(prec=76)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfitDeviation:
    """A full close whose published profit does not follow from its published prices.

    Attributes:
        fill: the published fill.
        expected: side x (price - entry price) x size, USDC.
        deviation: published profit minus expected, USDC.
        tolerance: size x half a unit of the published entry price, USDC.
    """

    fill: AdlFill
    expected: Decimal
    deviation: Decimal
    tolerance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketCheck:
    """The fills of one market and side in one event against each other.

    Attributes:
        time_ms: the event.
        market: the coin.
        side: side of the positions that were cut.
        fills: published fills.
        lot: smallest power of ten that divides every size, at most 1.
        lots: sum of the sizes, in lots.
        qty: sum of the sizes, in contracts.
        published_qty: the published total, where the caller knows it.
        over_cut: rows that close more than the position holds; sums per user are rows too.
        full_closes: fills that close all of the position.
        agreeing: full closes whose profit follows from the prices.
        deviations: the other full closes, the largest deviation first.
    """

    time_ms: int
    market: str
    side: str
    fills: int
    lot: Decimal
    lots: int
    qty: Decimal
    published_qty: Decimal | None
    over_cut: tuple[int, ...]
    full_closes: int
    agreeing: int
    deviations: tuple[ProfitDeviation, ...]

    @property
    def is_total_met(self) -> bool | None:
        """Whether the sizes add up to the published total; `None` where none was given."""
        return None if self.published_qty is None else self.published_qty == self.qty


def check_event(
    event: Event, *, published: Mapping[str, Decimal] | None = None
) -> tuple[MarketCheck, ...]:
    """Check the fills of one event, market by market and side by side.

    Args:
        event: fills of one block time.
        published: published total size by market, in contracts.

    Returns:
        One check a market and side, in the order of first appearance.
    """
    totals = published or {}
    groups: dict[tuple[str, str], list[AdlFill]] = {}
    for fill in event.fills:
        groups.setdefault((fill.market, fill.side), []).append(fill)
    return tuple(
        _check_market(event.time_ms, market, side, fills, totals.get(market))
        for (market, side), fills in groups.items()
    )


def _check_market(
    time_ms: int, market: str, side: str, fills: list[AdlFill], published: Decimal | None
) -> MarketCheck:
    """One market and side."""
    full = [fill for fill in fills if fill.size == abs(fill.position)]
    deviations = [found for fill in full if (found := _deviation(fill)) is not None]
    deviations.sort(key=lambda found: (-abs(found.deviation), found.fill.row))
    lot = min(_lot(fill.size) for fill in fills)
    qty = total_size(fills)
    return MarketCheck(
        time_ms=time_ms,
        market=market,
        side=side,
        fills=len(fills),
        lot=lot,
        lots=int(_EXACT.divide(qty, lot)),
        qty=qty,
        published_qty=published,
        over_cut=_over_cut(fills),
        full_closes=len(full),
        agreeing=len(full) - len(deviations),
        deviations=tuple(deviations),
    )


def _lot(size: Decimal) -> Decimal:
    """The place of the last digit of a size that is not zero, one at most."""
    exponent = int(size.normalize(_EXACT).as_tuple().exponent)
    return Decimal(1).scaleb(min(0, exponent))


def _over_cut(fills: list[AdlFill]) -> tuple[int, ...]:
    """Rows that close more than is held, alone or with the user's other fills of the event."""
    held: dict[str, Decimal] = {}
    closed: dict[str, Decimal] = {}
    rows = []
    for fill in fills:
        held[fill.account] = max(held.get(fill.account, Decimal(0)), abs(fill.position))
    for fill in fills:
        closed[fill.account] = closed.get(fill.account, Decimal(0)) + fill.size
        if fill.size > abs(fill.position) or closed[fill.account] > held[fill.account]:
            rows.append(fill.row)
    return tuple(rows)


def _deviation(fill: AdlFill) -> ProfitDeviation | None:
    """The fill's deviation where it is larger than a rounded entry price can cause."""
    sign = 1 if fill.position > 0 else -1
    expected = _EXACT.multiply(sign * _EXACT.subtract(fill.price, fill.entry_price), fill.size)
    deviation = _EXACT.subtract(fill.realised, expected)
    tolerance = _EXACT.multiply(fill.size, _price_unit(fill.entry_price)) / 2
    if abs(deviation) <= tolerance:
        return None
    return ProfitDeviation(fill=fill, expected=expected, deviation=deviation, tolerance=tolerance)


def _price_unit(price: Decimal) -> Decimal:
    """The unit a published price is rounded to: five significant digits, whole prices exact."""
    return Decimal(1).scaleb(min(0, price.adjusted() - SIGNIFICANT_DIGITS + 1))
