"""Insurance pools and rolling windows: exact to the unit, on event time, never going back."""

import pickle
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deleverage.backstop.groups import (
    carve_out,
    drawdown_bankruptcy,
    group_bankruptcies,
    share_loss,
)
from deleverage.backstop.pool import Pool, PoolScope
from deleverage.backstop.window import EIGHT_HOURS, HOUR, Window
from deleverage.errors import InputError, StateError
from deleverage.ranking import Rate

DAY = 24 * HOUR

# Steps of a history: how much time passes (often none), and the value put.
STEPS = st.lists(st.tuples(st.integers(0, 7), st.integers(-9, 9)), min_size=1, max_size=40)


def history(steps: list[tuple[int, int]]) -> dict[int, int]:
    """The value by the instant it was put at; the last of one instant holds."""
    values, now = {}, 0
    for wait, value in steps:
        now += wait
        values[now] = value
    return values


def naive(values: dict[int, int], length: int, now: int) -> tuple[int, Fraction, int]:
    """Peak, average and opening of (now - length, now], from the whole history."""
    starts = sorted(values)
    cut = now - length
    parts = [
        (max(start, cut), end, values[start])
        for start, end in zip(starts, [*starts[1:], now], strict=True)
        if end > cut
    ]
    begin = max(starts[0], cut)
    area = sum(value * (end - start) for start, end, value in parts)
    average = Fraction(area, now - begin) if now > begin else Fraction(parts[-1][2])
    return max(value for _, _, value in parts), average, parts[0][2]


@given(steps=STEPS, length=st.integers(1, 25), wait=st.integers(0, 30))
def test_a_window_equals_a_recomputation_of_the_whole_history(
    steps: list[tuple[int, int]], length: int, wait: int
) -> None:
    """Peak, average and opening after every step are those of the definition."""
    window = Window.open(length=length, at=steps[0][0], value=steps[0][1])
    for count, (_, value) in enumerate(steps, 1):
        values = history(steps[:count])
        now = max(values)
        window = window.put(now, value)
        assert (window.peak, window.average, window.opening) == naive(values, length, now)
    later = window.advance(window.now + wait)
    expected = naive(history(steps), length, later.now)
    assert (later.peak, later.average, later.opening) == expected


@given(steps=STEPS, length=st.integers(1, 25))
def test_an_old_window_stays_valid(steps: list[tuple[int, int]], length: int) -> None:
    """A step gives a new window; the one before says the same as ever."""
    window = Window.open(length=length, at=0, value=0)
    before = []
    for wait, value in steps:
        before.append((window, window.peak, window.average, tuple(window.segments())))
        window = window.put(window.now + wait, value)
    for old, peak, average, segments in before:
        assert (old.peak, old.average, tuple(old.segments())) == (peak, average, segments)


def test_a_peak_leaves_the_window_exactly_eight_hours_after_it_was_replaced() -> None:
    """A value in force until T counts up to T + 8 h less 1 ns, and no longer at T + 8 h."""
    window = Window.open(length=EIGHT_HOURS, at=0, value=100).put(HOUR, 40)

    assert window.advance(HOUR + EIGHT_HOURS - 1).peak == 100
    assert window.advance(HOUR + EIGHT_HOURS).peak == 40
    assert window.advance(HOUR + EIGHT_HOURS - 1).opening == 100
    assert window.advance(HOUR + EIGHT_HOURS).opening == 40


def test_an_average_weighs_by_time_to_the_nanosecond() -> None:
    """What held for one nanosecond of the window weighs exactly one of its 8 hours."""
    window = Window.open(length=EIGHT_HOURS, at=0, value=10).put(EIGHT_HOURS - 1, 0)

    assert window.average == 10
    assert window.advance(EIGHT_HOURS).average == 10 - Fraction(10, EIGHT_HOURS)


def test_of_one_instant_the_last_value_holds() -> None:
    """A peak that lasts no time at all is no peak, and does not hide the one before it."""
    window = Window.open(length=10, at=0, value=5).put(3, 1).put(4, 9).put(4, 2)

    assert (window.peak, window.value) == (5, 2)
    assert window.advance(13).peak == 2


