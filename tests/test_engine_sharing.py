"""A loss that everybody pays: by what is held or by what was won, to the last unit."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deleverage.audit import audit
from deleverage.engine import Engine
from deleverage.errors import InputError
from deleverage.model.records import Venue as Edition
from deleverage.model.terms import Payer, PoolRole, Remainder, Sharing
from deleverage.venue import Venue
from engines import CHOICES, UNIT, frames, opened

NAMES = ("position_id", "account", "market", "side", "qty", "entry_price", "margin")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A new journal."""
    return tmp_path / "venue.journal"


def edition() -> Edition:
    """BitMEX's queue; what it leaves is closed at the mark, and everybody pays for it."""
    venue = Venue.load("bitmex")
    part = venue.backstop
    assert part is not None
    part = replace(part, remainder=Remainder.SOCIALISED, pool=PoolRole.PAYS)
    return replace(venue, backstop=part, price=replace(venue.price, difference=Payer.NOBODY))


def crashed(path: Path, sharing: Sharing | None, **other: Any) -> tuple[Engine, Any]:
    """Zed's 10 from 2,000 with 1,000, closed at 1,800 without a queue or a fund: 1,000 are lost."""
    choices = replace(CHOICES, sharing=sharing, is_manual=True)
    engine = opened(path, venue=edition(), cash="0", choices=choices, **other)
    engine.marks({"ETH": "1800"}, at=1)
    engine.liquidate("zed-1", "zed/ETH/long", facts={"is_emergency": True}, at=2)
    everybody = ["alice", "bob", "carol", "dave"]
    plan = engine.plan("zed-1", exclude=everybody)
    assert () == plan.fills
    return engine, engine.commit(plan, at=2).result


def paid(engine: Engine, *accounts: str) -> list[Fraction]:
    """What accounts have lost since the book was loaded, in USDT."""
    state = engine.state
    lost = []
    for account in accounts:
        brought = int(state.wallets["USDT"][state.book.roster.find_account(account)])
        name = f"trader:{account}"
        now = state.ledger.balance(name, "USDT") if name in state.ledger else brought
        lost.append(Fraction(brought - now, UNIT))
    return lost


def test_by_what_is_held(journal: Path) -> None:
    """1,000 over 8 + 3 + 4 + 5 + 6 = 26 lots: each lot pays its part, zed none."""
    engine, result = crashed(journal, Sharing.HOLDERS_CHARGE)
    with engine:
        found = paid(engine, "yan", "alice", "bob", "carol", "dave", "ann")

        assert 1000 * UNIT == result["socialised"]
        assert 0 == result["shared"]["left"]
        assert 1000 == sum(found)
        for lots, one in zip((8, 3, 4, 5, 6, 0), found, strict=True):
            assert abs(one - Fraction(1000 * lots, 26)) < Fraction(1, UNIT)
        assert 0 == engine.state.ledger.balance("clearing:socialised-loss", "USDT")
        live = engine.state_hash()
    with Engine.open(journal) as again:
        assert live == again.state_hash()
    assert all(finding.is_ok for finding in audit(journal))


def test_by_what_was_won(journal: Path) -> None:
    """At 1,800 alice has won 900, bob 800, carol 750: of 2,450 each gives 20/49; losers nothing."""
    engine, result = crashed(journal, Sharing.WINNERS_HAIRCUT)
    with engine:
        found = paid(engine, "alice", "bob", "carol", "dave", "yan")

        for won, one in zip((900, 800, 750, 0, 0), found, strict=True):
            assert abs(one - Fraction(1000 * won, 2450)) < Fraction(1, UNIT)
        assert 1000 == sum(found)
        assert "winners_haircut" == result["shared"]["rule"]
        assert {"alice", "bob", "carol"} == {row[0] for row in result["shared"]["charges"]}
    assert all(finding.is_ok for finding in audit(journal))


