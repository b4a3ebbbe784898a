"""The waterfall: steps in the edition's order, and what each of them does."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from deleverage.backstop.bankruptcy import Cross, Holding
from deleverage.backstop.liquidation import EVERYBODY, Fill
from deleverage.backstop.liquidation import MARKET as BOOK
from deleverage.backstop.settlement import Book
from deleverage.backstop.steps import rate_of
from deleverage.backstop.trigger import State, gaps
from deleverage.backstop.waterfall import (
    Waterfall,
    after_deleveraging,
    before_deleveraging,
)
from deleverage.backstop.window import HOUR
from deleverage.errors import InputError, StateError, VenueError
from deleverage.model.terms import (
    Completion,
    Fee,
    Payer,
    Standing,
    StepKind,
)
from deleverage.venue import Venue, venues
from liquidations import (
    BEHIND,
    MARKET,
    WITHOUT,
    cut,
    edition,
    ended,
    enter,
    fund,
    kinds,
    liquidation,
    manual,
    scale_at,
    settled,
    steps_of,
    total,
    waterfall_of,
)


def test_a_pool_takes_over_what_the_market_leaves_while_its_trigger_is_quiet() -> None:
    """Orders, market, pool: the account ends at its bankruptcy, the pool holds the rest there."""
    waterfall = manual()
    stage = enter(
        waterfall, liquidation(), pool=fund(), fills=[Fill(lots=4, quote=400)], is_emergency=False
    )

    assert kinds(stage.steps) == ["orders", "market", "pool"]
    assert [step.lots for step in stage.steps] == [0, 4, 6]
    assert (stage.left, stage.permits, stage.debt) == (None, False, 0)
    assert stage.pool is not None
    assert stage.pool.inventory(MARKET).lots == 6
    assert stage.pool.inventory(MARKET).entry_value == 540
    assert stage.pool.cash == 1000 + (400 - 360)
    assert total([p for s in stage.steps for p in s.postings], "zed", Book.WALLET) == -100


def test_an_active_trigger_keeps_the_pool_out_and_asks_the_queue() -> None:
    """The queue closes the rest at the bankruptcy price; the trigger ends with the liquidation."""
    waterfall = manual()
    stage = enter(waterfall, liquidation(), pool=fund())
    outcome = ended(waterfall, stage, cut(-20, 10, entry=2400))

    assert kinds(stage.steps) == ["orders"]
    assert stage.permits
    assert kinds(outcome.steps) == ["deleveraging"]
    assert outcome.left is None
    assert outcome.pool == stage.pool
    assert outcome.status.state is State.IDLE
    assert total(outcome.steps[0].postings, "w", Book.WALLET) == 1200 - 900


def test_what_the_queue_leaves_stays_and_goes_on_later() -> None:
    """Best effort: the part that was closed is kept, the rest is a liquidation of fewer lots."""
    waterfall = manual()
    outcome = ended(waterfall, enter(waterfall, liquidation(), pool=fund()), cut(-3, 3, entry=300))
    assert outcome.left is not None
    again = enter(waterfall, outcome.left, pool=outcome.pool)

    assert kinds(outcome.steps) == ["deleveraging", "remainder"]
    assert (outcome.left.lots, outcome.left.entry_value) == (7, 700)
    assert outcome.left.bankruptcy == liquidation().bankruptcy
    assert outcome.status.state is State.ACTIVE
    assert again.permits


def test_all_or_nothing_does_nothing_with_a_part() -> None:
    """A settlement of a part is refused; without one the liquidation stays as it was."""
    venue = edition(steps_of(), starts=["manual"])
    whole = replace(venue.allocation, completion=Completion.ALL_OR_NOTHING)
    waterfall = waterfall_of(replace(venue, allocation=whole), money_units=1)
    stage = enter(waterfall, liquidation(), pool=fund())

    with pytest.raises(StateError, match="expected all 10 lots or nothing, got 3"):
        ended(waterfall, stage, cut(-3, 3, entry=300))
    nothing = ended(waterfall, stage)
    assert (nothing.left, nothing.pool) == (liquidation(), stage.pool)
    assert [step.lots for step in nothing.steps] == [0]
    assert ended(waterfall, stage, cut(-10, 10, entry=900)).left is None


def test_a_trigger_that_is_quiet_refuses_the_queue() -> None:
    """Where the pool takes nothing over and the trigger is quiet, the liquidation stays open."""
    waterfall = manual(pool="pays")
    stage = enter(waterfall, liquidation(), pool=fund(), is_emergency=False)

    assert (stage.left, stage.permits) == (liquidation(), False)
    waiting = after_deleveraging(waterfall, stage)
    assert (waiting.left, waiting.steps) == (liquidation(), ())
    asked = replace(stage, permits=True)
    booked = settled(waterfall, asked, [cut(-10, 10, entry=900)])
    with pytest.raises(StateError, match=r"deleveraging is not permitted \(start manual"):
        after_deleveraging(waterfall, stage, booked)
    small = replace(asked, left=replace(liquidation(), lots=4))
    with pytest.raises(StateError, match="expected a settlement of 4 lots of 'zed', got 10 of"):
        after_deleveraging(waterfall, small, booked)


def test_fills_below_bankruptcy_are_paid_as_the_edition_says() -> None:
    """In part as far as the money goes, or a fill that cannot be paid whole does not count."""
    fills = [Fill(lots=2, quote=150), Fill(lots=2, quote=150)]
    part = enter(manual(pool="pays"), liquidation(), pool=fund(40), fills=fills)
    whole = enter(manual(pool="pays", payment="whole"), liquidation(), pool=fund(40), fills=fills)
    none = enter(
        manual(pool="nothing", order=list(WITHOUT)), liquidation(), pool=fund(40), fills=fills
    )
    below = enter(
        manual(pool="pays"), liquidation(), pool=fund(0, may_be_negative=True), fills=fills
    )

    assert part.pool is not None
    assert whole.pool is not None
    assert below.pool is not None
    assert (part.debt, part.pool.cash, part.refused) == (20, 0, ())
    assert (whole.debt, whole.pool.cash, whole.refused) == (0, 10, (fills[1],))
    assert (none.debt, none.pool, none.refused) == (60, fund(40).advance(HOUR), ())
    assert (below.debt, below.pool.cash) == (0, -60)
    assert part.left is not None
    assert part.left.debt == 20


def test_a_surplus_goes_to_whom_the_edition_names() -> None:
    """To the fund, at most a share of the quote, or it stays on the account."""
    fill = Fill(lots=10, quote=1000)
    found = []
    for rules in (
        {"surplus": "fund"},
        {"surplus": "fund", "numbers": {"surplus_ratio": "0.015"}},
        {"surplus": "account"},
    ):
        stage = enter(manual(**rules), liquidation(), pool=fund(0), fills=[fill])
        assert stage.pool is not None
        wallet = total(stage.steps[-1].postings, "zed", Book.WALLET)
        found.append((stage.pool.cash, wallet))

    assert found == [(100, -100), (15, -15), (0, 0)]


def test_a_part_fill_proceeds_or_waits() -> None:
    """DYdX v4 deleverages only what the market did not touch in this event."""
    fill = [Fill(lots=1, quote=90)]
    proceeds = enter(manual(), liquidation(), pool=fund(), fills=fill)
    waits = enter(manual(part_fill="waits"), liquidation(), pool=fund(), fills=fill)
    assert waits.left is not None

    assert (proceeds.permits, waits.permits) == (True, False)
    assert enter(manual(part_fill="waits"), waits.left, pool=fund()).permits
    assert waits.left.filled == 1


@pytest.mark.parametrize(
    ("standing", "lots", "realised", "left"),
    [("netted", -4, 40, 6), ("candidate", -10, 0, 10), ("exempt", -10, 0, 10)],
)
def test_a_pool_on_the_other_side_is_netted_or_stands_aside(
    standing: str, lots: int, realised: int, left: int
) -> None:
    """Netted lots are closed against the pool at bankruptcy before anybody is cut."""
    held = -4 if standing == "netted" else -10
    pool = fund().take_over(
        MARKET, lots=held, entry_value=-100 * held, rate=rate_of(scale_at()), at=0
    )
    waterfall = waterfall_of(
        edition(steps_of(), starts=["manual"]), money_units=1, standing=Standing(standing)
    )
    stage = enter(waterfall, liquidation(), pool=pool)
    assert stage.pool is not None
    assert stage.left is not None

    now = stage.pool.inventory(MARKET)
    assert now.lots == (0 if standing == "netted" else lots)
    assert (now.realised, stage.left.lots) == (realised, left)
    with pytest.raises(VenueError, match=r"eligibility\.pools: never published, and the pool hol"):
        enter(manual(), liquidation(), pool=pool)


def test_the_order_is_the_editions() -> None:
    """Cube asks its fund after the queue: it pays what it has, the rest is for everybody."""
    waterfall = manual(pool="pays", order=list(BEHIND), remainder="socialised")
    stage = enter(waterfall, liquidation(debt=30), pool=fund(50))
    outcome = ended(waterfall, stage, cut(-4, 4, entry=400))

    assert kinds(stage.steps) == ["orders"]
    assert kinds(outcome.steps) == ["deleveraging", "pool", "remainder"]
    assert outcome.pool is not None
    assert (outcome.left, outcome.debt) == (None, 0)
    assert outcome.pool.cash == 0
    assert outcome.socialised == 30 + 6 * (90 - 85) - 50
    posted = [p for s in outcome.steps for p in s.postings]
    assert total(posted, EVERYBODY, Book.LOSS) == -outcome.socialised
    assert total(posted, "zed", Book.WALLET, Book.BASIS) == 900 + 30


def test_a_fund_behind_the_queue_takes_what_its_money_bears() -> None:
    """Behind the queue it takes the rest over if it can bear the loss at the mark."""
    waterfall = manual(order=list(BEHIND))
    rich = ended(waterfall, enter(waterfall, liquidation(), pool=fund(50)))
    poor = ended(waterfall, enter(waterfall, liquidation(), pool=fund(49)))

    assert (rich.left, kinds(rich.steps)) == (None, ["pool"])
    assert (poor.left, kinds(poor.steps)) == (liquidation(), ["remainder"])


def test_what_is_left_goes_where_the_edition_says() -> None:
    """It stays, stays behind a gate, or goes to a pool that may fall below zero."""
    gate = {"remainder": "gated", "numbers": {"gate_blocks": "50"}}
    hours = {"remainder": "gated", "numbers": {"gate_hours": "2"}}
    below = {"remainder": "pool", "fund_below_zero": True, "pool": "pays"}
    opened = liquidation(debt=30)
    found = {}
    for name, rules in (("blocks", gate), ("hours", hours), ("stays", {}), ("pool", below)):
        waterfall = manual(**rules)
        pool = fund(0, may_be_negative=name == "pool")
        found[name] = ended(waterfall, enter(waterfall, opened, pool=pool))

    assert found["blocks"].gate is not None
    assert found["hours"].gate is not None
    assert (found["blocks"].gate.seen, found["blocks"].gate.length) == (5, 50)
    assert (found["hours"].gate.seen, found["hours"].gate.length) == (HOUR, 2 * HOUR)
    assert {name: (found[name].left, found[name].debt) for name in ("blocks", "stays")} == {
        "blocks": (opened, 30),
        "stays": (opened, 30),
    }
    assert found["pool"].pool is not None
    assert (found["pool"].left, found["pool"].debt) == (None, 0)
    assert found["pool"].pool.cash == -30
    assert found["pool"].pool.balance == -30 - 50


def test_a_bankruptcy_below_zero_is_taken_with_cash() -> None:
    """A long that is worth less than nothing comes with money, a short like it costs the pool."""
    waterfall = manual()
    long = enter(waterfall, liquidation(bankrupt=-70), pool=fund(100), is_emergency=False)
    short = enter(
        waterfall,
        liquidation(-10, bankrupt=-70),
        pool=fund(50),
        scale=scale_at("1"),
        is_emergency=False,
    )
    assert long.pool is not None
    assert short.pool is not None

    assert (long.pool.cash, long.pool.inventory(MARKET).entry_value, long.debt) == (170, 0, 0)
    assert (short.pool.cash, short.pool.inventory(MARKET).lots, short.debt) == (10, -10, 30)
    assert short.pool.available == 0


def test_a_pool_sheds_its_own_position_through_the_same_steps() -> None:
    """Strike's second type: at the mark, all or nothing; the pool's record follows the books."""
    venue = Venue.load("strike-type2")
    free = replace(venue.fees, deleveraged=Fee.NONE, liquidated=Fee.NONE)
    waterfall = waterfall_of(replace(venue, fees=free), money_units=1)
    pool = (
        fund()
        .take_over(MARKET, lots=10, entry_value=900, rate=rate_of(scale_at("90")), at=0)
        .mark({MARKET: rate_of(scale_at())}, at=HOUR)
    )
    held = liquidation(account="fund", is_pool=True, bankruptcy=None, entry=900)
    stage = enter(waterfall, held, pool=pool)
    outcome = ended(waterfall, stage, cut(-10, 10, entry=1000))
    assert outcome.pool is not None

    assert stage.permits
    assert outcome.pool.inventory(MARKET).lots == 0
    assert outcome.pool.cash == 1000 - 50
    assert total(outcome.steps[0].postings, "fund", Book.FUND) == -50
    with pytest.raises(StateError, match="expected all 10 lots or nothing, got 9"):
        ended(waterfall, stage, cut(-9, 9, entry=900))


def test_a_pool_sheds_in_the_market_too() -> None:
    """A fill of a pool's own position is its own result; nobody pays up to a bankruptcy."""
    pool = fund().take_over(MARKET, lots=10, entry_value=900, rate=rate_of(scale_at("90")), at=0)
    held = liquidation(account="fund", is_pool=True, bankruptcy=None, entry=900)
    stage = enter(manual(), held, pool=pool, fills=[Fill(lots=4, quote=340)])
    assert stage.pool is not None
    assert stage.left is not None

    assert (stage.left.lots, stage.left.entry_value) == (6, 540)
    assert stage.pool.inventory(MARKET).lots == 6
    assert stage.pool.cash == 1000 - 20
    assert total(stage.steps[-1].postings, BOOK, Book.MARKET) == -340


