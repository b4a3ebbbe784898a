"""A report on one page: a simulated crash under several policies, in pictures, tables and words.

The page is one HTML file that needs nothing else: pictures are SVG inside it, no script, no font,
no address to fetch. It holds no time and no machine's name, so the same input gives the same bytes.
Matplotlib and Jinja2 draw and fill it; without them everything else in the package works.
"""

# ruff: noqa: PLC0415 - drawing and filling are optional: imported when a report is asked for

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import polars as pl

from deleverage.errors import InputError
from deleverage.lab.report_words import CAPTIONS, MEASURES, WORDS
from deleverage.lab.simulate import Simulation
from deleverage.lab.simulate_summary import SUMMARY, summarise, tidy

__all__ = [
    "TEMPLATES",
    "cell",
    "import_page",
    "import_pictures",
    "report_html",
    "report_pictures",
    "spread_of",
]

TEMPLATES = Path(__file__).parent / "templates"
_LIMITS = (
    "The crash is synthetic and seeded: it shows what rules do to the same traders, not what any "
    "venue did. Partial liquidation, funding and fees are left out."
)


def report_html(
    simulations: Sequence[Simulation], *, compared: pl.DataFrame | None = None, command: str
) -> str:
    """Write the report.

    Args:
        simulations: at least one, all of one course; the first is shown where only one can be.
        compared: a table of `compare`, to stand in the report as well.
        command: what gives the same page again.

    Returns:
        The page.

    Raises:
        InputError: there is no simulation, courses differ, or an optional package is missing.
    """
    pictures, page = import_pictures(), import_page()
    _check(simulations)
    drawn = {name: pictures.svg(draw, simulations) for name, draw in pictures.PICTURES.items()}
    sections = [
        page.Section(name=name, svg=drawn[name], words=words) for name, words in CAPTIONS.items()
    ]
    return str(
        page.filled(
            TEMPLATES,
            title="Auto-deleveraging: one crash, several policies",
            opening=_opening(simulations),
            findings=_findings(simulations),
            sections=sections,
            tables=_tables(simulations, compared, page),
            words=WORDS,
            reproduce=command,
            limits=_LIMITS,
        )
    )


def report_pictures(simulations: Sequence[Simulation], directory: Path) -> list[Path]:
    """Write each picture as a PNG of its own.

    Args:
        simulations: as in `report_html`.
        directory: made where it does not exist; files of the same names are replaced.

    Returns:
        The files, in the report's order.

    Raises:
        InputError: as in `report_html`.
        OSError: the directory cannot be written.
    """
    pictures = import_pictures()
    _check(simulations)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in pictures.PICTURES.items():
        path = directory / f"{name}.png"
        path.write_bytes(pictures.png(draw, simulations))
        paths.append(path)
    return paths


def import_pictures(name: str = "pictures") -> ModuleType:
    """Import what draws.

    Args:
        name: `pictures`, `pictures_run` or `pictures_style`.

    Raises:
        InputError: the library that draws is missing.
    """
    try:
        return import_module(f"deleverage.lab.{name}")
    except ModuleNotFoundError as error:
        raise _missing(error) from error


def import_page() -> ModuleType:
    """Import what fills the page.

    Raises:
        InputError: the library of the templates is missing.
    """
    try:
        return import_module("deleverage.lab.report_page")
    except ModuleNotFoundError as error:
        raise _missing(error) from error


def _missing(error: ModuleNotFoundError) -> InputError:
    """Say which package is missing, and how to get it."""
    return InputError(
        f"report: expected the package {error.name}, which is not installed; "
        'pip install "deleverage[lab]"'
    )


def _check(simulations: Sequence[Simulation]) -> None:
    """Refuse what cannot stand side by side."""
    if not simulations:
        raise InputError("report: expected at least one simulation, got none")
    if any(one.course != simulations[0].course for one in simulations):
        raise InputError("report: expected simulations of one course, got several")


