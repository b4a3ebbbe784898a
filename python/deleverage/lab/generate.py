"""A synthetic venue, as large as one likes: a dump that looks like 2025-10-10.

Positions, accounts, marks and bankruptcies over time, drawn from a seed and calibrated to what
was published about the auto-deleveraging on Hyperliquid that day (`generate_facts`): how many
accounts and positions, how sizes, leverages and profits are spread, how one-sided the markets are,
accounts with almost no equity, and bursts, a third of everything in the first. The layout is that
of `dump`. The venue's own fills are part of it; what the published data cannot tell (who was not
cut) is assumed: the other holders are drawn from the same sizes, three in five long and at a loss.

Rows are drawn in blocks of about 65,536 and written as they come, so memory does not grow with
the dump. A block depends on the request and its number only: the same request gives the same rows
in the same order, however many are held back before they are written.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.lab import generate_facts as facts
from deleverage.lab.dump import LAYOUT, MANIFEST, Dump
from deleverage.lab.generate_draws import Block, draw_block
from deleverage.lab.generate_moments import Closed, closed_of, moment_of, position_ids
from deleverage.lab.generate_world import PRICE_PLACES, Request, World, settle_world
from deleverage.lab.generate_writer import (
    MONEY,
    SIDES,
    Writer,
    money,
    named,
    write_parquet,
)

__all__ = ["Request", "generate_dump"]

Int64 = NDArray[np.int64]

HELD_BACK = 3_000_000
_PRICE = pl.Decimal(18, PRICE_PLACES)


def generate_dump(
    directory: Path,
    request: Request,
    *,
    overwrite: bool = False,
    held_back: int = HELD_BACK,
    progress: Callable[[int, int], None] | None = None,
) -> Dump:
    """Write a dump.

    Args:
        directory: where; new or empty.
        request: what.
        overwrite: whether a dump that stands there is removed first.
        held_back: rows kept in memory before the fullest parts are written; no row changes by it.
        progress: called with the positions drawn and those to draw.

    Returns:
        The dump, opened.

    Raises:
        InputError: the request is out of range, or the directory holds something.
    """
    world = settle_world(request)
    _clear(directory, overwrite=overwrite)
    _write_manifest(directory, world, rows=0, is_complete=False)
    writer = Writer(directory, world.venue, held_back)
    shape = (*world.burst_odds.shape, 2)
    has_partial, lots = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.int64)
    fills = np.zeros(shape, dtype=np.int64)
    for number in range(world.blocks):
        block = draw_block(world, number, has_partial)
        closed = closed_of(world, block)
        _count(block, closed, lots, fills)
        for snapshot in range(request.snapshots):
            writer.add(snapshot, moment_of(world, block, closed, snapshot), block.first_account)
        writer.add_fills(_fills(world, block, closed))
        if progress is not None:
            rows = request.positions * request.snapshots
            progress((number + 1) * rows // world.blocks, rows)
    writer.finish()
    _write_markets(directory, world)
    _write_marks(directory, world)
    _write_bankruptcies(directory, world, lots, fills)
    _write_manifest(directory, world, rows=writer.written, is_complete=True)
    return Dump.open(directory)


def _clear(directory: Path, *, overwrite: bool) -> None:
    """Make room, and touch nothing but an empty folder or a dump."""
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: expected a directory to write into, got a file")
    if directory.is_dir() and any(directory.iterdir()):
        if not overwrite:
            raise InputError(
                f"{directory}: expected a new or empty directory, got one that holds something; "
                "name another, or say that the dump there may be overwritten (--overwrite)"
            )
        if not (directory / MANIFEST).is_file():
            raise InputError(
                f"{directory}: expected a dump to overwrite, got a directory without {MANIFEST}"
            )
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)


def _write_manifest(directory: Path, world: World, *, rows: int, is_complete: bool) -> None:
    """Say what the dump is; written first and last."""
    manifest = {
        "layout": LAYOUT,
        "complete": is_complete,
        "what": "synthetic, calibrated to published aggregates of 2025-10-10",
        "request": asdict(world.request),
        "rows": rows,
        "accounts": world.accounts,
        "first_liquidation": facts.FIRST_LIQUIDATION,
        "backstops": {str(_backstop(world, place)): name for place, name in _vaults()},
    }
    text = json.dumps(manifest, indent=2) + "\n"
    (directory / MANIFEST).write_text(text, encoding="utf-8")


def _vaults() -> list[tuple[int, str]]:
    """Who stands on the bankrupt side."""
    return [*((place, name) for place, (name, _) in enumerate(facts.BACKSTOPS)), (2, "others")]


def _backstop(world: World, place: int) -> int:
    """Account id of a vault: behind every other account."""
    return world.accounts + world.blocks + place


def _count(block: Block, closed: Closed, lots: Int64, fills: Int64) -> None:
    """Add a block's closed lots and fills to the events."""
    rows = block.rows
    is_long = (rows.lots[closed.row] > 0).astype(np.int64)
    event = (rows.market[closed.row], rows.burst[closed.row], is_long)
    np.add.at(lots, event, rows.closed[closed.row])
    np.add.at(fills, event, 1)


