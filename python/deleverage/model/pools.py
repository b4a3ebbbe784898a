"""Margin pools of cross accounts: one row for each (account, settlement asset), and who uses it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.model.frames import Table
from deleverage.model.quantise import LIMIT, Int64, Numbers, values
from deleverage.model.refusals import bad_value
from deleverage.model.scales import MarketScale

__all__ = ["OWN_MARGIN", "POOL_COLUMNS", "Pools", "Profits", "equity_of", "open_pools", "settle_of"]

OWN_MARGIN = 0xFFFFFFFF
"""An `account` entry that says: this row is judged on its own margin."""
POOL_COLUMNS = ("equity", "maintenance_margin", "wallet_balance")

_SPARSE = 4
_ROOM = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pools:
    """The account table, sorted by asset and account.

    Attributes:
        table: accounts.
        assets: settlement assets, sorted.
        starts: (assets + 1,) where each asset's rows start.
        account: (m,) codes that compare as the ids do.
        rows: (m,) int64 row of the frame of each entry.
        numbers: columns that the edition reads, in this order.
        created_at: (m,) int64 nanoseconds UTC, or None where nobody asks.
    """

    table: Table
    assets: tuple[str, ...]
    starts: tuple[int, ...]
    account: NDArray[Any]
    rows: Int64
    numbers: Mapping[str, Numbers]
    created_at: Int64 | None

    def span(self, asset: str) -> tuple[int, int]:
        """Give the first row of an asset and the row after its last."""
        place = self.assets.index(asset)
        return self.starts[place], self.starts[place + 1]

    def money(self, asset: str) -> list[Numbers]:
        """Give one asset's money columns."""
        return [column.part(*self.span(asset)) for column in self.numbers.values()]

    def columns(self, scales: Mapping[str, MarketScale]) -> dict[str, Int64]:
        """Give the columns in money units.

        Args:
            scales: one market of each asset.

        Raises:
            InputError: names the first value that is no whole number of units, or too large.
        """
        found = {}
        for name, column in self.numbers.items():
            parts = [np.empty(0, np.int64)]
            for asset in self.assets:
                unit = scales[asset].money_unit
                out = f"round it, or pass markets= with the money_unit of {asset}"
                parts.append(column.part(*self.span(asset)).units(unit, way_out=out))
            found[name] = np.concatenate(parts)
        return found

    def find(
        self, asset: str, accounts: NDArray[Any], needed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.uint32], int]:
        """Find each row's pool.

        Args:
            asset: settlement asset of the rows.
            accounts: (n,) codes.
            needed: (n,) bool, rows that are judged on their account; None means all.

        Returns:
            (n,) uint32 rows of this table, `OWN_MARGIN` where it is not needed; and the first row
            that needs a pool and has none, or -1.
        """
        start, stop = self.span(asset)
        found = _look_up(self.account[start:stop], accounts, start)
        if needed is not None:
            found[~needed] = OWN_MARGIN
        lost = found == OWN_MARGIN
        if needed is not None:
            lost &= needed
        return found, int(np.argmax(lost)) if lost.any() else -1


def _look_up(known: NDArray[Any], wanted: NDArray[Any], start: int) -> NDArray[np.uint32]:
    """Give start + the place of each wanted code among sorted known codes, else `OWN_MARGIN`."""
    if not known.size or not wanted.size:
        return np.full(len(wanted), OWN_MARGIN, np.uint32)
    places = np.arange(start, start + len(known), dtype=np.uint32)
    most = max(int(known[-1]), int(wanted.max()))
    if most < _SPARSE * (len(known) + len(wanted)) + _ROOM:
        table = np.full(most + 1, OWN_MARGIN, np.uint32)
        table[known] = places
        found: NDArray[np.uint32] = table[wanted]
        return found
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known.take(place) == wanted, places.take(place), np.uint32(OWN_MARGIN))


def settle_of(accounts: Table | None) -> str:
    """Give the one asset of the accounts, for markets whose table does not say it."""
    if accounts is None or not accounts.has("asset"):
        return ""
    assets = accounts.distinct("asset")
    return assets[0] if len(assets) == 1 else ""


