"""Whether deleveraging begins, goes on or ends, and the numbers that say so.

A trigger has arms. An arm begins when its start lines hold and ends by stop lines of its own: those
of the same kind if the edition has any, else the edition's other stops. Between the two lines an
arm stays as it is, so that a fund that trembles on a line does not switch deleveraging on and off.
Deleveraging is active while any arm is. A warning is given while no arm is active but one is past
the line at which it would stop, or has some of the start lines that must all hold.

What a venue never published is not filled in here: a number, a bound or a way to stop that is
missing is refused by name, and `gaps` lists them beforehand.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Self

from deleverage.backstop.lines import FIXED_BOUNDS, STOP_ONLY, Facts, Line, Reading
from deleverage.backstop.window import HOUR
from deleverage.errors import StateError, VenueError
from deleverage.model.parts import Condition
from deleverage.model.records import Venue, named_conditions
from deleverage.model.terms import Bound, Combine, ConditionKind

__all__ = ["Arm", "ArmState", "State", "Status", "StopReading", "Trigger", "gaps"]

MINUTE = HOUR // 60
TIMES = {"window_hours": ("window", HOUR), "hours": ("time", HOUR), "minutes": ("time", MINUTE)}
MONEY = ("level", "threshold", "amount", "balance", "loss", "limit")
# Of these the smaller number is the worse one; of all others the larger.
FALLING = ("level", "threshold")
# A line of one kind must be read over one window and behind one balance line.
SHARED = ("window", "balance")
UNPUBLISHED_START = "trigger.unpublished"
UNPUBLISHED_STOP = "stop.unpublished"


class State(StrEnum):
    """What a trigger says."""

    IDLE = "idle"
    WARNING = "warning"
    ACTIVE = "active"


class StopReading(StrEnum):
    """How to read an edition that never says when deleveraging ends.

    `ceases`: as soon as the start lines do not all hold; `offset`: when the bankrupt quantity is
    offset.
    """

    CEASES = "ceases"
    OFFSET = "offset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Start lines that must all hold, and what ends the deleveraging they began.

    Attributes:
        starts: at least one.
        stops: none means that it ends as soon as the start lines do not all hold.
        combine: whether any of the stops ends it, or all together.
    """

    starts: tuple[Line, ...]
    stops: tuple[Line, ...] = ()
    combine: Combine = Combine.ANY

    def __post_init__(self) -> None:
        """Refuse an arm that contradicts itself."""
        if not self.starts:
            raise VenueError("trigger: expected at least one start line, got none")
        for line in self.starts:
            if line.kind in STOP_ONLY:
                raise VenueError(f"trigger.{line.kind}: expected a start, got what only stops")
        for line in (*self.starts, *self.stops):
            _check_numbers(line)
        for start in self.starts:
            for stop in self.stops:
                if start.kind is stop.kind:
                    _check_pair(start, stop)

    def read_starts(self, facts: Facts) -> tuple[Reading, ...]:
        """Read every start line.

        Raises:
            InputError: a fact is missing.
        """
        return tuple(line.read(facts, is_start=True) for line in self.starts)

    def read_stops(self, facts: Facts, since: int) -> tuple[bool, tuple[Reading, ...]]:
        """Tell whether it ends, and what says so.

        Args:
            facts: what is so.
            since: when it began, ns UTC.

        Raises:
            InputError: a fact is missing.
        """
        if not self.stops:
            readings = self.read_starts(facts)
            return not all(reading.holds for reading in readings), readings
        readings = tuple(line.read(facts, is_start=False, since=since) for line in self.stops)
        joined = any if self.combine is Combine.ANY else all
        return joined(reading.holds for reading in readings), readings

    def warns(self, facts: Facts, starts: tuple[Reading, ...]) -> bool:
        """Tell whether an arm that is not active is on its way.

        Args:
            facts: what is so.
            starts: what its start lines found.

        Raises:
            InputError: a fact is missing.
        """
        kinds = [line.kind for line in self.starts]
        between = (
            replace(line, bound=_other(line.bound)).read(facts, is_start=True).holds
            for line in self.stops
            if line.kind in kinds
        )
        return any(reading.holds for reading in starts) or any(between)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmState:
    """Whether one arm is active.

    Attributes:
        is_active: it began and did not end.
        since: when it began, ns UTC; None while it is not active.
        cause: the start lines that began it.
    """

    is_active: bool = False
    since: int | None = None
    cause: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a trigger said last.

    Attributes:
        state: idle, warning or active.
        at: when, ns UTC.
        arms: one a arm of the trigger, in its order.
        decided: the lines that decided it.
    """

    state: State
    at: int
    arms: tuple[ArmState, ...]
    decided: tuple[Reading, ...] = ()

    @property
    def reason(self) -> str:
        """What decided it, in one line with its numbers."""
        return "; ".join(reading.text for reading in self.decided) or "nothing was read yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The start and stop lines of one edition, ready to be read.

    Attributes:
        arms: each with its own start and stop; active if any of them is.
    """

    arms: tuple[Arm, ...]

    @classmethod
    def of(
        cls,
        venue: Venue,
        *,
        money_units_per_asset: int,
        lots_per_contract: int = 1,
        bound: Bound | None = None,
        stop: StopReading | None = None,
        own: tuple[Arm, ...] = (),
    ) -> Self:
        """Build the trigger of a venue edition.

        Args:
            venue: the edition, with its required numbers supplied (`Venue.with_parameters`).
            money_units_per_asset: integer money units in one asset of the fund.
            lots_per_contract: lots in one contract, for a line that counts contracts.
            bound: how to read a line whose bound was never published.
            stop: how to read an edition that never says when deleveraging ends.
            own: arms of one's own, where the trigger itself was never published.

        Raises:
            VenueError: the edition's trigger was never published and no arms are given (or it
                was and some are), something must be supplied first (all of it is named), or a
                stop line contradicts its start.
        """
        missing = gaps(venue)
        is_unpublished = UNPUBLISHED_START in missing
        if is_unpublished != bool(own):
            wanted = (
                "its trigger was never published and cannot be modelled; pass own= with arms of "
                "your own"
                if is_unpublished
                else "its trigger is published; expected no own="
            )
            raise VenueError(f"{venue.name}: {wanted}")
        if is_unpublished:
            return cls(arms=own)
        missing = tuple(
            name
            for name in missing
            if not (name.endswith(".bound") and bound not in {None, Bound.UNPUBLISHED})
            and not (name == UNPUBLISHED_STOP and stop is not None)
        )
        if missing:
            raise VenueError(
                f"{venue.name}: never published, to be supplied: {', '.join(missing)}; numbers "
                "with Venue.with_parameters, bounds with bound=, the way to stop with stop="
            )
        scales = {"quantity": lots_per_contract} | dict.fromkeys(MONEY, money_units_per_asset)
        arms = []
        for starts, stops in _pairs(venue):
            ends = tuple(
                _line(item, scales, bound, is_start=False)
                for item in stops
                if item.kind is not ConditionKind.UNPUBLISHED
            )
            if not ends and stop is StopReading.OFFSET:
                ends = (Line(kind=ConditionKind.OFFSET, bound=Bound.INCLUSIVE, numbers={}),)
            begins = tuple(_line(item, scales, bound, is_start=True) for item in starts)
            arms.append(Arm(starts=begins, stops=ends, combine=venue.stop.combine))
        return cls(arms=tuple(arms))

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of the windows that its pool must keep, ns, sorted."""
        lines = (line for arm in self.arms for line in (*arm.starts, *arm.stops))
        return tuple(sorted({line.window for line in lines if line.window is not None}))

    def idle(self, at: int) -> Status:
        """Give the state before anything was read.

        Args:
            at: ns UTC.
        """
        return Status(state=State.IDLE, at=at, arms=tuple(ArmState() for _ in self.arms))

    def step(self, status: Status, facts: Facts) -> Status:
        """Read the lines and give the next state; the old one stays as it is.

        Args:
            status: what this trigger said last.
            facts: what is so now.

        Raises:
            InputError: a fact that a line reads is missing.
            StateError: time runs backwards, or the status is that of another trigger.
        """
        if facts.at < status.at:
            raise StateError(
                f"time: expected at least {status.at}, got {facts.at}; it runs forwards only"
            )
        if len(status.arms) != len(self.arms):
            raise StateError(f"status: expected {len(self.arms)} arms, got {len(status.arms)}")
        arms: list[ArmState] = []
        began: list[Reading] = []
        kept: list[Reading] = []
        ended: list[Reading] = []
        watched: list[Reading] = []
        is_warning = False
        for arm, before in zip(self.arms, status.arms, strict=True):
            if before.is_active and before.since is not None:
                is_over, readings = arm.read_stops(facts, before.since)
                arms.append(ArmState() if is_over else before)
                (ended if is_over else kept).extend(readings)
                continue
            readings = arm.read_starts(facts)
            if all(reading.holds for reading in readings):
                arms.append(ArmState(is_active=True, since=facts.at, cause=readings))
                began.extend(readings)
                continue
            arms.append(ArmState())
            watched.extend(readings)
            is_warning = arm.warns(facts, readings) or is_warning
        if any(arm.is_active for arm in arms):
            state = State.ACTIVE
        else:
            state = State.WARNING if is_warning else State.IDLE
        decided = [*began, *kept] if state is State.ACTIVE else ended or watched
        return Status(state=state, at=facts.at, arms=tuple(arms), decided=tuple(decided))


def gaps(venue: Venue) -> tuple[str, ...]:
    """List what an edition's trigger lacks because the venue never published it.

    Returns:
        `part.kind.name` for a number, `part.kind.bound` for a line of which nobody knows whether
        reaching it counts, `stop.unpublished` where it is not known when deleveraging ends, and
        `trigger.unpublished` where the trigger itself is unknown and cannot be modelled.
    """
    names = []
    for part, group in (("trigger", venue.trigger), ("stop", venue.stop)):
        for path, item in named_conditions(part, group):
            if item.kind is ConditionKind.UNPUBLISHED:
                continue
            names += [f"{path}.{name}" for name in item.required]
            if item.bound is Bound.UNPUBLISHED and item.kind not in FIXED_BOUNDS:
                names.append(f"{path}.bound")
    if any(item.kind is ConditionKind.UNPUBLISHED for item in venue.trigger.conditions):
        names.append(UNPUBLISHED_START)
    known = [
        [end for end in ends if end.kind is not ConditionKind.UNPUBLISHED]
        for _, ends in _pairs(venue)
    ]
    if not all(known):
        names.append(UNPUBLISHED_STOP)
    return tuple(names)


Conditions = tuple[Condition, ...]


def _pairs(venue: Venue) -> Iterator[tuple[Conditions, Conditions]]:
    """Give the start conditions of each arm with the stop conditions that end it.

    A lock-out ends what a loss of the fund began and nothing else, where the edition has both.
    """
    starts, stops = venue.trigger.conditions, venue.stop.conditions
    kinds = [item.kind for item in starts]
    free = [item for item in stops if item.kind not in kinds]
    groups: Iterable[Conditions] = ((item,) for item in starts)
    if venue.trigger.combine is Combine.ALL:
        groups = [starts]
    for group in groups:
        mine = [_watched(item) for item in group]
        is_loss = any(item.kind is ConditionKind.FUND_LOSS for item in group)
        ends = tuple(item for item in stops if _watched(item) in mine) or tuple(
            item
            for item in free
            if item.kind is not ConditionKind.LOCKOUT
            or ConditionKind.FUND_LOSS not in kinds
            or is_loss
        )
        yield group, ends


def _watched(item: Condition) -> tuple[ConditionKind, Decimal | None]:
    """Give what a condition watches: its kind, and over which window."""
    hours = (number.value for number in item.numbers if number.name == "window_hours")
    return item.kind, next(hours, None)


def _line(item: Condition, scales: dict[str, int], bound: Bound | None, *, is_start: bool) -> Line:
    """Turn a condition of an edition into a line in whole units."""
    found = item.bound
    if found is Bound.UNPUBLISHED:
        fixed = FIXED_BOUNDS.get(item.kind)
        found = (bound or found) if fixed is None else fixed[0 if is_start else 1]
    numbers = {}
    for number in item.numbers:
        name, scale = TIMES.get(number.name, (number.name, scales.get(number.name, 1)))
        numbers[name] = _exact(number.value) * scale
    return Line(kind=item.kind, bound=found, numbers=numbers)


def _exact(value: Decimal) -> Fraction:
    """Give a number of an edition as a fraction."""
    if not value.is_finite():
        raise VenueError(f"number: expected a finite decimal, got {value}")
    return Fraction(value)


def _check_numbers(line: Line) -> None:
    """Refuse a bound that nobody knows, and a number that no line can have."""
    if line.bound is Bound.UNPUBLISHED:
        raise VenueError(f"{line.kind}.bound: expected inclusive or strict, got {line.bound}")
    for name, value in line.numbers.items():
        if name in {"window", "time"} and (value < 1 or value.denominator != 1):
            raise VenueError(f"{line.kind}.{name}: expected whole ns above 0, got {value}")
        if name not in FALLING and value < 0:
            raise VenueError(f"{line.kind}.{name}: expected at least 0, got {value}")


def _check_pair(start: Line, stop: Line) -> None:
    """Refuse a stop line that is reached where its start line is."""
    where = f"{start.kind}: start and stop"
    if set(start.numbers) != set(stop.numbers):
        raise VenueError(f"{where}: expected the same numbers, got {sorted(stop.numbers)}")
    numbers = {name: value for name, value in start.numbers.items() if name not in SHARED}
    for name in SHARED:
        if start.numbers.get(name) != stop.numbers.get(name):
            raise VenueError(f"{where}: expected one {name}, got {stop.numbers[name]}")
    for name, value in numbers.items():
        other = stop.numbers[name]
        if (other < value) if name in FALLING else (other > value):
            raise VenueError(
                f"{where}: expected {name} of the stop on the safe side of {value}, got {other}"
            )
    is_one_line = all(stop.numbers[name] == value for name, value in numbers.items())
    if is_one_line and start.bound is stop.bound is Bound.INCLUSIVE:
        raise VenueError(
            f"{where}: expected lines that are not both reached at once, got one line "
            "that counts for both"
        )


def _other(bound: Bound) -> Bound:
    """Give the bound that holds exactly where this one does not."""
    return Bound.STRICT if bound is Bound.INCLUSIVE else Bound.INCLUSIVE
