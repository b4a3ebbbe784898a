"""A synthetic book as the frames of the public contract, in any of the number types it accepts."""

from decimal import Decimal
from enum import StrEnum

import polars as pl

from deleverage.lab.books import Book, Integers

__all__ = [
    "Numbers",
    "accounts_frame",
    "decimals",
    "markets_frame",
    "marks_frame",
    "positions_frame",
]

_LOT_PLACES = 3
_MONEY_PLACES = 6


class Numbers(StrEnum):
    """The column type that quantities and money are handed over in.

    `int64` frames hold whole contracts of 0.001 and whole USDT (money is rounded); the other
    three hold the book exactly: quantities with 3 decimals, money with 6.
    """

    INT64 = "int64"
    DECIMAL = "decimal"
    FLOAT64 = "float64"
    STRING = "string"


def positions_frame(
    book: Book, *, numbers: Numbers | str = Numbers.DECIMAL, text: bool = False
) -> pl.DataFrame:
    """Return the positions as a frame.

    Args:
        book: the positions, all isolated here: their own margin judges them.
        numbers: type of `qty`, `entry_value`, `margin` and `maintenance_margin`.
        text: accounts and markets as strings; otherwise accounts are UInt64 and markets an Enum.

    Returns:
        One row a position: position_id (UInt64), account, market, side, qty, entry_value, margin,
        maintenance_margin.
    """
    kind = Numbers(numbers)
    account = pl.Series("account", book.account).cast(pl.UInt64)
    market = pl.Series("market", book.market).replace_strict(
        list(range(book.markets)), _names(book), return_dtype=pl.Enum(_names(book))
    )
    side = pl.Series("side", book.lots < 0).replace_strict(
        [False, True], ["long", "short"], return_dtype=pl.Enum(["long", "short"])
    )
    if text:
        account = pl.select(account=pl.format("t{}", account.cast(pl.String).str.zfill(9)))[
            "account"
        ]
        market, side = market.cast(pl.String), side.cast(pl.String)
    return pl.DataFrame(
        [
            pl.Series("position_id", book.position_id),
            account,
            market,
            side,
            _quantities(abs(book.lots), kind).alias("qty"),
            _money(book.entry_value, kind).alias("entry_value"),
            _money(book.margin, kind).alias("margin"),
            _money(book.maintenance_margin, kind).alias("maintenance_margin"),
        ]
    )


def marks_frame(book: Book) -> pl.DataFrame:
    """Return the mark prices, Decimal with 6 places.

    Args:
        book: the positions and their marks.

    Returns:
        market, mark_price; one row a market.
    """
    return pl.DataFrame(
        {"market": _names(book), "mark_price": decimals(book.mark_num, _MONEY_PLACES)}
    )


def markets_frame(book: Book, *, numbers: Numbers | str = Numbers.DECIMAL) -> pl.DataFrame:
    """Return the contract table that belongs to the positions frame of the same `numbers`.

    Args:
        book: the positions.
        numbers: as given to `positions_frame`; it decides what one contract is.

    Returns:
        market, kind, contract_size, lot_size, tick_size, price_unit, settle; one row a market.
    """
    whole = Numbers(numbers) is Numbers.INT64
    names = _names(book)
    return pl.DataFrame(
        {
            "market": names,
            "kind": ["linear"] * len(names),
            "contract_size": ["0.001" if whole else "1"] * len(names),
            "lot_size": ["1" if whole else "0.001"] * len(names),
            "tick_size": ["0.01"] * len(names),
            "price_unit": ["0.000001"] * len(names),
            "settle": ["USDT"] * len(names),
        }
    )


def accounts_frame(book: Book) -> pl.DataFrame:
    """Return the account table, money as Decimal with 6 places.

    Args:
        book: the positions and their accounts.

    Returns:
        account (UInt64), asset, wallet_balance, equity, maintenance_margin; one row an account.
    """
    return pl.DataFrame(
        {
            "account": pl.Series(range(len(book.equity)), dtype=pl.UInt64),
            "asset": ["USDT"] * len(book.equity),
            "wallet_balance": decimals(book.wallet_balance, _MONEY_PLACES),
            "equity": decimals(book.equity, _MONEY_PLACES),
            "maintenance_margin": decimals(book.account_maintenance, _MONEY_PLACES),
        }
    )


def decimals(units: Integers, places: int) -> pl.Series:
    """Return whole units as exact decimals.

    Args:
        units: (n,) int64.
        places: decimal places of the unit, 3 for 0.001.

    Returns:
        (n,) Decimal(38, places), units divided by 10^places.
    """
    whole = pl.lit(pl.Series(units)).cast(pl.Decimal(38, 0))
    unit = pl.lit(Decimal(1).scaleb(-places), dtype=pl.Decimal(38, places))
    return pl.select(exact=(whole * unit).cast(pl.Decimal(38, places)))["exact"]


def _names(book: Book) -> list[str]:
    return [f"M{code:04d}-PERP" for code in range(book.markets)]


def _quantities(lots: Integers, kind: Numbers) -> pl.Series:
    if kind is Numbers.INT64:
        return pl.Series(lots)
    return _typed(lots, _LOT_PLACES, kind)


def _money(units: Integers, kind: Numbers) -> pl.Series:
    if kind is Numbers.INT64:
        coin = 10**_MONEY_PLACES
        return pl.Series((units + coin - 1) // coin)
    return _typed(units, _MONEY_PLACES, kind)


def _typed(units: Integers, places: int, kind: Numbers) -> pl.Series:
    if kind is Numbers.FLOAT64:
        # One division by a power of ten below 2^53 gives the double nearest to the decimal.
        return pl.Series(units / 10**places)
    exact = decimals(units, places)
    return exact.cast(pl.String) if kind is Numbers.STRING else exact
