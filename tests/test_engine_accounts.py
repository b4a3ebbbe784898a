"""Cross accounts, their own opposite legs, inverse contracts, pools that shed, gates that wait."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from deleverage.audit import audit
from deleverage.backstop.trigger import StopReading
from deleverage.engine import Choices, Engine, Frames
from deleverage.errors import StateError
from deleverage.model.parts import Number
from deleverage.model.records import Venue as Edition
from deleverage.model.terms import Convention, Fee, Payer, Remainder, Standing
from deleverage.venue import Venue
from engines import CHOICES, UNIT, market

Rows = list[tuple[str, str, str, str, str, str]]
FACTS: Mapping[str, Any] = {"is_emergency": True, "position_margin": 0}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal may be."""
    return tmp_path / "venue.journal"


def cross_book(rows: Rows, accounts: Mapping[str, tuple[str, str]], names: str = "M") -> Frames:
    """Positions (account, market, side, qty, entry, mode) of accounts (equity, maintenance)."""
    columns = ("account", "market", "side", "qty", "entry_price", "margin_mode")
    terms = [market(name) for name in names]
    return Frames(
        positions={name: [row[at] for row in rows] for at, name in enumerate(columns)},
        marks=dict.fromkeys(names, "100"),
        markets={name: [row[name] for row in terms] for name in terms[0]},
        accounts={
            "account": list(accounts),
            "asset": ["USDT"] * len(accounts),
            "wallet_balance": [equity for equity, _ in accounts.values()],
            "equity": [equity for equity, _ in accounts.values()],
            "maintenance_margin": [margin for _, margin in accounts.values()],
        },
    )


def loaded(
    path: Path, frames: Frames, edition: str | Edition, cash: str = "0", **other: Any
) -> Engine:
    """An engine with a book at time 0."""
    engine = Engine.open(path)
    venue = Venue.load(edition) if isinstance(edition, str) else edition
    choices = replace(CHOICES, standing=Standing.NETTED, **other)
    engine.load(frames, venue, pools=[{"name": "fund", "cash": cash}], choices=choices)
    return engine


def test_a_cross_accounts_own_leg_is_netted_first(journal: Path) -> None:
    """Zed's long of 10 is closed against his own short of 4; six are left for the others."""
    rows: Rows = [
        ("zed", "M", "long", "10", "100", "cross"),
        ("zed", "M", "short", "4", "90", "cross"),
        ("ann", "M", "short", "9", "120", "cross"),
        ("bea", "M", "long", "3", "100", "cross"),
    ]
    accounts = {"zed": ("100", "10"), "ann": ("900", "10"), "bea": ("900", "10")}
    with loaded(journal, cross_book(rows, accounts), "bybit@2025") as engine:
        engine.marks({"M": "80"}, at=1)
        begun = engine.liquidate("liq", "zed/M/long/cross", facts={"position_margin": 0}, at=2)
        left = engine.state.opened("liq").liquidation
        plan = engine.plan("liq")
        engine.commit(plan)

        # Netted at the mark: 4 x (80 - 100) and 4 x (90 - 80) on one wallet.
        assert isinstance(begun.result, dict)
        assert (6, 600 * UNIT) == (left.lots, left.entry_value)
        assert [("ann", 6)] == [(fill.account, fill.closed) for fill in plan.fills]
        assert (
            0
            == engine.state.book.holding(
                int(engine.state.book.roster.find("zed/M/short/cross")[0])
            ).lots
        )
        assert engine.state.book.regrown() == engine.state.book.root


