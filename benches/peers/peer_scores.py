# ruff: noqa: S608 - the queries are made of our own words and whole numbers
"""The rules of the comparison, written once in NumPy, once as Polars expressions and once in SQL.

A peer computes a score in floats, as a careful user would, and offers only rows that the rule can
score. Mark value is |lots| x mark_num / mark_den; profit is mark value minus entry value, with the
sign of the side; own equity is margin plus profit:

bitmex       return x (mark value / own equity) in profit, return / that at a loss
okx          return x (maintenance margin / own equity) in profit, return / that at a loss
strike       profit / own equity; only rows in profit
hyperliquid  favourable price ratio x (mark value / account equity); only rows in profit

Return is profit / entry value. Rows whose equity is not positive are never offered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Columns = Mapping[str, npt.NDArray[Any]]
Ids = npt.NDArray[np.uint64]
RULES = ("bitmex", "strike", "okx", "hyperliquid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What every peer is asked: the head of one side's queue in one market.

    Attributes:
        rule: one of `RULES`.
        mark_num: a lot is worth mark_num / mark_den money units.
        mark_den: see `mark_num`.
        side: side of the candidates, +1 long or -1 short.
        lots: lots to be offset.
    """

    rule: str
    mark_num: int
    mark_den: int
    side: int
    lots: int

    @property
    def lot_value(self) -> float:
        """Mark value of one lot in money units."""
        return self.mark_num / self.mark_den


def needed(rule: str) -> tuple[str, ...]:
    """Return the columns that a peer must be given for a rule, ids included."""
    own = {
        "bitmex": ("margin",),
        "strike": ("margin",),
        "okx": ("margin", "maintenance_margin"),
        "hyperliquid": ("account",),
    }
    return ("position_id", "lots", "entry_value", *own[rule])


def first_guess(mean_size: float, question: Question) -> int:
    """Return how many rows to fetch first: twice as many as rows of mean size would need."""
    return 1 + int(2 * question.lots / max(mean_size, 1.0))


def numpy_score(
    columns: Columns, question: Question
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the score of the given rows, all on the side asked for, and who is offered."""
    mark_value = np.abs(columns["lots"]) * question.lot_value
    entry_value = columns["entry_value"]
    profit = (mark_value - entry_value) * question.side
    if question.rule == "hyperliquid":
        equity = columns["equity"][columns["account"]]
        ratio = mark_value / entry_value if question.side > 0 else entry_value / mark_value
        return ratio * (mark_value / equity), (equity > 0) & (profit > 0)
    equity = columns["margin"] + profit
    if question.rule == "strike":
        return profit / equity, (equity > 0) & (profit > 0)
    top = columns["maintenance_margin"] if question.rule == "okx" else mark_value
    factor = top / equity
    returns = profit / entry_value
    return np.where(profit >= 0, returns * factor, returns / factor), equity > 0


def polars_score(question: Question) -> tuple[pl.Expr, pl.Expr]:
    """Return the score and the offer as expressions over rows on the side asked for.

    For `hyperliquid` the frame has a column `equity`, gathered from the account table.
    """
    entry_value = pl.col("entry_value")
    mark_value = pl.col("lots").abs() * question.lot_value
    profit = (mark_value - entry_value) * question.side
    if question.rule == "hyperliquid":
        equity = pl.col("equity")
        ratio = mark_value / entry_value if question.side > 0 else entry_value / mark_value
        return ratio * (mark_value / equity), (equity > 0) & (profit > 0)
    equity = pl.col("margin") + profit
    if question.rule == "strike":
        return profit / equity, (equity > 0) & (profit > 0)
    factor = (pl.col("maintenance_margin") if question.rule == "okx" else mark_value) / equity
    returns = profit / entry_value
    return pl.when(profit >= 0).then(returns * factor).otherwise(returns / factor), equity > 0


def sql_candidates(question: Question) -> str:
    """Return a SELECT of position_id, size and score over the tables `positions` and `accounts`."""
    profit = f"({question.side} * (abs(lots) * {question.lot_value!r} - entry_value))"
    mark_value = f"(abs(lots) * {question.lot_value!r})"
    source, equity, offered = "positions", f"(margin + {profit})", "equity > 0"
    if question.rule == "hyperliquid":
        source = "positions JOIN accounts USING (account)"
        equity = "accounts.equity"
    if question.rule in ("strike", "hyperliquid"):
        offered += " AND profit > 0"
    ratio = "mark_value / entry_value" if question.side > 0 else "entry_value / mark_value"
    factor = "maintenance_margin" if question.rule == "okx" else "mark_value"
    score = {
        "strike": "profit / equity",
        "hyperliquid": f"({ratio}) * (mark_value / equity)",
    }.get(
        question.rule,
        f"CASE WHEN profit >= 0 THEN (profit / entry_value) * ({factor} / equity) "
        f"ELSE (profit / entry_value) / ({factor} / equity) END",
    )
    extra = ", maintenance_margin" if question.rule == "okx" else ""
    side = ">" if question.side > 0 else "<"
    return (
        f"SELECT position_id, size, {score} AS score FROM ("
        f"SELECT position_id, abs(lots) AS size, entry_value, {mark_value} AS mark_value, "
        f"{profit} AS profit, {equity} AS equity{extra} "
        f"FROM {source} WHERE lots {side} 0"
        f") WHERE {offered}"
    )
