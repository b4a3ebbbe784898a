"""Shares by weight under caps, in whole units: the kernel's Python face, and its exact long form.

The kernel takes weights below 2**51. A product of several columns is larger: for these the same
rule is worked out here, one row after the other, in whole numbers of any size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import cmp_to_key

import numpy as np
import numpy.typing as npt

from deleverage import _core
from deleverage.errors import InputError
from deleverage.model.arguments import check_truth
from deleverage.policy.checks import LIMIT, check_array, whole_number, whole_units

__all__ = ["Rounding", "Shared", "Shares", "least", "share", "share_long"]

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]

MOST_THREADS = 1024
SAMPLE = 1 << 14
FEW = 16
SHORT = 1 << 12


class Shared(StrEnum):
    """What weights share: what is taken, or what is kept after the amount is taken."""

    TAKEN = "taken"
    KEPT = "kept"


class Rounding(StrEnum):
    """How shares become whole.

    `quota`: within one unit of the exact share; what is taken rounds by the largest remainder,
    what is kept loses its last units where its ratio to the weight is highest. `smallest`: the
    largest ratio to the weight is as small as whole units allow.
    """

    QUOTA = "quota"
    SMALLEST = "smallest"


# Asked at every call; the members of an enumeration take longer to list than a set to search.
_SHARED = frozenset(Shared)
_ROUNDINGS = frozenset(Rounding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Units taken of every row.

    Attributes:
        taken: (n,) int64.
        unfilled: what the caps did not allow.
        level: units per weight of the rows that are not full; None where all or nothing is taken.
        rescans: passes repeated because a sample misled; it changes the time, never the answer.
    """

    taken: Int64s
    unfilled: int
    level: Fraction | None
    rescans: int = 0


