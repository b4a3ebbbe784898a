"""Distributions as published: a few percentiles, joined, and drawn from evenly.

A column of n values is drawn by strata: the i-th of n takes the percentile (i + 1/2) / n, so that
totals and tails are those of the curve and not of luck. A block takes every `blocks`-th stratum,
so that any block alone looks like the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from deleverage.lab import generate_facts as facts

__all__ = ["Counts", "Curve", "correlated", "even", "falling", "many", "matched", "strata"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

_JITTER_BELOW = 0.99
_TOP_CLASS = 20  # accounts; each further class is twice as large
_TAIL_FROM = 2.0  # the largest 1 %
_TAIL_NUMBER = 3.0
_SPENT = 1.6  # latent leverage above which next to no equity is left
_SPENT_AS = -0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A quantile function through knots; logarithms over log odds, flat beyond the last knots.

    Attributes:
        odds: (k,) log odds of the knots, rising.
        heights: (k,) logarithms of the values, rising.
    """

    odds: Floats
    heights: Floats

    @classmethod
    def through(cls, knots: Sequence[tuple[float, float]]) -> "Curve":
        """Join knots.

        Args:
            knots: (share below, value above zero), both rising.

        Returns:
            The curve.
        """
        shares, values = np.array(knots).T
        return cls(odds=_log_odds(shares), heights=np.log(values))

    def at(self, shares: Floats) -> Floats:
        """Give the values at shares.

        Args:
            shares: (n,) between 0 and 1, neither included.

        Returns:
            (n,) values.
        """
        values: Floats = np.exp(np.interp(_log_odds(shares), self.odds, self.heights))
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many positions the accounts of a population have, by stratum, in whole numbers.

    Attributes:
        accounts: number of accounts, n.
        starts: (78,) the first stratum with at least 1, 2, ... positions.
    """

    accounts: int
    starts: Int64

    @classmethod
    def of(cls, accounts: int, shares: Sequence[float]) -> "Counts":
        """Share a population out.

        Args:
            accounts: n.
            shares: of accounts with fewer than 1, 2, 3, ... positions; the first is 0.

        Returns:
            The counts.
        """
        starts = np.ceil(np.array(shares) * accounts - 0.5).astype(np.int64)
        starts[0] = 0
        return cls(accounts=accounts, starts=np.clip(starts, 0, accounts))

    @property
    def total(self) -> int:
        """Positions of all accounts."""
        return int((self.accounts - self.starts).sum())

    def at(self, places: Int64) -> Int64:
        """Give the positions of strata.

        Args:
            places: (n,) strata.

        Returns:
            (n,) positions, at least 1.
        """
        return np.searchsorted(self.starts, places, side="right").astype(np.int64)


def strata(generator: np.random.Generator, places: Int64, count: int) -> Floats:
    """Give the shares of strata: anywhere inside them, but for the top hundredth.

    Args:
        generator: draws where.
        places: (n,) strata, 0 to count - 1.
        count: of all.

    Returns:
        (n,) shares between 0 and 1; the top strata at their middle, so that a total that hangs on
        a few of them is the curve's.
    """
    inside = np.where(places < _JITTER_BELOW * count, generator.random(len(places)), 0.5)
    shares: Floats = (places + np.clip(inside, 1e-6, 1 - 1e-6)) / count
    return shares


def correlated(generator: np.random.Generator, latent: Floats, correlation: float) -> Floats:
    """Give normal numbers that go with others.

    Args:
        generator: draws.
        latent: (n,) normal numbers.
        correlation: -1 to 1.

    Returns:
        (n,) normal numbers.
    """
    own = generator.standard_normal(len(latent))
    joined: Floats = correlation * latent + (1 - correlation**2) ** 0.5 * own
    return joined


def even(generator: np.random.Generator, latent: Floats, size: Floats | None = None) -> Floats:
    """Spread the ranks of a latent column evenly, within each class of another column.

    Args:
        generator: draws where inside a stratum.
        latent: (n,) any numbers.
        size: (n,) of which the result shall say nothing. Its classes double from the top down:
            sums hang on a few of the largest, so those are compared with their like only.

    Returns:
        (n,) between 0 and 1, one in each n-th.
    """
    count = len(latent)
    shares = (np.arange(count) + generator.random(count)) / max(count, 1)
    if size is None:
        return matched(shares, latent)
    group = np.empty(count, dtype=np.int64)
    group[np.argsort(-size, kind="stable")] = np.log2(1 + np.arange(count) / _TOP_CLASS)
    order = np.lexsort((latent, group))
    members = np.bincount(group)
    start = np.cumsum(members) - members
    place = np.arange(count) - start[group[order]]
    spread = np.empty(count)
    spread[order] = (place + generator.random(count)) / members[group[order]]
    # Even in each class, then as a whole: no tail is cut off where a class has few members.
    return matched(shares, spread)


def many(generator: np.random.Generator, sizes: Floats, leverage: Floats) -> Floats:
    """Draw who has many positions: the larger and the less levered, and the few largest above all.

    Args:
        generator: draws.
        sizes: (n,) share of all accounts that are smaller, rising.
        leverage: (n,) latent leverage.

    Returns:
        (n,) latent number.
    """
    size = np.sort(generator.standard_normal(len(sizes)))
    tail = np.maximum(-np.log10(1 - sizes) - _TAIL_FROM, 0)
    # Whose equity is gone may have had few positions or many.
    leverage = np.where(leverage > _SPENT, _SPENT_AS, leverage)
    joined = facts.NOTIONAL_AND_FILLS * size + facts.LEVERAGE_AND_FILLS * leverage
    latent: Floats = joined + 0.8 * generator.standard_normal(len(sizes)) + _TAIL_NUMBER * tail
    return latent


Values = TypeVar("Values", bound=np.generic)


def matched(values: NDArray[Values], latent: Floats) -> NDArray[Values]:
    """Hand rising values out so that they stand in the order of a latent column.

    Args:
        values: (n,) rising.
        latent: (n,) any numbers.

    Returns:
        (n,) the same values: the largest where the latent is largest.
    """
    out = np.empty_like(values)
    out[np.argsort(latent, kind="stable")] = values
    return out


def falling(knots: Sequence[tuple[float, float]], count: int) -> Floats:
    """Give sizes by place, joined in logarithms.

    Args:
        knots: (place, value), places rising from 1.
        count: how many places.

    Returns:
        (count,) values at places 1, 2, ...
    """
    places, values = np.array(knots).T
    sizes: Floats = np.exp(
        np.interp(np.log(np.arange(1, count + 1)), np.log(places), np.log(values))
    )
    return sizes


def _log_odds(shares: Floats) -> Floats:
    odds: Floats = np.log(shares) - np.log1p(-shares)
    return odds
