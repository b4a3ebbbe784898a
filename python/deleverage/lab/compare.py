"""The same bankruptcies under several venues and policies: who pays, how many, how evenly.

Each venue and policy starts from the same book and lives with its own cuts, bankruptcy after
bankruptcy. All policies of a venue share the candidates and the settlement price of its queue; the
marks do not move. What is measured is for reading: money is a float of the settlement asset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.lab import metrics
from deleverage.lab.crash import synthetic_crash
from deleverage.lab.policies import Candidates, allocate, column, known_policies
from deleverage.lab.replay_book import Remains
from deleverage.model.records import Venue
from deleverage.model.snapshot import Snapshot
from deleverage.model.sources import FrameLike, load
from deleverage.model.terms import Completion
from deleverage.planning.inputs import Frames, Request, read_frames, read_request
from deleverage.planning.pricing import settlement_price
from deleverage.planning.side import QueueSide
from deleverage.ranking import OWN_MARGIN

__all__ = ["MEASURES", "compare", "compare_crash"]

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

_COUNT, _REAL = pl.Int64(), pl.Float64()
MEASURES = {
    "venue": pl.String(),
    "policy": pl.String(),
    **dict.fromkeys(("bankruptcies", "uncovered", "candidates", "cut"), _COUNT),
    **dict.fromkeys(
        (
            *("notional", "profit", "needed", "lost", "participation", "max_cut", "max_haircut"),
            *("gini", "top_share", "concentration", "monotonicity_violations", "revenue_lost"),
        ),
        _REAL,
    ),
}
"""One row a venue and policy. uncovered: bankruptcies that were not filled; candidates and cut:
positions; notional and profit: of what was closed, at the mark; needed: what the closed part of the
bankrupt positions lacked at the mark (null where a bankruptcy price is not given); lost: what the
cuts cost against the mark (null where the venue's price takes what is not given here); max_cut:
largest closed part of one position; the rest as in `metrics`, of the notional closed (gini,
top_share, concentration: over all candidates) or of what was lost against the profit."""

_COLUMNS = ("market", "side", "qty", "bankruptcy_price", "account")
_NOBODY = pl.DataFrame(
    schema={"account": pl.String, "underlier": pl.String, "delta_neutral": pl.Boolean}
)


@dataclass(slots=True, kw_only=True, eq=False)
class _Side:
    """What one venue and policy has done on one side of one market, a row a position.

    Attributes:
        remains: what is left of it.
        lots: (n,) int64 before.
        profit: (n,) float64 before, money.
        value: (n,) float64 before, money.
        is_candidate: (n,) whether it had a place in the queue at the first event.
        closed: (n,) int64 lots.
        lost: (n,) float64 money.
    """

    remains: Remains
    lots: Int64
    profit: Float64
    value: Float64
    is_candidate: NDArray[np.bool_]
    closed: Int64
    lost: Float64


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What one venue and policy has come to."""

    venue: str
    policy: str
    sides: dict[tuple[str, str], _Side] = field(default_factory=dict)
    bankruptcies: int = 0
    uncovered: int = 0
    needed: float | None = 0.0
    is_priced: bool = True


def compare(
    frames: Frames,
    bankruptcies: FrameLike,
    *,
    venues: Sequence[Venue],
    policies: Sequence[str],
) -> pl.DataFrame:
    """Plan the same bankruptcies under each venue and policy.

    Args:
        frames: the book, without a venue.
        bankruptcies: market, side (of the bankrupt position), qty, and optional bankruptcy_price
            and account; one row each, in their order.
        venues: the editions.
        policies: names out of `policies.POLICIES`.

    Returns:
        See `MEASURES`.

    Raises:
        InputError: an input is not what the contract says, or a policy lacks what it reads.
    """
    known_policies(list(policies))
    if not venues:
        raise InputError("venue: expected at least one, got none")
    rows = _read(bankruptcies)
    tallies = []
    for venue in venues:
        book = read_frames(
            Frames(
                positions=frames.positions,
                marks=frames.marks,
                venue=venue,
                accounts=frames.accounts,
                markets=frames.markets,
                neutral=frames.neutral,
            )
        )
        requests = [_request(book, row) for row in rows]
        for policy in policies:
            tally = _Tally(venue=venue.name, policy=policy)
            for request in requests:
                _plan(book, request, requests, tally)
            tallies.append(tally)
    return pl.DataFrame([_row(tally) for tally in tallies], schema=MEASURES)


def compare_crash(
    seed: int, positions: int, *, venues: Sequence[Venue], policies: Sequence[str]
) -> pl.DataFrame:
    """Compare on a drawn crash; see `crash.synthetic_crash`.

    Args:
        seed: of the crash.
        positions: rows of the book.
        venues: the editions.
        policies: by name.

    Returns:
        See `MEASURES`.

    Raises:
        InputError: as `compare`.
    """
    crash = synthetic_crash(seed, positions)
    event = crash.bankruptcy
    # What a drawn book implies: opened once, no second leg, nobody declared delta-neutral.
    book = crash.positions.with_columns(
        open_value=pl.col("qty") * pl.col("entry_price"),
        hedged_qty=pl.lit(Decimal(0), dtype=pl.Decimal(38, 3)),
    )
    frames = Frames(
        positions=book,
        marks=crash.marks,
        accounts=crash.accounts,
        markets=crash.marks.select("market", kind=pl.lit("linear")),
        neutral=_NOBODY,
    )
    bankruptcies = pl.DataFrame(
        {
            "market": [event.market],
            "side": [event.side],
            "qty": [event.qty],
            "bankruptcy_price": [event.price],
            "account": [event.account],
        }
    )
    return compare(frames, bankruptcies, venues=venues, policies=policies)


def _read(bankruptcies: FrameLike) -> list[Mapping[str, object]]:
    """Read the list of bankruptcies."""
    name, frame = load(bankruptcies, name="bankruptcies")
    missing = [column for column in _COLUMNS[:3] if column not in frame.columns]
    if missing:
        raise InputError(f"{name}: expected a column {missing[0]}, got {frame.columns}")
    unknown = [column for column in frame.columns if column not in _COLUMNS]
    if unknown:
        known = ", ".join(_COLUMNS)
        raise InputError(f"{name}: expected columns out of {known}, got {unknown[0]!r}")
    if not frame.height:
        raise InputError(f"{name}: expected at least one bankruptcy, got none")
    return list(frame.iter_rows(named=True))


def _request(book: Snapshot, row: Mapping[str, object]) -> Request:
    """One bankruptcy, checked."""
    account = row.get("account")
    return read_request(
        book,
        market=str(row["market"]),
        bankrupt_side=str(row["side"]),
        qty=row["qty"],  # type: ignore[arg-type] # checked there, with a message
        bankruptcy_price=row.get("bankruptcy_price"),  # type: ignore[arg-type] # the same
        bankrupt_account=None if account is None else str(account),
        exclude=(),
    )


def _plan(book: Snapshot, request: Request, requests: Sequence[Request], tally: _Tally) -> None:
    """Cut for one bankruptcy, and count what it came to."""
    key = (request.market, request.side)
    if key not in tally.sides:
        tally.sides[key] = _opened(QueueSide.of(book, *key), requests)
    kept = tally.sides[key]
    side = kept.remains.side
    rows, candidates = _candidates(side, kept.remains.excluded)
    taken = allocate(tally.policy, candidates, request.lots)
    short = request.lots - int(taken.sum())
    if short and book.venue.allocation.completion is Completion.ALL_OR_NOTHING:
        taken, short = np.zeros_like(taken), request.lots
    is_cut = taken > 0
    cut, lots = rows[is_cut], taken[is_cut]
    whole = side.kept[cut]
    kept.closed[whole] += lots
    tally.bankruptcies += 1
    tally.uncovered += short > 0
    _price(side, request, tally, whole, lots)
    kept.remains.cut(cut, lots)


def _price(side: QueueSide, request: Request, tally: _Tally, rows: Int64, lots: Int64) -> None:
    """Count what the cuts cost, and what was missing; both against the mark."""
    price, _ = settlement_price(
        side.snapshot.venue.price,
        mark=side.scale.mark_price,
        previous_mark=side.scale.previous_mark_price,
        bankruptcy=request.bankruptcy_price,
    )
    if price is None:
        tally.is_priced = False
    else:
        tally.sides[request.market, request.side].lost[rows] += lots * _gap(side, price)
    if request.bankruptcy_price is None or tally.needed is None:
        tally.needed = None
    else:
        tally.needed += max(0.0, int(lots.sum()) * _gap(side, request.bankruptcy_price))


def _gap(side: QueueSide, price: Decimal) -> float:
    """What closing one lot of a side at a price costs its holder against the mark, money."""
    scale = side.scale
    mark = Fraction(scale.mark_price)
    ratio = mark / Fraction(price) if scale.is_inverse else Fraction(price) / mark
    value = Fraction(scale.mark_num, scale.mark_den) * Fraction(scale.money_unit)
    return float(_sign(side) * value * (1 - ratio))


def _sign(side: QueueSide) -> int:
    """1 where a position of the side gains as its value rises."""
    return 1 if (side.side == "long") is not side.scale.is_inverse else -1


def _opened(side: QueueSide, requests: Sequence[Request]) -> _Side:
    """A side before anything was cut."""
    accounts = {request.bankrupt_account for request in requests} - {None}
    barred = [side.rows_of(str(account)) for account in sorted(map(str, accounts))]
    remains = Remains.of(side, np.concatenate([np.empty(0, np.int64), *barred]))
    left, candidates = _candidates(remains.side, remains.excluded)
    rows = remains.side.kept[left]
    money, count = float(side.scale.money_unit), len(side)
    is_candidate = np.zeros(count, np.bool_)
    is_candidate[rows] = True
    profit, value = np.zeros(count), np.zeros(count)
    profit[rows] = column(candidates, "profit") * money
    value[rows] = column(candidates, "value") * money
    return _Side(
        remains=remains,
        lots=np.abs(side.columns.lots),
        profit=profit,
        value=value,
        is_candidate=is_candidate,
        closed=np.zeros(count, np.int64),
        lost=np.zeros(count),
    )


def _candidates(side: QueueSide, excluded: Int64) -> tuple[Int64, Candidates]:
    """Rows with a place in the queue, and what the policies read of them."""
    places = side.places()
    places[excluded] = 0
    rows = np.flatnonzero(places)
    lots, entry = np.abs(side.columns.lots[rows]), side.columns.entry_value[rows]
    scale, sign = side.scale, _sign(side)
    # In whole numbers of any size: lots times the mark's numerator may not fit 63 bits.
    worth = (each * scale.mark_num // scale.mark_den for each in lots.tolist())
    value = np.fromiter(worth, np.int64, len(rows))
    profit = sign * (value - entry)
    # What stands before a row is only those with a place: their order is what counts.
    rank = np.empty(len(rows), np.int64)
    rank[np.argsort(places[rows])] = np.arange(1, len(rows) + 1)
    return rows, Candidates(
        lots=lots,
        ids=_tie_keys(side, rows),
        rank=rank,
        profit=profit,
        equity=_equity(side, rows, profit),
        value=value,
        exposure=sign * value,
        unit=sign * Fraction(scale.mark_num, scale.mark_den),
    )


def _tie_keys(side: QueueSide, rows: Int64) -> Int64:
    """Places by position id, so that the order of the rows changes nothing; rows without ids."""
    given = side.columns.position_id
    if given is None:
        return rows
    keys = np.empty(len(rows), np.int64)
    keys[np.argsort(given[rows])] = np.arange(len(rows))
    return keys


def _equity(side: QueueSide, rows: Int64, profit: Int64) -> Int64 | None:
    """Equity behind each row: its account's, or its own margin and profit; None if unsaid."""
    columns, table = side.columns, side.accounts
    own = None if columns.margin is None else columns.margin[rows] + profit
    if columns.account is None or table is None or table.equity is None:
        return own
    places = columns.account[rows]
    is_own = places == OWN_MARGIN
    if own is None and bool(is_own.any()):
        return None
    shared = table.equity[np.where(is_own, 0, places)] if len(table.equity) else profit
    return shared if own is None else np.where(is_own, own, shared)


def _joined(tally: _Tally, name: str) -> Float64:
    """One column of all candidates of all sides."""
    parts = [getattr(one, name)[one.is_candidate] for one in tally.sides.values()]
    joined: Float64 = np.concatenate([np.empty(0), *parts]).astype(np.float64)
    return joined


def _row(tally: _Tally) -> dict[str, object]:
    """The measures of one venue and policy; see `MEASURES`."""
    lots, closed = _joined(tally, "lots"), _joined(tally, "closed")
    profit, lost = _joined(tally, "profit"), _joined(tally, "lost")
    share = np.divide(closed, lots, out=np.zeros_like(lots), where=lots > 0)
    notional = _joined(tally, "value") * share
    paid, won = np.maximum(lost, 0.0), np.maximum(profit, 0.0)
    haircuts = metrics.haircuts(paid, won, is_capped=True)
    measures: dict[str, object] = {
        "venue": tally.venue,
        "policy": tally.policy,
        "bankruptcies": tally.bankruptcies,
        "uncovered": tally.uncovered,
        "candidates": len(lots),
        "cut": int((closed > 0).sum()),
        "notional": float(notional.sum()),
        "profit": float((profit * share).sum()),
        "needed": tally.needed,
        "participation": metrics.participation(notional, won),
        "max_cut": float(share.max(initial=0.0)),
        "gini": metrics.gini(notional),
        "top_share": metrics.top_share(notional),
        "concentration": metrics.concentration(notional),
    }
    priced = {
        "lost": float(lost.sum()),
        "max_haircut": float(haircuts.max(initial=0.0)),
        "monotonicity_violations": metrics.monotonicity_violations(won, won - paid),
        "revenue_lost": metrics.revenue_lost(haircuts, won),
    }
    return measures | (priced if tally.is_priced else dict.fromkeys(priced))
