"""`deleverage what-if` as it is typed: words, options, examples; the work is in `what_if`."""

# ruff: noqa: PLC0415 - a command's file is imported when the command runs

from typing import Annotated

import typer

from deleverage.cli.options import (
    AccountsOption,
    MarketOption,
    MarketsOption,
    MarksOption,
    NeutralOption,
    OutputOption,
    PositionsArgument,
    RecordFormatOption,
    SideOption,
    VenueOption,
)

__all__ = ["what_if_command"]

HedgeOption = Annotated[
    str | None,
    typer.Option("--hedge", metavar="CONTRACTS", help="Opposite, in the same account."),
]
DeltaOption = Annotated[
    bool | None,
    typer.Option("--delta-neutral/--no-delta-neutral", help="What the account then counts as."),
]
BankruptOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bankrupt",
        metavar="CONTRACTS",
        help="How much is cut if so many go bankrupt; may be repeated.",
    ),
]


def what_if_command(
    positions: PositionsArgument,
    *,
    venue: VenueOption,
    account: Annotated[
        str, typer.Option("--account", metavar="NAME", help="Whose position it is.")
    ],
    marks: MarksOption = None,
    accounts: AccountsOption = None,
    markets: MarketsOption = None,
    neutral: NeutralOption = None,
    market: MarketOption = None,
    side: SideOption = None,
    position_id: Annotated[
        str | None, typer.Option("--position-id", metavar="ID", help="Where it has several.")
    ] = None,
    leverage: Annotated[
        str | None, typer.Option("--leverage", metavar="X", help="A new setting.")
    ] = None,
    add_margin: Annotated[
        str | None, typer.Option("--add-margin", metavar="AMOUNT", help="Of the settlement asset.")
    ] = None,
    close: Annotated[
        str | None, typer.Option("--close", metavar="CONTRACTS", help="At the mark.")
    ] = None,
    hedge: HedgeOption = None,
    delta_neutral: DeltaOption = None,
    bankrupt: BankruptOption = None,
    shape: RecordFormatOption = None,
    output: OutputOption = "-",
) -> int:
    """Say where a position would stand: light, rank, score, and how much of it is cut.

    Several changes are made in this order: close, leverage, margin, hedge; without one it says
    where the position stands.

    Example: deleverage what-if positions.csv --marks marks.csv --venue bybit --account alice
    --leverage 5

    Example: deleverage what-if positions.csv --marks marks.csv --venue bitmex --account alice
    --close 2 --bankrupt 10 --bankrupt 50
    """
    from deleverage.cli.inputs import Inputs
    from deleverage.cli.what_if import Wish, ask

    inputs = Inputs.of(positions, marks=marks, accounts=accounts, markets=markets, neutral=neutral)
    wish = Wish(
        venue=venue,
        account=account,
        market=market,
        side=side,
        position_id=position_id,
        leverage=leverage,
        add_margin=add_margin,
        close=close,
        hedge=hedge,
        delta_neutral=delta_neutral,
        bankrupt=tuple(bankrupt or ()),
    )
    return ask(inputs, wish, shape=shape, output=output)
