"""The measures of an allocation: equal to their definitions, and to what the papers work out."""

from fractions import Fraction
from math import exp, isnan, log, sqrt
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metric_twins as twin
from deleverage.errors import InputError
from deleverage.lab import metrics

money = st.integers(0, 10**12).map(lambda cents: Fraction(cents, 64))
positive = st.integers(1, 10**12).map(lambda cents: Fraction(cents, 64))
share = st.integers(0, 64).map(lambda parts: Fraction(parts, 64))
small = st.integers(-4, 4).map(Fraction)


def floats(values: list[Fraction]) -> list[float]:
    """The same numbers as doubles, exactly."""
    assert all(Fraction(float(value)) == value for value in values)
    return [float(value) for value in values]


def close(found: float, exact: Fraction) -> bool:
    """Whether a figure is the exact one but for the rounding of a few operations."""
    return abs(Fraction(found) - exact) <= abs(exact) * Fraction(1, 10**12)


def table(*kinds: st.SearchStrategy[Fraction]) -> st.SearchStrategy[list[list[Fraction]]]:
    """Columns of one length."""
    rows = st.lists(st.tuples(*kinds), max_size=30)
    return rows.map(lambda found: [[row[place] for row in found] for place in range(len(kinds))])


@given(table(money, money))
def test_budget_figures_are_their_definitions(rounds: list[list[Fraction]]) -> None:
    """Over and under are gross, their sum is tracking, their difference the signed figure."""
    executed, needed = rounds
    given_ = floats(executed), floats(needed)
    over, under = twin.over(executed, needed), twin.over(needed, executed)

    assert close(metrics.overshoot(*given_), over)
    assert close(metrics.undershoot(*given_), under)
    assert close(metrics.tracking_error(*given_), over + under)
    assert close(metrics.signed_overshoot(*given_), over - under)
    assert close(metrics.residual(given_[1], given_[0]), under)


@given(table(money, share, share))
def test_regret_is_loss_against_the_best(rounds: list[list[Fraction]]) -> None:
    """Dynamic regret is the whole loss, static regret is it less the best fixed severity's."""
    deficits, chosen, needed = rounds
    own = sum(
        (d * abs(a - b) for d, a, b in zip(deficits, chosen, needed, strict=True)), Fraction(0)
    )
    arrays = floats(deficits), floats(chosen), floats(needed)

    assert close(metrics.dynamic_regret(*arrays), own)
    static = own - twin.best_static_loss(deficits, needed)
    assert abs(Fraction(metrics.static_regret(*arrays)) - static) <= (own + 1) / 10**12


@given(table(money, share))
def test_the_bound_is_its_formula(rounds: list[list[Fraction]]) -> None:
    """The instance bound squared is (1 + 2 P) sum D^2."""
    deficits, needed = rounds

    assert metrics.path_length(floats(needed)) == twin.path_length(needed)
    bound = metrics.instance_bound(floats(deficits), floats(needed))
    assert close(bound**2, twin.square_bound(deficits, needed))


@given(table(money, money))
def test_severity_is_the_covered_share(rounds: list[list[Fraction]]) -> None:
    """Severity is budget over deficit, at most 1; of no deficit all is covered, or nothing."""
    budgets, deficits = rounds
    found = metrics.severity(floats(budgets), floats(deficits))
    exact = [twin.severity(b, d) for b, d in zip(budgets, deficits, strict=True)]

    assert all(close(one, other) for one, other in zip(found.tolist(), exact, strict=True))


@given(st.lists(money, max_size=40), st.integers(1, 5))
def test_concentration_figures_are_their_definitions(values: list[Fraction], count: int) -> None:
    """Gini by all pairs, HHI by squares, the top share by the largest."""
    given_ = floats(values)
    whole = sum(values, Fraction(0))
    top = sum(sorted(values, reverse=True)[:count], Fraction(0)) / (whole or 1)

    assert abs(Fraction(metrics.gini(given_)) - twin.gini(values)) <= Fraction(1, 10**12)
    assert close(metrics.concentration(given_), twin.concentration(values))
    assert close(metrics.top_share(given_, count), top)


