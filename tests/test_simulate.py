"""A simulated crash: worked by hand, adding to zero in every step, and what it does to the next."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commandline import call
from deleverage import Venue
from deleverage.errors import InputError, InvariantError
from deleverage.lab.policies import Candidates, allocate
from deleverage.lab.simulate import Simulation, simulate
from deleverage.lab.simulate_books import Books, Holding
from deleverage.lab.simulate_course import PPM, Course, Traders, draw_path, draw_traders
from deleverage.lab.simulate_summary import summarise, tidy, waves
from deleverage.model.terms import PriceKind

GENERIC = Venue.load("generic")
STILL = Course(
    accounts=4,
    steps=2,
    price=1_000,
    jumps=((0, -150_000),),
    noise=0,
    depth=10,
    depth_left=0,
    depth_recovery=0,
    impact=0,
    maintenance=100_000,
    call=100_000,
    pool=0,
    income=0,
)
SMALL = Course(accounts=120, steps=100, pool=40_000_000, depth=3_000)


def column(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A column of whole numbers."""
    return np.array(values, np.int64)


def four() -> Traders:
    """Longs of 10 and 5, shorts of 8 and 7; the last one holds 7 long elsewhere.

    All entered at 1,000. The long of 10 has 100 a lot behind him: bankrupt at 900.
    """
    return Traders(
        lots=column(10, -8, 5, -7),
        entry_value=column(10_000, 8_000, 5_000, 7_000),
        margin=column(1_000, 800, 5_000, 7_000),
        leverage=column(10, 10, 1, 1) * PPM,
        hedge=column(0, 0, 0, 7),
        reserve=column(0, 0, 0, 0),
    )


def crash(path: list[int], course: Course = STILL, **options: Any) -> Simulation:
    """The four traders on a path."""
    return simulate(course, venue=GENERIC, traders=four(), path=path, **options)


def test_a_crash_worked_by_hand() -> None:
    """The long of 10 dies 50 below his bankruptcy price; the queue buys it from both shorts.

    At 850 both shorts have 15 % profit; the first has 6,800 on equity 2,000, the other 5,950 on
    8,050. The first closes his 8 at 900 and loses 8 x 50, the other 2 and loses 100: together the
    500 that the bankrupt lacks.
    """
    found = crash([850, 850])

    assert found.fills.rows() == [
        (0, 0, "t00001", "short", 8, -7_200, 850, 400),
        (0, 0, "t00003", "short", 2, -1_800, 850, 100),
    ]
    step = found.steps.row(0, named=True)
    assert (step["needed"], step["executed"], step["unfilled_lots"]) == (500, 500, 0)
    assert (step["liquidated"], step["adl_lots"], step["pool_balance"]) == (1, 10, 0)
    assert found.accounts["equity_end"].to_list() == [0, 1_600, 4_250, 7_950]
    assert found.accounts["lots_end"].to_list() == [0, 0, 5, 5]
    assert found.accounts["endowment"].to_list() == [0, 1_200, 0, 1_050]


def test_a_cut_leg_leaves_the_other_naked() -> None:
    """Of the hedged short 2 lots are cut at 850; at 800 the naked leg has lost 2 x 50."""
    found = crash([850, 800])

    assert found.steps["naked_lots"].to_list() == [2, 2]
    assert found.steps["naked_exposure"].to_list() == [1_700, 1_600]
    assert found.steps["naked_loss"].to_list() == [0, 100]
    assert found.accounts["naked_loss"].to_list() == [0, 0, 0, 100]


def test_the_settlement_price_decides_who_pays() -> None:
    """At the mark nobody who is cut loses; the pool pays the 500 instead."""
    found = crash([850, 850], price=PriceKind.MARK)

    assert found.accounts["lost"].to_list() == [0, 0, 0, 0]
    assert found.steps["pool_balance"].to_list() == [-500, -500]
    assert found.steps["executed"].sum() == 0


def test_the_previous_mark_is_the_one_before_the_move() -> None:
    """Closed at 1,000, both shorts give back all they had: 10 x 150; the pool keeps 1,000."""
    found = crash([850, 850], price=PriceKind.PREVIOUS_MARK)

    assert found.accounts["lost"].to_list() == [0, 1_200, 0, 300]
    assert found.steps["pool_balance"].to_list() == [1_000, 1_000]


