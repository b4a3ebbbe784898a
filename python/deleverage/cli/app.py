"""The commands as they are typed: words, options, examples. The work is in one file a command.

A command's file is imported when the command runs, so that `--help` costs no data library.
"""

# ruff: noqa: PLC0415 - the lazy imports that the sentence above promises

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from deleverage.cli.check_door import check_command
from deleverage.cli.exits import guarded
from deleverage.cli.lab_door import generate_command, paper_command, replay_command
from deleverage.cli.options import (
    INPUT_COLUMNS,
    AccountsOption,
    Format,
    FormatOption,
    MarketOption,
    MarketsOption,
    MarksOption,
    NeutralOption,
    OutputOption,
    PositionsArgument,
    RecordFormatOption,
    Side,
    SideOption,
    VenueOption,
)
from deleverage.cli.repeats import refuse_repeats
from deleverage.cli.simulate_door import compare_command, report_command, simulate_command
from deleverage.cli.what_if_door import what_if_command

__all__ = ["application", "run"]

_EPILOG = "Exit codes: 0 done, 1 failed, 2 bad input, 3 an invariant broke, 4 not fully covered."
_INPUT_EPILOG = f"{INPUT_COLUMNS}\n\n{_EPILOG}"

application = typer.Typer(
    name="deleverage",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_importers = typer.Typer(no_args_is_help=True, help="Turn published data into the frames we take.")
application.add_typer(_importers, name="import")


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: words after the program's name.

    Returns:
        The exit code.
    """
    command = get_command(application)

    def call() -> int:
        refuse_repeats(command, arguments)
        done = command.main(args=list(arguments), prog_name="deleverage", standalone_mode=False)
        return int(done or 0)

    return guarded(call)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - the shape a flag's callback has
    """Print the version and stop."""
    if wanted:
        import deleverage

        typer.echo(deleverage.__version__)
        raise typer.Exit


@application.callback()
def _door(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Auto-deleveraging for perpetual-futures venues.

    Who is next, who is cut, by how much, and why.

    Start with: deleverage demo
    """


@application.command("rank", epilog=_INPUT_EPILOG)
def _rank(
    positions: PositionsArgument,
    *,
    venue: VenueOption,
    marks: MarksOption = None,
    accounts: AccountsOption = None,
    markets: MarketsOption = None,
    neutral: NeutralOption = None,
    market: MarketOption = None,
    side: SideOption = None,
    head: Annotated[
        int | None,
        typer.Option("--head", metavar="N", min=1, help="Only the first N of each queue."),
    ] = None,
    shape: FormatOption = None,
    output: OutputOption = "-",
) -> int:
    """Rank every position: score, place in the queue, light, or why there is none.

    Example: deleverage rank positions.parquet --marks marks.csv --venue bitmex --head 10
    """
    from deleverage.cli.inputs import Inputs
    from deleverage.cli.rank import rank_positions

    inputs = Inputs.of(positions, marks=marks, accounts=accounts, markets=markets, neutral=neutral)
    return rank_positions(
        inputs, venue=venue, market=market, side=side, head=head, shape=shape, output=output
    )


@application.command("plan", epilog=_INPUT_EPILOG)
def _plan(
    positions: PositionsArgument,
    *,
    venue: VenueOption,
    market: Annotated[
        str, typer.Option("--market", metavar="NAME", help="The bankrupt position's market.")
    ],
    marks: MarksOption = None,
    accounts: AccountsOption = None,
    markets: MarketsOption = None,
    neutral: NeutralOption = None,
    bankrupt_side: Annotated[
        Side | None, typer.Option("--bankrupt-side", help="The bankrupt position's side.")
    ] = None,
    qty: Annotated[
        str | None,
        typer.Option("--qty", metavar="CONTRACTS", help="What market and pool have left of it."),
    ] = None,
    bankruptcy_price: Annotated[
        str | None,
        typer.Option("--bankruptcy-price", metavar="PRICE", help="Frozen at takeover."),
    ] = None,
    bankrupt_account: Annotated[
        str | None,
        typer.Option("--bankrupt-account", metavar="NAME", help="Never cut against itself."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="ACCOUNT", help="Never cut; may be repeated."),
    ] = None,
    explain: Annotated[
        list[str] | None,
        typer.Option(
            "--explain",
            metavar="ACCOUNT",
            help="Say why this account is cut or not; may be repeated.",
        ),
    ] = None,
    shape: FormatOption = None,
    output: OutputOption = "-",
) -> int:
    """Plan who is cut, by how much and at what price, to offset a bankrupt quantity.

    Example: deleverage plan positions.parquet --marks marks.csv --venue bitmex
    --market BTC-PERP --bankrupt-side long --qty 12.5 --bankruptcy-price 61250

    Example: deleverage plan imported/ --venue hyperliquid --market AVAX
    """
    from deleverage.cli.inputs import Inputs
    from deleverage.cli.plan import Wish, plan_event

    inputs = Inputs.of(positions, marks=marks, accounts=accounts, markets=markets, neutral=neutral)
    wish = Wish(
        venue=venue,
        market=market,
        bankrupt_side=bankrupt_side,
        qty=qty,
        bankruptcy_price=bankruptcy_price,
        bankrupt_account=bankrupt_account,
        exclude=tuple(exclude or ()),
        explain=tuple(explain or ()),
    )
    return plan_event(inputs, wish, shape=shape, output=output)


application.command("check", epilog=_INPUT_EPILOG)(check_command)
application.command("what-if", epilog=_INPUT_EPILOG)(what_if_command)
application.command("paper", epilog=_EPILOG)(paper_command)
application.command("generate", epilog=_EPILOG)(generate_command)
application.command("replay", epilog=_EPILOG)(replay_command)
application.command("simulate", epilog=_EPILOG)(simulate_command)
application.command("compare", epilog=_INPUT_EPILOG)(compare_command)
application.command("report", epilog=_EPILOG)(report_command)


@application.command("venues", epilog=_EPILOG)
def _venues(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="An edition, or the path of a .toml file."),
    ] = None,
    shape: FormatOption = None,
    output: OutputOption = "-",
) -> int:
    """List the venue editions, or print one as a formula with its sources.

    Example: deleverage venues

    Example: deleverage venues okx@2025-11
    """
    from deleverage.cli.venues import list_venues, show_venue

    if name is None:
        return list_venues(shape=shape, output=output)
    return show_venue(name, shape=shape, output=output)


