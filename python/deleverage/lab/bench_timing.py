"""Clocks: alternating pairs, the fastest floor, and what machine this is."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from deleverage import ranking
from deleverage.lab.bench_report import Machine
from deleverage.lab.books import Integers

__all__ = ["Floor", "alternate", "cores", "milliseconds", "repeat", "this_machine"]

_CALIBRATION_ROUNDS = 5


class Floor:
    """The fastest sum over the columns of a rule; it is found once and then run as often as asked.

    Attributes:
        variant: name of the fastest of the four loops.
    """

    def __init__(
        self,
        columns: Sequence[Integers],
        *,
        threads: int,
        account: npt.NDArray[np.uint32] | None = None,
        table: Integers | None = None,
    ) -> None:
        self._columns = list(columns)
        self._threads = threads
        self._account = account
        self._table = table
        self.variant = ranking.FLOOR_VARIANTS[0]
        taken = {}
        for variant in ranking.FLOOR_VARIANTS:
            self.variant = variant
            taken[variant] = median(repeat(self, _CALIBRATION_ROUNDS))
        self.variant = min(taken, key=lambda name: taken[name])

    def __call__(self) -> int:
        """Sum everything once; the sum is of no use, its time is."""
        return ranking.floor(
            self._columns,
            account=self._account,
            table=self._table,
            variant=self.variant,
            threads=self._threads,
        )


def milliseconds(run: Callable[[], object]) -> float:
    """Return how long one call takes; the result is dropped after the clock has stopped."""
    start = time.perf_counter_ns()
    result = run()
    taken = time.perf_counter_ns() - start
    del result
    return taken / 1e6


def repeat(run: Callable[[], object], rounds: int) -> list[float]:
    """Return the milliseconds of `rounds` calls after one that does not count."""
    milliseconds(run)
    return [milliseconds(run) for _ in range(rounds)]


def alternate(
    first: Callable[[], object], second: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Return the milliseconds of `rounds` pairs of calls, after one pair that does not count."""
    pairs = [(milliseconds(first), milliseconds(second)) for _ in range(rounds + 1)][1:]
    return [one for one, _ in pairs], [two for _, two in pairs]


def this_machine() -> Machine:
    """Return what the figures are taken on."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cpu=_cpu_model(),
        cores=cores(),
        memory_gib=pages * size / 2**30,
        simd=ranking.simd_levels(),
        load=os.getloadavg()[0],
        system=f"{platform.system()} {platform.machine()}",
        versions={"Python": platform.python_version()}
        | {name: _version(name) for name in ("deleverage", "numpy", "polars", "duckdb")},
    )


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
