"""What every policy asks of its input: whole numbers, columns in range; and sums that never wrap.

The kernel checks what it reads. What is worked out in Python is checked here, in the same words.
"""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from deleverage.errors import InputError
from deleverage.model.arguments import is_masked

__all__ = [
    "LIMIT",
    "check_array",
    "check_range",
    "check_whole",
    "exact",
    "exact_decimal",
    "total",
    "whole_number",
    "whole_units",
]

Int64s = npt.NDArray[np.int64]

#: Values of a column are below this, either way.
LIMIT = 2**51
#: Amounts are below this: more than columns of any length hold.
MOST_UNITS = 2**100


def whole_number(name: str, value: object, *, low: int | None = 0) -> int:
    """Give a whole number; a float, a text or a truth value is none.

    Args:
        name: what it is, for the message.
        value: the number, Python's or numpy's.
        low: the lowest one allowed; None allows any.

    Raises:
        InputError: it is not a whole number, or it is below `low`.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InputError(f"{name}: expected a whole number, got {value!r}")
    if low is not None and value < low:
        raise InputError(f"{name}: expected {low} or more, got {value}")
    return int(value)


def check_whole(**amounts: object) -> None:
    """Refuse what is not a whole number, by name; the sign is the caller's to check.

    Raises:
        InputError: a value is not a whole number.
    """
    for name, amount in amounts.items():
        whole_number(name, amount, low=None)


def whole_units(amount: object) -> int:
    """Give an amount to share out, lots or money units.

    Raises:
        InputError: it is not a whole number of 0 or more and below 2**100.
    """
    number = whole_number("amount", amount, low=None)
    if number < 0:
        raise InputError(f"amount: expected 0 or more units, got {number}")
    if number >= MOST_UNITS:
        raise InputError(f"amount: expected less than 2**100 units, got {number}")
    return number


def exact(name: str, value: object) -> Fraction:
    """Give an exact number, whole or a fraction; a float or a decimal is none.

    Raises:
        InputError: it is another kind of value.
    """
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)):
        raise InputError(f"{name}: expected a whole number or Fraction, got {value!r}")
    return Fraction(value)


def exact_decimal(name: str, value: object) -> Fraction:
    """Give a finite decimal, or a whole number, exactly.

    Raises:
        InputError: it is another kind of value, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise InputError(f"{name}: expected a whole number or Decimal, got {value!r}")
    if isinstance(value, Decimal) and not value.is_finite():
        raise InputError(f"{name}: expected a finite number, got {value}")
    return Fraction(value)


def check_array(
    name: str,
    values: object,
    rows: int | None = None,
    *,
    like: str = "",
    dtype: npt.DTypeLike = np.int64,
) -> None:
    """Refuse what is no column of so many rows.

    Args:
        name: the column's name.
        values: what was given.
        rows: rows it must have; None allows any.
        like: the column that has so many.
        dtype: of its values.

    Raises:
        InputError: it is not a contiguous, aligned array of one dimension without a mask, or has
            another dtype or length.
    """
    wanted = f"a contiguous one-dimensional {np.dtype(dtype)} array"
    if not isinstance(values, np.ndarray):
        raise InputError(f"{name}: expected {wanted}, got {values!r}")
    if values.ndim != 1 or values.dtype != dtype or not values.flags.c_contiguous:
        raise InputError(f"{name}: expected {wanted}, got {values.dtype} {values.shape}")
    if is_masked(values):
        raise InputError(f"{name}: expected {wanted}, got one with a mask; fill it first")
    if not values.flags.aligned:
        raise InputError(f"{name}: expected {wanted}, got one out of alignment; copy it first")
    if rows is not None and len(values) != rows:
        raise InputError(f"{name}: expected {rows} rows as in {like}, got {len(values)}")


def check_range(
    name: str, values: Int64s, *, is_signed: bool = False, has_limit: bool = True
) -> None:
    """Refuse a column with a value below zero, or of 2**51 or more in size.

    Args:
        name: the column's name.
        values: (n,) int64.
        is_signed: values below zero are allowed.
        has_limit: values of 2**51 or more are not; without it any of 0 or more is right.

    Raises:
        InputError: a value is out of range; the message names its row.
    """
    bits = 51 if has_limit else 63
    low, high = (1 - 2**bits if is_signed else 0), 2**bits - 1
    if not len(values) or (values.min() >= low and values.max() <= high):
        return
    row = int(np.flatnonzero((values < low) | (values > high))[0])
    limit = f"-(2^{bits} - 1)" if is_signed else "0"
    raise InputError(f"{name}: expected {limit} to 2^{bits} - 1, got {values[row]} in row {row}")


def total(values: Int64s) -> int:
    """Give an exact sum: the halves of a word are summed apart, for int64 sums wrap at 2**63."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFF_FFFF).sum())
