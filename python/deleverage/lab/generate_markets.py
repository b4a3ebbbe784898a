"""Which markets an account is in, and how its money is split over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count as counting
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sample", "distinct_markets", "fit_markets", "picked", "size_class", "split", "within"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

_SIZES = np.array([1e2, 1e3, 1e4, 1e5, 1e6, 1e7])
_ROUNDS = 20
_SPLIT_NOISE = 0.8
_SPLIT_POWER = 0.7
_SOLVING_ROUNDS = 300
_GOLDEN = (5**0.5 - 1) / 2  # steps of this visit a range most evenly


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Accounts of the published size.

    Attributes:
        money: (a,) USD, notional of each.
        numbers: (a,) its positions.
    """

    money: Floats
    numbers: Int64

    @property
    def kind(self) -> Int64:
        """(a,) class of size of each."""
        return size_class(self.money / self.numbers)

    def by_class(self, column: NDArray[Any]) -> Floats:
        """(classes,) sums of a column."""
        return np.bincount(self.kind, weights=column, minlength=len(_SIZES) + 1).astype(np.float64)


def size_class(mean: Floats) -> Int64:
    """Give the class of size of accounts.

    Args:
        mean: (n,) mean notional of their positions, USD.

    Returns:
        (n,) classes, from 0.
    """
    return np.searchsorted(_SIZES, mean).astype(np.int64)


def fit_markets(fills: Floats, notional: Floats, samples: Sequence[Sample]) -> Floats:
    """Fit the chance of each market by class of size, so that both its totals are as published.

    The odds of market c in class s are `a_c exp(l_c t_s)`, t the log of the class's mean size.
    Nobody is in a market twice, which flattens what is drawn: after each solution one sample of
    the accounts is tried out, and the targets moved by what it missed, by less each time.

    Args:
        fills: (m,) fills of each market.
        notional: (m,) USD of each market.
        samples: the accounts of the published size, drawn several times.

    Returns:
        (classes, m) odds, each row adds up to 1.
    """
    classes = len(_SIZES) + 1
    number = sum((one.by_class(one.numbers) for one in samples), np.zeros(classes))
    whole = sum((one.by_class(one.money) for one in samples), np.zeros(classes))
    wanted, worth = fills.copy(), notional.copy()
    odds = _solved(wanted, worth, number, whole)
    for trial, sample in enumerate(samples):
        generator = np.random.default_rng([trial, 2])
        account = np.repeat(np.arange(len(sample.kind)), sample.numbers)
        kind = sample.kind[account]
        market = distinct_markets(generator, account, kind, odds)
        share = split(generator, odds[kind, market], account)
        count = np.bincount(market, minlength=len(fills)) + 1.0
        held = np.bincount(market, weights=sample.money[account] * share, minlength=len(fills))
        step = 1 / (1 + trial / 3)
        wanted *= ((fills + 1) / count) ** step
        worth *= np.clip(1 + 0.6 * step * (1 - held / notional), 0.5, 2)
        odds = _solved(wanted, worth, number, whole)
    return odds


def _solved(fills: Floats, notional: Floats, number: Floats, whole: Floats) -> Floats:
    """Odds whose expected totals are given ones, were positions drawn one by one."""
    present = number > 0
    height = np.log(np.divide(whole, number, out=np.ones_like(whole), where=present))
    height = (height - height.mean()) / height.std()
    level, slope = np.log(fills / fills.sum()), np.zeros(len(fills))
    size = notional / fills / (notional.sum() / fills.sum())
    odds = np.empty((len(number), len(fills)))
    for _ in range(_SOLVING_ROUNDS):
        odds = np.exp(level + np.outer(height, slope))
        odds /= odds.sum(axis=1, keepdims=True)
        found, worth = number @ odds, whole @ odds
        level += np.log(fills / fills.sum() * number.sum() / found)
        slope += 0.3 * np.log(size * found * whole.sum() / (worth * number.sum()))
    return odds


def split(generator: np.random.Generator, odds: Floats, account: Int64) -> Floats:
    """Split each account's money over its positions, more of it where the odds are higher.

    Args:
        generator: draws.
        odds: (n,) of each position's market.
        account: (n,) place of its account.

    Returns:
        (n,) shares; each account's add up to 1.
    """
    # Accounts in many markets are spread like the market.
    wide = _SPLIT_NOISE / np.sqrt(np.bincount(account))[account]
    noise = np.exp(wide * generator.standard_normal(len(account)))
    return within(odds**_SPLIT_POWER * noise, account)


def within(weights: Floats, account: Int64) -> Floats:
    """Each row's share of its account's weights."""
    whole = np.bincount(account, weights=weights)
    shares: Floats = weights / whole[account]
    return shares


def picked(odds: Floats, kind: Int64, at: Floats) -> Int64:
    """Pick by the odds of each row's kind: one search in all of them, laid end to end."""
    kinds, choices = odds.shape
    edges = np.cumsum(odds, axis=1)
    edges /= edges[:, -1:]
    laid = (edges + np.arange(kinds)[:, None]).ravel()
    found = np.searchsorted(laid, kind + at, side="right") - kind * choices
    picked: Int64 = np.clip(found, 0, choices - 1)
    return picked


def distinct_markets(
    generator: np.random.Generator, account: Int64, kind: Int64, odds: Floats
) -> Int64:
    """A market for each position, no market twice in an account.

    The first picks of each class are spread evenly over the odds, those of neighbours by golden
    steps: large and small, and those of one account, fall on all markets alike. What an account
    has twice is picked again; who still has a market twice after some rounds gets the best of
    random keys.
    """
    rows, markets = len(account), odds.shape[1]
    at = np.empty(rows)
    for one in range(odds.shape[0]):
        theirs = np.flatnonzero(kind == one)
        at[theirs] = (generator.random() + np.arange(len(theirs)) * _GOLDEN) % 1
    market = picked(odds, kind, at)
    held = np.bincount(account)
    active = np.flatnonzero(held[account] > 1)
    for round_ in counting():
        key = account[active] * markets + market[active]
        order = np.argsort(key, kind="stable")
        is_twice = np.zeros(len(active), dtype=bool)
        is_twice[order[1:]] = key[order[1:]] == key[order[:-1]]
        again = active[is_twice]
        if not len(again):
            return market
        active = active[np.isin(account[active], account[again])]
        if round_ == _ROUNDS:
            break
        market[again] = picked(odds, kind[again], generator.random(len(again)))
    for one in np.unique(account[active]):
        own = active[account[active] == one]
        with np.errstate(divide="ignore"):
            keys = np.log(odds[kind[own[0]]]) + generator.gumbel(size=markets)
        market[own] = np.argsort(-keys, kind="stable")[: len(own)]
    return market
