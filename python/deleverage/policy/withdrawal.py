"""Haircuts on withdrawal: the loss is paid by whoever takes money out while it stands."""

from dataclasses import dataclass
from fractions import Fraction

from deleverage.errors import InputError
from deleverage.policy.checks import check_whole, exact, whole_number

__all__ = ["Withdrawal", "burned_cash", "cash_rate", "charge_withdrawal", "loss_factor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A withdrawal split in two, exactly: what the fund keeps and what the user receives."""

    to_fund: int
    to_user: int


def loss_factor(*, bankruptcy: int, insurance: int, balance: int) -> Fraction:
    """Give the part of a withdrawal that is kept: `loss / (balance + loss)` (Paradex).

    The loss is what bankrupt accounts owe beyond the insurance fund. The worked example of the
    venue's page divides by the balance alone; its formula does not.

    Args:
        bankruptcy: money units that bankrupt accounts owe.
        insurance: balance of the insurance fund.
        balance: money units on the exchange.

    Raises:
        InputError: an amount is negative.
    """
    check_whole(bankruptcy=bankruptcy, insurance=insurance, balance=balance)
    if min(bankruptcy, insurance, balance) < 0:
        raise InputError(f"amounts: expected 0 or more, got {bankruptcy}, {insurance}, {balance}")
    loss = max(0, bankruptcy - insurance)
    return Fraction(loss, balance + loss) if loss else Fraction(0)


def charge_withdrawal(amount: int, factor: Fraction) -> Withdrawal:
    """Split a withdrawal; the charge is rounded up, for the fund.

    Raises:
        InputError: the amount is negative, or the factor is not in 0 to 1.
    """
    amount, factor = whole_number("amount", amount, low=None), exact("factor", factor)
    if amount < 0 or not 0 <= factor <= 1:
        raise InputError(f"amount, factor: expected 0 or more, 0 to 1, got {amount}, {factor}")
    charge = -(-amount * factor.numerator // factor.denominator)
    return Withdrawal(to_fund=charge, to_user=amount - charge)


def cash_rate(*, stable: int, cash: int) -> Fraction:
    """Give what one unit of cash is worth: stable coins by cash, at most 1 (Derive).

    A socialised loss prints cash that no deposit stands behind.

    Args:
        stable: stable coins held.
        cash: cash in existence.

    Raises:
        InputError: an amount is negative.
    """
    check_whole(stable=stable, cash=cash)
    if min(stable, cash) < 0:
        raise InputError(f"amounts: expected 0 or more, got {stable}, {cash}")
    return Fraction(min(stable, cash), cash) if cash else Fraction(1)


def burned_cash(amount: int, rate: Fraction) -> int:
    """Give the cash that a withdrawal of stable coins burns, rounded up (Derive).

    Raises:
        InputError: the amount is negative, or the rate is not above 0 and at most 1.
    """
    amount, rate = whole_number("amount", amount, low=None), exact("rate", rate)
    if amount < 0 or not 0 < rate <= 1:
        raise InputError(f"amount, rate: expected 0 or more, above 0 to 1, got {amount}, {rate}")
    return -(-amount * rate.denominator // rate.numerator)
