"""Who stands in a queue: the rows of one side, and a pool among them where the edition cuts it.

A pool's own position is an entry like any other (`Standing.CANDIDATE`): it is judged on what the
pool is worth, as a cross account is on its equity. It has no leverage setting and no margins but
its money; a rule that divides by one of those leaves it out. Among exact equals it comes last.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.backstop.pool import Pool
from deleverage.engine.keeping import Taken
from deleverage.engine.state import State
from deleverage.model.quantise import decimal_of
from deleverage.model.rules import ScoreRule
from deleverage.model.scales import MarketScale
from deleverage.model.terms import Standing

__all__ = ["POOL_PLACE", "Head", "contracts", "head_of", "pool_id", "pool_row", "queue_frame"]

Int64 = NDArray[np.int64]
POOL_PLACE = -1
"""Place of a pool's own position, which is no row of the roster."""

_SIGNS = {"long": 1, "short": -1}
_NO_ROWS: Int64 = np.empty(0, np.int64)
_LAST_ID = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a queue that offsets a quantity.

    Attributes:
        places: in the order of the queue; `POOL_PLACE` is the pool's.
        closed: lots of each.
        scores: of each, for display.
    """

    places: list[int]
    closed: list[int]
    scores: list[float]


def contracts(lots: int, lot_size: Fraction) -> str:
    """Write lots as contracts, exactly."""
    return f"{decimal_of(lots * lot_size):f}"


def pool_row(state: State, market: str, side: str) -> Pool | None:
    """Give the pool whose own position stands on a side of a queue, or None."""
    standing = state.rules.eligibility.pools
    if standing is Standing.UNPUBLISHED:
        standing = state.choices.standing or standing
    pool = state.pool_behind(market)
    if standing is not Standing.CANDIDATE or pool is None:
        return None
    return pool if pool.inventory(market).lots * _SIGNS[side] > 0 else None


def head_of(state: State, market: str, side: str, lots: int, barred: Int64) -> Head:
    """Take the head of one side's queue.

    Args:
        state: as it is.
        market: its name.
        side: of the candidates.
        lots: to offset.
        barred: (b,) int64 places of rows that are no candidates.
    """
    taken = state.book.head(state.terms, market, side, lots, barred)
    pool = pool_row(state, market, side)
    if pool is not None:
        return _with_pool(state, market, pool, taken, lots)
    return Head(
        places=taken.places.tolist(), closed=taken.closed.tolist(), scores=taken.scores.tolist()
    )


def _with_pool(state: State, market: str, pool: Pool, taken: Taken, lots: int) -> Head:
    """Cut once more with a pool: what is taken without it holds the head of the queue with it."""
    scale = state.scale(market)
    rule, rate = _terms(state, scale)
    columns, accounts = state.book.judged(state.terms, taken.places)
    columns, accounts = _joined(columns, accounts, pool, scale)
    found = ranking.select(
        columns,
        rate,
        rule=rule,
        side=1 if pool.inventory(market).lots > 0 else -1,
        lots=lots,
        accounts=accounts,
        is_ordered=True,
    )
    places = np.append(taken.places, POOL_PLACE)
    return Head(
        places=places[found.rows].tolist(),
        closed=found.lots.tolist(),
        scores=found.scores.tolist(),
    )


def queue_frame(state: State, market: str, side: str, head: int) -> pl.DataFrame:
    """Show the head of one queue: rank, position_id, account, qty, score, light.

    Args:
        state: as it is.
        market: its name.
        side: `long` or `short`.
        head: how many.
    """
    found, scale = state.book.side(market, side), state.scale(market)
    rule, rate = _terms(state, scale)
    pool = pool_row(state, market, side)
    columns = replace(found.columns, owner=state.book.roster.owner[found.places])
    accounts = state.book.accounts(state.terms)
    if pool is not None:
        columns, accounts = _joined(columns, accounts, pool, scale)
    rows, scores, lit = _NO_ROWS, np.empty(0), np.empty(0, np.uint8)
    if len(columns.lots):
        ranked = ranking.rank(columns, rate, rule=rule, accounts=accounts)
        standing = np.flatnonzero(ranked.rank)
        rows = standing[np.argsort(ranked.rank[standing])][:head]
        scores = ranked.score[rows]
        shown = state.rules.lights
        lit = ranking.lights(
            columns, rate, rule=rule, accounts=accounts, bands=shown.bands, weight=shown.weight
        )[rows]
    own = rows[rows < len(found.places)]
    held = iter(state.book.holdings(found.places[own]))
    lot, entries = Fraction(scale.lot_size), []
    for row in rows.tolist():
        if pool is not None and row == len(found.places):
            entries.append((pool_id(pool, market), pool.name, pool.inventory(market).lots))
        else:
            one = next(held)
            entries.append((one.position_id, one.account, one.lots))
    return pl.DataFrame(
        {
            "rank": pl.Series(range(1, len(entries) + 1), dtype=pl.Int64),
            "position_id": pl.Series([one for one, _, _ in entries], dtype=pl.String),
            "account": pl.Series([owner for _, owner, _ in entries], dtype=pl.String),
            "qty": pl.Series([contracts(abs(n), lot) for _, _, n in entries], dtype=pl.String),
            "score": pl.Series(scores, dtype=pl.Float64),
            "light": pl.Series(lit, dtype=pl.UInt8),
        }
    )


def pool_id(pool: Pool, market: str) -> str:
    """Name a pool's own position."""
    return f"{pool.name}/{market}"


def _terms(state: State, scale: MarketScale) -> tuple[ScoreRule, ranking.Rate]:
    """Give the rule and the mark of a market."""
    num, den, is_inverse = scale.rate
    rate = ranking.Rate(mark_num=num, mark_den=den, is_inverse=is_inverse)
    return state.rules.score_rule(scale.money_units_per_asset), rate


def _joined(
    columns: ranking.Columns, accounts: ranking.Accounts | None, pool: Pool, scale: MarketScale
) -> tuple[ranking.Columns, ranking.Accounts | None]:
    """Put a pool's own position behind some rows, and its worth behind their accounts."""
    held = pool.inventory(scale.market)
    side = 1 if held.lots > 0 else -1
    worth = pool.balance
    entry: dict[str, int] = dict.fromkeys(ranking.Columns.__dataclass_fields__, 0)
    entry |= {
        "lots": held.lots,
        "entry_value": held.entry_value,
        "position_id": _LAST_ID,
        "margin": worth - held.unrealised,
        "open_value": held.entry_value,
        "profit_lots": held.lots,
        "profit_value": side * held.entry_value,
    }
    table: dict[str, Any] = {}
    if accounts is not None:
        money = {"equity": worth, "wallet_balance": pool.cash, "maintenance_margin": 0}
        given = {name: getattr(accounts, name) for name in money}
        table = {name: _longer(c, money[name]) for name, c in given.items() if c is not None}
        entry["account"] = max((len(column) - 1 for column in table.values()), default=0)
    if columns.market is not None and len(columns.market):
        entry["market"] = int(columns.market[0])
    if columns.owner is not None:
        entry["owner"] = int(columns.owner.max(initial=0)) + 1
    given = {name: getattr(columns, name) for name in entry}
    longer = {name: _longer(c, entry[name]) for name, c in given.items() if c is not None}
    return ranking.Columns(**longer), ranking.Accounts(**table) if table else accounts


def _longer(column: NDArray[Any], value: int) -> NDArray[Any]:
    """Put one value behind a column."""
    return np.append(column, np.array([value], column.dtype))
