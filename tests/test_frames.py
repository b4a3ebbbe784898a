"""Any frame is read, and a frame that breaks the contract is refused with one clear error."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.errors import InputError
from deleverage.model.frames import Keys, Table, encode, rank, read_marks, read_table
from deleverage.model.snapshot import Snapshot
from deleverage.venue import Venue

MARKS = {"BTC-PERP": "61000.5", "ETH-PERP": Decimal(3000)}
BOOK: dict[str, list[Any]] = {
    "position_id": [1, 2, 3, 4],
    "account": ["ann", "bob", "cid", "dan"],
    "market": ["BTC-PERP", "BTC-PERP", "ETH-PERP", "ETH-PERP"],
    "side": ["long", "short", "long", "short"],
    "qty": ["1.5", "0.001", "20", "3.25"],
    "entry_price": ["60000", "61234.5", "2999.99", "3100"],
    "margin": ["1000", "5.000001", "3000", "500.5"],
    "note": ["a", "b", None, "d"],
}


def floats(book: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Give the book with its numbers as floats."""
    return book | {
        name: [float(x) for x in book[name]] for name in ("qty", "entry_price", "margin")
    }


def prepare(positions: object, **tables: object) -> Snapshot:
    """Prepare a snapshot under an edition that reads entry price and margin."""
    return Snapshot.prepare(positions, **({"marks": MARKS} | tables), venue=Venue.load("bitmex"))


def refusal(positions: object, **tables: object) -> str:
    """Give the message with which a book is refused."""
    with pytest.raises(InputError) as error:
        prepare(positions, **tables)
    return str(error.value)


def csv(frame: pl.DataFrame, path: Path) -> Path:
    """Write a CSV file."""
    frame.write_csv(path / "book.csv")
    return path / "book.csv"


def parquet(frame: pl.DataFrame, path: Path) -> Path:
    """Write a Parquet file."""
    frame.write_parquet(path / "book.parquet")
    return path / "book.parquet"


def json_lines(frame: pl.DataFrame, path: Path) -> Path:
    """Write a JSON Lines file whose numbers are JSON numbers."""
    lines = []
    for row in frame.iter_rows(named=True):
        numbers = {key: row.pop(key) for key in ("qty", "entry_price", "margin")}
        raw = ", ".join(f'"{key}": {value}' for key, value in numbers.items())
        lines.append(json.dumps(row)[:-1] + ", " + raw + "}")
    (path / "book.jsonl").write_text("\n".join(lines) + "\n\n")
    return path / "book.jsonl"


