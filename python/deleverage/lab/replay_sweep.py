"""A sweep: one dump replayed once for each set of parameters, summed up in one frame.

A case is what may be turned: editions (with their parameters supplied), policies, the pool and its
lines. Each case has a directory of its own, so a sweep that was cut off goes on where it was, and a
case that is added later does not repeat the others.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from deleverage.errors import InputError
from deleverage.lab.dump import Dump
from deleverage.lab.replay import QUEUE, replay
from deleverage.lab.replay_policy import Policy
from deleverage.lab.replay_pool import PoolTerms
from deleverage.lab.report_run import RUN_SUMMARY, read_run
from deleverage.model.records import Venue

__all__ = ["SWEEP", "Case", "sweep"]

SWEEP: Mapping[str, pl.DataType] = {"case": pl.String(), **RUN_SUMMARY}
"""One row a case, venue and policy: the case's name, and the measures of `report_run`."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One set of parameters.

    Attributes:
        venues: the editions, each under its own name.
        policies: how a quantity is shared out, by name.
        pool: what each venue's pool begins with and its lines, or None.
    """

    venues: Sequence[Venue]
    policies: Mapping[str, Policy] = field(default_factory=lambda: QUEUE)
    pool: PoolTerms | None = None


def sweep(
    dump: Dump,
    directory: Path,
    cases: Mapping[str, Case],
    *,
    progress: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Replay every case, or what is left of them, and put their summaries below each other.

    Args:
        dump: what happened.
        directory: of the cases' directories, which are called as the cases are.
        cases: by name: letters, digits, and `.`, `_`, `=` or `-` after the first.
        progress: told each case's name before it is replayed.

    Returns:
        See `SWEEP`, in the order of the cases.

    Raises:
        InputError: there is no case, a name is no directory's, or as `replay`.
        StateError: a case's directory holds another replay.
    """
    if not cases:
        raise InputError("cases: expected at least one, got none")
    wrong = [name for name in cases if not _NAME.fullmatch(name)]
    if wrong:
        raise InputError(
            f"cases: expected names of letters, digits, '.', '_', '=' and '-', got {wrong[0]!r}"
        )
    frames = []
    for name, case in cases.items():
        if progress is not None:
            progress(name)
        run = directory / name
        replay(dump, run, venues=case.venues, policies=case.policies, pool=case.pool)
        frames.append(read_run(run).summary.select(pl.lit(name).alias("case"), pl.all()))
    return pl.concat(frames)
