"""The worked examples of the literature, and what is wrong in its formulas, shown by numbers.

[P1] arXiv 2512.01112 with its corrected text [P1c], [P2] arXiv 2602.15182, [P3] arXiv 2603.15963.
"""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import oracle_policies as twin
from deleverage.backstop.bankruptcy import Clamp, Cross, Holding, bankruptcy
from deleverage.errors import InputError
from deleverage.model.terms import Convention
from deleverage.policy import (
    By,
    Contracts,
    FactorDraining,
    LeverageDraining,
    MinMax,
    Profits,
    ProRata,
    Queue,
    RiskWeighted,
    Rounding,
)
from deleverage.policy.capped import Capped, floor_caps
from deleverage.policy.priced_draining import PricedDraining
from deleverage.policy.risk_weighted import Excess, Growth, Power, Shortfall

Ints = np.ndarray[Any, Any]


def ints(values: list[int]) -> Ints:
    """A column."""
    return np.array(values, dtype=np.int64)


def test_queue_and_pro_rata_of_the_corrected_example() -> None:
    """[P1c 2.4] w = (8, 4, 1/2), B = 7.5: the queue 2, 1, 3 takes (3.5, 4, 0), pro rata 60 %."""
    profits = Profits(profit=ints([80, 40, 5]), rank=ints([2, 1, 3]))

    assert Queue().allocate(profits, 75).taken.tolist() == [35, 40, 0]
    assert ProRata().allocate(profits, 75).taken.tolist() == [48, 24, 3]
    assert ProRata().allocate(profits, 75).level == Fraction(3, 5)


@pytest.mark.parametrize(
    ("qty", "margin", "bankrupt", "liquidated", "printed"),
    [
        (1, "2", "0", "0", "0"),
        (1, "2/3", "1/3", "10/27", ".3704"),
        (-4, "8/3", "5/3", "50/33", "1.5152"),
        (1, "2/19", "17/19", "170/171", ".9942"),
        (-1, "10/99", "109/99", "1090/1089", "1.001"),
    ],
)
def test_prices_of_the_five_positions(
    qty: int, margin: str, bankrupt: str, liquidated: str, printed: str
) -> None:
    """[P1 A.1-2] Five positions from 1: bankruptcy prices, and liquidation at a reserve of 10 %.

    The last is printed as 1.0010: it is 1.0009, and holds to three digits only.
    """
    unit = 10_000
    holding = Holding(lots=qty, entry_value=abs(qty) * unit, mark_value=abs(qty) * unit)
    behind = Cross(margin=Fraction(margin) * unit)
    own, zero = Convention.OWN_MARGIN, Clamp.ZERO
    plain = bankruptcy(holding, behind, convention=own, clamp=zero)
    reserved = bankruptcy(holding, behind, convention=own, clamp=zero, reserve_ppm=100_000)
    digits = len(printed.partition(".")[2])

    assert plain.price(unit) == Fraction(bankrupt)
    assert reserved.price(unit) == Fraction(liquidated)
    assert abs(Fraction(printed) - Fraction(liquidated)) <= Fraction(1, 2 * 10**digits)


WINNERS = {"profit": [12613, 56214, 8397], "leverage": [1_031_000, 925_000, 1_548_000]}


@pytest.mark.parametrize(
    ("growth", "printed"),
    [
        (None, [0.163, 0.728, 0.109]),
        (Power(exponent=1), [0.164, 0.589, 0.246]),
        (Power(exponent=2), [0.155, 0.497, 0.348]),
        (Excess(threshold=900_000), [0.149, 0.114, 0.737]),
    ],
)
def test_risk_weighted_shares_are_the_printed_ones(
    growth: Growth | None, printed: list[float]
) -> None:
    """[P1 E.1] The shares of three winners by size and by the published weights, recomputed."""
    profits = Profits(profit=ints(WINNERS["profit"]), leverage=ints(WINNERS["leverage"]))
    amount = 5_000
    policy = ProRata() if growth is None else RiskWeighted(growth=growth)
    shares = policy.allocate(profits, amount).taken / amount

    assert shares == pytest.approx(printed, abs=0.00075)


