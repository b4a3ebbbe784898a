"""Joint profits of hedge legs, and who queues behind: delta-neutral accounts and hedged parts."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.model.frames import Table
from deleverage.model.money import MONEY_COLUMNS
from deleverage.model.quantise import LIMIT, Int64, Numbers, shares
from deleverage.model.refusals import bad_value
from deleverage.model.scales import MarketScale

__all__ = ["HEDGED", "NEUTRAL", "hedged_lots", "joint_profit", "neutral_accounts", "split_hedged"]

NEUTRAL = 1
"""Tier of delta-neutral accounts."""
HEDGED = 2
"""Tier of the part of a position that is offset inside its account."""

_ID_ROOM = 1 << 63


def joint_profit(
    lots: Int64, entry_value: Int64, account: NDArray[Any], is_isolated: NDArray[np.bool_]
) -> tuple[Int64, Int64]:
    """Share one profit among all rows of an account in one market, but for isolated ones.

    Args:
        lots: (n,) int64 signed.
        entry_value: (n,) int64 money units.
        account: (n,) codes.
        is_isolated: (n,) bool.

    Returns:
        (n,) int64 net lots and net signed entry value of the legs together.

    Raises:
        InputError: a sum has 2^51 units or more.
    """
    profit_lots, profit_value = lots.copy(), entry_value * np.sign(lots)
    shared = ~is_isolated
    names, place = np.unique(account[shared], return_inverse=True)
    for column in (profit_lots, profit_value):
        sums = np.zeros(len(names), np.int64)
        np.add.at(sums, place, column[shared])
        if sums.size and int(np.abs(sums).max()) >= LIMIT:
            raise InputError("positions: expected joint legs below 2^51 units together, got more")
        column[shared] = sums[place]
    return profit_lots, profit_value


def neutral_accounts(
    table: Table, codes: NDArray[Any], scales: Sequence[MarketScale]
) -> dict[str, NDArray[Any]]:
    """Read which accounts are delta-neutral in which underlier.

    Args:
        table: neutral.
        codes: (rows,) codes of its account column.
        scales: the markets; without a `markets` table an underlier is named as its market is.

    Returns:
        Sorted account codes by underlier.

    Raises:
        InputError: an underlier that no market has, or a key (account, underlier) twice.
    """
    is_neutral = table.flags("delta_neutral")
    names = table.texts("underlier")
    known = {scale.underlier or scale.market for scale in scales}
    seen: dict[tuple[int, str], int] = {}
    found: dict[str, list[int]] = {name: [] for name in known}
    for row, (code, name) in enumerate(zip(codes.tolist(), names, strict=True)):
        if name not in known:
            way_out = "pass markets= with the underlier of each market, or drop the row"
            raise table.refuse("underlier", row, "the underlier of a market", way_out)
        if (code, name) in seen:
            raise bad_value(
                table=table.name,
                column="account",
                row=row,
                value=table.keys("account").at(row),
                expected="each (account, underlier) once",
                way_out=f"row {seen[code, name]} has the same",
            )
        seen[code, name] = row
        if is_neutral[row]:
            found[name].append(code)
    return {name: np.array(sorted(members), codes.dtype) for name, members in found.items()}


def hedged_lots(hedged: Numbers, lot_size: Decimal, lots: Int64) -> Int64:
    """Read the hedged part of one market's rows.

    Returns:
        (n,) int64 lots, 0 <= hedged <= |lots|.

    Raises:
        InputError: names the first row whose part is no whole number of lots, or exceeds its size.
    """
    parts = hedged.units(lot_size)
    wrong = parts > np.abs(lots)
    if wrong.any():
        raise hedged.refuse(int(np.argmax(wrong)), "no more than the row's qty")
    return parts


def split_hedged(
    columns: Mapping[str, NDArray[Any]], hedged: Int64
) -> tuple[dict[str, NDArray[Any]], Int64]:
    """Make the hedged part of every row an entry of its own, in the last tier.

    The part takes floor(value * part / whole) of every money column, the rest keeps what is left,
    so that both add up exactly.

    Args:
        columns: kernel columns, with `tier`.
        hedged: (n,) int64 lots.

    Returns:
        The columns with the new entries right behind their rows, and each entry's row before.
    """
    size = np.abs(columns["lots"])
    is_parted = (hedged > 0) & (hedged < size)
    origin = np.repeat(np.arange(len(size)), 1 + is_parted)
    is_tail = np.append(False, origin[1:] == origin[:-1])
    is_head = np.append(is_tail[1:], False)
    found = {name: column.take(origin) for name, column in columns.items()}
    found["tier"][is_tail | (hedged == size)[origin]] = HEDGED
    parts, wholes = hedged[is_parted], size[is_parted]
    for name in (*MONEY_COLUMNS, "lots"):
        if name not in found:
            continue
        values = np.ascontiguousarray(columns[name][is_parted])
        tail = parts * np.sign(values) if name == "lots" else shares(values, parts, wholes)
        found[name][is_tail] = tail
        found[name][is_head] = values - tail
    found["position_id"] = _doubled(columns["position_id"]).take(origin) + is_tail
    return found, origin


def _doubled(ids: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Make room between ids for one more each, in the same order."""
    if ids.size and int(ids.max()) >= _ID_ROOM:
        ids = np.argsort(np.argsort(ids)).astype(np.uint64)
    return ids * np.uint64(2)
