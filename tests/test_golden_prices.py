"""The golden cases about prices: what venues print of bankruptcy and settlement, to the unit."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from deleverage.backstop.bankruptcy import (
    Bankruptcy,
    Clamp,
    Cross,
    Holding,
    Rounding,
    bankruptcy,
    closed_lots,
    most_loss,
    of_pool,
    quote_by_maintenance,
    rounded,
    to_tick,
)
from deleverage.backstop.fairness import Health, is_fair, keeps_health, value_after
from deleverage.backstop.prices import Candidates, SettlementPrice, deviation_of, price_by_edition
from deleverage.backstop.settlement import (
    Bankrupt,
    Cut,
    Settlement,
    Terms,
    offset_size,
    settle,
)
from deleverage.errors import InputError, StateError
from deleverage.model.terms import Bound, Cancelled, Convention, Fee, Payer, PriceKind
from deleverage.venue import Venue
from golden.price_cases import (
    FACTS,
    FIELDS,
    Case,
    amount,
    is_printed,
    lots_of,
    price_cases,
    scale_of,
    worth,
)

CENTS = {"BTC": 100, "ETH": 1000}
"""Quantums of a coin at a price of 1 that are worth one quantum of the collateral."""


def asking(kind: str) -> pytest.MarkDecorator:
    """Run a test on every case of one question."""
    cases = price_cases(kind)
    return pytest.mark.parametrize("case", cases, ids=[case["id"] for case in cases])


def terms_of(case: Case, **changes: Any) -> Terms:
    """The plainest books: no fees, the market's orders stay, nobody pays a difference."""
    terms = Terms(
        scale=scale_of(case),
        deleveraged=Fee.NONE,
        liquidated=Fee.NONE,
        cancelled=Cancelled.NONE,
        difference=Payer.NOBODY,
    )
    return replace(terms, **changes)


def at(lot_value: Fraction) -> SettlementPrice:
    """A settlement price, and no word about where it is from."""
    kind = PriceKind.BANKRUPTCY
    return SettlementPrice(rule=kind, kind=kind, lot_value=lot_value, reason="bankruptcy price")


def shown(value: Bankruptcy, case: Case) -> Fraction:
    """A bankruptcy price in whole units; the case has a finite one."""
    scale = scale_of(case)
    price = value.price(scale.value_ratio)
    assert price is not None
    return price * Fraction(scale.price_unit)


def value_of(part: Case, case: Case) -> Bankruptcy:
    """The bankruptcy value of one part of a case."""
    scale = scale_of(case)
    entry = round(worth(part["qty"], part["entry"], scale)) if "entry" in part else 0
    behind = {
        name: amount(part[name], scale)
        for name in ("margin", "equity", "maintenance", "cash", "notional")
        if name in part
    }
    if "leverage" in part:
        behind["margin"] = entry / Fraction(part["leverage"])
    mark = part.get("mark", part.get("entry"))
    holding = Holding(
        lots=lots_of(part["side"], part["qty"]),
        entry_value=entry,
        mark_value=worth(part["qty"], mark, scale),
        maintenance=amount(part.get("own_maintenance", "0"), scale),
        is_inverse=scale.is_inverse,
    )
    return bankruptcy(
        holding,
        Cross(**behind),
        convention=Convention(part.get("convention", case["convention"])),
        clamp=Clamp(case.get("clamp", "allowed")),
        reserve_ppm=part.get("reserve_ppm", 0),
    )


def test_every_case_says_where_it_is_from() -> None:
    """Each case has its facts in words, and no id stands twice."""
    cases = [case for kind in FIELDS for case in price_cases(kind)]
    ids = [case["id"] for case in cases]

    assert len(set(ids)) == len(ids)
    assert [case["id"] for case in cases if not all(case[name] for name in FACTS)] == []


