"""In what order: how far two policies agree about who comes first, and whether order survives."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import isqrt, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deleverage.errors import InputError
from deleverage.lab.metric_columns import columns

__all__ = ["Concordance", "kendall", "monotonicity_violations", "rank_stability"]

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concordance:
    """How the pairs of n entries stand in two orders, counted exactly.

    Attributes:
        entries: n; there are n (n - 1) / 2 pairs.
        concordant: pairs that both orders put the same way round.
        discordant: pairs that they put opposite ways round.
        tied_first: pairs that are equal in the first order, in the second or not.
        tied_second: pairs that are equal in the second order, in the first or not.
    """

    entries: int
    concordant: int
    discordant: int
    tied_first: int
    tied_second: int

    @property
    def pairs(self) -> int:
        """All pairs."""
        return self.entries * (self.entries - 1) // 2

    @property
    def tau_a(self) -> Fraction:
        """Kendall's tau-a, (concordant - discordant) / pairs; 0 where there is no pair."""
        return Fraction(self.concordant - self.discordant, self.pairs or 1)

    @property
    def tau_b(self) -> float:
        """Kendall's tau-b, which discounts ties; NaN where one order is all ties."""
        first, second = self.pairs - self.tied_first, self.pairs - self.tied_second
        product = first * second
        if product == 0:
            return nan
        root = isqrt(product)
        return (self.concordant - self.discordant) / (
            root if root * root == product else sqrt(product)
        )


def kendall(first: ArrayLike, second: ArrayLike) -> Concordance:
    """Compare two orders of the same entries (Kendall 1938; by Knight's reduction, 1966).

    Entries are sorted by the first order, ties by the second; pairs that then stand the wrong way
    round in the second are the discordant ones. They are counted bit by bit of the second order's
    places, from the highest: entries that agree in all higher bits stay together, and a 1 before a
    0 is a pair the wrong way round. O(n log n) in whole numbers.

    Args:
        first: (n,) scores or places, such as a queue's ranks under one policy.
        second: (n,) the same entries under another.

    Returns:
        The exact counts.

    Raises:
        InputError: the columns are not numbers of one length.
    """
    one, other = columns({"first": first, "second": second}, negative=("first", "second"))
    left, right = _places(one), _places(other)
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    both = np.concatenate([[0], np.cumsum((np.diff(left) != 0) | (np.diff(right) != 0))])
    tied_first, tied_second = _tied_pairs(left), _tied_pairs(right)
    tied_both = _tied_pairs(both) if len(left) else 0
    discordant = _inversions(right)
    pairs = len(left) * (len(left) - 1) // 2
    return Concordance(
        entries=len(left),
        concordant=pairs - tied_first - tied_second + tied_both - discordant,
        discordant=discordant,
        tied_first=tied_first,
        tied_second=tied_second,
    )


def monotonicity_violations(endowment: ArrayLike, left: ArrayLike) -> float:
    """Give the share of neighbours by endowment whose order an allocation inverts (P2, 5.2).

    Candidates are sorted by endowment, equal ones by what is left of them; a violation is a
    neighbour with the larger endowment that is left with less. Equal endowments have no order.

    Args:
        endowment: (n,) money before, w.
        left: (n,) money after, w - x.

    Returns:
        0..1 of the n - 1 pairs; 0 where there is no pair.
    """
    before, after = columns({"endowment": endowment, "left": left}, negative=("left",))
    order = np.lexsort((after, before))
    before, after = before[order], after[order]
    violated = (np.diff(before) > 0) & (np.diff(after) < 0)
    return int(violated.sum()) / len(violated) if len(violated) else 0.0


def rank_stability(burdens: Sequence[ArrayLike]) -> float:
    """Give how far the order of burdens carries over from round to round (P2, 5.2).

    P2 names no coefficient of rank correlation; here it is Kendall's tau-b.

    Args:
        burdens: a column a round, (n,) haircut of each of the same accounts.

    Returns:
        The mean over adjacent rounds, -1..1; rounds of all ties are left out, NaN where none is
        left.

    Raises:
        InputError: the rounds have different numbers of accounts.
    """
    if len({len(np.atleast_1d(np.asarray(burden))) for burden in burdens}) > 1:
        raise InputError("burdens: expected the same accounts in every round")
    found = [kendall(one, other).tau_b for one, other in pairwise(burdens)]
    defined = [tau for tau in found if tau == tau]  # noqa: PLR0124 - NaN is not itself
    return sum(defined) / len(defined) if defined else nan


def _places(values: NDArray[np.float64]) -> Int64:
    """Dense places: equal values share one."""
    places: Int64 = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return places


def _tied_pairs(places: Int64) -> int:
    """Pairs with the same place."""
    sizes = np.bincount(places) if len(places) else np.zeros(0, np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def _inversions(places: Int64) -> int:
    """Pairs i < j with places[i] > places[j]; places are dense from 0."""
    count, found = len(places), 0
    if count < 2:  # noqa: PLR2004 - a pair
        return 0
    rows = np.arange(count)
    for bit in reversed(range(int(places.max()).bit_length())):
        prefix = places >> (bit + 1)
        is_one = (places >> bit & 1).astype(bool)
        is_start = np.concatenate([[True], prefix[1:] != prefix[:-1]])
        start = np.maximum.accumulate(np.where(is_start, rows, 0))
        ones = np.cumsum(is_one) - is_one  # ones before this row
        ones_here = ones - ones[start]  # of the same prefix
        found += int(ones_here[~is_one].sum())
        # A stable partition of each prefix: its zeros keep their order, its ones follow.
        group = np.cumsum(is_start) - 1
        zeros = np.bincount(group, weights=~is_one).astype(np.int64)[group]
        target = start + np.where(is_one, zeros + ones_here, rows - start - ones_here)
        moved = np.empty_like(places)
        moved[target] = places
        places = moved
    return found
