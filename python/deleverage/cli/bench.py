"""`deleverage bench`: this machine against the floor of reading the columns once."""

from dataclasses import dataclass
from pathlib import Path

from deleverage.cli.exits import ExitCode, say
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_record
from deleverage.errors import InputError
from deleverage.lab import bench
from deleverage.lab.bench_peers import peers_folder
from deleverage.lab.bench_ticks import measure_ticks

__all__ = ["Course", "measure", "measure_kept"]

_TICKS = 10_000
_FEW_TICKS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What to measure.

    Attributes:
        positions: rows of each book.
        threads: thread counts; 0 is every core.
        rounds: alternating pairs of each line against the floor.
        sections: parts of the run, or none for all.
        is_quick: fewer rounds: figures to look at, not to judge by.
    """

    positions: int
    threads: tuple[int, ...]
    rounds: int
    sections: tuple[str, ...]
    is_quick: bool


def measure(course: Course, *, is_readme_written: bool, shape: Format | None, output: str) -> int:
    """Run the benchmark and write its figures.

    Args:
        course: what to measure.
        is_readme_written: write benches/README.md of the source tree too.
        shape: `--format`; table or JSON.
        output: `-o`.

    Returns:
        The exit code.

    Raises:
        InputError: a figure that was asked for cannot be measured here.
        InvariantError: a rival formulation found another answer than ours.
        OutputError: a file cannot be written.
    """
    sink = Sink.of(shape, output, allowed=(Format.TABLE, Format.JSON))
    readme = _readme() if is_readme_written else None
    report = bench.run(
        course.positions,
        threads=course.threads,
        rounds=course.rounds,
        quick=course.is_quick,
        progress=say,
        sections=course.sections or bench.SECTIONS,
    )
    emit_record(report.to_dict(), sink, table=report.to_markdown)
    if readme is not None:
        Sink(format=Format.TABLE, path=readme).write_text(report.to_markdown())
        say(f"{readme} is written")
    return ExitCode.DONE


def measure_kept(course: Course, *, shape: Format | None, output: str) -> int:
    """Run the ticks on a kept book and write their figures.

    Args:
        course: its positions, and whether fewer ticks are enough.
        shape: `--format`; table or JSON.
        output: `-o`.

    Returns:
        The exit code.

    Raises:
        OutputError: a file cannot be written.
    """
    sink = Sink.of(shape, output, allowed=(Format.TABLE, Format.JSON))
    ticks = _FEW_TICKS if course.is_quick else _TICKS
    report = measure_ticks(course.positions, ticks=ticks, progress=say)
    emit_record(report.to_dict(), sink, table=report.to_markdown)
    return ExitCode.DONE


def _readme() -> Path:
    """The page of the benches, which only a source tree has."""
    folder = peers_folder()
    if folder is None:
        raise InputError("--write-readme: expected a source tree with benches/, got a package")
    return folder.parent / "README.md"
