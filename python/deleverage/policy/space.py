"""The two spaces of an allocation, and what a policy is: candidates and an amount in, shares out.

In contract space a policy says how many lots each candidate closes; in wealth space how much money
each gives up of his profit. The two are never mixed: each has its own record, and an allocation
carries the candidates it was made for.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from deleverage import _core
from deleverage.errors import InputError
from deleverage.policy.checks import check_array, check_range

__all__ = [
    "Allocation",
    "By",
    "Contracts",
    "Policy",
    "Profits",
    "Space",
    "column",
    "most",
    "tie_keys",
]

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]

#: Columns that may be below zero; the profit of `Profits` is its size and may not.
SIGNED = {"profit", "equity"}


class By(StrEnum):
    """What a share is in proportion to; a candidate with none of it gives nothing."""

    SIZE = "size"
    PROFIT = "profit"
    EQUITY = "equity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracts:
    """Candidates in contract space, n rows of one market's side; all below 2**51 either way.

    Attributes:
        lots: (n,) int64, lots held, 0 or more.
        ids: (n,) uint64, unique: the last tie key (without it the number of the row).
        cap: (n,) int64, most lots that may be closed, 0 to `lots`.
        rank: (n,) int64, place in the queue, 1 first, 0 for no place; for `Queue`.
        profit: (n,) int64, unrealised profit in money units, signed.
        equity: (n,) int64, money units, signed.
        leverage: (n,) int64, ppm, 0 or more, of any size; for `RiskWeighted`.

    Raises:
        InputError: a column has another length, dtype or layout, or a value is out of range.
    """

    SIZE: ClassVar[str] = "lots"

    lots: Int64s
    ids: Uint64s | None = None
    cap: Int64s | None = None
    rank: Int64s | None = None
    profit: Int64s | None = None
    equity: Int64s | None = None
    leverage: Int64s | None = None

    def __post_init__(self) -> None:
        """Refuse columns that do not fit together."""
        _check(self, ("lots", "cap", "rank", "profit", "equity", "leverage"))

    @property
    def size(self) -> Int64s:
        """What is held: lots."""
        return self.lots


@dataclass(frozen=True, slots=True, kw_only=True)
class Profits:
    """Candidates in wealth space, n rows; money units, all below 2**51 either way.

    Attributes:
        profit: (n,) int64, what may be taken at all, 0 or more: the profit, never the principal.
        ids: (n,) uint64, unique: the last tie key (without it the number of the row).
        cap: (n,) int64, most money that may be taken, 0 to `profit`.
        rank: (n,) int64, place in the queue, 1 first, 0 for no place; for `Queue`.
        equity: (n,) int64, money units, signed.
        leverage: (n,) int64, ppm, 0 or more, of any size; for `RiskWeighted`.

    Raises:
        InputError: a column has another length, dtype or layout, or a value is out of range.
    """

    SIZE: ClassVar[str] = "profit"

    profit: Int64s
    ids: Uint64s | None = None
    cap: Int64s | None = None
    rank: Int64s | None = None
    equity: Int64s | None = None
    leverage: Int64s | None = None

    def __post_init__(self) -> None:
        """Refuse columns that do not fit together."""
        _check(self, ("profit", "cap", "rank", "equity", "leverage"))

    @property
    def size(self) -> Int64s:
        """What is held: profit."""
        return self.profit


Space = TypeVar("Space", Contracts, Profits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation(Generic[Space]):
    """Who gives how much; the sum and what is unfilled make the amount asked for, exactly.

    Attributes:
        candidates: whom it was made for; its type is the space.
        taken: (n,) int64, lots or money units, 0 to the cap.
        unfilled: what the candidates could not give.
        level: units per weight that those who are not at their cap stand at, where the policy has
            one: the haircut of a pro rata, the size per equity of a draining.
    """

    candidates: Space
    taken: Int64s
    unfilled: int
    level: Fraction | None = None


class Policy(Protocol[Space]):
    """A rule that shares an amount out among candidates; it reads its own columns and no clock."""

    def allocate(self, candidates: Space, amount: int) -> Allocation[Space]:
        """Share out an amount.

        Args:
            candidates: one row each, in any order.
            amount: lots to close, or money to take; 0 or more.

        Returns:
            What each gives; what they cannot give is `unfilled`, not an error.

        Raises:
            InputError: a column that the policy reads is missing or out of range.
        """
        ...


def column(candidates: Contracts | Profits, name: str, reader: str) -> Int64s:
    """Give a column that a policy reads.

    Args:
        candidates: the candidates.
        name: the column's name.
        reader: the policy, for the message.

    Raises:
        InputError: the column was not given.
    """
    values = getattr(candidates, name, None)
    if values is None:
        raise InputError(f"{name}: {reader} reads this column and it was not given")
    return np.asarray(values)


def tie_keys(candidates: Contracts | Profits) -> list[int]:
    """Give the last tie keys: the ids, or the numbers of the rows.

    Raises:
        InputError: two rows share an id, so that nothing would tell them apart.
    """
    if candidates.ids is None:
        return list(range(len(candidates.size)))
    twice = _core.first_duplicate(candidates.ids)
    if twice is not None:
        first, row = twice
        got = f"{candidates.ids[row]} in rows {first} and {row}"
        raise InputError(f"ids: expected each once, got {got}")
    keys: list[int] = candidates.ids.tolist()
    return keys


def most(candidates: Contracts | Profits) -> Int64s:
    """Give what each candidate may give at most: his cap, or all he holds.

    Raises:
        InputError: a size is out of range; the kernel checks it itself.
    """
    check_range(candidates.SIZE, candidates.size)
    return candidates.size if candidates.cap is None else candidates.cap


def _check(candidates: Contracts | Profits, names: tuple[str, ...]) -> None:
    """Check dtypes, lengths, ranges and caps; the size's range, where it is read (`most`)."""
    size = candidates.SIZE
    check_array(size, candidates.size)
    rows = len(candidates.size)
    for name in names:
        values = getattr(candidates, name)
        if values is None or name == size:
            continue
        check_array(name, values, rows, like=size)
        check_range(name, values, is_signed=name in SIGNED, has_limit=name != "leverage")
    if candidates.ids is not None:
        check_array("ids", candidates.ids, rows, like=size, dtype=np.uint64)
    if candidates.cap is not None:
        wrong = np.flatnonzero(candidates.cap > candidates.size)
        if wrong.size:
            row = int(wrong[0])
            limit = f"0 to the {size} {candidates.size[row]}"
            raise InputError(f"cap: expected {limit}, got {candidates.cap[row]} in row {row}")
