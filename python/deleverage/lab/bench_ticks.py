"""Ticks on a kept book: how long a mark and the head of a queue take, against everything else.

Each tick moves the mark of one market by a step of a random walk and asks for a share of one side.
A line's figure is the median tick; its note says how slow the slowest were, and how many ticks had
to pass over the side to find the rows at hand. The floor sums the columns of the side asked for.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from deleverage import ranking
from deleverage.book import Book
from deleverage.errors import InvariantError
from deleverage.lab.bench_cases import CASES
from deleverage.lab.bench_peers import load
from deleverage.lab.bench_report import Goal, Measurement, measured
from deleverage.lab.bench_timing import Floor, cores, repeat
from deleverage.lab.books import Book as Drawn

__all__ = ["CASE", "Course", "batch_of", "kept_book", "measure_ticks", "run_course", "side_of"]

CASE = CASES["bitmex"]
STEP = 1e-4
"""Size of a step of the walk: one basis point."""

_SIDE = "long"
_SIGN = 1
_SMALL, _LARGE = 0.001, 0.01
_MANY, _FEW = 10_000, 200
_PEERS = ("polars_top_k", "duckdb_limit", "numpy_partition")
_PEER_ROUNDS = 3
_SLOWEST = Goal(limit=1.5)
_BEFORE_PEERS = Goal(limit=6, is_speedup=True)
_GOALS = {
    (_SMALL, False): Goal(limit=50, is_speedup=True),
    (_SMALL, True): Goal(limit=15, is_speedup=True),
    (_LARGE, False): Goal(limit=8, is_speedup=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Ticks of one walk, milliseconds each.

    Attributes:
        kept: ticks answered from rows at hand.
        passed: ticks that passed over the side.
        selected: positions taken at the last tick.
    """

    kept: tuple[float, ...]
    passed: tuple[float, ...]
    selected: int

    @property
    def all(self) -> tuple[float, ...]:
        """Every tick."""
        return self.kept + self.passed

    def __str__(self) -> str:
        slow = [1e3 * float(np.quantile(self.all, share)) for share in (0.99, 0.999, 1)]
        text = "p99 {:.1f}, p99.9 {:.1f}, slowest {:.1f} us".format(*slow)
        passes = f", median {median(self.passed):.2f} ms" if self.passed else ""
        return f"{text}; {len(self.passed)} of {len(self.all):,} ticks passed over the side{passes}"


def kept_book(drawn: Drawn, *, threads: int = 0) -> Book:
    """Keep a drawn book under the rule that is measured.

    Args:
        drawn: the positions.
        threads: how many a verb may use, 0 for all.

    Returns:
        The kept book.
    """
    names = ("lots", "entry_value", "position_id", "market", *CASE.own)
    rates = [(int(num), drawn.mark_den, False) for num in drawn.mark_num]
    columns = {name: getattr(drawn, name) for name in names}
    return Book.from_arrays(columns, rates, rule=CASE.rule, threads=threads)


def side_of(drawn: Drawn) -> ranking.Columns:
    """Return the columns of the side that ticks ask for, in a book of one market."""
    rows = np.flatnonzero(drawn.lots * _SIGN > 0)
    names = ("lots", "entry_value", "position_id", *CASE.own)
    return ranking.Columns(**{name: getattr(drawn, name)[rows] for name in names})


def run_course(
    book: Book, drawn: Drawn, *, share: float, is_ordered: bool = False, ticks: int
) -> Course:
    """Walk the mark of a book of one market and ask for the head after each step.

    Args:
        book: the drawn book, kept.
        drawn: the positions.
        share: of the side's lots.
        is_ordered: the head comes in queue order.
        ticks: steps.

    Returns:
        How long each took.
    """
    lots = max(1, int(drawn.open_interest(_SIGN) * share))
    steps = np.random.default_rng(9).normal(0, STEP, ticks)
    marks = np.maximum(1, drawn.mark_num[0] * np.exp(np.cumsum(steps))).astype(np.int64)
    kept: list[float] = []
    passed: list[float] = []
    selected = 0
    for num in marks.tolist():
        before = book.passes
        start = time.perf_counter_ns()
        book.set_rates({0: (num, drawn.mark_den, False)})
        head = book.select(0, side=_SIDE, lots=lots, is_ordered=is_ordered)
        taken = (time.perf_counter_ns() - start) / 1e6
        (kept if book.passes == before and head.is_kept else passed).append(taken)
        selected = len(head.position_id)
    return Course(kept=tuple(kept), passed=tuple(passed), selected=selected)


