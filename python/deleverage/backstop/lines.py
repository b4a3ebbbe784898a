"""The lines of a trigger: what each compares, in whole numbers, and what it found.

A line compares a left with a right number, where more on the left is worse. As a start it holds
when the left is beyond the right, as a stop when it is back on the safe side. The numbers are
cross-multiplied, so a share is never divided and equality is exact. Whether reaching the number
counts is the line's own bound. A line whose share has no meaning (a fall from a peak that is not
above zero) is not reached, neither as a start nor as a stop.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from types import MappingProxyType

from deleverage.backstop.pool import Pool
from deleverage.errors import InputError
from deleverage.model.terms import Bound, ConditionKind
from deleverage.ranking import Rate

__all__ = [
    "FIXED_BOUNDS",
    "STOP_ONLY",
    "Facts",
    "Figure",
    "Kind",
    "Line",
    "Reading",
    "distance_to_bankruptcy",
]

Kind = ConditionKind
"""What a line measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is so at one instant. None is not said; a line that reads it refuses, by name.

    Attributes:
        at: ns UTC.
        pool: the fund, with its windows.
        market: the market in question, for its own profit and loss.
        group: pools whose balances count together.
        deficit: what the fund would have to pay for the liquidation in hand, money units.
        fund_notional: what the fund would hold if it took the position, money units
            (`Pool.notional_with`).
        position_margin: margin of the bankrupt position, money units.
        position_pnl: its unrealised profit, money units.
        unfilled_lots: of the liquidation, not closed in the market.
        to_bankruptcy: what the position can still lose, money units (`distance_to_bankruptcy`);
            at or below 0 once the mark has reached the bankruptcy price.
        remaining_lots: of the bankrupt quantity, not offset yet.
        backlog_lots: liquidation orders that wait in the market.
        backlog_since: when that backlog began, ns UTC.
        account_value: equity of the liquidated account, money units.
        vault_loss: what the liquidator vault has lost, money units.
        traders_pnl: profit of the traders on one side, money units.
        pool_value: value of the pool that owes it, money units.
        is_backstop_full: no liquidity provider takes more.
        is_book_thin: the order book cannot take the liquidation.
        is_emergency: the venue's operator declared it.
        height: of the block, where a rule counts blocks.
    """

    at: int
    pool: Pool | None = None
    market: str | None = None
    group: tuple[Pool, ...] | None = None
    deficit: int | None = None
    fund_notional: int | None = None
    position_margin: int | None = None
    position_pnl: int | None = None
    unfilled_lots: int | None = None
    to_bankruptcy: int | None = None
    remaining_lots: int | None = None
    backlog_lots: int | None = None
    backlog_since: int | None = None
    account_value: int | None = None
    vault_loss: int | None = None
    traders_pnl: int | None = None
    pool_value: int | None = None
    is_backstop_full: bool | None = None
    is_book_thin: bool | None = None
    is_emergency: bool | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A named number that a decision rests on; an average is an exact fraction."""

    name: str
    value: int | Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one line found.

    Attributes:
        kind: of the line.
        is_start: a start line; otherwise a stop.
        holds: whether the line is reached.
        bound: whether reaching its number exactly counts.
        figures: the measured numbers and the line's own.
    """

    kind: Kind
    is_start: bool
    holds: bool
    bound: Bound
    figures: tuple[Figure, ...]

    @property
    def text(self) -> str:
        """The reading in one line."""
        word = "start" if self.is_start else "stop"
        told = ", ".join(f"{figure.name} {figure.value}" for figure in self.figures)
        reached = "reached" if self.holds else "not reached"
        return f"{word} {self.kind} ({self.bound}) {reached}: {told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One start or stop line with all of its numbers.

    Attributes:
        kind: what is measured.
        bound: whether reaching the number exactly counts.
        numbers: by name: shares as they are, money in money units, quantities in lots, times in
            ns (`window`, `time`).
    """

    kind: Kind
    bound: Bound
    numbers: Mapping[str, Fraction]

    @property
    def window(self) -> int | None:
        """Length of the window that the line reads, ns; None where it reads none."""
        return int(self.numbers["window"]) if "window" in self.numbers else None

    def read(self, facts: Facts, *, is_start: bool, since: int | None = None) -> Reading:
        """Compare.

        Args:
            facts: what is so.
            is_start: read as a start line; otherwise as a stop.
            since: when the deleveraging that a stop would end began, ns UTC.

        Raises:
            InputError: a fact that the line reads is not given, or the pool keeps no such window.
        """
        measure = _MEASURES[self.kind]
        found = measure(_Sight(facts=facts, numbers=self.numbers, since=since, kind=self.kind))
        if found.pairs is None:
            holds = False
        elif is_start:
            holds = all(_beyond(*pair, self.bound) for pair in found.pairs) and found.gate
        else:
            holds = any(_safe(*pair, self.bound) for pair in found.pairs)
        return Reading(
            kind=self.kind,
            is_start=is_start,
            holds=holds,
            bound=self.bound,
            figures=(*found.figures, *(_figure(*item) for item in self.numbers.items())),
        )


