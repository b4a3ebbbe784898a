"""The strict reader of the golden cases about prices, and the units they are asserted in.

Each table of `prices.toml` asks one question; its cases state a published fact (`says`, `source`,
`date`, `evidence`), what goes in and what must come out. Amounts and prices are text, exact, in
whole assets; `money_unit` turns them into money units. `printed` is what a source rounded.
"""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from deleverage.model.scales import MarketScale

PRICES = Path(__file__).parent / "prices.toml"
FACTS = {"id", "says", "source", "date", "evidence"}
FIELDS = {
    "value": {"kind", "money_unit", "convention", "clamp", "part"},
    "pool": {
        *("trigger_line", "peak", "margin", "most_loss"),
        *("qty", "entry", "long_price", "short_price"),
    },
    "choice": {"edition", "parameters", "side", "known", "price", "deviation", "qty", "given_up"},
    "quote": {
        *("oracle", "initial_ppm", "maintenance_ppm"),
        *("usdc", "positions", "close", "delta", "quote", "refused"),
    },
    "offset": {
        *("oracle", "initial_ppm", "maintenance_ppm", "at", "liquidated", "offsetting"),
        *("close", "delta", "quote", "usdc_after", "refused"),
    },
    "transfer": {
        *("long", "short", "other", "underwater", "amount", "long_after", "short_after"),
        *("is_all_or_nothing", "refused"),
    },
    "share": {"value", "position", "price", "risk_factor", "delta", "quote", "value_after"},
    "fair": {"before", "after", "inclusive", "strict"},
    "fill": {
        *("convention", "kind", "money_unit", "margin", "owed"),
        *("step", "cut", "lost", "margin_after"),
    },
}
ROWS = {
    "part": {
        *("convention", "side", "qty", "entry", "mark", "leverage", "margin", "equity", "cash"),
        *("own_maintenance", "maintenance", "notional", "reserve_ppm", "rounding", "tick"),
        *("closed", "price", "printed", "on_tick", "quote"),
    },
    "step": {"name", "side", "qty", "entry", "mark", "bankrupt", "price"},
    "cut": {"id", "step", "held", "qty", "entry", "pnl", "printed", "left", "entry_left"},
}

Case = Mapping[str, Any]


@cache
def price_cases(kind: str) -> tuple[Case, ...]:
    """The cases of one question, each with what its question's cases share."""
    tables = tomllib.loads(PRICES.read_text())
    assert set(tables) - {"shared"} == set(FIELDS)
    cases = tuple({**tables["shared"].get(kind, {}), **case} for case in tables[kind])
    for case in cases:
        assert FACTS <= set(case), f"{case.get('id')}: expected {sorted(FACTS)}"
        unknown = set(case) - FACTS - {"realised"} - FIELDS[kind]
        assert not unknown, f"{case['id']}: expected only {sorted(FIELDS[kind])}, got {unknown}"
        for name in set(ROWS) & set(case):
            for row in case[name]:
                assert not set(row) - ROWS[name], f"{case['id']}: {name}: {set(row) - ROWS[name]}"
    return cases


def scale_of(case: Case) -> MarketScale:
    """One contract a lot, and the money unit of the case."""
    return MarketScale(
        market="M",
        kind=case.get("kind", "linear"),
        contract_size=Decimal(1),
        lot_size=Decimal(1),
        price_unit=Decimal("0.000001"),
        money_unit=Decimal(case.get("money_unit", "0.000001")),
        mark_price=Decimal(1),
        mark_num=1,
        mark_den=1,
        settle="USDT",
    )


def amount(text: str, scale: MarketScale) -> Fraction:
    """Money units of an amount."""
    return Fraction(text) / Fraction(scale.money_unit)


def worth(qty: str, price: str, scale: MarketScale) -> Fraction:
    """Money units of a quantity at a price, exactly."""
    value = Fraction(qty) / Fraction(price) if scale.is_inverse else Fraction(qty) * Fraction(price)
    return value / Fraction(scale.money_unit)


def lots_of(side: str, qty: str) -> int:
    """Signed lots; a quantity is whole."""
    lots = Fraction(qty)
    assert lots.denominator == 1, f"qty: expected whole contracts, got {qty}"
    return lots.numerator if side == "long" else -lots.numerator


def is_printed(value: Fraction, printed: str) -> bool:
    """Whether a figure rounds to the digits that a source printed."""
    places = -int(Decimal(printed).as_tuple().exponent)
    return abs(value - Fraction(printed)) <= Fraction(1, 2 * 10**places)
