"""Rows to files, as they come: a buffer a market, and the fullest are written when it is full."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.lab.dump import positions_folder
from deleverage.lab.generate_moments import COLUMNS, Moment
from deleverage.lab.generate_world import MONEY_PLACES, Venue

__all__ = ["MONEY", "SIDES", "Writer", "money", "named", "write_parquet"]

Int64 = NDArray[np.int64]

SIDES = ("long", "short")

MONEY = pl.Decimal(18, MONEY_PLACES)
"""Type of every amount and quantity in a dump; Parquet stores it in eight bytes."""


def money(units: Int64) -> pl.Series:
    """Give whole units of 10^-6 as exact decimals.

    Args:
        units: (n,) int64.

    Returns:
        (n,) Decimal(18, 6).
    """
    whole = pl.Series(units).cast(pl.Decimal(38, 0))
    return (whole * pl.Series(["0.000001"]).cast(pl.Decimal(38, MONEY_PLACES))).cast(MONEY)


def named(codes: Int64, names: Sequence[str]) -> pl.Series:
    """Give names by their place.

    Args:
        codes: (n,) places in `names`.
        names: distinct.

    Returns:
        (n,) Enum.
    """
    return pl.Series(list(names), dtype=pl.Enum(names)).gather(codes)


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write one file of a dump; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path, compression="lz4")


class Writer:
    """Holds rows back until a part is worth its file, in bounded memory."""

    def __init__(self, directory: Path, venue: Venue, buffered: int) -> None:
        """Start with nothing.

        Args:
            directory: of the dump.
            venue: the markets.
            buffered: rows that are held back at most, of positions and of accounts each.
        """
        self._directory = directory
        self._names = pl.Enum(venue.names)
        self._venue = venue
        self._most = buffered
        self._rows: defaultdict[tuple[int, int], list[Int64]] = defaultdict(list)
        self._held: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._accounts: defaultdict[int, list[Int64]] = defaultdict(list)
        self._fills: list[pl.DataFrame] = []
        self._parts: defaultdict[Path, int] = defaultdict(int)
        self._waiting = 0
        self._waiting_accounts = 0
        self._waiting_fills = 0
        self.written = 0

    def add(self, snapshot: int, moment: Moment, first_account: int) -> None:
        """Take a block's moment.

        Args:
            snapshot: number.
            moment: its rows.
            first_account: id of its first account.
        """
        for market in np.flatnonzero(np.diff(moment.starts)):
            start, stop = moment.starts[market], moment.starts[market + 1]
            # A copy: a slice would keep the whole block alive.
            self._rows[snapshot, int(market)].append(moment.positions[start:stop].copy())
            self._held[snapshot, int(market)] += int(stop - start)
        ids = first_account + np.arange(len(moment.wallet))
        self._accounts[snapshot].append(
            np.column_stack([ids, moment.wallet, moment.equity, moment.maintenance])
        )
        self._waiting += len(moment.positions)
        self._waiting_accounts += len(ids)
        self.written += len(moment.positions)
        if self._waiting > self._most:
            self._write_fullest()
        if self._waiting_accounts > self._most:
            self._write_accounts()

    def add_fills(self, fills: pl.DataFrame) -> None:
        """Take what the venue closed in a block."""
        self._fills.append(fills)
        self._waiting_fills += fills.height
        if self._waiting_fills > self._most:
            self._write_fills()

    def finish(self) -> None:
        """Write what is held back."""
        for key in sorted(self._rows):
            self._write_positions(key)
        self._write_accounts()
        if self._fills:
            self._write_fills()

    def _write_fullest(self) -> None:
        """Write the fullest buffers until half of the room is free."""
        for key in sorted(self._held, key=lambda one: (-self._held[one], one)):
            if self._waiting <= self._most // 2:
                return
            self._write_positions(key)

    def _write_positions(self, key: tuple[int, int]) -> None:
        """Write a market's buffer as one part."""
        snapshot, market = key
        if not self._rows[key]:
            return
        table = np.concatenate(self._rows.pop(key))
        self._waiting -= self._held.pop(key)
        column = {name: table[:, place] for place, name in enumerate(COLUMNS)}
        scale = 10 ** (MONEY_PLACES - int(self._venue.lot_places[market]))
        name = self._venue.names[market]
        count = len(table)
        frame = pl.DataFrame(
            [
                pl.Series("position_id", column["position_id"]).cast(pl.UInt64),
                pl.Series("account", column["account"]).cast(pl.UInt64),
                pl.Series("market", [name], dtype=self._names).new_from_index(0, count),
                named((column["lots"] < 0).astype(np.int64), SIDES).alias("side"),
                money(np.abs(column["lots"]) * scale).alias("qty"),
                money(column["entry"]).alias("entry_value"),
                money(column["margin"]).alias("margin"),
                money(column["maintenance"]).alias("maintenance_margin"),
                money(column["initial"]).alias("initial_margin"),
                pl.Series("leverage", column["leverage"]).cast(pl.UInt8),
            ]
        )
        self._write(frame, positions_folder(self._directory, snapshot, name))

    def _write_accounts(self) -> None:
        """Write the accounts of every snapshot."""
        for snapshot, tables in sorted(self._accounts.items()):
            table = np.concatenate(tables)
            frame = pl.DataFrame(
                [
                    pl.Series("account", table[:, 0]).cast(pl.UInt64),
                    pl.Series("asset", ["USDC"]).new_from_index(0, len(table)),
                    money(table[:, 1]).alias("wallet_balance"),
                    money(table[:, 2]).alias("equity"),
                    money(table[:, 3]).alias("maintenance_margin"),
                ]
            )
            self._write(frame, self._directory / "accounts" / f"snapshot={snapshot:04d}")
        self._accounts.clear()
        self._waiting_accounts = 0

    def _write_fills(self) -> None:
        """Write what the venue closed."""
        self._write(pl.concat(self._fills), self._directory / "fills")
        self._fills.clear()
        self._waiting_fills = 0

    def _write(self, frame: pl.DataFrame, folder: Path) -> None:
        """Write the next part of a folder."""
        write_parquet(frame, folder / f"part-{self._parts[folder]:05d}.parquet")
        self._parts[folder] += 1
