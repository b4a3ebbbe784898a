"""From whom it was taken: how the burden of one event lies on those who bear it.

A candidate i has the endowment w (what the rule may take: its profit, or its equity, as the
caller decides and says) and loses x. Profit and equity are different measures of the same cut and
give different winners: P2 prints one and computes the other.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from deleverage.errors import InputError
from deleverage.lab.metric_columns import Floats, columns, total

__all__ = [
    "Reading",
    "concentration",
    "fairness_gap",
    "gini",
    "haircuts",
    "max_haircut",
    "participation",
    "pmr",
    "ptsr",
    "residual_share",
    "top_share",
    "weighted_gini",
    "worse_than",
]


class Reading(StrEnum):
    """What stands for the deficit after an allocation, D^pi, in PTSR and PMR.

    `text` is the definition of P1: what was socialised, `H = theta D`. `code` is what CODE divides
    by: what was left, `D - H`. The two are no approximations of each other.
    """

    TEXT = "text"
    CODE = "code"


def haircuts(cut: ArrayLike, endowment: ArrayLike, *, is_capped: bool = False) -> Floats:
    """Give `h = x / w` of each candidate (P1, 2.4).

    Args:
        cut: (n,) money taken, x.
        endowment: (n,) money it is taken from: profit, or equity. Below zero counts as nothing.
        is_capped: at 1, as CODE does.

    Returns:
        (n,) float64; where the endowment is nothing infinite if something was taken, else 0.
    """
    taken, worth = columns({"cut": cut, "endowment": endowment}, negative=("endowment",))
    none = np.where(taken > 0, np.inf, 0.0)
    share: Floats = np.divide(taken, worth, out=none, where=worth > 0)
    return np.minimum(share, 1.0) if is_capped else share


def max_haircut(cut: ArrayLike, endowment: ArrayLike, *, is_capped: bool = False) -> float:
    """Give the largest haircut of an event (P2, equation 10).

    Args:
        cut: (n,) money taken, x.
        endowment: (n,) profit, or equity.
        is_capped: at 1.

    Returns:
        0 where there is nobody.
    """
    return float(haircuts(cut, endowment, is_capped=is_capped).max(initial=0.0))


def fairness_gap(largest: ArrayLike, reference: ArrayLike, budget: ArrayLike) -> float:
    """Give `sum B |m - m_ref|` over rounds: the fairness term of P2's table 2 (equation 23).

    The absolute value charges a policy for every round in which it is fairer than the reference.

    Args:
        largest: (T,) largest haircut of each round, m.
        reference: (T,) largest haircut of the reference policy.
        budget: (T,) money that was needed, B.

    Returns:
        Money.
    """
    own, other, needed = columns({"largest": largest, "reference": reference, "budget": budget})
    return total(needed * np.abs(own - other))


def worse_than(largest: ArrayLike, reference: ArrayLike, budget: ArrayLike) -> float:
    """Give `sum B (m - m_ref)_+` over rounds: only what is less fair than the reference.

    Swapping the first two arguments gives what is fairer; the two add up to `fairness_gap`.

    Args:
        largest: (T,) largest haircut of each round, m.
        reference: (T,) largest haircut of the reference policy.
        budget: (T,) money that was needed, B.

    Returns:
        Money.
    """
    own, other, needed = columns({"largest": largest, "reference": reference, "budget": budget})
    return total(needed * np.maximum(own - other, 0.0))


def gini(values: ArrayLike) -> float:
    """Give the Gini coefficient, `sum (2 i - n - 1) v_(i) / (n sum v)`, v rising.

    Args:
        values: (n,) 0 or more.

    Returns:
        0 for equal shares (or none) up to 1 - 1/n.
    """
    (given,) = columns({"values": values})
    whole = total(given)
    if whole == 0:
        return 0.0
    count = len(given)
    places = 2 * np.arange(1, count + 1, dtype=np.float64) - count - 1
    return total(np.multiply(places, np.sort(given))) / (count * whole)


def weighted_gini(cut: ArrayLike, held: ArrayLike) -> float:
    """Give the Gini coefficient of the cut parts `x / w`, each counted by what it is a part of.

    Twice the area between the diagonal and the curve of cumulated `x` over cumulated `w`, those
    with the smallest part first: 0 where everybody gives the same part, as in pro rata.

    Args:
        cut: (n,) what was taken, x, 0 or more; nothing where nothing was held.
        held: (n,) what it was taken from, w, 0 or more.

    Returns:
        0..1; 0 where nothing was taken.
    """
    taken, worth = columns({"cut": cut, "held": held})
    is_held = worth > 0
    taken, worth = taken[is_held], worth[is_held]
    whole = total(taken)
    if whole == 0:
        return 0.0
    order = np.argsort(taken / worth, kind="stable")
    share, width = taken[order] / whole, worth[order] / total(worth)
    below = np.cumsum(share) - share / 2
    return max(0.0, 1.0 - 2.0 * total(np.multiply(below, width)))


def concentration(values: ArrayLike) -> float:
    """Give the Herfindahl-Hirschman index, the sum of squared shares.

    Args:
        values: (n,) 0 or more.

    Returns:
        1/n for equal shares up to 1; 0 where there is nothing.
    """
    (given,) = columns({"values": values})
    whole = total(given)
    return total((given / whole) ** 2) if whole else 0.0


def top_share(values: ArrayLike, count: int = 1) -> float:
    """Give the share of the `count` largest.

    Args:
        values: (n,) 0 or more.
        count: at least 1; with fewer entries the share is all.

    Returns:
        0..1; 0 where there is nothing.

    Raises:
        InputError: the count is below 1.
    """
    (given,) = columns({"values": values})
    if count < 1:
        raise InputError(f"count: expected at least 1, got {count}")
    whole = total(given)
    return total(np.sort(given)[::-1][:count]) / whole if whole else 0.0


def participation(cut: ArrayLike, endowment: ArrayLike) -> float:
    """Give the share of those with an endowment who lose something (P1, H.4).

    Args:
        cut: (n,) money taken, x.
        endowment: (n,) money, w; below zero counts as nothing.

    Returns:
        0..1; 0 where nobody has an endowment.
    """
    taken, worth = columns({"cut": cut, "endowment": endowment}, negative=("endowment",))
    winners = worth > 0
    count = int(winners.sum())
    return int(((taken > 0) & winners).sum()) / count if count else 0.0


def ptsr(
    largest_left: float, *, deficit: float, executed: float, reading: Reading = Reading.TEXT
) -> float | None:
    """Give the profit-to-solvency ratio of one event, `v / D^pi` (P1, 3.1.2).

    Args:
        largest_left: largest endowment that is left, `v = max (w - x)_+`.
        deficit: money missing, D.
        executed: money taken, H.
        reading: what D^pi stands for.

    Returns:
        The ratio, or None where D^pi is not above zero.
    """
    base = executed if reading is Reading.TEXT else deficit - executed
    return largest_left / base if base > 0 else None


def pmr(
    largest_left: float,
    largest_loss: float,
    *,
    deficit: float,
    executed: float,
    reading: Reading = Reading.TEXT,
) -> float | None:
    """Give the profit-to-maximum-loss ratio of one event, `v / Delta^pi` (P1, 3.1.2).

    `Delta^pi` is the largest loss in the proportion in which D^pi is the deficit.

    Args:
        largest_left: largest endowment that is left, `v = max (w - x)_+`.
        largest_loss: largest single deficit, Delta.
        deficit: money missing, D.
        executed: money taken, H.
        reading: what D^pi stands for.

    Returns:
        The ratio, or None where Delta^pi is not above zero.
    """
    ratio = ptsr(largest_left, deficit=deficit, executed=executed, reading=reading)
    return ratio * deficit / largest_loss if ratio is not None and largest_loss > 0 else None


def residual_share(largest_left: float, *, deficit: float, executed: float) -> float | None:
    """Give `v / (v + D - H)`, PTSR by CODE brought into 0..1 (its `rd_nse`).

    Args:
        largest_left: largest endowment that is left, v.
        deficit: money missing, D.
        executed: money taken, H.

    Returns:
        `ptsr / (1 + ptsr)`, or None where nothing is left uncovered.
    """
    ratio = ptsr(largest_left, deficit=deficit, executed=executed, reading=Reading.CODE)
    return None if ratio is None else ratio / (1 + ratio)
