"""From numbers as people write them to whole numbers of a unit, exactly or not at all.

Decimals and text are legal if they are exact in the unit; a float is legal if it is the double
nearest to a whole number of units. Nothing that is not a float ever becomes one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage import _core
from deleverage.errors import InputError
from deleverage.model.refusals import bad_value, plain
from deleverage.model.scalars import ADJUSTED_MOST, exact_of

__all__ = [
    "LIMIT",
    "MOST_DIGITS",
    "Int64",
    "Numbers",
    "decimal_of",
    "first_duplicate",
    "quantise",
    "read_numbers",
    "shares",
    "unit_of",
    "values",
]

LIMIT = 1 << 51
"""Every integer of a column is smaller in magnitude."""
MOST_DIGITS = 9
"""The finest unit that is inferred for quantities and prices is 10^-9."""

Int64 = NDArray[np.int64]

_INT64_MOST = (1 << 63) - 1
_INT64_DIGITS = 18
_POWERS_MOST = 22  # powers of ten that a double holds exactly
_DECIMAL_DIGITS = 38
_SAMPLE = 4096
_PLAIN = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)$"
_EXPONENT = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][+-]?[0-9]{1,3}$"


def unit_of(digits: int) -> Decimal:
    """Give the unit 10^-digits."""
    return Decimal(1).scaleb(-digits)


def decimal_of(value: Fraction) -> Decimal:
    """Give a fraction whose denominator divides a power of ten as a decimal, exactly."""
    digits, denominator = 0, value.denominator
    while 10**digits % denominator:
        digits += 1
    sign = "-" if value < 0 else ""
    text = str(abs(value.numerator) * 10**digits // denominator).rjust(digits + 1, "0")
    return Decimal(f"{sign}{text[: len(text) - digits]}.{text[len(text) - digits :]}".rstrip("."))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbers:
    """One column of numbers, read exactly: entry i is `values[i] * 10^-digits`.

    Attributes:
        table: name of the frame, for messages.
        column: name of the column.
        values: (n,) int64; float64 with `digits` 0; or Python integers where int64 is too narrow.
        digits: decimal digits that the whole numbers carry.
        source: the column as given, in the order of the frame.
        rows: (n,) int64, the frame's row of each entry; None if they are the same.
        absent: (n,) bool, entries that were null and read as 0; None where none was.
        start: where a part begins that was cut out without `rows`.
    """

    table: str
    column: str
    values: NDArray[Any]
    digits: int
    source: pl.Series
    rows: Int64 | None = None
    absent: NDArray[np.bool_] | None = None
    start: int = 0

    def take(self, rows: Int64 | None) -> Self:
        """Give the entries in another order; None keeps it."""
        if rows is None:
            return self
        absent = None if self.absent is None else self.absent.take(rows)
        return replace(self, values=self.values.take(rows), rows=rows, absent=absent)

    def part(self, start: int, stop: int) -> Self:
        """Give entries start to stop, without a copy."""
        if start == 0 and stop == len(self.values):
            return self
        return replace(
            self,
            values=self.values[start:stop],
            rows=None if self.rows is None else self.rows[start:stop],
            absent=None if self.absent is None else self.absent[start:stop],
            start=self.start + start,
        )

    def refuse(self, entry: int, expected: str, way_out: str = "") -> InputError:
        """Give the error for one entry."""
        row = entry + self.start if self.rows is None else int(self.rows[entry])
        return bad_value(
            table=self.table,
            column=self.column,
            row=row,
            value=self.source[row],
            expected=expected,
            way_out=way_out,
        )

    def require(self, *, positive: bool, way_out: str = "") -> Self:
        """Refuse negative numbers, and zeros too where they must be positive.

        Raises:
            InputError: names the first such row.
        """
        if self.values.size and bool(self.values.min() <= 0 if positive else self.values.min() < 0):
            wrong = self.values <= 0 if positive else self.values < 0
            if self.absent is not None:
                wrong &= ~self.absent
            if not wrong.any():
                return self
            expected = "a number above zero" if positive else "zero or a number above it"
            raise self.refuse(int(np.argmax(wrong)), expected, way_out)
        return self

    def exact(self, entry: int) -> Fraction:
        """Give one entry as a fraction; a float is the shortest decimal that reads as it."""
        value = self.values[entry]
        if self.is_float:
            return Fraction(repr(float(value)))
        return Fraction(int(value), 10**self.digits)

    @property
    def is_float(self) -> bool:
        """Whether the column came as floats."""
        return self.values.dtype.kind == "f"

    def largest(self) -> Fraction:
        """Give the largest magnitude, 0 for an empty column."""
        if not self.values.size:
            return Fraction(0)
        return max(abs(self.exact(int(f(self.values)))) for f in (np.argmin, np.argmax))

    def fewest_digits(self, *, most: int = MOST_DIGITS, way_out: str = "") -> int:
        """Find the smallest k <= most such that every entry is a whole number of 10^-k.

        Raises:
            InputError: an entry is finer than 10^-most, not finite, or has 2^51 units or more.
        """
        if self.is_float:
            found, bad = _core.decimals(self.values)
            if found is None:
                raise self._misfit(bad, unit_of(min(most, MOST_DIGITS)), way_out)
            return int(found[0])
        digits = _trimmed_digits(self.values, self.digits)
        if digits > most:
            too_fine = self.values.astype(object) % 10 ** (self.digits - most) != 0
            raise self._misfit(int(np.argmax(too_fine)), unit_of(most), way_out)
        return digits

    def units(self, unit: Decimal, *, way_out: str = "") -> Int64:
        """Turn every entry into whole units.

        Args:
            unit: > 0, exact.
            way_out: ends the message of an error.

        Returns:
            (n,) int64, below 2^51 in magnitude; the column itself where nothing has to change.

        Raises:
            InputError: names the first entry that is not a whole number of units, is not finite or
                too large, and the nearest legal values.
        """
        if self.is_float:
            return self._float_units(unit, way_out)
        ratio = Fraction(1, 10**self.digits) / Fraction(unit)
        most = (LIMIT * ratio.denominator - 1) // ratio.numerator
        values = self.values
        if values.size and (int(values.max()) > most or int(values.min()) < -most):
            raise self._misfit(int(np.argmax((values > most) | (values < -most))), unit, way_out)
        if not values.any():
            return values.astype(np.int64, copy=False)
        if ratio.denominator > _INT64_MOST:
            values = values.astype(object)
        if ratio.denominator > 1:
            whole = values // ratio.denominator
            is_cut = whole * ratio.denominator != values
            if is_cut.any():
                raise self._misfit(int(np.argmax(is_cut)), unit, way_out)
            values = whole
        if ratio.numerator > 1:
            values = values * ratio.numerator
        return values.astype(np.int64, copy=False)

    def _float_units(self, unit: Decimal, way_out: str) -> Int64:
        """Turn floats into units of multiple * 10^-digits."""
        digits, multiple = _split_unit(unit)
        whole: Int64 | None = None
        if digits <= _POWERS_MOST:
            whole, bad = _core.quantise(self.values, digits)
            if whole is None and (multiple == 1 or _float_unit(self.values[bad], unit) is None):
                raise self._misfit(bad, unit, way_out)
        if whole is not None:
            if multiple == 1:
                return whole
            quotient: Int64 = whole // multiple
            if bool((quotient * multiple == whole).all()):
                return quotient
        # Rare: a unit such as 25 * 10^-9 whose multiples leave the range of the fast test.
        found = [_float_unit(value, unit) for value in self.values]
        if None in found:
            raise self._misfit(found.index(None), unit, way_out)
        return np.array(found, np.int64)

    def _misfit(self, entry: int, unit: Decimal, way_out: str) -> InputError:
        """Say what is wrong with an entry, and what would be right."""
        value = self.values[entry]
        if self.is_float and not np.isfinite(value):
            return self.refuse(entry, "a finite number")
        return self.refuse(entry, _expected(self.exact(entry), unit), way_out)


def quantise(
    value: Decimal | str | float, unit: Decimal, *, name: str = "value", way_out: str = ""
) -> int:
    """Turn one number into whole units, by the same rule as a column.

    Args:
        value: decimal, text, whole number or float.
        unit: > 0, exact.
        name: what the number is, for messages.
        way_out: ends the message of a number that is finer than the unit.

    Returns:
        The number of units, below 2^51 in magnitude.

    Raises:
        InputError: it is no finite number, not a whole number of units, or too large.
    """
    exact = exact_of(value, name)
    units = exact / Fraction(unit)
    if isinstance(value, float):
        nearest = _float_unit(value, unit)
        if nearest is not None:
            return nearest
    elif units.denominator == 1 and abs(units) < LIMIT:
        return int(units)
    end = f"; {way_out}" if way_out else ""
    raise InputError(f"{name}: expected {_expected(exact, unit)}, got {plain(value)}{end}")


def _expected(value: Fraction, unit: Decimal) -> str:
    """Say what was expected where a number is not a legal number of units."""
    ratio = value / Fraction(unit)
    if abs(ratio) >= LIMIT - 1:
        most = plain(decimal_of(Fraction(unit) * LIMIT))
        return f"less than {most} in magnitude (2^51 units of {plain(unit)})"
    below = ratio.__floor__()
    near = [plain(decimal_of(Fraction(unit) * n)) for n in (below, below + 1)]
    return f"a whole number of {plain(unit)} (nearest: {near[0]} and {near[1]})"


def _split_unit(unit: Decimal) -> tuple[int, int]:
    """Write a unit as (digits, multiple): multiple * 10^-digits, digits as few as can be."""
    exact = Fraction(unit)
    digits = 0
    while exact.denominator > 1:
        exact *= 10
        digits += 1
    return digits, exact.numerator


def _float_unit(value: float, unit: Decimal) -> int | None:
    """Give the units whose nearest double a float is, or None."""
    if not np.isfinite(value):
        return None
    units = round(Fraction(float(value)) / Fraction(unit))
    is_legal = abs(units) < LIMIT and float(units * Fraction(unit)) == value
    return units if is_legal else None


def _trimmed_digits(values: NDArray[Any], digits: int) -> int:
    """Take away the digits that are zero in every entry."""
    if not values.any():
        return 0
    zeros = min(digits, _INT64_DIGITS) if values.dtype == np.int64 else digits
    for part in (values[:_SAMPLE], values):
        while zeros and bool((part % 10**zeros).any()):
            zeros -= 1
    return digits - zeros


def read_numbers(
    series: pl.Series, *, table: str, optional: NDArray[np.bool_] | None = None
) -> Numbers:
    """Read a column of numbers exactly, whatever its type.

    Args:
        series: whole numbers, decimals, floats, or text.
        table: name of the frame, for messages.
        optional: (n,) rows whose value may be null; such a null reads as 0.

    Raises:
        InputError: the type holds no numbers, or names the first row with a null or no number.
    """
    _refuse_nulls(series, table, optional)
    numbers = Numbers(
        table=table,
        column=series.name,
        values=np.zeros(len(series), np.int64),
        digits=0,
        source=series,
        absent=series.is_null().to_numpy() if series.null_count() else None,
    )
    dtype = series.dtype
    if dtype.is_float():
        filled = series.cast(pl.Float64).fill_null(0.0)
        return _finite(replace(numbers, values=_array(filled)))
    if dtype == pl.Decimal:
        scale = dtype.scale or 0  # type: ignore[attr-defined]  # only decimals have one
        return _from_wide(numbers, series.to_physical().fill_null(0), scale)
    if dtype.is_integer():
        return _from_wide(numbers, series.fill_null(0), 0)
    if dtype == pl.String:
        return _from_text(numbers, series.fill_null("0"))
    if dtype == pl.Null:
        return numbers
    raise InputError(f"{table}: column {series.name}: expected numbers, got type {dtype}")


def _finite(numbers: Numbers) -> Numbers:
    """Refuse NaN and infinities; one pass, as a sum is finite only if all is."""
    with np.errstate(all="ignore"):
        if np.isfinite(numbers.values.sum()):
            return numbers
    wrong = ~np.isfinite(numbers.values)
    if wrong.any():
        raise numbers.refuse(int(np.argmax(wrong)), "a finite number")
    return numbers


def _refuse_nulls(series: pl.Series, table: str, optional: NDArray[np.bool_] | None) -> None:
    """Refuse a null in a row that needs a value."""
    if not series.null_count():
        return
    missing = series.is_null().to_numpy()
    if optional is not None:
        missing = missing & ~optional
    if missing.any():
        row = int(np.argmax(missing))
        raise bad_value(table=table, column=series.name, row=row, value=None, expected="a value")


def _array(series: pl.Series) -> NDArray[Any]:
    """Give a column as an array, without a copy where it lies in one piece."""
    return series.rechunk().to_numpy(allow_copy=False)


def _from_wide(numbers: Numbers, series: pl.Series, digits: int) -> Numbers:
    """Read whole numbers of any width that carry decimal digits."""
    if series.dtype == pl.Int64:
        return replace(numbers, values=_array(series), digits=digits)
    narrow = series.cast(pl.Int64, strict=False)
    if not narrow.null_count():
        return replace(numbers, values=_array(narrow), digits=digits)
    # A decimal of scale 18 is mostly zeros: without them it fits.
    zeros, column = digits, pl.col("wide").cast(pl.Int128)
    frame = series.alias("wide").to_frame()
    for part in (frame.head(_SAMPLE), frame):
        while zeros and not _divides(part, column, zeros):
            zeros -= 1
    shorter = frame.select(column // pl.lit(10**zeros, dtype=pl.Int128)).to_series()
    narrow = shorter.cast(pl.Int64, strict=False)
    if not narrow.null_count():
        return replace(numbers, values=_array(narrow), digits=digits - zeros)
    return replace(numbers, values=np.array(list(shorter), object), digits=digits - zeros)


def _divides(frame: pl.DataFrame, column: pl.Expr, zeros: int) -> bool:
    """Tell whether every whole number ends in so many zeros."""
    divisor = pl.lit(10**zeros, dtype=pl.Int128)
    return bool(frame.select(((column % divisor) == 0).all()).item())


def _from_text(numbers: Numbers, texts: pl.Series) -> Numbers:
    """Read decimal text such as `-12.50` or `1e-5`."""
    is_plain = texts.str.contains(_PLAIN)
    if not is_plain.all():
        texts = _without_exponents(numbers, texts, is_plain)
    points = texts.str.find(".", literal=True)
    lengths = texts.str.len_bytes() - points - 1
    digits = int(lengths.max() or 0)  # type: ignore[arg-type]  # of whole numbers only
    if digits <= _DECIMAL_DIGITS:
        decimals = texts.cast(pl.Decimal(_DECIMAL_DIGITS, digits), strict=False)
        if not decimals.null_count():
            return _from_wide(numbers, decimals.to_physical(), digits)
    values = [int(Fraction(Decimal(text)) * 10**digits) for text in texts]
    return replace(numbers, values=np.array(values, object), digits=digits)


def _without_exponents(numbers: Numbers, texts: pl.Series, is_plain: pl.Series) -> pl.Series:
    """Rewrite text with an exponent, refuse what is no number."""
    is_number = is_plain | texts.str.contains(_EXPONENT)
    if not is_number.all():
        row = int((~is_number).arg_max() or 0)
        raise numbers.refuse(row, "a decimal number")
    rewritten = {}
    for text in texts.filter(~is_plain).unique():
        number = Decimal(text)
        if abs(number.adjusted()) >= ADJUSTED_MOST and number:
            row = int((texts == text).arg_max() or 0)
            raise numbers.refuse(row, f"a number within 10^-{ADJUSTED_MOST} and its inverse")
        rewritten[text] = format(number, "f")
    return texts.replace(rewritten)


def values(
    lots: Int64, prices: Int64, ratio: Fraction, *, is_inverse: bool
) -> tuple[Int64 | None, int, int]:
    """Give the money value of rows, each rounded once, half to even.

    Args:
        lots: (n,) int64, the sign does not count.
        prices: (n,) int64 > 0, price units.
        ratio: money units of one lot at one price unit (inverse: of one lot over one price unit).
        is_inverse: the price divides.

    Returns:
        (n,) int64 or None where a value has 2^51 units or more; the first such row or -1; the first
        row that had to be rounded or -1.
    """
    if ratio.numerator > _INT64_MOST or ratio.denominator > _INT64_MOST:
        return _wide_values(lots, prices, ratio, is_inverse=is_inverse)
    rate = (ratio.numerator, ratio.denominator, is_inverse)
    found, rounded, bad = _core.values(lots, prices, rate)
    return found, bad, rounded


def _wide_values(
    lots: Int64, prices: Int64, ratio: Fraction, *, is_inverse: bool
) -> tuple[Int64 | None, int, int]:
    """Do the same for a ratio beyond 64 bits; rare, so a plain loop."""
    found, rounded = np.empty(len(lots), np.int64), -1
    for row, (lot, price) in enumerate(zip(lots.tolist(), prices.tolist(), strict=True)):
        exact = abs(lot) * (ratio / price if is_inverse else ratio * price)
        value = round(exact)
        if value >= LIMIT:
            return None, row, -1
        if value != exact and rounded < 0:
            rounded = row
        found[row] = value
    return found, -1, rounded


def shares(values: Int64, parts: Int64, wholes: Int64) -> Int64:
    """Give floor(value * part / whole) row by row, exactly.

    Args:
        values: (n,) int64.
        parts: (n,) int64, 0 <= part <= whole.
        wholes: (n,) int64 > 0.

    Raises:
        InputError: a part or a whole is out of its range.
    """
    found, bad = _core.shares(values, parts, wholes)
    if found is None:
        raise InputError(f"share: row {bad}: expected 0 <= part <= whole and whole > 0")
    return found


def first_duplicate(ids: NDArray[np.uint64]) -> tuple[int, int] | None:
    """Find the first row whose id stands in an earlier row: (earlier, later), or None."""
    find: Callable[[NDArray[np.uint64]], tuple[int, int] | None] = _core.first_duplicate
    return find(np.ascontiguousarray(ids))
