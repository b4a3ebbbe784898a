"""The queue: the candidates are closed one after the other, the last one in part."""

from dataclasses import dataclass

import numpy as np

from deleverage.errors import InputError
from deleverage.policy.checks import whole_units
from deleverage.policy.space import Allocation, Space, column, most

__all__ = ["Queue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Take the head of a ranked side; what most venues do. `ranking.select` is its fast form."""

    def allocate(self, candidates: Space, amount: int) -> Allocation[Space]:
        """Take whole candidates in the order of their rank until the amount is reached.

        Args:
            candidates: with `rank`, 1 first; a row of rank 0 has no place.
            amount: lots, or money units.

        Raises:
            InputError: there is no rank, two rows share one, or a value is out of range.
        """
        amount = whole_units(amount)
        rank = column(candidates, "rank", "Queue")
        caps = most(candidates)
        placed = np.flatnonzero(rank > 0)
        order = placed[np.argsort(rank[placed])]
        twice = np.flatnonzero(np.diff(rank[order]) == 0)
        if twice.size:
            raise InputError(f"rank: expected each place once, got {rank[order[twice[0]]]} twice")
        taken = np.zeros(len(caps), dtype=np.int64)
        left = amount
        # Blocks whose sum is known to fit: a book of any size is walked without wrapping round.
        for start in range(0, len(order), 1 << 11):
            rows = order[start : start + (1 << 11)]
            ends = np.cumsum(caps[rows])
            if int(ends[-1]) >= left:
                whole = int(np.searchsorted(ends, left))
                before = int(ends[whole - 1]) if whole else 0
                taken[rows[:whole]] = caps[rows[:whole]]
                taken[rows[whole]] = left - before
                left = 0
                break
            taken[rows] = caps[rows]
            left -= int(ends[-1])
        return Allocation(candidates=candidates, taken=taken, unfilled=left)
