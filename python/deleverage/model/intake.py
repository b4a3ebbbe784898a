"""Who holds what, where: the identity of every row, and the order rows are kept in.

Rows are kept by market, side (long first), account, margin mode, then original row. Where neither
an account table nor a missing id asks for it, the order stops after the side: sorting ten million
accounts is the dearest step there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deleverage.model.frames import Table, rank
from deleverage.model.quantise import Int64, Numbers, first_duplicate
from deleverage.model.refusals import bad_value

__all__ = ["MODES", "Identity", "bounds", "identify", "order_keys", "sort_rows"]

MODES = ("isolated", "cross", "portfolio")
"""Margin modes in the order rows are kept in."""
ISOLATED = 0

_SIDES = ("long", "short")
_STATUSES = ("open", "liquidating")
_FEW_SECTIONS = 2
_RADIX_MOST = 1 << 16
_KEY_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Identity:
    """Rows of positions, each known by market, side, account and mode.

    Attributes:
        section: (n,) 2 * market code + 1 for short rows.
        account: (n,) uint64 numbers or uint32 codes of names that compare as the ids do; None where
            nothing asks for them.
        mode: (n,) uint8 place in `MODES`, or None where no row may be other than `only_mode`.
        only_mode: the mode of all rows where `mode` is None.
        position_id: (n,) uint64 that compare as the ids do, or None where there are none.
        is_liquidating: (n,) bool, or None where no row is.
        qty: quantities; negative ones are short where there is no `side`.
        rows: (n,) int64 row of the frame of each entry, or None while they are the same.
    """

    section: NDArray[Any]
    account: NDArray[Any] | None
    mode: NDArray[np.uint8] | None
    only_mode: int
    position_id: NDArray[np.uint64] | None
    is_liquidating: NDArray[np.bool_] | None
    qty: Numbers
    rows: Int64 | None = None

    def __len__(self) -> int:
        return len(self.section)

    @property
    def is_isolated(self) -> NDArray[np.bool_]:
        """Tell for each row whether its margin is its own."""
        if self.mode is None:
            return np.full(len(self), self.only_mode == ISOLATED)
        isolated: NDArray[np.bool_] = self.mode == ISOLATED
        return isolated

    def keys(self) -> list[NDArray[Any]]:
        """Give the columns by which rows are ordered, the first decides first."""
        keys = (self.section, self.account, self.mode)
        return [key for key in keys if key is not None]

    def take(self, rows: Int64 | None) -> Self:
        """Give the rows in another order; None keeps it."""
        if rows is None:
            return self
        return replace(
            self,
            section=self.section.take(rows),
            account=None if self.account is None else self.account.take(rows),
            mode=None if self.mode is None else self.mode.take(rows),
            position_id=None if self.position_id is None else self.position_id.take(rows),
            is_liquidating=None if self.is_liquidating is None else self.is_liquidating.take(rows),
            qty=self.qty.take(rows),
            rows=rows,
        )


def identify(table: Table, markets: Sequence[str], accounts: NDArray[Any] | None) -> Identity:
    """Read who holds what.

    Args:
        table: positions.
        markets: names of the markets that have a mark, sorted.
        accounts: (n,) codes of the account column, or None where nothing asks for them.

    Raises:
        InputError: an unknown market, side, mode or status, a quantity that is not above zero (or
            is zero, where its sign is the side), or a repeated id.
    """
    market = table.codes(
        "market",
        markets,
        expected="a market that has a mark",
        way_out="add it to marks= (and to markets=, if that is given)",
    )
    qty = table.numbers("qty")
    is_short: NDArray[np.bool_]
    if table.has("side"):
        is_short = table.codes("side", _SIDES).astype(np.bool_)
        qty.require(positive=True, way_out="the side is said by column side")
    else:
        is_short = qty.values < 0
        zero = qty.values == 0
        if zero.any():
            raise qty.refuse(int(np.argmax(zero)), "a quantity other than zero")
    narrow = np.uint16 if 2 * len(markets) < _RADIX_MOST else np.uint32
    section = (2 * market + is_short).astype(narrow)
    mode, only_mode = _modes(table)
    is_liquidating = None
    if table.has("status"):
        is_liquidating = table.codes("status", _STATUSES).astype(np.bool_)
    return Identity(
        section=section,
        account=accounts,
        mode=mode,
        only_mode=only_mode,
        position_id=_position_ids(table),
        is_liquidating=is_liquidating
        if is_liquidating is not None and is_liquidating.any()
        else None,
        qty=qty,
    )


def _modes(table: Table) -> tuple[NDArray[np.uint8] | None, int]:
    """Read the margin modes; without the column a given margin says isolated, else cross."""
    if not table.has("margin_mode"):
        margins = ("margin", "bankruptcy_price", "bankruptcy_value")
        return None, ISOLATED if any(table.has(name) for name in margins) else 1
    mode = table.codes("margin_mode", MODES).astype(np.uint8)
    if len(mode) and bool((mode == mode[0]).all()):
        return None, int(mode[0])
    return mode, ISOLATED


def _position_ids(table: Table) -> NDArray[np.uint64] | None:
    """Read ids as numbers that compare as they do, and refuse a repeated one."""
    if not table.has("position_id"):
        return None
    ids = rank(table.keys("position_id"))
    _refuse_repeat(table, ids)
    return ids


def _refuse_repeat(table: Table, ids: NDArray[np.uint64]) -> None:
    pair = first_duplicate(ids)
    if pair is not None:
        raise table.refuse("position_id", pair[1], "each id once", f"row {pair[0]} has it too")


def sort_rows(identity: Identity, *, by_account: bool) -> Identity:
    """Give the rows in the order they are kept in.

    Args:
        identity: rows as given.
        by_account: sort by account and mode too, not only by market and side.

    Returns:
        The same rows; `rows` stays None where they stood in that order already.
    """
    if not len(identity):
        return identity
    section = identity.section
    if not by_account:
        return identity.take(None if _rises(section) else _by_section(section))
    keys = identity.keys()
    return identity.take(None if _rise_together(keys) else _argsort(keys))


def _rises(values: NDArray[Any]) -> bool:
    return bool((values[1:] >= values[:-1]).all())


def _rise_together(keys: Sequence[NDArray[Any]]) -> bool:
    """Tell whether rows stand in lexicographic order already."""
    is_sorted = np.ones(len(keys[0]) - 1, np.bool_)
    for key in reversed(keys):
        is_sorted &= key[1:] == key[:-1]
        is_sorted |= key[1:] > key[:-1]
    return bool(is_sorted.all())


def _by_section(section: NDArray[Any]) -> Int64:
    """Sort by market and side only, stably; two sides are split without a sort."""
    least, most = int(section.min()), int(section.max())
    if most - least < _FEW_SECTIONS:
        parts = [np.flatnonzero(section == value) for value in range(least, most + 1)]
        return np.concatenate(parts)
    return np.argsort(section, kind="stable")


def _argsort(keys: Sequence[NDArray[Any]]) -> Int64:
    """Sort by several keys, then by row."""
    packed = _pack(keys)
    if packed is None:
        return np.lexsort([*reversed(keys)])
    order = np.argsort(packed)
    sorted_keys = packed.take(order)
    same = sorted_keys[1:] == sorted_keys[:-1]
    if same.any():
        # The sort is not stable: put rows of one key back in the order of the frame.
        tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
        order[tied] = order[tied][np.lexsort((order[tied], sorted_keys[tied]))]
    return order


def _pack(keys: Sequence[NDArray[Any]]) -> NDArray[np.uint64] | None:
    """Put several keys into one of 64 bits, if they fit."""
    widths = [int(key.max()).bit_length() for key in keys]
    if sum(widths) > _KEY_BITS:
        return None
    packed = np.zeros(len(keys[0]), np.uint64)
    for key, width in zip(keys, widths, strict=True):
        packed <<= np.uint64(width)
        packed |= key.astype(np.uint64, copy=False)
    return packed


def order_keys(identity: Identity, table: Table) -> NDArray[np.uint64]:
    """Give ids that are unique and compare as the given ones do.

    Args:
        identity: rows in the order they are kept in.
        table: positions, for messages.

    Returns:
        (n,) uint64: the ids, or without ids the place in the order that rows are kept in.

    Raises:
        InputError: there are no ids and two rows share account, market, side and margin mode.
    """
    if identity.position_id is not None:
        return identity.position_id
    keys = identity.keys()
    same = np.ones(max(len(identity) - 1, 0), np.bool_)
    for key in keys:
        same &= key[1:] == key[:-1]
    if same.any():
        entry = int(np.argmax(same))
        pair = (entry, entry + 1) if identity.rows is None else identity.rows[[entry, entry + 1]]
        first, second = sorted(int(row) for row in pair)
        raise bad_value(
            table=table.name,
            column="account",
            row=second,
            value=table.keys("account").at(second),
            expected="each (account, market, side, margin_mode) once where there is no position_id",
            way_out=f"row {first} has the same; add a column position_id",
        )
    return np.arange(len(identity), dtype=np.uint64)


def bounds(section: NDArray[Any], markets: int) -> tuple[Int64, Int64]:
    """Give where each market starts, and where its short rows do.

    Args:
        section: (n,) rising, 2 * market code + 1 for short rows.
        markets: number of markets.

    Returns:
        (markets + 1,) int64 starts, the last is the number of rows; (markets,) int64 splits.
    """
    wanted = np.arange(2 * markets + 1, dtype=section.dtype)
    edges = np.searchsorted(section, wanted).astype(np.int64)
    return edges[::2], edges[1::2]
