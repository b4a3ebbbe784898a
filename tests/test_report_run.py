"""The report on a run: figures worked out plainly from its tables, a page that stands alone."""

import shutil
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from commandline import call
from deleverage import Venue
from deleverage.errors import InputError
from deleverage.lab.dump import Dump
from deleverage.lab.generate import Request, generate_dump
from deleverage.lab.pictures_run import RUN_PICTURES, Draw, pictures_of
from deleverage.lab.pictures_style import png, svg
from deleverage.lab.replay import POLICIES, read_results, replay
from deleverage.lab.replay_pool import PoolTerms
from deleverage.lab.replay_sweep import SWEEP, Case, sweep
from deleverage.lab.report_replay import run_html, run_pictures
from deleverage.lab.report_run import RUN_SUMMARY, RunStory, read_run
from deleverage.lab.report_run_words import RUN_CAPTIONS, RUN_MEASURES
from test_replay_pool import POOL
from test_report import Reader

Capture = pytest.CaptureFixture[bytes]

TWO = ("queue", "pro-rata")


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Dump:
    """A small dump with two snapshots."""
    request = Request(positions=4_000, markets=10, snapshots=2, seed=11)
    return generate_dump(tmp_path_factory.mktemp("story") / "dump", request)


@pytest.fixture(scope="module")
def run(dump: Dump, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run under two venues and policies with a pool."""
    place = tmp_path_factory.mktemp("story") / "run"
    venues = [Venue.load("bitmex"), Venue.load("generic")]
    policies = {name: POLICIES[name] for name in TWO}
    replay(dump, place, venues=venues, policies=policies, pool=POOL)
    return place


@pytest.fixture(scope="module")
def story(dump: Dump, run: Path) -> RunStory:
    """The run, read with its dump."""
    return read_run(run, dump=dump.directory)


def plain(run: Path, venue: str, policy: str) -> dict[int, float]:
    """Notional closed of each account, fill by fill."""
    events = {row["event"]: row for row in read_results(run, "events").iter_rows(named=True)}
    found: dict[int, float] = defaultdict(float)
    for fill in read_results(run, "fills").iter_rows(named=True):
        if (fill["venue"], fill["policy"]) == (venue, policy):
            found[fill["account"]] += float(fill["qty_closed"] * events[fill["event"]]["mark"])
    return found


def test_the_summary_is_worked_out_from_the_fills(run: Path, story: RunStory) -> None:
    """Accounts, notional, shares and unevenness of each line equal sums made fill by fill."""
    for venue, policy in story.keys:
        own = plain(run, venue, policy)
        every = set(own) | set(plain(run, venue, TWO[policy == TWO[0]]))
        row = story.of(story.summary, (venue, policy)).row(0, named=True)
        assert row["accounts"] == len(own)
        assert row["participation"] == pytest.approx(len(own) / len(every))
        assert row["notional"] == pytest.approx(sum(own.values()))
        assert row["top_share"] == pytest.approx(max(own.values()) / sum(own.values()))
        closed, held = story.burdens[venue, policy]
        assert len(closed) == len(every)
        assert closed.sum() == pytest.approx(row["notional"])
        assert bool((closed <= held * (1 + 1e-9)).all())
    ginis = dict(story.summary.filter(venue="bitmex").select("policy", "gini").iter_rows())
    assert ginis["pro-rata"] < ginis["queue"]


def test_waves_are_gross_and_add_up(run: Path, story: RunStory) -> None:
    """Over- and undershoot of a wave are the two sides of one gap, summed over its events."""
    tables = read_results(run, "events").join(
        read_results(run, "metrics"), on=["event", "venue", "policy"]
    )
    for row in story.waves.iter_rows(named=True):
        own = tables.filter(venue=row["venue"], policy=row["policy"], wave=row["wave"])
        needed, markout = sum(own["needed"]), max(0.0, sum(own["markout"]))
        assert row["needed"] == pytest.approx(needed)
        assert row["overshoot"] == pytest.approx(max(0.0, markout - needed), abs=1e-6)
        assert row["undershoot"] == pytest.approx(max(0.0, needed - markout), abs=1e-6)
        assert row["events"] == own.height


def test_naked_is_what_a_cut_leaves_open(dump: Dump, run: Path, story: RunStory) -> None:
    """Each account's two sides at the snapshot's marks, before and after its fills, by hand."""
    assert story.naked is not None
    events = {row["event"]: row for row in read_results(run, "events").iter_rows(named=True)}
    fills = read_results(run, "fills").filter(venue="bitmex", policy="queue")
    for snapshot in (0, 1):
        marks = {
            str(m): float(p) for m, p in dump.marks_at(snapshot)["market", "mark_price"].rows()
        }
        cut: dict[int, dict[str, float]] = defaultdict(lambda: {"long": 0.0, "short": 0.0})
        for fill in fills.iter_rows(named=True):
            event = events[fill["event"]]
            if event["snapshot"] == snapshot:
                value = float(fill["qty_closed"]) * marks[event["market"]]
                cut[fill["account"]][fill["side"]] += value
        held: dict[int, dict[str, float]] = defaultdict(lambda: {"long": 0.0, "short": 0.0})
        for account, market, side, qty in dump.positions(
            snapshot, columns=["account", "market", "side", "qty"]
        ).iter_rows():
            held[account][side] += float(qty) * marks[market]
        naked = hedged = 0.0
        for account, gone in cut.items():
            have = held[account]
            net = have["long"] - have["short"]
            after = net - gone["long"] + gone["short"]
            naked += max(0.0, abs(after) - abs(net))
            hedged += min(have.values())
        own = story.naked.filter(venue="bitmex", policy="queue", snapshot=snapshot)
        assert own["naked"].sum() == pytest.approx(naked, rel=1e-9, abs=1e-6)
        assert own["hedged"].sum() == pytest.approx(hedged, rel=1e-9, abs=1e-6)
    assert story.naked["naked"].sum() > 0


def test_the_page_is_whole_and_alone(run: Path, dump: Dump, story: RunStory) -> None:
    """Tags close, nothing is loaded, anchors exist, and written again it is the same bytes."""
    page = run_html(story, command="deleverage report <run>")
    reader = Reader()
    reader.feed(page)

    assert reader.open == []
    assert reader.loaded == []
    assert {link[1:] for link in reader.links} <= reader.anchors
    assert set(RUN_PICTURES) <= reader.anchors
    assert "report &lt;run&gt;" in page
    again = read_run(run, dump=dump.directory)
    assert run_html(again, command="deleverage report <run>") == page


@pytest.mark.parametrize("name", sorted(RUN_PICTURES))
def test_a_picture_is_sound_with_a_caption(name: str, story: RunStory) -> None:
    """Each picture parses as XML, is the same bytes twice, and has a title and two sentences."""
    draw = RUN_PICTURES[name]
    root = ET.fromstring(svg(draw, story))  # noqa: S314 - drawn here

    assert root.tag.endswith("svg")
    assert png(draw, story) == png(draw, story)
    assert list(RUN_CAPTIONS) == list(RUN_PICTURES)
    assert list(RUN_MEASURES) == list(RUN_SUMMARY)[2:]
    assert RUN_CAPTIONS[name].shown.endswith(".")
    assert RUN_CAPTIONS[name].reading.endswith(".")


def test_only_what_the_run_has_is_drawn(dump: Dump, tmp_path: Path) -> None:
    """Without pool, price and dump those pictures are left out, and figures are dashes."""
    replay(dump, tmp_path / "run", venues=[Venue.load("ethereal")])
    story = read_run(tmp_path / "run")
    drawn = set(pictures_of(story))

    assert drawn == set(RUN_PICTURES) - {"waves", "pool", "naked"}
    assert story.summary["executed"].is_null().all()
    page = run_html(story, command="x")
    assert "not known" in page
    assert "<td>-</td>" in page
    paths = run_pictures(story, tmp_path / "png")
    assert {path.stem for path in paths} == drawn


def test_a_run_whose_pool_took_everything_gives_a_page(dump: Dump, tmp_path: Path) -> None:
    """Where nobody was cut every table is empty and the page still stands."""
    pool = PoolTerms(cash=10**4 * POOL.cash)
    replay(dump, tmp_path / "run", venues=[Venue.load("generic")], pool=pool)
    story = read_run(tmp_path / "run", dump=dump.directory)

    assert story.summary["accounts"].to_list() == [0]
    said = {name for name, draw in pictures_of(story).items() if _says_nobody(draw, story)}
    assert said == set(pictures_of(story)) & {"queue", "lorenz", "waves", "naked", "trilemma"}
    assert said >= {"lorenz", "trilemma"}
    assert story.summary["taken_over"].to_list() == [dump.bankruptcies.height]
    assert run_html(story, command="x").count("<svg") == len(pictures_of(story))


def _says_nobody(draw: Draw, story: RunStory) -> bool:
    """Whether a picture is the sentence alone."""
    return "nobody was cut" in svg(draw, story)


def test_the_pool_is_drawn_from_what_it_began_with(story: RunStory) -> None:
    """The first point of each line is the money that was put in, the next what was left of it."""
    figure = Figure()
    RUN_PICTURES["pool"](story, figure)
    axes = figure.axes[0]
    worth = {"units": 1.0, "thousands": 1e3, "millions": 1e6}[axes.get_ylabel()[6:-1]]
    for venue in story.pool["venue"].unique():
        line = next(one for one in axes.lines if one.get_label() == venue)
        own = story.pool.filter(venue=venue).sort("event")
        drawn = [float(y) * worth for y in np.asarray(line.get_ydata())]
        assert drawn == pytest.approx([POOL.cash, *map(float, own["balance"])])


def test_what_is_no_run_is_refused(run: Path, tmp_path: Path) -> None:
    """Another directory, a run without an event, or another dump is one clear error."""
    with pytest.raises(InputError, match=r"expected a directory that `deleverage replay` wrote"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("[]", encoding="utf-8")
    (tmp_path / "state.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="expected an object"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="expected JSON"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="at least one event"):
        read_run(tmp_path)
    request = Request(positions=3_000, markets=10, snapshots=1, seed=12)
    other = generate_dump(tmp_path / "other", request)
    with pytest.raises(InputError, match="got another"):
        read_run(run, dump=other.directory)
    assert read_run(run).naked is None


def test_the_command_reports_on_a_run(
    dump: Dump, run: Path, tmp_path: Path, capsysbinary: Capture
) -> None:
    """`report RUN` writes page and pictures; options of a simulation beside it are refused."""
    page = tmp_path / "page.html"
    words = ("report", run, "--dump", dump.directory, "-o", page, "--png", tmp_path / "png")
    done = call(capsysbinary, *words)

    assert done.code == 0
    assert "deleverage report run --dump dump" in page.read_text(encoding="utf-8")
    assert len(list((tmp_path / "png").iterdir())) == len(RUN_PICTURES)
    odd = (("--venue", "bitmex"), ("--seed", "0"), ("--accounts", "400"), ("--markets", "3"))
    for option, value in odd:
        said = call(capsysbinary, *words, option, value)
        assert said.code == 2
        assert f"{option}: expected nothing beside a run" in said.err
    lost = call(capsysbinary, "report", "--dump", dump.directory, "-o", page)
    assert (lost.code == 0, "--dump: expected a run beside it" in lost.err) == (False, True)


def test_a_run_that_was_cut_off_says_what_is_missing(
    dump: Dump, run: Path, tmp_path: Path, capsysbinary: Capture
) -> None:
    """A page on a part of a history says so, and how many bankruptcies are not in it."""
    part = tmp_path / "run"
    shutil.copytree(run, part)
    first = (part / "state.jsonl").read_text().splitlines()[0]
    (part / "state.jsonl").write_text(first + "\n")
    for path in part.glob("*/snapshot=0001*.parquet"):
        path.unlink()
    done = read_results(part, "events")["event"].n_unique()
    left = dump.bankruptcies.height - done
    page = tmp_path / "page.html"
    said = call(capsysbinary, "report", part, "--dump", dump.directory, "-o", page)

    assert 0 < done < dump.bankruptcies.height
    assert f"cut off, {left} bankruptcies are left" in said.err
    assert f"The replay was cut off: {left} more are not in it." in page.read_text()
    assert "cut off" not in run_html(read_run(run, dump=dump.directory), command="")


def test_the_order_of_the_summary_is_the_tables(story: RunStory) -> None:
    """Lines stand by venue and policy, and are named by both where there are several venues."""
    assert story.keys == sorted(story.keys)
    assert story.label(("bitmex", "queue")) == "bitmex, queue"
    alone = story.summary.filter(pl.col("venue") == "bitmex")
    assert alone.height == len(TWO)


def test_a_sweep_is_one_frame_and_goes_on_where_it_was(dump: Dump, tmp_path: Path) -> None:
    """Cases stand below each other in their order; a case that is done is read, not replayed."""
    pools = {"none": None, "small": POOL, "large": PoolTerms(cash=10**4 * POOL.cash)}
    cases = {name: Case(venues=[Venue.load("generic")], pool=pool) for name, pool in pools.items()}
    told: list[str] = []
    two = {name: cases[name] for name in ("none", "small")}
    first = sweep(dump, tmp_path / "sweep", two, progress=told.append)
    whole = sweep(dump, tmp_path / "sweep", cases)

    assert told == ["none", "small"]
    assert whole.schema == pl.Schema(SWEEP)
    assert whole["case"].to_list() == list(pools)
    assert whole.head(2).equals(first)
    assert whole["taken_over"].is_sorted()
    assert whole["taken_over"][0] == 0
    assert whole["taken_over"][-1] == dump.bankruptcies.height
    with pytest.raises(InputError, match="expected at least one"):
        sweep(dump, tmp_path, {})
    with pytest.raises(InputError, match=r"got '\.\./up'"):
        sweep(dump, tmp_path, {"../up": cases["none"]})
