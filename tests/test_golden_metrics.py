"""The golden cases about measures: what published analyses work out, exactly."""

import tomllib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest

from deleverage.lab.metrics import cut_cost

METRICS = tomllib.loads((Path(__file__).parent / "golden/metrics.toml").read_text())
FACTS = {"id", "says", "source", "date", "evidence"}
FIGURES = {"qty", "price", "mark", "later_mark", "immediate", "opportunity", "total"}


def test_every_case_says_where_it_is_from() -> None:
    """Each case has its facts in words, and no key that nothing checks."""
    assert set(METRICS) == {"cost"}
    assert [case["id"] for case in METRICS["cost"] if set(case) != FACTS | FIGURES] == []
    assert all(case[name] for case in METRICS["cost"] for name in FACTS)


@pytest.mark.parametrize("case", METRICS["cost"], ids=[case["id"] for case in METRICS["cost"]])
def test_the_cost_of_a_cut_is_split_as_the_source_does(case: Mapping[str, str]) -> None:
    """What is lost or saved at once, over the horizon, and in all, exactly."""
    cost = cut_cost(
        case["qty"], price=case["price"], mark=case["mark"], later_mark=case["later_mark"]
    )

    assert cost.immediate == Fraction(case["immediate"])
    assert cost.opportunity == Fraction(case["opportunity"])
    assert cost.total == Fraction(case["total"])
