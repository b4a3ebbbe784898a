"""Seniority: in an emergency whoever holds no position is paid before whoever does (MCDEX v3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from deleverage.errors import InputError
from deleverage.policy.checks import check_whole

__all__ = ["Claim", "Rates", "payouts", "redemption_rates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an account is owed at the settlement price.

    Attributes:
        margin: money units; below zero it is owed nothing.
        has_position: whether it still held one.
    """

    margin: int
    has_position: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The part of its margin that an account without, or with, a position is paid."""

    without_position: Fraction
    with_position: Fraction


def redemption_rates(*, collateral: int, without_position: int, with_position: int) -> Rates:
    """Give both rates: the seniors are paid in full first, the rest shares what is left.

    Args:
        collateral: money units there are.
        without_position: margin of accounts that hold no position.
        with_position: margin of those that do.

    Raises:
        InputError: an amount is negative.
    """
    check_whole(
        collateral=collateral, without_position=without_position, with_position=with_position
    )
    if min(collateral, without_position, with_position) < 0:
        got = f"{collateral}, {without_position}, {with_position}"
        raise InputError(f"amounts: expected 0 or more, got {got}")
    senior = min(collateral, without_position)
    junior = min(collateral - senior, with_position)
    return Rates(
        without_position=Fraction(senior, without_position) if without_position else Fraction(1),
        with_position=Fraction(junior, with_position) if with_position else Fraction(1),
    )


def payouts(claims: Sequence[Claim], *, collateral: int) -> list[int]:
    """Pay every claim at its rate, rounded down, so that the collateral is never exceeded.

    Args:
        claims: one an account.
        collateral: money units there are.

    Raises:
        InputError: the collateral is negative.
    """
    margins = [max(0, claim.margin) for claim in claims]
    pairs = list(zip(claims, margins, strict=True))
    rates = redemption_rates(
        collateral=collateral,
        without_position=sum(margin for claim, margin in pairs if not claim.has_position),
        with_position=sum(margin for claim, margin in pairs if claim.has_position),
    )
    return [
        int(margin * (rates.with_position if claim.has_position else rates.without_position) // 1)
        for claim, margin in pairs
    ]
