"""What the Polars peers share: the frames, and the scored rows."""

import numpy as np
import polars as pl
from peer_scores import Columns, Question, needed, polars_score

EQUITY = "equity"


def prepare(columns: Columns, rule: str) -> pl.DataFrame:
    """Hand the columns to Polars without a copy, outside the timing: a gift to the peer.

    The account table cannot be longer than the positions here; it is padded to their number and
    travels in the same frame as `equity_table`.
    """
    frame = pl.DataFrame({name: columns[name] for name in needed(rule)})
    if rule != "hyperliquid":
        return frame
    return frame.with_columns(_padded("equity_table", columns[EQUITY], len(frame)))


def candidates(frame: pl.DataFrame, question: Question) -> pl.LazyFrame:
    """Score the side asked for; columns position_id, size, score."""
    rows = frame.lazy()
    if question.rule == "hyperliquid":
        equity = pl.col("equity_table").gather(pl.col("account"))
        rows = rows.with_columns(equity.alias(EQUITY))
    score, offered = polars_score(question)
    side = pl.col("lots") > 0 if question.side > 0 else pl.col("lots") < 0
    return rows.filter(side & offered).select("position_id", size=pl.col("lots").abs(), score=score)


def prepare_book(columns: Columns) -> pl.DataFrame:
    """Hand a whole book to Polars without a copy; `lot_value` is the market table, padded."""
    names = ("position_id", "market", "lots", "entry_value", "margin")
    frame = pl.DataFrame({name: columns[name] for name in names})
    return frame.with_columns(_padded("lot_value", columns["lot_value"], len(frame)))


def bitmex_by_market() -> pl.Expr:
    """Return the bitmex score over all markets and both sides; null where it cannot be scored."""
    entry_value = pl.col("entry_value")
    mark_value = pl.col("lots").abs() * pl.col("lot_value").gather(pl.col("market"))
    gain = mark_value - entry_value
    profit = pl.when(pl.col("lots") > 0).then(gain).otherwise(-gain)
    equity = pl.col("margin") + profit
    returns, leverage = profit / entry_value, mark_value / equity
    score = pl.when(profit >= 0).then(returns * leverage).otherwise(returns / leverage)
    return pl.when(equity > 0).then(score)


def _padded(name: str, table: np.ndarray, length: int) -> pl.Series:
    return pl.Series(name, table).extend_constant(0, length - len(table))
