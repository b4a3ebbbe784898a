"""Lines of a market's own, and pools that answer for each other or are taken apart."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deleverage.audit import audit
from deleverage.backstop.trigger import State as Light
from deleverage.engine import Engine
from deleverage.errors import InputError, VenueError
from deleverage.model.parts import Condition, Number
from deleverage.model.records import Venue as Edition
from deleverage.model.terms import (
    Bound,
    ConditionKind,
    Payer,
    PoolRole,
    PriceKind,
    Standing,
)
from deleverage.venue import Venue
from engines import CHOICES, MARKETS, POSITIONS, UNIT, frames, opened

LEVEL = ConditionKind.FUND_LEVEL
LINES = {"ETH": {"trigger.fund_level.level": Decimal(80), "stop.fund_level.level": Decimal(90)}}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A new journal."""
    return tmp_path / "venue.journal"


def edition(kind: ConditionKind = LEVEL, **numbers: str) -> Edition:
    """The generic edition with one start line, which must be passed to stop."""
    venue = Venue.load("generic")
    told = tuple(Number(name=name, value=Decimal(value)) for name, value in numbers.items())
    start, stop = (
        Condition(kind=kind, bound=bound, numbers=told) for bound in (Bound.INCLUSIVE, Bound.STRICT)
    )
    return replace(
        venue,
        trigger=replace(venue.trigger, conditions=(start,)),
        stop=replace(venue.stop, conditions=(stop,)),
    )


def lights(engine: Engine) -> dict[str, str]:
    """What the trigger of each market says."""
    return {market: status.state.value for market, status in engine.state.statuses.items()}


def test_a_market_has_lines_of_its_own(journal: Path) -> None:
    """At 80 the market whose own line is 80 deleverages, at 0 the others; each stops at its own."""
    choices = replace(CHOICES, lines=LINES)
    with opened(journal, venue=edition(level="0"), choices=choices) as engine:
        seen = [lights(engine)]
        for amount in ("-19", "-1", "-80", "1", "90"):
            engine.contribute("fund", amount, at=1)
            seen.append(lights(engine))

        assert [one["ETH"] for one in seen] == ["idle", "warning", "active"] + ["active"] * 2 + [
            "idle"
        ]
        assert [one["BTC"] for one in seen] == ["idle"] * 3 + ["active", "idle", "idle"]
        live = engine.state_hash()
    with Engine.open(journal) as again:
        assert live == again.state_hash()
        assert again.state.triggers["ETH"] != again.state.triggers["BTC"]
    assert all(finding.is_ok for finding in audit(journal))


@pytest.mark.parametrize(
    ("lines", "kind", "words"),
    [
        ({"ETC": {}}, InputError, "expected a market of the book, got 'ETC'"),
        ({"ETH": {"price.deviation": Decimal(1)}}, VenueError, "trigger or stop"),
        ({"ETH": {"trigger.fund_level.ratio": Decimal(1)}}, VenueError, "trigger.fund_level.ratio"),
        ({"ETH": {"trigger.fund_level.level": Decimal(1)}}, VenueError, "safe side"),
    ],
)
def test_lines_that_are_none_are_refused(
    journal: Path, lines: Any, kind: type[Exception], words: str
) -> None:
    """An unknown market or number, one of another part, a stop above its start: nothing is done."""
    with Engine.open(journal) as engine:
        with pytest.raises(kind, match=words):
            engine.load(frames(), edition(level="0"), choices=replace(CHOICES, lines=lines))

        assert 0 == engine.head.sequence


POOLS = [
    {"name": "eth", "markets": ["ETH"], "cash": "60", "group": "both"},
    {"name": "btc", "markets": ["BTC"], "cash": "40", "group": "both"},
]


def test_pools_of_a_group_count_together(journal: Path) -> None:
    """A line on the group reads the sum of its pools, whichever of them moved."""
    with Engine.open(journal) as engine:
        venue = edition(ConditionKind.GROUP_LEVEL, level="30")
        engine.load(frames(), venue, pools=POOLS, choices=CHOICES)
        engine.contribute("eth", "-60", at=1)
        assert {"ETH": "idle", "BTC": "idle"} == lights(engine)
        engine.contribute("btc", "-10", at=1)
        assert {"ETH": "active", "BTC": "active"} == lights(engine)
        assert "group_balance 30000000" in engine.state.statuses["ETH"].reason
        engine.contribute("eth", "0.000001", at=2)
        assert {"ETH": "idle", "BTC": "idle"} == lights(engine)
        live = engine.state_hash()
    with Engine.open(journal) as again:
        assert live == again.state_hash()
    assert all(finding.is_ok for finding in audit(journal))


