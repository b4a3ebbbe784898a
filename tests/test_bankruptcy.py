"""Bankruptcy values: what is behind a position is used up exactly, whatever the convention."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.backstop.bankruptcy import (
    PPM,
    Bankruptcy,
    Clamp,
    Cross,
    Holding,
    Rounding,
    bankruptcy,
    closed_lots,
    exact,
    gain_of,
    most_loss,
    of_pool,
    price_of,
    quote_by_maintenance,
    rounded,
    to_tick,
)
from deleverage.backstop.fairness import Health, is_fair, keeps_health, value_after
from deleverage.errors import InputError, StateError, VenueError
from deleverage.model.terms import Bound, Convention

MONEY = st.integers(0, 10**12)
SIGNED = st.integers(-(10**12), 10**12)
LOTS = st.integers(-(10**6), 10**6).filter(bool)
FRACTIONS = st.fractions(min_value=0, max_value=10**12, max_denominator=10**6)
ROUNDINGS = st.sampled_from(Rounding)
OWN = Convention.OWN_MARGIN


@st.composite
def holdings(draw: Any, *, above_zero: bool = False) -> Holding:
    """A position of either side and either kind, with a maintenance margin."""
    mark = draw(FRACTIONS)
    return Holding(
        lots=draw(LOTS),
        entry_value=draw(MONEY),
        mark_value=mark + 1 if above_zero else mark,
        maintenance=draw(st.integers(1, 10**9)),
        is_inverse=draw(st.booleans()),
    )


@given(value=st.fractions(max_denominator=10**6))
def test_rounding_goes_one_way_and_less_than_one(value: Fraction) -> None:
    """Up is the ceiling, down the floor, nearest at most half away; zero is no special case."""
    up, down = rounded(value, Rounding.UP), rounded(value, Rounding.DOWN)

    assert down <= value <= up
    assert up - down == (value.denominator != 1)
    assert abs(rounded(value, Rounding.NEAREST) - value) <= Fraction(1, 2)
    assert rounded(-value, Rounding.UP) == -down


@given(holding=holdings(), margin=SIGNED)
def test_an_isolated_position_has_nothing_left_at_its_value(holding: Holding, margin: int) -> None:
    """Margin and profit at the bankruptcy value add to zero: long and short, linear and inverse."""
    found = bankruptcy(holding, Cross(margin=margin), convention=OWN)

    assert margin + holding.gain * (found.value - holding.entry_value) == 0


@given(holding=holdings(), margin=SIGNED, ppm=st.integers(0, 200_000))
def test_a_reserve_is_what_is_left_at_its_value(holding: Holding, margin: int, ppm: int) -> None:
    """With a closing fee the account has exactly the fee left, on either side of zero."""
    found = bankruptcy(holding, Cross(margin=margin), convention=OWN, reserve_ppm=ppm)
    left = margin + holding.gain * (found.value - holding.entry_value)

    assert left == Fraction(ppm, PPM) * abs(found.value)


@given(holding=holdings(above_zero=True), margin=SIGNED)
def test_the_conventions_agree_on_a_single_position(holding: Holding, margin: int) -> None:
    """With one position all three cross conventions give the isolated value."""
    behind = Cross(
        margin=margin,
        equity=margin + holding.pnl,
        maintenance=holding.maintenance,
        cash=margin,
        notional=holding.mark_value,
    )
    found = {
        bankruptcy(holding, behind, convention=convention).value
        for convention in Convention
        if convention is not Convention.UNPUBLISHED
    }

    assert len(found) == 1


@given(book=st.lists(holdings(), min_size=2, max_size=4), cash=SIGNED)
def test_shared_by_maintenance_the_last_close_leaves_nothing(
    book: list[Holding], cash: int
) -> None:
    """By convention A each close keeps equity per maintenance margin; all of them use it up."""
    equity = cash + sum((one.pnl for one in book), Fraction(0))
    whole = sum(one.maintenance for one in book)
    start = Fraction(equity, whole)
    for one in book:
        behind = Cross(equity=equity, maintenance=whole)
        found = bankruptcy(one, behind, convention=Convention.BY_MAINTENANCE)
        equity += one.gain * (found.value - exact(one.mark_value, "mark"))
        whole -= one.maintenance
        assert equity == start * whole
    assert equity == 0


@given(first=holdings(), second=holdings(), cash=SIGNED)
def test_with_the_whole_account_the_first_position_takes_all(
    first: Holding, second: Holding, cash: int
) -> None:
    """By convention B nothing is left after the first close; the second closes at its mark."""
    equity = cash + first.pnl + second.pnl
    found = bankruptcy(first, Cross(equity=equity), convention=Convention.WHOLE_ACCOUNT)
    left = equity + first.gain * (found.value - exact(first.mark_value, "mark"))
    then = bankruptcy(second, Cross(equity=left), convention=Convention.WHOLE_ACCOUNT)

    assert left == 0
    assert then.value == second.mark_value


@given(
    book=st.lists(holdings(above_zero=True), min_size=1, max_size=4),
    cash=SIGNED,
)
def test_cash_by_notional_uses_up_the_cash(book: list[Holding], cash: int) -> None:
    """By convention C the losses from entry add up to the cash, though no one alone is fair."""
    notional = sum((exact(one.mark_value, "mark") for one in book), Fraction(0))
    behind = Cross(cash=cash, notional=notional)
    values = [bankruptcy(one, behind, convention=Convention.CASH_BY_NOTIONAL).value for one in book]
    losses = [one.gain * (one.entry_value - value) for one, value in zip(book, values, strict=True)]

    assert sum(losses) == cash


@given(holding=holdings(), margin=SIGNED, rounding=ROUNDINGS, data=st.data())
def test_a_quote_is_the_share_of_the_value_rounded_once(
    holding: Holding, margin: int, rounding: Rounding, data: Any
) -> None:
    """A part's quote is its share of the full size, off by less than one, never against `up`."""
    found = bankruptcy(holding, Cross(margin=margin), convention=OWN)
    closed = data.draw(st.integers(1, abs(holding.lots)))
    exactly = holding.gain * found.value * closed / abs(holding.lots)
    quote = found.quote(closed, rounding)

    assert quote == rounded(exactly, rounding)
    assert abs(quote - exactly) < 1
    assert found.quote(closed, Rounding.UP) >= exactly >= found.quote(closed, Rounding.DOWN)


