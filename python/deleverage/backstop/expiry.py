"""The price at which a market that ends is settled, so that its own pool can pay everybody."""

from fractions import Fraction

from deleverage.backstop.bankruptcy import Exact, exact
from deleverage.errors import InputError

__all__ = ["expiry_price"]


def expiry_price(*, base: int, quote: int, excess: int, oracle: Exact, scale: Exact = 1) -> int:
    """Give the settlement price of a market that is delisted.

    What all positions together paid and received is worth `-(quote - excess) / base` a lot; that
    price the market can pay. Longs get no more than it and than the oracle price, shorts give no
    less, and one unit lies between it and the pool (drift-labs/protocol-v2@0ae3e3b, amm.rs).

    Args:
        base: net position of all users and the pool's market maker, signed lots, not 0.
        quote: what they have paid or received net, signed money units.
        excess: what the market's pool holds above its debts, money units.
        oracle: oracle price, in price units.
        scale: price units of one money unit a lot.

    Returns:
        Whole price units.

    Raises:
        InputError: no net position: the oracle price is the settlement price then.
    """
    if base == 0:
        raise InputError("base: expected a net position, got 0; settle at the oracle price")
    exactly = -Fraction(quote - excess, base) * exact(scale, "scale")
    best = int(exactly)
    reference = int(exact(oracle, "oracle"))
    return min(best, reference) - 1 if base > 0 else max(best, reference) + 1
