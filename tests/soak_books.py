"""What the soak plays on: editions with every number drawn, choices, and books of two sides."""

import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

from deleverage.backstop.lines import FIXED_BOUNDS, STOP_ONLY
from deleverage.backstop.trigger import StopReading
from deleverage.engine import Choices, Frames
from deleverage.errors import VenueError
from deleverage.model.parts import Condition, Number
from deleverage.model.records import Venue as Edition
from deleverage.model.terms import (
    CONDITION_NUMBERS,
    PRICE_NUMBERS,
    Bound,
    Completion,
    ConditionKind,
    Convention,
    Fee,
    Payer,
    PoolRole,
    PriceKind,
    Remainder,
    Sharing,
    Standing,
    Surplus,
)
from deleverage.venue import Venue, venues

__all__ = [
    "ACCOUNTS",
    "MARKS",
    "OWN",
    "POOLS",
    "STARTS",
    "STOPS",
    "Drawn",
    "book_of",
    "choices_of",
    "edition_of",
    "editions",
    "pools_of",
]

ACCOUNTS = [f"t{number}" for number in range(14)]
LINEAR = {"kind": "linear", "contract_size": "1", "lot_size": "1", "price_unit": "0.01"}
LINEAR |= {"money_unit": "0.000001", "settle": "USDT"}
INVERSE = {"kind": "inverse", "contract_size": "2000000", "lot_size": "1", "price_unit": "0.1"}
INVERSE |= {"money_unit": "0.00000001", "settle": "BTC"}
MARKETS = [{"market": "A"} | LINEAR, {"market": "B"} | LINEAR, {"market": "C"} | INVERSE]
MARKS = {"A": Decimal(100), "B": Decimal(250), "C": Decimal(20_000)}
ROWS_OF_A_SIDE = {"A": 12, "B": 9, "C": 8}
POOLS = {"usdt": "USDT", "btc": "BTC"}
OWN = ("own: rare lines", "own: any line", "own: groups and factors", "own: more rare lines")
"""Editions of the soak's own, each world another: every kind of line, price and remainder."""

KINDS = tuple(kind for kind in ConditionKind if kind is not ConditionKind.UNPUBLISHED)
STARTS = tuple(kind for kind in KINDS if kind not in STOP_ONLY)
STOPS = KINDS
# Lines that published editions seldom reach, or end in another way.
RARE = (
    ConditionKind.FUND_BELOW_AVERAGE,
    ConditionKind.FUND_BELOW_THRESHOLD,
    ConditionKind.FUND_AND_POSITION,
    *(ConditionKind.FUND_LOSS,) * 3,
    ConditionKind.UNFILLED_REMAINDER,
    ConditionKind.EQUITY_NEGATIVE,
    ConditionKind.VAULT_LOSS,
    ConditionKind.BACKSTOP_FULL,
    ConditionKind.MANUAL,
)
PAYERS = (Payer.NOBODY, Payer.FUND)
GROUPED = (ConditionKind.GROUP_LEVEL, ConditionKind.POOL_FACTOR)
# The stop of a pair stands on the safe side of its start.
START_NUMBERS = {"limit": "1500", "ratio": "0.3", "threshold": "500", "level": "0", "loss": "200"}
START_NUMBERS |= {"quantity": "6", "minutes": "5", "amount": "50", "balance": "0", "hours": "2"}
START_NUMBERS |= {"window_hours": "8", "deviation": "0.05", "depleted_ratio": "0.5"}
STOP_NUMBERS = START_NUMBERS | {"limit": "900", "ratio": "0.2", "threshold": "700", "level": "90"}
STOP_NUMBERS |= {"loss": "100", "quantity": "3", "amount": "20"}
DRAWN = {
    "limit": ("300", "1500", "4000"),
    "ratio": ("0.15", "0.3", "0.6"),
    "window_hours": ("1", "8"),
    "threshold": ("200", "900"),
    "minutes": ("1", "5"),
    "quantity": ("3", "8"),
    "depleted_ratio": ("0.1", "0.6"),
    "loss": ("200",),
    "fee_ratio": ("0.01",),
    "delta_limit": ("0.05",),
    "gate_hours": ("1",),
}
STOP_RATIO = "0.1"
MONEY_NUMBERS = {"balance", "amount", "level", "threshold"}
PAYS, TAKES_OVER = PoolRole.PAYS, PoolRole.TAKES_OVER
Drawn = random.Random


