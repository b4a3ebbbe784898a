"""Settlement prices: each rule takes the price it is named after, at its own boundaries."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.backstop.bankruptcy import Rounding, price_of, rounded, rounded_part
from deleverage.backstop.notices import Leg, NoticeWriter
from deleverage.backstop.prices import Candidates, choose_price, price_by_edition
from deleverage.errors import InputError, VenueError
from deleverage.model.parts import Number, Price
from deleverage.model.quantise import decimal_of
from deleverage.model.scales import MarketScale
from deleverage.model.terms import Cancelled, Evidence, PriceKind
from liquidations import market

EVERYTHING = Candidates(
    is_inverse=False,
    is_long=True,
    bankruptcy=489,
    mark=400,
    previous_mark=401,
    oracle=402,
    cost=500,
    pool_bankruptcy=430,
    fund_balance=1,
    fund_peak=100,
)


CLOSING = [kind for kind in PriceKind if kind is not PriceKind.NONE]
"""The rules that close positions at all."""


def test_a_rule_that_closes_nobody_has_no_price() -> None:
    """Where a loss is shared instead, asking for a price is refused: all others have one."""
    with pytest.raises(InputError, match="expected a rule that closes positions, got one that"):
        choose_price(PriceKind.NONE, EVERYTHING)

    assert len(CLOSING) == 8


def test_every_rule_has_its_price() -> None:
    """Each of the eight rules takes the price that it is named after."""
    expected = {
        PriceKind.BANKRUPTCY: (489, PriceKind.BANKRUPTCY),
        PriceKind.POOL_BANKRUPTCY: (430, PriceKind.POOL_BANKRUPTCY),
        PriceKind.BANKRUPTCY_UNLESS_FAR: (400, PriceKind.MARK),
        PriceKind.MARK: (400, PriceKind.MARK),
        PriceKind.MARK_UNTIL_DEPLETED: (400, PriceKind.MARK),
        PriceKind.PREVIOUS_MARK: (401, PriceKind.PREVIOUS_MARK),
        PriceKind.ORACLE_CAPPED_AT_BANKRUPTCY: (489, PriceKind.BANKRUPTCY),
        PriceKind.COST: (500, PriceKind.COST),
    }
    found = {kind: choose_price(kind, EVERYTHING) for kind in CLOSING}

    assert {kind: (one.lot_value, one.kind) for kind, one in found.items()} == expected
    assert all(one.rule is kind and one.reason for kind, one in found.items())


def test_a_bankruptcy_price_exactly_at_the_limit_is_near_enough() -> None:
    """More than 5 % from the mark is far, exactly 5 % is not: on both sides, linear and inverse."""
    for mark, value, is_inverse, kind in (
        (400, 420, False, PriceKind.BANKRUPTCY),
        (400, 380, False, PriceKind.BANKRUPTCY),
        (400, 421, False, PriceKind.MARK),
        (400, 379, False, PriceKind.MARK),
        # The price of an inverse value is 1 over it: 1/400 against 1/420 is 1/21 away.
        (420, 400, True, PriceKind.BANKRUPTCY),
        (421, 400, True, PriceKind.MARK),
        (400, 0, True, PriceKind.MARK),
    ):
        known = replace(EVERYTHING, mark=mark, bankruptcy=value, is_inverse=is_inverse)
        assert choose_price(PriceKind.BANKRUPTCY_UNLESS_FAR, known).kind is kind


def test_a_far_price_says_how_far() -> None:
    """The reason carries both figures, and says where one is shortened."""
    exactly = choose_price(PriceKind.BANKRUPTCY_UNLESS_FAR, EVERYTHING).reason
    about = choose_price(PriceKind.BANKRUPTCY_UNLESS_FAR, replace(EVERYTHING, mark=300)).reason
    never = replace(EVERYTHING, is_inverse=True, bankruptcy=0)

    assert exactly == "mark price: bankruptcy is off the mark by 22.25 %, more than 5.00 %"
    assert about == "mark price: bankruptcy is off the mark by 63.00 %, more than 5.00 %"
    assert "without limit" in choose_price(PriceKind.BANKRUPTCY_UNLESS_FAR, never).reason
    third = replace(EVERYTHING, mark=300, bankruptcy=400)
    assert "about 33.33 %" in choose_price(PriceKind.BANKRUPTCY_UNLESS_FAR, third).reason


@pytest.mark.parametrize(
    ("ratio", "balance", "kind"),
    [
        (Fraction(0), 1, PriceKind.MARK),
        (Fraction(0), 0, PriceKind.BANKRUPTCY),
        (Fraction(0), -1, PriceKind.BANKRUPTCY),
        (Fraction(1, 10), 11, PriceKind.MARK),
        (Fraction(1, 10), 10, PriceKind.BANKRUPTCY),
    ],
)
def test_a_fund_is_empty_at_its_line(ratio: Fraction, balance: int, kind: PriceKind) -> None:
    """At or under the line the bankruptcy price counts; by default the line is zero."""
    known = replace(EVERYTHING, fund_balance=balance)
    found = choose_price(PriceKind.MARK_UNTIL_DEPLETED, known, depleted_ratio=ratio)

    assert found.kind is kind


@pytest.mark.parametrize(
    ("is_long", "is_inverse", "oracle", "expected"),
    [
        (True, False, 400, 489),
        (True, False, 500, 500),
        (False, False, 400, 400),
        (False, False, 500, 489),
        (True, True, 400, 400),
        (False, True, 400, 489),
    ],
)
def test_an_oracle_price_never_costs_more_than_there_is(
    *, is_long: bool, is_inverse: bool, oracle: int, expected: int
) -> None:
    """The price is the oracle's until the liquidated account would owe; then bankruptcy."""
    known = replace(EVERYTHING, is_long=is_long, is_inverse=is_inverse, oracle=oracle)
    found = choose_price(PriceKind.ORACLE_CAPPED_AT_BANKRUPTCY, known)

    assert found.lot_value == expected


