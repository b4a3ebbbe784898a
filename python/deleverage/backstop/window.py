"""A number over a rolling window of event time: its exact peak, average and opening value.

The number is a step function: what is put at an instant holds from then until the next one, and
of several values put at one instant the last holds. The window is (now - length, now]. A value
belongs to it if it was in force at any moment of it: what was put before the window began counts
until the moment it was replaced, and no longer if that moment is exactly now - length.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Self

from deleverage.errors import InputError, StateError

__all__ = ["EIGHT_HOURS", "HOUR", "Segment", "Window", "whole"]

HOUR = 3_600_000_000_000
"""Nanoseconds in one hour."""

EIGHT_HOURS = 8 * HOUR
"""The window that venues name most often, in nanoseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A value and the half-open stretch of time [start, end) in which it held, in ns."""

    start: int
    end: int
    value: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Cell:
    """One entry of an immutable stack, with the largest value of it and all below it."""

    segment: Segment
    peak: int
    below: "_Cell | None"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """A number over a rolling window; every step gives a new window and keeps the old one.

    Two stacks make a queue whose peak is known at its ends, so that a step costs amortised
    constant time however many values the window holds, and an old window stays valid.

    Attributes:
        length: of the window, ns, at least 1.
        now: right end of the window, ns UTC.
        since: when the present value was put, ns UTC.
        value: the present value.
        front: the older of the values before it, oldest on top; use `segments`.
        back: the newer ones, newest on top.
        area: sum of value times duration of both.
    """

    length: int
    now: int
    since: int
    value: int
    front: _Cell | None = field(default=None, repr=False)
    back: _Cell | None = field(default=None, repr=False)
    area: int = field(default=0, repr=False)

    @classmethod
    def open(cls, *, length: int, at: int, value: int) -> Self:
        """Start a window with its first value.

        Args:
            length: of the window, ns, at least 1.
            at: time of the first value, ns UTC; nothing is known before it.
            value: the first value.

        Raises:
            InputError: a figure is not an int, or the length is below 1.
        """
        whole("window length", length, least=1)
        whole("time", at)
        return cls(length=length, now=at, since=at, value=whole("value", value))

    def advance(self, at: int) -> Self:
        """Let time pass; the present value stays in force.

        Raises:
            InputError: the time is not an int.
            StateError: time runs backwards.
        """
        if whole("time", at) < self.now:
            raise StateError(f"time: expected at least {self.now}, got {at}; it runs forwards only")
        if at == self.now:
            return self
        front, back, area = self.front, self.back, self.area
        while front is not None and front.segment.end <= at - self.length:
            area -= _area(front.segment)
            front = front.below
            if front is None:
                front, back = _turned(back), None
        return replace(self, now=at, front=front, back=back, area=area)

    def put(self, at: int, value: int) -> Self:
        """Put a value that holds from this instant on.

        Raises:
            InputError: a figure is not an int.
            StateError: time runs backwards.
        """
        whole("value", value)
        moved = self.advance(at)
        if value == self.value:
            return moved
        if at == moved.since:
            return replace(moved, value=value)
        segment = Segment(start=moved.since, end=at, value=moved.value)
        front, back = moved.front, moved.back
        if front is None:
            front = _pushed(None, segment)
        else:
            back = _pushed(back, segment)
        area = moved.area + _area(segment)
        return replace(moved, since=at, value=value, front=front, back=back, area=area)

    @property
    def peak(self) -> int:
        """The largest value in force in the window."""
        stacks = (self.front, self.back)
        return max([self.value, *(cell.peak for cell in stacks if cell is not None)])

    @property
    def opening(self) -> int:
        """The value in force at now - length, or the first one where the history is shorter."""
        return self.value if self.front is None else self.front.segment.value

    @property
    def average(self) -> Fraction:
        """The time-weighted average over the part of the window that is known, exactly.

        Where no time has passed since the first value it is that value.
        """
        begin = self.since if self.front is None else self.front.segment.start
        area = self.area + self.value * (self.now - self.since)
        cut = self.now - self.length
        if begin < cut:
            area -= self.opening * (cut - begin)
            begin = cut
        if begin == self.now:
            return Fraction(self.value)
        return Fraction(area, self.now - begin)

    def segments(self) -> Iterator[Segment]:
        """Give what held in the window, oldest first; the last segment ends now."""
        cell = self.front
        while cell is not None:
            yield cell.segment
            cell = cell.below
        cell = _turned(self.back)
        while cell is not None:
            yield cell.segment
            cell = cell.below
        yield Segment(start=self.since, end=self.now, value=self.value)

    def value_at(self, at: int) -> int | None:
        """Give the value that was in force at an instant, or None where nothing was known yet.

        Args:
            at: from now - length to now, ns UTC.

        Raises:
            InputError: the instant is outside the window.
        """
        if not self.now - self.length <= whole("time", at) <= self.now:
            span = f"{self.now - self.length} to {self.now}"
            raise InputError(f"time: expected {span} (what the window holds), got {at}")
        if at >= self.since:
            return self.value
        held = (part.value for part in self.segments() if part.start <= at < part.end)
        return next(held, None)

    def __eq__(self, other: object) -> bool:
        """Two windows are equal if they hold the same values over the same time."""
        if not isinstance(other, Window):
            return NotImplemented
        return self.length == other.length and tuple(self.segments()) == tuple(other.segments())

    def __hash__(self) -> int:
        return hash((self.length, self.now, self.since, self.value))

    def __reduce__(self) -> tuple[object, ...]:
        """Copy and pickle a window by what it holds: its stacks are deeper than recursion goes."""
        return _restored, (type(self), self.length, tuple(self.segments()))


def whole(what: str, value: int, *, least: int | None = None) -> int:
    """Give a number back if it is an int and not too small.

    Args:
        what: its name in the message.
        value: the number.
        least: the smallest legal value; None for no limit.

    Raises:
        InputError: it is no int, or below `least`.
    """
    if type(value) is not int:
        raise InputError(f"{what}: expected an int, got {value!r}")
    if least is not None and value < least:
        raise InputError(f"{what}: expected at least {least}, got {value}")
    return value


def _area(segment: Segment) -> int:
    """Give value times duration."""
    return segment.value * (segment.end - segment.start)


def _pushed(stack: _Cell | None, segment: Segment) -> _Cell:
    """Put a segment on a stack."""
    peak = segment.value if stack is None else max(segment.value, stack.peak)
    return _Cell(segment, peak, stack)


def _turned(stack: _Cell | None) -> _Cell | None:
    """Give a stack in the opposite order."""
    turned = None
    while stack is not None:
        turned = _pushed(turned, stack.segment)
        stack = stack.below
    return turned


def _restored(kind: type[Window], length: int, segments: tuple[Segment, ...]) -> Window:
    """Build a window again from what it held, the present value last."""
    *settled, present = segments
    front = None
    for segment in reversed(settled):
        front = _pushed(front, segment)
    area = sum(_area(segment) for segment in settled)
    return kind(
        length=length,
        now=present.end,
        since=present.start,
        value=present.value,
        front=front,
        area=area,
    )
