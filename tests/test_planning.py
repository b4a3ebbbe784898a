"""Plan at the frame level: what is asked, what is refused, and what a plan promises."""

from decimal import Decimal
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.errors import InputError
from deleverage.planning import PlanReason, plan, rank
from deleverage.planning.pricing import settlement_price
from deleverage.venue import Venue
from events import (
    BITMEX,
    BITMEX_BOOK,
    CROSS_BOOK,
    MARKETS,
    STRIKE_EMERGENCY,
    STRIKE_FUND,
    at,
    bitmex_plan,
    book,
    closed,
    cross_plan,
    strike_plan,
)


def test_bitmex_closes_10_of_account_2_and_10_of_20_of_account_5_at_650() -> None:
    """BitMEX's published allocation: the head gives all, the next one gives half, both at 650."""
    outcome = bitmex_plan()

    assert outcome.fills.select(
        "rank_in_queue", "account", "side", "qty", "qty_closed", "qty_left", "price"
    ).rows() == [
        (1, "2", "long", Decimal(10), Decimal(10), Decimal(0), Decimal(650)),
        (2, "5", "long", Decimal(20), Decimal(10), Decimal(10), Decimal(650)),
    ]
    assert (outcome.unfilled, outcome.reason) == (Decimal(0), PlanReason.FILLED)
    assert outcome.cut is not None
    assert (outcome.cut.account, outcome.cut.is_partial) == ("5", True)


# Delta Exchange prints returns and leverages; entry values and margins to fit, to 1e-6.
DELTA_TABLE = (
    ("1", 100, "-0.10", "2"),
    ("2", 10, "0.20", "1.5"),
    ("3", 50, "0.05", "3"),
    ("4", 80, "0.002", "1.6"),
    ("5", 20, "0.15", "2.2"),
    ("6", 30, "-0.20", "4"),
    ("7", 70, "-0.07", "1.8"),
)


def delta_book() -> pl.DataFrame:
    """The seven longs of Delta Exchange's table, at a mark of 1000."""
    rows = []
    for account, qty, share, leverage in DELTA_TABLE:
        value = Decimal(1000 * qty)
        entry = round(value / (1 + Decimal(share)), 6)
        margin = round(value / Decimal(leverage) - (value - entry), 6)
        rows.append({"account": account, "qty": qty, "entry_value": entry, "margin": margin})
    return book(rows)


@pytest.mark.parametrize(("qty", "expected"), [(15, {"5": 15}), (40, {"5": 20, "2": 10, "3": 10})])
def test_delta_exchange_allocates_15_and_40(qty: int, expected: dict[str, int]) -> None:
    """Delta Exchange's two published cases close from accounts 5, 2 and 3."""
    outcome = bitmex_plan(
        delta_book(),
        marks=at("1000"),
        venue=Venue.load("delta-exchange"),
        qty=qty,
        bankruptcy_price=None,
    )

    assert closed(outcome) == expected


def test_strike_offsets_7_from_d_a_and_b() -> None:
    """Type 1 takes D whole, A whole and one of B; the loser C and the even E are never asked."""
    outcome = strike_plan(7, STRIKE_FUND)

    assert closed(outcome) == {"D": 1, "A": 5, "B": 1}
    assert outcome.unfilled == 0
    assert dict(outcome.left_out.iter_rows()) == {"not_in_profit": 2}


def test_strike_offsets_10_of_12_and_reports_2() -> None:
    """Type 1 is best effort: what the queue lacks is reported, and it is no error."""
    outcome = strike_plan(12, STRIKE_FUND)

    assert closed(outcome) == {"D": 1, "A": 5, "B": 4}
    assert (outcome.unfilled, outcome.reason) == (Decimal(2), PlanReason.QUEUE_EXHAUSTED)


def test_strike_type_2_cuts_nothing_unless_it_cuts_enough() -> None:
    """All or nothing: 10 in profit cannot offset 12, so nobody is cut and 12 stay."""
    outcome = strike_plan(12, STRIKE_EMERGENCY)

    assert (outcome.fills.height, outcome.cut) == (0, None)
    assert (outcome.unfilled, outcome.reason) == (Decimal(12), PlanReason.ALL_OR_NOTHING_FAILED)


