"""The measurements: what a report holds and says. No test here asserts a time."""

import json
from pathlib import Path

import numpy as np
import pytest

import house
from deleverage import InputError, ranking
from deleverage.lab import bench, bench_peers
from deleverage.lab.bench_cases import CASES, subject_of
from deleverage.lab.bench_report import Goal, Measurement, Report, measured
from deleverage.lab.bench_select import SHARES, SIDE, question
from deleverage.lab.books import Book, Distribution, generate, market_sizes
from deleverage.lab.crash import synthetic_crash

POSITIONS = 4_000
PEERS = house.ROOT / "benches" / "peers"


def _line(ours: list[float], theirs: list[float], goal: Goal) -> Measurement:
    return measured(
        section="select",
        case="case",
        distribution="log_normal",
        positions=1,
        threads=1,
        ours=ours,
        theirs=theirs,
        goal=goal,
    )


@pytest.fixture(scope="module")
def report() -> Report:
    """A quick run over all sections at a small size."""
    return bench.run(POSITIONS, threads=(1, 0), rounds=2, quick=True)


def test_a_report_has_every_section(report: Report) -> None:
    """A run measures every section and, with the peers at hand, leaves nothing out."""
    assert {*bench.SECTIONS, "order"} == set(report.sections())
    assert () == report.skipped


def test_select_is_measured_for_every_rule_share_and_thread_count(report: Report) -> None:
    """Every rule meets every share of the side on every number of threads."""
    lines = [line for line in report.measurements if line.section == "select"]

    expected = {
        (f"{name}, {share:.2%}", n) for name in CASES for share in SHARES for n in report.threads
    }
    assert expected == {(line.case, line.threads) for line in lines}


def test_an_engine_is_loaded_and_cuts_what_was_asked(report: Report) -> None:
    """Its lines stand beside the journal's, each cut of as many positions as it says."""
    lines = {line.case: line for line in report.measurements if line.section == "journal"}

    assert "load a book into an engine" in lines
    assert [2, 100] == [line.selected for line in lines.values() if line.selected]
    cut = lines["plan and commit 2 fills"]
    assert (cut.positions, cut.ours.rounds) == (POSITIONS, report.rounds)


def test_narrow_instruction_sets_are_forced_up_to_a_thousandth(report: Report) -> None:
    """Every instruction set of the machine is measured for the two smallest shares."""
    lines = [line for line in report.measurements if line.case == "bitmex, 0.10%"]

    expected = {"auto", *ranking.simd_levels()[:-1]}
    assert expected == {line.simd for line in lines if line.section == "select"}


def test_few_pairs_judge_no_goal_against_the_floor(report: Report) -> None:
    """With fewer than 21 pairs a goal against the floor is neither met nor missed."""
    lines = [line for line in report.measurements if line.section in {"select", "lights"}]

    assert {None} == {line.is_met for line in lines}


def test_a_ratio_is_the_median_of_the_pairs(report: Report) -> None:
    """Alternating pairs are compared one by one, and 21 of them judge the goal."""
    ours = [2.0] * 10 + [3.0] * 11
    theirs = [1.0] * 10 + [2.0] * 11

    line = _line(ours, theirs, Goal(limit=1.5))

    assert (1.5, True) == (line.ratio, line.is_met)
    assert report.rounds < 21


def test_a_missed_goal_is_reported_as_missed() -> None:
    """A ratio above its bound, or a speed-up below it, is a goal that is not met."""
    slow = _line([2.0] * 21, [1.0] * 21, Goal(limit=1.5))
    behind = _line([1.0] * 21, [5.0] * 21, Goal(limit=6.0, is_speedup=True))

    assert (2.0, False) == (slow.ratio, slow.is_met)
    assert (5.0, False) == (behind.ratio, behind.is_met)


def test_json_and_markdown_say_the_same(report: Report) -> None:
    """The JSON has every line of the report, the page has every case of it."""
    told = json.loads(report.to_json())
    page = report.to_markdown()

    assert len(report.measurements) == len(told["measurements"])
    assert report.machine.cpu == told["machine"]["cpu"]
    assert all(line.case in page for line in report.measurements)


