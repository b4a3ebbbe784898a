"""`lights` and `rank` against the floor, and every verb on books drawn to find a weak spot."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np

from deleverage import ranking
from deleverage.lab.bench_cases import CASES, Subject, subject_of
from deleverage.lab.bench_report import Goal, Measurement, measured
from deleverage.lab.bench_select import question
from deleverage.lab.bench_timing import alternate, cores, repeat
from deleverage.lab.books import Book, Distribution, generate

__all__ = [
    "GROUPED",
    "MANY_MARKETS",
    "SOME_MARKETS",
    "UNGROUPED",
    "lights_call",
    "measure_lights",
    "measure_rank",
    "measure_spread",
]

GROUPED = "rows grouped by market"
UNGROUPED = "rows in no order"
MANY_MARKETS = 5_000
SOME_MARKETS = 500

_NO_SLOWER_THAN_TWICE = Goal(limit=2.0)
_SHARE = 0.001
_ONE_MARKET_KINDS = (
    Distribution.TIES,
    Distribution.GIANT,
    Distribution.LOSS,
    Distribution.ASCENDING,
    Distribution.DESCENDING,
)


def lights_call(subject: Subject, threads: int) -> Callable[[], object]:
    """Return the call that is measured: five lights by quantity over all markets.

    Args:
        subject: the book, and the rule.
        threads: how many it may use.
    """
    return partial(
        ranking.lights,
        subject.columns,
        subject.rates,
        rule=subject.case.rule,
        accounts=subject.accounts,
        threads=threads,
    )


def measure_lights(
    book: Book,
    *,
    threads: tuple[int, ...],
    rounds: int,
    progress: Callable[[str], None],
) -> Iterator[Measurement]:
    """Hold `lights` against the floor, rows grouped by market and in no order.

    Args:
        book: many markets, rows grouped.
        threads: thread counts.
        rounds: alternating pairs a line.
        progress: told before each layout.

    Yields:
        The lines, section `lights`.
    """
    many = book.markets > SOME_MARKETS
    for layout, rows in ((GROUPED, book), (UNGROUPED, book.shuffled())):
        limit = 5.0 if layout == GROUPED else 15.0
        if many:
            limit = 8.0 if layout == GROUPED else 30.0
        subject = subject_of(rows, CASES["bitmex"])
        for count in threads:
            progress(f"lights: {book.markets:,} markets, {layout}, on {count} threads")
            floor = subject.floor(count)
            theirs, ours = alternate(floor, lights_call(subject, count), rounds)
            yield measured(
                section="lights",
                case=f"bitmex, {book.markets:,} markets",
                distribution=f"{book.distribution.value}, {layout}",
                positions=book.positions,
                threads=count,
                ours=ours,
                reference=f"floor ({floor.variant})",
                theirs=theirs,
                goal=Goal(limit=limit),
            )


def measure_rank(book: Book, *, threads: tuple[int, ...], rounds: int) -> Iterator[Measurement]:
    """Show `rank` beside the floor; its goal is set against a sort, in the section of the peers.

    Args:
        book: one market.
        threads: thread counts.
        rounds: alternating pairs a line.

    Yields:
        The lines, section `rank`.
    """
    subject = subject_of(book, CASES["bitmex"])
    for count in threads:
        floor = subject.floor(count)
        call = partial(
            ranking.rank,
            subject.columns,
            subject.rates[0],
            rule=subject.case.rule,
            threads=count,
        )
        theirs, ours = alternate(floor, call, rounds)
        yield measured(
            section="rank",
            case="bitmex, both sides",
            distribution=book.distribution.value,
            positions=book.positions,
            threads=count,
            ours=ours,
            reference=f"floor ({floor.variant})",
            theirs=theirs,
        )


def measure_spread(
    plain: Book, plain_markets: Book, *, rounds: int, progress: Callable[[str], None]
) -> Iterator[Measurement]:
    """Hold every distribution against the plain one, verb by verb, on all cores.

    Args:
        plain: log-normal, one market.
        plain_markets: log-normal, many markets, rows grouped.
        rounds: alternating pairs a line.
        progress: told before each distribution.

    Yields:
        The lines, section `distributions`.
    """
    case, seed = CASES["bitmex"], plain.seed
    select_plain = question(subject_of(plain, case), _SHARE, threads=cores())
    for kind in _ONE_MARKET_KINDS:
        progress(f"distributions: select, {kind.value}")
        book = _one_market(kind, plain.positions, seed)
        select_this = question(subject_of(book, case), _SHARE, threads=cores())
        answer = select_this()
        theirs, ours = alternate(select_plain, select_this, rounds)
        note = f"{answer.rescans} rescans" if answer.rescans else ""
        yield _spread_line(f"select bitmex, {_SHARE:.2%}", book, ours, theirs, note)
    progress("distributions: select, tiny")
    yield _each_market(plain.positions, seed)
    lights_plain = lights_call(subject_of(plain_markets, case), cores())
    for kind in Distribution:
        if kind is Distribution.LOG_NORMAL:
            continue
        progress(f"distributions: lights, {kind.value}")
        markets = MANY_MARKETS if kind is Distribution.TINY else plain_markets.markets
        book = generate(
            plain.positions,
            seed=seed,
            distribution=kind,
            markets=min(markets, plain.positions),
        )
        lights_this = lights_call(subject_of(book, case), cores())
        theirs, ours = alternate(lights_plain, lights_this, rounds)
        yield _spread_line(f"lights bitmex, {book.markets:,} markets", book, ours, theirs, "")


def _one_market(kind: Distribution, positions: int, seed: int) -> Book:
    """Draw a book of one market; of `giant` it is the large market alone, with as many rows."""
    if kind is not Distribution.GIANT:
        return generate(positions, seed=seed, distribution=kind)
    # Ten ninths of the rows, so that the giant itself has them all.
    whole = generate(-(-positions * 10 // 9), seed=seed, distribution=kind, markets=SOME_MARKETS)
    giant = whole.take((whole.market == 0).nonzero()[0][:positions])
    return dataclasses.replace(giant, mark_num=whole.mark_num[:1])


def _each_market(positions: int, seed: int) -> Measurement:
    """Select in every one of many small markets: as many calls, so that no goal is set."""
    book = generate(
        positions,
        seed=seed,
        distribution=Distribution.TINY,
        markets=min(MANY_MARKETS, positions),
    )
    starts = np.searchsorted(book.market, np.arange(book.markets + 1))
    calls = []
    for code, (start, stop) in enumerate(pairwise(starts.tolist())):
        rows = dataclasses.replace(
            book.take(np.arange(start, stop)), mark_num=book.mark_num[code : code + 1]
        )
        calls.append(question(subject_of(rows, CASES["bitmex"]), _SHARE, threads=cores()))
    return measured(
        section="distributions",
        case=f"select bitmex, {_SHARE:.2%} in each of {book.markets:,} markets",
        distribution=book.distribution.value,
        positions=positions,
        threads=cores(),
        ours=repeat(lambda: [call() for call in calls], 3),
        note=f"{book.markets:,} calls",
    )


def _spread_line(
    case: str, book: Book, ours: list[float], theirs: list[float], note: str
) -> Measurement:
    return measured(
        section="distributions",
        case=case,
        distribution=book.distribution.value,
        positions=book.positions,
        threads=cores(),
        ours=ours,
        reference="the same on log_normal",
        theirs=theirs,
        goal=_NO_SLOWER_THAN_TWICE,
        note=note,
    )
