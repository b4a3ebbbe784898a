"""A report on one page about a replay's run: its pictures, tables and words.

The page is one HTML file that needs nothing else, as that of `report`. It holds no time and no
machine's name: the same run gives the same bytes.
"""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from deleverage.lab.report import TEMPLATES, cell, import_page, import_pictures, spread_of
from deleverage.lab.report_run import RUN_SUMMARY, RUN_WAVES, RunStory
from deleverage.lab.report_run_words import RUN_CAPTIONS, RUN_LIMITS, RUN_MEASURES
from deleverage.lab.report_words import WORDS

__all__ = ["run_html", "run_pictures"]

_MOST_ROWS = 200


def run_html(story: RunStory, *, command: str) -> str:
    """Write the report of a run.

    Args:
        story: the run, read.
        command: what gives the same page again.

    Returns:
        The page.

    Raises:
        InputError: an optional package is missing.
    """
    pictures, style = import_pictures("pictures_run"), import_pictures("pictures_style")
    page = import_page()
    sections = [
        page.Section(name=name, svg=style.svg(draw, story), words=RUN_CAPTIONS[name])
        for name, draw in pictures.pictures_of(story).items()
    ]
    return str(
        page.filled(
            TEMPLATES,
            title="Auto-deleveraging: a history replayed",
            opening=_opening(story),
            findings=_findings(story),
            sections=sections,
            tables=_tables(story, page.Table),
            words=WORDS,
            reproduce=command,
            limits=RUN_LIMITS,
        )
    )


def run_pictures(story: RunStory, directory: Path) -> list[Path]:
    """Write each picture as a PNG of its own.

    Args:
        story: the run, read.
        directory: made where it does not exist; files of the same names are replaced.

    Returns:
        The files, in the report's order.

    Raises:
        InputError: an optional package is missing.
        OSError: the directory cannot be written.
    """
    pictures, style = import_pictures("pictures_run"), import_pictures("pictures_style")
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in pictures.pictures_of(story).items():
        path = directory / f"{name}.png"
        path.write_bytes(style.png(draw, story))
        paths.append(path)
    return paths


def _opening(story: RunStory) -> str:
    """What was replayed, in three sentences."""
    summary, events = story.summary, int(story.summary["events"][0])
    venues = ", ".join(summary["venue"].unique().sort())
    policies = ", ".join(summary["policy"].unique().sort())
    waves = story.waves["wave"].n_unique()
    pool = (
        "An insurance pool is carried along and takes over what it can."
        if story.pool.height
        else "No insurance pool is carried along: everything is deleveraged."
    )
    cut_off = f" The replay was cut off: {story.missing:,} more are not in it."
    return (
        f"{events:,} bankruptcies in {waves} waves are closed against the other side. The queue "
        f"and the price are those of: {venues}. Who is cut is decided by: {policies}. {pool}"
        f"{cut_off if story.missing else ''}"
    )


def _findings(story: RunStory) -> list[str]:
    """The differences that matter, each in a sentence with its figures."""
    table, names = story.summary, [story.label(key) for key in story.keys]

    def spread(column: str, words: str) -> str:
        values = table[column].to_list()
        known = [value for value in values if value is not None]
        if not known:
            return f"{words}: not known, the venue's price takes more than the dump says."
        return spread_of(words, names, values)

    found = [
        spread("accounts", "Accounts that were cut"),
        spread("gini", "Unevenness of the closed parts, 0 to 1"),
        spread("top_share", "Part of all that was closed which the largest payer carries"),
        spread("missing", "Money that nobody on the other side gave"),
        spread("overshoot", "Taken beyond need by the end of each wave"),
        spread("revenue_lost", "Fees of two years that leave with those who were cut"),
    ]
    if story.naked is not None and story.naked.height:
        worst = story.naked.group_by("venue", "policy", maintain_order=True).agg(
            pl.col("naked").max()
        )
        texts = [
            f"{cell(naked)} ({story.label((venue, policy))})"
            for venue, policy, naked in worst.iter_rows()
        ]
        found.append(f"Left naked in the worst snapshot: {', '.join(texts)}.")
    return found


def _tables(story: RunStory, table: Callable[..., object]) -> list[object]:
    """The tables of the report."""
    names = [story.label(key) for key in story.keys]
    rows = [
        (RUN_MEASURES[name], *map(cell, story.summary[name].to_list()))
        for name in list(RUN_SUMMARY)[2:]
    ]
    waves = story.waves.head(_MOST_ROWS)
    found = [
        table(
            name="summary",
            title="The measures",
            caption="One column a policy. Money is of the settlement asset; shares are 0 to 1.",
            columns=["measure", *names],
            rows=rows,
        ),
        table(
            name="wave-table",
            title="The waves in figures",
            caption="Needed is what bankrupt positions lacked at the mark; markout is what those "
            f"who were cut would have more when the wave ended. The first {_MOST_ROWS} rows.",
            columns=list(RUN_WAVES),
            rows=[tuple(map(cell, row)) for row in waves.iter_rows()],
        ),
    ]
    if story.naked is not None and story.naked.height:
        found.append(
            table(
                name="naked-table",
                title="Broken hedges in figures",
                caption="Hedged is the smaller side of each account that was cut, summed; naked is "
                "by how much the cuts made net positions larger.",
                columns=story.naked.columns,
                rows=[tuple(map(cell, row)) for row in story.naked.head(_MOST_ROWS).iter_rows()],
            )
        )
    return found
