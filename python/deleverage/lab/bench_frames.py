"""The frame level: what `prepare` and `plan` add to the kernel, and to reading a file."""

from collections.abc import Callable, Iterator

from deleverage.lab.bench_report import Measurement
from deleverage.lab.books import Book

__all__ = ["measure_frames"]


def measure_frames(
    book: Book, *, rounds: int, progress: Callable[[str], None]
) -> Iterator[Measurement]:
    progress("frames")
    return iter(())
