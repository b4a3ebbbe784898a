"""Who bears a loss, layer by layer, and what is left for everybody.

Each layer bears what it may and can; the next one is asked only when this one has borne all of
that. What no layer bears is socialised, and only once the last of them is exhausted. That is the
order of every fund that stands before a socialised loss (Drift, Mango, Vertex), and of Mango's
account that first settles what it still can itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from deleverage.backstop.bankruptcy import Exact, Rounding, exact, rounded
from deleverage.backstop.window import whole
from deleverage.errors import InputError

__all__ = ["Borne", "Covered", "Layer", "cover", "per_unit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Someone who bears a part of a loss.

    Attributes:
        name: who.
        held: what it has, in its own units, 0 or more.
        cost: what bearing one unit of the loss costs it, in its own units, above zero: the price
            of the loss in its asset, with a fee for whoever carries it over.
        most: the largest part of the loss it may bear; None sets no limit.
        share: how much of the loss is its concern; None: all that is left when it is asked.
    """

    name: str
    held: int
    cost: Exact = 1
    most: int | None = None
    share: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Borne:
    """What one layer bore: `part` of the loss, for `paid` of its own units."""

    name: str
    part: int
    paid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """A loss after its layers.

    Attributes:
        borne: one a layer that was asked, in order.
        socialised: for everybody, money units.
        left: what stays with whom it was: a layer was not exhausted, or it was its concern alone.
    """

    borne: tuple[Borne, ...]
    socialised: int
    left: int


def cover(loss: int, layers: Sequence[Layer], *, most: int | None = None) -> Covered:
    """Let layers bear a loss, in order.

    What a layer pays is rounded up, and what a layer can bear with all it has is rounded down:
    against the layer, for whoever carries the loss over.

    Args:
        loss: money units, 0 or more.
        layers: in the order in which they are asked.
        most: how much of the loss the layers together bear in this event; None sets no limit.

    Raises:
        InputError: a negative number, or a layer to which a loss costs nothing.
    """
    left, budget = whole("loss", loss, least=0), most
    own = 0
    borne: list[Borne] = []
    is_exhausted = True
    for layer in layers:
        concern = left if layer.share is None else min(left, whole("share", layer.share, least=0))
        wanted = concern if layer.most is None else min(concern, max(0, layer.most))
        taken = wanted if budget is None else min(wanted, budget)
        found = _borne(layer, taken)
        borne.append(found)
        budget = None if budget is None else budget - found.part
        is_spent = found.paid == layer.held
        left -= found.part
        if layer.share is not None:
            own += concern - found.part
            left -= concern - found.part
        if found.part < wanted and not is_spent:
            is_exhausted = False
            break
    if is_exhausted:
        return Covered(borne=tuple(borne), socialised=left, left=own)
    return Covered(borne=tuple(borne), socialised=0, left=left + own)


def per_unit(loss: int, open_interest: int, *, step: int = 1) -> int:
    """Give what every unit of open interest pays of a loss, rounded up to a step.

    `ceil(loss / (open interest x step)) x step`: what is collected is at least the loss
    (drift-labs/protocol-v2@0ae3e3b, which refuses a market without open interest).

    Args:
        loss: in the finest unit of what each one pays, 0 or more.
        open_interest: of both sides, above zero.
        step: what an amount is a multiple of.

    Raises:
        InputError: nobody is there to pay.
    """
    if whole("open_interest", open_interest) <= 0:
        raise InputError(f"open_interest: expected above zero, got {open_interest}: nobody pays")
    share = Fraction(whole("loss", loss, least=0), open_interest * whole("step", step, least=1))
    return rounded(share, Rounding.UP) * step


def _borne(layer: Layer, wanted: int) -> Borne:
    """Let one layer bear what it can of what is wanted."""
    cost = exact(layer.cost, "cost")
    if cost <= 0 or whole("held", layer.held, least=0) < 0:
        raise InputError(f"layer {layer.name}: cost: expected above zero, got {cost}")
    price = rounded(wanted * cost, Rounding.UP)
    if price <= layer.held:
        return Borne(name=layer.name, part=wanted, paid=price)
    part = min(wanted, rounded(layer.held / cost, Rounding.DOWN))
    return Borne(name=layer.name, part=part, paid=layer.held)
