"""`deleverage compare`: the same bankruptcies under several venues and policies."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from deleverage.cli.exits import ExitCode, say
from deleverage.cli.inputs import Inputs, venue_of
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_frame
from deleverage.cli.tables import Page
from deleverage.errors import InputError
from deleverage.lab.compare import compare, compare_crash
from deleverage.lab.policies import POLICIES
from deleverage.planning.inputs import Frames

__all__ = ["Drawn", "compare_drawn", "compare_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A crash to be drawn, and the files that were named beside it.

    Attributes:
        seed: of the crash.
        positions: rows of its book.
        given: option and file; a drawn crash takes none.
    """

    seed: int
    positions: int
    given: Mapping[str, Path | None]


def compare_drawn(
    drawn: Drawn,
    *,
    venues: tuple[str, ...],
    policies: tuple[str, ...],
    shape: Format | None,
    output: str,
) -> int:
    """Compare on a drawn crash.

    Args:
        drawn: the crash.
        venues: editions by name or path.
        policies: by name; none is every one of them.
        shape: `--format`.
        output: `-o`.

    Returns:
        The exit code; 4 where a bankruptcy was not covered.

    Raises:
        InputError: a name is unknown, or a file was named without positions.
    """
    for option, path in drawn.given.items():
        if path is not None:
            raise InputError(f"{option}: expected positions beside it, got none; name their file")
    sink = Sink.of(shape, output, allowed=tuple(Format))
    table = compare_crash(
        drawn.seed,
        drawn.positions,
        venues=[venue_of(name) for name in dict.fromkeys(venues)],
        policies=_chosen(policies),
    )
    return _shown(table, sink)


def compare_files(
    inputs: Inputs,
    bankruptcies: Path | None,
    *,
    venues: tuple[str, ...],
    policies: tuple[str, ...],
    shape: Format | None,
    output: str,
) -> int:
    """Compare on a book of one's own.

    Args:
        inputs: the paths of the frames.
        bankruptcies: the list.
        venues: editions by name or path.
        policies: by name; none is every one of them.
        shape: `--format`.
        output: `-o`.

    Returns:
        The exit code; 4 where a bankruptcy was not covered.

    Raises:
        InputError: a name is unknown, or an input is not what the contract says.
    """
    sink = Sink.of(shape, output, allowed=tuple(Format))
    inputs.refuse_as_output(sink.path)
    if bankruptcies is None:
        raise InputError("--bankruptcies: expected a file with market, side and qty, got nothing")
    frames = Frames(
        positions=inputs.positions,
        marks=inputs.marks,
        accounts=inputs.accounts,
        markets=inputs.markets,
        neutral=inputs.neutral,
    )
    editions = [venue_of(name) for name in dict.fromkeys(venues)]
    table = compare(frames, bankruptcies, venues=editions, policies=_chosen(policies))
    return _shown(table, sink)


def _chosen(policies: tuple[str, ...]) -> list[str]:
    """The policies that were named, each once, or all."""
    return list(dict.fromkeys(policies)) or list(POLICIES)


def _shown(table: pl.DataFrame, sink: Sink) -> int:
    """Write the table and settle how it ended."""
    emit_frame(table, sink, table=lambda frame: _page(frame, is_terminal=sink.is_terminal))
    uncovered = int(table["uncovered"].sum())
    if uncovered:
        say(f"not fully covered: {uncovered} bankruptcies found too few on the other side")
        return ExitCode.NOT_COVERED
    return ExitCode.DONE


def _page(frame: pl.DataFrame, *, is_terminal: bool) -> str:
    """The table as it is printed."""
    page = Page(is_terminal=is_terminal)
    page.frame("the same bankruptcies under each venue and policy", frame)
    return str(page)
