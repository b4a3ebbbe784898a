"""Policies without a kernel: rings, indices, haircuts, clearing houses, and how much to take."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.errors import InputError, StateError
from deleverage.policy import (
    Contracts,
    SeededRing,
)
from deleverage.policy.both_sides import (
    deposit_delta,
    drift_delta,
    mango_delta,
    socialised_size,
    vertex_delta,
)
from deleverage.policy.clearing import gains_haircut, tear_up
from deleverage.policy.index_scaling import ONE, Index
from deleverage.policy.pool_solvency import Pool, token_price
from deleverage.policy.seeded_ring import ring_start
from deleverage.policy.seniority import Claim, payouts, redemption_rates
from deleverage.policy.severity import (
    BILLION,
    Backoff,
    Full,
    Lagged,
    MirrorDescent,
    OnlineGradient,
    Round,
    Severity,
    Static,
    budget,
)
from deleverage.policy.socialised import payout_ratio, printed_shares, share_payouts
from deleverage.policy.withdrawal import burned_cash, cash_rate, charge_withdrawal, loss_factor

AMOUNTS = st.integers(0, 10**9)
ROUNDS = st.lists(
    st.builds(Round, deficit=AMOUNTS, capacity=AMOUNTS, largest=AMOUNTS, needed=AMOUNTS),
    max_size=12,
)


def ints(values: list[int]) -> np.ndarray[Any, Any]:
    """A column."""
    return np.array(values, dtype=np.int64)


# The ring.


@given(st.data())
def test_a_ring_takes_whole_candidates_from_its_start(data: st.DataObject) -> None:
    """Along the ids from the start, nobody beyond the limit, nobody whose price does not suit."""
    count = data.draw(st.integers(1, 9))
    lots = data.draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    ids = data.draw(st.permutations(range(count)))
    prices = data.draw(st.lists(st.integers(-5, 5), min_size=count, max_size=count))
    start, limit = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 12))
    amount, side = data.draw(st.integers(0, 40)), data.draw(st.sampled_from([1, -1]))
    ring = SeededRing(
        start=start,
        side=side,
        bankruptcy=Fraction(0),
        bankruptcies=[Fraction(price) for price in prices],
        limit=limit,
    )
    candidates = Contracts(lots=ints(lots), ids=np.array(ids, dtype=np.uint64))
    found = ring.allocate(candidates, amount)

    left, expected = amount, [0] * count
    for step in range(min(limit, count)):
        row = ids.index((start + step) % count)
        if side * prices[row] <= 0:
            expected[row] = min(left, lots[row])
            left -= expected[row]
    assert (found.taken.tolist(), found.unfilled) == (expected, left)


def test_a_ring_starts_anywhere_and_always_at_the_same_place() -> None:
    """Known draws of SplitMix64, every place reached, and the same seed draws the same place."""
    # The first output of SplitMix64 for the seeds 0 and 1 is public: e220a8397b1dcdaf, 910a2dec...
    assert ring_start(0, 2**64 - 1) == 0xE220A8397B1DCDAF
    assert ring_start(1, 2**64 - 1) == 0x910A2DEC89025CC1
    assert {ring_start(seed, 7) for seed in range(100)} == set(range(7))
    for seed, count in ((-1, 3), (2**64, 3), (0, 0)):
        with pytest.raises(InputError, match="seed, count: expected"):
            ring_start(seed, count)


def test_a_ring_refuses_what_it_cannot_read() -> None:
    """A side, a limit or prices that do not fit are one clear error."""
    candidates = Contracts(lots=ints([1]))
    ring = {"start": 0, "bankruptcy": Fraction(1), "bankruptcies": [None]}
    with pytest.raises(InputError, match="side, limit, start"):
        SeededRing(side=0, **ring).allocate(candidates, 1)
    with pytest.raises(InputError, match="bankruptcies: expected 1, got 2"):
        SeededRing(side=1, **{**ring, "bankruptcies": [None, None]}).allocate(candidates, 1)
    assert SeededRing(side=1, **ring).allocate(candidates, 3).unfilled == 2


# Index scaling.


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 10**6)), max_size=4),
)
def test_a_side_settled_by_index_never_holds_more_nor_pays_less(
    lots: list[int], events: list[tuple[int, int]]
) -> None:
    """After any cuts: lots settled never exceed the open interest; the deficits are covered.

    What accounts book may be settled at once or along the way; it differs by rounding alone.
    """
    side = Index(open_interest=sum(lots))
    holdings = [side.open(each) for each in lots]
    deficits = 0
    for percent, deficit in events:
        closed = side.open_interest * percent // 200
        side = side.close(closed, deficit=deficit)
        deficits += deficit
    settled = [side.settle(holding) for holding in holdings]

    assert sum(one.holding.lots for one in settled) <= side.open_interest
    assert all(one.pnl <= 0 for one in settled)
    # Rounding leaves less than a unit an account and event uncollected or over-collected.
    slack = len(lots) + len(events) * (1 + sum(lots) // ONE)
    assert -sum(one.pnl for one in settled) >= deficits - slack
    exact = [Fraction(each * side.scale, ONE) for each in lots]
    for one, real in zip(settled, exact, strict=True):
        assert 0 <= real - one.holding.lots < 1


def test_an_index_refuses_what_it_cannot_hold() -> None:
    """Too many lots, nobody there, too coarse a scale, or an old epoch is refused by name."""
    side = Index(open_interest=10)
    with pytest.raises(InputError, match="lots, deficit: expected 0 to 10 lots"):
        side.close(11, deficit=0)
    with pytest.raises(StateError, match="open interest: expected some"):
        Index().close(0, deficit=1)
    with pytest.raises(StateError, match="scale: expected 1000000 or more, got 9"):
        Index(scale=10, open_interest=10).close(1, deficit=0)
    with pytest.raises(StateError, match="epoch: expected 1, got 0"):
        side.reset().settle(side.open(1))
    with pytest.raises(InputError, match="lots: expected 0 or more"):
        side.open(-1)
    assert side.close(10, deficit=3).scale == 0


# Haircuts and charges.


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=9), st.data())
def test_payouts_are_what_was_collected_and_never_more_than_owed(
    owed: list[int], data: st.DataObject
) -> None:
    """Floors, then the dust unit by unit: to the network, then from the last winner backwards."""
    collected = data.draw(st.integers(0, sum(owed) + 5))
    network = data.draw(st.none() | st.integers(0, len(owed) - 1))
    paid = share_payouts(owed, collected, network=network)

    there = min(collected, sum(owed))
    expected = [int(Fraction(due * there, sum(owed) or 1)) for due in owed]
    queue = [*([] if network is None else [network]), *range(len(owed) - 1, -1, -1)]
    for _ in range(there - sum(expected)):
        place = next(place for place in queue if expected[place] < owed[place])
        expected[place] += 1
    assert paid == expected


def test_dust_goes_to_the_last_who_is_owed_anything() -> None:
    """A winner owed nothing is none; who is owed one unit gets one, and the one before the rest."""
    assert share_payouts([3, 3, 0], 5) == [2, 3, 0]
    assert share_payouts([5, 5, 5, 1], 11) == [3, 3, 4, 1]
    assert share_payouts([0, 3, 3], 5, network=0) == [0, 2, 3]


@given(st.integers(1, 10**12), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_charge_on_both_sides_covers_the_loss(loss: int, long: int, short: int) -> None:
    """Rounded up, the funding collects the loss and less than one step a unit more."""
    if long + short == 0:
        with pytest.raises(StateError, match="open interest"):
            drift_delta(-loss, long=long, short=-short)
        return
    delta = drift_delta(-loss, long=long, short=-short)
    collected = Fraction(delta * (long + short), 10**12)

    assert loss <= collected < loss + Fraction(1000 * (long + short), 10**12)


@given(AMOUNTS, st.integers(1, 10**9), AMOUNTS)
def test_withdrawals_are_split_without_remainder(bankrupt: int, balance: int, amount: int) -> None:
    """The fund and the user get the whole withdrawal; by formula the fund never gets less."""
    factor = loss_factor(bankruptcy=bankrupt, insurance=0, balance=balance)
    split = charge_withdrawal(amount, factor)
    rate = cash_rate(stable=balance, cash=balance + bankrupt)

    assert split.to_fund + split.to_user == amount
    assert 0 <= split.to_fund - factor * amount < 1
    assert factor == 1 - rate
    assert burned_cash(amount, rate) * rate >= amount


@given(st.lists(st.builds(Claim, margin=st.integers(-99, 99), has_position=st.booleans())), AMOUNTS)
def test_seniors_are_whole_before_anyone_else_is_paid(claims: list[Claim], cash: int) -> None:
    """Nobody is paid above his margin, the sum never exceeds the cash, juniors come last."""
    collateral = cash % 500
    paid = payouts(claims, collateral=collateral)
    pairs = list(zip(claims, paid, strict=True))

    assert sum(paid) <= collateral
    assert all(0 <= got <= max(0, claim.margin) for claim, got in pairs)
    if any(got for claim, got in pairs if claim.has_position):
        assert all(got == max(0, c.margin) for c, got in pairs if not c.has_position)


def test_amounts_of_the_wrong_sign_are_refused() -> None:
    """Each haircut and charge refuses what it cannot mean, by name."""
    wrong: list[tuple[Any, str]] = [
        (lambda: share_payouts([1, -1], 1), "owed, collected: expected 0 or more"),
        (lambda: share_payouts([1], 1, network=1), "network: expected a place among 1"),
        (lambda: payout_ratio(1, -1), "profit: expected 0 or more"),
        (lambda: printed_shares(*([1, [0], 1])), "profits: expected some profit"),
        (lambda: drift_delta(1, long=1, short=-1), "loss, long, short"),
        (lambda: deposit_delta(-1, deposits=1, interest=1), "amounts: expected 0 or more"),
        (lambda: mango_delta(1, open_interest=1), "loss, open_interest"),
        (lambda: vertex_delta(1, open_interest=1), "loss, open_interest"),
        (lambda: socialised_size(maker=-1, long=0, short=0), "sizes: expected 0 or more"),
        (lambda: loss_factor(bankruptcy=-1, insurance=0, balance=0), "amounts: expected"),
        (lambda: charge_withdrawal(1, Fraction(2)), "amount, factor: expected"),
        (lambda: cash_rate(stable=-1, cash=0), "amounts: expected"),
        (lambda: burned_cash(1, Fraction(0)), "amount, rate: expected"),
        (
            lambda: redemption_rates(collateral=-1, without_position=0, with_position=0),
            "amounts: expected",
        ),
        (lambda: Pool(balance=-1, pnl=0), "balance: expected 0 or more"),
        (
            lambda: token_price(holdings=1, pnl=0, limit=Fraction(1), side=1, supply=0),
            "supply: expected more than 0",
        ),
    ]
    for run, message in wrong:
        with pytest.raises(InputError, match=message):
            run()
    with pytest.raises(StateError, match="open interest"):
        vertex_delta(-1, open_interest=0)
    assert mango_delta(-30, open_interest=0) == 0
    assert payout_ratio(5, 0) == 1
    assert Pool(balance=0, pnl=5).factor == 0


# Clearing houses.


@given(st.lists(st.integers(-99, 99), min_size=1, max_size=9), st.integers(0, 500))
def test_gains_are_cut_in_proportion_and_losers_pay_in_full(gains: list[int], short: int) -> None:
    """Exact in sum, no loser is touched, no gain turns into a loss, parts are alike to a unit."""
    found = gains_haircut(ints(gains), short)
    total = sum(gain for gain in gains if gain > 0)
    taken = min(short, total)

    assert int(found.haircut.sum()) + found.uncovered == short
    assert int(found.paid.sum()) == sum(gains) - taken
    for gain, cut in zip(gains, found.haircut.tolist(), strict=True):
        assert 0 <= cut <= max(0, gain)
        assert abs(cut - Fraction(max(0, gain) * taken, total or 1)) < 1


def test_gains_are_counted_since_the_default() -> None:
    """Who is down since the default is not cut; who is up, by no more than he is up."""
    found = gains_haircut(ints([100, 100, 100]), 90, past=ints([-150, -70, 0]))

    assert found.haircut.tolist() == [0, 21, 69]
    assert found.paid.tolist() == [100, 79, 31]
    with pytest.raises(InputError, match="past: expected 3 rows as in gains, got 1"):
        gains_haircut(ints([1, 2, 3]), 1, past=ints([1]))


def test_contracts_are_torn_up_against_the_other_side() -> None:
    """The defaulter's longs close shorts in proportion to size; his own side keeps its lots."""
    after, unmatched = tear_up(ints([-60, -40, 30]), 50)
    all_gone, left = tear_up(ints([60, -40, 30]), -100)

    assert (after.tolist(), unmatched) == ([-30, -20, 30], 0)
    assert (all_gone.tolist(), left) == ([0, -40, 0], 10)


