"""Replay: every bankruptcy once, in order, whatever interrupts it; equal to plain plans."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from commandline import call
from deleverage import Venue, plan
from deleverage.errors import InputError, InvariantError, StateError
from deleverage.lab import metrics
from deleverage.lab.dump import MANIFEST, Dump, positions_folder
from deleverage.lab.generate import Request, generate_dump
from deleverage.lab.replay import POLICIES, read_results, replay
from deleverage.lab.replay_event import EVENTS, FILLS, METRICS
from deleverage.lab.replay_policy import Share
from deleverage.lab.report_run import read_run
from replays import assert_same, results, step

Capture = pytest.CaptureFixture[bytes]

REQUEST = Request(positions=4_000, markets=10, snapshots=2, seed=11)
VENUES = ("hyperliquid", "bitmex", "ethereal")


class Stop(Exception):  # noqa: N818 - an interruption, no error
    """Cuts a run off."""


@pytest.fixture(scope="session")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Dump:
    """A small dump with two snapshots."""
    return generate_dump(tmp_path_factory.mktemp("replay") / "dump", REQUEST)


@pytest.fixture(scope="session")
def venues() -> list[Venue]:
    """Three editions: by account value, by bankruptcy distance, by account."""
    return [Venue.load(name) for name in VENUES]


@pytest.fixture(scope="session")
def whole(dump: Dump, venues: list[Venue], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("replay") / "run"
    replay(dump, run, venues=venues)
    return run


@pytest.mark.parametrize("name", VENUES)
@pytest.mark.parametrize("market", ["BTC", "HYPE"])
def test_events_are_plain_plans_one_after_the_other(
    name: str, market: str, dump: Dump, whole: Path
) -> None:
    """An event's fills are those of `plan` on the book that the events before have left."""
    venue = Venue.load(name)
    fills = read_results(whole, "fills").filter(pl.col("venue") == name)
    for snapshot in range(2):
        book = dump.positions(snapshot, market)
        accounts = dump.accounts(snapshot).with_columns(created_at=pl.col("account").cast(pl.Int64))
        events = dump.bankruptcies.filter(
            pl.col("snapshot") == snapshot, pl.col("market").cast(pl.String) == market
        )
        assert events.height > 3
        for event in events.iter_rows(named=True):
            own = fills.filter(pl.col("event") == event["event"])
            expected = plan(
                book,
                marks=dump.marks_at(snapshot, event["time"]).filter(
                    pl.col("market").cast(pl.String) == market
                ),
                accounts=accounts,
                markets=dump.markets,
                venue=venue,
                market=market,
                bankrupt_side=event["side"],
                qty=event["qty"],
                bankruptcy_price=event["bankruptcy_price"],
                bankrupt_account=event["account"],
            )
            columns = ("position_id", "account", "qty_closed", "qty_left", "price")
            assert own.select(columns).rows() == expected.fills.select(columns).rows()
            book = step(book, own)


def test_every_event_is_there_once(dump: Dump, venues: list[Venue], whole: Path) -> None:
    """Each event has one row a venue, in order, and its quantity is accounted for."""
    found = results(whole)
    events = found["events"]
    closed = found["fills"].group_by("event", "venue", "policy").agg(pl.col("qty_closed").sum())
    joined = events.join(closed, on=["event", "venue", "policy"], how="left")
    sums = joined["qty_closed"].fill_null(0) + joined["unfilled"]

    assert events.height == dump.bankruptcies.height * len(venues)
    assert not events.select("event", "venue", "policy").is_duplicated().any()
    assert sorted(set(events["event"])) == dump.bankruptcies["event"].to_list()
    assert (sums == joined["requested"]).all()
    assert set(events["reason"]) <= {"filled", "queue_exhausted", "nothing_eligible"}
    assert dict(events.schema) == dict(EVENTS)
    assert dict(found["fills"].schema) == dict(FILLS)
    assert dict(found["metrics"].schema) == dict(METRICS)


