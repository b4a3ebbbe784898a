"""`deleverage run`: scenarios told, journals kept, and misspelt files refused by name."""

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

import house
from commandline import Done, call
from deleverage.backstop.settlement import Posting
from deleverage.engine import State, applying
from deleverage.ledger.entries import Entry
from deleverage.ledger.store import Store

Capture = pytest.CaptureFixture[bytes]
EXAMPLES = house.ROOT / "examples"


@pytest.fixture
def crash(tmp_path: Path) -> Path:
    """A copy of the crash that a test may spoil."""
    return Path(shutil.copy(EXAMPLES / "crash.toml", tmp_path / "crash.toml"))


def run(capture: Capture, *words: str | Path) -> Done:
    """Run a scenario."""
    return call(capture, "run", *words)


def test_a_story_is_told(capsysbinary: Capture) -> None:
    """Pool, trigger, queue with lights, fills, notices and books are on standard output."""
    done = run(capsysbinary, EXAMPLES / "crash.toml")

    assert 0 == done.code
    for words in (
        "pool fund: 100 USDT",
        "pool fund: 120 USDT",
        "trigger of ETH-PERP active",
        "head of the queue before it",
        "light",
        "to carol: ETH-PERP: automatic deleveraging closed 1 contracts",
        "every asset adds to zero",
    ):
        assert words in done.text
    assert "no journal was kept" in done.err


def test_a_story_is_data(capsysbinary: Capture) -> None:
    """As JSON it holds every step with its receipt, the queue, the fills and the books."""
    done = run(capsysbinary, EXAMPLES / "crash.toml", "--format", "json")
    last = done.json["steps"][-1]

    assert ["load", "marks", "liquidate", "deleverage"] == [s["do"] for s in done.json["steps"]]
    assert [("alice", "3"), ("bob", "4"), ("carol", "1")] == [
        (fill["account"], fill["qty_closed"]) for fill in last["fills"]
    ]
    assert [5, 4, 2, 1] == [row["light"] for row in last["queue"]]
    assert done.json["is_balanced"]
    assert "120" == done.json["pools"][0]["cash"]
    assert last["receipt"].startswith("4:")


def test_a_journal_is_kept_and_verified(tmp_path: Path, capsysbinary: Capture) -> None:
    """What `-o` leaves is accepted by `verify`, also with the receipt that was said."""
    where = tmp_path / "crash.journal"
    done = run(capsysbinary, EXAMPLES / "crash.toml", "-o", where)
    receipt = done.err.rpartition("receipt ")[2].strip()
    checked = call(capsysbinary, "verify", where, "--head", receipt)

    assert (0, 0) == (done.code, checked.code)


def test_a_used_journal_is_not_written_over(tmp_path: Path, capsysbinary: Capture) -> None:
    """A second run into the same file is refused, and the file is as it was."""
    where = tmp_path / "crash.journal"
    run(capsysbinary, EXAMPLES / "crash.toml", "-o", where)
    before = where.read_bytes()
    done = run(capsysbinary, EXAMPLES / "crash.toml", "-o", where)

    assert 2 == done.code
    assert "expected a new journal, got one of 4 entries" in done.err
    assert before == where.read_bytes()


def test_a_short_queue_is_exit_4(crash: Path, capsysbinary: Capture) -> None:
    """Where the queue cannot offset everything the rest is named and the exit code is 4."""
    text = crash.read_text().replace("qty = 10\n", "qty = 30\n").replace('"1000"', '"3000"')
    crash.write_text(text)
    done = run(capsysbinary, crash)

    # 30 less the 2 that were sold, against shorts of 3 + 4 + 5 + 6.
    assert 4 == done.code
    assert "not fully covered: 10 contracts of zed-1 are left" in done.err


