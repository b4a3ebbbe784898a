"""Triggers: the published examples, editions as they are, and no flapping between two lines."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.backstop.lines import Facts, Line
from deleverage.backstop.pool import Pool
from deleverage.backstop.trigger import Arm, State, StopReading, Trigger, gaps
from deleverage.backstop.window import EIGHT_HOURS, HOUR
from deleverage.errors import InputError, StateError, VenueError
from deleverage.model.parts import Condition
from deleverage.model.terms import Bound, Combine, ConditionKind
from deleverage.ranking import Rate
from deleverage.venue import Venue, venues
from triggers import MINUTE, follow, fund, levels, line, of, states

INCLUSIVE, STRICT = Bound.INCLUSIVE, Bound.STRICT
K = ConditionKind


def test_bybit_drawdown_of_35_percent_of_a_million() -> None:
    """A loss of 350,000 on a pool of 1,000,000 starts it; it ends below 25 %."""
    trigger = of("bybit@2025-09")
    moments = levels(1_000_000, 650_000, 749_999, 750_000, 750_001)
    told = follow(trigger, moments)

    assert [status.state for status in told] == [
        State.IDLE,
        State.ACTIVE,
        State.ACTIVE,
        State.ACTIVE,
        State.IDLE,
    ]
    figures = {figure.name: figure.value for figure in told[1].decided[0].figures}
    assert Fraction(figures["pnl_peak"] - figures["pnl"], figures["pool_peak"]) == Fraction(35, 100)
    assert figures["ratio"] == Fraction(30, 100)
    assert "start symbol_drawdown (inclusive) reached: pnl -350000" in told[1].reason


@pytest.mark.parametrize(("edition", "stops"), [("bybit@2025-09", False), ("bybit@2025-11", True)])
def test_bybit_stops_at_its_line_or_not_by_edition(edition: str, *, stops: bool) -> None:
    """At exactly 25 % the API text goes on, the help centre stops; both start at 30 %."""
    lines = {"ratio": Decimal("0.30")}, {"ratio": Decimal("0.25")}
    venue = Venue.load(edition).with_parameters(
        {f"trigger.symbol_drawdown.{name}": value for name, value in lines[0].items()}
        | {f"stop.symbol_drawdown.{name}": value for name, value in lines[1].items()}
    )
    trigger = Trigger.of(venue, money_units_per_asset=1)
    told = states(trigger, levels(1_000_000, 700_001, 700_000, 750_000))

    assert told[1:3] == [State.WARNING, State.ACTIVE]
    assert told[3] is (State.IDLE if stops else State.ACTIVE)


def test_bybit_help_centre_counts_the_margin_that_came_with_the_position() -> None:
    """Fund 20,000, margin 1,000, loss 8,000: (8,000 - 1,000) / 20,000 = 35 %, past 30 %."""
    venue = Venue.load("bybit@2025-11").with_parameters(
        {
            "trigger.symbol_drawdown.ratio": Decimal("0.30"),
            "stop.symbol_drawdown.ratio": Decimal("0.25"),
        }
    )
    trigger = Trigger.of(venue, money_units_per_asset=1)
    pool = Pool.open("fund", at=0, cash=20_000, lengths=trigger.lengths)
    pool = pool.take_over(
        "ABCUSDC", lots=100, entry_value=50_000, rate=Rate(mark_num=420), margin=1_000, at=HOUR
    )
    status = trigger.step(trigger.idle(0), Facts(at=HOUR, pool=pool, market="ABCUSDC"))
    figures = {figure.name: figure.value for figure in status.decided[0].figures}

    assert status.state is State.ACTIVE
    assert (figures["pnl"], figures["pnl_peak"], figures["pool_peak"]) == (-7_000, 0, 20_000)


def test_bybit_starts_at_exactly_30_percent_as_its_example_and_not_as_its_rule() -> None:
    """A loss of 600,000 on 2,000,000: the example counts it, the rule's text does not."""
    trigger = of("bybit@2025-09")
    by_text = tuple(
        replace(arm, starts=tuple(replace(each, bound=STRICT) for each in arm.starts))
        for arm in trigger.arms
    )
    moments = levels(2_000_000, 1_400_000)

    assert states(trigger, moments)[1] is State.ACTIVE
    assert states(Trigger(arms=by_text), moments)[1] is State.WARNING


