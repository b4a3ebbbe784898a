"""The witness book: a few positions on which the editions' rules can be told apart.

Linear, one market, mark 1000. Longs a to m and shorts p to r: high and low leverage, large and
small, gains and losses, isolated and cross, a neutral account (h, and i isolated), a hedged part
(h), a position that is hedged as a whole and larger than another of the same entry (m and a), both
legs in one cross account (j), an account without equity (k), a wallet below one unit (l).
"""

from typing import Any

import polars as pl

from deleverage.planning import rank
from deleverage.venue import Venue

MARK = 1000
MARKS = {"market": ["W"], "mark_price": [MARK]}
MARKETS = {
    "market": ["W"],
    "kind": ["linear"],
    "underlier": ["W"],
    "contract_size": [1],
    "lot_size": ["0.001"],
    "price_unit": ["0.000001"],
    "money_unit": ["0.000001"],
    "settle": ["USDT"],
}

_NAMES = (
    *("position_id", "account", "side", "margin_mode", "qty", "entry_price", "margin"),
    *("maintenance_margin", "leverage", "open_value", "hedged_qty"),
)
_ROWS = (
    (1, "a", "long", "isolated", 10, 800, 800, 50, 10, 12000, 0),
    (2, "b", "long", "isolated", 2, 500, 700, 12, 3, 1000, 0),
    (3, "c", "long", "cross", 30, 950, 2500, 200, 25, 28500, 0),
    (4, "d", "long", "cross", 5, 900, 300, 30, 20, 9000, 0),
    (5, "e", "long", "isolated", 40, 990, 900, 180, 50, 39600, 0),
    (6, "f", "long", "cross", 8, 1100, 1500, 60, 4, 8800, 0),
    (7, "g", "long", "isolated", 20, 1010, 600, 220, 30, 30000, 0),
    (8, "h", "long", "cross", 12, 700, 900, 70, 8, 8400, 4),
    (9, "i", "long", "isolated", 6, 750, 300, 90, 15, 4500, 0),
    (10, "j", "long", "cross", 10, 600, 1200, 40, 5, 6000, 0),
    (11, "k", "long", "cross", 3, 850, 200, 10, 12, 2550, 0),
    (12, "l", "long", "isolated", "0.01", 960, "0.2", "0.05", 40, "9.6", 0),
    (17, "m", "long", "cross", 20, 800, 1600, 70, 10, 16000, 20),
    (13, "j", "short", "cross", 10, 1150, 1000, 45, 6, 11500, 0),
    (14, "p", "short", "isolated", 5, 1300, 700, 30, 7, 6500, 0),
    (15, "q", "short", "isolated", 15, 1050, 500, 110, 35, 20000, 0),
    (16, "r", "short", "cross", 4, 2000, 1600, 25, 5, 8000, 0),
)
_ACCOUNTS = (
    ("c", 9000, 700, 7500, 100),
    ("d", 1200, 90, 700, 500),
    ("f", 5000, 60, 5800, 300),
    ("h", 30000, 90, 26400, 200),
    ("j", 4000, 85, 850, 400),
    ("m", 16000, 80, 12000, 650),
    ("k", -50, 10, -500, 600),
    ("r", 7000, 40, 3000, 700),
    *(("a", 3500, 55, 1500, 800), ("b", 1500, 12, 500, 900), ("e", 1300, 180, 900, 50)),
    *(("g", 900, 220, 1100, 60), ("i", 1800, 90, 300, 70), ("l", 1, 1, "0.6", 80)),
    *(("p", 2400, 30, 900, 90), ("q", 1250, 110, 500, 95)),
)


def text(rows: tuple[tuple[Any, ...], ...], names: tuple[str, ...]) -> pl.DataFrame:
    """Rows as a frame of text."""
    columns = {n: [str(row[place]) for row in rows] for place, n in enumerate(names)}
    return pl.DataFrame(columns)


def positions() -> pl.DataFrame:
    """The witness positions; the initial margin is entry value over the leverage setting."""
    frame = text(_ROWS, _NAMES).with_columns(
        pl.lit("W").alias("market"), pl.col("position_id").cast(pl.UInt64)
    )
    initial = [str(round(float(row[4]) * float(row[5]) / float(row[8]), 6)) for row in _ROWS]
    return frame.with_columns(pl.Series("initial_margin", initial))


def accounts() -> pl.DataFrame:
    """The witness accounts."""
    names = ("account", "equity", "maintenance_margin", "wallet_balance", "created_at")
    return text(_ACCOUNTS, names).with_columns(asset=pl.lit("USDT"))


def neutral(names: tuple[str, ...] = ("h", "i")) -> pl.DataFrame:
    """The accounts that are delta-neutral."""
    schema = {"account": pl.String, "underlier": pl.String, "delta_neutral": pl.Boolean}
    return pl.DataFrame([(name, "W", True) for name in names], schema=schema, orient="row")


def ranked(
    venue: Venue,
    book: pl.DataFrame | None = None,
    table: pl.DataFrame | None = None,
    names: tuple[str, ...] = ("h", "i"),
) -> pl.DataFrame:
    """The witness book, or another one, ranked by an edition."""
    return rank(
        positions() if book is None else book,
        marks=MARKS,
        venue=venue,
        accounts=accounts() if table is None else table,
        markets=MARKETS,
        neutral=neutral(names),
    )


def order(venue: Venue) -> str:
    """Longs, then shorts, each in queue order; in capitals where only a hedged part stands."""
    frame = ranked(venue)
    sides = []
    for side in ("long", "short"):
        places = {}
        for row in frame.filter(pl.col("side") == side).iter_rows(named=True):
            if row["rank"] is not None:
                places[row["rank"]] = row["account"]
            if row.get("hedged_rank") is not None and row["hedged_rank"] != row["rank"]:
                places[row["hedged_rank"]] = row["account"].upper()
        sides.append("".join(places[place] for place in sorted(places)))
    return " ".join(sides)
