"""A snapshot holds exactly what the frames say, as whole numbers, in an order of its own."""

from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from books import ACCOUNTS, CROSS, ISOLATED, MARKETS, MARKS, OWN, Book, column, prepare, refusal
from deleverage.errors import InputError
from deleverage.model.rules import Reason


def test_rows_stand_by_market_side_account_and_mode() -> None:
    """Markets by name, long first, then account and mode; the frame's rows can be found again."""
    snapshot = prepare(CROSS, "bybit@2026-01", accounts=ACCOUNTS)
    assert snapshot.rows is not None
    assert snapshot.rows.tolist() == [2, 0, 3, 1]
    assert snapshot.starts.tolist() == [0, 3, 4]
    assert snapshot.splits.tolist() == [2, 3]
    assert snapshot.market_codes.tolist() == [0, 0, 0, 1]
    assert [snapshot.holder(row) for row in range(4)] == ["ann", "bob", "bob", "ann"]
    assert snapshot.account_rows("bob").tolist() == [1, 2]
    assert snapshot.account_rows("ann", "BTC-PERP").tolist() == [0]
    assert snapshot.account_rows("zed").tolist() == []
    assert snapshot.account_names.to_list() == ["ann", "bob"]
    assert snapshot.account_codes.tolist() == [0, 1, 1, 0]
    kernel = snapshot.kernel("BTC-PERP")
    assert (kernel.start, kernel.split) == (0, 2)
    assert snapshot.frame()["side"].to_list() == ["long", "long", "short", "short"]


def test_rows_that_stand_in_order_are_not_moved() -> None:
    """A book in order keeps its rows, and whole numbers in their own unit are not copied."""
    qty, value = np.array([5, 3, -2], np.int64), np.array([50, 30, 20], np.int64)
    book = {"position_id": np.arange(3), "account": np.arange(3), "market": ["BTC-PERP"] * 3}
    book |= {"qty": qty, "entry_value": value, "margin": np.array([1, 2, 3])}
    markets = MARKETS | {"money_unit": ["1", "1"]}
    snapshot = prepare(book, markets=markets)
    assert snapshot.rows is None
    assert np.shares_memory(snapshot.columns["lots"], qty)
    assert np.shares_memory(snapshot.columns["entry_value"], value)


def test_cross_rows_point_to_their_account() -> None:
    """Cross and portfolio rows are judged on the account, isolated ones on their own margin."""
    snapshot = prepare(CROSS, "bybit@2026-01", accounts=ACCOUNTS)
    assert snapshot.columns["account"].tolist() == [OWN, 1, 1, 0]
    assert snapshot.columns["account"].dtype == np.uint32
    assert snapshot.accounts["equity"].tolist() == [7000 * 10**6, 5_000_500_000]
    assert snapshot.accounts["maintenance_margin"].tolist() == [200 * 10**6, 100 * 10**6]
    assert snapshot.columns["margin"].tolist() == [1220 * 10**6, 0, 0, 0]
    assert snapshot.columns["maintenance_margin"].tolist() == [610 * 10**6, 0, 0, 0]


def test_the_scope_of_the_edition_decides_who_is_judged_on_the_account() -> None:
    """Scope account: every row; scope position: none, and no account table is read."""
    everyone = prepare(CROSS, "okx@2026", accounts=ACCOUNTS, **behind(CROSS))
    assert OWN not in everyone.columns["account"].tolist()
    assert "account" not in prepare(ISOLATED).columns


def behind(book: Book) -> dict[str, Any]:
    """Give an empty neutral table and no hedged part, as some editions need."""
    book["hedged_qty"] = [0] * len(book["account"])
    return {"neutral": {"account": [], "underlier": [], "delta_neutral": []}}


