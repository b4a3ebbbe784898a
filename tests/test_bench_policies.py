"""The measurements of the policies: every line is there, and the peers ask the same questions."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from deleverage.lab import bench_policies
from deleverage.lab.bench_peers import load
from deleverage.lab.bench_policies import (
    LEAST_BOOK,
    SIZES,
    measure_policies,
    measure_policy_peers,
    sizes_of,
)
from deleverage.policy.shares import Rounding, least, share

PEERS = Path(__file__).resolve().parents[1] / "benches" / "peers"


def test_every_policy_meets_every_book_and_both_kinds_of_memory() -> None:
    """Each policy is measured on each book, fresh and with `out`, on each number of threads."""
    lines = list(measure_policies(2_000, threads=(1, 2), rounds=1, seed=0, progress=lambda _: None))

    names = ("pro rata", "capped", "leverage draining", "min-max")
    expected = {
        (name + where, kind, threads)
        for name in names
        for where in ("", ", out=")
        for kind in SIZES
        for threads in (1, 2)
    } | {("queue by given places", kind, 1) for kind in SIZES}
    expected |= {
        (f"least, {columns}{where}", LEAST_BOOK, threads)
        for columns in ("one column", "two columns")
        for where in ("", ", out=")
        for threads in (1, 2)
    }
    assert expected == {(line.case, line.distribution, line.threads) for line in lines}
    assert {"policies"} == {line.section for line in lines}
    assert {None} == {line.is_met for line in lines}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_least_reads_every_column_and_writes_every_row(threads: int) -> None:
    """Each row gets the sum over its columns, whatever stood there before."""
    columns = [sizes_of(kind, 70_001, 3) for kind in ("log_normal", "ties")]
    out = np.full(70_001, -7, np.int64)

    assert least(columns, threads=threads, out=out) is out
    assert np.array_equal(out, columns[0] + columns[1])
    assert np.array_equal(least(columns[:1], threads=threads), columns[0])


@pytest.mark.parametrize("kind", SIZES)
def test_sizes_are_lots_and_come_again(kind: str) -> None:
    """Sizes are above zero and below 2**51, and the same seed draws the same."""
    sizes, again = (sizes_of(kind, 3_000, 7) for _ in range(2))

    assert sizes.min() >= 1
    assert sizes.max() < 2**51
    assert np.array_equal(sizes, again)


def test_one_giant_outweighs_all_others() -> None:
    """In the book `one giant` one row holds more than the rest together."""
    sizes = sizes_of("one giant", 3_000, 7)

    assert sizes.max() > int(sizes.sum()) // 2


def test_the_peers_close_what_they_are_asked_for() -> None:
    """The formulations of others meet the request, within what each winner has."""
    peer = load(PEERS, "numpy_policies")
    profit = peer.winners(700, 3)
    amount = int(profit.sum()) // 3
    holdings = [peer.Holding(str(row), float(held)) for row, held in enumerate(profit)]

    money = peer.share_money(amount / 100, profit / 100)
    closed = peer.close_contracts(holdings, amount)
    lots = peer.close_for_money(profit / 300, 1.0, profit // 100)

    assert money.sum() == pytest.approx(amount / 100)
    assert amount == closed.sum()
    assert np.all((closed >= 0) & (closed <= profit))
    assert abs(lots.sum() - profit.sum() / 300) <= 1
    assert np.all((lots >= 0) & (lots <= profit // 100))


@pytest.mark.parametrize("seed", range(8))
def test_no_peer_has_a_smaller_largest_haircut(seed: int) -> None:
    """On the objective of the published method, the largest haircut, ours is never worse."""
    peer = load(PEERS, "numpy_policies")
    profit = peer.winners(500, seed)
    amount = int(profit.sum()) // 3
    holdings = [peer.Holding(str(row), float(held)) for row, held in enumerate(profit)]

    theirs = peer.close_contracts(holdings, amount)
    ours = share(profit, amount, rounding=Rounding.SMALLEST)

    assert ours.taken.sum() == theirs.sum() == amount
    haircuts = [Fraction(*row) for row in zip(theirs.tolist(), profit.tolist(), strict=True)]
    assert ours.level is not None
    assert ours.level <= max(haircuts)


def test_the_comparison_with_the_peers_has_three_lines() -> None:
    """Each published method has a line, and those in whole units say both largest haircuts."""
    lines = list(
        measure_policy_peers(PEERS, winners=400, rounds=1, seed=1, progress=lambda _: None)
    )

    assert ["numpy_policies"] * 3 == [line.reference for line in lines]
    assert all("largest haircut" in line.note for line in lines[1:])
    assert bench_policies.WINNERS == 19_230
