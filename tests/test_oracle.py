"""The oracle itself, pinned by cases that were worked out by hand or printed by a venue."""

from fractions import Fraction
from itertools import zip_longest

import pytest

from deleverage.model.rules import Basis, Factor, Loss, NoEquity, Reason, ScoreRule, Tie, Weight
from oracle import (
    Account,
    Book,
    Position,
    Rate,
    groups,
    left_out,
    lights,
    percentile,
    queue,
    rank,
    score,
    select,
    weights,
)

BITMEX = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.BANKRUPTCY_DISTANCE, loss=Loss.DIVIDE)
BINANCE = ScoreRule(
    basis=Basis.WALLET,
    factor=Factor.MAINTENANCE_OVER_EQUITY,
    loss=Loss.ZERO,
    no_equity=NoEquity.ZERO,
    joint_hedge=True,
    wallet_floor=1,
)
STRIKE = ScoreRule(basis=Basis.EQUITY, factor=Factor.NONE, loss=Loss.EXCLUDE)
CUBE = ScoreRule(basis=Basis.ABSOLUTE, factor=Factor.NOTIONAL_OVER_EQUITY, loss=Loss.DIVIDE)
BLUEFIN = ScoreRule(
    basis=Basis.ENTRY_VALUE, factor=Factor.NOTIONAL_OVER_FLOORED_EQUITY, loss=Loss.ZERO
)
ETHEREAL = ScoreRule(
    basis=Basis.UNIT,
    factor=Factor.LEVERAGE_SETTING,
    loss=Loss.EXCLUDE,
    ties=(Tie.PROFIT, Tie.BALANCE, Tie.NEWEST),
)
SIZE_ONLY = ScoreRule(basis=Basis.UNIT, factor=Factor.NONE, loss=Loss.MULTIPLY)


def at(mark: int, *, per: int = 1, is_inverse: bool = False) -> Rate:
    """A market whose mark value is lots * mark / per."""
    return Rate(mark_num=mark, mark_den=per, is_inverse=is_inverse)


def test_bitmex_linear_long() -> None:
    """10 contracts at 100, mark 120, bankrupt at 90: 20 % profit at 4x is 0.8."""
    position = Position(lots=10, entry_value=1000, margin=1000 - 900, position_id=1)

    assert Fraction(4, 5) == score(position, at(120), BITMEX, ())


def test_bitmex_linear_short() -> None:
    """10 contracts short at 100, mark 80, bankrupt at 110: 20 % profit at 8/3x is 8/15."""
    position = Position(lots=-10, entry_value=1000, margin=1100 - 1000, position_id=1)

    assert Fraction(8, 15) == score(position, at(80), BITMEX, ())


def test_bitmex_inverse_long() -> None:
    """1000 USD at 8000, mark 10000, bankrupt at 7407.407..: 20 % at 20/7x is 4/7.

    In satoshi: entry 12_500_000, bankrupt 13_500_000, a lot is worth 10^8 / 10^4 at mark.
    """
    margin = 13_500_000 - 12_500_000
    position = Position(lots=1000, entry_value=12_500_000, margin=margin, position_id=1)
    rate = at(100_000_000, per=10_000, is_inverse=True)

    assert Fraction(4, 7) == score(position, rate, BITMEX, ())


def test_bitmex_inverse_short() -> None:
    """A short inverse contract gains as its value in coin rises.

    1000 USD short at 10000, mark 8000: value 0.1 -> 0.125, 25 % of entry; with a margin of
    0.025 the factor is 0.125 / 0.05.
    """
    position = Position(lots=-1000, entry_value=10_000_000, margin=2_500_000, position_id=1)
    rate = at(100_000_000, per=8_000, is_inverse=True)

    assert Fraction(5, 8) == score(position, rate, BITMEX, ())


def test_bitmex_loss_is_divided() -> None:
    """At a loss the percentage is divided by the leverage.

    10 at 100, mark 95, margin 100: -5 % over 950 / 50.
    """
    position = Position(lots=10, entry_value=1000, margin=100, position_id=1)

    assert Fraction(-1, 20) / 19 == score(position, at(95), BITMEX, ())


