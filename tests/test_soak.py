"""A short soak: random events over every edition, every guarantee checked after each."""

from deleverage.model.terms import Completion, PriceKind
from soak import soak
from soak_books import editions
from soak_record import Tally

EVENTS = 3000


def test_every_guarantee_holds_under_random_events() -> None:
    """Zero sums, reductions, prefixes, replays and windows hold, whatever the edition does."""
    tally = soak(EVENTS)
    print(tally)  # noqa: T201 - the counts belong to the run's output

    assert tally.events.total() > EVENTS * 9 // 10
    assert set(tally.events) == set(editions())
    assert {kind.value for kind in PriceKind} - {"none"} <= set(tally.rules)
    assert {kind.value for kind in Completion} == set(tally.completions)
    assert len(tally.starts) >= 12
    assert len(tally.stops) >= 8
    assert tally.did["deleverage"] > 100
    assert tally.reasons["filled"] > tally.reasons["nothing_eligible"] * 2


def test_a_tally_names_what_was_never_reached() -> None:
    """Each trigger's start and stop, price rule and completion mode below the line is listed."""
    tally = Tally()
    tally.starts["fund_level"] = 99
    tally.rules.update(dict.fromkeys((kind.value for kind in PriceKind), 100))
    rare = tally.rare(100)

    assert "starts fund_level 99" in rare
    assert "stops lockout 0" in rare
    assert not any(one.startswith("rules ") for one in rare)
    assert "completions all_or_nothing 0" in rare
    tally.starts["fund_level"] += 1
    assert "starts fund_level 100" not in tally.rare(100)
