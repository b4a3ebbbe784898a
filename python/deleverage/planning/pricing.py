"""The price at which a plan's fills are closed, where the edition's rule and the inputs give it.

A price that takes something else (the fund's state, a pool's largest loss, an oracle) is not made
up here: the plan then says what is missing.
"""

from decimal import Decimal
from fractions import Fraction

from deleverage.model.parts import Price
from deleverage.model.prices import deviation
from deleverage.model.terms import PriceKind

__all__ = ["settlement_price"]

_NOT_GIVEN = "bankruptcy_price: not given, and this edition settles at the bankruptcy price"
_NEEDS = {
    PriceKind.POOL_BANKRUPTCY: "the largest loss of the insurance pool",
    PriceKind.MARK_UNTIL_DEPLETED: "the balance of the fund: mark, or bankruptcy once it is empty",
    PriceKind.ORACLE_CAPPED_AT_BANKRUPTCY: "the oracle price, capped at the bankruptcy price",
    PriceKind.COST: "the cost price of the liquidated position",
}


def settlement_price(
    rule: Price, *, mark: Decimal, previous_mark: Decimal | None, bankruptcy: Decimal | None
) -> tuple[Decimal | None, str]:
    """Give the settlement price, or why there is none.

    Args:
        rule: the edition's price rule.
        mark: mark price of the market.
        previous_mark: the one before, where the marks say it.
        bankruptcy: bankruptcy price of the liquidated position, where it is given.

    Returns:
        The price and an empty text; or None and what is missing.
    """
    if rule.kind is PriceKind.MARK:
        return mark, ""
    if rule.kind is PriceKind.PREVIOUS_MARK:
        missing = "previous_mark_price: not in the marks, and this edition settles at it"
        return previous_mark, "" if previous_mark is not None else missing
    if rule.kind is PriceKind.BANKRUPTCY:
        return bankruptcy, "" if bankruptcy is not None else _NOT_GIVEN
    if rule.kind is PriceKind.BANKRUPTCY_UNLESS_FAR:
        return _unless_far(rule, mark, bankruptcy)
    return None, f"price: this edition settles by {_NEEDS[rule.kind]}, which a plan is not given"


def _unless_far(
    rule: Price, mark: Decimal, bankruptcy: Decimal | None
) -> tuple[Decimal | None, str]:
    """Bankruptcy price, or the mark where it is farther from the mark than the rule allows."""
    if bankruptcy is None:
        return None, _NOT_GIVEN
    limit = next((one.value for one in rule.numbers if one.name == "deviation"), None)
    if limit is None:
        return None, "price.deviation: never published; supply it with Venue.with_parameters"
    # Both are prices already, whatever the contract: no value has to be turned into one.
    distance = deviation(Fraction(bankruptcy), Fraction(mark), is_inverse=False)
    is_far = distance is not None and distance > Fraction(limit)
    return (mark if is_far else bankruptcy), ""
