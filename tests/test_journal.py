"""The journal: durable before it is acknowledged, once and only once, and replayable."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from bookings import ACCOUNTS, body, open_accounts
from deleverage.errors import AdlError, InputError, InvariantError, StateError
from deleverage.ledger import (
    Booking,
    Command,
    Journal,
    Ledger,
    Receipt,
    Request,
    Value,
    verify,
    verify_report,
)

START = Receipt(0, sha256(b"deleverage journal").hexdigest())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal may be made."""
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal[Ledger]]:
    """An open journal with three accounts."""
    with Journal.open(path, Booking()) as journal:
        open_accounts(journal)
        yield journal


def test_a_command_is_applied_and_acknowledged(journal: Journal[Ledger], path: Path) -> None:
    """A command gets a receipt with its place and head, its result, and is in the state."""
    done = journal.execute("one", "post", 5, body(7))

    assert (done.receipt, done.is_repeat, done.result) == (journal.head, False, {"postings": 2})
    assert (done.receipt.sequence, journal.time_ns) == (2, 5)
    assert journal.state.balance("trader:a", "USDT") == 7
    assert verify(path, done.receipt, Booking()).state_hash == journal.state_hash()


def test_an_empty_journal_has_the_start_as_its_head(path: Path) -> None:
    """A new journal has sequence 0, no time, an empty state, and verifies."""
    with Journal.open(path, Booking(), receipt=START) as journal:
        assert (journal.head, journal.time_ns) == (START, None)
        assert journal.state_hash() == Ledger().state_hash()

    found = verify(path, START)
    assert (found.is_intact, found.head, found.first_bad) == (True, START, None)


def test_a_retry_returns_the_first_result(journal: Journal[Ledger]) -> None:
    """The same key and body give the first receipt and result, at any time, and change nothing."""
    first = journal.execute("one", "post", 5, body(7))
    journal.execute("two", "post", 6, body(1))
    before = journal.head, journal.state_hash()
    again = journal.execute("one", "post", 1, body(7))

    assert (again.receipt, again.result, again.is_repeat) == (first.receipt, first.result, True)
    assert (journal.head, journal.state_hash()) == before


@pytest.mark.parametrize(("kind", "amount"), [("post", 8), ("open", 7)])
def test_a_key_names_one_command(journal: Journal[Ledger], kind: str, amount: int) -> None:
    """The same key with another body or kind is an error, and changes nothing."""
    journal.execute("one", "post", 5, body(7))
    before = journal.head, journal.state_hash()

    with pytest.raises(StateError, match=r"'one'.*entry 2"):
        journal.execute("one", kind, 5, body(amount))
    assert (journal.head, journal.state_hash()) == before


def test_time_never_runs_backwards(journal: Journal[Ledger]) -> None:
    """A command before the last entry's time is refused; one at the same time is not."""
    journal.execute("one", "post", 5, body(7))
    before = journal.head

    with pytest.raises(StateError, match="time never runs backwards"):
        journal.execute("two", "post", 4, body(7))
    assert before == journal.head
    assert journal.execute("two", "post", 5, body(7)).receipt.sequence == 3


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("", "post", 5, body(1)), "key"),
        (("a\nb", "post", 5, body(1)), "key"),
        ((7, "post", 5, body(1)), "key"),
        (("k", "", 5, body(1)), "kind"),
        (("k", "post", 5.0, body(1)), "time_ns"),
        (("k", "post", True, body(1)), "time_ns"),
        (("k", "post", 2**63, body(1)), "time_ns"),
        (("k", "post", 5, [1]), "body"),
        (("k", "post", 5, {"fee": 0.5}), "body.fee"),
        (("k", "post", 5, {"cut": (1, 2)}), "body.cut"),
        (("k", "seize", 5, body(1)), "kind: expected open or post, got 'seize'"),
        (("k", "post", 5, {}), "postings"),
        (("k", "post", 5, {"postings": [7]}), "postings"),
        (("k", "post", 5, {"postings": [["trader:zed", "USDT", 0]]}), "trader:zed"),
        (("k", "open", 5, {"accounts": [7]}), "accounts"),
    ],
)
def test_a_refused_command_leaves_nothing(
    journal: Journal[Ledger], command: tuple[str, str, int, object], message: str
) -> None:
    """A malformed command, and one that the applier refuses, is a clear error and no row."""
    before = journal.head, journal.state_hash()

    with pytest.raises(InputError, match=message):
        journal.execute(*command)
    assert (journal.head, journal.state_hash(), len(list(journal.entries()))) == (*before, 1)
    assert journal.execute("k", "post", 5, body(1)).receipt.sequence == 2


