"""The lines of a trigger: each exactly at its number, one unit safer and one unit worse."""

from dataclasses import replace
from fractions import Fraction

import pytest

from deleverage.backstop.lines import Facts, Line, distance_to_bankruptcy
from deleverage.backstop.pool import Pool
from deleverage.backstop.window import EIGHT_HOURS, HOUR
from deleverage.errors import InputError
from deleverage.model.terms import Bound, ConditionKind
from deleverage.ranking import Rate
from triggers import MINUTE, at_flag, fund, line

INCLUSIVE, STRICT = Bound.INCLUSIVE, Bound.STRICT
K = ConditionKind

AT = 0
TEN_MINUTES_AGO = -(10 * MINUTE)
# A line, and facts by the measure: the number itself, one unit safer, one unit worse.
BOUNDARIES = [
    (
        line(K.FUND_LEVEL, INCLUSIVE, level=0),
        [
            Facts(at=AT, pool=Pool.open("p", at=0, cash=cash, may_be_negative=True))
            for cash in (0, 1, -1)
        ],
    ),
    (
        line(K.FUND_BELOW_THRESHOLD, INCLUSIVE, threshold=50),
        [Facts(at=AT, pool=Pool.open("p", at=0, cash=cash)) for cash in (50, 51, 49)],
    ),
    (
        line(K.FUND_DRAWDOWN, INCLUSIVE, ratio="0.30", window=EIGHT_HOURS),
        [Facts(at=HOUR, pool=fund(now, peak=1000)) for now in (700, 701, 699)],
    ),
    (
        line(K.FUND_LOSS, INCLUSIVE, ratio="0.075", window=EIGHT_HOURS),
        [Facts(at=HOUR, pool=fund(now, peak=1_000_000)) for now in (925_000, 925_001, 924_999)],
    ),
    (
        line(K.FUND_BELOW_AVERAGE, INCLUSIVE, ratio="0.30", amount=50_000, window=EIGHT_HOURS),
        [Facts(at=HOUR, pool=fund(now, peak=400_000)) for now in (280_000, 280_001, 279_999)],
    ),
    (
        line(K.SYMBOL_DRAWDOWN, INCLUSIVE, ratio="0.30", window=EIGHT_HOURS, balance=1),
        [Facts(at=HOUR, market="A", pool=fund(now, peak=1000)) for now in (700, 701, 699)],
    ),
    (
        line(K.FUND_REJECTS, INCLUSIVE, limit=10),
        [at_flag("fund_notional", value) for value in (10, 9, 11)],
    ),
    (
        line(K.FUND_NOTIONAL_CAP, INCLUSIVE, ratio="0.20"),
        [
            Facts(at=0, pool=Pool.open("p", at=0, cash=1000), fund_notional=value)
            for value in (200, 199, 201)
        ],
    ),
    (
        line(K.FUND_AND_POSITION, INCLUSIVE, level=0),
        [
            Facts(
                at=0, pool=Pool.open("p", at=0, cash=100), position_margin=1000, position_pnl=-pnl
            )
            for pnl in (1100, 1099, 1101)
        ],
    ),
    (line(K.EQUITY_NEGATIVE, INCLUSIVE), [at_flag("account_value", value) for value in (0, 1, -1)]),
    (line(K.VAULT_LOSS, INCLUSIVE, loss=5), [at_flag("vault_loss", value) for value in (5, 4, 6)]),
    (
        line(K.FUND_SHORT, INCLUSIVE),
        [Facts(at=0, pool=Pool.open("p", at=0, cash=9), deficit=value) for value in (9, 8, 10)],
    ),
    (
        line(K.UNFILLED_AT_BANKRUPTCY, INCLUSIVE),
        [Facts(at=0, unfilled_lots=3, to_bankruptcy=value) for value in (0, 1, -1)],
    ),
    (
        line(K.UNFILLED_REMAINDER, INCLUSIVE),
        [at_flag("unfilled_lots", value) for value in (0, -1, 1)],
    ),
    (
        line(K.LIQUIDATION_BACKLOG, INCLUSIVE, quantity=7, time=10 * MINUTE),
        [
            Facts(at=0, backlog_lots=8, backlog_since=TEN_MINUTES_AGO + extra)
            for extra in (0, 1, -1)
        ],
    ),
    (
        line(K.LIQUIDATION_BACKLOG, INCLUSIVE, quantity=7, time=MINUTE),
        [Facts(at=0, backlog_lots=lots, backlog_since=TEN_MINUTES_AGO) for lots in (7, 6, 8)],
    ),
    (
        line(K.GROUP_LEVEL, INCLUSIVE, level=0),
        [
            Facts(
                at=0,
                group=(
                    Pool.open("p", at=0, cash=5),
                    Pool.open("q", at=0, cash=cash, may_be_negative=True),
                ),
            )
            for cash in (-5, -4, -6)
        ],
    ),
    (
        line(K.POOL_FACTOR, INCLUSIVE, ratio="0.10"),
        [
            Facts(at=0, traders_pnl=value, pool_value=5_000_000)
            for value in (500_000, 499_999, 500_001)
        ],
    ),
]


