"""The end of a clearing house's waterfall: haircuts on gains, then contracts torn up.

ISDA, "CCP Loss Allocation at the End of the Waterfall" (2013). Losers pay in full, winners are paid
what there is, in proportion to what they gained since the default; where that is not enough the
defaulter's book is closed against those on the other side, at the last settlement price.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deleverage.policy.checks import check_array, check_range, whole_number
from deleverage.policy.shares import share

__all__ = ["GainsHaircut", "gains_haircut", "tear_up"]

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class GainsHaircut:
    """One day's settlement, and the gains since the default that haircuts are limited by.

    Attributes:
        paid: (n,) int64, what each member receives, below zero if he pays.
        haircut: (n,) int64, what is kept of each.
        uncovered: what is missing after all gains are cut.
    """

    paid: Int64s
    haircut: Int64s
    uncovered: int


def gains_haircut(
    gains: Int64s, shortfall: int, *, ids: Uint64s | None = None, past: Int64s | None = None
) -> GainsHaircut:
    """Take a shortfall from those who gain, in proportion, never more than they have gained.

    Args:
        gains: (n,) int64, variation margin of the day: above zero to receive, below to pay.
        shortfall: money units that are missing, 0 or more.
        ids: (n,) uint64, tie keys.
        past: (n,) int64, gains since the default, haircuts taken off; a member who is down since
            then is not cut, and one who is up is cut by no more than he is up with the day's gain.

    Raises:
        InputError: the shortfall is negative, a value is out of range (below 2**51 either way), or
            a column has another length.
    """
    shortfall = whole_number("shortfall", shortfall)
    check_array("gains", gains)
    check_range("gains", gains, is_signed=True)
    if past is not None:
        check_array("past", past, len(gains), like="gains")
        check_range("past", past, is_signed=True)
    basis = np.maximum(gains, 0)
    if past is not None:
        basis = np.minimum(basis, np.maximum(past + gains, 0))
    found = share(basis, shortfall, ids=ids)
    return GainsHaircut(paid=gains - found.taken, haircut=found.taken, uncovered=found.unfilled)


def tear_up(positions: Int64s, defaulted: int, *, ids: Uint64s | None = None) -> tuple[Int64s, int]:
    """Close a defaulter's lots against the other side of the book, in proportion to size.

    Args:
        positions: (n,) int64, signed lots of the members that stand, below 2**51 either way.
        defaulted: signed lots of the defaulter; members on his own side keep theirs.
        ids: (n,) uint64, tie keys.

    Returns:
        Lots each member holds afterwards, and the lots of the defaulter that nobody could match.

    Raises:
        InputError: a value is out of range.
    """
    defaulted = whole_number("defaulted", defaulted, low=None)
    check_array("positions", positions)
    check_range("positions", positions, is_signed=True)
    sign = 1 if defaulted > 0 else -1
    facing = np.maximum(-sign * positions, 0)
    found = share(facing, abs(defaulted), ids=ids)
    return positions + sign * found.taken, found.unfilled