def test_bybit_pool_at_zero_starts_and_one_unit_stops() -> None:
    """Each start condition has its own stop: the level ends above zero, the drawdown below 25 %."""
    trigger = of("bybit@2025-09")
    told = follow(trigger, levels(100, 1, 0, 0, 1))

    assert [status.state for status in told] == [
        State.IDLE,
        State.IDLE,
        State.ACTIVE,
        State.ACTIVE,
        State.IDLE,
    ]
    assert [arm.is_active for arm in told[2].arms] == [False, True]


def test_okx_line_is_the_average_less_the_larger_of_two() -> None:
    """Average 400,000 gives 280,000; below 166,667 the 50,000 decide: 100,000 gives 50,000."""
    rule = line(K.FUND_BELOW_AVERAGE, STRICT, ratio="0.30", amount=50_000, window=EIGHT_HOURS)
    figures = {}
    for average, balance in ((400_000, 200_000), (100_000, 60_000)):
        pool = fund(balance, peak=average, wait=EIGHT_HOURS)
        reading = rule.read(Facts(at=EIGHT_HOURS, pool=pool), is_start=True)
        figures[average] = reading.holds, {f.name: f.value for f in reading.figures}["line"]

    assert figures == {400_000: (True, 280_000), 100_000: (False, 50_000)}


def test_binance_cap_is_20_percent_of_the_fund() -> None:
    """150,000 held and 60,000 more pass 20 % of 1,000,000; exactly 200,000 do not."""
    cap = of("binance@2019-06").arms[0]
    pool = Pool.open("fund", at=0, cash=1_000_000)
    told = [
        cap.read_starts(Facts(at=0, pool=pool, fund_notional=held))[0].holds
        for held in (150_000, 200_000, 200_001, 210_000)
    ]

    assert told == [False, False, True, True]


def test_binance_stays_out_for_eight_hours() -> None:
    """A loss of 7.5 % within 8 hours starts it; it ends 8 hours later, not a nanosecond before."""
    trigger = of("binance@2019-06")
    pool = Pool.open("fund", at=0, cash=1_000_000).pay_deficit("A", 75_000, at=HOUR).pool

    def at(time: int) -> Facts:
        return Facts(at=time, pool=pool, fund_notional=0)

    times = (0, 1, HOUR + EIGHT_HOURS - 1, HOUR + EIGHT_HOURS)
    with pytest.raises(StateError, match="runs forwards only"):
        states(trigger, [at(time) for time in times])
    moments = [at(HOUR), at(HOUR + 1), at(HOUR + EIGHT_HOURS - 1), at(HOUR + EIGHT_HOURS)]
    assert states(trigger, moments) == [State.ACTIVE, State.ACTIVE, State.ACTIVE, State.IDLE]


def test_bitget_starts_at_30_percent_and_ends_at_90_percent_of_its_line() -> None:
    """Down 30 % from the peak starts it; 90 % of the venue's own line of 1,000 ends it."""
    trigger = of(
        "bitget@2025-H1",
        trigger__fund_drawdown__window_hours="8",
        stop__fund_recovery__threshold="1000",
    )
    told = states(trigger, levels(1_000, 701, 700, 899, 900))

    assert told == [State.IDLE, State.IDLE, State.ACTIVE, State.ACTIVE, State.IDLE]


def test_a_share_of_the_pool_must_be_passed_strictly() -> None:
    """GMX: profit of exactly 10 % of the pool is not enough, and an empty pool has factor 0."""
    start = line(K.POOL_FACTOR, STRICT, ratio="0.10")
    stop = line(K.POOL_FACTOR, INCLUSIVE, ratio="0.10")
    trigger = Trigger(arms=(Arm(starts=(start,), stops=(stop,)),))
    moments = [
        Facts(at=0, traders_pnl=pnl, pool_value=value)
        for pnl, value in ((0, 5_000), (500, 5_000), (501, 5_000), (500, 5_000), (1, 0))
    ]

    assert states(trigger, moments) == [
        State.IDLE,
        State.IDLE,
        State.ACTIVE,
        State.IDLE,
        State.IDLE,
    ]


