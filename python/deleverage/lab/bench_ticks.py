"""Ticks on a kept book: how long a mark and the head of a queue take, against the floor.

The floor sums the columns of the side that is asked for. Each tick moves the mark of one market by
a step of a random walk and asks for the same share of the side; ticks that had to pass over the
side to find the rows at hand are counted and shown apart. Times are of the whole process on the
processor, so that a busy machine does not show.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from deleverage import ranking
from deleverage.book import Book
from deleverage.lab.bench_cases import CASES
from deleverage.lab.bench_timing import cores
from deleverage.lab.books import Book as Drawn
from deleverage.lab.books import generate

__all__ = ["TickLine", "TickReport", "measure_ticks"]

_SHARES = (1000, 100)
_STEP = 1e-4
_ROUNDS = 11
_MARKETS = 500
_BATCH = 100_000
_CASE = CASES["bitmex"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TickLine:
    """One course of ticks.

    Attributes:
        share: the request is the side's lots over this.
        is_ordered: the head comes in queue order.
        selected: positions taken at the last tick.
        floor_us: summing the side's columns, microseconds of processor time.
        select_us: a stateless `select` of the side.
        median_us: a tick that was answered from kept rows.
        p99_us: of all ticks.
        p999_us: of all ticks.
        most_us: the slowest tick.
        rebuilds: ticks that passed over the side.
        rebuild_us: their median, 0 without any.
    """

    share: int
    is_ordered: bool
    selected: int
    floor_us: float
    select_us: float
    median_us: float
    p99_us: float
    p999_us: float
    most_us: float
    rebuilds: int
    rebuild_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TickReport:
    """What a run measured.

    Attributes:
        positions: rows of each book.
        ticks: of each line.
        cores: this process may use.
        lines: courses of ticks on one market.
        bytes_per_position: of the kept book.
        upserts_per_second: scattered rows overwritten, in batches.
        markets: of the book that is ranked anew as a whole.
        whole_floor_us: summing its columns.
        rerank_us: all marks set and all edges found.
        lights_us: all lights written.
        polars_us: Polars' `rank().over()` of scores that are there already.
    """

    positions: int
    ticks: int
    cores: int
    lines: tuple[TickLine, ...]
    bytes_per_position: float
    upserts_per_second: float
    markets: int
    whole_floor_us: float
    rerank_us: float
    lights_us: float
    polars_us: float

    def to_dict(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self)

    def to_markdown(self) -> str:
        """A table of the ticks, and a line for each other figure."""
        head = (
            "| request | order | selected | floor | select | tick | p99 | p99.9 | most | passes |"
            " a pass |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
        )
        rows = "".join(
            f"| 1/{line.share} | {'queue' if line.is_ordered else 'none'} | {line.selected} "
            f"| {line.floor_us:.0f} | {line.select_us:.0f} | {line.median_us:.1f} "
            f"| {line.p99_us:.0f} | {line.p999_us:.0f} | {line.most_us:.0f} "
            f"| {line.rebuilds} | {line.rebuild_us:.0f} |\n"
            for line in self.lines
        )
        return (
            f"{self.positions} positions, {self.ticks} ticks, {self.cores} cores; microseconds\n\n"
            f"{head}{rows}\n"
            f"- bytes a position: {self.bytes_per_position:.1f}\n"
            f"- upserts a second: {self.upserts_per_second:.0f}\n"
            f"- {self.markets} markets: floor {self.whole_floor_us:.0f}, rerank "
            f"{self.rerank_us:.0f}, lights {self.lights_us:.0f}, Polars rank "
            f"{self.polars_us:.0f}\n"
        )


def measure_ticks(
    positions: int, *, ticks: int, progress: Callable[[str], None] | None = None
) -> TickReport:
    """Run the courses and the measurements of a whole book.

    Args:
        positions: rows of each book.
        ticks: of each course.
        progress: is told what is measured next.

    Returns:
        The figures.
    """
    say = progress or (lambda _: None)
    say(f"a book of {positions} positions in one market")
    drawn = generate(positions, seed=7)
    book = _kept(drawn)
    size = book.nbytes / positions
    lines = []
    for share in _SHARES:
        for is_ordered in (False, True):
            say(f"{ticks} ticks, 1/{share} of the side{', ordered' if is_ordered else ''}")
            lines.append(_line(book, drawn, share=share, is_ordered=is_ordered, ticks=ticks))
    say("scattered upserts")
    rate = _upserts(book, drawn)
    say(f"a book of {_MARKETS} markets")
    whole = generate(positions, seed=8, markets=min(_MARKETS, positions))
    floor, rerank, lights, polars = _whole(whole)
    return TickReport(
        positions=positions,
        ticks=ticks,
        cores=cores(),
        lines=tuple(lines),
        bytes_per_position=size,
        upserts_per_second=rate,
        markets=whole.markets,
        whole_floor_us=floor,
        rerank_us=rerank,
        lights_us=lights,
        polars_us=polars,
    )


def _kept(drawn: Drawn) -> Book:
    columns = {
        name: getattr(drawn, name)
        for name in ("lots", "entry_value", "position_id", "market", *_CASE.own)
    }
    rates = [(int(num), drawn.mark_den, False) for num in drawn.mark_num]
    return Book.from_arrays(columns, rates, rule=_CASE.rule)


def _taken(run: Callable[[], object]) -> float:
    """Microseconds of processor time of one call."""
    start = time.process_time_ns()
    result = run()
    taken = time.process_time_ns() - start
    del result
    return taken / 1e3


def _median(run: Callable[[], object]) -> float:
    run()
    return median(_taken(run) for _ in range(_ROUNDS))


def _floor(columns: list[Any]) -> float:
    def run(variant: str) -> Callable[[], object]:
        return lambda: ranking.floor(columns, variant=variant)

    return min(_median(run(variant)) for variant in ranking.FLOOR_VARIANTS)


def _walk(mark: int, ticks: int) -> Iterator[int]:
    steps = np.random.default_rng(9).normal(0, _STEP, ticks)
    for moved in mark * np.exp(np.cumsum(steps)):
        yield max(1, int(moved))


def _line(book: Book, drawn: Drawn, *, share: int, is_ordered: bool, ticks: int) -> TickLine:
    rows = np.flatnonzero(drawn.lots > 0)
    names = ("lots", "entry_value", "position_id", *_CASE.own)
    side = ranking.Columns(**{name: getattr(drawn, name)[rows] for name in names})
    mark, den = int(drawn.mark_num[0]), drawn.mark_den
    lots = max(1, drawn.open_interest(1) // share)
    rate = ranking.Rate(mark_num=mark, mark_den=den)
    selected = 0
    kept: list[float] = []
    passed: list[float] = []

    def select() -> object:
        return ranking.select(side, rate, rule=_CASE.rule, side=1, lots=lots)

    for num in _walk(mark, ticks):
        before = book.passes
        start = time.process_time_ns()
        book.set_rates({0: (num, den, False)})
        head = book.select(0, side="long", lots=lots, is_ordered=is_ordered)
        taken = (time.process_time_ns() - start) / 1e3
        (kept if book.passes == before and head.is_kept else passed).append(taken)
        selected = len(head.position_id)
    everything = np.array(kept + passed)
    return TickLine(
        share=share,
        is_ordered=is_ordered,
        selected=selected,
        floor_us=_floor([side.lots, side.entry_value, *(getattr(side, n) for n in _CASE.own)]),
        select_us=_median(select),
        median_us=median(kept or passed),
        p99_us=float(np.quantile(everything, 0.99)),
        p999_us=float(np.quantile(everything, 0.999)),
        most_us=float(everything.max()),
        rebuilds=len(passed),
        rebuild_us=median(passed) if passed else 0.0,
    )


def _upserts(book: Book, drawn: Drawn) -> float:
    """Rows a second: positions drawn anywhere, overwritten with what they were."""
    rng = np.random.default_rng(10)
    count = min(_BATCH, drawn.positions)
    names = ("lots", "entry_value", "position_id", *_CASE.own)
    taken = []
    for _ in range(_ROUNDS):
        rows = rng.choice(drawn.positions, count, replace=False)
        batch = {name: getattr(drawn, name)[rows] for name in names}
        taken.append(_taken(lambda batch=batch: book.upsert(batch)))  # type: ignore[misc]
    return count / median(taken) * 1e6


def _whole(drawn: Drawn) -> tuple[float, float, float, float]:
    """Floor, rerank, lights and Polars over a book of many markets."""
    book = _kept(drawn)
    rng = np.random.default_rng(11)
    marks = drawn.mark_num.astype(np.float64)

    def rerank() -> object:
        rates = {code: (int(mark), drawn.mark_den, False) for code, mark in enumerate(marks)}
        return book.rerank(rates=rates)

    taken = []
    for _ in range(2 * _ROUNDS):
        marks *= np.exp(rng.normal(0, _STEP, drawn.markets))
        taken.append(_taken(rerank))
    # The first finds every edge by a sort, the second does not know yet how far edges move.
    rerank_us = median(taken[2:])
    lights_us = _median(book.lights)
    scores = book.scores(drawn.position_id)[0]
    frame = pl.DataFrame({"market": drawn.market, "is_long": drawn.lots > 0, "score": scores})
    ranked = pl.col("score").rank("ordinal", descending=True).over("market", "is_long")
    own = [getattr(drawn, name) for name in _CASE.own]
    floor = _floor([drawn.lots, drawn.entry_value, *own])
    return floor, rerank_us, lights_us, _median(lambda: frame.select(ranked))
