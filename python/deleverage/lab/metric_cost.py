"""What a cut costs: its trader in prices, its venue in customers and fees."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from deleverage.errors import InputError
from deleverage.lab.metric_columns import Floats, columns, total

__all__ = ["CutCost", "churn", "cut_cost", "revenue_lost"]

CHURN_RATE = 5.0
FUNDING_AN_HOUR = 1.5e-5
FEE = 4e-4
TURNOVER_A_DAY = 1.0
DAYS = 730


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCost:
    """What a cut cost its trader, exactly, in money of the price; below zero it was a saving.

    Attributes:
        immediate: against a close at the mark of the moment.
        opportunity: what the position would have made from there to the later mark.
    """

    immediate: Fraction
    opportunity: Fraction

    @property
    def total(self) -> Fraction:
        """Both together: the signed size times (later mark - price of the cut)."""
        return self.immediate + self.opportunity


def cut_cost(
    qty: Decimal | str, *, price: Decimal | str, mark: Decimal | str, later_mark: Decimal | str
) -> CutCost:
    """Split what a cut cost into the price of the moment and what came after (CODE, FAQs).

    `immediate = Q (M_0 - P)`, `opportunity = Q (M_later - M_0)`. A short (Q < 0) that was bought
    back below a rising mark has both below zero: the cut spared it that loss.

    Args:
        qty: signed size of the closed position in contracts, + long, - short.
        price: at which it was closed.
        mark: mark price of that moment.
        later_mark: mark price at the end of the horizon.

    Returns:
        The two parts, exact.

    Raises:
        InputError: an argument is no finite decimal number.
    """
    given = {"qty": qty, "price": price, "mark": mark, "later_mark": later_mark}
    size, closed_at, before, after = (_exact(name, value) for name, value in given.items())
    return CutCost(immediate=size * (before - closed_at), opportunity=size * (after - before))


def churn(haircuts: ArrayLike, *, rate: float = CHURN_RATE) -> Floats:
    """Give the share of traders who leave, `p = 1 - exp(-rate h)` (P1, H.2).

    Args:
        haircuts: (n,) share of the endowment that was cut.
        rate: 5 in P1: a cut of 10 % drives 39 % away, one of 20 % 63 %.

    Returns:
        (n,) float64 in 0..1.
    """
    (cut,) = columns({"haircuts": haircuts})
    leaving: Floats = -np.expm1(-rate * cut)
    return leaving


def revenue_lost(
    haircuts: ArrayLike,
    endowments: ArrayLike,
    *,
    rate: float = CHURN_RATE,
    funding: float = FUNDING_AN_HOUR,
) -> float:
    """Give the revenue of two years that leaves with them (P1, H.2).

    `730 (24 |f| + 1 * 4 bps) sum w_i p_i`: funding by the hour, one turnover a day at four basis
    points, on the endowment w of everybody who leaves.

    Args:
        haircuts: (n,) share of the endowment that was cut.
        endowments: (n,) money, w.
        rate: of `churn`.
        funding: rate of one hour.

    Returns:
        Money. A proxy with a made-up elasticity: good for comparing policies, not for budgets.
    """
    (worth,) = columns({"endowments": endowments})
    leaving = churn(haircuts, rate=rate)
    if len(leaving) != len(worth):
        raise InputError(
            f"metric: expected columns of one length, got {len(leaving)} haircuts and "
            f"{len(worth)} endowments"
        )
    daily = 24 * abs(funding) + TURNOVER_A_DAY * FEE
    return DAYS * daily * total(worth * leaving)


def _exact(name: str, value: Decimal | str) -> Fraction:
    """Read a decimal number exactly."""
    try:
        return Fraction(Decimal(value))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InputError(f"{name}: expected a finite decimal number, got {value!r}") from error