def measure_ticks(
    drawn: Drawn,
    *,
    folder: Path | None,
    rounds: int,
    quick: bool,
    progress: Callable[[str], None],
) -> Iterator[Measurement]:
    """Hold a kept book's ticks against the floor, a pass over all rows, and the peers.

    Args:
        drawn: one market, log-normal.
        folder: where the peers are, None to leave them out.
        rounds: calls of the floor and of the pass.
        quick: fewer ticks.
        progress: told before each course.

    Yields:
        The lines, section `ticks`.

    Raises:
        InvariantError: a peer, or the pass over all rows, took other positions.
    """
    book, side = kept_book(drawn), side_of(drawn)
    own = [getattr(side, name) for name in CASE.own]
    floor = Floor([side.lots, side.entry_value, *own], threads=cores())
    for share in (_SMALL, _LARGE):
        for is_ordered in (False, True):
            ticks = _FEW if quick else _MANY
            case = f"{share:.1%} of a side" + (", in queue order" if is_ordered else "")
            progress(f"{ticks:,} ticks, {case}")
            course = run_course(book, drawn, share=share, is_ordered=is_ordered, ticks=ticks)
            line, theirs = _Line(drawn, case, course), repeat(floor, rounds)
            reference, goal = f"floor ({floor.variant})", _GOALS.get((share, is_ordered))
            yield line.against(reference, theirs, goal=goal, note=str(course))
            if not is_ordered:
                yield from line.with_batch(repeat(batch_of(drawn, side, share), rounds))
                yield from _against_peers(line, book, folder, share, progress)


@dataclass(frozen=True, slots=True)
class _Line:
    """What the lines of one course have in common."""

    drawn: Drawn
    case: str
    course: Course

    def against(
        self,
        reference: str,
        theirs: list[float],
        *,
        goal: Goal | None = None,
        note: str = "",
    ) -> Measurement:
        """The median tick beside something else."""
        ours = self.course.kept or self.course.passed
        return self._line(ours, reference, theirs, goal=goal, note=note)

    def with_batch(self, theirs: list[float]) -> Iterator[Measurement]:
        """The median tick and the slowest beside a pass over all rows."""
        reference = "select over all rows"
        yield self.against(reference, theirs)
        slowest = (max(self.course.all),)
        yield self._line(slowest, reference, theirs, goal=_SLOWEST, note="the slowest tick")

    def _line(
        self,
        ours: tuple[float, ...],
        reference: str,
        theirs: list[float],
        *,
        goal: Goal | None,
        note: str,
    ) -> Measurement:
        return measured(
            section="ticks",
            case=self.case,
            distribution=self.drawn.distribution.value,
            positions=self.drawn.positions,
            selected=self.course.selected,
            threads=cores(),
            ours=ours,
            reference=reference,
            theirs=theirs,
            goal=goal,
            rounds_to_judge=1,
            note=note,
        )


def batch_of(drawn: Drawn, side: ranking.Columns, share: float) -> Callable[[], ranking.Selection]:
    """Return the call that takes the head of a side by reading all of its rows.

    Args:
        drawn: a book of one market.
        side: the columns of the side that ticks ask for.
        share: of the side's lots.

    Returns:
        A function without arguments; what is asked for is summed up before.
    """
    rate = ranking.Rate(mark_num=int(drawn.mark_num[0]), mark_den=drawn.mark_den)
    lots = max(1, int(drawn.open_interest(_SIGN) * share))
    return partial(ranking.select, side, rate, rule=CASE.rule, side=_SIGN, lots=lots)


def _against_peers(
    line: _Line, book: Book, folder: Path | None, share: float, progress: Callable[[str], None]
) -> Iterator[Measurement]:
    """The median tick beside each peer, which ranks anew what it was handed before."""
    if folder is None:
        return
    drawn = line.drawn
    os.environ["PEER_THREADS"] = str(cores())
    harness = load(folder, "peer_harness")
    book.set_rates({0: (int(drawn.mark_num[0]), drawn.mark_den, False)})
    asked = harness.question_of(drawn, rule=CASE.peer, side=_SIGN, share=share)
    ours = np.sort(book.select(0, side=_SIDE, lots=asked.lots).position_id)
    for name in _PEERS:
        progress(f"peer {name}: {share:.1%} of a side")
        peer = load(folder, name)
        state = peer.prepare(harness.columns_of(drawn), CASE.peer)
        if not np.array_equal(ours, np.sort(peer.select(state, asked))):
            raise InvariantError(f"{name}: expected the positions that the kept book takes")
        theirs = repeat(partial(peer.select, state, asked), _PEER_ROUNDS)
        yield line.against(name, theirs, goal=_BEFORE_PEERS)
