"""The units of a market: what one lot, one price unit and one money unit are, and the mark.

Given by a `markets` table, or inferred where it is silent: quantities and prices take the coarsest
10^-k (k <= 9) that holds them exactly; money takes, per settlement asset, the coarsest 10^-k with
k >= 6 that makes every entry value and every money column exact, as far as every value stays below
2^51. Beyond that (an inverse contract's value is a quotient) an entry value is rounded once, half
to even, in the finest unit that fits, at most 10^-12: a coarse unit that is asked for in the table
can turn the sign of a profit smaller than half of it. An inverse contract is only known by a table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Self

from deleverage.errors import InputError
from deleverage.model.frames import Table, refuse_repeats
from deleverage.model.quantise import (
    LIMIT,
    Int64,
    Numbers,
    decimal_of,
    quantise,
    unit_of,
    values,
)
from deleverage.model.refusals import nearest_name, plain

__all__ = ["Draft", "MarketScale", "Stake", "fit_money", "read_drafts"]

RATE_LIMIT = 1 << 62
"""Numerator and denominator of a rate are smaller."""
LINEAR_DIGITS = 6
MONEY_DIGITS_MOST = 18
"""The finest money unit that is looked for to make every value exact."""
INEXACT_DIGITS_MOST = 12
"""The finest money unit where no unit makes every value exact."""
_SAMPLE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketScale:
    """One market at one mark.

    Attributes:
        market: its name.
        kind: linear or inverse.
        contract_size: linear: underlier a contract; inverse: quote money a contract.
        lot_size: contracts a lot.
        price_unit: price of one price unit.
        money_unit: settlement asset of one money unit.
        mark_price: the mark, exactly.
        mark_num: mark value of one lot in money units, numerator, reduced.
        mark_den: denominator.
        settle: settlement asset.
        tick_size: what settlement prices are multiples of, where it is known.
        pool: insurance pool, where it is known.
        underlier: what the contract is about, where it is known.
        previous_mark_price: the mark before, where the marks say it.
        inferred: which units no table said.
    """

    market: str
    kind: str
    contract_size: Decimal
    lot_size: Decimal
    price_unit: Decimal
    money_unit: Decimal
    mark_price: Decimal
    mark_num: int
    mark_den: int
    settle: str
    tick_size: Decimal | None = None
    pool: str | None = None
    underlier: str | None = None
    previous_mark_price: Decimal | None = None
    inferred: tuple[str, ...] = ()

    @property
    def is_inverse(self) -> bool:
        """Whether the price divides: value = contracts * contract_size / price."""
        return self.kind == "inverse"

    @property
    def rate(self) -> tuple[int, int, bool]:
        """Mark value of one lot in money units: numerator, denominator, and is_inverse."""
        return self.mark_num, self.mark_den, self.is_inverse

    @property
    def money_units_per_asset(self) -> int:
        """How many money units one settlement asset has (1e-6: 1_000_000)."""
        return round(1 / Fraction(self.money_unit))

    @property
    def value_ratio(self) -> Fraction:
        """Money units of one lot at one price unit (inverse: of one lot over one price unit)."""
        size = Fraction(self.lot_size) * Fraction(self.contract_size)
        price, money = Fraction(self.price_unit), Fraction(self.money_unit)
        return size / (price * money) if self.is_inverse else size * price / money

    def lots(self, qty: Decimal | str | float, *, name: str = "qty") -> int:
        """Turn contracts into lots, exactly or not at all."""
        way_out = self._inferred("lot_size", "quantities")
        return quantise(qty, self.lot_size, name=f"{name} of {self.market}", way_out=way_out)

    def price(self, price: Decimal | str | float, *, name: str = "price") -> int:
        """Turn a price into price units, exactly or not at all."""
        way_out = self._inferred("price_unit", "prices")
        return quantise(price, self.price_unit, name=f"{name} of {self.market}", way_out=way_out)

    def money(self, amount: Decimal | str | float, *, name: str = "amount") -> int:
        """Turn an amount of the settlement asset into money units, exactly or not at all."""
        way_out = self._inferred("money_unit", "amounts")
        where = f"{name} in {self.settle}" if self.settle else name
        return quantise(amount, self.money_unit, name=where, way_out=way_out)

    def _inferred(self, unit: str, source: str) -> str:
        """Say where a unit comes from that no table gives, and the way out."""
        if unit not in self.inferred:
            return ""
        return f"the unit was inferred from the {source} given; pass markets= with {unit}"

    def value(self, lots: int, price: int) -> int:
        """Give the value of lots at a price in price units: money units, rounded half to even."""
        exact = abs(lots) * (
            self.value_ratio / price if self.is_inverse else self.value_ratio * price
        )
        return round(exact)

    def at(self, mark_price: Decimal, *, previous: Decimal | None = None) -> Self:
        """Give the market at another mark.

        Args:
            mark_price: the mark.
            previous: the mark before it, where it is known.

        Raises:
            InputError: the mark is not above zero, or its rate leaves 62 bits.
        """
        num, den, _ = self.rate_at(mark_price)
        return replace(
            self,
            mark_price=mark_price,
            mark_num=num,
            mark_den=den,
            previous_mark_price=previous,
        )

    def rate_at(self, mark_price: Decimal) -> tuple[int, int, bool]:
        """Give what `rate` would be at another mark.

        Raises:
            InputError: as `at`.
        """
        rate = _checked_rate(_rate_of(self, mark_price), self.market)
        return rate.numerator, rate.denominator, self.is_inverse


def _rate_of(scale: MarketScale, mark_price: Decimal) -> Fraction:
    """Give the value of one lot at a mark, money units; asked at every event of a replay."""
    if not mark_price.is_finite() or mark_price <= 0:
        raise InputError(
            f"mark_price of {scale.market}: expected a price above zero, got {plain(mark_price)}"
        )
    lot, contract = scale.lot_size.as_integer_ratio(), scale.contract_size.as_integer_ratio()
    mark, money = mark_price.as_integer_ratio(), scale.money_unit.as_integer_ratio()
    above, below = mark[::-1] if scale.is_inverse else mark
    return Fraction(
        lot[0] * contract[0] * above * money[1], lot[1] * contract[1] * below * money[0]
    )


def _checked_rate(rate: Fraction, market: str) -> Fraction:
    """Check that a rate fits its columns.

    Raises:
        InputError: numerator or denominator has 62 bits or more.
    """
    if rate.numerator >= RATE_LIMIT or rate.denominator >= RATE_LIMIT:
        raise InputError(
            f"market {market}: expected a mark value of one lot whose numerator and denominator "
            f"stay below 2^62 money units, got {rate}; pass markets= with coarser units"
        )
    return rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is known of a market before its rows are seen; None is still to be inferred."""

    market: str
    mark_price: Decimal
    mark_row: int
    kind: str = "linear"
    contract_size: Decimal = Decimal(1)
    lot_size: Decimal | None = None
    price_unit: Decimal | None = None
    money_unit: Decimal | None = None
    settle: str
    tick_size: Decimal | None = None
    pool: str | None = None
    underlier: str | None = None
    previous_mark_price: Decimal | None = None
    inferred: tuple[str, ...] = ()

    def fitted(self, qty: Numbers, prices: Sequence[Numbers], mark: Numbers) -> Self:
        """Infer what the table did not say about quantities and prices.

        Args:
            qty: the market's quantities.
            prices: the market's price columns.
            mark: its mark, one entry.

        Raises:
            InputError: a value needs more than nine decimal digits.
        """
        lot_size, price_unit = self.lot_size, self.price_unit
        if lot_size is None:
            lot_size = unit_of(qty.fewest_digits(way_out=_way_out("lot_size")))
        if price_unit is None:
            out = _way_out("price_unit")
            price_unit = unit_of(max(one.fewest_digits(way_out=out) for one in (*prices, mark)))
        units = {"lot_size": self.lot_size, "price_unit": self.price_unit}
        units["money_unit"] = self.money_unit
        inferred = tuple(name for name, unit in units.items() if unit is None)
        return replace(self, lot_size=lot_size, price_unit=price_unit, inferred=inferred)

    def scale(self, money_unit: Decimal) -> MarketScale:
        """Give the finished scale.

        Raises:
            InputError: the mark's rate leaves 62 bits.
        """
        bare = MarketScale(
            market=self.market,
            kind=self.kind,
            contract_size=self.contract_size,
            lot_size=self.lot_size or Decimal(1),
            price_unit=self.price_unit or Decimal(1),
            money_unit=money_unit,
            mark_price=self.mark_price,
            mark_num=1,
            mark_den=1,
            settle=self.settle,
            tick_size=self.tick_size,
            pool=self.pool,
            underlier=self.underlier,
            inferred=self.inferred,
        )
        return bare.at(self.mark_price, previous=self.previous_mark_price)


