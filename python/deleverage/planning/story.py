"""A plan told again: what is left out, what should be looked at, and why one account was cut."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.errors import InputError
from deleverage.explanation import EntryNote, Explanation, Outcome, why_left_out
from deleverage.model.quantise import decimal_of
from deleverage.model.refusals import nearest_name
from deleverage.model.rules import Reason
from deleverage.planning.inputs import Request
from deleverage.planning.netting import OwnLeg, own_legs
from deleverage.planning.side import Int64, QueueSide
from deleverage.ranking import REASONS

__all__ = ["Outline", "tell"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outline:
    """What a plan was made of, kept so that it can be told again.

    Attributes:
        side: the candidates' side.
        request: the event.
        rows: (k,) the side's rows that are cut, in queue order.
        lots: (k,) lots closed of each.
        unfilled: lots that nobody offsets.
        price: settlement price, or None.
        is_failed: all or nothing was asked for, and nothing is done.
    """

    side: QueueSide
    request: Request
    rows: Int64
    lots: Int64
    unfilled: int
    price: Decimal | None
    is_failed: bool

    def contracts(self, lots: int) -> Decimal:
        """Give lots as contracts."""
        return decimal_of(lots * Fraction(self.side.scale.lot_size))

    def lots_of(self, row: int) -> int:
        """Give the lots of a row of the position frame, negative for a short without `side`."""
        return self.side.scale.lots(self.side.snapshot.positions["qty"][row])

    def closed(self, row: int) -> int:
        """Give the lots closed of one row of the side."""
        return int(self.lots[self.rows == row].sum())

    def legs(self) -> tuple[OwnLeg, ...]:
        """The bankrupt account's legs on the candidates' side."""
        legs = own_legs(self.side.snapshot, self.request)
        if not self.is_failed:
            return legs
        return tuple(
            OwnLeg(row=leg.row, lots=leg.lots, closed=0, is_netted=leg.is_netted) for leg in legs
        )

    def barred_rows(self) -> dict[int, Reason]:
        """Rows of the side that belong to accounts which are never cut, and why."""
        found: dict[int, Reason] = {}
        for account in self.request.exclude:
            found |= dict.fromkeys(self.side.rows_of(account).tolist(), Reason.EXCLUDED)
        if self.request.bankrupt_account is not None:
            own = self.side.rows_of(self.request.bankrupt_account).tolist()
            found |= dict.fromkeys(own, Reason.BANKRUPT_ACCOUNT)
        return found

    def gone(self) -> list[tuple[int, Reason]]:
        """Rows of the position frame on this side that are no candidates, and why."""
        snapshot = self.side.snapshot
        rows = snapshot.left_out_rows
        is_here = self._is_here(rows)
        reasons = snapshot.left_out_reasons[is_here].tolist()
        return [(row, REASONS[r]) for row, r in zip(rows[is_here].tolist(), reasons, strict=True)]

    def exempt(self) -> list[int]:
        """Rows of the position frame on this side whose hedged part the edition never cuts."""
        rows = self.side.snapshot.exempt_rows
        found: list[int] = rows[self._is_here(rows)].tolist()
        return found

    def _is_here(self, rows: Int64) -> NDArray[np.bool_]:
        """Tell which rows of the position frame stand on this side of the market."""
        side = self.side
        frame = side.snapshot.positions[rows]
        is_here = (frame["market"].cast(pl.String) == side.scale.market).to_numpy().copy()
        if "side" in frame.columns:
            is_here &= (frame["side"].cast(pl.String) == side.side).to_numpy()
            return is_here
        # A row of another market need not be a whole number of this one's lots.
        for place in np.flatnonzero(is_here).tolist():
            is_here[place] = (self.lots_of(int(rows[place])) > 0) == (side.side == "long")
        return is_here

    def left_out(self) -> dict[Reason, int]:
        """Count the entries of the side that have no place in the queue, by reason."""
        barred = self.barred_rows()
        codes = self.side.scores().reason.copy()
        for row, reason in barred.items():
            codes[row] = REASONS.index(reason)
        by_code = np.bincount(codes, minlength=len(REASONS)).tolist()
        counts = Counter(dict(zip(REASONS, by_code, strict=True)))
        counts.update(reason for _, reason in self.gone())
        counts[Reason.HEDGED_PART] += len(self.exempt())
        return {r: counts[r] for r in REASONS if counts[r] and r is not Reason.SCORED}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Queue:
    """The candidates' side with everyone's place, and who has none."""

    outline: Outline
    places: Int64
    scores: ranking.Scores
    barred: dict[int, Reason]
    barred_places: Int64

    @classmethod
    def of(cls, outline: Outline) -> Self:
        """Place the whole side."""
        barred, places = outline.barred_rows(), outline.side.places()
        theirs = places[np.array(list(barred), dtype=np.int64)]
        return cls(
            outline=outline,
            places=places,
            scores=outline.side.scores(),
            barred=barred,
            barred_places=theirs[theirs > 0],
        )

    def __len__(self) -> int:
        return int((self.places > 0).sum()) - len(self.barred_places)

    def place(self, row: int) -> int:
        """Give the place of a row once the barred have stepped aside."""
        place = int(self.places[row])
        return place - int((self.barred_places < place).sum())

    def note(self, row: int) -> EntryNote:
        """Say what became of one row of the candidates' side."""
        side, outline = self.outline.side, self.outline
        score = float(self.scores.score[row])
        reason = self.barred.get(row, REASONS[self.scores.reason[row]])
        qty = outline.contracts(abs(int(side.columns.lots[row])))
        seen = _Seen(outline=outline, row=int(side.original(np.array([row]))[0]), side=side.side)
        if reason is not Reason.SCORED:
            return seen.note(qty=qty, outcome=Outcome.LEFT_OUT, why=why_left_out(reason))
        closed = outline.contracts(outline.closed(row))
        outcome, why = self._outcome(row, qty, closed)
        return replace(
            seen.note(qty=qty, outcome=outcome, why=why, closed=closed),
            place=self.place(row),
            queue_length=len(self),
            score=score,
            working=side.work(row, score),
        )

    def _outcome(self, row: int, qty: Decimal, closed: Decimal) -> tuple[Outcome, str]:
        if closed == qty:
            return Outcome.CUT, "it stands before the cut"
        if closed:
            return Outcome.CUT_IN_PART, "the cut falls on it"
        if self.outline.is_failed:
            return Outcome.SPARED, "the whole queue could not offset all, so nobody is cut"
        if not len(self.outline.rows):
            return Outcome.SPARED, "nobody had to be cut"
        behind = self.place(row) - len(self.outline.rows)
        return Outcome.SPARED, f"it stands {behind} behind the last entry that is cut"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """A row of the position frame that a note is about."""

    outline: Outline
    row: int
    side: str

    def note(
        self, *, qty: Decimal, outcome: Outcome, why: str, closed: Decimal = Decimal(0)
    ) -> EntryNote:
        """Give the note of a row without a place in the queue."""
        positions = self.outline.side.snapshot.positions
        has_id = "position_id" in positions.columns
        return EntryNote(
            position_id=positions["position_id"][self.row] if has_id else None,
            market=self.outline.request.market,
            side=self.side,
            qty=qty,
            outcome=outcome,
            why=why,
            closed=closed,
            left=qty - closed,
            price=self.outline.price if closed else None,
        )