SPOILT = {
    "an unknown table": ("[[steps]]", "[[stepps]]", ("crash.toml", "'stepps'", "'steps'")),
    "an unknown key": ('cash = "100"', 'csh = "100"', ("pools[0]", "'csh'", "'cash'")),
    "an unknown choice": ('stop = "ceases"', 'stop = "ends"', ("choices: stop", "ceases", "ends")),
    "an unknown choice key": ('stop = "ceases"', "halt = 1", ("choices", "'halt'")),
    "an unknown step": ('do = "marks"', 'do = "mark"', ("steps[0]: do", "'mark'", "'marks'")),
    "a step's unknown key": (
        'cancelled = ["bid-1", "bid-2"]',
        'canceled = ["bid-1"]',
        ("steps[1]", "'canceled'", "did you mean 'cancelled'"),
    ),
    "a missing key": ('position = "zed/ETH-PERP/long"\n', "", ("steps[1]: position", "nothing")),
    "an unknown edition": ('"bitmex"', '"bitmx"', ("'bitmx'", "bitmex")),
    "an unknown position": ("zed/ETH-PERP/long", "zed/ETH-PERP/log", ("steps[1]", "did you mean")),
    "no decimal": ('"1800" }', '"high" }', ("marks", "ETH-PERP", "a decimal", "'high'")),
    "a flag for a number": ('"1800" }', "true }", ("marks", "ETH-PERP", "a decimal")),
    "no time": ('at = "1s"', 'at = "soon"', ("steps[0]: at", '"8h"', "'soon'")),
    "no pair": ('[["2", "1910"]]', '[["2"]]', ("steps[1]", "fills[0]", "[contracts, price]")),
    "time backwards": (
        'at = "1s"',
        'at = "3s"',
        ("steps[1]: at", "3000000000 ns or later", "'2s'"),
    ),
    "no TOML": ("[venue]", "[venue", ("expected TOML",)),
    "a mark of zero": ('mark = "2000"', 'mark = "0"', ("mark_price", "above zero")),
    "a pool's quoted flag": (
        'cash = "100"',
        'cash = "100"\nmay_be_negative = "false"',
        ("pools[0]: may_be_negative", "true or false", "'false'"),
    ),
    "a pool without cash": ('cash = "100"\n', "", ("pools[0]: cash", "nothing")),
    "a pool's list for a name": ('name = "fund"', "name = []", ("pools[0]: name", "a text")),
    "a pool's blank name": ('name = "fund"', 'name = " "', ("pools[0]: name", "not blank")),
    "a pool's markets": (
        'cash = "100"',
        'cash = "100"\nmarkets = 5',
        ("pools[0]: markets", "a list of markets", "got 5"),
    ),
    "an unknown pool": (
        'settle = "USDT"',
        'settle = "USDT"\npool = "fnud"',
        ("market ETH-PERP, pool", "'fnud'", "did you mean 'fund'"),
    ),
    "a leverage below zero": (
        'settle = "USDT"',
        'settle = "USDT"\nmax_leverage = "-3"',
        ("markets[0]: max_leverage", "above zero", "'-3'"),
    ),
    "a leverage of zero": (
        'margin = "300"',
        'margin = "300"\nleverage = "0"',
        ("positions[2]: leverage", "above zero"),
    ),
    "a list for an account": (
        'account = "alice"',
        'account = ["x"]',
        ("positions[2]: account", "a text"),
    ),
    "no account": ('account = "alice"', 'account = ""', ("positions[2]: account", "not blank")),
    "a number for an account": ('account = "alice"', "account = nan", ("positions[2]: account",)),
    "other digits": ('"1800" }', '"\uff11\uff18" }', ("marks", "ETH-PERP", "a decimal number")),
    "separators": ('"1800" }', '"1_800" }', ("marks", "ETH-PERP", "without blanks")),
    "blanks": ('["2", "1910"]', '["2", " 1910 "]', ("fills[0]: price", "without blanks")),
    "an unknown price": (
        '"1800" }',
        '{ mark = "1800", last = "5" } }',
        ("ETH-PERP: key", "'last'", "mark, previous, oracle"),
    ),
    "fills that are no list": (
        '[["2", "1910"]]',
        "true",
        ("steps[1]: fills", "a list of [contracts, price]", "True"),
    ),
    "fills that are a date": ('[["2", "1910"]]', "2020-01-01", ("steps[1]: fills", "2020-01-01")),
    "orders that are a text": ('["bid-1", "bid-2"]', '"abc"', ("steps[1]: cancelled", "'abc'")),
    "a fact that is a date": (
        'fills = [["2", "1910"]]',
        "facts = { vault_loss = 2020-01-01 }",
        ("steps[1]", "vault_loss", "2020-01-01"),
    ),
    "an unknown account to spare": (
        'do = "deleverage"',
        'do = "deleverage"\nexclude = ["alcie"]',
        ("steps[2]", "exclude", "'alcie'", "did you mean 'alice'"),
    ),
    "a time too large": ('at = "1s"', f"at = {'9' * 30}", ("steps[0]: at", "int64 ns")),
    "a time of many digits": ('at = "1s"', f'at = "{"9" * 5000}s"', ("steps[0]: at", "...")),
    "too many digits": ('cash = "100"', f"cash = {'9' * 5000}", ("expected TOML", "4300")),
    "a byte order mark": ("title", "\ufefftitle", ("byte order mark", "save it without")),
    "a missing unit": ('lot_size = "1"\n', "", ("lot_size", "never infers")),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_scenario_is_one_clear_error(
    crash: Path, capsysbinary: Capture, name: str
) -> None:
    """Each mistake is refused with file, table, key and value, and nothing is printed as data."""
    old, new, words = SPOILT[name]
    text = crash.read_text()
    assert old in text
    crash.write_text(text.replace(old, new, 1))
    done = run(capsysbinary, crash)

    assert 2 == done.code
    assert b"" == done.out
    for word in words:
        assert word in done.err


def test_a_refusal_does_not_print_the_whole_list(crash: Path, capsysbinary: Capture) -> None:
    """Of a list of positions only the entry that is no table is shown."""
    text = crash.read_text()
    start, end = text.index("[[positions]]"), text.index("[[steps]]")
    row = '{ account = "zed", market = "ETH-PERP", side = "long", qty = 1 }'
    crash.write_text(f"positions = [{f'{row}, ' * 50}'0']\n{text[:start]}{text[end:]}")
    done = run(capsysbinary, crash)

    assert 2 == done.code
    assert "positions[50]: expected a table, [[positions]], got '0'" in done.err
    assert "zed" not in done.err


@pytest.mark.parametrize(
    ("journal", "said"), [("-", "a journal is one"), ("crash.toml", "may not be the scenario")]
)
def test_a_journal_is_a_file_of_its_own(
    crash: Path,
    capsysbinary: Capture,
    monkeypatch: pytest.MonkeyPatch,
    journal: str,
    said: str,
) -> None:
    """Neither standard output nor the scenario can be the journal; nothing is left behind."""
    monkeypatch.chdir(crash.parent)
    before = crash.read_bytes()
    done = run(capsysbinary, crash, "-o", journal)

    assert 2 == done.code
    assert said in done.err
    assert before == crash.read_bytes()
    assert [crash.name] == [path.name for path in crash.parent.iterdir()]


def test_a_missing_file_is_bad_input(tmp_path: Path, capsysbinary: Capture) -> None:
    """A scenario that is not there is named."""
    done = run(capsysbinary, tmp_path / "none.toml")

    assert 2 == done.code
    assert f"there is no file {tmp_path / 'none.toml'}\n" in done.err
    assert "Errno" not in done.err


def test_numbers_may_stand_bare(crash: Path, capsysbinary: Capture) -> None:
    """A bare decimal is the same number as one in quotes: none passes through a float."""
    quoted = run(capsysbinary, crash, "--format", "json").json
    text = crash.read_text().replace('"1910"', "1910.00").replace('"1800" }', "1800.0 }")
    crash.write_text(text.replace('margin = "300"', "margin = 300.000000"))
    bare = run(capsysbinary, crash, "--format", "json").json

    for told in (quoted, bare):
        for step in told["steps"]:
            del step["receipt"]
        del told["steps"][0]["result"]["root"]
    assert quoted["pools"] == bare["pools"]
    assert quoted["steps"] == bare["steps"]


def test_times_may_be_dates(crash: Path, capsysbinary: Capture) -> None:
    """A date-time with a zone is a time; without one it is refused."""
    text = crash.read_text()
    crash.write_text(text.replace('at = "1s"', "at = 1970-01-01T02:00:00.5+02:00"))
    dated = run(capsysbinary, crash, "--format", "json")
    crash.write_text(text.replace('at = "1s"', "at = 2025-10-10T21:00:00"))
    bare = run(capsysbinary, crash)

    assert [0, 5 * 10**8, 2 * 10**9] == [s["at"] for s in dated.json["steps"][:3]]
    assert 2 == bare.code
    assert "a date-time with a zone" in bare.err


def test_a_book_may_stand_in_files(crash: Path, capsysbinary: Capture) -> None:
    """Positions may be named by a path beside the scenario; a missing one is named."""
    head, _, rest = crash.read_text().partition("[[positions]]")
    steps = rest[rest.index("[[steps]]") :]
    crash.write_text(f'positions = "book.csv"\n{head}\n{steps}'.replace("/ETH-PERP/long", "1"))
    missing = run(capsysbinary, crash)
    names = "position_id,account,market,side,qty,entry_price,margin"
    rows = "zed1,zed,ETH-PERP,long,10,2000,1000\na,ann,ETH-PERP,short,10,2100,300"
    (crash.parent / "book.csv").write_text(f"{names}\n{rows}\n")
    done = run(capsysbinary, crash, "--format", "json")

    assert 2 == missing.code
    assert "book.csv" in missing.err
    assert [("a", "8")] == [
        (fill["position_id"], fill["qty_closed"]) for fill in done.json["steps"][-1]["fills"]
    ]


def test_a_story_that_the_state_forbids_is_exit_2(crash: Path, capsysbinary: Capture) -> None:
    """A deleveraging that the trigger does not permit is named with its step; nothing is told."""
    crash.write_text(crash.read_text().replace('cash = "100"', 'cash = "100000"'))
    done = run(capsysbinary, crash)

    assert 2 == done.code
    assert b"" == done.out
    assert "steps[2] (deleverage): liquidation zed-1: expected an active trigger" in done.err


def test_a_story_of_a_disk_that_fails_is_exit_1(
    crash: Path, capsysbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no fault of the story is no bad input: the write that failed is named."""
    real = Store.insert

    def broken(store: Store, entry: Entry) -> None:
        """Fail at the third command."""
        if entry.sequence == 3:
            raise sqlite3.OperationalError("disk I/O error")
        real(store, entry)

    monkeypatch.setattr(Store, "insert", broken)
    done = run(capsysbinary, crash)

    assert 1 == done.code
    assert "steps[1] (liquidate): journal" in done.err
    assert "disk I/O error" in done.err


def test_money_is_told_in_the_asset(capsysbinary: Capture) -> None:
    """Steps and triggers say contracts and USDT, never lots and money units."""
    page = run(capsysbinary, EXAMPLES / "crash.toml").text

    assert "the market closes 2 contracts for 3820 USDT; 20 USDT above bankruptcy" in page
    assert "unfilled 8 contracts, to bankruptcy -800 USDT" in page
    assert "deficit 800 USDT, available 120 USDT" in page
    assert "the queue closes 8 contracts for 15200 USDT\n" in page
    assert "000000" not in page.replace("0.000001 USDT", "")


def test_a_broken_guarantee_is_exit_3(
    capsysbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the books would not close the run halts with its own exit code."""
    real = applying.book

    def plugged(state: State, postings: Sequence[Posting]) -> State:
        """Book one unit from nowhere."""
        return real(state, postings, [("fee:fees", "USDT", 1)])

    monkeypatch.setattr(applying, "book", plugged)
    done = run(capsysbinary, EXAMPLES / "crash.toml")

    assert 3 == done.code
    assert "add up to 0, got 1; nothing was booked" in done.err


@pytest.mark.parametrize("kept", [(), ("a.journal",), ("a.journal-lock",)])
def test_a_run_refused_before_its_first_entry_leaves_no_file(
    crash: Path, capsysbinary: Capture, kept: Sequence[str]
) -> None:
    """What it made itself goes again; what was there before it stays."""
    crash.write_text(crash.read_text() + '\n[venue.lines.NEWW]\n"trigger.x.y" = "1"\n')
    for name in kept:
        crash.with_name(name).touch()
    done = run(capsysbinary, crash, "-o", crash.with_name("a.journal"))

    assert 2 == done.code
    assert "expected a market of the book, got 'NEWW'" in done.err
    assert {crash.name, *kept} == {path.name for path in crash.parent.iterdir()}


def test_a_run_refused_later_keeps_what_was_acknowledged(
    crash: Path, capsysbinary: Capture
) -> None:
    """The load stands in the journal, though the step after it was refused."""
    text = crash.read_text().split("[[steps]]")[0]
    step = '[[steps]]\ndo = "withdraw"\nat = 1\naccount = "zed"\nasset = "USDT"\namount = "99999"\n'
    crash.write_text(text + step)
    journal = crash.with_name("a.journal")

    assert 2 == run(capsysbinary, crash, "-o", journal).code
    assert "intact up to entry 1" in call(capsysbinary, "verify", journal).text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('name = "fund"', 'name = "zed"', "expected a name that no account has, got 'zed'"),
        (
            'cash = "100"',
            'cash = "-100"',
            "pool fund, cash: expected at least 0 USDT, got -100 USDT",
        ),
        (
            "[[pools]]",
            '[venue.lines.ETH-PERP]\n"trigger.x" = "1"\n[[pools]]',
            "lines of ETH-PERP, number of trigger or stop: expected none, as bitmex",
        ),
    ],
)
def test_a_refusal_of_the_load_is_in_the_words_of_the_scenario(
    crash: Path, capsysbinary: Capture, before: str, after: str, said: str
) -> None:
    """Names and amounts are those that were written, and whose name it is is right."""
    crash.write_text(crash.read_text().replace(before, after, 1))
    done = run(capsysbinary, crash)

    assert 2 == done.code
    assert said in done.err