# Severity.

CONTROLLERS: list[Severity] = [
    Full(),
    Static(billionths=BILLION // 3),
    Backoff(first=BILLION, part=BILLION // 2),
    Lagged(),
    MirrorDescent(first=BILLION // 2, step=BILLION // 10),
    OnlineGradient(first=BILLION // 2, path=BILLION, squares=10**18),
]


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda one: type(one).__name__)
@given(rounds=ROUNDS)
def test_a_budget_is_a_part_of_the_deficit_and_never_more_than_there_is(
    controller: Severity, rounds: list[Round]
) -> None:
    """Severities lie in 0 to 1, budgets within deficit and capacity, and the same again."""

    def run() -> list[int]:
        state, taken = controller.start(), []
        for now in rounds:
            severity = controller.decide(state, now)
            assert 0 <= severity <= 1
            taken.append(budget(severity, now))
            state = controller.learn(state, now)
        assert state.rounds == len(rounds)
        return taken

    taken = run()
    assert all(
        0 <= each <= min(now.deficit, now.capacity) for each, now in zip(taken, rounds, strict=True)
    )
    assert run() == taken


def test_full_takes_what_is_there() -> None:
    """The whole deficit, or all profits where these are less."""
    controller = Full()
    state = controller.start()

    assert [
        budget(controller.decide(state, now), now)
        for now in (Round(deficit=70, capacity=100), Round(deficit=70, capacity=50))
    ] == [70, 50]
    with pytest.raises(InputError, match="severity: expected 0 to 1"):
        budget(Fraction(2), Round(deficit=1, capacity=1))


def test_backoff_halves_and_recovers() -> None:
    """1, 1/2, 1/4 while deficits go on, and 1 again after a quiet round."""
    controller = Backoff(first=BILLION, part=BILLION // 2)
    state, seen = controller.start(), []
    for deficit in (8, 8, 8, 0, 8):
        now = Round(deficit=deficit, capacity=100)
        seen.append(controller.decide(state, now))
        state = controller.learn(state, now)

    assert seen == [1, Fraction(1, 2), Fraction(1, 4), Fraction(1, 8), 1]


@given(st.fractions(0, 1), st.fractions(0, Fraction(99, 100)), st.integers(1, 30))
def test_the_printed_backoff_never_backs_off(first: Fraction, part: Fraction, rounds: int) -> None:
    """[P1 H.3] `max(part x last, first)` is the first severity in every round."""
    severity = first
    for _ in range(rounds):
        severity = max(part * severity, first)

    assert severity == first


def test_a_lagged_severity_knows_the_last_deficit_only() -> None:
    """It takes the deficit of the round before, as far as there is one now."""
    controller = Lagged()
    state, taken = controller.start(), []
    for deficit in (100, 40, 400):
        now = Round(deficit=deficit, capacity=10**6)
        taken.append(budget(controller.decide(state, now), now))
        state = controller.learn(state, now)

    assert taken == [0, 40, 40]


def test_mirror_descent_steps_shrink_with_the_root_of_the_round() -> None:
    """From 0 by 0.1, 0.1 / sqrt 2, 0.1 / sqrt 3 up: what a unit of budget is worth is 1."""
    controller = MirrorDescent(first=0, step=BILLION // 10)
    state, now = controller.start(), Round(deficit=10, capacity=10)
    seen = []
    for _ in range(3):
        state = controller.learn(state, now)
        seen.append(float(state.severity))

    assert seen == pytest.approx([0.1, 0.1 + 0.1 / 2**0.5, 0.1 + 0.1 / 2**0.5 + 0.1 / 3**0.5])


def test_projected_gradient_keeps_its_regret_bound() -> None:
    """[P2 prop. 1] On needs that alternate the regret stays below sqrt((1 + 2 P) sum D^2)."""
    deficits = [1000 + 10 * number for number in range(60)]
    needs = [Fraction(1, 4) if number < 30 else Fraction(3, 4) for number in range(60)]
    squares, path = sum(each * each for each in deficits), Fraction(1, 2)
    controller = OnlineGradient(first=BILLION // 4, path=int(path * BILLION), squares=squares)
    state, regret = controller.start(), Fraction(0)
    for deficit, need in zip(deficits, needs, strict=True):
        now = Round(deficit=deficit, capacity=deficit, needed=int(need * deficit))
        regret += deficit * abs(controller.decide(state, now) - need)
        state = controller.learn(state, now)

    assert regret**2 <= (1 + 2 * path) * squares


def test_numbers_that_make_no_controller_are_refused() -> None:
    """A severity is a part of one, an amount is not negative."""
    for wrong in (
        lambda: Static(billionths=BILLION + 1),
        lambda: Backoff(first=0, part=-1),
        lambda: Lagged(billionths=-1),
        lambda: MirrorDescent(first=-1, step=1),
        lambda: OnlineGradient(first=0, path=0, squares=0),
        lambda: Round(deficit=-1, capacity=0),
    ):
        with pytest.raises(InputError, match="expected"):
            wrong()
