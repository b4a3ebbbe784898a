"""Who holds which rows: the index gives what reading the whole column would."""

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

import deleverage as dl
from books import CROSS, ISOLATED
from deleverage.model.frames import Keys
from deleverage.model.holders import Holders, scan
from deleverage.model.quantise import Int64

TEXTS = st.one_of(st.sampled_from(["a", "b", "08", "8", ""]), st.text(max_size=3))
NUMBERS = st.one_of(st.integers(0, 9), st.integers(0, 2**64 - 1))


def keys(values: list[Any]) -> Keys:
    """A column of ids as the frame's reader gives it."""
    if values and isinstance(values[0], int):
        return Keys(numbers=np.array(values, np.uint64))
    return Keys(texts=pl.Series(values, dtype=pl.String))


def by_reading(values: list[Any], rows: list[int] | None, account: str) -> list[int]:
    """The twin: every kernel row whose account is spelled so."""
    places = range(len(values)) if rows is None else rows
    return [entry for entry, row in enumerate(places) if str(values[row]) == account]


@given(st.data())
def test_the_index_finds_what_reading_finds(data: st.DataObject) -> None:
    """Text or numbers, any order of rows, rows that stand twice or not at all, any spelling."""
    values = data.draw(st.one_of(st.lists(TEXTS, max_size=9), st.lists(NUMBERS, max_size=9)))
    places = st.lists(st.integers(0, max(len(values) - 1, 0)), max_size=12 if values else 0)
    rows = data.draw(st.one_of(st.none(), places))
    given_rows: Int64 | None = None if rows is None else np.array(rows, np.int64)
    index = Holders.of(keys(values), given_rows)
    asked = [str(value) for value in values] + [
        "a",
        "8",
        "08",
        "+8",
        "\u0668",
        "1e3",
        str(2**64),
        "9" * 5000,
    ]

    for account in asked:
        wanted = by_reading(values, rows, account)
        assert index.find(account).tolist() == wanted
        assert scan(keys(values), given_rows, account).tolist() == wanted


def test_every_question_is_answered_alike() -> None:
    """The first questions read the column, later ones the index: the answers are the same."""
    snapshot = dl.prepare(
        {**ISOLATED, "account": ["ann", "bob", "ann"]},
        marks={"BTC-PERP": "61000"},
        venue=dl.Venue.load("bitmex"),
    )
    found = [snapshot.account_rows("ann", "BTC-PERP").tolist() for _ in range(6)]

    assert found == [[0, 1]] * 6


def test_other_marks_keep_who_holds_what() -> None:
    """A snapshot at other marks finds the same rows, and has a digest of its own."""
    book = pl.DataFrame({name: [str(v) for v in values] for name, values in CROSS.items()})
    snapshot = dl.prepare(
        book.with_columns(margin=pl.lit("1220"), maintenance_margin=pl.lit("610")),
        marks={"BTC-PERP": "61000", "ETH-PERP": "2900"},
        venue=dl.Venue.load("bitmex"),
    )
    before = (snapshot.account_rows("ann").tolist(), snapshot.digest)
    other = snapshot.at({"BTC-PERP": "61001"})

    assert before[0] == other.account_rows("ann").tolist()
    assert before[1] != other.digest
    assert other.account_rows("ann", "ETH-PERP").tolist() == [
        row for row in before[0] if row >= other.starts[1]
    ]
