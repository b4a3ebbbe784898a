"""What in a request deserves a second look: nothing here is wrong enough to be refused."""

from collections.abc import Iterator
from fractions import Fraction

import polars as pl

from deleverage.planning.netting import held_lots
from deleverage.planning.side import spelled
from deleverage.planning.story import Outline

__all__ = ["second_looks"]


def second_looks(outline: Outline) -> Iterator[str]:
    """Give one sentence for each thing of the request that looks like a slip.

    Args:
        outline: of the plan.
    """
    yield from _strangers(outline)
    yield from _bankrupt_position(outline)
    yield from _price(outline)


def _strangers(outline: Outline) -> Iterator[str]:
    """Names of the request that hold no position of the market."""
    snapshot, request = outline.side.snapshot, outline.request
    gone = set(snapshot.positions["account"].gather(snapshot.left_out_rows).cast(pl.String))
    asked = [("exclude", name) for name in request.exclude]
    if request.bankrupt_account is not None:
        asked.append(("bankrupt_account", request.bankrupt_account))
    for argument, name in asked:
        if name not in gone and not len(snapshot.account_rows(name, request.market)):
            yield f"{argument}: {name!r} holds no position of {request.market}"


def _bankrupt_position(outline: Outline) -> Iterator[str]:
    """A bankrupt account that holds nothing on the bankrupt side, or less than is asked for."""
    request, snapshot = outline.request, outline.side.snapshot
    account = request.bankrupt_account
    if account is None:
        return
    held = held_lots(snapshot, account, request.market)
    own = held[request.bankrupt_side]
    if not own and any(held.values()):
        yield (
            f"bankrupt_account: {account!r} holds no {request.bankrupt_side} of {request.market}, "
            f"only a {request.side}"
        )
    elif 0 < own < request.lots:
        yield (
            f"qty: {spelled(outline.contracts(request.lots))} contracts are more than the "
            f"{spelled(outline.contracts(own))} that {account!r} holds {request.bankrupt_side}"
        )


def _price(outline: Outline) -> Iterator[str]:
    """A bankruptcy price on the wrong side of the mark: there the position is worth something."""
    request, mark = outline.request, outline.side.scale.mark_price
    price = request.bankruptcy_price
    if price is None or price == mark:
        return
    is_below = Fraction(price) < Fraction(mark)
    if is_below == (request.bankrupt_side == "long"):
        where = "below" if is_below else "above"
        yield (
            f"bankruptcy_price: {spelled(price)} is {where} the mark of {spelled(mark)}, at which "
            f"this {request.bankrupt_side} is not bankrupt"
        )
