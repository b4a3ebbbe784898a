"""Importing published fills by command: files, two checks kept apart, and a plan of the folder."""

import csv
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from commandline import call
from deleverage.cli import intake
from deleverage.cli.agreement import EventPlan
from deleverage.interop.hyperliquid import COLUMNS

Capture = pytest.CaptureFixture[bytes]
Row = Mapping[str, str]


def fill(user: str, size: str, position: str, entry: str, **changes: str) -> Row:
    """One published fill of a synthetic event, SOL cut at 40."""
    profit = (Decimal(entry) - 40) * Decimal(size)
    return {
        "user": user,
        "coin": "SOL",
        "time": "1000",
        "adl_price": "40.0",
        "adl_size": size,
        "closed_pnl": str(profit),
        "position_size": position,
        "entry_price": entry,
        "account_value_realtime": "100.0000001",
        "total_equity": "400.0000001",
        "leverage_realtime": "1.5",
    } | changes


EVENT = [
    fill("u1", "10", "-10", "50"),
    fill("u2", "5", "-5", "80"),
    fill("u3", "2.5", "-8", "45"),
]


def written(path: Path, rows: Sequence[Row]) -> Path:
    """Fills as a CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, "leverage_realtime"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def imported(
    capture: Capture, folder: Path, rows: Sequence[Row], *words: str, rounding: str = "nearest"
) -> object:
    """Import fills into `folder/in` and give the report; it must be done."""
    file = written(folder / "fills.csv", rows)
    options = ("-o", folder / "in", "--rounding", rounding, "--format", "json", *words)
    done = call(capture, "import", "hyperliquid-adl", file, *options)
    assert 0 == done.code, done.err
    return done.json["events"]


def test_an_import_can_be_planned_and_ranked(tmp_path: Path, capsysbinary: Capture) -> None:
    """The folder that an import writes is all that plan and rank need."""
    imported(capsysbinary, tmp_path, EVENT)

    plan = call(
        capsysbinary,
        *("plan", tmp_path / "in", "--venue", "hyperliquid", "--market", "SOL"),
        *("--format", "json"),
    )
    ranked = call(
        capsysbinary, "rank", tmp_path / "in", "--venue", "hyperliquid", "--format", "json"
    )

    assert (0, 0) == (plan.code, ranked.code)
    assert "17.5" == plan.json["requested"]
    assert Decimal("17.5") == sum(Decimal(one["qty_closed"]) for one in plan.json["fills"])
    assert {"40"} == {one["price"] for one in plan.json["fills"]}
    assert ["u1", "u2", "u3"] == [row["account"] for row in ranked.json]


def test_the_two_checks_are_kept_apart(tmp_path: Path, capsysbinary: Capture) -> None:
    """What is published is checked by itself; our plan is sound and counts whom both cut."""
    (event,) = imported(capsysbinary, tmp_path, EVENT, "--published", "SOL=17.5")

    (published,) = event["published"]
    (planned,) = event["planned"]
    assert (175, "0.1", True) == (published["lots"], published["lot"], published["is_total_met"])
    assert (2, 2, []) == (
        published["full_closes"],
        published["agreeing"],
        published["over_cut_rows"],
    )
    assert (True, True, 1) == (planned["is_met"], planned["is_sound"], planned["partials"])
    assert 3 == planned["published_accounts"]


def test_a_report_for_people_shows_both_tables(tmp_path: Path, capsysbinary: Capture) -> None:
    """The printed report has the intake, both checks, and every deviation that was found."""
    rows = [*EVENT, fill("u4", "1", "-1", "50", closed_pnl="3")]
    file = written(tmp_path / "fills.csv", rows)

    done = call(
        capsysbinary,
        *("import", "hyperliquid-adl", file, "-o", tmp_path / "in", "--rounding", "nearest"),
    )

    assert 0 == done.code
    for part in ("intake", "check 1", "check 2", "published profit is not", "u4"):
        assert part in done.text
    assert "fills: 4, events: 1" in done.err


def test_several_events_go_into_folders_of_their_own(tmp_path: Path, capsysbinary: Capture) -> None:
    """Fills of several block times are written apart, each a folder that can be planned."""
    events = imported(capsysbinary, tmp_path, [*EVENT, fill("u1", "1", "-3", "50", time="2000")])

    assert ["1000", "2000"] == [event["event"] for event in events]
    assert ["1000", "2000"] == sorted(path.name for path in (tmp_path / "in").iterdir())
    plan = call(
        capsysbinary,
        *("plan", tmp_path / "in" / "2000", "--venue", "hyperliquid", "--market", "SOL"),
        *("--format", "csv"),
    )
    assert 0 == plan.code
    assert 2 == len(plan.text.splitlines())


def test_a_published_total_that_is_not_met_fails(tmp_path: Path, capsysbinary: Capture) -> None:
    """A total that differs by one lot ends with 1, after the frames are written and shown."""
    file = written(tmp_path / "fills.csv", EVENT)
    words = ("-o", tmp_path / "in", "--rounding", "up", "--published", "SOL=17.6")

    done = call(capsysbinary, "import", "hyperliquid-adl", file, *words)

    assert 1 == done.code
    assert "a published total is not met" in done.err
    assert "17.6" in done.text


def test_a_shortage_is_shown_and_no_failure(tmp_path: Path, capsysbinary: Capture) -> None:
    """A loser that the venue cut is left by our rule: unfilled, sound, and the import is done."""
    rows = [*EVENT, fill("u4", "1", "-1", "30")]
    (event,) = imported(capsysbinary, tmp_path, rows, rounding="down")

    (planned,) = event["planned"]
    assert (True, True) == (planned["is_sound"], planned["is_met"])

    (event,) = imported(capsysbinary, tmp_path, [fill("u4", "1", "-1", "30")])

    (planned,) = event["planned"]
    assert (True, False, "1") == (planned["is_sound"], planned["is_met"], planned["unfilled"])


def test_a_folder_with_too_short_a_queue_ends_with_four(
    tmp_path: Path, capsysbinary: Capture
) -> None:
    """Planning an imported event that our rule cannot cover ends with 4."""
    imported(capsysbinary, tmp_path, [fill("u4", "1", "-1", "30")])

    done = call(capsysbinary, "plan", tmp_path / "in", "--venue", "hyperliquid", "--market", "SOL")

    assert 4 == done.code
    assert "not_in_profit" in done.text


def test_a_broken_promise_of_ours_ends_with_three(
    tmp_path: Path, capsysbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If our plan cut two positions in part, the import would end with 3."""
    broken = EventPlan(
        market="SOL",
        bankrupt_side="long",
        request=Decimal(2),
        closed=Decimal(2),
        unfilled=Decimal(0),
        partials=2,
        is_conserved=True,
        accounts=2,
        published_accounts=2,
        shared_accounts=2,
        same_size=0,
    )
    monkeypatch.setattr(intake, "plan_event_frames", lambda *_: (broken,))
    file = written(tmp_path / "fills.csv", EVENT)
    words = ("-o", tmp_path / "in", "--rounding", "nearest")

    done = call(capsysbinary, "import", "hyperliquid-adl", file, *words)

    assert 3 == done.code
    assert "our plan broke a promise" in done.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "expected a whole number of 0.000001 USDC"),
        (["--rounding", "sideways"], "--rounding: expected one of refuse, nearest, down, up"),
        (["--rounding", "up", "--published", "SOL"], "--published: expected MARKET=QTY"),
        (["--rounding", "up", "--published", "SOL=many"], "--published: expected a decimal"),
        (["--rounding", "up", "--published", "BTC=1"], "--published: expected one of SOL"),
        (["--rounding", "up", "--venue", "hyperliqid"], "hyperliquid"),
        (["--rounding", "up", "--format", "csv"], "--format: expected one of table, json"),
    ],
)
def test_a_refused_import_writes_nothing(
    words: list[str], complaint: str, tmp_path: Path, capsysbinary: Capture
) -> None:
    """A bad option, or money that does not fit, ends with 2, one line and no file."""
    file = written(tmp_path / "fills.csv", EVENT)

    done = call(capsysbinary, "import", "hyperliquid-adl", file, "-o", tmp_path / "in", *words)

    assert (2, b"") == (done.code, done.out)
    assert complaint in done.err
    assert 1 == done.err.count("\n")
    assert not (tmp_path / "in").exists()


