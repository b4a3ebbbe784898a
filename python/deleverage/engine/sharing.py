"""What nobody paid, shared out among the holders of a market by a policy.

`holders_charge` goes by what everybody holds, which at one mark is by notional (Cube, Drift);
`winners_haircut` by what everybody has won and takes no more than that. Shares are whole money
units by largest remainder, so their sum is the loss exactly. The liquidated account and rows that
are set aside pay nothing; what the winners cannot bear stays on the account of the shared loss.
"""

import numpy as np
from numpy.typing import NDArray

from deleverage.backstop.liquidation import EVERYBODY
from deleverage.backstop.settlement import Book, Posting
from deleverage.engine.positions import Change
from deleverage.engine.roster import SIDES
from deleverage.engine.rows import profits
from deleverage.engine.state import State
from deleverage.ledger import Value
from deleverage.model.terms import Sharing
from deleverage.policy.shares import share

__all__ = ["charges", "told_shares"]

Int64 = NDArray[np.int64]
_MOST = 2**51 - 1


def charges(
    state: State, market: str, amount: int, account: str
) -> tuple[tuple[Posting, ...], list[Change]]:
    """Share a loss out.

    Args:
        state: before it; `choices.sharing` says by which rule, and None shares nothing.
        market: in which it was made.
        amount: money units, above zero.
        account: that was liquidated.

    Returns:
        What everybody pays to the account of the shared loss, and what becomes of their rows.
    """
    rule = state.choices.sharing
    if rule is None:
        return (), []
    scale, places, weights = state.scale(market), [], []
    barred = state.book.roster.places_of(account)
    for side in SIDES:
        found = state.book.side(market, side)
        lots, entry = found.columns.lots, found.columns.entry_value
        is_by_size = rule is Sharing.HOLDERS_CHARGE
        weight = np.abs(lots) if is_by_size else np.maximum(profits(scale, lots, entry), 0)
        places.append(found.places)
        weights.append(np.where(np.isin(found.places, barred), 0, weight))
    order = np.concatenate(places)
    weight = np.concatenate(weights)
    cap = np.full(len(order), _MOST) if rule is Sharing.HOLDERS_CHARGE else weight
    taken = share(weight, amount, cap=cap, ids=order.astype(np.uint64)).taken
    paying = np.flatnonzero(taken)
    asset = scale.settle
    postings: list[Posting] = []
    changes = []
    for held, part in zip(state.book.holdings(order[paying]), taken[paying].tolist(), strict=True):
        pair = ((held.account, Book.WALLET, -part), (EVERYBODY, Book.LOSS, part))
        postings += [Posting(owner=o, book=b, asset=asset, amount=units) for o, b, units in pair]
        changes.append(Change(held.place, held.lots, held.entry_value, -part))
    return tuple(postings), changes


def told_shares(state: State, amount: int, changes: list[Change]) -> dict[str, Value]:
    """Give a shared loss as a result has it: the rule, who pays what, and what is left."""
    rule = state.choices.sharing
    found: list[Value] = [
        [state.book.roster.account(one.place), state.book.holding(one.place).position_id, -one.paid]
        for one in changes
    ]
    left = amount + sum(one.paid for one in changes)
    return {"rule": None if rule is None else rule.value, "charges": found, "left": left}
