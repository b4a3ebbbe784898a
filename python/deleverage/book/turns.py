"""A side of one market that is asked again and again: each turn takes what the ones before left.

Between turns nobody else may change the side, so it needs no kept book: one call answers all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deleverage import _core
from deleverage.book import checks
from deleverage.book.answers import Int64s, Rate
from deleverage.book.checks import Arrays
from deleverage.errors import InputError
from deleverage.model.arguments import check_truth, checked_threads, sorted_rows
from deleverage.model.rules import ScoreRule

__all__ = ["Turns", "in_turn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What each turn closed; the rows of all turns stand one after the other, in queue order.

    Attributes:
        counts: (t,) int64, how many rows each turn closed.
        unfilled: (t,) int64, lots that nobody offset.
        rows: (k,) int64, rows of the side.
        lots: (k,) int64, lots closed of each, positive.
        held: (k,) int64, lots that each held before, positive.
        entry_value: (k,) int64, entry value of each before.
    """

    counts: Int64s
    unfilled: Int64s
    rows: Int64s
    lots: Int64s
    held: Int64s
    entry_value: Int64s


def in_turn(
    columns: Arrays,
    rates: Sequence[Rate],
    *,
    rule: ScoreRule,
    side: str,
    lots: Int64s,
    accounts: Arrays | None = None,
    excluded: Int64s | None = None,
    wants_all: bool = False,
    threads: int = 0,
) -> Turns:
    """Take the head of one side's queue again and again, each time of what is left.

    A row that is closed whole is gone. Of one that is closed in part, entry value and margins are
    split by lots, and what is left is rounded down.

    Args:
        columns: (n,) arrays of one side of one market, by the names of
            `deleverage.ranking.Columns`, `position_id` among them.
        rates: (mark_num, mark_den, is_inverse) at each turn.
        rule: the edition's rule.
        side: `long` or `short`.
        lots: (t,) int64, to offset in each turn, more than 0.
        accounts: account tables by the names of `deleverage.ranking.Accounts`; they stay.
        excluded: (e,) int64, rows that are never candidates.
        wants_all: a turn that cannot be offset whole closes nothing.
        threads: 0 for all.

    Returns:
        What each turn closed.

    Raises:
        InputError: a column, a rate, a row or the lots are not what they must be.
    """
    given, tables = checks.columns_of(columns), checks.accounts_of(accounts or {})
    if given.market is not None:
        raise InputError("market: expected the rows of one side of one market, got a column")
    check_truth("wants_all", wants_all)
    marks, (known,) = checks.checked_rates(rates), checks.rules_of(rule)
    asked = np.array([checks.checked_lots(one) for one in np.asarray(lots).tolist()], np.int64)
    barred = np.empty(0, np.int64)
    if excluded is not None:
        barred = np.unique(sorted_rows("excluded", excluded, len(given.lots)))
    counts, rows, closed, held, entry_value, unfilled = _core.in_turn(
        (given, tables, marks, known.codes, "auto"),
        checks.side_of(side),
        asked,
        barred,
        bool(wants_all),
        checked_threads(threads),
    )
    return Turns(
        counts=counts,
        unfilled=unfilled,
        rows=rows,
        lots=closed,
        held=held,
        entry_value=entry_value,
    )
