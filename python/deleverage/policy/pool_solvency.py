"""Pool solvency: a pool is the other side of everybody, and ADL keeps it able to pay (GMX v2).

Nobody is ranked: a keeper names positions, and the pool's own ratio decides whether a close is
allowed. What a trader is paid is capped by the pool, so it depends on who closes first.
"""

from dataclasses import dataclass
from fractions import Fraction

from deleverage.errors import InputError, StateError
from deleverage.policy.checks import check_whole, exact, whole_number

__all__ = ["Pool", "token_price"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What stands behind one side of one market; money units.

    Attributes:
        balance: what the pool holds for this side, without open profit and loss. A pool of a single
            token counts half of what it holds for each side.
        pnl: profit of all traders of the side; below zero it is the pool's gain.
    """

    balance: int
    pnl: int

    def __post_init__(self) -> None:
        """Refuse a pool that holds less than nothing.

        Raises:
            InputError: the balance is negative, or an amount is not a whole number.
        """
        check_whole(balance=self.balance, pnl=self.pnl)
        if self.balance < 0:
            raise InputError(f"balance: expected 0 or more, got {self.balance}")

    @property
    def factor(self) -> Fraction:
        """Profit owed by what is there to pay it; 0 for an empty pool, as the venue has it."""
        return Fraction(self.pnl, self.balance) if self.balance else Fraction(0)

    def needs_deleveraging(self, limit: Fraction) -> bool:
        """Tell whether the ratio is beyond the limit; exactly there it is not.

        Raises:
            InputError: the limit is not exact.
        """
        limit = exact("limit", limit)
        return self.factor > 0 and self.factor > limit

    def paid(self, profit: int, *, limit: Fraction) -> int:
        """Give what one trader is paid of his profit: his part of what the pool may pay in all.

        Args:
            profit: of the position, money units; a loss is taken whole.
            limit: largest ratio of paid profit to the pool.

        Returns:
            `profit x min(pnl, limit x balance) / pnl`, rounded down.

        Raises:
            InputError: the profit is not a whole number, or the limit is not exact.
        """
        profit, limit = whole_number("profit", profit, low=None), exact("limit", limit)
        if profit <= 0 or self.pnl <= 0:
            return profit
        allowed = min(Fraction(self.pnl), limit * self.balance)
        return int(profit * allowed / self.pnl // 1)

    def deleverage(self, after: "Pool", *, limit: Fraction, least: Fraction) -> "Pool":
        """Accept a close that brings the ratio down, but not below what ADL may bring it to.

        Args:
            after: the pool as the close would leave it.
            limit: ratio beyond which ADL is enabled, strictly.
            least: ratio that it may not fall below.

        Raises:
            InputError: a ratio is not exact.
            StateError: ADL is not enabled, or the close does not lower the ratio, or too far.
        """
        least = exact("least", least)
        if not self.needs_deleveraging(limit):
            raise StateError(f"ratio: expected beyond {limit}, got {self.factor}")
        if after.factor >= self.factor:
            raise StateError(f"ratio after: expected below {self.factor}, got {after.factor}")
        if after.factor < least:
            raise StateError(f"ratio after: expected {least} or more, got {after.factor}")
        return after


def token_price(*, holdings: int, pnl: int, limit: Fraction, side: int, supply: int) -> Fraction:
    """Give the value of one pool token: holdings less open profit, as far as it may be paid.

    Args:
        holdings: money units in the pool.
        pnl: open profit of all traders.
        limit: largest ratio of paid profit to what stands behind the side.
        side: money units that stand behind the side.
        supply: tokens in existence, above zero.

    Raises:
        InputError: there is no token, or a number is not exact.
    """
    check_whole(holdings=holdings, pnl=pnl, side=side, supply=supply)
    limit = exact("limit", limit)
    if supply <= 0:
        raise InputError(f"supply: expected more than 0 tokens, got {supply}")
    owed = min(Fraction(pnl), limit * side) if pnl > 0 else Fraction(pnl)
    return (holdings - owed) / supply
