"""One event planned: the head of the queue that offsets a bankrupt quantity."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Self

import numpy as np
import polars as pl

from deleverage.errors import InvariantError
from deleverage.explanation import Explanation
from deleverage.model.digest import text_digest
from deleverage.model.quantise import decimal_of
from deleverage.model.records import Venue
from deleverage.model.snapshot import Snapshot
from deleverage.model.sources import FrameLike
from deleverage.model.terms import Completion
from deleverage.planning.inputs import Frames, Number, Request, read_frames, read_request
from deleverage.planning.netting import legs_frame, may_net, net, own_legs
from deleverage.planning.notes import second_looks
from deleverage.planning.pricing import settlement_price
from deleverage.planning.side import (
    Float64,
    Int64,
    QueueSide,
    contracts,
    digits_of,
    spelled,
    taken_of,
)
from deleverage.planning.story import Outline, tell

__all__ = ["Cut", "Plan", "PlanReason", "plan"]

_DIGEST_VERSION = "deleverage plan 1"
_NO_ROWS: Int64 = np.empty(0, dtype=np.int64)


class PlanReason(StrEnum):
    """How an event ended, in the order in which the reasons are tried."""

    FILLED = "filled"
    ALL_OR_NOTHING_FAILED = "all_or_nothing_failed"
    NOTHING_ELIGIBLE = "nothing_eligible"
    QUEUE_EXHAUSTED = "queue_exhausted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The last entry that is taken: whoever stands behind it is spared.

    Attributes:
        position_id: as given, or None where the positions have none.
        account: as given.
        score: as in the fills.
        ratio: the exact score as a fraction, `26/55`.
        is_partial: whether a part of the entry is left.
    """

    position_id: int | str | None
    account: int | str
    score: float
    ratio: str
    is_partial: bool

    def __str__(self) -> str:
        """The cut in a few words."""
        name = "" if self.position_id is None else f" (position {self.position_id})"
        part = "in part" if self.is_partial else "whole"
        return f"{self.account}{name}, taken {part}, score {self.score:.10g}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Who is cut, by how much, at what price, and why.

    Closed, netted and unfilled add up to what was requested. What is not needed to act on the plan
    (`left_out`, `own_legs`, `notes`, `digest`, `explain`) is worked out when it is asked for.

    Attributes:
        market: of the event.
        bankrupt_side: `long` or `short`.
        requested: contracts asked for.
        netted: contracts closed against the bankrupt account's own opposite legs, before anybody.
        fills: one row an entry that is cut, in queue order: rank_in_queue (1 is the first),
            position_id (null where the positions have none), account, market, side, tier, qty,
            qty_closed, qty_left (Decimal contracts of the entry; a hedged part is an entry of its
            own), price (Decimal, null where `price_note` says why), score (float64, for display).
        unfilled: contracts that nobody can offset.
        cut: the last entry taken, or None where nobody is cut.
        reason: how the event ended.
        price_note: what the settlement price lacks; empty where it is known.
    """

    market: str
    bankrupt_side: str
    requested: Decimal
    netted: Decimal
    fills: pl.DataFrame
    unfilled: Decimal
    cut: Cut | None
    reason: PlanReason
    price_note: str
    _outline: Outline

    @property
    def left_out(self) -> pl.DataFrame:
        """Entries of the candidates' side without a place in the queue: reason, entries."""
        counts = {str(reason): count for reason, count in self._outline.left_out().items()}
        schema = {"reason": pl.String, "entries": pl.Int64}
        return pl.DataFrame(list(counts.items()), schema=schema, orient="row")

    @property
    def own_legs(self) -> pl.DataFrame:
        """The bankrupt account's legs on the candidates' side, and what became of them.

        Columns: position_id (if the positions have it), account, side, qty, qty_closed, qty_left,
        reason (`netted`: cross, closed first; `isolated`: left as it is).
        """
        outline = self._outline
        return legs_frame(outline.side.snapshot, outline.request, outline.legs())

    @property
    def notes(self) -> tuple[str, ...]:
        """What a careful reader should look at twice in the request.

        Names that hold nothing here, a bankrupt account without such a position or with a smaller
        one, and a bankruptcy price at which the position would not be bankrupt.
        """
        return tuple(second_looks(self._outline))

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal over the input and the decision.

        It covers the snapshot's root (rows, accounts, scales, marks, edition), the request, the
        cut, every fill and the price; neither row order nor threads change it.
        """
        outline, request = self._outline, self._outline.request
        given = request.bankruptcy_price
        parts = [
            _DIGEST_VERSION,
            outline.side.snapshot.digest,
            request.market,
            request.bankrupt_side,
            str(request.lots),
            "no price" if given is None else f"price {spelled(given)}",
            "nobody" if request.bankrupt_account is None else f"account {request.bankrupt_account}",
            str(len(request.exclude)),
            *request.exclude,
            str(self.reason),
            spelled(self.netted),
            spelled(self.unfilled),
            "" if self.cut is None else f"{self.cut.ratio} {self.cut.is_partial}",
            self.price_note,
        ]
        columns = ("position_id", "account", "tier", "qty_closed", "price")
        for column in columns:
            values = self.fills[column].to_list()
            parts += [spelled(v) if isinstance(v, Decimal) else str(v) for v in values]
        return text_digest(parts).hex()

    def explain(self, account: str | int) -> Explanation:
        """Say why an account is cut or is not, with the rule's numbers filled in.

        Args:
            account: as in the positions.

        Raises:
            InputError: no such account holds a position of this market; names the nearest.
        """
        return tell(self._outline, str(account))

    def __str__(self) -> str:
        """The plan in one line."""
        return (
            f"{self.market}: {self.requested} of a bankrupt {self.bankrupt_side}, "
            f"{self.fills.height} fills, {self.netted} netted, {self.unfilled} unfilled "
            f"({self.reason})"
        )


def plan(
    positions: FrameLike | Snapshot,
    *,
    marks: FrameLike | None = None,
    venue: Venue | None = None,
    market: str | int,
    bankrupt_side: str,
    qty: Number,
    bankruptcy_price: Number | None = None,
    bankrupt_account: str | int | None = None,
    exclude: Iterable[str | int] = (),
    accounts: FrameLike | None = None,
    markets: FrameLike | None = None,
    neutral: FrameLike | None = None,
) -> Plan:
    """Plan one event: take the head of the queue that offsets a bankrupt quantity.

    Args:
        positions: a position frame, or a `Snapshot`; then no other frame but `marks` is given.
        marks: market, mark_price and, where the edition settles at it, previous_mark_price. Beside
            a snapshot: other marks for the same book.
        venue: the edition; beside a snapshot it may be left out.
        market: the bankrupt position's market.
        bankrupt_side: `long` or `short`.
        qty: contracts that market and fund did not take, more than 0 and a whole number of lots.
        bankruptcy_price: price at which the bankrupt position is worth nothing, frozen at takeover.
        bankrupt_account: never cut. Its own cross legs on the other side are netted first, its
            isolated ones are left alone.
        exclude: accounts that are never cut: exempt pools.
        accounts: margin pools of cross accounts.
        markets: contract sizes and units.
        neutral: delta-neutral accounts.

    Returns:
        The plan. A quantity beyond the whole queue is no error: the rest is `unfilled`.

    Raises:
        InputError: an input or the request is not what the contract says; nothing is done.
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
    request = read_request(
        snapshot,
        market=market,
        bankrupt_side=bankrupt_side,
        qty=qty,
        bankruptcy_price=bankruptcy_price,
        bankrupt_account=bankrupt_account,
        exclude=exclude,
    )
    return _planned(snapshot, request)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """Rows of a side in queue order, with their scores, and the lots closed of each.

    Attributes:
        left: lots that are left of the last entry; of the others nothing is.
    """

    rows: Int64
    lots: Int64
    scores: Float64
    left: int
    unfilled: int

    @classmethod
    def nothing(cls, unfilled: int) -> Self:
        """Nobody is cut."""
        scores = _NO_ROWS.astype(np.float64)
        return cls(rows=_NO_ROWS, lots=_NO_ROWS, scores=scores, left=0, unfilled=unfilled)


