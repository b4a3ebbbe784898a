"""The golden cases about policies: what venues print where a loss or a close is not queued for."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from deleverage.backstop.bankruptcy import quote_by_maintenance
from deleverage.errors import StateError
from deleverage.policy import Contracts, Profits, ProRata, SeededRing
from deleverage.policy.both_sides import (
    deposit_delta,
    drift_delta,
    mango_delta,
    socialised_size,
    vertex_delta,
)
from deleverage.policy.index_scaling import Index
from deleverage.policy.named import Marks
from deleverage.policy.pool_solvency import Pool, token_price
from deleverage.policy.seniority import Claim, payouts, redemption_rates
from deleverage.policy.socialised import payout_ratio, printed_shares, share_payouts
from deleverage.policy.withdrawal import burned_cash, cash_rate, charge_withdrawal, loss_factor
from golden.policy_cases import FACTS, FIELDS, Case, policy_cases

SECOND = 1_000_000_000
PRICES = {"BTC": Fraction(50_000 * 10**6, 10**8), "ETH": Fraction(3_000 * 10**6, 10**9)}
"""Oracle prices of the ring's fixture, quantums of the collateral a quantum of the coin."""


def asking(question: str, *names: str) -> pytest.MarkDecorator:
    """Run a test on every case of one question that has any of these fields."""
    cases = policy_cases(question)
    cases = tuple(case for case in cases if not names or any(name in case for name in names))
    return pytest.mark.parametrize("case", cases, ids=[case["id"] for case in cases])


def ints(values: list[int]) -> np.ndarray[Any, Any]:
    """A column."""
    return np.array(values, dtype=np.int64)


def test_every_case_says_where_it_is_from() -> None:
    """Each case has its facts in words, and no id stands twice."""
    cases = [case for question in FIELDS for case in policy_cases(question)]
    ids = [case["id"] for case in cases]

    assert len(set(ids)) == len(ids)
    assert [case["id"] for case in cases if not all(case[name] for name in FACTS)] == []


@asking("index")
def test_a_side_is_scaled_as_in_the_source(case: Case) -> None:
    """Closing against all scales the whole side; a position of all of it ends at what is left."""
    side = Index(scale=case["scale"], open_interest=case["open_interest"])
    whole = side.open(case["open_interest"])
    after = side.close(case["closed"], deficit=0)

    assert after.scale == case["scale_after"]
    assert after.settle(whole).holding.lots == case["open_interest"] - case["closed"]


@asking("ratio")
def test_the_part_of_profits_that_is_paid_is_the_source_s(case: Case) -> None:
    """What is left, by what all profits ask for."""
    assert payout_ratio(case["residual"], case["profit"]) == Fraction(case["ratio"])


@asking("haircut")
def test_winners_are_cut_as_in_the_source(case: Case) -> None:
    """The haircut of every winner is the source's, and it is one part of all profits."""
    found = ProRata().allocate(Profits(profit=ints(case["profits"])), case["missing"])
    paid = sum(case["profits"]) - case["missing"]

    assert found.taken.tolist() == case["taken"]
    assert found.level is not None
    assert 1 - found.level == payout_ratio(paid, sum(case["profits"]))


@asking("payouts")
def test_what_was_collected_is_paid_out_as_in_the_source(case: Case) -> None:
    """Floors first, the dust to the last winner or to the network; the sum is what there was."""
    paid = share_payouts(case["owed"], case["collected"])
    to_network = share_payouts(case["owed"], case["collected"], network=0)
    dust = paid[-1] - case["owed"][-1] * case["collected"] // sum(case["owed"])

    assert paid == case["paid"]
    assert sum(paid) == sum(to_network) == case["collected"]
    assert [*to_network[1:-1], to_network[-1] + dust] == paid[1:]


@asking("printed")
def test_printed_shares_are_rounded_one_by_one(case: Case) -> None:
    """Percentages, losses and what is left are the printed ones; the booked losses add up."""
    names = list(case["profits"])
    profits = [Decimal(case["profits"][name]) for name in names]
    step, lost = Decimal(case["step"]), Decimal(case["shortfall"])
    shares = printed_shares(lost, profits, step)
    percent = printed_shares(Decimal(100), profits, step)
    cents = [int(profit / step) for profit in profits]
    booked = ProRata().allocate(Profits(profit=ints(cents)), int(lost / step)).taken

    assert shares == [Decimal(case["lost"][name]) for name in names]
    assert percent == [Decimal(case["percent"][name]) for name in names]
    left = [profit - share for profit, share in zip(profits, shares, strict=True)]
    assert left == [Decimal(case["net"][name]) for name in names]
    assert int(booked.sum()) * step == lost
    assert all(
        abs(int(cut) * step - share) <= step for cut, share in zip(booked, shares, strict=True)
    )


