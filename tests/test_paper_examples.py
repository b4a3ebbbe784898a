"""The worked examples of arXiv 2512.01112 that need more than one room, and what is wrong in them.

[P1] A.3 to A.6: execution, its cost, the smallest slice and bad debt of its five positions; E.1:
the next deficit after a pro rata; 8.5: alternating rounds. [P3] arXiv 2603.15963: what a hedge is
worth.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from deleverage.backstop.bankruptcy import Clamp, Cross, Holding, bankruptcy
from deleverage.backstop.settlement import Terms
from deleverage.lab import metrics
from deleverage.lab.simulate_books import Books
from deleverage.lab.simulate_course import PPM, Course, Traders
from deleverage.model.terms import Cancelled, Convention, Fee, Payer
from deleverage.policy import Contracts, FactorDraining, Profits, ProRata, RiskWeighted
from deleverage.policy.risk_weighted import Shortfall
from deleverage.policy.severity import OnlineGradient, Round
from liquidations import market

TICKS = 10_000
LOTS = 100


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A column."""
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("side", "price", "qty", "executed"),
    [
        (1, "1.30", "0.5", "1.05"),
        (1, "0.95", "0.2", "0.85"),
        (-1, "1.60", "2", "2.60"),
        (1, "0.98", "0.4", "0.78"),
        (-1, "1.05", "0.4", "1.25"),
    ],
)
def test_a_slice_executes_at_the_mean_of_a_straight_line(
    side: int, price: str, qty: str, executed: str
) -> None:
    """[P1 A.3] `p -+ qty / 2` at a slope of 1: the book of a simulation pays exactly that."""
    ticks, lots = int(Fraction(price) * TICKS), int(Fraction(qty) * LOTS)
    # A slope of 1 a contract is 100 ticks a lot: impact x price = 100 x depth, in parts of one.
    impact = next(part for part in range(PPM // 2, 0, -1) if ticks * part % (100 * PPM) == 0)
    course = Course(depth=ticks * impact // (100 * PPM), impact=impact, price=ticks)
    names = ("lots", "entry_value", "margin", "leverage", "hedge", "reserve")
    books = Books.open(Traders(**dict.fromkeys(names, ints())), course)
    cash = books.proceeds(0, side, lots, course)

    assert Fraction(cash, side * lots * TICKS) == Fraction(executed)


@pytest.mark.parametrize(
    ("of_mark", "of_quote", "cost"), [(4_000, 0, "0.0026"), (2_000, 1_000, "0.00196")]
)
def test_a_slice_pays_shares_of_its_mark_value_and_of_its_quote(
    of_mark: int, of_quote: int, cost: str
) -> None:
    """[P1 A.4] 40 bp of 0.5 at 1.30 is 0.0026; 20 bp of that and 10 bp of 0.5 at 1.32 is 0.00196.

    arXiv 2512.01112v1, appendix A.4, read 2026-11-22. The published shares are of the mark value
    and of what was executed; the terms of a settlement charge both, and nothing is rounded here.
    """
    scale = market("1.30", lot_size="0.5")
    terms = Terms(
        scale=scale,
        deleveraged=Fee.NONE,
        liquidated=Fee.LIQUIDATION,
        cancelled=Cancelled.NONE,
        difference=Payer.NOBODY,
    )
    values = {of_mark: scale.value(1, 130), of_quote: scale.value(1, 132)}
    fees = [
        replace(terms, liquidation_ppm=ppm).fee(terms.liquidated, value, "liquidated")
        for ppm, value in values.items()
    ]

    assert sum(fees) * Fraction(scale.money_unit) == Fraction(cost)


def test_the_smallest_slice_is_none_where_equity_is_gone() -> None:
    """[P1 A.5] 4.949 / 0.4835 = 10.24 is more than the whole position: no slice restores it."""
    equity = Fraction(10, 99) - Fraction(9, 2)
    price, executed, upkeep, fee = map(Fraction, ("5.5", "5.55", "0.1", "0.003"))
    needed = (upkeep * price - equity) / (-(executed - price) - fee * price + upkeep * price)

    def left(slice_: Fraction) -> Fraction:
        """Equity less maintenance after a slice of the short of 1, paid at the executed price."""
        paid = (executed - price) * slice_ + fee * price * slice_
        return equity - paid - upkeep * price * (1 - slice_)

    assert round(float(needed), 2) == 10.24
    assert left(needed) == 0
    assert left(Fraction(1)) < 0


def test_the_printed_bad_debt_moves_the_bankruptcy_price_with_the_mark() -> None:
    """[P1 A.6] `0.98 - 2/19` gives 0.0379; entered at 1 the long is bankrupt at 17/19: 0.0459.

    The formula takes what was put up off the mark of the moment, as if the fall from 1 to 0.98 had
    cost nothing. The five prices of A.1 take it off the entry.
    """
    holding = Holding(lots=1, entry_value=TICKS, mark_value=TICKS * 98 // 100)
    behind = Cross(margin=Fraction(2, 19) * TICKS)
    found = bankruptcy(holding, behind, convention=Convention.OWN_MARGIN, clamp=Clamp.ZERO)
    executed, slice_ = Fraction("0.78"), Fraction("0.4")
    printed = (Fraction("0.98") - Fraction(2, 19) - executed) * slice_

    assert round(float(printed), 4) == 0.0379
    assert found.price(TICKS) == Fraction(17, 19)
    assert round(float((Fraction(17, 19) - executed) * slice_), 4) == 0.0459


WINNERS, LEVERAGES = (12_613, 56_214, 8_397), (1_031_000, 925_000, 1_548_000)
SHOCK = 1_401_600  # 1.2 times the mean leverage, ppm


def next_deficit(taken: list[int]) -> Fraction:
    """[P1 E.1] The expected debt of what is left, after a move of the shock either way."""
    growth = Shortfall(returns=(-SHOCK, SHOCK))
    weights = [Fraction(growth.weight(each), 2 * PPM * PPM) for each in LEVERAGES]
    left = [held - cut for held, cut in zip(WINNERS, taken, strict=True)]
    return sum((e * w for e, w in zip(left, weights, strict=True)), Fraction(0)) / TICKS


def test_the_next_deficit_after_pro_rata() -> None:
    """[P1 E.1] D = 0.705 of W = 7.72: after a shock of 1.2 x mean leverage 1.46 is expected."""
    shared = ProRata().allocate(Profits(profit=ints(*WINNERS)), 7_050)

    assert 10**6 * sum(LEVERAGES) * 12 // 10 // 3 == SHOCK * 10**6
    assert round(float(next_deficit(shared.taken.tolist())), 2) == 1.46


def test_the_one_step_optimal_weights_are_not_optimal() -> None:
    """[P1 prop. E.1] Its objective is linear in the cuts, so the riskiest gives all of it first.

    Water-filling by those weights, which the proposition calls its solution, leaves more: better
    than pro rata, worse than the greedy cut. It is best among rules of its own kind only.
    """
    profits = Profits(profit=ints(*WINNERS), leverage=ints(*LEVERAGES))
    rule = RiskWeighted(growth=Shortfall(returns=(-SHOCK, SHOCK)))
    weighted = rule.allocate(profits, 7_050).taken.tolist()
    shared = ProRata().allocate(profits, 7_050).taken.tolist()

    greedy = [0, 0, 7_050]
    assert next_deficit(greedy) < next_deficit(weighted) < next_deficit(shared)


def test_what_alternates_costs_a_learner_what_it_costs_a_fixed_severity() -> None:
    """[P1 8.5] Rounds that need 0 and 0.3 by turns: a learner's 30 and 1,500 are not one measure.

    30 is 0.3 sqrt(T), a bound on the loss against the best fixed severity; every fixed one between
    has 0 of that. What each loses against the rounds themselves is 1,500, the learner's too.
    """
    rounds, most = 10_000, Fraction(3, 10)
    policy = OnlineGradient(first=0, path=0, squares=rounds * 100)
    state, chosen = policy.start(), []
    needed = [number % 2 * 3 for number in range(rounds)]
    for each in needed:
        now = Round(deficit=10, capacity=10, largest=10, needed=each)
        chosen.append(float(policy.decide(state, now)))
        state = policy.learn(state, now)
    deficit, target = np.ones(rounds), np.array(needed) / 10
    fixed = np.full(rounds, 0.1)

    bound = float(most) * rounds**0.5
    assert bound == pytest.approx(30)
    assert abs(metrics.static_regret(deficit, chosen, target)) <= 2 * bound
    assert metrics.static_regret(deficit, fixed, target) == pytest.approx(0, abs=1e-9)
    assert metrics.dynamic_regret(deficit, fixed, target) == pytest.approx(1_500)
    assert metrics.dynamic_regret(deficit, chosen, target) == pytest.approx(1_500, abs=2 * bound)


SHOCKS = tuple(Fraction(sign, part) for part in (8, 6, 5, 4, 3, 2) for sign in (1, -1))


def shortfall(exposures: list[Fraction], equity: int) -> Fraction:
    """What accounts owe on average over the shocks, equally likely."""
    owed = (max(Fraction(0), -each * move - equity) for each in exposures for move in SHOCKS)
    return sum(owed, Fraction(0)) / len(SHOCKS)


def test_gross_leverage_is_dearer_than_factor_leverage() -> None:
    """[P3, 8.7] Expected shortfall 0 by factor, 9925/72 by gross leverage, 925/6 without a cut.

    A naked book of 3,000, a hedged one of 1,000 and a small one of 1,000, each on 500 of equity;
    25 lots at 100 are closed. Cutting the hedged book by its gross size turns it net short.
    """
    whole = [Fraction(3_000), Fraction(1_000), Fraction(1_000)]
    cuts = {
        "factor": [Fraction(65, 3), Fraction(5, 3), Fraction(5, 3)],
        "gross": [Fraction(5, 2), Fraction(45, 2), Fraction(0)],
        "none": [Fraction(0)] * 3,
    }
    found = {
        name: shortfall([b - 100 * x for b, x in zip(whole, cut, strict=True)], 500)
        for name, cut in cuts.items()
    }
    lots = Contracts(lots=ints(30, 30, 10), equity=ints(500, 500, 500))
    rule = FactorDraining(exposure=ints(3_000, 1_000, 1_000), unit=Fraction(100))
    taken = rule.allocate(lots, 25).taken.tolist()

    assert found == {"factor": 0, "gross": Fraction(9925, 72), "none": Fraction(925, 6)}
    assert sum(map(sum, (cuts["factor"], cuts["gross"]))) == 50
    assert shortfall([b - 100 * x for b, x in zip(whole, taken, strict=True)], 500) == 0