def _planned(snapshot: Snapshot, request: Request) -> Plan:
    """Net, select, and see whether the edition takes a part for the whole."""
    side = QueueSide.of(snapshot, request.market, request.side)
    legs = own_legs(snapshot, request) if may_net(snapshot) else ()
    netted = net(legs)
    taken = _take(side, request.lots - netted, request.barred)
    completion = snapshot.venue.allocation.completion
    is_failed = completion is Completion.ALL_OR_NOTHING and taken.unfilled > 0
    if is_failed:
        reason, netted = PlanReason.ALL_OR_NOTHING_FAILED, 0
        taken = _Taken.nothing(request.lots)
    elif not taken.unfilled:
        reason = PlanReason.FILLED
    else:
        reason = PlanReason.QUEUE_EXHAUSTED if len(taken.rows) else PlanReason.NOTHING_ELIGIBLE
    price, note = settlement_price(
        snapshot.venue.price,
        mark=side.scale.mark_price,
        previous_mark=side.scale.previous_mark_price,
        bankruptcy=request.bankruptcy_price,
    )
    fills = _fills(side, taken, price)
    return Plan(
        market=request.market,
        bankrupt_side=request.bankrupt_side,
        requested=_contracts(side, request.lots),
        netted=_contracts(side, netted),
        fills=fills,
        unfilled=_contracts(side, taken.unfilled),
        cut=_cut(side, taken, fills),
        reason=reason,
        price_note=note,
        _outline=Outline(
            side=side,
            request=request,
            rows=taken.rows,
            lots=taken.lots,
            unfilled=taken.unfilled,
            price=price,
            is_failed=is_failed,
        ),
    )


