"""An insurance pool carried through a replay: which bankruptcies it pays, and which come after it.

The pool and its start and stop lines are those of `backstop`, in whole money units. Before each
bankruptcy the lines are read:

- while nothing is active and the pool can pay all that the position lacks at the mark, it takes
  the position over and closes it there: nobody is cut;
- otherwise the position is closed against the other side, and the pool is left with the gap
  between the bankruptcy price and the edition's settlement price, if there is one.

What it costs depends on the dump, the edition and the lines alone, not on who is cut, so it is
settled before anybody is. Deficits are rounded up and surpluses down, against the pool.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from deleverage.backstop.lines import Facts, Line
from deleverage.backstop.pool import Pool
from deleverage.backstop.trigger import Arm, State, Trigger
from deleverage.backstop.window import HOUR
from deleverage.errors import InputError, VenueError
from deleverage.lab.dump import Dump
from deleverage.model.quantise import decimal_of
from deleverage.model.records import Venue
from deleverage.model.terms import Bound, ConditionKind
from deleverage.planning.pricing import settlement_price

__all__ = ["POOL", "Carried", "PoolTerms", "carried"]

_MONEY = pl.Decimal(38, 9)
_MOST = Decimal(10) ** 15
_MOST_SHARE = 1_000
POOL: Mapping[str, pl.DataType] = {
    "event": pl.UInt32(),
    "venue": pl.String(),
    "time": pl.Int64(),
    "market": pl.String(),
    "is_active": pl.Boolean(),
    "is_covered": pl.Boolean(),
    "paid": _MONEY,
    "unpaid": _MONEY,
    "balance": _MONEY,
    "start_line": _MONEY,
    "stop_line": _MONEY,
}
"""One row a venue and bankruptcy: is_active: between start and stop line then; is_covered: the pool
took the position, nobody was cut; paid: by the pool (below zero: received); unpaid: what it could
not pay; balance: after it; the lines as balances, null where the edition draws them otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTerms:
    """What the pool begins with, and lines of one's own.

    Attributes:
        cash: money of the settlement asset, 0 or more.
        start: share of it at or below which deleveraging starts; None takes the edition's trigger.
        stop: share of it at or above which deleveraging stops; None is the start.
        income: what fees bring it in an hour, money; it comes evenly.
    """

    cash: Decimal
    start: Decimal | None = None
    stop: Decimal | None = None
    income: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        """Refuse figures that contradict each other.

        Raises:
            InputError: names the figure.
        """
        for name, money in (("pool", self.cash), ("pool income", self.income)):
            if not (money.is_finite() and 0 <= money < _MOST):
                raise InputError(f"{name}: expected money, 0 or more, below {_MOST:f}, got {money}")
        for name, share in (("start", self.start), ("stop", self.stop)):
            if share is not None and not (share.is_finite() and 0 <= share <= _MOST_SHARE):
                raise InputError(
                    f"pool {name}: expected a share of the pool, 0 to {_MOST_SHARE}, got {share}"
                )
        if self.stop is not None and (self.start is None or self.stop < self.start):
            raise InputError(
                f"pool stop: expected at least the start, {self.start}, got {self.stop}"
            )
        if self.stop not in (None, self.start) and not self.cash:
            raise InputError("pool: expected more than 0 where two lines are shares of it, got 0")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carried:
    """What became of a pool.

    Attributes:
        history: see `POOL`.
        covered: bankruptcies that the pool took over.
    """

    history: pl.DataFrame
    covered: frozenset[int]


def carried(dump: Dump, venue: Venue, terms: PoolTerms) -> Carried:
    """Carry a pool through all bankruptcies of a dump, in event order.

    Args:
        dump: bankruptcies, marks and contract terms.
        venue: whose trigger and settlement price are used.
        terms: the pool.

    Returns:
        Its history.

    Raises:
        InputError: markets settle in several assets, a mark is missing, or the edition's lines or
            price take what a dump does not say.
        VenueError: the edition's trigger was never published; give lines of one's own.
    """
    unit = _money_unit(dump)
    trigger, lines = _trigger(venue, terms, unit)
    events = list(dump.bankruptcies.iter_rows(named=True))
    begin = int(events[0]["time"]) if events else 0
    cash = _units(Fraction(terms.cash) / unit, up=False)
    pool = Pool.open("replay", at=begin, cash=cash, **_lengths(trigger))
    status = trigger.idle(begin)
    rows: list[dict[str, object]] = []
    earned = 0
    for event, gaps in zip(events, _gaps(dump, venue, events), strict=True):
        at, market, lacking = int(event["time"]), str(event["market"]), gaps[0] / unit
        due = _units(Fraction(terms.income) / unit * (at - begin) / HOUR, up=False) - earned
        pool, earned = pool.contribute(due, at=at) if due else pool.advance(at), earned + due
        facts = Facts(at=at, pool=pool, market=market, deficit=max(0, _units(lacking, up=True)))
        status = trigger.step(status, facts)
        is_active = status.state is State.ACTIVE
        is_covered = not is_active and _units(lacking, up=True) <= pool.available
        cost = _units(lacking if is_covered else gaps[1] / unit, up=True)
        before, unpaid = pool.balance, 0
        if cost > 0:
            paid = pool.pay_deficit(market, cost, at=at)
            pool, unpaid = paid.pool, paid.unpaid
        elif cost < 0:
            pool = pool.receive_surplus(market, -cost, at=at)
        amounts = {"paid": before - pool.balance, "unpaid": unpaid, "balance": pool.balance}
        rows.append(
            {
                "event": event["event"],
                "venue": venue.name,
                "time": at,
                "market": market,
                "is_active": is_active,
                "is_covered": is_covered,
                **{name: decimal_of(amount * unit) for name, amount in amounts.items()},
                **lines,
            }
        )
    history = pl.DataFrame(rows, schema=dict(POOL))
    covered = history.filter("is_covered")["event"].to_list()
    return Carried(history=history, covered=frozenset(covered))