@pytest.mark.parametrize(
    ("rule", "moments"), BOUNDARIES, ids=[str(case[0].kind) for case in BOUNDARIES]
)
def test_a_start_and_a_stop_turn_exactly_at_their_number(rule: Line, moments: list[Facts]) -> None:
    """At the number an inclusive line is reached and a strict one is not; one unit decides."""
    exclusive = replace(rule, bound=STRICT)

    def told(which: Line, *, is_start: bool) -> list[bool]:
        return [which.read(facts, is_start=is_start).holds for facts in moments]

    assert told(rule, is_start=True) == [True, False, True]
    assert told(exclusive, is_start=True) == [False, False, True]
    assert told(rule, is_start=False) == [True, True, False]
    assert told(exclusive, is_start=False) == [False, True, False]


def test_a_backlog_needs_volume_and_time() -> None:
    """A large young backlog and a small old one do not start it; either is enough to stop."""
    rule = line(K.LIQUIDATION_BACKLOG, INCLUSIVE, quantity=7, time=10 * MINUTE)
    young = Facts(at=0, backlog_lots=99, backlog_since=0)
    small = Facts(at=0, backlog_lots=6, backlog_since=-HOUR)

    for facts in (young, small, Facts(at=0, backlog_lots=0)):
        assert not rule.read(facts, is_start=True).holds
        assert rule.read(facts, is_start=False).holds
    with pytest.raises(InputError, match="backlog_since: expected at most 0"):
        rule.read(replace(young, backlog_since=1), is_start=True)


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        (K.BACKSTOP_FULL, "is_backstop_full"),
        (K.THIN_BOOK, "is_book_thin"),
        (K.MANUAL, "is_emergency"),
    ],
)
def test_what_a_venue_declares_is_taken_at_its_word(kind: ConditionKind, fact: str) -> None:
    """A flag starts when it is true and stops when it is false; unsaid, it is refused."""
    start, stop = line(kind, INCLUSIVE), line(kind, STRICT)

    assert [start.read(at_flag(fact, value), is_start=True).holds for value in (True, False)] == [
        True,
        False,
    ]
    assert [stop.read(at_flag(fact, value), is_start=False).holds for value in (True, False)] == [
        False,
        True,
    ]
    with pytest.raises(InputError, match=f"{kind}: expected the fact '{fact}', got none"):
        start.read(Facts(at=0), is_start=True)


@pytest.mark.parametrize("kind", [K.FUND_DRAWDOWN, K.FUND_LOSS])
def test_a_share_of_nothing_is_no_line(kind: ConditionKind) -> None:
    """Where peak or opening is not above zero a fall by a share has no meaning, either way."""
    rule = line(kind, INCLUSIVE, ratio="0.30", window=EIGHT_HOURS)
    facts = Facts(at=HOUR, pool=fund(-5, peak=0))

    assert not rule.read(facts, is_start=True).holds
    assert not rule.read(facts, is_start=False).holds


def test_a_drawdown_is_off_at_the_balance_line_itself() -> None:
    """Bybit reads a drawdown only while the balance is above its line, strictly."""

    def reached(balance: int) -> bool:
        rule = line(K.SYMBOL_DRAWDOWN, INCLUSIVE, ratio="0.30", window=EIGHT_HOURS, balance=10_000)
        facts = Facts(at=HOUR, market="A", pool=fund(balance, peak=20_000))
        return rule.read(facts, is_start=True).holds

    assert [reached(balance) for balance in (9_999, 10_000, 10_001)] == [False, False, True]


@pytest.mark.parametrize(("lots", "is_inverse"), [(3, False), (-3, True), (-3, False), (3, True)])
def test_the_distance_to_bankruptcy_is_zero_exactly_there(lots: int, *, is_inverse: bool) -> None:
    """A third of a money unit before the price is not there yet, a third behind is through."""
    rate = Rate(mark_num=10, mark_den=9, is_inverse=is_inverse)
    there, third = Fraction(10, 3), Fraction(1, 3)
    safer = -third if (lots > 0) != is_inverse else third

    assert distance_to_bankruptcy(lots, rate, there) == 0
    assert distance_to_bankruptcy(lots, rate, there + safer) == 1
    assert distance_to_bankruptcy(lots, rate, there - safer) == -1
