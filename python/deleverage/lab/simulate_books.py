"""The books of a simulated market: who holds what, and proof that nothing is made or lost.

An account is its cash and its signed lots; cash is what is left after every trade was paid, so
equity is `cash + lots x price` and a position handed over with its cash is handed over at its
bankruptcy price, exactly. Beside the traders there are three accounts: the pool, the market (the
other side of everything the book trades) and the outside (money that margin calls bring in).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deleverage.backstop.settlement import split_basis
from deleverage.errors import InvariantError
from deleverage.lab.simulate_course import PPM, Course, Traders

__all__ = ["Books", "Holding"]

Int64 = NDArray[np.int64]


@dataclass(slots=True)
class Holding:
    """Cash and signed lots of one account.

    Attributes:
        cash: money units.
        lots: signed.
    """

    cash: int
    lots: int

    def equity(self, price: int) -> int:
        """Give what it is worth at a price, money units."""
        return self.cash + self.lots * price

    def add(self, other: "Holding") -> None:
        """Take another holding over, cash and lots."""
        self.cash += other.cash
        self.lots += other.lots

    def split(self, lots: int) -> "Holding":
        """Hand a part over: so many lots and their share of the cash, rounded down.

        Args:
            lots: 0 to all of them, without sign.
        """
        whole = abs(self.lots)
        cash = self.cash * lots // whole if whole else self.cash
        part = Holding(cash, lots if self.lots > 0 else -lots)
        self.cash -= part.cash
        self.lots -= part.lots
        return part


@dataclass(slots=True, kw_only=True, eq=False)
class Books:
    """Everybody's books, and the order book's depth.

    Attributes:
        cash: (n,) int64.
        lots: (n,) int64, signed; 0 is without a position.
        entry_value: (n,) int64, of the lots, without sign.
        leverage: (n,) int64, ppm.
        hedge: (n,) int64, signed lots elsewhere.
        reserve: (n,) int64, money elsewhere.
        pool: the insurance pool.
        market: the other side of what the order book trades.
        outside: money brought in, so far, with its sign turned.
        price: mark, ticks.
        depth: lots that the order book still takes in this step.
    """

    cash: Int64
    lots: Int64
    entry_value: Int64
    leverage: Int64
    hedge: Int64
    reserve: Int64
    pool: Holding
    market: Holding
    outside: int
    price: int
    depth: int

    @classmethod
    def open(cls, traders: Traders, course: Course) -> Self:
        """Open the books: the market holds what the traders' lots lack to zero.

        Args:
            traders: before the crash.
            course: price, depth and pool at the start.
        """
        sign = np.sign(traders.lots)
        cash = traders.margin - sign * traders.entry_value
        total = int(cash.sum()) + course.pool
        return cls(
            cash=cash,
            lots=traders.lots.copy(),
            entry_value=traders.entry_value.copy(),
            leverage=traders.leverage.copy(),
            hedge=traders.hedge.copy(),
            reserve=traders.reserve.copy(),
            pool=Holding(course.pool, 0),
            market=Holding(-total, -int(traders.lots.sum())),
            outside=0,
            price=course.price,
            depth=course.depth,
        )

    @property
    def equity(self) -> Int64:
        """Equity of each trader at the mark, (n,) int64."""
        equity: Int64 = self.cash + self.lots * self.price
        return equity

    @property
    def value(self) -> Int64:
        """What each trader's lots are worth at the mark, (n,) int64."""
        value: Int64 = np.abs(self.lots) * self.price
        return value

    @property
    def profit(self) -> Int64:
        """Unrealised profit of each trader, (n,) int64."""
        profit: Int64 = np.sign(self.lots) * (self.value - self.entry_value)
        return profit

    @property
    def exposed(self) -> Int64:
        """Lots of each trader that no leg elsewhere offsets, (n,) int64, signed."""
        exposed: Int64 = self.lots + self.hedge
        return exposed

    def check(self) -> None:
        """Prove that no lot and no money unit was made or lost.

        Raises:
            InvariantError: one of the sums is not zero.
        """
        money = int(self.cash.sum()) + self.pool.cash + self.market.cash + self.outside
        lots = int(self.lots.sum()) + self.pool.lots + self.market.lots
        if money or lots:
            raise InvariantError(f"simulation: expected sums of 0, got {money} money, {lots} lots")

    def top_up(self, row: int, wanted: int) -> int:
        """Bring money in from a trader's reserve; give how much came."""
        paid = min(wanted, int(self.reserve[row]))
        self.cash[row] += paid
        self.reserve[row] -= paid
        self.outside -= paid
        return paid

    def take_position(self, row: int) -> Holding:
        """Take a trader's whole account away, at its bankruptcy price."""
        taken = Holding(int(self.cash[row]), int(self.lots[row]))
        self.cash[row] = self.lots[row] = self.entry_value[row] = 0
        return taken

    def proceeds(self, side: int, lots: int, course: Course) -> int:
        """Give the cash that closing lots of one side in the order book brings.

        The price moves in a straight line, by `impact` for the whole depth, and the mean is paid;
        what does not divide is against whoever trades.

        Args:
            side: +1 where longs are closed, -1 where shorts are.
            lots: 0 or more, at most the depth of a quiet step.
            course: depth and impact.
        """
        slipped = -(-self.price * course.impact * lots * lots // (2 * PPM * course.depth))
        return side * lots * self.price - slipped

    def trade(self, holding: Holding, lots: int, course: Course) -> int:
        """Close a part of a holding in the order book, move the price, use the depth up.

        Returns:
            The cash it brought, below zero where it was paid.
        """
        if lots == 0:
            return 0
        side = 1 if holding.lots > 0 else -1
        cash = self.proceeds(side, lots, course)
        holding.add(Holding(cash, -side * lots))
        self.market.add(Holding(-cash, side * lots))
        moved = self.price * course.impact * lots // (PPM * course.depth)
        self.price = max(1, self.price - side * moved)
        self.depth -= lots
        return cash

    def reduce(self, row: int, taken: Holding) -> None:
        """Let a trader take over a part of a bankrupt position against his own.

        Args:
            row: the trader.
            taken: lots on the other side than his, at most as many, and their cash.

        Raises:
            InvariantError: his position would grow or flip.
        """
        held = int(self.lots[row])
        if held * taken.lots >= 0 or abs(taken.lots) > abs(held):
            raise InvariantError(f"simulation: expected a reduction of {held}, got {taken.lots}")
        closed = abs(taken.lots)
        self.entry_value[row] -= split_basis(int(self.entry_value[row]), held, closed)
        self.cash[row] += taken.cash
        self.lots[row] += taken.lots