@asking("value")
def test_a_bankruptcy_value_is_the_one_of_the_source(case: Case) -> None:
    """Price, quote and the printed digits are the source's, by the convention it names."""
    scale = scale_of(case)
    for part in case["part"]:
        found = value_of(part, case)
        rounding = Rounding(part.get("rounding", "up"))
        if "price" in part:
            assert shown(found, case) == Fraction(part["price"])
        if "printed" in part:
            assert is_printed(shown(found, case), part["printed"])
        if "on_tick" in part:
            on_tick = to_tick(shown(found, case), Fraction(part["tick"]), rounding)
            assert on_tick == Fraction(part["on_tick"])
        if "quote" in part:
            closed = int(part.get("closed", part["qty"]))
            assert found.quote(closed, rounding) == amount(part["quote"], scale)
        assert {"price", "printed", "quote"} & set(part)


@asking("pool")
def test_a_pool_is_bankrupt_where_it_has_lost_the_most_it_may(case: Case) -> None:
    """The loss at the trigger line, and average entry less or plus loss over size."""
    scale = scale_of(case)
    peak, margin = amount(case["peak"], scale), amount(case["margin"], scale)
    loss = most_loss(trigger_line=Fraction(case["trigger_line"]), peak=peak, margin=margin)
    entry = int(worth(case["qty"], case["entry"], scale))

    assert loss == amount(case["most_loss"], scale)
    for side in ("long", "short"):
        found = of_pool(lots=lots_of(side, case["qty"]), entry_value=entry, loss=loss)
        assert shown(found, case) == Fraction(case[f"{side}_price"])


@asking("choice")
def test_a_settlement_price_is_chosen_by_the_edition(case: Case) -> None:
    """The edition's own price part gives the source's price from what the event knows."""
    scale = scale_of(case)
    prices = ("bankruptcy", "mark", "oracle")
    known = Candidates(
        is_inverse=False,
        is_long=case["side"] == "long",
        fund_balance=int(case["known"].get("fund_balance", "0")),
        **{
            name: worth("1", case["known"][name], scale) for name in prices if name in case["known"]
        },
    )
    parameters = {name: Decimal(text) for name, text in case.get("parameters", {}).items()}
    venue = Venue.load(case["edition"]).with_parameters(parameters)
    found = price_by_edition(venue.price, known)

    assert found.lot_value == worth("1", case["price"], scale)
    if "deviation" in case:
        assert deviation_of(known) == Fraction(case["deviation"])
    if "given_up" in case:
        oracle = worth(case["qty"], case["known"]["oracle"], scale)
        given = found.lot_value * int(case["qty"]) - oracle
        assert given == amount(case["given_up"], scale)


def notional(quantums: int, coin: str, case: Case) -> int:
    """Signed notional in quantums of the collateral, cut off toward zero."""
    exact = Fraction(quantums) * Fraction(case["oracle"][coin]) / CENTS[coin]
    return int(exact)


def health(usdc: int, positions: dict[str, int], case: Case) -> Health:
    """Equity and requirements of an account: each requirement rounded up, a position at a time."""
    initial = maintenance = 0
    equity = usdc
    for coin, quantums in positions.items():
        value = notional(quantums, coin, case)
        equity += value
        own = rounded(Fraction(abs(value) * case["initial_ppm"], 10**6), Rounding.UP)
        initial += own
        maintenance += rounded(Fraction(own * case["maintenance_ppm"], 10**6), Rounding.UP)
    return Health(equity=equity, initial=initial, maintenance=maintenance)


def moved(positions: dict[str, int], coin: str, delta: int) -> dict[str, int]:
    """The positions after a change of one."""
    after = {**positions, coin: positions.get(coin, 0) + delta}
    return {name: quantums for name, quantums in after.items() if quantums}


def quote_of(usdc: int, positions: dict[str, int], coin: str, delta: int, case: Case) -> int:
    """What closing a part at the bankruptcy price credits the account."""
    after = moved(positions, coin, delta)
    before, left = health(usdc, positions, case), health(usdc, after, case)
    return quote_by_maintenance(
        lots=positions.get(coin, 0),
        delta=delta,
        notional_change=left.equity - before.equity,
        maintenance_released=before.maintenance - left.maintenance,
        equity=before.equity,
        maintenance=before.maintenance,
    )


