"""Cross margin simulated: two positions over one equity, one leg cut, and what becomes of it."""

from dataclasses import replace
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
from deleverage.lab.pictures import PICTURES
from deleverage.lab.pictures_style import svg
from deleverage.lab.policies import POLICIES
from deleverage.lab.report import report_html
from deleverage.lab.simulate import Simulation, simulate
from deleverage.lab.simulate_books import Books
from deleverage.lab.simulate_course import PPM, Course, Traders, draw_paths, draw_traders
from deleverage.lab.simulate_summary import summarise, waves
from test_simulate import STILL, column

Capture = pytest.CaptureFixture[bytes]
GENERIC = Venue.load("generic")
TWO = replace(STILL, markets=2, maintenance=20_000, call=20_000)
SMALL = Course(accounts=120, steps=100, pool=40_000_000, depth=3_000, markets=3)


def legs() -> Traders:
    """A long of 10 with 1,000 behind him, a hedged pair of 10 and 10, and a short of 10.

    All entered at 1,000. The pair is short in the first market and long in the second, with 1,000
    of equity in all; the lone short has 10,000.
    """
    return Traders(
        lots=column(10, -10, 10, -10),
        entry_value=column(10_000, 10_000, 10_000, 10_000),
        margin=column(1_000, 500, 500, 10_000),
        leverage=column(10, 10, 10, 1) * PPM,
        hedge=column(0, 0, 0, 0),
        reserve=column(0, 0, 0, 0),
        market=column(0, 0, 1, 0),
        account=column(0, 1, 1, 2),
    )


def crash(policy: str, first: list[int], second: list[int]) -> Simulation:
    """The four positions on two paths."""
    return simulate(TWO, venue=GENERIC, policy=policy, traders=legs(), path=[first, second])


def test_the_other_leg_is_liquidated_for_the_cut() -> None:
    """The queue cuts the pair's short at 900; its long of 10 then loses 500 that nothing offsets.

    At 850 the pair has 15 % on 8,500 over an equity of 1,000 and stands first. It buys its 10 back
    at 900 and has 500 left; at 800 its long has lost these as well, and is liquidated.
    """
    found = crash("queue", [850, 800], [850, 800])

    assert found.fills.rows() == [(0, 0, "t00001", "short", 10, -9_000, 850, 500)]
    steps = found.steps
    assert steps["liquidated"].to_list() == [1, 1]
    assert steps["naked_lots"].to_list() == [10, 0]
    assert steps["naked_exposure"].to_list() == [8_500, 0]
    assert steps["naked_loss"].to_list() == [0, 500]
    assert steps["unfilled_lots"].to_list() == [0, 10]
    assert found.accounts["liquidated_at"].to_list() == [0, None, 1, None]
    assert found.accounts["equity_end"].to_list() == [0, 0, 0, 12_000]
    assert summarise([found])["naked_liquidated"].to_list() == [1]


def test_a_rule_that_sees_the_whole_account_leaves_the_pair_alone() -> None:
    """By factor the flat pair has no leverage: the lone short gives all 10, both legs live."""
    found = crash("factor-draining", [850, 800], [850, 800])

    assert found.fills.rows() == [(0, 0, "t00002", "short", 10, -9_000, 850, 500)]
    assert found.steps["naked_exposure"].to_list() == [0, 0]
    assert found.accounts["equity_end"].to_list() == [0, 1_000, 1_000, 11_000]
    assert summarise([found])["naked_liquidated"].to_list() == [0]


def test_gross_leverage_cuts_the_pair_as_the_queue_does() -> None:
    """Kept sizes as 1,000 to 11,500: cuts of 9.2 and 0.8; the last lot is the pair's as well."""
    found = crash("leverage-draining", [850, 850], [850, 850])
    pair = found.accounts.filter(pl.col("account") == "t00001")

    assert pair["is_hedged"].to_list() == [True, True]
    assert pair["cut_lots"].to_list() == [10, 0]
    assert found.steps["naked_exposure"].to_list() == [8_500] * 2


