"""Numbers as people write them become whole numbers of a unit, exactly or not at all."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.errors import InputError
from deleverage.model.quantise import (
    LIMIT,
    Numbers,
    decimal_of,
    first_duplicate,
    quantise,
    read_numbers,
    shares,
    unit_of,
    values,
)

whole = st.integers(-(LIMIT - 1), LIMIT - 1)
digits = st.integers(0, 9)
units = st.sampled_from([Decimal(text) for text in ("0.001", "0.5", "100", "0.00001", "25e-9")])


def column(values: object, dtype: pl.DataType | None = None) -> Numbers:
    """Read one column named qty of a table named positions."""
    return read_numbers(pl.Series("qty", values, dtype=dtype), table="positions")


@given(numbers=st.lists(whole, min_size=1), digits=digits)
def test_decimals_become_exactly_their_units(numbers: list[int], digits: int) -> None:
    """A decimal column holds n * 10^-k and gives n back, whatever n and k."""
    texts = [format(Decimal(n).scaleb(-digits), "f") for n in numbers]
    as_decimal = pl.Series("qty", texts).cast(pl.Decimal(38, digits))
    for series in (pl.Series("qty", texts), as_decimal):
        found = read_numbers(series, table="t").units(unit_of(digits))
        assert found.tolist() == numbers
        assert found.dtype == np.int64


@given(numbers=st.lists(whole, min_size=1), digits=digits)
def test_the_nearest_double_becomes_its_units(numbers: list[int], digits: int) -> None:
    """A float that is the double nearest to n * 10^-k is n units, for every n below 2^51."""
    floats = [float(Decimal(n).scaleb(-digits)) for n in numbers]
    assert column(floats).units(unit_of(digits)).tolist() == numbers
    scalars = [quantise(value, unit_of(digits)) for value in floats]
    assert scalars == numbers


@given(number=st.integers(1, LIMIT // 2), digits=digits, up=st.booleans())
def test_the_double_beside_it_is_refused(number: int, digits: int, *, up: bool) -> None:
    """A float one step beside the nearest double of a decimal is no number of units."""
    nearest = float(Decimal(number).scaleb(-digits))
    beside = float(np.nextafter(nearest, np.inf if up else -np.inf))
    with pytest.raises(InputError, match=r"column qty, row 0"):
        column([beside]).units(unit_of(digits))
    with pytest.raises(InputError):
        quantise(beside, unit_of(digits))


@given(unit=units, number=st.integers(-(10**12), 10**12))
def test_a_unit_need_not_be_a_power_of_ten(unit: Decimal, number: int) -> None:
    """Units such as a lot of 0.5 or 100 work for decimals, text, floats and whole numbers."""
    value = decimal_of(Fraction(unit) * number)
    assert quantise(value, unit) == number
    assert quantise(format(value, "f"), unit) == number
    assert column([format(value, "f")]).units(unit).tolist() == [number]
    assert column([float(value)]).units(unit).tolist() == [number]
    if value == value.to_integral_value():
        assert column([int(value)]).units(unit).tolist() == [number]


@given(
    value=st.decimals(
        allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9
    ),
    unit=units,
)
def test_text_agrees_with_decimal_arithmetic(value: Decimal, unit: Decimal) -> None:
    """Text is legal exactly where decimal arithmetic says that it is a whole number of units."""
    exact = Fraction(value) / Fraction(unit)
    if exact.denominator == 1 and abs(exact) < LIMIT:
        assert column([format(value, "f")]).units(unit).tolist() == [exact.numerator]
    else:
        with pytest.raises(InputError):
            column([format(value, "f")]).units(unit)


@given(
    st.lists(
        st.decimals(
            allow_nan=False, allow_infinity=False, places=9, min_value=-(10**5), max_value=10**5
        ),
        min_size=1,
    )
)
def test_the_coarsest_unit_holds_everything(numbers: list[Decimal]) -> None:
    """The fewest digits hold every value, one digit fewer does not; text and floats agree."""
    texts = [format(number, "f") for number in numbers]
    found = column(texts).fewest_digits()
    assert found == column([float(text) for text in texts]).fewest_digits()
    fractions = [Fraction(number) for number in numbers]
    assert all((value * 10**found).denominator == 1 for value in fractions)
    if found:
        assert any((value * 10 ** (found - 1)).denominator > 1 for value in fractions)


def test_text_may_have_signs_points_and_exponents() -> None:
    """Text is read as decimal numbers are written, with a sign, a bare point or an exponent."""
    texts = ["+1.50", "-0.001", ".5", "5.", "1e-3", "2.5E2", "-0", "000.100"]
    found = column(texts).units(Decimal("0.001"))
    assert found.tolist() == [1500, -1, 500, 5000, 1, 250000, 0, 100]


def test_a_wide_decimal_never_passes_through_a_float() -> None:
    """Digits that no float holds arrive whole, from decimals and from text."""
    text = "2251799.813685247"
    series = pl.Series("qty", [text]).cast(pl.Decimal(38, 18))
    assert column([text]).units(Decimal("1e-9")).tolist() == [LIMIT - 1]
    assert read_numbers(series, table="t").units(Decimal("1e-9")).tolist() == [LIMIT - 1]
    assert column(["0.1" + "0" * 50]).units(Decimal("0.1")).tolist() == [1]
    assert column(["12345678901234567890.5"]).fewest_digits() == 1


def test_whole_numbers_pass_through_without_a_copy() -> None:
    """An Int64 column in its own unit is handed on as it lies."""
    array = np.arange(1, 100, dtype=np.int64)
    found = read_numbers(pl.Series("qty", array), table="t").units(Decimal(1))
    assert np.shares_memory(found, array)


@pytest.mark.parametrize(
    ("values", "row", "said"),
    [
        ([1.0, float("nan")], 1, "expected a finite number, got nan"),
        ([float("inf")], 0, "expected a finite number, got inf"),
        ([1.0, -float("inf")], 1, "expected a finite number, got -inf"),
        ([1.0, None], 1, "expected a value, got null"),
        (["1", "x1"], 1, "expected a decimal number, got 'x1'"),
        (["1", ""], 1, "expected a decimal number, got ''"),
        (["1", " 2"], 1, "expected a decimal number, got ' 2'"),
        (["1", "\u0661"], 1, "expected a decimal number, got '\u0661'"),
        (["1\n"], 0, "expected a decimal number"),
        (["NaN"], 0, "expected a decimal number, got 'NaN'"),
        (["1", "1e99"], 1, "got '1e99'"),
        (["1e999999999"], 0, "got '1e999999999'"),
        ([0.0015], 0, "a whole number of 0.001 (nearest: 0.001 and 0.002), got 0.0015"),
        (["1", "0.0015"], 1, "(nearest: 0.001 and 0.002), got '0.0015'"),
        (["-0.0015"], 0, "(nearest: -0.002 and -0.001), got '-0.0015'"),
        ([0.1 + 0.2], 0, "got 0.30000000000000004"),
        ([1e300], 0, "less than 2251799813685.248 in magnitude (2^51 units of 0.001), got 1e+300"),
        ([2251799813686], 0, "(2^51 units of 0.001), got 2251799813686"),
        (["2251799813685.248"], 0, "(2^51 units of 0.001)"),
    ],
)
def test_a_bad_number_is_named(values: list[object], row: int, said: str) -> None:
    """One error names table, column, row and value, and the nearest legal values."""
    with pytest.raises(InputError) as error:
        column(values).units(Decimal("0.001"))
    assert str(error.value).startswith(f"positions: column qty, row {row}: ")
    assert said in str(error.value)


def test_the_first_bad_row_of_a_large_column_is_named() -> None:
    """Columns are read in parallel, and yet the first bad row is the one that is named."""
    array = np.ones(200_000)
    array[[70_001, 150_000]] = 0.00001
    with pytest.raises(InputError, match="row 70001"):
        column(array).units(Decimal("0.001"))


@pytest.mark.parametrize("values", [[True], [[1]], [b"1"]])
def test_a_type_without_numbers_is_refused(values: list[object]) -> None:
    """Truth values, lists and bytes are no numbers."""
    with pytest.raises(InputError, match="column qty: expected numbers, got type"):
        column(values)


def test_more_than_nine_digits_ask_for_the_table() -> None:
    """A value finer than 10^-9 has no inferred unit, and the way out is said."""
    for numbers in ([0.5, 0.12345678901], ["0.5", "0.12345678901"]):
        with pytest.raises(InputError, match=r"row 1: .*0\.000000001.*got .*; pass markets="):
            column(numbers).fewest_digits(way_out="pass markets=")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *((value, "expected a number, got") for value in (True, None, object(), [1])),
        *((value, "expected a decimal number") for value in ("", "1,5", "nan", "inf", "0x10")),
        *((value, "expected a decimal number") for value in (" 4", "4 ", "1_0", "\u0664")),
        *((value, "expected a finite number") for value in (float("nan"), float("-inf"))),
        *((value, "between 1/10^40 and 10^40") for value in ("1e400", 10**40, "1e-400", 1e-300)),
        ("9" * 50, "between 1/10^40 and 10^40, got"),
    ],
)
def test_a_scalar_that_is_no_number_is_refused(value: object, words: str) -> None:
    """A single number follows the same rule as a column, and its name is in the message."""
    with pytest.raises(InputError) as error:
        quantise(value, Decimal("0.001"), name="qty")  # type: ignore[arg-type]

    assert str(error.value).startswith("qty: ")
    assert words in str(error.value)


def test_a_whole_number_of_thousands_of_digits_is_not_spelled_out() -> None:
    """Python itself refuses to write so long a number: the message gives its bits."""
    with pytest.raises(InputError, match="got a whole number of 16610 bits"):
        quantise(10**5000, Decimal("0.001"), name="qty")


def test_a_scalar_says_what_would_be_legal() -> None:
    """The nearest legal values are in the message of a single number too."""
    with pytest.raises(InputError, match=r"qty: .*nearest: 12\.5 and 13\), got '12\.7'"):
        quantise("12.7", Decimal("0.5"), name="qty")
    assert quantise(np.float64(12.5), Decimal("0.5")) == 25


def test_a_null_is_zero_only_where_it_may_be() -> None:
    """A row that does not need the value may leave it out."""
    series = pl.Series("margin", [None, 2.5])
    read = read_numbers(series, table="t", optional=np.array([True, False]))
    assert read.units(Decimal("0.1")).tolist() == [0, 25]
    assert read.require(positive=True) is read
    with pytest.raises(InputError, match="row 0: expected a value, got null"):
        read_numbers(series, table="t", optional=np.array([False, True]))


def test_rows_are_named_as_in_the_frame_after_sorting() -> None:
    """A column that was reordered and cut still names the row of the frame."""
    read = column([1.0, 2.0, -3.0, 4.0]).take(np.array([3, 2, 1, 0])).part(1, 4)
    with pytest.raises(InputError, match=r"row 2: expected a number above zero, got -3\.0"):
        read.require(positive=True)
    with pytest.raises(InputError, match="row 2"):
        column([1.0, 2.0, -3.0]).part(1, 3).require(positive=True)


lots = st.integers(-(10**12), 10**12)
prices = st.integers(1, 10**12)


@given(
    rows=st.lists(st.tuples(lots, prices), min_size=1),
    ratio=st.fractions(Fraction(1, 10**9), 100, max_denominator=10**12).filter(bool),
    inverse=st.booleans(),
)
def test_values_are_rounded_once_half_to_even(
    rows: list[tuple[int, int]], ratio: Fraction, *, inverse: bool
) -> None:
    """A value is the exact product (or quotient), rounded once, ties to even."""
    exact = [abs(lot) * (ratio / price if inverse else ratio * price) for lot, price in rows]
    found, bad, rounded = values(
        np.array([lot for lot, _ in rows]),
        np.array([price for _, price in rows]),
        ratio,
        is_inverse=inverse,
    )
    too_large = [row for row, value in enumerate(exact) if round(value) >= LIMIT]
    if too_large:
        assert (found, bad) == (None, too_large[0])
    else:
        assert found is not None
        assert found.tolist() == [round(value) for value in exact]
        inexact = [row for row, value in enumerate(exact) if value.denominator > 1]
        assert rounded == (inexact[0] if inexact else -1)


def test_a_ratio_beyond_64_bits_gives_the_same() -> None:
    """The slow way for extreme units agrees with exact arithmetic."""
    ratio = Fraction(10**30 + 1, 10**31)
    found, bad, rounded = values(np.array([-5, 7]), np.array([3, 2]), ratio, is_inverse=False)
    assert (bad, rounded) == (-1, 0)
    assert found is not None
    assert found.tolist() == [round(15 * ratio), round(14 * ratio)]
    found, bad, _ = values(np.array([LIMIT]), np.array([LIMIT]), ratio, is_inverse=False)
    assert (found, bad) == (None, 0)


@given(st.lists(st.tuples(whole, st.integers(1, 10**15), st.floats(0, 1)), min_size=1))
def test_shares_and_rests_add_up(rows: list[tuple[int, int, float]]) -> None:
    """A share is the floor, so that it and the rest add up to the value."""
    parts = [int(whole * ratio) for _, whole, ratio in rows]
    wholes = [whole for _, whole, _ in rows]
    found = shares(np.array([value for value, _, _ in rows]), np.array(parts), np.array(wholes))
    expected = [value * part // whole for (value, whole, _), part in zip(rows, parts, strict=True)]
    assert found.tolist() == expected


@given(st.lists(st.integers(0, 20)) | st.lists(st.integers(0, 2**64 - 1)))
def test_the_first_repeated_id_is_found(ids: list[int]) -> None:
    """The later row is the first whose id was seen before, the earlier one is where."""
    expected = None
    for row, one in enumerate(ids):
        if one in ids[:row]:
            expected = (ids.index(one), row)
            break
    assert first_duplicate(np.array(ids, np.uint64)) == expected
