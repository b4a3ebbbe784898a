"""Two columns and their ratio, each as published: who has which ratio, by size.

Published are the spread of X (an account's notional), of Y (its profit, or its cash) and of Y / X
(its relative profit, or its leverage turned over), each by itself. On a grid of logarithms the
three are the row sums, the anti-diagonal sums and the column sums of one table. The table starts
as a normal copula and is brought to its sums in turn until all three hold.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from deleverage.lab.generate_curves import Curve, matched
from deleverage.lab.generate_markets import picked

__all__ = ["Joint", "fit_joint"]

Floats = NDArray[np.float64]

_STEP = 0.1
_ROUNDS = 400
_LEAST = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joint:
    """The chance of each ratio, given X.

    Attributes:
        first_x: logarithm at which the first class of X starts; classes are 0.1 wide.
        first_ratio: the same of the ratio.
        odds: (x classes, ratio classes).
        curve: of Y.
    """

    first_x: float
    first_ratio: float
    odds: Floats
    curve: Curve

    def values(self, x: Floats, at: Floats, within: Floats, shares: Floats) -> Floats:
        """Give each X its Y: those of Y's curve, handed out in the order of the table's products.

        Args:
            x: (n,) sizes, above zero.
            at: (n,) between 0 and 1: where among the ratios of its size.
            within: (n,) between 0 and 1: where inside the class.
            shares: (n,) between 0 and 1, rising: which values of Y's curve there are.

        Returns:
            (n,) values, above zero.
        """
        classes, _ = self.odds.shape
        row = np.floor((np.log(x) - self.first_x) / _STEP).astype(np.int64)
        column = picked(self.odds, np.clip(row, 0, classes - 1), at)
        product = np.log(x) + self.first_ratio + (column + within) * _STEP
        return matched(self.curve.at(shares), product)


def fit_joint(x: Floats, y: Curve, ratio: Curve, *, correlation: float) -> Joint:
    """Fit the table.

    Args:
        x: (n,) sizes of a population.
        y: curve of Y, of values above zero.
        ratio: curve of Y / X, of values above zero.
        correlation: of the copula of X and ratio that the fit starts from.

    Returns:
        The chances.
    """
    logs = np.log(x)
    rows, first_x = _classes(float(logs.min()), float(logs.max()))
    columns, first_ratio = _classes(float(ratio.heights[0]), float(ratio.heights[-1]))
    place = np.floor((logs - first_x) / _STEP).astype(np.int64)
    by_x = np.bincount(place, minlength=rows) / len(x)
    by_ratio = _mass(ratio, first_ratio, columns)
    # The centre of class i + j of Y is the sum of the centres of i and j.
    by_y = _mass(y, first_x + first_ratio + _STEP / 2, rows + columns - 1)
    table = _copula(by_x, by_ratio, correlation) * np.outer(by_x, by_ratio)
    diagonal = np.add.outer(np.arange(rows), np.arange(columns)).ravel()
    for _ in range(_ROUNDS):
        found = np.bincount(diagonal, weights=table.ravel())
        table *= (by_y / np.maximum(found, _LEAST))[diagonal].reshape(table.shape)
        table *= by_ratio / np.maximum(table.sum(axis=0), _LEAST)
        table *= (by_x / np.maximum(table.sum(axis=1), _LEAST))[:, None]
    odds = table + _LEAST
    return Joint(first_x=first_x, first_ratio=first_ratio, odds=odds, curve=y)


def _classes(low: float, high: float) -> tuple[int, float]:
    """How many classes hold a range, and where the first starts."""
    first = np.floor(low / _STEP)
    return int(np.floor(high / _STEP) - first) + 1, float(first * _STEP)


def _mass(curve: Curve, first: float, classes: int) -> Floats:
    """The share of a curve in each class; what lies outside goes to the ends."""
    edges = first + np.arange(1, classes) * _STEP
    odds = np.interp(edges, curve.heights, curve.odds, left=-np.inf, right=np.inf)
    below = np.concatenate([[0.0], 1 / (1 + np.exp(-odds)), [1.0]])
    return np.diff(below)


def _copula(rows: Floats, columns: Floats, correlation: float) -> Floats:
    """The density of a normal copula at the middle of each cell."""
    one, other = _scores(rows), _scores(columns)
    square = correlation**2
    exponent = square * np.add.outer(one**2, other**2) - 2 * correlation * np.outer(one, other)
    density: Floats = np.exp(-exponent / (2 * (1 - square)))
    return density


def _scores(mass: Floats) -> Floats:
    """Normal scores of the middles of classes."""
    middle = np.clip(np.cumsum(mass) - mass / 2, 1e-9, 1 - 1e-9)
    return np.array([NormalDist().inv_cdf(float(share)) for share in middle])
