"""The digest of a plan, and a snapshot that answers as its frames do."""

from typing import Any

import polars as pl
import pytest

from deleverage.errors import InputError
from deleverage.planning import plan, prepare, rank
from deleverage.venue import Venue
from events import BITMEX, BITMEX_BOOK, MARKETS, at, bitmex_plan


def test_the_digest_does_not_see_row_order() -> None:
    """The same rows in another order give the same fills and the same digest."""
    backwards = bitmex_plan(BITMEX_BOOK.reverse())

    assert backwards.digest == bitmex_plan().digest
    assert backwards.fills.rows() == bitmex_plan().fills.rows()


def change_position(frame: pl.DataFrame, column: str, value: object) -> pl.DataFrame:
    """The same positions with one value of the last row replaced."""
    values = frame[column].to_list()
    return frame.with_columns(pl.Series(column, [*values[:-1], value]))


@pytest.mark.parametrize(
    "change",
    [
        {"qty": "19"},
        {"bankruptcy_price": "651"},
        {"bankruptcy_price": None},
        {"bankrupt_account": None},
        {"bankrupt_account": "yan"},
        {"bankrupt_side": "long"},
        {"exclude": ["3"]},
        {"exclude": ["nobody"]},
        {"venue": Venue.load("mexc")},
        {"marks": at("700.5")},
        {"markets": MARKETS | {"price_unit": ["0.0000001"]}},
        {"markets": MARKETS | {"tick_size": ["0.1"]}},
    ],
)
def test_the_digest_sees_every_part_of_the_request(change: dict[str, object]) -> None:
    """Quantity, price, account, side, exclusions, edition, marks and scales all count."""
    assert bitmex_plan(**change).digest != bitmex_plan().digest


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("account", "yan"),
        ("qty", "21"),
        ("entry_price", "641"),
        ("margin", "201"),
        ("position_id", 70),
        ("side", "long"),
    ],
)
def test_the_digest_sees_every_position(column: str, value: object) -> None:
    """A position that is not even a candidate counts in the digest: the input is what it names."""
    changed = change_position(BITMEX_BOOK, column, value)

    assert bitmex_plan(changed).digest != bitmex_plan().digest


def test_the_digest_is_the_same_in_every_session() -> None:
    """The digest is 64 hexadecimal digits and the order of exclusions does not count."""
    digest = bitmex_plan(exclude=["3", "6"]).digest

    assert (len(digest), set(digest) <= set("0123456789abcdef")) == (64, True)
    assert digest == bitmex_plan(exclude=["6", "3", "6"]).digest


def test_a_snapshot_gives_the_plans_its_frames_give() -> None:
    """A prepared snapshot answers any number of questions as the frames would."""
    snapshot = prepare(BITMEX_BOOK, marks=at("700"), venue=BITMEX, markets=MARKETS)
    request: dict[str, Any] = {"market": "BTC-PERP", "bankrupt_side": "short"}
    for qty in (5, 20, 95):
        once = plan(snapshot, qty=qty, **request)
        frames = bitmex_plan(qty=qty, bankruptcy_price=None, bankrupt_account=None)

        assert (once.fills.rows(), once.digest) == (frames.fills.rows(), frames.digest)
    assert rank(snapshot).rows() == (
        rank(BITMEX_BOOK, marks=at("700"), venue=BITMEX, markets=MARKETS).rows()
    )


def test_other_marks_beside_a_snapshot_are_the_same_book_at_those_marks() -> None:
    """Marks beside a snapshot move its marks and nothing else."""
    snapshot = prepare(BITMEX_BOOK, marks=at("700"), venue=BITMEX, markets=MARKETS)
    moved = plan(snapshot, marks=at("655"), market="BTC-PERP", bankrupt_side="short", qty=20)
    frames = bitmex_plan(marks=at("655"), bankruptcy_price=None, bankrupt_account=None)

    assert (moved.fills.rows(), moved.digest) == (frames.fills.rows(), frames.digest)
    assert rank(snapshot, marks=at("655")).rows() == (
        rank(BITMEX_BOOK, marks=at("655"), venue=BITMEX, markets=MARKETS).rows()
    )


@pytest.mark.parametrize(
    "given",
    [
        {"accounts": {"account": ["a"]}},
        {"neutral": {"account": ["a"]}},
        {"markets": MARKETS},
        {"venue": Venue.load("mexc")},
    ],
)
def test_a_snapshot_is_not_given_its_inputs_twice(given: dict[str, object]) -> None:
    """Tables or another edition beside a snapshot are refused: they would not be used."""
    snapshot = prepare(BITMEX_BOOK, marks=at("700"), venue=BITMEX, markets=MARKETS)
    request: dict[str, Any] = {"market": "BTC-PERP", "bankrupt_side": "short", "qty": 1}

    with pytest.raises(InputError, match=next(iter(given))):
        plan(snapshot, **(request | given))
