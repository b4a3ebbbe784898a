"""The ten-point check: five questions with their lines, what is missing, and what is not scored."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import deleverage as dl
from commandline import book, call
from deleverage.advice import Check, Verdict
from deleverage.errors import InputError

# At a mark of 100 a short of 10 is worth 1000: entered at 103.000001 it gained 30.00001.
ROW: dict[str, Any] = {
    "account": ["ann", "bob", "cid", "dan", "eve"],
    "market": ["M"] * 5,
    "side": ["short"] * 5,
    "qty": [10] * 5,
    "entry_price": ["103.000001", "101", "100", "99", "98"],
    "margin": [50, 100, 100, 100, 100],
    "leverage": ["15", "14.999999", "10", "10", "10"],
}


def asked(account: str, frame: dict[str, Any] | None = None, **more: Any) -> Check:
    """The check of an account of the small book."""
    return dl.check(
        ROW if frame is None else frame,
        account=account,
        marks={"M": "100"},
        venue=dl.Venue.load("bitmex"),
        **more,
    )


def answers(found: Check) -> list[bool | None]:
    """The five answers."""
    return [one.is_met for one in found.points]


def test_each_line_at_its_boundary() -> None:
    """15x counts, less does not; 3 % of notional does not, a hair more does; light 4 of 5 does."""
    high = asked("ann", funding_rate="0.001", liquidation_spike=False, thin_session=True)
    low = asked("bob", funding_rate="-0.000999", liquidation_spike=False, thin_session=False)
    at_three = {**ROW, "entry_price": ["103", *ROW["entry_price"][1:]]}

    assert answers(high) == [True, True, True, True, True]
    assert (high.total, high.at_most, high.verdict) == (10, 10, Verdict.PLAN)
    assert answers(low) == [False, False, False, False, True]
    assert (low.total, low.verdict) == (2, Verdict.LOW)
    assert [asked("ann", at_three).points[1].is_met, high.points[1].is_met] == [False, True]
    assert [asked(name).points[4].is_met for name in ROW["account"]] == [
        *(True, True, False, False, False)
    ]


def test_negative_funding_is_as_extreme() -> None:
    """Funding counts either way, and its line is the caller's to move; the default is assumed."""
    answers_by_line = [
        asked("cid", funding_rate="-0.002").points[2].is_met,
        asked("cid", funding_rate="-0.002", funding_line="0.0021").points[2].is_met,
    ]

    assert answers_by_line == [True, False]
    assert [str(one.evidence) for one in asked("cid").points].count("assumed") == 1


def test_what_is_not_known_counts_nothing_and_says_so() -> None:
    """Without funding and session the sum is a range; one known trouble is enough for its point."""
    bare = asked("ann")
    spike = asked("ann", liquidation_spike=True)
    calm = asked("ann", liquidation_spike=False)

    assert answers(bare) == [True, True, None, None, True]
    assert (bare.total, bare.at_most) == (6, 10)
    assert bare.verdict is Verdict.WATCH
    assert "6..10 of 10 points: watch" in str(bare)
    assert [spike.points[3].is_met, calm.points[3].is_met] == [True, None]


def test_without_a_setting_leverage_is_what_carries_the_position() -> None:
    """Value at the mark over margin and profit: 1000 over 50 + 30.00001."""
    frame = {name: values for name, values in ROW.items() if name != "leverage"}
    point = asked("ann", frame).points[0]

    assert point.is_met is False
    assert point.numbers.startswith("~12.499998")


def test_a_drained_shared_pool_warns_and_is_not_scored() -> None:
    """15 % below the peak and a pool of two markets: two sentences, the same points."""
    markets = {"market": ["M", "N"], "kind": ["linear"] * 2, "pool": ["P"] * 2}
    marks = {"M": "100", "N": "1"}
    venue = dl.Venue.load("bitmex")
    found = dl.check(
        ROW,
        account="cid",
        marks=marks,
        venue=venue,
        markets=markets,
        pool_balance=85,
        pool_peak=100,
    )
    words = "\n".join(found.surroundings.warnings)

    assert "shared by 2 markets" in words
    assert "lost 15.00% of its peak" in words
    assert "one-way crowd: 100% of the accounts are short" in words
    assert found.total == asked("cid").total