@pytest.mark.parametrize("kind", CLOSING)
def test_a_price_that_nobody_knows_is_not_made_up(kind: PriceKind) -> None:
    """Each rule refuses by name what it reads and is not given."""
    with pytest.raises(InputError, match=r"\w+: not given, and the edition settles by it"):
        choose_price(kind, Candidates(is_inverse=False, is_long=True))


def test_a_mark_must_be_above_zero_to_measure_by() -> None:
    """A deviation is a share of the mark."""
    with pytest.raises(InputError, match="mark: expected a value above zero, got 0"):
        choose_price(PriceKind.BANKRUPTCY_UNLESS_FAR, replace(EVERYTHING, mark=0))


def test_an_edition_brings_its_numbers_or_asks_for_them() -> None:
    """A published number decides; one that was never published must be supplied."""
    rule = Price(
        source="s", as_of="2025", evidence=Evidence.ASSUMED, kind=PriceKind.BANKRUPTCY_UNLESS_FAR
    )
    wide = replace(rule, numbers=(Number(name="deviation", value=Decimal("0.2225")),))

    assert price_by_edition(wide, EVERYTHING).kind is PriceKind.BANKRUPTCY
    with pytest.raises(VenueError, match=r"price\.deviation: the venue never published it"):
        price_by_edition(replace(rule, required=("deviation",)), EVERYTHING)


@given(st.fractions(), st.integers(0, 10**9), st.sampled_from(Rounding))
def test_a_part_of_a_value_is_rounded_as_its_product_is(
    value: Fraction, parts: int, rounding: Rounding
) -> None:
    """Without a fraction for each part, and in every direction."""
    assert rounded_part(value, parts, rounding) == rounded(value * parts, rounding)


def spelled(units: Fraction | int, unit: Decimal) -> str:
    """The twin: whole units as a decimal, by way of a fraction; marked where it is longer."""
    about = "" if Fraction(units).denominator == 1 else "about "
    return about + f"{decimal_of(round(units) * Fraction(unit)):f}"


def entry_price(leg: Leg, scale: MarketScale) -> str:
    """The twin: the entry price of what is left."""
    value = Fraction(leg.entry_left, abs(leg.lots_left))
    price = price_of(value, scale.value_ratio, is_inverse=scale.is_inverse)
    return "none that is finite" if price is None else spelled(price, scale.price_unit)


UNITS = st.sampled_from(["1", "0.001", "1E+2", "0.5", "0.00000001"])


KINDS = st.sampled_from(["linear", "inverse"])


@given(st.lists(st.integers(0, 10**15), min_size=7, max_size=7), UNITS, UNITS, KINDS)
def test_a_notice_spells_its_numbers_exactly(
    numbers: list[int], lot_size: str, money_unit: str, kind: str
) -> None:
    """Contracts, money and prices are those of fractions, without exponents or idle zeros."""
    is_inverse = kind == "inverse"
    scale = market("85", kind=kind, lot_size=lot_size, money_unit=money_unit)
    closed, left, entry, pnl, fee, num, den = numbers
    price = choose_price(
        PriceKind.MARK, replace(EVERYTHING, mark=Fraction(num, den + 1), is_inverse=is_inverse)
    )
    leg = Leg(
        account="ann",
        position_id="7",
        lots=-(closed + left + 1),
        closed=closed + 1,
        quote=0,
        basis=0,
        pnl=pnl - 10**14,
        fee=fee - 10**14,
        lots_left=-left,
        entry_left=entry,
    )
    text = NoticeWriter(price, scale, Cancelled.ALL).write(leg, why="").text
    shown = price_of(price.lot_value, scale.value_ratio, is_inverse=is_inverse)
    at = "none that is finite" if shown is None else spelled(shown, scale.price_unit)
    lot, money = scale.lot_size, scale.money_unit
    held = f"You still hold {spelled(left, lot)} contracts, entry value {spelled(entry, money)}"
    rest = f"{held} USDT, entry price {entry_price(leg, scale)}." if left else "is left."

    assert f"closed {spelled(closed + 1, lot)} contracts of your short" in text
    assert f"short {spelled(closed + left + 1, lot)}. Price: {at} (" in text
    profit = f"{'+' if leg.pnl > 0 else ''}{spelled(leg.pnl, money)} USDT"
    assert f"Realised profit: {profit}; fee: {spelled(leg.fee, money)} USDT. " in text
    assert rest in text