@pytest.mark.parametrize("width", ["text", "dense", "sparse"])
def test_accounts_may_be_text_or_numbers(width: str) -> None:
    """Whatever the ids are, and wherever they lie in 64 bits, rows find their account."""
    names = {"text": ["b", "a"], "dense": [7, 3], "sparse": [2**63 + 5, 2**40]}[width]
    book = CROSS | {"account": [names[0], names[1], names[1], names[0]]}
    accounts = ACCOUNTS | {"account": names}
    snapshot = prepare(book, "bybit@2026-01", accounts=accounts)
    assert snapshot.columns["account"].tolist() == [OWN, 1, 1, 0]
    assert snapshot.account_rows(names[0]).tolist() == [1, 2]


def test_numbers_and_text_meet_as_text() -> None:
    """Ids that are numbers in one table and text in another are compared as text."""
    book = CROSS | {"account": [10, 9, 9, 10]}
    accounts = ACCOUNTS | {"account": ["10", "9"]}
    snapshot = prepare(book, "bybit@2026-01", accounts=accounts)
    assert snapshot.accounts["equity"].tolist() == [5_000_500_000, 7000 * 10**6]


def test_each_settlement_asset_has_its_own_pool_and_unit() -> None:
    """Accounts are keyed (account, asset); assets that no market settles in are left alone."""
    markets = MARKETS | {"settle": ["USDT", "USDC"], "money_unit": ["0.01", "0.0001"]}
    accounts = {
        "account": ["ann", "bob", "ann", "bob", "ann"],
        "asset": ["USDC", "USDT", "USDT", "USDC", "DOGE"],
        "equity": ["7.0001", "5.01", "6", "8", None],
        "maintenance_margin": [1, 2, 3, 4, None],
    }
    snapshot = prepare(CROSS, "bybit@2026-01", accounts=accounts, markets=markets)
    assert snapshot.accounts["equity"].tolist() == [70001, 80000, 600, 501]
    assert snapshot.columns["account"].tolist() == [OWN, 3, 3, 0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, "accounts: expected a table with account, equity, maintenance_margin"),
        (
            {"account": ["bob", "bob"]},
            "row 1: expected each (account, asset) once, got 'bob'; row 0",
        ),
        (
            {"account": ["bob", "eve"]},
            "row 1: expected an account of accounts, got 'ann'; add its row",
        ),
        ({"equity": [None, 1]}, "accounts: column equity, row 0: expected a value, got null"),
        ({"equity": ["1", "x"]}, "accounts: column equity, row 1: expected a decimal number"),
        ({"maintenance_margin": [1, -2]}, "column maintenance_margin, row 1: expected zero or a"),
        ({"equity": None}, "accounts: expected a column equity (edition bybit@2026-01 needs it)"),
        ({"asset": ["USDT", "USDC"]}, "column asset: expected one asset where no markets="),
        ({"asset": ["USDT", None]}, "accounts: column asset, row 1: expected a value, got null"),
    ],
)
def test_bad_accounts_are_refused(change: Book | None, said: str) -> None:
    """The account table is held to the same standard as positions."""
    accounts = None
    if change is not None:
        accounts = {k: v for k, v in (ACCOUNTS | change).items() if v is not None}
    assert said in refusal(CROSS, "bybit@2026-01", accounts=accounts)


def test_an_isolated_row_needs_its_own_margin() -> None:
    """A null margin is fine for a cross row, not for an isolated one."""
    book = CROSS | {"margin": [None, None, None, None]}
    message = refusal(book, "bybit@2026-01", accounts=ACCOUNTS)
    assert "column margin, row 2: expected a value, got null" in message


def test_margin_mode_is_isolated_where_a_margin_is_given() -> None:
    """Without the column a given margin says isolated, its absence cross."""
    own = ISOLATED | {"maintenance_margin": [1, 2, 3]}
    assert "account" not in prepare(own, "bybit@2026-01").columns
    shared = {name: v for name, v in ISOLATED.items() if name != "margin"}
    accounts = {
        "account": ["ann", "bob", "cid"],
        "equity": [1, 2, 3],
        "maintenance_margin": [1] * 3,
    }
    found = prepare(shared, "bybit@2026-01", accounts=accounts).columns["account"]
    assert found.tolist() == [0, 2, 1]


