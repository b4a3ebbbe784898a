"""Replay against reading: a whole replay under one venue beside Polars reading the same columns.

A synthetic crash is written once, outside the timing. Ours is everything that `replay` does: read,
check, make snapshots, plan each bankruptcy on what the ones before have left, measure, and write
the results. The reference reads the same columns of the same files, the same files at once, and
drops them. What a row and what an event cost is seen from the lines apart: the same rows read and
split, then made into snapshots, then replayed with one bankruptcy a market and snapshot, then with
all. Memory is that of a fresh process that does nothing else.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from deleverage.errors import StateError
from deleverage.lab.bench_memory import peak_memory
from deleverage.lab.bench_report import Goal, Measurement, Unit, measured
from deleverage.lab.bench_timing import alternate, cores
from deleverage.lab.dump import Dump
from deleverage.lab.generate import Request, generate_dump
from deleverage.lab.replay import ROWS_AT_ONCE, replay
from deleverage.lab.replay_book import prepared, read_columns, read_positions, split
from deleverage.venue import Venue

__all__ = ["measure_replay"]

_VENUE = "bitmex"
_SNAPSHOTS = 4
_FEW = 100  # events of a thinned crash, about
_MOST_POSITIONS = 1_000_000
_HALF_OF_READING = Goal(limit=0.5, is_speedup=True)
_WITHIN = Goal(limit=1.0)
_ALLOWED = 2 * 2**30


def measure_replay(
    positions: int, *, rounds: int, seed: int, progress: Callable[[str], None]
) -> Iterator[Measurement]:
    """Measure a replay under one venue.

    Args:
        positions: of each of the snapshots, at most a million.
        rounds: alternating pairs of a replay and the reading.
        seed: of the crash.
        progress: told before each part.

    Yields:
        The lines, section `replay`: milliseconds over reading, bytes over those allowed.
    """
    each = min(positions, _MOST_POSITIONS)
    with tempfile.TemporaryDirectory() as folder:
        progress(f"replay: drawing {_SNAPSHOTS} snapshots of {each:,} positions")
        request = Request(positions=each, snapshots=_SNAPSHOTS, seed=seed)
        dump = generate_dump(Path(folder) / "dump", request)
        run = Path(folder) / "run"
        firsts = dump.bankruptcies.unique(["snapshot", "market"], keep="first")
        few = dump.bankruptcies.gather_every(max(dump.bankruptcies.height // _FEW, 1))
        yield from _parts(dump, rounds, progress)
        yield _replayed(replace(dump, bankruptcies=few), run, rounds, progress)
        fewer = _replayed(replace(dump, bankruptcies=firsts.sort("event")), run, rounds, progress)
        every = _replayed(dump, run, rounds, progress)
        more = dump.bankruptcies.height - firsts.height
        cost = (every.ours.median - fewer.ours.median) / max(more, 1)
        yield fewer
        yield replace(every, note=f"{1000 * cost:.0f} us for each event more than the line above")
        progress("replay: memory")
        yield _line(
            dump,
            f"{_events(dump)}, peak memory of a process",
            ([_peak(dump.directory, Path(folder) / "other")], [_ALLOWED]),
            reference="allowed",
            goal=_WITHIN,
            unit=Unit.BYTES,
        )


def _parts(dump: Dump, rounds: int, progress: Callable[[str], None]) -> Iterator[Measurement]:
    """Reading and splitting alone, and with the snapshots; no event is planned."""
    venue = Venue.load(_VENUE)
    columns = read_columns(dump, [venue])

    def read() -> None:
        for unit in split(dump, ROWS_AT_ONCE):
            read_positions(dump, unit, columns)

    def prepare() -> None:
        for unit in split(dump, ROWS_AT_ONCE):
            prepared(dump, unit, read_positions(dump, unit, columns), venue, columns)

    for words, ours in (("read and split", read), ("read, split and made snapshots", prepare)):
        progress(f"replay: {words}")
        yield _line(dump, f"no event: {words}", alternate(ours, _reading(dump), rounds))


def _replayed(dump: Dump, run: Path, rounds: int, progress: Callable[[str], None]) -> Measurement:
    """A whole replay."""

    def ours() -> None:
        shutil.rmtree(run, ignore_errors=True)
        replay(dump, run, venues=[Venue.load(_VENUE)])

    progress(f"replay: {dump.bankruptcies.height:,} events against reading")
    return _line(dump, _events(dump), alternate(ours, _reading(dump), rounds))


def _events(dump: Dump) -> str:
    """How many bankruptcies are replayed."""
    return f"{dump.bankruptcies.height:,} events"


def _reading(dump: Dump) -> Callable[[], None]:
    """Polars, reading what a replay reads."""
    columns = list(read_columns(dump, [Venue.load(_VENUE)]).names)
    files = [
        [part for market in unit.counts for part in dump.parts(unit.snapshot, market)]
        for unit in split(dump, ROWS_AT_ONCE)
    ]

    def reading() -> None:
        for parts in files:
            pl.read_parquet(parts, columns=columns, hive_partitioning=False)

    return reading


def _line(
    dump: Dump,
    words: str,
    values: tuple[Sequence[float], Sequence[float]],
    *,
    reference: str = "",
    goal: Goal = _HALF_OF_READING,
    unit: Unit = Unit.MILLISECONDS,
) -> Measurement:
    """One line; the ratio is the reference's time over ours, unless bytes are compared."""
    columns = read_columns(dump, [Venue.load(_VENUE)]).names
    return measured(
        section="replay",
        case=f"{_VENUE}, {_SNAPSHOTS} snapshots, {words}",
        distribution="synthetic crash",
        positions=sum(one.rows for one in split(dump, ROWS_AT_ONCE)),
        threads=cores(),
        ours=values[0],
        reference=reference or f"Polars reads its {len(columns)} columns",
        theirs=values[1],
        goal=goal,
        rounds_to_judge=1 if unit is Unit.BYTES else 3,
        unit=unit,
    )


def _peak(dump: Path, run: Path) -> int:
    """The largest resident set of a fresh process that replays a dump, bytes."""
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    child = subprocess.run(  # noqa: S603 - this very module, with our own words
        [sys.executable, "-m", "deleverage.lab.bench_replay", str(dump), str(run)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode != 0:
        raise StateError(f"replay: the measured process ended with {child.stderr.strip()}")
    return int(child.stdout)


def _main() -> None:
    """Replay, and print the peak."""
    dump, run = map(Path, sys.argv[1:])
    replay(Dump.open(dump), run, venues=[Venue.load(_VENUE)])
    sys.stdout.write(f"{peak_memory()}\n")


if __name__ == "__main__":
    _main()
