"""The allocation policies that the laboratory knows, by name: the one table of `lab`.

A policy is asked for lots: who closes how many of a bankrupt position's. The queue needs nothing
but places; every other name stands for a rule of `deleverage.policy`. All of them see the same
candidates: those with a place in the venue's queue. A replay and a simulation call them by the same
names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InputError, InvariantError
from deleverage.policy import (
    By,
    Capped,
    Contracts,
    FactorDraining,
    LeverageDraining,
    MinMax,
    ProRata,
    RiskWeighted,
)
from deleverage.policy.risk_weighted import Power

__all__ = ["POLICIES", "Candidates", "Named", "allocate", "column", "known_policies"]

Int64 = NDArray[np.int64]
PPM = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """One side of one market, n rows, those with a place in the queue; money in money units.

    A column that nobody says is None; a policy that reads it refuses by name.

    Attributes:
        lots: (n,) int64, lots held, above 0.
        ids: (n,) int64, unique, 0 or more: the last tie key; None takes the number of the row.
        rank: (n,) int64, place in the queue, 1 is cut first, each once.
        profit: (n,) int64, unrealised profit.
        equity: (n,) int64.
        value: (n,) int64, what the lots are worth at the mark.
        exposure: (n,) int64, value of all that moves with the market, signed: hedges count.
        unit: what closing one lot takes off the exposure, exactly.
        threads: how many a rule may use, 0 for all.
    """

    lots: Int64
    ids: Int64 | None = None
    rank: Int64 | None = None
    profit: Int64 | None = None
    equity: Int64 | None = None
    value: Int64 | None = None
    exposure: Int64 | None = None
    unit: Fraction | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A policy of the table.

    Attributes:
        reads: columns of the candidates that it reads besides lots and ids.
        rule: gives the lots that each closes.
    """

    reads: tuple[str, ...]
    rule: Callable[[Candidates, int], Int64]


def allocate(name: str, candidates: Candidates, lots: int) -> Int64:
    """Share lots out by a policy.

    Args:
        name: one of `POLICIES`.
        candidates: who may be cut.
        lots: to close, 0 or more.

    Returns:
        (n,) int64 lots that each closes; what is missing to `lots` nobody could give.

    Raises:
        InputError: there is no such policy.
        InvariantError: a policy closed more than was asked for, or more than somebody holds.
    """
    known_policies([name])
    if lots == 0 or not len(candidates.lots):
        return np.zeros(len(candidates.lots), np.int64)
    taken = POLICIES[name].rule(candidates, lots)
    if int(taken.sum()) > lots or bool(((taken < 0) | (taken > candidates.lots)).any()):
        raise InvariantError(f"policy {name}: expected at most {lots} lots, each of its holder's")
    return taken


def known_policies(names: list[str]) -> None:
    """Refuse a name that stands for no policy.

    Args:
        names: what was asked for.

    Raises:
        InputError: names the first that is unknown, or says that there is none.
    """
    if not names:
        raise InputError(f"policy: expected at least one of {', '.join(POLICIES)}, got none")
    for name in names:
        if name not in POLICIES:
            raise InputError(f"policy: expected one of {', '.join(POLICIES)}, got {name!r}")


def column(candidates: Candidates, name: str) -> Int64:
    """Give a column that must have been said.

    Args:
        candidates: who may be cut.
        name: one of their columns.

    Raises:
        InputError: it is None.
    """
    values: Int64 | None = getattr(candidates, name)
    if values is None:
        raise InputError(
            f"{name}: this policy reads it, and it was not taken in; where the edition's queue "
            "reads neither margin nor equity use another edition or policy"
        )
    return values


def _queue(candidates: Candidates, lots: int) -> Int64:
    """Close the head of the queue, the last one in part."""
    order = np.argsort(column(candidates, "rank"))
    ends = np.cumsum(candidates.lots[order])
    taken = np.zeros(len(order), np.int64)
    before = ends - candidates.lots[order]
    taken[order] = np.clip(lots - before, 0, candidates.lots[order])
    return taken


def _given(candidates: Candidates, **columns: Int64) -> Contracts:
    """What the rules take: lots, the last tie key, and what else the rule reads."""
    ids = None if candidates.ids is None else candidates.ids.astype(np.uint64)
    return Contracts(lots=candidates.lots, ids=ids, **columns)


def _pro_rata(candidates: Candidates, lots: int) -> Int64:
    """Close the same part of everybody's size."""
    return ProRata(threads=candidates.threads).allocate(_given(candidates), lots).taken


def _pro_rata_profit(candidates: Candidates, lots: int) -> Int64:
    """Close lots in proportion to profit, up to what each holds."""
    given = _given(candidates, profit=column(candidates, "profit"))
    return ProRata(by=By.PROFIT, threads=candidates.threads).allocate(given, lots).taken


def _capped(candidates: Candidates, lots: int) -> Int64:
    """Close the same part of everybody's size, at most half of what each holds at the event."""
    given = _given(candidates, cap=candidates.lots - candidates.lots // 2)
    return Capped(threads=candidates.threads).allocate(given, lots).taken


def _min_max(candidates: Candidates, lots: int) -> Int64:
    """Keep the largest closed part as small as whole lots allow."""
    return MinMax(threads=candidates.threads).allocate(_given(candidates), lots).taken


def _leverage_draining(candidates: Candidates, lots: int) -> Int64:
    """Bring the highest leverages down to one level."""
    given = _given(candidates, equity=column(candidates, "equity"))
    return LeverageDraining(threads=candidates.threads).allocate(given, lots).taken


def _factor_draining(candidates: Candidates, lots: int) -> Int64:
    """Bring the highest leverages down to one level, hedges taken off first."""
    given = _given(candidates, equity=column(candidates, "equity"))
    exposure, unit = column(candidates, "exposure"), candidates.unit
    if unit is None:
        raise InputError("unit: this policy reads what a lot takes off, and it was not given")
    return FactorDraining(exposure=exposure, unit=unit).allocate(given, lots).taken


def _risk_weighted(candidates: Candidates, lots: int) -> Int64:
    """Close lots in proportion to size times leverage squared, up to what each holds."""
    # In whole numbers of any size: the product of a value and ppm does not fit 63 bits.
    value, equity = column(candidates, "value").tolist(), column(candidates, "equity").tolist()
    pairs = zip(value, equity, strict=True)
    leverage = [value * PPM // equity if equity > 0 else 0 for value, equity in pairs]
    given = _given(candidates, leverage=np.array(leverage, np.int64))
    return RiskWeighted(growth=Power(exponent=1)).allocate(given, lots).taken


POLICIES: Mapping[str, Named] = MappingProxyType(
    {
        "queue": Named(reads=("rank",), rule=_queue),
        "pro-rata": Named(reads=(), rule=_pro_rata),
        "pro-rata-profit": Named(reads=("profit",), rule=_pro_rata_profit),
        "capped": Named(reads=(), rule=_capped),
        "min-max": Named(reads=(), rule=_min_max),
        "leverage-draining": Named(reads=("equity",), rule=_leverage_draining),
        "factor-draining": Named(reads=("equity", "exposure"), rule=_factor_draining),
        "risk-weighted": Named(reads=("value", "equity"), rule=_risk_weighted),
    }
)
"""The rules by name; `queue` is what most venues do, `risk-weighted` is worked out one row after
the other and slow on large books."""