def test_strike_type_2_closes_at_the_mark() -> None:
    """Where enough stand in profit type 2 closes them, at the mark price."""
    outcome = strike_plan(10, STRIKE_EMERGENCY)

    assert closed(outcome) == {"D": 1, "A": 5, "B": 4}
    assert set(outcome.fills["price"]) == {Decimal(1000)}
    assert outcome.reason is PlanReason.FILLED


def test_a_short_of_10_cut_by_4_keeps_6() -> None:
    """The walk-through of a short of 10 at 2000, mark 1800: 4 closed, 6 left."""
    row = {"account": "a", "side": "short", "qty": "10", "entry_price": "2000", "margin": "10000"}
    outcome = bitmex_plan(
        book([row]), marks=at("1800"), venue=STRIKE_FUND, bankrupt_side="long", qty="4"
    )

    assert outcome.fills.select("qty", "qty_closed", "qty_left").rows() == [(10, 4, 6)]


README = {
    "account": ["alice", "bob", "carol", "dave", "zed"],
    "market": ["BTC-PERP"] * 5,
    "side": ["short", "short", "short", "short", "long"],
    "qty": ["8", "4", "6", "2", "12.5"],
    "entry_price": ["71000", "64000", "68500", "60500", "66000"],
    "margin": ["56000", "20000", "90000", "12000", "59375"],
}


def test_the_front_page_runs() -> None:
    """The first example of the documentation plans 12.5 contracts without a contract table."""
    outcome = plan(
        README,
        marks=at("61000"),
        venue=BITMEX,
        market="BTC-PERP",
        bankrupt_side="long",
        qty="12.5",
        bankruptcy_price="61250",
        bankrupt_account="zed",
        exclude=["insurance-fund"],
    )

    assert outcome.unfilled == 0
    assert sum(closed(outcome).values()) == Decimal("12.5")
    assert list(closed(outcome)) == ["alice", "bob", "carol"]
    assert set(outcome.fills["price"]) == {Decimal(61250)}
    assert str(outcome.explain("alice")).startswith("alice: cut")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"qty": "0"}, ("qty", "0")),
        ({"qty": "-1"}, ("qty", "-1")),
        ({"qty": -1}, ("qty", "-1")),
        ({"qty": "0.5"}, ("qty", "0.5")),
        ({"qty": Decimal("0.5")}, ("qty", "0.5")),
        ({"qty": 0.5}, ("qty", "0.5")),
        ({"qty": "ten"}, ("qty", "ten")),
        ({"qty": float("nan")}, ("qty", "nan")),
        ({"qty": float("inf")}, ("qty", "inf")),
        ({"qty": True}, ("qty", "True")),
        ({"qty": None}, ("qty", "a number, got null")),
        ({"qty": 10**30}, ("qty",)),
        ({"market": "BTC-PERQ"}, ("market", "BTC-PERQ", "BTC-PERP")),
        ({"market": None}, ("market", "null")),
        ({"bankrupt_side": "buy"}, ("bankrupt_side", "buy", "long", "short")),
        ({"bankruptcy_price": "-1"}, ("bankruptcy_price", "-1")),
        ({"bankruptcy_price": "0"}, ("bankruptcy_price", "0")),
        ({"bankruptcy_price": "nan"}, ("bankruptcy_price", "nan")),
        ({"bankruptcy_price": "six"}, ("bankruptcy_price", "six")),
        ({"bankruptcy_price": "650.0000001"}, ("bankruptcy_price", "650.0000001")),
        ({"exclude": "2"}, ("exclude", "list")),
        ({"exclude": [2.5]}, ("exclude", "2.5")),
        ({"bankrupt_account": True}, ("bankrupt_account", "True")),
        ({"venue": "bitmex"}, ("venue", "Venue.load")),
        ({"venue": None}, ("venue",)),
        ({"marks": None}, ("marks",)),
    ],
)
def test_a_bad_request_is_refused_by_name(
    change: dict[str, object], words: tuple[str, ...]
) -> None:
    """A request that is not what the contract says is an `InputError` that names what and why."""
    with pytest.raises(InputError) as refused:
        bitmex_plan(**change)

    assert [word for word in words if word not in str(refused.value)] == []


def test_a_market_of_positions_without_a_mark_is_refused() -> None:
    """A missing mark is an error that names the market, never a default."""
    with pytest.raises(InputError, match="BTC-PERP"):
        bitmex_plan(marks={"market": ["ETH-PERP"], "mark_price": ["700"]})


