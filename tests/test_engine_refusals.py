"""Values of another kind: each is one clear error, and neither state nor journal moves by it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deleverage.engine import Engine
from deleverage.errors import InputError
from deleverage.venue import Venue
from engines import CHOICES, frames, ready

Act = Callable[[Any], object]
"""The engine as its caller's type checker does not see it."""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a journal may be."""
    return tmp_path / "venue.journal"


def outcome(**said: Any) -> Act:
    """What the market did, as it must not be said."""
    return lambda e: e.outcome("liq", at=3, **said)


HUGE = 10**5000
REFUSED: dict[str, tuple[Act, str]] = {
    "marks of none": (lambda e: e.marks(None, at=3), "marks: expected a price by market, got null"),
    "marks in a list": (lambda e: e.marks([], at=3), "marks: expected a price by market"),
    "a market that is a list": (lambda e: e.marks({(): "1"}, at=3), "marks, market"),
    "other digits": (lambda e: e.marks({"ETH": "\uff11\uff12"}, at=3), "a decimal number such as"),
    "separators": (lambda e: e.marks({"ETH": "1_000"}, at=3), "without blanks or separators"),
    "blanks": (lambda e: e.marks({"ETH": " 5 "}, at=3), "without blanks or separators"),
    "a huge mark": (lambda e: e.marks({"ETH": HUGE}, at=3), "16610 bits"),
    "an unknown price": (
        lambda e: e.marks({"ETH": {"mark": "1", "orcale": "2"}}, at=3),
        "'orcale', did you mean 'oracle'",
    ),
    "a huge time": (lambda e: e.marks({"ETH": "1"}, at=HUGE), "at: expected int64 nanoseconds"),
    "a time that is a text": (lambda e: e.marks({"ETH": "1"}, at="3"), "got '3'"),
    "fills in a text": (outcome(fills="ab"), "fills: expected a list of (contracts, price)"),
    "a fill of one": (outcome(fills=[("1",)]), "fills[0]: expected (contracts, price)"),
    "fills that are a number": (outcome(fills=5), "fills: expected a list"),
    "a fill with separators": (outcome(fills=[("1_0", "1900")]), "fills[0]: expected a decimal"),
    "facts that are a number": (outcome(facts=3), "facts: expected a table"),
    "a fact that is a list": (outcome(facts={"vault_loss": [1]}), "facts, vault_loss"),
    "a huge fact": (outcome(facts={"height": HUGE}), "facts, height"),
    "orders in a text": (outcome(cancelled="abc"), "cancelled: expected a list of order ids"),
    "orders that are a number": (outcome(cancelled=3), "cancelled: expected a list"),
    "an order that is none": (outcome(cancelled=["a", None]), "cancelled[1]: expected a name"),
    "an account that is a list": (lambda e: e.deposit([], "1", "USDT", at=3), "account"),
    "an asset that is a list": (lambda e: e.deposit("bob", "1", [], at=3), "asset"),
    "a pool that is a list": (lambda e: e.contribute([], "1", at=3), "pool: expected a name"),
    "a position that is none": (lambda e: e.liquidate("x", None, at=3), "position_id"),
    "no plan": (lambda e: e.commit(None), "plan: expected what Engine.plan gave, got null"),
    "a table for a plan": (lambda e: e.commit({}), "plan: expected what Engine.plan gave"),
    "an unknown account to spare": (
        lambda e: e.plan("liq", exclude=["alcie"]),
        "'alcie', did you mean 'alice'",
    ),
    "one account to spare": (lambda e: e.plan("liq", exclude="alice"), "a list of one"),
    "no list of accounts": (lambda e: e.plan("liq", exclude=5), "a list of accounts"),
    "a liquidation that is none": (lambda e: e.plan(None), "name: expected the name"),
    "a head below zero": (lambda e: e.queue("ETH", "short", -1), "head: expected a whole number"),
    "a head that is a text": (lambda e: e.queue("ETH", "short", "5"), "head: expected a whole"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_another_kind_is_refused(journal: Path, name: str) -> None:
    """Each is an input error that names what is wrong, and nothing moved."""
    act, words = REFUSED[name]
    with ready(journal) as engine:
        before, head = engine.state_hash(), engine.head
        with pytest.raises(InputError) as caught:
            act(engine)

        assert words in str(caught.value)
        assert (before, head) == (engine.state_hash(), engine.head)


FUND: dict[str, Any] = {"name": "fund", "cash": "1"}
LOADS: dict[str, tuple[dict[str, Any], str]] = {
    "a quoted flag": (
        {"pools": [FUND | {"may_be_negative": "false"}]},
        "pools[0]: may_be_negative: expected true or false, got 'false'",
    ),
    "no cash": ({"pools": [{"name": "fund"}]}, "pools[0]: cash: expected a value, got nothing"),
    "no name": ({"pools": [{"cash": "1"}]}, "pools[0]: name: expected a value"),
    "a list for a name": ({"pools": [FUND | {"name": ["x"]}]}, "pools[0]: name: expected a text"),
    "a blank name": ({"pools": [FUND | {"name": " "}]}, "pools[0]: name: expected a name"),
    "markets in a text": ({"pools": [FUND | {"markets": "ETH"}]}, "markets: expected a list"),
    "an unknown key": ({"pools": [FUND | {"csh": "1"}]}, "'csh', did you mean 'cash'"),
    "pools that are a number": ({"pools": 5}, "pools: expected a list of tables, got 5"),
    "pools in a text": ({"pools": "fund"}, "pools: expected a list of tables"),
    "pools that are names": ({"pools": ["fund"]}, "pools[0]: expected a table"),
    "choices in a table": ({"choices": {}}, "choices: expected Choices"),
    "an edition's name": ({"venue": "bitmex"}, "venue: expected a venue's edition"),
    "frames in a table": ({"frames": {}}, "frames: expected Frames"),
}


@pytest.mark.parametrize("name", LOADS)
def test_a_book_is_not_loaded_from_other_kinds(journal: Path, name: str) -> None:
    """Each is an input error, and the journal stays empty."""
    given, words = LOADS[name]
    said = {"frames": frames(), "venue": Venue.load("bitmex"), "choices": CHOICES} | given
    with Engine.open(journal) as engine:
        load: Any = engine.load
        with pytest.raises(InputError) as caught:
            load(said.pop("frames"), said.pop("venue"), **said)

        assert words in str(caught.value)
        assert 0 == engine.head.sequence


def test_only_a_flag_lets_a_fund_go_below_zero(journal: Path) -> None:
    """True does, and without it a fund pays what it has."""
    pools = [FUND | {"may_be_negative": True}]
    with ready(journal, pools=pools) as engine:
        assert engine.state.pools["fund"].may_be_negative
    with ready(journal.with_name("other"), pools=[FUND]) as engine:
        assert not engine.state.pools["fund"].may_be_negative


@pytest.mark.parametrize(
    ("path", "receipt", "words"),
    [
        (5, None, "path: expected the path of a file, got 5"),
        ("venue.journal", "1:aa", "receipt: expected a Receipt; Receipt.parse reads its text"),
    ],
)
def test_a_journal_is_opened_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any, receipt: Any, words: str
) -> None:
    """A number is no path and a text no receipt; no file is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        Engine.open(path, receipt=receipt)

    assert words in str(caught.value)
    assert [] == list(tmp_path.iterdir())