def test_the_surroundings_show_the_contract() -> None:
    """Contracts and accounts of both sides, and the share that the position holds."""
    frame = {
        "account": ["ann", "bob", "bob"],
        "market": ["M"] * 3,
        "side": ["short", "long", "short"],
        "qty": [10, 40, 30],
        "entry_price": [100] * 3,
        "margin": [50] * 3,
    }
    around = asked("ann", frame).surroundings

    assert (str(around.open_contracts), str(around.opposite_contracts)) == ("40", "40")
    assert (around.side_accounts, around.opposite_accounts) == (2, 1)
    assert around.share.limit_denominator() == pytest.approx(0.25)
    assert around.warnings == ()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"funding_rate": "much"}, "funding_rate: expected a decimal number"),
        ({"funding_line": 0}, "funding_line: expected a rate above zero"),
        ({"pool_balance": 5}, "pool_peak: expected a number beside the other one"),
        ({"pool_balance": 5, "pool_peak": 4}, "not below the balance"),
        ({"pool_balance": "-1", "pool_peak": 4}, "pool_balance: expected a number that is not"),
        ({"liquidation_spike": "no"}, "liquidation_spike: expected True, False or None, got 'no'"),
        ({"thin_session": "false"}, "thin_session: expected True, False or None"),
    ],
)
def test_bad_conditions_are_refused(more: dict[str, Any], words: str) -> None:
    """A rate that is none, a line at zero, half of a pool: one clear error."""
    with pytest.raises(InputError) as error:
        asked("ann", **more)

    assert words in str(error.value)


def test_the_command_prints_every_point_its_numbers_and_the_sum(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """`check` shows a table and the sum for each position that is meant; JSON holds the same."""
    words = [*book(tmp_path), "--venue", "bitmex", "--account", "ann", "--funding-rate", "0.0001"]
    shown = call(capsysbinary, "check", *words)
    told = call(capsysbinary, "check", *words, "--thin-session", "--format", "json")

    assert (shown.code, told.code) == (0, 0)
    for part in ("leverage at or above 15x", "profit above 3 %", "0.01 %", "at_most", "rank"):
        assert part in shown.text
    (one,) = told.json
    assert [point["answer"] for point in one["points"]] == ["no", "yes", "no", "yes", "yes"]
    assert one["sum"] == {
        "points": 6,
        "at_most": 6,
        "verdict": "watch",
        "verdict_at_most": "watch",
    }
    assert one["standing"]["rank"] == "1 of 4"


def test_the_command_checks_every_position_of_the_account(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """An account in two markets gets two checks; `--market` asks for one."""
    rows = "1,ann,BTC-PERP,short,1,66000,1500\n2,ann,ETH-PERP,long,1,2000,150\n"
    head = "position_id,account,market,side,qty,entry_price,margin\n"
    words = [*book(tmp_path, positions=head + rows), "--venue", "bitmex", "--account", "ann"]
    both = call(capsysbinary, "check", *words, "--format", "json")
    one = call(capsysbinary, "check", *words, "--market", "ETH-PERP", "--format", "json")

    assert [check["standing"]["mark_price"] for check in both.json] == ["60000", "2500"]
    assert len(one.json) == 1


def test_the_command_refuses_an_unknown_account(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Exit code 2, one line, the nearest name."""
    done = call(capsysbinary, "check", *book(tmp_path), "--venue", "bitmex", "--account", "anne")

    assert (done.code, done.out) == (2, b"")
    assert "did you mean 'ann'" in done.err


def test_the_points_make_a_frame() -> None:
    """One row a question, as the table shows it."""
    frame = asked("ann").frame()

    assert frame.columns == ["question", "answer", "points", "numbers", "evidence"]
    assert frame["points"].to_list() == [2, 2, 0, 0, 2]
    assert json.loads(frame.select(pl.col("answer")).write_json())[2] == {"answer": "not known"}
