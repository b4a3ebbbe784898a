"""`deleverage check` as it is typed: words, options, examples; the work is in `check`."""

# ruff: noqa: PLC0415 - a command's file is imported when the command runs

from typing import Annotated

import typer

from deleverage.cli.options import (
    AccountsOption,
    FundingLineOption,
    FundingRateOption,
    MarketOption,
    MarketsOption,
    MarksOption,
    NeutralOption,
    OutputOption,
    PoolBalanceOption,
    PoolPeakOption,
    PositionsArgument,
    RecordFormatOption,
    SessionOption,
    SideOption,
    SpikeOption,
    VenueOption,
)

__all__ = ["check_command"]


def check_command(
    positions: PositionsArgument,
    *,
    venue: VenueOption,
    account: Annotated[
        str, typer.Option("--account", metavar="NAME", help="Whose positions are checked.")
    ],
    marks: MarksOption = None,
    accounts: AccountsOption = None,
    markets: MarketsOption = None,
    neutral: NeutralOption = None,
    market: MarketOption = None,
    side: SideOption = None,
    funding_rate: FundingRateOption = None,
    funding_line: FundingLineOption = "0.001",
    liquidation_spike: SpikeOption = None,
    thin_session: SessionOption = None,
    pool_balance: PoolBalanceOption = None,
    pool_peak: PoolPeakOption = None,
    shape: RecordFormatOption = None,
    output: OutputOption = "-",
) -> int:
    """Check a trader's positions: five questions, two points each, and what no score counts.

    0 to 3 points are low, 4 to 6 one to watch, 7 to 10: plan for being cut.

    Example: deleverage check positions.csv --marks marks.csv --venue bybit --account alice
    --funding-rate 0.0012 --no-thin-session
    """
    from deleverage.cli.check import Question, check_positions
    from deleverage.cli.inputs import Inputs

    inputs = Inputs.of(positions, marks=marks, accounts=accounts, markets=markets, neutral=neutral)
    question = Question(
        venue=venue,
        account=account,
        market=market,
        side=side,
        funding_rate=funding_rate,
        funding_line=funding_line,
        liquidation_spike=liquidation_spike,
        thin_session=thin_session,
        pool_balance=pool_balance,
        pool_peak=pool_peak,
    )
    return check_positions(inputs, question, shape=shape, output=output)