def test_an_unbalanced_event_halts_the_journal(journal: Journal[Ledger], path: Path) -> None:
    """A broken guarantee is never written; the journal stops, and opens again as it was."""
    before = journal.head, journal.state_hash()
    unbalanced = {"postings": [["trader:a", "USDT", 1]]}

    with pytest.raises(InvariantError, match="add up to 0"):
        journal.execute("one", "post", 5, unbalanced)
    assert (journal.head, journal.state_hash()) == before
    with pytest.raises(StateError, match="'one' would break a guarantee"):
        journal.execute("two", "post", 5, body(1))
    journal.close()
    with Journal.open(path, Booking(), receipt=before[0]) as again:
        assert (again.head, again.state_hash()) == before


def test_a_batch_is_one_transaction(journal: Journal[Ledger]) -> None:
    """Many commands become durable together, each with a receipt of its own."""
    done = journal.execute_many(Request(f"k{n}", "post", n, body(n)) for n in range(1, 101))

    assert [each.receipt.sequence for each in done] == list(range(2, 102))
    assert done[-1].receipt == journal.head
    assert journal.state.balance("trader:a", "USDT") == 5050
    repeat = journal.execute_many([Request("k1", "post", 1, body(1))])
    assert (repeat[0].receipt, repeat[0].is_repeat) == (done[0].receipt, True)
    assert journal.execute_many([]) == ()


@pytest.mark.parametrize(
    "bad",
    [
        Request("k9", "post", 0, body(1)),
        Request("k9", "post", 5, {"postings": []}),
        Request("k1", "post", 5, body(2)),
        Request("k9", "post", 5, {"postings": [["trader:a", "USDT", 1]]}),
    ],
)
def test_a_batch_is_all_or_nothing(journal: Journal[Ledger], path: Path, bad: Request) -> None:
    """One refused command in a batch, and nothing of the batch is in the state or the file."""
    before = journal.head, journal.state_hash()
    good = Request("k1", "post", 5, body(1))

    with pytest.raises(AdlError):
        journal.execute_many([good, bad])
    assert (journal.head, journal.state_hash()) == before
    assert verify(path, before[0], Booking()).head == before[0]


def test_what_decided_is_kept(journal: Journal[Ledger]) -> None:
    """Fields that the applier does not read are kept, hashed and read back as they were."""
    decision = {
        "snapshot": "ab" * 32,
        "edition": "bitmex@2016",
        "cut": {"score": [3, 7]},
        "ties": ["size"],
    }
    done = journal.execute("one", "post", 5, body(7, decision=decision))
    (entry,) = journal.entries(after=1)

    assert Command(2, "one", "post", 5, {}).key == entry.key
    assert b'"edition":"bitmex@2016"' in entry.body
    assert (entry.receipt, entry.is_sound) == (done.receipt, True)


def test_a_receipt_reads_as_it_is_printed(journal: Journal[Ledger]) -> None:
    """A receipt survives printing and reading."""
    assert Receipt.parse(str(journal.head)) == journal.head


@pytest.mark.parametrize(
    "text", ["", "1", "1:ab", "x:" + "0" * 64, "1:" + "G" * 64, "-1:" + "0" * 64]
)
def test_what_is_no_receipt_is_refused(text: str) -> None:
    """A receipt that is not SEQUENCE:HEAD is a clear error."""
    with pytest.raises(InputError, match="SEQUENCE:HEAD"):
        Receipt.parse(text)


def test_reopening_restores_the_state(journal: Journal[Ledger], path: Path) -> None:
    """From a snapshot and a tail, and from the first entry, the same state and head come back."""
    journal.execute("one", "post", 5, body(7))
    for _ in range(3):
        journal.snapshot()
    journal.execute("two", "post", 6, body(-3))
    expected = journal.head, journal.time_ns, journal.state.dump()
    journal.close()

    with Journal.open(path, Booking(), receipt=expected[0]) as again:
        assert (again.head, again.time_ns, again.state.dump()) == expected
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT seq FROM snapshots").fetchall() == [(2,)]
        file.execute("DELETE FROM snapshots")
        file.commit()
    with Journal.open(path, Booking()) as again:
        assert (again.head, again.time_ns, again.state.dump()) == expected