def test_bitmex_through_bankruptcy() -> None:
    """A mark at or through the bankruptcy price leaves no distance to divide by."""
    position = Position(lots=10, entry_value=1000, margin=100, position_id=1)

    assert score(position, at(90), BITMEX, ()) == Reason.THROUGH_BANKRUPTCY
    assert score(position, at(89), BITMEX, ()) == Reason.THROUGH_BANKRUPTCY


@pytest.mark.parametrize(
    ("profit", "balance", "expected"),
    [(100, 1000, Fraction(1, 10)), (500, 5000, Fraction(1, 10)), (50, 100, Fraction(1, 2))],
)
def test_strike_score(profit: int, balance: int, expected: Fraction) -> None:
    """Strike: profit over margin balance, whatever the size of the position."""
    position = Position(lots=1, entry_value=10_000 - profit, position_id=1, account=0)

    assert expected == score(position, at(10_000), STRIKE, (Account(equity=balance),))


@pytest.mark.parametrize(("mark", "eligible"), [(1001, True), (1000, False), (999, False)])
def test_strike_eligibility(mark: int, *, eligible: bool) -> None:
    """Strike: a loss or a break-even position is never selected."""
    position = Position(lots=1, entry_value=1000, margin=500, position_id=1)

    assert eligible == (score(position, at(mark), STRIKE, ()) is not Reason.NOT_IN_PROFIT)


@pytest.mark.parametrize(
    ("lots", "fills", "unfilled"),
    [(7, ((3, 1), (0, 5), (1, 1)), 0), (12, ((3, 1), (0, 5), (1, 4)), 2)],
)
def test_strike_allocation(lots: int, fills: tuple[tuple[int, int], ...], unfilled: int) -> None:
    """Strike's book: D, A, B in turn, the rest unfilled, C and E out for want of a profit."""
    book = Book(
        positions=tuple(
            Position(
                lots=size, entry_value=1000 * size - profit, margin=equity - profit, position_id=row
            )
            for row, (profit, equity, size) in enumerate(
                [(500, 1000, 5), (390, 1300, 4), (-10, 200, 9), (50, 62, 1), (0, 100, 3)]
            )
        ),
        rates=(at(1000),),
        rule=STRIKE,
    )

    cut = select(book, lots=lots)

    assert (fills, unfilled) == (cut.fills, cut.unfilled)
    assert left_out(book) == {Reason.NOT_IN_PROFIT: 2}
    assert cut.available == 10


def test_hyperliquid_index() -> None:
    """Hyperliquid: mark / entry of 1.05 at 10x is 21/2."""
    rule = ScoreRule(basis=Basis.PRICE_RATIO, factor=Factor.NOTIONAL_OVER_EQUITY, loss=Loss.EXCLUDE)
    position = Position(lots=100, entry_value=10_000, position_id=1, account=0)

    assert Fraction(21, 2) == score(position, at(105), rule, (Account(equity=1050),))


@pytest.mark.parametrize(
    ("basis", "expected"),
    [(Basis.PRICE_RATIO_LITERAL, Fraction(4)), (Basis.PRICE_RATIO, Fraction(25, 4))],
)
def test_hyperliquid_short(basis: Basis, expected: Fraction) -> None:
    """A short +20 % at 5x: the printed mark / entry gives 4, the profitable direction 6.25."""
    rule = ScoreRule(basis=basis, factor=Factor.NOTIONAL_OVER_EQUITY, loss=Loss.EXCLUDE)
    position = Position(lots=-100, entry_value=10_000, position_id=1, account=0)

    assert expected == score(position, at(80), rule, (Account(equity=1600),))


@pytest.mark.parametrize(("lots", "expected"), [(1000, Fraction(5, 4)), (-1000, Fraction(4, 5))])
def test_inverse_price_ratio(lots: int, expected: Fraction) -> None:
    """An inverse mark price of 10000 over an entry of 8000 is 5/4, and 4/5 for a short."""
    rule = ScoreRule(basis=Basis.PRICE_RATIO, factor=Factor.NONE, loss=Loss.MULTIPLY)
    position = Position(lots=lots, entry_value=12_500_000, position_id=1)
    rate = at(100_000_000, per=10_000, is_inverse=True)

    assert expected == score(position, rate, rule, ())


