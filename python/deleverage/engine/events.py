"""What a command says that the market did: numbers as text, read once into lots and money."""

from fractions import Fraction

from deleverage.backstop.bankruptcy import gain_of, rounded
from deleverage.backstop.liquidation import Fill, Liquidation
from deleverage.engine.body import Body
from deleverage.engine.state import State
from deleverage.errors import InputError
from deleverage.model.scales import MarketScale
from deleverage.model.terms import Rounding

__all__ = ["facts", "fills", "value"]

_MONEY = ("vault_loss", "traders_pnl", "pool_value", "account_value", "position_margin")
_COUNTS = ("backlog_lots", "backlog_since", "height")
_FLAGS = ("is_backstop_full", "is_book_thin", "is_emergency")


def fills(state: State, liquidation: Liquidation, body: Body) -> list[Fill]:
    """Read market fills, contracts and price each; a quote is rounded once, as the edition says.

    Raises:
        InputError: a fill is no pair of numbers, of no whole lots, or not above zero.
    """
    part = state.rules.backstop
    rounding = Rounding.UP if part is None else part.rounding
    scale = state.scale(liquidation.market)
    gain = gain_of(liquidation.lots, is_inverse=scale.is_inverse)
    found = []
    for item in body.items("fills"):
        match item:
            case [str(qty), str(price)]:
                lots = scale.lots(qty, name="fill")
                if lots <= 0:
                    raise InputError(
                        f"fill of {scale.market}: expected more than 0 contracts, got {qty}"
                    )
                quote = rounded(gain * value(scale, lots, price, "price of a fill"), rounding)
                found.append(Fill(lots=lots, quote=quote))
            case _:
                raise InputError(f"fills: expected [contracts, price] as texts, got {item!r}")
    return found


def value(scale: MarketScale, lots: int, price: str, what: str) -> Fraction:
    """Give the exact value of lots at a price, money units.

    Raises:
        InputError: the price is no whole number of price units, or not above zero.
    """
    units = scale.price(price, name=what)
    if units <= 0:
        raise InputError(f"{what} of {scale.market}: expected a price above zero, got {price}")
    ratio = scale.value_ratio
    return abs(lots) * (ratio / units if scale.is_inverse else ratio * units)


def facts(body: Body, scale: MarketScale) -> dict[str, int | bool]:
    """Read what only the caller knows of an event; money is said in the settlement asset.

    Raises:
        InputError: an unknown fact, or one of the wrong kind.
    """
    given = Body(f"{body.what}, facts", dict(body.table("facts")))
    given.only(*_MONEY, *_COUNTS, *_FLAGS)
    found: dict[str, int | bool] = {}
    for name, said in body.table("facts").items():
        if name in _MONEY and isinstance(said, str | int) and not isinstance(said, bool):
            found[name] = scale.money(said, name=name)
        elif (name in _COUNTS and type(said) is int) or (name in _FLAGS and isinstance(said, bool)):
            found[name] = said
        else:
            wanted = "true or false" if name in _FLAGS else "a number"
            raise InputError(f"{given.what}, {name}: expected {wanted}, got {said!r}")
    return found
