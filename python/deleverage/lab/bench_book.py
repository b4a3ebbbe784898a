"""A kept book as a whole: all markets ranked anew, all lights, changes, and its size."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import polars as pl

from deleverage.book import Book
from deleverage.lab.bench_report import Goal, Measurement, Unit, measured
from deleverage.lab.bench_ticks import CASE, STEP, kept_book
from deleverage.lab.bench_timing import Floor, alternate, cores, repeat
from deleverage.lab.books import Book as Drawn

__all__ = ["measure_book"]

_BATCH = 100_000
_PEER_ROUNDS = 3
_MOST_BYTES = 88
_LEAST_UPSERTS = 5e6
_ALLOWED = Goal(limit=1)
_RERANK, _LIGHTS = Goal(limit=3), Goal(limit=4)
_BEFORE_POLARS = Goal(limit=25, is_speedup=True)


def measure_book(
    one: Drawn, many: Drawn, *, rounds: int, progress: Callable[[str], None]
) -> Iterator[Measurement]:
    """Measure what a kept book does beside single queues.

    Args:
        one: one market.
        many: many markets, all of whose marks move.
        rounds: alternating pairs against the floor.
        progress: told before each part.

    Yields:
        The lines, section `book`.
    """
    progress("upserts on a kept book")
    book = kept_book(one)
    yield _line(
        one,
        "bytes a position, index and screening column included",
        ours=[book.nbytes / one.positions],
        reference="allowed",
        theirs=[_MOST_BYTES],
        goal=_ALLOWED,
        unit=Unit.BYTES,
    )
    yield _upserts(book, one, rounds)
    del book
    progress(f"{many.markets} markets ranked anew")
    yield from _whole(many, rounds)


def _line(
    drawn: Drawn,
    case: str,
    *,
    ours: list[float],
    reference: str,
    theirs: list[float],
    goal: Goal,
    unit: Unit = Unit.MILLISECONDS,
    note: str = "",
) -> Measurement:
    return measured(
        section="book",
        case=case,
        distribution=drawn.distribution.value,
        positions=drawn.positions,
        threads=cores(),
        ours=ours,
        reference=reference,
        theirs=theirs,
        goal=goal,
        rounds_to_judge=1,
        unit=unit,
        note=note,
    )


def _upserts(book: Book, drawn: Drawn, rounds: int) -> Measurement:
    """Positions drawn anywhere, overwritten with what they were."""
    rng = np.random.default_rng(10)
    count = min(_BATCH, drawn.positions)
    names = ("lots", "entry_value", "position_id", "market", *CASE.own)
    batches = []
    for _ in range(rounds + 1):
        rows = rng.choice(drawn.positions, count, replace=False)
        batches.append({name: getattr(drawn, name)[rows] for name in names})
    queue = iter(batches)
    ours = repeat(lambda: book.upsert(next(queue)), rounds)
    return _line(
        drawn,
        f"upsert of {count:,} scattered positions",
        ours=ours,
        reference="5,000,000 rows a second",
        theirs=[count / _LEAST_UPSERTS * 1e3],
        goal=_ALLOWED,
        note=f"{count / min(ours) * 1e3:,.0f} rows a second at best",
    )


def _whole(drawn: Drawn, rounds: int) -> Iterator[Measurement]:
    """Edges and lights of all markets after all marks moved."""
    book = kept_book(drawn)
    floor = Floor(
        [drawn.lots, drawn.entry_value, *(getattr(drawn, name) for name in CASE.own)],
        threads=cores(),
    )
    rng = np.random.default_rng(11)
    marks = drawn.mark_num.astype(np.float64)

    def moved() -> dict[int, tuple[int, int, bool]]:
        marks[:] *= np.exp(rng.normal(0, STEP, drawn.markets))
        return {code: (int(mark), drawn.mark_den, False) for code, mark in enumerate(marks)}

    def light() -> object:
        book.set_rates(moved())
        return book.lights()

    def rerank() -> object:
        return book.rerank(rates=moved())

    # The first finds every edge anew, the next learn how edges follow the marks.
    repeat(rerank, 3)
    reference = f"floor ({floor.variant})"
    theirs, ours = alternate(floor, rerank, rounds)
    case = f"all marks set, all edges found, {drawn.markets:,} markets"
    yield _line(drawn, case, ours=ours, reference=reference, theirs=theirs, goal=_RERANK)
    peer, name = repeat(_ranking_in_polars(book, drawn), _PEER_ROUNDS), "Polars rank().over()"
    yield _line(drawn, case, ours=ours, reference=name, theirs=peer, goal=_BEFORE_POLARS)
    theirs, ours = alternate(floor, light, rounds)
    case = f"all marks set, all lights written, {drawn.markets:,} markets"
    yield _line(drawn, case, ours=ours, reference=reference, theirs=theirs, goal=_LIGHTS)


def _ranking_in_polars(book: Book, drawn: Drawn) -> Callable[[], pl.DataFrame]:
    scores = book.scores(drawn.position_id)[0]
    frame = pl.DataFrame({"market": drawn.market, "is_long": drawn.lots > 0, "score": scores})
    ranked = pl.col("score").rank("ordinal", descending=True).over("market", "is_long")
    return partial(frame.select, ranked)