class Stream:
    """Something that only speaks the Arrow stream protocol."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.frame.__arrow_c_stream__(requested_schema)


SOURCES: dict[str, Callable[[Path], object]] = {
    "polars": lambda _: pl.DataFrame(BOOK),
    "lazy": lambda _: pl.LazyFrame(BOOK),
    "decimals": lambda _: pl.DataFrame(BOOK).with_columns(
        pl.col("qty", "entry_price", "margin").cast(pl.Decimal(38, 9))
    ),
    "floats": lambda _: pl.DataFrame(floats(BOOK)),
    "arrow stream": lambda _: Stream(pl.DataFrame(BOOK)),
    "lists": lambda _: BOOK,
    "arrays": lambda _: {
        name: np.array(values, object if name == "note" else None)
        for name, values in floats(BOOK).items()
    },
    "python decimals": lambda _: BOOK | {"qty": [Decimal(text) for text in BOOK["qty"]]},
    "mixed numbers": lambda _: BOOK | {"qty": [1.5, Decimal("0.001"), 20, "3.25"]},
    "categories": lambda _: pl.DataFrame(BOOK).with_columns(
        pl.col("account", "market", "side").cast(pl.Categorical)
    ),
    "csv": lambda path: csv(pl.DataFrame(BOOK), path),
    "csv as text": lambda path: str(csv(pl.DataFrame(BOOK), path)),
    "parquet": lambda path: parquet(pl.DataFrame(BOOK), path),
    "json lines": lambda path: json_lines(pl.DataFrame(BOOK), path),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_frame_gives_the_same_snapshot(kind: str, tmp_path: Path) -> None:
    """The digest covers every integer, so equal digests mean that nothing was read differently."""
    snapshot = prepare(SOURCES[kind](tmp_path))
    assert snapshot.digest == prepare(BOOK).digest
    assert snapshot.positions["note"].to_list() == BOOK["note"]


def test_pandas_is_read() -> None:
    """A pandas frame is read, with and without a way through Arrow."""
    frame = pd.DataFrame(floats(BOOK))
    assert prepare(frame).digest == prepare(BOOK).digest

    class Bare:
        """A frame that has columns and nothing of Arrow."""

        columns = tuple(BOOK)

        def __getitem__(self, name: str) -> object:
            return pd.Series(BOOK[name])

    assert prepare(Bare()).digest == prepare(BOOK).digest


def test_signed_qty_needs_no_side() -> None:
    """Without a side the sign of the quantity is the side."""
    signed = BOOK | {"qty": ["1.5", "-0.001", "20", "-3.25"]}
    del signed["side"]
    assert prepare(signed).digest == prepare(BOOK).digest


def test_csv_numbers_never_pass_through_a_float(tmp_path: Path) -> None:
    """Digits that no double holds are seen in CSV and in JSON numbers, not rounded away."""
    for write in (csv, json_lines):
        book = pl.DataFrame(BOOK | {"qty": ["12345.123456789", "0.000000001", "20", "3.25"]})
        lots = prepare(write(book, tmp_path)).kernel("BTC-PERP").columns["lots"]
        assert lots.tolist() == [12_345_123_456_789, -1]
        fine = pl.DataFrame(BOOK | {"qty": ["1.5", "0.1000000000000000000001", "20", "3.25"]})
        assert "column qty, row 1: expected a whole number" in refusal(write(fine, tmp_path))


def test_csv_ids_that_are_numbers_are_numbers(tmp_path: Path) -> None:
    """Id 9 comes before id 10 from CSV as it does from Parquet; leading zeros make ids text."""
    book = pl.DataFrame(BOOK | {"position_id": [9, 10, 11, 12]})
    assert read_table(csv(book, tmp_path), kind="positions").frame["position_id"][0] == 9
    texts = book.with_columns(position_id=pl.Series(["09", "10", "11", "12"]))
    assert read_table(csv(texts, tmp_path), kind="positions").frame["position_id"][0] == "09"


@pytest.mark.parametrize("column", ["account", "market", "qty", "entry_price", "margin"])
def test_a_missing_column_is_named(column: str) -> None:
    """A required column that is not there is named, with what is there."""
    book = {name: values for name, values in BOOK.items() if name != column}
    message = refusal(book)
    assert message.startswith("positions: expected a column ")
    assert column in message.split("got")[0]
    assert "'note'" in message


@pytest.mark.parametrize(
    ("column", "misspelt"),
    [
        ("qty", "qtty"),
        ("qty", "Qty"),
        ("market", "markets"),
        ("entry_price", "entryPrice"),
        ("margin", "marign"),
        ("side", "Side"),
        ("side", "sides"),
        ("status", "Status"),
        ("status", "stauts"),
        ("margin_mode", "marginMode"),
    ],
)
def test_a_misspelt_column_is_answered_with_the_right_name(column: str, misspelt: str) -> None:
    """A near miss is said, also for optional columns that would silently be ignored."""
    extra = {"status": ["open"] * 4, "margin_mode": ["isolated"] * 4}
    book = {misspelt if name == column else name: v for name, v in (BOOK | extra).items()}
    message = refusal(book)
    assert misspelt in message
    assert column in message
    assert "did you mean" in message


def test_an_input_the_edition_needs_is_refused_by_name() -> None:
    """The edition is named that needs the column, and each alternative."""
    book = {name: values for name, values in BOOK.items() if name != "margin"}
    message = refusal(book)
    assert "margin or bankruptcy_price or bankruptcy_value (edition bitmex needs it)" in message


def put(column: str, row: int, value: object) -> dict[str, list[Any]]:
    """Give the book with one value replaced."""
    book = BOOK | {"status": ["open"] * 4, "margin_mode": ["isolated"] * 4}
    book[column] = [value if i == row else old for i, old in enumerate(book[column])]
    return book


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("qty", None, "expected a value, got null"),
        ("qty", "0", "expected a number above zero, got '0'"),
        (
            "qty",
            "-1.5",
            "expected a number above zero, got '-1.5'; the side is said by column side",
        ),
        ("qty", "1.x", "expected a decimal number, got '1.x'"),
        ("qty", "NaN", "expected a decimal number, got 'NaN'"),
        ("qty", "0.12345678901", "a whole number of 0.000000001 (nearest: 0.123456789 and"),
        ("qty", "3000000000000000", "expected less than"),
        ("entry_price", None, "expected a value, got null"),
        ("entry_price", "0", "expected a number above zero, got '0'"),
        ("entry_price", "-60000", "expected a number above zero, got '-60000'"),
        ("margin", None, "expected a value, got null"),
        ("margin", "inf", "expected a decimal number, got 'inf'"),
        ("market", "BTC-PRP", "expected a market that has a mark, got 'BTC-PRP'; add it to marks="),
        ("market", "BTC-PRP", "did you mean 'BTC-PERP'?"),
        ("market", None, "expected a value, got null"),
        ("account", None, "expected a value, got null"),
        ("side", "Buy", "expected long or short, got 'Buy'"),
        ("side", "LONG", "expected long or short, got 'LONG', did you mean 'long'?"),
        ("side", None, "expected a value, got null"),
        ("margin_mode", "crossed", "expected isolated or cross or portfolio, got 'crossed'"),
        ("status", "closed", "expected open or liquidating, got 'closed'"),
        ("position_id", 1, "expected each id once, got 1; row 0 has it too"),
        ("position_id", None, "expected a value, got null"),
        ("position_id", -3, "expected a whole number in 0..2^64, got -3"),
    ],
)
def test_a_bad_value_is_named(column: str, value: object, said: str) -> None:
    """One error names table, column, row and value, and nothing is done."""
    message = refusal(put(column, 2, value))
    assert message.startswith(f"positions: column {column}, row 2: ")
    assert said in message.replace("'; did", "', did")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("column", ["qty", "entry_price", "margin"])
def test_a_float_that_is_no_number_is_named(column: str, value: float) -> None:
    """NaN and infinities are refused by column, row and value."""
    book = floats(BOOK)
    book[column] = [*book[column][:3], value]
    assert f"column {column}, row 3: expected a finite number, got {value}" in refusal(book)


def test_zero_is_refused_where_the_sign_is_the_side() -> None:
    """A signed quantity of zero has no side."""
    book = {name: values for name, values in BOOK.items() if name != "side"} | {
        "qty": [1.0, -2.0, 0.0, 3.0]
    }
    assert "column qty, row 2: expected a quantity other than zero, got 0.0" in refusal(book)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("qty", [True, True, False, True]),
        ("account", [1.0, 2.0, 3.0, 4.0]),
        ("account", [True, False, True, True]),
        ("position_id", [1.5, 2.5, 3.5, 4.5]),
        ("entry_price", [["a"], ["b"], ["c"], ["d"]]),
    ],
)
def test_a_wrong_type_is_named(column: str, values: list[object]) -> None:
    """A column of the wrong type is refused by name and type."""
    message = refusal(BOOK | {column: values})
    assert message.startswith(f"positions: column {column}: expected ")
    assert "got type" in message


def test_a_side_of_another_type_is_refused() -> None:
    """Numbers are no sides."""
    assert "column side, row 0: expected long or short, got 1" in refusal(BOOK | {"side": [1] * 4})
    assert "column side, row 0: " in refusal(BOOK | {"side": [1.0] * 4})


def test_text_ids_must_be_unique() -> None:
    """A repeated text id is named with both rows."""
    message = refusal(BOOK | {"position_id": ["d", "b", "c", "b"]})
    assert "column position_id, row 3: expected each id once, got 'b'; row 1 has it too" in message


def test_without_ids_the_key_must_be_unique() -> None:
    """Without position_id no two rows share account, market, side and margin mode."""
    book: dict[str, list[Any]] = {
        name: [*values, values[0]] for name, values in BOOK.items() if name != "position_id"
    }
    message = refusal(book)
    assert (
        "column account, row 4: expected each (account, market, side, margin_mode) once" in message
    )
    assert "got 'ann'; row 0 has the same; add a column position_id" in message
    assert len(prepare(book | {"side": [*BOOK["side"], "short"]})) == 5


@pytest.mark.parametrize("numeric", [False, True])
def test_an_empty_frame_gives_an_empty_snapshot(numeric: bool) -> None:  # noqa: FBT001
    """No rows under the right columns are no error, whatever types an empty column has."""
    empty = {name: np.empty(0) if numeric and name == "qty" else [] for name in BOOK}
    snapshot = prepare(empty)
    assert len(snapshot) == 0
    kernel = snapshot.kernel("BTC-PERP")
    assert kernel.columns["lots"].dtype == np.int64
    assert {"lots", "entry_value", "margin", "position_id"} == set(kernel.columns)
    assert snapshot.frame().height == 0
    assert len(snapshot.digest) == 64


def test_an_empty_frame_still_needs_its_columns() -> None:
    """An empty frame without a needed column is refused as any other."""
    assert "expected a column margin" in refusal({n: [] for n in BOOK if n != "margin"})


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    """A file cut anywhere is refused with its name, never read in part."""
    path = parquet(pl.DataFrame(BOOK), tmp_path)
    whole = path.read_bytes()
    for length in (0, 3, 100, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:length])
        message = refusal(path)
        assert message.startswith(f"positions ({path}): expected a whole parquet file, got: ")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("book.csv", b"", "expected a whole csv file"),
        ("book.csv", b"account,market,qty\na,BTC-PERP,1,7\n", "expected a whole csv file"),
        ("book.csv", b"account,market,qty\na,\xff,1\n", "expected a whole csv file"),
        ("book.csv", b"account,qty,qty\na,1,2\n", "expected each column once, got 'qty' twice"),
        ("book.csv", b"account,market,qty\na,BTC-PERP\n", "row 0: expected a value, got null"),
        ("book.parquet", b"not parquet at all", "expected a whole parquet file"),
        ("book.jsonl", b'{"account": "a"}\n{"acc', "line 2: expected a JSON object, got '{\"acc'"),
        ("book.jsonl", b"[1]\n", "line 1: expected a JSON object, got '[1]'"),
        ("book.jsonl", b"\xff\n", "expected UTF-8 text"),
        ("book.xlsx", b"", "expected a file ending in .csv, .parquet, .pq, .jsonl, .ndjson"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """The message names the file, and what is wrong with it."""
    path = tmp_path / name
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith(f"positions ({path})")
    assert said in message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path without a file is said to be one."""
    assert "expected a file, got none at this path" in refusal(tmp_path / "none.csv")


