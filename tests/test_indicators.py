"""Venues' own indicators and fund messages: exact, the inverse of our lights, or refused."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.errors import InputError
from deleverage.interop.indicators import (
    binance_quantiles,
    bitget_rank,
    kucoin_percentage,
    light_of,
    mexc_level,
)
from deleverage.interop.okx_fund import read_fund_event, read_warning
from deleverage.model.terms import ConditionKind
from deleverage.venue import Venue, venues

BINANCE, BITGET, GATE, KUCOIN, MEXC = (
    Venue.load(name).lights
    for name in ("binance-usdm", "bitget@2025-09", "gate", "kucoin@2025", "mexc")
)
WARNING = {"instType": "SWAP", "instFamily": "BTC-USDT", "state": "adl", "bal": "1"}
EVENT = {"type": "adl", "adlType": "adl_end", "ccy": "USDT", "balance": "1"}

Message = dict[str, Any]


def quantiles(**values: object) -> Message:
    """A message of Binance."""
    return {"symbol": "BTCUSDT", "adlQuantile": values}


@pytest.mark.parametrize("name", venues())
def test_a_light_survives_the_venues_scale(name: str) -> None:
    """Each light of each edition is shown on the venue's scale and read back."""
    venue = Venue.load(name)
    shown = {light: venue.indicator(light) for light in range(venue.lights.bands + 1)}
    read = {
        light: light_of(value, venue.lights) for light, value in shown.items() if value is not None
    }

    assert len(read) >= venue.lights.bands
    assert all(light in found for light, found in read.items())
    assert all(len(found) == 1 or venue.lights.none == venue.lights.last for found in read.values())


@given(st.decimals(0, 1, places=3))
def test_a_share_fills_the_bands_up_to_it(share: Decimal) -> None:
    """On a scale of shares as many bands are lit as begin below the share; none at zero."""
    begun = sum(1 for band in range(5) if share > Decimal(band) / 5)

    assert light_of(str(share), KUCOIN) == light_of(float(share), KUCOIN) == (begun,)


def test_a_scale_may_run_the_other_way() -> None:
    """Where 1 is next in line and 6 is no place, the lights are turned round."""
    assert [light_of(value, GATE) for value in range(1, 7)] == [(5,), (4,), (3,), (2,), (1,), (0,)]


@pytest.mark.parametrize("value", [-1, 5, "1.5", True, None, "", "high", [1], float("nan")])
def test_what_is_not_on_a_scale_is_refused(value: object) -> None:
    """A value beside the scale, and one that is no number, is named with its place."""
    with pytest.raises(InputError, match=r"Binance adlQuantile, adlQuantile.*LONG"):
        binance_quantiles(quantiles(LONG=value), BINANCE)


@pytest.mark.parametrize("value", ["-0.01", "1.01", 40])
def test_a_share_beyond_its_ends_is_refused(value: object) -> None:
    """A share is between nothing and all, and the message says so."""
    with pytest.raises(InputError, match="expected a number from 0 to 1"):
        bitget_rank({"rank": value}, BITGET)


def test_a_side_may_be_left_out() -> None:
    """A side without a place may be absent; an account without any has no indicator."""
    (only,) = binance_quantiles(quantiles(SHORT="2"), BINANCE)

    assert (only.side, only.lights, only.is_joint) == ("short", (3,), False)
    assert binance_quantiles(quantiles(), BINANCE) == ()
    assert binance_quantiles(quantiles(HEDGE="anything"), BINANCE) == ()


def test_a_side_follows_from_the_sign() -> None:
    """KuCoin's signed quantity says the side; Bitget's field does."""
    message = {"delevPercentage": 0.3, "symbol": "XBTUSDTM", "id": "p1"}
    sides = [kucoin_percentage({**message, "currentQty": lots}, KUCOIN).side for lots in (-2, 0, 3)]

    assert sides == ["short", None, "long"]
    assert bitget_rank({"rank": 1, "holdSide": "short"}, BITGET).side == "short"