def test_a_cross_account_leaves_every_queue(journal: Path) -> None:
    """What shares the margin of a liquidated position is no candidate in any market."""
    rows: Rows = [
        ("zed", "M", "long", "10", "100", "cross"),
        ("zed", "N", "short", "5", "200", "cross"),
        ("ann", "M", "short", "10", "120", "cross"),
        ("ann", "N", "long", "5", "100", "cross"),
    ]
    accounts = {"zed": ("100", "10"), "ann": ("900", "10")}
    frames = cross_book(rows, accounts, "MN")
    with loaded(journal, frames, "bybit@2025") as engine:
        before = engine.queue("N", "short")["account"].to_list()
        engine.marks({"M": "80"}, at=1)
        engine.liquidate("liq", "zed/M/long/cross", facts={"position_margin": 0}, at=2)

        assert ["zed"] == before
        assert [] == engine.queue("N", "short")["account"].to_list()


def test_what_a_cross_account_can_withdraw(journal: Path) -> None:
    """Equity less maintenance margin, and never more than the cash."""
    rows: Rows = [
        ("zed", "M", "long", "10", "100", "cross"),
        ("ann", "M", "short", "10", "100", "cross"),
    ]
    accounts = {"zed": ("100", "30"), "ann": ("100", "30")}
    with loaded(journal, cross_book(rows, accounts), "bybit@2025") as engine:
        engine.marks({"M": "95"}, at=1)
        with pytest.raises(StateError, match=r"at most 20 USDT \(20000000 "):
            engine.withdraw("zed", "20.000001", "USDT", at=2)
        engine.withdraw("zed", "20", "USDT", at=2)
        with pytest.raises(StateError, match=r"at most 100 USDT \(100000000 "):
            engine.withdraw("ann", "100.000001", "USDT", at=2)
        accounts_now = engine.state.book.accounts(engine.state.terms)

        # ann gained 50, zed lost 50 and took 20.
        assert accounts_now is not None
        assert accounts_now.equity is not None
        assert [150 * UNIT, 30 * UNIT] == accounts_now.equity.tolist()


def test_a_gate_makes_withdrawals_wait(journal: Path) -> None:
    """After a loss that nobody paid the pool's withdrawals wait for the edition's time."""
    rows: Rows = [
        ("zed", "M", "long", "10", "100", "cross"),
        ("ann", "M", "short", "10", "100", "cross"),
    ]
    venue = Venue.load("bybit@2025")
    assert venue.backstop is not None
    numbers = (*venue.backstop.numbers, Number(name="gate_hours", value=Decimal(2)))
    part = replace(venue.backstop, remainder=Remainder.GATED, numbers=numbers)
    accounts = {"zed": ("10", "1"), "ann": ("900", "1")}
    frames = cross_book(rows, accounts)
    hour = 3600 * 10**9
    with loaded(journal, frames, replace(venue, backstop=part)) as engine:
        engine.marks({"M": "50"}, at=1)
        engine.liquidate("liq", "zed/M/long/cross", facts={"position_margin": 0}, at=2)
        engine.commit(engine.plan("liq"), at=3)
        with pytest.raises(StateError, match="withdrawals wait"):
            engine.withdraw("ann", "1", "USDT", at=3 + 2 * hour - 1)
        engine.withdraw("ann", "1", "USDT", at=3 + 2 * hour)
        live = engine.state_hash()

        assert {"fund"} == set(engine.state.gates)
    with Engine.open(journal) as engine:
        assert live == engine.state_hash()


def test_an_inverse_contract_settles_in_coin(journal: Path) -> None:
    """10,000 USD of coin from 10,000 with 0.1 of margin is bankrupt at a value of 1.1 coin."""
    terms = market("X", kind="inverse", contract_size="1", money_unit="0.00000001", settle="BTC")
    frames = Frames(
        positions={
            "account": ["zed", "ann"],
            "market": ["X", "X"],
            "side": ["long", "short"],
            "qty": ["10000", "10000"],
            "entry_price": ["10000", "11000"],
            "margin": ["0.1", "0.5"],
        },
        marks={"X": "9000"},
        markets={name: [value] for name, value in terms.items()},
    )
    with loaded(journal, frames, "bitmex") as engine:
        engine.liquidate("liq", "zed/X/long", at=1)
        frozen = engine.state.opened("liq").liquidation.bankruptcy
        engine.commit(engine.plan("liq"))
        ledger = engine.state.ledger

        # 10,000 / 10,000 + 0.1 coin; the short was opened for 10,000 / 11,000, rounded once.
        assert frozen is not None
        assert Fraction(110_000_000) == frozen.value
        assert 0 == ledger.balance("trader:zed", "BTC")
        assert 50_000_000 + 110_000_000 - 90_909_091 == ledger.balance("trader:ann", "BTC")