def editions() -> list[str]:
    """What an engine plays: editions that cut a queue and say what stands before it, and ours."""
    shipped = ((name, Venue.load(name)) for name in venues())
    names = [name for name, venue in shipped if venue.is_ranked and venue.backstop is not None]
    return [*names, *OWN]


def edition_of(name: str, draw: Drawn) -> Edition:
    """An edition with every number that was never published made up, each world another."""
    if name in OWN:
        return _own(name, draw)
    venue = Venue.load(name)
    values = {}
    for path in venue.required:
        number = path.rpartition(".")[2]
        is_stop = path.startswith("stop") and number == "ratio"
        values[path] = Decimal(STOP_RATIO if is_stop else draw.choice(DRAWN[number]))
    return venue.with_parameters(values) if values else venue


def _own(name: str, draw: Drawn) -> Edition:
    """An edition of ours: a published queue, with lines, price and remainder drawn."""
    base = Venue.load(draw.choice(["generic", "hyperliquid", "kucoin@2025", "cube", "dango"]))
    if base.required:
        numbers = {path: path.rpartition(".")[2] for path in base.required}
        base = base.with_parameters(
            {path: Decimal(START_NUMBERS.get(last, "0.01")) for path, last in numbers.items()}
        )
    start = draw.choice({OWN[1]: STARTS, OWN[2]: GROUPED}.get(name, RARE))
    others = [*STOP_ONLY, ConditionKind.UNPUBLISHED]
    stop = draw.choice([start] * 8 + others if name != OWN[1] else [start, start, *others])
    kind = draw.choice([kind for kind in PriceKind if kind is not PriceKind.NONE])
    price = replace(
        base.price,
        kind=kind,
        difference=Payer.NOBODY if kind is PriceKind.BANKRUPTCY else draw.choice(PAYERS),
        numbers=_numbers(PRICE_NUMBERS[kind], START_NUMBERS),
        required=(),
    )
    part = base.backstop
    if part is None:
        raise VenueError(f"{base.name}: expected an edition with a backstop")
    remainder = draw.choice([kind for kind in Remainder if kind is not Remainder.UNPUBLISHED])
    gate = (Number(name="gate_hours", value=Decimal(2)),) if remainder is Remainder.GATED else ()
    part = replace(
        part,
        remainder=remainder,
        pool=part.pool if part.pool is PoolRole.NOTHING else draw.choice([PAYS, TAKES_OVER]),
        fund_below_zero=remainder is Remainder.POOL,
        numbers=(*part.numbers, *gate),
    )
    return replace(
        base,
        trigger=replace(base.trigger, conditions=(_condition(start, is_start=True),)),
        stop=replace(base.stop, conditions=(_condition(stop, is_start=False),)),
        price=price,
        allocation=replace(base.allocation, completion=draw.choice(list(Completion))),
        backstop=part,
    )


def _condition(kind: ConditionKind, *, is_start: bool) -> Condition:
    """A line of ours: a start that counts when it is reached, a stop that must be passed."""
    fixed = FIXED_BOUNDS.get(kind)
    bound = Bound.INCLUSIVE if is_start else Bound.STRICT
    if fixed is not None:
        bound = fixed[0 if is_start else 1]
    if kind is ConditionKind.UNPUBLISHED:
        return Condition(kind=kind)
    numbers = START_NUMBERS if is_start else STOP_NUMBERS
    return Condition(kind=kind, bound=bound, numbers=_numbers(CONDITION_NUMBERS[kind], numbers))


def _numbers(names: tuple[str, ...], values: dict[str, str]) -> tuple[Number, ...]:
    """The numbers of a rule by their names."""
    return tuple(Number(name=name, value=Decimal(values[name])) for name in names)


