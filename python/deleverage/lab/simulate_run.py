"""A simulation while it runs: what happens in a step, in its order, and what is noted of it."""

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
        basis: what the lots that a cut has left naked elsewhere were worth at the cut, signed.
        endowment: profit just before the first deleveraging of his side, 0 or more.
        place: in the queue then, 0 for none.
        queued: lots then.
        topped_up: money brought in.
        liquidated_at: step, -1 for never.
    """

    cut: Int64
    lost: Int64
    basis: Int64
    endowment: Int64
    place: Int64
    queued: Int64
    topped_up: Int64
    liquidated_at: Int64

    @classmethod
    def of(cls, count: int) -> "Notes":
        """Begin with nothing noted of `count` traders."""
        names = ("cut", "lost", "basis", "endowment", "place", "queued", "topped_up")
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
    """

    course: Course
    venue: Venue
    policy: str
    kind: PriceKind
    traders: Traders
    rows: list[dict[str, int]] = field(default_factory=list)
    fills: list[tuple[Any, ...]] = field(default_factory=list)
    lights: list[tuple[int, str, int]] = field(default_factory=list)
    books: Books = field(init=False)
    notes: Notes = field(init=False)
    rule: ScoreRule = field(init=False)
    watched: Int64 = field(init=False)
    is_active: bool = False
    _now: dict[str, int] = field(default_factory=dict)
    _target: int = 0
    _mark_before: int = 0
    _sides_cut: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Open the books and choose whose lights are followed."""
        self.books = Books.open(self.traders, self.course)
        self.notes = Notes.of(len(self.traders.lots))
        self.rule = self.venue.score_rule(PPM)
        self._target = self.course.price
        # Spread over the shorts' queue as it is at the start, first and last included.
        rows = np.flatnonzero(self.books.lots < 0)
        order = rows[np.argsort(self._ranking(rows).rank, kind="stable")]
        places = np.linspace(0, max(len(order) - 1, 0), min(_WATCHED, len(order)))
        self.watched = order[places.astype(np.int64)]

    def play(self, step: int, target: int) -> None:
        """Play one step.

        Args:
            step: its number.
            target: where the path is now, ticks.

        Raises:
            InvariantError: lots or money did not add to zero.
        """
        self._now = {"step": step} | dict.fromkeys(_COUNTED, 0)
        self._mark_before = self.books.price
        self._move(step, target)
        self._call()
        self._shed()
        self._liquidate(step)
        self._light(step)
        books, naked = self.books, self.naked_lots
        self._now |= {
            "price": books.price,
            "depth": books.depth,
            "pool_balance": books.pool.equity(books.price),
            "pool_lots": books.pool.lots,
            "active": int(self.is_active),
            "naked_lots": int(naked.sum()),
            "naked_exposure": int(naked.sum()) * books.price,
            "naked_loss": int(self.naked_loss.sum()),
        }
        self.rows.append(self._now)
        books.check()

    @property
    def naked_lots(self) -> Int64:
        """Lots held elsewhere whose other leg a cut has closed, (n,) int64."""
        naked: Int64 = np.where(self.traders.hedge != 0, self.notes.cut, 0)
        return naked

    @property
    def naked_loss(self) -> Int64:
        """What the price has cost the naked legs since their cuts, (n,) int64."""
        sign = np.sign(self.traders.hedge)
        loss: Int64 = self.notes.basis - sign * self.naked_lots * self.books.price
        return loss

    def _move(self, step: int, target: int) -> None:
        """Follow the path, close a part of the gap to it, and let the depth recover."""
        books, course = self.books, self.course
        moved = books.price * target // self._target
        moved += (target - moved) * course.reversion // PPM
        books.price, self._target = max(1, moved), target
        largest = int(np.abs(self.traders.lots).max(initial=0))
        if books.price * largest * PPM >= _MOST:
            raise InputError(
                f"step {step}: expected the largest position, {largest} lots, to be worth less "
                f"than {_MOST // PPM}, got a price of {books.price}; use smaller jumps or prices"
            )
        books.market.cash -= course.income
        books.pool.cash += course.income
        if any(at == step for at, _ in course.jumps):
            books.depth = course.depth * course.depth_left // PPM
        else:
            books.depth += (course.depth - books.depth) * course.depth_recovery // PPM
        self._switch()

    def _switch(self) -> None:
        """Start deleveraging at the start line, stop it at the stop line; starting goes first."""
        balance, course = self.books.pool.equity(self.books.price), self.course
        is_below_stop = self.is_active and balance < course.stop_line
        self.is_active = is_below_stop or balance <= course.start_line

    def _call(self) -> None:
        """Call for margin whoever is below the call line, and take what his reserve has."""
        books = self.books
        line = books.value * self.course.call // PPM
        for row in np.flatnonzero((books.lots != 0) & (books.equity < line)).tolist():
            paid = books.top_up(row, 2 * int(line[row]) - int(books.equity[row]))
            self.notes.topped_up[row] += paid
            self._now["called"] += 1
            self._now["topped_up"] += paid

    def _shed(self) -> None:
        """Let the pool close a part of what it has taken over."""
        books = self.books
        lots = min(abs(books.pool.lots), books.depth // _SHED_SHARE)
        books.trade(books.pool, lots, self.course)

    def _liquidate(self, step: int) -> None:
        """Liquidate until nobody is below maintenance; each liquidation may bring the next."""
        books = self.books
        while True:
            line = books.value * self.course.maintenance // PPM
            rows = np.flatnonzero((books.lots != 0) & (books.equity < line)).tolist()
            if not rows:
                return
            for row in rows:
                value = abs(int(books.lots[row])) * books.price
                if int(books.equity[row]) < value * self.course.maintenance // PPM:
                    self._close(row, step)

    def _close(self, row: int, step: int) -> None:
        """Take one position over and close it: in the book, by the pool, against the others."""
        books, course = self.books, self.course
        self._switch()
        taken = books.take_position(row)
        self.notes.liquidated_at[row] = step
        size = abs(taken.lots)
        self._now["liquidated"] += 1
        self._now["liquidated_lots"] += size
        fitting = min(size, books.depth)
        if self.is_active:
            fitting = self._no_worse(taken, fitting)
        part = taken.split(fitting)
        books.trade(part, fitting, course)
        self._now["book_lots"] += fitting
        books.pool.add(part)
        books.pool.add(taken.split(min(abs(taken.lots), self._room())))
        if taken.lots:
            self._deleverage(taken, step)
        books.pool.add(taken)

    def _room(self) -> int:
        """Give how many lots more the pool may hold."""
        books = self.books
        balance = books.pool.equity(books.price)
        held = abs(books.pool.lots) * books.price
        room = max(0, balance) * self.course.appetite // PPM - held
        return 0 if self.is_active else max(0, room // books.price)

    def _no_worse(self, taken: Holding, most: int) -> int:
        """Give the most lots whose mean price in the book is no worse than bankruptcy."""
        side, size = (1 if taken.lots > 0 else -1), abs(taken.lots)
        low, high = 0, most
        while low < high:
            lots = (low + high + 1) // 2
            earned = self.books.proceeds(side, lots, self.course) * size + taken.cash * lots
            low, high = (lots, high) if earned >= 0 else (low, lots - 1)
        return low

    def _deleverage(self, rest: Holding, step: int) -> None:
        """Close what is left against the other side; what nobody takes stays in `rest`."""
        books, side = self.books, -1 if rest.lots > 0 else 1
        self._endow(side)
        self._now["needed"] += max(0, -rest.equity(books.price))
        rows, candidates = self._candidates(side)
        lots = allocate(self.policy, candidates, abs(rest.lots))
        short = abs(rest.lots) - int(lots.sum())
        if short and self.venue.allocation.completion is Completion.ALL_OR_NOTHING:
            lots, short = np.zeros_like(lots), abs(rest.lots)
        self._now["unfilled_lots"] += short
        filled = rest.split(abs(rest.lots) - short) if short < abs(rest.lots) else Holding(0, 0)
        price = self._settlement_price()
        if price is not None:
            owed = -filled.lots * price
            books.pool.cash += filled.cash - owed
            filled.cash = owed
        before = int(self.notes.lost.sum())
        for place in np.flatnonzero(lots).tolist():
            self._cut(int(rows[place]), filled.split(int(lots[place])), step)
        self._now["executed"] += max(0, int(self.notes.lost.sum()) - before)

    def _cut(self, row: int, part: Holding, step: int) -> None:
        """Close one trader's part, and note what it cost him."""
        books, notes = self.books, self.notes
        closed, lost = abs(part.lots), -part.equity(books.price)
        side = _SIDES[1 if books.lots[row] > 0 else -1]
        books.reduce(row, part)
        notes.cut[row] += closed
        notes.lost[row] += lost
        notes.basis[row] += int(np.sign(self.traders.hedge[row])) * closed * books.price
        self._now["adl_lots"] += closed
        self._now["adl_accounts"] += 1
        self.fills.append((step, f"t{row:05d}", side, closed, part.cash, books.price, lost))

    def _endow(self, side: int) -> None:
        """Note everybody's profit and place before the first cut of a side."""
        if side in self._sides_cut:
            return
        self._sides_cut.add(side)
        rows = np.flatnonzero(np.sign(self.books.lots) == side)
        self.notes.endowment[rows] = np.maximum(self.books.profit[rows], 0)
        self.notes.place[rows] = self._ranking(rows).rank
        self.notes.queued[rows] = np.abs(self.books.lots[rows])

    def _settlement_price(self) -> int | None:
        """The price that a cut is settled at; None is the bankruptcy price."""
        if self.kind is PriceKind.MARK:
            return self.books.price
        if self.kind is PriceKind.PREVIOUS_MARK:
            return self._mark_before
        is_funded = self.books.pool.cash > 0
        is_mark = self.kind is PriceKind.MARK_UNTIL_DEPLETED and is_funded
        return self.books.price if is_mark else None

    def _candidates(self, side: int) -> tuple[Int64, Candidates]:
        """Everybody of a side with a place in its queue, and his row."""
        books = self.books
        rows = np.flatnonzero(np.sign(books.lots) == side)
        rank = self._ranking(rows).rank
        rows, rank = rows[rank > 0], rank[rank > 0]
        exposed = books.lots + self.traders.hedge
        return rows, Candidates(
            lots=np.abs(books.lots[rows]),
            ids=rows,
            rank=rank,
            profit=books.profit[rows],
            equity=books.equity[rows],
            value=books.value[rows],
            exposure=exposed[rows] * books.price,
            unit=Fraction(side * books.price),
        )

    def _ranking(self, rows: Int64) -> ranking.Ranking:
        """Places of some traders of one side; ties of the score go by their numbers."""
        columns, accounts = self._columns(rows)
        rate = ranking.Rate(mark_num=self.books.price)
        return ranking.rank(columns, rate, rule=self.rule, accounts=accounts, threads=1)

    def _columns(self, rows: Int64) -> tuple[ranking.Columns, ranking.Accounts]:
        """Traders as the kernel takes them; each is judged on the margin of his one position."""
        books, count = self.books, len(rows)
        entry, lots = books.entry_value[rows], books.lots[rows]
        margin = books.equity[rows] - books.profit[rows]
        upkeep = books.value[rows] * self.course.maintenance // PPM
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
        accounts = ranking.Accounts(
            equity=books.equity[rows], maintenance_margin=upkeep, wallet_balance=margin
        )
        return columns, accounts

    def _light(self, step: int) -> None:
        """Note the lights of the watched traders."""
        rows = np.flatnonzero(self.books.lots < 0)
        shown = np.zeros(len(self.books.lots), np.uint8)
        if len(rows):
            columns, accounts = self._columns(rows)
            shown[rows] = ranking.lights(
                columns,
                ranking.Rate(mark_num=self.books.price),
                rule=self.rule,
                accounts=accounts,
                bands=self.venue.lights.bands,
                weight=self.venue.lights.weight,
                threads=1,
            )
        self.lights += [(step, f"t{row:05d}", int(shown[row])) for row in self.watched.tolist()]
