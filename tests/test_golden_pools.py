"""The golden cases about pools: what flows in and out, what is held, what is shed."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from deleverage.backstop.bankruptcy import Bankruptcy, Cross, Holding, most_loss
from deleverage.backstop.groups import drawdown_bankruptcy
from deleverage.backstop.lines import Facts
from deleverage.backstop.liquidation import Fill, Liquidation
from deleverage.backstop.market_stage import disposals
from deleverage.backstop.pool import Pool
from deleverage.backstop.prices import SettlementPrice
from deleverage.backstop.settlement import Bankrupt, Book, Cut, Terms, settle
from deleverage.backstop.steps import rate_of
from deleverage.backstop.trigger import State
from deleverage.backstop.waterfall import (
    Outcome,
    Stage,
    Waterfall,
    after_deleveraging,
    before_deleveraging,
)
from deleverage.backstop.window import EIGHT_HOURS, HOUR
from deleverage.errors import InputError
from deleverage.model.terms import Cancelled, Fee, Payer, PriceKind, Standing
from deleverage.venue import Venue
from golden.stage_cases import Case, asking, exactly
from liquidations import MARKET, edition, market, settled, total, waterfall_of

FILE = "pools.toml"
CENTS = Fraction(100)
DYDX = {
    "order": ["market", "pool", "deleveraging", "remainder"],
    "pool": "pays",
    "payment": "whole",
    "remainder": "stays",
}


def closed(liquidation: Liquidation, fill: Fill, fund: int, most_ppm: int, mark: str) -> Stage:
    """One fill under dYdX v4's rules."""
    ratio = f"{Decimal(most_ppm) / 10**6:f}"
    rules = {**DYDX, "numbers": {"surplus_ratio": ratio}}
    waterfall = waterfall_of(edition(rules, convention="by_maintenance"), money_units=1)
    pool = Pool.open("fund", at=0, cash=fund)
    return before_deleveraging(
        waterfall,
        liquidation,
        fills=(fill,),
        facts=Facts(at=0, pool=pool, account_value=0),
        status=waterfall.trigger.idle(0),
        scale=market(mark, money_unit="1"),
    )


@asking(FILE, "flow")
def test_a_fill_pays_the_fund_or_is_paid_by_it(case: Case) -> None:
    """Above its bankruptcy price a long brings the fund the difference, below it the fund pays."""
    scale = market("7000", kind=case.get("kind", "linear"), money_unit="1e-12")
    side = {"long": 1, "short": -1}[case["side"]]

    def worth(price: str) -> Fraction:
        priced = market(price, kind=scale.kind, money_unit="1e-12")
        return Fraction(priced.mark_num, priced.mark_den)

    waterfall = waterfall_of(Venue.load(case["edition"]))
    gain = -side if scale.is_inverse else side
    for part in case["part"]:
        value = worth(part["bankruptcy"])
        fill = Fill(lots=1, quote=round(gain * worth(part["fill"])))
        pool = Pool.open("fund", at=0, cash=10**14)
        stage = before_deleveraging(
            waterfall,
            Liquidation(
                id="x",
                account="trader",
                market=MARKET,
                lots=side,
                entry_value=round(value),
                bankruptcy=Bankruptcy(lots=side, value=value, is_inverse=scale.is_inverse),
                opened_at=0,
            ),
            fills=(fill,),
            facts=Facts(at=0, pool=pool),
            status=waterfall.trigger.idle(0),
            scale=scale,
        )
        assert stage.pool is not None
        moved = stage.pool.cash - pool.cash
        assert (moved > 0, moved < 0) == {
            "fund_receives": (True, False),
            "fund_pays": (False, True),
        }[part["flow"]]
        assert abs(moved - gain * (worth(part["fill"]) - value)) <= 1
        assert total(stage.steps[-1].postings, "fund", Book.FUND) == moved


