"""A pool that stands in the queue with what it holds itself, and a market taken out of a pool."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deleverage.audit import audit
from deleverage.engine import Commands, Engine
from deleverage.engine.queueing import POOL_PLACE, head_of
from deleverage.errors import AdlError, InputError, StateError
from deleverage.ledger import Journal, decode
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


@settings(deadline=None)
@given(cash=st.integers(0, 6000), lots=st.integers(1, 20))
def test_the_head_of_a_queue_with_a_pool_is_that_of_the_fractions(
    tmp_path_factory: pytest.TempPathFactory, cash: int, lots: int
) -> None:
    """Whatever the fund is worth and however much is to be offset: sorted by hand, and walked."""
    fund = Fraction(1200, 6600) * Fraction(5400, cash + 1200)
    by_hand = [("bob", 4, Fraction(36, 65)), ("carol", 5, Fraction(60, 143)), ("fund", 3, fund)]
    # Dave has lost, and stands behind everybody who has won.
    queue = [*sorted(by_hand, key=lambda one: -one[2]), ("dave", 6, Fraction(-1))]
    wanted, left = [], lots
    for account, held, _ in queue:
        if left:
            wanted.append((account, min(held, left)))
            left -= min(held, left)
    with with_short(tmp_path_factory.mktemp("pools") / "venue.journal", cash=str(cash)) as engine:
        state = engine.state
        head = head_of(state, "ETH", "short", lots, np.empty(0, np.int64))
        roster = state.book.roster
        found = [
            ("fund" if place == POOL_PLACE else roster.account(place), closed)
            for place, closed in zip(head.places, head.closed, strict=True)
        ]

        assert wanted == found
        assert [one for one, _, _ in queue] == engine.queue("ETH", "short")["account"].to_list()


def test_a_journal_that_spares_its_pool_is_named(journal: Path, tmp_path: Path) -> None:
    """The same commands with dave's lot for the fund's, every hash in order, do not follow."""
    with with_short(journal) as engine:
        engine.liquidate("zed-1", "zed/ETH/long", facts=NOW, at=3)
        engine.commit(engine.plan("zed-1"), at=3)
    with Journal.open(journal, Commands()) as source:
        entries = list(source.entries())
    forged = tmp_path / "forged.journal"
    with Journal.open(forged, Commands()) as target:
        for entry in entries:
            body: Any = decode(entry.body)
            if entry.kind == "commit":
                dave = target.state.book.roster.find("dave/ETH/short")[0]
                body["fills"][2] = [int(dave), "dave/ETH/short", 1]
            target.execute(entry.key, entry.kind, entry.time_ns, body)
    findings = audit(forged)

    assert not findings[-1].is_ok
    assert "first bad entry is 5" in findings[-1].detail
    assert any("plan, fills: expected" in finding.detail for finding in findings)


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


@pytest.mark.parametrize(
    ("place", "name", "words"),
    [
        (-1, "fund/ETH", "in the queue"),
        (-1, "bob/ETH/short", "in the queue"),
        (-2, "x", "expected"),
    ],
)
def test_a_pool_that_does_not_stand_there_is_not_cut(
    journal: Path, place: int, name: str, words: str
) -> None:
    """A doctored plan that cuts an exempt pool, or names its place for another, is refused."""
    choices = replace(STANDS, standing=Standing.EXEMPT)
    with with_short(journal, choices=choices) as engine:
        engine.liquidate("zed-1", "zed/ETH/long", facts=NOW, at=3)
        plan = engine.plan("zed-1")
        first = plan.fills[0]._replace(place=place, position_id=name)
        forged = replace(plan, fills=(first, *plan.fills[1:]))
        before = engine.state

        with pytest.raises(AdlError, match=words):
            engine.commit(forged, at=3)
        assert before is engine.state


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


def test_a_market_is_taken_out_of_a_pool(journal: Path) -> None:
    """Its short, what it won and 500 go into a pool of their own; the rest keeps 1,500."""
    with with_short(journal) as engine:
        engine.carve("fund", "ETH", "eth", cash="500", at=3)
        state = engine.state
        own, rest = state.pools["eth"], state.pools["fund"]

        assert (500 * UNIT, 1700 * UNIT) == (own.cash, own.balance)
        assert (1500 * UNIT, 1500 * UNIT) == (rest.cash, rest.balance)
        assert -3 == own.inventory("ETH").lots
        assert 1200 * UNIT == own.inventory("ETH").pnl
        assert {"ETH": "eth", "BTC": "fund"} == dict(state.backing)
        assert 0 == state.offset("ETH")
        engine.marks({"ETH": "1900"}, at=4)
        assert 1400 * UNIT == engine.state.pools["eth"].balance
        assert 1500 * UNIT == engine.state.pools["fund"].balance
        assert engine.trial_balance.is_closed
        live = engine.state_hash()
    with Engine.open(journal) as again:
        assert live == again.state_hash()
    assert all(finding.is_ok for finding in audit(journal))


@pytest.mark.parametrize("at", [2, 3])
def test_a_pool_without_a_market_is_read_at_once(journal: Path, at: int) -> None:
    """Whether or not time passed, both windows know what each pool is worth after it."""
    with with_short(journal) as engine:
        engine.carve("fund", "ETH", "eth", cash="500", at=at)
        for pool in engine.state.pools.values():
            assert [pool.balance] == [window.value for window in pool.balances]
            assert all(w.value == each.pnl for each in pool.inventories for w in each.pnls)


def test_a_market_without_anything_is_taken_out_too(journal: Path) -> None:
    """BTC, in which the fund holds nothing, gets a pool of 0 with an account of its own."""
    with with_short(journal) as engine:
        engine.carve("fund", "BTC", "btc", at=3)
        assert (0, 0) == (engine.state.pools["btc"].cash, engine.state.pools["btc"].balance)
        engine.contribute("btc", "5", at=4)
        assert 5 * UNIT == engine.state.ledger.balance("pool:btc", "USDT")
    assert all(finding.is_ok for finding in audit(journal))


def test_what_is_shed_goes_with_its_market(journal: Path) -> None:
    """A shedding that is open when its market is taken out is then the new pool's, and ends so."""
    with with_short(journal) as engine:
        engine.shed("shed-1", "fund", "ETH", facts=NOW, at=3)
        engine.carve("fund", "ETH", "eth", cash="500", at=3)
        assert "eth" == engine.state.opened("shed-1").liquidation.account
        engine.outcome("shed-1", fills=[("3", "1850")], facts=NOW, at=4)

        # 3 x (2,200 - 1,850) won on top of 500.
        assert 1550 * UNIT == engine.state.pools["eth"].cash
        assert {} == dict(engine.state.liquidations)
    assert all(finding.is_ok for finding in audit(journal))


@pytest.mark.parametrize(
    ("arguments", "cash", "kind", "words"),
    [
        (("find", "ETH", "eth"), "0", InputError, "expected the one behind ETH, got 'find'"),
        (("fund", "ETC", "eth"), "0", InputError, "got 'ETC'"),
        (("fund", "ETH", "fund"), "0", InputError, "expected that of a new pool, got 'fund'"),
        (("fund", "ETH", "zed"), "0", InputError, "no account has, got 'zed'"),
        (("fund", "ETH", "eth"), "2001", StateError, "cash: expected at most 2000 USDT"),
        (("fund", "ETH", "eth"), "-1", InputError, "cash: expected at least 0 USDT, got -1 USDT"),
        (("fund", "ETH", " "), "0", InputError, "a name that is not blank"),
    ],
)
def test_a_market_that_cannot_be_taken_out_stays(
    journal: Path, arguments: tuple[str, str, str], cash: str, kind: type[Exception], words: str
) -> None:
    """Another pool's market, a name that is taken, more money than there is: nothing moves."""
    with with_short(journal) as engine:
        before = engine.state
        with pytest.raises(kind, match=words):
            engine.carve(*arguments, cash=cash, at=3)
        assert before is engine.state