REFUSALS: list[tuple[Callable[[Message], object], object, str]] = [
    (lambda m: binance_quantiles(m, BINANCE), [], "expected an object"),
    (lambda m: binance_quantiles(m, BINANCE), {"adlQuantile": {}}, "a field symbol, got none"),
    (lambda m: binance_quantiles(m, BINANCE), {"symbol": "X"}, "a field adlQuantile"),
    (lambda m: binance_quantiles(m, BINANCE), {"symbol": 7, "adlQuantile": {}}, "expected text"),
    (lambda m: binance_quantiles(m, BINANCE), quantiles(long=1), "LONG, SHORT and either"),
    (lambda m: binance_quantiles(m, BINANCE), quantiles(BOTH=1, HEDGE=0), "either BOTH or HEDGE"),
    (lambda m: binance_quantiles(m, BINANCE), quantiles(LONG=1, SHORT=2, HEDGE=0), "1 and 2"),
    (lambda m: bitget_rank(m, BITGET), {"adlRank": "0.9"}, "a field rank, got none"),
    (lambda m: bitget_rank(m, BITGET), {"rank": "1", "holdSide": "up"}, "one of long, short"),
    (
        lambda m: mexc_level(m, MEXC),
        {"channel": "push.deal", "data": {}},
        "push.personal.adl.level",
    ),
    (
        lambda m: mexc_level(m, MEXC),
        {"channel": "push.personal.adl.level", "data": {"adlLevel": 6, "positionId": 1}},
        "a whole number from 1 to 5, or 0 for no place, got 6",
    ),
    (
        lambda m: mexc_level(m, MEXC),
        {"channel": "push.personal.adl.level", "data": {"adlLevel": 1, "positionId": "1.5"}},
        "positionId: expected a whole number",
    ),
    (lambda m: kucoin_percentage(m, KUCOIN), {"delevPercent": 1}, "did you mean 'delevPercent'"),
    (
        lambda m: kucoin_percentage(m, KUCOIN),
        {"delevPercentage": 1, "currentTimestamp": "1.5"},
        "milliseconds UTC",
    ),
    (read_warning, {**WARNING, "state": "1"}, "one of normal, warning, adl, got '1'"),
    (read_warning, {**WARNING, "instType": "SPOT"}, "one of SWAP, FUTURES, OPTION"),
    (read_warning, {**WARNING, "bal": ""}, "a field bal, got none"),
    (read_warning, {**WARNING, "adlType": "position"}, "rate_adl_start"),
    (read_warning, {**WARNING, "maxBal": "0"}, "maxBal: expected a number above zero"),
    (read_warning, {**WARNING, "ts": str(2**63)}, "ts: expected milliseconds UTC"),
    (read_fund_event, {**EVENT, "type": "regular_update"}, "type: expected one of adl"),
    (read_fund_event, {**EVENT, "adlType": ""}, "a field adlType, got none"),
    (read_fund_event, {**EVENT, "balance": "1,000"}, "balance: expected a decimal number"),
]


@pytest.mark.parametrize(("read", "message", "words"), REFUSALS)
def test_a_bad_message_is_one_clear_error(
    read: Callable[[Any], object], message: object, words: str
) -> None:
    """What is missing, misspelt or out of range is named where it stands."""
    with pytest.raises(InputError) as caught:
        read(message)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("rate_adl_start", ConditionKind.FUND_DRAWDOWN),
        ("bal_adl_start", ConditionKind.FUND_LEVEL),
        ("pos_adl_start", ConditionKind.LIQUIDATION_BACKLOG),
        ("adl_end", None),
    ],
)
def test_a_cause_is_a_triggers_condition(said: str, cause: ConditionKind | None) -> None:
    """What OKX says began deleveraging is one of the kinds a trigger knows; an end has none."""
    event = read_fund_event({**EVENT, "adlType": said})
    warning = read_warning({**WARNING, "adlType": said})

    assert (event.cause, event.is_start, warning.cause) == (cause, said != "adl_end", cause)
    assert (event.decline_of_peak, warning.decline_of_peak) == (None, None)


def test_a_decline_is_worked_from_the_peak() -> None:
    """A fund that fell from 8 to 5 lost three eighths, whatever is printed beside it."""
    warning = read_warning({**WARNING, "bal": "5", "maxBal": 8, "decRate": "0.3"})

    assert (warning.decline_of_peak, warning.decline) == (Fraction(3, 8), Fraction(3, 10))
