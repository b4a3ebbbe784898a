"""Small books and the events that are planned on them, shared by the tests of rank and plan."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from deleverage.planning import Plan, plan
from deleverage.venue import Venue

BITMEX = Venue.load("bitmex")

STRIKE_FUND = Venue.load("strike-type1")

STRIKE_EMERGENCY = Venue.load("strike-type2")

MARKETS = {
    "market": ["BTC-PERP"],
    "kind": ["linear"],
    "contract_size": ["1"],
    "lot_size": ["1"],
    "tick_size": ["0.5"],
    "price_unit": ["0.000001"],
    "settle": ["USDT"],
}

Rows = Sequence[Mapping[str, Any]]


def at(price: str, **other: str) -> dict[str, list[str]]:
    """Marks of the one market."""
    return {"market": ["BTC-PERP"], "mark_price": [price]} | {k: [v] for k, v in other.items()}


def book(rows: Rows) -> pl.DataFrame:
    """A position frame of text; ids are row numbers unless a row names its own."""
    filled = [
        {"position_id": number, "market": "BTC-PERP", "side": "long"} | dict(row)
        for number, row in enumerate(rows, 1)
    ]
    return pl.DataFrame(filled, infer_schema_length=None)


def closed(outcome: Plan) -> dict[str, Decimal]:
    """Contracts closed by account, in queue order."""
    return dict(outcome.fills.select("account", "qty_closed").iter_rows())


# BitMEX prints six longs in queue order: accounts 2, 5, 4, 1, 6, 3. Entries and margins are ours,
# chosen so that the formula gives that order at a mark of 700.
BITMEX_QUEUE = (("2", 10), ("5", 20), ("4", 30), ("1", 10), ("6", 10), ("3", 20))

BITMEX_BOOK = book(
    [
        {
            "account": account,
            "qty": str(qty),
            "entry_price": str(600 + 10 * place),
            "margin": str(60 * qty),
        }
        for place, (account, qty) in enumerate(BITMEX_QUEUE)
    ]
    + [{"account": "zed", "side": "short", "qty": "20", "entry_price": "640", "margin": "200"}]
)


def bitmex_plan(positions: pl.DataFrame = BITMEX_BOOK, **changes: Any) -> Plan:
    """The plan of BitMEX's example: a short of 20 bankrupt at 650."""
    request: dict[str, Any] = {
        "marks": at("700"),
        "venue": BITMEX,
        "markets": MARKETS,
        "market": "BTC-PERP",
        "bankrupt_side": "short",
        "qty": "20",
        "bankruptcy_price": "650",
        "bankrupt_account": "zed",
    }
    return plan(positions, **(request | changes))


# Strike's candidates A to E by profit and margin balance; the notional cancels from the score.
STRIKE_BOOK = book(
    [
        {
            "account": account,
            "qty": qty,
            "entry_value": 1000 * qty - profit,
            "margin": balance - profit,
        }
        for account, qty, profit, balance in (
            ("A", 5, 500, 1000),
            ("B", 4, 900, 3000),
            ("C", 9, -10, 200),
            ("D", 1, 200, 250),
            ("E", 3, 0, 100),
        )
    ]
)


def strike_plan(qty: int, venue: Venue, positions: pl.DataFrame = STRIKE_BOOK) -> Plan:
    """A bankrupt short against Strike's candidates at a mark of 1000."""
    return plan(
        positions,
        marks=at("1000"),
        venue=venue,
        markets=MARKETS,
        market="BTC-PERP",
        bankrupt_side="short",
        qty=qty,
        bankruptcy_price=1010,
    )


CROSS = {
    "account": ["w", "x", "y", "z"],
    "asset": ["USDT"] * 4,
    "wallet_balance": ["9000", "9000", "9000", "0"],
    "equity": ["10000", "11000", "12000", "-50"],
    "maintenance_margin": ["100", "100", "100", "100"],
}

CROSS_BOOK = book(
    [
        {"account": "w", "qty": "5", "entry_price": "900", "margin_mode": "cross"},
        {"account": "x", "qty": "5", "entry_price": "910", "margin_mode": "cross"},
        {"account": "y", "qty": "5", "entry_price": "920", "margin_mode": "cross"},
        {"account": "z", "qty": "3", "entry_price": "950", "margin_mode": "cross"},
        {
            "account": "z",
            "side": "short",
            "qty": "10",
            "entry_price": "800",
            "margin_mode": "cross",
        },
    ]
)


def cross_plan(positions: pl.DataFrame = CROSS_BOOK, **changes: Any) -> Plan:
    """A cross account with both legs goes bankrupt with a short of 10."""
    request: dict[str, Any] = {
        "marks": at("1000"),
        "venue": Venue.load("cube"),
        "markets": MARKETS,
        "accounts": CROSS,
        "market": "BTC-PERP",
        "bankrupt_side": "short",
        "qty": 10,
        "bankrupt_account": "z",
    }
    return plan(positions, **(request | changes))
