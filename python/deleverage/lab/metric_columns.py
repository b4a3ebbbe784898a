"""How every measure takes its columns: one-dimensional, finite, of one length, or refused."""

from collections.abc import Mapping
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deleverage.errors import InputError

__all__ = ["Floats", "columns", "total"]

Floats = NDArray[np.float64]


def columns(given: Mapping[str, ArrayLike], *, negative: tuple[str, ...] = ()) -> list[Floats]:
    """Read columns of numbers.

    Args:
        given: (n,) numbers by name.
        negative: names that may hold numbers below zero.

    Returns:
        (n,) float64 each, in the order given.

    Raises:
        InputError: a column is of another shape or type, its length differs from the first one's,
            or names the first entry that is not finite or must not be negative.
    """
    read = {name: _read(name, values) for name, values in given.items()}
    lengths = {name: len(values) for name, values in read.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"metric: expected columns of one length, got {lengths}")
    for name, values in read.items():
        wrong = ~np.isfinite(values)
        if name not in negative:
            wrong |= values < 0
        if wrong.any():
            row = int(np.argmax(wrong))
            sign = "a finite number" if name in negative else "a finite number, 0 or more"
            raise InputError(f"metric: {name}, entry {row}: expected {sign}, got {values[row]}")
    return list(read.values())


def total(values: Floats) -> float:
    """Add a column, rounded once: signed sums of large parts keep their cents.

    Args:
        values: (n,) float64.

    Returns:
        The double nearest to the exact sum.
    """
    return fsum(values.tolist())


def _read(name: str, values: Any) -> Floats:  # noqa: ANN401 - whatever holds numbers
    """Read one column."""
    try:
        read = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"metric: {name}: expected numbers, got {values!r:.60}") from error
    if read.ndim != 1:
        raise InputError(f"metric: {name}: expected one dimension, got {read.ndim}")
    return read
