"""Lights against the slow twin: bands of a queue by quantity, by entries and by accounts."""

from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deleverage import ranking
from deleverage.model.rules import Basis, Factor, Loss, ScoreRule, Weight
from oracle import Book, Position, Rate, lights, rank
from strategies import accounts_of, books, columns_of, rates_of, rules

THOROUGH = settings(
    max_examples=max(200, settings().max_examples),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

BANDS = st.integers(1, 10)
WEIGHTS = st.sampled_from(Weight)

EQUAL = ScoreRule(basis=Basis.UNIT, factor=Factor.NONE, loss=Loss.MULTIPLY, ties=())
"""Every entry scores 1, so that position_id alone orders the queue."""


def shown(book: Book, **options: Any) -> list[int]:
    """The kernel's lights of a book; where none is named, each entry is an account of its own."""
    columns = columns_of(book)
    if columns.owner is None:
        columns = replace(columns, owner=np.arange(len(columns.lots), dtype=np.uint32))
    light = ranking.lights(
        columns, rates_of(book), rule=book.rule, accounts=accounts_of(book), **options
    )
    return [int(value) for value in light]


def equal_scores(*sizes: int, owners: tuple[int, ...] = ()) -> Book:
    """Entries of the given sizes in the order given."""
    return Book(
        positions=tuple(
            Position(lots=size, entry_value=1, position_id=row, owner=owner)
            for row, (size, owner) in enumerate(zip_longest(sizes, owners))
        ),
        rates=(Rate(mark_num=1, mark_den=1),),
        rule=EQUAL,
    )


def test_bitmex_table() -> None:
    """Sizes 10 20 30 10 10 20 end at 10 30 60 70 80 100 % and show 5 4 3 2 2 1."""
    assert shown(equal_scores(10, 20, 30, 10, 10, 20)) == [5, 4, 3, 2, 2, 1]


def test_boundaries_belong_to_the_front() -> None:
    """An entry that ends exactly at a band's edge is still in that band, one lot on is not."""
    assert shown(equal_scores(20, 20, 20, 20, 20)) == [5, 4, 3, 2, 1]
    assert shown(equal_scores(21, 19, 20, 20, 20)) == [4, 4, 3, 2, 1]
    assert shown(equal_scores(19, 1, 20, 20, 40)) == [5, 5, 4, 3, 1]


@pytest.mark.parametrize("weight", Weight)
@pytest.mark.parametrize("bands", range(1, 11))
def test_a_single_entry_is_last(bands: int, weight: Weight) -> None:
    """Who is alone is at the end of the queue, too: percentile 1, light 1."""
    assert shown(equal_scores(7), bands=bands, weight=weight) == [1]


def test_an_account_counts_once() -> None:
    """Entries of an account that was met before add nothing to the share."""
    book = equal_scores(10, 20, 30, 10, 10, 20, owners=(2, 2, 0, 2, 0, 1))

    assert shown(book, weight=Weight.ACCOUNTS) == [4, 4, 2, 2, 2, 1]


@given(book=books(markets=3), bands=BANDS, weight=WEIGHTS)
@THOROUGH
def test_lights_equal_the_oracle(book: Book, bands: int, weight: Weight) -> None:
    """Any book, number of bands and weight: bands + 1 - ceil(bands * percentile), exactly."""
    assert shown(book, bands=bands, weight=weight) == lights(book, bands=bands, weight=weight)


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=60), bands=BANDS, weight=WEIGHTS)
@THOROUGH
def test_ties_at_the_boundaries(sizes: list[int], bands: int, weight: Weight) -> None:
    """Small sizes make entries end on the edges; equal scores are parted by their ids."""
    book = equal_scores(*sizes, owners=tuple(size % 5 for size in sizes))

    assert shown(book, bands=bands, weight=weight) == lights(book, bands=bands, weight=weight)


@given(book=books(markets=3), bands=BANDS, weight=WEIGHTS)
@THOROUGH
def test_lights_agree_with_ranks(book: Book, bands: int, weight: Weight) -> None:
    """G10: a light is 0 exactly where there is no rank, and never rises down a queue."""
    ranked = ranking.rank(
        columns_of(book), rates_of(book), rule=book.rule, accounts=accounts_of(book)
    )
    light = shown(book, bands=bands, weight=weight)

    assert [value > 0 for value in light] == (ranked.rank > 0).tolist()
    for market in range(len(book.rates)):
        for side in (1, -1):
            queue = sorted(
                (int(ranked.rank[row]), light[row])
                for row, position in enumerate(book.positions)
                if position.market == market and position.lots * side > 0 and light[row]
            )
            values = [value for _, value in queue]
            assert values == sorted(values, reverse=True)
            assert not values or values[-1] == 1


@given(book=books(markets=3), bands=BANDS, weight=WEIGHTS, data=st.data())
@THOROUGH
def test_grouping_of_rows_changes_nothing(
    book: Book, bands: int, weight: Weight, data: st.DataObject
) -> None:
    """Rows grouped by market and side, or in any other order: each id shows the same light."""
    count = len(book.positions)
    grouped = sorted(range(count), key=lambda row: (book.positions[row].market, row))
    shuffled = data.draw(st.permutations(range(count)))

    def by_id(order: list[int]) -> dict[int, int]:
        arranged = replace(book, positions=tuple(book.positions[row] for row in order))
        light = shown(arranged, bands=bands, weight=weight)
        return {p.position_id: v for p, v in zip(arranged.positions, light, strict=True)}

    assert by_id(grouped) == by_id(shuffled) == by_id(list(range(count)))


@given(book=books(markets=2), bands=BANDS, weight=WEIGHTS, threads=st.sampled_from([1, 2]))
@THOROUGH
def test_threads_and_instruction_sets_change_no_light(
    book: Book, bands: int, weight: Weight, threads: int
) -> None:
    """The same lights on every instruction set and number of threads."""
    expected = shown(book, bands=bands, weight=weight)

    for level in ranking.simd_levels():
        options = {"bands": bands, "weight": weight, "simd": level, "threads": threads}
        assert shown(book, **options) == expected, level


def test_quantities_beyond_64_bits() -> None:
    """Shares of more than 2^63 lots are still exact: 9000 equal entries in ten bands of 900."""
    count, size = 9000, 2**51 - 1
    columns = ranking.Columns(lots=np.full(count, size), entry_value=np.full(count, size))

    light = ranking.lights(
        columns, ranking.Rate(mark_num=1, mark_den=1), rule=EQUAL, bands=10, weight="quantity"
    )

    assert light.tolist() == [10 - row // 900 for row in range(count)]


@given(book=books(rule=rules(factor=st.just(Factor.NONE))))
@THOROUGH
def test_the_next_in_line_shines_brightest(book: Book) -> None:
    """With as many bands as there are entries, light counts the queue from its end."""
    ranks = rank(book)
    for side in (1, -1):
        rows = [
            row
            for row, position in enumerate(book.positions)
            if ranks[row] and position.lots * side > 0
        ]
        if 0 < len(rows) <= 10:
            light = shown(book, bands=len(rows), weight=Weight.ENTRIES)
            assert [light[row] for row in rows] == [len(rows) + 1 - ranks[row] for row in rows]
