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
        names = [name for name in self.numbers if name not in (*_PRICES, "leverage")]
        return tuple(self.numbers[name].part(start, stop) for name in names)

    def valued(
        self, lots: Int64, price_unit: Decimal, start: int, stop: int
    ) -> dict[str, tuple[Int64, Int64]]:
        """Give what a market's prices value: lots and price units, by the name of the price.

        Args:
            lots: (n,) int64 signed lots of its rows.
            price_unit: of the market.
            start: first of its rows.
            stop: row after its last.

        Raises:
            InputError: names the first price that is no whole number of price units.
        """
        found = {}
        for name in _PRICES:
            if name not in self.numbers:
                continue
            numbers = self.numbers[name].part(start, stop)
            prices, priced = numbers.units(price_unit), lots
            if numbers.absent is not None:
                # A row without a price is judged on its account: its own margin is never read.
                prices = np.where(numbers.absent, np.int64(1), prices)
                priced = np.where(numbers.absent, np.int64(0), lots)
            found[name] = (priced, prices)
        return found

    def columns(
        self,
        scale: MarketScale,
        lots: Int64,
        valued: Mapping[str, tuple[Int64, Int64]],
        start: int,
        stop: int,
    ) -> dict[str, Int64]:
        """Give one market's columns in whole units.

        Args:
            scale: the market.
            lots: (n,) int64 signed lots of its rows.
            valued: as `valued` gives it.
            start: first of its rows.
            stop: row after its last.

        Raises:
            InputError: names the first value that is no whole number of units, or too large.
        """
        out = f"round it, or pass markets= with the money_unit of {scale.settle}".rstrip(" of")

        def money(name: str) -> Int64:
            numbers = self.numbers[name].part(start, stop)
            if name in valued:
                return _valued(numbers, scale, *valued[name])
            return numbers.units(scale.money_unit, way_out=out)

        found = {"entry_value": money(self.entry_source)}
        if self.margin_source is not None:
            margin = money(self.margin_source)
            if self.margin_source != "margin":
                numbers = self.numbers[self.margin_source].part(start, stop)
                margin = _own_margin(numbers, scale, lots, found["entry_value"] - margin)
            found["margin"] = margin
        for name in MONEY_COLUMNS[2:]:
            if name in self.numbers:
                found[name] = money(name)
        if "leverage" in self.numbers:
            found["leverage"] = self.numbers["leverage"].part(start, stop).units(PPM)
        return found

    @property
    def entry_source(self) -> str:
        """Which column the entry value comes from."""
        return "entry_value" if "entry_value" in self.numbers else "entry_price"


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


def _own_margin(numbers: Numbers, scale: MarketScale, lots: Int64, distance: Int64) -> Int64:
    """Give the margin without unrealised profit from entry value less bankruptcy value."""
    margin = distance * np.sign(lots) * (-1 if scale.is_inverse else 1)
    if numbers.absent is not None:
        margin[numbers.absent] = 0
    wrong = np.abs(margin) >= LIMIT
    if wrong.any():
        raise numbers.refuse(int(np.argmax(wrong)), "a margin below 2^51 money units", _COARSER)
    return margin


def join(parts: Iterable[Mapping[str, Int64]]) -> dict[str, Int64]:
    """Put the columns of several markets one after the other; one market is not copied."""
    listed = list(parts)
    listed = [part for part in listed if len(part["lots"])] or listed[:1]
    if len(listed) == 1:
        return dict(listed[0])
    return {name: np.concatenate([part[name] for part in listed]) for name in listed[0]}
