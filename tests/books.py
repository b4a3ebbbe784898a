"""Small books that the tests of intake share, and how they are prepared or refused."""

from typing import Any

import pytest

from deleverage.errors import InputError
from deleverage.model.snapshot import Snapshot
from deleverage.venue import Venue

OWN = 0xFFFFFFFF
Book = dict[str, list[Any]]

ISOLATED: Book = {
    "position_id": [1, 2, 3],
    "account": ["ann", "bob", "cid"],
    "market": ["BTC-PERP"] * 3,
    "side": ["long", "short", "long"],
    "qty": ["1.5", "0.25", "2"],
    "entry_price": ["60000.5", "61000", "59000"],
    "margin": ["900", "150.25", "1180"],
}
CROSS: Book = {
    "account": ["bob", "ann", "ann", "bob"],
    "market": ["BTC-PERP", "ETH-PERP", "BTC-PERP", "BTC-PERP"],
    "side": ["long", "short", "long", "short"],
    "qty": [1, 20, 2, 3],
    "entry_price": [60000, 3000, 61000, 62000],
    "margin_mode": ["cross", "portfolio", "isolated", "cross"],
    "margin": [None, None, "1220", None],
    "maintenance_margin": [None, None, "610", None],
}
ACCOUNTS: Book = {
    "account": ["bob", "ann"],
    "equity": ["5000.5", "7000"],
    "maintenance_margin": ["100", "200"],
    "wallet_balance": ["4000", "6000"],
}
MARKS = {"BTC-PERP": "61000", "ETH-PERP": "2900"}
MARKETS: Book = {
    "market": ["BTC-PERP", "ETH-PERP"],
    "kind": ["linear", "linear"],
    "underlier": ["BTC", "ETH"],
    "contract_size": ["0.001", "0.01"],
    "lot_size": ["1", "1"],
    "price_unit": ["0.00001", "0.00001"],
    "money_unit": ["0.000001", "0.000001"],
    "settle": ["USDT", "USDT"],
}


def prepare(book: object, edition: str = "bitmex", **tables: Any) -> Snapshot:
    """Prepare a snapshot under a preset edition."""
    return Snapshot.prepare(book, **({"marks": MARKS} | tables), venue=Venue.load(edition))


def refusal(book: object, edition: str = "bitmex", **tables: Any) -> str:
    """Give the message with which tables are refused."""
    with pytest.raises(InputError) as error:
        prepare(book, edition, **tables)
    return str(error.value)


def column(snapshot: Snapshot, name: str, market: str = "BTC-PERP") -> list[int]:
    """Give one column of one market."""
    return list(snapshot.kernel(market).columns[name].tolist())
