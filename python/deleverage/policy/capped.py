"""Capped pro rata, water-filling: one haircut for all, but nobody above his own limit."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deleverage.errors import InputError
from deleverage.policy.checks import check_array, check_range, whole_number
from deleverage.policy.pro_rata import ProRata
from deleverage.policy.space import Allocation, Space, column

__all__ = ["Capped", "floor_caps"]

Int64s = npt.NDArray[np.int64]
PPM = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Capped:
    """Pro rata by size under caps that have to be given (Chitra, App. D.1, algorithm 1).

    Attributes:
        threads: how many to use, 0 for all.
    """

    threads: int = 0

    def allocate(self, candidates: Space, amount: int) -> Allocation[Space]:
        """Share the amount out at one haircut, up to each cap.

        Raises:
            InputError: there are no caps, or a value is out of range.
        """
        column(candidates, "cap", "Capped")
        return ProRata(threads=self.threads).allocate(candidates, amount)


def floor_caps(
    profit: Int64s, collateral: Int64s, *, equity_floor: Int64s, most_ppm: int
) -> Int64s:
    """Work out caps that leave every account at its equity floor, and below a largest haircut.

    The haircut of a profit w is at most `min(most, 1 - (floor - c) / w)`, so the money taken is at
    most `min(most x w, w - (floor - c))`, and never below zero (Chitra, App. D.1).

    Args:
        profit: (n,) int64, money units, 0 or more; all are below 2**51 either way.
        collateral: (n,) int64, equity without the profit, signed.
        equity_floor: (n,) int64, equity that has to be left, signed.
        most_ppm: largest haircut, 0 to 1,000,000.

    Raises:
        InputError: `most_ppm` or a value is out of range, or a column has another length.
    """
    check_array("profit", profit)
    check_range("profit", profit)
    for name, values in (("collateral", collateral), ("equity_floor", equity_floor)):
        check_array(name, values, len(profit), like="profit")
        check_range(name, values, is_signed=True)
    most_ppm = whole_number("most_ppm", most_ppm, low=None)
    if not 0 <= most_ppm <= PPM:
        raise InputError(f"most_ppm: expected 0 to {PPM}, got {most_ppm!r}")
    # In two parts: the product of profit and ppm does not fit 63 bits.
    whole, rest = np.divmod(profit, PPM)
    highest = whole * most_ppm + rest * most_ppm // PPM
    left = np.minimum(highest, profit - (equity_floor - collateral))
    caps: Int64s = np.minimum(np.maximum(left, 0), profit)
    return caps
