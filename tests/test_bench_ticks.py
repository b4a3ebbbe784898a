"""The measurements of a kept book: what their lines say and what is drawn. No time is asserted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deleverage import InputError
from deleverage.cli.bench import Course, measure
from deleverage.cli.options import Format
from deleverage.lab import bench
from deleverage.lab.bench_growth import sizes_up_to
from deleverage.lab.bench_picture import draw_growth, write_growth
from deleverage.lab.bench_readme import BEGIN, END, tick_table, with_ticks
from deleverage.lab.bench_report import Report
from deleverage.lab.bench_ticks import kept_book, run_course
from deleverage.lab.books import generate

POSITIONS = 3_000


@pytest.fixture(scope="module")
def report() -> Report:
    """A quick run of the parts about a kept book."""
    return bench.run(POSITIONS, rounds=2, quick=True, sections=bench.KEPT)


def test_ticks_stand_beside_floor_pass_and_peers(report: Report) -> None:
    """Both shares are held against the floor, a pass over all rows, and each peer."""
    lines = [line for line in report.measurements if line.section == "ticks"]

    assert {"0.1% of a side", "1.0% of a side"} == {
        line.case for line in lines if line.reference == "polars_top_k"
    }
    assert {"select over all rows", "polars_top_k", "duckdb_limit", "numpy_partition"} == {
        line.reference for line in lines if not line.reference.startswith("floor")
    }
    assert 4 == sum(line.reference.startswith("floor") for line in lines)


def test_a_line_of_ticks_says_how_slow_the_slowest_were(report: Report) -> None:
    """The note of a course has its tail and how often a pass was needed."""
    line = next(line for line in report.measurements if line.section == "ticks")

    assert "p99.9" in line.note
    assert "of 200 ticks passed over the side" in line.note


def test_a_kept_book_is_measured_as_a_whole(report: Report) -> None:
    """Bytes, changes, edges and lights: each has a goal and a verdict."""
    lines = [line for line in report.measurements if line.section == "book"]

    assert 7 == len(lines)
    assert all(line.goal is not None and line.is_met is not None for line in lines)


def test_a_second_thread_is_held_against_what_the_floor_gains_by_it(report: Report) -> None:
    """Edges of all markets and a queue of ties are timed with one thread and with two."""
    lines = [line for line in report.measurements if line.reference == "one thread"]

    assert ["log_normal", "ties"] == [line.distribution for line in lines]
    assert all("the floor gains" in line.note for line in lines)


def test_growth_is_measured_at_powers_of_ten() -> None:
    """Sizes go up to the run's own and on to the largest asked for."""
    assert (3_000,) == sizes_up_to(3_000, 0)
    assert (10**5, 10**6, 10**7) == sizes_up_to(10**7, 0)
    assert (10**5, 10**6, 10**7, 10**8) == sizes_up_to(10**7, 10**8)


def test_growth_is_drawn_with_the_floor(report: Report, tmp_path: Path) -> None:
    """The same figures give the same picture: floor, pass, lights and tick against the rows."""
    picture = draw_growth(report.measurements)

    assert picture == draw_growth(report.measurements)
    assert all(name in picture for name in ("floor", "select over all", "lights of", "a tick on a"))
    assert write_growth(report.measurements, tmp_path / "README.md")
    assert picture == (tmp_path / "growth.svg").read_text(encoding="utf-8")
    assert not write_growth((), tmp_path / "README.md")


def test_every_tick_is_counted_once() -> None:
    """A course has as many ticks as were asked for, kept or passed."""
    drawn = generate(POSITIONS, seed=3)

    course = run_course(kept_book(drawn), drawn, share=0.01, is_ordered=True, ticks=25)

    assert 25 == len(course.all)
    assert 0 < course.selected < POSITIONS


def test_the_command_measures_a_kept_book(tmp_path: Path) -> None:
    """`--ticks` takes the parts about a kept book and no others."""
    course = Course(
        positions=1_000,
        threads=(1,),
        rounds=1,
        sections=(),
        is_kept=True,
        largest=0,
        is_quick=True,
    )
    file = tmp_path / "figures.json"

    assert 0 == measure(course, is_readme_written=False, shape=Format.JSON, output=str(file))

    told = json.loads(file.read_text(encoding="utf-8"))
    assert set(bench.KEPT) == {line["section"] for line in told["measurements"]}


def test_the_first_page_shows_every_way_beside_the_ticks(report: Report) -> None:
    """Book, pass, floor and peers are rows, the shares columns, the figures those of the lines."""
    rows = {row.split(" | ")[0]: row for row in tick_table(report).splitlines()}

    kept = next(row for name, row in rows.items() if "new mark, then the head" in name)
    ticks = [line for line in report.measurements if line.section == "ticks"]
    plain = [line for line in ticks if line.reference == "polars_top_k"]
    assert [f"{line.ours.median:.4f} ms" in kept for line in plain] == [True, True]
    assert {"| NumPy", "| Polars", "| DuckDB", "| its slowest tick"} <= rows.keys()
    assert all(cells.count("|") == 4 for cells in rows.values() if cells.startswith("| "))
    assert sum(name.startswith(("| the floor", "| `ranking.select`")) for name in rows) == 2


def test_ticks_go_between_their_marks(report: Report) -> None:
    """What stands between the marks is replaced, what is around them stays; no marks, no page."""
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"

    shown = with_ticks(page, report)

    assert shown == f"before\n{BEGIN}\n{tick_table(report)}\n{END}\nafter\n"
    assert with_ticks(page, replace(report, measurements=())) == page
    with pytest.raises(InputError, match=r"README\.md: expected .* and below it"):
        with_ticks("no marks", report)
