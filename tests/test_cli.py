"""The commands: what they print, in which shape, on which stream, and how they end."""

import csv
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from commandline import POSITIONS, Done, book, call
from deleverage.lab.bench import SECTIONS
from deleverage.venue import Venue, venues

Capture = pytest.CaptureFixture[bytes]
Words = Sequence[str | Path]

LONG = ("--venue", "bitmex", "--market", "BTC-PERP", "--bankrupt-side", "long", "--qty")


def ranked(capture: Capture, folder: Path, *words: str | Path) -> Done:
    """Rank the small book by BitMEX's rule."""
    return call(capture, "rank", *book(folder), "--venue", "bitmex", *words)


def planned(capture: Capture, folder: Path, qty: str, *words: str | Path) -> Done:
    """Plan a bankrupt long of the small book."""
    return call(capture, "plan", *book(folder), *LONG, qty, *words)


def test_rank_prints_each_queue_in_order(tmp_path: Path, capsysbinary: Capture) -> None:
    """Rows come by market and side, first to be cut first, with place, light and reason."""
    done = ranked(capsysbinary, tmp_path, "--format", "json")

    assert 0 == done.code
    assert [
        ("BTC-PERP", "long", "dan", 1),
        ("BTC-PERP", "short", "ann", 1),
        ("BTC-PERP", "short", "bob", 2),
        ("BTC-PERP", "short", "cat", 3),
        ("BTC-PERP", "short", "fay", 4),
        ("ETH-PERP", "short", "eve", 1),
    ] == [(row["market"], row["side"], row["account"], row["rank"]) for row in done.json]
    first = done.json[1]
    assert ("1", "2.5", "66000") == (first["position_id"], first["qty"], first["entry_price"])
    assert first["score"] == pytest.approx(15_000 / 165_000 * 150_000 / 16_500)


def test_rank_lists_who_has_no_place_last(tmp_path: Path, capsysbinary: Capture) -> None:
    """A position without a place stands behind its queue, without a rank, with the reason."""
    positions = POSITIONS.replace("64000,6400", "64000,-5000")
    words = (*book(tmp_path, positions=positions), "--venue", "bitmex", "--side", "short")

    done = call(capsysbinary, "rank", *words, "--market", "BTC-PERP", "--format", "json")
    head = call(capsysbinary, "rank", *words, "--head", "9", "--format", "json")

    assert ("bob", None, None, 0, "through_bankruptcy") == tuple(
        done.json[-1][name] for name in ("account", "rank", "score", "light", "reason")
    )
    assert "bob" not in {row["account"] for row in head.json}
    assert "5 with a place in a queue" in done.err


def test_rank_takes_signed_sizes(tmp_path: Path, capsysbinary: Capture) -> None:
    """Without a side column the sign is the side, for the order and for --side."""
    positions = "account,market,qty,entry_price,margin\na,1,-2,66000,9000\nb,1,2,61000,9000\n"
    words = book(tmp_path, positions=positions, marks="market,mark_price\n1,60000\n")
    options = ("--venue", "bitmex", "--format", "json")

    both = call(capsysbinary, "rank", *words, *options)
    short = call(capsysbinary, "rank", *words, *options, "--side", "short", "--market", "1")

    assert ["b", "a"] == [row["account"] for row in both.json]
    assert ["a"] == [row["account"] for row in short.json]


def test_rank_shapes_hold_the_same_rows(tmp_path: Path, capsysbinary: Capture) -> None:
    """JSON, CSV and Parquet on standard output parse, and agree."""
    shapes = {
        shape: ranked(capsysbinary, tmp_path, "--format", shape).out
        for shape in ("csv", "parquet", "table")
    }
    json_rows = ranked(capsysbinary, tmp_path, "--format", "json").json

    csv_rows = list(csv.DictReader(io.StringIO(shapes["csv"].decode())))
    parquet = pl.read_parquet(io.BytesIO(shapes["parquet"]))
    assert [row["account"] for row in json_rows] == [row["account"] for row in csv_rows]
    assert [row["account"] for row in json_rows] == parquet["account"].to_list()
    assert [row["score"] for row in json_rows] == parquet["score"].to_list()
    assert "ann" in shapes["table"].decode()


