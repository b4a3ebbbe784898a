"""What policies refuse, by name, row and value; and sums that do not fit one word."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.errors import InputError
from deleverage.policy import (
    Capped,
    Contracts,
    FactorDraining,
    LeverageDraining,
    MinMax,
    Policy,
    Profits,
    ProRata,
    Queue,
    RiskWeighted,
    SeededRing,
)
from deleverage.policy.both_sides import drift_delta
from deleverage.policy.capped import floor_caps
from deleverage.policy.checks import total
from deleverage.policy.clearing import gains_haircut, tear_up
from deleverage.policy.index_scaling import Holding, Index
from deleverage.policy.pool_solvency import Pool, token_price
from deleverage.policy.priced_draining import PricedDraining
from deleverage.policy.risk_weighted import Power
from deleverage.policy.severity import (
    Backoff,
    Lagged,
    MirrorDescent,
    OnlineGradient,
    Round,
    Static,
    budget,
)
from deleverage.policy.shares import share, share_long
from deleverage.policy.socialised import payout_ratio, printed_shares, share_payouts
from deleverage.policy.withdrawal import charge_withdrawal, loss_factor

MOST = 2**51 - 1
HALF: Any = 0.5


def ints(values: list[int]) -> np.ndarray[Any, Any]:
    """A column."""
    return np.array(values, dtype=np.int64)


def twins(name: str) -> Contracts:
    """Three rows, two of which have one id, and a column that a policy reads."""
    more = {name: ints([1, 1, 1])}
    return Contracts(lots=ints([4, 4, 4]), ids=np.array([5, 7, 5], np.uint64), **more)


def ring() -> SeededRing:
    """A ring that nobody is passed over in."""
    return SeededRing(start=0, side=1, bankruptcy=Fraction(1), bankruptcies=[None] * 3)


def sealed(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array that may only be read."""
    values.flags.writeable = False
    return values


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_totals_never_wrap(values: list[int]) -> None:
    """Whole words of either sign are summed as Python sums them."""
    assert total(ints(values)) == sum(values)


@pytest.mark.parametrize("amount", [4097 * MOST - 1, 4097 * MOST - 2000, 2**63 - 5, 2**63 + 5])
def test_drainings_close_what_was_asked_beyond_a_word(amount: int) -> None:
    """4,097 accounts hold more lots than an int64 sum can: no lot is closed beyond the amount."""
    full = np.full(4097, MOST, dtype=np.int64)
    candidates = Contracts(lots=full, equity=full, rank=np.arange(1, 4098, dtype=np.int64))
    policies: list[Policy[Contracts]] = [
        FactorDraining(exposure=full, unit=Fraction(1)),
        PricedDraining(value=Fraction(1), cost=Fraction(0)),
        LeverageDraining(),
        Queue(),
    ]
    for policy in policies:
        found = policy.allocate(candidates, amount)
        assert (sum(found.taken.tolist()), found.unfilled) == (amount, 0)
        assert int(found.taken.min()) >= 0


def every_policy(rows: int) -> list[Policy[Contracts]]:
    """One of each policy over contracts, for so many rows."""
    ring: SeededRing = SeededRing(
        start=0, side=1, bankruptcy=Fraction(1), bankruptcies=[None] * rows
    )
    return [
        Queue(),
        ProRata(),
        Capped(),
        MinMax(),
        RiskWeighted(growth=Power()),
        FactorDraining(exposure=ints([1] * rows), unit=Fraction(1)),
        PricedDraining(value=Fraction(2), cost=Fraction(0)),
        LeverageDraining(),
        ring,
    ]


def side(lots: list[int], *, is_capped: bool) -> Contracts:
    """A side with every column that any policy reads."""
    rows = len(lots)
    return Contracts(
        lots=ints(lots),
        cap=ints([0] * rows) if is_capped else None,
        rank=ints(list(range(1, rows + 1))),
        equity=ints([9] * rows),
        leverage=ints([1] * rows),
    )


WRONG_AMOUNTS: list[tuple[Any, str]] = [
    (1.5, "amount: expected a whole number, got 1.5"),
    ("4", "amount: expected a whole number, got '4'"),
    (True, "amount: expected a whole number, got True"),
    (-1, "amount: expected 0 or more units, got -1"),
    (2**100, r"amount: expected less than 2\*\*100 units, got 1267"),
]