def test_a_mark_until_the_pool_is_empty() -> None:
    """With money in the pool the price is the mark; without it the bankruptcy price."""
    kind = PriceKind.MARK_UNTIL_DEPLETED
    rich = replace(STILL, pool=10_000, pool_start=PPM, pool_stop=PPM)

    assert crash([850, 850], rich, price=kind).accounts["lost"].sum() == 0
    assert crash([850, 850], price=kind).accounts["lost"].sum() == 500


def test_what_nobody_can_take_stays_with_the_pool() -> None:
    """With the shorts too small, the rest of the position and its lack are the pool's."""
    traders = replace(
        four(), lots=column(10, -3, 5, -2), entry_value=column(10_000, 3_000, 5_000, 2_000)
    )
    found = simulate(STILL, venue=GENERIC, traders=traders, path=[850, 850])
    step = found.steps.row(0, named=True)

    assert (step["adl_lots"], step["unfilled_lots"], step["pool_lots"]) == (5, 5, 5)
    assert step["pool_balance"] == -250


def test_the_book_comes_first() -> None:
    """A book with depth takes the whole position; the pool pays what it brought too little."""
    course = replace(STILL, depth_left=PPM, pool=10_000, pool_start=0, pool_stop=PPM)
    found = crash([850, 850], course)

    assert found.fills.height == 0
    assert found.steps["book_lots"].to_list() == [10, 0]
    assert found.steps["pool_balance"].to_list() == [9_500, 9_500]


def test_slipping_is_paid_and_moves_the_price() -> None:
    """Selling the whole depth at an impact of 10 % brings the mean, 5 % less, and moves 10 %."""
    course = replace(STILL, impact=100_000)
    books = Books.open(four(), course)
    holding = Holding(-9_000, 10)
    cash = books.trade(0, holding, 10, course)

    assert cash == 10 * 1_000 - 500
    assert (holding.cash, holding.lots, books.price, books.depth) == (500, 0, [900], [0])


def test_an_active_venue_sells_no_worse_than_bankruptcy() -> None:
    """From the start line on the book takes what keeps the mean at 900 or better; the rest is cut.

    At 920 with an impact of 20 % for 10 lots, q lots bring 920 q - 9.2 q^2: 900 a lot up to q = 2.
    """
    course = replace(STILL, depth_left=PPM, impact=200_000, jumps=((0, -80_000),))
    found = crash([920, 920], replace(course, steps=2))
    step = found.steps.row(0, named=True)

    assert (step["book_lots"], step["adl_lots"]) == (2, 8)
    assert step["pool_balance"] == 2 * 920 - 37 - 2 * 900


def test_a_margin_call_brings_reserve_in() -> None:
    """Below the call line a trader brings what he has, up to twice the line."""
    course = replace(STILL, call=200_000)
    traders = replace(four(), reserve=column(5_000, 5_000, 0, 0))
    found = simulate(course, venue=GENERIC, traders=traders, path=[850, 850])

    # The long lacks 500 and brings 2 x 1,700 + 500; the short of 8 has 2,000 on a line of 1,360.
    assert found.accounts["topped_up"].to_list() == [3_900, 0, 0, 0]
    assert found.steps["called"].to_list() == [1, 0]
    assert found.steps["liquidated"].sum() == 0


def test_the_lines_of_the_pool_have_hysteresis() -> None:
    """Deleveraging starts at the start line, stops at the stop line, and never swings between.

    1,000 and 50 of income, less the 500 that the book brought too little, is below 750; with 50 a
    step the pool is back at 900 in step 7. Where both lines are one, reaching it starts.
    """
    course = replace(
        STILL,
        steps=9,
        pool=1_000,
        pool_start=750_000,
        pool_stop=900_000,
        income=50,
        depth_left=PPM,
    )
    found = crash([850] * 9, course)
    touching = crash([850] * 9, replace(course, pool=300, pool_start=PPM, pool_stop=PPM, income=0))

    assert found.steps["pool_balance"].to_list() == [550, 600, 650, 700, 750, 800, 850, 900, 950]
    assert found.steps["active"].to_list() == [0, 1, 1, 1, 1, 1, 1, 0, 0]
    assert touching.steps["active"].to_list() == [1] * 9