def test_an_account_stands_while_both_legs_do() -> None:
    """Each leg alone would be gone at 700; over one equity their sum does not move."""
    calm = replace(legs(), lots=column(1, -10, 10, -1), entry_value=column(10, 100, 100, 10) * 100)
    found = simulate(TWO, venue=GENERIC, traders=calm, path=[[700, 1_300], [700, 1_300]])

    assert found.accounts["liquidated_at"].to_list()[1:3] == [None, None]
    assert found.accounts["equity_end"].to_list()[1:3] == [1_000, 1_000]


@given(
    cash=st.lists(st.integers(-(10**9), 10**9), min_size=3, max_size=3),
    lots=st.lists(st.integers(-1_000, 1_000), min_size=3, max_size=3).filter(any),
    prices=st.lists(st.integers(1, 10**5), min_size=3, max_size=3),
)
def test_money_is_laid_on_legs_by_value(
    cash: list[int], lots: list[int], prices: list[int]
) -> None:
    """Not a unit is lost, nothing stays where no position is, and each leg has its part of it."""
    course = replace(TWO, markets=3)
    traders = Traders(
        **{name: column(1, 1, 1) for name in ("entry_value", "margin", "leverage")},
        **{name: column(0, 0, 0) for name in ("hedge", "reserve", "account")},
        lots=column(*lots),
        market=column(0, 1, 2),
    )
    books = Books.open(traders, course)
    books.cash, books.price = column(*cash), prices
    equity, values = int(books.equity[0]), books.value.tolist()
    books.lay_out(np.arange(3))

    assert int(books.cash.sum()) == sum(cash)
    for row, value in enumerate(values):
        own = int(books.cash[row]) + lots[row] * prices[row]
        assert abs(own * sum(values) - equity * value) <= 3 * sum(values)
        assert lots[row] or books.cash[row] == 0


@given(seed=st.integers(0, 10_000), policy=st.sampled_from(sorted(POLICIES)))
def test_every_crash_of_several_markets_adds_up(seed: int, policy: str) -> None:
    """Fills are what positions lost lots and money by, in their market; nobody grows.

    That lots add to zero in each market, and money over all, is proved by the run in every step.
    """
    found = simulate(replace(SMALL, seed=seed), venue=GENERIC, policy=policy)
    accounts = found.accounts.with_columns(key=pl.struct("account", "market"))
    cut = found.fills.group_by("account", "market").agg(pl.col("lots", "lost").sum())
    joined = accounts.join(cut, on=["account", "market"], how="left").fill_null(0)

    assert joined["cut_lots"].to_list() == joined["lots"].to_list()
    assert joined["lost"].to_list() == joined["lost_right"].to_list()
    assert (accounts["lots_end"] <= accounts["lots_start"]).all()
    assert accounts["key"].n_unique() == accounts.height
    ends = accounts.group_by("account").agg(pl.col("liquidated_at", "lots_end"))
    for at, left in ends.select("liquidated_at", "lots_end").rows():
        assert at == [None] * len(at) or not any(left)


def test_naked_exposure_is_what_the_cuts_opened() -> None:
    """By account: its net position now, against what it would be with its cuts undone."""
    found = simulate(replace(SMALL, hedged=PPM), venue=GENERIC, policy="pro-rata")
    price = dict(found.prices.filter(pl.col("step") == SMALL.steps - 1)["market", "price"].rows())
    now: dict[str, int] = {}
    undone: dict[str, int] = {}
    for row in found.accounts.iter_rows(named=True):
        sign = price[row["market"]] * (1 if row["side"] == "long" else -1)
        name = row["account"]
        now[name] = now.get(name, 0) + sign * row["lots_end"]
        undone[name] = undone.get(name, 0) + sign * (row["lots_end"] + row["naked_lots"])
    grown = sum(max(0, abs(now[name]) - abs(undone[name])) for name in now)

    assert found.accounts["naked_lots"].sum() > 0
    assert found.steps["naked_exposure"][-1] == grown


