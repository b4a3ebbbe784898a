"""From what an event moves to the books: whose account each amount stands on.

The books open with one account for all traders together, because a venue has millions of them. A
trader gets an account of his own, with what he brought, when something is booked for him first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from deleverage.backstop.settlement import Book, Posting
from deleverage.engine.state import State
from deleverage.errors import InvariantError
from deleverage.ledger import AccountKind

__all__ = ["OPENING", "REST", "Line", "book", "holder", "prove"]

Line = tuple[str, str, int]
"""Account as `kind:name`, asset, signed money units."""

OPENING = "outside:opening"
"""The world that everything came from when the book was loaded."""
REST = "clearing:(traders)"
"""What the traders hold for whom nothing was booked yet."""

_TRADER = f"{AccountKind.TRADER.value}:"
_KINDS = {
    Book.WALLET: AccountKind.TRADER.value,
    Book.FUND: AccountKind.POOL.value,
    Book.FEE: AccountKind.FEE.value,
    Book.DUST: AccountKind.DUST.value,
    Book.BASIS: AccountKind.CLEARING.value,
    Book.MARKET: AccountKind.OUTSIDE.value,
    Book.LOSS: AccountKind.CLEARING.value,
}


def holder(posting: Posting) -> str:
    """Give the account that a posting stands on; an open basis stands on its market's."""
    name = posting.market if posting.book is Book.BASIS else posting.owner
    return f"{_KINDS[posting.book]}:{name}"


def book(state: State, postings: Sequence[Posting], lines: Iterable[Line] = ()) -> State:
    """Book one event.

    Args:
        state: before it.
        postings: of the event.
        lines: more of it, by account.

    Raises:
        InvariantError: an asset's amounts do not add up to zero; nothing is booked.
    """
    moves = [(holder(posting), posting.asset, posting.amount) for posting in postings]
    moves += lines
    if not moves:
        return state
    ledger = state.ledger
    new = sorted(name for name in {account for account, _, _ in moves} if name not in ledger)
    ledger = ledger.open(new)
    return replace(state, ledger=ledger.post([*_brought(state, new), *moves]))


def _brought(state: State, names: Sequence[str]) -> list[Line]:
    """Give what moves to traders' own accounts when they are opened."""
    traders = [name for name in names if name.startswith(_TRADER)]
    codes = state.book.roster.find_accounts([name.removeprefix(_TRADER) for name in traders])
    return [
        line
        for name, code in zip(traders, codes, strict=True)
        if code >= 0
        for asset, wallets in state.wallets.items()
        if (amount := int(wallets[code]))
        for line in ((REST, asset, -amount), (name, asset, amount))
    ]


def prove(state: State, markets: Iterable[str]) -> State:
    """Check what must hold after every command, and give the state back.

    Args:
        state: after the command.
        markets: that it touched.

    Raises:
        InvariantError: longs and shorts of a market differ by more than what is declared outside,
            or a pool's own record and the books part.
    """
    for market in markets:
        if state.offset(market) != 0:
            raise InvariantError(
                f"{market}: expected longs and shorts, pool and outside to add to 0 lots, "
                f"got {state.offset(market)}"
            )
    for name, pool in state.pools.items():
        booked = state.ledger.balance(f"{AccountKind.POOL.value}:{name}", state.assets[name])
        if booked != pool.cash:
            raise InvariantError(
                f"pool {name}: expected {booked} as booked, got {pool.cash} in its own record"
            )
    return state