def _fills(world: World, block: Block, closed: Closed) -> pl.DataFrame:
    """What the venue closes in a block."""
    rows, row = block.rows, closed.row
    market, burst = rows.market[row], rows.burst[row]
    scale = 10 ** (6 - world.venue.lot_places[market])
    price = world.venue.prices[burst, market]
    return pl.DataFrame(
        [
            pl.Series("time", world.times[burst]),
            pl.Series("burst", burst.astype(np.uint32)),
            pl.Series("position_id", position_ids(block)[row]).cast(pl.UInt64),
            pl.Series("account", block.first_account + rows.account[row]).cast(pl.UInt64),
            named(market, world.venue.names).alias("market"),
            named((rows.lots[row] < 0).astype(np.int64), SIDES).alias("side"),
            money(np.abs(rows.lots[row]) * scale).alias("qty"),
            money(rows.closed[row] * scale).alias("qty_closed"),
            _prices(price).alias("price"),
            money(closed.profit).alias("closed_pnl"),
        ]
    )


def _prices(units: Int64) -> pl.Series:
    """Whole units of 10^-8 as exact decimals."""
    unit = pl.Series(["0.00000001"]).cast(pl.Decimal(38, PRICE_PLACES))
    return (pl.Series(units).cast(pl.Decimal(38, 0)) * unit).cast(_PRICE)


def _write_markets(directory: Path, world: World) -> None:
    """The contract terms."""
    venue = world.venue
    count = len(venue.names)
    frame = pl.DataFrame(
        {
            "market": venue.names,
            "kind": ["linear"] * count,
            "underlier": venue.names,
            "contract_size": ["1"] * count,
            "lot_size": [f"{10.0**-places:.{places}f}" for places in venue.lot_places.tolist()],
            "price_unit": [f"{10.0**-PRICE_PLACES:.{PRICE_PLACES}f}"] * count,
            "money_unit": ["0.000001"] * count,
            "settle": ["USDC"] * count,
            "max_leverage": venue.max_leverage,
        }
    )
    write_parquet(frame, directory / "markets.parquet")


def _write_marks(directory: Path, world: World) -> None:
    """The marks of every market at every burst."""
    bursts, markets = world.venue.prices.shape
    prices = _prices(world.venue.prices.ravel())
    frame = pl.DataFrame(
        [
            pl.Series("snapshot", np.repeat(world.snapshot_of, markets).astype(np.uint32)),
            pl.Series("time", np.repeat(world.times, markets)),
            named(np.tile(np.arange(markets), bursts), world.venue.names).alias("market"),
            prices.alias("mark_price"),
            _prices(world.venue.previous.ravel()).alias("previous_mark_price"),
            prices.alias("oracle_price"),
        ]
    )
    write_parquet(frame, directory / "marks.parquet")


def _write_bankruptcies(directory: Path, world: World, lots: Int64, fills: Int64) -> None:
    """The events in time, by market within a burst, and the bursts they belong to."""
    market, burst, is_long = np.nonzero(lots)
    order = np.lexsort((is_long, market, burst))
    market, burst, is_long = market[order], burst[order], is_long[order]
    qty = lots[market, burst, is_long]
    price = world.venue.prices[burst, market]
    # Those who are cut are on the other side: a bankrupt long was worth nothing above the mark.
    sign = np.where(is_long == 1, -1, 1)
    bankruptcy = np.maximum(np.rint(price * (1 + sign * facts.SHORTFALL)), 1).astype(np.int64)
    notional = qty.astype(np.float64) * price / 10.0 ** (2 + world.venue.lot_places[market])
    frame = pl.DataFrame(
        [
            pl.Series("event", np.arange(len(qty), dtype=np.uint32)),
            pl.Series("time", world.times[burst]),
            pl.Series("burst", burst.astype(np.uint32)),
            pl.Series("snapshot", world.snapshot_of[burst].astype(np.uint32)),
            named(market, world.venue.names).alias("market"),
            named(is_long, SIDES).alias("side"),
            _contracts(qty, world.venue.lot_places[market]).alias("qty"),
            _prices(bankruptcy).alias("bankruptcy_price"),
            pl.Series("account", _bankrupt(world, notional)).cast(pl.UInt64),
            pl.Series("venue_fills", fills[market, burst, is_long].astype(np.uint32)),
        ]
    )
    write_parquet(frame, directory / "bankruptcies.parquet")
    bursts = frame.group_by("burst", "time", "snapshot", maintain_order=True).agg(
        events=pl.len(), fills=pl.col("venue_fills").sum()
    )
    write_parquet(bursts, directory / "bursts.parquet")


def _contracts(lots: Int64, places: Int64) -> pl.Series:
    """Lots as contracts; sums of a large dump may need more than 18 digits."""
    whole = pl.Series(lots).cast(pl.Decimal(38, 0)) * pl.Series(10 ** (6 - places)).cast(
        pl.Decimal(38, 0)
    )
    unit = pl.Series(["0.000001"]).cast(pl.Decimal(38, 6))
    return (whole * unit).cast(pl.Decimal(38, MONEY.scale))


def _bankrupt(world: World, notional: NDArray[np.float64]) -> Int64:
    """Which vault stands for each event: the largest first, to whom most is missing."""
    shares = np.array([worth for _, worth in facts.BACKSTOPS]) / facts.TOTAL_NOTIONAL
    missing = np.append(shares, 1 - shares.sum()) * notional.sum()
    found = np.zeros(len(notional), dtype=np.int64)
    for event in np.argsort(-notional, kind="stable"):
        place = int(np.argmax(missing))
        missing[place] -= notional[event]
        found[event] = _backstop(world, place)
    return found