@pytest.mark.parametrize("source", [None, 7, [1, 2], object()])
def test_what_is_no_frame_is_refused(source: object) -> None:
    """Anything else is refused with the list of what is taken."""
    assert "positions: expected a Polars or pandas frame" in refusal(source)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"account": ["a", "b"], "market": ["m"]}, "expected columns of one length"),
        ({"account": "ab"}, "column account: expected a list or array, got 'ab'"),
        ({"account": 7}, "column account: expected a list or array, got 7"),
        ({"account": ["a", object()]}, "column account: expected values of one kind"),
    ],
)
def test_a_broken_mapping_is_refused(columns: dict[str, object], said: str) -> None:
    """Columns must be lists or arrays of one length and one kind."""
    assert said in refusal(columns)


def test_a_broken_lazy_frame_is_refused() -> None:
    """A lazy frame that cannot be collected is refused as one."""
    lazy = pl.LazyFrame(BOOK).select("nothing")
    assert "positions: expected a readable frame, got" in refusal(lazy)


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        (
            {"market": ["BTC-PERP"] * 2, "mark_price": [1, 2]},
            "each one once, got 'BTC-PERP'; row 0",
        ),
        ({"market": ["BTC-PERP", None], "mark_price": [1, 2]}, "marks: column market, row 1"),
        (
            {"BTC-PERP": "0", "ETH-PERP": 1},
            "column mark_price, row 0: expected a number above zero",
        ),
        ({"BTC-PERP": "x", "ETH-PERP": 1}, "marks: column mark_price, row 0: expected a decimal"),
        (
            {"BTC-PERP": float("nan"), "ETH-PERP": 1.0},
            "column mark_price, row 0: expected a finite",
        ),
        ({"BTC-PERP": "1.00000000001", "ETH-PERP": "1"}, "pass markets= with price_unit"),
        ({"market": ["BTC-PERP"], "price": [1]}, "marks: expected a column mark_price"),
    ],
)
def test_bad_marks_are_refused(marks: object, said: str) -> None:
    """Every market has one mark, a number above zero."""
    assert said in refusal(BOOK, marks=marks)


