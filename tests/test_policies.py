"""The allocation policies against their slow twin in exact fractions, and what holds of all."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle_policies as twin
from deleverage import ranking
from deleverage.errors import InputError
from deleverage.policy import (
    By,
    Capped,
    Contracts,
    FactorDraining,
    LeverageDraining,
    MinMax,
    Policy,
    Profits,
    ProRata,
    Queue,
    Rounding,
)
from deleverage.policy.shares import Shared, Shares, share, share_long
from linear_program import least

LIMIT = 2**51 - 1
"""The largest value of a column."""

SIZES = st.sampled_from([2, 7, 100, 10**6, LIMIT])
SAMPLES = st.sampled_from([1, 2, 5, 1 << 14])


def ints(values: list[int]) -> np.ndarray[Any, Any]:
    """A column."""
    return np.array(values, dtype=np.int64)


def keys(values: list[int]) -> np.ndarray[Any, Any]:
    """A column of ids."""
    return np.array(values, dtype=np.uint64)


@st.composite
def columns(draw: st.DrawFn, *, most: int = LIMIT) -> tuple[list[int], list[int], list[int]]:
    """Weights, caps and ids: free, equal, next to one another, multiples, and zero."""
    count = draw(st.integers(1, 24))

    def column() -> list[int]:
        size = min(most, draw(SIZES))
        base = draw(st.integers(1, size))
        one = st.one_of(
            st.integers(0, size),
            st.just(base),
            st.sampled_from([0, 1, size, max(0, base - 1), min(size, base + 1)]),
            st.integers(0, max(1, size // base)).map(lambda times: min(size, times * base)),
        )
        return draw(st.lists(one, min_size=count, max_size=count))

    ids = draw(st.permutations(range(0, 3 * count, 3)))
    return column(), column(), list(ids)


def amounts(capacity: int) -> st.SearchStrategy[int]:
    """Nothing, a little, about half, all but one, all, and more."""
    edges = [0, 1, capacity // 2, max(0, capacity - 1), capacity, capacity + 1]
    return st.one_of(st.sampled_from(edges), st.integers(0, capacity + 2))


def shared_out(data: st.DataObject, book: tuple[list[int], ...], amount: int, **how: Any) -> Shares:
    """The kernel's shares, with a drawn sample size and instruction set."""
    weight, cap, ids = book
    return share(
        ints(weight),
        amount,
        cap=ints(cap),
        ids=keys(ids),
        sample=data.draw(SAMPLES),
        simd=data.draw(st.sampled_from(("auto", *ranking.simd_levels()))),
        **how,
    )


@given(st.data(), columns())
def test_capped_shares_are_those_of_the_twin(
    data: st.DataObject, book: tuple[list[int], list[int], list[int]]
) -> None:
    """Floors, then the largest remainders, ties by id; the level is the exact one."""
    weight, cap, ids = book
    capacity = twin.capacity(weight, cap)
    amount = data.draw(amounts(capacity))
    found = shared_out(data, book, amount)

    assert found.taken.tolist() == twin.pro_rata(weight, cap, ids, amount)
    assert int(sum(found.taken.tolist())) + found.unfilled == amount
    if 0 < amount < capacity:
        assert found.level == twin.level(weight, cap, amount)


@given(st.data(), columns())
def test_the_long_form_is_the_kernel(
    data: st.DataObject, book: tuple[list[int], list[int], list[int]]
) -> None:
    """Weights of any size are shared by the same rule as the kernel's."""
    weight, cap, ids = book
    amount = data.draw(amounts(twin.capacity(weight, cap)))
    short, long = shared_out(data, book, amount), share_long(weight, cap, ids, amount)

    assert (long.taken.tolist(), long.unfilled) == (short.taken.tolist(), short.unfilled)
    assert amount == 0 or long.level == short.level


