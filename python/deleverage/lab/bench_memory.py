"""Extra memory of the verbs: peak resident bytes of a fresh process, before and after one call.

The parent writes the columns to files and starts this module once a line; the child loads them,
runs the verb on a thousand rows (which starts the threads), resets the peak that the kernel keeps
of its resident set, runs the verb once on all rows and prints by how much the peak rose.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deleverage import ranking
from deleverage.errors import StateError
from deleverage.lab.bench_cases import CASES
from deleverage.lab.bench_report import Goal, Measurement, Unit, measured
from deleverage.lab.bench_select import SHARES, SIDE
from deleverage.lab.books import Book
from deleverage.ranking import Columns, Rate

__all__ = ["Trial", "measure_memory", "peak_memory", "run_trial"]

_MIB = 2**20
_COLUMNS = ("lots", "entry_value", "margin", "position_id", "market")
_WITHIN = Goal(limit=1.0)
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One call whose memory is measured.

    Attributes:
        verb: `select` or `lights`.
        threads: how many to use.
        lots: lots to offset by `select`, 0 for `lights`.
        mark_num: one a market, see `Rate`.
        mark_den: see `Rate`.
    """

    verb: str
    threads: int
    lots: int
    mark_num: tuple[int, ...]
    mark_den: int


def measure_memory(
    plain: Book,
    plain_markets: Book,
    *,
    threads: tuple[int, ...],
    progress: Callable[[str], None],
) -> Iterator[Measurement]:
    """Measure the extra memory of `select` and `lights`, each in a process of its own.

    Args:
        plain: one market.
        plain_markets: many markets, rows grouped.
        threads: thread counts.
        progress: told before each book.

    Yields:
        The lines, section `memory`: bytes measured over bytes allowed.
    """
    with tempfile.TemporaryDirectory() as folder:
        progress("memory: select")
        _write(plain, Path(folder))
        for share in SHARES:
            lots = max(int(plain.open_interest(SIDE) * share), 1)
            for count in threads:
                taken, rows = _trial_in_child(plain, "select", count, lots, Path(folder))
                allowed = 64 * rows + count * _MIB
                case = f"select bitmex, {share:.2%}"
                yield _line(
                    case, plain, "", threads=count, selected=rows, taken=taken, allowed=allowed
                )
    layouts = (
        ("rows grouped by market", plain_markets, 1),
        ("rows in no order", plain_markets.shuffled(), 24),
    )
    for layout, book, bytes_a_row in layouts:
        progress(f"memory: lights, {layout}")
        with tempfile.TemporaryDirectory() as folder:
            _write(book, Path(folder))
            for count in threads:
                taken, _ = _trial_in_child(book, "lights", count, 0, Path(folder))
                allowed = bytes_a_row * book.positions + count * _MIB
                case = f"lights bitmex, {book.markets:,} markets"
                yield _line(
                    case, book, layout, threads=count, selected=None, taken=taken, allowed=allowed
                )


def _line(
    case: str,
    book: Book,
    layout: str,
    *,
    threads: int,
    selected: int | None,
    taken: int,
    allowed: int,
) -> Measurement:
    return measured(
        section="memory",
        case=case,
        distribution=", ".join(filter(None, (book.distribution.value, layout))),
        positions=book.positions,
        selected=selected,
        threads=threads,
        ours=[taken],
        reference="allowed",
        theirs=[allowed],
        goal=_WITHIN,
        rounds_to_judge=1,
        unit=Unit.BYTES,
    )


def _write(book: Book, folder: Path) -> None:
    for name in _COLUMNS:
        np.save(folder / f"{name}.npy", getattr(book, name))


def _trial_in_child(
    book: Book, verb: str, threads: int, lots: int, folder: Path
) -> tuple[int, int]:
    """Run a trial in a fresh process; the bytes the peak rose by, and the rows of the answer."""
    asked = {
        "verb": verb,
        "threads": threads,
        "lots": lots,
        "mark_num": book.mark_num.tolist(),
        "mark_den": book.mark_den,
    }
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    child = subprocess.run(  # noqa: S603 - this very module, with our own words
        [sys.executable, "-m", "deleverage.lab.bench_memory", str(folder)],
        input=json.dumps(asked),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode != 0:
        raise StateError(f"memory of {verb}: expected a figure, got {child.stderr.strip()}")
    answer = json.loads(child.stdout)
    return answer["bytes"], answer["rows"]


def run_trial(trial: Trial, folder: Path) -> dict[str, int]:
    """Load the columns, run the verb once and say what that took.

    Args:
        trial: the call.
        folder: where the columns are.

    Returns:
        `bytes`, the rise of the peak resident set, and `rows` of the answer.
    """
    columns = {name: np.load(folder / f"{name}.npy") for name in _COLUMNS}
    head = {name: values[:1_000].copy() for name, values in columns.items()}
    _run(trial, head)
    _reset_peak()
    before = peak_memory()
    rows = _run(trial, columns)
    return {"bytes": peak_memory() - before, "rows": rows}


def _run(trial: Trial, given: dict[str, np.ndarray]) -> int:
    rates = [Rate(mark_num=mark, mark_den=trial.mark_den) for mark in trial.mark_num]
    case = CASES["bitmex"]
    if trial.verb == "lights":
        shown = ranking.lights(Columns(**given), rates, rule=case.rule, threads=trial.threads)
        return len(shown)
    own = {name: values for name, values in given.items() if name != "market"}
    chosen = ranking.select(
        Columns(**own),
        rates[0],
        rule=case.rule,
        side=SIDE,
        lots=trial.lots,
        threads=trial.threads,
    )
    return len(chosen.rows)


def _reset_peak() -> None:
    """Ask the system to forget the peak; where it refuses, the loads left no higher one."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory() -> int:
    """The largest resident set of this program, bytes; not of the one that started it."""
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _main() -> None:
    asked = json.load(sys.stdin)
    trial = Trial(**asked)
    sys.stdout.write(json.dumps(run_trial(trial, Path(sys.argv[1]))))


if __name__ == "__main__":
    _main()
