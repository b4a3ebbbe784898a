"""Replay against reading: a whole replay under one venue beside Polars reading the same columns.

A synthetic crash is written once, outside the timing. Ours is everything that `replay` does: read,
check, make snapshots, plan each bankruptcy on what the ones before have left, measure, and write
the results. The reference reads the same columns of the same files, the same files at once, and
drops them. Memory is that of a fresh process that does nothing else.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from deleverage.errors import StateError
from deleverage.lab.bench_memory import peak_memory
from deleverage.lab.bench_report import Goal, Measurement, Unit, measured
from deleverage.lab.bench_timing import alternate, cores
from deleverage.lab.dump import Dump
from deleverage.lab.generate import Request, generate_dump
from deleverage.lab.replay import ROWS_AT_ONCE, replay
from deleverage.lab.replay_book import read_columns, split
from deleverage.venue import Venue

__all__ = ["measure_replay"]

_VENUE = "bitmex"
_SNAPSHOTS = 4
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
        venue, run = Venue.load(_VENUE), Path(folder) / "run"
        units = split(dump, ROWS_AT_ONCE)
        rows, columns = sum(unit.rows for unit in units), list(read_columns(dump, [venue]).names)
        files = [
            [part for market in unit.counts for part in dump.parts(unit.snapshot, market)]
            for unit in units
        ]

        def ours() -> None:
            shutil.rmtree(run, ignore_errors=True)
            replay(dump, run, venues=[venue])

        def reading() -> None:
            for parts in files:
                pl.read_parquet(parts, columns=columns, hive_partitioning=False)

        progress("replay: against reading")
        taken, read = alternate(ours, reading, rounds)
        case = f"{_VENUE}, {_SNAPSHOTS} snapshots, {dump.bankruptcies.height:,} events"
        yield measured(
            section="replay",
            case=case,
            distribution="synthetic crash",
            positions=rows,
            threads=cores(),
            ours=taken,
            reference=f"Polars reads its {len(columns)} columns",
            theirs=read,
            goal=_HALF_OF_READING,
            rounds_to_judge=3,
        )
        progress("replay: memory")
        yield measured(
            section="replay",
            case=f"{case}, peak memory of a process",
            distribution="synthetic crash",
            positions=rows,
            threads=cores(),
            ours=[_peak(dump.directory, Path(folder) / "other")],
            reference="allowed",
            theirs=[_ALLOWED],
            goal=_WITHIN,
            rounds_to_judge=1,
            unit=Unit.BYTES,
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
