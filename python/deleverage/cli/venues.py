"""`deleverage venues`: the editions in a table, or one edition as a formula with its sources."""

import polars as pl

from deleverage.cli.exits import ExitCode
from deleverage.cli.inputs import venue_of
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_frame, emit_record
from deleverage.cli.tables import Page
from deleverage.venue import describe, overview

__all__ = ["list_venues", "show_venue"]

TABLE_COLUMNS = ("name", "profit", "scope", "price", "evidence")
"""What a table has room for; the other shapes have every column."""


def list_venues(*, shape: Format | None, output: str) -> int:
    """Write the editions, one a row.

    Args:
        shape: `--format`.
        output: `-o`.

    Returns:
        The exit code.
    """
    sink = Sink.of(shape, output, allowed=tuple(Format))
    frame = pl.DataFrame(overview())

    def table(rows: pl.DataFrame) -> str:
        page = Page(is_terminal=sink.is_terminal)
        page.frame("", rows.select(TABLE_COLUMNS))
        return str(page)

    emit_frame(frame, sink, table=table)
    return ExitCode.DONE


def show_venue(name: str, *, shape: Format | None, output: str) -> int:
    """Write one edition: its rule as a formula, its sources, what was never published.

    Args:
        name: edition by name or path.
        shape: `--format`.
        output: `-o`.

    Returns:
        The exit code.

    Raises:
        VenueError: there is no such edition; the nearest names are offered.
        InputError: the edition has no such shape.
    """
    sink = Sink.of(shape, output, allowed=(Format.TABLE, Format.JSON))
    venue = venue_of(name)
    text = describe(venue)
    record = {
        "venue": venue.name,
        "title": venue.title,
        "edition": venue.edition,
        "summary": venue.summary,
        "needs": {
            "positions": venue.needs.positions,
            "isolated": venue.needs.isolated,
            "accounts": venue.needs.accounts,
            "tiers": venue.needs.tiers,
        },
        "unpublished": venue.unpublished,
        "description": text,
    }
    emit_record(record, sink, table=lambda: text)
    return ExitCode.DONE
