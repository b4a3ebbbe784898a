"""Policies in a simulated crash: one deficit, shared in several ways, and what is left then."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage import Venue
from deleverage.errors import InputError
from deleverage.lab.policies import POLICIES, Candidates, allocate
from deleverage.lab.simulate import simulate
from deleverage.lab.simulate_course import PPM, Course, Traders
from deleverage.lab.simulate_rounds import Trader, play_rounds
from deleverage.lab.simulate_summary import summarise
from deleverage.policy import By, ProRata, RiskWeighted
from deleverage.policy.risk_weighted import Power

GENERIC = Venue.load("generic")
SAFE = Trader(name="L", endowment=6_000, leverage=2 * PPM, utility=1_200)
RISKY = Trader(name="H", endowment=4_000, leverage=6 * PPM, utility=4_000)


def column(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A column of whole numbers."""
    return np.array(values, np.int64)


def paid(table: pl.DataFrame) -> list[tuple[object, ...]]:
    """Round, trader, payment, utility and whether he leaves."""
    return table.select("round", "trader", "paid", "utility", "leaves").rows()


def test_pro_rata_drives_the_safe_trader_out() -> None:
    """The death spiral of arXiv 2512.01112 (F.4), in hundredths: 60 and 40 share 40, then 30.

    60 % of 40 is 24: the safe one is left with 12 - 24 and goes, for elsewhere he has 2. The next
    deficit falls on the risky one alone, three quarters of all he has.
    """
    table = play_rounds([SAFE, RISKY], [4_000, 3_000], policy=ProRata(by=By.EQUITY), outside=200)

    assert paid(table) == [
        (1, "L", 2_400, -1_200, True),
        (1, "H", 1_600, 2_400, False),
        (2, "H", 3_000, 1_000, False),
    ]
    assert table["uncovered"].sum() == 0


def test_risk_weights_keep_both_traders() -> None:
    """By 60 x 2^2 to 40 x 6^2, 240 to 1,440, the safe one pays a seventh, and both stay.

    A seventh of 40 is 5.714 and of 30 is 4.286; whole units go to the larger remainder.
    """
    rule = RiskWeighted(growth=Power(exponent=1))
    table = play_rounds([SAFE, RISKY], [4_000, 3_000], policy=rule, outside=200)

    assert paid(table) == [
        (1, "L", 571, 629, False),
        (1, "H", 3_429, 571, False),
        (2, "L", 429, 771, False),
        (2, "H", 2_571, 1_429, False),
    ]


def test_what_was_taken_may_be_gone() -> None:
    """Without new endowments neither rule holds: the paper's second round takes what is not there.

    Risk weights leave the risky one 5.71, all of which round two takes, and the safe one pays the
    other 24.29 and goes. Pro rata leaves 24 against a deficit of 30.
    """
    weighted = RiskWeighted(growth=Power(exponent=1))
    one, other = (
        play_rounds([SAFE, RISKY], [4_000, 3_000], policy=rule, outside=200, is_renewed=False)
        for rule in (weighted, ProRata(by=By.EQUITY))
    )

    assert paid(one)[2:] == [(2, "L", 2_429, -1_229, True), (2, "H", 571, 3_429, False)]
    assert paid(other)[2:] == [(2, "H", 2_400, 1_600, False)]
    assert other["uncovered"].to_list() == [0, 0, 600]


def test_rounds_without_traders_cover_nothing() -> None:
    """When all have left no row is written; wrong figures are refused."""
    rule = ProRata(by=By.EQUITY)
    table = play_rounds([SAFE], [6_000, 10], policy=rule, outside=10**6)

    assert table["round"].to_list() == [1]
    with pytest.raises(InputError, match="each name once"):
        play_rounds([SAFE, SAFE], [1], policy=rule, outside=0)
    with pytest.raises(InputError, match="0 or more"):
        play_rounds([SAFE], [-1], policy=rule, outside=0)


