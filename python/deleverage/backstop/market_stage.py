"""How much of a liquidation goes to the market, at what limit, and what it costs.

The stages before a bankruptcy: limits of the order, sizes that restore a margin, fees. All of them
are exact rules of numbers that an edition or a caller gives; nothing here knows a venue. Shares and
fees are fractions of one, money is in money units, sizes in lots.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from deleverage.backstop.bankruptcy import Exact, Holding, Rounding, exact, rounded
from deleverage.backstop.window import whole
from deleverage.errors import InputError

__all__ = [
    "Partial",
    "disposals",
    "fee_after",
    "fillable_value",
    "insurance_fee",
    "limit_value",
    "most_in_window",
    "partial_liquidations",
    "size_to_cover",
]

ONE = Fraction(1)


def limit_value(holding: Holding, *, equity: Exact, maintenance: Exact, kept: Exact) -> Fraction:
    """Give the value of the position at which its account keeps a share of its maintenance margin.

    `mark - gain x (equity - kept x maintenance)` (cubexch/gitbook liquidation.md, 2025-01-28: an
    order may cost what leaves 70 % of it).

    Args:
        holding: the position on its full size.
        equity: of the account, exact money units.
        maintenance: maintenance margin of the account, exact money units.
        kept: share of it that must be left.

    Returns:
        Money units of the whole position; divided by its size it is the limit price.

    Raises:
        InputError: a number is not exact.
    """
    left = exact(kept, "kept") * exact(maintenance, "maintenance")
    spent = exact(equity, "equity") - left
    return exact(holding.mark_value, "mark_value") - holding.gain * spent


def fillable_value(
    holding: Holding, *, equity: Exact, maintenance: Exact, adjustment: Exact, spread: Exact
) -> Fraction:
    """Give the value of the position at which its liquidation order stands in the book.

    `mark - gain x ABR x spread x own maintenance` with
    `ABR = min(1, max(0, adjustment x (1 - equity / maintenance)))`
    (dydxprotocol/v4-chain@84d4664, liquidations.go).

    Args:
        holding: the position on its full size, with its own maintenance margin.
        equity: of the account, exact money units.
        maintenance: of all its positions, above zero.
        adjustment: how fast the order leaves the mark, 1 or more.
        spread: its farthest distance, share of the own maintenance margin.

    Returns:
        Money units of the whole position.

    Raises:
        InputError: no maintenance margin, or a number is not exact.
    """
    required = exact(maintenance, "maintenance")
    if required <= 0:
        raise InputError(f"maintenance: expected an amount above zero, got {required}")
    missing = exact(adjustment, "adjustment") * (1 - exact(equity, "equity") / required)
    rate = min(ONE, max(Fraction(0), missing))
    own = exact(holding.maintenance, "maintenance")
    distance = rate * exact(spread, "spread") * own
    return exact(holding.mark_value, "mark_value") - holding.gain * distance


def size_to_cover(
    shortage: Exact,
    *,
    lot_value: Exact,
    margin_ratio: Exact,
    fees: Exact = 0,
    lots: int | None = None,
    rounding: Rounding = Rounding.DOWN,
) -> int:
    """Give how many lots must be closed so that what their margin frees covers a shortage.

    `shortage / (value of a lot x (margin ratio - fees))` (drift-labs/protocol-v2@0ae3e3b, down;
    left-curve/left-curve@c1468da, up and at most the position).

    Args:
        shortage: margin that is missing, money units, 0 or more.
        lot_value: of one lot at the mark, exact money units.
        margin_ratio: margin that a lot requires, share of its value.
        fees: what closing it costs, share of its value.
        lots: size of the position, lots without sign; None sets no limit.
        rounding: of the size.

    Raises:
        InputError: closing frees nothing, or the shortage is negative.
    """
    freed = exact(lot_value, "lot_value") * (
        exact(margin_ratio, "margin_ratio") - exact(fees, "fees")
    )
    missing = exact(shortage, "shortage")
    if freed <= 0 or missing < 0:
        raise InputError(
            f"shortage: expected 0 or more, and a lot that frees margin, got {missing} and {freed}"
        )
    size = rounded(missing / freed, rounding)
    return size if lots is None else min(size, whole("lots", lots, least=0))


def insurance_fee(
    *,
    shortage: Exact,
    value: Exact,
    margin_ratio: Exact,
    liquidator_fee: Exact,
    kept: Exact,
    most: Exact,
) -> Fraction:
    """Give the share of a liquidation that can go to the insurance fund.

    What the margin of the position leaves over shortage and liquidator, a part of it, at most the
    fund's own rate: `min(most, kept x (margin ratio - liquidator fee - shortage / value))`, and
    nothing where that is negative or the position worth nothing (drift-labs/protocol-v2@0ae3e3b,
    which keeps 19/20).

    Args:
        shortage: margin that is missing, money units.
        value: of the position, money units.
        margin_ratio: its margin requirement, share of its value.
        liquidator_fee: share of its value.
        kept: the part that is taken.
        most: the fund's own rate.
    """
    worth = exact(value, "value")
    if worth <= 0:
        return Fraction(0)
    left = exact(margin_ratio, "margin_ratio") - exact(liquidator_fee, "liquidator_fee")
    left -= exact(shortage, "shortage") / worth
    return min(exact(most, "most"), exact(kept, "kept") * max(Fraction(0), left))


def fee_after(elapsed: int, *, base: int, most: int, grace: int, step: int = 1) -> int:
    """Give a liquidation fee that grows while nobody takes the liquidation.

    The base during the grace, then the base and a step for all that has passed, at most `most`
    (drift-labs/protocol-v2@0ae3e3b: 1500 slots of grace, one millionth a slot).

    Args:
        elapsed: slots, or another count, since the liquidation began.
        base: fee, ppm.
        most: the highest fee, ppm.
        grace: how long it stays at the base.
        step: ppm a slot.

    Raises:
        InputError: time runs backwards, or the highest fee is below the base.
    """
    whole("elapsed", elapsed, least=0)
    whole("most", most, least=base)
    return base if elapsed < grace else min(most, base + elapsed * step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """An account after the same share of all its positions was closed.

    Attributes:
        share: of every position.
        penalty: what it costs, money units.
        maintenance: requirement after it, money units.
        equity: after it, money units.
    """

    share: Fraction
    penalty: Fraction
    maintenance: Fraction
    equity: Fraction

    @property
    def ratio(self) -> Fraction | None:
        """Maintenance over equity; None where no equity is left."""
        return self.maintenance / self.equity if self.equity > 0 else None


def partial_liquidations(
    shares: Sequence[Exact], *, equity: Exact, maintenance: Exact, fee: Exact
) -> Iterator[Partial]:
    """Give what each share would leave: penalty `share x fee x maintenance`.

    The venue takes the first whose ratio is below its target (tradeparadex/paradex-docs@9b82a75:
    multiples of a fifth, target 90 %; its table has a fee of 50 %, its text 70 %).

    Args:
        shares: of every position, in the order in which they are tried.
        equity: of the account, money units.
        maintenance: its requirement, money units.
        fee: share of the closed maintenance margin.

    Raises:
        InputError: a share is not between 0 and 1.
    """
    value, required = exact(equity, "equity"), exact(maintenance, "maintenance")
    for given in shares:
        share = exact(given, "share")
        if not 0 <= share <= 1:
            raise InputError(f"share: expected 0 to 1, got {share}")
        penalty = share * exact(fee, "fee") * required
        yield Partial(
            share=share,
            penalty=penalty,
            maintenance=(1 - share) * required,
            equity=value - penalty,
        )


def most_in_window(*, fees: Exact, skew_scale: Exact, multiplier: Exact, seconds: Exact) -> int:
    """Give how much may be liquidated in one window, rounded down.

    `fees x skew scale x multiplier x seconds` with the sum of maker and taker fee
    (Synthetixio/synthetix-v3, PerpsMarketConfiguration.sol).

    Args:
        fees: maker and taker fee together, share of one.
        skew_scale: size at which the skew is one, in the market's units.
        multiplier: of the limit.
        seconds: length of the window.
    """
    rate = exact(fees, "fees") * exact(skew_scale, "skew_scale")
    product = rate * exact(multiplier, "multiplier") * exact(seconds, "seconds")
    return rounded(product, Rounding.DOWN)


def disposals(lots: int, *, share: Exact, whole_below: int, most: int) -> Iterator[int]:
    """Give the sizes in which a pool sheds a position in the market, until nothing is left.

    A share of what it holds, rounded up, at most what one order may be; all of it once no more
    than `whole_below` is held (vegaprotocol/specs@5fea1f3, 0012-POSR-013).

    Args:
        lots: what is held, without sign.
        share: of it in one order, above 0, at most 1.
        whole_below: what is shed at once.
        most: the largest order, lots, above zero.

    Raises:
        InputError: the share or the largest order would never get there.
    """
    held = whole("lots", lots, least=0)
    part = exact(share, "share")
    if not 0 < part <= 1 or whole("most", most) < 1:
        raise InputError(f"share, most: expected 0 to 1, and above zero, got {part} and {most}")
    while held:
        size = held if held <= whole_below else rounded(part * held, Rounding.UP)
        size = min(size, most)
        yield size
        held -= size
