"""The ten-point check of one's own position: five questions, two points each.

Leverage at or above 15x, profit above 3 % of notional, extreme funding, a liquidation spike or a
thin session, a light above the middle: 0 to 3 points are low, 4 to 6 are one to watch, from 7 on
one plans for it. The questions are those of a published self-check for traders; it gives no number
for extreme funding, so that line is assumed. A question whose input is missing counts nothing and
says so: the sum is then the least it can be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType

import polars as pl

from deleverage.advice.flags import require_flag
from deleverage.advice.holding import Holding, find
from deleverage.advice.standing import Standing, stand
from deleverage.advice.surroundings import Fund, Surroundings, surround
from deleverage.errors import InputError
from deleverage.explanation import show
from deleverage.model.records import Venue
from deleverage.model.refusals import plain
from deleverage.model.scalars import exact_of
from deleverage.model.snapshot import Snapshot
from deleverage.model.sources import FrameLike
from deleverage.model.terms import Evidence
from deleverage.planning.inputs import Frames, Number, read_frames

__all__ = ["Check", "Conditions", "Point", "Verdict", "check", "check_holding"]

LEVERAGE = Fraction(15)
PROFIT = Fraction(3, 100)
FUNDING = Decimal("0.001")
"""Extreme funding an interval, either way, unless the caller says another line."""
POINTS = 2
WATCH, PLAN = 4, 7


class Verdict(StrEnum):
    """What the sum of the points says."""

    LOW = "low"
    WATCH = "watch"
    PLAN = "plan for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What no position frame knows; None is not known.

    Attributes:
        funding_rate: of one interval, as a fraction: 0.0005 is 0.05 %.
        funding_line: from which on funding is extreme, either way.
        is_liquidation_spike: liquidations come in numbers right now.
        is_thin_session: the book is thin right now: a weekend, a holiday, a night.
        fund: the insurance pool's figures; they warn and are not scored.
    """

    funding_rate: Fraction | None = None
    funding_line: Fraction = Fraction(FUNDING)
    is_liquidation_spike: bool | None = None
    is_thin_session: bool | None = None
    fund: Fund | None = None

    @classmethod
    def of(
        cls,
        *,
        funding_rate: Number | None = None,
        funding_line: Number = FUNDING,
        liquidation_spike: bool | None = None,
        thin_session: bool | None = None,
        pool_balance: Number | None = None,
        pool_peak: Number | None = None,
    ) -> "Conditions":
        """Read the conditions as `check` takes them.

        Raises:
            InputError: a number is none, the line is not above zero, one of the pool's two
                figures is missing, or a flag is not true, false or None.
        """
        require_flag(liquidation_spike, "liquidation_spike")
        require_flag(thin_session, "thin_session")
        line = exact_of(funding_line, "funding_line")
        if line <= 0:
            raise InputError(f"funding_line: expected a rate above zero, got {plain(funding_line)}")
        if (pool_balance is None) != (pool_peak is None):
            missing = "pool_balance" if pool_balance is None else "pool_peak"
            raise InputError(f"{missing}: expected a number beside the other one, got none")
        fund = None
        if pool_balance is not None and pool_peak is not None:
            fund = Fund.of(pool_balance, pool_peak)
        rate = None if funding_rate is None else exact_of(funding_rate, "funding_rate")
        return cls(
            funding_rate=rate,
            funding_line=line,
            is_liquidation_spike=liquidation_spike,
            is_thin_session=thin_session,
            fund=fund,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One question of the check.

    Attributes:
        question: in words, with its line.
        is_met: the answer, or None where an input is missing.
        numbers: what it was answered from.
        points: 2 where it is met, else 0.
        evidence: `published`, or `assumed` where the line is ours or the caller's.
    """

    question: str
    is_met: bool | None
    numbers: str
    evidence: Evidence

    @property
    def points(self) -> int:
        """2 where it is met, else 0."""
        return POINTS if self.is_met else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The five answers, their sum, and what stands beside it.

    Attributes:
        points: the five questions.
        standing: the position in its queue.
        surroundings: liquidity and warnings, not scored.
    """

    points: tuple[Point, ...]
    standing: Standing
    surroundings: Surroundings

    @property
    def total(self) -> int:
        """The sum, 0 to 10."""
        return sum(one.points for one in self.points)

    @property
    def at_most(self) -> int:
        """The sum if every question without an answer were met."""
        return self.total + POINTS * sum(one.is_met is None for one in self.points)

    @property
    def verdict(self) -> Verdict:
        """What the sum says."""
        return _verdict(self.total)

    def frame(self) -> pl.DataFrame:
        """Give the questions as a frame: question, answer, points, numbers, evidence."""
        answers = {True: "yes", False: "no", None: "not known"}
        rows = [
            (one.question, answers[one.is_met], one.points, one.numbers, str(one.evidence))
            for one in self.points
        ]
        schema = ["question", "answer", "points", "numbers", "evidence"]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def facts(self) -> Mapping[str, object]:
        """The sum for people and for JSON, value by name."""
        return MappingProxyType(
            {
                "points": self.total,
                "at_most": self.at_most,
                "verdict": str(self.verdict),
                "verdict_at_most": str(_verdict(self.at_most)),
            }
        )

    def __str__(self) -> str:
        """The check as plain text."""
        marks = {True: "+2", False: " 0", None: " ?"}
        lines = [f"{marks[one.is_met]}  {one.question}: {one.numbers}" for one in self.points]
        range_ = f"{self.total}" if self.total == self.at_most else f"{self.total}..{self.at_most}"
        lines.append(f"{range_} of {POINTS * len(self.points)} points: {self.verdict}")
        return "\n".join([str(self.standing), *lines, *self.surroundings.lines()])


def check(
    positions: FrameLike | Snapshot,
    *,
    account: str | int,
    market: str | int | None = None,
    side: str | None = None,
    position_id: int | str | None = None,
    funding_rate: Number | None = None,
    funding_line: Number = FUNDING,
    liquidation_spike: bool | None = None,
    thin_session: bool | None = None,
    pool_balance: Number | None = None,
    pool_peak: Number | None = None,
    marks: FrameLike | None = None,
    venue: Venue | None = None,
    accounts: FrameLike | None = None,
    markets: FrameLike | None = None,
    neutral: FrameLike | None = None,
) -> Check:
    """Ask the five questions of one position.

    Args:
        positions: a position frame, or a `Snapshot`; then no other frame but `marks` is given.
        account: who asks.
        market: needed where the account has positions in several.
        side: `long` or `short`, where it has both.
        position_id: where it has several.
        funding_rate: of one interval, as a fraction: 0.0005 is 0.05 %.
        funding_line: from which on funding is extreme, either way; 0.1 % is assumed.
        liquidation_spike: whether liquidations come in numbers right now.
        thin_session: whether the book is thin right now.
        pool_balance: of the insurance pool; with `pool_peak` it may add a warning.
        pool_peak: highest balance of the venue's window.
        marks: market and mark_price.
        venue: the edition; beside a snapshot it may be left out.
        accounts: margin pools of cross accounts.
        markets: contract sizes and units.
        neutral: delta-neutral accounts.

    Raises:
        InputError: an input is not what the contract says, or the account has no such position or
            several.
    """
    frames = Frames(
        positions=positions,
        marks=marks,
        venue=venue,
        accounts=accounts,
        markets=markets,
        neutral=neutral,
    )
    conditions = Conditions.of(
        funding_rate=funding_rate,
        funding_line=funding_line,
        liquidation_spike=liquidation_spike,
        thin_session=thin_session,
        pool_balance=pool_balance,
        pool_peak=pool_peak,
    )
    snapshot = read_frames(frames)
    holding = find(snapshot, account, market=market, side=side, position_id=position_id)
    return check_holding(holding, conditions)


def check_holding(holding: Holding, conditions: Conditions) -> Check:
    """Ask the five questions of a position that was found before."""
    standing = stand(holding, holding.state)
    return Check(
        points=(
            _leverage(standing),
            _profit(standing),
            _funding(conditions),
            _session(conditions),
            _light(standing),
        ),
        standing=standing,
        surroundings=surround(holding, conditions.fund),
    )


def _verdict(points: int) -> Verdict:
    if points >= PLAN:
        return Verdict.PLAN
    return Verdict.WATCH if points >= WATCH else Verdict.LOW


def _leverage(standing: Standing) -> Point:
    leverage = standing.leverage
    shown = standing.leverage_source if leverage is None else f"{show(leverage)}x"
    return Point(
        question=f"leverage at or above {LEVERAGE}x",
        is_met=None if leverage is None else leverage >= LEVERAGE,
        numbers=shown if leverage is None else f"{shown}, {standing.leverage_source}",
        evidence=Evidence.PUBLISHED,
    )


def _profit(standing: Standing) -> Point:
    profit, notional = standing.profit, standing.notional
    return Point(
        question=f"profit above {show(PROFIT * 100)} % of notional",
        is_met=profit > PROFIT * notional,
        numbers=f"{show(profit)} / {show(notional)} = {show(profit / notional * 100)} %",
        evidence=Evidence.PUBLISHED,
    )


def _funding(conditions: Conditions) -> Point:
    rate, line = conditions.funding_rate, conditions.funding_line
    return Point(
        question=f"funding at or beyond {show(line * 100)} % an interval",
        is_met=None if rate is None else abs(rate) >= line,
        numbers="no funding rate given" if rate is None else f"{show(rate * 100)} %",
        evidence=Evidence.ASSUMED,
    )


def _session(conditions: Conditions) -> Point:
    """A spike or a thin session; one that is known to be there is enough."""
    known = {
        "liquidation spike": conditions.is_liquidation_spike,
        "thin session": conditions.is_thin_session,
    }
    words = {True: "yes", False: "no", None: "not known"}
    is_open = None in known.values()
    return Point(
        question="liquidation spike or thin session",
        is_met=True if True in known.values() else None if is_open else False,
        numbers=", ".join(f"{name}: {words[one]}" for name, one in known.items()),
        evidence=Evidence.PUBLISHED,
    )


def _light(standing: Standing) -> Point:
    return Point(
        question="light above the middle",
        is_met=2 * standing.light > standing.bands + 1,
        numbers=f"light {standing.light} of {standing.bands}",
        evidence=Evidence.PUBLISHED,
    )
