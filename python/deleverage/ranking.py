"""The array level: score, rank, select, order and light positions held as NumPy arrays.

For people who hold their own columns and want no frames. Arrays are borrowed, not copied, may be
read-only, must be contiguous and must not change during a call; the GIL is released. Every verb
gives the same answer for any thread count, instruction set and row order (given ids).

    columns = Columns(lots=lots, entry_value=entry_value, margin=margin, position_id=ids)
    head = select(columns, Rate(mark_num=61_250), rule=rule, side=-1, lots=12_500)
    head.rows, head.lots, head.unfilled
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deleverage import _core
from deleverage.errors import InputError
from deleverage.model.arguments import (
    COLUMN_KINDS,
    TABLE_KINDS,
    check_column,
    check_truth,
    checked_bands,
    checked_lots,
    checked_threads,
    has_repeats,
    is_whole,
    sorted_rows,
)
from deleverage.model.refusals import plain
from deleverage.model.rules import Reason, ScoreRule, Weight

__all__ = [
    "FLOOR_VARIANTS",
    "OWN_MARGIN",
    "REASONS",
    "Accounts",
    "Columns",
    "Ranking",
    "Rate",
    "Scores",
    "Selection",
    "floor",
    "lights",
    "order",
    "rank",
    "score",
    "select",
    "simd_levels",
]

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]
Uint32s = npt.NDArray[np.uint32]
Uint8s = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

#: An `account` entry that says: this row is judged on its own margin.
OWN_MARGIN = 0xFFFF_FFFF

#: Reasons by their code.
REASONS: tuple[Reason, ...] = tuple(Reason)

#: Names of the sum loops that make the floor of a speed claim.
FLOOR_VARIANTS: tuple[str, ...] = tuple(_core.floor_variants())

_RATE_LIMIT = 2**62
_NO_ROWS: Int64s = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one lot is worth at the mark: `mark_num / mark_den` money units, exactly.

    Attributes:
        mark_num: numerator, 0 < mark_num < 2**62.
        mark_den: denominator, 0 < mark_den < 2**62.
        is_inverse: an inverse contract, where a long gains as the value falls.
    """

    mark_num: int
    mark_den: int = 1
    is_inverse: bool = False

    def __post_init__(self) -> None:
        """Checks kinds; ranges are checked where the rate is read.

        Raises:
            InputError: a part is no whole number, or `is_inverse` no truth value.
        """
        for name, part in (("mark_num", self.mark_num), ("mark_den", self.mark_den)):
            if not is_whole(part):
                raise InputError(f"{name}: expected a whole number, got {plain(part)}")
        check_truth("is_inverse", self.is_inverse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Positions as columns of n rows; money in units of the settlement asset, below 2**51.

    Attributes:
        lots: (n,) int64, signed and not 0; the sign is the side.
        entry_value: (n,) int64, value at entry, without sign.
        position_id: (n,) uint64, unique; the last tie key (without it the row number).
        market: (n,) uint32, which of the rates; without it all rows belong to the only one.
        margin: (n,) int64, margin of the position without unrealised profit.
        maintenance_margin: (n,) int64.
        initial_margin: (n,) int64.
        open_value: (n,) int64, cumulative open value.
        leverage: (n,) int64, leverage setting in ppm.
        account: (n,) uint32, row of the account table, or `OWN_MARGIN`.
        owner: (n,) uint32, number of the account; only for lights that count accounts.
        profit_lots: (n,) int64, signed net lots of both hedge legs (joint rules).
        profit_value: (n,) int64, signed net entry value of both hedge legs (joint rules).
        tier: (n,) uint8, 0 is cut first.
        created_at: (n,) int64, any clock (rules with a `newest` or `oldest` tie key).
    """

    lots: Int64s
    entry_value: Int64s
    position_id: Uint64s | None = None
    market: Uint32s | None = None
    margin: Int64s | None = None
    maintenance_margin: Int64s | None = None
    initial_margin: Int64s | None = None
    open_value: Int64s | None = None
    leverage: Int64s | None = None
    account: Uint32s | None = None
    owner: Uint32s | None = None
    profit_lots: Int64s | None = None
    profit_value: Int64s | None = None
    tier: Uint8s | None = None
    created_at: Int64s | None = None

    def __post_init__(self) -> None:
        """Checks kinds and dtypes; lengths and values are checked where they are read.

        Raises:
            InputError: a column is no one-dimensional, contiguous and aligned array of its dtype
                without a mask.
        """
        for name, kind in COLUMN_KINDS.items():
            values = getattr(self, name)
            if values is not None or name in {"lots", "entry_value"}:
                check_column(name, values, kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The account table that `Columns.account` points into, m rows, money units.

    Attributes:
        equity: (m,) int64, of the whole account at the marks in use.
        maintenance_margin: (m,) int64, of the whole account.
        wallet_balance: (m,) int64.
    """

    equity: Int64s | None = None
    maintenance_margin: Int64s | None = None
    wallet_balance: Int64s | None = None

    def __post_init__(self) -> None:
        """Checks kinds and dtypes.

        Raises:
            InputError: a column is no one-dimensional contiguous int64 array.
        """
        for name, kind in TABLE_KINDS.items():
            if (values := getattr(self, name)) is not None:
                check_column(f"accounts.{name}", values, kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of all rows.

    Attributes:
        score: (n,) float64 for display, NaN where there is none; within 2**-28 * (1 + |score|)
            of the exact rational that decides the order.
        reason: (n,) uint8, index into `REASONS`; 0 where there is a score.
    """

    score: Floats
    reason: Uint8s


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Places of all rows.

    Attributes:
        rank: (n,) int64 within market and side, 1 is cut first, 0 is not in the queue.
        score: as in `Scores`.
        reason: as in `Scores`.
    """

    rank: Int64s
    score: Floats
    reason: Uint8s


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The head of one side's queue that offsets a quantity.

    Attributes:
        rows: (k,) int64, the rows taken, in no promised order unless it was asked for.
        lots: (k,) int64, lots closed of each, positive.
        scores: (k,) float64 of each, as in `Scores`; empty unless an order was asked for.
        unfilled: lots that the side could not offset.
        cut_row: the last row taken, -1 where none was.
        cut_score: its float score, NaN where there is none.
        partial_row: the row that is not taken whole, -1 where there is none.
        rescans: passes repeated because the sampled cut was too high.
    """

    rows: Int64s
    lots: Int64s
    scores: Floats
    unfilled: int
    cut_row: int
    cut_score: float
    partial_row: int
    rescans: int


def score(
    columns: Columns,
    rates: Rate | Sequence[Rate],
    *,
    rule: ScoreRule,
    accounts: Accounts | None = None,
    threads: int = 0,
    simd: str = "auto",
) -> Scores:
    """Score every row.

    Args:
        columns: positions of one market, or of many with `columns.market`.
        rates: the market's rate, or one for each market code.
        rule: the venue's rule.
        accounts: the account table, where the rule judges accounts.
        threads: how many to use, 0 for all.
        simd: "auto" or one of `simd_levels()`; the bits are the same.

    Returns:
        Float scores and reasons.

    Raises:
        InputError: a column the rule reads is missing, or a value is out of range.
    """
    subject = _subject(columns, rates, rule, accounts, simd)
    scores, reasons = _core.score(subject, checked_threads(threads))
    return Scores(score=scores, reason=reasons)


def rank(
    columns: Columns,
    rates: Rate | Sequence[Rate],
    *,
    rule: ScoreRule,
    accounts: Accounts | None = None,
    threads: int = 0,
    simd: str = "auto",
) -> Ranking:
    """Place every row within its market and side, exactly.

    Args:
        columns: as in `score`; `position_id` makes the order independent of the rows'.
        rates: as in `score`.
        rule: the venue's rule.
        accounts: as in `score`.
        threads: as in `score`.
        simd: as in `score`.

    Returns:
        Ranks, float scores and reasons.

    Raises:
        InputError: as `score`.
    """
    subject = _subject(columns, rates, rule, accounts, simd)
    places, scores, reasons = _core.rank(subject, checked_threads(threads))
    return Ranking(rank=places, score=scores, reason=reasons)


def select(
    columns: Columns,
    rate: Rate,
    *,
    rule: ScoreRule,
    side: int,
    lots: int,
    accounts: Accounts | None = None,
    excluded: Int64s | None = None,
    is_ordered: bool = False,
    threads: int = 0,
    simd: str = "auto",
) -> Selection:
    """Take exactly the head of one side's queue that offsets a quantity.

    Args:
        columns: positions of one market.
        rate: the market's rate.
        rule: the venue's rule.
        side: side of the candidates, +1 long or -1 short.
        lots: lots to offset, more than 0 and less than 2**63.
        accounts: as in `score`.
        excluded: (e,) int64, rows that are no candidates.
        is_ordered: give the rows in queue order with their scores, as `order` and `score` would.
        threads: as in `score`.
        simd: as in `score`.

    Returns:
        The rows, the lots closed of each, the cut and what is left.

    Raises:
        InputError: as `score`, `side` or `lots` is out of range, or there is no excluded row.
    """
    subject = _subject(columns, rate, rule, accounts, simd)
    if not is_whole(side) or side not in {1, -1}:
        raise InputError(f"side: expected 1 (long) or -1 (short), got {plain(side)}")
    lots = checked_lots(lots)
    check_truth("is_ordered", is_ordered)
    barred = _NO_ROWS
    if excluded is not None:
        barred = sorted_rows("excluded", excluded, len(columns.lots))
        barred = np.unique(barred) if has_repeats(barred) else barred
    rows, closed, scores, cut, partial, unfilled, rescans = _core.select(
        subject, side, lots, barred, bool(is_ordered), checked_threads(threads)
    )
    return Selection(
        rows=rows,
        lots=closed,
        scores=scores,
        unfilled=unfilled,
        cut_row=-1 if cut is None else cut[0],
        cut_score=float("nan") if cut is None else cut[1],
        partial_row=-1 if partial is None else partial,
        rescans=rescans,
    )


def order(
    columns: Columns,
    rate: Rate,
    rows: Int64s,
    *,
    rule: ScoreRule,
    accounts: Accounts | None = None,
    threads: int = 0,
    simd: str = "auto",
) -> Int64s:
    """Bring chosen rows into queue order.

    Args:
        columns: positions of one market.
        rate: the market's rate.
        rows: (k,) int64, rows of one side that have a place in the queue.
        rule: the venue's rule.
        accounts: as in `score`.
        threads: as in `score`.
        simd: as in `score`.

    Returns:
        (k,) int64, the same rows, the first to be cut first.

    Raises:
        InputError: as `score`, or a row does not exist, has no place or is named twice.
    """
    subject = _subject(columns, rate, rule, accounts, simd)
    chosen = sorted_rows("rows", rows, len(columns.lots))
    if has_repeats(chosen):
        twice = chosen[1:][chosen[1:] == chosen[:-1]][0]
        raise InputError(f"rows: expected each row once, got {twice} twice")
    return _core.order(subject, chosen, checked_threads(threads))


def lights(
    columns: Columns,
    rates: Rate | Sequence[Rate],
    *,
    rule: ScoreRule,
    accounts: Accounts | None = None,
    bands: int = 5,
    weight: Weight | str = Weight.QUANTITY,
    threads: int = 0,
    simd: str = "auto",
) -> Uint8s:
    """Light every row: in which of `bands` equal bands of its side's queue it stands.

    The percentile of an entry is the share of its side's weight at or before it, front first; its
    light is `bands + 1 - ceil(bands * percentile)`, in whole numbers.

    Args:
        columns: as in `score`; rows grouped by market are quicker.
        rates: as in `score`.
        rule: the venue's rule.
        accounts: as in `score`.
        bands: 1 to 100.
        weight: quantity, entries, or accounts (each once, at its best entry; needs `owner`).
        threads: as in `score`.
        simd: as in `score`.

    Returns:
        (n,) uint8: `bands` is next in line, 1 the last, 0 not in the queue.

    Raises:
        InputError: as `score`, `bands` or `weight` is out of range, or accounts have no `owner`.
    """
    subject = _subject(columns, rates, rule, accounts, simd)
    bands = checked_bands(bands)
    if weight == Weight.ACCOUNTS and columns.owner is None:
        raise InputError(
            "weight: expected quantity or entries where the columns have no owner, "
            "got 'accounts'; pass the column owner"
        )
    return _core.lights(subject, bands, str(weight), checked_threads(threads))


def floor(
    columns: Sequence[Int64s],
    *,
    account: Uint32s | None = None,
    table: Int64s | None = None,
    variant: str = "sequential-widest",
    threads: int = 0,
) -> int:
    """Sum the columns a rule reads: the least time that anything reading them can take.

    Args:
        columns: (n,) int64 each.
        account: (n,) uint32, rows of `table` to gather.
        table: (m,) int64.
        variant: one of `FLOOR_VARIANTS`.
        threads: as in `score`.

    Returns:
        The sum modulo 2**64; what counts is the time.

    Raises:
        InputError: the variant is unknown.
    """
    if variant not in FLOOR_VARIANTS:
        msg = f"variant: expected one of {FLOOR_VARIANTS}, got {variant!r}"
        raise InputError(msg)
    gather = None if account is None or table is None else (account, table)
    code = FLOOR_VARIANTS.index(variant)
    return _core.floor(list(columns), gather, code, checked_threads(threads))


def simd_levels() -> tuple[str, ...]:
    """Name the instruction sets that this machine can run, narrowest first."""
    return tuple(_core.levels())


def _subject(
    columns: Columns,
    rates: Rate | Sequence[Rate],
    rule: ScoreRule,
    accounts: Accounts | None,
    simd: str,
) -> tuple[Any, ...]:
    if not isinstance(columns, Columns):
        raise InputError(f"columns: expected Columns, got {plain(columns)}")
    if not isinstance(rule, ScoreRule):
        raise InputError(f"rule: expected a ScoreRule, got {plain(rule)}")
    if accounts is not None and not isinstance(accounts, Accounts):
        raise InputError(f"accounts: expected Accounts, got {plain(accounts)}")
    if not isinstance(simd, str):
        raise InputError(f"simd: expected auto or one of {simd_levels()}, got {plain(simd)}")
    numbers = [_numbers(rates)] if isinstance(rates, Rate) else _every_rate(rates)
    if columns.market is None and len(numbers) != 1:
        msg = f"rates: expected one rate where there is no market column, got {len(numbers)}"
        raise InputError(msg)
    return (columns, accounts, numbers, rule.codes, simd)


def _numbers(rate: Rate) -> tuple[int, int, bool]:
    for name, part in (("mark_num", rate.mark_num), ("mark_den", rate.mark_den)):
        if not 0 < part < _RATE_LIMIT:
            raise InputError(f"{name}: expected more than 0 and less than 2**62, got {part}")
    return rate.mark_num, rate.mark_den, rate.is_inverse


def _every_rate(rates: object) -> list[tuple[int, int, bool]]:
    if not isinstance(rates, Sequence) or isinstance(rates, str):
        raise InputError(f"rates: expected a Rate, or one for each market, got {plain(rates)}")
    for code, rate in enumerate(rates):
        if not isinstance(rate, Rate):
            raise InputError(f"rates[{code}]: expected a Rate, got {plain(rate)}")
    return [_numbers(rate) for rate in rates]
