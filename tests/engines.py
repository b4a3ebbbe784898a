"""Small books for the engine's tests: one bankrupt long, shorts of known order, a fund.

At the mark of 1,800 zed's long of 10 from 2,000 with 1,000 of margin is bankrupt at 1,900. By
BitMEX's rule the shorts stand alice (9/14), bob (36/65), carol (60/143), and dave at a loss.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deleverage.backstop.trigger import StopReading
from deleverage.engine import Choices, Engine, Frames
from deleverage.model.records import Venue as Edition
from deleverage.model.terms import Fee
from deleverage.venue import Venue

__all__ = ["CHOICES", "MARKETS", "POSITIONS", "UNIT", "frames", "market", "opened", "ready"]

UNIT = 1_000_000
"""Money units in one USDT."""

CHOICES = Choices(stop=StopReading.CEASES, deleveraged=Fee.NONE, liquidated=Fee.NONE)


def market(name: str, **terms: str) -> dict[str, str]:
    """The row of a linear market in USDT."""
    row = {"market": name, "kind": "linear", "lot_size": "1", "price_unit": "0.01"}
    return row | {"money_unit": "0.000001", "settle": "USDT"} | terms


MARKETS = [market("BTC"), market("ETH")]

POSITIONS = [
    ("zed", "ETH", "long", "10", "2000", "1000"),
    ("yan", "ETH", "long", "8", "1800", "14000"),
    ("alice", "ETH", "short", "3", "2100", "300"),
    ("bob", "ETH", "short", "4", "2000", "500"),
    ("carol", "ETH", "short", "5", "1950", "900"),
    ("dave", "ETH", "short", "6", "1700", "6000"),
    ("ann", "BTC", "long", "2", "60000", "9000"),
    ("bea", "BTC", "short", "2", "60000", "9000"),
]
"""Account, market, side, qty, entry price, margin; the id is `account/market/side`."""

_NAMES = ("account", "market", "side", "qty", "entry_price", "margin")


def frames(**other: Any) -> Frames:
    """The book at 2,000 and 60,000; tables may be given instead."""
    tables: dict[str, Any] = {
        "positions": {name: [row[place] for row in POSITIONS] for place, name in enumerate(_NAMES)},
        "marks": {"ETH": "2000", "BTC": "60000"},
        "markets": {name: [row[name] for row in MARKETS] for name in MARKETS[0]},
    }
    return Frames(**(tables | other))


def opened(path: Path, *, venue: Edition | None = None, cash: str = "100", **other: Any) -> Engine:
    """An engine with the book loaded at time 0."""
    engine = Engine.open(path)
    edition = Venue.load("bitmex") if venue is None else venue
    settings: Mapping[str, Any] = {"pools": [{"name": "fund", "cash": cash}], "choices": CHOICES}
    engine.load(frames(), edition, **(dict(settings) | other))
    return engine


def ready(path: Path, **other: Any) -> Engine:
    """An engine where zed is in liquidation and the fund cannot pay: 8 lots are left."""
    engine = opened(path, **other)
    engine.marks({"ETH": "1800"}, at=1)
    engine.liquidate("liq", "zed/ETH/long", fills=[("2", "1910")], at=2)
    return engine