def test_equity_is_derived_only_when_asked() -> None:
    """Asked for, it is the wallet plus the profit of the rows judged on it; a given one wins."""
    accounts = {name: v for name, v in ACCOUNTS.items() if name != "equity"}
    assert "expected a column equity" in refusal(CROSS, "bybit@2026-01", accounts=accounts)
    snapshot = prepare(CROSS, "bybit@2026-01", accounts=accounts, derive_equity=True)
    ann, bob = 6000 + 20 * 100, 4000 + 1000 + 3 * 1000
    assert snapshot.accounts["equity"].tolist() == [ann * 10**6, bob * 10**6]
    given = accounts | {"equity": [None, "1"]}
    snapshot = prepare(CROSS, "bybit@2026-01", accounts=given, derive_equity=True)
    assert snapshot.accounts["equity"].tolist() == [10**6, bob * 10**6]
    with pytest.raises(InputError, match="equity was derived"):
        snapshot.at(MARKS)


def test_hedge_legs_share_one_profit() -> None:
    """Cross legs of an account in one market share net lots and value; isolated rows do not."""
    snapshot = prepare(CROSS, "binance-usdm", accounts=ACCOUNTS)
    assert column(snapshot, "lots") == [2, 1, -3]
    assert column(snapshot, "profit_lots") == [2, -2, -2]
    net = (60000 - 3 * 62000) * 10**6
    assert column(snapshot, "profit_value") == [122_000 * 10**6, net, net]
    assert column(snapshot, "profit_lots", "ETH-PERP") == [-20]


def test_neutral_accounts_queue_behind() -> None:
    """A neutral account's cross rows in the underlier are tier 1; isolated rows never are."""
    neutral = {
        "account": ["ann", "ann", "bob"],
        "underlier": ["BTC", "ETH", "BTC"],
        "delta_neutral": [True, True, False],
    }
    tables = {"accounts": ACCOUNTS, "markets": MARKETS | {"lot_size": [1, 1]}}
    snapshot = prepare(CROSS, "bybit@2026-03", neutral=neutral, **tables)
    assert snapshot.columns["tier"].tolist() == [0, 0, 0, 1]
    assert snapshot.columns["tier"].dtype == np.uint8
    neutral["delta_neutral"] = ["false", "false", "true"]
    snapshot = prepare(CROSS, "bybit@2026-03", neutral=neutral, **tables)
    assert snapshot.columns["tier"].tolist() == [0, 1, 1, 0]


def test_without_markets_an_underlier_is_named_as_its_market() -> None:
    """A neutral table that no market answers to is refused, not ignored."""
    neutral = {"account": ["bob"], "underlier": ["BTC-PERP"], "delta_neutral": [True]}
    snapshot = prepare(CROSS, "bybit@2026-03", accounts=ACCOUNTS, neutral=neutral)
    assert snapshot.columns["tier"].tolist() == [0, 1, 1, 0]
    neutral["underlier"] = ["BTC"]
    message = refusal(CROSS, "bybit@2026-03", accounts=ACCOUNTS, neutral=neutral)
    assert (
        "neutral: column underlier, row 0: expected the underlier of a market, got 'BTC'" in message
    )


def test_an_edition_with_a_neutral_tier_needs_the_table() -> None:
    """Who is neutral is never assumed; a repeated key is refused."""
    message = refusal(CROSS, "bybit@2026-03", accounts=ACCOUNTS)
    assert "neutral: expected a table with account, underlier, delta_neutral" in message
    twice = {"account": ["a", "a"], "underlier": ["BTC-PERP"] * 2, "delta_neutral": [True, False]}
    message = refusal(CROSS, "bybit@2026-03", accounts=ACCOUNTS, neutral=twice)
    assert "row 1: expected each (account, underlier) once, got 'a'; row 0 has the same" in message


