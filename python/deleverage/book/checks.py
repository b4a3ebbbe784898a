"""Friendly checks of what a kept book is given; the kernel checks lengths and values."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deleverage.book.answers import Rate, Uint64s
from deleverage.errors import InputError
from deleverage.model.refusals import nearest_name, plain

__all__ = [
    "NO_IDS",
    "Arrays",
    "accounts_of",
    "checked_bands",
    "checked_rate",
    "columns_of",
    "ids_of",
    "side_of",
]

Arrays = Mapping[str, NDArray[Any]]

_SIDES = {"long": 1, "short": -1}
_RATE_LIMIT = 2**62
_MOST_BANDS = 100
NO_IDS: Uint64s = np.empty(0, dtype=np.uint64)
_WHOLE = (
    *("lots", "entry_value", "margin", "maintenance_margin", "initial_margin", "open_value"),
    *("leverage", "profit_lots", "profit_value", "created_at"),
)
_KINDS: dict[str, type[np.generic]] = {
    **dict.fromkeys(_WHOLE, np.int64),
    **dict.fromkeys(("market", "account", "owner"), np.uint32),
    "tier": np.uint8,
    "position_id": np.uint64,
}
_TABLES = ("equity", "maintenance_margin", "wallet_balance")


def columns_of(columns: Arrays) -> SimpleNamespace:
    """Check kinds and dtypes; the kernel checks lengths and values."""
    for name in columns:
        if name not in _KINDS:
            raise InputError(f"columns: expected names of columns, got {name!r}{_hint(name)}")
    given = {name: _array(name, columns.get(name), kind) for name, kind in _KINDS.items()}
    for name in ("lots", "entry_value", "position_id"):
        if given[name] is None:
            raise InputError(f"{name}: expected a column, got none; a book needs it")
    return SimpleNamespace(**given)


def _hint(name: str) -> str:
    return nearest_name(name, _KINDS)


def accounts_of(accounts: Arrays) -> SimpleNamespace:
    """Check names and dtypes of account tables."""
    for name in accounts:
        if name not in _TABLES:
            raise InputError(f"accounts: expected names among {_TABLES}, got {name!r}")
    given = {name: _array(f"accounts.{name}", accounts.get(name), np.int64) for name in _TABLES}
    return SimpleNamespace(**given)


def _array(name: str, values: object, dtype: type[np.generic]) -> NDArray[Any] | None:
    if values is None:
        return None
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        got = type(values).__name__
        raise InputError(f"{name}: expected a one-dimensional NumPy array, got {got}")
    if values.dtype != dtype:
        wanted = np.dtype(dtype).name
        raise InputError(f"{name}: expected dtype {wanted}, got {values.dtype.name}")
    return np.ascontiguousarray(values)


def ids_of(name: str, values: Uint64s | Sequence[int]) -> Uint64s:
    """Give ids as an array."""
    if isinstance(values, np.ndarray) and values.dtype == np.uint64 and values.ndim == 1:
        return np.ascontiguousarray(values)
    try:
        return np.array([int(value) for value in values], dtype=np.uint64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{name}: expected ids from 0 to 2**64 - 1, got {plain(values)}"
        ) from error


def checked_rate(name: str, rate: Rate) -> Rate:
    """Check the range of a rate."""
    num, den, is_inverse = rate
    for part in (num, den):
        if not 0 < part < _RATE_LIMIT:
            raise InputError(
                f"{name}: expected parts of more than 0 and less than 2^62, got {rate}"
            )
    return int(num), int(den), bool(is_inverse)


def side_of(side: str) -> int:
    """Give a side as the kernel knows it."""
    if side not in _SIDES:
        raise InputError(f"side: expected long or short, got {plain(side)}")
    return _SIDES[side]


def checked_bands(bands: int) -> int:
    """Check the number of bands."""
    if not 1 <= bands <= _MOST_BANDS:
        raise InputError(f"bands: expected 1 to 100, got {plain(bands)}")
    return bands
