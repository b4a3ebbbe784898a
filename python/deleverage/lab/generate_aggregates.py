"""A dump held against what was published: every aggregate beside its published value.

The published values are those of 2025-10-10 on Hyperliquid, at 221,422 open positions; sums and
counts are scaled to the size of the dump, shares, percentiles and largest values are not. Sources
are named in `generate_facts`. Percentiles are by linear interpolation, as in the sources.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.lab import generate_facts as facts
from deleverage.lab import metrics
from deleverage.lab.dump import Dump

__all__ = ["aggregates"]

_SECOND = 1e9
_NO_CASH = 1e-4
_Found = Iterator[tuple[str, float, float]]


def aggregates(dump: Dump) -> pl.DataFrame:
    """Measure a generated dump.

    Args:
        dump: written by `generate_dump`, so that it has the venue's own fills.

    Returns:
        aggregate, published, measured, ratio (measured / published); one row an aggregate.
    """
    scale = float(dump.facts["request"]["positions"]) / facts.POSITIONS
    fills = dump.fills().with_columns(
        notional=(pl.col("qty_closed").cast(pl.Float64) * pl.col("price").cast(pl.Float64)),
        pnl=pl.col("closed_pnl").cast(pl.Float64),
    )
    accounts = _by_account(dump, fills)
    parts = (
        _world(dump, scale),
        _totals(dump, fills, accounts, scale),
        _by_market(fills, scale),
        _in_time(dump, fills),
        _sizes(accounts, scale),
        _values(accounts, fills),
    )
    rows = [row for part in parts for row in part]
    frame = pl.DataFrame(
        rows, schema=["aggregate", "published", "measured"], orient="row", strict=False
    )
    return frame.with_columns(ratio=pl.col("measured") / pl.col("published"))


def _by_account(dump: Dump, fills: pl.DataFrame) -> pl.DataFrame:
    """One row a deleveraged account: sums over its fills, and its cash before."""
    cash = dump.accounts(0, columns=["account", "wallet_balance"])
    return (
        fills.group_by("account")
        .agg(
            notional=pl.col("notional").sum(),
            pnl=pl.col("pnl").sum(),
            fills=pl.len(),
            share=(pl.col("pnl") / pl.col("notional")).mean(),
        )
        .join(cash, on="account", how="left")
        .with_columns(value=pl.col("wallet_balance").cast(pl.Float64))
        .with_columns(leverage=pl.col("notional") / pl.col("fills") / pl.col("value"))
        .sort("account")
    )


def _world(dump: Dump, scale: float) -> _Found:
    """Accounts, positions, markets."""
    first = dump.positions(0, columns=["market"])
    yield "accounts", facts.ACCOUNTS * scale, float(dump.facts["accounts"])
    yield "open positions", facts.POSITIONS * scale, float(first.height)
    yield "markets", float(facts.MARKETS), float(dump.markets.height)


def _totals(dump: Dump, fills: pl.DataFrame, accounts: pl.DataFrame, scale: float) -> _Found:
    """What was closed in all, and against whom."""
    partial = fills.filter(pl.col("qty_closed") < pl.col("qty")).height
    events = dump.bankruptcies.with_columns(cut=_opposite()).join(
        fills.group_by("time", "market", cut=pl.col("side").cast(pl.String)).agg(
            worth=pl.col("notional").sum()
        ),
        on=["time", "market", "cut"],
        how="left",
    )
    vaults = [int(one) for one in dump.facts["backstops"]]
    whole = float(events["worth"].sum())
    yield "deleveraged fills", facts.ADL_FILLS * scale, float(fills.height)
    yield "deleveraged accounts", facts.ADL_ACCOUNTS * scale, float(accounts.height)
    yield "deleveraged markets", float(facts.ADL_MARKETS), float(fills["market"].n_unique())
    yield "deleveraged notional", facts.TOTAL_NOTIONAL * scale, float(fills["notional"].sum())
    yield "realised profit", 834_295_749.29 * scale, float(fills["pnl"].sum())
    gains = accounts.filter(pl.col("pnl") > 0)
    yield "accounts with a realised profit", 19_230 * scale, float(gains.height)
    yield "profit of those", 834_554_147.76 * scale, float(gains["pnl"].sum())
    yield "share of full closes", 0.9265, 1 - partial / fills.height
    yield "partial closes", facts.PARTIAL_FILLS * (1.0 if scale > 1 else scale), float(partial)
    asked = float(dump.bankruptcies["qty"].cast(pl.Float64).sum())
    yield (
        "closed over bankrupt quantity",
        1.0,
        float(fills["qty_closed"].cast(pl.Float64).sum()) / asked,
    )
    yield "share of fills in profit", 0.994, fills.filter(pl.col("pnl") > 0).height / fills.height
    for vault, (name, worth) in zip(vaults, facts.BACKSTOPS, strict=False):
        own = float(events.filter(pl.col("account") == vault)["worth"].sum())
        yield f"share of vault {name[:6]}", worth / facts.TOTAL_NOTIONAL, own / whole


def _opposite() -> pl.Expr:
    """The side of those who are cut for an event."""
    side = pl.col("side").cast(pl.String)
    return pl.when(side == "long").then(pl.lit("short")).otherwise(pl.lit("long"))


def _by_market(fills: pl.DataFrame, scale: float) -> _Found:
    """How notional and fills lie on the markets."""
    markets = (
        fills.group_by(pl.col("market").cast(pl.String))
        .agg(
            notional=pl.col("notional").sum(),
            fills=pl.len(),
            price=pl.col("notional").sum() / pl.col("qty_closed").cast(pl.Float64).sum(),
            shorts=(pl.col("side") == "short").mean(),
        )
        .sort("notional", descending=True)
    )
    worth = markets["notional"].to_numpy()
    for count, share in ((1, 0.295), (5, 0.766), (10, 0.861), (20, 0.936), (50, 0.985)):
        yield f"notional of the top {count} markets", share, metrics.top_share(worth, count)
    numbers = markets["fills"].to_numpy() / scale
    ladder = ((25, 16), (50, 47), (75, 139), (90, 301), (99, 3_002))
    yield from _percentiles("fills a market", numbers, ladder)
    money = ((25, 34.3e3), (50, 241.7e3), (75, 2.34e6), (90, 10.5e6))
    yield from _percentiles("notional a market", worth / scale, money)
    by_name = {row["market"]: row for row in markets.iter_rows(named=True)}
    for one in facts.TOP_MARKETS:
        found = by_name.get(one.name)
        if found is not None:
            yield f"notional in {one.name}", one.notional * scale, float(found["notional"])
            yield f"fills in {one.name}", one.fills * scale, float(found["fills"])
            yield f"average price of {one.name}", one.price, float(found["price"])
    for name, share in facts.LONG_SHARE.items():
        if name in by_name:
            yield f"share of shorts in {name}", 1 - share, float(by_name[name]["shorts"])


def _in_time(dump: Dump, fills: pl.DataFrame) -> _Found:
    """Bursts: when, how many, how large."""
    bursts = fills.group_by("time").agg(fills=pl.len(), markets=pl.col("market").n_unique())
    bursts = bursts.sort("time")
    start = int(dump.facts["first_liquidation"])
    seconds = (bursts["time"].to_numpy() - start) / _SECOND
    sizes = bursts["fills"].to_numpy() / fills.height
    at_scale = sizes * facts.ADL_FILLS
    yield "first burst after, s", 61.70, float(seconds[0])
    yield "last burst after the first, s", 652.59, float(seconds[-1] - seconds[0])
    yield "bursts", 100.0, float(len(sizes))
    yield "markets in the first burst", 44.0, float(bursts["markets"][0])
    yield "markets in the widest burst", 110.0, float(bursts["markets"].to_numpy().max())
    yield "share of the ten largest bursts", 0.773, metrics.top_share(sizes, 10)
    yield "median burst, fills", 13.5, float(np.median(at_scale))
    gaps = np.diff(seconds)
    yield from _percentiles("gap between bursts, s", gaps, ((50, 4.0), (90, 12.0), (100, 52.0)))
    reached = ((61, 0.322), (131, 0.510), (200, 0.614), (230, 0.707), (262, 0.843), (446, 0.995))
    for second, share in reached:
        yield f"share of fills by {second} s", share, float(sizes[seconds < second + 1].sum())
    largest = np.sort(at_scale)[::-1]
    for place, (_, count) in enumerate(sorted(facts.BURSTS, key=lambda burst: -burst[1])):
        yield f"burst of rank {place + 1}, fills", float(count), float(largest[place])


def _sizes(accounts: pl.DataFrame, scale: float) -> _Found:
    """How notional, profit and fills are spread over the accounts."""
    numbers = accounts["fills"].to_numpy()
    ladder = ((50, 1), (75, 2), (90, 3), (95, 5), (99, 10), (100, 78))
    yield from _percentiles("fills an account", numbers, ladder)
    yield "fills an account, mean", 1.81, float(numbers.mean())
    worth = accounts["notional"].to_numpy()
    knots: list[tuple[float, float]] = [
        *((1, 2.0), (5, 13.4), (10, 33.3), (25, 144.6), (50, 481.1), (75, 3_124.7)),
        *((90, 27_037), (95, 114_395), (99, 1_040_545), (99.9, 18.28e6), (100, 330.45e6)),
    ]
    yield from _percentiles("notional an account", worth, knots)
    yield "notional an account, mean", 108_761, float(worth.mean())
    logs = np.log(worth)
    yield "log notional, mean", 6.568, float(logs.mean())
    yield "log notional, standard deviation", 2.705, float(logs.std())
    for count, share in ((1, 0.157), (10, 0.458), (100, 0.776), (1_000, 0.958)):
        held = max(round(count * scale), 1)
        yield f"notional of the top {count} accounts", share, metrics.top_share(worth, held)
    yield "Gini of notional", 0.98178, metrics.gini(worth)
    gains = accounts.filter(pl.col("pnl") > 0)["pnl"].to_numpy()
    knots = [
        *((25, 60.5), (50, 219.0), (75, 1_363.0), (90, 11_353.0), (95, 45_510.0)),
        *((99, 455_620.0), (99.9, 7.29e6), (100, 52_864_447.63)),
    ]
    yield from _percentiles("profit an account", gains, knots)
    yield "Gini of profit", 0.98047, metrics.gini(gains)


def _values(accounts: pl.DataFrame, fills: pl.DataFrame) -> _Found:
    """Account values, leverages and relative profits."""
    every, value = accounts, accounts["value"].to_numpy()
    knots: list[tuple[float, float]] = [
        *((1, 0.02), (5, 12.5), (10, 39.4), (25, 279.0), (50, 941.0), (75, 6_036.0)),
        *((90, 43_664.0), (95, 178_332.0), (99, 1.67e6), (99.9, 25.2e6), (100, 316.0e6)),
    ]
    yield from _percentiles("account value", value, knots)
    spent = accounts.filter(pl.col("value") <= _NO_CASH).height
    yield "accounts without equity", facts.WITHOUT_CASH * accounts.height, float(spent)
    # Who has no cash has no leverage; the sources count some of those as negative.
    accounts = accounts.filter(pl.col("value") > _NO_CASH)
    leverage = accounts["leverage"].to_numpy()
    knots = [
        *((1, 0.003), (5, 0.006), (10, 0.053), (25, 0.161), (50, 0.434), (75, 0.989)),
        *((90, 3.24), (95, 6.50), (99, 135.0), (99.9, 133_274.0)),
    ]
    yield from _percentiles("leverage an account", leverage, knots)
    own = fills.join(accounts.select("account", "value"), on="account")
    by_fill = (own["notional"] / own["value"]).to_numpy()
    yield from _percentiles("leverage a fill", by_fill, ((50, 0.196), (95, 5.10), (99, 122.7)))
    share = every["share"].to_numpy() * 100
    knots = [(5, 9.7), (25, 24.8), (50, 46.9), (75, 92.4), (90, 167.7), (99, 361.2)]
    yield from _percentiles("profit an account, %", share, knots)
    gain = (fills["pnl"] / fills["notional"]).to_numpy() * 100
    yield "profit a fill, %, mean", 85.93, float(gain.mean())
    yield "profit a fill, %, median", 52.25, float(np.median(gain))


def _percentiles(name: str, values: NDArray[Any], knots: Sequence[tuple[float, float]]) -> _Found:
    """Percentiles beside the published ones."""
    found = np.percentile(values, [percent for percent, _ in knots])
    for (percent, published), measured in zip(knots, found, strict=True):
        word = "largest" if percent == 100 else f"p{percent:g}"  # noqa: PLR2004 - per cent
        yield f"{name}, {word}", float(published), float(measured)
