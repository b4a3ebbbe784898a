"""Rank at the frame level: the input, row by row, with its place in the queue."""

import polars as pl
import pytest

from deleverage.errors import InputError
from deleverage.planning import rank
from deleverage.venue import Venue
from events import BITMEX, BITMEX_BOOK, BITMEX_QUEUE, MARKETS, STRIKE_BOOK, STRIKE_FUND, at


def test_bitmex_lights_follow_its_published_percentiles() -> None:
    """Sorted sizes 10, 20, 30, 10, 10, 20 stand in bands 20, 40, 60, 80, 80 and 100 per cent."""
    ranked = rank(BITMEX_BOOK, marks=at("700"), venue=BITMEX, markets=MARKETS)
    longs = ranked.filter(pl.col("side") == "long").sort("rank")

    assert longs["account"].to_list() == [account for account, _ in BITMEX_QUEUE]
    assert longs["rank"].to_list() == [1, 2, 3, 4, 5, 6]
    assert longs["percentile"].to_list() == pytest.approx([0.1, 0.3, 0.6, 0.7, 0.8, 1.0])
    assert longs["light"].to_list() == [5, 4, 3, 2, 2, 1]


def test_rank_keeps_the_input_and_its_order() -> None:
    """The ranked frame is the input, row by row, with the seven columns of the ranking behind."""
    ranked = rank(BITMEX_BOOK, marks=at("700"), venue=BITMEX, markets=MARKETS)

    assert ranked.select(BITMEX_BOOK.columns).equals(BITMEX_BOOK)
    assert ranked.columns[BITMEX_BOOK.width :] == [
        "score",
        "tier",
        "rank",
        "percentile",
        "light",
        "reason",
    ]
    assert (ranked.schema["score"], ranked.schema["light"]) == (pl.Float64, pl.UInt8)


def test_rank_says_why_a_row_has_no_rank() -> None:
    """A row outside of the queue has null score, rank and percentile, light 0 and the reason."""
    rows = STRIKE_BOOK.with_columns(pl.Series("status", ["open"] * 3 + ["liquidating", "open"]))
    ranked = rank(rows, marks=at("1000"), venue=STRIKE_FUND, markets=MARKETS)
    shown = ranked.select("account", "rank", "percentile", "light", "reason").rows()

    assert shown[2] == ("C", None, None, 0, "not_in_profit")
    assert shown[3] == ("D", None, None, 0, "liquidating")
    assert [row[4] for row in shown] == [
        "scored",
        "scored",
        "not_in_profit",
        "liquidating",
        "not_in_profit",
    ]
    assert [row[1] for row in shown] == [1, 2, None, None, None]


def hedged(account: str, qty: str) -> pl.DataFrame:
    """BitMEX's longs, of which one account has a part that is offset inside the account."""
    part = pl.when(pl.col("account") == account).then(pl.lit(qty)).otherwise(pl.lit("0"))
    return BITMEX_BOOK.with_columns(hedged_qty=part)


ACCOUNTS = {
    "account": [account for account, _ in BITMEX_QUEUE] + ["zed"],
    "equity": ["10000"] * 7,
    "maintenance_margin": ["100"] * 7,
}
NOBODY = pl.DataFrame(
    schema={"account": pl.String, "underlier": pl.String, "delta_neutral": pl.Boolean}
)


def test_rank_shows_both_entries_of_a_hedged_position() -> None:
    """A hedged part queues behind the rest: the row shows its first entry and `hedged_rank`."""
    ranked = rank(
        hedged("2", "4"),
        marks=at("700"),
        venue=Venue.load("okx@2026"),
        markets=MARKETS,
        accounts=ACCOUNTS,
        neutral=NOBODY,
    )
    row = ranked.row(by_predicate=pl.col("account") == "2", named=True)

    assert ranked.height == BITMEX_BOOK.height
    assert (row["rank"], row["hedged_rank"], row["tier"]) == (1, 7, 0)
    assert (row["percentile"], row["light"]) == (pytest.approx(0.06), 5)
    assert ranked["hedged_rank"].null_count() == BITMEX_BOOK.height - 1


def test_a_wholly_hedged_position_shows_its_place_behind() -> None:
    """A position that is hedged as a whole has one entry, in the last tier."""
    ranked = rank(
        hedged("2", "10"),
        marks=at("700"),
        venue=Venue.load("okx@2026"),
        markets=MARKETS,
        accounts=ACCOUNTS,
        neutral=NOBODY,
    )
    row = ranked.row(by_predicate=pl.col("account") == "2", named=True)

    assert (row["rank"], row["hedged_rank"], row["tier"], row["light"]) == (6, 6, 2, 1)


@pytest.mark.parametrize(
    ("qty", "reason", "first"), [("4", "scored", 1), ("10", "hedged_part", None)]
)
def test_an_exempt_hedged_part_has_no_place(qty: str, reason: str, first: int | None) -> None:
    """Where hedged parts are exempt only the rest of a position queues, if there is any."""
    ranked = rank(hedged("2", qty), marks=at("700"), venue=Venue.load("bingx"), markets=MARKETS)
    row = ranked.row(by_predicate=pl.col("account") == "2", named=True)

    assert "hedged_rank" not in ranked.columns
    assert (row["rank"], row["reason"]) == (first, reason)


def test_rank_of_no_positions_is_an_empty_frame() -> None:
    """An empty frame with the right columns gives an empty result with the ranking's columns."""
    ranked = rank(BITMEX_BOOK.clear(), marks=at("700"), venue=BITMEX, markets=MARKETS)

    assert ranked.height == 0
    assert ranked.columns[-6:] == ["score", "tier", "rank", "percentile", "light", "reason"]
    with pytest.raises(InputError, match="venue"):
        rank(BITMEX_BOOK, marks=at("700"), venue=None)


def test_a_column_that_rank_adds_is_not_overwritten() -> None:
    """A position frame that has a `score` of its own is refused by name, not overwritten."""
    with pytest.raises(InputError, match="score"):
        rank(
            BITMEX_BOOK.with_columns(score=pl.lit(1)),
            marks=at("700"),
            venue=BITMEX,
            markets=MARKETS,
        )