@pytest.mark.parametrize("place", range(9))
def test_every_policy_refuses_what_is_no_amount_and_no_size(place: int) -> None:
    """Floats, texts, truth values, sizes below zero or of 2**51: by name and row, in each."""
    policy = every_policy(2)[place]
    is_capped = isinstance(policy, Capped)
    for amount, message in WRONG_AMOUNTS:
        with pytest.raises(InputError, match=message):
            policy.allocate(side([5, 5], is_capped=is_capped), amount)
    with pytest.raises(InputError, match=r"got -3 in row 1|0 to the lots -3, got 0 in row 1"):
        policy.allocate(side([5, -3], is_capped=is_capped), 1)
    with pytest.raises(InputError, match="got 2251799813685248 in row 0"):
        policy.allocate(side([2**51, 1], is_capped=is_capped), 1)
    given = side([5, 5], is_capped=is_capped)
    assert policy.allocate(given, np.int64(0)).unfilled == 0  # type: ignore[arg-type]


COLUMN = ints([1, 2])
REFUSALS: list[tuple[Any, str]] = [
    (lambda: Contracts(lots=COLUMN, rank=ints([1, -1])), "rank: .* got -1 in row 1"),
    (lambda: Contracts(lots=COLUMN, cap=ints([-1, 0])), "cap: .* got -1 in row 0"),
    (lambda: Contracts(lots=COLUMN, leverage=ints([0, -1])), "leverage: .* got -1 in row 1"),
    (lambda: Contracts(lots=COLUMN, profit=ints([0, -(2**51)])), r"profit: expected -\(2\^51 - 1"),
    (lambda: Contracts(lots=COLUMN, equity=ints([2**51, 0])), "equity: .*48 in row 0"),
    (lambda: Profits(profit=COLUMN, rank=ints([1])), "rank: expected 2 rows as in profit, got 1"),
    (
        lambda: FactorDraining(exposure=ints([1, 2**51]), unit=Fraction(1)).allocate(
            Contracts(lots=COLUMN, equity=COLUMN), 1
        ),
        "exposure: .*48 in row 1",
    ),
    (
        lambda: SeededRing(
            start=0, side=1, bankruptcy=Fraction(1), bankruptcies=[None, *([0.5])]
        ).allocate(Contracts(lots=COLUMN), 1),
        "bankruptcies, row 1: expected a whole number or Fraction, got 0.5",
    ),
    (
        lambda: gains_haircut(ints([2**51, 0]), 1),
        "gains: .*48 in row 0",
    ),
    (lambda: gains_haircut(COLUMN, 1, past=ints([0, 2**62])), "past: .* in row 1"),
    (lambda: gains_haircut(COLUMN, *([1.5])), "shortfall: expected a whole number"),
    (lambda: gains_haircut(np.array([1.5]), 1), "gains: expected a contiguous"),
    (lambda: tear_up(ints([5, -(2**63)]), 3), "positions: .*in row 1"),
    (lambda: tear_up(COLUMN, *(["3"])), "defaulted: expected a whole number"),
    (
        lambda: floor_caps(ints([3, -5]), COLUMN, equity_floor=COLUMN, most_ppm=1),
        r"profit: expected 0 to 2\^51 - 1, got -5 in row 1",
    ),
    (
        lambda: floor_caps(COLUMN, ints([1]), equity_floor=COLUMN, most_ppm=1),
        "collateral: expected 2 rows as in profit, got 1",
    ),
    (
        lambda: floor_caps(COLUMN, COLUMN, equity_floor=ints([0, 2**62]), most_ppm=1),
        "equity_floor: .*in row 1",
    ),
    (
        lambda: floor_caps(COLUMN, COLUMN, equity_floor=COLUMN, most_ppm=0.5),
        "most_ppm: expected a whole number, got 0.5",
    ),
    (lambda: share(*([[1, 2], 1])), "weight: expected a contiguous"),
    (lambda: share(COLUMN, 1, cap=np.array([1.0, 2.0])), "cap: expected a contiguous"),
    (lambda: share(COLUMN, 1, sample=-1), "sample: expected 0 to .*, got -1"),
    (lambda: share(COLUMN, 1, threads=1.5), "threads: expected a whole number"),
    (lambda: share_long([1, 2], [1], [0, 1], 2), "cap: expected 2 rows as in weight, got 1"),
    (lambda: share_long([1, 2], [1, 1], [0], 2), "ids: expected 2 rows as in weight, got 1"),
    (lambda: share_long([1], [2**63], [0], 2**63), "cap: .*, got 9223372036854775808 in row 0"),
    (lambda: share_long([2, -1], [1, 1], [0, 1], 1), "weight, row 1: expected 0 or more, got -1"),
    (lambda: share_payouts([1, *([0.5])], 1), "owed, row 1: expected a whole number, got 0.5"),
    (lambda: share_payouts([1], *([True])), "collected: expected a whole number"),
    (lambda: payout_ratio(*([0.5, 1])), "residual: expected a whole number"),
    (lambda: printed_shares(Decimal(1), [Decimal(1)], Decimal(0)), "amount, step: expected"),
    (lambda: printed_shares(Decimal(-1), [Decimal(1)], Decimal(1)), "amount, step: expected"),
    (lambda: printed_shares(Decimal("nan"), [Decimal(1)], Decimal(1)), "amount: .* finite"),
    (
        lambda: printed_shares(Decimal(1), [Decimal(1), Decimal("inf")], Decimal(1)),
        "profits, row 1: expected a finite number",
    ),
    (
        lambda: charge_withdrawal(*([7, 0.5])),
        "factor: expected a whole number or Fraction, got 0.5",
    ),
    (lambda: charge_withdrawal(*([7.5, Fraction(0)])), "amount: expected a whole number"),
    (lambda: loss_factor(bankruptcy=1, insurance=0, balance=0.5), "balance: expected a wh"),
    (lambda: drift_delta(-1, long=1, short=-0.5), "short: expected a whole number"),
    (
        lambda: RiskWeighted(growth=Power()).allocate(twins("leverage"), 3),
        "ids: expected each once, got 5 in rows 0 and 2",
    ),
    (lambda: ring().allocate(twins("cap"), 3), "ids: expected each once, got 5 in rows 0 and 2"),
    (lambda: Index(open_interest=HALF), "open_interest: expected a whole number, got 0.5"),
    (lambda: Index(open_interest=4).close(HALF, deficit=0), "lots: expected a whole number"),
    (lambda: Index(open_interest=4).close(1, deficit=HALF), "deficit: expected a whole number"),
    (lambda: Index().open(HALF), "lots: expected a whole number, got 0.5"),
    (lambda: Holding(lots=1, scale=1, gain=HALF, epoch=0), "gain: expected a whole number"),
    (lambda: Pool(balance=HALF, pnl=1), "balance: expected a whole number, got 0.5"),
    (lambda: Pool(balance=1, pnl=HALF), "pnl: expected a whole number, got 0.5"),
    (lambda: Pool(balance=1, pnl=1).needs_deleveraging(HALF), "limit: .* or Fraction, got 0.5"),
    (lambda: Pool(balance=1, pnl=1).paid(HALF, limit=Fraction(1)), "profit: expected a whole"),
    (lambda: Pool(balance=1, pnl=1).paid(1, limit=HALF), "limit: expected a whole number or"),
    (
        lambda: Pool(balance=1, pnl=1).deleverage(
            Pool(balance=2, pnl=1), limit=Fraction(0), least=HALF
        ),
        "least: expected a whole number or Fraction",
    ),
    (
        lambda: token_price(holdings=HALF, pnl=1, limit=Fraction(1), side=1, supply=1),
        "holdings: expected a whole number",
    ),
    (lambda: Round(deficit=HALF, capacity=1), "deficit: expected a whole number, got 0.5"),
    (lambda: Static(billionths=HALF), "billionths: expected a whole number, got 0.5"),
    (lambda: Lagged(billionths=HALF), "billionths: expected a whole number, got 0.5"),
    (lambda: Backoff(first=1, part=HALF), "part: expected a whole number, got 0.5"),
    (lambda: MirrorDescent(first=1, step=HALF), "step: expected a whole number, got 0.5"),
    (
        lambda: MirrorDescent(first=1, step=1, relief=HALF),
        "relief: expected a whole number or Fraction",
    ),
    (lambda: OnlineGradient(first=1, path=1, squares=HALF), "squares: expected a whole number"),
    (
        lambda: budget(HALF, Round(deficit=1, capacity=1)),
        "severity: expected a whole number or Fraction, got 0.5",
    ),
    (lambda: share(COLUMN, 1, out=ints([1])), "out: expected 2 rows as in weight, got 1"),
    (lambda: share(COLUMN, 1, out=np.zeros(2)), "out: expected a contiguous .*int64"),
    (lambda: share(COLUMN, 1, out=COLUMN), "out: expected memory of its own, .* weight lies in"),
    (lambda: share(COLUMN, 1, out=sealed(ints([1, 2]))), "out: .* got a read-only one"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSALS)
def test_what_no_rule_can_read_is_refused_by_name(wrong: Any, message: str) -> None:
    """One clear error with the name, the row and the value; never one of Python's own."""
    with pytest.raises(InputError, match=message):
        wrong()