@given(table(money, share))
def test_unevenness_of_parts_is_its_definition(rows: list[list[Fraction]]) -> None:
    """The weighted Gini is that of all pairs of parts; equal parts of any sizes have none."""
    held, shares = rows
    cuts = [Fraction(float(w * s)) for w, s in zip(held, shares, strict=True)]
    found = metrics.weighted_gini(floats(cuts), floats(held))
    even = metrics.weighted_gini([float(w) / 4 for w in held], floats(held))

    assert abs(Fraction(found) - twin.weighted_gini(cuts, held)) <= Fraction(1, 10**9)
    assert even == pytest.approx(0.0, abs=1e-9)


@given(table(positive, share, share, money))
def test_haircuts_are_their_definitions(rows: list[list[Fraction]]) -> None:
    """A haircut is what is taken of what there is; the gap is what is worse and what is better."""
    endowments, shares, others, budgets = rows
    cuts = [w * s for w, s in zip(endowments, shares, strict=True)]
    exact = [Fraction(float(x)) for x in cuts]

    found = metrics.max_haircut(floats(exact), floats(endowments))
    assert close(found, twin.largest_haircut(exact, endowments))
    part = metrics.participation(floats(exact), floats(endowments))
    assert close(part, Fraction(sum(x > 0 for x in exact), len(exact) or 1))
    gap = metrics.fairness_gap(floats(shares), floats(others), floats(budgets))
    worse = metrics.worse_than(floats(shares), floats(others), floats(budgets))
    better = metrics.worse_than(floats(others), floats(shares), floats(budgets))
    products = zip(shares, others, budgets, strict=True)
    assert close(gap, sum((b * abs(s - o) for s, o, b in products), Fraction(0)))
    assert gap == pytest.approx(worse + better, rel=1e-12)


@given(table(small, small))
def test_kendall_counts_every_pair(scores: list[list[Fraction]]) -> None:
    """The counts equal those of the definition, pair by pair, ties and all; tau-a is exact."""
    first, second = scores
    found = metrics.kendall(floats(first), floats(second))
    concordant, discordant, tied_first, tied_second = twin.kendall_counts(first, second)

    assert (found.concordant, found.discordant) == (concordant, discordant)
    assert (found.tied_first, found.tied_second) == (tied_first, tied_second)
    assert found.tau_a * (found.pairs or 1) == concordant - discordant
    product = (found.pairs - tied_first) * (found.pairs - tied_second)
    assert (
        isnan(found.tau_b)
        if product == 0
        else (found.tau_b == pytest.approx((concordant - discordant) / sqrt(product), rel=1e-14))
    )


def test_kendall_is_exact_on_long_orders() -> None:
    """Reversed, equal and shifted orders of many entries have the counts that can be said."""
    rows = np.arange(200_001)
    pairs = 200_001 * 200_000 // 2
    shifted = metrics.kendall(rows, np.roll(rows, 1))

    assert metrics.kendall(rows, -rows).tau_a == -1
    assert metrics.kendall(rows, rows * 3.0).tau_b == 1
    assert (shifted.concordant, shifted.discordant) == (pairs - 200_000, 200_000)
    assert metrics.kendall(rows, rows // 3).discordant == 0


@given(table(small, small))
def test_monotonicity_violations_are_inverted_neighbours(rows: list[list[Fraction]]) -> None:
    """Neighbours by endowment that change order, whatever the order of the rows."""
    endowments, left = [[abs(value) for value in rows[0]], rows[1]]
    found = metrics.monotonicity_violations(floats(endowments), floats(left))

    assert close(found, twin.violations(endowments, left))
    reverse = metrics.monotonicity_violations(floats(endowments)[::-1], floats(left)[::-1])
    assert found == reverse


def test_rank_stability_is_the_mean_of_neighbours() -> None:
    """Order kept is 1, order turned is -1, the mean of both 0; rounds of ties say nothing."""
    rising, falling, level = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2, 0.2, 0.2]

    assert metrics.rank_stability([rising, rising, falling]) == 0
    assert metrics.rank_stability([rising, rising, level]) == 1
    assert isnan(metrics.rank_stability([level, rising]))
    assert isnan(metrics.rank_stability([rising]))