def test_a_missing_file_of_fills_is_named(tmp_path: Path, capsysbinary: Capture) -> None:
    """A path without a file ends with 2."""
    words = (tmp_path / "absent.csv", "-o", tmp_path / "in")

    done = call(capsysbinary, "import", "hyperliquid-adl", *words)

    assert (2, b"") == (done.code, done.out)
    assert "absent.csv" in done.err


def test_a_folder_that_cannot_be_written_fails(tmp_path: Path, capsysbinary: Capture) -> None:
    """A file in the folder's place ends with 1 and one line."""
    file = written(tmp_path / "fills.csv", EVENT)
    (tmp_path / "in").touch()

    words = ("-o", tmp_path / "in", "--rounding", "nearest")
    done = call(capsysbinary, "import", "hyperliquid-adl", file, *words)

    assert (1, b"") == (done.code, done.out)
    assert "cannot be written" in done.err


def test_a_folder_without_positions_is_named(tmp_path: Path, capsysbinary: Capture) -> None:
    """A folder that no import wrote, or only in part, says what it lacks."""
    empty = call(capsysbinary, "rank", tmp_path, "--venue", "hyperliquid")
    pl.DataFrame({"account": ["u"]}).write_parquet(tmp_path / "positions.parquet")
    half = call(capsysbinary, "rank", tmp_path, "--venue", "hyperliquid")

    assert (2, 2) == (empty.code, half.code)
    assert "positions.parquet" in empty.err
    assert "--marks" in half.err
