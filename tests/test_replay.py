"""Replay: every bankruptcy once, in order, whatever interrupts it; equal to plain plans."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from commandline import call
from deleverage import Venue, plan, rank
from deleverage.errors import InputError, InvariantError, StateError
from deleverage.lab import metrics
from deleverage.lab.dump import MANIFEST, Dump, positions_folder
from deleverage.lab.generate import Request, generate_dump
from deleverage.lab.replay import POLICIES, read_results, replay
from deleverage.lab.replay_event import EVENTS, FILLS, METRICS
from deleverage.lab.replay_policy import Share
from deleverage.policy import Capped, Contracts, LeverageDraining, MinMax, ProRata, RiskWeighted
from deleverage.policy.risk_weighted import Power
from house import ROOT

Int64 = np.ndarray[Any, np.dtype[np.int64]]
Capture = pytest.CaptureFixture[bytes]

REQUEST = Request(positions=4_000, markets=10, snapshots=2, seed=11)
VENUES = ("hyperliquid", "bitmex", "ethereal")
OPPOSITE = {"long": "short", "short": "long"}


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


def results(run: Path) -> dict[str, pl.DataFrame]:
    """Every table of a run."""
    return {name: read_results(run, name) for name in ("fills", "events", "metrics")}


def assert_same(one: Path, other: Path) -> None:
    """Two runs have the same tables."""
    found = results(other)
    for name, frame in results(one).items():
        assert frame.equals(found[name]), name


def step(book: pl.DataFrame, fills: pl.DataFrame) -> pl.DataFrame:
    """A book after fills: whole ones gone, values split by lots and rounded down, in fractions."""
    closed = dict(fills.select("position_id", "qty_closed").iter_rows())
    rows = []
    for row in book.iter_rows(named=True):
        gone = closed.get(row["position_id"], Decimal(0))
        left = row["qty"] - gone
        if left <= 0:
            continue
        new = {**row, "qty": left}
        for name in ("entry_value", "margin", "maintenance_margin", "initial_margin"):
            if gone:
                share = row[name] * left / row["qty"]
                new[name] = share.quantize(Decimal("0.000001"), rounding="ROUND_FLOOR")
        rows.append(new)
    return pl.DataFrame(rows, schema=book.schema)


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
    row = dump.bankruptcies.filter(pl.col("event") == event).row(0, named=True)
    mark, _ = dump.marks_of(row["snapshot"], [str(row["market"])])[str(row["market"])][row["time"]]
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


@pytest.fixture(scope="session")
def shared(dump: Dump, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of every policy: equity is the position's own under one edition, the account's under one."""
    run = tmp_path_factory.mktemp("replay") / "shared"
    editions = [Venue.load("bitmex"), Venue.load("cube")]
    replay(dump, run, venues=editions, policies=POLICIES)
    return run


def equities(rows: pl.DataFrame, mark: Decimal, accounts: pl.DataFrame | None) -> Int64:
    """Equity of each row in millionths: its account's, or margin and profit, value rounded down."""
    if accounts is not None:
        found = rows.join(accounts, on="account", how="left", maintain_order="left")["equity"]
        return np.array([int(Decimal(each) * 1_000_000) for each in found], np.int64)
    made = []
    for row in rows.iter_rows(named=True):
        value = int(row["qty"] * mark * 1_000_000)
        gain = value - int(row["entry_value"] * 1_000_000)
        own = int(row["margin"] * 1_000_000)
        made.append(own + (gain if row["side"] == "long" else -gain))
    return np.array(made, np.int64)