@pytest.mark.parametrize(
    ("mark", "equity", "expected"), [(110, 50, Fraction(88)), (95, 20, Fraction(-20, 19))]
)
def test_cube_ranking(mark: int, equity: int, expected: Fraction) -> None:
    """Cube: 2 contracts at 100: 20 * 220/50 in profit, -10 / (190/20) at a loss."""
    position = Position(lots=2, entry_value=200, position_id=1, account=0)

    assert expected == score(position, at(mark), CUBE, (Account(equity=equity),))


@pytest.mark.parametrize(
    ("profit", "wallet", "maintenance", "expected"),
    [
        (500, 1000, 50, Fraction(1, 60)),
        (100, 1000, 50, Fraction(1, 220)),
        (-5, 1000, 50, Fraction(0)),
        (100, 0, 50, Fraction(50)),
        (-1000, 1000, 50, Fraction(0)),
        (-1001, 1000, 50, Fraction(0)),
    ],
)
def test_binance_leverage_pnl(
    profit: int, wallet: int, maintenance: int, expected: Fraction
) -> None:
    """Binance: 500 / 1000 * 50 / 1500 is 1/60; wallets are at least 1; no equity scores 0."""
    account = Account(equity=wallet + profit, maintenance_margin=maintenance, wallet_balance=wallet)
    position = Position(
        lots=1,
        entry_value=10_000,
        position_id=1,
        account=0,
        profit_lots=1,
        profit_value=10_000 - profit,
    )

    assert expected == score(position, at(10_000), BINANCE, (account,))


def test_joint_hedge_shares_one_profit() -> None:
    """Both legs of a hedge rank by the net profit: +300 on the long, -100 on the short is 200."""
    legs = [
        Position(
            lots=lots,
            entry_value=entry_value,
            position_id=row,
            account=0,
            profit_lots=2,
            profit_value=2000,
        )
        for row, (lots, entry_value) in enumerate([(3, 3000), (-1, 1000)])
    ]
    account = Account(equity=1000, maintenance_margin=100, wallet_balance=800)

    expected = [Fraction(200, 800) * Fraction(100, 1000)] * 2
    assert expected == [score(leg, at(1100), BINANCE, (account,)) for leg in legs]


@pytest.mark.parametrize(("equity", "expected"), [(22, Fraction(1, 2)), (2, Fraction(2))])
def test_bluefin_score(equity: int, expected: Fraction) -> None:
    """Bluefin: 10 % / max(maintenance, margin ratio): ratio 0.2 gives 1/2, floor 0.05 gives 2.

    Mark value 110, maintenance margin 5.5; amounts in tenths.
    """
    position = Position(lots=1, entry_value=1000, position_id=1, account=0)
    account = Account(equity=10 * equity, maintenance_margin=55)

    assert expected == score(position, at(1100), BLUEFIN, (account,))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Loss.DIVIDE, Fraction(-1, 40)),
        (Loss.MULTIPLY, Fraction(-2, 5)),
        (Loss.ZERO, Fraction(0)),
        (Loss.EXCLUDE, Reason.NOT_IN_PROFIT),
    ],
)
def test_loss_rules(loss: Loss, expected: Fraction | Reason) -> None:
    """-10 % at 4x: -1/40 divided, -2/5 multiplied, 0, or not in the queue."""
    rule = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.LEVERAGE_SETTING, loss=loss)
    position = Position(lots=1, entry_value=100, leverage=4_000_000, position_id=1)

    assert expected == score(position, at(90), rule, ())