def test_nobody_is_closed_beyond_the_position(dump: Dump, whole: Path) -> None:
    """Over all events of a snapshot a venue closes at most what a position had."""
    fills = read_results(whole, "fills").join(
        dump.bankruptcies.select("event", "snapshot"), on="event"
    )
    for snapshot in range(2):
        closed = (
            fills.filter(pl.col("snapshot") == snapshot)
            .group_by("venue", "position_id")
            .agg(pl.col("qty_closed").sum())
            .join(dump.positions(snapshot), on="position_id")
        )
        assert closed.height > 0
        assert (closed["qty_closed"] <= closed["qty"]).all()


def test_measures_are_those_of_the_fills(dump: Dump, whole: Path) -> None:
    """An event's measures are the metrics of its own fills, worked out from the tables."""
    found = results(whole)
    event = int(dump.bankruptcies.sort("qty")["event"][-1])
    row = dump.marked(dump.bankruptcies).filter(pl.col("event") == event).row(0, named=True)
    mark = row["mark"]
    for name in VENUES:
        here = (pl.col("event") == event) & (pl.col("venue") == name)
        fills = found["fills"].filter(here)
        measured = found["metrics"].filter(here).row(0, named=True)
        qty = fills["qty_closed"].cast(pl.Float64).to_numpy()
        worth = qty * float(mark)
        assert measured["notional"] == pytest.approx(worth.sum())
        assert measured["top_share"] == pytest.approx(metrics.top_share(worth))
        assert measured["concentration"] == pytest.approx(metrics.concentration(worth))
        assert measured["gini"] == pytest.approx(metrics.gini(worth), abs=1e-12)
        assert measured["participation"] == fills.height / measured["entries"]
        gap = abs(float(row["bankruptcy_price"]) - float(mark))
        assert measured["needed"] == pytest.approx(qty.sum() * gap)


def test_entries_are_those_that_are_still_there(dump: Dump, whole: Path) -> None:
    """A side's entries are its positions, without bankrupt accounts and whom a cut closed whole."""
    found, other = results(whole), {"long": "short", "short": "long"}
    for snapshot in range(2):
        rows = dump.positions(snapshot).with_columns(pl.col("market", "side").cast(pl.String))
        events = dump.bankruptcies.filter(pl.col("snapshot") == snapshot)
        held = {row["position_id"]: row for row in rows.iter_rows(named=True)}
        left = {name: row["qty"] for name, row in held.items()}
        failed = set(zip(events["market"].cast(pl.String), events["account"], strict=True))
        for event in events.sort("event").iter_rows(named=True):
            here = (pl.col("event") == event["event"]) & (pl.col("venue") == "bitmex")
            there = (str(event["market"]), other[str(event["side"])])
            standing = [
                name
                for name, row in held.items()
                if (row["market"], row["side"]) == there
                and (row["market"], row["account"]) not in failed
                and left[name] > 0
            ]
            assert found["metrics"].filter(here)["entries"].to_list() == [len(standing)]
            for fill in found["fills"].filter(here).iter_rows(named=True):
                left[fill["position_id"]] -= fill["qty_closed"]


def test_who_settles_at_bankruptcy_executes_what_is_needed(whole: Path) -> None:
    """At the bankruptcy price what is taken is what is missing; without a price nothing is said."""
    measured = read_results(whole, "metrics")
    bitmex = measured.filter(pl.col("venue") == "bitmex")
    ethereal = measured.filter(pl.col("venue") == "ethereal")

    assert bitmex["executed"].to_list() == pytest.approx(bitmex["needed"].to_list())
    assert ethereal["executed"].null_count() == ethereal.height
    assert (
        read_results(whole, "events").filter(pl.col("venue") == "ethereal")["price"].is_null().all()
    )


@pytest.mark.parametrize("at_once", [1, 900])
def test_what_is_read_at_once_changes_nothing(
    at_once: int, dump: Dump, venues: list[Venue], whole: Path, tmp_path: Path
) -> None:
    """One market at a time, a few or all of them: the same tables; a run keeps to its own."""
    replay(dump, tmp_path / "run", venues=venues, rows_at_once=at_once)

    assert len((tmp_path / "run/state.jsonl").read_text().splitlines()) > 2
    assert_same(whole, tmp_path / "run")
    with pytest.raises(StateError, match="got another"):
        replay(dump, tmp_path / "run", venues=venues)
    with pytest.raises(InputError, match="rows_at_once"):
        replay(dump, tmp_path / "other", venues=venues, rows_at_once=0)


