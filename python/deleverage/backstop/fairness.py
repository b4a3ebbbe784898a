"""Whether both accounts may stand where a deleveraging leaves them, by the venues' own tests.

Three chains check it: dYdX v4 each account's requirements, StarkEx and its Starknet successor the
value per risk of the account that is closed.
"""

from dataclasses import dataclass
from fractions import Fraction

from deleverage.backstop.bankruptcy import Rounding, rounded
from deleverage.errors import InputError, VenueError
from deleverage.model.terms import Bound

__all__ = ["Health", "is_fair", "keeps_health", "value_after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """An account's equity and requirements, whole money units."""

    equity: int
    initial: int
    maintenance: int


def keeps_health(before: Health, after: Health) -> bool:
    """Tell whether an account may go from one state to the other.

    It may if it meets its initial margin; else only if its maintenance margin does not rise and
    its equity per maintenance margin does not fall; where either is without requirement, only if
    both are and the equity rises (dydxprotocol/v4-chain@84d4664, subaccounts/lib/updates.go).
    """
    if after.equity >= after.initial:
        return True
    if after.maintenance > before.maintenance:
        return False
    if before.maintenance == 0 or after.maintenance == 0:
        both = before.maintenance == after.maintenance
        return both and after.equity > before.equity
    return after.equity * before.maintenance >= before.equity * after.maintenance


def value_after(*, value: int, risk: int, risk_after: int) -> int:
    """Give the account value that leaves value per risk as it is, rounded up.

    `ceil(TV0 x TR1 / TR0)` (Starknet perpetual, deleverage; money units and risk units).

    Raises:
        InputError: no risk before, or a negative one.
    """
    if risk <= 0 or risk_after < 0:
        raise InputError(f"risk: expected above zero, then 0 or more, got {risk}, {risk_after}")
    return rounded(Fraction(value * risk_after, risk), Rounding.UP)


def is_fair(*, value: int, risk: int, value_after: int, risk_after: int, bound: Bound) -> bool:
    """Tell whether a deleveraging leaves value per risk as it is, to one money unit.

    Not worse than before, and one unit less would be: `(TV1 - 1) / TR1 < TV0 / TR0`, or `<=`
    where the bound is inclusive; without risk left the value must be zero (StarkEx compares
    strictly, its Starknet successor inclusively; services/perpetual/cairo, deleverage.cairo).

    Raises:
        InputError: no risk before.
        VenueError: the bound is not published.
    """
    if risk <= 0 or risk_after < 0:
        raise InputError(f"risk: expected above zero, then 0 or more, got {risk}, {risk_after}")
    if bound is Bound.UNPUBLISHED:
        raise VenueError("bound: never published; choose inclusive or strict")
    if risk_after == 0:
        return value_after == 0
    kept = value_after * risk - value * risk_after
    less = kept - risk
    return kept >= 0 and (less < 0 or (less == 0 and bound is Bound.INCLUSIVE))
