"""Large books against exact keys: sampled cuts, screened passes, many chunks and many threads."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.model.rules import Basis, Factor, Loss, NoEquity, ScoreRule, Weight
from large import (
    MODES,
    SHAPES,
    LargeBook,
    Shape,
    anything,
    ascending,
    bands_of,
    book_of,
    many_markets,
    stride_meets_the_best,
)
from oracle import queue

SHARES = (0.0001, 0.001, 0.01, 0.1, 0.5, 1.0, 1.2)
"""Offsets of a large book, as shares of the side's quantity."""

NOBODY = np.zeros(0, dtype=np.int64)


def assert_head(
    selection: ranking.Selection, rows: NDArray[np.int64], sizes: NDArray[np.int64], lots: int
) -> None:
    """The cut is the head of the queue `rows`, whole entries but for the last, and no more."""
    ends = np.cumsum(sizes)
    available = int(ends[-1]) if len(ends) else 0
    taken = min(int(np.searchsorted(ends, lots)) + 1, len(rows))
    closed = sizes[:taken].copy()
    if taken:
        closed[-1] -= max(0, int(ends[taken - 1]) - lots)
    fills = dict(zip(selection.rows.tolist(), selection.lots.tolist(), strict=True))
    last = int(rows[taken - 1]) if taken else -1
    is_partial = bool(taken) and closed[-1] < sizes[taken - 1]

    assert len(fills) == len(selection.rows)
    assert fills == dict(zip(rows[:taken].tolist(), closed.tolist(), strict=True))
    assert selection.unfilled == max(0, lots - available)
    assert selection.cut_row == last
    assert selection.partial_row == (last if is_partial else -1)


def cut(large: LargeBook, lots: int, excluded: NDArray[np.int64] = NOBODY, **options: Any) -> None:
    """Cut a large book and hold the result to its exact queue."""
    rows = large.queue[~np.isin(large.queue, excluded)]
    for is_ordered in (False, True):
        selection = ranking.select(
            large.columns,
            large.rate,
            rule=large.rule,
            side=1,
            lots=lots,
            accounts=large.accounts,
            excluded=excluded,
            is_ordered=is_ordered,
            **options,
        )

        assert_head(selection, rows, np.abs(large.columns.lots[rows]), lots)
        if is_ordered:
            assert np.array_equal(selection.rows, rows[: len(selection.rows)])


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_what_the_oracle_says(shape: Shape) -> None:
    """The quick exact keys of a large book give the oracle's queue at a small size."""
    large = shape(np.random.default_rng(5), 120)

    assert large.queue.tolist() == queue(large.as_book())


