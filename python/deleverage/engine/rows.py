"""What happens to the rows of a store: pure steps from one version of its arrays to the next."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deleverage.engine import tree
from deleverage.engine.arrays import Changes, VersionedArrays
from deleverage.engine.roster import Roster
from deleverage.errors import InputError
from deleverage.model.quantise import values
from deleverage.model.scales import MarketScale
from deleverage.ranking import OWN_MARGIN, Columns

__all__ = [
    "ACCOUNT_PREFIX",
    "EQUITY",
    "MONEY",
    "credited",
    "equities",
    "gains",
    "grown",
    "is_true",
    "joined",
    "kept",
    "profits",
    "rehashed",
    "root",
    "row_columns",
    "wide_sum",
]

Int64 = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]
Put = dict[str, tuple[Int64, NDArray[Any]]]

MONEY = ("entry_value", "margin", "maintenance_margin", "initial_margin", "open_value")
"""Columns of which a part that is closed takes its share."""
ACCOUNT_PREFIX = "account "
"""Before the names of the account table's columns."""
EQUITY = f"{ACCOUNT_PREFIX}equity"
"""No column of a store: it follows from cash, rows and marks."""
_ROW_TREE, _ACCOUNT_TREE = "rows level ", "accounts level "
# What follows from the other columns and the marks is not hashed.
_DERIVED = ("profit_lots", "profit_value")


def root(arrays: Arrays) -> str:
    """Give the roots over rows and accounts, in hexadecimal."""
    return (tree.root(_ROW_TREE, arrays) + tree.root(_ACCOUNT_TREE, arrays)).hex()


def credited(
    store: VersionedArrays,
    pools: NDArray[np.uint32],
    paid: Int64,
    released: Int64 | None = None,
) -> VersionedArrays:
    """Add cash to accounts, and release maintenance margin.

    Args:
        store: the arrays.
        pools: (k,) uint32 rows of the account table, or `OWN_MARGIN`.
        paid: (k,) int64 money units.
        released: (k,) int64 money units of maintenance margin that closed parts had, or None.
    """
    arrays = store.read()
    held = pools != OWN_MARGIN
    rows, where = np.unique(pools[held].astype(np.int64), return_inverse=True)
    if not len(rows):
        return store
    cash = np.zeros(len(rows), np.int64)
    np.add.at(cash, where, paid[held])
    put: Put = {}
    for name in ("cash", "wallet_balance"):
        full = f"{ACCOUNT_PREFIX}{name}"
        if full in arrays:
            put[full] = (rows, arrays[full][rows] + cash)
    full = f"{ACCOUNT_PREFIX}maintenance_margin"
    if released is not None and full in arrays:
        less = np.zeros(len(rows), np.int64)
        np.add.at(less, where, released[held])
        # Of an account whose legs are netted it may be less than what they have one by one.
        put[full] = (rows, np.maximum(arrays[full][rows] - less, 0))
    return store.put(put)