@given(money, positive, positive, share)
def test_survivor_ratios_have_their_two_bases(
    left: Fraction, loss: Fraction, deficit: Fraction, part: Fraction
) -> None:
    """PTSR and PMR by the text divide by what was socialised, by the code by what is left."""
    executed = Fraction(float(deficit * part))
    expected = twin.survivor_ratios((left, loss), deficit, executed)
    for reading in metrics.Reading:
        given_ = {"deficit": float(deficit), "executed": float(executed), "reading": reading}
        found = (
            metrics.ptsr(float(left), **given_),
            metrics.pmr(float(left), float(loss), **given_),
        )
        for figure, exact in zip(found, expected[str(reading)], strict=True):
            assert (figure is None) is (exact is None)
            assert figure is None or exact is None or figure == pytest.approx(float(exact))


@given(st.integers(2, 6), st.lists(st.randoms(use_true_random=False), min_size=2, max_size=5))
def test_rank_stability_counts_pairs_that_keep_their_order(count: int, draws: list[Random]) -> None:
    """Over rounds without ties it is the mean of all pairs kept less all pairs turned."""
    rounds = [draw.sample(range(100), count) for draw in draws]
    exact = twin.mean_tau([[Fraction(each) for each in burden] for burden in rounds])

    assert exact is not None
    assert metrics.rank_stability(rounds) == pytest.approx(float(exact))


@given(table(share, money))
def test_revenue_that_leaves_is_its_formula(rows: list[list[Fraction]]) -> None:
    """Each account's share to leave, times two years of funding and fees on its endowment."""
    cuts, endowments = rows
    lost = sum(float(w) * (1 - exp(-5 * float(h))) for h, w in zip(cuts, endowments, strict=True))

    found = metrics.revenue_lost(floats(cuts), floats(endowments))
    assert found == pytest.approx(730 * (24 * 1.5e-5 + 4e-4) * lost, rel=1e-9)


# --- what the papers work out -------------------------------------------------------------


def test_the_queue_and_pro_rata_example_of_p1c() -> None:
    """P1c: profits 8, 4, 0.5 and half of a deficit of 15: who bears what by either rule."""
    profit, equity = np.array([8, 4, 0.5]), np.array([10, 5, 1])
    queue, pro_rata = np.array([3.5, 4, 0]), np.array([4.8, 2.4, 0.3])

    assert (equity - queue).tolist() == [6.5, 1, 1]
    assert (equity - pro_rata).tolist() == pytest.approx([5.2, 2.6, 0.7])
    assert metrics.haircuts(pro_rata, profit).tolist() == pytest.approx([0.6, 0.6, 0.6])
    assert metrics.max_haircut(queue, profit) == 1
    assert metrics.max_haircut(queue, equity) == 0.8
    assert metrics.max_haircut(pro_rata, equity) == pytest.approx(0.48)
    assert metrics.participation(queue, profit) == 2 / 3
    assert metrics.participation(pro_rata, profit) == 1
    assert metrics.residual([15], [queue.sum()]) == 7.5
    # Survivors 4.5, 0, 0.5: the queue overtakes one of two neighbours, pro-rata none.
    assert metrics.monotonicity_violations(profit, profit - queue) == 0.5
    assert metrics.monotonicity_violations(profit, profit - pro_rata) == 0


