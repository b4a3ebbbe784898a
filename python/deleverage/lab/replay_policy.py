"""How a bankrupt quantity is shared out over one side: the policies of a replay, by name.

All see the same candidates: the rows with a place in the edition's queue that are not excluded.
`queue` cuts them one after the other; every other name stands for a rule of `deleverage.policy`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.planning.side import QueueSide
from deleverage.policy import Capped, Contracts, LeverageDraining, MinMax, ProRata, RiskWeighted
from deleverage.policy import Policy as Rule
from deleverage.policy.risk_weighted import Power
from deleverage.ranking import OWN_MARGIN

__all__ = ["POLICIES", "Policy", "Share", "by_queue", "candidates_of"]

Int64 = NDArray[np.int64]
PPM = 1_000_000
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


def _by_rule(rule: Rule[Contracts], rows: Int64, given: Contracts, lots: int) -> Share:
    """Let a rule share out."""
    found = rule.allocate(given, lots)
    is_cut = found.taken > 0
    return Share(rows=rows[is_cut], lots=found.taken[is_cut], unfilled=found.unfilled)


def _held(side: QueueSide, rows: Int64) -> Int64:
    """Lots that candidates hold."""
    return np.abs(side.columns.lots[rows])


def _pro_rata(side: QueueSide, lots: int, excluded: Int64) -> Share:
    """Close the same part of everybody's size."""
    rows = candidates_of(side, excluded)
    return _by_rule(ProRata(), rows, Contracts(lots=_held(side, rows)), lots)


def _capped(side: QueueSide, lots: int, excluded: Int64) -> Share:
    """Close the same part of everybody's size, at most half of what each holds at the event."""
    rows = candidates_of(side, excluded)
    held = _held(side, rows)
    return _by_rule(Capped(), rows, Contracts(lots=held, cap=held - held // 2), lots)


def _min_max(side: QueueSide, lots: int, excluded: Int64) -> Share:
    """Keep the largest closed part as small as whole lots allow."""
    rows = candidates_of(side, excluded)
    return _by_rule(MinMax(), rows, Contracts(lots=_held(side, rows)), lots)


def _leverage_draining(side: QueueSide, lots: int, excluded: Int64) -> Share:
    """Bring the highest leverages down to one level."""
    rows = candidates_of(side, excluded)
    given = Contracts(lots=_held(side, rows), equity=_equity(side, rows))
    return _by_rule(LeverageDraining(), rows, given, lots)


def _risk_weighted(side: QueueSide, lots: int, excluded: Int64) -> Share:
    """Close lots in proportion to size times leverage squared, up to what each holds."""
    rows = candidates_of(side, excluded)
    pairs = zip(_value(side, rows).tolist(), _equity(side, rows).tolist(), strict=True)
    # In whole numbers of any size: the product of a value and ppm may not fit 63 bits.
    leverage = [value * PPM // equity if equity > 0 else 0 for value, equity in pairs]
    given = Contracts(lots=_held(side, rows), leverage=np.array(leverage, np.int64))
    return _by_rule(RiskWeighted(growth=Power(exponent=1)), rows, given, lots)


def _value(side: QueueSide, rows: Int64) -> Int64:
    """What candidates hold is worth at the mark, money units, rounded down."""
    held, scale = _held(side, rows), side.scale
    if int(held.max(initial=0)) * scale.mark_num < _WORD:
        return held * scale.mark_num // scale.mark_den
    worth = (each * scale.mark_num // scale.mark_den for each in held.tolist())
    return np.fromiter(worth, np.int64, len(held))


def _equity(side: QueueSide, rows: Int64) -> Int64:
    """Equity behind each candidate at the mark: its account's, or its own margin and profit."""
    columns, table = side.columns, side.accounts
    own = None
    if columns.margin is not None:
        gain = _value(side, rows) - columns.entry_value[rows]
        is_gain = (side.side == "long") is not side.scale.is_inverse
        own = columns.margin[rows] + (gain if is_gain else -gain)
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
    {
        "queue": by_queue,
        "pro-rata": _pro_rata,
        "capped": _capped,
        "min-max": _min_max,
        "leverage-draining": _leverage_draining,
        "risk-weighted": _risk_weighted,
    }
)
"""The policies that a replay knows, by name, as `simulate` calls them; `queue` is what most venues
do, `risk-weighted` is worked out one row after the other and slow on large books."""
