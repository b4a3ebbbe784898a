"""Policies on books of many blocks, against whole numbers of any size, row by row."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from deleverage import ranking
from deleverage.policy.shares import Rounding, Shared, share, share_long

COUNT = 20_011
KINDS = ("smooth", "equal", "few", "halves", "giant", "wide")

Int64 = np.ndarray[Any, np.dtype[np.int64]]


def book(kind: str) -> tuple[Int64, Int64]:
    """Sizes of one shape, and ids in no order."""
    rng = np.random.default_rng(11)
    sizes = {
        "smooth": rng.lognormal(9, 1.6, COUNT) + 1,
        "equal": np.full(COUNT, 12_345),
        "few": rng.choice([3_000, 7_000, 20_000], COUNT),
        "halves": rng.integers(1, 1000, COUNT),
        "giant": np.where(np.arange(COUNT) == 4_567, 2**50, rng.integers(1, 10**6, COUNT)),
        "wide": rng.integers(2**50, 2**51, COUNT),
    }[kind]
    return sizes.astype(np.int64), rng.permutation(COUNT).astype(np.uint64)


def by_remainder(weight: list[int], ids: list[int], amount: int) -> list[int]:
    """The floor of every share, and one more by the largest remainder, then the smallest id."""
    total = sum(weight)
    parts = [divmod(each * amount, total) for each in weight]
    units = [whole for whole, _ in parts]
    order = sorted(range(len(weight)), key=lambda row: (-parts[row][1], ids[row]))
    for row in order[: amount - sum(units)]:
        units[row] += 1
    return units


def drained(lots: list[int], equity: list[int], ids: list[int], level: Fraction) -> list[int]:
    """Lots kept at a level, rounded up; those with the highest leverage then give one, by id."""
    kept = [
        min(held, -(-own * level.numerator // level.denominator))
        for held, own in zip(lots, equity, strict=True)
    ]
    exact = [level * own for own in equity]
    target = sum(min(Fraction(held), part) for held, part in zip(lots, exact, strict=True))
    spare = sum(kept) - int(target)
    rounded = [row for row in range(len(lots)) if kept[row] > exact[row]]
    order = sorted(rounded, key=lambda row: (-Fraction(kept[row], equity[row]), ids[row]))
    for row in order[:spare]:
        kept[row] -= 1
    return [held - rest for held, rest in zip(lots, kept, strict=True)]


@pytest.mark.parametrize("part", [2, 3, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_pro_rata_is_the_largest_remainder_on_many_blocks(kind: str, part: int) -> None:
    """Bounds by floats, ties by id and samples give what whole numbers give, on every set."""
    lots, ids = book(kind)
    amount = sum(lots.tolist()) // part
    expected = by_remainder(lots.tolist(), ids.tolist(), amount)
    for simd in ranking.simd_levels():
        found = share(lots, amount, ids=ids, sample=500, simd=simd, threads=1)
        assert found.taken.tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_draining_keeps_one_leverage_on_many_blocks(kind: str) -> None:
    """At the level that comes back, what is kept is rounded as whole numbers and ids say."""
    lots, ids = book(kind)
    equity = np.maximum(1, lots // np.random.default_rng(3).choice([2, 3, 5, 50], COUNT))
    amount = sum(lots.tolist()) // 3
    found = share(equity, amount, cap=lots, ids=ids, shared=Shared.KEPT, sample=500)

    assert found.level is not None
    expected = drained(lots.tolist(), equity.tolist(), ids.tolist(), found.level)
    assert found.taken.tolist() == expected
    assert sum(expected) == amount


@pytest.mark.parametrize("kind", KINDS)
def test_capped_shares_are_those_of_the_long_form_on_many_blocks(kind: str) -> None:
    """Walking along all rows in whole numbers of any size gives the same units and level."""
    lots, ids = book(kind)
    caps = np.maximum(1, lots // 1000 * np.random.default_rng(5).choice([100, 500, 1000], COUNT))
    amount = sum(np.minimum(caps, lots).tolist()) // 3
    expected = share_long(lots.tolist(), np.minimum(caps, lots).tolist(), ids.tolist(), amount)
    found = share(lots, amount, cap=caps, ids=ids, within_weight=True, sample=500)

    assert np.array_equal(expected.taken, found.taken)
    assert expected.level == found.level


@pytest.mark.parametrize("shared", Shared)
@pytest.mark.parametrize("giants", [1, 2, 40])
def test_rows_that_outweigh_all_others_cost_one_more_pass(giants: int, shared: Shared) -> None:
    """What a sample cannot foresee is seen by the first pass and known to the second."""
    rng = np.random.default_rng(17)
    lots = rng.lognormal(9, 1.6, COUNT).astype(np.int64) + 1
    lots[rng.choice(COUNT, giants, replace=False)] = 2**50 - rng.integers(0, 2**20, giants)
    caps = np.maximum(1, lots // rng.choice([2, 3, 5, 50], COUNT))
    columns = (caps, lots) if shared is Shared.KEPT else (lots, caps)
    amount = int(columns[1].sum()) // 3
    found = share(columns[0], amount, cap=columns[1], shared=shared, sample=200)

    whole = share(columns[0], amount, cap=columns[1], shared=shared, sample=COUNT)
    assert np.array_equal(whole.taken, found.taken)
    assert (whole.level, int(found.taken.sum())) == (found.level, amount)
    assert found.rescans <= 1


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("shared", Shared)
@pytest.mark.parametrize("kind", KINDS)
def test_an_array_that_is_written_again_gets_the_same_answer(
    kind: str, shared: Shared, rounding: Rounding
) -> None:
    """Whatever stood in `out`, and wherever in memory it begins, the answer is the same."""
    lots, ids = book(kind)
    amount = sum(lots.tolist()) // 3
    how: dict[str, Any] = {"ids": ids, "shared": shared, "rounding": rounding, "sample": 500}
    cap = np.maximum(1, lots // 2)
    fresh = share(lots, amount, cap=cap, **how)
    for start in (0, 1, 5):
        out = np.full(COUNT + start, -7, np.int64)[start:]
        again = share(lots, amount, cap=cap, out=out, **how)
        assert again.taken is out
        assert np.array_equal(fresh.taken, out)
        assert (fresh.unfilled, fresh.level) == (again.unfilled, again.level)
