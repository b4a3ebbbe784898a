"""Losses that every holder of a market pays, long and short, winner or loser, per unit held.

They are charged through the cumulative funding: longs pay what it rises by, shorts what it falls
by. None of these venues ranks anybody.
"""

from dataclasses import dataclass

from deleverage.errors import InputError, StateError
from deleverage.policy.checks import check_whole

__all__ = [
    "Socialised",
    "deposit_delta",
    "drift_delta",
    "mango_delta",
    "socialised_size",
    "vertex_delta",
]

DRIFT_FUNDING = 1_000_000_000
DRIFT_QUOTE_TO_FUNDING = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Socialised:
    """Size of each side on which profit and loss is paid, where liquidity is short (Perennial)."""

    long: int
    short: int


def drift_delta(loss: int, *, long: int, short: int) -> int:
    """Give what the cumulative funding of longs rises and of shorts falls by (Drift).

    Source: drift-labs/protocol-v2, math/liquidation.rs. Rounded up: it over-collects dust.

    Args:
        loss: quote lost, 1e-6, below zero.
        long: base held long, 1e-9, 0 or more.
        short: base held short, 1e-9, 0 or below.

    Returns:
        Funding at 1e-9 quote per base.

    Raises:
        StateError: nobody holds anything; the venue refuses such a bankruptcy.
        InputError: a sign is wrong.
    """
    check_whole(loss=loss, long=long, short=short)
    if loss > 0 or long < 0 or short > 0:
        raise InputError(f"loss, long, short: expected -, +, -, got {loss}, {long}, {short}")
    held = long - short
    if held == 0:
        raise StateError("open interest: expected some to charge the loss to, got none")
    return -(loss * DRIFT_FUNDING // held) * DRIFT_QUOTE_TO_FUNDING


def deposit_delta(loss: int, *, deposits: int, interest: int) -> int:
    """Give what the cumulative interest of depositors falls by (Drift, spot).

    Args:
        loss: token units lost, 0 or more.
        deposits: token units deposited.
        interest: cumulative interest of deposits.

    Returns:
        The fall, rounded up; 0 where there are no deposits, and the loss stays where it is.

    Raises:
        InputError: an amount is negative.
    """
    check_whole(loss=loss, deposits=deposits, interest=interest)
    if min(loss, deposits, interest) < 0:
        raise InputError(f"amounts: expected 0 or more, got {loss}, {deposits}, {interest}")
    return -(-interest * loss // deposits) if deposits else 0


def mango_delta(loss: int, *, open_interest: int) -> int:
    """Give what funding per lot rises for longs and falls for shorts (Mango v4).

    Args:
        loss: native quote units lost, 0 or below.
        open_interest: lots of both sides together.

    Returns:
        Native units a lot, truncated; 0 where nobody holds anything: the loss then falls on whoever
        settles a profit last.

    Raises:
        InputError: a sign is wrong.
    """
    check_whole(loss=loss, open_interest=open_interest)
    if loss > 0 or open_interest < 0:
        raise InputError(f"loss, open_interest: expected -, +, got {loss}, {open_interest}")
    return -loss // open_interest if open_interest else 0


def vertex_delta(loss: int, *, open_interest: int) -> int:
    """Give what each unit of each side pays: half of the loss over the open interest (Vertex).

    Args:
        loss: quote lost, 0 or below.
        open_interest: units of one side.

    Returns:
        Quote units a unit held, truncated; what that leaves stays uncollected.

    Raises:
        InputError: a sign is wrong.
        StateError: nobody holds anything.
    """
    check_whole(loss=loss, open_interest=open_interest)
    if loss > 0 or open_interest < 0:
        raise InputError(f"loss, open_interest: expected -, +, got {loss}, {open_interest}")
    if open_interest == 0:
        raise StateError("open interest: expected some to charge the loss to, got none")
    return -loss // open_interest // 2


def socialised_size(*, maker: int, long: int, short: int) -> Socialised:
    """Give the size of each side that the other side and the makers can cover (Perennial v2).

    Profit and loss of a taker side is paid on this size only: what is beyond is socialised.

    Args:
        maker: size provided by makers.
        long: size held long by takers.
        short: size held short by takers.

    Raises:
        InputError: a size is negative.
    """
    check_whole(maker=maker, long=long, short=short)
    if min(maker, long, short) < 0:
        raise InputError(f"sizes: expected 0 or more, got {maker}, {long}, {short}")
    return Socialised(long=min(maker + short, long), short=min(maker + long, short))
