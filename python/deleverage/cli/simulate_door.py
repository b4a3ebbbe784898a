"""Commands that set policies side by side, as typed: `simulate`, `compare`, `report`."""

# ruff: noqa: PLC0415 - a command's file is imported when the command runs

from pathlib import Path
from typing import Annotated

import typer

from deleverage.cli.options import (
    AccountsOption,
    FormatOption,
    MarketsOption,
    MarksOption,
    NeutralOption,
    OutputOption,
)
from deleverage.errors import InputError

__all__ = ["compare_command", "report_command", "simulate_command"]

_Venues = Annotated[
    list[str] | None,
    typer.Option("--venue", metavar="NAME", help="An edition; may be repeated."),
]
_Policies = Annotated[
    list[str] | None,
    typer.Option("--policy", metavar="NAME", help="How to share out; may be repeated."),
]
_Seed = Annotated[int, typer.Option("--seed", min=0, help="Another crash.")]
_Traders = Annotated[int, typer.Option("--accounts", metavar="N", min=4, help="Number of traders.")]
_Markets = Annotated[
    int,
    typer.Option(
        "--markets",
        metavar="N",
        min=1,
        max=16,
        help="Markets; with several, hedges are cross margined.",
    ),
]
# None says that nothing was typed: beside a run each of them is refused.
_ReportSeed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Another crash; 0 without it.")
]
_ReportTraders = Annotated[
    int | None,
    typer.Option("--accounts", metavar="N", min=4, help="Number of traders; 400 without it."),
]
_ReportMarkets = Annotated[
    int | None,
    typer.Option("--markets", metavar="N", min=1, max=16, help="As `simulate`; 1 without it."),
]
_Settle = Annotated[
    str | None,
    typer.Option(
        "--settle",
        metavar="PRICE",
        help="bankruptcy, mark, previous_mark or mark_until_depleted; else the edition's own.",
    ),
]


def simulate_command(
    *,
    venue: _Venues = None,
    policy: _Policies = None,
    seed: _Seed = 0,
    accounts: _Traders = 400,
    markets: _Markets = 1,
    settle: _Settle = None,
    table: Annotated[
        str,
        typer.Option("--table", metavar="summary|steps|accounts|fills|lights|prices|waves"),
    ] = "summary",
    shape: FormatOption = None,
    output: OutputOption = "-",
) -> int:
    """Simulate a crash, a squeeze and another fall: what each policy leaves for the next round.

    Prices jump, the order book empties and refills, traders are called and liquidated, the pool
    pays, and what is left is closed against the other side by each policy. Everything is whole
    numbers and adds to zero in every step. Without --policy every policy is played.

    Example: deleverage simulate --policy queue --policy pro-rata

    Example: deleverage simulate --venue bitmex --table steps -o steps.parquet

    Example: deleverage simulate --markets 3 --policy queue --policy factor-draining
    """
    from deleverage.cli.simulate import Crash, show_simulation

    crash = Crash(
        venues=tuple(venue or ("generic",)),
        policies=tuple(policy or ()),
        seed=seed,
        accounts=accounts,
        markets=markets,
        settle=settle,
    )
    return show_simulation(crash, table=table, shape=shape, output=output)


def compare_command(
    positions: Annotated[
        Path | None,
        typer.Argument(
            metavar="[POSITIONS]",
            help="Positions as CSV, Parquet or JSON Lines; without them a crash is drawn.",
            show_default=False,
        ),
    ] = None,
    *,
    bankruptcies: Annotated[
        Path | None,
        typer.Option(
            "--bankruptcies",
            metavar="FILE",
            help="market, side, qty, optional bankruptcy_price and account; in order.",
        ),
    ] = None,
    venue: _Venues = None,
    policy: _Policies = None,
    marks: MarksOption = None,
    accounts: AccountsOption = None,
    markets: MarketsOption = None,
    neutral: NeutralOption = None,
    seed: _Seed = 0,
    size: Annotated[
        int, typer.Option("--positions", metavar="N", min=4, help="Size of a drawn book.")
    ] = 5_000,
    shape: FormatOption = None,
    output: OutputOption = "-",
) -> int:
    """Compare venues and policies on the same bankruptcies: who pays, how many, how evenly.

    Example: deleverage compare --venue bitmex --venue okx --policy queue --policy pro-rata

    Example: deleverage compare positions.parquet --marks marks.csv --bankruptcies failed.csv
    --venue bitmex --format csv
    """
    from deleverage.cli.compare import Drawn, compare_drawn, compare_files

    venues, policies = tuple(venue or ("generic",)), tuple(policy or ())
    if positions is None:
        files = {
            "--bankruptcies": bankruptcies,
            "--marks": marks,
            "--accounts": accounts,
            "--markets": markets,
            "--neutral": neutral,
        }
        drawn = Drawn(seed=seed, positions=size, given=files)
        return compare_drawn(drawn, venues=venues, policies=policies, shape=shape, output=output)
    from deleverage.cli.inputs import Inputs

    inputs = Inputs.of(positions, marks=marks, accounts=accounts, markets=markets, neutral=neutral)
    return compare_files(
        inputs, bankruptcies, venues=venues, policies=policies, shape=shape, output=output
    )


def report_command(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="A directory that `replay` wrote; without it a crash is simulated.",
            show_default=False,
        ),
    ] = None,
    *,
    page: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The HTML page.")],
    dump: Annotated[
        Path | None,
        typer.Option("--dump", metavar="DIR", help="What RUN replayed: hedges are followed too."),
    ] = None,
    venue: _Venues = None,
    policy: _Policies = None,
    seed: _ReportSeed = None,
    accounts: _ReportTraders = None,
    markets: _ReportMarkets = None,
    settle: _Settle = None,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="DIR", help="Write each picture as a PNG as well."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Add the table of `compare` on a drawn book.")
    ] = False,
) -> int:
    """Write one page on a run or a simulated crash: pictures, tables, and what the words mean.

    The page works offline and holds no time: the same input gives the same bytes. It needs
    matplotlib and jinja2, which come with the extra `lab` of the package.

    Example: deleverage report -o crash.html --policy queue --policy pro-rata

    Example: deleverage report -o crash.html --venue bitmex --png pictures

    Example: deleverage report run --dump dump -o run.html
    """
    from deleverage.cli.report import write_report, write_run_report
    from deleverage.cli.simulate import Crash

    if run is not None:
        given = {
            "--venue": venue or None,
            "--policy": policy or None,
            "--seed": seed,
            "--accounts": accounts,
            "--markets": markets,
            "--settle": settle,
            "--compare": compare or None,
        }
        said = [option for option, value in given.items() if value is not None]
        if said:
            raise InputError(f"{said[0]}: expected nothing beside a run, which says its own")
        return write_run_report(run, dump=dump, output=page, png=png)
    if dump is not None:
        raise InputError("--dump: expected a run beside it, got none")

    crash = Crash(
        venues=tuple(venue or ("generic",)),
        policies=tuple(policy or ()),
        seed=0 if seed is None else seed,
        accounts=400 if accounts is None else accounts,
        markets=1 if markets is None else markets,
        settle=settle,
    )
    return write_report(crash, output=page, png=png, is_compared=compare)