def test_a_long_window_is_copied_whole() -> None:
    """A window of many values, all still in it, is pickled, compared and freed as it is."""
    window = Window.open(length=DAY, at=0, value=0)
    for at in range(1, 5_001):
        window = window.put(at, -at)
    copy = pickle.loads(pickle.dumps(window))  # noqa: S301 - of our own

    assert copy == window
    assert (copy.peak, copy.average, copy.opening) == (0, window.average, 0)
    assert copy.put(5_001, 3).average == window.put(5_001, 3).average


def test_time_running_backwards_changes_nothing() -> None:
    """A step before the last one is refused, in a window and in a pool."""
    window = Window.open(length=10, at=5, value=1)
    pool = Pool.open("fund", at=5, cash=1)

    with pytest.raises(StateError, match="expected at least 5, got 4"):
        window.put(4, 2)
    with pytest.raises(StateError, match="expected at least 5, got 4"):
        pool.contribute(7, at=4)
    assert (window.value, pool.cash) == (1, 1)


@pytest.mark.parametrize("value", [1.0, "1", True, None])
def test_a_window_takes_whole_numbers_only(value: object) -> None:
    """A float, a text, a truth value or nothing is no amount of money units."""
    with pytest.raises(InputError, match="value: expected an int"):
        Window.open(length=10, at=0, value=1).put(1, value)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="window length: expected at least 1, got 0"):
        Window.open(length=0, at=0, value=1)


def test_a_value_of_the_past_is_asked_inside_the_window() -> None:
    """The value in force at an instant is known back to the window's left end, not before."""
    window = Window.open(length=10, at=0, value=1).put(4, 2).put(8, 3)

    assert [window.value_at(at) for at in (0, 3, 4, 7, 8)] == [1, 1, 2, 2, 3]
    assert window.value_at(-2) is None
    with pytest.raises(InputError, match="expected -2 to 8"):
        window.value_at(-3)


def test_money_flows_in_and_out_by_its_kind() -> None:
    """Fees, surplus and deficits are a market's profit; contributions and withdrawals are not."""
    pool = Pool.open("fund", at=0, cash=100).contribute(50, at=1).withdraw(30, at=2)
    pool = pool.receive_fee("A", 7, at=3).receive_surplus("B", 5, at=4)
    payment = pool.pay_deficit("A", 20, at=5)

    assert (payment.paid, payment.unpaid) == (20, 0)
    assert payment.pool.cash == payment.pool.balance == 112
    assert {part.market: part.pnl for part in payment.pool.inventories} == {"A": -13, "B": 5}
    assert payment.pool.pnl_window("A", EIGHT_HOURS).peak == 7


def test_a_pool_pays_what_it_has_unless_it_may_go_negative() -> None:
    """The rest of a deficit is left to others, or the pool goes below zero if it may."""
    plain = Pool.open("fund", at=0, cash=8).pay_deficit("A", 10, at=1)
    deep = Pool.open("fund", at=0, cash=8, may_be_negative=True).pay_deficit("A", 10, at=1)

    assert (plain.paid, plain.unpaid, plain.pool.cash) == (8, 2, 0)
    assert (deep.paid, deep.unpaid, deep.pool.cash) == (10, 0, -2)
    with pytest.raises(StateError, match="at most 0 available, got 1"):
        plain.pool.withdraw(1, at=2)


def test_a_position_taken_over_is_valued_at_the_mark_against_the_pool() -> None:
    """Profit at mark is rounded down: a gain of 3 1/3 counts 3, a loss of 3 1/3 counts 4."""
    pool = Pool.open("fund", at=0, cash=100)
    held = pool.take_over("A", lots=1, entry_value=10, rate=Rate(mark_num=10), margin=4, at=1)

    assert (held.cash, held.balance) == (104, 104)
    assert held.mark({"A": Rate(mark_num=40, mark_den=3)}, at=2).balance == 107
    assert held.mark({"A": Rate(mark_num=20, mark_den=3)}, at=2).balance == 100
    assert held.mark({"A": Rate(mark_num=20, mark_den=3)}, at=2).available == 100
    assert pool.mark({"A": Rate(mark_num=40)}, at=1).balance == 100