@pytest.mark.parametrize("qty", ["20", 20, 20.0, Decimal(20), Decimal("20.000")])
def test_a_quantity_may_be_text_decimal_int_or_float(qty: object) -> None:
    """The same quantity in any number type is the same request and the same plan."""
    assert bitmex_plan(qty=qty).digest == bitmex_plan().digest


def test_more_than_the_side_holds_is_a_plan_with_a_rest() -> None:
    """A quantity beyond the whole opposite side closes it all and reports the rest."""
    outcome = bitmex_plan(qty="130")

    assert sum(closed(outcome).values()) == 100
    assert (outcome.requested, outcome.unfilled) == (Decimal(130), Decimal(30))
    assert outcome.reason is PlanReason.QUEUE_EXHAUSTED
    assert outcome.cut is not None
    assert (outcome.cut.account, outcome.cut.is_partial) == ("3", False)


def test_an_empty_queue_is_a_plan_too() -> None:
    """With nobody on the other side nothing is cut, and the reason says that none is eligible."""
    outcome = bitmex_plan(bankrupt_side="long", bankrupt_account="zed")

    assert (outcome.fills.height, outcome.cut) == (0, None)
    assert (outcome.unfilled, outcome.reason) == (Decimal(20), PlanReason.NOTHING_ELIGIBLE)
    assert outcome.fills.columns == bitmex_plan().fills.columns
    assert outcome.fills.schema == bitmex_plan().fills.schema


def test_excluded_accounts_are_never_cut() -> None:
    """An exempt pool keeps its place in the ranking but gives nothing to the plan."""
    outcome = bitmex_plan(exclude=["2", "4"])

    assert closed(outcome) == {"5": 20}
    assert dict(outcome.left_out.iter_rows()) == {"excluded": 2}


def test_an_excluded_name_without_a_position_is_noted() -> None:
    """A pool that holds nothing here changes nothing, and the plan says so: it may be misspelt."""
    outcome = bitmex_plan(exclude=["insurance-fund"])

    assert closed(outcome) == closed(bitmex_plan())
    assert any("insurance-fund" in note for note in outcome.notes)


def test_a_position_in_liquidation_is_never_cut() -> None:
    """A row whose status is `liquidating` stands in no queue."""
    status = ["liquidating"] + ["open"] * (BITMEX_BOOK.height - 1)
    outcome = bitmex_plan(BITMEX_BOOK.with_columns(pl.Series("status", status)))

    assert closed(outcome) == {"5": 20}
    assert dict(outcome.left_out.iter_rows()) == {"liquidating": 1}


def test_an_isolated_opposite_leg_of_the_bankrupt_account_is_left_out() -> None:
    """The bankrupt account is not cut against itself; its isolated long stays as it is."""
    leg = {"account": "zed", "qty": "10", "entry_price": "500", "margin": "600", "position_id": 99}
    with_leg = pl.concat([BITMEX_BOOK, book([leg])], how="diagonal_relaxed")
    outcome = bitmex_plan(with_leg)

    assert closed(outcome) == closed(bitmex_plan())
    assert outcome.netted == 0
    assert outcome.own_legs.select("position_id", "qty_closed", "reason").rows() == [
        (99, Decimal(0), "isolated")
    ]
    assert dict(outcome.left_out.iter_rows()) == {"bankrupt_account": 1}


def test_a_cross_opposite_leg_of_the_bankrupt_account_is_netted_first() -> None:
    """The bankrupt account's own cross long of 3 is closed first; others are cut for 7 only."""
    outcome = cross_plan()

    assert closed(outcome) == {"w": 5, "x": 2}
    assert (outcome.requested, outcome.netted, outcome.unfilled) == (10, 3, 0)
    assert outcome.own_legs.select("account", "qty", "qty_closed", "qty_left", "reason").rows() == [
        ("z", Decimal(3), Decimal(3), Decimal(0), "netted")
    ]


def test_a_liquidating_cross_leg_of_the_bankrupt_account_is_netted_too() -> None:
    """A bankrupt account is in liquidation as a whole: its opposite leg is netted all the same."""
    status = ["open"] * 3 + ["liquidating"] * 2
    outcome = cross_plan(CROSS_BOOK.with_columns(pl.Series("status", status)))

    assert (closed(outcome), outcome.netted) == ({"w": 5, "x": 2}, Decimal(3))


