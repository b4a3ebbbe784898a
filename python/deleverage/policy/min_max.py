"""Min-max: the largest haircut is as small as whole lots allow."""

from dataclasses import dataclass

import numpy as np

from deleverage.policy.shares import Rounding, share
from deleverage.policy.space import Allocation, By, Space, column, most

__all__ = ["MinMax"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MinMax:
    """Always one more unit of whoever then has the smallest haircut, ties by id.

    "Autodeleveraging as Online Learning" (arXiv 2602.15182), eq. 8: minimise the largest ratio of
    what is taken to what could be, in whole lots. Exact, and without a solver: the level is that
    step, among all possible ratios in their order, at which the amount is reached.

    Attributes:
        by: what a haircut is a part of.
        threads: how many to use, 0 for all.
    """

    by: By = By.SIZE
    threads: int = 0

    def allocate(self, candidates: Space, amount: int) -> Allocation[Space]:
        """Share the amount out.

        Returns:
            What each gives; `level` is the largest haircut.

        Raises:
            InputError: the column of `by` is missing, or a value is out of range.
        """
        is_own = self.by is By.SIZE or self.by == candidates.SIZE
        weight = (
            candidates.size
            if is_own
            else np.maximum(column(candidates, self.by, f"MinMax by {self.by}"), 0)
        )
        found = share(
            weight,
            amount,
            cap=candidates.cap if is_own else most(candidates),
            ids=candidates.ids,
            rounding=Rounding.SMALLEST,
            threads=self.threads,
        )
        return Allocation(
            candidates=candidates, taken=found.taken, unfilled=found.unfilled, level=found.level
        )