def _way_out(column: str) -> str:
    return f"pass markets= with {column}, or round the column first"


def read_drafts(marks: Table, markets: Table | None, settle: str) -> tuple[Draft, ...]:
    """Read what is known of every market that has a mark, sorted by name.

    Args:
        marks: market and mark_price.
        markets: table of markets, or None. `kind` must be given; `contract_size` is 1, `lot_size`
            `price_unit` and `money_unit` are inferred where it is silent.
        settle: settlement asset where no table says it.

    Raises:
        InputError: a mark is not above zero, a market is missing, repeated, quanto or of no kind.
    """
    prices = marks.numbers("mark_price").require(positive=True)
    names = [str(name) for name in marks.texts("market")]
    has_before = marks.has("previous_mark_price")
    before = marks.decimals("previous_mark_price") if has_before else [None] * len(names)
    given = {} if markets is None else _read_markets(markets)
    drafts = []
    for row, name in enumerate(names):
        if markets is not None and name not in given:
            hint = nearest_name(name, given)
            raise marks.refuse("market", row, f"a market of {markets.name}", hint.lstrip(", "))
        known = given.get(name, Draft(market=name, mark_price=Decimal(1), mark_row=0, settle=""))
        drafts.append(
            replace(
                known,
                mark_price=decimal_of(prices.exact(row)),
                mark_row=row,
                previous_mark_price=before[row],
                settle=known.settle or settle,
            )
        )
    return tuple(sorted(drafts, key=lambda draft: draft.market))


