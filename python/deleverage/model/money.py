"""Money of every row, in whole units: entry value, own margin, and what a rule asks for besides."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from deleverage.model.frames import Table
from deleverage.model.quantise import LIMIT, Int64, Numbers, values
from deleverage.model.scales import MarketScale

__all__ = ["MONEY_COLUMNS", "Amounts", "join", "read_amounts"]

MONEY_COLUMNS = ("entry_value", "margin", "maintenance_margin", "initial_margin", "open_value")
"""Kernel columns of positions that hold money units; a hedged part takes its share of each."""

PPM = Decimal("0.000001")
_PRICES = ("entry_price", "bankruptcy_price")
_POSITIVE = ("entry_price", "entry_value", "bankruptcy_price")
_SIGNED = ("margin", "bankruptcy_value")
_TOO_LARGE = "a value below 2^51 money units"
_COARSER = "pass markets= with a coarser money_unit"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Amounts:
    """The number columns of positions that an edition reads, by the name in the frame.

    Attributes:
        numbers: columns in the order rows are kept in, without quantities.
        margin_source: which of them the own margin comes from, or None where nobody asks.
    """

    numbers: Mapping[str, Numbers]
    margin_source: str | None

    def prices(self, start: int, stop: int) -> list[Numbers]:
        """Give the price columns of one market."""
        return [self.numbers[name].part(start, stop) for name in _PRICES if name in self.numbers]

    def money(self, start: int, stop: int) -> tuple[Numbers, ...]:
        """Give the money columns of one market."""
        names = (name for name in self.numbers if name not in (*_PRICES, "leverage"))
        return tuple(self.numbers[name].part(start, stop) for name in names)

    def entry_prices(self, start: int, stop: int, price_unit: Decimal) -> Int64 | None:
        """Give entry prices in price units, or None where entry values are given."""
        if "entry_value" in self.numbers:
            return None
        return self.numbers["entry_price"].part(start, stop).units(price_unit)

    def columns(
        self, scale: MarketScale, lots: Int64, entry_prices: Int64 | None, start: int, stop: int
    ) -> dict[str, Int64]:
        """Give one market's columns in whole units.

        Args:
            scale: the market.
            lots: (n,) int64 signed lots of its rows.
            entry_prices: (n,) int64, or None where entry values are given.
            start: first of its rows.
            stop: row after its last.

        Raises:
            InputError: names the first value that is no whole number of units, or too large.
        """
        unit, out = (
            scale.money_unit,
            f"round it, or pass markets= with the money_unit of {scale.settle}",
        )
        found: dict[str, Int64] = {}
        if entry_prices is None:
            entry = self.numbers["entry_value"].part(start, stop)
            found["entry_value"] = entry.units(unit, way_out=out)
        else:
            entry = self.numbers["entry_price"].part(start, stop)
            found["entry_value"] = _valued(entry, scale, lots, entry_prices)
        if self.margin_source is not None:
            margin = self.numbers[self.margin_source].part(start, stop)
            found["margin"] = _own_margin(margin, scale, lots, found["entry_value"], out)
        for name in MONEY_COLUMNS[2:]:
            if name in self.numbers:
                found[name] = self.numbers[name].part(start, stop).units(unit, way_out=out)
        if "leverage" in self.numbers:
            found["leverage"] = self.numbers["leverage"].part(start, stop).units(PPM)
        return found


def read_amounts(
    table: Table,
    *,
    rows: Int64 | None,
    everywhere: Sequence[str],
    isolated: Sequence[str],
    is_isolated: NDArray[np.bool_] | None,
    why: str,
    bankruptcy_first: bool,
) -> Amounts:
    """Read the number columns that an edition needs.

    Args:
        table: positions.
        rows: the order rows are kept in, or None.
        everywhere: columns that every row needs; `a|b` means either.
        isolated: columns that only rows with a margin of their own need.
        is_isolated: (n,) bool in the order of the frame, which rows those are; None means none.
        why: who needs them, for messages.
        bankruptcy_first: the own margin comes from a bankruptcy value, where there is one.

    Raises:
        InputError: a needed column is missing, or names the first bad value.
    """
    table.require(*everywhere, why=why)
    if is_isolated is not None:
        table.require(*isolated, why=f"{why} for isolated rows")
    numbers: dict[str, Numbers] = {}
    margin_source = None
    groups = ((everywhere, None), (isolated, is_isolated))
    for needs, needed_rows in groups:
        if needs is isolated and is_isolated is None:
            continue
        for need in needs:
            name = _choose(table, need.split("|"), bankruptcy_first=bankruptcy_first)
            if need.startswith("margin"):
                margin_source = name
            if name not in numbers:
                optional = None if needed_rows is None else ~needed_rows
                numbers[name] = _read(table, name, optional).take(rows)
    return Amounts(numbers=numbers, margin_source=margin_source)


def _choose(table: Table, names: Sequence[str], *, bankruptcy_first: bool) -> str:
    """Choose among columns that say the same: values before prices, which round."""
    order = sorted(names, key=lambda name: name.endswith("_price"))
    if "margin" in order:
        order.remove("margin")
        order.insert(len(order) if bankruptcy_first else 0, "margin")
    return next(name for name in order if table.has(name))


def _read(table: Table, name: str, optional: NDArray[np.bool_] | None) -> Numbers:
    """Read one column and check its sign."""
    numbers = table.numbers(name, optional=optional)
    if name in _SIGNED:
        return numbers
    way_out = ""
    if name == "bankruptcy_price":
        way_out = "a bankruptcy that no price reaches is said by bankruptcy_value or margin"
    return numbers.require(positive=name in _POSITIVE, way_out=way_out)


def _valued(numbers: Numbers, scale: MarketScale, lots: Int64, prices: Int64) -> Int64:
    """Give the money value of every row at its price."""
    found, bad, _ = values(lots, prices, scale.value_ratio, is_inverse=scale.is_inverse)
    if found is None:
        unit = f"{scale.money_unit:f} {scale.settle}".strip()
        raise numbers.refuse(bad, f"{_TOO_LARGE} of {unit}", _COARSER)
    return found


def _own_margin(
    numbers: Numbers, scale: MarketScale, lots: Int64, entry_value: Int64, way_out: str
) -> Int64:
    """Give the margin without unrealised profit, or derive it from a bankruptcy value or price."""
    if numbers.column == "margin":
        return numbers.units(scale.money_unit, way_out=way_out)
    if numbers.column == "bankruptcy_value":
        bankrupt = numbers.units(scale.money_unit, way_out=way_out)
    else:
        prices = numbers.units(scale.price_unit)
        if numbers.absent is not None:
            # A row without a price is judged on its account: its margin is never read.
            prices = np.where(numbers.absent, np.int64(1), prices)
            bankrupt = _valued(numbers, scale, np.where(numbers.absent, 0, lots), prices)
        else:
            bankrupt = _valued(numbers, scale, lots, prices)
    distance = (entry_value - bankrupt) * np.sign(lots)
    margin = -distance if scale.is_inverse else distance
    if numbers.absent is not None:
        margin[numbers.absent] = 0
    wrong = np.abs(margin) >= LIMIT
    if wrong.any():
        raise numbers.refuse(int(np.argmax(wrong)), "a margin below 2^51 money units", _COARSER)
    return margin


def join(parts: Iterable[Mapping[str, Int64]]) -> dict[str, Int64]:
    """Put the columns of several markets one after the other; one market is not copied."""
    listed = list(parts)
    if len(listed) == 1:
        return dict(listed[0])
    return {name: np.concatenate([part[name] for part in listed]) for name in listed[0]}
