"""Small books to try the kernel on, drawn by hypothesis; `large.py` has the large ones.

A book is made of a few template rows and of rows that repeat, multiply or nudge one, because
what is hard in a queue is what is equal or nearly so: exact ties by other sizes, scores one unit in
2^51 apart, a mark exactly at entry, an equity of one unit.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.model.rules import Basis, Factor, Loss, NoEquity, Scope, ScoreRule, Tie
from oracle import Account, Book, Position, Rate

LIMIT = 2**51 - 1
"""The largest magnitude of a column."""

RATE_LIMIT = 2**61
"""Marks are drawn up to here; the kernel takes less than 2^62."""

OWN_MARGIN = 0xFFFFFFFF
"""The account of a row that is judged on its own margin."""

MONEY = ("lots", "entry_value", "margin", "maintenance_margin", "initial_margin", "open_value")
"""Columns that a multiple of a position multiplies."""

MAGNITUDES = st.one_of(
    st.integers(1, 20),
    st.integers(1, 10**6),
    st.integers(1, LIMIT),
    st.integers(LIMIT - 3, LIMIT),
)
OR_ZERO = st.one_of(st.just(0), MAGNITUDES)
SIGNED = st.one_of(st.integers(-3, 3), MAGNITUDES, MAGNITUDES.map(lambda value: -value))
BASES = st.sampled_from(Basis)
FACTORS = st.sampled_from(Factor)
LEVERAGES = st.one_of(st.sampled_from([0, 1_000_000, 5_000_000, 20_000_000]), OR_ZERO)


def within(value: int, lowest: int) -> int:
    """The value, or the nearest that a column takes."""
    return min(LIMIT, max(lowest, value))


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    """Small ratios, decimal prices, anything up to 2^61, and ratios a hair's breadth from 1."""
    shape = draw(st.integers(0, 4))
    if shape == 0:
        num, den = 1, 1
    elif shape == 1:
        num, den = draw(st.integers(1, 50)), draw(st.integers(1, 50))
    elif shape == 2:
        num, den = draw(st.integers(1, 10**9)), 10 ** draw(st.integers(0, 9))
    elif shape == 3:
        num, den = draw(st.integers(1, RATE_LIMIT)), draw(st.integers(1, RATE_LIMIT))
    else:
        den = draw(st.integers(RATE_LIMIT // 2, RATE_LIMIT - 3))
        num = den + draw(st.integers(-3, 3))
    return Rate(mark_num=num, mark_den=den, is_inverse=draw(st.booleans()))


def rules(
    basis: st.SearchStrategy[Basis] = BASES, factor: st.SearchStrategy[Factor] = FACTORS
) -> st.SearchStrategy[ScoreRule]:
    """Every combination of the rule's members, with any keys after the score."""
    return st.builds(
        ScoreRule,
        basis=basis,
        factor=factor,
        loss=st.sampled_from(Loss),
        no_equity=st.sampled_from(NoEquity),
        scope=st.sampled_from(Scope),
        joint_hedge=st.booleans(),
        wallet_floor=st.sampled_from([1, 10**6, LIMIT]),
        ties=st.lists(st.sampled_from(Tie), unique=True, max_size=3).map(tuple),
    )


def accounts() -> st.SearchStrategy[tuple[Account, ...]]:
    """One to five accounts, some with zero or negative equity, some with one unit."""
    account = st.builds(Account, equity=SIGNED, maintenance_margin=OR_ZERO, wallet_balance=SIGNED)
    return st.lists(account, min_size=1, max_size=5).map(tuple)


@st.composite
def templates(draw: st.DrawFn, *, rate: Rate) -> Position:
    """A row whose entry is free or next to its mark, and whose own equity is free or next to 0."""
    size = draw(MAGNITUDES)
    direction = draw(st.sampled_from([1, -1]))
    mark = size * rate.mark_num // rate.mark_den
    near = st.sampled_from([mark - 1, mark, mark + 1, mark // 2, 2 * mark])
    entry_value = within(draw(st.one_of(MAGNITUDES, near)), 1)
    gain = (mark - entry_value) * direction * (-1 if rate.is_inverse else 1)
    bankrupt = st.sampled_from([-gain - 1, -gain, -gain + 1, -gain + 2])
    return Position(
        lots=direction * size,
        entry_value=entry_value,
        position_id=0,
        margin=within(draw(st.one_of(SIGNED, bankrupt)), -LIMIT),
        maintenance_margin=draw(OR_ZERO),
        initial_margin=draw(OR_ZERO),
        open_value=draw(OR_ZERO),
        leverage=draw(LEVERAGES),
    )


def multiplied(position: Position, times: int) -> Position:
    """The position so many times over, if the columns can hold it: the same ratios exactly."""
    grown = {name: times * int(getattr(position, name)) for name in MONEY}
    fits = all(abs(value) <= LIMIT for value in grown.values())
    return replace(position, **grown) if fits else position


def nudged(position: Position, name: str, by: int) -> Position:
    """The position with one column one unit higher or lower."""
    value = int(getattr(position, name)) + by
    fits = abs(value) <= LIMIT and (value > 0 or name == "margin")
    return replace(position, **{name: value}) if fits else position


@st.composite
def joint(draw: st.DrawFn, *, position: Position, rate: Rate) -> Position:
    """The row with a joint profit: its own, one next to zero, or any."""
    direction = 1 if position.lots > 0 else -1
    lots = draw(st.one_of(st.just(position.lots), SIGNED))
    mark = lots * rate.mark_num // rate.mark_den
    near = st.sampled_from([direction * position.entry_value, mark - 1, mark, mark + 1])
    value = within(draw(st.one_of(near, SIGNED)), -LIMIT)
    return replace(position, profit_lots=lots, profit_value=value)


CHANGES = tuple(
    product(
        (1, 1, 2, 3, 1000),
        (("", 0), ("", 0), *product(("lots", "entry_value", "margin"), (1, -1))),
        (1, 1, 1, -1),
        (0, 0, 0, 1, 2),
        (0, 0, 1, -1, 2**60),
    )
)
"""What a row may do to a template: times, a column and its nudge, a turn; its tier and age.

One draw of all is several times as quick as a draw of each.
"""


@st.composite
def rows(draw: st.DrawFn, *, bases: Sequence[Position], rates: Sequence[Rate]) -> Position:
    """A template as it is, multiplied, nudged by a unit, or turned to the other side."""
    times, (name, by), turn, tier, created_at = draw(st.sampled_from(CHANGES))
    position = multiplied(draw(st.sampled_from(bases)), times)
    if name:
        position = nudged(position, name, by)
    return replace(
        position,
        lots=turn * position.lots,
        market=draw(st.integers(0, len(rates) - 1)) if len(rates) > 1 else 0,
        tier=tier,
        created_at=created_at,
    )


def owner(rule: ScoreRule, number: int, count: int) -> int | None:
    """The account that a row points to in the rule's scope; numbers past the table are nobody's."""
    if rule.scope is Scope.POSITION or (rule.scope is Scope.MARGIN_MODE and number >= count):
        return None
    return number % count


@st.composite
def books(
    draw: st.DrawFn,
    *,
    rule: st.SearchStrategy[ScoreRule] | None = None,
    markets: int = 1,
    max_rows: int = 60,
) -> Book:
    """A book of up to 60 rows with unique ids in no order."""
    drawn = draw(rules() if rule is None else rule)
    marks = tuple(draw(rates()) for _ in range(draw(st.integers(1, markets))))
    table = draw(accounts())
    bases = [draw(templates(rate=marks[0])) for _ in range(draw(st.integers(1, 4)))]
    count = draw(st.one_of(st.integers(0, min(6, max_rows)), st.integers(0, max_rows)))
    # An odd multiplier permutes the 64-bit numbers: ids are unique and in no order.
    step = 2 * draw(st.integers(0, 2**63 - 1)) + 1
    has_owners = draw(st.booleans())
    positions = []
    for number in range(count):
        position = draw(rows(bases=bases, rates=marks))
        if drawn.joint_hedge:
            position = draw(joint(position=position, rate=marks[position.market]))
        account = owner(drawn, draw(st.integers(0, 2 * len(table))), len(table))
        identity = (number + 1) * step % 2**64
        name = (draw(st.integers(0, 5)) if account is None else account) if has_owners else None
        positions.append(replace(position, account=account, owner=name, position_id=identity))
    return Book(positions=tuple(positions), rates=marks, rule=drawn, accounts=table)


def columns_of(book: Book) -> ranking.Columns:
    """The book's rows as the kernel's columns."""
    return columns_from(book.positions)


def columns_from(positions: Sequence[Position]) -> ranking.Columns:
    """The twin's positions as the kernel's columns."""

    def column(name: str, kind: type[np.generic] = np.int64) -> NDArray[Any]:
        return np.array([getattr(position, name) for position in positions], dtype=kind)

    owners = [OWN_MARGIN if p.account is None else p.account for p in positions]
    has_owners = all(position.owner is not None for position in positions)
    return ranking.Columns(
        lots=column("lots"),
        entry_value=column("entry_value"),
        position_id=column("position_id", np.uint64),
        market=column("market", np.uint32),
        margin=column("margin"),
        maintenance_margin=column("maintenance_margin"),
        initial_margin=column("initial_margin"),
        open_value=column("open_value"),
        leverage=column("leverage"),
        account=np.array(owners, dtype=np.uint32),
        owner=column("owner", np.uint32) if has_owners else None,
        profit_lots=column("profit_lots"),
        profit_value=column("profit_value"),
        tier=column("tier", np.uint8),
        created_at=column("created_at"),
    )


def accounts_of(book: Book) -> ranking.Accounts:
    """The book's account table as the kernel's columns."""

    def column(name: str) -> NDArray[np.int64]:
        return np.array([getattr(account, name) for account in book.accounts], dtype=np.int64)

    return ranking.Accounts(
        equity=column("equity"),
        maintenance_margin=column("maintenance_margin"),
        wallet_balance=column("wallet_balance"),
    )


def rates_of(book: Book) -> list[ranking.Rate]:
    """The book's marks as the kernel takes them."""
    return [
        ranking.Rate(mark_num=r.mark_num, mark_den=r.mark_den, is_inverse=r.is_inverse)
        for r in book.rates
    ]
