"""A pool that stands in the queue with what it holds itself, and a market taken out of a pool."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deleverage.audit import audit
from deleverage.engine import Engine
from deleverage.errors import StateError
from deleverage.model.records import Venue as Edition
from deleverage.model.terms import PoolRole, Standing
from deleverage.venue import Venue
from engines import CHOICES, UNIT, frames

STANDS = replace(CHOICES, standing=Standing.CANDIDATE, is_manual=True)
NOW = {"is_emergency": True}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A new journal."""
    return tmp_path / "venue.journal"


def edition(name: str = "bitmex") -> Edition:
    """An edition whose pool takes over while its trigger says nothing."""
    venue = Venue.load(name)
    part = venue.backstop
    assert part is not None
    return replace(venue, backstop=replace(part, pool=PoolRole.TAKES_OVER))


def with_short(path: Path, cash: str = "2000", **other: Any) -> Engine:
    """The fund took alice's short of 3 from 2,100 over at its bankruptcy, 2,200; zed goes after.

    At 1,800 the fund has won 3 x 400, so that it is worth `cash` and 1,200.
    """
    engine = Engine.open(path)
    settings: dict[str, Any] = {"choices": STANDS} | other
    engine.load(frames(), edition(), pools=[{"name": "fund", "cash": cash}], **settings)
    engine.liquidate("alice-1", "alice/ETH/short", at=1)
    assert -3 == engine.state.pools["fund"].inventory("ETH").lots
    engine.marks({"ETH": "1800"}, at=2)
    return engine


def test_a_pool_is_cut_where_its_score_puts_it(journal: Path) -> None:
    """By BitMEX's rule the fund's short stands where its profit and its worth put it.

    Profit 1,200 of 6,600 entered, at a leverage of 5,400 over a worth of 3,200: 27/88 is less than
    bob's 36/65 and carol's 60/143, so that the fund gives the last 1 of 10.
    """
    with with_short(journal) as engine:
        engine.liquidate("zed-1", "zed/ETH/long", facts=NOW, at=3)
        plan = engine.plan("zed-1")
        queue = engine.queue("ETH", "short")

        assert ["bob", "carol", "fund"] == [fill.account for fill in plan.fills][:3]
        assert [4, 5, 1] == [fill.closed for fill in plan.fills]
        assert ["bob", "carol", "fund", "dave"] == queue["account"].to_list()
        assert pytest.approx(1200 / 6600 * 5400 / 3200) == queue["score"][2]
        done: Any = engine.commit(plan, at=3).result
        fund = engine.state.pools["fund"]
        assert -2 == fund.inventory("ETH").lots
        # One lot from 2,200 is closed at zed's bankruptcy price of 1,900.
        assert (2000 + 300) * UNIT == fund.cash
        assert "fund/ETH" == done["legs"][2]["position_id"]
        assert engine.trial_balance.is_closed
        live = engine.state_hash()
    with Engine.open(journal) as again:
        assert live == again.state_hash()
    assert all(finding.is_ok for finding in audit(journal))


def test_a_poor_pool_stands_at_the_head(journal: Path) -> None:
    """Worth less, the same position is of a higher leverage: it is cut first, and whole."""
    with with_short(journal, cash="0") as engine:
        engine.liquidate("zed-1", "zed/ETH/long", facts=NOW, at=3)
        plan = engine.plan("zed-1")

        assert ("fund", 3) == (plan.fills[0].account, plan.fills[0].closed)
        assert ["bob", "carol"] == [fill.account for fill in plan.fills[1:]]
        assert [4, 3] == [fill.closed for fill in plan.fills[1:]]
        engine.commit(plan, at=3)
        assert 0 == engine.state.pools["fund"].inventory("ETH").lots
    assert all(finding.is_ok for finding in audit(journal))


def test_an_exempt_pool_is_passed_over(journal: Path) -> None:
    """The same fund, exempt: nobody looks at it, and dave's loss is next."""
    choices = replace(STANDS, standing=Standing.EXEMPT)
    with with_short(journal, choices=choices) as engine:
        engine.liquidate("zed-1", "zed/ETH/long", facts=NOW, at=3)
        plan = engine.plan("zed-1")

        assert ["bob", "carol", "dave"] == [fill.account for fill in plan.fills]
        assert ["bob", "carol", "dave"] == engine.queue("ETH", "short")["account"].to_list()


def test_a_plan_with_a_pool_is_stale_once_the_pool_moved(journal: Path) -> None:
    """What a pool is worth places it: money that comes in between is a new plan."""
    with with_short(journal) as engine:
        engine.liquidate("zed-1", "zed/ETH/long", facts=NOW, at=3)
        plan = engine.plan("zed-1")
        engine.contribute("fund", "10", at=3)
        before = engine.state

        with pytest.raises(StateError, match="pool fund"):
            engine.commit(plan, at=3)
        assert before is engine.state
