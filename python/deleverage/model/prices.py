"""Arithmetic of settlement prices that a plan and a settlement have in common."""

from fractions import Fraction

from deleverage.errors import InputError

__all__ = ["deviation"]


def deviation(value: Fraction, mark: Fraction, *, is_inverse: bool) -> Fraction | None:
    """Give how far a price is from the mark price, as a share of the mark price.

    The denominator is our reading: the paraphrase of Bybit's rule (wuyelx.com/6291, 2025) does
    not name it, and its one example comes out the same for either.

    Args:
        value: value of one lot at the price; of a linear contract the price itself does as well.
        mark: the same at the mark.
        is_inverse: whether the price divides, so that the value falls as the price rises.

    Returns:
        A share, 0 or more; None where no finite price gives an inverse lot that value.

    Raises:
        InputError: the mark is not above zero.
    """
    if mark <= 0:
        raise InputError(f"mark: expected a value above zero, got {mark}")
    if not is_inverse:
        return abs(value - mark) / mark
    return abs(mark / value - 1) if value > 0 else None
