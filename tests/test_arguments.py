"""What the array verbs refuse: one clear error that names the argument, never one of Python's."""

from typing import Any

import numpy as np
import pytest

from deleverage.book import Book
from deleverage.errors import InputError
from deleverage.model.rules import Basis, Factor, Loss, ScoreRule, Weight
from deleverage.policy.shares import share
from deleverage.ranking import Accounts, Columns, Rate, lights, order, rank, score, select

RULE = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.NONE, loss=Loss.DIVIDE)
RATE = Rate(mark_num=11)


def ints(*values: int) -> np.ndarray[Any, Any]:
    """A column."""
    return np.array(values, np.int64)


def crooked(kind: type[np.generic]) -> np.ndarray[Any, Any]:
    """Three ones that begin a byte behind where words begin."""
    values = np.zeros(25, np.uint8)[1:].view(kind)
    values[:] = 1
    return values


GIVEN: dict[str, Any] = {"lots": ints(1, 2, 3), "entry_value": ints(5, 6, 9)}
ACCOUNTS = Weight.ACCOUNTS
COLUMNS = Columns(**GIVEN)
MASKED = np.ma.array([1, 2, 3], mask=[False, True, False], dtype=np.int64)
SWAPPED = ints(1, 2, 3).astype(">i8")
WRONG_ROWS: list[Any] = [
    *(np.array([True, False, True]), np.array([0.0]), np.array(["0"]), ints(0, 1)[None]),
    *(ints(-1), ints(3), np.array([2**63], np.uint64), np.array(1), MASKED),
    *([True], [0.5], ["0"], [3], [-1], "0", 0, {0}),
]


@pytest.mark.parametrize("rows", WRONG_ROWS, ids=repr)
def test_what_is_no_row_number_is_refused(rows: Any) -> None:
    """Rows are named by whole numbers within the columns; a mask or a float names none."""
    with pytest.raises(InputError, match=r"excluded: expected row numbers .* below 3, got"):
        select(COLUMNS, RATE, rule=RULE, side=1, lots=1, excluded=rows)
    with pytest.raises(InputError, match=r"rows: expected row numbers .* below 3, got"):
        order(COLUMNS, RATE, rows, rule=RULE)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, np.uint64, ">i4", list, tuple])
def test_row_numbers_of_any_width_are_taken(kind: Any) -> None:
    """Whole numbers are row numbers whatever holds them, in any order."""
    rows = kind((2, 0)) if kind in {list, tuple} else np.array([2, 0], kind)

    found = select(COLUMNS, RATE, rule=RULE, side=1, lots=9, excluded=rows)

    assert (found.rows.tolist(), found.unfilled) == ([1], 7)
    # Profit over entry: 24/9 of row 2 and 6/5 of row 0.
    assert order(COLUMNS, RATE, rows, rule=RULE).tolist() == [2, 0]


def test_a_row_is_excluded_as_often_as_it_is_named_and_ordered_once() -> None:
    """To bar a row twice is to bar it; a queue holds no row twice."""
    twice = ints(2, 1, 2)

    assert select(COLUMNS, RATE, rule=RULE, side=1, lots=9, excluded=twice).rows.tolist() == [0]
    with pytest.raises(InputError, match="rows: expected each row once, got 2 twice"):
        order(COLUMNS, RATE, twice, rule=RULE)
    assert order(COLUMNS, RATE, ints(), rule=RULE).tolist() == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Rate(mark_num=1.5), "mark_num: expected a whole number, got 1.5"),
        (lambda: Rate(mark_num=True), "mark_num: .* got True"),
        (lambda: rank(COLUMNS, Rate(mark_num=0), rule=RULE), "mark_num: .* more than 0 .* got 0"),
        (lambda: Rate(mark_num=1, mark_den="1"), "mark_den: .* got '1'"),
        (
            lambda: rank(COLUMNS, [Rate(mark_num=1, mark_den=2**62)], rule=RULE),
            r"mark_den: .* less than 2\*\*62",
        ),
        (lambda: Rate(mark_num=1, is_inverse=1), "is_inverse: expected True or False, got 1"),
        (lambda: rank(COLUMNS, None, rule=RULE), "rates: expected a Rate, or one for each market"),
        (lambda: rank(COLUMNS, [(1, 1, False)], rule=RULE), r"rates\[0\]: expected a Rate"),
        (lambda: rank(COLUMNS, RATE, rule=None), "rule: expected a ScoreRule"),
        (lambda: rank(COLUMNS, RATE, rule=RULE, accounts=3), "accounts: expected Accounts, got 3"),
        (lambda: rank(GIVEN, RATE, rule=RULE), "columns: expected Columns"),
        (lambda: rank(COLUMNS, RATE, rule=RULE, simd=1), "simd: expected auto or one of"),
        (lambda: score(COLUMNS, RATE, rule=RULE, threads=True), "threads: .* got True"),
        (lambda: score(COLUMNS, RATE, rule=RULE, threads="1"), "threads: .* got '1'"),
        (lambda: lights(COLUMNS, RATE, rule=RULE, bands=True), "bands: .* got True"),
        (lambda: lights(COLUMNS, RATE, rule=RULE, bands=5.0), "bands: .* got 5.0"),
        (lambda: lights(COLUMNS, RATE, rule=RULE, weight="accounts"), "weight: .* column owner"),
        (lambda: lights(COLUMNS, RATE, rule=RULE, weight=ACCOUNTS), "weight: .* column owner"),
    ],
)
def test_a_wrong_kind_is_refused_by_name(wrong: Any, said: str) -> None:
    """A truth value, a float or a text is no number, and a number is no truth value."""
    with pytest.raises(InputError, match=said):
        wrong()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"side": True}, "side: expected 1"),
        ({"side": -1.0}, "side: expected 1"),
        ({"lots": "5"}, "lots: expected more than 0 .* got '5'"),
        ({"lots": True}, "lots: expected more than 0 .* got True"),
        ({"lots": 1.0}, "lots: expected more than 0"),
        ({"is_ordered": 1}, "is_ordered: expected True or False, got 1"),
    ],
)
def test_a_wrong_request_is_refused_by_name(changed: dict[str, Any], said: str) -> None:
    """Side, lots and order are asked for as what they are."""
    given: dict[str, Any] = {"side": 1, "lots": 1} | changed

    with pytest.raises(InputError, match=said):
        select(COLUMNS, RATE, rule=RULE, **given)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (MASKED, "an array without a mask, got MaskedArray; fill the masked rows"),
        (SWAPPED, "dtype int64, got >i8"),
        (crooked(np.int64), "an aligned array"),
        (ints(1, 0, 2, 0, 3)[::2], "a contiguous array"),
        (None, "a one-dimensional NumPy array, got NoneType"),
    ],
)
def test_a_column_that_cannot_be_borrowed_is_refused(values: Any, said: str) -> None:
    """What lies otherwise in memory than the kernel reads is refused, and so is a mask."""
    with pytest.raises(InputError, match=f"^lots: expected {said}"):
        Columns(**GIVEN | {"lots": values})
    if values is not None:
        with pytest.raises(InputError, match=rf"^accounts\.equity: expected {said}"):
            Accounts(equity=values)