def test_an_inverse_position_gains_as_its_value_falls() -> None:
    """A long inverse position of value 10 is worth 2 more when the value at mark is 8."""
    rate = Rate(mark_num=10, is_inverse=True)
    pool = Pool.open("fund", at=0).take_over("A", lots=1, entry_value=10, rate=rate, at=0)

    assert pool.mark({"A": Rate(mark_num=8, is_inverse=True)}, at=1).balance == 2


@given(
    first=st.integers(1, 50),
    second=st.integers(1, 50),
    entry=st.integers(0, 500),
    other=st.integers(0, 500),
    is_inverse=st.booleans(),
)
def test_netting_makes_no_money(
    first: int, second: int, entry: int, other: int, *, is_inverse: bool
) -> None:
    """A long and a short taken over net to what holding both apart would be worth."""
    rate = Rate(mark_num=7, is_inverse=is_inverse)
    start = Pool.open("fund", at=0, cash=10)
    pool = start.take_over("A", lots=first, entry_value=entry, rate=rate, at=1)
    pool = pool.take_over("A", lots=-second, entry_value=other, rate=rate, at=2)
    gain = -1 if is_inverse else 1

    assert pool.inventory("A").lots == first - second
    assert pool.balance == 10 + gain * (7 * first - entry) - gain * (7 * second - other)


@given(lots=st.integers(1, 40), closed=st.integers(1, 40), exit_value=st.integers(0, 300))
def test_shedding_keeps_the_entry_value_whole(lots: int, closed: int, exit_value: int) -> None:
    """Shedding at the mark changes no balance, and more lots than held is refused."""
    rate = Rate(mark_num=exit_value + 1)
    pool = Pool.open("fund", at=0).take_over("A", lots=-lots, entry_value=333, rate=rate, at=0)
    if closed > lots:
        with pytest.raises(StateError, match=f"at most {lots} lots of A, got {closed}"):
            pool.shed("A", lots=closed, exit_value=exit_value, at=1)
        return
    left = pool.shed("A", lots=closed, exit_value=closed * rate.mark_num, at=1)

    assert left.inventory("A").lots == closed - lots
    assert left.balance == pool.balance


def test_notional_nets_inside_a_market_and_adds_across() -> None:
    """What the pool would hold is the sum over markets of the netted size, rounded up."""
    pool = Pool.open("fund", at=0)
    pool = pool.take_over("A", lots=10, entry_value=0, rate=Rate(mark_num=10, mark_den=3), at=0)
    pool = pool.take_over("B", lots=-2, entry_value=0, rate=Rate(mark_num=5), at=0)

    assert pool.notional_with("A", -4, Rate(mark_num=10, mark_den=3)) == 20 + 10
    assert pool.notional_with("A", 0, Rate(mark_num=10, mark_den=3)) == 34 + 10
    assert pool.notional_with("C", 1, Rate(mark_num=9)) == 34 + 10 + 9


def test_a_balance_may_be_shown_late() -> None:
    """A pool shown a day late shows what it was; one shown daily changes at midnight only."""
    late = Pool.open("fund", at=0, cash=100, publication_delay=DAY)
    daily = Pool.open("fund", at=0, cash=100, publication_period=DAY)
    plain = Pool.open("fund", at=0, cash=100)
    for_all = [pool.contribute(5, at=HOUR) for pool in (late, daily, plain)]

    assert [pool.advance(DAY - 1).shown for pool in for_all] == [None, 100, 105]
    assert [pool.advance(DAY).shown for pool in for_all] == [100, 105, 105]
    assert [pool.advance(DAY + HOUR - 1).shown for pool in for_all] == [100, 105, 105]
    assert [pool.advance(DAY + HOUR).shown for pool in for_all] == [105, 105, 105]


