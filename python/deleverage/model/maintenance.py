"""Maintenance margin by size: a table of tiers that joins without a step.

A position's requirement is `value x ratio - amount` of its tier. The amounts follow from the
ratios: at every boundary both tiers require the same, so `amount(k) = amount(k - 1) +
cap(k - 1) x (ratio(k) - ratio(k - 1))` (docs.strikefinance.org, margin tiers).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from deleverage.errors import InputError

__all__ = ["MarginTier", "maintenance_of", "tier_amounts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTier:
    """One tier.

    Attributes:
        cap: largest value that still belongs to it, money units.
        ratio: maintenance margin, share of the value.
    """

    cap: Fraction
    ratio: Fraction


def tier_amounts(tiers: Sequence[MarginTier]) -> tuple[Fraction, ...]:
    """Give the amount that each tier takes off, money units, exactly.

    Args:
        tiers: by rising cap.

    Raises:
        InputError: no tiers, caps or ratios that do not rise, or one that is not above zero.
    """
    if not tiers or tiers[0].cap <= 0 or tiers[0].ratio <= 0:
        raise InputError("tiers: expected at least one, with cap and ratio above zero")
    amounts = [Fraction(0)]
    for place, (before, tier) in enumerate(pairwise(tiers), 1):
        if tier.cap <= before.cap or tier.ratio < before.ratio:
            raise InputError(
                f"tier {place}: expected a cap above {before.cap} and a ratio of at least "
                f"{before.ratio}, got {tier.cap} and {tier.ratio}"
            )
        amounts.append(amounts[-1] + before.cap * (tier.ratio - before.ratio))
    return tuple(amounts)


def maintenance_of(value: Fraction, tiers: Sequence[MarginTier]) -> Fraction:
    """Give the maintenance margin of a position.

    Args:
        value: of the position at the mark, money units, 0 or more.
        tiers: by rising cap.

    Raises:
        InputError: a value below zero or above the last cap, or a table that does not rise.
    """
    amounts = tier_amounts(tiers)
    if value < 0:
        raise InputError(f"value: expected 0 or more, got {value}")
    for tier, amount in zip(tiers, amounts, strict=True):
        if value <= tier.cap:
            return value * tier.ratio - amount
    raise InputError(f"value: expected at most the last cap {tiers[-1].cap}, got {value}")