@given(
    lots=LOTS,
    value=MONEY,
    equity=SIGNED,
    own=st.integers(1, 10**9),
    others=MONEY,
    rounding=ROUNDINGS,
)
def test_a_quote_by_maintenance_is_the_value_of_the_full_size(
    *, lots: int, value: int, equity: int, own: int, others: int, rounding: Rounding
) -> None:
    """Where the whole position goes, whole requirements give what convention A's value gives."""
    holding = Holding(lots=lots, entry_value=0, mark_value=value, maintenance=own)
    behind = Cross(equity=equity, maintenance=own + others)
    found = bankruptcy(holding, behind, convention=Convention.BY_MAINTENANCE)
    quote = quote_by_maintenance(
        lots=lots,
        delta=-lots,
        notional_change=-holding.gain * value,
        maintenance_released=own,
        equity=equity,
        maintenance=own + others,
        rounding=rounding,
    )

    assert quote == found.quote(abs(lots), rounding)


def test_an_inverse_short_on_its_whole_value_has_no_finite_price() -> None:
    """A 1x inverse short is bankrupt at a value of zero: no price, but a quote of zero."""
    holding = Holding(lots=-100, entry_value=50, mark_value=40, is_inverse=True)
    found = bankruptcy(holding, Cross(margin=50), convention=OWN)

    assert found.value == 0
    assert found.price(1) is None
    assert found.quote(60, Rounding.UP) == 0


def test_an_inverse_price_is_the_size_over_the_value() -> None:
    """100 contracts of 1 that are worth 4 are at 25; the same value of a linear is 1/25."""
    assert Bankruptcy(lots=100, value=Fraction(4), is_inverse=True).price(1) == 25
    assert Bankruptcy(lots=100, value=Fraction(4)).price(1) == Fraction(1, 25)
    assert price_of(Fraction(-3), 1, is_inverse=False) == -3


