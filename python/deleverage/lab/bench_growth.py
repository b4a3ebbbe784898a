"""How select, lights and a tick grow with the book."""

from collections.abc import Callable, Iterator, Sequence

from deleverage.lab.bench_cases import subject_of
from deleverage.lab.bench_queue import lights_call
from deleverage.lab.bench_report import Measurement, measured
from deleverage.lab.bench_ticks import CASE, batch_of, kept_book, run_course, side_of
from deleverage.lab.bench_timing import Floor, alternate, cores
from deleverage.lab.books import Book, generate

__all__ = ["BATCH", "LIGHTS", "SECTION", "TICK", "measure_growth", "sizes_up_to"]

SECTION = "growth"

_SHARE = 0.001
_TICKS = 2_000
_FEW_TICKS = 100

#: What is measured at each size.
BATCH = f"select over all rows, {_SHARE:.1%} of a side"
LIGHTS = "lights of all positions"
TICK = f"a tick on a kept book, {_SHARE:.1%} of a side"


def sizes_up_to(positions: int, largest: int) -> tuple[int, ...]:
    """Give the sizes of the books: powers of ten up to the run's own, and on to the largest.

    Args:
        positions: rows of the run's books.
        largest: rows of the largest book, or 0 for no more than `positions`.

    Returns:
        At least one size, rising.
    """
    most = max(positions, largest)
    powers = [10**power for power in range(5, 10) if 10**power <= most]
    return tuple(powers) or (positions,)


def measure_growth(
    sizes: Sequence[int],
    *,
    seed: int,
    rounds: int,
    quick: bool,
    progress: Callable[[str], None],
) -> Iterator[Measurement]:
    """Measure a pass over all rows, all lights and a tick at several sizes.

    Args:
        sizes: rows of the books.
        seed: of the books.
        rounds: alternating pairs against the floor.
        quick: fewer ticks.
        progress: told before each size.

    Yields:
        Three lines a size, section `growth`: the pass and the tick against the floor of the side
        asked for, the lights against that of both sides.
    """
    for size in sizes:
        progress(f"growth: {size:,} positions")
        yield from _at_size(generate(size, seed=seed), rounds, _FEW_TICKS if quick else _TICKS)


def _at_size(drawn: Book, rounds: int, ticks: int) -> Iterator[Measurement]:
    subject = subject_of(drawn, CASE)
    theirs, ours = alternate(subject.floor(cores()), lights_call(subject, cores()), rounds)
    yield _line(drawn, LIGHTS, ours=ours, theirs=theirs)
    side = side_of(drawn)
    own = [getattr(side, name) for name in CASE.own]
    floor = Floor([side.lots, side.entry_value, *own], threads=cores())
    select = batch_of(drawn, side, _SHARE)
    theirs, ours = alternate(floor, select, rounds)
    yield _line(drawn, BATCH, ours=ours, theirs=theirs, selected=len(select().rows))
    course = run_course(kept_book(drawn), drawn, share=_SHARE, ticks=ticks)
    kept = course.kept or course.passed
    yield _line(drawn, TICK, ours=kept, theirs=theirs, selected=course.selected, note=str(course))


def _line(
    drawn: Book,
    case: str,
    *,
    ours: Sequence[float],
    theirs: Sequence[float],
    selected: int | None = None,
    note: str = "",
) -> Measurement:
    return measured(
        section=SECTION,
        case=case,
        distribution=drawn.distribution.value,
        positions=drawn.positions,
        selected=selected,
        threads=cores(),
        ours=ours,
        reference="floor",
        theirs=theirs,
        note=note,
    )