def test_initial_margin_and_open_value() -> None:
    """Return on initial margin times open value over margin: 10/20 * 100/25 is 2."""
    rule = ScoreRule(
        basis=Basis.INITIAL_MARGIN, factor=Factor.OPEN_VALUE_OVER_MARGIN, loss=Loss.DIVIDE
    )
    position = Position(
        lots=1, entry_value=100, initial_margin=20, open_value=100, margin=25, position_id=1
    )

    assert Fraction(2) == score(position, at(110), rule, ())


def test_precedence_of_reasons() -> None:
    """A row with every fault is refused for its basis, then its equity, profit and factor."""
    rule = ScoreRule(
        basis=Basis.INITIAL_MARGIN, factor=Factor.NOTIONAL_OVER_EQUITY, loss=Loss.EXCLUDE
    )
    row = Position(lots=1, entry_value=100, margin=-50, position_id=1)

    assert score(row, at(90), rule, ()) == Reason.NO_BASIS
    rule = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.NOTIONAL_OVER_EQUITY, loss=Loss.EXCLUDE)
    assert score(row, at(90), rule, ()) == Reason.NO_EQUITY
    rule = ScoreRule(
        basis=Basis.ENTRY_VALUE, factor=Factor.OPEN_VALUE_OVER_MARGIN, loss=Loss.EXCLUDE
    )
    assert score(row, at(90), rule, ()) == Reason.NOT_IN_PROFIT
    assert score(row, at(110), rule, ()) == Reason.NO_FACTOR


def test_loss_over_a_factor_of_zero() -> None:
    """A loss cannot be divided by a factor of zero; a profit times zero is a score."""
    rule = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.LEVERAGE_SETTING, loss=Loss.DIVIDE)
    position = Position(lots=1, entry_value=100, position_id=1)

    assert score(position, at(99), rule, ()) == Reason.NO_FACTOR
    assert Fraction(0) == score(position, at(100), rule, ())
    assert Fraction(0) == score(position, at(101), rule, ())


def test_a_zeroed_loss_needs_no_factor() -> None:
    """Where a loss scores 0, a margin of nothing refuses winners only."""
    rule = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.OPEN_VALUE_OVER_MARGIN, loss=Loss.ZERO)
    position = Position(lots=1, entry_value=100, open_value=100, position_id=1)

    assert score(position, at(99), rule, ()) == Fraction(0)
    assert score(position, at(100), rule, ()) == Reason.NO_FACTOR


def test_ethereal_sort() -> None:
    """Ethereal's strict order: leverage, profit, lower balance, newer account: 5 4 3 2 1."""
    candidates = [(10, 5, 9), (10, 7, 9), (10, 7, 8), (10, 7, 8), (11, 1, 99)]
    book = Book(
        positions=tuple(
            Position(
                lots=1,
                entry_value=100 - profit,
                leverage=leverage * 1_000_000,
                margin=balance,
                created_at=number,
                position_id=number,
            )
            for number, (leverage, profit, balance) in enumerate(candidates, start=1)
        ),
        rates=(at(100),),
        rule=ETHEREAL,
    )

    assert [book.positions[row].position_id for row in queue(book)] == [5, 4, 3, 2, 1]


def test_delta_allocation() -> None:
    """Delta's printed table: the profitable prefix is 5 2 3 4, and 40 lots take 20, 10, 10."""
    table = [
        (100, -100, 2_000_000),
        (10, 200, 1_500_000),
        (50, 50, 3_000_000),
        (80, 2, 1_600_000),
        (20, 150, 2_200_000),
        (30, -200, 4_000_000),
        (70, -70, 1_800_000),
    ]
    # One market needs one mark: a mark of 1 a lot and joint profits set the printed percentages.
    book = Book(
        positions=tuple(
            Position(
                lots=size,
                entry_value=1000,
                profit_value=-thousandths,
                leverage=leverage,
                position_id=row,
            )
            for row, (size, thousandths, leverage) in enumerate(table, start=1)
        ),
        rates=(at(1),),
        rule=ScoreRule(
            basis=Basis.ENTRY_VALUE,
            factor=Factor.LEVERAGE_SETTING,
            loss=Loss.DIVIDE,
            joint_hedge=True,
        ),
    )

    assert [row + 1 for row in queue(book)][:4] == [5, 2, 3, 4]
    assert select(book, lots=40).fills == ((4, 20), (1, 10), (2, 10))
    assert select(book, lots=15).fills == ((4, 15),)
    assert select(book, lots=15).partial_row == 4