def test_winners_give_no_more_than_they_won(journal: Path) -> None:
    """One winner of 60 stands against a loss of 1,000: 940 stay where everybody can see them."""
    rows = [
        ("1", "zed", "ETH", "long", "10", "2000", "1000"),
        ("2", "alice", "ETH", "short", "3", "1820", "300"),
        ("3", "bob", "ETH", "short", "7", "1800", "300"),
    ]
    table = {name: [row[place] for row in rows] for place, name in enumerate(NAMES)}
    choices = replace(CHOICES, sharing=Sharing.WINNERS_HAIRCUT, is_manual=True)
    with Engine.open(journal) as engine:
        pools = [{"name": "fund", "cash": "0"}]
        engine.load(frames(positions=table), edition(), pools=pools, choices=choices)
        engine.marks({"ETH": "1800"}, at=1)
        engine.liquidate("zed-1", "1", facts={"is_emergency": True}, at=2)
        result: Any = engine.commit(engine.plan("zed-1", exclude=["alice", "bob"]), at=2).result

        assert 940 * UNIT == result["shared"]["left"]
        assert [60, 0] == paid(engine, "alice", "bob")
        assert -940 * UNIT == engine.state.ledger.balance("clearing:socialised-loss", "USDT")
        assert engine.trial_balance.is_closed
    assert all(finding.is_ok for finding in audit(journal))


def test_without_a_rule_it_stays_in_sight(journal: Path) -> None:
    """Nobody is charged by a rule that nobody chose."""
    engine, result = crashed(journal, None)
    with engine:
        assert {"rule": None, "charges": [], "left": 1000 * UNIT} == result["shared"]
        assert [0, 0, 0] == paid(engine, "alice", "bob", "yan")
        assert -1000 * UNIT == engine.state.ledger.balance("clearing:socialised-loss", "USDT")


def test_a_rule_that_charges_nobody_is_refused() -> None:
    """A queue is no way to share a loss."""
    with pytest.raises(InputError, match="expected holders_charge or winners_haircut, got queue"):
        replace(CHOICES, sharing=Sharing.QUEUE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    gains=st.lists(st.integers(-90, 90), min_size=6, max_size=6),
    sharing=st.sampled_from([Sharing.HOLDERS_CHARGE, Sharing.WINNERS_HAIRCUT]),
)
def test_shares_are_the_fractions_within_a_unit(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    gains: list[int],
    sharing: Sharing,
) -> None:
    """Whole units, within one of the exact share; in sum the loss, or all that was won."""
    total = sum(sizes)
    rows = [("0", "zed", "ETH", "long", str(total), "2000", str(100 * total))]
    rows += [
        (str(number), f"s{number}", "ETH", "short", str(size), str(1800 + gain), "500")
        for number, (size, gain) in enumerate(zip(sizes, gains, strict=False), 1)
    ]
    table = {name: [row[place] for row in rows] for place, name in enumerate(NAMES)}
    names = [row[1] for row in rows[1:]]
    choices = replace(CHOICES, sharing=sharing, is_manual=True)
    with Engine.open(tmp_path_factory.mktemp("shared") / "venue.journal") as engine:
        pools = [{"name": "fund", "cash": "0"}]
        engine.load(frames(positions=table), edition(), pools=pools, choices=choices)
        engine.marks({"ETH": "1800"}, at=1)
        engine.liquidate("zed-1", "0", facts={"is_emergency": True}, at=2)
        result: Any = engine.commit(engine.plan("zed-1", exclude=names), at=2).result
        found = paid(engine, *names)
    lost = 100 * total
    weights = [
        size if sharing is Sharing.HOLDERS_CHARGE else size * max(gain, 0)
        for size, gain in zip(sizes, gains, strict=False)
    ]
    due = lost if sharing is Sharing.HOLDERS_CHARGE else min(lost, sum(weights))

    assert due == sum(found)
    assert (lost - due) * UNIT == result["shared"]["left"]
    for weight, one in zip(weights, found, strict=True):
        exact = Fraction(due * weight, sum(weights)) if sum(weights) else Fraction(0)
        assert abs(one - exact) < Fraction(1, UNIT)