def test_a_lost_unit_is_found() -> None:
    """One money unit or one lot too many in any book breaks the proof."""
    books = Books.open(four(), STILL)
    books.check()
    books.cash[0] += 1
    with pytest.raises(InvariantError, match="1 money, 0 lots"):
        books.check()
    books.cash[0] -= 1
    books.pool[0].lots -= 1
    with pytest.raises(InvariantError, match="0 money, -1 lots"):
        books.check()


def test_a_cut_only_reduces() -> None:
    """A trader cannot take over more than he holds, nor on his own side."""
    books = Books.open(four(), STILL)
    for row, lots in ((1, 9), (1, -1), (0, 1)):
        with pytest.raises(InvariantError, match="a reduction"):
            books.reduce(row, Holding(0, lots))


@given(
    cash=st.integers(-(10**12), 10**12),
    lots=st.integers(-1_000, 1_000).filter(bool),
    parts=st.lists(st.integers(0, 400), max_size=6),
)
def test_a_holding_splits_without_loss(cash: int, lots: int, parts: list[int]) -> None:
    """Parts of a holding add to it, and each has its share of the cash within one unit a split."""
    whole = Holding(cash, lots)
    taken = [whole.split(min(part, abs(whole.lots))) for part in parts]
    for number, part in enumerate(taken, start=1):
        assert abs(part.cash * abs(lots) - cash * abs(part.lots)) <= number * abs(lots)

    assert whole.cash + sum(part.cash for part in taken) == cash
    assert whole.lots + sum(part.lots for part in taken) == lots


@given(seed=st.integers(0, 10_000), settle=st.sampled_from([None, PriceKind.MARK]))
def test_every_crash_adds_up(seed: int, settle: PriceKind | None) -> None:
    """Fills are what accounts lost lots and money by, nobody grows, and no lot is lost."""
    course = replace(SMALL, seed=seed)
    found = simulate(course, venue=GENERIC, price=settle)
    accounts, fills = found.accounts, found.fills
    by_account = fills.group_by("account").agg(pl.col("lots", "lost").sum())
    joined = accounts.join(by_account, on="account", how="left").fill_null(0)

    assert joined["cut_lots"].to_list() == joined["lots"].to_list()
    assert joined["lost"].to_list() == joined["lost_right"].to_list()
    assert (accounts["lots_end"] <= accounts["lots_start"]).all()
    steps = found.steps
    assert (
        steps["liquidated_lots"] >= steps["book_lots"] + steps["adl_lots"] + steps["unfilled_lots"]
    ).all()
    untouched = accounts.filter(pl.col("liquidated_at").is_null())
    assert (untouched["lots_end"] == untouched["lots_start"] - untouched["cut_lots"]).all()


@given(seed=st.integers(0, 10_000))
def test_equity_changes_by_price_cuts_and_calls_alone(seed: int) -> None:
    """Who was never cut nor liquidated has earned his lots times the move of the price."""
    found = simulate(replace(SMALL, seed=seed), venue=GENERIC)
    moved = int(found.steps["price"][-1]) - SMALL.price
    calm = found.accounts.filter(pl.col("liquidated_at").is_null(), pl.col("cut_lots") == 0)
    sign = pl.when(pl.col("side") == "long").then(1).otherwise(-1)
    earned = calm.select(
        pl.col("equity_end")
        - pl.col("equity_start")
        - pl.col("topped_up")
        - sign * pl.col("lots_start") * moved
    )

    assert earned.to_series().to_list() == [0] * calm.height


def test_the_same_course_gives_the_same_bytes() -> None:
    """Nothing but the course decides; another seed is another crash."""
    one, two = (simulate(SMALL, venue=GENERIC) for _ in range(2))
    other = simulate(replace(SMALL, seed=1), venue=GENERIC)

    for name in ("steps", "accounts", "fills", "lights"):
        assert getattr(one, name).equals(getattr(two, name))
    assert not one.steps.equals(other.steps)


def test_the_queue_is_cut_from_its_head() -> None:
    """Of those in the queue at most one is cut in part, and nobody behind him at all."""
    candidates = Candidates(
        lots=column(5, 7, 2, 9),
        ids=column(0, 1, 2, 3),
        rank=column(3, 1, 4, 2),
        profit=column(1, 1, 1, 1),
        equity=column(1, 1, 1, 1),
        value=column(1, 1, 1, 1),
        exposure=column(1, 1, 1, 1),
        unit=Fraction(1),
    )

    assert allocate("queue", candidates, 18).tolist() == [2, 7, 0, 9]
    assert allocate("queue", candidates, 100).tolist() == [5, 7, 2, 9]
    assert allocate("queue", candidates, 0).tolist() == [0, 0, 0, 0]


