"""One number as a person writes it, read exactly: text, decimal, whole number or float."""

import re
from decimal import Decimal
from fractions import Fraction

import numpy as np

from deleverage.errors import InputError
from deleverage.model.refusals import plain

__all__ = ["ADJUSTED_MOST", "exact_of"]

ADJUSTED_MOST = 40
"""Numbers other than 0 lie between 10^-40 and 10^40 in magnitude."""

# What a column of text may hold too: no blanks, no underscores, no digits of other scripts.
_TEXT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_BITS_SHOWN = 512


def exact_of(value: object, name: str) -> Fraction:
    """Read one number as a fraction; a float is the shortest decimal that reads as it.

    Args:
        value: decimal, text such as `-12.50` or `1e-5`, whole number or float.
        name: what the number is, for messages.

    Raises:
        InputError: it is no number, not finite, or beyond 10^40 or its inverse.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        raise InputError(f"{name}: expected a number, got {plain(value)}")
    if isinstance(value, str) and not _TEXT.fullmatch(value):
        raise InputError(
            f"{name}: expected a decimal number such as 12.5, without blanks or separators, "
            f"got {plain(value)}"
        )
    if isinstance(value, int) and value.bit_length() > _BITS_SHOWN:
        raise _too_far(name, f"a whole number of {value.bit_length()} bits")
    number = Decimal(repr(value) if isinstance(value, float) else value)
    if not number.is_finite():
        raise InputError(f"{name}: expected a finite number, got {plain(value)}")
    if number and abs(number.adjusted()) >= ADJUSTED_MOST:
        raise _too_far(name, plain(value))
    return Fraction(number)


def _too_far(name: str, got: str) -> InputError:
    limit = f"10^{ADJUSTED_MOST}"
    return InputError(f"{name}: expected 0 or a magnitude between 1/{limit} and {limit}, got {got}")