def test_only_the_newest_snapshots_are_kept(journal: Journal[Ledger], path: Path) -> None:
    """A snapshot drops all but the newest, as many as asked for, and never all of them."""
    for number in range(1, 6):
        journal.execute(f"k{number}", "post", number, body(number))
        journal.snapshot(keep=3)
    journal.close()

    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT seq FROM snapshots").fetchall() == [(4,), (5,), (6,)]
    with Journal.open(path, Booking()) as again, pytest.raises(InputError, match="keep"):
        again.snapshot(keep=0)


@pytest.mark.parametrize("change", ["state = x'00'", "head = zeroblob(32)", "seq = 99"])
def test_a_damaged_snapshot_is_passed_over(
    journal: Journal[Ledger], path: Path, change: str
) -> None:
    """An unsound snapshot is not used: the same state comes from the entries; verify names it."""
    journal.execute("one", "post", 5, body(7))
    journal.snapshot()
    expected = journal.head, journal.state_hash()
    journal.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"UPDATE snapshots SET {change}")  # noqa: S608 -- the test's own text
        file.commit()

    with Journal.open(path, Booking()) as again:
        assert (again.head, again.state_hash()) == expected
    findings = {finding.check: finding for finding in verify(path).findings}
    assert (findings["snapshots"].is_ok, findings["chain"].is_ok) == (False, True)


def test_a_forged_snapshot_is_found_by_the_replay(journal: Journal[Ledger], path: Path) -> None:
    """A snapshot with a matching hash but another state than the replay's fails verification."""
    journal.execute("one", "post", 5, body(7))
    journal.snapshot()
    journal.close()
    forged = Ledger().open(ACCOUNTS).dump()
    with closing(sqlite3.connect(path)) as file:
        file.execute(
            "UPDATE snapshots SET state=?, state_hash=?", (forged, sha256(forged).digest())
        )
        file.commit()

    assert verify(path).is_intact
    assert not verify(path, applier=Booking()).is_intact


def test_a_second_writer_is_refused(journal: Journal[Ledger], path: Path) -> None:
    """While a journal is open no other writer opens it; a reader may, and then a writer again."""
    with pytest.raises(StateError, match="only writer"):
        Journal.open(path, Booking())
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(StateError, match="only writer"):
        Journal.open(link, Booking())

    assert verify(path, journal.head).is_intact
    journal.close()
    with Journal.open(path, Booking()) as again:
        assert again.head.sequence == 1


def test_a_closed_journal_does_nothing(journal: Journal[Ledger]) -> None:
    """After closing, a command is an error; closing again is not."""
    journal.close()
    journal.close()

    with pytest.raises(StateError, match="closed"):
        journal.execute("one", "post", 5, body(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("PRAGMA user_version=3", "newer schema 3"),
        ("PRAGMA user_version=1", "expected schema 2, got 1"),
        ("PRAGMA user_version=0", "expected schema 2, got 0"),
        ("PRAGMA application_id=7", "expected a journal"),
        ("CREATE TABLE more (a INTEGER)", "tables"),
        ("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM snapshots; END", "tables"),
    ],
)
def test_another_schema_is_refused(
    journal: Journal[Ledger], path: Path, change: str, message: str
) -> None:
    """A newer schema, another program's file and foreign tables are refused, and left alone."""
    journal.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute(change)
        file.commit()
    before = path.read_bytes()

    with pytest.raises(StateError, match=message):
        Journal.open(path, Booking())
    found = verify(path)
    assert (found.is_intact, path.read_bytes()) == (False, before)
    assert message in found.findings[0].detail


def test_what_is_no_database_is_refused(path: Path) -> None:
    """A text file, a missing folder and a folder are clear errors, and stay as they are."""
    path.write_text("not a journal " * 99)
    before = path.read_bytes()

    with pytest.raises(StateError, match="expected to open it"):
        Journal.open(path, Booking())
    assert not verify(path).is_intact
    assert path.read_bytes() == before
    for wrong in (path.parent / "no" / "j.db", path.parent):
        with pytest.raises(InputError, match="existing folder"):
            Journal.open(wrong, Booking())
    with pytest.raises(InputError, match="expected a file"):
        verify(path.parent / "none.db")