def test_rank_can_be_narrowed(tmp_path: Path, capsysbinary: Capture) -> None:
    """--market, --side and --head leave only what they name."""
    words = ("--market", "BTC-PERP", "--side", "short", "--head", "2", "--format", "json")
    done = ranked(capsysbinary, tmp_path, *words)

    assert ["ann", "bob"] == [row["account"] for row in done.json]


def test_words_and_data_do_not_mix(tmp_path: Path, capsysbinary: Capture) -> None:
    """What a person is told goes to standard error and never into the data."""
    done = ranked(capsysbinary, tmp_path, "--format", "csv")

    assert "6 positions" in done.err
    assert "6 positions" not in done.text
    assert 7 == len(done.text.splitlines())


def test_a_file_takes_the_shape_of_its_name(tmp_path: Path, capsysbinary: Capture) -> None:
    """With -o the suffix chooses the shape and standard output stays empty."""
    done = ranked(capsysbinary, tmp_path, "-o", tmp_path / "ranked.parquet")

    assert (0, b"") == (done.code, done.out)
    assert 6 == pl.read_parquet(tmp_path / "ranked.parquet").height


def test_a_long_table_says_that_it_is_cut(tmp_path: Path, capsysbinary: Capture) -> None:
    """A table of many rows shows the first and says so; other shapes have every row."""
    head = POSITIONS.splitlines()[0]
    rows = [f"{n},a{n},BTC-PERP,short,1,{60_001 + n},9000" for n in range(60)]
    words = book(tmp_path, positions="\n".join([head, *rows]) + "\n")

    table = call(capsysbinary, "rank", *words, "--venue", "bitmex")
    full = call(capsysbinary, "rank", *words, "--venue", "bitmex", "--format", "csv")

    assert "first 50 of 60 rows" in table.err
    assert 61 == len(full.text.splitlines())


def test_no_positions_are_no_error(tmp_path: Path, capsysbinary: Capture) -> None:
    """A book with the right columns and no row ranks to nothing."""
    words = book(tmp_path, positions=POSITIONS.splitlines()[0] + "\n")

    done = call(capsysbinary, "rank", *words, "--venue", "bitmex", "--format", "json")

    assert (0, []) == (done.code, done.json)


def test_plan_names_who_is_cut(tmp_path: Path, capsysbinary: Capture) -> None:
    """The plan closes whole positions from the head, the last in part, and exactly the request."""
    done = planned(capsysbinary, tmp_path, "3", "--bankruptcy-price", "60500", "--format", "json")

    assert 0 == done.code
    assert [("ann", "2.5", Decimal(0)), ("bob", "0.5", Decimal("0.5"))] == [
        (fill["account"], fill["qty_closed"], Decimal(fill["qty_left"]))
        for fill in done.json["fills"]
    ]
    assert Decimal(0) == Decimal(done.json["unfilled"])
    assert isinstance(done.json["digest"], str)


def test_plan_that_is_too_large_ends_with_four(tmp_path: Path, capsysbinary: Capture) -> None:
    """A request beyond the queue is planned as far as it goes, reported, and ends with 4."""
    done = planned(
        capsysbinary, tmp_path, "12.5", "--bankruptcy-price", "60500", "--format", "json"
    )

    assert 4 == done.code
    assert Decimal("3.5") == Decimal(done.json["unfilled"])
    assert "not fully covered: 3.5 of 12.5 contracts are left" in done.err


