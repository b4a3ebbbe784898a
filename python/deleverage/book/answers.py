"""What a kept book answers: records of NumPy arrays and whole numbers."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deleverage.model.rules import Reason

__all__ = [
    "BookColumns",
    "Floats",
    "Head",
    "Int64s",
    "LeftOut",
    "LightBound",
    "Rate",
    "Uint8s",
    "Uint64s",
]

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]
Uint64s = NDArray[np.uint64]
Uint8s = NDArray[np.uint8]
Rate = tuple[int, int, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of one side's queue that offsets a quantity.

    Attributes:
        position_id: (k,) uint64, the positions taken; in queue order where that was asked for.
        lots: (k,) int64, lots closed of each, positive.
        scores: (k,) float64 of each, for display; empty unless queue order was asked for.
        unfilled: lots that the side could not offset.
        cut_id: the last position taken, or None where none was.
        cut_score: its float score, NaN where there is none.
        partial_id: the position that is not taken whole, or None.
        is_kept: the answer came from kept rows, without a pass over the side.
        version: the book's version that it holds for.
    """

    position_id: Uint64s
    lots: Int64s
    scores: Floats
    unfilled: int
    cut_id: int | None
    cut_score: float
    partial_id: int | None
    is_kept: bool
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Positions that have no place in a queue.

    Attributes:
        position_id: (m,) uint64.
        reasons: why, one each.
    """

    position_id: Uint64s
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LightBound:
    """The first entry behind the edge of a band of lights.

    Attributes:
        light: of this entry and those behind it, down to the next edge.
        position_id: the entry.
        tier: its tier, 0 is cut first.
        score: its score, exactly.
        shown_score: its float score.
    """

    light: int
    position_id: int
    tier: int
    score: Fraction
    shown_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BookColumns:
    """The rows of a book at one version, as the array level takes them.

    Attributes:
        columns: arrays by the names of `deleverage.ranking.Columns`; rows stand by market, long
            before short.
        accounts: arrays by the names of `deleverage.ranking.Accounts`, at the marks of `rates`.
        rates: (mark_num, mark_den, is_inverse) of each market.
        version: the book's version.
    """

    columns: dict[str, NDArray[Any]]
    accounts: dict[str, NDArray[Any]]
    rates: tuple[Rate, ...]
    version: int
