"""Units of quantity, price and money: given or inferred, and every value exact in them."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from books import ACCOUNTS, CROSS, ISOLATED, MARKETS, Book, column, prepare, refusal
from deleverage.errors import InputError
from deleverage.model.quantise import LIMIT


def test_units_are_the_coarsest_that_hold_everything() -> None:
    """Lots and prices take the fewest digits, mark included; money at least six."""
    snapshot = prepare(ISOLATED, marks={"BTC-PERP": "61000.25"})
    scale = snapshot.scale("BTC-PERP")
    assert (scale.lot_size, scale.price_unit) == (Decimal("0.01"), Decimal("0.01"))
    assert scale.money_unit == Decimal("0.000001")
    assert column(snapshot, "lots") == [150, 200, -25]
    assert column(snapshot, "entry_value") == [90_000_750_000, 118_000_000_000, 15_250_000_000]
    assert column(snapshot, "margin") == [900_000_000, 1_180_000_000, 150_250_000]
    assert (
        Fraction(scale.mark_num, scale.mark_den) == Fraction("0.01") * Fraction("61000.25") * 10**6
    )


def test_money_takes_finer_digits_where_values_need_them() -> None:
    """An entry value with eight digits, or a margin with seven, makes the money unit finer."""
    fine = ISOLATED | {"qty": ["0.0001", "1", "1"], "entry_price": ["1.2345", "1", "1"]}
    assert prepare(fine, marks={"BTC-PERP": 1}).scale("BTC-PERP").money_unit == Decimal("1e-8")
    margin = ISOLATED | {"margin": ["0.0000001", "1", "1"]}
    assert prepare(margin).scale("BTC-PERP").money_unit == Decimal("1e-7")


def test_money_is_coarser_where_values_are_huge() -> None:
    """Values that leave 2^51 at six digits take fewer, as long as money columns stay exact."""
    huge = ISOLATED | {"qty": ["900000", "1", "1"]}
    snapshot = prepare(huge)
    assert snapshot.scale("BTC-PERP").money_unit == Decimal("1e-4")
    assert max(column(snapshot, "entry_value")) < LIMIT
    message = refusal(huge | {"margin": ["0.000001", "1", "1"]})
    assert "row 0: expected a value below 2^51 money units of 0.000001, got '60000.5'" in message
    assert "pass markets= with a coarser money_unit" in message


def test_an_entry_value_that_fits_no_unit_is_rounded_once() -> None:
    """Where nine-digit sizes meet nine-digit prices the value is rounded half to even."""
    book = ISOLATED | {
        "qty": ["30000.000000001", "1", "1"],
        "entry_price": ["1.000000001", "1", "1"],
    }
    snapshot = prepare(book, marks={"BTC-PERP": 1})
    unit = Fraction(snapshot.scale("BTC-PERP").money_unit)
    exact = Fraction("30000.000000001") * Fraction("1.000000001")
    assert column(snapshot, "entry_value")[0] == round(exact / unit)
    assert exact % unit != 0


def test_margins_that_no_unit_holds_are_refused() -> None:
    """Money columns are never rounded: a float of many digits is named, with the way out."""
    book = ISOLATED | {"margin": [900.1, 1 / 3, 1.0]}
    message = refusal(book)
    assert "column margin, row 1: expected a whole number of 0.000000001" in message
    assert "pass markets= with money_unit, or round the column first" in message


def test_the_table_of_markets_decides() -> None:
    """Contract size and units come from the table; what is not exact in them is refused."""
    book = ISOLATED | {"qty": [1500, 250, 2000]}
    snapshot = prepare(book, markets=MARKETS)
    assert column(snapshot, "lots") == [1500, 2000, -250]
    assert column(snapshot, "entry_value") == [90_000_750_000, 118_000_000_000, 15_250_000_000]
    assert snapshot.scale("BTC-PERP").underlier == "BTC"
    message = refusal(ISOLATED, markets=MARKETS)
    assert (
        "column qty, row 0: expected a whole number of 1 (nearest: 1 and 2), got '1.5'" in message
    )
    fine = refusal(book | {"entry_price": ["1.000001", "1", "1"]}, markets=MARKETS)
    assert "column entry_price, row 0: expected a whole number of 0.00001" in fine
    margin = refusal(book | {"margin": ["1", "0.0000001", "1"]}, markets=MARKETS)
    assert "column margin, row 1: expected a whole number of 0.000001" in margin


def test_lots_of_a_half_and_of_a_hundred() -> None:
    """A lot need not be a power of ten."""
    for lot, qty in (("0.5", ["1.5", "0.5", "2"]), ("100", [300, 100, 400])):
        markets = MARKETS | {"lot_size": [lot, "1"]}
        assert column(prepare(ISOLATED | {"qty": qty}, markets=markets), "lots") == [3, 4, -1]


def test_an_inverse_contract_is_valued_in_its_coin() -> None:
    """Entry value is qty * contract_size / price, rounded once; the rate is exact."""
    markets = {
        "market": ["BTCUSD"],
        "kind": ["inverse"],
        "contract_size": [100],
        "lot_size": [1],
        "money_unit": ["1e-8"],
        "settle": ["BTC"],
    }
    book = ISOLATED | {"market": ["BTCUSD"] * 3, "qty": [7, 3, 5], "margin": ["0.01"] * 3}
    snapshot = prepare(book, markets=markets, marks={"BTCUSD": "61000.5"})
    scale = snapshot.scale("BTCUSD")
    assert scale.money_unit == Decimal("1e-8")
    values = [
        Fraction(qty * 100 * 10**8) / Fraction(price)
        for qty, price in ((7, "60000.5"), (5, "59000"), (3, "61000"))
    ]
    assert column(snapshot, "entry_value", "BTCUSD") == [round(value) for value in values]
    assert Fraction(scale.mark_num, scale.mark_den) == Fraction(100 * 10**8) / Fraction("61000.5")
    assert snapshot.kernel("BTCUSD").rate[2] is True


def test_an_inverse_market_is_kept_in_the_finest_unit_that_fits() -> None:
    """A table that is silent on the money unit leaves it to be inferred: values are quotients."""
    markets = {"market": ["BTCUSD"], "kind": ["inverse"], "money_unit": [None], "lot_size": ["1"]}
    book = ISOLATED | {"market": ["BTCUSD"] * 3, "qty": [7, 3, 5], "margin": ["0.01"] * 3}
    snapshot = prepare(book, markets=markets, marks={"BTCUSD": "61000.5"})
    assert snapshot.scale("BTCUSD").money_unit == Decimal("1e-12")


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["long", "short"]),
            st.integers(1, 10**7),
            st.integers(1, 10**7),
            st.integers(1, 10**7),
        ),
        min_size=1,
        max_size=12,
    ),
    qty_digits=st.integers(0, 4),
    price_digits=st.integers(0, 4),
    shuffled=st.randoms(use_true_random=False),
)
def test_columns_are_what_exact_arithmetic_says(
    rows: list[tuple[str, int, int, int]],
    qty_digits: int,
    price_digits: int,
    shuffled: Any,
) -> None:
    """Signed lots, entry value and margin from a bankruptcy price, checked against fractions."""
    table = [
        (
            n,
            side,
            Decimal(q).scaleb(-qty_digits),
            Decimal(e).scaleb(-price_digits),
            Decimal(b).scaleb(-price_digits),
        )
        for n, (side, q, e, b) in enumerate(rows)
    ]
    shuffled.shuffle(table)
    names = ("position_id", "side", "qty", "entry_price", "bankruptcy_price")
    book: Book = dict(zip(names, map(list, zip(*table, strict=True)), strict=True))
    book |= {"account": book["position_id"], "market": ["M"] * len(table)}
    snapshot = prepare(book, marks={"M": 1})
    scale, columns = snapshot.scale("M"), snapshot.kernel("M").columns
    lot, money = Fraction(scale.lot_size), Fraction(scale.money_unit)
    by_id = {row[0]: row for row in table}
    assert sorted(columns["position_id"].tolist()) == sorted(by_id)
    for place, one in enumerate(columns["position_id"].tolist()):
        _, side, qty, entry, bankrupt = by_id[one]
        sign = 1 if side == "long" else -1
        value, end = (round(Fraction(qty) * Fraction(price) / money) for price in (entry, bankrupt))
        assert columns["lots"][place] * lot == sign * Fraction(qty)
        assert columns["entry_value"][place] == value
        assert columns["margin"][place] == sign * (value - end)


def test_margin_comes_from_a_bankruptcy_value_too() -> None:
    """Linear: dir * (entry - bankruptcy); inverse: the other way round; a value may be negative."""
    book = {name: v for name, v in ISOLATED.items() if name != "margin"}
    linear = prepare(book | {"bankruptcy_value": ["89000.75", "15300", "-5"]})
    assert column(linear, "margin") == [1000 * 10**6, 118_005 * 10**6, 50 * 10**6]
    markets = MARKETS | {"kind": ["inverse", "linear"], "settle": ["BTC", "USDT"]}
    markets |= {"contract_size": ["1", "1"], "lot_size": ["0.01", "1"]}
    markets["money_unit"] = ["1e-8", "1e-6"]
    inverse = prepare(
        book | {"bankruptcy_value": ["0.00003", "0.000003", "0.00004"]}, markets=markets
    )
    values = column(inverse, "entry_value")
    assert column(inverse, "margin") == [3000 - values[0], 4000 - values[1], values[2] - 300]


def test_a_bankruptcy_value_speaks_before_margin_where_the_rule_asks_for_it() -> None:
    """A rule on the bankruptcy distance reads the venue's bankruptcy price where it is known."""
    book = ISOLATED | {"bankruptcy_price": ["59000.5", "62000", "58000"]}
    assert column(prepare(book), "margin") == [1500 * 10**6, 2000 * 10**6, 250 * 10**6]
    generic = prepare(book, "generic")
    assert column(generic, "margin") == [900 * 10**6, 1180 * 10**6, 150_250_000]