def tell(outline: Outline, account: str) -> Explanation:
    """Explain a plan to one account.

    Raises:
        InputError: the account holds nothing in this market; names the nearest ones.
    """
    notes = (
        *_candidates(outline, account),
        *_exempt_parts(outline, account),
        *_others(outline, account),
    )
    if not notes:
        raise _unknown(outline, account)
    cut = (Outcome.CUT, Outcome.CUT_IN_PART)
    return Explanation(
        account=account,
        is_cut=any(note.outcome in cut for note in notes),
        event=_event(outline),
        cut=_cut(outline),
        entries=notes,
    )


def _candidates(outline: Outline, account: str) -> Iterator[EntryNote]:
    """Give the notes of an account's positions on the candidates' side."""
    if account == outline.request.bankrupt_account:
        for leg in outline.legs():
            qty, closed = outline.contracts(leg.lots), outline.contracts(leg.closed)
            why = "the bankrupt account's own isolated leg, neither netted nor cut"
            if leg.is_netted:
                why = "the bankrupt account's own cross leg, closed before anybody is cut"
            seen = _Seen(outline=outline, row=leg.row, side=outline.request.side)
            outcome = Outcome.NETTED if closed else Outcome.LEFT_OUT
            yield seen.note(qty=qty, outcome=outcome, why=why, closed=closed)
        return
    rows = outline.side.rows_of(account)
    if len(rows):
        queue = _Queue.of(outline)
        yield from (queue.note(row) for row in rows.tolist())
    for row, reason in outline.gone():
        if str(outline.side.snapshot.positions["account"][row]) == account:
            seen = _Seen(outline=outline, row=row, side=outline.request.side)
            qty = outline.contracts(abs(outline.lots_of(row)))
            yield seen.note(qty=qty, outcome=Outcome.LEFT_OUT, why=why_left_out(reason))