@pytest.mark.parametrize("shape", ["csv", "parquet"])
def test_plan_fills_alone_fit_a_table_file(
    shape: str, tmp_path: Path, capsysbinary: Capture
) -> None:
    """CSV and Parquet hold the fills; the summary and the explanation are words."""
    words = ("--bankruptcy-price", "60500", "--explain", "bob", "--format", shape)
    done = planned(capsysbinary, tmp_path, "3", *words)

    read = pl.read_csv if shape == "csv" else pl.read_parquet
    assert ["ann", "bob"] == read(io.BytesIO(done.out))["account"].to_list()
    assert "2 fills" in done.err
    assert "bob" in done.err


def test_plan_explains_an_account(tmp_path: Path, capsysbinary: Capture) -> None:
    """--explain adds what became of one account, with its place and its score."""
    words = ("--bankruptcy-price", "60500", "--explain")
    cut = planned(capsysbinary, tmp_path, "3", *words, "bob")
    spared = planned(capsysbinary, tmp_path, "3", *words, "cat")

    assert "bob: cut" in cut.text
    assert "cat: not cut" in spared.text


def test_excluded_and_bankrupt_accounts_are_never_cut(
    tmp_path: Path, capsysbinary: Capture
) -> None:
    """--exclude and --bankrupt-account keep accounts out of the queue."""
    words = ("--bankruptcy-price", "60500", "--exclude", "ann", "--exclude", "cat")
    done = planned(
        capsysbinary, tmp_path, "3", *words, "--bankrupt-account", "fay", "--format", "json"
    )

    assert 4 == done.code
    assert ["bob"] == [fill["account"] for fill in done.json["fills"]]


def test_venues_lists_every_edition(capsysbinary: Capture) -> None:
    """The list has a row an edition, in every shape."""
    rows = call(capsysbinary, "venues", "--format", "json").json
    table = call(capsysbinary, "venues").text

    names = [row["name"] for row in rows]
    assert sorted(names) == names
    assert {"bitmex", "hyperliquid"} <= set(names)
    assert all(name in table for name in names)


def test_a_venue_is_printed_as_its_formula(capsysbinary: Capture) -> None:
    """One edition is printed with formula, evidence and sources; JSON carries the same text."""
    text = call(capsysbinary, "venues", "bitmex").text
    record = call(capsysbinary, "venues", "bitmex", "--format", "json").json

    assert "Sources" in text
    assert record["description"].strip() == text.strip()


def test_a_venue_of_ones_own_is_a_path(tmp_path: Path, root: Path, capsysbinary: Capture) -> None:
    """A path that ends in .toml is an edition, for venues and for rank."""
    own = tmp_path / "bitmex.toml"
    own.write_bytes((root / "python/deleverage/venue/presets/bitmex.toml").read_bytes())

    shown = call(capsysbinary, "venues", own)
    done = call(capsysbinary, "rank", *book(tmp_path), "--venue", own, "--format", "json")

    assert (0, 0) == (shown.code, done.code)
    assert 6 == len(done.json)


def test_the_demo_shows_the_whole_story(capsysbinary: Capture) -> None:
    """The demo prints the head of the queue, the lights, the plan and what one trader sees."""
    done = call(capsysbinary, "demo", "--positions", "2000")

    assert 0 == done.code
    for part in ("head of the queue", "lights", "first fills", "digest", "alice"):
        assert part in done.text


def test_every_edition_can_be_seen_at_work(capsysbinary: Capture) -> None:
    """The demo runs by every edition that is shipped, whatever inputs its rule reads."""
    codes = {
        name: call(capsysbinary, "demo", "--positions", "200", "--venue", name).code
        for name in venues()
        if Venue.load(name).is_ranked
    }

    assert {} == {name: code for name, code in codes.items() if code not in (0, 4)}


def test_an_edition_that_ranks_nobody_is_refused(capsysbinary: Capture) -> None:
    """Without a ranking rule there is no queue to show: the message names the rule there is."""
    done = call(capsysbinary, "demo", "--positions", "200", "--venue", "drift")

    assert 2 == done.code
    assert "one that ranks nobody (allocation: holders_charge)" in " ".join(done.err.split())