def test_a_pool_sheds_what_it_took_over(journal: Path) -> None:
    """A pool that took a long over closes it against the shorts, and its books follow."""
    rows: Rows = [
        ("zed", "M", "long", "10", "110", "cross"),
        ("ann", "M", "short", "10", "130", "cross"),
    ]
    accounts = {"zed": ("0", "1"), "ann": ("900", "1")}
    frames = cross_book(rows, accounts)
    with loaded(
        journal, frames, "bybit@2025-11", cash="1000", convention=Convention.WHOLE_ACCOUNT
    ) as engine:
        engine.liquidate("liq", "zed/M/long/cross", at=1)
        held = engine.state.pools["fund"].inventory("M")
        engine.shed("shed", "fund", "M", fills=[("4", "95")], at=2)
        plan = engine.plan("shed", manual="the operator sheds")
        with pytest.raises(StateError, match="no open liquidation in M"):
            engine.shed("again", "fund", "M", at=2)

        # Equity 0 at the mark of 100: bankrupt at 100, where the pool took it over.
        assert (10, 1000 * UNIT) == (held.lots, held.entry_value)
        assert (6, "long") == (plan.requested, plan.side)
        assert 980 * UNIT == engine.state.pools["fund"].cash
        assert 0 == engine.state.offset("M")


def test_a_shed_follows_what_the_pool_holds(journal: Path) -> None:
    """Where the pool takes more of the market over, what it sheds grows with it."""
    rows: Rows = [
        ("zed", "M", "long", "10", "100", "cross"),
        ("yan", "M", "long", "5", "100", "cross"),
        ("ann", "M", "short", "15", "130", "cross"),
    ]
    accounts = {"zed": ("0", "1"), "yan": ("0", "1"), "ann": ("900", "1")}
    convention = Convention.WHOLE_ACCOUNT
    frames = cross_book(rows, accounts)
    with loaded(journal, frames, "bybit@2025-11", cash="1000", convention=convention) as engine:
        engine.liquidate("one", "zed/M/long/cross", at=1)
        engine.shed("shed", "fund", "M", at=2)
        engine.liquidate("two", "yan/M/long/cross", at=3)
        grown = engine.state.opened("shed").liquidation.lots
        live = engine.state_hash()

        assert 15 == grown
    with Engine.open(journal) as engine:
        assert live == engine.state_hash()


def test_a_pool_that_came_to_the_other_side_is_netted_at_the_commit(journal: Path) -> None:
    """What the pool holds against a waiting liquidation closes first, and its books follow."""
    rows: Rows = [
        ("zed", "M", "long", "10", "100", "cross"),
        ("yan", "M", "short", "4", "100", "cross"),
        ("ann", "M", "short", "6", "130", "cross"),
    ]
    accounts = {"zed": ("0", "1"), "yan": ("0", "1"), "ann": ("900", "1")}
    convention = Convention.WHOLE_ACCOUNT
    frames = cross_book(rows, accounts)
    with loaded(journal, frames, "bybit@2025", cash="0", convention=convention) as engine:
        engine.marks({"M": "99"}, at=1)
        engine.liquidate("one", "zed/M/long/cross", facts={"position_margin": 0}, at=2)
        engine.contribute("fund", "1000", at=3)
        engine.liquidate("two", "yan/M/short/cross", facts={"position_margin": 0}, at=4)
        held = engine.state.pools["fund"].inventory("M").lots
        plan = engine.plan("one", manual="by hand")
        done = engine.commit(plan)
        columns = engine.state.book.columns

        assert isinstance(done.result, dict)
        assert -4 == held
        assert ["pool", "deleveraging"] == [kind for kind, _, _ in done.result["steps"]]
        assert [("ann", 6)] == [(fill.account, fill.closed) for fill in plan.fills]
        assert [0, 0, 0] == columns["lots"].tolist()
        assert 0 == engine.state.offset("M")