def _read_markets(table: Table) -> dict[str, Draft]:
    """Read the table of markets."""
    refuse_repeats(table, table.texts("market"), "market")
    names = [str(name) for name in table.texts("market")]
    kinds = [_kind(table, row, kind) for row, kind in enumerate(table.texts("kind"))]
    sizes = {
        column: table.decimals(column) if table.has(column) else [None] * len(names)
        for column in ("contract_size", "lot_size", "price_unit", "money_unit", "tick_size")
    }
    words = {
        column: table.texts(column) if table.has(column) else [None] * len(names)
        for column in ("settle", "pool", "underlier")
    }
    drafts = {}
    for row, name in enumerate(names):
        money_unit = sizes["money_unit"][row]
        if money_unit is not None and (1 / Fraction(money_unit)).denominator != 1:
            raise table.refuse("money_unit", row, "a whole number of units in one asset")
        drafts[name] = Draft(
            market=name,
            mark_price=Decimal(1),
            mark_row=0,
            kind=kinds[row],
            contract_size=sizes["contract_size"][row] or Decimal(1),
            lot_size=sizes["lot_size"][row],
            price_unit=sizes["price_unit"][row],
            money_unit=money_unit,
            tick_size=sizes["tick_size"][row],
            settle=words["settle"][row] or "",
            pool=words["pool"][row],
            underlier=words["underlier"][row],
        )
    return drafts


def _kind(table: Table, row: int, kind: str | None) -> str:
    """Refuse a contract whose value is neither linear nor inverse."""
    if kind == "quanto":
        way_out = "a quanto contract's value is not supported"
        raise table.refuse("kind", row, "linear or inverse", way_out)
    if kind not in ("linear", "inverse"):
        raise table.refuse("kind", row, "linear or inverse")
    return kind


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stake:
    """What one market puts into the choice of its settlement asset's money unit.

    Attributes:
        draft: the market, with lot size and price unit.
        lots: (n,) int64 signed lots.
        valued: lots and price units of every price column whose value is booked, by its name.
        money: money columns of the market's rows.
    """

    draft: Draft
    lots: Int64
    valued: Mapping[str, tuple[Int64, Int64]]
    money: tuple[Numbers, ...]

    def scale(self, digits: int) -> MarketScale:
        """Give the market's scale at a money unit of 10^-digits."""
        return self.draft.scale(unit_of(digits))

    def largest_mark_value(self, scale: MarketScale) -> Fraction:
        """Give the largest mark value of a row, in money units."""
        if not self.lots.size:
            return Fraction(0)
        most = max(abs(int(self.lots.max())), abs(int(self.lots.min())))
        return Fraction(most * scale.mark_num, scale.mark_den)


