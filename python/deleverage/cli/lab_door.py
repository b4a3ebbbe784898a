"""The laboratory's commands as they are typed: `paper`, `generate`, `replay`."""

# ruff: noqa: PLC0415 - a command's file is imported when the command runs

from pathlib import Path
from typing import Annotated

import typer

from deleverage.cli.options import OutputOption, RecordFormatOption, SummaryFormatOption

__all__ = ["generate_command", "paper_command", "replay_command"]

_Pool = Annotated[
    str | None,
    typer.Option("--pool", metavar="MONEY", help="Carry an insurance pool of this size along."),
]
_Start = Annotated[
    str | None,
    typer.Option(
        "--start",
        metavar="SHARE",
        help="Of the pool, above 0 and at most 1: deleveraging starts there, and stops above "
        "it unless --stop says otherwise; without it the edition's trigger holds.",
    ),
]
_Stop = Annotated[
    str | None,
    typer.Option(
        "--stop",
        metavar="SHARE",
        help="Of the pool, --start or more: deleveraging stops there; without it at --start.",
    ),
]
_Income = Annotated[
    str | None,
    typer.Option("--income", metavar="MONEY", help="What fees bring the pool in an hour."),
]
_Swept = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="NAME=VALUE,...",
        help="Replay once with each value of pool, start, stop, income or a number of an "
        "edition, as `price.deviation`; may be repeated: every combination is a case.",
    ),
]


def paper_command(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Published outputs of the replication.")
    ],
    *,
    shape: RecordFormatOption = None,
    output: OutputOption = "-",
) -> int:
    """Recompute the tables of arXiv 2602.15182 from its published files, and read them again.

    Beside each printed figure: the recomputed one, and the corrected reading (gross sums,
    deficits counted once, only what is less fair than the reference).

    Example: deleverage paper autodeleveraging-analysis/out
    """
    from deleverage.cli.paper import show_paper

    return show_paper(directory, shape=shape, output=output)


def generate_command(
    *,
    directory: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the dump is written.")
    ],
    positions: Annotated[
        int, typer.Option("--positions", metavar="N", help="Open positions at first.")
    ] = 221_422,
    markets: Annotated[
        int, typer.Option("--markets", metavar="N", help="Number of markets.")
    ] = 182,
    snapshots: Annotated[
        int, typer.Option("--snapshots", metavar="N", help="Moments at which the book is written.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Another venue.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a dump that stands there.")
    ] = False,
    shape: SummaryFormatOption = None,
) -> int:
    """Write a synthetic venue: positions, accounts, marks and bankruptcies as Parquet.

    It is calibrated to what was published about 2025-10-10 on Hyperliquid; its aggregates are
    printed beside the published ones. The same seed gives the same venue.

    Example: deleverage generate -o dump --positions 10000

    Example: deleverage generate -o large --positions 10000000 --snapshots 10 --seed 7
    """
    from deleverage.cli.generate import write_dump
    from deleverage.lab.generate_world import Request

    request = Request(positions=positions, markets=markets, snapshots=snapshots, seed=seed)
    return write_dump(directory, request, overwrite=overwrite, shape=shape)


def replay_command(
    dump: Annotated[Path, typer.Argument(metavar="DUMP", help="A dump, as `generate` writes it.")],
    *,
    venue: Annotated[
        list[str],
        typer.Option("--venue", metavar="NAME", help="An edition; may be repeated."),
    ],
    directory: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where results are written.")
    ],
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="NAME", help="How to share out; may be repeated."),
    ] = None,
    pool: _Pool = None,
    start: _Start = None,
    stop: _Stop = None,
    income: _Income = None,
    swept: _Swept = None,
    shape: SummaryFormatOption = None,
) -> int:
    """Plan every bankruptcy of a dump under each venue, and sum up what each did.

    A replay that was cut off goes on where it was when it is called again. With a pool only those
    bankruptcies are deleveraged that it does not take over; its lines are the edition's trigger,
    or --start and --stop. A sweep gives one frame, a row a case, venue and policy, and a column a
    parameter; each case is a run of its own in the directory, that `report` can draw.

    Example: deleverage replay dump --venue hyperliquid --venue bitmex -o run

    Example: deleverage replay dump --venue bitmex --pool 3000000 --start 0.3 --stop 0.6 -o run

    Example: deleverage replay dump --venue bitmex --sweep pool=1000000,3000000
    --sweep start=0.2,0.4 --format csv -o sweep
    """
    policies = tuple(policy or ("queue",))
    if swept:
        from deleverage.cli.sweep import sweep_dump

        return sweep_dump(
            dump,
            directory,
            swept=swept,
            venues=venue,
            policies=policies,
            pool=(pool, start, stop, income),
            shape=shape,
        )
    from deleverage.cli.replay import replay_dump

    return replay_dump(
        dump,
        directory,
        venues=tuple(venue),
        policies=policies,
        pool=(pool, start, stop, income),
        shape=shape,
    )
