"""Winners' haircuts: what is missing is shared by those who are owed, in proportion to it.

Each venue rounds in its own way, and each way is a function here: the printed shares of Crypto.com
are rounded one by one, Vega floors what it pays out and gives the rest to one party, an exact
haircut rounds by largest remainder (`ProRata` over `Profits`).
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from deleverage.errors import InputError

__all__ = ["payout_ratio", "printed_shares", "share_payouts"]


def printed_shares(amount: Decimal, profits: Sequence[Decimal], step: Decimal) -> list[Decimal]:
    """Share a loss by profit, each share rounded on its own to a step, halves up (Crypto.com).

    The printed shares need not add up to the loss: book with `ProRata`, show with this.

    Args:
        amount: the loss.
        profits: profits of the settlement period, above zero.
        step: what is rounded to, such as a cent.

    Raises:
        InputError: there is no profit to share by.
    """
    total = sum((Fraction(profit) for profit in profits), Fraction(0))
    if total <= 0 or min(profits) < 0:
        raise InputError(
            f"profits: expected some profit and no loss, got {list(map(str, profits))}"
        )
    shares = (Fraction(amount) * Fraction(profit) / total for profit in profits)
    unit = Fraction(step)
    return [((share / unit + Fraction(1, 2)) // 1) * step for share in shares]


def share_payouts(owed: Sequence[int], collected: int, *, network: int | None = None) -> list[int]:
    """Pay out what was collected, in proportion to what is owed, floors first (Vega).

    What the floors leave over goes to the network's own account if it is among the winners, else to
    the last of them, so that nothing is created or lost.

    Args:
        owed: money units owed to each winner, 0 or more, in the venue's order.
        collected: money units there are.
        network: place of the network's account among the winners.

    Returns:
        Money units paid to each; never more in all than collected or owed.

    Raises:
        InputError: an amount is negative, or there is no such place.
    """
    if collected < 0 or any(amount < 0 for amount in owed):
        raise InputError(f"owed, collected: expected 0 or more, got {list(owed)}, {collected}")
    if network is not None and not 0 <= network < len(owed):
        raise InputError(f"network: expected a place among {len(owed)} winners, got {network}")
    expected = sum(owed)
    if collected >= expected:
        return list(owed)
    paid = [amount * collected // expected for amount in owed]
    paid[-1 if network is None else network] += collected - sum(paid)
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
    if profit < 0:
        raise InputError(f"profit: expected 0 or more, got {profit}")
    return Fraction(min(max(residual, 0), profit), profit) if profit else Fraction(1)
