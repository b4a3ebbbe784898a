"""`deleverage verify`: what it prints, and how it ends."""

import sqlite3
from pathlib import Path

import pytest

import house
from commandline import call
from deleverage.engine import Engine

Capture = pytest.CaptureFixture[bytes]


@pytest.fixture
def journal(tmp_path: Path, capsysbinary: Capture) -> Path:
    """The journal of the crash."""
    where = tmp_path / "crash.journal"
    assert 0 == call(capsysbinary, "run", house.ROOT / "examples/crash.toml", "-o", where).code
    return where


def test_an_intact_journal_is_exit_0(journal: Path, capsysbinary: Capture) -> None:
    """Every check is printed with its verdict last; as JSON too."""
    shown = call(capsysbinary, "verify", journal)
    told = call(capsysbinary, "verify", journal, "--format", "json")

    assert (0, 0) == (shown.code, told.code)
    assert "intact up to entry 4" in shown.text
    checks = ["file", "chain", "snapshots", "pages", "state", "verdict"]
    assert checks == [row["check"] for row in told.json]
    assert all(row["is_ok"] for row in told.json)


def test_a_damaged_journal_is_exit_1(journal: Path, capsysbinary: Capture) -> None:
    """The first bad entry is named."""
    with sqlite3.connect(journal) as connection:
        connection.execute("UPDATE entries SET time_ns = time_ns + 1 WHERE seq = 3")
    connection.close()
    done = call(capsysbinary, "verify", journal)

    assert 1 == done.code
    assert "the first bad entry is 3" in done.err


def test_a_lost_tail_is_exit_1(journal: Path, capsysbinary: Capture) -> None:
    """A receipt that is not in the journal shows that its tail is lost."""
    head = call(capsysbinary, "verify", journal).text.split("receipt ")[1].split(";")[0]
    with sqlite3.connect(journal) as connection:
        connection.execute("DELETE FROM entries WHERE seq = 4")
    connection.close()
    done = call(capsysbinary, "verify", journal, "--head", head)

    assert 1 == done.code
    assert "a lost tail" in done.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none.journal",), "expected a file"),
        (("crash.journal", "--head", "4:abc"), "SEQUENCE:HEAD"),
        (
            ("crash.journal", "-o", "crash.journal", "--format", "json"),
            "another file than the journal",
        ),
    ],
)
def test_a_wrong_call_is_exit_2(
    journal: Path,
    capsysbinary: Capture,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    said: str,
) -> None:
    """A missing file, a broken receipt or an output over the journal is one clear error."""
    monkeypatch.chdir(journal.parent)
    before = journal.read_bytes()
    done = call(capsysbinary, "verify", *words)

    assert 2 == done.code
    assert said in done.err
    assert before == journal.read_bytes()


def test_something_else_is_no_journal(tmp_path: Path, capsysbinary: Capture) -> None:
    """A file that is no journal is said to be none."""
    other = tmp_path / "other.journal"
    other.write_text("not a journal")
    done = call(capsysbinary, "verify", other)

    assert 1 == done.code
    assert "not intact" in done.err


def test_a_journal_without_an_entry_has_nothing_to_verify(
    tmp_path: Path, capsysbinary: Capture
) -> None:
    """It says so, claims no guarantee, and is exit 0."""
    where = tmp_path / "new.journal"
    Engine.open(where).close()
    shown = call(capsysbinary, "verify", where)

    assert 0 == shown.code
    assert "no entry yet: nothing to verify" in shown.text
    assert "every guarantee" not in shown.text


def test_bytes_behind_the_last_page_are_exit_1(journal: Path, capsysbinary: Capture) -> None:
    """A journal that nobody has open is its pages and nothing more."""
    size = journal.stat().st_size
    with journal.open("ab") as file:
        file.write(b"!")
    done = call(capsysbinary, "verify", journal)

    assert 1 == done.code
    assert f"expected a file of {size} bytes, got {size + 1}" in done.text