def sized(*sizes: int, owners: tuple[int, ...] = ()) -> Book:
    """Equal scores, so that position_id alone orders entries of the given sizes."""
    return Book(
        positions=tuple(
            Position(lots=size, entry_value=1, position_id=row, owner=owner)
            for row, (size, owner) in enumerate(zip_longest(sizes, owners))
        ),
        rates=(at(1),),
        rule=ScoreRule(basis=Basis.UNIT, factor=Factor.NONE, loss=Loss.MULTIPLY, ties=()),
    )


def test_bitmex_percentiles() -> None:
    """BitMEX's table: sizes 10 20 30 10 10 20 end at .1 .3 .6 .7 .8 1 and show 5 4 3 2 2 1."""
    book = sized(10, 20, 30, 10, 10, 20)

    shares = percentile(book, queue(book), Weight.QUANTITY)

    assert [Fraction(tenths, 10) for tenths in (1, 3, 6, 7, 8, 10)] == shares
    assert lights(book) == [5, 4, 3, 2, 2, 1]


def test_lights_by_entries() -> None:
    """Six entries in five bands end at sixths: 5 4 3 2 1 1, whatever their sizes."""
    book = sized(10, 20, 30, 10, 10, 20)

    assert lights(book, weight=Weight.ENTRIES) == [5, 4, 3, 2, 1, 1]
    assert lights(book, bands=1, weight=Weight.ENTRIES) == [1, 1, 1, 1, 1, 1]
    assert lights(book, bands=2, weight=Weight.ENTRIES) == [2, 2, 2, 1, 1, 1]


def test_lights_by_accounts() -> None:
    """An account counts once, at its best entry: shares 1/3 1/3 2/3 2/3 2/3 1."""
    book = sized(10, 20, 30, 10, 10, 20, owners=(2, 2, 0, 2, 0, 1))

    assert weights(book, queue(book), Weight.ACCOUNTS) == [1, 0, 1, 0, 0, 1]
    assert lights(book, weight=Weight.ACCOUNTS) == [4, 4, 2, 2, 2, 1]


def test_order_of_keys() -> None:
    """Tier goes before score, score before size, size before position_id."""
    rows = [(1, 0, 9), (1, 0, 3), (2, 0, 7), (1, 1, 1)]
    book = Book(
        positions=tuple(
            Position(lots=lots, entry_value=100 * lots, tier=tier, position_id=number)
            for lots, tier, number in rows
        ),
        rates=(at(110),),
        rule=SIZE_ONLY,
    )

    assert queue(book) == [2, 1, 0, 3]
    assert rank(book) == [3, 2, 1, 4]


def test_sides_and_markets_are_queues_of_their_own() -> None:
    """Each side of each market ranks from 1; excluded rows and unscored ones have no place."""
    sides = [(1, 0), (-1, 0), (1, 1), (2, 0), (-3, 1)]
    book = Book(
        positions=tuple(
            Position(lots=lots, entry_value=1, market=market, position_id=row)
            for row, (lots, market) in enumerate(sides)
        ),
        rates=(at(1), at(2)),
        rule=SIZE_ONLY,
    )

    assert groups(book) == [[3, 0], [1], [2], [4]]
    assert rank(book) == [2, 1, 1, 1, 1]
    assert queue(book, excluded={3}) == [0]
    assert left_out(book, excluded={3}) == {Reason.EXCLUDED: 1}


def test_empty_queue() -> None:
    """A side without entries gives nothing and reports the whole request."""
    book = Book(positions=(), rates=(at(1),), rule=SIZE_ONLY)

    cut = select(book, lots=5)

    assert (
        cut.fills,
        cut.unfilled,
        cut.available,
        cut.cut_row,
        cut.partial_row,
    ) == ((), 5, 0, -1, -1)
    assert [] == rank(book) == lights(book)