def test_a_candidate_pool_is_cut_like_anyone() -> None:
    """A pool in the queue gives up lots, and its record follows the settlement."""
    waterfall = waterfall_of(
        edition(steps_of(), starts=["manual"]), money_units=1, standing=Standing.CANDIDATE
    )
    pool = fund().take_over(MARKET, lots=-10, entry_value=1000, rate=rate_of(scale_at()), at=0)
    stage = enter(waterfall, liquidation(), pool=pool)
    own = cut(-10, 6, entry=1000, name="p", account="fund", is_pool=True)
    outcome = ended(waterfall, stage, own, cut(-4, 4, entry=400))
    assert outcome.pool is not None

    assert outcome.pool.inventory(MARKET).lots == -4
    assert outcome.pool.cash == 1000 + 600 - 540
    assert outcome.left is None


def test_a_difference_that_the_fund_cannot_pay_stays_a_debt() -> None:
    """Settled at the mark, the fund pays up to bankruptcy as far as it can; the rest is owed."""
    venue = replace(edition(steps_of(), starts=["manual"], price="mark"))
    venue = replace(venue, price=replace(venue.price, difference=Payer.FUND))
    waterfall = waterfall_of(venue, money_units=1)
    stage = enter(waterfall, liquidation(), pool=fund(20))
    outcome = ended(waterfall, stage, cut(-10, 10, entry=1000))
    assert outcome.pool is not None

    assert outcome.pool.cash == 0
    assert (outcome.left, outcome.debt) == (None, 50 - 20)
    assert kinds(outcome.steps) == ["deleveraging", "remainder"]