@asking("funding")
def test_both_sides_pay_as_in_the_source(case: Case) -> None:
    """What each unit held pays is the source's, or the loss is refused as there."""
    if case["venue"] == "drift":
        sides = {"long": case["long"], "short": case["short"]}
        if case.get("refused"):
            with pytest.raises(StateError, match="open interest: expected some"):
                drift_delta(case["loss"], **sides)
            return
        assert drift_delta(case["loss"], **sides) == case["delta"]
        return
    charge = {"mango": mango_delta, "vertex": vertex_delta}[case["venue"]]
    assert charge(case["loss"], open_interest=case["held"]) == case["delta"]


@asking("deposit")
def test_depositors_pay_as_in_the_source(case: Case) -> None:
    """The fall of the cumulative interest, and what deposits are worth after it."""
    names = ("deposits", "interest")
    delta = deposit_delta(case["loss"], **{name: case[name] for name in names})

    assert delta == case["delta"]
    if "interest_after" in case:
        after = case["interest"] - delta
        assert after == case["interest_after"]
        assert case["deposits"] * after // case["interest"] == case["deposits_after"]


@asking("size")
def test_the_size_that_is_paid_on_is_the_source_s(case: Case) -> None:
    """What the other side and the makers cover."""
    found = socialised_size(**{name: case[name] for name in ("maker", "long", "short")})

    assert (found.long, found.short) == (case["long_paid"], case["short_paid"])


@asking("rate")
def test_cash_is_worth_what_the_source_says(case: Case) -> None:
    """Deposits by deposits and loss; a withdrawal burns more cash than it pays."""
    rate = cash_rate(stable=case["deposits"], cash=case["deposits"] + case["loss"])

    assert rate == Fraction(case["rate"])
    if "withdrawn" in case:
        assert burned_cash(case["withdrawn"], rate) == case["burned"]


@asking("factor")
def test_a_withdrawal_is_charged_as_in_the_source(case: Case) -> None:
    """The factor by the formula, and how a withdrawal is split at a factor."""
    factor = Fraction(case["factor"])
    if "balance" in case:
        amounts = {name: case[name] for name in ("bankruptcy", "insurance", "balance")}
        assert loss_factor(**amounts) == factor
        return
    split = charge_withdrawal(case["withdrawn"], factor)
    assert (split.to_fund, split.to_user) == (case["to_fund"], case["to_user"])


@asking("senior")
def test_seniors_are_paid_first(case: Case) -> None:
    """Rates of both classes, or what each account is paid, are the source's."""
    if "rates" in case:
        names = ("collateral", "without_position", "with_position")
        rates = redemption_rates(**{name: case[name] for name in names})
        assert [rates.without_position, rates.with_position] == list(map(Fraction, case["rates"]))
        return
    pairs = zip(case["margins"], case["holds"], strict=True)
    claims = [Claim(margin=margin, has_position=holds) for margin, holds in pairs]
    assert payouts(claims, collateral=case["collateral"]) == case["paid"]


@asking("pool")
def test_a_close_lowers_the_pool_s_ratio_as_in_the_source(case: Case) -> None:
    """The ratio before is the source's; half of the position closes, and no more than allowed."""
    profit = case["size"] * (case["price"] - case["entry"]) // case["entry"]
    before = Pool(balance=case["balance"], pnl=profit)
    part = profit * case["closed"] // case["size"]
    after = Pool(balance=case["balance"] - part, pnl=profit - part)
    limits = {"limit": Fraction(case["limit"]), "least": Fraction(case["least"])}

    assert before.factor == Fraction(case["factor"])
    assert before.deleverage(after, **limits) == after
    assert case["size"] - case["closed"] == case["size_after"]
    with pytest.raises(StateError, match="ratio after: expected 1/50 or more, got 0"):
        before.deleverage(Pool(balance=case["balance"], pnl=0), **limits)
    with pytest.raises(StateError, match="ratio after: expected below"):
        before.deleverage(before, **limits)
    with pytest.raises(StateError, match="ratio: expected beyond 1/10"):
        after.deleverage(after, **limits)