def _take(side: QueueSide, lots: int, barred: tuple[str, ...]) -> _Taken:
    """Take the head of the queue without some accounts.

    Barred accounts are looked for among the selected rows only: finding all their rows would read
    a column of the whole side, and as a rule none of them is near the head.
    """
    if lots == 0 or not len(side):
        return _Taken.nothing(lots)
    selection = side.select(lots, _NO_ROWS)
    found = _barred_rows(side, selection.rows, barred)
    if len(found):
        selection = side.select(lots, found)
    if len(_barred_rows(side, selection.rows, barred)):
        everywhere = [side.rows_of(account) for account in barred]
        selection = side.select(lots, np.unique(np.concatenate(everywhere)))
    rows, closed = selection.rows, selection.lots
    left = abs(int(side.columns.lots[rows[-1]])) - int(closed[-1]) if len(rows) else 0
    if int(closed.sum()) + selection.unfilled != lots or left < 0:
        raise InvariantError(f"plan: expected {lots} lots closed and unfilled, got another sum")
    return _Taken(
        rows=rows, lots=closed, scores=selection.scores, left=left, unfilled=selection.unfilled
    )


def _barred_rows(side: QueueSide, rows: Int64, barred: tuple[str, ...]) -> Int64:
    """Give those of some rows that belong to barred accounts."""
    if not barred or not len(rows):
        return _NO_ROWS
    is_barred = side.holders(rows).cast(pl.String).is_in(list(barred)).to_numpy()
    theirs: Int64 = rows[is_barred]
    return theirs


def _contracts(side: QueueSide, lots: int) -> Decimal:
    return decimal_of(lots * Fraction(side.scale.lot_size))


def _fills(side: QueueSide, taken: _Taken, price: Decimal | None) -> pl.DataFrame:
    """Give the fills as a frame; see `Plan`."""
    count, scale, positions = len(taken.rows), side.scale, side.snapshot.positions
    rows = side.original(taken.rows)
    tier = side.columns.tier
    if "position_id" in positions.columns:
        ids = taken_of(positions["position_id"], rows)
    else:
        ids = pl.Series([None] * count, dtype=pl.UInt64)
    digits = 0 if price is None else digits_of(price)
    left = np.zeros(count, dtype=np.int64)
    left[-1:] = taken.left
    return pl.DataFrame(
        [
            pl.Series("rank_in_queue", np.arange(1, count + 1)),
            ids.alias("position_id"),
            taken_of(positions["account"], rows),
            pl.Series("market", [scale.market], dtype=pl.String).new_from_index(0, count),
            pl.Series("side", [side.side], dtype=pl.String).new_from_index(0, count),
            pl.Series("tier", np.zeros(count, np.uint8) if tier is None else tier[taken.rows]),
            contracts("qty", taken.lots + left, scale),
            contracts("qty_closed", taken.lots, scale),
            contracts("qty_left", left, scale),
            pl.Series("price", [price], dtype=pl.Decimal(38, digits)).new_from_index(0, count),
            pl.Series("score", taken.scores),
        ]
    )


def _cut(side: QueueSide, taken: _Taken, fills: pl.DataFrame) -> Cut | None:
    """Give the last entry taken."""
    if not len(taken.rows):
        return None
    score = float(taken.scores[-1])
    return Cut(
        position_id=fills["position_id"][-1],
        account=fills["account"][-1],
        score=score,
        ratio=str(side.work(int(taken.rows[-1]), score).ratio),
        is_partial=taken.left > 0,
    )