@given(st.data(), columns(most=100))
def test_the_smallest_largest_ratio_is_that_of_the_twin(
    data: st.DataObject, book: tuple[list[int], list[int], list[int]]
) -> None:
    """Units go one at a time to the row that then has the smallest ratio, ties by id."""
    weight, cap, ids = book
    amount = data.draw(amounts(twin.capacity(weight, cap)))
    found = shared_out(data, book, amount, rounding=Rounding.SMALLEST)

    assert found.taken.tolist() == twin.min_max(weight, cap, ids, amount)
    assert sum(found.taken.tolist()) + found.unfilled == amount


@given(st.data(), columns())
def test_large_weights_reach_the_smallest_largest_ratio(
    data: st.DataObject, book: tuple[list[int], list[int], list[int]]
) -> None:
    """No unit can be moved to a row that would then stand below the largest ratio."""
    weight, cap, _ = book
    capacity = twin.capacity(weight, cap)
    amount = data.draw(amounts(capacity))
    taken = shared_out(data, book, amount, rounding=Rounding.SMALLEST).taken.tolist()
    rows = [row for row, each in enumerate(weight) if each]
    highest = twin.largest(Fraction(taken[row], weight[row]) for row in rows)
    spare = [Fraction(taken[r] + 1, weight[r]) for r in rows if taken[r] < cap[r]]

    assert sum(taken) == min(amount, capacity)
    assert all(taken[row] <= cap[row] for row in range(len(cap)))
    assert all(ratio >= highest for ratio in spare)


@given(st.data(), columns())
def test_draining_is_that_of_the_twin(
    data: st.DataObject, book: tuple[list[int], list[int], list[int]]
) -> None:
    """The closed form by prefix sums, floored, the rest to the highest leverage after the cut."""
    equity, lots, ids = book
    signs = data.draw(st.lists(st.booleans(), min_size=len(lots), max_size=len(lots)))
    equity = [-each if flip else each for each, flip in zip(equity, signs, strict=True)]
    amount = data.draw(amounts(twin.capacity(equity, lots)))
    found = shared_out(data, (equity, lots, ids), amount, shared=Shared.KEPT)

    assert found.taken.tolist() == twin.drain(lots, equity, ids, amount)
    assert sum(found.taken.tolist()) + found.unfilled == amount


@given(st.data(), columns(most=100))
def test_draining_by_lots_is_the_greedy_one(
    data: st.DataObject, book: tuple[list[int], list[int], list[int]]
) -> None:
    """The next lot is always that of the account with the highest leverage."""
    equity, lots, ids = book
    amount = data.draw(amounts(twin.capacity(equity, lots)))
    how = {"shared": Shared.KEPT, "rounding": Rounding.SMALLEST}
    found = shared_out(data, book, amount, **how)

    assert found.taken.tolist() == twin.drain_by_lots(lots, equity, ids, amount)


SMALL = st.integers(1, 4).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(0, 5), min_size=count, max_size=count),
        st.lists(st.integers(1, 9), min_size=count, max_size=count),
    )
)


@given(st.data(), SMALL)
def test_nothing_leaves_a_smaller_largest_leverage(
    data: st.DataObject, book: tuple[list[int], list[int]]
) -> None:
    """Of every way to close the lots, none ends below draining by lots, nor below the level."""
    lots, equity = book
    amount = data.draw(st.integers(0, sum(lots)))
    candidates = Contracts(lots=ints(lots), equity=ints(equity))

    def after(taken: Any) -> Fraction:
        rows = zip(lots, taken, equity, strict=True)
        return twin.largest(Fraction(held - cut, behind) for held, cut, behind in rows)

    best = min(after(taken) for taken in twin.allocations(lots, amount))
    by_lots = LeverageDraining(rounding=Rounding.SMALLEST).allocate(candidates, amount)
    quota = LeverageDraining().allocate(candidates, amount)

    assert after(by_lots.taken.tolist()) == best
    assert best <= after(quota.taken.tolist())
    if quota.level is not None:
        assert quota.level <= best
        for cut, held, behind in zip(quota.taken.tolist(), lots, equity, strict=True):
            assert abs(cut - max(Fraction(0), held - quota.level * behind)) < 1