@application.command("demo", epilog=_EPILOG)
def _demo(
    *,
    venue: VenueOption = "bitmex",
    account: Annotated[
        str, typer.Option("--account", metavar="NAME", help="The trader who asks.")
    ] = "alice",
    positions: Annotated[
        int, typer.Option("--positions", metavar="N", min=4, help="Size of the book.")
    ] = 50_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another crash.")] = 0,
    shape: RecordFormatOption = None,
    output: OutputOption = "-",
) -> int:
    """Plan a synthetic crash: the queue, the lights, the plan, what one trader sees.

    Example: deleverage demo

    Example: deleverage demo --venue okx --account alice
    """
    from deleverage.cli.demo import show_demo

    return show_demo(
        venue=venue, account=account, positions=positions, seed=seed, shape=shape, output=output
    )


@application.command("run", epilog=_EPILOG)
def _run(
    scenario: Annotated[
        Path, typer.Argument(metavar="SCENARIO", help="A .toml file: a venue, its book, events.")
    ],
    *,
    journal: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="JOURNAL", help="Where the journal is kept."),
    ] = None,
    shape: RecordFormatOption = None,
) -> int:
    """Play a scenario: marks, pools, triggers, liquidations, who is cut, and the books.

    Example: deleverage run examples/crash.toml

    Example: deleverage run examples/crash.toml -o crash.journal --format json
    """
    from deleverage.cli.run import run_scenario

    return run_scenario(scenario, shape=shape, journal=journal)


