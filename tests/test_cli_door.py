"""The door itself: help, exit codes, where data goes, what a table shows."""

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

import deleverage.cli
from commandline import call
from deleverage.cli import exits
from deleverage.cli.exits import ExitCode, guarded
from deleverage.cli.inputs import Inputs, decimal_of, request_of, unknown
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_frame, emit_record
from deleverage.cli.tables import Page, bar, cell
from deleverage.errors import AdlError, InputError, InvariantError, StateError, VenueError

COMMANDS = ["rank", "plan", "venues", "demo", "bench", "import hyperliquid-adl"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(
    command: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The help of every command holds an example that starts with the command itself."""
    done = call(capsysbinary, *command.split(), "--help")

    assert (0, "") == (done.code, done.err)
    assert f"Example: deleverage {command}" in done.text
    assert "Exit codes: 0 done" in done.text


def test_help_lists_the_commands(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """The program's help names every command."""
    done = call(capsysbinary, "--help")

    for command in COMMANDS:
        assert command.split()[0] in done.text


def test_help_needs_no_bench_and_no_demo() -> None:
    """Asking for help loads neither the lab nor the importers."""
    code = (
        "import sys; from deleverage.cli import main; code = main(['rank', '--help']);"
        "sys.exit(code or any(name.startswith(('deleverage.lab', 'deleverage.interop'))"
        " for name in sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

    assert (0, b"") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["rnak"], "Did you mean 'rank'?"),
        (["rank", "x.csv"], "Missing option '--venue'"),
        (["rank", "x.csv", "--venue", "bitmex", "--head", "0"], "--head"),
        (["rank", "x.csv", "--venue", "bitmex", "--format", "xml"], "xml"),
        (["plan", "x.csv", "--venue", "bitmex", "--market", "M", "--bankrupt-side", "up"], "up"),
        (["plan", "--no-such-option"], "No such option"),
    ],
)
def test_a_wrong_word_is_usage(
    words: list[str], complaint: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A command that does not exist, a missing option or a bad choice ends with 2 and one line."""
    done = call(capsysbinary, *words)

    assert (2, b"") == (done.code, done.out)
    assert complaint in done.err
    assert 1 == done.err.count("\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("bad"), 2),
        (VenueError("bad"), 2),
        (StateError("bad"), 1),
        (AdlError("bad"), 1),
        (InvariantError("bad"), 3),
        (FileNotFoundError(2, "No such file or directory", "absent.csv"), 2),
        (OSError(28, "No space left on device"), 1),
        (MemoryError(), 1),
        (RuntimeError("surprise"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
    ],
)
def test_every_failure_has_its_code(
    error: BaseException, code: int, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Each kind of error ends with the contract's exit code, in at most one line, without data."""

    def fail() -> int:
        raise error

    assert code == guarded(fail)
    out, err = capsysbinary.readouterr()
    assert b"" == out
    assert err.count(b"\n") <= 1
    assert b"Traceback" not in err


def test_a_defect_shows_its_place_on_demand(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected failure names the variable that shows where it happened, and it does."""

    def fail() -> int:
        message = "surprise"
        raise RuntimeError(message)

    guarded(fail)
    quiet = capsysbinary.readouterr().err.decode()
    monkeypatch.setenv(exits.TRACEBACK_VARIABLE, "1")
    guarded(fail)
    loud = capsysbinary.readouterr().err.decode()

    assert "RuntimeError: surprise" in quiet
    assert exits.TRACEBACK_VARIABLE in quiet
    assert ("Traceback" in quiet, "Traceback" in loud) == (False, True)


def test_exit_codes_are_the_contract() -> None:
    """0 done, 1 failed, 2 bad input, 3 an invariant broke, 4 not fully covered."""
    assert [0, 1, 2, 3, 4, 130, 141] == [code.value for code in ExitCode]


def test_a_missing_extra_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Without Typer and Rich the command line says what to install and ends with 1."""
    monkeypatch.setattr(deleverage.cli, "find_spec", lambda _name: None)

    done = call(capsysbinary, "rank")

    assert (1, b"") == (done.code, done.out)
    assert "pip install 'deleverage[cli]'" in done.err


def test_the_module_is_the_same_door() -> None:
    """`python -m deleverage.cli` runs the same commands."""
    done = subprocess.run(
        [sys.executable, "-m", "deleverage.cli", "--version"], capture_output=True, check=False
    )

    assert (0, deleverage.__version__) == (done.returncode, done.stdout.decode().strip())


FRAME = pl.DataFrame(
    {
        "position_id": pl.Series([2**63 + 1, 7], dtype=pl.UInt64),
        "account": ["ann", 'bo"b,'],
        "qty": pl.Series([Decimal("1.50"), Decimal("0.07")], dtype=pl.Decimal(38, 2)),
        "entry_price": [1e-07, 2.0],
        "score": [float("nan"), 0.25],
        "rank": [0, 1],
    }
)


def emitted(frame: pl.DataFrame, shape: Format, path: Path) -> Path:
    """A frame written to a file."""
    emit_frame(frame, Sink(format=shape, path=path), table=lambda rows: str(rows.height))
    return path


def test_json_keeps_numbers_as_text(tmp_path: Path) -> None:
    """In JSON ids, money, prices and sizes are strings; a missing score is null."""
    rows = json.loads(emitted(FRAME, Format.JSON, tmp_path / "rows.json").read_text())

    assert [
        {
            "position_id": "9223372036854775809",
            "account": "ann",
            "qty": "1.50",
            "entry_price": "0.0000001",
            "score": None,
            "rank": 0,
        },
        {
            "position_id": "7",
            "account": 'bo"b,',
            "qty": "0.07",
            "entry_price": "2.0",
            "score": 0.25,
            "rank": 1,
        },
    ] == rows


def test_csv_and_parquet_read_back(tmp_path: Path) -> None:
    """CSV and Parquet hold the same rows, quoted and typed."""
    csv = pl.read_csv(emitted(FRAME, Format.CSV, tmp_path / "rows.csv"), infer_schema=False)
    parquet = pl.read_parquet(emitted(FRAME, Format.PARQUET, tmp_path / "rows.parquet"))

    assert ["ann", 'bo"b,'] == csv["account"].to_list()
    assert ["1.50", "0.07"] == csv["qty"].to_list()
    assert FRAME.equals(parquet)
    assert FRAME.schema == parquet.schema


@pytest.mark.parametrize("shape", [Format.JSON, Format.CSV])
def test_no_rows_are_still_data(shape: Format, tmp_path: Path) -> None:
    """An empty frame is an empty JSON list, or a CSV header alone."""
    text = emitted(FRAME.clear(), shape, tmp_path / "rows").read_text()

    assert {Format.JSON: "[]\n", Format.CSV: ",".join(FRAME.columns) + "\n"}[shape] == text


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A record with an id, a fact and a figure."""

    position_id: int
    is_partial: bool
    score: float


def test_a_record_holds_exact_numbers(tmp_path: Path) -> None:
    """Decimals are strings without an exponent, ids strings, frames lists, records objects."""
    record = {
        "unfilled": Decimal("1E+3"),
        "fills": FRAME.select("account"),
        "cut": Kept(position_id=2**63, is_partial=True, score=0.5),
        "none": None,
    }
    emit_record(record, Sink(format=Format.JSON, path=tmp_path / "r.json"), table=str)

    assert {
        "unfilled": "1000",
        "fills": [{"account": "ann"}, {"account": 'bo"b,'}],
        "cut": {"position_id": "9223372036854775808", "is_partial": True, "score": 0.5},
        "none": None,
    } == json.loads((tmp_path / "r.json").read_text())


@pytest.mark.parametrize(
    ("given", "name", "chosen"),
    [
        (None, "-", Format.TABLE),
        (None, "rows.CSV", Format.CSV),
        (None, "rows.parquet", Format.PARQUET),
        (None, "rows", Format.TABLE),
        (Format.JSON, "rows.csv", Format.JSON),
    ],
)
def test_the_shape_follows_the_suffix(given: Format | None, name: str, chosen: Format) -> None:
    """`--format` decides, else the suffix of the file, else it is a table."""
    assert chosen is Sink.of(given, name, allowed=tuple(Format)).format


def test_a_shape_that_a_command_lacks_is_refused() -> None:
    """A command without CSV says which shapes it has."""
    with pytest.raises(InputError, match=r"--format: expected one of table, json here, got csv"):
        Sink.of(Format.CSV, "-", allowed=(Format.TABLE, Format.JSON))


def test_parquet_does_not_go_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binary data for a terminal is refused with the way out."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", screen)

    with pytest.raises(InputError, match="-o FILE or a pipe"):
        Sink.of(Format.PARQUET, "-", allowed=tuple(Format))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Writing leaves the new file and nothing beside it."""
    target = tmp_path / "rows.txt"
    target.write_text("old")

    Sink(format=Format.TABLE, path=target).write_text("new")

    assert ["rows.txt"] == [path.name for path in tmp_path.iterdir()]
    assert "new\n" == target.read_text()


def test_a_device_is_written_in_place() -> None:
    """A device is not replaced by a file."""
    Sink(format=Format.TABLE, path=Path(os.devnull)).write_text("gone")

    assert Path(os.devnull).is_char_device()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """Through a link the file behind it is written, and the link is left."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "real" / "rows.txt")

    Sink(format=Format.TABLE, path=link).write_text("new")

    assert link.is_symlink()
    assert "new\n" == (tmp_path / "real" / "rows.txt").read_text()


def test_an_open_file_of_the_process_is_written_in_place(tmp_path: Path) -> None:
    """A descriptor under /dev is written into, not replaced, though a plain file is behind it."""
    with (tmp_path / "rows.txt").open("w+b") as file:
        Sink(format=Format.TABLE, path=Path(f"/dev/fd/{file.fileno()}")).write_text("new")

        assert b"new\n" == file.read()


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_has_more_than_one_name(name: str) -> None:
    """`-` and the device's name are standard output, which is never replaced by a file."""
    assert Sink.of(None, name, allowed=tuple(Format)).path is None


def test_a_process_without_standard_output_is_told() -> None:
    """Started with standard output closed, a command ends with 1 and says so."""
    code = "import sys; sys.stdout = None; from deleverage.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "venues"], capture_output=True, check=False)

    assert 1 == done.returncode
    assert b"standard output: expected an open one, got none" in done.stderr


@pytest.mark.parametrize("name", ["absent/rows.txt", "."])
def test_what_cannot_be_written_is_said(name: str, tmp_path: Path) -> None:
    """A folder that is missing, or a folder in a file's place, ends with 1 and a reason."""
    sink = Sink(format=Format.TABLE, path=tmp_path / name)

    with pytest.raises(exits.OutputError, match="cannot be written"):
        sink.write_text("x")


def test_a_name_cannot_steer_the_terminal() -> None:
    """Control characters and markup in a name are shown, never sent or obeyed."""
    page = Page(is_terminal=True)
    page.rows("names", ("account",), [("\x1b[31m",), ("[bold]\r\n",)])

    printed = str(page)

    assert "\\x1b[31m" in printed
    assert "[bold]\\x0d\\x0a" in printed
    assert "\r" not in printed


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("22.07500"), "22.075"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0E-12"), "0"),
        (Decimal(100), "100"),
        (1 / 3, "0.333333"),
        (float("nan"), ""),
        (None, ""),
        (False, "no"),
        (7, "7"),
    ],
)
def test_cells_are_plain(value: object, shown: str) -> None:
    """A table shows decimals exactly and without padding, scores to six digits, null as nothing."""
    assert shown == cell(value)


