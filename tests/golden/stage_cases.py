"""The strict reader of the golden cases about pools, stages and the waterfall.

A table's name is the question its cases ask; each question says here which fields it knows, so
that a field nothing checks is a mistake. Units are said where a question is asked.
"""

import tomllib
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FACTS = {"id", "says", "source", "date", "evidence"}
FIELDS: Mapping[str, Mapping[str, set[str]]] = {
    "waterfall.toml": {
        "event": {
            *("edition", "parameters", "lot_size", "maintenance", "initial", "cash", "fund"),
            *("position", "fills", "others", "expect"),
        },
        "gate": {"seen", "length", "at", "closed"},
        "cover": {
            *("loss", "account", "layers", "most", "paid", "borne_by_liquidator", "left"),
            *("socialised", "open_interest", "funding_delta"),
        },
    },
    "pools.toml": {
        "flow": {"edition", "kind", "side", "part"},
        "delta": {"oracle", "cash", "lots", "quote", "most_ppm", "fund_delta"},
        "payment": {"fund", "delta", "counts"},
        "inventory": {"step"},
        "disposal": {"held", "share", "whole_below", "most", "sizes"},
        "shed": {
            *("user", "fund", "funding", "lots", "cost", "user_after", "fund_after", "refused"),
        },
        "drawdown": {
            *("edition", "parameters", "before", "size", "entry", "margin", "mark", "ratio"),
            *("most_loss", "price", "queue", "stops_at", "goes_on_at"),
        },
    },
    "market_stage.toml": {
        "limit": {"qty", "mark", "equity", "maintenance", "kept", "price"},
        "fillable": {
            *("oracle", "cash", "lots", "maintenance", "adjustment_ppm", "spread_ppm", "price"),
        },
        "size": {"shortage", "margin_ratio", "fees", "oracle", "lots"},
        "fund_fee": {
            *("shortage", "value", "margin_ratio", "liquidator_fee", "kept", "most", "ppm"),
        },
        "ramp": {"elapsed", "base", "most", "grace", "ppm"},
        "partial": {
            *("equity", "maintenance", "fee", "shares", "penalty", "maintenance_after"),
            *("equity_after", "printed", "target", "chosen"),
        },
        "window": {"fees", "skew_scale", "multiplier", "seconds", "most"},
        "expiry": {"base", "quote", "excess", "oracle", "scale", "price"},
        "tier": {"tiers", "value", "ratio", "amount", "maintenance"},
    },
}

Case = dict[str, Any]


@cache
def tables(name: str) -> dict[str, Any]:
    """A golden file."""
    return tomllib.loads((Path(__file__).parent / name).read_text())


@cache
def stage_cases(name: str, question: str) -> tuple[Case, ...]:
    """The cases of one question; a missing fact or an unknown field fails."""
    assert set(tables(name)) - {"edition"} == set(FIELDS[name])
    known = FACTS | FIELDS[name][question]
    for case in tables(name)[question]:
        assert set(case) >= FACTS, f"{case.get('id')}: expected {sorted(FACTS)}"
        assert all(case[fact] for fact in FACTS), f"{case['id']}: an empty fact"
        assert set(case) <= known, f"{case['id']}: unknown: {sorted(set(case) - known)}"
    return tuple(tables(name)[question])


def asking(name: str, question: str) -> pytest.MarkDecorator:
    """Run a test on every case of one question."""
    cases = stage_cases(name, question)
    return pytest.mark.parametrize("case", cases, ids=[case["id"] for case in cases])


def exactly(text: str, units: Fraction = Fraction(1)) -> int:
    """A whole number of units; one that is not whole is a mistake in the case."""
    value = Fraction(text) * units
    assert value.denominator == 1, f"{text}: not a whole number of units"
    return value.numerator