def _opening(simulations: Sequence[Simulation]) -> str:
    """What was simulated, in two sentences."""
    course = simulations[0].course
    policies = ", ".join(dict.fromkeys(one.policy for one in simulations))
    venues = ", ".join(dict.fromkeys(one.venue for one in simulations))
    what = "hold one perpetual contract; its price jumps"
    if course.markets > 1:
        what = (
            f"hold {course.markets} perpetual contracts, some of them two that offset each other "
            "over one equity; prices jump together"
        )
    return (
        f"{course.accounts} traders {what} "
        f"{len(course.jumps)} times in {course.steps} steps (seed {course.seed}), and positions "
        f"that neither the order book nor the insurance pool can take are closed against the other "
        f"side. The queue and the price are those of: {venues}. Who is cut is decided by: "
        f"{policies}."
    )


def _findings(simulations: Sequence[Simulation]) -> list[str]:
    """The differences that matter, each in a sentence with its figures."""
    table = summarise(simulations)
    if not table["adl_lots"].sum():
        return ["Nobody was deleveraged: the order book and the pool took everything."]
    names = [
        f"{row['policy']} ({row['venue']})" if table["venue"].n_unique() > 1 else row["policy"]
        for row in table.iter_rows(named=True)
    ]

    def spread(column: str, words: str) -> str:
        return spread_of(words, names, table[column].to_list())

    return [
        spread("liquidated_later", "Traders liquidated after the first wave, by what it left"),
        spread("needed", "Money that bankrupt positions lacked, in all waves (ticks x lots)"),
        spread("max_haircut", "Largest part of a profit that one trader lost"),
        spread("participation", "Part of the winners who carried something"),
        spread("naked_lots", "Lots that hedged traders were left with on one leg"),
        spread("naked_liquidated", "Hedged traders who were liquidated after a leg was cut"),
        spread("revenue_lost", "Fees of two years that leave with those who were cut"),
    ]


def _tables(
    simulations: Sequence[Simulation], compared: pl.DataFrame | None, page: ModuleType
) -> list[object]:
    """The tables of the report."""
    from deleverage.lab.pictures import label

    summary = summarise(simulations)
    names = [label(one, simulations) for one in simulations]
    rows = [
        (MEASURES.get(name, name), *map(cell, summary[name].to_list()))
        for name in list(SUMMARY)[2:]
    ]
    wave = tidy(simulations, "waves")
    found: list[object] = [
        page.Table(
            name="summary",
            title="The measures",
            caption="One column a policy. Money is counted in ticks x lots; shares are 0 to 1.",
            columns=["measure", *names],
            rows=rows,
        ),
        page.Table(
            name="wave-table",
            title="The waves in figures",
            caption="Needed is what bankrupt positions lacked at the mark; executed is what those "
            "who were cut would have more at the mark when the wave ended.",
            columns=wave.columns,
            rows=[tuple(map(cell, row)) for row in wave.iter_rows()],
        ),
    ]
    if compared is not None:
        found.append(
            page.Table(
                name="compare",
                title="The same bankruptcies under each venue and policy",
                caption="Each row plans the same bankruptcies on the same book, in their order.",
                columns=compared.columns,
                rows=[tuple(map(cell, row)) for row in compared.iter_rows()],
            )
        )
    return found


def spread_of(words: str, names: Sequence[str], values: Sequence[float | None]) -> str:
    """Say in a sentence from what to what a figure goes, and whose the ends are.

    Who is told apart by no printed figure is not told apart in words.

    Args:
        words: what the figure is.
        names: of the lines.
        values: theirs; one at least is known.

    Returns:
        The sentence.
    """
    known = [value for value in values if value is not None]
    low, high = cell(min(known)), cell(max(known))
    if low == high:
        return f"{words}: {low} under every policy."
    shown = [cell(value) for value in values]
    least = ", ".join(name for name, one in zip(names, shown, strict=True) if one == low)
    most = ", ".join(name for name, one in zip(names, shown, strict=True) if one == high)
    return f"{words}: from {low} ({least}) to {high} ({most})."


def cell(value: object) -> str:
    """Give a value as a reader wants it: thousands apart, shares to three digits."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        # Adding zero takes the sign off what rounds to nothing.
        small = f"{round(value, 3) + 0.0:.3f}"
        return f"{value:,.0f}" if abs(value) >= 1000 else small  # noqa: PLR2004 - money
    return str(value)