def test_a_wide_table_is_not_cut_off_in_a_pipe() -> None:
    """Away from a terminal every row is one line, however long."""
    page = Page()
    page.rows("", tuple(f"column{n}" for n in range(40)), [("0x" + "ab" * 20,) * 40])

    row = str(page).splitlines()[-1]

    assert 40 == row.count("0x" + "ab" * 20)


def test_a_terminal_shows_the_ends_of_a_long_id() -> None:
    """On a terminal an id of forty characters keeps its two ends, and text keeps all."""
    page = Page(is_terminal=True)
    page.rows("", ("account", "rule"), [("0x836a686d0b8250b353f9befd47641e25136469cb", "a b " * 9)])

    assert "0x836a686\u2026136469cb" in str(page)
    assert 9 == str(page).count("a b")


def test_a_narrow_terminal_loses_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that do not fit the terminal's width are printed whole all the same."""
    monkeypatch.setenv("COLUMNS", "30")
    page = Page(is_terminal=True)
    page.rows("", tuple(f"column{n}" for n in range(8)), [tuple(range(10**9, 10**9 + 8))])

    assert all(str(10**9 + n) in str(page) for n in range(8))


def test_bars_show_that_something_is_there() -> None:
    """A share above zero has a bar, and one has the longest."""
    assert ["", 1, 20, 40] == [bar(0), *(len(bar(share)) for share in (0.001, 0.5, 1.0))]


