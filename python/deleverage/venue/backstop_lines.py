"""The steps of an edition in words: what comes before its queue and what after it."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from deleverage.model.parts import Backstop
from deleverage.model.terms import (
    Clamp,
    PartFill,
    Payment,
    PoolRole,
    Remainder,
    Rounding,
    StepKind,
    Surplus,
)

__all__ = ["backstop_lines"]

STEPS: Mapping[StepKind, str] = MappingProxyType(
    {
        StepKind.ORDERS: "open orders cancelled",
        StepKind.FEE: "liquidation fee",
        StepKind.MARKET: "market",
        StepKind.POOL: "pool",
        StepKind.DELEVERAGING: "deleveraging",
        StepKind.REMAINDER: "what is left",
    }
)
ROLES: Mapping[PoolRole, str] = MappingProxyType(
    {
        PoolRole.TAKES_OVER: "takes the position over at bankruptcy, pays what fills lack",
        PoolRole.PAYS: "pays what fills lack, takes no position",
        PoolRole.NOTHING: "not asked before the queue",
        PoolRole.UNPUBLISHED: "unpublished",
    }
)
SURPLUSES: Mapping[Surplus, str] = MappingProxyType(
    {
        Surplus.FUND: "to the fund",
        Surplus.ACCOUNT: "stays on the liquidated account",
        Surplus.UNPUBLISHED: "unpublished",
    }
)
REMAINDERS: Mapping[Remainder, str] = MappingProxyType(
    {
        Remainder.STAYS: "stays on the liquidated account",
        Remainder.GATED: "stays on the liquidated account, and withdrawals wait",
        Remainder.POOL: "the pool takes it",
        Remainder.SOCIALISED: "the pool as far as it can, then everybody",
        Remainder.UNPUBLISHED: "unpublished",
    }
)
CLAMPS: Mapping[Clamp, str] = MappingProxyType(
    {
        Clamp.ALLOWED: "a bankruptcy value below zero stands",
        Clamp.ZERO: "a bankruptcy value below zero becomes zero",
        Clamp.REFUSED: "nothing is closed at a bankruptcy value below zero",
    }
)


def backstop_lines(part: Backstop) -> Iterator[tuple[str, str]]:
    """Write the steps, the pool's part in them and what is left.

    Args:
        part: the edition's backstop part.

    Returns:
        Label and text of each line.
    """
    yield "steps", ", ".join(STEPS[kind] for kind in part.order)
    below = ", below zero if it must" if part.fund_below_zero else ""
    whole = ", a fill only whole" if part.payment is Payment.WHOLE else ""
    yield "pool", ROLES[part.pool] + below + whole
    if StepKind.MARKET in part.order:
        yield "surplus", SURPLUSES[part.surplus]
    if part.part_fill is PartFill.WAITS:
        yield "part fill", "waits for the next event"
    yield "what is left", REMAINDERS[part.remainder]
    if part.clamp is not Clamp.ALLOWED:
        yield "clamp", CLAMPS[part.clamp]
    if part.rounding is not Rounding.UP:
        yield "rounding", f"{part.rounding}, seen from the liquidated account"
    numbers = [f"{number.name} {number.value:f}" for number in part.numbers]
    numbers += [f"<{name}: unpublished>" for name in part.required]
    if numbers:
        yield "numbers", ", ".join(numbers)