def test_an_own_leg_that_covers_all_leaves_nobody_to_cut() -> None:
    """Where the bankrupt account's own leg covers the quantity, the plan is filled and empty."""
    outcome = cross_plan(qty=2)

    assert (outcome.fills.height, outcome.netted, outcome.unfilled) == (0, 2, 0)
    assert outcome.reason is PlanReason.FILLED


def test_without_a_bankrupt_account_nobody_is_spared() -> None:
    """Where the request names no bankrupt account, nothing is netted and no account left out."""
    outcome = bitmex_plan(bankrupt_account=None)

    assert (outcome.netted, outcome.own_legs.height) == (0, 0)
    assert closed(outcome) == closed(bitmex_plan())


def test_a_missing_bankruptcy_price_is_said_and_not_invented() -> None:
    """An edition that settles at bankruptcy shows no price where none was given."""
    outcome = bitmex_plan(bankruptcy_price=None)

    assert outcome.fills["price"].to_list() == [None, None]
    assert "bankruptcy_price" in outcome.price_note
    assert bitmex_plan().price_note == ""


def test_a_previous_mark_edition_closes_at_the_previous_mark() -> None:
    """Hyperliquid settles at the mark before; without that column the price is left open."""
    request = {"venue": Venue.load("hyperliquid"), "accounts": None, "bankruptcy_price": None}
    known = bitmex_plan(**request, marks=at("700", previous_mark_price="698.5"))
    unknown = bitmex_plan(**request)

    assert set(known.fills["price"]) == {Decimal("698.5")}
    assert set(unknown.fills["price"]) == {None}
    assert "previous_mark_price" in unknown.price_note


BOOKS = st.lists(
    st.fixed_dictionaries(
        {
            "account": st.sampled_from("abcde"),
            "side": st.sampled_from(["long", "short"]),
            "qty": st.integers(1, 9),
            "entry_price": st.integers(900, 1100),
            "margin": st.integers(1, 2000),
            "status": st.sampled_from(["open", "open", "open", "liquidating"]),
        }
    ),
    min_size=1,
    max_size=12,
)


@given(
    rows=BOOKS,
    qty=st.integers(1, 60),
    side=st.sampled_from(["long", "short"]),
    bankrupt=st.sampled_from(["a", "z", None]),
    exclude=st.sets(st.sampled_from("bcz")),
    venue=st.sampled_from([BITMEX, STRIKE_FUND, STRIKE_EMERGENCY]),
)
def test_what_is_asked_is_closed_netted_or_left(
    *,
    rows: list[dict[str, object]],
    qty: int,
    side: str,
    bankrupt: str | None,
    exclude: set[str],
    venue: Venue,
) -> None:
    """Closed, netted and unfilled add up; nobody is cut beyond what they have or out of order."""
    positions = book(rows)
    outcome = bitmex_plan(
        positions,
        marks=at("1000"),
        venue=venue,
        qty=qty,
        bankrupt_side=side,
        bankrupt_account=bankrupt,
        exclude=exclude,
    )
    fills = outcome.fills
    ranked = rank(positions, marks=at("1000"), venue=venue, markets=MARKETS)
    queue = ranked.filter(
        pl.col("rank").is_not_null(),
        pl.col("side") != side,
        ~pl.col("account").is_in([*exclude, *filter(None, [bankrupt])]),
    ).sort("rank")

    assert fills["qty_closed"].sum() + outcome.netted + outcome.unfilled == qty
    assert (fills["qty_closed"] + fills["qty_left"]).to_list() == fills["qty"].to_list()
    assert (fills["qty_closed"] > 0).all()
    assert (fills["qty_left"] > 0).sum() <= 1
    assert fills["position_id"].to_list() == queue["position_id"].to_list()[: fills.height]
    assert fills["rank_in_queue"].to_list() == list(range(1, fills.height + 1))
    assert outcome.unfilled == 0 or fills.height in (0, queue.height)


MIXED = st.lists(
    st.fixed_dictionaries(
        {
            "account": st.sampled_from("abcz"),
            "side": st.sampled_from(["long", "short"]),
            "qty": st.integers(1, 9),
            "entry_price": st.integers(900, 1100),
            "margin": st.integers(1, 2000),
            "margin_mode": st.sampled_from(["isolated", "cross", "portfolio"]),
            "status": st.sampled_from(["open", "open", "liquidating"]),
        }
    ),
    min_size=1,
    max_size=12,
)
POOLS = {"account": list("abcz"), "equity": ["9000", "4000", "500", "-20"]}


