"""A block at a moment: what is open then, what the accounts are worth, who balances the market."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deleverage.lab.generate_draws import NEVER, Block, lot_values
from deleverage.lab.generate_world import World

__all__ = ["COLUMNS", "Closed", "Moment", "closed_of", "moment_of", "position_ids"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

COLUMNS = (
    "position_id",
    "account",
    "lots",
    "entry",
    "margin",
    "maintenance",
    "initial",
    "leverage",
)
"""Columns of a moment's positions, in this order."""

_ROW_BITS = 20
_MAKER_ROWS = 1 << 19
_MAKER_MARGIN = 10
_MAKER_LEVERAGE = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """The open positions and the accounts of a block at one snapshot.

    Attributes:
        positions: (n, 8) int64, see `COLUMNS`; sorted by market, then account.
        starts: (m + 1,) where each market's rows start.
        wallet: (a,) int64 money units.
        equity: (a,) int64 money units.
        maintenance: (a,) int64 money units.
    """

    positions: Int64
    starts: Int64
    wallet: Int64
    equity: Int64
    maintenance: Int64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Closed:
    """What the venue itself closed in a block; (f,) each.

    Attributes:
        row: row of the block.
        profit: int64 money units, realised.
    """

    row: Int64
    profit: Int64


def position_ids(block: Block) -> Int64:
    """Give the ids of a block's rows: its number, then the row."""
    return (block.number << _ROW_BITS) + np.arange(len(block.rows.lots))


def closed_of(world: World, block: Block) -> Closed:
    """Give what the venue closes in a block, and at what profit.

    Args:
        world: what the blocks share.
        block: the block.

    Returns:
        One entry a position that is deleveraged.
    """
    rows = block.rows
    row = np.flatnonzero(rows.burst != NEVER)
    value = lot_values(world, world.venue.prices)[rows.burst[row], rows.market[row]]
    share = rows.closed[row] / np.abs(rows.lots[row])
    gain = rows.closed[row] * value - rows.entry[row] * share
    profit = np.rint(np.sign(rows.lots[row]) * gain).astype(np.int64)
    return Closed(row=row, profit=profit)


def moment_of(world: World, block: Block, closed: Closed, snapshot: int) -> Moment:
    """Give a block as it stands just before the first burst of a snapshot.

    Args:
        world: what the blocks share.
        block: the block.
        closed: what the venue closes in it.
        snapshot: number.

    Returns:
        Positions that are closed by then are gone, with their profit in the wallet; those that
        are closed in part have kept the part of their entry value and margin.
    """
    rows, first = block.rows, int(world.first_burst[snapshot])
    is_past = (rows.burst != NEVER) & (rows.burst < first)
    left = np.abs(rows.lots) - np.where(is_past, rows.closed, 0)
    share = left / np.abs(rows.lots)
    is_open = np.flatnonzero(left > 0)
    lot_value = lot_values(world, world.venue.prices)[first]
    lots = np.sign(rows.lots[is_open]) * left[is_open]
    positions = _table(world, block, is_open, lots=lots, share=share[is_open], first=first)
    market = rows.market[is_open]
    makers, their_markets = _makers(world, block, positions, market, lot_value)
    every = np.concatenate([market, their_markets])
    order = np.argsort(every, kind="stable")
    table = np.concatenate([positions, makers])[order]
    starts = np.searchsorted(every[order], np.arange(world.request.markets + 1))
    past = rows.burst[closed.row] < first
    wallet = block.wallet.copy()
    np.add.at(wallet, rows.account[closed.row[past]], closed.profit[past])
    wallet[-1] = int(makers[:, COLUMNS.index("margin")].sum())
    profit, needed = _worth(block, table, lot_value[every[order]])
    return Moment(
        positions=table,
        starts=starts.astype(np.int64),
        wallet=wallet,
        equity=wallet + profit,
        maintenance=needed,
    )


def _table(
    world: World, block: Block, is_open: Int64, *, lots: Int64, share: Floats, first: int
) -> Int64:
    """The open rows as one table; see `COLUMNS`."""
    rows = block.rows
    lot_value = lot_values(world, world.venue.prices)[first]
    entry = np.maximum(np.rint(rows.entry[is_open] * share), 1).astype(np.int64)
    margin = np.maximum(np.rint(rows.margin[is_open] * share), 1).astype(np.int64)
    market, leverage = rows.market[is_open], rows.leverage[is_open]
    return np.column_stack(
        [
            position_ids(block)[is_open],
            block.first_account + rows.account[is_open],
            lots,
            entry,
            margin,
            _maintenance(np.abs(lots) * lot_value[market], world.venue.max_leverage[market]),
            -(-entry // leverage),
            leverage,
        ]
    )


def _maintenance(value: Floats, max_leverage: Int64) -> Int64:
    """Half of the initial margin at the market's largest leverage, at least one unit."""
    return np.maximum(np.rint(value / (2 * max_leverage)), 1).astype(np.int64)


def _makers(
    world: World, block: Block, positions: Int64, market: Int64, lot_value: Floats
) -> tuple[Int64, Int64]:
    """The market maker's rows: the other side of each market's net, entered at the mark."""
    count = world.request.markets
    net = np.zeros(count, dtype=np.int64)
    np.add.at(net, market, positions[:, COLUMNS.index("lots")])
    which = np.flatnonzero(net)
    lots = -net[which]
    value = np.abs(lots) * lot_value[which]
    entry = np.maximum(np.rint(value), 1).astype(np.int64)
    leverage = np.full(len(which), _MAKER_LEVERAGE)
    rows = np.column_stack(
        [
            (block.number << _ROW_BITS) + _MAKER_ROWS + which,
            np.full(len(which), block.first_account + block.accounts - 1),
            lots,
            entry,
            np.maximum(entry // _MAKER_MARGIN, 1),
            _maintenance(value, world.venue.max_leverage[which]),
            -(-entry // leverage),
            leverage,
        ]
    )
    return rows.astype(np.int64), which


def _worth(block: Block, table: Int64, lot_value: Floats) -> tuple[Int64, Int64]:
    """The profit and the maintenance margin of each account at the moment's marks."""
    lots, entry = table[:, COLUMNS.index("lots")], table[:, COLUMNS.index("entry")]
    account = table[:, COLUMNS.index("account")] - block.first_account
    gain = lots * lot_value - np.sign(lots) * entry
    profit = np.bincount(account, weights=gain, minlength=block.accounts)
    maintenance = table[:, COLUMNS.index("maintenance")]
    needed = np.bincount(account, weights=maintenance, minlength=block.accounts)
    return np.rint(profit).astype(np.int64), np.rint(needed).astype(np.int64)