@asking("quote")
def test_a_quote_is_shared_by_maintenance_margin(case: Case) -> None:
    """The bankruptcy quote is the source's to the quantum, or the step is refused as there."""
    given = (case["usdc"], case["positions"], case["close"], case["delta"])
    if case.get("refused"):
        with pytest.raises(InputError, match=r"delta: expected a part of .* lots"):
            quote_of(*given, case)
        return
    assert quote_of(*given, case) == case["quote"]


@asking("offset")
def test_two_accounts_are_offset_as_in_the_source(case: Case) -> None:
    """Quote and both balances are the source's; what would harm an account is refused."""
    (one, other), coin, delta = (
        (case["liquidated"], case["offsetting"]),
        case["close"],
        case["delta"],
    )
    if case.get("refused") == "size":
        with pytest.raises(InputError, match=r"delta: expected a part of .* lots"):
            offset(one, other, case)
        return
    quote, booked = offset(one, other, case)
    after = [
        health(leg_usdc, moved(side["positions"], coin, change), case)
        for leg_usdc, side, change in (
            (one["usdc"] + quote, one, delta),
            (other["usdc"] - quote, other, -delta),
        )
    ]
    before = [health(side["usdc"], side["positions"], case) for side in (one, other)]
    may = all(keeps_health(*pair) for pair in zip(before, after, strict=True))

    assert may is (case.get("refused") != "unhealthy")
    assert quote == case.get("quote", quote)
    assert [booked.liquidated.quote, booked.legs[0].quote] == [quote, -quote]
    if "usdc_after" in case:
        found = [one["usdc"] + booked.liquidated.pnl, other["usdc"] + booked.legs[0].pnl]
        assert found == case["usdc_after"]


def offset(one: Case, other: Case, case: Case) -> tuple[int, Settlement]:
    """Close one account against another: the quote, and what is booked."""
    coin, delta = case["close"], case["delta"]
    if case["at"] == "oracle":
        quote = notional(-delta, coin, case)
    else:
        quote = quote_of(one["usdc"], one["positions"], coin, delta, case)
    lots, against = one["positions"][coin], other["positions"][coin]
    closed = closed_lots(lots, delta)
    closed_lots(against, -delta)
    gain = 1 if lots > 0 else -1
    booked = settle(
        [Cut(position_id="o", account="o", lots=against, entry_value=0, closed=closed)],
        Bankrupt(account="l", lots=lots, entry_value=0),
        at(Fraction(gain * quote, closed)),
        terms_of(case),
    )
    return quote, booked


@asking("transfer")
def test_margin_moves_with_a_part_of_the_position(case: Case) -> None:
    """Margins and positions after are the source's, or the step is refused as there."""
    if case.get("refused"):
        with pytest.raises((InputError, StateError), match=r"lots: expected|bankruptcy value: exp"):
            transfer(case)
        return
    assert transfer(case) == (case["long_after"], case["short_after"])


def transfer(case: Case) -> tuple[list[int], list[int]]:
    """Close an underwater account's part against the other: (margin, position) of both."""
    sides = [case["long"], case.get("short", case.get("other"))]
    under, over = sides if case["underwater"] == "long" else reversed(sides)
    size = offset_size(
        case["amount"], under[1], over[1], is_all_or_nothing=case.get("is_all_or_nothing", False)
    )
    found = bankruptcy(
        Holding(lots=under[1], entry_value=0, mark_value=0),
        Cross(margin=under[0]),
        convention=Convention.OWN_MARGIN,
        clamp=Clamp.REFUSED,
    )
    quote = found.quote(size, Rounding.UP) if size else 0
    step = -size if under[1] > 0 else size
    after = {
        id(under): [under[0] + quote, under[1] + step],
        id(over): [over[0] - quote, over[1] - step],
    }
    return after[id(sides[0])], after[id(sides[1])]


@asking("share")
def test_value_per_risk_stays_as_it_is(case: Case) -> None:
    """The value after, rounded up, and the quote that leads to it are the source's."""
    factor, price = Fraction(case["risk_factor"]), case["price"]
    left = case["position"] + case["delta"]
    # One unit of risk is the factor's denominator, so that both risks are whole.
    risks = [abs(size) * price * factor.numerator for size in (case["position"], left)]
    after = value_after(value=case["value"], risk=risks[0], risk_after=risks[1])

    assert after == case["value_after"]
    assert after - case["value"] - case["delta"] * price == case["quote"]
    closing = {"value": case["value"], "risk": risks[0], "value_after": after}
    assert is_fair(**closing, risk_after=risks[1], bound=Bound.INCLUSIVE)


