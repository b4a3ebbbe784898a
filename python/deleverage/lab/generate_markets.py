"""Which markets an account is in, and how its money is split over them."""

from itertools import count as counting

import numpy as np
from numpy.typing import NDArray

__all__ = ["distinct_markets", "fit_markets", "picked", "split", "within"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

_ROUNDS = 20
_SPLIT_NOISE = 0.8
_SPLIT_POWER = 0.7
_SOLVING_ROUNDS = 300
_TRIALS = 8


def fit_markets(
    fills: Floats, notional: Floats, *, kind: Int64, money: Floats, numbers: Int64
) -> Floats:
    """Fit the chance of each market by class of size, so that both its totals are as published.

    The odds of market c in class s are `a_c exp(l_c t_s)`, t the log of the class's mean size.
    Nobody is in a market twice, which flattens what is drawn: after each solution the accounts
    are tried out, and the targets moved by what they missed.

    Args:
        fills: (m,) fills of each market.
        notional: (m,) USD of each market.
        kind: (a,) class of each account of the published size.
        money: (a,) its notional.
        numbers: (a,) its positions.

    Returns:
        (classes, m) odds, each row adds up to 1.
    """
    account = np.repeat(np.arange(len(kind)), numbers)
    wanted, worth = fills.copy(), notional.copy()
    odds = _solved(wanted, worth, kind, money, numbers)
    for trial in range(_TRIALS):
        generator = np.random.default_rng([trial, 2])
        market = distinct_markets(generator, account, kind[account], odds)
        share = split(generator, odds[kind[account], market], account)
        count = np.bincount(market, minlength=len(fills)) + 1.0
        held = np.bincount(market, weights=money[account] * share, minlength=len(fills))
        wanted *= ((fills + 1) / count) ** (1 / (1 + trial / 3))
        worth *= np.clip((notional + 1) / (held + 1), 0.5, 2) ** (0.6 / (1 + trial / 3))
        odds = _solved(wanted, worth, kind, money, numbers)
    return odds


def _solved(fills: Floats, notional: Floats, kind: Int64, money: Floats, numbers: Int64) -> Floats:
    """Odds whose expected totals are given ones, were positions drawn one by one."""
    classes = int(kind.max()) + 1
    number = np.bincount(kind, weights=numbers, minlength=classes)
    whole = np.bincount(kind, weights=money, minlength=classes)
    present = number > 0
    height = np.log(np.divide(whole, number, out=np.ones_like(whole), where=present))
    height = (height - height.mean()) / height.std()
    level, slope = np.log(fills / fills.sum()), np.zeros(len(fills))
    size = notional / fills / (notional.sum() / fills.sum())
    odds = np.empty((classes, len(fills)))
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

    The first pick of each class is spread evenly over the odds; what an account has twice is
    picked again; who still has a market twice after some rounds gets the best of random keys.
    """
    rows, markets = len(account), odds.shape[1]
    at = np.empty(rows)
    for one in range(odds.shape[0]):
        theirs = np.flatnonzero(kind == one)
        spread = generator.permutation(len(theirs)) + generator.random(len(theirs))
        at[theirs] = spread / max(len(theirs), 1)
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
