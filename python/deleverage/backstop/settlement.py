"""What a deleveraging books: both legs of every fill, fees, differences, and who is told what.

The quote of a fill is rounded once, seen from the liquidated account, and negated for the other
leg. Every amount has an owner: what lies between settlement and bankruptcy goes to or comes from
whom the edition names, what rounding fill by fill leaves goes to the dust account, and the postings
of one event add to zero or nothing is given out.

A trader's result is booked in two places: his wallet, and the open basis of his position, which is
what closing it has still to give or take. At an entry value E a linear long's basis is -E and a
short's +E (inverse the other way); the wallet moves by the quote and the basis that is released.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from deleverage.backstop.bankruptcy import (
    PPM,
    Bankruptcy,
    Rounding,
    closed_lots,
    gain_of,
    rounded_part,
)
from deleverage.backstop.notices import Leg, Notice, NoticeWriter
from deleverage.backstop.prices import SettlementPrice
from deleverage.errors import InputError, InvariantError, StateError, VenueError
from deleverage.model.records import Venue
from deleverage.model.scales import MarketScale
from deleverage.model.terms import Cancelled, Fee, Payer

__all__ = [
    "Bankrupt",
    "Book",
    "Cut",
    "Posting",
    "Settlement",
    "Terms",
    "check_balanced",
    "offset_size",
    "settle",
    "split_basis",
]


class Book(StrEnum):
    """Where an amount stands.

    A wallet, a position's open basis, a fund, fees, dust; `market`: what was traded with whom the
    venue books itself; `loss`: what everybody is to pay and nobody has paid yet.
    """

    WALLET = "wallet"
    BASIS = "basis"
    FUND = "fund"
    FEE = "fee"
    DUST = "dust"
    MARKET = "market"
    LOSS = "loss"


class Posting(NamedTuple):
    """One entry of an event: an owner's book gets an amount.

    Attributes:
        owner: account, fund, or the named account of fees or dust.
        book: which of its books.
        asset: settlement asset.
        amount: signed money units, not zero.
        market: the market of a basis, else empty.
    """

    owner: str
    book: Book
    asset: str
    amount: int
    market: str = ""


class Cut(NamedTuple):
    """One position of the queue and how much of it is closed.

    Attributes:
        position_id: its id.
        account: its owner.
        lots: signed lots before.
        entry_value: money units before.
        closed: lots that are closed, above zero.
        why: why this position, in words and numbers; it opens the notice.
        is_pool: the owner is a fund or vault, whose wallet is its balance.
    """

    position_id: str
    account: str
    lots: int
    entry_value: int
    closed: int
    why: str = ""
    is_pool: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bankrupt:
    """The position that is offset: a liquidated trader's, or one that a pool sheds.

    Attributes:
        account: its owner.
        lots: signed lots that are still open.
        entry_value: their entry value, money units.
        bankruptcy: frozen at takeover on the full size; None where nobody pays a difference.
        position_id: its id.
        fee_most: the most the account can pay as a fee, money units; None sets no limit.
        is_pool: the owner is a fund or vault, whose wallet is its balance.
    """

    account: str
    lots: int
    entry_value: int
    bankruptcy: Bankruptcy | None = None
    position_id: str = ""
    fee_most: int | None = None
    is_pool: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How an edition books a deleveraging in one market.

    Attributes:
        scale: units and settlement asset.
        deleveraged: fee of the reduced traders.
        liquidated: fee of the position that is offset.
        cancelled: which open orders of a reduced trader go.
        difference: who pays, or gets, what lies between settlement and bankruptcy.
        rounding: direction of each quote, seen from the liquidated account. `up` is for it
            (dYdX v4 and v1, StarkEx).
        maker_ppm: fee rate, ppm of the quote; below zero is a rebate.
        taker_ppm: fee rate, ppm of the quote.
        liquidation_ppm: fee rate, ppm of the quote; it goes to the fund.
        fund: owner of the fund.
        fees: owner of the fee account.
        dust: owner of the dust account.
        fund_balance: what the fund can pay, money units; None: it may go below zero (Dango).
    """

    scale: MarketScale
    deleveraged: Fee
    liquidated: Fee
    cancelled: Cancelled
    difference: Payer
    rounding: Rounding = Rounding.UP
    maker_ppm: int = 0
    taker_ppm: int = 0
    liquidation_ppm: int = 0
    fund: str = "insurance-fund"
    fees: str = "fees"
    dust: str = "dust"
    fund_balance: int | None = None

    @classmethod
    def of_edition(cls, venue: Venue, scale: MarketScale) -> "Terms":
        """Take fees, orders and payer from an edition; `dataclasses.replace` sets the rest."""
        return cls(
            scale=scale,
            deleveraged=venue.fees.deleveraged,
            liquidated=venue.fees.liquidated,
            cancelled=venue.orders.cancelled,
            difference=venue.price.difference,
        )

    def fee(self, kind: Fee, quote: int, what: str) -> int:
        """Give the fee of one leg, rounded up: against who pays it.

        Raises:
            VenueError: the venue never published it, and nobody chose one.
        """
        if kind is Fee.UNPUBLISHED:
            raise VenueError(f"fees.{what}: never published; choose none, maker, taker or another")
        if kind is Fee.NONE:
            return 0
        rates = {
            Fee.MAKER: self.maker_ppm,
            Fee.TAKER: self.taker_ppm,
            Fee.LIQUIDATION: self.liquidation_ppm,
        }
        return -(-abs(quote) * rates[kind] // PPM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What one deleveraging event books.

    Attributes:
        legs: one a reduced position, in the order of the queue.
        liquidated: the leg of the position that is offset.
        postings: every entry; they add to zero.
        notices: one a leg of the queue.
        difference: what bankruptcy would have credited the liquidated account more than the
            settlement did, money units; below zero the settlement was the better price. Zero
            where a pool sheds its own position.
        unpaid: the part of a difference above zero that nobody paid: it stays, as a debt, on
            the liquidated account.
        dust: what the liquidated account got by rounding fill by fill; moved to the dust account.
    """

    legs: tuple[Leg, ...]
    liquidated: Leg
    postings: tuple[Posting, ...]
    notices: tuple[Notice, ...]
    difference: int
    unpaid: int
    dust: int


def split_basis(entry_value: int, lots: int, closed: int) -> int:
    """Give the share of an entry value that a part of a position releases.

    The floor of its share; the last part takes the rest, so that any sequence of parts releases
    exactly the whole.

    Args:
        entry_value: money units of all lots, 0 or more.
        lots: lots before, signed or not.
        closed: lots that are closed.

    Raises:
        InputError: the part is not above zero or above the position, or the value is negative.
    """
    if not 0 < closed <= abs(lots) or entry_value < 0:
        raise InputError(
            f"closed: expected 1 to {abs(lots)} lots of an entry value of 0 or more, "
            f"got {closed} of {entry_value}"
        )
    return entry_value * closed // abs(lots)


def offset_size(
    requested: int, liquidated: int, offsetting: int, *, is_all_or_nothing: bool = False
) -> int:
    """Give how many lots two positions can close against each other.

    The smallest of the three; all or nothing refuses instead (dydxprotocol/perpetual@87f2263,
    P1Deleveraging.sol).

    Args:
        requested: lots, 0 or more.
        liquidated: signed lots of the position that is offset.
        offsetting: signed lots of the other, on the other side.
        is_all_or_nothing: whether a smaller amount is refused.

    Raises:
        InputError: a negative request, or two positions on one side.
        StateError: all or nothing, and it cannot be all.
    """
    if requested < 0 or liquidated * offsetting > 0:
        raise InputError(
            "lots: expected 0 or more against two opposite sides, "
            f"got {requested}, {liquidated}, {offsetting}"
        )
    size = min(requested, abs(liquidated), abs(offsetting))
    if is_all_or_nothing and size < requested:
        raise StateError(f"lots: expected all {requested} or nothing, got {size} at most")
    return size


def settle(
    cuts: Sequence[Cut], bankrupt: Bankrupt, price: SettlementPrice, terms: Terms
) -> Settlement:
    """Close the head of the queue against the bankrupt position at one price.

    Args:
        cuts: positions of the queue with their parts, in its order.
        bankrupt: the position that is offset; it may be larger than the cuts.
        price: the settlement price.
        terms: how the edition books.

    Raises:
        InputError: a part is not a part of its position, one side twice, one position twice,
            the cuts exceed the bankrupt position, or a payer needs a bankruptcy value that is
            not given.
        VenueError: a fee or the payer of a difference was never published, and nobody chose one.
        InvariantError: the postings do not add to zero; nothing was done.
    """
    _check(cuts, bankrupt, terms)
    gain = gain_of(bankrupt.lots, is_inverse=terms.scale.is_inverse)
    value = gain * price.lot_value
    quotes = [rounded_part(value, cut.closed, terms.rounding) for cut in cuts]
    closed = sum(cut.closed for cut in cuts)
    whole = rounded_part(value, closed, terms.rounding)
    legs = tuple(_leg(cut, -quote, terms) for cut, quote in zip(cuts, quotes, strict=True))
    liquidated = _liquidated(bankrupt, closed, sum(quotes), terms)
    difference, paid = _difference(bankrupt, closed, whole, terms)
    dust = sum(quotes) - whole
    postings = [
        posting
        for cut, leg in zip(cuts, legs, strict=True)
        for posting in _of_leg(leg, terms, is_pool=cut.is_pool)
    ]
    postings += _of_leg(liquidated, terms, is_pool=bankrupt.is_pool)
    wallet = Book.FUND if bankrupt.is_pool else Book.WALLET
    postings += _moved(dust, (bankrupt.account, wallet), (terms.dust, Book.DUST), terms)
    postings += _moved(paid, (terms.fund, Book.FUND), (bankrupt.account, wallet), terms)
    writer = NoticeWriter(price, terms.scale, terms.cancelled)
    settlement = Settlement(
        legs=legs,
        liquidated=liquidated,
        postings=tuple(postings),
        notices=tuple(writer.write(leg, why=cut.why) for cut, leg in zip(cuts, legs, strict=True)),
        difference=difference,
        unpaid=max(difference, 0) - max(paid, 0),
        dust=dust,
    )
    _prove(settlement, cuts, bankrupt)
    return settlement


def check_balanced(postings: Sequence[Posting]) -> None:
    """Refuse postings that do not add to zero in every asset.

    Raises:
        InvariantError: names the asset and the sum.
    """
    sums: Counter[str] = Counter()
    for posting in postings:
        sums[posting.asset] += posting.amount
    for asset, total in sums.items():
        if total != 0:
            raise InvariantError(f"postings: expected a sum of 0 in {asset}, got {total}")


def _check(cuts: Sequence[Cut], bankrupt: Bankrupt, terms: Terms) -> None:
    """Refuse an event that is not one position against the other side of its market."""
    if not cuts:
        raise InputError("cuts: expected at least one position, got none")
    ids = [cut.position_id for cut in cuts]
    repeated = sorted(name for name, count in Counter(ids).items() if count > 1)
    if repeated:
        raise InputError(f"cuts: expected each position once, got {repeated} twice")
    for cut in cuts:
        if cut.lots * bankrupt.lots >= 0 or cut.account == bankrupt.account:
            raise InputError(
                f"cut {cut.position_id!r}: expected the other side of another account, "
                f"got {cut.lots} lots of {cut.account!r} against {bankrupt.lots}"
            )
        split_basis(cut.entry_value, cut.lots, cut.closed)
    split_basis(bankrupt.entry_value, bankrupt.lots, sum(cut.closed for cut in cuts))
    known = bankrupt.bankruptcy
    if known is None:
        return
    is_other = known.is_inverse is not terms.scale.is_inverse
    if is_other or known.lots * bankrupt.lots <= 0 or abs(known.lots) < abs(bankrupt.lots):
        raise InputError(
            f"bankruptcy: expected the full size of {bankrupt.lots} lots, got {known.lots}"
        )


def _leg(cut: Cut, quote: int, terms: Terms) -> Leg:
    """Close a part of one position of the queue; the venue's own pool pays no fee to the venue."""
    fee = 0 if cut.is_pool else terms.fee(terms.deleveraged, quote, "deleveraged")
    return _closed(cut, cut.closed, quote, fee, terms)


def _liquidated(bankrupt: Bankrupt, closed: int, quote: int, terms: Terms) -> Leg:
    """Close as much of the bankrupt position; its fee is at most what the account can pay."""
    fee = terms.fee(terms.liquidated, quote, "liquidated")
    if bankrupt.fee_most is not None:
        fee = min(fee, max(bankrupt.fee_most, 0))
    return _closed(bankrupt, closed, quote, fee, terms)


def _closed(owner: Cut | Bankrupt, closed: int, quote: int, fee: int, terms: Terms) -> Leg:
    """Give one leg: what is released, earned, paid and left."""
    gain = gain_of(owner.lots, is_inverse=terms.scale.is_inverse)
    side = 1 if owner.lots > 0 else -1
    released = split_basis(owner.entry_value, owner.lots, closed)
    is_fund_fee = isinstance(owner, Bankrupt) and terms.liquidated is Fee.LIQUIDATION
    return Leg(
        account=owner.account,
        position_id=owner.position_id,
        lots=owner.lots,
        closed=closed_lots(owner.lots, -side * closed),
        quote=quote,
        basis=released,
        pnl=quote - gain * released,
        fee=fee,
        is_fund_fee=is_fund_fee,
        lots_left=owner.lots - side * closed,
        entry_left=owner.entry_value - released,
    )


def _difference(bankrupt: Bankrupt, closed: int, whole: int, terms: Terms) -> tuple[int, int]:
    """Give what lies between settlement and bankruptcy, and what the fund pays of it.

    A pool that sheds its own position bears its own result: there is no difference.
    """
    if bankrupt.is_pool:
        return 0, 0
    if bankrupt.bankruptcy is None:
        if terms.difference is Payer.NOBODY:
            return 0, 0
        raise InputError("bankruptcy: not given, and the edition settles the difference to it")
    difference = bankrupt.bankruptcy.quote(closed, terms.rounding) - whole
    if difference and terms.difference is Payer.UNPUBLISHED:
        raise VenueError(
            f"price.difference: never published; name who pays {difference} money units"
        )
    if terms.difference is not Payer.FUND:
        return difference, 0
    if terms.fund_balance is None:
        return difference, difference
    return difference, min(difference, max(terms.fund_balance, 0))


def _of_leg(leg: Leg, terms: Terms, *, is_pool: bool) -> list[Posting]:
    """Book one leg: the wallet, the basis that is released, and the fee."""
    asset, market = terms.scale.settle, terms.scale.market
    wallet = Book.FUND if is_pool else Book.WALLET
    released = leg.quote - leg.pnl
    postings = [
        Posting(owner=leg.account, book=wallet, asset=asset, amount=leg.pnl),
        Posting(owner=leg.account, book=Book.BASIS, asset=asset, amount=released, market=market),
    ]
    taker = (terms.fund, Book.FUND) if leg.is_fund_fee else (terms.fees, Book.FEE)
    postings += _moved(leg.fee, (leg.account, wallet), taker, terms)
    return [posting for posting in postings if posting.amount]


def _moved(
    amount: int, giver: tuple[str, Book], taker: tuple[str, Book], terms: Terms
) -> list[Posting]:
    """Book an amount that goes from one to another; below zero it goes back."""
    asset = terms.scale.settle
    if not amount:
        return []
    return [
        Posting(owner=giver[0], book=giver[1], asset=asset, amount=-amount),
        Posting(owner=taker[0], book=taker[1], asset=asset, amount=amount),
    ]


def _prove(settlement: Settlement, cuts: Sequence[Cut], bankrupt: Bankrupt) -> None:
    """Check what must hold before an event may leave this page.

    Raises:
        InvariantError: the postings do not add to zero, the sides close different amounts, or a
            position would grow or flip.
    """
    check_balanced(settlement.postings)
    legs = (*settlement.legs, settlement.liquidated)
    if sum(leg.lots - leg.lots_left for leg in legs) != 0:
        raise InvariantError("legs: expected both sides to close the same lots")
    owners: tuple[Cut | Bankrupt, ...] = (*cuts, bankrupt)
    for leg, owner in zip(legs, owners, strict=True):
        grows = abs(leg.lots_left) >= abs(owner.lots) or leg.lots_left * owner.lots < 0
        if grows or leg.basis + leg.entry_left != owner.entry_value:
            raise InvariantError(f"position {leg.position_id!r}: expected a part, got {leg}")
