"""Risk-weighted pro rata: whoever carries more leverage gives a larger part of what he holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from deleverage.policy.shares import share_long
from deleverage.policy.space import Allocation, Space, column, most, tie_keys

__all__ = ["Excess", "Growth", "Power", "RiskWeighted", "Shortfall"]

PPM = 1_000_000


class Growth(Protocol):
    """How risk grows with leverage: the g of the weight `leverage x g(leverage)`."""

    def weight(self, leverage: int) -> int:
        """Give `leverage x g(leverage)` up to one factor that is common to all.

        Args:
            leverage: ppm, 0 or more.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """g(l) = l**exponent; 0 weighs by leverage alone, 1 is the paper's LPR.

    Attributes:
        exponent: 0 or more.
    """

    exponent: int = 1

    def weight(self, leverage: int) -> int:
        """Give leverage to the power of exponent + 1."""
        power: int = leverage ** (self.exponent + 1)
        return power


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """g(l) = (l - threshold)+: nobody at or below the threshold gives anything.

    Attributes:
        threshold: leverage in ppm.
    """

    threshold: int

    def weight(self, leverage: int) -> int:
        """Give leverage times what it exceeds the threshold by."""
        return leverage * max(0, leverage - self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """g(l) = E(1/l + Z)-, so that the weight is the expected debt of one unit of equity.

    The one-step optimal weight `rho(l) = l psi(1/l)` of Chitra, section 7, over equally likely
    returns Z against the account.

    Attributes:
        returns: ppm; -250,000 is a move of a quarter against the account.
    """

    returns: Sequence[int]

    def weight(self, leverage: int) -> int:
        """Give the sum over returns of `(-1 - leverage x return)+`."""
        return sum(max(0, -PPM * PPM - leverage * move) for move in self.returns)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskWeighted:
    """Shares in proportion to size x leverage x g(leverage), up to each cap (Chitra, App. D.2).

    What a candidate without weight holds can never be taken: it does not count as capacity. The
    paper's feasibility check counts it, and can leave an amount silently unfilled; here it is
    `unfilled`.

    Attributes:
        growth: the g.
    """

    growth: Growth

    def allocate(self, candidates: Space, amount: int) -> Allocation[Space]:
        """Share the amount out; rounding goes by largest remainder, ties by id.

        Raises:
            InputError: there is no leverage, or a value is out of range.
        """
        leverage = column(candidates, "leverage", "RiskWeighted").tolist()
        caps, sizes = most(candidates).tolist(), candidates.size.tolist()
        weights = [
            size * self.growth.weight(each) for size, each in zip(sizes, leverage, strict=True)
        ]
        ids = tie_keys(candidates)
        found = share_long(weights, caps, ids, amount)
        level: Fraction | None = found.level
        return Allocation(
            candidates=candidates, taken=found.taken, unfilled=found.unfilled, level=level
        )
