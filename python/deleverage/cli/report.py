"""`deleverage report`: one crash under several policies, as a page with pictures."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from deleverage.cli.exits import ExitCode, OutputError, say
from deleverage.cli.inputs import venue_of
from deleverage.cli.simulate import Crash, played
from deleverage.lab.compare import compare_crash
from deleverage.lab.report import report_html, report_pictures
from deleverage.lab.simulate import Simulation

__all__ = ["write_report"]

_DRAWN = 5_000


def write_report(crash: Crash, *, output: Path, png: Path | None, is_compared: bool) -> int:
    """Simulate, and write the report.

    Args:
        crash: what was typed.
        output: the page.
        png: a directory for the pictures, or None.
        is_compared: whether the table of `compare` on a drawn book stands in it too.

    Returns:
        The exit code.

    Raises:
        InputError: a figure or a name is out of range, or an optional package is missing.
        OutputError: a file cannot be written.
    """
    simulations = played(crash)
    table = _compared(crash, simulations) if is_compared else None
    again = _again(crash) + " --compare" * is_compared
    page = report_html(simulations, compared=table, command=again)
    try:
        output.write_text(page, encoding="utf-8")
        pictures = [] if png is None else report_pictures(simulations, png)
    except OSError as error:
        raise OutputError(f"{error.filename or output}: {error.strerror or error}") from error
    say(f"{output}: {len(page) // 1024} KiB, {len(simulations)} simulations")
    if pictures:
        say(f"{png}: {len(pictures)} pictures")
    return ExitCode.DONE


def _compared(crash: Crash, simulations: Sequence[Simulation]) -> pl.DataFrame:
    """The same venues and policies on a drawn book."""
    policies = dict.fromkeys(one.policy for one in simulations)
    editions = [venue_of(name) for name in dict.fromkeys(crash.venues)]
    return compare_crash(crash.seed, _DRAWN, venues=editions, policies=list(policies))


def _again(crash: Crash) -> str:
    """The command that writes the same page."""
    words = ["deleverage report"]
    words += [f"--venue {name}" for name in crash.venues]
    words += [f"--policy {name}" for name in crash.policies]
    words += [f"--seed {crash.seed}", f"--accounts {crash.accounts}"]
    words += [] if crash.settle is None else [f"--settle {crash.settle}"]
    return " ".join(words)
