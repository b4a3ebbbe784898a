"""Lights of large books against full sorts: ties, whales, many markets, every rule, any order."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.model.rules import Basis, Factor, Loss, NoEquity, ScoreRule, Weight
from large import MODES, anything, bands_of

Int64s = NDArray[np.int64]

RETURN = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.NONE, loss=Loss.DIVIDE)
"""Profit over entry value: entries of one price have one score, whatever their size."""

WINNERS = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.NONE, loss=Loss.EXCLUDE)

KEPT = 393_216
"""Rows up to which a market's codes are kept between the passes."""


def book_at(lots: Int64s, price: Int64s, market: Int64s | None = None) -> ranking.Columns:
    """Entries at whole prices, with ids in no order."""
    ids = np.random.default_rng(len(lots)).permutation(len(lots)) + 1
    return ranking.Columns(
        lots=lots,
        entry_value=np.abs(lots) * price,
        position_id=ids.astype(np.uint64),
        market=None if market is None else market.astype(np.uint32),
    )


def lit_by_sort(
    columns: ranking.Columns, price: Int64s, bands: int, weight: Weight
) -> NDArray[np.int64]:
    """Lights by a full sort of market and side: price, larger size, id."""
    market = np.zeros(len(price)) if columns.market is None else columns.market
    assert columns.position_id is not None
    sizes, is_long = np.abs(columns.lots), columns.lots > 0
    better = np.where(is_long, price, -price)
    order = np.lexsort((columns.position_id, -sizes, better, is_long, market))
    light = np.zeros(len(price), dtype=np.int64)
    starts = np.flatnonzero(np.diff(market[order] * 2 + is_long[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        added = sizes[rows] if weight is Weight.QUANTITY else np.ones(len(rows), dtype=np.int64)
        light[rows] = bands_of(added, bands)
    return light


def assert_lit(columns: ranking.Columns, price: Int64s, markets: int = 1) -> None:
    """Lights of every weight, number of bands, threads and instruction set are the sort's."""
    rates = [ranking.Rate(mark_num=100)] * markets
    for weight, bands in product((Weight.QUANTITY, Weight.ENTRIES), (5, 10, 100)):
        expected = lit_by_sort(columns, price, bands, weight)
        for threads, simd in ((1, "auto"), (2, "auto"), (3, ranking.simd_levels()[0])):
            light = ranking.lights(
                columns,
                rates,
                rule=RETURN,
                bands=bands,
                weight=weight,
                threads=threads,
                simd=simd,
            )
            assert np.array_equal(light, expected), (weight, bands, threads, simd)


def drawn(seed: int, count: int, prices: int) -> tuple[Int64s, Int64s]:
    """Lots of few sizes and both sides, at so many prices around the mark of 100."""
    rng = np.random.default_rng(seed)
    lots = rng.choice([1, 2, 5, 10, 10, 500], count) * rng.choice([1, -1], count)
    return lots, rng.integers(100 - prices // 2, 100 + prices - prices // 2, count)


@pytest.mark.parametrize("count", [40_000, KEPT, KEPT + 1])
@pytest.mark.parametrize("prices", [1, 7, 90])
def test_groups_of_ties_reach_over_boundaries(count: int, prices: int) -> None:
    """Where thousands share the score at a boundary, size and id part them, lot for lot."""
    lots, price = drawn(count, count, prices)

    assert_lit(book_at(lots, price), price)


@pytest.mark.parametrize("is_grouped", [True, False])
def test_markets_of_any_size(*, is_grouped: bool) -> None:
    """Markets of one row, of a few and of many, grouped or not: each is lit by itself."""
    sizes = np.concatenate([np.ones(300), np.arange(2, 150), [4_000, 30_000]]).astype(np.int64)
    market = np.repeat(np.arange(len(sizes)), sizes)
    lots, price = drawn(3, len(market), 60)
    if not is_grouped:
        market = np.random.default_rng(4).permutation(market)

    assert_lit(book_at(lots, price, market), price, markets=len(sizes))


@pytest.mark.parametrize("place", ["best", "middle", "worst"])
@pytest.mark.parametrize("count", [10, 700, 60_000])
def test_one_row_holds_nine_tenths_of_the_weight(count: int, place: str) -> None:
    """A whale at the head, in the middle or at the end of the queue takes its bands with it."""
    lots, price = drawn(count, count, 90)
    lots = np.abs(lots)
    price[0] = {"best": 1, "middle": 100, "worst": 10_000}[place]
    lots[0] = 9 * lots[1:].sum()

    assert_lit(book_at(lots, price), price)


@pytest.mark.parametrize("count", [1, 63, 64, 500, 200_000])
def test_nobody_in_the_queue_is_dark(count: int) -> None:
    """Where no row has a place in the queue every light is 0."""
    lots, price = drawn(5, count, 90)
    columns = book_at(lots, np.where(lots > 0, 100 + price, 1))

    light = ranking.lights(columns, ranking.Rate(mark_num=100), rule=WINNERS)

    assert not light.any()


@pytest.mark.parametrize("weight", [Weight.QUANTITY, Weight.ENTRIES])
@pytest.mark.parametrize("count", [300, 60_000])
def test_equal_trades_beside_rows_without_a_place(count: int, weight: Weight) -> None:
    """Among a few equal trades the losers are dark, and the others lit as if they were alone."""
    lots, price = drawn(7, count, 7)
    columns = book_at(lots, price)
    wins = np.where(lots > 0, price < 100, price > 100)
    assert columns.position_id is not None
    winners = ranking.Columns(
        lots=lots[wins],
        entry_value=columns.entry_value[wins],
        position_id=columns.position_id[wins],
    )
    expected = np.zeros(count, dtype=np.int64)
    expected[wins] = lit_by_sort(winners, price[wins], 5, weight)

    light = ranking.lights(columns, ranking.Rate(mark_num=100), rule=WINNERS, weight=weight)

    assert np.array_equal(light, expected)


@pytest.mark.parametrize("count", [2_000, 150_000])
def test_scores_of_many_magnitudes(count: int) -> None:
    """Half of the scores next to 0 and half of them huge: no scale fits both, no light is wrong."""
    rng = np.random.default_rng(6)
    price = np.where(rng.random(count) < 0.5, rng.integers(1, 5, count), 100)
    lots = rng.integers(1, 1000, count)
    lots[:10], price[:10] = 1, 10**12

    assert_lit(book_at(lots, price), price)


def test_rows_in_order_of_their_scores() -> None:
    """Ascending, descending and blockwise sorted rows are lit as any others."""
    lots, price = drawn(7, 120_000, 3_000)
    price = price + 2_000
    for order in (np.argsort(price), np.argsort(-price), np.argsort(lots, kind="stable")):
        assert_lit(book_at(lots[order], price[order]), price[order])


def test_a_code_without_a_rate_is_named() -> None:
    """A market's code beyond the rates is refused by row, grouped or not."""
    lots, price = drawn(8, 1_000, 9)
    market = np.zeros(1_000, dtype=np.int64)
    for row in (999, 500):
        market[row] = 2
        columns = book_at(lots, price, market)
        with pytest.raises(ranking.InputError, match=rf"market: .*got 2 in row {row}"):
            ranking.lights(columns, [ranking.Rate(mark_num=100)] * 2, rule=RETURN)


@pytest.mark.parametrize("factor", Factor)
@pytest.mark.parametrize("basis", Basis)
def test_every_rule_is_lit_by_its_ranking(basis: Basis, factor: Factor) -> None:
    """For every rule lights share out the ranks, rows grouped by market or not."""
    for number, (loss, mode) in enumerate(product(Loss, MODES)):
        rng = np.random.default_rng([number, *basis.encode(), *factor.encode()])
        rule = ScoreRule(
            basis=basis,
            factor=factor,
            loss=loss,
            no_equity=NoEquity.ZERO if number % 2 == 0 else NoEquity.LEAVE_OUT,
            joint_hedge=number % 6 == 5,
        )
        columns, accounts, rate = anything(rng, 9_000, rule=rule, mode=mode, is_wide=number % 4 > 2)
        market = rng.integers(0, 3, len(columns.lots))
        market = np.sort(market) if number % 3 == 0 else market
        columns = replace(columns, tier=None, market=market.astype(np.uint32))
        rates = [rate, replace(rate, is_inverse=not rate.is_inverse), rate]
        rank = ranking.rank(columns, rates, rule=rule, accounts=accounts).rank
        expected = np.zeros(len(rank), dtype=np.int64)
        for code, side in product(range(3), (1, -1)):
            rows = np.flatnonzero((rank > 0) & (market == code) & (columns.lots * side > 0))
            rows = rows[np.argsort(rank[rows])]
            expected[rows] = bands_of(np.abs(columns.lots[rows]), 5)

        for simd in ranking.simd_levels():
            light = ranking.lights(columns, rates, rule=rule, accounts=accounts, simd=simd)
            assert np.array_equal(light, expected), (loss, mode, simd)