def test_a_price_comes_from_the_full_size_and_not_from_what_is_left() -> None:
    """After fills in the book the value of a lot is what it was: the divisor is frozen."""
    holding = Holding(lots=-5, entry_value=10_000, mark_value=11_500)
    found = bankruptcy(holding, Cross(equity=-460), convention=Convention.WHOLE_ACCOUNT)

    assert found.lot_value == 2208
    assert found.quote(1, Rounding.UP) == -2208
    assert found.lots == -5


def test_below_zero_the_edition_decides() -> None:
    """A long that owes nothing at any price: negative, zero, or refused, as the edition says."""
    holding = Holding(lots=10, entry_value=1000, mark_value=900)
    behind = Cross(margin=5000)
    allowed, zero = (
        bankruptcy(holding, behind, convention=OWN, clamp=clamp)
        for clamp in (Clamp.ALLOWED, Clamp.ZERO)
    )

    assert (allowed.value, allowed.is_clamped, allowed.quote(10, Rounding.UP)) == (
        -4000,
        False,
        -4000,
    )
    assert (zero.value, zero.is_clamped, zero.quote(10, Rounding.UP)) == (0, True, 0)
    with pytest.raises(StateError, match="bankruptcy value: expected 0 or more, got -4000"):
        bankruptcy(holding, behind, convention=OWN, clamp=Clamp.REFUSED)


def test_a_quote_by_maintenance_is_clamped_too() -> None:
    """A long whose quote would be negative is paid it, nothing, or refused."""
    given_: dict[str, Any] = {
        "lots": 10,
        "delta": -10,
        "notional_change": -1000,
        "maintenance_released": 50,
        "equity": 5000,
        "maintenance": 50,
    }

    assert quote_by_maintenance(**given_) == -4000
    assert quote_by_maintenance(**given_, clamp=Clamp.ZERO) == 0
    with pytest.raises(StateError, match="quote: expected a value of 0 or more, got -4000"):
        quote_by_maintenance(**given_, clamp=Clamp.REFUSED)


def test_a_pool_stops_at_the_most_it_may_lose() -> None:
    """Long average entry less loss over size, short plus; inverse the other way round."""
    loss = most_loss(trigger_line=Fraction(3, 10), peak=20_000, margin=1000)

    assert loss == 7000
    assert of_pool(lots=100, entry_value=50_000, loss=loss).lot_value == 430
    assert of_pool(lots=-100, entry_value=50_000, loss=loss).lot_value == 570
    assert of_pool(lots=100, entry_value=50_000, loss=loss, is_inverse=True).lot_value == 570
    with pytest.raises(InputError, match="expected 0 or more, got -1 and 2"):
        most_loss(trigger_line=-1, peak=2)


def test_what_a_convention_reads_must_be_given() -> None:
    """A missing amount is refused by name, and nothing is divided by zero."""
    holding = Holding(lots=1, entry_value=1, mark_value=1)

    for convention, name in (
        (OWN, "margin"),
        (Convention.BY_MAINTENANCE, "maintenance"),
        (Convention.WHOLE_ACCOUNT, "equity"),
        (Convention.CASH_BY_NOTIONAL, "notional"),
    ):
        with pytest.raises(InputError, match=f"{name}: not given"):
            bankruptcy(holding, Cross(), convention=convention)
    with pytest.raises(InputError, match="maintenance: expected an amount above zero"):
        bankruptcy(holding, Cross(equity=1, maintenance=0), convention=Convention.BY_MAINTENANCE)
    with pytest.raises(VenueError, match=r"price\.convention: never published"):
        bankruptcy(holding, Cross(margin=1), convention=Convention.UNPUBLISHED)
    with pytest.raises(InputError, match="reserve_ppm: expected 0 to 999999, got 1000000"):
        bankruptcy(holding, Cross(margin=1), convention=OWN, reserve_ppm=PPM)