HEDGED = {
    "position_id": [5, 6, 7, 8],
    "account": ["a", "b", "c", "d"],
    "market": ["BTC-PERP"] * 4,
    "side": ["long", "long", "short", "short"],
    "qty": [3, 2, 3, 1],
    "entry_price": ["60000.000001", 60000, 60000, 60000],
    "margin": ["10.000001"] * 4,
    "hedged_qty": [1, 2, 2, 0],
}
PARTED = {
    "accounts": {"account": list("abcd"), "equity": [1] * 4, "maintenance_margin": [1] * 4},
    "neutral": {"account": [], "underlier": [], "delta_neutral": []},
}


def test_a_hedged_part_becomes_an_entry_behind() -> None:
    """The part takes its share of the value, rounded down, and the rest keeps what is left."""
    snapshot = prepare(HEDGED, "okx@2026", **PARTED)
    assert column(snapshot, "lots") == [2, 1, 2, -1, -2, -1]
    assert column(snapshot, "tier") == [0, 2, 2, 0, 2, 0]
    assert snapshot.rows is not None
    assert snapshot.rows.tolist() == [0, 0, 1, 2, 2, 3]
    values = column(snapshot, "entry_value")
    assert values[0] + values[1] == 180_000_000_003
    assert values[1] == 180_000_000_003 // 3
    assert snapshot.splits.tolist()[0] == 3
    ids = column(snapshot, "position_id")
    assert len(set(ids)) == 6
    assert sorted(ids) == ids
    assert snapshot.left_out().height == 0


def test_a_hedged_part_may_be_exempt() -> None:
    """Where the edition exempts it, the part is no candidate, and a whole one is left out."""
    snapshot = prepare(HEDGED, "bingx")
    assert column(snapshot, "lots") == [2, -1, -1]
    assert column(snapshot, "margin") == [
        10_000_001 - 10_000_001 // 3,
        10_000_001 - 20_000_002 // 3,
        10_000_001,
    ]
    assert snapshot.left_out().to_dict(as_series=False) == {"row": [1], "reason": ["hedged_part"]}


@pytest.mark.parametrize(
    ("hedged", "said"),
    [
        ([4, 0, 0, 0], "row 0: expected no more than the row's qty, got 4"),
        ([0, -1, 0, 0], "row 1: expected zero or a number above it, got -1"),
        ([0, None, 0, 0], "row 1: expected a value, got null"),
        (["0.5", "0", "0", "0"], "row 0: expected a whole number of 1 (nearest: 0 and 1)"),
    ],
)
def test_a_bad_hedged_part_is_refused(hedged: list[Any], said: str) -> None:
    """The part is a whole number of lots between nothing and all."""
    assert f"column hedged_qty, {said}" in refusal(HEDGED | {"hedged_qty": hedged}, "bingx")


def test_liquidating_rows_are_set_aside_with_the_reason() -> None:
    """They are checked like all rows, and are no candidates."""
    book = ISOLATED | {"status": ["open", "liquidating", "open"]}
    snapshot = prepare(book)
    assert column(snapshot, "position_id") == [1, 3]
    assert snapshot.left_out().to_dict(as_series=False) == {"row": [1], "reason": ["liquidating"]}
    assert list(Reason)[int(snapshot.left_out_reasons[0])] is Reason.LIQUIDATING
    assert "row 1" in refusal(book | {"qty": [1, 0, 1]})
    everyone = prepare(ISOLATED | {"status": ["liquidating"] * 3})
    assert len(everyone) == 0
    assert everyone.left_out_rows.tolist() == [0, 1, 2]
    assert everyone.digest != prepare({name: [] for name in ISOLATED}).digest


def test_the_age_of_an_account_is_read_where_a_tie_asks_for_it() -> None:
    """Each row carries the creation time of its account."""
    accounts = ACCOUNTS | {"created_at": [1_700_000_000_000_000_000, 5]}
    snapshot = prepare(CROSS, "ethereal", accounts=accounts)
    assert snapshot.columns["created_at"].tolist() == [
        5,
        1_700_000_000_000_000_000,
        1_700_000_000_000_000_000,
        5,
    ]


