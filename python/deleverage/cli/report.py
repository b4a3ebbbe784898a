"""`deleverage report`: a simulated crash, or a replay's run, as a page with pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from deleverage.cli.exits import ExitCode, OutputError, say
from deleverage.cli.inputs import venue_of
from deleverage.cli.simulate import Crash, played
from deleverage.errors import InputError
from deleverage.lab.compare import compare_crash
from deleverage.lab.report import report_html, report_pictures
from deleverage.lab.report_replay import run_html, run_pictures
from deleverage.lab.report_run import read_run
from deleverage.lab.simulate import Simulation

__all__ = ["write_report", "write_run_report"]

_DRAWN = 5_000
_SUFFIXES = (".html", ".htm")


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
    _check_places(output, png)
    simulations = played(crash)
    table = _compared(crash, simulations) if is_compared else None
    again = _again(crash) + " --compare" * is_compared
    page = report_html(simulations, compared=table, command=again)
    return _written(
        page,
        output,
        png,
        what=f"{len(simulations)} simulations",
        pictures=lambda directory: report_pictures(simulations, directory),
    )


def write_run_report(run: Path, *, dump: Path | None, output: Path, png: Path | None) -> int:
    """Read a run, and write the report.

    Args:
        run: what `replay` wrote.
        dump: what was replayed, or None.
        output: the page.
        png: a directory for the pictures, or None.

    Returns:
        The exit code.

    Raises:
        InputError: it is no run, the dump is another one, or an optional package is missing.
        OutputError: a file cannot be written.
    """
    _check_places(output, png)
    story = read_run(run, dump=dump)
    again = f"deleverage report {run.name}" + (f" --dump {dump.name}" if dump else "")
    page = run_html(story, command=again)
    if story.missing:
        say(f"{run}: cut off, {story.missing} bankruptcies are left; the same replay goes on")
    return _written(
        page,
        output,
        png,
        what=f"{story.summary['events'][0]} bankruptcies, {len(story.keys)} lines",
        pictures=lambda directory: run_pictures(story, directory),
    )


def _check_places(output: Path, png: Path | None) -> None:
    """See that page and pictures can be written, before any of the work is done."""
    if output.is_dir() or output.suffix.lower() not in _SUFFIXES:
        expected = f"expected a file that ends in {' or '.join(_SUFFIXES)}"
        raise InputError(f"-o {output}: {expected}, got {_kind_of(output)}")
    if not output.parent.is_dir():
        raise InputError(f"-o {output}: expected a folder {output.parent} that exists; make it")
    if png is not None and png.exists() and not png.is_dir():
        raise InputError(f"--png {png}: expected a directory, got a file")


def _kind_of(output: Path) -> str:
    """What stands in a page's place."""
    return "a directory" if output.is_dir() else f"the suffix {output.suffix!r}"


def _written(
    page: str,
    output: Path,
    png: Path | None,
    *,
    what: str,
    pictures: Callable[[Path], list[Path]],
) -> int:
    """Write the page, and the pictures where they are asked for."""
    try:
        output.write_text(page, encoding="utf-8")
        found = [] if png is None else pictures(png)
    except OSError as error:
        raise OutputError(f"{error.filename or output}: {error.strerror or error}") from error
    say(f"{output}: {len(page) // 1024} KiB, {what}")
    if found:
        say(f"{png}: {len(found)} pictures")
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
    words += [] if crash.markets == 1 else [f"--markets {crash.markets}"]
    words += [] if crash.settle is None else [f"--settle {crash.settle}"]
    return " ".join(words)