@application.command("verify", epilog=_EPILOG)
def _verify(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="What `run -o` has left.")],
    *,
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="RECEIPT", help="SEQUENCE:HEAD that must be in it."),
    ] = None,
    shape: FormatOption = None,
    output: OutputOption = "-",
) -> int:
    """Check a journal: its chain, every decision derived again, every guarantee.

    The exit code is 1 where the journal is damaged or a check fails, and 0 where all pass. A
    journal without an entry has nothing to verify: the verdict says so, with exit code 0.

    Example: deleverage verify crash.journal
    """
    from deleverage.cli.verify import verify_journal

    return verify_journal(journal, head=head, shape=shape, output=output)


@application.command("bench", epilog=_EPILOG)
def _bench(
    positions: Annotated[
        int, typer.Option("--positions", metavar="N", min=1_000, help="Size of the book.")
    ] = 1_000_000,
    *,
    threads: Annotated[
        list[int] | None,
        typer.Option("--threads", metavar="N", min=0, help="0 is every core; may be repeated."),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, help="Pairs against the floor.")
    ] = 21,
    section: Annotated[
        list[str] | None,
        typer.Option(
            "--section",
            metavar="NAME",
            help="Only this part; may be repeated: select, peers, lights, rank, distributions, "
            "policies, memory, frames, journal, replay, ticks, book, growth.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds, rougher figures.")] = False,
    ticks: Annotated[
        bool, typer.Option("--ticks", help="Only the parts about a book kept between ticks.")
    ] = False,
    largest: Annotated[
        int, typer.Option("--largest", metavar="N", min=0, help="Largest book of the growth.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    write_readme: Annotated[
        bool, typer.Option("--write-readme", help="Write benches/README.md and README.md's ticks.")
    ] = False,
    shape: RecordFormatOption = None,
    output: OutputOption = "-",
) -> int:
    """Measure this machine against the floor of reading the columns once.

    Example: deleverage bench --positions 1000000 --quick

    Example: deleverage bench --positions 10000000 --json -o figures.json

    Example: deleverage bench --ticks --positions 1000000 --quick --json
    """
    from deleverage.cli.bench import Course, measure

    course = Course(
        positions=positions,
        threads=tuple(threads or (1, 0)),
        rounds=rounds,
        sections=tuple(section or ()),
        is_kept=ticks,
        largest=largest,
        is_quick=quick,
    )
    shape = Format.JSON if as_json else shape
    return measure(course, is_readme_written=write_readme, shape=shape, output=output)


@_importers.command("hyperliquid-adl", epilog=_EPILOG)
def _import_hyperliquid(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with one ADL fill a row.")],
    *,
    directory: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the frames are written.")
    ],
    rounding: Annotated[
        str,
        typer.Option(
            "--rounding",
            metavar="refuse|nearest|down|up",
            help="How cash and equity are brought to 0.000001 where they do not fit.",
        ),
    ] = "refuse",
    venue: VenueOption = "hyperliquid",
    published: Annotated[
        list[str] | None,
        typer.Option("--published", metavar="MARKET=QTY", help="A published total to meet."),
    ] = None,
    shape: RecordFormatOption = None,
) -> int:
    """Import published Hyperliquid ADL fills, check them, and plan the same event ourselves.

    Fills of one block time form one event. One event is written into DIR, several each into
    DIR/TIME. The first check is about the published numbers, the second about our plan; they are
    expected to name other accounts, because the list does not say who was spared.

    Example: deleverage import hyperliquid-adl fills.csv -o imported --rounding nearest

    Example: deleverage plan imported --venue hyperliquid --market AVAX
    """
    from deleverage.cli.intake import import_hyperliquid

    return import_hyperliquid(
        file,
        directory,
        rounding=rounding,
        venue=venue,
        published=tuple(published or ()),
        shape=shape,
    )