def test_waves_are_runs_of_steps() -> None:
    """Cuts in steps 0 and 2 are two waves; the markout is against the mark at a wave's end."""
    traders = replace(four(), margin=column(1_000, 800, 1_500, 7_000))
    course = replace(STILL, steps=3)
    found = simulate(course, venue=GENERIC, traders=traders, path=[850, 850, 690])
    table = waves(found)

    assert table["first"].to_list() == [0, 2]
    assert table["needed"].to_list() == [500, 5 * (700 - 690)]
    assert table["executed"].to_list() == [500, 50]
    assert table.select("overshoot", "undershoot").rows() == [(0, 0), (0, 0)]


def test_the_summary_counts_what_happened() -> None:
    """The worked crash: 500 lost by two of two winners, the larger part 400; haircut 400/1,200."""
    row = summarise([crash([850, 800])]).row(0, named=True)

    assert (row["adl_lots"], row["cut_accounts"], row["lost"], row["uncovered"]) == (10, 2, 500, 0)
    assert (row["participation"], row["top_share"]) == (1.0, 0.8)
    assert row["max_haircut"] == pytest.approx(1 / 3)
    assert (row["naked_lots"], row["naked_worst"]) == (2, 100)


def test_tables_of_several_simulations_stand_below_each_other() -> None:
    """Each row says its venue and policy; an unknown table is refused by name."""
    pair = [crash([850, 850]), crash([850, 800])]
    steps = tidy(pair, "steps")

    assert steps.columns[:3] == ["venue", "policy", "step"]
    assert steps.height == 4
    with pytest.raises(InputError, match="'stepz'"):
        tidy(pair, "stepz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accounts": 3}, "accounts: expected 4 to"),
        ({"noise": -1}, "noise: expected a whole number"),
        ({"impact": 600_000}, "impact: expected 0 to 500000"),
        ({"pool_start": 700_000}, "pool_start: expected at most pool_stop"),
        ({"call": 5_000}, "call: expected 10000"),
        ({"jumps": ((500, 1),)}, "jumps: expected a step below 120"),
    ],
)
def test_a_wrong_figure_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    """A course out of range says which figure, what was expected and what came."""
    with pytest.raises(InputError, match=message):
        replace(Course(), **change)


def test_wrong_arguments_are_refused() -> None:
    """An unknown policy, a path of another length, a price that takes what is not simulated."""
    with pytest.raises(InputError, match="got 'quue'"):
        simulate(SMALL, venue=GENERIC, policy="quue")
    with pytest.raises(InputError, match="path: expected 2 prices"):
        crash([850])
    with pytest.raises(InputError, match="step 1: expected the largest position, 10 lots"):
        crash([850, 10**12])
    with pytest.raises(InputError, match=r"settles by pool_bankruptcy.*\(--settle\)"):
        simulate(SMALL, venue=Venue.load("bybit@2025-09"))


def test_traders_start_healthy_and_in_balance() -> None:
    """Nobody is below the call line at the start, and hedges offset whole shorts."""
    course = Course(accounts=1_000)
    traders = draw_traders(course)
    books = Books.open(traders, course)
    books.check()

    assert (books.equity >= books.value * course.call // PPM).all()
    assert set((traders.lots + traders.hedge)[traders.hedge != 0].tolist()) == {0}
    assert len(draw_path(course)) == course.steps


def test_the_command_prints_tables_and_writes_files(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    """`simulate` prints the summary, writes steps as Parquet, and refuses what it does not know."""
    words = ("simulate", "--policy", "queue", "--accounts", "60")
    path = tmp_path / "steps.parquet"
    said = call(capsysbinary, *words)

    assert said.code == 0
    assert "liquidated_later" in said.text
    assert call(capsysbinary, *words, "--table", "steps", "-o", path).code == 0
    assert pl.read_parquet(path).height == Course().steps
    for wrong in (("--table", "x"), ("--settle", "cost"), ("--policy", "x")):
        assert call(capsysbinary, "simulate", *wrong).code == 2
