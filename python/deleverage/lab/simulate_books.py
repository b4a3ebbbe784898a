"""The books of simulated markets: who holds what, and proof that nothing is made or lost.

A position is its cash and its signed lots; cash is what is left after every trade was paid, so
its equity is `cash + lots x price` and a position handed over with its cash is handed over at its
bankruptcy price, exactly. Positions of one account stand behind each other: its equity is their
sum, and before it is liquidated its money is laid on its legs by what they are worth. Beside the
traders there are, in each market, the pool and the street (the other side of everything the order
book trades), and one outside (money that margin calls bring in).
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
    """Everybody's books, and the order books' depths; n rows of traders, a list entry a market.

    Attributes:
        cash: (n,) int64.
        lots: (n,) int64, signed; 0 is without a position.
        entry_value: (n,) int64, of the lots, without sign.
        leverage: (n,) int64, ppm.
        hedge: (n,) int64, signed lots elsewhere.
        reserve: (n,) int64, money elsewhere.
        market: (n,) int64.
        account: (n,) int64, whose position it is; 0 to the number of accounts.
        is_isolated: each row is an account of its own.
        pool: the insurance pool in each market; its money belongs together.
        street: the other side of what each order book trades.
        outside: money brought in, so far, with its sign turned.
        price: marks, ticks.
        depth: lots that each order book still takes in this step.
    """

    cash: Int64
    lots: Int64
    entry_value: Int64
    leverage: Int64
    hedge: Int64
    reserve: Int64
    market: Int64
    account: Int64
    is_isolated: bool
    pool: list[Holding]
    street: list[Holding]
    outside: int
    price: list[int]
    depth: list[int]

    @classmethod
    def open(cls, traders: Traders, course: Course) -> Self:
        """Open the books: the street holds what the traders' lots lack to zero.

        Args:
            traders: before the crash.
            course: price, depth and pool at the start.
        """
        paid = np.where(traders.lots > 0, traders.entry_value, -traders.entry_value)
        cash: Int64 = traders.margin - paid
        market, markets = traders.markets, range(course.markets)
        inside = [market == each for each in markets]
        pool = [Holding(course.pool if each == 0 else 0, 0) for each in markets]
        return cls(
            cash=cash,
            lots=traders.lots.copy(),
            entry_value=traders.entry_value.copy(),
            leverage=traders.leverage.copy(),
            hedge=traders.hedge.copy(),
            reserve=traders.reserve.copy(),
            market=market,
            account=traders.accounts,
            is_isolated=traders.account is None,
            pool=pool,
            street=[
                Holding(-int(cash[own].sum()) - held.cash, -int(traders.lots[own].sum()))
                for own, held in zip(inside, pool, strict=True)
            ],
            outside=0,
            price=[course.price] * course.markets,
            depth=[course.depth] * course.markets,
        )

    @property
    def marks(self) -> Int64:
        """The mark of each row's market, (n,) int64."""
        marks: Int64 = np.array(self.price, np.int64)[self.market]
        return marks

    @property
    def equity(self) -> Int64:
        """Equity of each row's account at the marks, (n,) int64."""
        return self.by_account(self.cash + self.lots * self.marks)

    @property
    def value(self) -> Int64:
        """What each row's lots are worth at the mark, (n,) int64."""
        value: Int64 = np.abs(self.lots) * self.marks
        return value

    @property
    def gross(self) -> Int64:
        """What all positions of each row's account are worth, (n,) int64."""
        return self.by_account(self.value)

    @property
    def profit(self) -> Int64:
        """Unrealised profit of each row, (n,) int64."""
        profit: Int64 = np.sign(self.lots) * (self.value - self.entry_value)
        return profit

    @property
    def exposure(self) -> Int64:
        """What moves with the markets in each row's account, hedges elsewhere too, (n,) int64.

        All markets are taken to move as one.
        """
        return self.by_account((self.lots + self.hedge) * self.marks)

    @property
    def balance(self) -> int:
        """What the pool is worth at the marks, money units."""
        held = zip(self.pool, self.price, strict=True)
        return sum(one.equity(price) for one, price in held)

    def by_account(self, values: Int64) -> Int64:
        """Give each row its account's sum of a column, (n,) int64."""
        if self.is_isolated:
            return values
        sums = np.zeros(int(self.account.max(initial=-1)) + 1, np.int64)
        np.add.at(sums, self.account, values)
        found: Int64 = sums[self.account]
        return found

    def check(self) -> None:
        """Prove that no lot and no money unit was made or lost.

        Raises:
            InvariantError: one of the sums is not zero.
        """
        others = [*self.pool, *self.street]
        money = int(self.cash.sum()) + sum(one.cash for one in others) + self.outside
        for market, (pool, street) in enumerate(zip(self.pool, self.street, strict=True)):
            lots = int(self.lots[self.market == market].sum()) + pool.lots + street.lots
            if money or lots:
                raise InvariantError(
                    f"simulation: expected sums of 0, got {money} money, {lots} lots"
                    + (f" in market {market}" if len(self.pool) > 1 else "")
                )

    def top_up(self, row: int, wanted: int) -> int:
        """Bring money in from a trader's reserve; give how much came."""
        paid = min(wanted, int(self.reserve[row]))
        self.cash[row] += paid
        self.reserve[row] -= paid
        self.outside -= paid
        return paid

    def lay_out(self, rows: Int64) -> None:
        """Lay an account's money on its positions, by what they are worth at the marks.

        Each then has its part of the equity behind it, and so its own bankruptcy price; what does
        not divide stays with the last one.

        Args:
            rows: all of the account's, one of them with a position.
        """
        values, marks = self.value[rows].tolist(), self.marks[rows].tolist()
        equity, whole = int(self.equity[rows[0]]), sum(values)
        left = int(self.cash[rows].sum())
        for row, value, mark in zip(rows.tolist(), values, marks, strict=True):
            self.cash[row] = equity * value // whole - int(self.lots[row]) * mark if value else 0
            left -= int(self.cash[row])
        self.cash[rows[np.flatnonzero(self.lots[rows])[-1]]] += left

    def take_position(self, row: int) -> Holding:
        """Take a position away with its cash, at its bankruptcy price."""
        taken = Holding(int(self.cash[row]), int(self.lots[row]))
        self.cash[row] = self.lots[row] = self.entry_value[row] = 0
        return taken

    def proceeds(self, market: int, side: int, lots: int, course: Course) -> int:
        """Give the cash that closing lots of one side in an order book brings.

        The price moves in a straight line, by `impact` for the whole depth, and the mean is paid;
        what does not divide is against whoever trades.

        Args:
            market: which one.
            side: +1 where longs are closed, -1 where shorts are.
            lots: 0 or more, at most the depth of a quiet step.
            course: depth and impact.
        """
        price = self.price[market]
        slipped = -(-price * course.impact * lots * lots // (2 * PPM * course.depth))
        return side * lots * price - slipped

    def trade(self, market: int, holding: Holding, lots: int, course: Course) -> int:
        """Close a part of a holding in an order book, move the price, use the depth up.

        Returns:
            The cash it brought, below zero where it was paid.
        """
        if lots == 0:
            return 0
        side = 1 if holding.lots > 0 else -1
        cash = self.proceeds(market, side, lots, course)
        holding.add(Holding(cash, -side * lots))
        self.street[market].add(Holding(-cash, side * lots))
        moved = self.price[market] * course.impact * lots // (PPM * course.depth)
        self.price[market] = max(1, self.price[market] - side * moved)
        self.depth[market] -= lots
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