@pytest.mark.parametrize("after", [1, 7])
def test_an_interrupted_run_goes_on(
    after: int, dump: Dump, venues: list[Venue], whole: Path, tmp_path: Path
) -> None:
    """A run that is cut off anywhere and started again has the same tables, nothing twice."""
    run = tmp_path / "run"
    units = 0

    def stop(_: int, __: int) -> None:
        nonlocal units
        units += 1
        if units == after:
            raise Stop

    with pytest.raises(Stop):
        replay(dump, run, venues=venues, progress=stop, rows_at_once=1)
    assert len((run / "state.jsonl").read_text().splitlines()) == after
    done = replay(dump, run, venues=venues, rows_at_once=1)

    assert done.resumed > 0
    assert done.events == dump.bankruptcies.height
    assert_same(whole, run)
    again = replay(dump, run, venues=venues, rows_at_once=1)
    assert (again.rows, again.resumed) == (0, dump.bankruptcies.height)


def test_a_killed_run_goes_on(dump: Dump, venues: list[Venue], whole: Path, tmp_path: Path) -> None:
    """A process that dies between two units leaves what it had finished, and no more."""
    program = """
import os, sys
from pathlib import Path
from deleverage import Venue
from deleverage.lab.dump import Dump
from deleverage.lab.replay import replay
venues = [Venue.load(name) for name in sys.argv[3:]]
units = []
def die(done, total):
    units.append(done)
    if len(units) == 4:
        os._exit(9)
replay(Dump.open(Path(sys.argv[1])), Path(sys.argv[2]), venues=venues, progress=die, rows_at_once=1)
"""
    words = (str(dump.directory), str(tmp_path / "run"), *VENUES)
    died = subprocess.run([sys.executable, "-c", program, *words], check=False)

    assert died.returncode == 9
    again = replay(dump, tmp_path / "run", venues=venues, rows_at_once=1)
    assert again.resumed > 0
    assert_same(whole, tmp_path / "run")


def test_a_torn_line_and_a_lost_line_are_mended(
    dump: Dump, venues: list[Venue], whole: Path, tmp_path: Path
) -> None:
    """A unit counts as done once its whole line is there; one written without it is redone."""
    run = tmp_path / "run"
    replay(dump, run, venues=venues, rows_at_once=1)
    state = run / "state.jsonl"
    lines = state.read_text().splitlines(keepends=True)
    state.write_text("".join(lines[:-2]) + lines[-2][:9])
    (run / "fills/.torn.parquet.part").write_bytes(b"half")
    done = replay(dump, run, venues=venues, rows_at_once=1)

    assert done.rows > 0
    assert sorted(state.read_text().splitlines()) == sorted(line.strip() for line in lines)
    assert_same(whole, run)


def test_parts_and_buffers_change_nothing(venues: list[Venue], whole: Path, tmp_path: Path) -> None:
    """The same rows in other parts give the same results."""
    other = generate_dump(tmp_path / "dump", REQUEST, held_back=1)
    folder = positions_folder(other.directory, 0, "BTC")
    (part,) = folder.glob("*.parquet")
    rows = pl.read_parquet(part)
    for number, start in enumerate(range(0, rows.height, 37)):
        rows.slice(start, 37).write_parquet(folder / f"part-{number:05d}.parquet")
    replay(other, tmp_path / "run", venues=venues)

    assert_same(whole, tmp_path / "run")