def test_bankruptcy_is_frozen_by_the_editions_own_reckoning() -> None:
    """Convention, clamp and closing-fee reserve are the edition's."""
    holding = Holding(lots=10, entry_value=1000, mark_value=900)
    rules = steps_of(clamp="zero", numbers={"reserve_ratio": "0.001"})
    waterfall = waterfall_of(edition(rules, starts=["manual"]), money_units=1)
    frozen = waterfall.freeze(holding, Cross(margin=100))

    assert frozen.value == Fraction(900) / (1 - Fraction(1, 1000))
    assert waterfall.freeze(holding, Cross(margin=1100)).is_clamped
    with pytest.raises(StateError, match="bankruptcy value: expected 0 or more"):
        manual(clamp="refused").freeze(holding, Cross(margin=1100))
    with pytest.raises(VenueError, match="reserve_ratio: expected whole ppm"):
        manual(numbers={"reserve_ratio": "0.0000001"}).freeze(holding, Cross(margin=1))


@pytest.mark.parametrize("name", venues())
def test_every_edition_has_its_steps_or_names_what_is_missing(name: str) -> None:
    """With what was never published supplied each edition gives a waterfall."""
    venue = Venue.load(name)
    if venue.backstop is None:
        with pytest.raises(VenueError, match=f"{name}: backstop: the edition says nothing"):
            Waterfall.of(venue, manual().trigger)
        return
    safe = {item: Decimal("0.5" if item.startswith("stop") else "1") for item in venue.required}
    given = venue.with_parameters(safe)
    is_known = "trigger.unpublished" not in gaps(venue)
    waterfall = Waterfall.of(given, waterfall_of(given).trigger if is_known else manual().trigger)

    before, after = waterfall.split()
    assert [*before, StepKind.DELEVERAGING, *after] == list(venue.backstop.order)
    if venue.backstop.required:
        with pytest.raises(VenueError, match=rf"{name}: never published, .*backstop\."):
            Waterfall.of(venue, waterfall.trigger)


