"""The worked stories of `examples/`: every figure here was worked out by hand."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import house
from deleverage.audit import audit
from deleverage.cli.run import Told, play
from deleverage.cli.scenario import read_scenario
from deleverage.engine import Engine

EXAMPLES = house.ROOT / "examples"
STORIES = sorted(path.stem for path in EXAMPLES.glob("*.toml"))
USDT = 10**6


class Played(NamedTuple):
    """A story that was played: the engine behind it, and what each step told."""

    engine: Engine
    story: list[Told]
    journal: Path

    def trader(self, account: str) -> Fraction:
        """What an account has in the books, in USDT."""
        return Fraction(self.engine.state.ledger.balance(f"trader:{account}", "USDT"), USDT)

    def held(self, position_id: str) -> tuple[int, Fraction]:
        """Lots and entry value in USDT of a position."""
        book = self.engine.state.book
        row = book.holding(int(book.roster.find(position_id)[0]))
        return row.lots, Fraction(row.entry_value, USDT)

    def cuts(self) -> list[Mapping[str, Any]]:
        """Every leg that was cut, in order."""
        return [leg for told in self.story for leg in told.result.get("legs", [])]


@pytest.fixture
def played(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Played]:
    """The story that the test names, played."""
    scenario = read_scenario(EXAMPLES / f"{request.param}.toml")
    path = tmp_path / "story.journal"
    with Engine.open(path) as engine:
        yield Played(engine, play(scenario, engine), path)


def story(name: str) -> pytest.MarkDecorator:
    """Play this story for a test."""
    return pytest.mark.parametrize("played", [name], indirect=True)


@pytest.mark.parametrize("played", STORIES, indirect=True)
def test_every_story_closes_its_books(played: Played) -> None:
    """Books add to zero, the journal replays to the same state, and every decision follows."""
    engine = played.engine
    live = engine.state_hash()
    engine.close()
    with Engine.open(played.journal) as again:
        assert live == again.state_hash()
        assert again.trial_balance.is_closed
    findings = audit(played.journal)

    assert [] == [finding.detail for finding in findings if not finding.is_ok]


@story("crash")
def test_the_crash(played: Played) -> None:
    """Alice and bob are closed and carol gives one, all at 1,900; zed ends at zero."""
    assert [("alice", 3), ("bob", 4), ("carol", 1)] == [
        (leg["account"], leg["closed"]) for leg in played.cuts()
    ]
    # 3 x (2100 - 1900), 4 x (2000 - 1900), 1 x (1950 - 1900)
    assert [600, 400, 50] == [leg["pnl"] // USDT for leg in played.cuts()]
    assert (-4, 7800) == played.held("carol/ETH-PERP/short")
    assert (-6, 10200) == played.held("dave/ETH-PERP/short")
    # 1000 of margin, 2 sold at 1910 (-180, of it 20 above bankruptcy to the fund), 8 at 1900.
    assert 0 == played.trader("zed")
    assert 120 * USDT == played.engine.state.pools["fund"].cash


@story("short_of_ten")
def test_a_short_of_ten_is_cut_to_six(played: Played) -> None:
    """Of 2,000 unrealised 800 is realised at 1,800, and the six that are left keep 1,200."""
    lots, entry = played.held("bob/ETH-PERP/short")

    assert (-6, 12000) == (lots, entry)
    assert 800 == played.cuts()[0]["pnl"] // USDT
    # What was won before the cut, 2,000 on ten, is what is realised and what is left of it.
    assert 2000 == played.cuts()[0]["pnl"] // USDT + (entry - 6 * 1800)
    assert 10 - 6 == played.cuts()[0]["closed"]
    assert 1200 == entry - 6 * 1800
    assert 2000 + 800 == played.trader("bob")
    # Between bankruptcy at 1900 and the mark lie 400: the fund had 100, zed owes 300.
    assert -300 == played.trader("zed")
    assert 0 == played.engine.state.pools["fund"].cash


@story("bitmex_650")
def test_bitmex_allocates_twenty_contracts(played: Played) -> None:
    """Account 2 gives 10 of 10 and account 5 gives 10 of 20, at 650 (BitMEX, examples)."""
    assert [("2", 10), ("5", 10)] == [(leg["account"], leg["closed"]) for leg in played.cuts()]
    assert [0, 10] == [leg["lots_left"] for leg in played.cuts()]
    assert 650 * USDT == Fraction(played.story[-1].result["legs"][0]["pnl"], 10) + 600 * USDT
    queue = played.story[-1].queue
    assert queue is not None
    assert ["2", "5", "4", "1", "6", "3"] == queue["account"].to_list()


@story("price_489")
def test_489_is_far_from_the_mark(played: Played) -> None:
    """Bankrupt at (50,000 - 1,000 - 100) / 100 = 489, 22.25 % off 400: it settles at 400."""
    begun = played.story[1].result

    assert 489 * 100 * USDT == Fraction(begun["bankruptcy"])
    assert "sum -8900000000" in begun["trigger"]["reason"]
    assert 10_000 * USDT == played.cuts()[0]["pnl"]
    # 1100 - 100 x (500 - 400) + 100 from the fund
    assert -8800 == played.trader("zed")
    assert 20_000 == played.trader("alice")
    assert "22.25 %" in played.story[2].result["notices"][0][2]


@story("kucoin")
def test_kucoins_three_cases(played: Played) -> None:
    """At 88,000 a short of 100,000 keeps 12,000, of 88,900 gets 900, of 87,000 loses 1,000."""
    assert [12_000, 900, -1_000] == [leg["pnl"] // USDT for leg in played.cuts()]
    assert [32_000, 20_900, 19_000] == [played.trader(f"short-{n}") for n in (1, 2, 3)]
    assert [0, 0, 0] == [played.trader(f"long-{n}") for n in (1, 2, 3)]


@story("bybit_triggers")
def test_bybits_triggers(played: Played) -> None:
    """35 % and exactly 30 % of the peak trigger, an empty pool does, and 24 % stops."""
    moved = {
        market: (number, change["state"])
        for number, told in enumerate(played.story)
        for market, change in told.result.get("triggers", {}).items()
        if change["state"] == "active"
    }
    order = [market for market, _ in sorted(moved.items(), key=lambda item: item[1])]

    assert ["A", "D", "G", "H", "I", "J", "ABC"] == order
    stopped = [
        change["reason"]
        for told in played.story
        for change in told.result.get("triggers", {}).values()
        if change["state"] == "idle"
    ]
    assert 1 == len(stopped)
    assert "pnl -480000000000" in stopped[0]
    assert "idle" == played.engine.state.statuses["D"].state
    # The stop at -25 % excludes: at 480 the loss is 520,000 of 2,000,000, 26 %.
    assert "symbol_drawdown (strict)" in stopped[0]


@story("bybit_triggers")
def test_bybits_pool_is_held_at_its_line(played: Played) -> None:
    """Shed at 700 the pool has lost 300,000: 50,000 less than at the mark; at 430 it has 14,000."""
    pools = played.engine.state.pools
    priced = [told.result["notices"][0][2] for told in played.story if "notices" in told.result]

    assert ["Price: 700 (pool", "Price: 430 (pool"] == [
        text[text.index("Price:") :][:16] for text in priced
    ]
    assert 700_000 * USDT == pools["pool-one"].cash
    assert -300_000 * USDT == pools["pool-one"].inventory("A").pnl
    # 20,000 - 0.30 x 20,000; from the entry of 500 the loss is 7,000 of which 1,000 was margin.
    assert 14_000 * USDT == pools["pool-abc"].cash
    assert 0 == pools["pool-three"].balance
    assert [300_000 * USDT, 7_000 * USDT] == [leg["pnl"] for leg in played.cuts()]


@story("bybit_carved")
def test_a_market_is_taken_out_of_its_pool(played: Played) -> None:
    """Past 30 % and not past its own 50 % nothing begins; alone with 200,000 it ends at 800."""
    marked, carved = played.story[2].result, played.story[3].result
    pools = played.engine.state.pools

    assert {} == marked["triggers"]
    assert "active" == carved["triggers"]["NEW"]["state"]
    assert {"shared": 800_000 * USDT, "new-alone": -150_000 * USDT} == carved["balances"]
    # 1,000 x (1,000 - 800): what the new pool has is what its long may lose.
    assert [200_000 * USDT] == [leg["pnl"] for leg in played.cuts()]
    assert (0, 800_000 * USDT) == (pools["new-alone"].cash, pools["shared"].cash)
    assert "Price: 800 (" in played.story[-1].result["notices"][0][2]


@story("storm")
def test_the_storm(played: Played) -> None:
    """22 markets settle at the mark while the fund pays, 22 at bankruptcy; zed owes the 50 left."""
    prices = [
        Fraction(told.result["notices"][0][2].split("Price: ")[1].split(" ")[0])
        for told in played.story
        if told.step.do == "deleverage"
    ]
    cuts = played.cuts()

    assert [80] * 22 + [90] * 22 == prices
    assert [("bea", 8), ("ann", 2)] * 44 == [(leg["account"], leg["closed"]) for leg in cuts]
    assert [240, 80] * 22 + [160, 60] * 22 == [leg["pnl"] // USDT for leg in cuts]
    # Margins 44 x 160 and 44 x 240, profits 22 x (240 + 160) and 22 x (80 + 60).
    assert (7040 + 8800, 10560 + 3080) == (played.trader("bea"), played.trader("ann"))
    # 4400 - 22 x 200 + 2150 - 22 x 100: what the fund could not pay stays on zed.
    assert -50 == played.trader("zed")
    assert 0 == played.engine.state.pools["fund"].cash
    assert {} == dict(played.engine.state.liquidations)


@story("storm")
def test_the_storms_bankruptcy_prices(played: Played) -> None:
    """One wallet of 4,400 behind 44 equal positions is 100 behind each: bankrupt at 90."""
    begun = [told.result for told in played.story if told.step.do == "liquidate"]

    assert [900 * USDT] * 44 == [Fraction(result["bankruptcy"]) for result in begun]
    assert Decimal(0) == sum(told.unfilled for told in played.story)
