"""Pro rata: everybody gives the same part of his size, his profit or his equity."""

from dataclasses import dataclass

import numpy as np

from deleverage.policy.shares import share
from deleverage.policy.space import Allocation, By, Space, column, most

__all__ = ["ProRata"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProRata:
    """Shares in proportion to a column; whoever reaches his cap gives no more, the rest give on.

    Chitra, "Autodeleveraging: Impossibilities and Optimization" (arXiv 2512.01112): of all rules
    the one that cannot be gained from by splitting, scales with size and is monotone.

    Attributes:
        by: what shares are in proportion to; below zero counts as none.
        threads: how many to use, 0 for all.
    """

    by: By = By.SIZE
    threads: int = 0

    def allocate(self, candidates: Space, amount: int) -> Allocation[Space]:
        """Share the amount out; rounding goes by largest remainder, ties by id.

        Raises:
            InputError: the column of `by` is missing, or a value is out of range.
        """
        if self.by is By.SIZE or self.by == candidates.SIZE:
            found = share(
                candidates.size,
                amount,
                cap=candidates.cap,
                ids=candidates.ids,
                within_weight=candidates.cap is not None,
                threads=self.threads,
            )
        else:
            weight = np.maximum(column(candidates, self.by, f"ProRata by {self.by}"), 0)
            found = share(
                weight, amount, cap=most(candidates), ids=candidates.ids, threads=self.threads
            )
        return Allocation(
            candidates=candidates, taken=found.taken, unfilled=found.unfilled, level=found.level
        )
