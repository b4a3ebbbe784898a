"""The golden cases about the stages around a bankruptcy: limits, sizes, fees, margins, endings."""

from fractions import Fraction

import pytest

from deleverage.backstop.bankruptcy import PPM, Holding, Rounding, rounded
from deleverage.backstop.expiry import expiry_price
from deleverage.backstop.market_stage import (
    fee_after,
    fillable_value,
    insurance_fee,
    limit_value,
    most_in_window,
    partial_liquidations,
    size_to_cover,
)
from deleverage.errors import InputError
from deleverage.model.maintenance import MarginTier, maintenance_of, tier_amounts
from golden.price_cases import is_printed
from golden.stage_cases import Case, asking

FILE = "market_stage.toml"


@asking(FILE, "limit")
def test_a_limit_leaves_a_share_of_the_margin(case: Case) -> None:
    """The limit price is the source's."""
    qty = int(case["qty"])
    holding = Holding(lots=qty, entry_value=0, mark_value=qty * Fraction(case["mark"]))
    value = limit_value(
        holding,
        equity=Fraction(case["equity"]),
        maintenance=Fraction(case["maintenance"]),
        kept=Fraction(case["kept"]),
    )

    assert value / qty == Fraction(case["price"])


@asking(FILE, "fillable")
def test_an_order_stands_where_the_source_puts_it(case: Case) -> None:
    """The fillable price is the source's, exactly; 100 quote quantums are a price of 1."""
    lots, cash = case["lots"], case["cash"]
    mark_value = abs(lots) * Fraction(case["oracle"]) / 100
    required = mark_value * Fraction(case["maintenance"])
    holding = Holding(lots=lots, entry_value=0, mark_value=mark_value, maintenance=required)
    value = fillable_value(
        holding,
        equity=cash + holding.gain * mark_value,
        maintenance=required,
        adjustment=Fraction(case["adjustment_ppm"], PPM),
        spread=Fraction(case["spread_ppm"], PPM),
    )

    assert value / abs(lots) == Fraction(case["price"])


@asking(FILE, "size")
def test_a_size_covers_the_shortage(case: Case) -> None:
    """The size is the source's, in its units of 1e-9 of base and 1e-6 of quote."""
    size = size_to_cover(
        case["shortage"],
        lot_value=Fraction(case["oracle"]) / 1000,
        margin_ratio=Fraction(case["margin_ratio"]),
        fees=Fraction(case["fees"]),
    )

    assert size == case["lots"]


@asking(FILE, "fund_fee")
def test_a_fund_gets_what_the_margin_leaves(case: Case) -> None:
    """The rate in ppm is the source's."""
    rate = insurance_fee(
        shortage=case["shortage"],
        value=case["value"],
        margin_ratio=Fraction(case["margin_ratio"]),
        liquidator_fee=Fraction(case["liquidator_fee"]),
        kept=Fraction(case["kept"]),
        most=Fraction(case["most"]),
    )

    assert rounded(rate * PPM, Rounding.DOWN) == case["ppm"]


@asking(FILE, "ramp")
def test_a_fee_grows_while_nobody_comes(case: Case) -> None:
    """The fee after so many slots is the source's."""
    fee = fee_after(case["elapsed"], base=case["base"], most=case["most"], grace=case["grace"])

    assert fee == case["ppm"]


@asking(FILE, "partial")
def test_a_share_of_all_positions_is_closed(case: Case) -> None:
    """Penalty, requirement, value and ratio of a share are the source's, and the share it takes."""
    found = list(
        partial_liquidations(
            [Fraction(share) for share in case["shares"]],
            equity=Fraction(case["equity"]),
            maintenance=Fraction(case["maintenance"]),
            fee=Fraction(case["fee"]),
        )
    )
    if "chosen" in case:
        target = Fraction(case["target"])
        fits = (one.share for one in found if one.ratio is not None and one.ratio < target)
        assert next(fits) == Fraction(case["chosen"])
        return
    (one,) = found
    assert one.penalty == Fraction(case["penalty"])
    assert one.maintenance == Fraction(case["maintenance_after"])
    assert one.equity == Fraction(case["equity_after"])
    assert one.ratio is not None
    assert is_printed(one.ratio, case["printed"])


@asking(FILE, "window")
def test_a_window_takes_so_much(case: Case) -> None:
    """The limit of one window is the source's."""
    names = ("fees", "skew_scale", "multiplier", "seconds")
    most = most_in_window(**{name: Fraction(case[name]) for name in names})

    assert most == case["most"]


@asking(FILE, "expiry")
def test_a_market_ends_at_a_price_it_can_pay(case: Case) -> None:
    """The settlement price is the source's, to the unit."""
    names = ("base", "quote", "excess", "oracle", "scale")

    assert expiry_price(**{name: case[name] for name in names}) == case["price"]


@asking(FILE, "tier")
def test_a_margin_table_joins_without_a_step(case: Case) -> None:
    """Amount and requirement are the source's, and at its cap both tiers require the same."""
    tiers = [MarginTier(cap=Fraction(cap), ratio=Fraction(ratio)) for cap, ratio in case["tiers"]]
    value = Fraction(case["value"])
    place = next(place for place, tier in enumerate(tiers) if value <= tier.cap)

    assert tiers[place].ratio == Fraction(case["ratio"])
    assert tier_amounts(tiers)[place] == Fraction(case["amount"])
    assert maintenance_of(value, tiers) == Fraction(case["maintenance"])
    above = [maintenance_of(tier.cap + Fraction(1, 10**9), tiers) for tier in tiers[:-1]]
    below = [maintenance_of(tier.cap, tiers) for tier in tiers[:-1]]
    assert all(0 < high - low < 1 for low, high in zip(below, above, strict=True))


def test_a_stage_without_sense_is_refused() -> None:
    """Each rule names the number that it cannot work with."""
    tier = MarginTier(cap=Fraction(10), ratio=Fraction(1, 10))
    with pytest.raises(InputError, match="tiers: expected at least one"):
        tier_amounts([])
    with pytest.raises(InputError, match="tier 1: expected a cap above 10"):
        tier_amounts([tier, tier])
    with pytest.raises(InputError, match="value: expected at most the last cap 10, got 11"):
        maintenance_of(Fraction(11), [tier])
    with pytest.raises(InputError, match="value: expected 0 or more, got -1"):
        maintenance_of(Fraction(-1), [tier])
    with pytest.raises(InputError, match="base: expected a net position, got 0"):
        expiry_price(base=0, quote=1, excess=0, oracle=1)
    with pytest.raises(InputError, match="shortage: expected 0 or more, and a lot that frees"):
        size_to_cover(1, lot_value=1, margin_ratio=Fraction(1, 10), fees=Fraction(1, 10))
    with pytest.raises(InputError, match="share: expected 0 to 1, got 2"):
        list(partial_liquidations([2], equity=1, maintenance=1, fee=0))
    with pytest.raises(InputError, match="maintenance: expected an amount above zero"):
        fillable_value(
            Holding(lots=1, entry_value=0, mark_value=1),
            equity=0,
            maintenance=0,
            adjustment=1,
            spread=1,
        )
    with pytest.raises(InputError, match="most: expected at least 2, got 1"):
        fee_after(0, base=2, most=1, grace=0)
