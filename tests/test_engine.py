"""The engine: a command is checked, durable, applied, and a plan is committed while it holds."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from deleverage.backstop.settlement import Posting
from deleverage.engine import Choices, Engine, Open, Plan, State, applying
from deleverage.errors import InputError, InvariantError, StateError, VenueError
from deleverage.ledger import Receipt
from deleverage.model.rules import Weight
from deleverage.model.terms import Effect, Fee
from deleverage.venue import Venue
from engines import CHOICES, UNIT, frames, opened, ready

Act = Callable[[Engine], object]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal may be."""
    return tmp_path / "venue.journal"


def holdings(engine: Engine) -> dict[str, tuple[int, int]]:
    """Lots and entry value in USDT of every open position, by account."""
    book = engine.state.book
    held = book.holdings(np.arange(len(book.roster)))
    return {one.account: (one.lots, one.entry_value // UNIT) for one in held if one.lots}


def test_an_event_in_five_lines(journal: Path) -> None:
    """Load, mark, liquidate, plan and commit: the shorts are cut in order at bankruptcy."""
    with opened(journal) as engine:
        engine.marks({"ETH": "1800"}, at=1)
        engine.liquidate("liq", "zed/ETH/long", fills=[("2", "1910")], at=2)
        plan = engine.plan("liq")
        engine.commit(plan, at=3)

        assert [("alice", 3), ("bob", 4), ("carol", 1)] == [
            (fill.account, fill.closed) for fill in plan.fills
        ]
        assert 1900 * UNIT == plan.price.lot_value
        assert {
            "yan": (8, 14400),
            "carol": (-4, 7800),
            "dave": (-6, 10200),
            "ann": (2, 120000),
            "bea": (-2, 120000),
        } == holdings(engine)


def test_what_is_realised_is_on_the_accounts(journal: Path) -> None:
    """Wallets move by hand-worked profits, the fund by the fill's surplus, and zed is at zero."""
    with ready(journal) as engine:
        engine.commit(engine.plan("liq"))
        ledger = engine.state.ledger
        found = {n: ledger.balance(f"trader:{n}", "USDT") for n in ("alice", "bob", "carol", "zed")}

        # alice 300 + 3 x 200, bob 500 + 4 x 100, carol 900 + 50; zed 1000 - 180 - 20 - 800.
        assert {"alice": 900, "bob": 900, "carol": 950, "zed": 0} == {
            name: amount / UNIT for name, amount in found.items()
        }
        assert 120 * UNIT == ledger.balance("pool:fund", "USDT") == engine.state.pools["fund"].cash
        assert -2 * 1910 * UNIT == ledger.balance("outside:market", "USDT")
        assert engine.trial_balance.is_closed


def test_what_is_outside_of_the_book_is_declared(journal: Path) -> None:
    """Longs and shorts of a market add to zero with the other side of market fills."""
    with ready(journal) as engine:
        assert {"BTC": 0, "ETH": 2} == dict(engine.state.outside)
        engine.commit(engine.plan("liq"))

        assert {"BTC": 0, "ETH": -2} == dict(engine.state.net)
        assert [0, 0] == [engine.state.offset(name) for name in ("BTC", "ETH")]


def test_every_reduced_trader_is_told(journal: Path) -> None:
    """A notice names the position, the price and why, the profit, and what is left."""
    with ready(journal) as engine:
        result = engine.commit(engine.plan("liq")).result

        assert isinstance(result, dict)
        told = {account: text for account, _, text in result["notices"]}
        assert {"alice", "bob", "carol"} == set(told)
        assert "closed 1 contracts of your short 5" in told["carol"]
        assert "Price: 1900 (bankruptcy price)" in told["carol"]
        assert "Realised profit: +50 USDT" in told["carol"]
        assert "entry value 7800 USDT" in told["carol"]


def test_the_journal_says_what_decided(journal: Path) -> None:
    """A commit keeps the root of the book, the edition's hash, the cut, the ties, the price."""
    with ready(journal) as engine:
        root = engine.state.book.root
        plan = engine.plan("liq")
        engine.commit(plan)
        body = dict(plan.decision)

        assert root == body["book"]
        assert engine.state.edition == body["edition"]
        assert ["size"] == body["ties"]
        assert ("1800", "2000") == (body["mark"], body["previous_mark"])
        assert ["bankruptcy", str(1900 * UNIT)] == body["price"][:2]  # type: ignore[index]
        assert plan.fills[-1].place == body["cut"][0]  # type: ignore[index]
        assert root != engine.state.book.root


def test_planning_changes_nothing(journal: Path) -> None:
    """A plan is pure: twice the same digest, and neither state nor journal moved."""
    with ready(journal) as engine:
        before, head = engine.state_hash(), engine.head
        plans = [engine.plan("liq") for _ in range(2)]

        assert plans[0].digest == plans[1].digest
        assert (before, head) == (engine.state_hash(), engine.head)


REFUSED: dict[str, tuple[Act, type[Exception], str]] = {
    "time backwards": (lambda e: e.marks({"ETH": "1700"}, at=1), StateError, "time"),
    "unknown market": (lambda e: e.marks({"EHT": "1700"}, at=3), InputError, "did you mean 'ETH'"),
    "a mark of zero": (lambda e: e.marks({"ETH": "0"}, at=3), InputError, "above zero"),
    "a mark below zero": (lambda e: e.marks({"ETH": "-5"}, at=3), InputError, "above zero"),
    "no mark at all": (lambda e: e.marks({"ETH": "nan"}, at=3), InputError, "a decimal"),
    "a float": (lambda e: e.marks({"ETH": cast("str", 1.5)}, at=3), InputError, "1.5"),
    "unknown account": (lambda e: e.deposit("zoe", "5", "USDT", at=3), InputError, "'zoe'"),
    "unknown asset": (lambda e: e.deposit("bob", "5", "EUR", at=3), InputError, "'EUR'"),
    "a deposit of nothing": (
        lambda e: e.deposit("bob", "0", "USDT", at=3),
        InputError,
        "more than 0, got 0",
    ),
    "a part of a unit": (
        lambda e: e.deposit("bob", "0.0000001", "USDT", at=3),
        InputError,
        "0.000001",
    ),
    "too much withdrawn": (lambda e: e.withdraw("bob", "1", "USDT", at=3), StateError, "at most 0"),
    "unknown pool": (lambda e: e.contribute("found", "5", at=3), InputError, "'found'"),
    "a pool overdrawn": (
        lambda e: e.contribute("fund", "-500", at=3),
        StateError,
        "120 USDT (120000000 ",
    ),
    "unknown position": (
        lambda e: e.liquidate("two", "zed/ETH/shrot", at=3),
        InputError,
        "did you mean",
    ),
    "a negative fill": (lambda e: e.outcome("liq", fills=[("-1", "1900")], at=3), InputError, "-1"),
    "a fill too big": (lambda e: e.outcome("liq", fills=[("9", "1900")], at=3), InputError, "8"),
    "a part of a lot": (lambda e: e.outcome("liq", fills=[("0.5", "1900")], at=3), InputError, "1"),
    "a fill for nothing": (
        lambda e: e.outcome("liq", fills=[("1", "0")], at=3),
        InputError,
        "zero",
    ),
    "fills too big together": (
        lambda e: e.outcome("liq", fills=[("5", "1900"), ("4", "1900")], at=3),
        InputError,
        "expected 1 to 3, got 4",
    ),
    "no such liquidation": (lambda e: e.plan("lip"), StateError, "'lip'"),
    "twice in liquidation": (
        lambda e: e.liquidate("two", "zed/ETH/long", at=3),
        StateError,
        "that of liq",
    ),
    "a name twice": (lambda e: e.liquidate("liq", "yan/ETH/long", at=3), StateError, "new name"),
    "an unknown fact": (
        lambda e: e.outcome("liq", facts={"is_book_thick": 1}, at=3),
        InputError,
        "is_book_thin",
    ),
    "a second book": (lambda e: e.load(frames(), Venue.load("bitmex"), at=3), StateError, "loaded"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_command_changes_nothing(journal: Path, name: str) -> None:
    """Each misuse is one clear error, and neither state nor journal moved by it."""
    act, kind, words = REFUSED[name]
    with ready(journal) as engine:
        before, head = engine.state_hash(), engine.head
        with pytest.raises(kind) as caught:
            act(engine)

        assert words in str(caught.value)
        assert (before, head) == (engine.state_hash(), engine.head)
        assert engine.commit(engine.plan("liq")).receipt.sequence == head.sequence + 1


def test_a_short_queue_leaves_a_rest(journal: Path) -> None:
    """Where everybody else is excluded, what nobody can offset stays open and is reported."""
    with ready(journal) as engine:
        plan = engine.plan("liq", exclude=["bob", "carol", "dave"])
        engine.commit(plan)

        assert (3, 5) == (sum(fill.closed for fill in plan.fills), plan.unfilled)
        assert "queue_exhausted" == plan.reason
        assert 5 == engine.state.opened("liq").liquidation.lots


def test_a_replay_is_the_live_state(journal: Path) -> None:
    """A journal opened again has the same state, and so has a kept state with its tail."""
    with ready(journal) as engine:
        engine.deposit("bob", "12.5", "USDT", at=3)
        engine.snapshot()
        engine.commit(engine.plan("liq"), at=4)
        live, root = engine.state_hash(), engine.state.book.root
    with Engine.open(journal) as engine:
        assert (live, root) == (engine.state_hash(), engine.state.book.root)
        assert engine.state.book.regrown() == root


def test_one_writer_at_a_time(journal: Path) -> None:
    """A second engine on the same journal is refused, and the first goes on."""
    with ready(journal) as engine:
        with pytest.raises(StateError, match="only writer"):
            Engine.open(journal)

        assert engine.commit(engine.plan("liq")).receipt.sequence == engine.head.sequence


def test_a_newer_journal_is_refused(journal: Path) -> None:
    """A file of a newer schema is not touched; the way out is named."""
    ready(journal).close()
    with sqlite3.connect(journal) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StateError, match=r"newer schema 99") as caught:
        Engine.open(journal)

    assert "newer deleverage" in str(caught.value)


def test_a_lost_tail_is_seen_by_its_receipt(journal: Path) -> None:
    """Opened with a receipt that is not in it, a journal is refused."""
    ready(journal).close()
    with pytest.raises(StateError, match="the tail is lost"):
        Engine.open(journal, receipt=Receipt(9, "0" * 64))

    assert journal.exists()


def test_a_contradictory_edition_is_refused(journal: Path) -> None:
    """An edition that contradicts itself never reaches a journal."""
    venue = Venue.load("bitmex")
    levers = replace(venue.levers, leverage_setting=Effect.NONE)
    price = replace(venue.price, kind="mark_until_depleted")
    with pytest.raises(VenueError, match=r"price\.mark_until_depleted"):
        opened(journal, venue=replace(venue, levers=levers, price=price))
    with Engine.open(journal) as engine:
        assert 0 == engine.head.sequence


def test_what_was_never_published_is_asked_for(journal: Path) -> None:
    """Without a choice of how deleveraging ends, or of a fee, the edition's gap is named."""
    with Engine.open(journal) as engine:
        with pytest.raises(VenueError, match=r"stop\.unpublished"):
            engine.load(frames(), Venue.load("bitmex"), choices=Choices())
        choices = replace(CHOICES, deleveraged=None)
        engine.load(
            frames(), Venue.load("bitmex"), pools=[{"name": "fund", "cash": 100}], choices=choices
        )
        engine.marks({"ETH": "1800"}, at=1)
        engine.liquidate("liq", "zed/ETH/long", at=2)
        with pytest.raises(VenueError, match=r"fees\.deleveraged"):
            engine.commit(engine.plan("liq"))

        assert 3 == engine.head.sequence


def test_an_edition_without_a_queue_is_refused(journal: Path) -> None:
    """A venue that shares a loss without ranking anybody is named with its own rule."""
    with Engine.open(journal) as engine:
        with pytest.raises(VenueError, match="cuts a queue, got one that shares by"):
            engine.load(frames(), Venue.load("deribit"), choices=CHOICES)

        assert 0 == engine.head.sequence


def test_units_are_never_guessed(journal: Path) -> None:
    """A markets table without a unit is refused by name."""
    table = {"market": ["ETH", "BTC"], "kind": ["linear"] * 2, "lot_size": ["1", "1"]}
    with Engine.open(journal) as engine:
        with pytest.raises(InputError, match=r"price_unit.*never infers"):
            engine.load(frames(markets=table), Venue.load("bitmex"), choices=CHOICES)

        assert 0 == engine.head.sequence


@pytest.mark.parametrize(
    ("name", "why"), [("bob", "the name of a trader"), ("market", "the books")]
)
def test_a_name_stands_for_one_only(journal: Path, name: str, why: str) -> None:
    """An account is not named like a pool, nor like an owner that the books keep themselves."""
    with Engine.open(journal) as engine:
        rows = [["zed", "market"], ["ETH"] * 2, ["long", "short"], ["1"] * 2, ["9"] * 2, ["5"] * 2]
        names = ("account", "market", "side", "qty", "entry_price", "margin")
        table = dict(zip(names, rows, strict=True))
        book = frames(positions=table) if name == "market" else frames()
        pools = [{"name": name, "cash": "1"}]
        with pytest.raises(InputError, match=why):
            engine.load(book, Venue.load("bitmex"), pools=pools, choices=CHOICES)

        assert 0 == engine.head.sequence


def test_an_unbalanced_event_halts(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that does not add to zero is never written, and the journal stops."""
    with ready(journal) as engine:
        plan, head, before = engine.plan("liq"), engine.head, engine.state_hash()
        real = applying.book

        def plugged(state: State, postings: Sequence[Posting]) -> State:
            """Book one unit from nowhere."""
            return real(state, postings, [("fee:fees", "USDT", 1)])

        monkeypatch.setattr(applying, "book", plugged)
        with pytest.raises(InvariantError, match="got 1; nothing was booked"):
            engine.commit(plan)
        with pytest.raises(StateError, match="would break a guarantee"):
            engine.marks({"ETH": "1900"}, at=5)
    monkeypatch.undo()
    with Engine.open(journal) as engine:
        assert (head, before) == (engine.head, engine.state_hash())


def test_the_queue_shows_lights(journal: Path) -> None:
    """The head of a queue carries places, scores and lights of the same snapshot."""
    with ready(journal) as engine:
        queue = engine.queue("ETH", "short")

        assert ["alice", "bob", "carol", "dave"] == queue["account"].to_list()
        assert [5, 4, 2, 1] == queue["light"].to_list()
        assert 9 / 14 == pytest.approx(queue["score"][0])


def test_lights_count_accounts_where_the_edition_does(journal: Path) -> None:
    """Where bands share out accounts, four of them in four bands have a light each."""
    venue = Venue.load("bitmex")
    weighed = replace(venue, lights=replace(venue.lights, weight=Weight.ACCOUNTS, bands=4))
    with ready(journal, venue=weighed) as engine:
        assert [4, 3, 2, 1] == engine.queue("ETH", "short")["light"].to_list()


def test_fees_go_where_they_belong(journal: Path) -> None:
    """A maker fee of the reduced traders is rounded against them and stands on the fee account."""
    choices = replace(CHOICES, deleveraged=Fee.MAKER, maker_ppm=200)
    with ready(journal, choices=choices) as engine:
        engine.commit(engine.plan("liq"))
        ledger = engine.state.ledger

        # 8 contracts at 1,900 make 15,200; 200 ppm of it are 3.04.
        assert Decimal("3.04") * UNIT == ledger.balance("fee:fees", "USDT")
        assert (900 - Decimal("1.14")) * UNIT == ledger.balance("trader:alice", "USDT")


def test_a_deposit_can_be_withdrawn_again(journal: Path) -> None:
    """What no margin binds may go; what is bound may not."""
    with opened(journal) as engine:
        engine.deposit("bob", "30.5", "USDT", at=1)
        with pytest.raises(StateError, match=r"at most 30.5 USDT \(30500000 money"):
            engine.withdraw("bob", "30.500001", "USDT", at=2)
        engine.withdraw("bob", "30.5", "USDT", at=2)

        assert 500 * UNIT == engine.state.ledger.balance("trader:bob", "USDT")


def test_nothing_happens_before_a_book_is_loaded(journal: Path) -> None:
    """Every command but the load is refused by an empty engine."""
    with Engine.open(journal) as engine:
        for act in (
            lambda: engine.marks({"ETH": "1"}, at=0),
            lambda: engine.plan("liq"),
            lambda: engine.liquidate("liq", "x", at=0),
        ):
            with pytest.raises(StateError, match=r"load one first|open one"):
                act()

        assert 0 == engine.head.sequence


def test_every_fill_can_be_explained(journal: Path) -> None:
    """A plan says why each account is cut or spared, in exact fractions, also once committed."""
    with ready(journal) as engine:
        plan = engine.plan("liq")
        engine.commit(plan)
        alice, carol, dave = (plan.explain(name) for name in ("alice", "carol", "dave"))
        with pytest.raises(InputError, match="short in ETH"):
            plan.explain("yan")

        assert [Fraction(9, 14), Fraction(60, 143)] == [
            one.entries[0].working.ratio for one in (alice, carol) if one.entries[0].working
        ]
        assert [True, True, False] == [one.is_cut for one in (alice, carol, dave)]
        assert "closed 1 of 5 at 1900, 4 left" in str(carol)
        assert "those ahead of it offset everything" in str(dave)


def test_records_are_what_they_say(journal: Path) -> None:
    """A plan names its liquidation and its frame shows contracts as text, exact."""
    with ready(journal) as engine:
        plan = engine.plan("liq")
        open_ = engine.state.opened("liq")

        assert isinstance(plan, Plan)
        assert isinstance(open_, Open)
        assert ["3", "4", "1"] == plan.frame()["qty_closed"].to_list()
        assert ["0", "0", "4"] == plan.frame()["qty_left"].to_list()
