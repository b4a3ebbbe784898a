"""What a waterfall refuses: by name, with nothing done."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from deleverage.backstop.liquidation import Fill, Move, Step
from deleverage.backstop.settlement import Book, Posting
from deleverage.errors import InputError, InvariantError, VenueError
from deleverage.model.parts import Number
from deleverage.model.terms import (
    PoolRole,
    Remainder,
    StepKind,
    Surplus,
)
from deleverage.venue import Venue
from liquidations import (
    ORDER,
    WITHOUT,
    edition,
    ended,
    enter,
    fund,
    liquidation,
    manual,
    scale_at,
    steps_of,
    waterfall_of,
)


def test_what_was_never_published_is_asked_for_by_name() -> None:
    """All of it is named at once, can be supplied, and what is published cannot be replaced."""
    rules = steps_of(pool="unpublished", surplus="unpublished", remainder="unpublished")
    venue = edition(rules, starts=["manual"])
    names = r"backstop\.pool, backstop\.surplus, backstop\.remainder"
    with pytest.raises(VenueError, match=names):
        waterfall_of(venue)
    chosen = waterfall_of(
        venue, pool=PoolRole.PAYS, surplus=Surplus.ACCOUNT, remainder=Remainder.STAYS
    )
    assert (chosen.part.pool, chosen.part.surplus) == (PoolRole.PAYS, Surplus.ACCOUNT)
    with pytest.raises(VenueError, match=r"backstop\.pool: expected takes_over, as published, got"):
        waterfall_of(edition(steps_of(), starts=["manual"]), pool=PoolRole.PAYS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": ["market", "pool", "remainder"]}, r"backstop\.order: expected each step once"),
        ({"order": [*ORDER, "pool"]}, r"backstop\.order: expected each step once"),
        (
            {"order": ["pool", "deleveraging", "market", "remainder"]},
            r"backstop\.order: expected orders, fee and market before deleveraging",
        ),
        ({"order": list(WITHOUT)}, r"backstop\.pool: expected nothing exactly where"),
        ({"remainder": "pool"}, r"backstop\.fund_below_zero: expected true"),
        ({"remainder": "gated"}, r"backstop\.remainder: expected gated exactly with"),
        ({"numbers": {"gate_hours": "1"}}, r"backstop\.remainder: expected gated exactly with"),
        ({"numbers": {"fee_ratio": "1"}}, r"backstop\.fee_ratio: expected a number exactly"),
        (
            {"surplus": "account", "numbers": {"surplus_ratio": "1"}},
            r"backstop\.surplus_ratio: expected none",
        ),
        ({"numbers": {"x": "1"}}, r"backstop\.numbers: expected only"),
        ({"pool": "borrows"}, r"pool: expected one of takes_over"),
    ],
)
def test_steps_that_contradict_themselves_are_refused_by_name(
    changes: dict[str, Any], message: str
) -> None:
    """An edition is refused where it is read, not where it is used."""
    with pytest.raises(VenueError, match=message):
        edition(steps_of(**changes), starts=["manual"])


def test_a_refused_event_changes_nothing() -> None:
    """Whatever is refused, liquidation, pool and status are what they were."""
    waterfall, opened, pool = manual(), liquidation(), fund()
    status = waterfall.trigger.idle(0)
    kept = (liquidation(), fund(), waterfall.trigger.idle(0))
    with pytest.raises(InputError, match="fill 1: lots: expected 1 to 4, got 5"):
        enter(
            waterfall, opened, pool=pool, fills=[Fill(lots=6, quote=600), Fill(lots=5, quote=500)]
        )
    with pytest.raises(InputError, match="fill 0: lots: expected 1 to 10, got 0"):
        enter(waterfall, opened, pool=pool, fills=[Fill(lots=0, quote=0)])
    with pytest.raises(InputError, match="fill 0: quote: expected 0 or more, what is sold, got -1"):
        enter(waterfall, opened, pool=pool, fills=[Fill(lots=1, quote=-1)])
    with pytest.raises(InputError, match="fill 0: quote: expected 0 or less, what is bought back"):
        enter(waterfall, liquidation(-10), pool=pool, fills=[Fill(lots=1, quote=1)])
    with pytest.raises(InputError, match="pool: not given"):
        enter(waterfall, opened)
    with pytest.raises(InputError, match="scale: expected the market 'BTC-PERP'"):
        enter(waterfall, opened, pool=pool, scale=replace(scale_at(), market="ETH-PERP"))
    with pytest.raises(InputError, match="manual: expected the fact 'is_emergency', got none"):
        enter(waterfall, opened, pool=pool, is_emergency=None)
    with pytest.raises(InputError, match="fills: expected none"):
        enter(
            waterfall_of(Venue.load("strike-type2"), money_units=1),
            opened,
            fills=[Fill(lots=1, quote=1)],
        )
    bare = replace(opened, bankruptcy=None)
    with pytest.raises(InputError, match="bankruptcy: not given, and the pool pays by it"):
        enter(waterfall, bare, pool=pool, is_emergency=False)
    gated = manual(remainder="gated", numbers={"gate_blocks": "5"})
    stage = enter(gated, opened, pool=pool, height=None)
    with pytest.raises(InputError, match="height: not given"):
        ended(gated, stage)

    assert (opened, pool, status) == kept


def test_records_refuse_what_cannot_be() -> None:
    """No position, another's bankruptcy, and a step that makes money or lots."""
    with pytest.raises(InputError, match="lots: expected a position, got 0"):
        liquidation(bankruptcy=None, lots=0)
    with pytest.raises(InputError, match="expected one of at least 11 lots, got one of 10"):
        replace(liquidation(), lots=11)
    posting = Posting(owner="a", book=Book.FUND, asset="USDT", amount=1)
    with pytest.raises(InvariantError, match="postings: expected a sum of 0 in USDT, got 1"):
        Step(kind=StepKind.POOL, text="", postings=(posting,))
    with pytest.raises(InvariantError, match="moves: expected a sum of 0 in M, got 1"):
        Step(kind=StepKind.POOL, text="", moves=(Move(owner="a", market="M", lots=1),))


def crossed(venue: Venue, **stop: str) -> object:
    """An edition with other numbers at the first of its stops."""
    first, *rest = venue.stop.conditions
    values = {one.name: Decimal(stop.get(one.name, one.value)) for one in first.numbers}
    numbers = tuple(Number(name=name, value=value) for name, value in values.items())
    ends = (replace(first, numbers=numbers), *rest)
    return replace(venue, stop=replace(venue.stop, conditions=ends))


@pytest.mark.parametrize(
    ("name", "stop", "message"),
    [
        ("bybit@2025-09", {"ratio": "0.31"}, r"ratio: expected the safe side of the start, 0\.30"),
        ("bybit@2025-09", {"balance": "1"}, r"balance: expected that of the start, 10000"),
        ("bybit@2025-09", {"window_hours": "4"}, r"window_hours: expected that of a start"),
        ("bybit@2025-11", {"ratio": "1"}, r"bound: expected a line not reached where the start"),
        ("generic", {"level": "-1"}, r"level: expected the safe side of the start, 0, got -1"),
    ],
)
def test_a_stop_that_contradicts_its_start_is_refused_where_it_is_read(
    name: str, stop: dict[str, str], message: str
) -> None:
    """A stop past its start, over another window, or on the very line: one error with its key."""
    with pytest.raises(VenueError, match=rf"stop\.\w+\.{message}"):
        crossed(Venue.load(name), **stop)