def distance_to_bankruptcy(lots: int, rate: Rate, bankruptcy_value: Fraction) -> int:
    """Give what a position at the mark can still lose, away from 0, so that 0 is exactly there.

    Args:
        lots: signed, not 0.
        rate: the mark.
        bankruptcy_value: value of all these lots at the bankruptcy price, money units.

    Returns:
        Money units; above 0 while the mark has not reached the bankruptcy price.
    """
    gain = 1 if (lots > 0) != rate.is_inverse else -1
    left = gain * (Fraction(abs(lots) * rate.mark_num, rate.mark_den) - bankruptcy_value)
    return ceil(left) if left > 0 else floor(left)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """What a measure sees: the facts, its numbers, and a way to refuse what is missing."""

    facts: Facts
    numbers: Mapping[str, Fraction]
    since: int | None
    kind: Kind

    def need(self, name: str) -> int:
        """Give an int among the facts, or refuse."""
        value = getattr(self.facts, name)
        if value is None:
            raise self.missing(name)
        if type(value) not in {int, bool}:
            raise InputError(f"{self.kind}: {name}: expected an int, got {value!r}")
        return int(value)

    def missing(self, name: str) -> InputError:
        """Say which fact is missing."""
        return InputError(f"{self.kind}: expected the fact {name!r}, got none")

    @property
    def pool(self) -> Pool:
        """The fund at the instant of the facts."""
        if self.facts.pool is None:
            raise self.missing("pool")
        return self.facts.pool.advance(self.facts.at)

    @property
    def window(self) -> int:
        """Length of the window, ns."""
        return int(self.numbers["window"])

    def share(self, name: str) -> tuple[int, int]:
        """Give a number of the line as numerator and denominator."""
        return self.numbers[name].numerator, self.numbers[name].denominator


Pair = tuple[int, int]


class _Found:
    """What a measure found: pairs to compare (None: no meaning), and what must be so besides."""

    __slots__ = ("figures", "gate", "pairs")

    def __init__(self, *pairs: Pair | None, gate: bool = True, **figures: int | Fraction) -> None:
        known = [pair for pair in pairs if pair is not None]
        self.pairs = known if len(known) == len(pairs) else None
        self.gate = gate
        self.figures = tuple(_figure(*item) for item in figures.items())


def _figure(name: str, value: int | Fraction) -> Figure:
    """Name a number, as an int where it is one."""
    is_whole = isinstance(value, Fraction) and value.denominator == 1
    return Figure(name=name, value=value.numerator if is_whole else value)


def _beyond(left: int, right: int, bound: Bound) -> bool:
    """Tell whether a start line is reached."""
    return left >= right if bound is Bound.INCLUSIVE else left > right


def _safe(left: int, right: int, bound: Bound) -> bool:
    """Tell whether a stop line is reached."""
    return left <= right if bound is Bound.INCLUSIVE else left < right


def _fund_level(sight: _Sight) -> _Found:
    num, den = sight.share("level")
    balance = sight.pool.balance
    return _Found((num, balance * den), balance=balance)


def _below_threshold(sight: _Sight) -> _Found:
    num, den = sight.share("threshold")
    balance = sight.pool.balance
    return _Found((num, balance * den), balance=balance)


def _recovery(sight: _Sight) -> _Found:
    line = sight.numbers["ratio"] * sight.numbers["threshold"]
    balance = sight.pool.balance
    return _Found((line.numerator, balance * line.denominator), balance=balance, line=line)


def _fall(sight: _Sight) -> _Found:
    """Compare the fall from the fund's own peak with a share of that peak."""
    num, den = sight.share("ratio")
    pool = sight.pool
    peak = pool.balance_window(sight.window).peak
    pair = ((peak - pool.balance) * den, num * peak) if peak > 0 else None
    return _Found(pair, balance=pool.balance, peak=peak)


