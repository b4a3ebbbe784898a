"""`deleverage rank`: every position with its place in the queue of its market and side."""

import polars as pl

from deleverage import planning
from deleverage.cli.exits import ExitCode, say
from deleverage.cli.inputs import Inputs, unknown, venue_of
from deleverage.cli.options import Format, Side
from deleverage.cli.output import Sink, emit_frame
from deleverage.cli.tables import Page
from deleverage.errors import InputError

__all__ = ["in_queue_order", "rank_positions"]

TABLE_ROWS_MAX = 50
"""A table without `--head` stops here; the other shapes never do."""


def rank_positions(
    inputs: Inputs,
    *,
    venue: str,
    market: str | None,
    side: Side | None,
    head: int | None,
    shape: Format | None,
    output: str,
) -> int:
    """Rank positions and write the ranked frame.

    Args:
        inputs: the paths of the frames.
        venue: edition by name or path.
        market: only this market, or None.
        side: only this side, or None.
        head: only the first entries of each queue, or None.
        shape: `--format`.
        output: `-o`.

    Returns:
        The exit code.

    Raises:
        InputError: an input is not what the contract says, or there is no such market.
    """
    sink = Sink.of(shape, output, allowed=tuple(Format))
    inputs.refuse_as_output(sink.path)
    ranked = planning.rank(
        inputs.positions,
        marks=inputs.marks,
        venue=venue_of(venue),
        accounts=inputs.accounts,
        markets=inputs.markets,
        neutral=inputs.neutral,
    )
    chosen = in_queue_order(_filtered(ranked, market=market, side=side))
    if head is not None:
        chosen = chosen.filter(pl.col("rank").is_between(1, head))
    placed = ranked.height - ranked["rank"].null_count()
    say(f"{ranked.height} positions, {placed} with a place in a queue, by {venue}")
    emit_frame(chosen, sink, table=lambda frame: _table(frame, sink, is_cut=head is None))
    return ExitCode.DONE


def in_queue_order(ranked: pl.DataFrame) -> pl.DataFrame:
    """Sort a ranked frame by market, side and place; those without a place stand last.

    Args:
        ranked: what `rank` returned.

    Returns:
        The same rows, long before short, first to be cut first.
    """
    return ranked.sort(
        pl.col("market").cast(pl.String),
        _side(ranked),
        pl.col("rank").is_null(),
        "rank",
        maintain_order=True,
    )


def _filtered(ranked: pl.DataFrame, *, market: str | None, side: Side | None) -> pl.DataFrame:
    """The rows of one market, of one side."""
    if market is not None:
        names = ranked["market"].cast(pl.String)
        if ranked.height and market not in names:
            raise InputError(unknown("--market", market, names.unique().to_list()))
        ranked = ranked.filter(names == market)
    if side is not None:
        ranked = ranked.filter(_side(ranked) == side.value)
    return ranked


def _side(ranked: pl.DataFrame) -> pl.Expr:
    """The side of each row, from its column or from the sign of its quantity."""
    if "side" in ranked.columns:
        return pl.col("side").cast(pl.String)
    is_short = pl.col("qty").cast(pl.String).str.starts_with("-")
    return pl.when(is_short).then(pl.lit(Side.SHORT.value)).otherwise(pl.lit(Side.LONG.value))


def _table(frame: pl.DataFrame, sink: Sink, *, is_cut: bool) -> str:
    """The rows as a table, not more than anybody reads."""
    shown = frame.head(TABLE_ROWS_MAX) if is_cut else frame
    if shown.height < frame.height:
        say(f"first {shown.height} of {frame.height} rows; --head N or another --format has all")
    page = Page(is_terminal=sink.is_terminal)
    page.frame("", shown)
    return str(page)