def test_a_market_that_joins_late_has_a_history_of_zero() -> None:
    """Before its first event a market brought nothing: its peak is 0, not its first loss."""
    pool = Pool.open("fund", at=0, cash=100).pay_deficit("A", 10, at=HOUR).pool

    assert pool.pnl_window("A", EIGHT_HOURS).peak == 0
    assert pool.advance(HOUR + EIGHT_HOURS - 1).pnl_window("A", EIGHT_HOURS).peak == 0
    assert pool.advance(HOUR + EIGHT_HOURS).pnl_window("A", EIGHT_HOURS).peak == -10


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.sampled_from(["contribute", "fee", "deficit", "take", "mark"]),
        st.sampled_from("AB"),
        st.integers(1, 60),
    ),
    max_size=30,
)


def happened(pool: Pool, event: tuple[int, str, str, int]) -> Pool:
    """A pool after one event."""
    wait, what, market, size = event
    at, rate = pool.at + wait, Rate(mark_num=size, mark_den=3)
    match what:
        case "contribute":
            return pool.contribute(size, at=at)
        case "fee":
            return pool.receive_fee(market, size, at=at)
        case "deficit":
            return pool.pay_deficit(market, size, at=at).pool
        case "take":
            lots = size - 30 or 1
            return pool.take_over(
                market, lots=lots, entry_value=size, rate=rate, margin=size // 9, at=at
            )
    return pool.mark({market: rate}, at=at)


@given(events=EVENTS, length=st.integers(1, 25))
@example(events=[(1, "fee", "A", 1), (3, "fee", "B", 1), (1, "contribute", "A", 1)], length=3)
def test_a_pool_keeps_the_windows_of_its_whole_history(
    events: list[tuple[int, str, str, int]], length: int
) -> None:
    """Balance and each market's profit have the peak and average of all that ever happened."""
    pool = Pool.open("fund", at=0, cash=100, lengths=(length, 2 * length))
    balances, pnls = {0: 100}, {"A": {0: 0}, "B": {0: 0}}
    for event in events:
        pool = happened(pool, event)
        balances[pool.at] = pool.balance
        for market, values in pnls.items():
            values[pool.at] = pool.inventory(market).pnl
    flows = sum(size for _, what, _, size in events if what == "contribute")

    assert pool.balance == 100 + flows + sum(pool.inventory(market).pnl for market in pnls)
    for each in (length, 2 * length):
        pairs = [(pool.balance_window(each), balances)]
        pairs += [(pool.pnl_window(market, each), values) for market, values in pnls.items()]
        for window, values in pairs:
            expected = naive(values, each, pool.at)
            assert (window.peak, window.average, window.opening) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cash": -1}, "pool cash: expected at least 0, got -1"),
        ({"cash": 1.5}, "pool cash: expected an int"),
        ({"scope": PoolScope.MARKET}, "expected one market"),
        ({"markets": ("A",)}, "none for a shared pool"),
        ({"scope": PoolScope.GROUP, "markets": ("A", "A")}, "distinct markets"),
        ({"lengths": ()}, "lengths: expected distinct ones"),
        ({"publication_delay": -1}, "publication_delay: expected at least 0"),
    ],
)
def test_a_pool_is_opened_with_what_fits(arguments: dict[str, object], message: str) -> None:
    """Negative cash, a float, markets that do not fit the scope: one clear error each."""
    with pytest.raises(InputError, match=message):
        Pool.open("fund", at=0, **arguments)  # type: ignore[arg-type]


def test_what_a_pool_does_not_know_is_refused_by_name() -> None:
    """Another market, a window it does not keep, a mark of zero, a fee below zero."""
    pool = Pool.open("fund", at=0, cash=9, scope=PoolScope.MARKET, markets=("A",))

    with pytest.raises(InputError, match=r"expected one of .*'A'.*, got 'B'"):
        pool.receive_fee("B", 1, at=1)
    with pytest.raises(InputError, match=r"open the pool with lengths="):
        pool.balance_window(HOUR)
    with pytest.raises(InputError, match="mark of A: expected at least 1, got 0"):
        pool.take_over("A", lots=1, entry_value=1, rate=Rate(mark_num=0), at=1)
    with pytest.raises(InputError, match="liquidation fee: expected at least 0, got -1"):
        pool.receive_fee("A", -1, at=1)
    with pytest.raises(InputError, match="lots: expected a signed number other than 0"):
        pool.take_over("A", lots=0, entry_value=1, rate=Rate(mark_num=1), at=1)


