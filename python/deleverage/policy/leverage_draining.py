"""Leverage draining: cut the most levered account until it meets the next, then both, and so on.

Campbell, Hey, Moallemi, Nutz, "Risk-Based Auto-Deleveraging" (arXiv 2603.15963): of all ways to
close a quantity in one market this leaves the smallest largest leverage, and with it the smallest
expected loss from the next shock. Profit plays no part. The kept sizes of the accounts that are cut
stand in proportion to their equity, so the price cancels.
"""

from dataclasses import dataclass

from deleverage.errors import InputError
from deleverage.policy.shares import Rounding, Shared, share
from deleverage.policy.space import Allocation, Contracts, column

__all__ = ["LeverageDraining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverageDraining:
    """Equalise the highest leverages of one market's side; contract space only.

    Attributes:
        rounding: `quota` cuts everybody within one lot of the exact draining, `smallest` leaves the
            smallest largest leverage that whole lots allow. They differ where one lot of a small
            account is worth more leverage than several of a large one.
        threads: how many to use, 0 for all.
    """

    rounding: Rounding = Rounding.QUOTA
    threads: int = 0

    def allocate(self, candidates: Contracts, amount: int) -> Allocation[Contracts]:
        """Share the lots out.

        Args:
            candidates: with `equity` at the mark; who has none above zero is himself bankrupt,
                has no place and keeps all.
            amount: lots to close.

        Returns:
            Lots closed; `level` is the size per equity that the cut accounts end at (times the
            value of a lot: their leverage).

        Raises:
            InputError: there is no equity, there are caps, or a value is out of range.
        """
        equity = column(candidates, "equity", "LeverageDraining")
        if candidates.cap is not None:
            raise InputError("cap: LeverageDraining has none; use FactorDraining for caps")
        found = share(
            equity,
            amount,
            cap=candidates.lots,
            ids=candidates.ids,
            shared=Shared.KEPT,
            rounding=self.rounding,
            threads=self.threads,
        )
        return Allocation(
            candidates=candidates, taken=found.taken, unfilled=found.unfilled, level=found.level
        )