def ruled(name: str, lots: Int64, ids: Any, money: tuple[Int64, Int64], amount: int) -> Int64:
    """What a policy of `deleverage.policy` takes, called plainly; money: equity and value."""
    equity, worth = money
    given: Any = Contracts(lots=lots, ids=ids)
    rule: Any = {"pro-rata": ProRata(), "min-max": MinMax()}.get(name)
    if name == "capped":
        given, rule = Contracts(lots=lots, ids=ids, cap=-(-lots // 2)), Capped()
    if name == "leverage-draining":
        given, rule = Contracts(lots=lots, ids=ids, equity=equity), LeverageDraining()
    if name == "risk-weighted":
        pairs = zip(worth.tolist(), equity.tolist(), strict=True)
        leverage = [one * 1_000_000 // own if own > 0 else 0 for one, own in pairs]
        given = Contracts(lots=lots, ids=ids, leverage=np.array(leverage, np.int64))
        rule = RiskWeighted(growth=Power(exponent=1))
    taken: Int64 = rule.allocate(given, amount).taken
    return taken


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "queue"])
@pytest.mark.parametrize("edition", ["bitmex", "cube"])
def test_policies_are_their_rules_called_plainly(
    edition: str, policy: str, dump: Dump, shared: Path
) -> None:
    """An event's cuts are what the policy takes of the candidates that events before have left."""
    market = "BTC"
    (terms,) = dump.markets.filter(pl.col("market").cast(pl.String) == market).iter_rows(named=True)
    lot_size = Decimal(terms["lot_size"])
    own = (pl.col("venue") == edition) & (pl.col("policy") == policy)
    fills = read_results(shared, "fills").filter(own)
    here = pl.col("market").cast(pl.String) == market
    book, accounts = dump.positions(0, market), dump.accounts(0)
    events = dump.bankruptcies.filter(pl.col("snapshot") == 0, here)
    assert events.height > 3
    for event in events.iter_rows(named=True):
        marks = dump.marks_at(0, event["time"]).filter(here)
        ranked = rank(
            book,
            marks=marks,
            venue=Venue.load(edition),
            accounts=accounts,
            markets=dump.markets,
        )
        rows = ranked.filter(
            pl.col("rank").is_not_null(),
            pl.col("side").cast(pl.String) == OPPOSITE[str(event["side"])],
            ~pl.col("account").is_in(events["account"].to_list()),
        )
        lots = np.array([int(qty / lot_size) for qty in rows["qty"]], np.int64)
        mark = marks["mark_price"][0]
        equity = equities(rows, mark, accounts if edition == "cube" else None)
        worth = np.array([int(qty * mark * 1_000_000) for qty in rows["qty"]], np.int64)
        ids = rows["position_id"].cast(pl.UInt64).to_numpy()
        amount = int(event["qty"] / lot_size)
        taken = ruled(policy, lots, ids, (equity, worth), amount)
        found = fills.filter(pl.col("event") == event["event"])
        expected = {
            int(one): lot * lot_size
            for one, lot in zip(ids.tolist(), taken.tolist(), strict=True)
            if lot
        }
        assert dict(found.select("position_id", "qty_closed").iter_rows()) == expected
        book = step(book, found)


def test_policies_account_for_every_quantity(dump: Dump, shared: Path) -> None:
    """Each policy has every event with its measures; closed and unfilled make the request."""
    found = results(shared)
    key = ["event", "venue", "policy"]
    closed = found["fills"].group_by(key).agg(pl.col("qty_closed").sum())
    joined = found["events"].join(closed, on=key, how="left")

    assert found["events"].height == dump.bankruptcies.height * 2 * len(POLICIES)
    assert found["metrics"].select(key).equals(found["events"].select(key))
    assert ((joined["qty_closed"].fill_null(0) + joined["unfilled"]) == joined["requested"]).all()
    bitmex = found["metrics"].filter(pl.col("venue") == "bitmex")
    mean = dict(bitmex.group_by("policy").agg(pl.col("participation").mean()).iter_rows())
    assert mean["queue"] < mean["leverage-draining"] < mean["min-max"] <= mean["pro-rata"]


def test_an_edition_without_equities_refuses_who_reads_them(dump: Dump, tmp_path: Path) -> None:
    """A policy that reads equities under an edition that asks for none: one clear error."""
    policies = {"leverage-draining": POLICIES["leverage-draining"]}
    with pytest.raises(InputError, match="asks for neither margins nor equities"):
        replay(dump, tmp_path / "run", venues=[Venue.load("dydx-v4")], policies=policies)


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


def test_the_demonstration_runs_and_runs_again(tmp_path: Path) -> None:
    """The script draws a crash, replays it under five policies and says where the report is."""
    for word in ("9000", "9000", "many"):
        done = subprocess.run(
            ["sh", ROOT / "examples/lab.sh", _command(tmp_path), tmp_path / "a lab"],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "ROWS": word},
        )
        if word == "many":
            assert (2, "") == (done.returncode, done.stdout)
            assert "ROWS: expected a whole number, got 'many'" in done.stderr
            continue
        assert done.returncode == 0, done.stderr
        assert f"the report:  {tmp_path / 'a lab/report.html'}" in done.stdout
        policies = set(read_results(tmp_path / "a lab/run", "events")["policy"])
        assert len(policies) == 5
        assert "<svg" in (tmp_path / "a lab/report.html").read_text(encoding="utf-8")


def _command(folder: Path) -> Path:
    """The command as a file, of this very package."""
    path = folder / "deleverage"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deleverage.cli "$@"\n')
    path.chmod(0o755)
    return path


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
