"""The bankrupt account's own legs on the candidates' side: netted first, or left alone.

A cross or portfolio leg is closed against the bankrupt position before anybody else is cut: the
two share one margin, so the account itself is the first to give. An isolated leg, or any leg of an
isolated bankrupt position, has a margin of its own and stays as it is. Neither stands in the queue.
A leg counts whether or not it is marked as in liquidation, for all of a bankrupt account may be.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from deleverage.model.snapshot import Snapshot
from deleverage.planning.inputs import Request
from deleverage.planning.side import Int64, contracts

__all__ = ["OwnLeg", "held_lots", "legs_frame", "margin_modes", "may_net", "net", "own_legs"]

_MARGINS = ("margin", "bankruptcy_price", "bankruptcy_value")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLeg:
    """A position of the bankrupt account on the candidates' side.

    Attributes:
        row: of the position frame.
        lots: of the whole position, more than 0.
        closed: lots closed against the bankrupt position.
        is_netted: whether it is closed first; otherwise it stays as it is.
    """

    row: int
    lots: int
    closed: int
    is_netted: bool


def may_net(snapshot: Snapshot) -> bool:
    """Tell from the columns alone whether any position can be cross."""
    positions = snapshot.positions.columns
    return "margin_mode" in positions or not any(name in positions for name in _MARGINS)


def margin_modes(frame: pl.DataFrame) -> list[str]:
    """Give each row's margin mode; without the column a given margin says isolated, else cross.

    Args:
        frame: rows of positions.
    """
    if "margin_mode" in frame.columns:
        return frame["margin_mode"].cast(pl.String).to_list()
    is_isolated = any(name in frame.columns for name in _MARGINS)
    return ["isolated" if is_isolated else "cross"] * frame.height


def net(legs: tuple[OwnLeg, ...]) -> int:
    """Give the lots that are netted."""
    return sum(leg.closed for leg in legs)


def own_legs(snapshot: Snapshot, request: Request) -> tuple[OwnLeg, ...]:
    """Find the bankrupt account's legs on the candidates' side, and net them in order of their id.

    Args:
        snapshot: the book.
        request: the event.

    Returns:
        The legs; the netted ones close at most `request.lots` together.
    """
    if request.bankrupt_account is None:
        return ()
    rows = _rows(snapshot, request.bankrupt_account, request.market)
    mine = snapshot.positions[rows].with_row_index("place")
    lots = [snapshot.scale(request.market).lots(qty) for qty in mine["qty"].to_list()]
    sides = _sides(mine, lots)
    modes = margin_modes(mine)
    bankrupt = [mode for side, mode in zip(sides, modes, strict=True) if side != request.side]
    is_cross = not bankrupt or any(mode != "isolated" for mode in bankrupt)
    order = mine.sort("position_id")["place"] if "position_id" in mine.columns else mine["place"]
    legs, left = [], request.lots
    for place in order.to_list():
        if sides[place] != request.side:
            continue
        is_netted = is_cross and modes[place] != "isolated"
        closed = min(abs(lots[place]), left) if is_netted else 0
        left -= closed
        legs.append(
            OwnLeg(row=int(rows[place]), lots=abs(lots[place]), closed=closed, is_netted=is_netted)
        )
    return tuple(legs)


def held_lots(snapshot: Snapshot, account: str, market: str) -> dict[str, int]:
    """Give what an account holds of a market, in liquidation or not.

    Returns:
        Lots by side, `long` and `short`.
    """
    frame = snapshot.positions[_rows(snapshot, account, market)]
    lots = [snapshot.scale(market).lots(qty) for qty in frame["qty"].to_list()]
    sides = _sides(frame, lots)
    return {
        name: sum(abs(lot) for side, lot in zip(sides, lots, strict=True) if side == name)
        for name in ("long", "short")
    }


def _rows(snapshot: Snapshot, account: str, market: str) -> Int64:
    """Find an account's rows of the position frame in one market, by margin mode."""
    standing = snapshot.original(snapshot.account_rows(account, market))
    left_out = snapshot.left_out_rows
    gone = (
        snapshot.positions[left_out]
        .select("account", "market")
        .with_columns(pl.all().cast(pl.String))
    )
    is_theirs = (gone["account"] == account) & (gone["market"] == market)
    rows = np.unique(np.concatenate([standing, left_out[is_theirs.to_numpy()]]))
    modes = margin_modes(snapshot.positions[rows])
    return rows[np.argsort(np.array(modes, dtype=np.str_), kind="stable")]


def _sides(frame: pl.DataFrame, lots: list[int]) -> list[str]:
    if "side" in frame.columns:
        return frame["side"].cast(pl.String).to_list()
    return ["long" if lot > 0 else "short" for lot in lots]


def legs_frame(snapshot: Snapshot, request: Request, legs: tuple[OwnLeg, ...]) -> pl.DataFrame:
    """Give the legs as a frame.

    Returns:
        position_id (if the positions have it), account, side, qty, qty_closed, qty_left (Decimal),
        reason (`netted` or `isolated`).
    """
    scale = snapshot.scale(request.market)
    rows = np.array([leg.row for leg in legs], dtype=np.int64)
    keys = [name for name in ("position_id", "account") if name in snapshot.positions.columns]
    lots = np.array([leg.lots for leg in legs], dtype=np.int64)
    closed = np.array([leg.closed for leg in legs], dtype=np.int64)
    reasons = ["netted" if leg.is_netted else "isolated" for leg in legs]
    return snapshot.positions.select(keys)[rows].with_columns(
        pl.Series("side", [request.side] * len(legs), dtype=pl.String),
        contracts("qty", lots, scale),
        contracts("qty_closed", closed, scale),
        contracts("qty_left", lots - closed, scale),
        pl.Series("reason", reasons, dtype=pl.String),
    )