def test_the_haircut_of_the_example() -> None:
    """[P1 E.1] D = 0.705 of W = 7.72 is a haircut of 0.0913."""
    found = ProRata().allocate(Profits(profit=ints([12613, 56214, 8397])), 7050)

    assert found.level is not None
    assert round(float(found.level), 4) == 0.0913


def test_the_death_spiral_shares_by_leverage_squared() -> None:
    """[P1 F.4] e = (60, 40), l = (2, 6), D = 40: pro rata (24, 16), risk-weighted 240 : 1440."""
    profits = Profits(profit=ints([60, 40]), leverage=ints([2_000_000, 6_000_000]))

    assert ProRata().allocate(profits, 40).taken.tolist() == [24, 16]
    assert RiskWeighted(growth=Power()).allocate(profits, 40).taken.tolist() == [6, 34]
    assert RiskWeighted(growth=Power()).allocate(profits, 7).taken.tolist() == [1, 6]


def test_accounts_without_weight_are_no_capacity() -> None:
    """[P1 D.2] The printed feasibility check counts them: 50 of 100 would silently be missing."""
    profits = Profits(profit=ints([50, 50]), leverage=ints([2_000_000, 1_000_000]))
    policy = RiskWeighted(growth=Excess(threshold=1_000_000))
    printed_check = sum([50, 50]) >= 80
    found = policy.allocate(profits, 80)

    assert printed_check
    assert (found.taken.tolist(), found.unfilled) == ([50, 0], 30)


def test_the_one_step_optimal_weight_is_the_expected_debt() -> None:
    """[P1 7] rho(l) = l E(1/l + Z)-: at l = 5 a fall of 30 % leaves 1/2 unpaid, 10 % none."""
    growth = Shortfall(returns=(-300_000, -100_000))

    assert Fraction(growth.weight(5_000_000), 10**12) == Fraction(1, 2)
    assert growth.weight(3_000_000) == 0


def test_the_printed_risk_formula_does_not_add_up() -> None:
    """[P1 v1] `x = B l / sum(l)` without w takes more than an account has; with w it does not."""
    w, leverage, amount = [1, 99], [9_000_000, 1_000_000], 50
    printed = [Fraction(amount * each, sum(leverage)) for each in leverage]
    found = RiskWeighted(growth=Power(exponent=0)).allocate(
        Profits(profit=ints(w), leverage=ints(leverage)), amount
    )

    assert printed[0] > w[0]
    assert found.taken.tolist() == [1, 49]


def test_caps_come_from_equity_floors() -> None:
    """[P1 D.1] b = min(h, 1 - (floor - c) / w): a winner keeps his floor, and a largest haircut."""
    caps = floor_caps(
        ints([100, 100, 100]),
        ints([50, -20, -150]),
        equity_floor=ints([0, 30, 0]),
        most_ppm=800_000,
    )
    found = Capped().allocate(Profits(profit=ints([100, 100, 100]), cap=caps), 120)

    assert caps.tolist() == [80, 50, 0]
    assert found.taken.tolist() == [70, 50, 0]
    with pytest.raises(InputError, match="most_ppm: expected 0 to 1000000, got -1"):
        floor_caps(ints([1]), ints([1]), equity_floor=ints([1]), most_ppm=-1)


@pytest.mark.parametrize(
    ("w", "amount", "is_true"),
    [([10, 1], 5, True), ([10, 9], 5, False)],
    ids=["the first stays the largest", "the second becomes it"],
)
def test_the_gap_between_queue_and_pro_rata_holds_only_while_the_first_stays_first(
    w: list[int], amount: int, *, is_true: bool
) -> None:
    """[P1c 5.3] `H (1 - w1 / U)` is the gap of largest survivors only where w1 - H >= w2."""
    after_queue = max(w[0] - amount, w[1])
    after_pro_rata = max(Fraction(each) - Fraction(amount * each, sum(w)) for each in w)
    printed = amount * (1 - Fraction(w[0], sum(w)))

    assert (after_pro_rata - after_queue == printed) is is_true
    assert w[0] - amount >= w[1] or not is_true


