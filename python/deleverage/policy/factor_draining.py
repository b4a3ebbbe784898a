"""Factor draining: leverage draining for books of several markets that move with one factor.

Gross leverage misleads where a book is hedged. What counts is the exposure to the factor,
`B = sum of beta x value` over the account's positions, by its equity: `b = B / e`, signed. Cutting
one lot takes `unit` off the exposure. A position that hedges its book has a low or negative `b` and
is reached last; a position may run out before its account reaches the level.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from deleverage.errors import InputError
from deleverage.policy.checks import check_array, check_range, exact, total, whole_units
from deleverage.policy.space import Allocation, Contracts, column, most, tie_keys

__all__ = ["FactorDraining"]

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorDraining:
    """Bring the highest factor leverages down to one level (arXiv 2603.15963, one factor).

    With `unit` the value of a lot and `exposure` its size times that, this is leverage draining.

    Attributes:
        exposure: (n,) int64, factor exposure of each candidate's account, money units, signed.
        unit: what closing one lot takes off the exposure, exactly: side x beta x value of a lot;
            below zero where shorts of a market with beta above zero are closed.
    """

    exposure: Int64s
    unit: Fraction

    def allocate(self, candidates: Contracts, amount: int) -> Allocation[Contracts]:
        """Share the lots out; an account without equity above zero keeps all.

        Every cut is within one lot of the exact one; the last lots are taken where the factor
        leverage is then the highest, ties by id.

        Returns:
            Lots closed; `level` is the factor leverage that the cut accounts end at.

        Raises:
            InputError: there is no equity, the exposures are not as many, the unit is zero, or a
                value is out of range.
        """
        amount = whole_units(amount)
        books = self._books(candidates)
        taken = np.zeros(len(candidates.lots), dtype=np.int64)
        held = sum(books.caps.values())
        if amount >= held or amount == 0:
            for row, cap in books.caps.items() if amount else ():
                taken[row] = cap
            return Allocation(candidates=candidates, taken=taken, unfilled=max(0, amount - held))
        level = books.level(amount)
        cuts = {row: books.cut(row, level) for row in books.caps}
        for row, cut in cuts.items():
            taken[row] = int(cut // 1)
        ids = tie_keys(candidates)

        def leverage_then(row: int) -> tuple[Fraction, int]:
            left = books.exposure[row] - books.unit * int(taken[row])
            return (-left / books.equity[row], ids[row])

        parts = [row for row, cut in cuts.items() if cut.denominator > 1]
        for row in sorted(parts, key=leverage_then)[: amount - total(taken)]:
            taken[row] += 1
        sign = 1 if self.unit > 0 else -1
        return Allocation(candidates=candidates, taken=taken, unfilled=0, level=sign * level)

    def _books(self, candidates: Contracts) -> "_Books":
        """Check what is given; turn the sign so that a cut always lowers an exposure."""
        unit = exact("unit", self.unit)
        if unit == 0:
            raise InputError("unit: expected what a lot takes off the exposure, got 0")
        check_array("exposure", self.exposure, len(candidates.lots), like="lots")
        check_range("exposure", self.exposure, is_signed=True)
        sign = 1 if unit > 0 else -1
        equity: list[int] = column(candidates, "equity", "FactorDraining").tolist()
        caps: list[int] = most(candidates).tolist()
        return _Books(
            exposure=[sign * value for value in self.exposure.tolist()],
            equity=equity,
            caps={row: cap for row, cap in enumerate(caps) if cap > 0 and equity[row] > 0},
            unit=abs(unit),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    """Exposures, equities and caps of the accounts that can be cut, and what a lot takes off."""

    exposure: list[int]
    equity: list[int]
    caps: dict[int, int]
    unit: Fraction

    def cut(self, row: int, level: Fraction) -> Fraction:
        """Give the exact cut of one account at a level."""
        wanted = (self.exposure[row] - level * self.equity[row]) / self.unit
        return min(max(wanted, Fraction(0)), Fraction(self.caps[row]))

    def level(self, amount: int) -> Fraction:
        """Walk down the levels at which a cut begins or runs out, to the one of the amount."""
        bends: list[tuple[Fraction, int, int]] = []
        for row, cap in self.caps.items():
            start, behind = self.exposure[row], self.equity[row]
            bends.append((Fraction(start, behind), row, 1))
            bends.append(((start - self.unit * cap) / behind, row, -1))
        full, exposed, behind = 0, 0, 0
        for at, row, step in sorted(bends, key=lambda bend: -bend[0]):
            if behind and full + (exposed - at * behind) / self.unit >= amount:
                break
            exposed += step * self.exposure[row]
            behind += step * self.equity[row]
            full += self.caps[row] if step < 0 else 0
        return (exposed - self.unit * (amount - full)) / Fraction(behind)
