"""What the array verbs ask of an argument before the kernel sees it.

Each check looks at a type, at the shape of an array or at the few rows that were named: none reads
a column.
"""

from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.model.refusals import plain

__all__ = [
    "COLUMN_KINDS",
    "TABLE_KINDS",
    "array_of",
    "check_column",
    "check_truth",
    "checked_bands",
    "checked_lots",
    "checked_threads",
    "has_repeats",
    "is_masked",
    "is_truth",
    "is_whole",
    "sorted_rows",
]

_WHOLE = (
    *("lots", "entry_value", "margin", "maintenance_margin", "initial_margin", "open_value"),
    *("leverage", "profit_lots", "profit_value", "created_at"),
)

#: Columns of positions and the dtypes that the kernel reads.
COLUMN_KINDS: dict[str, type[np.generic]] = {
    **dict.fromkeys(_WHOLE, np.int64),
    **dict.fromkeys(("market", "account", "owner"), np.uint32),
    "tier": np.uint8,
    "position_id": np.uint64,
}

#: Account tables and their dtypes.
TABLE_KINDS: dict[str, type[np.generic]] = dict.fromkeys(
    ("equity", "maintenance_margin", "wallet_balance"), np.int64
)

_MOST_BANDS = 100
_MOST_THREADS = 1024


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number by its type: no float, no bool, no text."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_truth(value: object) -> TypeGuard[bool]:
    """Whether a value is True or False, Python's or NumPy's; a number is neither."""
    return isinstance(value, (bool, np.bool_))


def check_truth(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Raises:
        InputError: it is another kind of value.
    """
    if not is_truth(value):
        raise InputError(f"{name}: expected True or False, got {plain(value)}")


def is_masked(values: object) -> bool:
    """Whether rows of an array may be masked: the kernel would read what the mask hides."""
    return type(values) is not np.ndarray and isinstance(values, np.ma.MaskedArray)


def array_of(name: str, values: object, dtype: type[np.generic]) -> NDArray[Any]:
    """Give a column as the array it is; how it lies in memory is the caller's to check.

    Args:
        name: the column's name.
        values: what was given.
        dtype: of its values, in this machine's byte order.

    Raises:
        InputError: it is no one-dimensional NumPy array of the dtype, or it is masked.
    """
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        got = type(values).__name__
        raise InputError(f"{name}: expected a one-dimensional NumPy array, got {got}")
    if is_masked(values):
        raise InputError(
            f"{name}: expected an array without a mask, got {type(values).__name__}; "
            "fill the masked rows or leave them out"
        )
    if values.dtype != dtype:
        # Written with its byte order where that is not this machine's.
        raise InputError(f"{name}: expected dtype {np.dtype(dtype)}, got {values.dtype}")
    return values


def check_column(name: str, values: object, dtype: type[np.generic]) -> None:
    """Refuse a column that the kernel cannot borrow as it lies in memory.

    Args:
        name: the column's name.
        values: what was given.
        dtype: of its values.

    Raises:
        InputError: as `array_of`, or it is a strided view or out of alignment.
    """
    flags = array_of(name, values, dtype).flags
    if not flags.c_contiguous:
        expected = "a contiguous array, got a strided view"
        raise InputError(f"{name}: expected {expected}; copy it first")
    if not flags.aligned:
        expected = "an aligned array, got one that begins between words"
        raise InputError(f"{name}: expected {expected}; copy it first")


def sorted_rows(name: str, values: object, count: int) -> NDArray[np.int64]:
    """Give row numbers in rising order; nothing is rounded, and no text or bool is a number.

    Args:
        name: the argument's name.
        values: (k,) whole numbers of any width, or a list or tuple of k whole numbers.
        count: rows that there are.

    Raises:
        InputError: it is another kind of value, or there is no such row.
    """
    expected = f"{name}: expected row numbers in one dimension, whole, from 0 and below {count}"
    if isinstance(values, (list, tuple)):
        for value in values:
            if not is_whole(value) or not 0 <= value < count:
                raise InputError(f"{expected}, got {plain(value)}")
        return np.array(sorted(values), dtype=np.int64)
    if not isinstance(values, np.ndarray):
        raise InputError(f"{expected}, got {plain(values)}")
    if values.ndim != 1 or values.dtype.kind not in "iu" or is_masked(values):
        got = f"{type(values).__name__} of {values.dtype} {values.shape}"
        raise InputError(f"{expected}, got {got}")
    found = np.sort(values)
    for value in (found[0], found[-1]) if len(found) else ():
        if not 0 <= value < count:
            raise InputError(f"{expected}, got {value}")
    return found.astype(np.int64, copy=False)


def has_repeats(rows: NDArray[np.int64]) -> bool:
    """Whether a row is named twice; the rows are in rising order."""
    return bool(np.count_nonzero(rows[1:] == rows[:-1]))


def checked_lots(lots: object) -> int:
    """Check the lots to offset."""
    if not is_whole(lots) or not 0 < lots < 2**63:
        raise InputError(
            f"lots: expected more than 0 and less than 2**63, a whole number, got {plain(lots)}"
        )
    return int(lots)


def checked_bands(bands: object) -> int:
    """Check the number of bands."""
    if not is_whole(bands) or not 1 <= bands <= _MOST_BANDS:
        raise InputError(f"bands: expected 1 to {_MOST_BANDS}, a whole number, got {plain(bands)}")
    return int(bands)


def checked_threads(threads: object) -> int:
    """Check a number of threads."""
    if not is_whole(threads) or not 0 <= threads <= _MOST_THREADS:
        raise InputError(
            f"threads: expected 0 (all) to {_MOST_THREADS}, a whole number, got {plain(threads)}"
        )
    return int(threads)
