"""A plan explained: the rule with its numbers, the place, the cut, and why one is not cut."""

from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given

import oracle
from deleverage.errors import InputError
from deleverage.explanation import Facts, Outcome, Pool, show, work
from deleverage.model.rules import Reason
from events import (
    BITMEX_BOOK,
    STRIKE_EMERGENCY,
    STRIKE_FUND,
    bitmex_plan,
    book,
    cross_plan,
    strike_plan,
)
from strategies import books

ISOLATED_LEG = {"account": "zed", "qty": "10", "entry_price": "500", "margin": "600"}


def test_who_is_cut_reads_the_formula_with_his_own_numbers() -> None:
    """The text holds place, formula, numbers, score, contracts closed, price and what is left."""
    text = str(bitmex_plan().explain("5"))

    for words in (
        "5: cut",
        "position 2",
        "place 2 of 6",
        "(pnl / entry value) x (mark value / (margin + pnl))",
        "(1800 / 12200) x (14000 / 3000)",
        "0.688524590",
        "closed 10 of 20 at 650, 10 left",
        "exactly 42/61",
    ):
        assert words in text


def test_who_is_spared_reads_how_far_behind_the_cut_he_stands() -> None:
    """An entry behind the cut keeps its place and score, and reads the cut's score."""
    told = bitmex_plan().explain("1")
    (note,) = told.entries

    assert (told.is_cut, note.outcome, note.place, note.queue_length) == (
        False,
        Outcome.SPARED,
        4,
        6,
    )
    assert "2 behind the last entry that is cut" in str(told)
    assert "the last is 5" in str(told)


@pytest.mark.parametrize(
    ("account", "outcome", "words"),
    [
        ("C", Outcome.LEFT_OUT, "not in profit"),
        ("B", Outcome.CUT_IN_PART, "closed 1 of 4"),
    ],
)
def test_a_candidate_reads_what_became_of_him(account: str, outcome: Outcome, words: str) -> None:
    """Each candidate of Strike's example reads its own outcome."""
    told = strike_plan(7, STRIKE_FUND).explain(account)

    assert [note.outcome for note in told.entries] == [outcome]
    assert words in str(told)


def test_a_loser_of_the_event_reads_that_only_the_other_side_is_cut() -> None:
    """The bankrupt account's own position stands on the bankrupt side, and so do its fellows."""
    told = bitmex_plan(bankrupt_account=None).explain("zed")

    assert [note.outcome for note in told.entries] == [Outcome.BANKRUPT_SIDE]
    assert "only long positions can be cut for a bankrupt short" in str(told)


def test_the_excluded_read_that_the_request_spares_them() -> None:
    """An excluded account reads so; the places of the others close up."""
    plan = bitmex_plan(exclude=["2"])

    assert [note.why for note in plan.explain("2").entries] == ["it is excluded by the request"]
    assert [note.place for note in plan.explain("5").entries] == [1]
    assert [note.queue_length for note in plan.explain("5").entries] == [5]


def test_one_in_liquidation_reads_so() -> None:
    """A position in liquidation reads that it is no candidate."""
    status = ["liquidating"] + ["open"] * (BITMEX_BOOK.height - 1)
    told = bitmex_plan(BITMEX_BOOK.with_columns(pl.Series("status", status))).explain("2")

    assert [note.why for note in told.entries] == ["it is in liquidation itself"]


def test_the_bankrupt_account_reads_what_was_netted() -> None:
    """A cross leg reads that it closed first, an isolated one that it was left alone."""
    netted = cross_plan().explain("z")
    leg = book([ISOLATED_LEG | {"position_id": 99}])
    isolated = bitmex_plan(pl.concat([BITMEX_BOOK, leg], how="diagonal_relaxed")).explain("zed")

    assert [note.outcome for note in netted.entries] == [Outcome.NETTED, Outcome.BANKRUPT_SIDE]
    assert "closed 3 of 3" in str(netted)
    assert [note.outcome for note in isolated.entries] == [Outcome.LEFT_OUT, Outcome.BANKRUPT_SIDE]


def test_a_failed_event_reads_that_nobody_is_cut() -> None:
    """All or nothing: who stood first in the queue reads why nothing happened."""
    told = strike_plan(12, STRIKE_EMERGENCY).explain("D")

    assert not told.is_cut
    assert "nobody is cut" in str(told)
    assert "all or nothing" in told.cut


def test_an_unknown_account_is_refused_with_the_nearest_name() -> None:
    """A name that holds nothing here is an error that offers the nearest one that does."""
    with pytest.raises(InputError, match="zed"):
        bitmex_plan().explain("zedd")


def test_every_fill_can_be_explained() -> None:
    """Each account of the fills reads that it is cut, by the contracts and price of its fill."""
    plan = bitmex_plan(qty="95")

    for fill in plan.fills.iter_rows(named=True):
        told = plan.explain(fill["account"])
        (note,) = told.entries
        assert told.is_cut
        assert (note.closed, note.left, note.place) == (
            fill["qty_closed"],
            fill["qty_left"],
            fill["rank_in_queue"],
        )
        assert note.working is not None
        assert float(note.working.ratio or 0) == pytest.approx(fill["score"])


@given(made=books())
def test_the_working_is_the_exact_score(made: oracle.Book) -> None:
    """Worked by hand a score is the oracle's fraction, or is refused for the oracle's reason."""
    for row, position in enumerate(made.positions):
        account = None if position.account is None else made.accounts[position.account]
        rate = made.rates[position.market]
        facts = Facts(
            lots=position.lots,
            entry_value=position.entry_value,
            lot_value=Fraction(rate.mark_num, rate.mark_den),
            is_inverse=rate.is_inverse,
            margin=position.margin,
            maintenance_margin=position.maintenance_margin,
            initial_margin=position.initial_margin,
            open_value=position.open_value,
            leverage=position.leverage,
            profit_lots=position.profit_lots,
            profit_value=position.profit_value,
            pool=None
            if account is None
            else Pool(
                equity=account.equity,
                maintenance_margin=account.maintenance_margin,
                wallet_balance=account.wallet_balance,
            ),
        )
        working = work(made.rule, facts)
        expected = made.score(row)

        if isinstance(expected, Reason):
            assert (working.reason, working.ratio) == (expected, None)
        else:
            assert (working.reason, working.ratio) == (Reason.SCORED, expected)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Fraction(1, 4), "0.25"),
        (Fraction(0), "0"),
        (Fraction(12_000_000), "12000000"),
        (Fraction(-1, 3), "~-0.333333333333"),
        (Fraction(10**15 + 1), "~1000000000000000"),
    ],
)
def test_a_number_is_shown_exactly_or_marked(value: Fraction, shown: str) -> None:
    """Up to twelve digits a number is shown as it is; a rounded one carries a mark."""
    assert show(value) == shown