@asking(FILE, "delta")
def test_a_fill_changes_the_fund_as_in_the_source(case: Case) -> None:
    """The fund gets what is above bankruptcy, at most its share of the quote, and pays below it."""
    lots, cash = case["lots"], case["cash"]
    mark_value = abs(lots) * Fraction(case["oracle"]) / 100
    holding = Holding(lots=lots, entry_value=0, mark_value=mark_value, maintenance=1)
    waterfall = waterfall_of(edition(DYDX, convention="by_maintenance"))
    frozen = waterfall.freeze(
        holding, Cross(equity=cash + holding.gain * mark_value, maintenance=1)
    )
    opened = Liquidation(
        id="x",
        account="carl",
        market=MARKET,
        lots=lots,
        entry_value=0,
        bankruptcy=frozen,
        opened_at=0,
    )
    fill = Fill(lots=abs(lots), quote=case["quote"])
    fund = 10**9
    stage = closed(opened, fill, fund, case["most_ppm"], str(Fraction(case["oracle"]) / 100))

    assert stage.refused == ()
    assert stage.pool is not None
    assert stage.pool.cash - fund == case["fund_delta"]


@asking(FILE, "payment")
def test_a_fill_counts_only_if_the_fund_can_pay_it(case: Case) -> None:
    """A change of the fund is valid if it gains, or if its balance covers all of it."""
    value = 10**10
    opened = Liquidation(
        id="x",
        account="carl",
        market=MARKET,
        lots=1,
        entry_value=0,
        bankruptcy=Bankruptcy(lots=1, value=Fraction(value)),
        opened_at=0,
    )
    fill = Fill(lots=1, quote=value + case["delta"])
    stage = closed(opened, fill, case["fund"], 10**6, str(value))

    assert (stage.refused == ()) is case["counts"]
    assert stage.pool is not None
    assert stage.pool.cash - case["fund"] == (case["delta"] if case["counts"] else 0)


@asking(FILE, "inventory")
def test_a_pool_gains_on_what_it_took_over(case: Case) -> None:
    """Realised and unrealised profit after each step are the source's."""
    pool = Pool.open("fund", at=0, cash=1000)
    for at, step in enumerate(case["step"]):
        rate = rate_of(market(step["mark"], money_unit="1"))
        if "take" in step:
            lots = int(step["take"])
            entry = exactly(step["mark"], Fraction(abs(lots)))
            pool = pool.take_over(MARKET, lots=lots, entry_value=entry, rate=rate, at=at)
        pool = pool.mark({MARKET: rate}, at=at)
        held = pool.inventory(MARKET)
        assert (held.realised, held.unrealised) == (int(step["realised"]), int(step["unrealised"]))


@asking(FILE, "disposal")
def test_a_pool_sheds_in_the_sizes_of_the_source(case: Case) -> None:
    """The orders follow one another as printed, and nothing is left."""
    sizes = disposals(
        case["held"],
        share=Fraction(case["share"]),
        whole_below=case["whole_below"],
        most=case["most"],
    )

    assert list(sizes) == case["sizes"]


@asking(FILE, "shed")
def test_a_pool_sheds_against_a_user(case: Case) -> None:
    """Quantity and cost of both sides are the source's; cost is what is owed, funding is given."""
    (qty, cost), (fund_qty, fund_cost) = case["user"], case["fund"]
    scale = market("1", money_unit="1")
    terms = Terms(
        scale=scale,
        deleveraged=Fee.NONE,
        liquidated=Fee.NONE,
        cancelled=Cancelled.NONE,
        difference=Payer.NOBODY,
    )
    price = SettlementPrice(
        rule=PriceKind.COST,
        kind=PriceKind.COST,
        lot_value=Fraction(abs(case["cost"]), case["lots"]),
        reason="cost price",
    )
    cut = Cut(position_id="u", account="user", lots=qty, entry_value=0, closed=case["lots"])
    shed = Bankrupt(account="fund", lots=fund_qty, entry_value=0, is_pool=True)
    if case.get("refused"):
        with pytest.raises(InputError, match="cut 'u': expected the other side"):
            settle([cut], shed, price, terms)
        return
    booked = settle([cut], shed, price, terms)
    owed = [
        before + funding - total(booked.postings, owner, *Book)
        for owner, before, funding in zip(
            ("user", "fund"), (cost, fund_cost), case["funding"], strict=True
        )
    ]

    assert [booked.legs[0].lots_left, owed[0]] == case["user_after"]
    assert [booked.liquidated.lots_left, owed[1]] == case["fund_after"]


