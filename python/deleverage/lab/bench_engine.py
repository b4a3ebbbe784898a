"""What an engine costs above the kernel: loading a book, and planning and committing a cut of it.

The reference of a plan and commit is the kernel's `select` of the same quantity on the same rows,
and bare SQLite that writes the same journal entry to a file of its own.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from deleverage import ranking
from deleverage.backstop.trigger import StopReading
from deleverage.engine import Choices, Commands, Engine, Frames, State
from deleverage.engine.positions import Side
from deleverage.errors import InvariantError
from deleverage.lab.bench_cases import CASES, subject_of
from deleverage.lab.bench_report import Goal, Measurement, measured
from deleverage.lab.bench_timing import milliseconds
from deleverage.lab.book_frames import markets_frame, marks_frame, positions_frame
from deleverage.lab.books import Book
from deleverage.ledger import Journal
from deleverage.ledger.store import PRAGMAS, TABLES
from deleverage.model.terms import Fee
from deleverage.venue import Venue

__all__ = ["measure_engine"]

_NEARLY_BARE = Goal(limit=1.2)
_EDITION = "bitmex"
_FILLS = (2, 100, 1_000)
# A book that is cut again and again must stay the book that was drawn.
_MOST_SHARE = 0.2
_CHOICES = Choices(stop=StopReading.CEASES, deleveraged=Fee.NONE, liquidated=Fee.NONE)
_INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_NO_ROWS = np.empty(0, np.int64)


class _Bankruptcy(NamedTuple):
    """A long that is to be offset: its row, its lots, and how many shorts that takes."""

    row: int
    lots: int
    fills: int


def measure_engine(
    book: Book, *, rounds: int, progress: Callable[[str], None], folder: Path
) -> Iterator[Measurement]:
    """Load a book into an engine, then plan and commit cuts of a few, some and many positions.

    Args:
        book: positions of one market.
        rounds: pairs of each line.
        progress: told before each part.
        folder: where the journal is made.

    Yields:
        The lines, section `journal`.

    Raises:
        InvariantError: a plan cut another number of positions than was asked for.
    """
    drawn, bankruptcies = _with_bankruptcies(book, rounds)
    progress(f"engine: loading {book.positions:,} positions")
    path = folder / "engine.journal"
    with Journal.open(path, Commands()) as journal, closing(_bare(folder / "engine.bare")) as bare:
        taken = milliseconds(lambda: _load(Engine(journal), drawn))
        entry = len(next(journal.entries()).body)
        yield _line("load a book into an engine", book, [taken], f"an entry of {entry:,} bytes")
        progress("engine: plan and commit")
        pairs = _Pairs(journal, bare, drawn)
        for fills, wanted in bankruptcies.items():
            taken_all = [pairs.measure(one) for one in wanted][1:]
            yield _against_select(book, fills, taken_all)


class _Pairs:
    """One engine and one bare file that are handed the same cuts."""

    def __init__(self, journal: Journal[State], bare: sqlite3.Connection, book: Book) -> None:
        self._journal, self._bare, self._book = journal, bare, book
        self._engine = Engine(journal)
        self._rule = CASES[_EDITION].rule
        self._market = journal.state.book.roster.markets[0]
        self._count = 0

    def measure(self, one: _Bankruptcy) -> tuple[float, float]:
        """Give the milliseconds of ours and of the reference."""
        engine, name = self._engine, f"cut {self._count}"
        self._count += 1
        engine.liquidate(name, str(self._book.position_id[one.row]), at=self._count)
        side = engine.state.book.side(self._market, "short")
        theirs = milliseconds(lambda: self._select(side, one.lots))
        start = time.perf_counter_ns()
        plan = engine.plan(name)
        engine.commit(plan)
        ours = (time.perf_counter_ns() - start) / 1e6
        if len(plan.fills) != one.fills:
            raise InvariantError(f"plan: expected {one.fills} fills, got {len(plan.fills)}")
        (row,) = self._journal.entries(engine.head.sequence - 1)
        return ours, theirs + milliseconds(lambda: self._bare.execute(_INSERT, row))

    def _select(self, side: Side, lots: int) -> object:
        """Select what a cut of these lots takes, with nothing kept."""
        num, den, is_inverse = self._engine.state.scale(self._market).rate
        return ranking.select(
            side.columns,
            ranking.Rate(mark_num=num, mark_den=den, is_inverse=is_inverse),
            rule=self._rule,
            side=-1,
            lots=lots,
            excluded=_NO_ROWS,
        )


def _with_bankruptcies(book: Book, rounds: int) -> tuple[Book, dict[int, list[_Bankruptcy]]]:
    """Give a book whose first longs are bankrupt, each as large as the next shorts of the queue."""
    subject = subject_of(book, CASES[_EDITION])
    columns, rate, rule = subject.columns, subject.rates[0], subject.case.rule
    scores = ranking.score(columns, rate, rule=rule).score
    shorts, longs = np.flatnonzero(book.lots < 0), np.flatnonzero(book.lots > 0)
    most = _MOST_SHARE * len(shorts) / (rounds + 1)
    cases = [fills for place, fills in enumerate(_FILLS, 1) if sum(_FILLS[:place]) <= most]
    head = shorts[np.argsort(-scores[shorts])][: sum(cases) * (rounds + 1)]
    queue = ranking.order(columns, rate, head, rule=rule)
    lots, value, margin = book.lots.copy(), book.entry_value.copy(), book.margin.copy()
    found: dict[int, list[_Bankruptcy]] = {fills: [] for fills in cases}
    at = 0
    for number, fills in enumerate(fills for fills in cases for _ in range(rounds + 1)):
        row, taken = int(longs[number]), queue[at : at + fills]
        lots[row] = -int(book.lots[taken].sum())
        # Bought at a fifth above the mark with a twentieth of margin.
        value[row] = int(lots[row]) * int(book.mark_num[0]) * 6 // (book.mark_den * 5)
        margin[row] = value[row] // 20
        found[fills].append(_Bankruptcy(row, int(lots[row]), fills))
        at += fills
    return replace(book, lots=lots, entry_value=value, margin=margin), found


def _load(engine: Engine, book: Book) -> None:
    """Load the book behind a fund that has nothing."""
    markets = markets_frame(book).with_columns(money_unit=pl.lit("0.000001"))
    frames = Frames(positions=positions_frame(book), marks=marks_frame(book), markets=markets)
    pools = [{"name": "fund", "cash": "0"}]
    engine.load(frames, Venue.load(_EDITION), pools=pools, choices=_CHOICES)


def _bare(path: Path) -> sqlite3.Connection:
    """Open a file with the journal's tables, indexes and settings."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (*PRAGMAS, *TABLES):
        connection.execute(statement)
    return connection


def _against_select(book: Book, fills: int, taken: Sequence[tuple[float, float]]) -> Measurement:
    ours, theirs = zip(*taken, strict=True)
    return measured(
        section="journal",
        case=f"plan and commit {fills:,} fills",
        distribution=str(book.distribution),
        positions=book.positions,
        selected=fills,
        threads=0,
        simd="auto",
        ours=ours,
        reference="select, and bare SQLite writing the entry",
        theirs=theirs,
        goal=_NEARLY_BARE,
    )


def _line(case: str, book: Book, taken: Sequence[float], note: str) -> Measurement:
    return measured(
        section="journal",
        case=case,
        distribution=str(book.distribution),
        positions=book.positions,
        threads=0,
        simd="",
        ours=taken,
        note=note,
    )
