"""A kept book as a whole: all markets ranked anew, all lights, changes, and its size."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import numpy as np
import polars as pl

from deleverage import ranking
from deleverage.book import Book
from deleverage.lab.bench_cases import subject_of
from deleverage.lab.bench_report import Goal, Measurement, Unit, measured
from deleverage.lab.bench_ticks import CASE, STEP, kept_book
from deleverage.lab.bench_timing import Floor, alternate, cores, repeat
from deleverage.lab.books import Book as Drawn
from deleverage.lab.books import Distribution, generate

__all__ = ["measure_book"]

_BATCH = 100_000
_PEER_ROUNDS = 3
_MOST_BYTES = 88
_LEAST_UPSERTS = 5e6
_ALLOWED = Goal(limit=1)
_RERANK, _LIGHTS = Goal(limit=3), Goal(limit=4)
_BEFORE_POLARS = Goal(limit=25, is_speedup=True)
_THREADS = min(2, cores())
_SCALING = Goal(limit=0.9 * _THREADS, is_speedup=True)
_SIDE, _SHARE = 1, 0.001

Rates = dict[int, tuple[int, int, bool]]


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
    progress("one thread beside two")
    yield _scaling(many, "all edges found", partial(_reranking, many), rounds)
    ties = generate(one.positions, distribution=Distribution.TIES, seed=one.seed)
    yield _scaling(ties, f"select over all rows, {_SHARE:.1%}", partial(_selecting, ties), rounds)


def _line(
    drawn: Drawn,
    case: str,
    *,
    ours: list[float],
    reference: str,
    theirs: list[float],
    goal: Goal,
    threads: int = 0,
    unit: Unit = Unit.MILLISECONDS,
    note: str = "",
) -> Measurement:
    return measured(
        section="book",
        case=case,
        distribution=drawn.distribution.value,
        positions=drawn.positions,
        threads=threads or cores(),
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
    floor = _floor(drawn, threads=cores())
    moved = _moves(drawn)

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


def _floor(drawn: Drawn, *, threads: int) -> Floor:
    own = [getattr(drawn, name) for name in CASE.own]
    return Floor([drawn.lots, drawn.entry_value, *own], threads=threads)


def _moves(drawn: Drawn) -> Callable[[], Rates]:
    """Return what moves the marks of all markets by a step and says where they are."""
    rng = np.random.default_rng(11)
    marks = drawn.mark_num.astype(np.float64)

    def moved() -> Rates:
        marks[:] *= np.exp(rng.normal(0, STEP, drawn.markets))
        return {code: (int(mark), drawn.mark_den, False) for code, mark in enumerate(marks)}

    return moved


def _reranking(drawn: Drawn, threads: int) -> Callable[[], object]:
    book, moved = kept_book(drawn, threads=threads), _moves(drawn)

    def rerank() -> object:
        return book.rerank(rates=moved())

    repeat(rerank, 3)
    return rerank


def _selecting(drawn: Drawn, threads: int) -> Callable[[], object]:
    subject = subject_of(drawn, CASE)
    lots = max(1, int(drawn.open_interest(_SIDE) * _SHARE))
    call = partial(ranking.select, subject.columns, subject.rates[0], rule=CASE.rule)
    return partial(call, side=_SIDE, lots=lots, threads=threads)


def _scaling(
    drawn: Drawn, case: str, calling: Callable[[int], Callable[[], object]], rounds: int
) -> Measurement:
    """One thread beside two; what the floor gains by a second one is what the memory allows."""
    theirs, ours = alternate(calling(1), calling(_THREADS), rounds)
    alone, both = (_floor(drawn, threads=count) for count in (1, _THREADS))
    slow, fast = alternate(alone, both, rounds)
    return _line(
        drawn,
        case,
        ours=ours,
        reference="one thread",
        theirs=theirs,
        goal=_SCALING,
        threads=_THREADS,
        note=f"the floor gains {median(slow) / median(fast):.2f}x",
    )
