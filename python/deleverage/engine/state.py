"""The state of an engine: everything that its commands have added up to, at one event time.

A state never changes; a command gives the next one. What is large (positions, balances) is kept
in versions that share their content, what is small is copied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from deleverage.backstop.lines import Line
from deleverage.backstop.liquidation import Gate, Liquidation
from deleverage.backstop.pool import Pool
from deleverage.backstop.trigger import Arm, Status, StopReading, Trigger
from deleverage.backstop.waterfall import Waterfall
from deleverage.engine.keeping import Terms
from deleverage.engine.positions import Positions
from deleverage.engine.roster import SIDES
from deleverage.errors import InputError, StateError, VenueError
from deleverage.ledger import Ledger
from deleverage.model.records import Venue
from deleverage.model.refusals import nearest_name
from deleverage.model.scales import MarketScale
from deleverage.model.terms import (
    Bound,
    Cancelled,
    ConditionKind,
    Convention,
    Fee,
    Payer,
    PoolRole,
    Remainder,
    Sharing,
    Standing,
    Surplus,
)

LINES = ("trigger.", "stop.")

__all__ = [
    "Choices",
    "Open",
    "Stamps",
    "State",
    "is_gate_in_blocks",
    "manual_trigger",
    "opposite",
    "queue_name",
    "triggers_of",
    "waterfall_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the venue left open and the operator chose; None where nothing is chosen.

    Attributes:
        bound: how to read a line whose bound was never published.
        stop: how to read an edition that never says when deleveraging ends.
        pool: what the pool does.
        surplus: who gets what a fill brings above bankruptcy.
        remainder: what becomes of what nobody offset.
        standing: what happens to a pool's position on the other side.
        difference: who pays up to bankruptcy.
        convention: how a cross account's equity becomes one position's bankruptcy value.
        deleveraged: fee of the reduced traders.
        liquidated: fee of the position that is offset.
        cancelled: which open orders of a reduced trader go.
        maker_ppm: fee rate, ppm of the quote; below zero a rebate.
        taker_ppm: fee rate, ppm of the quote.
        liquidation_ppm: fee rate, ppm of the quote; it goes to the fund.
        is_manual: the edition's trigger is not modelled; deleveraging only by hand.
        sharing: by which rule what everybody is to pay is shared out, `holders_charge` or
            `winners_haircut`; None leaves it open on the account of the shared loss.
        lines: numbers of the trigger's and stop's lines that are a market's own, by market and by
            name (`Venue.with_parameters`); other markets read the edition's.
    """

    bound: Bound | None = None
    stop: StopReading | None = None
    pool: PoolRole | None = None
    surplus: Surplus | None = None
    remainder: Remainder | None = None
    standing: Standing | None = None
    difference: Payer | None = None
    convention: Convention | None = None
    deleveraged: Fee | None = None
    liquidated: Fee | None = None
    cancelled: Cancelled | None = None
    maker_ppm: int = 0
    taker_ppm: int = 0
    liquidation_ppm: int = 0
    is_manual: bool = False
    sharing: Sharing | None = None
    lines: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a rule that charges nobody.

        Raises:
            InputError: another rule of sharing.
        """
        known = (None, Sharing.HOLDERS_CHARGE, Sharing.WINNERS_HAIRCUT)
        if self.sharing not in known:
            raise InputError(
                f"choices.sharing: expected holders_charge or winners_haircut, got {self.sharing}"
            )

    def for_market(self, venue: Venue, market: str) -> Venue:
        """Give the edition as it reads in one market.

        Raises:
            VenueError: a number is none of the edition's lines.
        """
        numbers = self.lines.get(market, {})
        known = [name for name in venue.numbers if name.startswith(LINES)]
        none = f"none, as {venue.name} has no line with a number"
        wanted = f"one of {', '.join(known)}" if known else none
        for name in numbers:
            if name not in known:
                raise VenueError(
                    f"lines of {market}, number of trigger or stop: expected {wanted}, got {name!r}"
                )
        return venue.with_parameters(numbers) if numbers else venue


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A liquidation that is not finished.

    Attributes:
        liquidation: what is still open of it.
        place: its row in the positions; -1 where a pool sheds its own.
        touched: sequence number of the command that changed it last.
        facts: what the caller said that the engine cannot know.
    """

    liquidation: Liquidation
    place: int
    touched: int
    facts: Mapping[str, int | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """When something changed last: the sequence number of the command, by name.

    Attributes:
        marks: by market.
        pools: by pool.
        queues: by market and side, `BTC-PERP/long`.
    """

    marks: Mapping[str, int] = field(default_factory=dict)
    pools: Mapping[str, int] = field(default_factory=dict)
    queues: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """Everything an engine knows.

    Attributes:
        sequence: of the last command; 0 before the first.
        at: its event time, ns UTC.
        venue: the edition; None before a book is loaded.
        edition: SHA-256 of the edition, hexadecimal.
        choices: what the operator chose.
        scales: every market at its mark, by name.
        oracles: oracle prices, by market, where the marks say them.
        positions: the positions.
        wallets: by asset, (accounts,) int64: what each account brought when the book was loaded.
        ledger: the books.
        pools: by name.
        assets: settlement asset of each pool, by its name.
        backing: the pool behind each market, by market.
        triggers: when each market deleverages, by market; they follow from edition and choices.
        statuses: what the trigger of each market said last.
        liquidations: those that are open, by id.
        outside: lots that are held outside of this book, by market: what makes longs and shorts
            equal in a book that is a part of a venue's, and the other side of market fills.
        net: long less short lots of the positions, by market.
        gates: withdrawals that wait, by pool.
        stamps: when something changed last.
    """

    sequence: int = 0
    at: int = -(1 << 63)
    venue: Venue | None = None
    edition: str = ""
    choices: Choices = field(default_factory=Choices)
    scales: Mapping[str, MarketScale] = field(default_factory=dict)
    oracles: Mapping[str, Decimal] = field(default_factory=dict)
    positions: Positions | None = None
    wallets: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    assets: Mapping[str, str] = field(default_factory=dict)
    backing: Mapping[str, str] = field(default_factory=dict)
    triggers: Mapping[str, Trigger] = field(default_factory=dict)
    statuses: Mapping[str, Status] = field(default_factory=dict)
    liquidations: Mapping[str, Open] = field(default_factory=dict)
    outside: Mapping[str, int] = field(default_factory=dict)
    net: Mapping[str, int] = field(default_factory=dict)
    gates: Mapping[str, Gate] = field(default_factory=dict)
    stamps: Stamps = field(default_factory=Stamps)

    @property
    def book(self) -> Positions:
        """The positions.

        Raises:
            StateError: no book is loaded.
        """
        if self.positions is None:
            raise StateError("engine: expected a loaded book, got none; load one first")
        return self.positions

    @property
    def rules(self) -> Venue:
        """The edition.

        Raises:
            StateError: no book is loaded.
        """
        if self.venue is None:
            raise StateError("engine: expected a loaded book, got none; load one first")
        return self.venue

    @property
    def terms(self) -> Terms:
        """What queues are ordered by now.

        Raises:
            StateError: no book is loaded.
        """
        return Terms(self.rules, tuple(self.scales.values()))

    def scale(self, market: str) -> MarketScale:
        """Give a market at its mark.

        Raises:
            InputError: there is no such market.
            StateError: no book is loaded.
        """
        self.book.roster.code(market)
        return self.scales[market]

    def pool_behind(self, market: str) -> Pool | None:
        """Give the pool behind a market at the time of the state, or None."""
        name = self.backing.get(market)
        return None if name is None else self.pools[name].advance(self.at)

    def group_of(self, pool: Pool | None) -> tuple[Pool, ...] | None:
        """Give the pools that answer for each other with one, itself as it is given, at its time.

        Args:
            pool: one of the state's, or what is to become of it; None where there is none.
        """
        if pool is None:
            return None
        others = (
            one.advance(pool.at)
            for name, one in self.pools.items()
            if pool.group and one.group == pool.group and name != pool.name
        )
        return (pool, *others)

    def opened(self, name: str) -> Open:
        """Give an open liquidation.

        Raises:
            StateError: there is none of that name.
        """
        if name not in self.liquidations:
            known = ", ".join(self.liquidations) or "none"
            raise StateError(f"liquidation: expected an open one ({known}), got {name!r}")
        return self.liquidations[name]

    def offset(self, market: str) -> int:
        """Give long less short lots over positions, pool and outside: 0 or a guarantee broke."""
        pool = self.pool_behind(market)
        held = 0 if pool is None else pool.inventory(market).lots
        return self.net.get(market, 0) + self.outside.get(market, 0) + held

    def unit(self, asset: str) -> Decimal:
        """Give the money unit of a settlement asset.

        Raises:
            InputError: no market settles in it.
        """
        units = {scale.settle: scale.money_unit for scale in self.scales.values()}
        if asset not in units:
            known = ", ".join(sorted(units)) or "none"
            raise InputError(f"asset: expected one of {known}, got {asset!r}")
        return units[asset]


def queue_name(market: str, side: str) -> str:
    """Name one side of one market."""
    return f"{market}/{side}"


def opposite(side: str) -> str:
    """Give the other side."""
    return SIDES[1 - SIDES.index(side)]


@cache
def manual_trigger() -> Trigger:
    """Give the trigger of an edition that is deleveraged by hand only."""
    line = Line(kind=ConditionKind.MANUAL, bound=Bound.INCLUSIVE, numbers={})
    return Trigger(arms=(Arm(starts=(line,)),))


def triggers_of(
    venue: Venue, choices: Choices, scales: Mapping[str, MarketScale]
) -> dict[str, Trigger]:
    """Give the trigger of every market; markets of equal units and lines share one.

    Raises:
        VenueError: something the venue never published must be chosen first.
        InputError: a lot is no whole part of a contract, and the trigger counts contracts, or
            lines are chosen for an unknown market.
    """
    for market in choices.lines:
        if market not in scales:
            hint = nearest_name(market, scales)
            raise InputError(f"lines: expected a market of the book, got {market!r}{hint}")
    made: dict[tuple[object, ...], Trigger] = {}
    found = {}
    for market, scale in scales.items():
        lines = tuple(sorted(choices.lines.get(market, {}).items()))
        key = (scale.money_units_per_asset, scale.lot_size, lines)
        if key not in made:
            made[key] = _trigger(choices.for_market(venue, market), choices, scale)
        found[market] = made[key]
    return found


def _trigger(venue: Venue, choices: Choices, scale: MarketScale) -> Trigger:
    """Give the trigger of one market."""
    if choices.is_manual:
        return manual_trigger()
    per_contract = 1 / Fraction(scale.lot_size)
    counts = any(
        item.kind is ConditionKind.LIQUIDATION_BACKLOG for item in venue.trigger.conditions
    )
    if counts and per_contract.denominator != 1:
        raise InputError(
            f"lot_size of {scale.market}: expected a whole part of a contract, as the trigger "
            f"counts contracts, got {scale.lot_size:f}"
        )
    return Trigger.of(
        venue,
        money_units_per_asset=scale.money_units_per_asset,
        lots_per_contract=max(1, int(per_contract)),
        bound=choices.bound,
        stop=choices.stop,
    )


def waterfall_of(state: State, market: str) -> Waterfall:
    """Give the steps of a liquidation in one market.

    Raises:
        VenueError: something the venue never published must be chosen first.
    """
    choices, venue = state.choices, state.rules
    return Waterfall.of(
        venue,
        state.triggers[state.scale(market).market],
        pool=choices.pool,
        surplus=choices.surplus,
        remainder=choices.remainder,
        standing=choices.standing,
        difference=choices.difference,
    )


def is_gate_in_blocks(venue: Venue) -> bool:
    """Tell whether an edition's withdrawal gate counts blocks and not time."""
    part = venue.backstop
    return part is not None and any(number.name == "gate_blocks" for number in part.numbers)