def _exempt_parts(outline: Outline, account: str) -> Iterator[EntryNote]:
    """Give the notes of an account's hedged parts that the edition never cuts."""
    positions, scale = outline.side.snapshot.positions, outline.side.scale
    for row in outline.exempt():
        if str(positions["account"][row]) == account:
            seen = _Seen(outline=outline, row=row, side=outline.request.side)
            qty = outline.contracts(scale.lots(positions["hedged_qty"][row], name="hedged_qty"))
            why = why_left_out(Reason.HEDGED_PART)
            yield seen.note(qty=qty, outcome=Outcome.LEFT_OUT, why=why)


def _others(outline: Outline, account: str) -> Iterator[EntryNote]:
    """Give the notes of an account's positions on the bankrupt side."""
    request, positions = outline.request, outline.side.snapshot.positions
    other = QueueSide.of(outline.side.snapshot, request.market, request.bankrupt_side)
    rows = set(other.original(other.rows_of(account)).tolist())
    rows |= {
        row
        for row, _ in replace(outline, side=other).gone()
        if str(positions["account"][row]) == account
    }
    why = f"only {request.side} positions can be cut for a bankrupt {request.bankrupt_side}"
    if account == request.bankrupt_account:
        why = "it is the bankrupt account's position on the bankrupt side"
    for row in sorted(rows):
        seen = _Seen(outline=outline, row=row, side=request.bankrupt_side)
        qty = outline.contracts(abs(outline.lots_of(row)))
        yield seen.note(qty=qty, outcome=Outcome.BANKRUPT_SIDE, why=why)


def _event(outline: Outline) -> str:
    """Give the event in one sentence."""
    request = outline.request
    closed = outline.contracts(int(outline.lots.sum()))
    netted = outline.contracts(sum(leg.closed for leg in outline.legs()))
    left = outline.contracts(outline.unfilled)
    return (
        f"event: {outline.contracts(request.lots)} of a bankrupt {request.bankrupt_side} of "
        f"{request.market}: {closed} closed, {netted} netted, {left} unfilled"
    )


def _cut(outline: Outline) -> str:
    """Say where the queue is cut."""
    if outline.is_failed:
        return "cut: none, for this edition cuts all or nothing"
    if not len(outline.rows):
        return "cut: none"
    side, row = outline.side, int(outline.rows[-1])
    score = float(side.scores(outline.rows[-1:]).score[0])
    ratio = side.work(row, score).ratio
    noun = "entry" if len(outline.rows) == 1 else "entries"
    part = "in part" if outline.lots[-1] < abs(side.columns.lots[row]) else "whole"
    holder = side.holders(outline.rows[-1:])[0]
    exact = "" if ratio is None or ratio.denominator == 1 else f", exactly {ratio}"
    return (
        f"cut: after {len(outline.rows)} {noun}, the last is {holder}, taken {part}, "
        f"score {score:.10g}{exact}"
    )


def _unknown(outline: Outline, account: str) -> InputError:
    """Give the error for an account that holds nothing here."""
    snapshot = outline.side.snapshot
    names = snapshot.account_names.cast(pl.String).to_list()
    market = outline.request.market
    if account in names:
        return InputError(f"account: {account!r} holds no position of {market}")
    hint = nearest_name(account, names)
    return InputError(f"account: expected one with a position of {market}, got {account!r}{hint}")
