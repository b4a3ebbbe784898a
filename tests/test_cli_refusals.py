"""Nothing a user can type or hand over shows a traceback: one line says what and where."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from commandline import MARKS, POSITIONS, book, call

Capture = pytest.CaptureFixture[bytes]

LINES = POSITIONS.splitlines(keepends=True)


def changed(old: str, new: str) -> str:
    """The small book with one piece of text replaced."""
    assert old in POSITIONS
    return POSITIONS.replace(old, new, 1)


def without(column: str) -> str:
    """The small book without one column."""
    place = LINES[0].rstrip().split(",").index(column)
    rows = [line.rstrip().split(",") for line in LINES]
    return "".join(",".join(row[:place] + row[place + 1 :]) + "\n" for row in rows)


BAD_POSITIONS = {
    "no account": (without("account"), "account"),
    "no market": (without("market"), "market"),
    "no qty": (without("qty"), "qty"),
    "no entry price": (without("entry_price"), "entry_price"),
    "no margin": (without("margin"), "margin"),
    "misspelt qty": (changed("qty", "quantity"), "qty"),
    "misspelt entry": (changed("entry_price", "entry_prize"), "entry_prize"),
    "misspelt side": (changed("side", "Side"), "side"),
    "word as qty": (changed("2.5", "lots"), "lots"),
    "empty qty": (changed("2.5", ""), "qty"),
    "empty account": (changed("ann", ""), "account"),
    "NaN qty": (changed("2.5", "NaN"), "qty"),
    "infinite price": (changed("66000", "inf"), "entry_price"),
    "zero qty": (changed("2.5", "0"), "qty"),
    "negative qty": (changed("2.5", "-2.5"), "qty"),
    "zero price": (changed("66000", "0"), "entry_price"),
    "negative price": (changed("66000", "-66000"), "entry_price"),
    "too fine": (changed("2.5", "2.5000000000000001"), "qty"),
    "too large": (changed("2.5", "9" * 30), "qty"),
    "unknown side": (changed("short", "shrt"), "shrt"),
    "duplicate id": (changed("2,bob", "1,bob"), "position_id"),
    "market without a mark": (changed("BTC-PERP", "DOGE-PERP"), "DOGE-PERP"),
    "ragged": (POSITIONS + "7,gil\n", "positions.csv"),
    "empty file": ("", "positions.csv"),
}


@pytest.mark.parametrize("case", BAD_POSITIONS)
@pytest.mark.parametrize("command", ["rank", "plan"])
def test_bad_positions_are_named(
    command: str, case: str, tmp_path: Path, capsysbinary: Capture
) -> None:
    """A position frame that breaks the contract ends with 2, no data, and names the trouble."""
    positions, complaint = BAD_POSITIONS[case]
    words = [*book(tmp_path, positions=positions), "--venue", "bitmex"]
    if command == "plan":
        words += ["--market", "BTC-PERP", "--bankrupt-side", "long", "--qty", "1"]

    done = call(capsysbinary, command, *words)

    assert (2, b"") == (done.code, done.out), done.err
    assert complaint in done.err
    assert 1 == done.err.count("\n"), done.err


BAD_MARKS = {
    "no price column": ("market,price\nBTC-PERP,60000\nETH-PERP,2500\n", "mark_price"),
    "zero": (MARKS.replace("60000", "0"), "mark_price"),
    "negative": (MARKS.replace("60000", "-1"), "mark_price"),
    "NaN": (MARKS.replace("60000", "NaN"), "mark_price"),
    "null": (MARKS.replace("60000", ""), "mark_price"),
    "twice": (MARKS + "BTC-PERP,1\n", "BTC-PERP"),
    "missing market": ("market,mark_price\nBTC-PERP,60000\n", "ETH-PERP"),
}


@pytest.mark.parametrize("case", BAD_MARKS)
def test_bad_marks_are_named(case: str, tmp_path: Path, capsysbinary: Capture) -> None:
    """Marks that break the contract end with 2 and name the column or the market."""
    marks, complaint = BAD_MARKS[case]

    done = call(capsysbinary, "rank", *book(tmp_path, marks=marks), "--venue", "bitmex")

    assert (2, b"") == (done.code, done.out), done.err
    assert complaint in done.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--qty", "0"], "qty"),
        (["--qty", "-1"], "qty"),
        (["--qty", "0.0000001"], "0.0000001"),
        (["--qty", "many"], "--qty"),
        (["--qty", "NaN"], "--qty"),
        (["--qty", "1", "--market", "BTC"], "BTC-PERP"),
        (["--qty", "1", "--bankruptcy-price", "0"], "bankruptcy_price"),
        (["--qty", "1", "--bankruptcy-price", "x"], "--bankruptcy-price"),
        (["--qty", "1", "--explain", "nobody"], "nobody"),
        ([], "--qty"),
    ],
)
def test_a_bad_request_is_named(
    words: list[str], complaint: str, tmp_path: Path, capsysbinary: Capture
) -> None:
    """A request that cannot be planned ends with 2, no data, and names the option or the value."""
    market = [] if "--market" in words else ["--market", "BTC-PERP"]
    options = ["--venue", "bitmex", "--bankrupt-side", "long", *market, *words]

    done = call(capsysbinary, "plan", *book(tmp_path), *options)

    assert (2, b"") == (done.code, done.out), done.err
    assert complaint in done.err
    assert 1 == done.err.count("\n"), done.err


@pytest.mark.parametrize(
    ("name", "complaint"), [("bitmx", "bitmex"), ("absent.toml", "absent.toml"), ("", "venue")]
)
@pytest.mark.parametrize("command", ["rank", "venues", "demo"])
def test_an_unknown_venue_brings_the_nearest(
    command: str, name: str, complaint: str, tmp_path: Path, capsysbinary: Capture
) -> None:
    """A venue that does not exist ends with 2 and offers the names that look like it."""
    words: list[str | Path] = {
        "rank": [*book(tmp_path), "--venue", name],
        "venues": [name],
        "demo": ["--venue", name],
    }[command]

    done = call(capsysbinary, command, *words)

    assert (2, b"") == (done.code, done.out)
    assert complaint in done.err


def test_a_needed_input_is_asked_for_by_name(tmp_path: Path, capsysbinary: Capture) -> None:
    """An edition that reads accounts refuses to guess them."""
    positions = POSITIONS.replace(",margin\n", ",margin_mode\n", 1)
    rows = positions.splitlines()
    crossed = [rows[0], *(",".join([*row.split(",")[:-1], "cross"]) for row in rows[1:])]
    words = book(tmp_path, positions="\n".join(crossed) + "\n")

    done = call(capsysbinary, "rank", *words, "--venue", "hyperliquid")

    assert (2, b"") == (done.code, done.out)
    assert "accounts" in done.err


def test_marks_are_asked_for_by_name(tmp_path: Path, capsysbinary: Capture) -> None:
    """Positions without marks end with 2 and name the option."""
    positions, *_ = book(tmp_path)

    done = call(capsysbinary, "rank", positions, "--venue", "bitmex")

    assert (2, b"") == (done.code, done.out)
    assert "--marks" in done.err


FRAME = pl.DataFrame(
    {
        "position_id": [1, 2],
        "account": ["ann", "bob"],
        "market": ["BTC-PERP", "BTC-PERP"],
        "side": ["short", "short"],
        "qty": [2.5, 1.0],
        "entry_price": [66_000.0, 64_000.0],
        "margin": [Decimal(1_500), Decimal(6_400)],
    }
)

BAD_FRAMES: dict[str, tuple[pl.DataFrame, str]] = {
    "boolean qty": (FRAME.with_columns(qty=pl.Series([True, False])), "qty"),
    "list as account": (FRAME.with_columns(account=pl.Series([["ann"], ["bob"]])), "account"),
    "date as price": (FRAME.with_columns(entry_price=pl.lit("2025-10-10").str.to_date()), "entry"),
    "null qty": (FRAME.with_columns(qty=pl.Series([2.5, None])), "qty"),
    "null account": (FRAME.with_columns(account=pl.Series(["ann", None])), "account"),
    "null id": (FRAME.with_columns(position_id=pl.Series([1, None])), "position_id"),
    "NaN": (FRAME.with_columns(qty=pl.Series([2.5, float("nan")])), "qty"),
    "infinity": (FRAME.with_columns(qty=pl.Series([2.5, float("inf")])), "qty"),
    "negative id": (FRAME.with_columns(position_id=pl.Series([1, -2])), "position_id"),
    "float dust": (FRAME.with_columns(qty=pl.Series([0.1 + 0.2, 1.0])), "qty"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_bad_types_and_values_of_parquet_are_named(
    case: str, tmp_path: Path, capsysbinary: Capture
) -> None:
    """Typed frames are held to the same contract as text."""
    frame, complaint = BAD_FRAMES[case]
    book(tmp_path)
    frame.write_parquet(tmp_path / "p.parquet")
    words = (tmp_path / "p.parquet", "--marks", tmp_path / "marks.csv", "--venue", "bitmex")

    done = call(capsysbinary, "rank", *words)

    assert (2, b"") == (done.code, done.out), done.err
    assert complaint in done.err
    assert 1 == done.err.count("\n"), done.err


def truncated(path: Path) -> None:
    """A Parquet file without its end."""
    FRAME.write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])


def damaged(path: Path) -> None:
    """A Parquet file whose pages are noise."""
    FRAME.write_parquet(path)
    data = bytearray(path.read_bytes())
    data[8:120] = bytes(range(112))
    path.write_bytes(data)


BROKEN_FILES: dict[str, Callable[[Path], object]] = {
    "cut.parquet": truncated,
    "damaged.parquet": damaged,
    "text.parquet": lambda path: path.write_text("no parquet"),
    "empty.parquet": lambda path: path.touch(),
    "binary.csv": lambda path: path.write_bytes(b"account\xff\xfe,\x00\n\x00"),
    "broken.jsonl": lambda path: path.write_text('{"account": 1\n'),
    "list.jsonl": lambda path: path.write_text("[1, 2]\n"),
    "unknown.xlsx": lambda path: path.write_text("x"),
    "absent.csv": lambda _path: None,
    "folder.csv": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
@pytest.mark.parametrize("place", ["positions", "marks"])
def test_a_file_that_cannot_be_read_is_named(
    place: str, name: str, tmp_path: Path, capsysbinary: Capture
) -> None:
    """A missing, truncated, damaged or foreign file ends with 2 and one line with its name."""
    positions, option, marks = book(tmp_path)
    broken = tmp_path / name
    BROKEN_FILES[name](broken)
    files = (broken, option, marks) if place == "positions" else (positions, option, broken)

    done = call(capsysbinary, "rank", *files, "--venue", "bitmex")

    assert (2, b"") == (done.code, done.out), done.err
    assert name in done.err
    assert 1 == done.err.count("\n"), done.err


def test_an_unknown_market_filter_brings_the_nearest(tmp_path: Path, capsysbinary: Capture) -> None:
    """--market of rank refuses a market that no position is in."""
    done = call(capsysbinary, "rank", *book(tmp_path), "--venue", "bitmex", "--market", "btc-perp")

    assert (2, b"") == (done.code, done.out)
    assert "--market: expected one of BTC-PERP" in done.err


def test_an_input_is_never_written_over(tmp_path: Path, capsysbinary: Capture) -> None:
    """`-o` on a file that is being read is refused, and the file stays as it was."""
    words = book(tmp_path)
    positions = tmp_path / "positions.csv"
    before = positions.read_bytes()
    done = call(capsysbinary, "rank", *words, "--venue", "bitmex", "-o", positions)

    assert done.code == 2
    assert "expected another file than an input" in done.err
    assert positions.read_bytes() == before


def test_an_unknown_suffix_is_no_shape(tmp_path: Path, capsysbinary: Capture) -> None:
    """`-o x.xlsx` without --format is refused, not filled with a table of text."""
    target = tmp_path / "x.xlsx"
    done = call(capsysbinary, "rank", *book(tmp_path), "--venue", "bitmex", "-o", target)

    assert done.code == 2
    assert ".xlsx" in done.err
    assert not target.exists()