def test_ptsr_has_two_readings() -> None:
    """P1 divides by what was socialised, its code by what is left; they differ by their ratio."""
    text = metrics.ptsr(3.2, deficit=15, executed=5)
    code = metrics.ptsr(3.2, deficit=15, executed=5, reading=metrics.Reading.CODE)
    share_left = metrics.residual_share(3.2, deficit=15, executed=5)

    assert (text, code) == (3.2 / 5, 3.2 / 10)
    assert share_left == pytest.approx(3.2 / 13.2)
    assert metrics.pmr(3.2, 12, deficit=15, executed=5) == pytest.approx(3.2 / 4)
    found = metrics.pmr(3.2, 12, deficit=15, executed=5, reading=metrics.Reading.CODE)
    assert found == pytest.approx(3.2 / 8)
    # Nothing is left uncovered: by the code there is no ratio, which its files leave blank.
    assert metrics.ptsr(3.2, deficit=15, executed=15, reading=metrics.Reading.CODE) is None
    assert metrics.residual_share(3.2, deficit=15, executed=16) is None
    assert metrics.ptsr(3.2, deficit=15, executed=0) is None
    assert metrics.pmr(3.2, 0, deficit=15, executed=5) is None


def test_the_printed_survivor_gap_of_p1c_is_wrong_in_general() -> None:
    """P1c 5.3 prints a gap H (1 - w1/U) of the largest survivors; it holds if w1 - H >= w2."""

    def gap(profits: list[float], taken: float) -> tuple[float, float]:
        """The gap of the largest survivors, pro-rata less queue by size, and the printed one."""
        whole, largest = sum(profits), max(profits)
        second = sorted(profits)[-2]
        pro_rata = largest * (1 - taken / whole)
        queue = max(largest - taken, second)
        return pro_rata - queue, taken * (1 - largest / whole)

    assert gap([10, 4, 2], 5) == pytest.approx((1.875, 1.875))
    found, printed = gap([10, 8, 2], 5)
    assert (found, printed) == pytest.approx((-0.5, 2.5))
    # Divided by H (D^pi = theta D = H) the gap is 1 - w1/U, and not theta times it.
    deficit, taken = 10.0, 5.0
    ratios = [
        metrics.ptsr(left, deficit=deficit, executed=taken) for left in (10 * (1 - 5 / 16), 10 - 5)
    ]
    assert ratios[0] is not None
    assert ratios[1] is not None
    assert ratios[0] - ratios[1] == pytest.approx(1 - 10 / 16)
    assert ratios[0] - ratios[1] != pytest.approx(taken / deficit * (1 - 10 / 16))


def test_the_regret_of_a_fixed_queue_is_linear() -> None:
    """P2 4.1: capacities alternate (1, M), (M, 1), need 1: regret T/2 w (1 - 1/M)."""
    rounds, largest, weight = 100, 8.0, 0.5
    needed = np.ones(rounds)
    fixed = np.where(np.arange(rounds) % 2 == 0, 1.0, 1 / largest)
    larger_first = np.full(rounds, 1 / largest)
    pro_rata = np.full(rounds, 1 / (1 + largest))
    losses = {
        name: metrics.round_loss(needed, needed, burden, fairness_weight=weight)
        for name, burden in (("fixed", fixed), ("larger first", larger_first))
    }

    assert metrics.class_regret(losses)["fixed"] == rounds / 2 * weight * (1 - 1 / largest)
    # The printed regret is against the best vertex; pro-rata is better still.
    losses["pro-rata"] = metrics.round_loss(needed, needed, pro_rata, fairness_weight=weight)
    assert metrics.class_regret(losses)["larger first"] > 0
    assert metrics.class_regret(losses)["pro-rata"] == 0


def test_no_static_severity_follows_alternating_rounds() -> None:
    """P1 8.5: losses theta and 0.3 - theta in turn, 10,000 rounds: 1,500 for every static one."""
    needed = np.where(np.arange(10_000) % 2 == 0, 0.0, 0.3)
    deficit = np.ones(10_000)

    for theta in (0.0, 0.1, 0.3):
        chosen = np.full(10_000, theta)
        assert metrics.dynamic_regret(deficit, chosen, needed) == pytest.approx(1_500)
        assert metrics.static_regret(deficit, chosen, needed) == pytest.approx(0, abs=1e-9)
    assert metrics.static_regret(deficit, needed, needed) == pytest.approx(-1_500)


def test_a_queue_walks_a_path_and_pro_rata_stands() -> None:
    """P2, proposition 11: slopes alternate over 2T accounts: (T - 1) (a_max - a_min) against 0."""
    slopes = np.where(np.arange(20) % 2 == 0, 0.75, 0.25)

    assert metrics.path_length(slopes[:10]) == 9 * 0.5
    assert metrics.path_length(np.full(10, slopes.mean())) == 0