def _loss(sight: _Sight) -> _Found:
    """Compare what the fund lost since the window began with a share of what it had then."""
    num, den = sight.share("ratio")
    pool = sight.pool
    opening = pool.balance_window(sight.window).opening
    pair = ((opening - pool.balance) * den, num * opening) if opening > 0 else None
    return _Found(pair, balance=pool.balance, opening=opening)


def _below_average(sight: _Sight) -> _Found:
    """Compare the fund with its average less the larger of a share of it and an amount."""
    pool = sight.pool
    average = pool.balance_window(sight.window).average
    line = average - max(sight.numbers["ratio"] * average, sight.numbers["amount"])
    pair = (line.numerator, pool.balance * line.denominator)
    return _Found(pair, balance=pool.balance, average=average, line=line)


def _market_drawdown(sight: _Sight) -> _Found:
    """Compare the fall of one market's profit with a share of the pool's peak.

    The rule is off while the balance is not above the edition's own number.
    """
    num, den = sight.share("ratio")
    pool = sight.pool
    if sight.facts.market is None:
        raise sight.missing("market")
    window = pool.pnl_window(sight.facts.market, sight.window)
    peak = pool.balance_window(sight.window).peak
    drop = window.peak - window.value
    return _Found(
        (drop * den, num * peak) if peak > 0 else None,
        gate=pool.balance > sight.numbers["balance"],
        pnl=window.value,
        pnl_peak=window.peak,
        pool_balance=pool.balance,
        pool_peak=peak,
    )


def _fund_short(sight: _Sight) -> _Found:
    available, deficit = sight.pool.available, sight.need("deficit")
    return _Found((deficit, available), deficit=deficit, available=available)


def _rejects(sight: _Sight) -> _Found:
    num, den = sight.share("limit")
    held = sight.need("fund_notional")
    return _Found((held * den, num), fund_notional=held)


def _notional_cap(sight: _Sight) -> _Found:
    num, den = sight.share("ratio")
    held, balance = sight.need("fund_notional"), sight.pool.balance
    return _Found((held * den, num * balance), fund_notional=held, balance=balance)


def _fund_and_position(sight: _Sight) -> _Found:
    num, den = sight.share("level")
    balance = sight.pool.balance
    margin, pnl = sight.need("position_margin"), sight.need("position_pnl")
    total = balance + margin + pnl
    pair = (num, total * den)
    return _Found(pair, balance=balance, position_margin=margin, position_pnl=pnl, sum=total)


def _fund_flat(sight: _Sight) -> _Found:
    lots = sum(abs(inventory.lots) for inventory in sight.pool.inventories)
    return _Found((lots, 0), held_lots=lots)


def _unfilled_at_bankruptcy(sight: _Sight) -> _Found:
    lots, distance = sight.need("unfilled_lots"), sight.need("to_bankruptcy")
    return _Found((0, distance), gate=lots > 0, unfilled_lots=lots, to_bankruptcy=distance)


def _counted(name: str) -> "Measure":
    """Give the measure that compares one fact with zero."""

    def measure(sight: _Sight) -> _Found:
        value = sight.need(name)
        found = _Found((value, 0))
        found.figures = (_figure(name, value),)
        return found

    return measure


def _flagged(name: str) -> "Measure":
    """Give the measure that is reached when one fact is true."""

    def measure(sight: _Sight) -> _Found:
        value = sight.need(name)
        found = _Found((value, 1))
        found.figures = (_figure(name, value),)
        return found

    return measure


def _backlog(sight: _Sight) -> _Found:
    """Compare volume and age of the waiting liquidations; both must be beyond their numbers."""
    lots = sight.need("backlog_lots")
    age = sight.facts.at - sight.need("backlog_since") if lots else 0
    if age < 0:
        raise InputError(f"{sight.kind}: backlog_since: expected at most {sight.facts.at}")
    num, den = sight.share("quantity")
    time_num, time_den = sight.share("time")
    return _Found((lots * den, num), (age * time_den, time_num), backlog_lots=lots, age=age)


def _equity(sight: _Sight) -> _Found:
    value = sight.need("account_value")
    return _Found((0, value), account_value=value)


def _vault_loss(sight: _Sight) -> _Found:
    num, den = sight.share("loss")
    loss = sight.need("vault_loss")
    return _Found((loss * den, num), vault_loss=loss)