@pytest.mark.parametrize(
    "change",
    [
        "kind = 'past'",
        "time_ns = 4",
        "body = x'7b7d'",
        "result = x'7b7d'",
        "previous = zeroblob(32)",
        "hash = zeroblob(32)",
        "key = 'other'",
        "seq = 9",
    ],
)
def test_a_changed_entry_is_named(journal: Journal[Ledger], path: Path, change: str) -> None:
    """Whatever field of an entry is changed, verify names it and opening is refused."""
    for number in range(1, 6):
        journal.execute(f"k{number}", "post", 7, body(7 * number))
    head = journal.head
    journal.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"UPDATE entries SET {change} WHERE seq = 3")  # noqa: S608 -- the test's own
        file.commit()

    found = verify(path, head)
    assert (found.is_intact, found.first_bad, found.head.sequence) == (False, 3, 2)
    assert "first bad entry is 3" in verify_report(path, str(head))[-1].detail
    with pytest.raises(StateError, match="run verify"):
        Journal.open(path, Booking())


def test_a_damaged_first_result_is_not_returned(journal: Journal[Ledger], path: Path) -> None:
    """An old entry is checked when a retry reads it, though a newer snapshot opened the journal."""
    journal.execute("one", "post", 5, body(7))
    journal.execute("two", "post", 5, body(7))
    journal.snapshot()
    journal.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE entries SET result = x'7b7d' WHERE seq = 2")
        file.commit()

    with Journal.open(path, Booking()) as again, pytest.raises(StateError, match="entry 2"):
        again.execute("one", "post", 5, body(7))


def test_a_cut_tail_is_found_by_the_receipt(journal: Journal[Ledger], path: Path) -> None:
    """A journal that lost its last entries is sound by itself; the receipt shows the loss."""
    receipts = [journal.execute(f"k{n}", "post", n, body(n)).receipt for n in range(1, 6)]
    journal.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("DELETE FROM entries WHERE seq > 3")
        file.commit()

    found = verify(path)
    assert (found.is_intact, found.head) == (True, receipts[1])
    assert "a lost tail cannot be seen" in verify_report(path)[-1].detail
    lost = verify(path, receipts[-1])
    assert (lost.is_intact, lost.first_bad, lost.head) == (False, 4, receipts[1])
    with pytest.raises(StateError, match="the tail is lost"):
        Journal.open(path, Booking(), receipt=receipts[-1])


def test_another_history_is_found_by_the_receipt(journal: Journal[Ledger], path: Path) -> None:
    """A journal rewritten from an earlier entry on has another head than the receipt."""
    other = path.with_name("other.db")
    with Journal.open(other, Booking()) as rewritten:
        open_accounts(rewritten)
        rewritten.execute("one", "post", 5, body(8))
    receipt = journal.execute("one", "post", 5, body(7)).receipt

    assert (verify(other).is_intact, verify(other, receipt).is_intact) == (True, False)
    with pytest.raises(StateError, match="another history"):
        Journal.open(other, Booking(), receipt=receipt)


class Doubling(Booking):
    """Another engine: it books every event twice, or gives another result."""

    def apply(self, state: Ledger, command: Command) -> tuple[Ledger, Value]:
        """Apply, and say something else."""
        state, _ = super().apply(state, command)
        return state, {"said": "otherwise"}


def test_an_engine_that_decides_otherwise_is_found(journal: Journal[Ledger], path: Path) -> None:
    """A replay whose result is not the recorded one is named, and does not open."""
    journal.close()

    found = verify(path, applier=Doubling())
    assert (found.is_intact, found.first_bad) == (False, 1)
    with pytest.raises(StateError, match="entry 1: expected the replay"):
        Journal.open(path, Doubling())


class Rounding(Booking):
    """A faulty engine: its result holds a float."""

    def apply(self, state: Ledger, command: Command) -> tuple[Ledger, Value]:
        """Apply, and give back what cannot be kept."""
        state, _ = super().apply(state, command)
        return state, {"fee": 0.5}  # type: ignore[dict-item]


def test_a_result_must_be_canonical(path: Path) -> None:
    """A result that has no canonical bytes is refused by name, and nothing is written."""
    with Journal.open(path, Rounding()) as journal:
        with pytest.raises(InputError, match=r"result of open\.fee.*0\.5"):
            open_accounts(journal)
        assert (journal.head, journal.state.accounts(), list(journal.entries())) == (START, (), [])


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    """A file that a crash left empty while the journal was made is made into one."""
    path.touch()

    with Journal.open(path, Booking()) as journal:
        assert open_accounts(journal).receipt.sequence == 1
    assert verify(path).is_intact


def test_a_commit_is_set_to_be_durable(journal: Journal[Ledger]) -> None:
    """The live connection writes ahead and syncs at every commit (2 is FULL)."""
    assert (journal.setting("journal_mode"), journal.setting("synchronous")) == ("wal", 2)
