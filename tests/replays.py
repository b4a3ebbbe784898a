"""What tests of replays share: the tables of a run, and a book after fills."""

from decimal import Decimal
from pathlib import Path

import polars as pl

from deleverage.lab.replay import read_results


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
