"""A short soak: random events over every edition, every guarantee checked after each."""

from deleverage.model.terms import Completion
from deleverage.venue import Venue
from soak import editions, soak

EVENTS = 2000


def test_every_guarantee_holds_under_random_events() -> None:
    """Zero sums, reductions, prefixes, replays and windows hold, whatever the edition does."""
    tally = soak(EVENTS)
    print(tally)  # noqa: T201 - the counts belong to the run's output
    rules = {Venue.load(name).price.kind for name in editions()}

    assert tally.events > EVENTS * 9 // 10
    assert {f"rule {kind.value}" for kind in rules} <= set(tally.prices)
    assert len(rules) >= 8
    assert {kind.value for kind in Completion} == set(tally.completions)
    assert len(tally.starts) >= 10
    assert len(tally.stops) >= 5
    assert tally.did["deleverage"] > 100
    assert tally.reasons["filled"] > 20