def test_joint_legs_share_their_profit_after_a_cut(journal: Path) -> None:
    """Where an edition joins hedge legs, a cut of one leg changes the score of both."""
    rows: Rows = [
        ("zed", "M", "long", "6", "100", "cross"),
        ("ann", "M", "short", "8", "120", "cross"),
        ("ann", "M", "long", "2", "90", "cross"),
    ]
    accounts = {"zed": ("10", "1"), "ann": ("900", "1")}
    frames = cross_book(rows, accounts)
    venue = Venue.load("binance@2019-09")
    choices = Choices(
        bound=None,
        stop=StopReading.OFFSET,
        standing=Standing.NETTED,
        deleveraged=Fee.NONE,
        liquidated=Fee.NONE,
        convention=Convention.WHOLE_ACCOUNT,
    )
    with Engine.open(journal) as engine:
        engine.load(frames, venue, pools=[{"name": "fund", "cash": "1"}], choices=choices)
        engine.marks({"M": "90"}, at=1)
        engine.liquidate("liq", "zed/M/long/cross", at=2)
        engine.commit(engine.plan("liq"))
        columns = engine.state.book.columns
        live = columns["lots"] != 0

        # -8 + 6 + 2 lots; entry values -960 + 720 and +180.
        assert [0, 0] == columns["profit_lots"][live].tolist()
        assert [-60 * UNIT] * 2 == columns["profit_value"][live].tolist()


@pytest.mark.parametrize("edition", ["aevo", "bybit@2025"])
@pytest.mark.parametrize("says", [True, False])
def test_a_cut_releases_maintenance_margin(journal: Path, edition: str, *, says: bool) -> None:
    """Ann is cut 6 of 9: of the 18 that her short binds 12 are free, and her account has 18 of 30.

    Where positions do not say their own part, nobody knows what is released, and 30 stay bound.
    """
    rows: Rows = [
        ("zed", "M", "long", "6", "100", "cross"),
        ("ann", "M", "short", "9", "120", "cross"),
        ("ann", "N", "short", "1", "100", "cross"),
        ("bea", "M", "long", "3", "100", "cross"),
    ]
    accounts = {"zed": ("100", "10"), "ann": ("900", "30"), "bea": ("900", "10")}
    frames = cross_book(rows, accounts, "MN")
    if says:
        margins = {"maintenance_margin": ["10", "18", "12", "10"]}
        positions: Any = frames.positions
        frames = replace(frames, positions={**positions, **margins})
    choices = {"is_manual": edition == "aevo", "difference": Payer.FUND}
    with loaded(journal, frames, edition, **choices) as engine:
        engine.liquidate("liq", "zed/M/long/cross", bankruptcy_price="95", facts=FACTS, at=1)
        engine.commit(engine.plan("liq", manual="a test"))
        columns, roster = engine.state.book.columns, engine.state.book.roster
        row = roster.find("ann/M/short/cross")[0]
        bound = int(columns["account maintenance_margin"][columns["account"][row]])

        assert -3 == columns["lots"][row]
        assert (18 if says else 30) * UNIT == bound
        if says:
            assert 6 * UNIT == columns["maintenance_margin"][row]
        with pytest.raises(StateError, match="expected at most"):
            engine.withdraw("ann", "1000", "USDT", at=3)
        live = engine.state_hash()
    with Engine.open(journal) as again:
        assert live == again.state_hash()
    assert all(finding.is_ok for finding in audit(journal))
