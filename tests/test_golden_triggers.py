"""The golden cases about triggers: what venues print of their start and stop lines."""

import tomllib
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from deleverage.backstop.lines import Facts, Line, Reading
from deleverage.backstop.pool import Pool
from deleverage.backstop.trigger import State, StopReading, Trigger
from deleverage.backstop.window import HOUR
from deleverage.model.terms import Bound, ConditionKind
from deleverage.venue import Venue
from golden.cases import GOLDEN

TABLES = tomllib.loads((GOLDEN / "triggers.toml").read_text())
WORDS = {"id", "says", "source", "date", "evidence"}
FIELDS = {
    "start": WORDS
    | {"edition", "money_unit", "parameters", "fund", "facts", "starts", "state", "figures"}
    | {"drawdown", "drawdown_printed", "beyond", "is_on", "ends_after_hours"},
    "stop": WORDS | {"parameters", "fund", "kind", "stops"},
    "line": WORDS | {"kind", "bound", "numbers", "facts", "starts"},
}

Case = dict[str, Any]


def asking(question: str, *names: str) -> pytest.MarkDecorator:
    """Run a test on every case of a question that expects any of these."""
    cases = [case for case in TABLES[question] if not names or any(name in case for name in names)]
    return pytest.mark.parametrize("case", cases, ids=[case["id"] for case in cases])


def units(case: Case) -> int:
    """Money units in one asset."""
    return int(1 / Fraction(case.get("money_unit", "1")))


def money(case: Case, amount: str) -> int:
    """An amount in whole money units; one that is not whole is a mistake in the case."""
    value = Fraction(amount) * units(case)
    assert value.denominator == 1, f"{case['id']}: {amount} is not whole"
    return value.numerator


def trigger_of(case: Case, edition: str) -> Trigger:
    """An edition's trigger; what it never published plays no part in the case."""
    venue = Venue.load(edition)
    given = {name: Decimal(value) for name, value in case.get("parameters", {}).items()}
    return Trigger.of(
        venue.with_parameters(given),
        money_units_per_asset=units(case),
        bound=Bound.STRICT,
        stop=StopReading.CEASES,
    )


def moment(case: Case) -> Facts:
    """The fund with its past, and what else the case says."""
    facts = {name: money(case, value) for name, value in case.get("facts", {}).items()}
    if "fund" not in case:
        return Facts(at=0, **facts)
    fund = case["fund"]
    at = int(fund.get("hours", "1")) * HOUR
    before, now, pnl = (money(case, fund[name]) for name in ("before", "now", "pnl"))
    pool = Pool.open("fund", at=0, cash=before)
    if pnl:
        pool = pool.pay_deficit("in question", -pnl, at=at).pool
    rest = now - pool.balance
    if rest > 0:
        pool = pool.receive_surplus("another", rest, at=at)
    if rest < 0:
        pool = pool.pay_deficit("another", -rest, at=at).pool
    assert (pool.balance, pool.balance_window(8 * HOUR).peak) == (now, max(before, now))
    return Facts(at=at, pool=pool, market="in question", **facts)


def readings(case: Case) -> list[Reading]:
    """What every start line of the case's edition finds."""
    facts = moment(case)
    arms = trigger_of(case, case["edition"]).arms
    return [reading for arm in arms for reading in arm.read_starts(facts)]


def figures(case: Case) -> dict[str, Fraction]:
    """Every number that the start lines name."""
    found = (figure for reading in readings(case) for figure in reading.figures)
    return {figure.name: Fraction(figure.value) for figure in found}


def drawdown(named: dict[str, Fraction]) -> Fraction:
    """The ratio as the venue prints it: at or below zero."""
    return (named["pnl"] - named["pnl_peak"]) / named["pool_peak"]


@pytest.mark.parametrize("question", sorted(FIELDS))
def test_every_case_says_where_it_comes_from(question: str) -> None:
    """A case has its words and no field that nothing checks."""
    assert set(FIELDS) == set(TABLES)
    for case in TABLES[question]:
        assert WORDS <= set(case) <= FIELDS[question], case["id"]
        assert all(case[word] for word in WORDS)


@asking("start")
def test_an_edition_starts_as_its_source_says(case: Case) -> None:
    """Exactly the printed start lines are reached, and the trigger says what the source says."""
    trigger = trigger_of(case, case["edition"])
    status = trigger.step(trigger.idle(0), moment(case))

    assert [str(found.kind) for found in readings(case) if found.holds] == case["starts"]
    assert status.state is State(case["state"])


@asking("start", "figures", "drawdown", "drawdown_printed", "beyond", "is_on")
def test_a_decision_names_the_printed_numbers(case: Case) -> None:
    """Average, line, sum and drawdown are the source's, exactly or to the digits it prints."""
    named = figures(case)

    for name, printed in case.get("figures", {}).items():
        assert named[name] == money(case, printed)
    if "drawdown" in case:
        assert drawdown(named) == Fraction(case["drawdown"])
    if "drawdown_printed" in case:
        assert f"{float(drawdown(named)):.6f}" == case["drawdown_printed"]
    if "beyond" in case:
        beyond = named["pnl_peak"] - named["pnl"] - named["ratio"] * named["pool_peak"]
        assert beyond == money(case, case["beyond"])
    if "is_on" in case:
        assert (named["pool_balance"] > 10_000 * units(case)) == case["is_on"]


@asking("start", "ends_after_hours")
def test_a_lock_out_ends_after_its_hours(case: Case) -> None:
    """The trigger is active to the last nanosecond of the lock-out, and idle at its end."""
    trigger, facts = trigger_of(case, case["edition"]), moment(case)
    status = trigger.step(trigger.idle(0), facts)
    end = facts.at + int(case["ends_after_hours"]) * HOUR

    def at(time: int) -> Facts:
        return Facts(at=time, pool=facts.pool, fund_notional=0)

    assert trigger.step(status, at(end - 1)).state is State.ACTIVE
    assert trigger.step(status, at(end)).state is State.IDLE


@asking("stop")
def test_an_edition_stops_as_its_source_says(case: Case) -> None:
    """At the printed ratio each edition's stop line is reached or not as its own text says."""
    facts = moment(case)
    found = {
        edition: [
            line.read(facts, is_start=False).holds
            for arm in trigger_of(case, edition).arms
            for line in arm.stops
            if str(line.kind) == case["kind"]
        ]
        for edition in case["stops"]
    }

    assert found == {edition: [stops] for edition, stops in case["stops"].items()}


@asking("line")
def test_a_line_is_reached_as_its_source_says(case: Case) -> None:
    """A line of a venue without an edition of its own is reached where the source prints it."""
    names = {str(kind): kind for kind in ConditionKind}
    numbers = {name: Fraction(value) for name, value in case.get("numbers", {}).items()}
    line = Line(kind=names[case["kind"]], bound=Bound(case["bound"]), numbers=numbers)

    assert line.read(moment(case), is_start=True).holds == case["starts"]
