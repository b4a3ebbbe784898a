"""The options that several commands share: one meaning, one help text, light to import."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

__all__ = [
    "INPUT_COLUMNS",
    "AccountsOption",
    "Format",
    "FormatOption",
    "FundingLineOption",
    "FundingRateOption",
    "MarketOption",
    "MarketsOption",
    "MarksOption",
    "NeutralOption",
    "OutputOption",
    "PoolBalanceOption",
    "PoolPeakOption",
    "PositionsArgument",
    "RecordFormatOption",
    "SessionOption",
    "Side",
    "SideOption",
    "SpikeOption",
    "SummaryFormatOption",
    "VenueOption",
]


class Format(StrEnum):
    """The shapes of data."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


class Side(StrEnum):
    """The sides of a market."""

    LONG = "long"
    SHORT = "short"


INPUT_COLUMNS = """\
Columns. POSITIONS: account, market, side (or a signed qty), qty, entry_price or entry_value; \
optional position_id, margin_mode, status; where the edition asks: margin, bankruptcy_price or \
bankruptcy_value, maintenance_margin, initial_margin, leverage, open_value, hedged_qty \
(`deleverage venues NAME` says which).

--marks: market, mark_price, optional previous_mark_price. --accounts: account, asset, equity, \
wallet_balance, maintenance_margin, created_at, as the edition asks. --markets: market, kind, \
optional underlier, contract_size, lot_size, tick_size, price_unit, money_unit, settle, pool. \
--neutral: account, underlier, delta_neutral."""
"""What the frames hold, for the help of the commands that read them."""

PositionsArgument = Annotated[
    Path,
    Argument(
        metavar="POSITIONS",
        help="Positions as CSV, Parquet, JSON or JSON Lines, or a directory that `import` wrote.",
        show_default=False,
    ),
]
MarksOption = Annotated[
    Path | None, Option("--marks", metavar="FILE", help="Mark prices: market, mark_price.")
]
AccountsOption = Annotated[
    Path | None,
    Option("--accounts", metavar="FILE", help="Balances of cross accounts, where the rule asks."),
]
MarketsOption = Annotated[
    Path | None,
    Option("--markets", metavar="FILE", help="Contract terms: kind, contract_size, lot_size, ..."),
]
NeutralOption = Annotated[
    Path | None,
    Option("--neutral", metavar="FILE", help="Delta-neutral accounts, where the edition has them."),
]
VenueOption = Annotated[
    str,
    Option(
        "--venue",
        metavar="NAME",
        help="A venue edition (`deleverage venues` lists them), or the path of a .toml file.",
        show_default=False,
    ),
]
MarketOption = Annotated[str | None, Option("--market", metavar="NAME", help="Only this market.")]
SideOption = Annotated[Side | None, Option("--side", help="Only this side.")]
FormatOption = Annotated[
    Format | None,
    Option(
        "--format",
        metavar="SHAPE",
        help="table, json, csv or parquet; default by the suffix of -o, else a table.",
        show_default=False,
    ),
]
SummaryFormatOption = Annotated[
    Format | None,
    Option(
        "--format",
        metavar="SHAPE",
        help="What is printed: table, json, csv or parquet; a table without it.",
        show_default=False,
    ),
]
RecordFormatOption = Annotated[
    Format | None,
    Option(
        "--format",
        metavar="SHAPE",
        help="table or json; default by the suffix of -o, else a table.",
        show_default=False,
    ),
]
OutputOption = Annotated[
    str, Option("--output", "-o", metavar="FILE", help="Where data goes; - is standard output.")
]
FundingRateOption = Annotated[
    str | None,
    Option("--funding-rate", metavar="RATE", help="Of one interval: 0.0005 is 0.05 %."),
]
FundingLineOption = Annotated[
    str, Option("--funding-line", metavar="RATE", help="Extreme from here on (assumed).")
]
SpikeOption = Annotated[
    bool | None,
    Option("--liquidation-spike/--no-liquidation-spike", help="Liquidations come in numbers."),
]
SessionOption = Annotated[
    bool | None, Option("--thin-session/--no-thin-session", help="The book is thin right now.")
]
PoolBalanceOption = Annotated[
    str | None, Option("--pool-balance", metavar="AMOUNT", help="Of the insurance pool, now.")
]
PoolPeakOption = Annotated[
    str | None, Option("--pool-peak", metavar="AMOUNT", help="Its highest of the last hours.")
]