@pytest.mark.parametrize("text", ["", "twelve", "NaN", "inf", "1,5", "1_000"])
def test_a_number_of_an_option_is_exact(text: str) -> None:
    """What is no finite decimal number is refused by the option's name."""
    assert Decimal("12.5") == decimal_of(" 12.5 ", option="--qty")
    with pytest.raises(InputError, match=r"--qty: expected a .* number"):
        decimal_of(text, option="--qty")


def test_an_unknown_name_brings_the_nearest() -> None:
    """The message for an unknown name offers the names that look like it."""
    message = unknown("--market", "btc", ["BTC-PERP", "ETH-PERP", "SOL-PERP", "DOGE-PERP"])

    assert "--market: expected one of BTC-PERP (4 in all), got 'btc'" == message


def imported(folder: Path, *rows: tuple[str, str, str]) -> Inputs:
    """A folder like one that an import wrote, with these bankrupt quantities."""
    frame = pl.DataFrame(
        rows, schema={"market": str, "bankrupt_side": str, "qty": str}, orient="row"
    ).with_columns(pl.col("qty").cast(pl.Decimal(38, 2)))
    frame.write_parquet(folder / "bankrupt.parquet")
    for name in ("positions", "marks"):
        (folder / f"{name}.parquet").touch()
    return Inputs.of(folder, marks=None, accounts=None, markets=None, neutral=None)