def test_all_or_nothing_leaves_the_book_alone(tmp_path: Path) -> None:
    """Where an edition closes all or nothing, an event that is too large closes nothing."""
    place = tmp_path / "dump"
    generate_dump(place, REQUEST)
    frame = pl.read_parquet(place / "bankruptcies.parquet")
    is_first = pl.col("event") == 0
    huge = pl.when(is_first).then(pl.col("qty") * 1_000_000).otherwise(pl.col("qty"))
    frame = frame.with_columns(qty=huge.cast(frame.schema["qty"]))
    frame.write_parquet(place / "bankruptcies.parquet")
    editions = [Venue.load("strike-type2"), Venue.load("bitmex")]
    replay(Dump.open(place), tmp_path / "run", venues=editions)
    first = read_results(tmp_path / "run", "events").filter(is_first)

    assert first.select("venue", "reason").rows() == [
        ("bitmex", "queue_exhausted"),
        ("strike-type2", "all_or_nothing_failed"),
    ]
    assert first.filter(pl.col("venue") == "strike-type2")["fills"].item() == 0


def test_a_policy_must_account_for_the_quantity(dump: Dump, tmp_path: Path) -> None:
    """A policy that closes another quantity than asked for breaks the run, and nothing is kept."""

    def careless(side: Any, lots: int, excluded: np.ndarray) -> Share:
        share = POLICIES["queue"](side, lots, excluded)
        return share._replace(unfilled=share.unfilled + 1)

    policies: Mapping[str, Any] = {"careless": careless}
    with pytest.raises(InvariantError, match="policy careless"):
        replay(dump, tmp_path / "run", venues=[Venue.load("bitmex")], policies=policies)
    assert (tmp_path / "run/state.jsonl").read_text() == ""


def test_policies_live_apart(dump: Dump, whole: Path, tmp_path: Path) -> None:
    """Each policy has a history of its own: two of one kind have the same."""
    run = tmp_path / "run"
    policies = {"queue": POLICIES["queue"], "again": POLICIES["queue"]}
    replay(dump, run, venues=[Venue.load("bitmex")], policies=policies)
    fills = read_results(run, "fills")
    columns = [name for name in fills.columns if name not in ("policy", "venue")]
    own = read_results(whole, "fills").filter(pl.col("venue") == "bitmex").select(columns)

    for policy in policies:
        assert fills.filter(pl.col("policy") == policy).select(columns).equals(own)


def test_another_run_is_not_touched(dump: Dump, tmp_path: Path) -> None:
    """A directory with another run, or with anything else, is refused and stays as it is."""
    run = tmp_path / "run"
    bitmex = Venue.load("bitmex")
    replay(dump, run, venues=[bitmex])
    before = (run / "state.jsonl").read_text()
    with pytest.raises(StateError, match="got another"):
        replay(dump, run, venues=[Venue.load("hyperliquid")])
    assert (run / "state.jsonl").read_text() == before

    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/thesis.txt").write_text("years of work")
    with pytest.raises(StateError, match="new or empty directory"):
        replay(dump, tmp_path / "papers", venues=[bitmex])
    (run / "state.jsonl").write_text("{}\n")
    with pytest.raises(StateError, match="line 1"):
        replay(dump, run, venues=[bitmex])


def test_a_dump_without_an_event_is_an_empty_run(dump: Dump, tmp_path: Path) -> None:
    """Nothing happened: nothing is planned, every table is empty, and there is no story to tell."""
    shutil.copytree(dump.directory, tmp_path / "dump")
    path = tmp_path / "dump/bankruptcies.parquet"
    pl.read_parquet(path).head(0).write_parquet(path)
    run = replay(Dump.open(tmp_path / "dump"), tmp_path / "run", venues=[Venue.load("bitmex")])

    assert (0, 0) == (run.events, run.rows)
    assert read_results(tmp_path / "run", "fills").height == 0
    with pytest.raises(InputError, match="at least one event"):
        read_run(tmp_path / "run")


