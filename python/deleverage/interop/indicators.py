"""The indicators that venues show their traders become the product's lights.

A light counts from 1 (last in the queue) to the edition's number of bands (next in line); 0 has no
place. The scale is the edition's `lights`: on one of whole numbers each number is a band, on one of
shares a band ends at each step, as the venues' rows of lights fill up. A value that may mean two
things (Binance writes 0 for the last band and for no place) gives both lights. No indicator says
where in its band a position stands, so none of them ranks.

Sources: Binance USD-M futures, Position ADL Quantile Estimation; Bitget contract, Get Position ADL;
MEXC contract push channel `personal.adl.level`; KuCoin futures, position field `delevPercentage`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from deleverage.errors import InputError
from deleverage.interop.messages import Fields
from deleverage.model.parts import Lights
from deleverage.model.refusals import plain
from deleverage.model.scalars import exact_of

__all__ = [
    "Indicator",
    "binance_quantiles",
    "bitget_rank",
    "kucoin_percentage",
    "light_of",
    "mexc_level",
]

_BINANCE_SIDES = {"LONG": "long", "SHORT": "short", "BOTH": None}
_JOINT = "HEDGE"
_HOLD_SIDES = {"long": "long", "short": "short"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """What a venue shows of one position's place in the queue.

    Attributes:
        value: the venue's own value, exactly as printed.
        lights: the light it stands for, 0 to the edition's bands; two where the venue's value has
            two meanings.
        market: as the venue names it; None where the message does not say.
        side: `long` or `short`; None where the message does not say, or the account holds one
            net position.
        position_id: as the venue names it; None where the message does not say.
        is_joint: both legs of a cross hedge are scored together.
        time_ns: when it was said, int64 nanoseconds UTC; None where the message does not say.
    """

    value: Fraction
    lights: tuple[int, ...]
    market: str | None = None
    side: str | None = None
    position_id: str | None = None
    is_joint: bool = False
    time_ns: int | None = None


def light_of(value: object, lights: Lights, name: str = "indicator") -> tuple[int, ...]:
    """Read a value on a venue's own scale; the inverse of `Venue.indicator`.

    Args:
        value: a number, or decimal text.
        lights: the scale of the venue's edition.
        name: what the value is, for messages.

    Returns:
        One light, 0 to `lights.bands`; two where no place and the last band share a value.

    Raises:
        InputError: it is no number, or not on the scale.
    """
    number = exact_of(value, name)
    first, last = Fraction(lights.first), Fraction(lights.last)
    none = None if lights.none is None else Fraction(lights.none)
    found = [0] if number == none else []
    if lights.bands == 1:
        found += [1] if number == first else []
    else:
        found += _band(number, last, (first - last) / (lights.bands - 1), lights.bands)
    # On a scale of shares the place of nobody is the lower end of the last band.
    if found == [0, 1] and none != last:
        found = [0]
    if not found:
        raise InputError(f"{name}: expected {_scale(lights)}, got {plain(value)}")
    return tuple(found)


def binance_quantiles(message: object, lights: Lights) -> tuple[Indicator, ...]:
    """Read one market of Binance's `adlQuantile`.

    A cross hedge has one quantile: it stands at `LONG` and `SHORT`, and what stands at `HEDGE`,
    which is there instead of `BOTH`, means nothing. A side without a place may be left out.

    Args:
        message: an object with `symbol` and `adlQuantile`.
        lights: those of the Binance edition.

    Returns:
        One indicator a side, in the order of the message; `BOTH` is the net position of an account
        in one-way mode and has no side.

    Raises:
        InputError: a field is missing or unknown, a value is not on the scale, or the legs of a
            joint quantile differ.
    """
    fields = Fields(message, "Binance adlQuantile")
    market, quantiles = fields.text("symbol"), fields.part("adlQuantile")
    is_joint = _JOINT in quantiles.names()
    known = {**_BINANCE_SIDES, _JOINT: None}
    for name in quantiles.names():
        if name not in known or (is_joint and name == "BOTH"):
            expected = "LONG, SHORT and either BOTH or HEDGE"
            raise InputError(f"{quantiles.place}: expected {expected}, got {plain(name)}")
    shown = tuple(_binance_sides(quantiles, lights, market, is_joint=is_joint))
    if is_joint and len({one.value for one in shown}) > 1:
        raise InputError(
            f"{quantiles.place}: expected LONG and SHORT to be equal beside HEDGE, "
            f"got {' and '.join(str(one.value) for one in shown)}"
        )
    return shown


def bitget_rank(message: object, lights: Lights) -> Indicator:
    """Read one position of Bitget's `adlRank` query by its field `rank`, of which 1 is next.

    The field `adlRank` beside it is deprecated and may run the other way; it is never read.

    Args:
        message: an object with `rank`; `symbol` and `holdSide` where they are given.
        lights: those of the Bitget edition.

    Raises:
        InputError: `rank` is missing or not on the scale.
    """
    fields = Fields(message, "Bitget adlRank")
    side = None if fields.given("holdSide") is None else fields.word("holdSide", _HOLD_SIDES)
    return _read(fields, "rank", lights, market=fields.text_given("symbol"), side=side)


def mexc_level(message: object, lights: Lights) -> Indicator:
    """Read one message of MEXC's channel `push.personal.adl.level`.

    Args:
        message: an object with `channel`, `data` (`adlLevel`, `positionId`) and `ts`.
        lights: those of the MEXC edition.

    Raises:
        InputError: another channel, a missing field, or a level that is not on the scale.
    """
    fields = Fields(message, "MEXC adl.level")
    fields.word("channel", {"push.personal.adl.level": "level"})
    data = fields.part("data")
    position = data.number("positionId")
    if position.denominator != 1:
        shown = plain(data.given("positionId"))
        raise InputError(f"{data.place}, positionId: expected a whole number, got {shown}")
    return _read(
        data,
        "adlLevel",
        lights,
        position_id=str(position.numerator),
        time_ns=fields.time_given("ts"),
    )


def kucoin_percentage(message: object, lights: Lights) -> Indicator:
    """Read one position of KuCoin's interface by its field `delevPercentage`, of which 1 is next.

    Args:
        message: an object with `delevPercentage`; `id`, `symbol`, `currentQty` (its sign is the
            side) and `currentTimestamp` where they are given.
        lights: those of the KuCoin edition.

    Raises:
        InputError: `delevPercentage` is missing or not on the scale, or another field is unsound.
    """
    fields = Fields(message, "KuCoin position")
    held = fields.number_given("currentQty") or Fraction(0)
    return _read(
        fields,
        "delevPercentage",
        lights,
        market=fields.text_given("symbol"),
        side={1: "long", -1: "short"}.get((held > 0) - (held < 0)),
        position_id=fields.text_given("id"),
        time_ns=fields.time_given("currentTimestamp"),
    )


def _read(
    fields: Fields,
    name: str,
    lights: Lights,
    *,
    market: str | None = None,
    side: str | None = None,
    position_id: str | None = None,
    is_joint: bool = False,
    time_ns: int | None = None,
) -> Indicator:
    """The indicator in a field."""
    return Indicator(
        value=fields.number(name),
        lights=light_of(fields.required(name), lights, f"{fields.place}, {name}"),
        market=market,
        side=side,
        position_id=position_id,
        is_joint=is_joint,
        time_ns=time_ns,
    )


def _binance_sides(
    quantiles: Fields, lights: Lights, market: str, *, is_joint: bool
) -> Iterator[Indicator]:
    for name in quantiles.names():
        if name != _JOINT:
            side = _BINANCE_SIDES[name]
            yield _read(quantiles, name, lights, market=market, side=side, is_joint=is_joint)


def _band(number: Fraction, last: Fraction, step: Fraction, bands: int) -> list[int]:
    """The band of a value, none or one."""
    place = (number - last) / step + 1
    if step.denominator == 1:
        return [place.numerator] if place.denominator == 1 and 1 <= place <= bands else []
    return [max(1, ceil(place))] if 0 <= place <= bands else []


def _scale(lights: Lights) -> str:
    """The scale in words."""
    step = Fraction(lights.first - lights.last) / max(1, lights.bands - 1)
    low, high = sorted((lights.first, lights.last))
    if step.denominator == 1:
        ends = f"a whole number from {low} to {high}"
    else:
        start = Fraction(lights.last) - step
        ends = f"a number from {start} to {lights.first}"
    return ends if lights.none is None else f"{ends}, or {lights.none} for no place"
