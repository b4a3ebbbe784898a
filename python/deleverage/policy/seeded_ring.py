"""The seeded ring: candidates in a circle, from a start that nobody chooses (dYdX v4).

There is no ranking: profit and health play no part. A candidate is passed over if his own
bankruptcy price lies beyond that of the liquidated account, for then no price suits both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from deleverage.errors import InputError
from deleverage.policy.checks import check_whole, exact, whole_number, whole_units
from deleverage.policy.space import Allocation, Contracts, most, tie_keys

__all__ = ["SeededRing", "ring_start"]

WORD = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededRing:
    """Walk the ring of candidates, in the order of their ids, from a start.

    Attributes:
        start: place in the ring to begin at, as `ring_start` draws it.
        side: side of the candidates, +1 long or -1 short.
        bankruptcy: bankruptcy price of the liquidated account.
        bankruptcies: (n,) bankruptcy price of each candidate; None is one that is never bankrupt.
        limit: candidates looked at, at most (dYdX: 500).
    """

    start: int
    side: int
    bankruptcy: Fraction
    bankruptcies: Sequence[Fraction | None]
    limit: int = 500

    def allocate(self, candidates: Contracts, amount: int) -> Allocation[Contracts]:
        """Take whole candidates along the ring; what is left is unfilled, never an error.

        Raises:
            InputError: an argument is out of range, or prices are not as many as candidates.
        """
        count = len(candidates.lots)
        amount = whole_units(amount)
        self._check()
        if len(self.bankruptcies) != count:
            raise InputError(f"bankruptcies: expected {count}, got {len(self.bankruptcies)}")
        caps = most(candidates)
        order = np.argsort(np.array(tie_keys(candidates), np.uint64))
        taken = np.zeros(count, dtype=np.int64)
        left = amount
        for step in range(min(count, self.limit)):
            row = int(order[(self.start + step) % count])
            if left == 0:
                break
            if self._overlaps(self.bankruptcies[row]):
                taken[row] = min(left, int(caps[row]))
                left -= int(taken[row])
        return Allocation(candidates=candidates, taken=taken, unfilled=left)

    def _check(self) -> None:
        """Refuse a ring that nobody could walk."""
        check_whole(side=self.side, limit=self.limit, start=self.start)
        if self.side not in {1, -1} or self.limit < 0 or self.start < 0:
            got = f"{self.side}, {self.limit}, {self.start}"
            raise InputError(f"side, limit, start: expected 1 or -1, 0 or more, got {got}")
        exact("bankruptcy", self.bankruptcy)
        for row, price in enumerate(self.bankruptcies):
            if price is not None:
                exact(f"bankruptcies, row {row}", price)

    def _overlaps(self, price: Fraction | None) -> bool:
        """Tell whether a candidate can close at the liquidated account's bankruptcy price."""
        return price is None or self.side * (self.bankruptcy - price) >= 0


def ring_start(seed: int, count: int) -> int:
    """Draw the place at which a ring begins; the same seed draws the same place on any machine.

    The venue seeds its language's generator with the time of the previous block, which anybody can
    foresee. This one is SplitMix64: another sequence, the same property.

    Args:
        seed: 0 to 2**64 - 1.
        count: candidates, 1 or more.

    Raises:
        InputError: an argument is out of range.
    """
    seed, count = whole_number("seed", seed, low=None), whole_number("count", count, low=None)
    if not 0 <= seed < WORD or count < 1:
        raise InputError(f"seed, count: expected 0 to 2**64 - 1 and 1 or more, got {seed}, {count}")
    # Values so large that they would favour the first places are drawn again.
    fair = WORD - WORD % count
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) % WORD
        mixed = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 % WORD
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % WORD
        mixed ^= mixed >> 31
        if mixed < fair:
            return mixed % count
