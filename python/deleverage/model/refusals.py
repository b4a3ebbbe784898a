"""How a refusal of data is worded: table, column, row, value, and the way out."""

from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches

from deleverage.errors import InputError

__all__ = ["bad_value", "nearest_name", "plain"]

_DIGITS_SHOWN = 40
_TEXT_SHOWN = 60


def plain(value: object) -> str:
    """Write a value as its owner would: decimals without an exponent, text in quotes."""
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < _DIGITS_SHOWN:
        return format(value, "f")
    if isinstance(value, str):
        return repr(value if len(value) <= _TEXT_SHOWN else value[:_TEXT_SHOWN] + "...")
    return "null" if value is None else str(value)


def bad_value(
    *, table: str, column: str, row: int, value: object, expected: str, way_out: str = ""
) -> InputError:
    """Give the error for one value of one column.

    Args:
        table: name of the frame, with its file where it has one.
        column: name of the column.
        row: row of the frame, the first is 0.
        value: what stands there.
        expected: what may stand there.
        way_out: what the caller can do, if it is not plain from `expected`.
    """
    end = f"; {way_out}" if way_out else ""
    return InputError(
        f"{table}: column {column}, row {row}: expected {expected}, got {plain(value)}{end}"
    )


def nearest_name(name: str, names: Iterable[str], *, cutoff: float = 0.5) -> str:
    """Give `, did you mean 'x'?` for the nearest of several names, or nothing."""
    known = list(names)
    folded = {other.casefold(): other for other in known}
    close = get_close_matches(name.casefold(), list(folded), n=1, cutoff=cutoff)
    return f", did you mean {folded[close[0]]!r}?" if close else ""