def choices_of(venue: Edition, draw: Drawn) -> Choices:
    """Choose what an edition leaves open, at random where there is a choice."""
    part = venue.backstop
    unknown = any(c.kind is ConditionKind.UNPUBLISHED for c in venue.trigger.conditions)

    def open_(value: object) -> bool:
        return value == "unpublished"

    return Choices(
        bound=draw.choice([Bound.INCLUSIVE, Bound.STRICT]),
        stop=draw.choice([StopReading.CEASES, StopReading.OFFSET]),
        pool=draw.choice([PAYS, TAKES_OVER]) if part and open_(part.pool) else None,
        surplus=draw.choice(list(Surplus)[:2]) if part and open_(part.surplus) else None,
        remainder=Remainder.STAYS if part and open_(part.remainder) else None,
        standing=draw.choice([Standing.CANDIDATE, Standing.EXEMPT, Standing.NETTED]),
        difference=draw.choice(PAYERS),
        convention=draw.choice([Convention.WHOLE_ACCOUNT, Convention.CASH_BY_NOTIONAL]),
        deleveraged=draw.choice([Fee.NONE, Fee.MAKER]) if open_(venue.fees.deleveraged) else None,
        liquidated=draw.choice([Fee.NONE, Fee.TAKER]) if open_(venue.fees.liquidated) else None,
        maker_ppm=draw.choice([0, 200, -50]),
        taker_ppm=draw.choice([0, 600]),
        liquidation_ppm=draw.choice([0, 5000]),
        is_manual=unknown,
        sharing=draw.choice([None, Sharing.HOLDERS_CHARGE, Sharing.WINNERS_HAIRCUT]),
    )


def pools_of(venue: Edition, draw: Drawn) -> list[dict[str, Any]]:
    """Pools of about what the edition's own lines speak of, empty ones among them."""
    groups = (venue.trigger, venue.stop)
    said = [
        number.value
        for group in groups
        for condition in group.conditions
        for number in condition.numbers
        if number.name in MONEY_NUMBERS
    ]
    line = max([*said, Decimal(500)])
    shares = [Decimal(0), Decimal("0.1"), Decimal("1.2"), Decimal(3)]
    grouped = {"group": "all"} if draw.random() < 0.5 else {}
    pools: list[dict[str, Any]] = [
        {"name": name, "asset": asset, "cash": f"{line * draw.choice(shares):f}"}
        for name, asset in POOLS.items()
    ]
    if grouped:
        pools[0] |= grouped
        pools.append({"name": "b", "markets": ["B"], "cash": f"{line * draw.choice(shares):f}"})
        pools[-1] |= grouped
    return pools


def book_of(draw: Drawn) -> Frames:
    """A book of three markets, longs as many as shorts, with every column any edition reads."""
    rows = []
    for market, count in ROWS_OF_A_SIDE.items():
        sizes = [draw.randint(1, 12) for _ in range(count)]
        for side in ("long", "short"):
            rows += [_row(draw, market, side, lots) for lots in draw.sample(sizes, count)]
    for number, row in enumerate(rows):
        row["position_id"] = f"p{number}"
    accounts = [
        {
            "account": name,
            "asset": asset,
            "wallet_balance": str(draw.randint(1, 900)),
            "equity": str(draw.randint(-50, 900)),
            "maintenance_margin": str(draw.randint(1, 40)),
            "created_at": str(draw.randint(0, 10**9)),
        }
        for name in ACCOUNTS
        for asset in ("USDT", "BTC")
    ]
    nobody = [
        {"account": name, "underlier": market, "delta_neutral": draw.random() < 0.2}
        for name in ACCOUNTS
        for market in MARKS
    ]
    return Frames(
        positions=_columns(rows),
        marks={name: f"{mark:f}" for name, mark in MARKS.items()},
        markets=_columns(MARKETS),
        accounts=_columns(accounts),
        neutral=_columns(nobody),
    )


def _row(draw: Drawn, market: str, side: str, lots: int) -> dict[str, Any]:
    """A position: most have a profit at the first mark, as a queue's head has."""
    gain = draw.choice([-8, -3, 0, 2, 5, 5, 15, 30])
    price = MARKS[market] * (100 - gain if side == "long" else 100 + gain) / 100
    value = lots * 2_000_000 / float(price) if market == "C" else float(lots * price)
    digits = 8 if market == "C" else 6
    return {
        "account": draw.choice(ACCOUNTS),
        "market": market,
        "side": side,
        "qty": str(lots),
        "entry_price": f"{price:f}",
        "margin_mode": draw.choice(["isolated", "isolated", "cross"]),
        "margin": f"{value * draw.uniform(0.02, 0.4):.{digits}f}",
        "maintenance_margin": f"{value * 0.01:.{digits}f}",
        "initial_margin": f"{value * 0.1:.{digits}f}",
        "leverage": str(draw.randint(1, 50)),
        "open_value": f"{value:.{digits}f}",
        "hedged_qty": str(draw.choice([0, 0, 0, draw.randint(0, lots)])),
    }


def _columns(rows: list[Any]) -> dict[str, list[Any]]:
    """Rows as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}