@pytest.mark.parametrize("table", ["fills", "events", "metrics"])
def test_a_run_that_lost_a_part_is_refused(table: str, whole: Path, tmp_path: Path) -> None:
    """A part that is broken, or gone though it is done, is named; no sum is made without it."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    part = min((run / table).glob("*.parquet"))
    part.write_bytes(b"no table")
    with pytest.raises(InputError, match=f"{part.name}: expected whole Parquet"):
        read_results(run, table)
    with pytest.raises(InputError, match=f"{part.name}: expected whole Parquet"):
        read_run(run)
    part.unlink()
    with pytest.raises(InputError, match=f"{part.name}: expected the part that state.jsonl"):
        read_results(run, table)
    with pytest.raises(InputError, match="replay into a new directory"):
        read_run(run)


def test_what_cannot_be_replayed_is_refused(dump: Dump, tmp_path: Path) -> None:
    """No venue, a venue twice, a missing mark, a missing column: one clear error each."""
    bitmex = Venue.load("bitmex")
    with pytest.raises(InputError, match="at least one venue"):
        replay(dump, tmp_path / "run", venues=[])
    with pytest.raises(InputError, match="each edition once"):
        replay(dump, tmp_path / "run", venues=[bitmex, bitmex])
    with pytest.raises(InputError, match="table: expected one of"):
        read_results(tmp_path / "run", "trades")
    place = tmp_path / "dump"
    generate_dump(place, REQUEST)
    marks = pl.read_parquet(place / "marks.parquet")
    late = dump.bankruptcies["time"][-1]
    marks.filter(pl.col("time") != late).write_parquet(place / "marks.parquet")
    with pytest.raises(InputError, match=f"expected a mark of .* at {late}"):
        replay(Dump.open(place), tmp_path / "run", venues=[bitmex])
    for part in place.glob("positions/*/*/*.parquet"):
        pl.read_parquet(part).drop("margin").write_parquet(part)
    with pytest.raises(InputError, match="expected a column margin"):
        replay(Dump.open(place), tmp_path / "other", venues=[bitmex])


def test_the_command_sums_up(dump: Dump, tmp_path: Path, capsysbinary: Capture) -> None:
    """The command prints a row a venue, says what it did, and goes on with a finished run."""
    words = ("replay", dump.directory, "--venue", "bitmex", "--venue", "hyperliquid")
    words = (*words, "-o", tmp_path / "run")
    table = call(capsysbinary, *words)
    rows = call(capsysbinary, *words, "--format", "json")

    assert {0} >= {table.code, rows.code} or {4} >= {table.code, rows.code}
    assert f"{dump.bankruptcies.height} bankruptcies" in table.err
    assert "done before" in rows.err
    assert ["bitmex", "hyperliquid"] == [row["venue"] for row in rows.json]
    assert rows.json[0]["undershoot"] == pytest.approx(0, abs=1e-3)
    assert rows.json[1]["undershoot"] > 0


def test_the_command_knows_policies_in_either_spelling(
    dump: Dump, tmp_path: Path, capsysbinary: Capture
) -> None:
    """`pro_rata` is `pro-rata`; a policy that is named twice is played once."""
    names = ("queue", "pro_rata", "pro-rata", "min_max")
    words = [word for name in names for word in ("--policy", name)]
    shown = call(
        capsysbinary,
        *("replay", dump.directory, "--venue", "bitmex", "-o", tmp_path / "run"),
        *(*words, "--format", "json"),
    )

    assert ["min-max", "pro-rata", "queue"] == [row["policy"] for row in shown.json]
    assert shown.json[1]["participation"] > shown.json[2]["participation"]


def test_the_command_refuses_what_it_does_not_know(
    dump: Dump, tmp_path: Path, capsysbinary: Capture
) -> None:
    """An unknown policy, an unfinished dump: 2, one line, nothing written."""
    words = ("--venue", "bitmex", "-o", tmp_path / "run")
    policy = call(capsysbinary, "replay", dump.directory, *words, "--policy", "lottery")
    (tmp_path / "dump").mkdir()
    facts = {**dump.facts, "complete": False}
    (tmp_path / "dump" / MANIFEST).write_text(json.dumps(facts))
    cut = call(capsysbinary, "replay", tmp_path / "dump", *words)

    assert (2, 2) == (policy.code, cut.code)
    assert "lottery" in policy.err
    assert "cut off" in cut.err
    assert not (tmp_path / "run").exists()