def test_a_folder_brings_its_request(tmp_path: Path) -> None:
    """Side and quantity come from the folder; an option goes before it."""
    inputs = imported(tmp_path, ("SOL", "long", "12.50"), ("BTC", "short", "3.00"))

    whole = request_of(inputs, market="SOL", bankrupt_side=None, qty=None)
    part = request_of(inputs, market="BTC", bankrupt_side=None, qty="1.5")

    assert ("long", Decimal("12.5")) == (whole.bankrupt_side, whole.qty)
    assert ("short", Decimal("1.5")) == (part.bankrupt_side, part.qty)


@pytest.mark.parametrize(
    ("market", "side", "qty", "complaint"),
    [
        ("DOGE", None, None, "--market: expected one of"),
        ("BTC", None, None, "--bankrupt-side: expected one of long, short, got nothing"),
        ("SOL", "short", None, "--bankrupt-side: expected long in SOL, got short"),
        ("SOL", None, "many", "--qty: expected a decimal number"),
    ],
)
def test_a_folder_that_does_not_say_it_is_refused(
    market: str, side: str | None, qty: str | None, complaint: str, tmp_path: Path
) -> None:
    """Where the folder has no answer, or two, the option to give is named."""
    rows = ("SOL", "long", "1.00"), ("BTC", "long", "1.00"), ("BTC", "short", "1.00")
    inputs = imported(tmp_path, *rows)

    with pytest.raises(InputError, match=complaint):
        request_of(inputs, market=market, bankrupt_side=side, qty=qty)


def test_without_a_folder_the_request_is_typed(tmp_path: Path) -> None:
    """With files alone, side and quantity must be given, and each is asked for by name."""
    for name in ("positions.csv", "marks.csv"):
        (tmp_path / name).touch()
    inputs = Inputs.of(
        tmp_path / "positions.csv",
        marks=tmp_path / "marks.csv",
        accounts=None,
        markets=None,
        neutral=None,
    )

    for side, qty, option in ((None, "1", "--bankrupt-side"), ("long", None, "--qty")):
        with pytest.raises(InputError, match=f"{option}: expected a value"):
            request_of(inputs, market="M", bankrupt_side=side, qty=qty)
