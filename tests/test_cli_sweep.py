"""`deleverage replay --sweep`: a row a case, each case a replay of its own, clear refusals."""

from itertools import product
from pathlib import Path

import polars as pl
import pytest

from commandline import call
from deleverage.lab.dump import Dump
from deleverage.lab.generate import Request, generate_dump
from replays import assert_same

Capture = pytest.CaptureFixture[bytes]
POOLS, STARTS = ("30000", "60000"), ("0.3", "0.6")


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Dump:
    """A small dump."""
    request = Request(positions=2_000, markets=6, snapshots=1, seed=11)
    return generate_dump(tmp_path_factory.mktemp("sweep") / "dump", request)


def swept(dump: Dump, place: Path, *words: str) -> tuple[str | Path, ...]:
    """The words of a sweep under two editions."""
    venues = ("--venue", "bitmex", "--venue", "bybit@2025")
    return ("replay", dump.directory, *venues, "-o", place, "--format", "csv", *words)


def test_a_sweep_is_every_combination(dump: Dump, tmp_path: Path, capsysbinary: Capture) -> None:
    """One frame: a row a combination and venue in the order typed, the parameters as columns."""
    words = ("--sweep", f"pool={','.join(POOLS)}", "--sweep", f"start={','.join(STARTS)}")
    done = call(capsysbinary, *swept(dump, tmp_path / "run", *words))
    frame = pl.read_csv(done.out, infer_schema=False)
    keys = product(POOLS, STARTS, ("bitmex", "bybit@2025"))

    assert (0, "4 cases" in done.err) == (done.code, True)
    assert frame.columns[:5] == ["case", "pool", "start", "venue", "policy"]
    pairs = [(float(pool), float(start), venue) for pool, start, venue in keys]
    found = frame.select(pl.col("pool", "start").cast(pl.Float64), "venue").rows()
    assert found == pairs
    assert frame["case"][0] == "pool=30000_start=0.3"
    again = call(capsysbinary, *swept(dump, tmp_path / "run", *words))
    assert again.out == done.out


def test_a_case_is_the_replay_of_its_parameters(
    dump: Dump, tmp_path: Path, capsysbinary: Capture
) -> None:
    """The run of a case equals a replay that is typed with its values; others are as typed."""
    lines = ("--start", "0.3", "--policy", "queue", "--policy", "pro_rata")
    words = swept(dump, tmp_path / "sweep", *lines, "--sweep", "pool=30000,60000")
    table = pl.read_csv(call(capsysbinary, *words).out)
    call(capsysbinary, *swept(dump, tmp_path / "one", *lines, "--pool", "60000"))

    assert_same(tmp_path / "one", tmp_path / "sweep/pool=60000")
    assert table["policy"].to_list() == ["pro-rata", "queue"] * 4


def test_a_number_of_an_edition_is_swept(dump: Dump, tmp_path: Path, capsysbinary: Capture) -> None:
    """An edition's own number changes what it does, and no other edition that has no such one."""
    words = ("--sweep", "price.deviation=0.0001,0.9")
    frame = pl.read_csv(call(capsysbinary, *swept(dump, tmp_path / "run", *words)).out)
    executed = {venue: part["executed"].to_list() for (venue,), part in frame.group_by("venue")}

    assert executed["bitmex"][0] == executed["bitmex"][1]
    assert executed["bybit@2025"][0] < executed["bybit@2025"][1]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--sweep", "pool"), "--sweep: expected NAME=VALUE,VALUE,..., got 'pool'"),
        (("--sweep", "=1"), "--sweep: expected NAME=VALUE,VALUE,..., got '=1'"),
        (("--sweep", "price.deviaton=1"), "level, price.deviation, got 'price.deviaton'"),
        (("--sweep", "pool=1,"), "--sweep pool: expected"),
        (("--sweep", "pool=1,much"), "--sweep pool: expected"),
        (("--sweep", "pool=1,1.0"), "--sweep pool: expected each value once, got 1,1.0"),
        (("--sweep", "pool=1", "--sweep", "pool=2"), "each parameter once, got pool twice"),
        (("--pool", "5", "--sweep", "pool=1"), "--sweep: expected pool once, got --pool beside"),
        (("--sweep", "start=0.3"), "case start=0.3: --start, --stop, --income: expected --pool"),
        (
            ("--pool", "1", "--start", "0.6", "--sweep", "stop=0.7,0.5"),
            "case stop=0.5: --stop: expected at least --start, 0.6, got 0.5",
        ),
        (("--sweep", "pool=1", "--policy", "lottery"), "lottery"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(
    dump: Dump, tmp_path: Path, capsysbinary: Capture, words: tuple[str, ...], complaint: str
) -> None:
    """What is no sweep ends with 2 and one line, and nothing is written."""
    done = call(capsysbinary, *swept(dump, tmp_path / "run", *words))

    assert (2, b"") == (done.code, done.out)
    assert complaint in done.err
    assert 1 == done.err.count("\n")
    assert not (tmp_path / "run").exists()