def open_pools(
    table: Table,
    *,
    codes: NDArray[Any],
    settles: Sequence[str],
    needs: Sequence[str],
    why: str,
    derive_equity: bool,
) -> Pools:
    """Read the accounts that the settlement assets of the markets concern.

    Args:
        table: accounts.
        codes: (rows,) codes of its account column.
        settles: settlement assets of the markets.
        needs: columns the edition reads.
        why: who needs them, for messages.
        derive_equity: equity may be missing and is then the wallet plus unrealised profit.

    Raises:
        InputError: a column is missing, a key (account, asset) stands there twice, or markets have
            several settlement assets and the accounts do not say which is which.
    """
    assets = tuple(sorted(set(settles)))
    columns = [name for name in needs if name != "created_at"]
    if derive_equity and "equity" in columns:
        columns += ["wallet_balance"] if "wallet_balance" not in columns else []
        columns = [name for name in columns if name != "equity" or table.has("equity")]
    table.require(*columns, *(["created_at"] if "created_at" in needs else []), why=why)
    asset = _asset_codes(table, assets)
    kept = np.flatnonzero(asset < len(assets))
    order = kept[np.lexsort((kept, codes[kept], asset[kept]))]
    sorted_asset, sorted_codes = asset[order], codes[order]
    _refuse_repeat(table, order, sorted_asset, sorted_codes)
    numbers = {}
    for name in columns:
        is_derived = derive_equity and name == "equity"
        optional = np.ones(len(table), np.bool_) if is_derived else asset >= len(assets)
        numbers[name] = table.numbers(name, optional=optional).take(order)
        if name == "maintenance_margin":
            numbers[name].require(positive=False)
    return Pools(
        table=table,
        assets=assets,
        starts=tuple(np.searchsorted(sorted_asset, np.arange(len(assets) + 1)).tolist()),
        account=sorted_codes,
        rows=order,
        numbers=numbers,
        created_at=table.times("created_at")[order] if "created_at" in needs else None,
    )


def _asset_codes(table: Table, assets: tuple[str, ...]) -> NDArray[np.uint32]:
    """Give each row's asset; rows of other assets get the number of assets."""
    if not table.has("asset"):
        if len(assets) > 1:
            raise InputError(
                f"{table.name}: expected a column asset, as the markets settle in {list(assets)}"
            )
        return np.zeros(len(table), np.uint32)
    if assets == ("",) and len(table):
        raise InputError(
            f"{table.name}: column asset: expected one asset where no markets= is given, got "
            f"{table.distinct('asset')}; pass markets= with settle"
        )
    return table.places("asset", assets)


def _refuse_repeat(table: Table, order: Int64, asset: NDArray[Any], account: NDArray[Any]) -> None:
    """Refuse a key (account, asset) that stands there twice."""
    same = (asset[1:] == asset[:-1]) & (account[1:] == account[:-1])
    if same.any():
        entry = int(np.argmax(same))
        first, second = sorted(int(row) for row in order[[entry, entry + 1]])
        raise bad_value(
            table=table.name,
            column="account",
            row=second,
            value=table.keys("account").at(second),
            expected="each (account, asset) once",
            way_out=f"row {first} has the same",
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Profits:
    """Unrealised profit of every pool, summed market by market."""

    sums: Int64

    def add(
        self, scale: MarketScale, *, pool: NDArray[np.uint32], lots: Int64, entry_value: Int64
    ) -> None:
        """Add the rows of one market.

        Args:
            scale: the market at its mark.
            pool: (n,) uint32 rows of the account table, or `OWN_MARGIN`.
            lots: (n,) int64 signed.
            entry_value: (n,) int64 money units.

        Raises:
            InputError: a row's mark value has 2^51 money units or more.
        """
        rate = Fraction(scale.mark_num, scale.mark_den)
        marks, bad, _ = values(lots, np.ones(len(lots), np.int64), rate, is_inverse=False)
        if marks is None:
            raise InputError(
                f"market {scale.market}: expected mark values below 2^51 money units, got more for "
                f"{abs(int(lots[bad]))} lots; pass markets= with a coarser money_unit"
            )
        profit = (marks - entry_value) * np.sign(lots) * (-1 if scale.is_inverse else 1)
        shared = pool != OWN_MARGIN
        np.add.at(self.sums, pool[shared], profit[shared])


def equity_of(pools: Pools, columns: Mapping[str, Int64], profits: Profits) -> Int64:
    """Give each pool's equity: the given one, else wallet plus unrealised profit.

    Raises:
        InputError: an equity has 2^51 money units or more.
    """
    derived = columns["wallet_balance"] + profits.sums
    given = pools.numbers.get("equity")
    if given is not None:
        absent = given.absent if given.absent is not None else np.zeros(len(derived), np.bool_)
        derived = np.where(absent, derived, columns["equity"])
    wrong = np.abs(derived) >= LIMIT
    if wrong.any():
        entry = int(np.argmax(wrong))
        raise InputError(
            f"{pools.table.name}: row {int(pools.rows[entry])}: expected a derived equity below "
            f"2^51 money units, got {int(derived[entry])}"
        )
    return derived