@given(rows=MIXED, qty=st.integers(1, 60), turn=st.randoms(use_true_random=False))
def test_cross_legs_of_the_bankrupt_account_give_first(
    rows: list[dict[str, object]], qty: int, turn: Random
) -> None:
    """Own cross legs are netted up to the quantity, others cover the rest, in any order of rows."""
    positions = book(rows)
    numbers = list(range(positions.height))
    turn.shuffle(numbers)
    request: dict[str, Any] = {
        "marks": at("1000"),
        "venue": Venue.load("generic"),
        "accounts": POOLS,
        "qty": qty,
        "bankrupt_account": "z",
    }
    outcome = bitmex_plan(positions, **request)
    shuffled = bitmex_plan(positions[numbers], **request)
    mine = [row for row in rows if row["account"] == "z"]
    own = [row for row in mine if row["side"] == "long"]
    isolated = [row["margin_mode"] == "isolated" for row in mine if row["side"] == "short"]
    may_net = not isolated or not all(isolated)
    cross = sum(int(str(row["qty"])) for row in own if row["margin_mode"] != "isolated")

    assert outcome.netted == (min(qty, cross) if may_net else 0)
    assert outcome.fills["qty_closed"].sum() + outcome.netted + outcome.unfilled == qty
    assert "z" not in outcome.fills["account"]
    assert outcome.own_legs["qty_closed"].sum() == outcome.netted
    assert outcome.own_legs.height == len(own)
    assert (shuffled.digest, shuffled.fills.rows()) == (outcome.digest, outcome.fills.rows())


def test_a_signed_quantity_is_a_side() -> None:
    """Without a side column the sign of the quantity is the side, and the plan is the same."""
    is_short = pl.col("side") == "short"
    signed = pl.when(is_short).then("-" + pl.col("qty")).otherwise(pl.col("qty"))
    outcome = bitmex_plan(BITMEX_BOOK.with_columns(qty=signed).drop("side"))

    assert outcome.fills.rows() == bitmex_plan().fills.rows()


def test_accounts_may_be_numbers() -> None:
    """Whole numbers name accounts too, in the frame and in the request, as numbers or as text."""
    numbers = pl.col("account").replace("zed", "77").cast(pl.UInt64)
    outcome = bitmex_plan(
        BITMEX_BOOK.with_columns(account=numbers), bankrupt_account=77, exclude=[2, "4"]
    )

    assert outcome.fills["account"].to_list() == [5]
    assert outcome.explain(5).is_cut
    assert outcome.notes == ()


def test_without_ids_a_plan_names_accounts_only() -> None:
    """Where positions have no id the column stays, empty, and the order is the accounts'."""
    outcome = bitmex_plan(BITMEX_BOOK.drop("position_id"))

    assert outcome.fills["position_id"].null_count() == outcome.fills.height
    assert closed(outcome) == closed(bitmex_plan())


@pytest.mark.parametrize(
    ("venue", "bankruptcy", "price", "note"),
    [
        ("bybit@2025", "489", "400", ""),
        ("bybit@2025", "420", "420", ""),
        ("bybit@2025", "420.1", "400", ""),
        ("bybit@2025", None, None, "bankruptcy_price"),
        ("bybit@2026-03", "489", None, "pool"),
        ("okx@2026", "489", None, "fund"),
        ("ethereal", "489", None, "oracle"),
        ("bitget@2025-H1", "489", None, "cost price"),
        ("grvt", "489", "400", ""),
    ],
)
def test_the_price_is_the_editions_or_it_is_open(
    venue: str, bankruptcy: str | None, price: str | None, note: str
) -> None:
    """Bybit's 489 is more than 5 % from a mark of 400, so the mark; what needs more stays open."""
    found, missing = settlement_price(
        Venue.load(venue).price,
        mark=Decimal(400),
        previous_mark=None,
        bankruptcy=None if bankruptcy is None else Decimal(bankruptcy),
    )

    assert found == (None if price is None else Decimal(price))
    assert (note in missing, bool(missing)) == (True, found is None)
