"""The golden cases about indicators: what venues' interfaces say of the queue and of the fund."""

import tomllib
from fractions import Fraction
from typing import Any

import pytest

from deleverage.backstop.trigger import State
from deleverage.interop.indicators import (
    binance_quantiles,
    bitget_rank,
    kucoin_percentage,
    mexc_level,
)
from deleverage.interop.okx_fund import read_fund_event, read_warning
from deleverage.venue import Venue
from golden.cases import GOLDEN

TABLES = tomllib.loads((GOLDEN / "indicators.toml").read_text())
WORDS = {"id", "says", "source", "date", "evidence"}
FIELDS = {
    "quantile": WORDS | {"edition", "message", "joint", "values", "lights"},
    "position": WORDS
    | {"edition", "venue", "messages", "values", "lights", "position_id", "time_ns"},
    "warning": WORDS | {"message", "state", "numbers", "time_ns"},
    "event": WORDS
    | {"message", "starts", "cause", "balance", "peak", "decline", "decline_of_peak", "time_ns"},
}
READERS = {"bitget": bitget_rank, "kucoin": kucoin_percentage, "mexc": mexc_level}
NUMBERS = (
    *("balance", "peak", "decline", "start_balance", "start_decline", "stop_balance"),
    "stop_decline",
)

Case = dict[str, Any]


def asking(question: str) -> pytest.MarkDecorator:
    """Run a test on every case of a question."""
    cases = TABLES[question]
    return pytest.mark.parametrize("case", cases, ids=[case["id"] for case in cases])


def test_every_case_is_read() -> None:
    """The tables are those of the questions asked here, and no field is misspelt."""
    assert set(TABLES) == set(FIELDS)
    assert [
        case["id"]
        for question, cases in TABLES.items()
        for case in cases
        if not WORDS <= set(case) <= FIELDS[question]
    ] == []


@asking("quantile")
def test_a_quantile_is_read_side_by_side(case: Case) -> None:
    """Each side has the printed value; a joint hedge is marked and its extra key left out."""
    shown = binance_quantiles(case["message"], Venue.load(case["edition"]).lights)
    by_side = {one.side or "net": one for one in shown}

    assert {side: one.value for side, one in by_side.items()} == case["values"]
    assert {side: list(one.lights) for side, one in by_side.items()} == case["lights"]
    assert {one.is_joint for one in shown} == {case["joint"]}
    assert {one.market for one in shown} == {case["message"]["symbol"]}


@asking("position")
def test_a_positions_indicator_is_its_light(case: Case) -> None:
    """The printed value is read exactly and becomes the light of the edition's scale."""
    lights = Venue.load(case["edition"]).lights
    shown = [READERS[case["venue"]](message, lights) for message in case["messages"]]

    assert [one.value for one in shown] == [Fraction(value) for value in case["values"]]
    assert [list(one.lights) for one in shown] == case["lights"]
    assert {one.position_id for one in shown} == {case.get("position_id")}
    assert {one.time_ns for one in shown} == {case.get("time_ns")}


@asking("warning")
def test_a_warning_says_the_triggers_state(case: Case) -> None:
    """State and numbers are the message's; an empty text is no number and no zero."""
    warning = read_warning(case["message"])
    numbers = {name: Fraction(text) for name, text in case["numbers"].items()}

    assert State(warning.state) is State(case["state"])
    assert {name: getattr(warning, name) for name in NUMBERS} == {
        name: numbers.get(name) for name in NUMBERS
    }
    assert (warning.family, warning.instrument) == ("BTC-USDT", "futures")
    assert (warning.cause, warning.peak_at, warning.time_ns) == (None, None, case.get("time_ns"))


@asking("event")
def test_an_event_of_the_fund_says_what_began(case: Case) -> None:
    """The cause is a trigger's start condition; printed and recomputed decline stand apart."""
    event = read_fund_event(case["message"])

    assert (event.is_start, event.cause, event.asset) == (case["starts"], case["cause"], "USDT")
    for name in ("balance", "peak", "decline", "decline_of_peak"):
        assert getattr(event, name) == Fraction(case[name])
    assert (event.time_ns, event.peak_at) == (case["time_ns"], case["time_ns"])