@pytest.mark.parametrize(("name", "alone"), [("bybit@2025-09", True), ("bybit@2025-11", False)])
def test_bybits_pools_answer_together_since_its_help_centre_says_so(
    journal: Path, name: str, *, alone: bool
) -> None:
    """One of two pools is empty: by the API text it deleverages, later only both together do."""
    names = ("account", "market", "side", "qty", "entry_price", "margin")
    table: dict[str, Any] = {n: [row[place] for row in POSITIONS] for place, n in enumerate(names)}
    table["maintenance_margin"] = ["1"] * len(POSITIONS)
    with Engine.open(journal) as engine:
        engine.load(frames(positions=table), Venue.load(name), pools=POOLS, choices=CHOICES)
        engine.contribute("eth", "-60", at=1)
        first = lights(engine)
        engine.contribute("btc", "-40", at=1)

        assert {"ETH": "active" if alone else "idle", "BTC": "idle"} == first
        assert {"ETH": "active", "BTC": "active"} == lights(engine)


def test_traders_who_win_too_much_of_a_pool_are_cut(journal: Path) -> None:
    """Profit over pool value: at 30 of 100 the line is reached, at 29 it ends, and 0 has none."""
    with opened(journal, venue=edition(ConditionKind.POOL_FACTOR, ratio="0.3")) as engine:
        engine.marks({"ETH": "1800"}, at=1)
        seen = []
        for number, (pnl, value) in enumerate([(29, 100), (30, 100), (29, 100), (30, 0)]):
            facts = {"traders_pnl": str(pnl), "pool_value": str(value)}
            name = "zed-1"
            if number:
                engine.outcome(name, facts=facts, at=2)
            else:
                engine.liquidate(name, "zed/ETH/long", facts=facts, at=2)
            seen.append(engine.state.statuses["ETH"].state.value)

        assert ["idle", "active", "idle", "idle"] == seen
    assert all(finding.is_ok for finding in audit(journal))


def test_a_group_holds_one_asset(journal: Path) -> None:
    """Balances of different assets do not add up."""
    markets = [dict(row) for row in MARKETS]
    markets[1]["settle"] = "USDC"
    table = {name: [row[name] for row in markets] for name in markets[0]}
    with Engine.open(journal) as engine, pytest.raises(InputError, match="one asset in a group"):
        engine.load(frames(markets=table), edition(level="0"), pools=POOLS, choices=CHOICES)


def test_an_empty_group_shares_what_it_still_has(journal: Path) -> None:
    """A pool sheds where its market has lost its share of what the group still has.

    The ETH pool took zed's long of 10 over at 1,900, and at 1,800 it has lost 1,000. Its own 500
    and the other's 300 are all there is: at 1,820 they are empty together, and there the
    market is closed.
    """
    venue = edition(ConditionKind.GROUP_LEVEL, level="0")
    part = venue.backstop
    assert part is not None
    venue = replace(
        venue,
        backstop=replace(part, pool=PoolRole.TAKES_OVER),
        price=replace(venue.price, kind=PriceKind.POOL_BANKRUPTCY, difference=Payer.FUND),
    )
    pools = [POOLS[0] | {"cash": "500"}, POOLS[1] | {"cash": "300"}]
    choices = replace(CHOICES, standing=Standing.NETTED)
    with Engine.open(journal) as engine:
        engine.load(frames(), venue, pools=pools, choices=choices)
        engine.marks({"ETH": "1880"}, at=1)
        engine.liquidate("zed-1", "zed/ETH/long", at=1)
        assert 10 == engine.state.pools["eth"].inventory("ETH").lots
        assert Light.IDLE is engine.state.statuses["ETH"].state
        engine.marks({"ETH": "1800"}, at=2)
        assert Light.ACTIVE is engine.state.statuses["ETH"].state
        engine.shed("shed-1", "eth", "ETH", at=2)
        plan = engine.plan("shed-1")
        engine.commit(plan, at=2)

        assert 1820 * UNIT == plan.price.lot_value
        assert -300 * UNIT == engine.state.pools["eth"].balance
        assert 300 * UNIT == engine.state.pools["btc"].balance
    assert all(finding.is_ok for finding in audit(journal))
