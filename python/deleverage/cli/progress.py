"""A bar on standard error: how far, how fast, how long yet; nothing where nobody watches."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["Bar", "bar"]


class Bar:
    """What a long computation reports to."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        """Start at nothing.

        Args:
            progress: the drawn bar, or None where nobody watches.
            total: units in all.
        """
        self._progress = progress
        self._task = None if progress is None else progress.add_task("", total=total)

    def __call__(self, done: int, total: int) -> None:
        """Move on.

        Args:
            done: units so far.
            total: units in all, which may have become known later.
        """
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)


@contextmanager
def bar(words: str, total: int, *, unit: str = "rows") -> Iterator[Bar]:
    """Draw a bar while something runs.

    Args:
        words: what is done.
        total: units in all.
        unit: what is counted, for the rate.

    Yields:
        What to report to.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield Bar(None, total)
        return
    columns = (
        TextColumn(words),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, total)


class _Rate(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        super().__init__()

    def render(self, task: Task) -> Text:
        """Draw the rate; nothing before there is one."""
        return Text("" if task.speed is None else f"{task.speed:,.0f} {self._unit}/s")
