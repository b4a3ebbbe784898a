"""`deleverage verify`: is a journal what was acknowledged, and was every decision right?"""

from pathlib import Path

import polars as pl

from deleverage.audit import audit
from deleverage.cli.exits import ExitCode, say
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_frame
from deleverage.cli.tables import Page
from deleverage.errors import InputError

__all__ = ["verify_journal"]


def verify_journal(path: Path, *, head: str | None, shape: Format | None, output: str) -> int:
    """Check a journal and write what was found.

    Args:
        path: the journal.
        head: a receipt as printed, that must be in it.
        shape: `--format`.
        output: `-o`.

    Returns:
        The exit code: 0 where every check passed or no entry is there yet, 1 where one did not.

    Raises:
        InputError: there is no such file, or the receipt is not of that form.
    """
    sink = Sink.of(shape, output, allowed=tuple(Format))
    if sink.path is not None and sink.path.resolve() == path.resolve():
        raise InputError(f"-o: expected another file than the journal, got {sink.path}")
    findings = audit(path, head)
    frame = pl.DataFrame(
        {
            "check": [finding.check for finding in findings],
            "is_ok": [finding.is_ok for finding in findings],
            "detail": [finding.detail for finding in findings],
        }
    )

    def table(found: pl.DataFrame) -> str:
        page = Page(is_terminal=sink.is_terminal)
        page.frame(f"checks of {path.name}", found)
        return str(page)

    emit_frame(frame, sink, table=table)
    say(findings[-1].detail)
    return ExitCode.DONE if findings[-1].is_ok else ExitCode.FAILED
