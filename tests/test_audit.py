"""Verifying a journal: damage, lost tails, and decisions that do not follow from the edition."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from deleverage.audit import Auditor, audit, examine, examine_since
from deleverage.engine import Commands, Engine, State, rows
from deleverage.engine.positions import Positions
from deleverage.errors import InvariantError, StateError
from deleverage.ledger import Command, Journal, VersionedMap, decode
from engines import ready


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of four entries: load, marks, liquidate, commit."""
    path = tmp_path / "venue.journal"
    with ready(path) as engine:
        engine.commit(engine.plan("liq"), at=3)
    return path


def verdict(path: Path, head: str | None = None) -> tuple[bool, str]:
    """Whether a journal is intact, and all that was found."""
    findings = audit(path, head)
    return findings[-1].is_ok, "\n".join(finding.detail for finding in findings)


def forged(path: Path, where: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write the same commands again with another commit, every hash in order."""
    with Journal.open(path, Commands()) as source:
        entries = list(source.entries())
    with Journal.open(where, Commands()) as target:
        for entry in entries:
            body: Any = decode(entry.body)
            if entry.kind == "commit":
                change(body)
            target.execute(entry.key, entry.kind, entry.time_ns, body)


def test_a_true_journal_is_intact(journal: Path) -> None:
    """Every check passes, with and without the receipt of the last entry."""
    with Engine.open(journal) as engine:
        head = str(engine.head)

    assert (True, True) == (verdict(journal)[0], verdict(journal, head)[0])
    assert f"receipt {head}" in verdict(journal, head)[1]


def test_a_lost_tail_is_named(journal: Path) -> None:
    """Without its last entry the journal is intact by itself, and not by its receipt."""
    with Engine.open(journal) as engine:
        head = str(engine.head)
    with sqlite3.connect(journal) as connection:
        connection.execute("DELETE FROM entries WHERE seq = 4")
    connection.close()

    assert verdict(journal)[0]
    is_intact, words = verdict(journal, head)
    assert not is_intact
    assert "the first bad entry is 4" in words


def test_a_changed_entry_is_named(journal: Path) -> None:
    """A fill changed in the file breaks the chain at its entry."""
    with sqlite3.connect(journal) as connection:
        (body,) = connection.execute("SELECT body FROM entries WHERE seq = 4").fetchone()
        other = body.replace(b'"unfilled":0', b'"unfilled":1')
        connection.execute("UPDATE entries SET body = ? WHERE seq = 4", (other,))
    connection.close()
    is_intact, words = verdict(journal)

    assert not is_intact
    assert "the first bad entry is 4" in words


def another_order(body: dict[str, Any]) -> None:
    """Spare alice: her three lots are cut from bob, carol and dave."""
    fills = {name: (place, lots) for place, name, lots in body["fills"]}
    (carol, _), (bob, _) = fills["carol/ETH/short"], fills["bob/ETH/short"]
    body["fills"] = [[bob, "bob/ETH/short", 4], [carol, "carol/ETH/short", 4]]


def another_tie(body: dict[str, Any]) -> None:
    """Say that ties were broken otherwise."""
    body["decision"]["ties"] = ["newest"]


def another_book(body: dict[str, Any]) -> None:
    """Say that it was planned on another book."""
    body["decision"]["book"] = "0" * 128


def a_hidden_hand(body: dict[str, Any]) -> None:
    """Spare alice by an exclusion that the fills do not follow from."""
    body["exclude"] = ["alice"]


@pytest.mark.parametrize("change", [another_order, another_tie, another_book, a_hidden_hand])
def test_a_forged_decision_is_named(
    journal: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """A journal with every hash in order is not intact if its decision does not follow."""
    where = tmp_path / "forged.journal"
    forged(journal, where, change)
    is_intact, words = verdict(where)

    assert not is_intact
    assert "entry 4" in words
    assert "plan" in words


def test_the_same_decision_is_accepted(journal: Path, tmp_path: Path) -> None:
    """Writing the same commands again is no forgery."""
    where = tmp_path / "copy.journal"
    forged(journal, where, lambda _: None)

    assert verdict(where)[0]


def test_a_decision_by_hand_is_derived_too(tmp_path: Path) -> None:
    """A deleveraging by hand is held against the plan that its reason and exclusions give."""
    path = tmp_path / "venue.journal"
    with ready(path, cash="5000") as engine:
        engine.commit(engine.plan("liq", manual="by hand", exclude=["alice"]), at=3)

    assert verdict(path)[0]


def test_an_auditor_leaves_the_state_as_it_is(journal: Path) -> None:
    """Auditing gives the same state bytes as the engine's own replay."""
    with Engine.open(journal) as engine:
        live = engine.state_hash()
    auditor = Auditor()
    trail = auditor.start()
    with Journal.open(journal, Commands()) as source:
        for e in source.entries():
            body: Any = decode(e.body)
            trail, _ = auditor.apply(trail, Command(e.sequence, e.key, e.kind, e.time_ns, body))
    again = auditor.load(auditor.dump(trail))

    assert live == sha256(auditor.dump(trail)).hexdigest()
    assert live == sha256(auditor.dump(again)).hexdigest()


BROKEN: dict[str, Callable[[State], State]] = {
    "lots as counted along": lambda s: replace(s, net={**s.net, "ETH": 1}, outside={"ETH": -1}),
    "pool and outside to add to 0": lambda s: replace(s, outside={"ETH": 5}),
    "every asset to add to 0": lambda s: replace(s, ledger=plugged(s)),
}


def plugged(state: State) -> Any:
    """A ledger with one unit too many on bob's account."""
    ledger = state.ledger.post([("trader:bob", "USDT", 0)])
    balances = {"USDT": VersionedMap({"trader:bob": 1})}
    return type(ledger)(ledger._accounts, balances)  # noqa: SLF001 - a broken ledger has no door


def test_an_engine_that_forgets_to_hash_is_seen(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is held against the tree, whatever the command took for changed."""
    monkeypatch.setattr(rows, "rehashed", lambda store, *_: store)
    is_intact, words = verdict(journal)

    assert not is_intact
    assert "entry 3: expected the replay to accept it, got positions: expected the root" in words


def test_the_whole_is_checked_at_the_end(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guarantee that no single command broke is looked at once more on the last state."""
    monkeypatch.setattr(Positions, "regrown", lambda _: "0" * 128)
    monkeypatch.setattr("deleverage.audit.examine_since", lambda *_: None)
    is_intact, words = verdict(journal)

    assert not is_intact
    assert "expected the root of all rows hashed again" in words
    assert "the first bad entry is 4" in words


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_guarantee_is_seen(journal: Path, words: str) -> None:
    """Books, positions and what is declared outside are checked on the whole state."""
    with Engine.open(journal) as engine:
        state = engine.state
        with pytest.raises(InvariantError, match=words):
            examine(BROKEN[words](state))
        with pytest.raises(InvariantError, match=words):
            examine_since(state, BROKEN[words](state))
        examine(state)
        examine_since(state, state)

        assert state.positions is not None


def test_a_stale_plan_cannot_be_audited(journal: Path) -> None:
    """A commit that rests on a state nobody has any more does not replay."""
    auditor = Auditor()
    with pytest.raises(StateError, match="one of the last 64 states"):
        auditor.apply(auditor.start(), Command(1, "k", "commit", 0, {"sequence": 7}))

    assert journal.exists()