@pytest.mark.parametrize("wrong", [1.5, True, "1", None])
def test_no_float_comes_near_a_value(wrong: Any) -> None:
    """Only whole numbers and fractions are exact; anything else is refused."""
    with pytest.raises(InputError, match="mark_value: expected an int or a Fraction"):
        Holding(lots=1, entry_value=1, mark_value=wrong)


def test_what_is_no_position_is_refused() -> None:
    """No lots, a negative value, a part that is no part, a grid without a step."""
    with pytest.raises(InputError, match="lots: expected a position, got 0"):
        gain_of(0, is_inverse=False)
    with pytest.raises(InputError, match="entry_value: expected 0 or more, got -1"):
        Holding(lots=1, entry_value=-1, mark_value=1)
    for lots, delta in ((10, 0), (10, 1), (10, -11), (0, 1), (-10, 11)):
        with pytest.raises(InputError, match=f"got {delta}"):
            closed_lots(lots, delta)
    for closed in (0, -1, 11):
        with pytest.raises(InputError, match="delta: expected a part"):
            Bankruptcy(lots=10, value=Fraction(1)).quote(closed, Rounding.UP)
    with pytest.raises(InputError, match="tick: expected a step above zero, got 0"):
        to_tick(Fraction(1), 0, Rounding.UP)


@given(price=FRACTIONS, tick=st.fractions(min_value=Fraction(1, 1000), max_value=100))
def test_a_price_on_the_grid_stays_and_another_moves_less_than_a_step(
    price: Fraction, tick: Fraction
) -> None:
    """Putting a price on the grid twice is putting it there once, in every direction."""
    for rounding in Rounding:
        found = to_tick(price, tick, rounding)
        assert (found / tick).denominator == 1
        assert abs(found - price) < tick
        assert to_tick(found, tick, rounding) == found


def test_an_account_keeps_its_health_or_is_left_alone() -> None:
    """Each branch of the transition rule, at its boundary."""
    poor = Health(equity=-10, initial=20, maintenance=10)

    assert keeps_health(poor, Health(equity=5, initial=5, maintenance=5))
    assert not keeps_health(poor, Health(equity=-20, initial=22, maintenance=11))
    assert keeps_health(poor, replace(poor, equity=-5, maintenance=5))
    assert not keeps_health(poor, replace(poor, equity=-6, maintenance=5))
    assert not keeps_health(poor, Health(equity=-1, initial=0, maintenance=0))
    bare = Health(equity=-2, initial=0, maintenance=0)
    assert keeps_health(bare, replace(bare, equity=-1))
    assert not keeps_health(bare, bare)


@given(value=SIGNED, risk=st.integers(1, 10**9), risk_after=st.integers(0, 10**9))
def test_the_value_after_is_fair_and_no_other_is(value: int, risk: int, risk_after: int) -> None:
    """The rounded-up value is fair by the strict rule; one more or one less is not."""
    if risk_after == 0:
        assert value_after(value=value, risk=risk, risk_after=0) == 0
        return
    after = value_after(value=value, risk=risk, risk_after=risk_after)
    near = {
        other: is_fair(
            value=value, risk=risk, value_after=other, risk_after=risk_after, bound=Bound.STRICT
        )
        for other in (after - 1, after, after + 1)
    }

    assert near == {after - 1: False, after: True, after + 1: False}


def test_fairness_needs_a_risk_and_a_published_bound() -> None:
    """Without risk there is nothing to keep; without a bound nothing is guessed."""
    for risk, after in ((0, 1), (1, -1)):
        with pytest.raises(InputError, match="risk: expected above zero"):
            value_after(value=1, risk=risk, risk_after=after)
        with pytest.raises(InputError, match="risk: expected above zero"):
            is_fair(value=1, risk=risk, value_after=1, risk_after=after, bound=Bound.STRICT)
    with pytest.raises(VenueError, match="bound: never published"):
        is_fair(value=1, risk=1, value_after=1, risk_after=1, bound=Bound.UNPUBLISHED)