def joined(store: VersionedArrays, roster: Roster, places: Int64, market: str) -> VersionedArrays:
    """Work out again the joint profit of every account in a market that changed.

    Args:
        store: the arrays.
        roster: who holds what.
        places: (k,) int64 that changed, all in one market.
        market: its name.
    """
    arrays, code = store.read(), roster.code(market)
    rows, lots, nets = [], [], []
    for owner in np.unique(roster.owner[places]).tolist():
        legs = roster.places_of(str(roster.accounts[owner]))
        legs = legs[roster.section[legs] // 2 == code]
        is_joint = roster.joint[legs]
        own = arrays["lots"][legs]
        signed = np.sign(own) * arrays["entry_value"][legs]
        rows.append(legs)
        lots.append(np.where(is_joint, own[is_joint].sum(), own))
        nets.append(np.where(is_joint, signed[is_joint].sum(), signed))
    where = np.concatenate(rows)
    columns = {"profit_lots": np.concatenate(lots), "profit_value": np.concatenate(nets)}
    return store.put({name: (where, column) for name, column in columns.items()})


def rehashed(
    store: VersionedArrays, places: Int64 | None, pools: NDArray[np.uint32] | None
) -> VersionedArrays:
    """Hash the blocks again that some places and accounts are in.

    Args:
        store: the arrays.
        places: (k,) int64 that changed, or None.
        pools: rows of the account table that changed, or None; `OWN_MARGIN` is none of them.
    """
    arrays, put = store.read(), Put()
    if places is not None and len(places):
        put |= tree.dirty(_ROW_TREE, arrays, places, _RowBytes(arrays))
    touched = np.empty(0, np.int64)
    if pools is not None:
        touched = np.unique(pools[pools != OWN_MARGIN]).astype(np.int64)
    if len(touched):
        put |= tree.dirty(_ACCOUNT_TREE, arrays, touched, _AccountBytes(arrays))
    return store.put(put)


def grown(arrays: Arrays) -> dict[str, NDArray[np.uint8]]:
    """Hash everything; gives the levels of both trees by name."""
    accounts = [len(array) for name, array in arrays.items() if name.startswith(ACCOUNT_PREFIX)]
    return {
        **tree.grow(_ROW_TREE, len(arrays["lots"]), _RowBytes(arrays)),
        **tree.grow(_ACCOUNT_TREE, max(accounts, default=0), _AccountBytes(arrays)),
    }


def is_true(arrays: Arrays, written: Changes) -> bool:
    """Tell whether both trees are right wherever something was written.

    Args:
        arrays: as they are.
        written: rows by the name of an array, whoever wrote them.
    """
    nothing = (np.empty(0, np.int64), None)
    rows, accounts = _RowBytes(arrays), _AccountBytes(arrays)
    places = np.concatenate([nothing[0], *(written.get(name, nothing)[0] for name in rows.names)])
    owners = np.concatenate([nothing[0], *(written.get(n, nothing)[0] for n in accounts.names)])
    return tree.is_true(
        _ROW_TREE, arrays, written, np.unique(places // tree.BLOCK), rows
    ) and tree.is_true(_ACCOUNT_TREE, arrays, written, np.unique(owners // tree.BLOCK), accounts)


def row_columns(arrays: Arrays) -> list[str]:
    """Name the columns that have one value a row, sorted."""
    names = Columns.__dataclass_fields__
    return sorted(name for name in arrays if name in names)


class _RowBytes:
    """Gives what is hashed of blocks of places."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self.names = [name for name in row_columns(arrays) if name not in _DERIVED]

    def __call__(self, blocks: Int64) -> NDArray[np.uint8]:
        return _blocks(self._arrays, self.names, blocks)


class _AccountBytes:
    """Gives what is hashed of blocks of the account table."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        names = sorted(name for name in arrays if name.startswith(ACCOUNT_PREFIX))
        self.names = [name for name in names if name not in _DERIVED]

    def __call__(self, blocks: Int64) -> NDArray[np.uint8]:
        return _blocks(self._arrays, self.names, blocks)


def wide_sum(numbers: Int64) -> int:
    """Add int64 numbers up without overflow: their halves fit where they themselves may not."""
    return (int((numbers >> 32).sum()) << 32) + int((numbers & 0xFFFFFFFF).sum())


def _blocks(arrays: Arrays, names: Sequence[str], blocks: Int64) -> NDArray[np.uint8]:
    """Give the bytes of blocks: for each row its columns as int64, zeros beyond the last row."""
    count = len(arrays[names[0]]) if names else 0
    places = (blocks[:, None] * tree.BLOCK + np.arange(tree.BLOCK)).reshape(-1)
    is_there = places < count
    matrix = np.zeros((len(places), max(len(names), 1)), np.int64)
    rows = places[is_there]
    for number, name in enumerate(names):
        # An id of 64 bits keeps its bits.
        matrix[is_there, number] = arrays[name][rows].astype(np.int64)
    return matrix.view(np.uint8).reshape(len(blocks), -1)


def kept(amounts: Int64, before: Int64, after: Int64) -> Int64:
    """Give what a smaller position keeps of its money: the part that goes takes its floor share.

    Args:
        amounts: (k,) int64 money units before.
        before: (k,) int64 lots before.
        after: (k,) int64 lots after, no more than before.
    """
    found = [
        value - value * (abs(lots) - abs(left)) // abs(lots) if lots else value
        for value, lots, left in zip(amounts.tolist(), before.tolist(), after.tolist(), strict=True)
    ]
    return np.array(found, np.int64)


def gains(arrays: Arrays, starts: Int64, scales: Sequence[MarketScale], places: Int64) -> Int64:
    """Give the unrealised profit of rows of many markets, as `profits` does.

    Args:
        arrays: of the rows.
        starts: where each section starts.
        scales: the markets at their marks, by code.
        places: (k,) int64, rising.
    """
    found = [np.empty(0, np.int64)]
    ends = np.searchsorted(places, starts[::2])
    for scale, first, end in zip(scales, ends[:-1], ends[1:], strict=True):
        rows = places[first:end]
        found.append(profits(scale, arrays["lots"][rows], arrays["entry_value"][rows]))
    return np.concatenate(found)


def equities(arrays: Arrays, starts: Int64, scales: Sequence[MarketScale]) -> Int64 | None:
    """Give the equity of every account: its cash and the profits of the rows that it judges.

    Args:
        arrays: rows and the account table.
        starts: where each section starts.
        scales: the markets at their marks, by code.

    Returns:
        (m,) int64 money units, or None where no rule reads equities.
    """
    cash = arrays.get(f"{ACCOUNT_PREFIX}cash")
    if cash is None:
        return None
    found: Int64 = cash.copy()
    judged = np.flatnonzero(arrays["account"] != OWN_MARGIN)
    np.add.at(found, arrays["account"][judged], gains(arrays, starts, scales, judged))
    return found


def profits(scale: MarketScale, lots: Int64, entry_value: Int64) -> Int64:
    """Give the unrealised profit of rows, each mark value rounded once, half to even.

    Args:
        scale: the market at its mark.
        lots: (n,) int64 signed, 0 for none.
        entry_value: (n,) int64 money units.

    Returns:
        (n,) int64 money units.

    Raises:
        InputError: a mark value has 2^51 money units or more.
    """
    rate = Fraction(scale.mark_num, scale.mark_den)
    ones = np.ones(len(lots), np.int64)
    marks, bad, _ = values(np.ascontiguousarray(lots), ones, rate, is_inverse=False)
    if marks is None:
        raise InputError(
            f"mark of {scale.market}: expected mark values below 2^51 money units, got more for "
            f"{abs(int(lots[bad]))} lots at {scale.mark_price:f}"
        )
    gains: Int64 = (marks - entry_value) * np.sign(lots) * (-1 if scale.is_inverse else 1)
    return gains