def test_projecting_without_a_gradient_cuts_by_the_square_of_size() -> None:
    """[CODE] One projection from zero gives h = clip(k w, 0, 1): the haircut grows with size.

    What is taken is then in proportion to w**2, which no proportional rule does: the policy that
    the tables call vector mirror descent is a pro rata by squares.
    """
    w, amount = [10, 20, 70], 54
    squares = ProRata(by=By.EQUITY).allocate(
        Profits(profit=ints(w), equity=ints([each * each for each in w])), amount
    )
    haircuts = [
        Fraction(taken, each) for taken, each in zip(squares.taken.tolist(), w, strict=True)
    ]

    assert squares.taken.tolist() == [1, 4, 49]
    assert haircuts == [Fraction(1, 10), Fraction(1, 5), Fraction(7, 10)]


def test_a_queue_jumps_and_pro_rata_does_not() -> None:
    """[P2 prop. 11] Slopes that alternate move a queue by the whole budget, pro rata not at all."""
    shares = ints([1, 1])
    first = Queue().allocate(Profits(profit=shares, rank=ints([1, 2])), 1).taken
    second = Queue().allocate(Profits(profit=shares, rank=ints([2, 1])), 1).taken
    equal = [ProRata().allocate(Profits(profit=ints([1000, 1000])), 1000).taken for _ in range(2)]

    assert int(np.abs(first - second).sum()) == 2
    assert int(np.abs(equal[0] - equal[1]).sum()) == 0


@pytest.mark.parametrize(("large", "rounds"), [(4, 10), (10, 100)])
def test_a_fixed_queue_regrets_half_of_the_rounds(large: int, rounds: int) -> None:
    """[P2 4.1] Capacities (1, M) and (M, 1) by turns, B = 1: regret `T/2 (1 - 1/M)`."""
    burden = Fraction(0)
    best = Fraction(0)
    for number in range(rounds):
        profit = [1, large] if number % 2 == 0 else [large, 1]
        taken = Queue().allocate(Profits(profit=ints(profit), rank=ints([1, 2])), 1).taken.tolist()
        burden += max(Fraction(x, u) for x, u in zip(taken, profit, strict=True))
        best += min(Fraction(1, u) for u in profit)

    assert burden - best == Fraction(rounds, 2) * (1 - Fraction(1, large))


def test_one_pass_over_the_leftovers_can_leave_some() -> None:
    """[CODE] A single pass of `+1` under-fills beside a cap; water-filling takes exactly Q."""
    lots, weight, amount = [1, 10], [9, 1], 9
    ideal = [Fraction(amount * each, sum(weight)) for each in weight]
    base = [min(int(each), held) for each, held in zip(ideal, lots, strict=True)]
    order = sorted(range(2), key=lambda row: base[row] - ideal[row])
    for row in order[: amount - sum(base)]:
        base[row] += base[row] < lots[row]
    found = ProRata(by=By.PROFIT).allocate(Contracts(lots=ints(lots), profit=ints(weight)), amount)

    assert sum(base) < amount
    assert (found.taken.tolist(), found.unfilled) == ([1, 8], 0)


def test_continuous_min_max_is_pro_rata() -> None:
    """[P2 C.1] Without lots the smallest largest haircut is B / U: lots cost at most one each."""
    profit, amount = [7, 90, 403], 150
    found = MinMax().allocate(Profits(profit=ints(profit)), amount)
    plain = ProRata().allocate(Profits(profit=ints(profit)), amount)

    assert plain.level == Fraction(amount, sum(profit))
    assert found.level is not None
    assert found.level >= Fraction(amount, sum(profit))
    assert bool(np.all(np.abs(found.taken - plain.taken) <= 1))


