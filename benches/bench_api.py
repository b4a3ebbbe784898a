"""The array level and the frame level under pytest-benchmark.

    pytest benches/bench_api.py --benchmark-enable
    POSITIONS=10000000 pytest benches/bench_api.py --benchmark-enable

The figures that goals are set against come from `deleverage bench`; these are for comparing one
change with the next.
"""

import os
from functools import partial

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import deleverage as dl
from deleverage import ranking
from deleverage.lab.bench_cases import CASES, Subject, subject_of
from deleverage.lab.bench_select import SHARES, question
from deleverage.lab.book_frames import Numbers, markets_frame, marks_frame, positions_frame
from deleverage.lab.books import Book, generate

POSITIONS = int(os.environ.get("POSITIONS", "100000"))


@pytest.fixture(scope="module")
def book() -> Book:
    """A plain book of one market."""
    return generate(POSITIONS)


@pytest.fixture(scope="module")
def markets() -> Subject:
    """A plain book of 500 markets, rows grouped, under the bitmex rule."""
    return subject_of(generate(POSITIONS, markets=500), CASES["bitmex"])


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("case", CASES)
def test_select(benchmark: BenchmarkFixture, book: Book, case: str, share: float) -> None:
    """`select` covers a share of the shorts' open interest."""
    head = benchmark(question(subject_of(book, CASES[case]), share, threads=0))

    assert head.unfilled == 0


@pytest.mark.parametrize("share", SHARES)
def test_order(benchmark: BenchmarkFixture, book: Book, share: float) -> None:
    """`order` brings the selected rows into queue order."""
    subject = subject_of(book, CASES["bitmex"])
    rows = question(subject, share, threads=0)().rows
    order = partial(ranking.order, subject.columns, subject.rates[0], rule=subject.case.rule)

    queue = benchmark(order, rows)

    assert np.array_equal(np.sort(queue), np.sort(rows))


def test_lights(benchmark: BenchmarkFixture, markets: Subject) -> None:
    """`lights` of every row of 500 markets."""
    shown = benchmark(ranking.lights, markets.columns, markets.rates, rule=markets.case.rule)

    assert set(np.unique(shown)) <= set(range(6))


def test_rank(benchmark: BenchmarkFixture, markets: Subject) -> None:
    """`rank` of every row of 500 markets."""
    placed = benchmark(ranking.rank, markets.columns, markets.rates, rule=markets.case.rule)

    assert placed.rank.min() >= 0


@pytest.mark.parametrize("numbers", Numbers)
def test_prepare(benchmark: BenchmarkFixture, book: Book, numbers: Numbers) -> None:
    """`prepare` takes a frame of each number type."""
    snapshot = benchmark(
        dl.prepare,
        positions_frame(book, numbers=numbers),
        marks=marks_frame(book),
        markets=markets_frame(book, numbers=numbers),
        venue=dl.Venue.load("bitmex"),
    )

    assert snapshot is not None


def test_plan(benchmark: BenchmarkFixture, book: Book) -> None:
    """`plan` on a prepared snapshot."""
    venue = dl.Venue.load("bitmex")
    snapshot = dl.prepare(
        positions_frame(book), marks=marks_frame(book), markets=markets_frame(book), venue=venue
    )

    plan = benchmark(
        dl.plan,
        snapshot,
        venue=venue,
        market="M0000-PERP",
        bankrupt_side="long",
        qty="1000",
        bankruptcy_price="61250",
    )

    assert plan.unfilled == 0
