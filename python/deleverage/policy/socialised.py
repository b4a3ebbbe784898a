"""Winners' haircuts: what is missing is shared by those who are owed, in proportion to it.

Each venue rounds in its own way, and each way is a function here: the printed shares of Crypto.com
are rounded one by one, Vega floors what it pays out and gives the rest to one party, an exact
haircut rounds by largest remainder (`ProRata` over `Profits`).
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from deleverage.errors import InputError
from deleverage.policy.checks import check_whole, exact_decimal, whole_number

__all__ = ["payout_ratio", "printed_shares", "share_payouts"]


def printed_shares(amount: Decimal, profits: Sequence[Decimal], step: Decimal) -> list[Decimal]:
    """Share a loss by profit, each share rounded on its own to a step, halves up (Crypto.com).

    The printed shares need not add up to the loss: book with `ProRata`, show with this.

    Args:
        amount: the loss, 0 or more.
        profits: profits of the settlement period, 0 or more.
        step: what is rounded to, such as a cent; above zero.

    Raises:
        InputError: there is no profit to share by, or a number is out of range.
    """
    lost, unit = exact_decimal("amount", amount), exact_decimal("step", step)
    if lost < 0 or unit <= 0:
        raise InputError(f"amount, step: expected 0 or more, above 0, got {amount}, {step}")
    gains = [exact_decimal(f"profits, row {row}", profit) for row, profit in enumerate(profits)]
    total = sum(gains, Fraction(0))
    if total <= 0 or min(gains) < 0:
        raise InputError(
            f"profits: expected some profit and no loss, got {list(map(str, profits))}"
        )
    shares = (lost * gain / total for gain in gains)
    return [((share / unit + Fraction(1, 2)) // 1) * step for share in shares]


def share_payouts(owed: Sequence[int], collected: int, *, network: int | None = None) -> list[int]:
    """Pay out what was collected, in proportion to what is owed, floors first (Vega).

    What the floors leave over goes to the network's own account if it is among the winners, else to
    the last who is owed anything, so that nothing is created or lost. The venue leaves it at that;
    here nobody is paid above what he is owed: what is still over goes to the winner before.

    Args:
        owed: money units owed to each winner, 0 or more, in the venue's order.
        collected: money units there are.
        network: place of the network's account among the winners.

    Returns:
        Money units paid to each; never more than he is owed, nor in all than collected.

    Raises:
        InputError: an amount is negative or not whole, or there is no such place.
    """
    collected = whole_number("collected", collected, low=None)
    owed = [whole_number(f"owed, row {row}", each, low=None) for row, each in enumerate(owed)]
    if collected < 0 or any(amount < 0 for amount in owed):
        raise InputError(f"owed, collected: expected 0 or more, got {owed}, {collected}")
    if network is not None and not 0 <= whole_number("network", network, low=None) < len(owed):
        raise InputError(f"network: expected a place among {len(owed)} winners, got {network}")
    expected = sum(owed)
    if collected >= expected:
        return owed
    paid = [amount * collected // expected for amount in owed]
    left = collected - sum(paid)
    first = [] if network is None else [network]
    for place in [*first, *reversed(range(len(owed)))]:
        more = min(left, owed[place] - paid[place])
        paid[place] += more
        left -= more
    return paid


def payout_ratio(residual: int, profit: int) -> Fraction:
    """Give the part of every profit that can be paid: Percolator's H, Injective's settlement.

    Args:
        residual: money units that are there for profits.
        profit: money units of all profits.

    Returns:
        `min(residual, profit) / profit`; 1 where there is no profit.

    Raises:
        InputError: the profit is negative.
    """
    check_whole(residual=residual, profit=profit)
    if profit < 0:
        raise InputError(f"profit: expected 0 or more, got {profit}")
    return Fraction(min(max(residual, 0), profit), profit) if profit else Fraction(1)
