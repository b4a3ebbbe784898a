"""How a bankrupt quantity is shared out over one side: the policies of a replay, by name.

All see the same candidates: the rows with a place in the edition's queue that are not excluded.
`queue` cuts them one after the other by the edition's score; every other name is that of
`lab.policies`, as far as a side of one market has the columns that it reads.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.lab import policies
from deleverage.lab.policies import Candidates
from deleverage.planning.side import QueueSide
from deleverage.ranking import OWN_MARGIN

__all__ = ["POLICIES", "Policy", "Share", "by_queue", "candidates_of"]

Int64 = NDArray[np.int64]
_WORD = 2**63


class Share(NamedTuple):
    """Who is cut, by how much.

    Attributes:
        rows: (k,) int64 rows of the side, first to be cut first; by position where there is no
            first.
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
    head = side.select(lots, excluded)
    return Share(rows=head.rows, lots=head.lots, unfilled=head.unfilled)


def candidates_of(side: QueueSide, excluded: Int64) -> Int64:
    """Give the rows that may be cut, by their position ids.

    Args:
        side: of a market.
        excluded: rows that are no candidates.

    Returns:
        (n,) int64 rows; their numbers here are the rules' last tie keys.
    """
    if not len(side):
        return excluded[:0]
    is_placed = side.scores().reason == 0
    is_placed[excluded] = False
    rows = np.flatnonzero(is_placed)
    ids = side.columns.position_id
    return rows if ids is None else rows[np.argsort(ids[rows], kind="stable")]


def _by_name(name: str, side: QueueSide, lots: int, excluded: Int64) -> Share:
    """Let a rule of the table share out."""
    rows = candidates_of(side, excluded)
    reads = policies.POLICIES[name].reads
    given = Candidates(
        lots=_held(side, rows),
        profit=_profit(side, rows) if "profit" in reads else None,
        equity=_equity(side, rows) if "equity" in reads else None,
        value=_value(side, rows) if "value" in reads else None,
        threads=0,
    )
    taken = policies.allocate(name, given, lots)
    is_cut = taken > 0
    closed = taken[is_cut]
    return Share(rows=rows[is_cut], lots=closed, unfilled=lots - int(closed.sum()))


def _held(side: QueueSide, rows: Int64) -> Int64:
    """Lots that candidates hold."""
    return np.abs(side.columns.lots[rows])


def _value(side: QueueSide, rows: Int64) -> Int64:
    """What candidates hold is worth at the mark, money units, rounded down."""
    held, scale = _held(side, rows), side.scale
    if int(held.max(initial=0)) * scale.mark_num < _WORD:
        return held * scale.mark_num // scale.mark_den
    worth = (each * scale.mark_num // scale.mark_den for each in held.tolist())
    return np.fromiter(worth, np.int64, len(held))


def _profit(side: QueueSide, rows: Int64) -> Int64:
    """What candidates have gained since they entered, at the mark."""
    gain = _value(side, rows) - side.columns.entry_value[rows]
    is_gain = (side.side == "long") is not side.scale.is_inverse
    return gain if is_gain else -gain


def _equity(side: QueueSide, rows: Int64) -> Int64:
    """Equity behind each candidate at the mark: its account's, or its own margin and profit."""
    columns, table = side.columns, side.accounts
    own = None
    if columns.margin is not None:
        own = columns.margin[rows] + _profit(side, rows)
    if columns.account is not None and table is not None and table.equity is not None:
        places = columns.account[rows]
        is_own = places == OWN_MARGIN
        if own is None and not bool(is_own.any()):
            return table.equity[places]
        if own is not None:
            own[~is_own] = table.equity[places[~is_own]]
    if own is None:
        raise InputError(
            f"equity: this policy reads it, and edition {side.snapshot.venue.name} asks for "
            "neither margins nor equities; take another edition or policy"
        )
    return own


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {"queue": by_queue}
    | {
        name: partial(_by_name, name)
        for name, named in policies.POLICIES.items()
        if name != "queue" and set(named.reads) <= {"profit", "equity", "value"}
    }
)
"""The policies that a replay knows, by the names of `lab.policies`; `queue` is what most venues do,
`risk-weighted` is worked out one row after the other and slow on large books."""
