"""Triggers for the tests: lines, funds with a past, and what a trigger says step by step."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from deleverage.backstop.lines import Facts, Kind, Line
from deleverage.backstop.pool import Pool
from deleverage.backstop.trigger import State, Status, StopReading, Trigger
from deleverage.backstop.window import HOUR
from deleverage.model.terms import Bound
from deleverage.venue import Venue

MINUTE = HOUR // 60


def line(kind: Kind, bound: Bound, **numbers: str | int) -> Line:
    """A line with its numbers in whole units."""
    exact = {name: Fraction(value) for name, value in numbers.items()}
    return Line(kind=kind, bound=bound, numbers=exact)


def fund(balance: int, *, peak: int | None = None, wait: int = HOUR) -> Pool:
    """A fund that stood at its peak first, and at its balance an hour later."""
    top = balance if peak is None else peak
    pool = Pool.open("fund", at=0, cash=top, may_be_negative=True)
    return pool.pay_deficit("A", top - balance, at=wait).pool


def of(name: str, **numbers: str) -> Trigger:
    """The trigger of an edition in whole assets; what it never published as the tests read it."""
    venue = Venue.load(name)
    values = {key.replace("__", "."): Decimal(value) for key, value in numbers.items()}
    return Trigger.of(
        venue.with_parameters(values),
        money_units_per_asset=1,
        bound=Bound.INCLUSIVE,
        stop=StopReading.CEASES,
    )


def follow(trigger: Trigger, moments: Iterable[Facts]) -> list[Status]:
    """What a trigger says, one fact after the other."""
    status, told = trigger.idle(0), []
    for facts in moments:
        status = trigger.step(status, facts)
        told.append(status)
    return told


def states(trigger: Trigger, moments: Iterable[Facts]) -> list[State]:
    """The states alone."""
    return [status.state for status in follow(trigger, moments)]


def levels(*balances: int) -> list[Facts]:
    """A fund that had these balances, one a minute, all of it by one market."""
    pool = Pool.open("fund", at=0, cash=balances[0], may_be_negative=True)
    moments = []
    for minute, balance in enumerate(balances):
        step = balance - pool.balance
        if step > 0:
            pool = pool.receive_surplus("A", step, at=minute * MINUTE)
        elif step < 0:
            pool = pool.pay_deficit("A", -step, at=minute * MINUTE).pool
        moments.append(Facts(at=minute * MINUTE, pool=pool, market="A"))
    return moments


def at_flag(name: str, value: object) -> Facts:
    """Facts that say one thing only."""
    return replace(Facts(at=0), **{name: value})