@given(balances=st.lists(st.integers(0, 120), min_size=1, max_size=40))
def test_between_the_lines_nothing_changes(balances: list[int]) -> None:
    """A naive two-line switch over the recomputed drawdown gives the same states."""
    start = line(K.FUND_DRAWDOWN, INCLUSIVE, ratio="0.30", window=10 * MINUTE)
    stop = line(K.FUND_DRAWDOWN, STRICT, ratio="0.25", window=10 * MINUTE)
    trigger = Trigger(arms=(Arm(starts=(start,), stops=(stop,)),))
    pool = Pool.open("fund", at=0, cash=200, lengths=trigger.lengths)
    status, is_active = trigger.idle(0), False
    for minute, balance in enumerate(balances, 1):
        step = balance - pool.balance
        pool = (
            pool.contribute(step, at=minute * MINUTE)
            if step > 0
            else (pool.pay_deficit("A", -step, at=minute * MINUTE).pool)
        )
        status = trigger.step(status, Facts(at=minute * MINUTE, pool=pool))
        held = [200, *balances[:minute]][max(0, minute - 10) :]
        peak = max(held)
        fall = Fraction(peak - balance, peak) if peak else None
        if fall is not None:
            is_active = fall >= Fraction(1, 4) if is_active else fall >= Fraction(3, 10)
        assert (status.state is State.ACTIVE) == is_active
        if not is_active and fall is not None:
            assert (status.state is State.WARNING) == (fall >= Fraction(1, 4))


def test_all_lines_of_an_arm_must_hold() -> None:
    """BitMEX needs both: an unfilled order at bankruptcy, and a fund that cannot pay."""
    trigger = of("bitmex")
    pool = Pool.open("fund", at=0, cash=10)

    def moment(distance: int, deficit: int) -> Facts:
        return Facts(at=0, pool=pool, unfilled_lots=1, to_bankruptcy=distance, deficit=deficit)

    told = states(trigger, [moment(1, 0), moment(0, 10), moment(0, 11), moment(1, 11)])
    assert told == [State.IDLE, State.WARNING, State.ACTIVE, State.IDLE]


def test_a_fund_that_must_be_flat_keeps_it_on() -> None:
    """Ethereal ends when the fund holds no position, not when it is positive again."""
    trigger = of("ethereal")
    pool = Pool.open("fund", at=0, cash=5)
    held = pool.take_over("A", lots=2, entry_value=20, rate=Rate(mark_num=5), at=0)
    rich = held.contribute(100, at=1)
    flat = rich.shed("A", lots=2, exit_value=10, at=2)
    moments = [Facts(at=pool.at, pool=pool) for pool in (held, rich, flat)]

    assert states(trigger, moments) == [State.ACTIVE, State.ACTIVE, State.IDLE]


def test_an_emergency_ends_when_the_quantity_is_offset() -> None:
    """Strike type 2 is declared by hand and ends with the last lot."""
    trigger = of("strike-type2")
    moments = [
        Facts(at=at, is_emergency=at > 0, remaining_lots=lots)
        for at, lots in ((0, 9), (1, 9), (2, 1), (3, 0))
    ]

    assert states(trigger, moments) == [State.IDLE, State.ACTIVE, State.ACTIVE, State.IDLE]


def test_a_stop_may_need_all_of_its_lines() -> None:
    """With `all`, one stop line that is reached is not enough."""
    stops = (line(K.OFFSET, INCLUSIVE), line(K.FUND_LEVEL, STRICT, level=0))
    arm = Arm(starts=(line(K.MANUAL, INCLUSIVE),), stops=stops, combine=Combine.ALL)
    facts = Facts(at=0, remaining_lots=0, pool=Pool.open("p", at=0, cash=0))

    assert arm.read_stops(facts, 0)[0] is False
    assert arm.read_stops(replace(facts, pool=Pool.open("p", at=0, cash=1)), 0)[0] is True


def test_a_refused_step_leaves_the_state() -> None:
    """Time running backwards, a foreign status, a missing fact: an error, nothing changed."""
    trigger = of("generic")
    status = trigger.step(trigger.idle(5), Facts(at=6, pool=Pool.open("p", at=6, cash=1)))

    with pytest.raises(StateError, match="expected at least 6, got 5"):
        trigger.step(status, Facts(at=5, pool=Pool.open("p", at=5)))
    with pytest.raises(StateError, match="expected 1 arms, got 0"):
        trigger.step(replace(status, arms=()), Facts(at=7))
    with pytest.raises(InputError, match="fund_level: expected the fact 'pool', got none"):
        trigger.step(status, Facts(at=7))
    assert status.state is State.IDLE