def _lockout(sight: _Sight) -> _Found:
    """Compare the time since deleveraging began with the lock-out; more time is safer."""
    num, den = sight.share("time")
    elapsed = 0 if sight.since is None else sight.facts.at - sight.since
    return _Found((num, elapsed * den), elapsed=elapsed)


def _group_level(sight: _Sight) -> _Found:
    """Compare what the pools of a group are worth together; a pool without one stands alone."""
    num, den = sight.share("level")
    balance = sum(
        pool.advance(sight.facts.at).balance for pool in sight.facts.group or (sight.pool,)
    )
    return _Found((num, balance * den), group_balance=balance)


def _pool_factor(sight: _Sight) -> _Found:
    """Compare profit over pool value with a share; an empty pool has the factor 0 (GMX v2)."""
    num, den = sight.share("ratio")
    pnl, value = sight.need("traders_pnl"), sight.need("pool_value")
    pair = (pnl * den, num * value) if value > 0 else (0, num)
    return _Found(pair, gate=pnl > 0 and value > 0, traders_pnl=pnl, pool_value=value)


Measure = Callable[[_Sight], _Found]

_MEASURES: Mapping[Kind, Measure] = MappingProxyType(
    {
        ConditionKind.FUND_LEVEL: _fund_level,
        ConditionKind.FUND_DRAWDOWN: _fall,
        ConditionKind.FUND_BELOW_AVERAGE: _below_average,
        ConditionKind.FUND_BELOW_THRESHOLD: _below_threshold,
        ConditionKind.FUND_RECOVERY: _recovery,
        ConditionKind.FUND_SHORT: _fund_short,
        ConditionKind.FUND_REJECTS: _rejects,
        ConditionKind.FUND_NOTIONAL_CAP: _notional_cap,
        ConditionKind.FUND_LOSS: _loss,
        ConditionKind.FUND_AND_POSITION: _fund_and_position,
        ConditionKind.FUND_FLAT: _fund_flat,
        ConditionKind.SYMBOL_DRAWDOWN: _market_drawdown,
        ConditionKind.UNFILLED_AT_BANKRUPTCY: _unfilled_at_bankruptcy,
        ConditionKind.UNFILLED_REMAINDER: _counted("unfilled_lots"),
        ConditionKind.LIQUIDATION_BACKLOG: _backlog,
        ConditionKind.EQUITY_NEGATIVE: _equity,
        ConditionKind.VAULT_LOSS: _vault_loss,
        ConditionKind.BACKSTOP_FULL: _flagged("is_backstop_full"),
        ConditionKind.THIN_BOOK: _flagged("is_book_thin"),
        ConditionKind.LOCKOUT: _lockout,
        ConditionKind.OFFSET: _counted("remaining_lots"),
        ConditionKind.MANUAL: _flagged("is_emergency"),
        ConditionKind.GROUP_LEVEL: _group_level,
        ConditionKind.POOL_FACTOR: _pool_factor,
    }
)

STOP_ONLY = frozenset(
    {
        ConditionKind.FUND_RECOVERY,
        ConditionKind.FUND_FLAT,
        ConditionKind.LOCKOUT,
        ConditionKind.OFFSET,
    }
)
"""Kinds that end a deleveraging and cannot start one."""

FIXED_BOUNDS: Mapping[Kind, tuple[Bound, Bound]] = MappingProxyType(
    {
        ConditionKind.FUND_SHORT: (Bound.STRICT, Bound.INCLUSIVE),
        ConditionKind.UNFILLED_AT_BANKRUPTCY: (Bound.INCLUSIVE, Bound.STRICT),
        ConditionKind.UNFILLED_REMAINDER: (Bound.STRICT, Bound.INCLUSIVE),
        ConditionKind.BACKSTOP_FULL: (Bound.INCLUSIVE, Bound.STRICT),
        ConditionKind.THIN_BOOK: (Bound.INCLUSIVE, Bound.STRICT),
        ConditionKind.MANUAL: (Bound.INCLUSIVE, Bound.STRICT),
        ConditionKind.OFFSET: (Bound.STRICT, Bound.INCLUSIVE),
        ConditionKind.FUND_FLAT: (Bound.STRICT, Bound.INCLUSIVE),
        ConditionKind.LOCKOUT: (Bound.STRICT, Bound.INCLUSIVE),
    }
)
"""Kinds whose words alone fix the bound, as a start and as a stop: a fund that can pay exactly all
is not short, a mark that reaches the price has reached it, nothing left is nothing left."""
