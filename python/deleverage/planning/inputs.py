"""What is asked, checked: frames or a snapshot, and the request of one event."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from deleverage.errors import InputError
from deleverage.model.frames import read_marks
from deleverage.model.quantise import decimal_of
from deleverage.model.records import Venue
from deleverage.model.refusals import plain
from deleverage.model.scales import MarketScale
from deleverage.model.snapshot import Snapshot
from deleverage.model.sources import FrameLike

__all__ = ["Frames", "Number", "Request", "read_frames", "read_request"]

Number = Decimal | str | int | float
SIDES = ("long", "short")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """The frames of one question, as given by its caller.

    Attributes:
        positions: a frame, or a snapshot made of all of them.
        marks: a frame; beside a snapshot, other marks for it.
        venue: the edition; beside a snapshot, nothing or the snapshot's own.
        accounts: a frame, or None.
        markets: a frame, or None.
        neutral: a frame, or None.
    """

    positions: FrameLike | Snapshot
    marks: FrameLike | None = None
    venue: Venue | None = None
    accounts: FrameLike | None = None
    markets: FrameLike | None = None
    neutral: FrameLike | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One event, in the units of its market.

    Attributes:
        market: its name.
        bankrupt_side: `long` or `short`; the candidates stand on the other one.
        lots: to offset, more than 0.
        bankruptcy_price: frozen at takeover, or None where it is not given.
        bankrupt_account: never cut, or None.
        exclude: accounts that are never cut, sorted, each once.
    """

    market: str
    bankrupt_side: str
    lots: int
    bankruptcy_price: Decimal | None
    bankrupt_account: str | None
    exclude: tuple[str, ...]

    @property
    def side(self) -> str:
        """The side of the candidates."""
        return "short" if self.bankrupt_side == "long" else "long"

    @property
    def barred(self) -> tuple[str, ...]:
        """Every account that is never cut."""
        own = () if self.bankrupt_account is None else (self.bankrupt_account,)
        return (*own, *self.exclude)


def read_frames(frames: Frames) -> Snapshot:
    """Give the snapshot, made here unless it was handed over.

    Raises:
        InputError: an input is missing, of the wrong kind, or given twice.
    """
    table = None if frames.marks is None else read_marks(frames.marks)
    if isinstance(frames.positions, Snapshot):
        snapshot = _same(frames.positions, frames)
        return snapshot if table is None else snapshot.at(table)
    if table is None:
        raise InputError("marks: expected a frame of market and mark_price, got none; pass marks=")
    if not isinstance(frames.venue, Venue):
        raise InputError(
            f"venue: expected an edition, got {plain(frames.venue)}; "
            "pass venue=Venue.load(name), the names are those of venues()"
        )
    return Snapshot.prepare(
        frames.positions,
        marks=table,
        venue=frames.venue,
        accounts=frames.accounts,
        markets=frames.markets,
        neutral=frames.neutral,
    )


def _same(snapshot: Snapshot, frames: Frames) -> Snapshot:
    """Refuse what a snapshot was made of already: it would not be read again."""
    if frames.venue is not None and frames.venue != snapshot.venue:
        raise InputError(
            f"venue: expected the snapshot's own edition {snapshot.venue.name} or none, "
            f"got {getattr(frames.venue, 'name', frames.venue)}; prepare another snapshot"
        )
    for name in ("accounts", "markets", "neutral"):
        if getattr(frames, name) is not None:
            raise InputError(f"{name}: expected none beside a snapshot, which was made of its own")
    return snapshot


def read_request(
    snapshot: Snapshot,
    *,
    market: str | int,
    bankrupt_side: str,
    qty: Number,
    bankruptcy_price: Number | None,
    bankrupt_account: str | int | None,
    exclude: Iterable[str | int],
) -> Request:
    """Check the request of one event.

    Args:
        snapshot: whose markets and units are meant.
        market: the bankrupt position's.
        bankrupt_side: `long` or `short`.
        qty: contracts.
        bankruptcy_price: a price, or None.
        bankrupt_account: an account, or None.
        exclude: accounts.

    Raises:
        InputError: names the argument, what was expected and what came.
    """
    if isinstance(market, bool) or not isinstance(market, (str, int)):
        raise InputError(f"market: expected the name of a market, got {plain(market)}")
    scale = snapshot.scale(str(market))
    if bankrupt_side not in SIDES:
        raise InputError(f"bankrupt_side: expected long or short, got {plain(bankrupt_side)}")
    lots = scale.lots(qty)
    if lots <= 0:
        raise InputError(f"qty of {scale.market}: expected more than 0 contracts, got {plain(qty)}")
    if isinstance(exclude, (str, bytes)) or not isinstance(exclude, Iterable):
        raise InputError(f"exclude: expected a list of accounts, got {plain(exclude)}")
    names = {_account("exclude", name) for name in exclude}
    bankrupt = None
    if bankrupt_account is not None:
        bankrupt = _account("bankrupt_account", bankrupt_account)
    return Request(
        market=str(market),
        bankrupt_side=str(bankrupt_side),
        lots=lots,
        bankruptcy_price=_price(scale, bankruptcy_price),
        bankrupt_account=bankrupt,
        exclude=tuple(sorted(names)),
    )


def _price(scale: MarketScale, price: Number | None) -> Decimal | None:
    if price is None:
        return None
    units = scale.price(price, name="bankruptcy_price")
    if units <= 0:
        raise InputError(
            f"bankruptcy_price of {scale.market}: expected a price above zero, got {plain(price)}"
        )
    return decimal_of(units * Fraction(scale.price_unit))


def _account(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InputError(f"{name}: expected an account (text or whole number), got {plain(value)}")
    return str(value)