def fit_money(stakes: Sequence[Stake], shared: Iterable[Numbers]) -> Decimal:
    """Choose the money unit of one settlement asset.

    Args:
        stakes: its markets.
        shared: money columns of its accounts.

    Returns:
        The unit that the `markets` table gives, or the inferred one; see the module.

    Raises:
        InputError: two markets give different units, or no unit holds every money column.
    """
    given = {stake.draft.money_unit for stake in stakes} - {None}
    settle = stakes[0].draft.settle
    if len(given) > 1:
        raise InputError(
            f"markets: column money_unit: expected one unit for asset {settle}, "
            f"got {sorted(plain(unit) for unit in given)}"
        )
    if given:
        return next(unit for unit in given if unit is not None)
    money = [*shared, *(column for stake in stakes for column in stake.money)]
    out = _way_out("money_unit")
    needed = max(
        (one.fewest_digits(most=MONEY_DIGITS_MOST, way_out=out) for one in money), default=0
    )
    largest = max((one.largest() for one in money), default=Fraction(0))
    return unit_of(
        _money_digits(stakes, needed=needed, base=max(LINEAR_DIGITS, needed), largest=largest)
    )


def _money_digits(stakes: Sequence[Stake], *, needed: int, base: int, largest: Fraction) -> int:
    """Find the digits: up from `base` to the first exact ones, or down to `needed`."""
    best: int | None = None
    for digits in range(base, MONEY_DIGITS_MOST + 1):
        if not _fits(stakes, digits, largest):
            break
        best = digits if best is None or digits <= INEXACT_DIGITS_MOST else best
        if _is_exact(stakes, digits):
            return digits
    if best is not None:
        return best
    for digits in range(base - 1, needed - 1, -1):
        if _fits(stakes, digits, largest):
            return digits
    # Too large for every unit that holds the money columns: the column itself says where.
    return needed


def _fits(stakes: Sequence[Stake], digits: int, largest: Fraction) -> bool:
    """Tell whether every value stays below 2^51 money units."""
    if largest * 10**digits >= LIMIT:
        return False
    for stake in stakes:
        try:
            scale = stake.scale(digits)
        except InputError:
            return False
        if stake.largest_mark_value(scale) >= LIMIT:
            return False
        if any(_most_value(*pair, scale) >= LIMIT for pair in stake.valued.values()):
            return False
    return True


def _most_value(lots: Int64, prices: Int64, scale: MarketScale) -> int:
    """Give a value that no row exceeds: quick bound first, the rows only if it is tight."""
    if not lots.size:
        return 0
    most = max(abs(int(lots.max())), abs(int(lots.min())))
    bound = scale.value(most, int(prices.min() if scale.is_inverse else prices.max()))
    if bound < LIMIT:
        return bound
    found, _, _ = values(lots, prices, scale.value_ratio, is_inverse=scale.is_inverse)
    return LIMIT if found is None else LIMIT - 1


def _is_exact(stakes: Sequence[Stake], digits: int) -> bool:
    """Tell whether every entry value is a whole number of money units; a sample speaks first."""
    for part in (slice(0, _SAMPLE), slice(None)):
        for stake in stakes:
            scale = stake.scale(digits)
            ratio, is_inverse = scale.value_ratio, scale.is_inverse
            if not is_inverse and ratio.denominator == 1:
                continue
            for lots, prices in stake.valued.values():
                found, _, rounded = values(lots[part], prices[part], ratio, is_inverse=is_inverse)
                if found is None or rounded >= 0:
                    return False
    return True