holdings = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=6)


@given(data=st.data(), book=holdings)
def test_draining_is_the_optimum_of_its_linear_program(
    data: st.DataObject, book: list[tuple[int, int]]
) -> None:
    """The smallest L with `lots - cut <= L x equity` and cuts that add up is the level."""
    sizes, equities = ([row[part] for row in book] for part in (0, 1))
    amount = data.draw(st.integers(1, sum(sizes) - 1) if sum(sizes) > 1 else st.just(1))
    count = len(book)
    one = [[int(row == other) for other in range(count)] for row in range(count)]
    rows = [[*one[row], equities[row]] for row in range(count)]
    rows += [[*(-each for each in one[row]), 0] for row in range(count)]
    rows += [[1] * count + [0], [-1] * count + [0]]
    bounds = [*sizes, *(-size for size in sizes), amount, -amount]
    smallest = least([0] * count + [1], rows, bounds)

    found = LeverageDraining().allocate(Contracts(lots=ints(sizes), equity=ints(equities)), amount)
    assert (found.level or Fraction(0)) == smallest
    within = zip(sizes, equities, found.taken.tolist(), strict=True)
    assert all(size - cut < smallest * equity + 1 for size, equity, cut in within)


@given(st.data(), SMALL)
def test_nothing_has_a_smaller_largest_haircut(
    data: st.DataObject, book: tuple[list[int], list[int]]
) -> None:
    """Of every way to take the lots, none has a smaller largest haircut than min-max."""
    lots, profit = book
    amount = data.draw(st.integers(0, sum(lots)))
    candidates = Contracts(lots=ints(lots), profit=ints(profit))

    def worst(taken: Any) -> Fraction:
        return twin.largest(Fraction(cut, w) for cut, w in zip(taken, profit, strict=True))

    found = MinMax(by=By.PROFIT).allocate(candidates, amount).taken.tolist()

    assert worst(found) == min(worst(taken) for taken in twin.allocations(lots, amount))


@given(st.data(), SMALL)
def test_factor_draining_is_that_of_the_twin(
    data: st.DataObject, book: tuple[list[int], list[int]]
) -> None:
    """Every cut is within one lot of the exact one, sums are exact, and level is one level."""
    caps, equity = book
    exposure = data.draw(st.lists(st.integers(-60, 60), min_size=len(caps), max_size=len(caps)))
    unit = Fraction(data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5)))
    unit = unit if data.draw(st.booleans()) else -unit
    amount = data.draw(st.integers(0, sum(caps) + 1))
    policy = FactorDraining(exposure=ints(exposure), unit=unit)
    found = policy.allocate(Contracts(lots=ints(caps), equity=ints(equity)), amount)
    exact = twin.factor_cut(exposure, equity, caps, unit, min(amount, sum(caps)))

    assert sum(found.taken.tolist()) + found.unfilled == amount
    for cut, real, cap in zip(found.taken.tolist(), exact, caps, strict=True):
        assert 0 <= cut <= cap
        assert abs(cut - real) < 1


@given(st.data(), columns(most=10**6))
def test_one_market_without_hedges_is_leverage_draining(
    data: st.DataObject, book: tuple[list[int], list[int], list[int]]
) -> None:
    """Where the exposure is the position itself, the factor form is leverage draining."""
    equity, lots, ids = book
    worth = data.draw(st.integers(1, 50))
    amount = data.draw(amounts(twin.capacity(equity, lots)))
    candidates = Contracts(lots=ints(lots), equity=ints(equity), ids=keys(ids))
    factor = FactorDraining(exposure=ints(lots) * worth, unit=Fraction(worth))
    plain = LeverageDraining().allocate(candidates, amount)

    assert factor.allocate(candidates, amount).taken.tolist() == plain.taken.tolist()


