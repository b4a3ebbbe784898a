"""Leverage draining at a price other than the mark: the cut itself moves the equity.

Each closed lot costs the account `cost` against the mark (below zero: it gains). Equity becomes
`e - cost x`, so the level ends higher where the cut burns equity; the order in which accounts are
reached does not change.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from deleverage.errors import InputError
from deleverage.policy.checks import exact, total, whole_units
from deleverage.policy.space import Allocation, Contracts, column, most, tie_keys

__all__ = ["PricedDraining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedDraining:
    """Equalise the highest leverages where lots are closed at a stated price.

    Attributes:
        value: money units that one lot is worth at the mark, above zero.
        cost: money units that closing one lot costs the account against the mark.
    """

    value: Fraction
    cost: Fraction

    def allocate(self, candidates: Contracts, amount: int) -> Allocation[Contracts]:
        """Share the lots out; an account without equity above zero keeps all.

        Returns:
            Lots closed; `level` is the leverage that the cut accounts end at.

        Raises:
            InputError: there is no equity, there are caps, or an account would not survive a full
                close at that price.
        """
        if candidates.cap is not None:
            raise InputError("cap: PricedDraining has none; leave them out")
        amount = whole_units(amount)
        exact("cost", self.cost)
        if exact("value", self.value) <= 0:
            raise InputError(f"value: expected above 0, got {self.value}")
        lots = most(candidates).tolist()
        equity = column(candidates, "equity", "PricedDraining").tolist()
        rows = [row for row, each in enumerate(equity) if each > 0 and lots[row] > 0]
        for row in rows:
            if equity[row] <= self.cost * lots[row]:
                limit = f"more than the {self.cost * lots[row]} that a full close costs"
                raise InputError(f"equity: expected {limit}, got {equity[row]} in row {row}")
        taken = np.zeros(len(lots), dtype=np.int64)
        held = sum(lots[row] for row in rows)
        if amount >= held or amount == 0:
            for row in rows if amount else ():
                taken[row] = lots[row]
            return Allocation(candidates=candidates, taken=taken, unfilled=max(0, amount - held))
        level = self._level(rows, lots, equity, amount)
        for row in rows:
            cut = (lots[row] * self.value - level * equity[row]) / (self.value - level * self.cost)
            taken[row] = max(0, cut // 1)
        ids = tie_keys(candidates)

        def leverage_then(row: int) -> tuple[Fraction, int]:
            left, cut = lots[row] - int(taken[row]), int(taken[row])
            return (-left * self.value / (equity[row] - self.cost * cut), ids[row])

        for row in sorted(rows, key=leverage_then)[: amount - total(taken)]:
            taken[row] += 1
        return Allocation(candidates=candidates, taken=taken, unfilled=0, level=level)

    def _level(self, rows: list[int], lots: list[int], equity: list[int], amount: int) -> Fraction:
        """Add accounts, the most levered first, until the next one is below the level."""
        order = sorted(rows, key=lambda row: -Fraction(lots[row], equity[row]))
        size, behind = 0, 0
        for place, row in enumerate(order, 1):
            size += lots[row]
            behind += equity[row]
            if size < amount:
                continue
            level = self.value * (size - amount) / (behind - self.cost * amount)
            after = order[place] if place < len(order) else None
            if after is None or level >= lots[after] * self.value / equity[after]:
                return level
        return Fraction(0)