def share(
    weight: Int64s,
    amount: int,
    *,
    cap: Int64s | None = None,
    ids: Uint64s | None = None,
    within_weight: bool = False,
    shared: Shared = Shared.TAKEN,
    rounding: Rounding = Rounding.QUOTA,
    sample: int | None = None,
    threads: int = 0,
    simd: str = "auto",
    out: Int64s | None = None,
) -> Shares:
    """Share an amount out by weight; ties go by id.

    Args:
        weight: (n,) int64, 0 to 2**51 - 1; where shares are of what is kept it may be negative,
            and a row without a weight above zero keeps all.
        amount: units to take, 0 or more.
        cap: (n,) int64, most units of each row, 0 to 2**51 - 1; without it the weight itself.
        ids: (n,) uint64, unique; without it the number of the row.
        within_weight: the weight is a second cap.
        shared: what the weights share.
        rounding: how shares become whole.
        sample: rows looked at first, by default 16,384, of fewer than 2**18 rows one in sixteen
            and of fewer than 4,096 all; only time depends on it.
        threads: how many to use, 0 for all.
        simd: "auto" or one of `ranking.simd_levels()`; the answer is the same.
        out: (n,) int64, written over and given back as `taken`; it shares no memory with the
            columns. It saves the operating system
            from finding fresh memory, which for long columns costs as much as the sharing.

    Raises:
        InputError: an argument or a value is out of range.
    """
    amount = whole_units(amount)
    if not 0 <= whole_number("threads", threads, low=None) <= MOST_THREADS:
        raise InputError(f"threads: expected 0 (all) to {MOST_THREADS}, got {threads!r}")
    _check_words(within_weight, shared, rounding)
    check_array("weight", weight)
    if sample is None:
        count = len(weight)
        sample = min(SAMPLE, count // FEW) if count >= SHORT else count
    if not 0 <= whole_number("sample", sample, low=None) < LIMIT:
        raise InputError(f"sample: expected 0 to 2^51 - 1 rows, got {sample!r}")
    if cap is not None:
        check_array("cap", cap, len(weight), like="weight")
    if ids is not None:
        check_array("ids", ids, len(weight), like="weight", dtype=np.uint64)
    if out is not None:
        _check_out(out, weight, cap, ids)
    request = (amount, str(shared), str(rounding), sample, simd, threads)
    taken, unfilled, level, rescans = _core.allocate(
        weight, cap, ids, bool(within_weight), request, out
    )
    ratio = None if level is None else Fraction(*level)
    return Shares(taken=taken, unfilled=unfilled, level=ratio, rescans=rescans)


def _check_words(within_weight: object, shared: object, rounding: object) -> None:
    """Refuse what is no truth value, and words that name no way to share or to round."""
    check_truth("within_weight", within_weight)
    if not isinstance(shared, str) or shared not in _SHARED:
        raise InputError(f"shared: expected taken or kept, got {shared!r}")
    if not isinstance(rounding, str) or rounding not in _ROUNDINGS:
        raise InputError(f"rounding: expected quota or smallest, got {rounding!r}")


def _check_out(out: Int64s, weight: Int64s, cap: Int64s | None, ids: Uint64s | None) -> None:
    """Refuse an array that cannot take the answer, or whose writing would change a column."""
    check_array("out", out, len(weight), like="weight")
    if not out.flags.writeable:
        raise InputError("out: expected an array that can be written, got a read-only one")
    for name, column in (("weight", weight), ("cap", cap), ("ids", ids)):
        if column is not None and np.may_share_memory(out, column):
            raise InputError(
                f"out: expected memory of its own, got some that {name} lies in; "
                "pass another array or none"
            )


def least(
    columns: Sequence[Int64s], *, variant: int = 0, threads: int = 0, out: Int64s | None = None
) -> Int64s:
    """Sum the columns, read them again and write a value a row: no sharing can do with less.

    Args:
        columns: (n,) int64 each, at least one.
        variant: which of the sum loops of the floor comes first.
        threads: as in `share`.
        out: as in `share`.

    Returns:
        (n,) int64; what counts is the time.
    """
    return _core.least(list(columns), variant, threads, out)


def share_long(
    weight: Sequence[int], cap: Sequence[int], ids: Sequence[int], amount: int
) -> Shares:
    """Share an amount out by weights of any size: by quota, as `share` does what is taken.

    Rows fill up in the order of cap / weight; the level is found by walking along them.

    Args:
        weight: n whole numbers, 0 or more.
        cap: n whole numbers, 0 to 2**51 - 1.
        ids: n tie keys.
        amount: units to take, 0 or more.

    Raises:
        InputError: a number is out of range or not whole, or there are not as many of each.
    """
    amount = whole_units(amount)
    _check_long(weight, cap, ids)
    rows: list[int] = [row for row, each in enumerate(weight) if each > 0]
    units = [0] * len(weight)
    held = sum(cap[row] for row in rows)
    if amount >= held:
        for row in rows:
            units[row] = cap[row]
        return Shares(taken=np.array(units, np.int64), unfilled=amount - held, level=None)

    def compare(a: int, b: int) -> int:
        return cap[a] * weight[b] - cap[b] * weight[a]

    rows.sort(key=cmp_to_key(compare))
    left, open_weight = amount, sum(weight[row] for row in rows)
    full = 0
    for row in rows:
        if cap[row] * open_weight > left * weight[row]:
            break
        units[row] = cap[row]
        left -= cap[row]
        open_weight -= weight[row]
        full += 1
    parts = {row: divmod(left * weight[row], open_weight) for row in rows[full:]}
    for row, (whole, _) in parts.items():
        units[row] = whole
    spare = amount - sum(units)
    for row in sorted(parts, key=lambda row: (-parts[row][1], ids[row]))[:spare]:
        units[row] += 1
    level = Fraction(left, open_weight)
    return Shares(taken=np.array(units, np.int64), unfilled=0, level=level)


def _check_long(weight: Sequence[int], cap: Sequence[int], ids: Sequence[int]) -> None:
    """Refuse columns of different lengths, and what is not whole or out of range in any row."""
    for name, values in (("cap", cap), ("ids", ids)):
        if len(values) != len(weight):
            got = f"{len(weight)} rows as in weight, got {len(values)}"
            raise InputError(f"{name}: expected {got}")
    for row, (heavy, most) in enumerate(zip(weight, cap, strict=True)):
        whole_number(f"weight, row {row}", heavy)
        if not 0 <= whole_number(f"cap, row {row}", most, low=None) < LIMIT:
            raise InputError(f"cap: expected 0 to 2^51 - 1, got {most} in row {row}")