def test_hedges_offset_each_other_at_the_start() -> None:
    """Drawn pairs are flat, in two markets, healthy; everybody else has one position."""
    traders = draw_traders(SMALL)
    books = Books.open(traders, SMALL)
    books.check()
    counts = np.bincount(books.account)

    assert (books.equity >= books.gross * SMALL.call // PPM).all()
    assert set(counts.tolist()) == {1, 2}
    for account in np.flatnonzero(counts == 2).tolist():
        rows = np.flatnonzero(books.account == account)
        assert traders.lots[rows].sum() == 0
        assert len(set(books.market[rows].tolist())) == 2
    paths = draw_paths(SMALL)
    assert len(paths) == 3
    assert paths[1] != paths[2]


def test_one_market_is_what_it_was() -> None:
    """With one market there is no second leg on the venue, and its path is the course's own."""
    course = Course(accounts=40, steps=30, jumps=())
    found = simulate(course, venue=GENERIC)

    assert found.accounts["account"].n_unique() == found.accounts.height == 40
    assert found.prices["price"].to_list() == found.steps["price"].to_list()


def test_a_wave_is_priced_in_each_market() -> None:
    """The markout of a wave takes each cut at the last price of its own market."""
    found = simulate(SMALL, venue=GENERIC)
    for row in waves(found).iter_rows(named=True):
        price = dict(found.prices.filter(pl.col("step") == row["last"])["market", "price"].rows())
        markout = 0
        for fill in found.fills.iter_rows(named=True):
            if row["first"] <= fill["step"] <= row["last"]:
                sign = 1 if fill["side"] == "short" else -1
                markout -= fill["cash"] + sign * fill["lots"] * price[fill["market"]]
        assert row["executed"] == max(0, markout)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"path": [850, 850]}, "expected one for each of 2 markets"),
        ({"path": [[850, 850], [850]]}, "expected 2 prices above 0, got 1"),
        ({"traders": replace(legs(), market=column(0, 0, 2, 0))}, "expected markets below 2"),
    ],
)
def test_what_does_not_fit_the_markets_is_refused(change: dict[str, Any], says: str) -> None:
    """Paths and traders of other markets than the course's are one clear error."""
    given_: dict[str, Any] = {"traders": legs(), "path": [[850, 850], [850, 850]], **change}
    with pytest.raises(InputError, match=says):
        simulate(TWO, venue=GENERIC, **given_)
    with pytest.raises(InputError, match="markets: expected 1 to 16, got 17"):
        Course(markets=17)


def test_a_lot_lost_in_one_market_is_found() -> None:
    """Lots that are missing in one market and over in another break the proof."""
    books = Books.open(legs(), TWO)
    books.check()
    books.pool[0].lots += 1
    books.pool[1].lots -= 1
    with pytest.raises(InvariantError, match="1 lots in market 0"):
        books.check()


def test_the_report_tells_of_several_markets() -> None:
    """Every picture is drawn, and the page says that hedges are cross margined."""
    pair = [simulate(SMALL, venue=GENERIC, policy=one) for one in ("queue", "factor-draining")]
    page = report_html(pair, command="x")

    assert "over one equity; prices jump together" in page
    assert "hedged accounts liquidated after a cut" in page
    assert all(svg(draw, pair).startswith("<svg") for draw in PICTURES.values())


def test_the_command_plays_several_markets(tmp_path: Path, capsysbinary: Capture) -> None:
    """`--markets` reaches simulation and report, which says how to write it again."""
    words = ("--markets", "2", "--accounts", "40", "--policy", "queue")
    done = call(capsysbinary, "simulate", *words, "--table", "prices", "--format", "csv")
    page = tmp_path / "page.html"
    report = call(capsysbinary, "report", *words, "-o", page)

    assert (done.code, report.code) == (0, 0)
    assert done.out.decode().splitlines()[0] == "venue,policy,step,market,price"
    assert "--accounts 40 --markets 2" in page.read_text(encoding="utf-8")
