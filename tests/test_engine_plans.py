"""Two steps: a plan is pure, and its commit is refused once what it rests on has moved."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deleverage.engine import Engine
from deleverage.errors import StateError
from deleverage.ledger import Acknowledgement
from deleverage.ledger.store import Store
from engines import opened, ready

Act = Callable[[Engine], object]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal may be."""
    return tmp_path / "venue.journal"


MOVED: dict[str, Act] = {
    "the mark of ETH": lambda e: e.marks({"ETH": "1801"}, at=3),
    "pool fund": lambda e: e.contribute("fund", "1", at=3),
    "the queue ETH/short": lambda e: e.liquidate("other", "carol/ETH/short", at=3),
    "liquidation liq": lambda e: e.outcome("liq", fills=[("1", "1900")], at=3),
    "a position or an account": lambda e: e.deposit("alice", "5", "USDT", at=3),
}


@pytest.mark.parametrize("what", MOVED)
def test_a_stale_plan_is_not_committed(journal: Path, what: str) -> None:
    """A plan whose mark, pool, queue, liquidation or touched account moved is refused by name."""
    with ready(journal) as engine:
        plan = engine.plan("liq")
        MOVED[what](engine)
        before, head = engine.state_hash(), engine.head
        with pytest.raises(StateError, match=f"{what}.* changed at command") as caught:
            engine.commit(plan)

        assert "plan again" in str(caught.value)
        assert (before, head) == (engine.state_hash(), engine.head)


HARMLESS: dict[str, Act] = {
    "the mark of another market": lambda e: e.marks({"BTC": "61000"}, at=3),
    "an account that is not cut": lambda e: e.deposit("dave", "5", "USDT", at=3),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_other_markets_may_move(journal: Path, what: str) -> None:
    """A plan does not rest on other markets, nor on accounts it does not touch."""
    with ready(journal) as engine:
        plan = engine.plan("liq")
        HARMLESS[what](engine)
        engine.commit(plan, at=4)

        assert {} == dict(engine.state.liquidations)


def test_a_plan_is_committed_once(journal: Path) -> None:
    """The same plan again is refused; with the same key the first answer comes back."""
    with ready(journal) as engine:
        plan = engine.plan("liq")
        first = engine.commit(plan, at=3, key="cut")
        before = engine.state_hash()
        again = engine.commit(plan, at=3, key="cut")
        with pytest.raises(StateError, match="expected an open one"):
            engine.commit(plan, at=3)

        assert again.is_repeat
        assert (first.result, first.receipt) == (again.result, again.receipt)
        assert before == engine.state_hash()


def test_a_retry_gets_the_first_answer(journal: Path) -> None:
    """Any command sent again with its key changes nothing, also when its liquidation is gone."""
    with opened(journal) as engine:
        engine.marks({"ETH": "1800"}, at=1)
        acts: list[Callable[[], Acknowledgement]] = [
            lambda: engine.liquidate("liq", "zed/ETH/long", fills=[("2", "1910")], at=2, key="a"),
            lambda: engine.outcome("liq", fills=[("1", "1900.5")], at=3, key="b"),
            lambda: engine.deposit("dave", "5", "USDT", at=3, key="c"),
            lambda: engine.contribute("fund", "1", at=3, key="d"),
            lambda: engine.marks({"BTC": "59000"}, at=3, key="e"),
        ]
        first = [act() for act in acts]
        engine.commit(engine.plan("liq"))
        before = engine.state_hash()
        again = [act() for act in acts]

        assert [(one.result, one.receipt) for one in first] == [
            (one.result, one.receipt) for one in again
        ]
        assert all(one.is_repeat for one in again)
        assert before == engine.state_hash()


def test_a_disk_that_fails_acknowledges_nothing(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that cannot be written is not in force, and a retry after reopening is."""
    with ready(journal) as engine:
        plan, before = engine.plan("liq"), engine.state_hash()

        def full(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(Store, "insert", full)
        with pytest.raises(StateError, match="nothing was acknowledged"):
            engine.commit(plan, key="cut")
        monkeypatch.undo()
    with Engine.open(journal) as engine:
        assert before == engine.state_hash()
        assert not engine.commit(engine.plan("liq"), key="cut").is_repeat


def test_an_old_plan_is_stale(journal: Path) -> None:
    """More than 64 commands later a plan must be made again, whatever they were."""
    with ready(journal) as engine:
        plan = engine.plan("liq")
        for number in range(65):
            engine.marks({"BTC": str(60_000 + number)}, at=3)
        with pytest.raises(StateError, match="at most 64 commands old"):
            engine.commit(plan)

        assert 8 == engine.state.opened("liq").liquidation.lots


def test_a_doctored_plan_is_refused(journal: Path) -> None:
    """A plan with another price, too many lots or another position's name is not committed."""
    with ready(journal) as engine:
        plan = engine.plan("liq")
        before = engine.state_hash()
        cheaper = dict(plan.decision) | {"price": ["bankruptcy", "1", "made up"]}
        greedy = tuple(fill._replace(closed=fill.closed + 1) for fill in plan.fills)
        renamed = (plan.fills[0]._replace(position_id="bob/ETH/short"), *plan.fills[1:])
        for other in (
            replace(plan, decision=cheaper),
            replace(plan, fills=greedy),
            replace(plan, fills=renamed),
            replace(plan, fills=plan.fills[1:]),
        ):
            with pytest.raises(StateError, match="plan"):
                engine.commit(other)

        assert before == engine.state_hash()


def test_outside_an_active_trigger_it_needs_a_reason(journal: Path) -> None:
    """With a fund that can pay nothing is deleveraged, unless by hand with a stated reason."""
    with ready(journal, cash="5000") as engine:
        with pytest.raises(StateError, match="expected an active trigger, got warning") as caught:
            engine.plan("liq")
        plan = engine.plan("liq", manual="the operator's own decision")
        engine.commit(plan)

        assert "available 5020000000" in str(caught.value)
        assert "the operator's own decision" == plan.body["manual"]
        assert {} == dict(engine.state.liquidations)
        assert "warning" == engine.state.statuses["ETH"].state