def test_a_book_copies_what_lies_askew_and_refuses_a_mask() -> None:
    """A book keeps rows of its own, so only what it would misread is refused."""
    ids = np.arange(1, 4, dtype=np.uint64)
    given = {**GIVEN, "position_id": ids}
    for name, values, said in (
        ("lots", MASKED, "lots: expected an array without a mask"),
        ("lots", SWAPPED, "lots: expected dtype int64, got >i8"),
    ):
        with pytest.raises(InputError, match=said):
            Book.from_arrays(columns=given | {name: values}, rates=[(11, 1, False)], rule=RULE)
    askew = given | {"lots": crooked(np.int64)}
    book = Book.from_arrays(columns=askew, rates=[(11, 1, False)], rule=RULE)

    assert book.snapshot().columns["lots"].tolist() == [1, 1, 1]
    barred = np.ma.array(ids[:1], mask=[True])
    with pytest.raises(InputError, match="excluded: expected ids"):
        book.select(0, side="long", lots=1, excluded=barred)


def overlap(name: str, *, behind: int) -> dict[str, Any]:
    """A request whose answer would lie where a column lies, or partly."""
    memory = np.ones(3 + behind, np.int64)
    column = memory[:3].view(np.uint64) if name == "ids" else memory[:3]
    return {"weight": ints(1, 2, 3), name: column, "out": memory[behind:]}


@pytest.mark.parametrize("behind", [0, 2])
@pytest.mark.parametrize("name", ["weight", "cap", "ids"])
def test_an_answer_is_never_written_over_what_is_read(name: str, behind: int) -> None:
    """`out` has memory of its own, to the last row."""
    with pytest.raises(InputError, match=f"^out: expected memory of its own, .* {name} lies in"):
        share(**overlap(name, behind=behind), amount=1)

    apart = overlap(name, behind=3)
    assert share(**apart, amount=1).taken.base is apart["out"].base


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        *(({n: crooked(np.int64)}, f"{n}: .* out of alignment") for n in ("weight", "cap", "out")),
        ({"ids": crooked(np.uint64)}, "ids: .* out of alignment"),
        ({"weight": MASKED}, "weight: .* got one with a mask"),
        ({"weight": SWAPPED}, "weight: expected a .* int64 array, got >i8"),
        ({"within_weight": "yes"}, "within_weight: expected True or False, got 'yes'"),
        ({"within_weight": 1}, "within_weight: expected True or False, got 1"),
        ({"shared": "x"}, "^shared: expected taken or kept, got 'x'$"),
        ({"rounding": None}, "^rounding: expected quota or smallest, got None$"),
    ],
)
def test_a_wrong_share_is_refused_by_name(changed: dict[str, Any], said: str) -> None:
    """Columns lie as the kernel reads them, and words are among those it knows."""
    given: dict[str, Any] = {"weight": ints(1, 2, 3), "amount": 1} | changed

    with pytest.raises(InputError, match=said):
        share(**given)