def test_a_bankruptcy_price_must_be_above_zero() -> None:
    """A bankruptcy that no price reaches is said by value or margin."""
    message = refusal(ISOLATED | {"bankruptcy_price": ["0", "1", "1"]})
    assert "column bankruptcy_price, row 0: expected a number above zero, got '0'" in message
    assert "bankruptcy_value or margin" in message


def test_other_columns_of_the_rule_are_read() -> None:
    """Leverage is in ppm; initial margin and open value are money; none may be negative."""
    book = ISOLATED | {
        "leverage": ["2.5", 1, 125],
        "initial_margin": [1, 2, 3],
        "open_value": [9, 8, 7],
    }
    snapshot = prepare(book, "kucoin@old")
    assert column(snapshot, "leverage") == [2_500_000, 125_000_000, 1_000_000]
    assert column(snapshot, "initial_margin") == [10**6, 3 * 10**6, 2 * 10**6]
    assert column(prepare(book, "coinex"), "open_value") == [9 * 10**6, 7 * 10**6, 8 * 10**6]
    message = refusal(book | {"leverage": [1, -1, 1]}, "kucoin@old")
    assert "column leverage, row 1: expected zero or a number above it" in message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"kind": ["quanto", "linear"]},
            "row 0: expected linear or inverse, got 'quanto'; a quanto",
        ),
        (
            {"kind": ["linear", "spot"]},
            "column kind, row 1: expected linear or inverse, got 'spot'",
        ),
        ({"lot_size": ["0", "1"]}, "column lot_size, row 0: expected a number above zero, got '0'"),
        ({"market": ["BTC-PERP", "BTC-PERP"]}, "row 1: expected each one once, got 'BTC-PERP'"),
        ({"market": ["BTC-PRP", "ETH-PERP"]}, "expected a market of markets, got 'BTC-PERP'; did"),
        ({"money_unit": ["0.01", "1"]}, "expected one unit for asset USDT"),
        ({"money_unit": ["100", "100"]}, "row 0: expected a whole number of units in one asset"),
        ({"price_unit": ["10", "1"]}, "column entry_price, row 0: expected a whole number of 10"),
    ],
)
def test_bad_markets_are_refused(change: Book, said: str) -> None:
    """The table of markets is held to the same standard."""
    book = ISOLATED | {"qty": [1, 2, 3]}
    assert said in refusal(book, markets=MARKETS | change)


