"""Every position with its place in the queue of its market and side."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.errors import InputError
from deleverage.model.records import Venue
from deleverage.model.rules import ScoreRule, Weight
from deleverage.model.snapshot import Snapshot
from deleverage.model.sources import FrameLike
from deleverage.model.terms import Hedged
from deleverage.model.tiers import HEDGED
from deleverage.planning.inputs import Frames, read_frames
from deleverage.planning.side import Float64, Int64

__all__ = ["rank"]

_COLUMNS = ("score", "tier", "rank", "hedged_rank", "percentile", "light", "reason")


def rank(
    positions: FrameLike | Snapshot,
    *,
    marks: FrameLike | None = None,
    venue: Venue | None = None,
    accounts: FrameLike | None = None,
    markets: FrameLike | None = None,
    neutral: FrameLike | None = None,
) -> pl.DataFrame:
    """Rank every position within its market and side.

    A position whose hedged part queues behind the rest is two entries of the queue and one row
    here: the row shows its first entry, and `hedged_rank` the place of the part behind.

    Args:
        positions: a position frame, or a `Snapshot`; then no other frame but `marks` is given.
        marks: market and mark_price. Beside a snapshot: other marks for the same book.
        venue: the edition; beside a snapshot it may be left out.
        accounts: margin pools of cross accounts.
        markets: contract sizes and units.
        neutral: delta-neutral accounts.

    Returns:
        The columns given, row by row, and
        score (float64, for display; null where there is none),
        tier (uint8, 0 is cut first; null for a row that is no candidate),
        rank (int64, 1 is the first to be cut of its market and side; null without a place),
        hedged_rank (int64, only where the edition queues hedged parts behind),
        percentile (float64, for display: share of the side's weight at or before the entry),
        light (uint8, 5 is next in line, 1 the last band, 0 not in the queue),
        reason (str: `scored`, or why there is no place).

    Raises:
        InputError: an input is not what the contract says; nothing is done.
    """
    snapshot = read_frames(
        Frames(
            positions=positions,
            marks=marks,
            venue=venue,
            accounts=accounts,
            markets=markets,
            neutral=neutral,
        )
    )
    taken = [name for name in _COLUMNS if name in snapshot.positions.columns]
    if taken:
        raise InputError(
            f"positions: expected no column {taken[0]}, which rank adds; rename or drop it"
        )
    return snapshot.positions.with_columns(_columns(snapshot))


def _columns(snapshot: Snapshot) -> list[pl.Series]:
    """Give the columns of the ranking in the order of the position frame."""
    count, tier = snapshot.positions.height, snapshot.columns.get("tier")
    places, lights = _placed(snapshot)
    # Filled from the last entry of a row to its first, so that the first one shows.
    entries = np.arange(len(snapshot))
    if tier is not None:
        entries = np.argsort(tier, kind="stable")[::-1]
    rows = snapshot.original(entries)
    reason = np.zeros(count, np.uint8)
    reason[snapshot.left_out_rows] = snapshot.left_out_reasons
    reason[rows] = places.reason[entries]
    tiers = np.zeros(len(snapshot), np.uint8) if tier is None else tier
    is_entry = np.zeros(count, np.bool_)
    is_entry[rows] = True
    rank_shown = _spread(count, rows, places.rank[entries], 0)
    share = _percentiles(snapshot, places.rank)
    made = [
        pl.Series("score", _spread(count, rows, places.score[entries], np.nan)).fill_nan(None),
        _nullable("tier", _spread(count, rows, tiers[entries], 0), is_entry),
        _nullable("rank", rank_shown, rank_shown > 0),
    ]
    if snapshot.venue.eligibility.hedged is Hedged.BEHIND:
        behind = np.flatnonzero(tiers == HEDGED)
        hedged = _spread(count, snapshot.original(behind), places.rank[behind], 0)
        made.append(_nullable("hedged_rank", hedged, hedged > 0))
    names = pl.Series([str(one) for one in ranking.REASONS], dtype=pl.String)
    return [
        *made,
        pl.Series("percentile", _spread(count, rows, share[entries], np.nan)).fill_nan(None),
        pl.Series("light", _spread(count, rows, lights[entries], 0)),
        names.gather(reason).alias("reason"),
    ]


def _spread(count: int, rows: Int64, values: NDArray[Any], empty: float) -> NDArray[Any]:
    """Put values into their rows; a row that is met twice shows the later value."""
    spread = np.full(count, empty, dtype=values.dtype)
    spread[rows] = values
    return spread


def _nullable(name: str, values: NDArray[Any], is_known: NDArray[np.bool_]) -> pl.Series:
    frame = pl.DataFrame({name: values, "known": is_known})
    return frame.select(pl.when("known").then(pl.col(name)).alias(name)).to_series()


def _parts(snapshot: Snapshot) -> Iterator[tuple[slice, list[ranking.Rate], ScoreRule]]:
    """Give the rows that one call of the kernel takes: all, unless markets differ in their rule."""
    rates = [
        ranking.Rate(mark_num=num, mark_den=den, is_inverse=is_inverse)
        for num, den, is_inverse in (scale.rate for scale in snapshot.markets)
    ]
    rules = [snapshot.rule(scale.market) for scale in snapshot.markets]
    if rules and all(rule == rules[0] for rule in rules):
        yield slice(0, len(snapshot)), rates, rules[0]
        return
    for code, rule in enumerate(rules):
        rows = slice(int(snapshot.starts[code]), int(snapshot.starts[code + 1]))
        if rows.stop > rows.start:
            yield rows, rates, rule


def _placed(snapshot: Snapshot) -> tuple[ranking.Ranking, NDArray[np.uint8]]:
    """Give ranks, scores, reasons and lights of every entry."""
    count, lights = len(snapshot), snapshot.venue.lights
    found = ranking.Ranking(
        rank=np.zeros(count, np.int64),
        score=np.full(count, np.nan),
        reason=np.zeros(count, np.uint8),
    )
    shown = np.zeros(count, np.uint8)
    if not count:
        return found, shown
    every = dict(snapshot.columns) | {"market": snapshot.market_codes}
    if lights.weight is Weight.ACCOUNTS:
        every["owner"] = snapshot.account_codes
    accounts = ranking.Accounts(**snapshot.accounts) if snapshot.accounts else None
    for rows, rates, rule in _parts(snapshot):
        columns = ranking.Columns(**{name: column[rows] for name, column in every.items()})
        part = ranking.rank(columns, rates, rule=rule, accounts=accounts)
        found.rank[rows], found.score[rows], found.reason[rows] = part.rank, part.score, part.reason
        shown[rows] = ranking.lights(
            columns,
            rates,
            rule=rule,
            accounts=accounts,
            bands=lights.bands,
            weight=lights.weight,
        )
    return found, shown


def _percentiles(snapshot: Snapshot, ranks: Int64) -> Float64:
    """Give the share of its side's weight at or before each entry, NaN without a place."""
    shares = np.full(len(snapshot), np.nan)
    edges = np.sort(np.concatenate([snapshot.starts, snapshot.splits]))
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = start + np.flatnonzero(ranks[start:stop])
        if not len(rows):
            continue
        queue = np.empty(len(rows), np.int64)
        queue[ranks[rows] - 1] = rows
        # Whole numbers up to 2^53 add up exactly as floats; beyond that the share is rounded.
        added = np.cumsum(_weights(snapshot, queue))
        shares[queue] = added / added[-1]
    return shares


def _weights(snapshot: Snapshot, queue: Int64) -> Float64:
    """Give what each entry of a queue adds; an account counts at its first entry only."""
    weight = snapshot.venue.lights.weight
    if weight is Weight.QUANTITY:
        return np.abs(snapshot.columns["lots"][queue]).astype(np.float64)
    if weight is Weight.ENTRIES:
        return np.ones(len(queue))
    added = np.zeros(len(queue))
    added[np.unique(snapshot.account_codes[queue], return_index=True)[1]] = 1.0
    return added