@asking("paid")
def test_who_closes_first_is_paid_by_the_pool_of_that_moment(case: Case) -> None:
    """Collateral and capped profit of each, in the order of the source."""
    holdings, open_pnl, out = case["holdings"], sum(case["profits"]), []
    for profit in case["profits"]:
        pool = Pool(balance=holdings // (2 if case["is_single_token"] else 1), pnl=open_pnl)
        paid = pool.paid(profit, limit=Fraction(case["limit"]))
        out.append(case["collateral"] + paid)
        holdings, open_pnl = holdings - paid, open_pnl - profit

    assert out == case["out"]


@asking("token")
def test_a_pool_token_is_worth_what_the_source_says(case: Case) -> None:
    """Holdings less open profit, by supply, at each of the source's moments."""
    limit = Fraction(case["limit"])
    prices = [
        token_price(
            holdings=holdings, pnl=pnl, limit=limit, side=holdings // 2, supply=case["supply"]
        )
        for holdings, pnl in zip(case["holdings"], case["pnl"], strict=True)
    ]

    assert prices == [Fraction(price) for price in case["prices"]]


@asking("named")
def test_others_than_the_operator_mark_and_wait(case: Case) -> None:
    """No close before the wait is over, except by the operator; what a close leaves of the mark."""
    end = 50 + case["wait_seconds"] * SECOND
    nobody = Marks()
    marked = nobody.mark("maker", at=50, is_underwater=True)

    nobody.check("maker", at=0, is_operator=True)
    with pytest.raises(StateError, match="expected a mark, got none"):
        nobody.check("maker", at=end, is_operator=False)
    with pytest.raises(StateError, match="expected one underwater"):
        nobody.mark("maker", at=0, is_underwater=False)
    with pytest.raises(StateError, match="1 ns are left"):
        marked.check("maker", at=end - 1, is_operator=False)
    marked.check("maker", at=end, is_operator=False)
    assert marked.closed("maker", is_whole=False) == marked
    assert marked.closed("maker", is_whole=True) == nobody
    assert marked.mark("maker", at=60, is_underwater=True) == marked


def worth(book: Case) -> Fraction:
    """Equity of a book at the oracle."""
    return book["usdc"] + sum(size * PRICES[coin] for coin, size in book["positions"].items())


def quote_of(book: Case, coin: str, delta: int) -> int:
    """What a book is credited where a part closes at its bankruptcy price, margin 100 %."""
    size = book["positions"][coin]
    required = {name: abs(held) * PRICES[name] for name, held in book["positions"].items()}
    return quote_by_maintenance(
        lots=size,
        delta=delta,
        notional_change=int(delta * PRICES[coin]),
        maintenance_released=(abs(size) - abs(size + delta)) * PRICES[coin],
        equity=worth(book),
        maintenance=sum(required.values(), Fraction(0)),
    )


@asking("ring")
def test_the_ring_closes_whom_the_source_closes(case: Case) -> None:
    """Fills, quotes, what is left, and the liquidated account afterwards are the source's."""
    coin, book = case["close"], case["liquidated"]
    size = book["positions"][coin]
    side = -1 if size > 0 else 1
    facing = [row["positions"][coin] * side for row in case["candidates"]]
    prices = [
        Fraction(-quote_of(row, coin, -row["positions"][coin]), -row["positions"][coin])
        for row in case["candidates"]
    ]
    ring = SeededRing(
        start=0,
        side=side,
        bankruptcy=Fraction(-quote_of(book, coin, -size), -size),
        bankruptcies=prices,
    )
    found = ring.allocate(Contracts(lots=ints([max(0, lots) for lots in facing])), abs(size))
    fills = [
        [row["name"], lots, quote_of(book, coin, side * lots)]
        for row, lots in zip(case["candidates"], found.taken.tolist(), strict=True)
        if lots
    ]

    assert fills == case["fills"]
    assert found.unfilled == case["left"]
    assert book["usdc"] + sum(quote for _, _, quote in fills) == case["usdc_after"]