@asking("fair")
def test_what_is_fair_is_strict_or_inclusive(case: Case) -> None:
    """The same step is fair or not by the bound of the venue."""
    (value, risk), (after, risk_after) = case["before"], case["after"]
    for bound in (Bound.INCLUSIVE, Bound.STRICT):
        found = is_fair(
            value=value, risk=risk, value_after=after, risk_after=risk_after, bound=bound
        )
        assert found is case[bound.value]


@asking("fill")
def test_a_settlement_books_what_the_source_says(case: Case) -> None:
    """Price, profit, what is left and what the liquidated account keeps are the source's."""
    scale = scale_of(case)
    owed = amount(case.get("owed", "0"), scale)
    margin = amount(case.get("margin", "0"), scale) - owed
    open_steps = list(case["step"])
    for step in case["step"]:
        found = step_value(step, open_steps, margin, case)
        if "price" in step:
            assert shown(found, case) == Fraction(step["price"])
        rows = [row for row in case["cut"] if row["step"] == step["name"]]
        booked = settle_step(step, rows, found, case)
        assert_legs(booked, rows, case)
        margin += booked.liquidated.pnl
        open_steps.remove(step)
        if "lost" in case:
            share = owed * booked.liquidated.closed / abs(found.lots)
            assert booked.liquidated.pnl - share == -amount(case["lost"], scale)
    if "margin_after" in case:
        assert margin == amount(case["margin_after"], scale)


def step_value(step: Case, open_steps: list[Case], margin: Fraction, case: Case) -> Bankruptcy:
    """The bankruptcy value of the position that is closed next, frozen on its full size."""
    scale = scale_of(case)
    lots = lots_of(step["side"], step["qty"])
    if "bankrupt" in step:
        return Bankruptcy(lots=lots, value=worth(step["qty"], step["bankrupt"], scale))
    holdings = {
        one["name"]: Holding(
            lots=lots_of(one["side"], one["qty"]),
            entry_value=int(worth(one["qty"], one["entry"], scale)),
            mark_value=worth(one["qty"], one.get("mark", one["entry"]), scale),
        )
        for one in open_steps
    }
    equity = margin + sum((one.pnl for one in holdings.values()), Fraction(0))
    return bankruptcy(
        holdings[step["name"]],
        Cross(margin=margin, equity=equity),
        convention=Convention(case["convention"]),
    )


def settle_step(step: Case, rows: list[Case], found: Bankruptcy, case: Case) -> Settlement:
    """Close the rows of the queue against one position at its bankruptcy price."""
    scale = scale_of(case)
    other = "short" if step["side"] == "long" else "long"
    cuts = [
        Cut(
            position_id=row["id"],
            account=row["id"],
            lots=lots_of(other, row.get("held", row["qty"])),
            entry_value=int(worth(row.get("held", row["qty"]), row["entry"], scale)),
            closed=int(row["qty"]),
        )
        for row in rows
    ]
    entry = int(worth(step["qty"], step["entry"], scale))
    bankrupt = Bankrupt(account="zed", lots=found.lots, entry_value=entry, bankruptcy=found)
    return settle(cuts, bankrupt, at(found.lot_value), terms_of(case))


def assert_legs(booked: Settlement, rows: list[Case], case: Case) -> None:
    """Profit and what is left of every reduced position are the source's."""
    scale = scale_of(case)
    for leg, row in zip(booked.legs, rows, strict=True):
        if "pnl" in row:
            assert leg.pnl == amount(row["pnl"], scale)
        if "printed" in row:
            assert is_printed(leg.pnl * Fraction(scale.money_unit), row["printed"])
        assert abs(leg.lots_left) == int(row.get("left", "0"))
        if "entry_left" in row:
            assert leg.entry_left == amount(row["entry_left"], scale)
