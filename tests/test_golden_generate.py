"""The golden cases about the synthetic venue: published aggregates, met within 5 %."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deleverage.lab import generate_facts as facts
from deleverage.lab.generate import Request, generate_dump
from deleverage.lab.generate_aggregates import aggregates

GENERATE = tomllib.loads((Path(__file__).parent / "golden/generate.toml").read_text())
FACTS = {"id", "says", "source", "date", "evidence"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The aggregates of a venue of the published size."""
    place = tmp_path_factory.mktemp("golden") / "dump"
    dump = generate_dump(place, Request(positions=facts.POSITIONS, seed=7))
    return dict(aggregates(dump).select("aggregate", "measured").iter_rows())


def test_every_case_says_where_it_is_from() -> None:
    """Each case has its facts in words, and no key that nothing checks."""
    assert set(GENERATE) == {"aggregates"}
    assert [case["id"] for case in GENERATE["aggregates"] if set(case) != FACTS | {"expect"}] == []
    assert all(case[name] for case in GENERATE["aggregates"] for name in FACTS)


@pytest.mark.parametrize(
    "case", GENERATE["aggregates"], ids=[case["id"] for case in GENERATE["aggregates"]]
)
def test_the_synthetic_venue_has_what_was_published(
    case: Mapping[str, Any], measured: dict[str, float]
) -> None:
    """Each published figure that is safe to read is met within 5 %."""
    expected = case["expect"]
    found = {name: measured[name] for name in expected}

    assert len(found) > 0
    assert found == {name: pytest.approx(value, rel=0.05) for name, value in expected.items()}
