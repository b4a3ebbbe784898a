"""The options that several commands share: one meaning, one help text, light to import."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

__all__ = [
    "AccountsOption",
    "Format",
    "FormatOption",
    "MarketsOption",
    "MarksOption",
    "NeutralOption",
    "OutputOption",
    "PositionsArgument",
    "Side",
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


PositionsArgument = Annotated[
    Path,
    Argument(
        metavar="POSITIONS",
        help="Positions as CSV, Parquet or JSON Lines, or a directory that `import` wrote.",
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
FormatOption = Annotated[
    Format | None,
    Option(
        "--format",
        metavar="SHAPE",
        help="table, json, csv or parquet; default by the suffix of -o, else a table.",
        show_default=False,
    ),
]
OutputOption = Annotated[
    str, Option("--output", "-o", metavar="FILE", help="Where data goes; - is standard output.")
]