def test_a_fee_that_is_a_step_is_charged_once() -> None:
    """Dango's fee is taken before the market, as far as the equity goes, and not again by a cut."""
    venue = Venue.load("dango").with_parameters({"backstop.fee_ratio": Decimal("0.01")})
    waterfall = waterfall_of(venue, money_units=1)
    pool = fund(0, may_be_negative=True)
    stage = enter(waterfall, liquidation(), pool=pool, account_value=5)
    rich = enter(waterfall, liquidation(), pool=pool, account_value=1000)
    terms = replace(waterfall.terms(scale_at(), stage.pool), liquidation_ppm=10_000)
    assert stage.pool is not None
    assert rich.pool is not None

    assert (stage.pool.cash, rich.pool.cash) == (5, 8)
    assert terms.fee(terms.liquidated, 1000, "liquidated") == 0
    with pytest.raises(InputError, match="account_value: not given, and the liquidation fee"):
        enter(waterfall, liquidation(), pool=pool, account_value=None)


def test_a_fund_takes_a_loss_that_it_can_pay_and_not_a_unit_more() -> None:
    """At the mark the fund would lose 50: with 50 it takes the position over, with 49 it is ADL."""
    waterfall = waterfall_of(edition(steps_of(), starts=["fund_short"]), money_units=1)
    rich, poor = (enter(waterfall, liquidation(), pool=fund(cash)) for cash in (50, 49))

    assert (rich.left, kinds(rich.steps)) == (None, ["orders", "pool"])
    assert (poor.permits, kinds(poor.steps)) == (True, ["orders"])
    assert "deficit 50, available 49" in poor.status.reason