POLICIES: list[Policy[Contracts]] = [
    Queue(),
    ProRata(),
    ProRata(by=By.PROFIT),
    ProRata(by=By.EQUITY),
    Capped(),
    MinMax(),
    MinMax(by=By.EQUITY),
]


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@given(data=st.data(), book=columns(most=10**6))
def test_order_of_rows_means_nothing_and_nobody_gives_more_than_his_cap(
    policy: Policy[Contracts], data: st.DataObject, book: tuple[list[int], list[int], list[int]]
) -> None:
    """The same ids give the same lots in any order of rows; sums and caps hold exactly."""
    lots, other, ids = book
    count = len(lots)
    cap = [data.draw(st.integers(0, held)) for held in lots]
    table = [ints(lots), ints(cap), ints(other), ints(list(range(1, count + 1)))]
    amount = data.draw(amounts(sum(cap)))
    order = np.array(data.draw(st.permutations(range(count))))

    def run(rows: np.ndarray[Any, Any]) -> tuple[list[int], int]:
        held, most, weight, rank = (values[rows] for values in table)
        candidates = Contracts(
            lots=held,
            cap=most,
            profit=weight,
            equity=weight,
            rank=rank,
            ids=keys(ids)[rows],
        )
        found = policy.allocate(candidates, amount)
        return found.taken.tolist(), found.unfilled

    straight, unfilled = run(np.arange(count))
    mixed, _ = run(order)

    assert mixed == [straight[row] for row in order]
    assert sum(straight) + unfilled == amount
    assert all(0 <= taken <= limit for taken, limit in zip(straight, cap, strict=True))


@given(st.data(), columns(most=10**6))
def test_a_larger_amount_takes_no_less_but_for_rounding(
    data: st.DataObject, book: tuple[list[int], list[int], list[int]]
) -> None:
    """Min-max gives nobody fewer lots when more are asked for; pro rata moves by a lot at most."""
    weight, cap, ids = book
    capacity = twin.capacity(weight, cap)
    less = data.draw(amounts(capacity))
    more = less + data.draw(st.integers(0, 10))
    steps = {"rounding": Rounding.SMALLEST}
    first, second = (shared_out(data, book, amount, **steps).taken for amount in (less, more))
    low, high = (shared_out(data, book, amount).taken for amount in (less, more))

    assert bool(np.all(first <= second))
    assert bool(np.all(low <= high + 1))
    assert len(ids) == len(low)


