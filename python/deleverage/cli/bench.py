"""`deleverage bench`: this machine against the floor of reading the columns once."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from deleverage.cli.exits import ExitCode, say
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_record
from deleverage.errors import InputError
from deleverage.lab import bench
from deleverage.lab.bench_peers import peers_folder
from deleverage.lab.bench_readme import with_ticks

__all__ = ["Course", "measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What to measure.

    Attributes:
        positions: rows of each book.
        threads: thread counts; 0 is every core.
        rounds: alternating pairs of each line against the floor.
        sections: parts of the run, or none for all.
        is_kept: only the parts that measure a book kept between ticks.
        largest: rows of the largest book of `growth`, 0 for `positions`.
        is_quick: fewer rounds: figures to look at, not to judge by.
    """

    positions: int
    threads: tuple[int, ...]
    rounds: int
    sections: tuple[str, ...]
    is_kept: bool
    largest: int
    is_quick: bool


def measure(course: Course, *, is_readme_written: bool, shape: Format | None, output: str) -> int:
    """Run the benchmark and write its figures.

    Args:
        course: what to measure.
        is_readme_written: write benches/README.md of the source tree too, and the ticks of its
            README.md.
        shape: `--format`; table or JSON.
        output: `-o`.

    Returns:
        The exit code.

    Raises:
        InputError: a figure that was asked for cannot be measured here.
        InvariantError: a rival formulation found another answer than ours.
        OutputError: a file cannot be written.
    """
    unknown = [name for name in course.sections if name not in bench.SECTIONS]
    if unknown:
        known = ", ".join(bench.SECTIONS)
        raise InputError(f"--section: expected one of {known}, got {unknown[0]!r}")
    sink = Sink.of(shape, output, allowed=(Format.TABLE, Format.JSON))
    readme = _readme() if is_readme_written else None
    report = bench.run(
        course.positions,
        threads=course.threads,
        rounds=course.rounds,
        quick=course.is_quick,
        progress=say,
        sections=course.sections or (bench.KEPT if course.is_kept else bench.SECTIONS),
        largest=course.largest,
    )
    emit_record(report.to_dict(), sink, table=report.to_markdown)
    if readme is not None:
        Sink(format=Format.TABLE, path=readme).write_text(report.to_markdown())
        say(f"{readme} is written")
        _draw(report, readme)
        _show_ticks(report, readme.parents[1] / "README.md")
    return ExitCode.DONE


def _draw(report: bench.Report, readme: Path) -> None:
    """Draw the growth beside the page, where it was measured and the pictures' extra is there."""
    try:
        picture = import_module("deleverage.lab.bench_picture")
    except ImportError as missing:
        say(f"no picture of the growth: {missing.name} is not installed (extra `lab`)")
        return
    if picture.write_growth(report.measurements, readme):
        say(f"{readme.parent / picture.PICTURE} is drawn")


def _show_ticks(report: bench.Report, page: Path) -> None:
    """Put the ticks into the project's first page, where they were measured."""
    text = page.read_text(encoding="utf-8")
    shown = with_ticks(text, report)
    if shown != text:
        Sink(format=Format.TABLE, path=page).write_text(shown)
        say(f"{page} shows the ticks")


def _readme() -> Path:
    """The page of the benches, which only a source tree has."""
    folder = peers_folder()
    if folder is None:
        raise InputError("--write-readme: expected a source tree with benches/, got a package")
    return folder.parent / "README.md"