@pytest.mark.parametrize(("limit", "takes"), [("850", True), ("849", False)])
def test_a_fund_takes_a_position_within_its_limit(limit: str, takes: bool) -> None:  # noqa: FBT001
    """Strike's first type: the fund takes 850 at the mark if its limit is 850, else it is ADL."""
    venue = Venue.load("strike-type1").with_parameters(
        {"trigger.fund_rejects.limit": Decimal(limit)}
    )
    stage = enter(waterfall_of(venue, money_units=1), liquidation(), pool=fund())

    assert (stage.left is None, stage.permits) == (takes, not takes)


def test_a_fund_that_left_after_its_losses_stays_out_for_its_hours() -> None:
    """Binance 2019: past 7.5 % in 8 hours every liquidation goes to the queue, for 8 hours."""
    waterfall = waterfall_of(Venue.load("binance@2019-06"), money_units=1)
    pool = fund(10_000).pay_deficit("ETH-PERP", 750, at=1).pool
    early = enter(waterfall, liquidation(), pool=pool)
    later = [
        before_deleveraging(
            waterfall,
            liquidation(),
            facts=replace(early.facts, at=HOUR + wait),
            status=early.status,
            scale=scale_at(),
        )
        for wait in (8 * HOUR - 1, 8 * HOUR)
    ]

    assert early.permits
    assert [stage.permits for stage in later] == [True, False]
    assert later[1].left is None