def test_times_are_nanoseconds_utc() -> None:
    """Date-times of any unit and zone, whole numbers and digits as text are one time."""
    naive = pl.Series("created_at", ["2026-01-02T03:04:05"]).str.to_datetime(time_unit="ms")
    expected = 1_767_323_045_000_000_000
    others = [
        naive,
        naive.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"),
        pl.Series("created_at", [expected]),
        pl.Series("created_at", [str(expected)]),
    ]
    for series in others:
        table = Table(kind="accounts", name="accounts", frame=series.to_frame())
        assert table.times("created_at").tolist() == [expected]
    for wrong in (pl.Series("created_at", ["noon"]), pl.Series("created_at", [1.5])):
        table = Table(kind="accounts", name="accounts", frame=wrong.to_frame())
        with pytest.raises(InputError, match=r"column created_at.*expected nanoseconds UTC"):
            table.times("created_at")


def test_ids_keep_their_order_as_numbers() -> None:
    """Numbers made of ids compare as the ids do; equal ids get equal numbers."""
    texts = Keys(texts=pl.Series(["b", "a", "c", "a"]))
    assert rank(texts).tolist() == [1, 0, 2, 0]
    assert rank(Keys(texts=pl.Series(["a", "b", "c"]))).tolist() == [0, 1, 2]
    (left, right), names = encode(texts, Keys(numbers=np.array([7], np.uint64)))
    assert names is not None
    assert names.to_list() == ["7", "a", "b", "c"]
    assert (left.tolist(), right.tolist()) == ([2, 1, 3, 1], [0])


@given(st.lists(st.lists(st.text(max_size=2), max_size=8), min_size=1, max_size=3))
def test_codes_compare_as_the_texts_do(columns: list[list[str]]) -> None:
    """Codes of several columns are places in one sorted list of names, strangers included."""
    keys = [Keys(texts=pl.Series(texts, dtype=pl.String)) for texts in columns]
    codes, names = encode(*keys)
    assert names is not None
    listed = names.to_list()
    ranks = rank(keys[0]).tolist()

    assert listed == sorted(set(listed))
    assert [[listed[code] for code in column.tolist()] for column in codes] == columns
    assert ranks == [sorted(set(columns[0])).index(text) for text in columns[0]]


def test_marks_may_be_a_mapping_of_prices() -> None:
    """Marks are a table, or simply a price by market."""
    table = read_marks({"market": ["BTC-PERP", "ETH-PERP"], "mark_price": ["61000.5", "3000"]})
    assert prepare(BOOK, marks=table).digest == prepare(BOOK).digest
