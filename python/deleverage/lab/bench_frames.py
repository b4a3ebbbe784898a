"""The frame level: what `prepare` and `plan` add to the kernel, and to reading a file."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl

from deleverage import planning, ranking
from deleverage.lab.bench_cases import CASES, subject_of
from deleverage.lab.bench_report import Goal, Measurement, measured
from deleverage.lab.bench_select import SIDE
from deleverage.lab.bench_timing import alternate, cores, milliseconds, repeat
from deleverage.lab.book_frames import Numbers, markets_frame, marks_frame, positions_frame
from deleverage.lab.books import Book
from deleverage.model.snapshot import Snapshot
from deleverage.ranking import Columns, Rate
from deleverage.venue import Venue

__all__ = ["measure_frames"]

_MARKET = "M0000-PERP"
_PLAN_OVER_KERNEL = Goal(limit=1.2)
_FILE_TO_PLAN = Goal(limit=3.0)
_SHARE = 0.001
_INTAKE_ROUNDS = 2
_LOTS_A_CONTRACT = 1_000


def measure_frames(
    book: Book, *, rounds: int, file_rounds: int, progress: Callable[[str], None]
) -> Iterator[Measurement]:
    """Measure `plan` on a prepared snapshot, from a Parquet file, and `prepare` from every type.

    Args:
        book: one market, log-normal; isolated positions under the bitmex rule.
        rounds: alternating pairs of `plan` and the kernel.
        file_rounds: alternating pairs of a plan from a file and reading the file.
        progress: told before each part.

    Yields:
        The lines, section `frames`.
    """
    progress("frames: plan on a prepared snapshot")
    yield _plan_line(book, rounds)
    for text in (False, True):
        progress(f"frames: Parquet to plan, accounts as {'strings' if text else 'integers'}")
        yield _file_line(book, file_rounds, text=text)
    for numbers in Numbers:
        progress(f"frames: intake from {numbers.value}")
        yield _intake_line(book, numbers)


def _plan(
    positions: Snapshot | Path,
    *,
    lots: int,
    marks: pl.DataFrame | None = None,
    markets: pl.DataFrame | None = None,
) -> planning.Plan:
    """Offset a share of the shorts by a bankrupt long."""
    return planning.plan(
        positions,
        venue=Venue.load("bitmex"),
        market=_MARKET,
        bankrupt_side="long",
        qty=f"{lots // _LOTS_A_CONTRACT}.{lots % _LOTS_A_CONTRACT:03d}",
        bankruptcy_price="61250",
        marks=marks,
        markets=markets,
    )


def _lots(book: Book) -> int:
    return max(int(book.open_interest(SIDE) * _SHARE), 1)


def _prepare(book: Book, frame: pl.DataFrame, numbers: Numbers) -> Snapshot:
    return Snapshot.prepare(
        frame,
        marks=marks_frame(book),
        venue=Venue.load("bitmex"),
        markets=markets_frame(book, numbers=numbers),
    )


def _plan_line(book: Book, rounds: int) -> Measurement:
    snapshot = _prepare(book, positions_frame(book, numbers=Numbers.FLOAT64), Numbers.FLOAT64)
    kernel = _kernel(snapshot, _lots(book))
    theirs, ours = alternate(kernel, partial(_plan, snapshot, lots=_lots(book)), rounds)
    return measured(
        section="frames",
        case=f"plan on a snapshot, bitmex, {_SHARE:.2%}",
        distribution=book.distribution.value,
        positions=book.positions,
        selected=len(kernel()),
        threads=cores(),
        ours=ours,
        reference="select and order on the side's rows",
        theirs=theirs,
        goal=_PLAN_OVER_KERNEL,
    )


def _kernel(snapshot: Snapshot, lots: int) -> Callable[[], ranking.Int64s]:
    """Return what a plan cannot do without: the side's rows selected and ordered."""
    given = snapshot.kernel(_MARKET)
    columns = Columns(**{name: values[given.split :] for name, values in given.columns.items()})
    mark_num, mark_den, is_inverse = given.rate
    rate = Rate(mark_num=mark_num, mark_den=mark_den, is_inverse=is_inverse)
    rule = snapshot.rule(_MARKET)

    def run() -> ranking.Int64s:
        head = ranking.select(columns, rate, rule=rule, side=SIDE, lots=lots)
        return ranking.order(columns, rate, head.rows, rule=rule)

    return run


def _file_line(book: Book, rounds: int, *, text: bool) -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "positions.parquet"
        positions_frame(book, numbers=Numbers.DECIMAL, text=text).write_parquet(path)
        tables = {"marks": marks_frame(book), "markets": markets_frame(book)}
        plan = partial(_plan, path, lots=_lots(book), **tables)
        theirs, ours = alternate(partial(pl.read_parquet, path), plan, rounds)
    return measured(
        section="frames",
        case=f"Parquet to plan, accounts as {'strings' if text else 'integers'}, money as Decimal",
        distribution=book.distribution.value,
        positions=book.positions,
        threads=cores(),
        ours=ours,
        reference="polars.read_parquet",
        theirs=theirs,
        goal=_FILE_TO_PLAN,
        rounds_to_judge=1,
    )


def _intake_line(book: Book, numbers: Numbers) -> Measurement:
    frame = positions_frame(book, numbers=numbers)
    intake = partial(_prepare, book, frame, numbers)
    floor = subject_of(book, CASES["bitmex"]).floor(cores())
    return measured(
        section="frames",
        case=f"prepare from {numbers.value}",
        distribution=book.distribution.value,
        positions=book.positions,
        threads=cores(),
        ours=[milliseconds(intake) for _ in range(_INTAKE_ROUNDS)],
        reference=f"floor ({floor.variant})",
        theirs=repeat(floor, _INTAKE_ROUNDS),
    )
