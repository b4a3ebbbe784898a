"""A simulation while it runs: what happens in a step, in its order, and what is noted of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.errors import InputError
from deleverage.lab.policies import Candidates, allocate
from deleverage.lab.simulate_books import Books, Holding
from deleverage.lab.simulate_course import PPM, Course, Traders
from deleverage.model.records import Venue
from deleverage.model.rules import ScoreRule
from deleverage.model.terms import Completion, PriceKind

__all__ = ["PRICES", "Notes", "Run"]

Int64 = NDArray[np.int64]

PRICES = (
    PriceKind.BANKRUPTCY,
    PriceKind.MARK,
    PriceKind.PREVIOUS_MARK,
    PriceKind.MARK_UNTIL_DEPLETED,
)
"""The settlement prices that are simulated."""

_WATCHED = 12
# A quarter of what 63 bits hold: room for the moves of the liquidations within a step.
_MOST = 2**61
_SIDES = {1: "long", -1: "short"}
_SHED_SHARE = 4  # of a step's depth the pool takes a quarter for itself
_COUNTED = (
    *("called", "topped_up", "liquidated", "liquidated_lots", "book_lots"),
    *("adl_lots", "adl_accounts", "unfilled_lots", "needed", "executed"),
)


@dataclass(slots=True, kw_only=True, eq=False)
class Notes:
    """What is noted of each trader, (n,) int64 each, money units unless said.

    Attributes:
        cut: lots deleveraged.
        lost: what that cost against the mark.
        naked: lots of the other leg that cuts have left alone.
        basis: what those were worth at the cut, signed; once the account is liquidated, what they
            had lost by then.
        endowment: profit just before the first deleveraging of his side, 0 or more.
        place: in the queue then, 0 for none.
        queued: lots then.
        topped_up: money brought in.
        liquidated_at: step, -1 for never.
    """

    cut: Int64
    lost: Int64
    naked: Int64
    basis: Int64
    endowment: Int64
    place: Int64
    queued: Int64
    topped_up: Int64
    liquidated_at: Int64

    @classmethod
    def of(cls, count: int) -> "Notes":
        """Begin with nothing noted of `count` traders."""
        names = ("cut", "lost", "naked", "basis", "endowment", "place", "queued", "topped_up")
        zeros = {name: np.zeros(count, np.int64) for name in names}
        return cls(**zeros, liquidated_at=np.full(count, -1, np.int64))


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """A simulation in the making.

    Attributes:
        course: its figures.
        venue: the edition.
        policy: who is cut, by name.
        kind: the price that cuts are settled at.
        traders: before the crash.
        rows: one a step.
        fills: one a cut.
        lights: of the watched traders, one a step each.
        prices: of each market, one a step.
    """

    course: Course
    venue: Venue
    policy: str
    kind: PriceKind
    traders: Traders
    rows: list[dict[str, int]] = field(default_factory=list)
    fills: list[tuple[Any, ...]] = field(default_factory=list)
    lights: list[tuple[int, str, int]] = field(default_factory=list)
    prices: list[tuple[int, int, int]] = field(default_factory=list)
    books: Books = field(init=False)
    notes: Notes = field(init=False)
    rule: ScoreRule = field(init=False)
    watched: Int64 = field(init=False)
    is_active: bool = False
    is_hedged: NDArray[np.bool_] = field(init=False)
    _now: dict[str, int] = field(default_factory=dict)
    _target: list[int] = field(default_factory=list)
    _mark_before: list[int] = field(default_factory=list)
    _sides_cut: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Open the books and choose whose lights are followed."""
        self.books = Books.open(self.traders, self.course)
        self.notes = Notes.of(len(self.traders.lots))
        self.rule = self.venue.score_rule(PPM)
        self._target = [self.course.price] * self.course.markets
        self.is_hedged = self._hedged()
        # Spread over the shorts' queue as it is at the start, first and last included.
        rows = self._rows(0, -1)
        order = rows[np.argsort(self._ranking(rows).rank, kind="stable")]
        places = np.linspace(0, max(len(order) - 1, 0), min(_WATCHED, len(order)))
        self.watched = order[places.astype(np.int64)]

    def _hedged(self) -> NDArray[np.bool_]:
        """Whether a row is one leg of a hedge: the other elsewhere, or its account's own."""
        lots, account = self.traders.lots, self.books.account
        pairs = np.column_stack((account, np.sign(lots)))
        sides = np.unique(pairs[lots != 0], axis=0)[:, 0]
        both = np.isin(account, sides[:-1][sides[1:] == sides[:-1]])
        found: NDArray[np.bool_] = both | (self.traders.hedge != 0)
        return found

    def _rows(self, market: int, side: int) -> Int64:
        """Rows with a position on one side of a market."""
        books = self.books
        return np.flatnonzero((np.sign(books.lots) == side) & (books.market == market))

    def play(self, step: int, targets: Sequence[int]) -> None:
        """Play one step.

        Args:
            step: its number.
            targets: where the path of each market is now, ticks.

        Raises:
            InvariantError: lots or money did not add to zero.
        """
        self._now = {"step": step} | dict.fromkeys(_COUNTED, 0)
        self._mark_before = self.books.price.copy()
        self._move(step, targets)
        self._call()
        self._shed()
        self._liquidate(step)
        self._light(step)
        books = self.books
        self._now |= {
            "price": books.price[0],
            "depth": books.depth[0],
            "pool_balance": books.balance,
            "pool_lots": books.pool[0].lots,
            "active": int(self.is_active),
            "naked_lots": int(self.notes.naked.sum()),
            "naked_exposure": self.naked_exposure,
            "naked_loss": int(self.naked_loss.sum()),
        }
        self.prices += [(step, market, price) for market, price in enumerate(books.price)]
        self.rows.append(self._now)
        books.check()

    @property
    def naked_exposure(self) -> int:
        """By how much cuts have made what moves with the markets larger, over all accounts."""
        books, notes = self.books, self.notes
        cut = np.sign(self.traders.lots) * notes.naked * books.marks
        before = books.exposure
        if books.is_isolated:
            # One leg stands elsewhere, where nothing is closed: it is what was cut that is alone.
            return int(np.abs(cut).sum())
        grown = np.abs(before) - np.abs(before + books.by_account(cut))
        each = np.unique(books.account, return_index=True)[1]
        return int(np.maximum(grown, 0)[each].sum())

    @property
    def naked_loss(self) -> Int64:
        """What the price has cost the naked legs since their cuts, (n,) int64."""
        sign = -np.sign(self.traders.lots)
        loss: Int64 = self.notes.basis - sign * self.notes.naked * self.books.marks
        return loss

    def _move(self, step: int, targets: Sequence[int]) -> None:
        """Follow the paths, close a part of the gap to them, and let the depths recover."""
        books, course = self.books, self.course
        for market, target in enumerate(targets):
            moved = books.price[market] * target // self._target[market]
            moved += (target - moved) * course.reversion // PPM
            books.price[market], self._target[market] = max(1, moved), target
            if any(at == step for at, _ in course.jumps):
                books.depth[market] = course.depth * course.depth_left // PPM
            else:
                gap = course.depth - books.depth[market]
                books.depth[market] += gap * course.depth_recovery // PPM
        largest = int(np.abs(self.traders.lots).max(initial=0))
        if max(books.price) * largest * PPM >= _MOST:
            raise InputError(
                f"step {step}: expected the largest position, {largest} lots, to be worth less "
                f"than {_MOST // PPM}, got a price of {max(books.price)}; use smaller jumps or "
                "prices"
            )
        books.street[0].cash -= course.income
        books.pool[0].cash += course.income
        self._switch()

    def _switch(self) -> None:
        """Start deleveraging at the start line, stop it at the stop line; starting goes first."""
        balance, course = self.books.balance, self.course
        is_below_stop = self.is_active and balance < course.stop_line
        self.is_active = is_below_stop or balance <= course.start_line

    def _call(self) -> None:
        """Call for margin whoever is below the call line, and take what his reserve has."""
        books = self.books
        line = books.gross * self.course.call // PPM
        for row in np.flatnonzero((books.lots != 0) & (books.equity < line)).tolist():
            wanted = 2 * int(line[row]) - int(books.equity[row])
            if wanted <= line[row]:
                continue  # another leg has brought it in
            paid = books.top_up(row, wanted)
            self.notes.topped_up[row] += paid
            self._now["called"] += 1
            self._now["topped_up"] += paid

    def _shed(self) -> None:
        """Let the pool close a part of what it has taken over."""
        books = self.books
        for market, held in enumerate(books.pool):
            lots = min(abs(held.lots), books.depth[market] // _SHED_SHARE)
            books.trade(market, held, lots, self.course)

    def _liquidate(self, step: int) -> None:
        """Liquidate until nobody is below maintenance; each liquidation may bring the next."""
        books = self.books
        while True:
            line = books.gross * self.course.maintenance // PPM
            rows = np.flatnonzero((books.lots != 0) & (books.equity < line))
            if not len(rows):
                return
            for account in dict.fromkeys(books.account[rows].tolist()):
                legs = np.flatnonzero(books.account == account)
                first = legs[0]
                line_now = int(books.gross[first]) * self.course.maintenance // PPM
                if int(books.equity[first]) < line_now:
                    self._seize(legs, step)

    def _seize(self, legs: Int64, step: int) -> None:
        """Take an account's positions over, each with its part of the money, and close them."""
        books, notes = self.books, self.notes
        if not books.is_isolated:
            books.lay_out(legs)
            notes.basis[legs] = self.naked_loss[legs]
            notes.naked[legs] = 0
        held = legs[books.lots[legs] != 0].tolist()
        notes.liquidated_at[held] = step
        for row, taken in [(row, books.take_position(row)) for row in held]:
            self._close(int(books.market[row]), taken, step)

    def _close(self, market: int, taken: Holding, step: int) -> None:
        """Close one position: in the book, by the pool, against the others."""
        books, course = self.books, self.course
        self._switch()
        size = abs(taken.lots)
        self._now["liquidated"] += 1
        self._now["liquidated_lots"] += size
        fitting = min(size, books.depth[market])
        if self.is_active:
            fitting = self._no_worse(market, taken, fitting)
        part = taken.split(fitting)
        books.trade(market, part, fitting, course)
        self._now["book_lots"] += fitting
        books.pool[market].add(part)
        books.pool[market].add(taken.split(min(abs(taken.lots), self._room(market))))
        if taken.lots:
            self._deleverage(market, taken, step)
        books.pool[market].add(taken)

    def _room(self, market: int) -> int:
        """Give how many lots more the pool may hold."""
        books = self.books
        held = sum(
            abs(one.lots) * price for one, price in zip(books.pool, books.price, strict=True)
        )
        room = max(0, books.balance) * self.course.appetite // PPM - held
        return 0 if self.is_active else max(0, room // books.price[market])

    def _no_worse(self, market: int, taken: Holding, most: int) -> int:
        """Give the most lots whose mean price in the book is no worse than bankruptcy."""
        side, size = (1 if taken.lots > 0 else -1), abs(taken.lots)
        low, high = 0, most
        while low < high:
            lots = (low + high + 1) // 2
            earned = self.books.proceeds(market, side, lots, self.course) * size
            low, high = (lots, high) if earned + taken.cash * lots >= 0 else (low, lots - 1)
        return low

    def _deleverage(self, market: int, rest: Holding, step: int) -> None:
        """Close what is left against the other side; what nobody takes stays in `rest`."""
        books, side = self.books, -1 if rest.lots > 0 else 1
        self._endow(market, side)
        self._now["needed"] += max(0, -rest.equity(books.price[market]))
        rows, candidates = self._candidates(market, side)
        lots = allocate(self.policy, candidates, abs(rest.lots))
        short = abs(rest.lots) - int(lots.sum())
        if short and self.venue.allocation.completion is Completion.ALL_OR_NOTHING:
            lots, short = np.zeros_like(lots), abs(rest.lots)
        self._now["unfilled_lots"] += short
        filled = rest.split(abs(rest.lots) - short) if short < abs(rest.lots) else Holding(0, 0)
        price = self._settlement_price(market)
        if price is not None:
            owed = -filled.lots * price
            books.pool[market].cash += filled.cash - owed
            filled.cash = owed
        before = int(self.notes.lost.sum())
        for place in np.flatnonzero(lots).tolist():
            self._cut(int(rows[place]), filled.split(int(lots[place])), step)
        self._now["executed"] += max(0, int(self.notes.lost.sum()) - before)

    def _cut(self, row: int, part: Holding, step: int) -> None:
        """Close one trader's part, and note what it cost him."""
        books, notes = self.books, self.notes
        market, was_long = int(books.market[row]), books.lots[row] > 0
        mark = books.price[market]
        closed, lost = abs(part.lots), -part.equity(mark)
        books.reduce(row, part)
        notes.cut[row] += closed
        notes.lost[row] += lost
        if self.is_hedged[row]:
            notes.naked[row] += closed
            notes.basis[row] += closed * mark * (-1 if was_long else 1)
        self._now["adl_lots"] += closed
        self._now["adl_accounts"] += 1
        name, side = f"t{books.account[row]:05d}", _SIDES[1 if was_long else -1]
        self.fills.append((step, market, name, side, closed, part.cash, mark, lost))

    def _endow(self, market: int, side: int) -> None:
        """Note everybody's profit and place before the first cut of a side."""
        if (market, side) in self._sides_cut:
            return
        self._sides_cut.add((market, side))
        rows = self._rows(market, side)
        self.notes.endowment[rows] = np.maximum(self.books.profit[rows], 0)
        self.notes.place[rows] = self._ranking(rows).rank
        self.notes.queued[rows] = np.abs(self.books.lots[rows])

    def _settlement_price(self, market: int) -> int | None:
        """The price that a cut is settled at; None is the bankruptcy price."""
        mark = self.books.price[market]
        if self.kind is PriceKind.MARK:
            return mark
        if self.kind is PriceKind.PREVIOUS_MARK:
            return self._mark_before[market]
        is_funded = sum(one.cash for one in self.books.pool) > 0
        is_mark = self.kind is PriceKind.MARK_UNTIL_DEPLETED and is_funded
        return mark if is_mark else None

    def _candidates(self, market: int, side: int) -> tuple[Int64, Candidates]:
        """Everybody of a side with a place in its queue, and his row."""
        books = self.books
        rows = self._rows(market, side)
        rank = self._ranking(rows).rank
        rows, rank = rows[rank > 0], rank[rank > 0]
        return rows, Candidates(
            lots=np.abs(books.lots[rows]),
            ids=rows,
            rank=rank,
            profit=books.profit[rows],
            equity=books.equity[rows],
            value=books.value[rows],
            exposure=books.exposure[rows],
            unit=Fraction(side * books.price[market]),
        )

    def _ranking(self, rows: Int64) -> ranking.Ranking:
        """Places of some traders of one side; ties of the score go by their numbers."""
        columns, accounts = self._columns(rows)
        return ranking.rank(columns, self._rate(rows), rule=self.rule, accounts=accounts, threads=1)

    def _rate(self, rows: Int64) -> ranking.Rate:
        """The mark of the market that the rows are in."""
        market = int(self.books.market[rows[0]]) if len(rows) else 0
        return ranking.Rate(mark_num=self.books.price[market])

    def _columns(self, rows: Int64) -> tuple[ranking.Columns, ranking.Accounts]:
        """Positions as the kernel takes them; all of the account's equity stands behind each."""
        books, count = self.books, len(rows)
        entry, lots = books.entry_value[rows], books.lots[rows]
        equity = books.equity[rows]
        margin = equity - books.profit[rows]
        upkeep = books.gross[rows] * self.course.maintenance // PPM
        places = np.arange(count, dtype=np.uint32)
        columns = ranking.Columns(
            lots=lots,
            entry_value=entry,
            position_id=rows.astype(np.uint64),
            margin=margin,
            maintenance_margin=upkeep,
            initial_margin=entry * PPM // books.leverage[rows],
            open_value=entry,
            leverage=books.leverage[rows],
            account=places,
            owner=places,
            profit_lots=lots,
            profit_value=np.sign(lots) * entry,
            created_at=rows,
        )
        accounts = ranking.Accounts(equity=equity, maintenance_margin=upkeep, wallet_balance=margin)
        return columns, accounts

    def _light(self, step: int) -> None:
        """Note the lights of the watched traders."""
        rows = self._rows(0, -1)
        shown = np.zeros(len(self.books.lots), np.uint8)
        if len(rows):
            columns, accounts = self._columns(rows)
            shown[rows] = ranking.lights(
                columns,
                self._rate(rows),
                rule=self.rule,
                accounts=accounts,
                bands=self.venue.lights.bands,
                weight=self.venue.lights.weight,
                threads=1,
            )
        self.lights += [(step, f"t{row:05d}", int(shown[row])) for row in self.watched.tolist()]