def test_the_demo_settles_at_the_previous_mark(capsysbinary: Capture) -> None:
    """An edition that settles at the previous mark finds it in the crash."""
    words = ("demo", "--positions", "200", "--venue", "hyperliquid", "--format", "json")
    record = call(capsysbinary, *words).json

    assert "" == record["plan"]["price_note"]
    assert ["59038"] == sorted({fill["price"] for fill in record["first_fills"]})


def test_the_demo_is_the_same_every_time(capsysbinary: Capture) -> None:
    """One seed is one crash, byte for byte; another seed is another."""
    first = call(capsysbinary, "demo", "--positions", "2000", "--format", "json")
    again = call(capsysbinary, "demo", "--positions", "2000", "--format", "json")
    other = call(capsysbinary, "demo", "--positions", "2000", "--seed", "1", "--format", "json")

    assert first.out == again.out
    assert first.out != other.out
    assert sum(band["entries"] for band in first.json["lights"]) > 0


def test_the_bench_reports_as_json(capsysbinary: Capture) -> None:
    """Figures are one JSON object on standard output; progress goes to standard error."""
    words = ("--positions", "1000", "--quick", "--section", "select", "--threads", "1", "--json")
    done = call(capsysbinary, "bench", *words)

    assert 0 == done.code
    assert 1_000 == done.json["positions"]
    assert done.json["measurements"]
    assert "select" in done.err


def test_an_unknown_part_of_the_bench_is_bad_input(capsysbinary: Capture) -> None:
    """A section that does not exist ends with 2 and the sections there are."""
    done = call(capsysbinary, "bench", "--positions", "1000", "--section", "speed")

    assert (2, b"") == (done.code, done.out)
    assert f"--section: expected one of {', '.join(SECTIONS)}, got 'speed'" in done.err


def test_the_help_of_the_bench_says_what_it_takes(capsysbinary: Capture) -> None:
    """Every section stands in it, the fewest positions, and no shape that it has not."""
    words = re.sub(r"[^a-z0-9>=]+", " ", call(capsysbinary, "bench", "--help").out.decode())

    assert all(name in words for name in SECTIONS)
    assert "x>=1000" in words
    assert "table or json" in words
    assert "parquet" not in words
    assert 2 == call(capsysbinary, "bench", "--positions", "999").code


@pytest.mark.parametrize("output", ["absent/ranked.csv", "."])
def test_an_output_that_cannot_be_written_fails(
    output: str, tmp_path: Path, capsysbinary: Capture
) -> None:
    """A folder that is missing, or in the file's place, ends with 1 and one line that names it."""
    done = ranked(capsysbinary, tmp_path, "-o", tmp_path / output)

    assert (1, b"") == (done.code, done.out)
    assert "cannot be written" in done.err.splitlines()[-1]


def started(folder: Path, *words: str | Path, **options: int) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "deleverage.cli", *map(str, words)]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, **options)


def test_a_reader_that_goes_away_is_no_failure_of_ours(tmp_path: Path) -> None:
    """A closed pipe ends the command quietly with the code a shell gives it."""
    reader, writer = os.pipe()
    os.close(reader)
    process = started(tmp_path, "venues", "--format", "json", stdout=writer)
    os.close(writer)
    _, err = process.communicate()

    assert (141, b"") == (process.returncode, err)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """Standard output that cannot take the data ends with 1 and one line."""
    with Path("/dev/full").open("wb") as full:
        process = started(tmp_path, "venues", stdout=full.fileno())
        _, err = process.communicate()

    assert 1 == process.returncode
    assert b"standard output: No space left on device" in err
    assert 1 == err.count(b"\n")


def test_an_interrupt_ends_without_a_traceback(tmp_path: Path) -> None:
    """Ctrl-C ends the command with 130 and one line."""
    words = ("bench", "--positions", "2000", "--section", "select", "--rounds", "100000000")
    process = started(tmp_path, *words, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()

    assert 130 == process.returncode
    assert b"Traceback" not in err
