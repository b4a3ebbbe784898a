"""`deleverage generate`: a synthetic venue as a dump, beside what was published."""

from pathlib import Path

import polars as pl

from deleverage.cli.exits import ExitCode, say
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_frame
from deleverage.cli.progress import bar
from deleverage.cli.tables import Page
from deleverage.lab.generate import Request, generate_dump
from deleverage.lab.generate_aggregates import aggregates

__all__ = ["write_dump"]

MEASURED_MOST = 5_000_000


def write_dump(directory: Path, request: Request, *, overwrite: bool, shape: Format | None) -> int:
    """Write a dump, and print its aggregates beside the published ones.

    Args:
        directory: where.
        request: what.
        overwrite: whether a dump that stands there is replaced.
        shape: `--format` of the aggregates.

    Returns:
        The exit code.

    Raises:
        InputError: the request is out of range, or the directory holds something.
        OutputError: standard output cannot be written.
    """
    sink = Sink.of(shape, "-", allowed=tuple(Format))
    request.check()
    if overwrite and directory.is_dir() and any(directory.iterdir()):
        say(f"{directory}: the dump that stands there is overwritten")
    with bar("generating", request.positions * request.snapshots) as report:
        dump = generate_dump(directory, request, overwrite=overwrite, progress=report)
    events, rows = dump.bankruptcies.height, int(dump.facts["rows"])
    say(
        f"{directory}: {rows} positions in {request.snapshots} snapshots, "
        f"{dump.markets.height} markets, {dump.facts['accounts']} accounts, {events} bankruptcies"
    )
    if request.positions > MEASURED_MOST:
        say(f"aggregates are measured up to {MEASURED_MOST} positions; the dump has more")
        return ExitCode.DONE
    emit_frame(
        aggregates(dump), sink, table=lambda frame: _page(frame, is_terminal=sink.is_terminal)
    )
    return ExitCode.DONE


def _page(frame: pl.DataFrame, *, is_terminal: bool) -> str:
    """The aggregates as they are printed."""
    page = Page(is_terminal=is_terminal)
    page.frame("2025-10-10 as published, and this dump", frame)
    return str(page)