def test_a_group_shares_what_it_has_by_loss() -> None:
    """`L_i = S x |PnL_i| / sum |PnL_neg|`, rounded down, with the remainder named."""
    share = share_loss(100, {"A": 50, "B": -300, "C": -100})

    assert share.common == 150
    assert share.limits == {"B": 112, "C": 37}
    assert share.remainder == 1
    assert share_loss(-10, {"A": -5}).limits == {"A": 0}
    with pytest.raises(StateError, match="expected a balance at or below 0, got 1"):
        share_loss(1, {})


@given(
    base=st.integers(-100, 100),
    pnl=st.dictionaries(st.sampled_from("ABCDEF"), st.integers(-100, 100)),
)
def test_no_unit_is_lost_in_sharing(base: int, pnl: dict[str, int]) -> None:
    """Limits and remainder add up to what there is; nobody may lose more than he lost."""
    if base + sum(pnl.values()) > 0:
        with pytest.raises(StateError):
            share_loss(base, pnl)
        return
    share = share_loss(base, pnl)

    assert sum(share.limits.values()) + share.remainder == share.common
    assert 0 <= share.remainder < max(1, len(share.limits)) or not share.limits
    assert all(limit <= -pnl[market] for market, limit in share.limits.items())


def holding(name: str, lots: dict[str, int], cash: int, *, mark: int = 100) -> Pool:
    """A pool that took positions over at 100 a lot and sees them at a mark."""
    pool = Pool.open(name, at=0, cash=cash, may_be_negative=True)
    for market, size in lots.items():
        entry = 100 * abs(size)
        rate = Rate(mark_num=100)
        pool = pool.take_over(market, lots=size, entry_value=entry, rate=rate, at=0)
    return pool.mark({market: Rate(mark_num=mark) for market in lots}, at=HOUR)


def test_pools_that_are_empty_together_are_closed_where_their_shares_end() -> None:
    """Two pools, one market in profit: the losers may lose 60 + 40 together, by their losses."""
    one = holding("one", {"A": 6}, cash=60, mark=80).receive_surplus("C", 40, at=HOUR)
    other = holding("other", {"B": -2}, cash=0, mark=140)
    found = group_bankruptcies([one, other])

    assert sum(pool.balance for pool in (one, other)) == 60 + 40 - 120 - 80
    assert {market: each.lot_value for market, each in found.items()} == {
        "A": 100 - Fraction(60, 6),
        "B": 100 + Fraction(40, 2),
    }
    with pytest.raises(StateError, match="expected a balance at or below 0"):
        group_bankruptcies([one.contribute(1000, at=HOUR), other])
    with pytest.raises(InputError, match="expected pools of distinct markets"):
        group_bankruptcies([one, one])


@given(
    lots=st.dictionaries(st.sampled_from("ABCD"), st.integers(-9, 9).filter(bool), min_size=1),
    mark=st.integers(1, 300),
    surplus=st.integers(0, 500),
    cost=st.integers(0, 500),
    cash=st.integers(-500, 500),
)
def test_a_group_closed_at_its_bankruptcies_is_empty(
    lots: dict[str, int], mark: int, surplus: int, cost: int, cash: int
) -> None:
    """Losers closed there, and the rest as it stands, leave only what rounding left over."""
    pool = holding("fund", lots, cash=cash, mark=mark).receive_surplus("A", surplus, at=HOUR)
    pool = pool.pay_deficit("B", cost, at=HOUR).pool
    if pool.balance > 0:
        with pytest.raises(StateError):
            group_bankruptcies([pool])
        return
    pnl = {each.market: each.pnl for each in pool.inventories}
    found = group_bankruptcies([pool])
    after = Fraction(pool.balance)
    for market, frozen in found.items():
        held = pool.inventory(market)
        gain = 1 if held.lots > 0 else -1
        after += held.realised + gain * (frozen.value - held.entry_value) - held.pnl
    flat = [market for market, value in pnl.items() if value < 0 and market not in found]
    common = max(0, pool.balance - sum(value for value in pnl.values() if value < 0))

    if not flat and common and any(value < 0 for value in pnl.values()):
        assert 0 <= after < len(found)


