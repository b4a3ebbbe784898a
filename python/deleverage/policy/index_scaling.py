"""Index scaling: a whole side shrinks at once, and each account pays when it is next touched.

Two numbers a side replace the walk over accounts (Percolator, spec 16.8.3). `A` scales every
position of the side, `K` is what a unit of it has gained; both move when a bankrupt position of the
other side is closed against all. Settling an account costs the same whatever has happened since.
"""

from dataclasses import dataclass, replace

from deleverage.errors import InputError, StateError
from deleverage.policy.checks import check_whole

__all__ = ["ONE", "Holding", "Index", "Settled"]

#: The scale of a side that has never been cut.
ONE = 10**15
#: Below this scale a side is too coarse to be cut further: it is reset first.
SMALLEST = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One side of one market.

    Attributes:
        scale: A, at most `ONE`.
        gain: K, money units x `ONE` that a unit of unscaled size has gained.
        open_interest: lots of the side.
        epoch: how often the side was reset.
    """

    scale: int = ONE
    gain: int = 0
    open_interest: int = 0
    epoch: int = 0

    def __post_init__(self) -> None:
        """Refuse what is not a whole number.

        Raises:
            InputError: a value is a float, a text or a truth value.
        """
        check_whole(
            scale=self.scale, gain=self.gain, open_interest=self.open_interest, epoch=self.epoch
        )

    def close(self, lots: int, *, deficit: int) -> "Index":
        """Close lots of the whole side, and charge a deficit to it.

        `A' = floor(A x OI' / OI)`; K falls by the deficit per unit, rounded up, so that the side
        never pays less than the deficit.

        Args:
            lots: lots to close, 0 to the open interest.
            deficit: money units, 0 or more.

        Raises:
            InputError: an argument is out of range.
            StateError: the scale would become too coarse; reset the side.
        """
        check_whole(lots=lots, deficit=deficit)
        if not 0 <= lots <= self.open_interest or deficit < 0:
            limit = f"0 to {self.open_interest} lots and 0 or more"
            raise InputError(f"lots, deficit: expected {limit}, got {lots}, {deficit}")
        if self.open_interest == 0:
            raise StateError("open interest: expected some to close against, got none")
        left = self.open_interest - lots
        scale = self.scale * left // self.open_interest
        if left and scale < SMALLEST:
            raise StateError(f"scale: expected {SMALLEST} or more, got {scale}; reset the side")
        charge = -(-deficit * self.scale * ONE // self.open_interest)
        gain = self.gain - charge
        return replace(self, scale=scale, gain=gain, open_interest=left)

    def open(self, lots: int) -> "Holding":
        """Give a holding of so many lots at the present index; the side's interest is the caller's.

        Raises:
            InputError: the lots are no whole number of 0 or more.
        """
        check_whole(lots=lots)
        if lots < 0:
            raise InputError(f"lots: expected 0 or more, got {lots}")
        return Holding(lots=lots, scale=self.scale, gain=self.gain, epoch=self.epoch)

    def settle(self, holding: "Holding") -> "Settled":
        """Bring a holding up to the present index, in one step.

        Lots are rounded down and so is the gain: dust stays with the market.

        Raises:
            StateError: the side was reset since; the holding is settled at the end of its epoch.
        """
        if holding.epoch != self.epoch:
            raise StateError(f"epoch: expected {self.epoch}, got {holding.epoch}; settle it first")
        lots = holding.lots * self.scale // holding.scale
        pnl = holding.lots * (self.gain - holding.gain) // (holding.scale * ONE)
        return Settled(holding=self.open(lots), pnl=pnl)

    def reset(self) -> "Index":
        """Begin a new epoch at full scale, with nobody in it yet."""
        return Index(epoch=self.epoch + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Lots of one account, and the index they were last settled at."""

    lots: int
    scale: int
    gain: int
    epoch: int

    def __post_init__(self) -> None:
        """Refuse what is not a whole number.

        Raises:
            InputError: a value is a float, a text or a truth value.
        """
        check_whole(lots=self.lots, scale=self.scale, gain=self.gain, epoch=self.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A holding brought up to date, and the money units it gained since, below zero if it paid."""

    holding: Holding
    pnl: int
