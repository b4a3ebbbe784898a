"""Large books that mislead whoever guesses a cut from a part of the rows."""

import numpy as np
from numpy.typing import NDArray

from deleverage.model.rules import Basis, Factor, Loss, Scope, ScoreRule
from large import LargeBook, Shape, arranged, by_profit, entries, exact_keys, sizes

ROWS_LOOKED_AT_TOGETHER = 4096
"""A pass takes its rows in units of this many (in a book of up to a million)."""


def one_key(rng: np.random.Generator, count: int) -> LargeBook:
    """Every long has the same profit: sizes and ids alone order them."""
    return by_profit(rng, np.full(count, 5), rng.integers(1, 1_000, count))


def two_keys(rng: np.random.Generator, count: int) -> LargeBook:
    """Half of the longs share one profit and half the same loss."""
    return by_profit(rng, rng.choice([-7, 7], count), rng.integers(50, 100, count))


def around_zero(rng: np.random.Generator, count: int) -> LargeBook:
    """A third of the longs has neither profit nor loss, so that the cut may be zero itself."""
    return by_profit(rng, rng.integers(-1, 2, count), rng.integers(50, 100, count))


def best_at_the_end(rng: np.random.Generator, count: int) -> LargeBook:
    """Whoever is in profit stands in the last hundredth of the rows."""
    profits = rng.integers(-900, 0, count)
    profits[-(count // 100) :] += 2_000
    return by_profit(rng, profits, rng.integers(50, 100, count))


def whales(rng: np.random.Generator, count: int) -> LargeBook:
    """Twenty rows hold nearly all of the lots, wherever they stand in the queue."""
    lots = rng.integers(50, 100, count)
    lots[rng.choice(count, 20, replace=False)] = 2**33
    return by_profit(rng, rng.integers(-500, 500, count), lots)


def first_units(rng: np.random.Generator, count: int, *, best: int) -> LargeBook:
    """The units that are looked at first are unlike all others."""
    profits = rng.integers(-300, 300, count)
    profits[np.arange(count) // ROWS_LOOKED_AT_TOGETHER % 4 == 1] += best
    return by_profit(rng, profits, rng.integers(50, 100, count))


def first_units_are_the_best(rng: np.random.Generator, count: int) -> LargeBook:
    """The cut looks nearer than it is."""
    return first_units(rng, count, best=250)


def first_units_are_the_worst(rng: np.random.Generator, count: int) -> LargeBook:
    """The cut looks farther away than it is."""
    return first_units(rng, count, best=-250)


def judged(rng: np.random.Generator, account: NDArray[np.int64], owners: int) -> LargeBook:
    """Profit over the account's equity, winners only; a tenth of the accounts have none."""
    count = len(account)
    lots = sizes(rng, count)
    entry_value = entries(lots, (61_234, 1), rng.uniform(-0.5, 0.5, count))
    equity = rng.integers(-(10**8), 10**9, owners)
    profits = (np.abs(lots) * 61_234 - entry_value).tolist()
    scores = [
        (profit, worth) if profit > 0 and worth > 0 else None
        for profit, worth in zip(profits, equity[account].tolist(), strict=True)
    ]
    return arranged(
        rng,
        keys=exact_keys(scores),
        rule=ScoreRule(
            basis=Basis.EQUITY, factor=Factor.NONE, loss=Loss.EXCLUDE, scope=Scope.ACCOUNT
        ),
        mark=(61_234, 1),
        lots=lots,
        entry_value=entry_value,
        account=account.astype(np.uint32),
        equity=equity,
    )


def scattered_accounts(rng: np.random.Generator, count: int) -> LargeBook:
    """Neighbours' accounts lie far apart."""
    return judged(rng, rng.integers(0, count, count), count)


def accounts_in_order(rng: np.random.Generator, count: int) -> LargeBook:
    """Neighbours' accounts lie side by side."""
    return judged(rng, np.sort(rng.integers(0, count // 2, count)), count // 2)


BY_PROFIT: tuple[Shape, ...] = (
    one_key,
    two_keys,
    around_zero,
    best_at_the_end,
    whales,
    first_units_are_the_best,
    first_units_are_the_worst,
)
"""Shapes with keys of 64 bits, which may be very large."""

BY_ACCOUNT: tuple[Shape, ...] = (scattered_accounts, accounts_in_order)
"""Shapes judged by the equity of an account."""