def pool_that_lost(case: Case, lots: int, entry: int, margin: int) -> Pool:
    """The pool of the case: it took the position over at its bankruptcy and sees it at the mark."""
    bankrupt = market(Fraction(entry - margin, 100 * lots), money_unit="0.01")
    pool = Pool.open("fund", at=0, cash=exactly(case["before"], CENTS)).take_over(
        MARKET, lots=lots, entry_value=entry, rate=rate_of(bankrupt), at=HOUR, margin=margin
    )
    return pool.mark({MARKET: rate_of(market(case["mark"], money_unit="0.01"))}, at=2 * HOUR)


def shed_through(waterfall: Waterfall, pool: Pool, case: Case) -> tuple[Stage, Outcome]:
    """Shed the pool's position to the queue of the case at the price of its line."""
    held = pool.inventory(MARKET)
    line = Fraction(case["parameters"]["trigger.symbol_drawdown.ratio"])
    frozen = drawdown_bankruptcy(pool, MARKET, line=line, length=EIGHT_HOURS)
    stage = before_deleveraging(
        waterfall,
        Liquidation(
            id="shed",
            account="fund",
            market=MARKET,
            lots=held.lots,
            entry_value=held.entry_value,
            bankruptcy=None,
            opened_at=2 * HOUR,
            is_pool=True,
        ),
        facts=Facts(at=2 * HOUR, pool=pool),
        status=waterfall.trigger.idle(0),
        scale=market(case["mark"], money_unit="0.01"),
    )
    cuts = [
        Cut(
            position_id=f"p{place}",
            account=f"short {place}",
            lots=-int(size),
            entry_value=held.entry_value * int(size) // held.lots,
            closed=int(size),
        )
        for place, size in enumerate(case["queue"])
    ]
    booked = settled(waterfall, stage, cuts, pool_bankruptcy=frozen.lot_value)
    assert frozen.lot_value == exactly(case["price"], CENTS)
    return stage, after_deleveraging(waterfall, stage, booked)


@asking(FILE, "drawdown")
def test_a_pool_sheds_at_its_own_bankruptcy(case: Case) -> None:
    """Ratio, largest loss, price and stop are the source's, and the pool stands on its line."""
    venue = Venue.load(case["edition"]).with_parameters(
        {name: Decimal(value) for name, value in case["parameters"].items()}
    )
    waterfall = waterfall_of(venue, standing=Standing.CANDIDATE, money_units=100)
    lots, margin = int(case["size"]), exactly(case["margin"], CENTS)
    pool = pool_that_lost(case, lots, exactly(case["entry"], CENTS * lots), margin)
    stage, outcome = shed_through(waterfall, pool, case)
    figures = {each.name: Fraction(each.value) for each in stage.status.decided[0].figures}
    peak = exactly(case["before"], CENTS)
    line = Fraction(case["parameters"]["trigger.symbol_drawdown.ratio"])
    loss = most_loss(trigger_line=line, peak=peak, margin=margin)

    assert (figures["pnl_peak"] - figures["pnl"]) / figures["pool_peak"] == Fraction(case["ratio"])
    assert stage.permits
    assert loss == exactly(case["most_loss"], CENTS)
    assert outcome.left is None
    assert outcome.pool is not None
    assert outcome.pool.inventory(MARKET).lots == 0
    assert outcome.pool.balance == peak * (1 - line)
    for mark, state in ((case["goes_on_at"], State.ACTIVE), (case["stops_at"], State.IDLE)):
        better = pool.mark({MARKET: rate_of(market(mark, money_unit="0.01"))}, at=3 * HOUR)
        facts = replace(stage.facts, at=3 * HOUR, pool=better)
        assert waterfall.trigger.step(stage.status, facts).state is state