def test_a_mark_finer_than_its_price_unit_is_refused() -> None:
    """The mark must be a whole number of price units."""
    message = refusal(
        ISOLATED | {"qty": [1, 2, 3]},
        markets=MARKETS,
        marks={"BTC-PERP": "1.0000001", "ETH-PERP": 1},
    )
    assert "marks: column mark_price, row 0: expected a whole number of 0.00001" in message


def test_a_scale_turns_requests_into_units_and_back() -> None:
    """Quantities, prices and money of a request follow the same rule as columns."""
    scale = prepare(ISOLATED).scale("BTC-PERP")
    assert scale.lots("12.5") == 1250
    assert scale.price("61250") == 612_500
    assert scale.money("0.5") == 500_000
    assert scale.value(1250, 612_500) == 765_625 * 10**6
    assert scale.money_units_per_asset == 10**6
    with pytest.raises(InputError, match=r"qty of BTC-PERP: .*nearest: 0\.01 and 0\.02"):
        scale.lots("0.015")


def test_the_rule_knows_the_money_unit() -> None:
    """A floor in assets becomes a floor in the money units of the market's settlement asset."""
    snapshot = prepare(CROSS, "binance-usdm", accounts=ACCOUNTS)
    assert snapshot.rule("BTC-PERP").wallet_floor == 10**6
