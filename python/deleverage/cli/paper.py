"""`deleverage paper`: the tables of a published comparison, recomputed and read again."""

from pathlib import Path

import polars as pl

from deleverage.cli.exits import ExitCode, say
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_record
from deleverage.cli.tables import Page
from deleverage.lab.paper import Reproduction, reproduce

__all__ = ["show_paper"]

_SOURCE = "arXiv 2602.15182"
_SMALL = 100
_CENT = 0.01


def show_paper(directory: Path, *, shape: Format | None, output: str) -> int:
    """Recompute the tables and print them beside what is printed.

    Args:
        directory: the published output files.
        shape: `--format`; table or JSON.
        output: `-o`.

    Returns:
        The exit code; 1 where a printed figure is not reproduced.

    Raises:
        InputError: a file is missing or garbled.
        OutputError: the file cannot be written.
    """
    sink = Sink.of(shape, output, allowed=(Format.TABLE, Format.JSON))
    found = reproduce(directory)
    record = {
        "source": _SOURCE,
        "agrees": found.agrees,
        "table_1": found.table_1,
        "table_2": found.table_2,
        "horizons": found.horizons,
        "bound": found.bound,
        "shocks": found.shocks,
    }
    emit_record(record, sink, table=lambda: _page(found, is_terminal=sink.is_terminal))
    if found.agrees:
        say(f"every figure of {_SOURCE} is reproduced to the last digit printed")
        return ExitCode.DONE
    say(f"{directory}: not every figure of {_SOURCE} is reproduced; see the column agrees")
    return ExitCode.FAILED


def _page(found: Reproduction, *, is_terminal: bool) -> str:
    """The tables as they are printed, money to the cent."""
    page = Page(is_terminal=is_terminal)
    scores = ("policy", "tracking", "fairness", "loss", "agrees")
    gross = ("policy", "executed", "overshoot", "undershoot")
    corrected = (
        "policy",
        "tracking",
        "worse_than_reference",
        "corrected_loss",
        "fairer_than_reference",
    )
    _add(page, "Table 1: the event, USD", found.table_1)
    _add(page, "Table 2: policies, as defined there, USD", found.table_2.select(scores))
    _add(page, "Table 2: over- and undershoot, each gross, USD", found.table_2.select(gross))
    _add(page, "Table 2: charged only for being less fair, USD", found.table_2.select(corrected))
    _add(page, "Production marked at a horizon: signed, and each gross, USD", found.horizons)
    _add(page, "The instance bound", found.bound)
    _add(page, "The queue by shock, USD", found.shocks)
    return str(page)


def _add(page: Page, title: str, frame: pl.DataFrame) -> None:
    """Add a table; words flush left, numbers flush right."""
    numeric = [dtype.is_numeric() for dtype in frame.schema.values()]
    rows = [[_shown(value) for value in row] for row in frame.iter_rows()]
    page.rows(title, frame.columns, rows, numeric=numeric)


def _shown(value: object) -> object:
    """Money to the cent, counts as they are, shares and paths to eight digits."""
    if not isinstance(value, float) or abs(value) < _CENT / 2:
        return "0" if isinstance(value, float) else value
    if value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= _SMALL else f"{value:.8g}"
