"""Tables for people: a pipe gets every character, and a name cannot steer the terminal."""

import io
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Page", "bar", "cell"]

_PIPE_WIDTH = 100_000
_BAR_WIDTH = 40
_ID_WIDTH = 18


def cell(value: object) -> str:
    """Show one value: exact decimals without padding, scores to six digits, nothing for null.

    Args:
        value: of a frame or a record.

    Returns:
        Text without control characters.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return _trimmed(value)
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))


def bar(share: float) -> str:
    """Draw a share of one as a bar.

    Args:
        share: 0 to 1.

    Returns:
        Up to 40 block characters; a share above zero has at least one.
    """
    blocks = round(share * _BAR_WIDTH)
    return "\u2588" * max(blocks, 1 if share > 0 else 0)


@dataclass(slots=True, kw_only=True)
class Page:
    """Titles, tables and text that are printed one below the other.

    Attributes:
        is_terminal: whether a person watches: the terminal's width and colours are used.
    """

    is_terminal: bool = False
    _parts: list[Table | Text] = field(default_factory=list)

    def frame(self, title: str, frame: pl.DataFrame) -> None:
        """Add a frame as a table.

        Args:
            title: printed above.
            frame: the rows.
        """
        numeric = [dtype.is_numeric() for dtype in frame.schema.values()]
        self.rows(title, frame.columns, frame.iter_rows(), numeric=numeric)

    def rows(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        numeric: Sequence[bool] | None = None,
    ) -> None:
        """Add rows as a table.

        Args:
            title: printed above.
            columns: headings.
            rows: one value a column.
            numeric: which columns are set flush right; default those whose first value is a number.
        """
        lines = [tuple(row) for row in rows]
        if numeric is None:
            first = lines[0] if lines else ("",) * len(columns)
            numeric = [isinstance(value, Decimal | int | float) for value in first]
        table = Table(box=SIMPLE_HEAD, title=Text(title), title_justify="left", pad_edge=False)
        for name, is_numeric in zip(columns, numeric, strict=True):
            table.add_column(
                Text(name),
                justify="right" if is_numeric else "left",
                overflow="fold",
                min_width=len(name),
                no_wrap=is_numeric,
            )
        shown = _shortened if self.is_terminal else cell
        for line in lines:
            table.add_row(*(Text(shown(value)) for value in line))
        self._parts.append(table)

    def facts(self, title: str, facts: Mapping[str, object]) -> None:
        """Add names and values, one pair a line.

        Args:
            title: printed above.
            facts: value by name.
        """
        width = max((len(name) for name in facts), default=0)
        lines = [title, *(f"  {name:<{width}}  {cell(value)}" for name, value in facts.items())]
        self.text("\n".join(lines))

    def text(self, text: str) -> None:
        """Add lines of text.

        Args:
            text: printed as it is, control characters shown instead of sent.
        """
        self._parts.append(Text("\n".join(cell(line) for line in text.splitlines()) + "\n"))

    def __str__(self) -> str:
        """The page as it is printed."""
        buffer = io.StringIO()
        console = self._console(buffer, _PIPE_WIDTH)
        tables = [part for part in self._parts if isinstance(part, Table)]
        if self.is_terminal:
            # Too narrow a terminal breaks lines itself: a number is never cut off or folded.
            least = max((console.measure(table).minimum for table in tables), default=0)
            console = self._console(buffer, max(least, shutil.get_terminal_size().columns))
        for part in self._parts:
            console.print(part, soft_wrap=isinstance(part, Text))
        lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
        return "\n".join(lines).strip("\n") + "\n"

    def _console(self, buffer: io.StringIO, width: int) -> Console:
        """Somewhere to print to, that obeys no markup."""
        return Console(
            file=buffer,
            width=width,
            force_terminal=self.is_terminal,
            color_system="auto" if self.is_terminal else None,
            highlight=False,
            markup=False,
            emoji=False,
        )


def _shortened(value: object) -> str:
    """A cell for a terminal: a long id without spaces keeps its two ends."""
    text = cell(value)
    if len(text) <= _ID_WIDTH or " " in text:
        return text
    return f"{text[: _ID_WIDTH - 9]}\u2026{text[-8:]}"


def _trimmed(value: Decimal) -> str:
    """A decimal without the zeros that only its column needs."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