@pytest.mark.parametrize("shape", SHAPES)
def test_cuts_are_exact(shape: Shape) -> None:
    """From 0.01 % of the side to more than all of it the cut is the head of the exact queue."""
    rng = np.random.default_rng(20)
    large = shape(rng, 150_000)
    total = int(np.abs(large.columns.lots[large.queue]).sum())
    barred = np.unique(np.concatenate([large.queue[:50], rng.permutation(150_000)[:1000]]))

    for share in SHARES:
        cut(large, max(1, int(total * share)))
    cut(large, max(1, total // 500), barred)
    for level in ranking.simd_levels():
        for threads in (1, 2):
            cut(large, max(1, total // 100), simd=level, threads=threads)


@pytest.mark.parametrize("shape", SHAPES)
def test_ranks_are_exact(shape: Shape) -> None:
    """The longs of a large book are ranked in exact order, whatever the threads."""
    large = shape(np.random.default_rng(21), 150_000)
    longs = large.columns.lots > 0
    places = np.zeros(len(longs), dtype=np.int64)
    places[large.queue] = np.arange(1, len(large.queue) + 1)

    for threads in (1, 2):
        ranked = ranking.rank(
            large.columns, large.rate, rule=large.rule, accounts=large.accounts, threads=threads
        )

        assert np.array_equal(ranked.rank[longs], places[longs])


@pytest.mark.parametrize("shape", SHAPES)
def test_floats_have_the_same_bits(shape: Shape) -> None:
    """Every instruction set and number of threads gives the same floats for a large book."""
    large = shape(np.random.default_rng(22), 150_000)

    def bits(**options: Any) -> tuple[bytes, bytes]:
        scores = ranking.score(
            large.columns, large.rate, rule=large.rule, accounts=large.accounts, **options
        )
        return scores.score.tobytes(), scores.reason.tobytes()

    expected = bits(threads=1)

    for level in ranking.simd_levels():
        for threads in (1, 2):
            assert bits(simd=level, threads=threads) == expected, (level, threads)


@pytest.mark.parametrize("shape", SHAPES)
def test_heads_are_ordered(shape: Shape) -> None:
    """Rows of a cut, handed over in any order, come back as the exact queue has them."""
    rng = np.random.default_rng(23)
    large = shape(rng, 150_000)
    head = large.queue[: len(large.queue) // 3]

    ordered = ranking.order(
        large.columns, large.rate, rng.permutation(head), rule=large.rule, accounts=large.accounts
    )

    assert np.array_equal(ordered, head)


@pytest.mark.parametrize("shape", [ascending, stride_meets_the_best])
def test_millions_of_rows_are_cut_exactly(shape: Shape) -> None:
    """Past four million rows, where kept rows are thinned on the way, the cut is still exact."""
    large = shape(np.random.default_rng(24), 4_500_000)
    total = int(large.columns.lots.sum())

    for share in (0.0001, 0.1):
        cut(large, int(total * share))


@pytest.mark.parametrize("factor", Factor)
@pytest.mark.parametrize("basis", Basis)
def test_every_rule_cuts_the_head_of_its_ranking(basis: Basis, factor: Factor) -> None:
    """For every rule the sampled cut is the head of the full ranking, and that is the oracle's.

    Of the ranking a random few dozen rows are held to the oracle.
    """
    for number, (loss, mode) in enumerate(product(Loss, MODES)):
        rng = np.random.default_rng([number, *basis.encode(), *factor.encode()])
        rule = ScoreRule(
            basis=basis,
            factor=factor,
            loss=loss,
            no_equity=NoEquity.ZERO if number % 5 == 0 else NoEquity.LEAVE_OUT,
            joint_hedge=number % 4 == 3,
        )
        columns, accounts, rate = anything(
            rng, 33_100, rule=rule, mode=mode, is_wide=number % 2 > 0
        )
        side = 1 if rng.random() < 0.5 else -1
        ranks = ranking.rank(columns, rate, rule=rule, accounts=accounts).rank
        rows = np.flatnonzero((ranks > 0) & (columns.lots * side > 0))
        rows = rows[np.argsort(ranks[rows])]
        sizes = np.abs(columns.lots[rows])
        ends = np.cumsum(sizes)

        few = np.sort(rng.choice(len(rows), min(60, len(rows)), replace=False))
        book = book_of(columns, accounts, rate, rule, rows[few])
        assert queue(book, side=side) == list(range(len(few))), (loss, mode)
        for end in (3, 50, 1_000, 8_000):
            if end < len(rows):
                lots = int(ends[end]) + int(rng.integers(-1, 2))
                selection = ranking.select(
                    columns, rate, rule=rule, side=side, lots=lots, accounts=accounts
                )
                assert_head(selection, rows, sizes, lots)


@pytest.mark.parametrize("is_grouped", [True, False])
def test_many_markets_are_ranked_and_lit(*, is_grouped: bool) -> None:
    """Markets of very unequal size, rows grouped or not: each queue by itself, by each weight."""
    large = many_markets(np.random.default_rng(31), 80_000, is_grouped=is_grouped)
    market, lots, owner = large.columns.market, large.columns.lots, large.columns.owner
    assert market is not None
    assert owner is not None
    places = np.zeros(len(lots), dtype=np.int64)
    lit = {weight: np.zeros(len(lots), dtype=np.int64) for weight in Weight}
    for code, side in product(range(200), (1, -1)):
        rows = large.queue[(market[large.queue] == code) & (lots[large.queue] * side > 0)]
        places[rows] = np.arange(1, len(rows) + 1)
        for weight in Weight:
            lit[weight][rows] = bands_of(added_by(weight, lots[rows], owner[rows]), 5)

    for threads in (1, 2):
        rates = [large.rate] * 200
        ranked = ranking.rank(large.columns, rates, rule=large.rule, threads=threads)
        assert np.array_equal(ranked.rank, places)
        for weight in Weight:
            light = ranking.lights(
                large.columns, rates, rule=large.rule, weight=weight, threads=threads
            )
            assert np.array_equal(light, lit[weight]), weight


def added_by(
    weight: Weight, lots: NDArray[np.int64], owners: NDArray[np.uint32]
) -> NDArray[np.int64]:
    """What each entry of a queue adds: its lots, 1, or 1 where its owner stands first."""
    if weight is Weight.QUANTITY:
        return np.abs(lots)
    added = np.ones(len(lots), dtype=np.int64)
    if weight is Weight.ACCOUNTS:
        added[:] = 0
        added[np.unique(owners, return_index=True)[1]] = 1
    return added


@pytest.mark.parametrize("shape", SHAPES)
def test_lights_are_exact(shape: Shape) -> None:
    """A side of more than 100 000 entries shows what its exact queue says, by every weight."""
    rng = np.random.default_rng(30)
    large = shape(rng, 160_000)
    longs = large.columns.lots > 0
    owners = rng.integers(0, 40_000, len(longs)).astype(np.uint32)
    columns = replace(large.columns, owner=owners)

    for weight, (bands, threads) in product(Weight, ((5, 1), (5, 2), (10, 2), (1, 2), (20, 1))):
        added = added_by(weight, columns.lots[large.queue], owners[large.queue])
        expected = np.zeros(len(longs), dtype=np.int64)
        expected[large.queue] = bands_of(added, bands)
        light = ranking.lights(
            columns,
            large.rate,
            rule=large.rule,
            accounts=large.accounts,
            bands=bands,
            weight=weight,
            threads=threads,
        )

        assert np.array_equal(light[longs], expected[longs]), (weight, bands, threads)


def test_owners_of_one_row_each_count_as_entries() -> None:
    """Lights by accounts are lights by entries where every row has an owner of its own."""
    large = SHAPES[0](np.random.default_rng(32), 50_000)
    owner = np.arange(len(large.columns.lots), dtype=np.uint32)[::-1].copy()
    columns = replace(large.columns, owner=owner)

    accounts, entries = (
        ranking.lights(columns, large.rate, rule=large.rule, weight=weight)
        for weight in (Weight.ACCOUNTS, Weight.ENTRIES)
    )

    assert np.array_equal(accounts, entries)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_large_market_is_ranked_exactly(shape: Shape) -> None:
    """Many chunks that are joined: each row's place in the exact queue, whatever computes it."""
    large = shape(np.random.default_rng(26), 150_000)
    longs = large.columns.lots > 0
    places = np.zeros(len(longs), dtype=np.int64)
    places[large.queue] = np.arange(1, len(large.queue) + 1)
    arguments = (large.columns, large.rate)
    scores = ranking.score(*arguments, rule=large.rule, accounts=large.accounts)

    for level, threads in product(ranking.simd_levels(), (1, 2)):
        ranked = ranking.rank(
            *arguments, rule=large.rule, accounts=large.accounts, simd=level, threads=threads
        )
        assert np.array_equal(ranked.rank[longs], places[longs]), (level, threads)
        assert ranked.score.tobytes() == scores.score.tobytes()
        assert ranked.reason.tobytes() == scores.reason.tobytes()
