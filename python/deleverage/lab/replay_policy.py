"""How a bankrupt quantity is shared out over one side: the policies by name, `queue` for now."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from deleverage.planning.side import QueueSide

__all__ = ["POLICIES", "Policy", "Share", "by_queue"]

Int64 = NDArray[np.int64]


class Share(NamedTuple):
    """Who is cut, by how much.

    Attributes:
        rows: (k,) int64 rows of the side, first to be cut first.
        lots: (k,) int64 lots closed of each, above zero.
        unfilled: lots that nobody offsets.
    """

    rows: Int64
    lots: Int64
    unfilled: int


class Policy(Protocol):
    """Shares a quantity out over a side of a market."""

    def __call__(self, side: QueueSide, lots: int, excluded: Int64) -> Share:
        """Share out.

        Args:
            side: the candidates, with what was left of them.
            lots: to offset, above zero.
            excluded: sorted rows that are no candidates.

        Returns:
            The cut.
        """


def by_queue(side: QueueSide, lots: int, excluded: Int64) -> Share:
    """Take the head of the queue by the edition's score; the last entry in part."""
    if not len(side):
        return Share(rows=excluded[:0], lots=excluded[:0], unfilled=lots)
    selection = side.select(lots, excluded)
    rows = side.order(selection.rows)
    closed = np.abs(side.columns.lots[rows])
    closed[-1:] -= int(closed.sum()) + selection.unfilled - lots
    return Share(rows=rows, lots=closed, unfilled=selection.unfilled)


POLICIES: Mapping[str, Policy] = MappingProxyType({"queue": by_queue})
"""The policies that a replay knows, by name."""