CONTRADICTIONS = [
    (line(K.FUND_LEVEL, INCLUSIVE, level=0), line(K.FUND_LEVEL, INCLUSIVE, level=0), "one line"),
    (line(K.FUND_LEVEL, INCLUSIVE, level=5), line(K.FUND_LEVEL, STRICT, level=4), "safe side"),
    (
        line(K.FUND_DRAWDOWN, INCLUSIVE, ratio="0.3", window=9),
        line(K.FUND_DRAWDOWN, STRICT, ratio="0.4", window=9),
        "safe side",
    ),
    (
        line(K.FUND_DRAWDOWN, INCLUSIVE, ratio="0.3", window=9),
        line(K.FUND_DRAWDOWN, STRICT, ratio="0.2", window=8),
        "one window",
    ),
    (line(K.FUND_DRAWDOWN, INCLUSIVE, ratio="-0.3", window=9), None, "at least 0"),
    (line(K.FUND_DRAWDOWN, INCLUSIVE, ratio="0.3", window=0), None, "whole ns above 0"),
    (line(K.FUND_DRAWDOWN, Bound.UNPUBLISHED, ratio="0.3", window=9), None, "bound"),
    (line(K.LOCKOUT, INCLUSIVE, time=9), None, "only stops"),
]


@pytest.mark.parametrize(("start", "stop", "message"), CONTRADICTIONS)
def test_lines_that_contradict_each_other_are_refused(
    start: Line, stop: Line | None, message: str
) -> None:
    """A stop above its start, one line that counts for both, a line that cannot be: one error."""
    with pytest.raises(VenueError, match=message):
        Arm(starts=(start,), stops=() if stop is None else (stop,))


def supplied(venue: Venue) -> Venue:
    """An edition with a figure of ours for every number it never published."""
    figures = {"window_hours": "8", "ratio": "0.5", "delta_limit": "0.05"}
    values = {name: Decimal(figures.get(name.rpartition(".")[2], "10")) for name in venue.required}
    if "stop.symbol_drawdown.ratio" in values:
        values["stop.symbol_drawdown.ratio"] = Decimal("0.4")
    return venue.with_parameters(values)


@pytest.mark.parametrize("name", venues())
def test_every_edition_has_a_trigger_or_says_why_not(name: str) -> None:
    """With what `gaps` names supplied each trigger is built; an unknown one is refused by name."""
    venue = Venue.load(name)
    missing = gaps(venue)
    if missing:
        with pytest.raises(VenueError, match=name):
            Trigger.of(venue, money_units_per_asset=100)
    else:
        assert Trigger.of(venue, money_units_per_asset=100).arms
    if "trigger.unpublished" in missing:
        with pytest.raises(VenueError, match="cannot be modelled"):
            Trigger.of(
                supplied(venue), money_units_per_asset=100, bound=STRICT, stop=StopReading.CEASES
            )
        return
    trigger = Trigger.of(
        supplied(venue), money_units_per_asset=100, bound=STRICT, stop=StopReading.OFFSET
    )

    starts = [line.kind for arm in trigger.arms for line in arm.starts]
    assert starts == [item.kind for item in venue.trigger.conditions]
    assert all(arm.stops for arm in trigger.arms)
    assert set(trigger.lengths) <= {HOUR, 2 * HOUR, 4 * HOUR, EIGHT_HOURS}


MODELLED = [name for name in venues() if "trigger.unpublished" not in gaps(Venue.load(name))]
SMALL = st.integers(-3, 3)


@given(data=st.data(), name=st.sampled_from(MODELLED), stop=st.sampled_from(StopReading))
def test_an_arm_begins_and_ends_only_by_its_own_lines(
    data: st.DataObject, name: str, stop: StopReading
) -> None:
    """In any course of events an arm turns on exactly at its starts, and off at its stops."""
    trigger = Trigger.of(
        supplied(Venue.load(name)), money_units_per_asset=1, bound=STRICT, stop=stop
    )
    lengths = trigger.lengths or (EIGHT_HOURS,)
    pool = Pool.open("fund", at=0, cash=12, may_be_negative=True, lengths=lengths)
    status = trigger.idle(0)
    for hour in range(1, data.draw(st.integers(1, 12)) + 1):
        step = data.draw(st.integers(-9, 9))
        pool = (
            pool.receive_surplus("A", step, at=hour * HOUR)
            if step > 0
            else pool.pay_deficit("A", -step, at=hour * HOUR).pool
        )
        small = {key: data.draw(SMALL) for key in ("to_bankruptcy", "account_value", "vault_loss")}
        flags = ("is_backstop_full", "is_book_thin", "is_emergency")
        facts = Facts(
            at=hour * HOUR,
            pool=pool,
            market="A",
            deficit=data.draw(st.integers(0, 20)),
            fund_notional=data.draw(st.integers(0, 20)),
            position_margin=2,
            position_pnl=data.draw(st.integers(-20, 5)),
            unfilled_lots=data.draw(st.integers(0, 2)),
            remaining_lots=data.draw(st.integers(0, 1)),
            backlog_lots=data.draw(st.integers(0, 20)),
            backlog_since=data.draw(st.integers(0, hour)) * HOUR,
            **small,
            **{flag: data.draw(st.booleans()) for flag in flags},
        )
        after = trigger.step(status, facts)
        for arm, before, now in zip(trigger.arms, status.arms, after.arms, strict=True):
            if before.since is None:
                starts = all(found.holds for found in arm.read_starts(facts))
                assert now.is_active == starts
                assert now.since == (facts.at if starts else None)
            else:
                assert now.is_active != arm.read_stops(facts, before.since)[0]
        assert (after.state is State.ACTIVE) == any(arm.is_active for arm in after.arms)
        assert after.decided
        status = after