@pytest.mark.parametrize("kind", ["smooth", "equal", "few", "whales", "blocks", "giant"])
@pytest.mark.parametrize("threads", [1, 0])
def test_sampled_brackets_change_no_answer(kind: str, threads: int) -> None:
    """On large books of hard shapes a small sample and none give the same lots, on any threads."""
    rng = np.random.default_rng(7)
    count = 90_000
    lots = {
        "smooth": (rng.lognormal(6, 1.5, count)).astype(np.int64) + 1,
        "equal": np.full(count, 100),
        "few": rng.integers(1, 4, count),
        "whales": np.where(rng.random(count) < 0.001, 2**50, rng.integers(1, 10, count)),
        "blocks": np.repeat(rng.integers(1, 10**9, count // 1000), 1000),
        "giant": np.where(np.arange(count) == 4_567, 2**50, rng.integers(1, 10**6, count)),
    }[kind].astype(np.int64)
    equity = np.maximum(lots // 3, rng.integers(1, 10**6, count)).astype(np.int64)
    ids = rng.permutation(count).astype(np.uint64)
    for part in (1e-6, 0.01, 0.4):
        amount = int(part * float(lots.sum(dtype=np.float64))) + 1
        for shared in Shared:
            for rounding in Rounding:
                how: dict[str, Any] = {"cap": lots, "ids": ids, "shared": shared}
                how |= {"rounding": rounding, "threads": threads}
                whole = share(equity, amount, sample=1 << 30, **how)
                small = share(equity, amount, sample=500, **how)
                assert np.array_equal(whole.taken, small.taken)
                assert (whole.unfilled, whole.level) == (small.unfilled, small.level)
                total = sum(int(block.sum()) for block in np.array_split(whole.taken, 100))
                assert total + whole.unfilled == amount


def test_wealth_and_contracts_are_two_types() -> None:
    """An allocation carries the candidates it was made for, so the spaces are not mixed."""
    contracts = ProRata().allocate(Contracts(lots=ints([3, 1])), 2)
    profits = ProRata().allocate(Profits(profit=ints([3, 1])), 2)

    assert isinstance(contracts.candidates, Contracts)
    assert isinstance(profits.candidates, Profits)
    assert contracts.taken.tolist() == profits.taken.tolist() == [2, 0]
    assert contracts.level == Fraction(1, 2)


REFUSALS: list[tuple[Any, str]] = [
    (lambda: Contracts(lots=[1]), "lots: expected a contiguous one-dimensional int64 array"),
    (lambda: Contracts(lots=ints([1]), ids=keys([1, 2])), "ids: expected 1 rows as in lots, got 2"),
    (
        lambda: Contracts(lots=ints([1, 2]), cap=ints([1, 3])),
        "cap: expected 0 to the lots 2, got 3",
    ),
    (lambda: ProRata().allocate(Contracts(lots=ints([1])), -1), "amount: expected 0 or more"),
    (lambda: ProRata().allocate(Contracts(lots=ints([-1])), 1), r"weight: expected 0 to 2\^51 - 1"),
    (lambda: ProRata().allocate(Contracts(lots=ints([2**51])), 1), "got 2251799813685248 in row 0"),
    (lambda: ProRata(by=By.PROFIT).allocate(Contracts(lots=ints([1])), 1), "profit: ProRata by"),
    (lambda: Capped().allocate(Contracts(lots=ints([1])), 1), "cap: Capped reads this column"),
    (lambda: Queue().allocate(Contracts(lots=ints([1])), 1), "rank: Queue reads this column"),
    (
        lambda: Queue().allocate(Contracts(lots=ints([1, 1]), rank=ints([1, 1])), 1),
        "rank: expected each place once, got 1 twice",
    ),
    (
        lambda: Queue().allocate(Contracts(lots=ints([1]), rank=ints([1])), -1),
        "amount: expected 0 or more units, got -1",
    ),
    (
        lambda: LeverageDraining().allocate(
            Contracts(lots=ints([1]), cap=ints([1]), equity=ints([1])), 1
        ),
        "cap: LeverageDraining has none",
    ),
    (lambda: share(ints([1]), 1, threads=5000), "threads: expected 0"),
    (lambda: share(ints([1]), 1, simd="mmx"), "simd: expected auto or one of"),
    (lambda: share(ints([1]), 1, cap=ints([1, 2])), "cap: expected 1 rows"),
    (
        lambda: FactorDraining(exposure=ints([1]), unit=Fraction(0)).allocate(
            Contracts(lots=ints([1]), equity=ints([1])), 1
        ),
        "unit: expected what a lot takes off",
    ),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSALS)
def test_bad_candidates_are_refused_by_name(wrong: Any, message: str) -> None:
    """What is missing, misshapen or out of range is one clear error that names it."""
    with pytest.raises(InputError, match=message):
        wrong()


def test_an_empty_side_leaves_everything_unfilled() -> None:
    """Nobody to give: all of the amount is unfilled, and that is no error."""
    empty = Contracts(lots=ints([]), rank=ints([]), equity=ints([]))
    policies: list[Policy[Contracts]] = [Queue(), ProRata(), MinMax(), LeverageDraining()]

    assert [policy.allocate(empty, 5).unfilled for policy in policies] == [5, 5, 5, 5]