def test_the_page_of_the_benches_is_the_report(report: Report, tmp_path: Path) -> None:
    """`write_readme` writes the Markdown of the report and nothing else."""
    bench.write_readme(report, tmp_path / "README.md")

    assert report.to_markdown() == (tmp_path / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", bench_peers.SELECT_PEERS)
@pytest.mark.parametrize("share", SHARES)
def test_a_peer_selects_the_same_ids(name: str, case: str, share: float) -> None:
    """Every peer returns exactly the ids that `select` returns."""
    harness, peer = bench_peers.load(PEERS, "peer_harness"), bench_peers.load(PEERS, name)
    book = generate(POSITIONS, seed=3)
    asked = harness.question_of(book, rule=CASES[case].peer, side=SIDE, share=share)

    ids = peer.select(peer.prepare(harness.columns_of(book), CASES[case].peer), asked)

    head = question(subject_of(book, CASES[case]), share, threads=1)()
    assert np.array_equal(np.sort(book.position_id[head.rows]), np.sort(ids))


@pytest.mark.parametrize("arrange", [Book.by_account, Book.shuffled])
def test_a_peer_shows_the_same_lights(arrange: object) -> None:
    """Polars' `rank().over()` shows the lights that `lights` by entries shows."""
    assert callable(arrange)
    book = arrange(generate(POSITIONS, seed=3, markets=7))

    line = bench_peers.measure_lights_peer(book, PEERS, layout="", rounds=1)

    assert POSITIONS == line.positions


@pytest.mark.parametrize("kind", Distribution)
def test_a_book_is_what_the_kernel_accepts(kind: Distribution) -> None:
    """Every distribution gives columns within range, and the same bytes for the same seed."""
    book, again = (generate(POSITIONS, seed=5, distribution=kind, markets=9) for _ in range(2))

    assert np.all(book.lots != 0)
    assert np.all(book.entry_value > 0)
    assert np.all(book.margin > 0)
    assert POSITIONS == len(np.unique(book.position_id))
    assert np.array_equal(book.entry_value, again.entry_value)
    assert np.all(np.diff(book.market.astype(np.int64)) >= 0)


def test_everybody_at_a_loss_is_at_a_loss() -> None:
    """In the book `loss` no position has a positive score."""
    subject = subject_of(generate(POSITIONS, distribution="loss"), CASES["bitmex"])

    scores = ranking.score(subject.columns, subject.rates[0], rule=subject.case.rule).score

    assert np.nanmax(scores) <= 0


def test_ties_share_exact_scores() -> None:
    """In the book `ties` a few hundred scores serve thousands of positions."""
    subject = subject_of(generate(POSITIONS, distribution="ties"), CASES["strike-type1"])

    scores = ranking.score(subject.columns, subject.rates[0], rule=subject.case.rule).score

    assert len(np.unique(scores[~np.isnan(scores)])) < POSITIONS / 8


@pytest.mark.parametrize("kind", Distribution)
def test_market_sizes_add_up(kind: Distribution) -> None:
    """However they are shared out, the rows of the markets are all the rows."""
    assert 10_007 == market_sizes(10_007, 500, kind).sum()


def test_a_book_refuses_what_it_cannot_draw() -> None:
    """A count below one and an unknown distribution are refused by name."""
    with pytest.raises(InputError, match="positions: expected at least 1, got 0"):
        generate(0)
    with pytest.raises(InputError, match="distribution: expected one of log_normal"):
        generate(10, distribution="normal")


def test_a_run_refuses_what_it_cannot_measure() -> None:
    """Too few positions and an unknown section are refused by name."""
    with pytest.raises(InputError, match="positions: expected at least 1000, got 10"):
        bench.run(10)
    with pytest.raises(InputError, match="sections: expected some of select"):
        bench.run(1_000, sections=("speed",))


def test_a_crash_has_alice_and_zed() -> None:
    """The demo's book has one short called alice and one long called zed, who is bankrupt."""
    crash = synthetic_crash(seed=2, positions=500)

    named = crash.positions.filter(crash.positions["account"].is_in(["alice", "zed"]))
    assert [("alice", "short"), ("zed", "long")] == named.select("account", "side").rows()
    assert ("zed", "long") == (crash.bankruptcy.account, crash.bankruptcy.side)
    assert 500 == len(crash.positions) == len(crash.accounts)