def test_a_policy_decides_who_is_there_in_the_next_round() -> None:
    """Pro rata leaves the levered short 3 lots, and the rebound kills him; the queue left him none.

    At 850 the bankrupt's 10 lots are closed at 900 by 8 to 7: 5 1/3 and 4 2/3, so 5 and 5. The
    first short keeps 3 lots and 8,800 - 4,500 of cash; at 1,400 he is worth 100 on a line of 420.
    Closed at his bankruptcy price of 1,433 1/3, his lots bring the long who is cut 100 too much.
    """
    course = Course(
        accounts=4,
        steps=2,
        price=1_000,
        jumps=((0, -150_000), (1, 0)),
        noise=0,
        depth=10,
        depth_left=0,
        impact=0,
        maintenance=100_000,
        call=100_000,
        pool=0,
        income=0,
    )
    traders = Traders(
        lots=column(10, -8, 5, -7),
        entry_value=column(10_000, 8_000, 5_000, 7_000),
        margin=column(1_000, 800, 5_000, 7_000),
        leverage=column(10, 10, 1, 1) * PPM,
        hedge=column(0, 0, 0, 7),
        reserve=column(0, 0, 0, 0),
    )
    queue, shared = (
        simulate(course, venue=GENERIC, policy=policy, traders=traders, path=[850, 1_400])
        for policy in ("queue", "pro-rata")
    )

    assert queue.steps["liquidated"].to_list() == [1, 0]
    assert shared.steps["liquidated"].to_list() == [1, 1]
    assert shared.fills.select("step", "account", "lots", "cash", "lost").rows() == [
        (0, "t00001", 5, -4_500, 250),
        (0, "t00003", 5, -4_500, 250),
        (1, "t00002", 3, 4_300, -100),
    ]
    assert summarise([queue, shared])["naked_lots"].to_list() == [2, 5]


def test_an_account_that_is_hedged_is_reached_last_by_factor_draining() -> None:
    """Levered 10 gross but flat in all, the hedged short keeps his lots; by leverage he is cut."""
    side = Candidates(
        lots=column(10, 10),
        ids=column(0, 1),
        rank=column(1, 2),
        profit=column(100, 100),
        equity=column(100, 200),
        value=column(1_000, 1_000),
        exposure=column(0, -1_000),
        unit=Fraction(-100),
    )

    assert allocate("factor-draining", side, 8).tolist() == [0, 8]
    assert allocate("leverage-draining", side, 3).tolist() == [3, 0]


sizes = st.lists(st.integers(1, 50), min_size=1, max_size=12)


@given(sizes=sizes, lots=st.integers(0, 400), name=st.sampled_from(sorted(POLICIES)))
def test_every_policy_closes_what_is_asked_or_all_there_is(
    sizes: list[int], lots: int, name: str
) -> None:
    """With profit and equity above zero what is closed is the request, or all that may be."""
    held = column(*sizes)
    ids = np.arange(len(sizes))
    side = Candidates(
        lots=held,
        ids=ids,
        rank=ids + 1,
        profit=held * 3,
        equity=held * 0 + 40,
        value=held * 10,
        exposure=-held * 10,
        unit=Fraction(-10),
    )
    taken = allocate(name, side, lots)

    most = sum(size - size // 2 for size in sizes) if name == "capped" else sum(sizes)
    assert int(taken.sum()) == min(lots, most)
    assert ((taken >= 0) & (taken <= held)).all()


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_the_first_round_is_the_same_under_every_policy(policy: str) -> None:
    """Until the first cut nothing depends on the policy, and the first event needs the same."""
    course = replace(Course(), accounts=120, pool=40_000_000, depth=3_000)
    one, queue = (simulate(course, venue=GENERIC, policy=name) for name in (policy, "queue"))
    first = int(queue.fills["step"][0])
    until = pl.col("step") < first

    assert one.steps.filter(until).equals(queue.steps.filter(until))
    assert int(one.fills["step"][0]) == first
    assert one.accounts["endowment"].sum() > 0