LEVERED = {"lots": [60, 50, 40, 30], "equity": [300, 500, 800, 1500]}


@pytest.mark.parametrize(
    ("amount", "level", "cuts"),
    [
        (20, "40/3", "20 0 0 0"),
        (30, "10", "30 0 0 0"),
        (70, "5", "45 25 0 0"),
        (80, "35/8", "375/8 225/8 5 0"),
        (100, "25/8", "405/8 275/8 15 0"),
        (150, "30/31", "1770/31 1400/31 1000/31 480/31"),
    ],
)
def test_leverage_draining_of_the_worked_example(amount: int, level: str, cuts: str) -> None:
    """[P3, 8.4] Level and cuts at a price of 100; whole lots are within one of the exact cuts."""
    candidates = Contracts(lots=ints(LEVERED["lots"]), equity=ints(LEVERED["equity"]))
    found = LeverageDraining().allocate(candidates, amount)
    exact = [Fraction(cut) for cut in cuts.split()]

    assert found.level is not None
    assert 100 * found.level == Fraction(level)
    assert sum(exact) == sum(found.taken.tolist()) == amount
    for taken, cut in zip(found.taken.tolist(), exact, strict=True):
        assert abs(taken - cut) < 1


def test_whole_lots_of_the_worked_example() -> None:
    """[P3, 8.4] Q = 80: floors (46, 28, 5, 0), the last lot to A; by lots it is the same."""
    candidates = Contracts(lots=ints(LEVERED["lots"]), equity=ints(LEVERED["equity"]))

    for rounding in Rounding:
        found = LeverageDraining(rounding=rounding).allocate(candidates, 80)
        assert found.taken.tolist() == [47, 28, 5, 0]
    by_leverage = Contracts(lots=ints(LEVERED["lots"]), rank=ints([1, 2, 3, 4]))
    assert Queue().allocate(by_leverage, 80).taken.tolist() == [60, 20, 0, 0]


def test_quota_and_smallest_differ_where_lots_are_coarse() -> None:
    """[P3, 8.3] (40, 1200), (3, 100), (3, 100), Q = 11: largest leverage 3 against 31/12."""
    candidates = Contracts(lots=ints([40, 3, 3]), equity=ints([1200, 100, 100]))
    cuts = {
        rounding: LeverageDraining(rounding=rounding).allocate(candidates, 11)
        for rounding in Rounding
    }
    worst = {
        rounding: twin.largest(
            Fraction(100 * (held - taken), behind)
            for held, taken, behind in zip(
                [40, 3, 3], found.taken.tolist(), [1200, 100, 100], strict=True
            )
        )
        for rounding, found in cuts.items()
    }

    assert cuts[Rounding.QUOTA].taken.tolist() == [10, 1, 0]
    assert cuts[Rounding.SMALLEST].taken.tolist() == [9, 1, 1]
    assert worst == {Rounding.QUOTA: 3, Rounding.SMALLEST: Fraction(31, 12)}


def test_draining_at_a_price_burns_equity() -> None:
    """[P3, 8.4] Cost 2 a lot, Q = 80: level 175/36, cuts (654, 370, 16, 0) / 13."""
    candidates = Contracts(lots=ints(LEVERED["lots"]), equity=ints(LEVERED["equity"]))
    found = PricedDraining(value=Fraction(100), cost=Fraction(2)).allocate(candidates, 80)
    exact = [Fraction(part, 13) for part in (654, 370, 16, 0)]

    assert found.level == Fraction(175, 36)
    assert sum(found.taken.tolist()) == 80
    for taken, cut in zip(found.taken.tolist(), exact, strict=True):
        assert abs(taken - cut) < 1
    free = PricedDraining(value=Fraction(100), cost=Fraction(0)).allocate(candidates, 80)
    assert free.taken.tolist() == [47, 28, 5, 0]
    with pytest.raises(InputError, match="equity: expected more than the 300 that a full close"):
        PricedDraining(value=Fraction(100), cost=Fraction(5)).allocate(candidates, 80)