def test_losses_weigh_what_they_name() -> None:
    """P2, equations 9 and 10: with equal weights both losses agree, else each side has its own."""
    executed, needed, unfair = [5, 1], [2, 4], [0.5, 0.25]

    assert metrics.round_loss(executed, needed, unfair).tolist() == [3.5, 3.25]
    assert metrics.asymmetric_loss(executed, needed, unfair).tolist() == [3.5, 3.25]
    loss = metrics.asymmetric_loss(
        executed, needed, unfair, under_weight=10, over_weight=2, fairness_weight=4
    )
    assert loss.tolist() == [8, 31]


def test_the_fairness_term_charges_the_fairer_policy() -> None:
    """P2's |m - m_ref| charges a policy that is fairer than the reference; worse-than does not."""
    fairer, reference, budget = [0.1, 0.2], [0.4, 0.3], [100, 100]

    assert metrics.fairness_gap(fairer, reference, budget) == pytest.approx(40)
    assert metrics.worse_than(fairer, reference, budget) == 0
    assert metrics.worse_than(reference, fairer, budget) == pytest.approx(40)


def test_a_signed_sum_hides_what_gross_figures_show() -> None:
    """One round too much pays for one too little in the signed sum, and in no gross figure."""
    executed, needed = [30, 0], [10, 20]

    assert metrics.signed_overshoot(executed, needed) == 0
    assert (metrics.overshoot(executed, needed), metrics.undershoot(executed, needed)) == (20, 20)


def test_revenue_proxies_have_the_printed_figures() -> None:
    """P1 H.2: a cut of 10 % drives 39 % away, one of 20 % 63 %; 7.6e-4 a day over 730 days."""
    leaving = metrics.churn([0.1, 0.2, 0])

    assert leaving.round(2).tolist() == [0.39, 0.63, 0]
    half = log(2) / 5
    assert metrics.revenue_lost([half], [1_000]) == pytest.approx(730 * 7.6e-4 * 500)
    assert metrics.revenue_lost([half], [1_000], funding=-1.5e-5) == pytest.approx(277.4)


def test_edges_have_a_value() -> None:
    """Nobody, nothing and no endowment have figures that can be read."""
    assert metrics.gini([]) == metrics.concentration([0, 0]) == metrics.top_share([], 3) == 0
    assert metrics.gini([0, 0, 0, 8]) == 0.75
    assert metrics.max_haircut([], []) == metrics.participation([], []) == 0
    assert metrics.haircuts([1, 0, 2], [0, -5, -1]).tolist() == [np.inf, 0, np.inf]
    assert metrics.max_haircut([1, 0], [0, 5], is_capped=True) == 1
    assert metrics.participation([1, 0], [-1, 5]) == 0
    assert metrics.static_regret([], [], []) == metrics.path_length([0.5]) == 0
    assert metrics.severity([0, 1, 9], [0, 0, 3]).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: metrics.overshoot([1, 2], [1]), "one length"),
        (lambda: metrics.overshoot([1, np.nan], [1, 1]), "executed, entry 1"),
        (lambda: metrics.tracking_error([-1], [1]), "0 or more"),
        (lambda: metrics.gini([[1]]), "one dimension"),
        (lambda: metrics.gini(["a"]), "expected numbers"),
        (lambda: metrics.top_share([1], 0), "at least 1"),
        (lambda: metrics.class_regret({}), "at least one policy"),
        (lambda: metrics.rank_stability([[1], [1, 2]]), "same accounts"),
        (lambda: metrics.revenue_lost([0.1], [1, 2]), "one length"),
        (lambda: metrics.cut_cost("1", price="x", mark="1", later_mark="1"), "price"),
    ],
)
def test_what_is_no_column_is_refused(call: object, says: str) -> None:
    """A column of another shape, length or sign is one clear error."""
    assert callable(call)
    with pytest.raises(InputError, match=says):
        call()