def test_columns_that_nobody_reads_are_left_alone() -> None:
    """A column that the edition does not read may hold anything, and is carried along."""
    book = ISOLATED | {"leverage": ["?", None, "-1"], "flag": [True, None, False]}
    snapshot = prepare(book)
    assert "leverage" not in snapshot.columns
    assert snapshot.positions["leverage"].to_list() == ["?", None, "-1"]


@given(order=st.permutations(range(4)))
def test_the_order_of_rows_never_matters(order: list[int]) -> None:
    """Rows, accounts and marks in any order give the same digest and the same columns."""
    book = {name: [values[row] for row in order] for name, values in CROSS.items()}
    accounts = {name: values[::-1] for name, values in ACCOUNTS.items()}
    marks = dict(reversed(MARKS.items()))
    first = prepare(CROSS, "bybit@2026-01", accounts=ACCOUNTS)
    second = prepare(book, "bybit@2026-01", accounts=accounts, marks=marks)
    assert second.digest == first.digest
    for name, values in first.columns.items():
        assert second.columns[name].tolist() == values.tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [("qty", "9"), ("side", "short"), ("margin", "1"), ("account", "eve"), ("position_id", 9)],
)
def test_the_digest_sees_every_value(name: str, value: object) -> None:
    """A change of one value of one row is another digest."""
    changed = ISOLATED | {name: [value, *ISOLATED[name][1:]]}
    assert prepare(changed).digest != prepare(ISOLATED).digest


def test_the_digest_sees_marks_and_edition() -> None:
    """Another mark or another edition is another digest."""
    snapshot = prepare(ISOLATED)
    assert snapshot.at({"BTC-PERP": "61001"}).digest != snapshot.digest
    assert prepare(ISOLATED, "delta-exchange").digest != snapshot.digest


def test_a_snapshot_can_be_marked_again() -> None:
    """New marks change rates and nothing else, as if prepared with them."""
    snapshot = prepare(ISOLATED).at({"BTC-PERP": "61002"})
    again = prepare(ISOLATED, marks=MARKS | {"BTC-PERP": "61002"})
    assert snapshot.digest == again.digest
    with pytest.raises(InputError, match="expected a market that has a mark, got 'BTC'"):
        snapshot.at({"BTC": 1})
    with pytest.raises(InputError, match="row 0: expected a number above zero"):
        snapshot.at({"BTC-PERP": -1})


def test_a_market_without_rows_is_empty() -> None:
    """A market that only has a mark has a kernel without rows; an unknown one is refused."""
    snapshot = prepare(ISOLATED)
    assert [len(values) for values in snapshot.kernel("ETH-PERP").columns.values()] == [0] * 4
    with pytest.raises(InputError, match=r"got 'ETH', did you mean 'ETH-PERP'\?"):
        snapshot.kernel("ETH")


def test_a_large_book_is_split_by_market_and_side() -> None:
    """Many markets, shuffled: every row is where its market, side and account belong."""
    rng, count = np.random.default_rng(5), 5000
    book = pl.DataFrame(
        {
            "account": rng.permutation(count).astype(np.uint64),
            "market": [f"M{n}" for n in rng.integers(0, 40, count)],
            "qty": np.round(
                rng.choice([-1.0, 1.0], count) * rng.integers(1, 10**6, count) / 1000, 3
            ),
            "entry_price": np.round(rng.integers(1, 10**6, count) / 100, 2),
            "margin": np.round(rng.integers(1, 10**6, count) / 100, 2),
        }
    )
    snapshot = prepare(book, marks={f"M{n}": n + 1 for n in range(40)})
    sorted_book = book.with_row_index().sort("market", pl.col("qty") < 0, "account")
    assert snapshot.rows is not None
    assert snapshot.rows.tolist() == sorted_book["index"].to_list()
    for scale in snapshot.markets:
        rows = sorted_book.filter(pl.col("market") == scale.market)
        lots = [float(n * Fraction(scale.lot_size)) for n in column(snapshot, "lots", scale.market)]
        assert lots == rows["qty"].to_list()
