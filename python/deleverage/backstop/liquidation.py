"""One liquidation on its way: the position, what the market filled, and the steps it went through.

Every step says the money it moved as postings and the quantity as moves; both add up to zero. Whom
the market's other side is booked for is the venue's own record: here it is the owner `MARKET`.
"""

from dataclasses import dataclass, replace
from typing import Self

from deleverage.backstop.bankruptcy import Bankruptcy
from deleverage.backstop.settlement import Bankrupt, Posting, check_balanced
from deleverage.backstop.window import whole
from deleverage.errors import InputError, InvariantError
from deleverage.model.terms import StepKind

__all__ = ["EVERYBODY", "MARKET", "Fill", "Gate", "Liquidation", "Move", "Step"]

MARKET = "market"
"""Owner of the other side of a market fill."""

EVERYBODY = "socialised-loss"
"""Owner of a loss that everybody is to pay: an allocation policy shares it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidation:
    """A position that is being closed for its owner.

    Attributes:
        id: of the liquidation.
        account: its owner; the pool's name where a pool sheds its own position.
        market: of the position.
        lots: signed lots that are still open; not 0.
        entry_value: their entry value, money units.
        bankruptcy: frozen when the liquidation was created, on the full size; None where the
            edition reads none (a pool that sheds at the mark).
        opened_at: when it was created, ns UTC.
        margin: of the position without unrealised profit, money units; None where not known.
        position_id: of the position.
        filled: lots that the market has closed so far.
        debt: what bankruptcy would have credited the account more than it got and nobody has paid
            so far, money units.
        is_pool: the owner is a pool that sheds what it took over.

    Raises:
        InputError: no position, a bankruptcy of another side or of a smaller size.
    """

    id: str
    account: str
    market: str
    lots: int
    entry_value: int
    bankruptcy: Bankruptcy | None
    opened_at: int
    margin: int | None = None
    position_id: str = ""
    filled: int = 0
    debt: int = 0
    is_pool: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no position, or not the one its bankruptcy was frozen for."""
        if whole("lots", self.lots) == 0:
            raise InputError(f"liquidation {self.id}: lots: expected a position, got 0")
        whole("entry_value", self.entry_value, least=0)
        whole("filled", self.filled, least=0)
        whole("debt", self.debt, least=0)
        known = self.bankruptcy
        if known is not None and (known.lots * self.lots <= 0 or abs(known.lots) < abs(self.lots)):
            raise InputError(
                f"liquidation {self.id}: bankruptcy: expected one of at least {self.lots} lots, "
                f"got one of {known.lots}"
            )

    @property
    def bankrupt(self) -> Bankrupt:
        """The position as `settlement.settle` takes it."""
        return Bankrupt(
            account=self.account,
            lots=self.lots,
            entry_value=self.entry_value,
            bankruptcy=self.bankruptcy,
            position_id=self.position_id,
            is_pool=self.is_pool,
        )

    def less(self, closed: int, released: int) -> Self | None:
        """Give what is left after a part was closed, or None where nothing is.

        Args:
            closed: lots, above zero.
            released: entry value that the part takes with it, money units.
        """
        left = abs(self.lots) - closed
        if left == 0:
            return None
        side = 1 if self.lots > 0 else -1
        return replace(self, lots=side * left, entry_value=self.entry_value - released)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What the market closed of a liquidation, as the venue reports it.

    Attributes:
        lots: closed, above zero.
        quote: what the liquidated account is credited for it, signed money units: a linear long
            that sells is credited, a short that buys pays.
    """

    lots: int
    quote: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Lots that an owner's position in a market gains, signed."""

    owner: str
    market: str
    lots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the waterfall and what it moved.

    Attributes:
        kind: which step of the edition's order.
        lots: how many lots of the liquidation it closed, 0 or more.
        postings: the money; it adds to zero in every asset.
        moves: the quantity; it adds to zero in every market.
        text: what happened, in words and numbers.

    Raises:
        InvariantError: money or lots do not add to zero.
    """

    kind: StepKind
    lots: int = 0
    postings: tuple[Posting, ...] = ()
    moves: tuple[Move, ...] = ()
    text: str

    def __post_init__(self) -> None:
        """Refuse a step that makes money or lots."""
        check_balanced(self.postings)
        for market in {move.market for move in self.moves}:
            total = sum(move.lots for move in self.moves if move.market == market)
            if total != 0:
                raise InvariantError(f"moves: expected a sum of 0 in {market}, got {total}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Withdrawals behind one pool wait for a while after a loss nobody paid (dYdX v4: 50 blocks).

    Attributes:
        pool: whose accounts wait.
        seen: when the loss was seen: an instant in ns UTC, or a block's height.
        length: how long they wait, in the same unit.
    """

    pool: str
    seen: int
    length: int

    def is_closed(self, now: int) -> bool:
        """Tell whether withdrawals still wait.

        Args:
            now: an instant or a height, not before `seen`.

        Raises:
            InputError: time runs backwards.
        """
        return whole("time", now, least=self.seen) - self.seen < self.length

    def seen_again(self, at: int) -> Self:
        """Give the gate after another loss.

        Raises:
            InputError: time runs backwards.
        """
        return replace(self, seen=whole("time", at, least=self.seen))