def test_what_is_missing_is_named() -> None:
    """Numbers, bounds and the way to stop that a venue never published are listed, all of them."""
    venue = Venue.load("htx")

    assert gaps(venue) == (
        "trigger.fund_drawdown.ratio",
        "trigger.fund_drawdown.bound",
        "stop.unpublished",
    )
    with pytest.raises(
        VenueError, match=r"fund_drawdown\.ratio, trigger\.fund_drawdown\.bound, stop"
    ):
        Trigger.of(venue, money_units_per_asset=1)
    with pytest.raises(VenueError, match=r"supplied: stop\.unpublished;"):
        Trigger.of(supplied(venue), money_units_per_asset=1, bound=STRICT)


def test_numbers_are_taken_in_whole_units() -> None:
    """Money is scaled to money units, contracts to lots, hours and minutes to nanoseconds."""
    venue = Venue.load("okx@2025-03").with_parameters(
        {
            "trigger.liquidation_backlog.quantity": Decimal("2.5"),
            "trigger.liquidation_backlog.minutes": Decimal(3),
        }
    )
    trigger = Trigger.of(
        venue,
        money_units_per_asset=100,
        lots_per_contract=10,
        bound=STRICT,
        stop=StopReading.CEASES,
    )
    below, _, backlog = (arm.starts[0].numbers for arm in trigger.arms)

    assert below == {"ratio": Fraction(3, 10), "amount": 5_000_000, "window": EIGHT_HOURS}
    assert backlog == {"quantity": 25, "time": 3 * MINUTE}


def test_an_unpublished_trigger_is_no_trigger() -> None:
    """A condition without a measure is never read as one that holds."""
    venue = Venue.load("aevo")

    assert venue.trigger.conditions == (Condition(kind=K.UNPUBLISHED),)
    assert "trigger.unpublished" in gaps(venue)


def test_a_fall_is_watched_over_each_of_its_windows() -> None:
    """SunX watches four windows; a slow fall is past the line of the longest one only."""
    lines = {f"trigger__fund_drawdown__{hours}h__ratio": "0.30" for hours in (1, 2, 4, 8)}
    trigger = of("sunx", **lines)
    pool = Pool.open("fund", at=0, cash=1000, lengths=trigger.lengths)
    status, told = trigger.idle(0), []
    for hour, balance in ((2, 900), (4, 800), (6, 701), (7, 700)):
        pool = pool.pay_deficit("A", pool.balance - balance, at=hour * HOUR).pool
        status = trigger.step(status, Facts(at=hour * HOUR, pool=pool))
        told.append([arm.is_active for arm in status.arms])

    assert trigger.lengths == (HOUR, 2 * HOUR, 4 * HOUR, EIGHT_HOURS)
    assert told == [[False] * 5] * 3 + [[False] * 4 + [True]]


@pytest.mark.parametrize("name", ["aevo", "blofin", "deepcoin"])
def test_a_trigger_that_was_never_published_is_a_required_parameter(name: str) -> None:
    """Without arms of one's own there is no trigger; with them it is theirs alone."""
    venue = Venue.load(name)
    arm = Arm(starts=(line(K.FUND_SHORT, STRICT),))

    with pytest.raises(VenueError, match=f"{name}: .*own="):
        Trigger.of(venue, money_units_per_asset=1)
    assert Trigger.of(venue, money_units_per_asset=1, own=(arm,)).arms == (arm,)
    with pytest.raises(VenueError, match=r"bitmex: .* expected no own="):
        Trigger.of(Venue.load("bitmex"), money_units_per_asset=1, own=(arm,))