def _money_unit(dump: Dump) -> Fraction:
    """The one money unit of all markets."""
    names = [name for name in ("settle", "money_unit") if name in dump.markets.columns]
    kinds = dump.markets.select(names).unique().rows()
    if "money_unit" not in names or len(kinds) != 1:
        raise InputError(
            f"{dump.directory}: expected markets of one settlement asset and money unit for a "
            f"pool, got {len(kinds)}; replay without a pool"
        )
    return Fraction(str(dump.markets["money_unit"][0]))


def _trigger(
    venue: Venue, terms: PoolTerms, unit: Fraction
) -> tuple[Trigger, dict[str, Decimal | None]]:
    """The lines, and what they are as balances."""
    if terms.start is None:
        try:
            trigger = Trigger.of(venue, money_units_per_asset=_units(1 / unit, up=False))
        except VenueError as error:
            lines = "shares of the pool (--start, --stop)"
            raise VenueError(f"{error}; or replay with lines of your own, {lines}") from error
        return trigger, {"start_line": None, "stop_line": None}
    stop = terms.start if terms.stop is None else terms.stop
    levels = [terms.cash * share for share in (terms.start, stop)]
    start_line, stop_line = (
        Line(
            kind=ConditionKind.FUND_LEVEL,
            bound=Bound.INCLUSIVE,
            numbers={"level": Fraction(level) / unit},
        )
        for level in levels
    )
    # One line for both needs no stop of its own: it ends as soon as the start does not hold.
    arm = Arm(starts=(start_line,), stops=() if stop == terms.start else (stop_line,))
    places = Decimal("0.000000001")
    shown = dict(zip(("start_line", "stop_line"), levels, strict=True))
    return Trigger(arms=(arm,)), {name: each.quantize(places) for name, each in shown.items()}


def _lengths(trigger: Trigger) -> dict[str, Any]:
    """The windows that the lines read."""
    return {"lengths": trigger.lengths} if trigger.lengths else {}


def _gaps(
    dump: Dump, venue: Venue, events: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Fraction, Fraction]]:
    """What each position lacks at the mark, and at the settlement price, money; exact."""
    scales = {str(row["market"]): row for row in dump.markets.iter_rows(named=True)}
    marks: dict[tuple[int, str, int], tuple[Decimal, Decimal | None]] = {}
    previous = "previous_mark_price"
    names = [*("snapshot", "market", "time", "mark_price"), previous]
    frame = dump.marks
    if previous not in frame.columns:
        frame = frame.with_columns(pl.lit(None).alias(previous))
    for snapshot, market, time, mark, before in frame.select(names).iter_rows():
        marks[snapshot, str(market), time] = (mark, before)
    for event in events:
        market, bankruptcy = str(event["market"]), event["bankruptcy_price"]
        key = (event["snapshot"], market, event["time"])
        if key not in marks:
            raise InputError(
                f"{dump.directory}: expected a mark of {market} at {event['time']} "
                f"(event {event['event']}), got none"
            )
        mark, before = marks[key]
        price, _ = settlement_price(
            venue.price, mark=mark, previous_mark=before, bankruptcy=bankruptcy
        )
        if price is None:
            raise InputError(
                f"pool: edition {venue.name} settles by {venue.price.kind}, which takes what a "
                "dump does not say; replay it without a pool"
            )
        size = Fraction(event["qty"]) * Fraction(str(scales[market].get("contract_size", 1)))
        sign = 1 if str(event["side"]) == "long" else -1
        is_inverse = str(scales[market]["kind"]) == "inverse"
        yield tuple(  # type: ignore[misc] # two of them
            sign * size * _moved(bankruptcy, to, is_inverse=is_inverse) for to in (mark, price)
        )


def _moved(bankruptcy: Decimal, price: Decimal, *, is_inverse: bool) -> Fraction:
    """What a long contract lacks at a price against its bankruptcy price."""
    if is_inverse:
        return 1 / Fraction(price) - 1 / Fraction(bankruptcy)
    return Fraction(bankruptcy) - Fraction(price)


def _units(amount: Fraction, *, up: bool) -> int:
    """Whole units."""
    whole = amount.numerator // amount.denominator
    return whole + (up and amount.denominator != 1)
