"""Cuts of large books against a full sort: guesses that fail, ties, accounts that lie apart."""

from dataclasses import replace

import numpy as np
import pytest

from cuts import BY_ACCOUNT, BY_PROFIT, scattered_accounts
from deleverage import ranking
from deleverage.errors import InputError
from large import LargeBook, Shape
from oracle import queue
from test_large import cut

SHARES = (0.0001, 0.001, 0.01, 0.1, 0.3, 0.7, 1.0, 1.1)
"""Offsets, as shares of the side's quantity."""


def offsets(large: LargeBook) -> list[int]:
    """Shares of the side, and quantities that end exactly where a group of equal scores ends."""
    sizes = np.abs(large.columns.lots[large.queue])
    ends = np.cumsum(sizes)
    given = large.columns
    profits = (60 * given.lots - given.entry_value)[large.queue]
    groups = ends[np.flatnonzero(np.diff(profits))][:: max(1, len(ends) // 4)][:3].tolist()
    shares = [max(1, int(ends[-1] * share)) for share in SHARES]
    return shares + [end + by for end in groups for by in (-1, 0, 1) if end + by > 0]


@pytest.mark.parametrize("shape", [*BY_PROFIT, *BY_ACCOUNT])
def test_shapes_are_what_the_oracle_says(shape: Shape) -> None:
    """The quick exact keys of a large book give the oracle's queue at a small size."""
    large = shape(np.random.default_rng(6), 120)

    assert large.queue.tolist() == queue(large.as_book())


@pytest.mark.parametrize("shape", BY_PROFIT)
def test_misleading_books_are_cut_exactly(shape: Shape) -> None:
    """Whatever a part of a million rows promises, the cut is the head of the full sort."""
    rng = np.random.default_rng(41)
    large = shape(rng, 1_040_000)

    for lots in offsets(large):
        cut(large, lots)
    barred = np.unique(np.concatenate([large.queue[:300], rng.permutation(1_040_000)[:3_000]]))
    cut(large, offsets(large)[3], barred)


@pytest.mark.parametrize("shape", BY_ACCOUNT)
def test_accounts_are_cut_exactly(shape: Shape) -> None:
    """Accounts that lie together or apart: the same head on every instruction set and thread."""
    large = shape(np.random.default_rng(42), 150_000)
    total = int(np.abs(large.columns.lots[large.queue]).sum())

    for share in SHARES:
        cut(large, max(1, int(total * share)))
    for level in ranking.simd_levels():
        for threads in (1, 2):
            cut(large, total // 50, simd=level, threads=threads)


def test_instruction_sets_and_threads_take_the_same_rows_in_the_same_order() -> None:
    """Not only the set: rows and lots come back in one order, whatever computes them."""
    large = BY_PROFIT[0](np.random.default_rng(43), 600_000)
    lots = offsets(large)[3]

    def taken(simd: str, threads: int) -> bytes:
        found = ranking.select(
            large.columns,
            large.rate,
            rule=large.rule,
            side=1,
            lots=lots,
            simd=simd,
            threads=threads,
        )
        return found.rows.tobytes() + found.lots.tobytes()

    expected = taken("baseline", 1)

    for level in ranking.simd_levels():
        for threads in (1, 2):
            assert taken(level, threads) == expected, (level, threads)


@pytest.mark.parametrize("is_pointer", [True, False])
def test_an_account_that_decides_nothing_is_refused_all_the_same(*, is_pointer: bool) -> None:
    """An equity out of range, or an account that does not exist, is refused on a row at a loss."""
    large = scattered_accounts(np.random.default_rng(44), 150_000)
    account, accounts = large.columns.account, large.accounts
    assert account is not None
    assert accounts is not None
    assert accounts.equity is not None
    account, equity = account.copy(), accounts.equity.copy()
    row = int(np.setdiff1d(np.arange(150_000), large.queue)[1_000])
    if is_pointer:
        account[row] = len(equity)
    else:
        equity[account[row]] = 2**51
    broken = replace(large.columns, account=account)

    with pytest.raises(InputError):
        ranking.select(
            broken,
            large.rate,
            rule=large.rule,
            side=1,
            lots=100,
            accounts=ranking.Accounts(equity=equity),
        )