@given(
    lots=st.integers(-20, 20).filter(bool),
    mark=st.integers(1, 300),
    cash=st.integers(1, 5000),
    line=st.fractions(Fraction(1, 100), 2, max_denominator=100),
    fees=st.integers(0, 500),
)
def test_a_drawdown_bankruptcy_is_exactly_on_the_line(
    lots: int, mark: int, cash: int, line: Fraction, fees: int
) -> None:
    """There the market's profit is the line's share of the pool's peak below its own peak."""
    pool = holding("fund", {"A": lots}, cash=cash, mark=mark).receive_fee("A", fees, at=HOUR)
    held = pool.inventory("A")
    frozen = drawdown_bankruptcy(pool, "A", line=line, length=EIGHT_HOURS)
    pnl = held.realised + (1 if lots > 0 else -1) * (frozen.value - held.entry_value)
    peak = pool.pnl_window("A", EIGHT_HOURS).peak

    assert peak - pnl == line * pool.balance_window(EIGHT_HOURS).peak


def test_a_market_is_carved_out_with_its_position_and_history() -> None:
    """Money, position and profit go to a pool of its own; the old one no longer knows it."""
    pool = holding("fund", {"A": 5, "B": -2}, cash=1000, mark=80)
    carved = carve_out(pool, "A", name="A alone", cash=300, asset="USDT", at=2 * HOUR)

    assert carved.rest.balance + carved.own.balance == pool.balance
    assert carved.own.inventory("A") == pool.inventory("A")
    assert (carved.own.cash, carved.own.balance) == (300, 300 - 100)
    assert carved.own.markets == ("A",)
    assert carved.own.pnl_window("A", EIGHT_HOURS).peak == 0
    assert [(p.owner, p.book, p.amount) for p in carved.postings] == [
        ("fund", "fund", -300),
        ("A alone", "fund", 300),
        ("fund", "basis", 500),
        ("A alone", "basis", -500),
    ]
    with pytest.raises(InputError, match=r"pool fund: expected one of any market but \('A',\)"):
        carved.rest.inventory("A")
    with pytest.raises(StateError, match="cash: expected at most 1000, got 1001"):
        carve_out(pool, "A", name="x", cash=1001, asset="USDT", at=2 * HOUR)
    with pytest.raises(InputError, match="expected more than one market, got 'A' alone"):
        carve_out(carved.own, "A", name="x", cash=0, asset="USDT", at=2 * HOUR)


def test_no_sum_of_a_pool_leaves_the_columns() -> None:
    """Cash, balance, a market's profit and its entry value stay below 2^51, or the step is none."""
    top = 2**51 - 1
    pool = Pool.open("fund", at=0, cash=top, may_be_negative=True)
    with pytest.raises(InputError, match=r"cash: expected less than 2\^51 in magnitude, got"):
        pool.receive_fee("A", 1, at=1)
    with pytest.raises(InputError, match=r"A: realised: expected less than 2\^51"):
        pool.pay_deficit("A", top, at=1).pool.pay_deficit("A", 1, at=1)
    with pytest.raises(InputError, match=r"entry_value: expected less than 2\^51"):
        pool.take_over("A", lots=1, entry_value=2**51, rate=Rate(mark_num=2**51), at=1)
    half = Pool.open("fund", at=0).take_over(
        "A", lots=2**40, entry_value=0, rate=Rate(mark_num=1), at=0
    )
    with pytest.raises(InputError, match=r"balance: expected less than 2\^51"):
        half.mark({"A": Rate(mark_num=2**12)}, at=1)
    assert pool.pay_deficit("A", top, at=1).pool.cash == 0