def test_draining_in_two_steps_is_draining_at_once() -> None:
    """[P3, 8.5] Q = 30 and then 50 end where Q = 80 does, here to the lot."""
    equity = ints(LEVERED["equity"])
    first = LeverageDraining().allocate(Contracts(lots=ints(LEVERED["lots"]), equity=equity), 30)
    left = Contracts(lots=ints(LEVERED["lots"]) - first.taken, equity=equity)
    second = LeverageDraining().allocate(left, 50)

    assert (first.taken + second.taken).tolist() == [47, 28, 5, 0]


def test_splitting_an_account_never_saves_it_a_lot() -> None:
    """[P3, 8.5] A split account is cut at least as much at the same level, others no more."""
    whole = Contracts(lots=ints([60, 50, 40]), equity=ints([300, 500, 800]))
    split = Contracts(lots=ints([50, 10, 50, 40]), equity=ints([150, 150, 500, 800]))
    one = LeverageDraining().allocate(whole, 45)
    two = LeverageDraining().allocate(split, 45)

    assert int(two.taken[:2].sum()) >= int(one.taken[0])
    assert two.level is not None
    assert one.level is not None
    assert two.level >= one.level


def test_a_hedged_book_is_cut_less() -> None:
    """[P3, 8.7] U naked, H hedged, G small, Q = 25: (65, 5, 5) / 3; gross leverage strips H."""
    lots, equity = ints([30, 30, 10]), ints([500, 500, 500])
    candidates = Contracts(lots=lots, equity=equity)
    found = FactorDraining(exposure=ints([3000, 1000, 1000]), unit=Fraction(100)).allocate(
        candidates, 25
    )
    # By gross leverage: 6, 10 and 2 of equity, H's own book counted twice.
    gross = FactorDraining(exposure=ints([3000, 5000, 1000]), unit=Fraction(100)).allocate(
        candidates, 25
    )

    assert found.level == Fraction(5, 3)
    assert found.taken.tolist() == [22, 2, 1]
    assert gross.level == Fraction(11, 2)
    # (5/2, 45/2, 0) in whole lots: both would stand at 28/5 then, so the smaller id gives the lot.
    assert gross.taken.tolist() == [3, 22, 0]


def test_a_pure_hedge_is_reached_last() -> None:
    """[P3, 8.7] A fourth book of exposure -1500, long 20, and Q = 70: (30, 55/2, 10, 5/2)."""
    candidates = Contracts(lots=ints([30, 30, 10, 20]), equity=ints([500] * 4))
    policy = FactorDraining(exposure=ints([3000, 1000, 1000, -1500]), unit=Fraction(100))
    found = policy.allocate(candidates, 70)

    assert found.level == Fraction(-7, 2)
    assert found.taken.tolist() == [30, 28, 10, 2]


def test_shorts_are_drained_by_the_same_rule() -> None:
    """[P3, 8.6] Closing a short raises the exposure: unit and signs turn, the cuts do not."""
    lots, equity = ints([30, 30, 10]), ints([500, 500, 500])
    policy = FactorDraining(exposure=ints([-3000, -1000, -1000]), unit=Fraction(-100))
    found = policy.allocate(Contracts(lots=lots, equity=equity), 25)

    assert found.taken.tolist() == [22, 2, 1]
    assert found.level == Fraction(-5, 3)


def test_bankrupt_accounts_have_no_place() -> None:
    """[P3, 8.2] Whoever has no equity is himself bankrupt: he is left out, never divided by."""
    candidates = Contracts(lots=ints([5, 5, 5]), equity=ints([0, -10, 10]))
    found = LeverageDraining().allocate(candidates, 7)

    assert (found.taken.tolist(), found.unfilled) == ([0, 0, 5], 2)
