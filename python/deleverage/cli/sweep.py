"""`deleverage replay --sweep`: one dump replayed once for each set of parameters, in one frame."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import product
from pathlib import Path

import polars as pl

from deleverage.cli.exits import ExitCode, say
from deleverage.cli.inputs import decimal_of, venue_of
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_frame
from deleverage.cli.replay import policies_of, pool_of
from deleverage.cli.tables import Page
from deleverage.errors import AdlError, InputError
from deleverage.lab.dump import Dump
from deleverage.lab.replay_pool import PoolTerms
from deleverage.lab.replay_sweep import Case, sweep
from deleverage.model.records import Venue

__all__ = ["sweep_dump"]

POOL = ("pool", "start", "stop", "income")
"""Parameters that are options of `replay` too; every other one is a number of an edition."""

Point = Mapping[str, Decimal]


def sweep_dump(
    dump: Path,
    directory: Path,
    *,
    swept: Sequence[str],
    venues: Sequence[str],
    policies: Sequence[str],
    pool: Sequence[str | None],
    shape: Format | None,
) -> int:
    """Replay a dump under every combination of the swept values, and print one frame.

    Args:
        dump: the directory of the dump.
        directory: of the cases' directories.
        swept: `--sweep`, each NAME=VALUE,VALUE,...
        venues: editions by name or path.
        policies: by name.
        pool: `--pool`, `--start`, `--stop` and `--income`, where they are not swept.
        shape: `--format` of the frame.

    Returns:
        The exit code; 4 where something was left uncovered.

    Raises:
        InputError: a sweep is not written so, names nothing, or a combination contradicts itself.
        StateError: a case's directory holds another run.
        OutputError: standard output cannot be written.
    """
    sink = Sink.of(shape, "-", allowed=tuple(Format))
    chosen, editions = policies_of(policies), [venue_of(name) for name in venues]
    axes, given = _axes(swept, editions), dict(zip(POOL, pool, strict=True))
    twice = [name for name in axes if given.get(name) is not None]
    if twice:
        raise InputError(f"--sweep: expected {twice[0]} once, got --{twice[0]} beside it")
    points = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    cases = {
        name: Case(
            venues=[_with_numbers(venue, point) for venue in editions],
            policies=chosen,
            pool=_pool_at(name, point, given),
        )
        for name, point in ((_name(point), point) for point in points)
    }
    frame = sweep(Dump.open(dump), directory, cases, progress=say)
    say(f"{directory}: {len(cases)} cases")
    shown = _with_parameters(frame, points)
    emit_frame(shown, sink, table=lambda rows: _page(rows, is_terminal=sink.is_terminal))
    return ExitCode.NOT_COVERED if frame["uncovered"].sum() else ExitCode.DONE


def _axes(swept: Sequence[str], editions: Sequence[Venue]) -> dict[str, list[Decimal]]:
    """Read what is swept: the values by the parameter's name."""
    known = list(dict.fromkeys((*POOL, *(name for one in editions for name in one.numbers))))
    axes: dict[str, list[Decimal]] = {}
    for text in swept:
        name, is_pair, values = text.partition("=")
        if not is_pair or not name:
            raise InputError(f"--sweep: expected NAME=VALUE,VALUE,..., got {text!r}")
        if name not in known:
            raise InputError(f"--sweep: expected one of {', '.join(known)}, got {name!r}")
        if name in axes:
            raise InputError(f"--sweep: expected each parameter once, got {name} twice")
        axes[name] = [decimal_of(value, option=f"--sweep {name}") for value in values.split(",")]
        if len(set(axes[name])) < len(axes[name]):
            raise InputError(f"--sweep {name}: expected each value once, got {values}")
    return axes


def _name(point: Point) -> str:
    """What a case is called, its directory too."""
    return "_".join(f"{name}={value:f}" for name, value in point.items())


def _with_numbers(venue: Venue, point: Point) -> Venue:
    """An edition with those of the numbers that it knows."""
    return venue.with_parameters({name: point[name] for name in point if name in venue.numbers})


def _pool_at(name: str, point: Point, given: Mapping[str, str | None]) -> PoolTerms | None:
    """The pool of a case; what is wrong with it names the case."""
    values = [f"{point[each]:f}" if each in point else given[each] for each in POOL]
    try:
        return pool_of(*values)
    except AdlError as error:
        raise InputError(f"--sweep: case {name}: {error}") from error


def _with_parameters(frame: pl.DataFrame, points: Sequence[Point]) -> pl.DataFrame:
    """The frame with a column for each parameter."""
    named = pl.DataFrame([{"case": _name(point), **point} for point in points])
    columns = ["case", *points[0]]
    joined = frame.join(named, on="case", how="left", maintain_order="left")
    return joined.select(*columns, pl.exclude(columns))


def _page(frame: pl.DataFrame, *, is_terminal: bool) -> str:
    """The frame as it is printed; its columns of parameters say what the case's name says."""
    page = Page(is_terminal=is_terminal)
    page.frame("what each case came to", frame.drop("case"))
    return str(page)
