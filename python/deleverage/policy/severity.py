"""How much of a deficit is socialised, round after round: the severity that others then allocate.

A severity is a part of one in billionths, so that every step is exact and the same everywhere; a
square root is taken of whole numbers. The budget of a round never exceeds what is there to take.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Protocol

from deleverage.errors import InputError
from deleverage.policy.checks import check_whole, exact, whole_number

__all__ = [
    "Backoff",
    "Full",
    "Lagged",
    "MirrorDescent",
    "OnlineGradient",
    "Round",
    "Severity",
    "State",
    "Static",
    "budget",
]

BILLION = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of deleveraging; money units.

    Attributes:
        deficit: D, what is missing.
        capacity: U, profits that may be taken.
        largest: M, the largest of them.
        needed: what turned out to be needed, known only after the round.
    """

    deficit: int
    capacity: int
    largest: int = 0
    needed: int = 0

    def __post_init__(self) -> None:
        """Refuse amounts that are not whole or below zero.

        Raises:
            InputError: an amount is no whole number of 0 or more.
        """
        check_whole(
            deficit=self.deficit, capacity=self.capacity, largest=self.largest, needed=self.needed
        )
        if min(self.deficit, self.capacity, self.largest, self.needed) < 0:
            raise InputError(f"round: expected amounts of 0 or more, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a controller remembers: the severity it holds, and the rounds it has seen.

    Attributes:
        billionths: severity, 0 to 10**9.
        rounds: rounds learnt from.
        deficit: deficit of the last of them.
    """

    billionths: int
    rounds: int = 0
    deficit: int = 0

    @property
    def severity(self) -> Fraction:
        """The severity as a part of one."""
        return Fraction(self.billionths, BILLION)


class Severity(Protocol):
    """A controller: it decides before a round and learns after it."""

    def start(self) -> State:
        """Give the state before the first round."""
        ...

    def decide(self, state: State, now: Round) -> Fraction:
        """Give the severity of a round, 0 to 1; `now.needed` is not known yet and not read."""
        ...

    def learn(self, state: State, past: Round) -> State:
        """Give the state after a round."""
        ...


def budget(severity: Fraction, now: Round) -> int:
    """Give the money to take: the severity's part of the deficit, rounded down, and at most all.

    Raises:
        InputError: the severity is not an exact number in 0 to 1.
    """
    severity = exact("severity", severity)
    if not 0 <= severity <= 1:
        raise InputError(f"severity: expected 0 to 1, got {severity}")
    return min(int(severity * now.deficit // 1), now.capacity)


class _Held:
    """A controller that decides by the severity it holds."""

    __slots__ = ()

    def decide(self, state: State, now: Round) -> Fraction:
        """Give the severity reached so far."""
        del now
        return state.severity


class _FromFirst(_Held):
    """One that begins with the severity of its first round."""

    __slots__ = ()

    first: int

    def start(self) -> State:
        """Give the first severity."""
        return State(billionths=self.first)


class _Unmoved:
    """A controller that begins and stays with one severity; it learns of deficits only."""

    __slots__ = ()

    billionths: int

    def __post_init__(self) -> None:
        """Refuse what is no part of one.

        Raises:
            InputError: the severity is out of range.
        """
        _check("billionths", self.billionths)

    def start(self) -> State:
        """Give the severity itself, and no deficit."""
        return State(billionths=self.billionths)

    def learn(self, state: State, past: Round) -> State:
        """Count the round, and remember its deficit."""
        return _next(state, past, state.billionths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Static(_Unmoved, _Held):
    """The same severity in every round.

    Attributes:
        billionths: severity, 0 to 10**9.
    """

    billionths: int


class Full(Static):
    """All of the deficit, in every round."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(billionths=BILLION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff(_FromFirst):
    """Each deficit in a row multiplies the severity by a part; a quiet round restores it.

    Chitra, section 4: `first x part**k`. The recursion printed in its appendix H,
    `max(part x last, first)`, is `first` for ever, since the part is below one.

    Attributes:
        first: severity of the first round, billionths.
        part: what is left of it a round later, billionths.
    """

    first: int
    part: int

    def __post_init__(self) -> None:
        """Refuse what is no part of one.

        Raises:
            InputError: a number is out of range.
        """
        _check("first", self.first)
        _check("part", self.part)

    def learn(self, state: State, past: Round) -> State:
        """Back off after a deficit, start again without one."""
        left = state.billionths * self.part // BILLION if past.deficit else self.first
        return _next(state, past, left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lagged(_Unmoved):
    """A published severity that knows the deficit of the round before only.

    It takes its part of the last deficit, whatever the present one is, and never more than that.

    Attributes:
        billionths: severity, 0 to 10**9.
    """

    billionths: int = BILLION

    def decide(self, state: State, now: Round) -> Fraction:
        """Give the part of the present deficit that the last one amounts to."""
        if now.deficit == 0:
            return Fraction(0)
        return min(Fraction(1), state.severity * state.deficit / now.deficit)


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorDescent(_FromFirst):
    """Scalar mirror descent on `-l theta D + m (M - theta D)+ + n (theta D - D)+^2`.

    Chitra, appendix H. The deficit is normalised to one round's: `D = 1`, `M / D` the largest
    profit; steps shrink with the root of the round.

    Attributes:
        first: severity before the first round, billionths.
        step: step of the first round, billionths.
        revenue: l, what a unit of budget is worth.
        relief: m, what it is worth as long as it is below the largest profit.
    """

    first: int
    step: int
    revenue: Fraction = Fraction(1)
    relief: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        """Refuse what is no part of one.

        Raises:
            InputError: a number is out of range.
        """
        _check("first", self.first)
        whole_number("step", self.step)
        exact("revenue", self.revenue)
        exact("relief", self.relief)

    def learn(self, state: State, past: Round) -> State:
        """Take one step down the gradient, back into 0 to 1."""
        if past.deficit == 0:
            return _next(state, past, state.billionths)
        is_below = past.largest > state.severity * past.deficit
        # The square counts beyond the deficit only, where a severity of at most 1 never is.
        gradient = -self.revenue - (self.relief if is_below else 0)
        moved = state.billionths - self.step * gradient * _inverse_root(state.rounds + 1)
        return _next(state, past, _clipped(moved))


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineGradient(_FromFirst):
    """Projected gradient on the tracking loss `D |theta - needed|` ("Online Learning", prop. 1).

    The best step is `sqrt((1 + 2 P) / sum of D^2)`, with P the length of the path of what is
    needed: then the regret is at most `sqrt((1 + 2 P) sum of D^2)`.

    Attributes:
        first: severity before the first round, billionths.
        path: P, billionths.
        squares: the sum of squared deficits over all rounds, money units squared.
    """

    first: int
    path: int
    squares: int

    def __post_init__(self) -> None:
        """Refuse what makes no step.

        Raises:
            InputError: a number is out of range.
        """
        _check("first", self.first)
        check_whole(path=self.path, squares=self.squares)
        if self.path < 0 or self.squares <= 0:
            raise InputError(f"path, squares: expected 0, above 0, got {self.path}, {self.squares}")

    def learn(self, state: State, past: Round) -> State:
        """Move against the sign of what was too much or too little."""
        if past.deficit == 0:
            return _next(state, past, state.billionths)
        needed = min(Fraction(1), Fraction(past.needed, past.deficit))
        sign = (state.severity > needed) - (state.severity < needed)
        inside = Fraction((BILLION + 2 * self.path) * BILLION, self.squares)
        moved = state.billionths - sign * past.deficit * _root(inside)
        return _next(state, past, _clipped(moved))


def _next(state: State, past: Round, billionths: int) -> State:
    """Give the state after a round, with the severity of the next."""
    return State(billionths=billionths, rounds=state.rounds + 1, deficit=past.deficit)


def _root(value: Fraction) -> Fraction:
    """Give a square root, rounded down, exact to a billionth of a billionth."""
    scale = 10**18
    return Fraction(isqrt(value.numerator * scale * scale // value.denominator), scale)


def _inverse_root(rounds: int) -> Fraction:
    """Give `1 / sqrt(rounds)`, rounded up."""
    return 1 / _root(Fraction(rounds))


def _clipped(billionths: Fraction) -> int:
    """Give a severity in 0 to 10**9, rounded down."""
    return min(BILLION, max(0, billionths.numerator // billionths.denominator))


def _check(name: str, billionths: int) -> None:
    """Refuse a number that is no part of one."""
    whole_number(name, billionths, low=None)
    if not 0 <= billionths <= BILLION:
        raise InputError(f"{name}: expected 0 to {BILLION} billionths, got {billionths!r}")
