"""`deleverage replay`: the bankruptcies of a dump under several venues, side by side."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import polars as pl

from deleverage.cli.exits import ExitCode, say
from deleverage.cli.inputs import venue_of
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_frame
from deleverage.cli.progress import bar
from deleverage.cli.tables import Page
from deleverage.errors import InputError
from deleverage.lab.dump import Dump
from deleverage.lab.replay import POLICIES, read_results, replay
from deleverage.lab.replay_event import COVERED
from deleverage.lab.replay_policy import Policy
from deleverage.lab.replay_pool import PoolTerms

__all__ = ["policies_of", "pool_of", "replay_dump", "summarised"]


def replay_dump(
    dump: Path,
    directory: Path,
    *,
    venues: tuple[str, ...],
    policies: tuple[str, ...],
    pool: tuple[str | None, ...] = (),
    shape: Format | None,
) -> int:
    """Replay a dump and print what each venue did.

    Args:
        dump: the directory of the dump.
        directory: of the results.
        venues: editions by name or path.
        policies: by name.
        pool: `--pool`, `--start`, `--stop` and `--income`; none for no pool.
        shape: `--format` of the summary.

    Returns:
        The exit code; 4 where a venue left something uncovered.

    Raises:
        InputError: a name is unknown, or a table of the dump is not what it must be.
        StateError: the directory holds another run.
        OutputError: standard output cannot be written.
    """
    sink = Sink.of(shape, "-", allowed=tuple(Format))
    chosen = policies_of(policies)
    opened = Dump.open(dump)
    editions = [venue_of(name) for name in venues]
    with bar("replaying", 0) as report:
        run = replay(
            opened,
            directory,
            venues=editions,
            policies=chosen,
            pool=pool_of(*pool),
            progress=report,
        )
    again = f", {run.resumed} of them done before" if run.resumed else ""
    say(f"{directory}: {run.events} bankruptcies{again}, {run.rows} positions read")
    summary = summarised(directory)
    emit_frame(summary, sink, table=lambda frame: _page(frame, is_terminal=sink.is_terminal))
    return ExitCode.NOT_COVERED if summary["uncovered"].sum() else ExitCode.DONE


def summarised(directory: Path) -> pl.DataFrame:
    """Sum a run up.

    Args:
        directory: of the run.

    Returns:
        One row a venue and policy: events, taken_over (by a pool), uncovered (not filled), fills,
        notional, profit, needed, executed (USD; see `replay_event`), overshoot and undershoot of
        executed against needed, gross, and the mean participation and top share of an event.
    """
    events, measures = read_results(directory, "events"), read_results(directory, "metrics")
    gap = pl.col("executed") - pl.col("needed")
    return (
        events.join(measures, on=["event", "venue", "policy"])
        .group_by("venue", "policy")
        .agg(
            events=pl.len(),
            taken_over=(pl.col("reason") == COVERED).sum(),
            uncovered=(pl.col("unfilled") > 0).sum(),
            fills=pl.col("fills").sum(),
            notional=pl.col("notional").sum(),
            profit=pl.col("profit").sum(),
            needed=pl.col("needed").sum(),
            executed=pl.col("executed").sum(),
            overshoot=gap.clip(lower_bound=0).sum(),
            undershoot=(-gap).clip(lower_bound=0).sum(),
            participation=pl.col("participation").mean(),
            top_share=pl.col("top_share").mean(),
        )
        .sort("venue", "policy")
    )


def policies_of(names: Sequence[str]) -> dict[str, Policy]:
    """Find policies by name.

    Args:
        names: with either dash: `pro_rata` is `pro-rata`.

    Returns:
        The policies, each once.

    Raises:
        InputError: there is no such policy.
    """
    asked = tuple(dict.fromkeys(name.replace("_", "-") for name in names))
    wrong = [name for name in asked if name not in POLICIES]
    if wrong:
        raise InputError(f"--policy: expected one of {', '.join(POLICIES)}, got {wrong[0]!r}")
    return {name: POLICIES[name] for name in asked}


def pool_of(
    cash: str | None = None,
    start: str | None = None,
    stop: str | None = None,
    income: str | None = None,
) -> PoolTerms | None:
    """Read the pool.

    Args:
        cash: `--pool`, or None for none.
        start: `--start`.
        stop: `--stop`.
        income: `--income`.

    Returns:
        Its terms; None without a pool.

    Raises:
        InputError: lines stand without a pool, or a figure is none or out of range.
    """
    if cash is None:
        if (start, stop, income) != (None, None, None):
            raise InputError("--start, --stop, --income: expected --pool beside them, got none")
        return None
    first, last = _lines(start, stop)
    return PoolTerms(
        cash=_decimal("--pool", cash),
        start=first,
        stop=last,
        income=_decimal("--income", "0" if income is None else income),
    )


def _lines(start: str | None, stop: str | None) -> tuple[Decimal | None, Decimal | None]:
    """Read `--start` and `--stop`, where they are given."""
    if start is None:
        if stop is not None:
            raise InputError(f"--stop: expected --start beside it, got {stop} alone")
        return None, None
    first = _decimal("--start", start)
    if not (first.is_finite() and 0 < first <= 1):
        raise InputError(
            f"--start: expected a share of the pool, above 0 and at most 1, got {start}"
        )
    last = None if stop is None else _decimal("--stop", stop)
    if last is not None and not (last.is_finite() and last >= first):
        raise InputError(f"--stop: expected at least --start, {start}, got {stop}")
    return first, last


def _decimal(option: str, text: str) -> Decimal:
    """Read a number exactly."""
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise InputError(f"{option}: expected a decimal number, got {text!r}") from error


def _page(frame: pl.DataFrame, *, is_terminal: bool) -> str:
    """The summary as it is printed."""
    page = Page(is_terminal=is_terminal)
    page.frame("what each venue did", frame)
    return str(page)
