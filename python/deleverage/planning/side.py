"""One side of one market: the slice of a snapshot that a queue is made of."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.errors import InvariantError
from deleverage.explanation import Facts, Pool, Working, work
from deleverage.model.quantise import decimal_of
from deleverage.model.rules import ScoreRule
from deleverage.model.scales import MarketScale
from deleverage.model.snapshot import Snapshot

__all__ = ["Float64", "Int64", "QueueSide", "contracts", "digits_of", "spelled", "taken_of"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

_TOLERANCE = 2.0**-27
_NO_ROWS: Int64 = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueueSide:
    """One side of one market; row numbers here count from the side's first row.

    Attributes:
        snapshot: the book.
        scale: the market's units and mark.
        rule: the edition's rule for its settlement asset.
        side: `long` or `short`.
        start: the snapshot's row of the first one here.
        columns: what the kernel takes, views of the snapshot.
        accounts: the account table, or None.
    """

    snapshot: Snapshot
    scale: MarketScale
    rule: ScoreRule
    side: str
    start: int
    columns: ranking.Columns
    accounts: ranking.Accounts | None

    @classmethod
    def of(cls, snapshot: Snapshot, market: str, side: str) -> Self:
        """Cut one side out of a snapshot, without a copy."""
        kernel = snapshot.kernel(market)
        rows = slice(None, kernel.split) if side == "long" else slice(kernel.split, None)
        columns = {name: column[rows] for name, column in kernel.columns.items()}
        return cls(
            snapshot=snapshot,
            scale=snapshot.scale(market),
            rule=snapshot.rule(market),
            side=side,
            start=kernel.start + (0 if side == "long" else kernel.split),
            columns=ranking.Columns(**columns),
            accounts=ranking.Accounts(**kernel.accounts) if kernel.accounts else None,
        )

    def __len__(self) -> int:
        return len(self.columns.lots)

    @property
    def rate(self) -> ranking.Rate:
        """What a lot is worth at the mark."""
        num, den, is_inverse = self.scale.rate
        return ranking.Rate(mark_num=num, mark_den=den, is_inverse=is_inverse)

    def original(self, rows: Int64) -> Int64:
        """Give the rows of the position frame behind rows of this side."""
        return self.snapshot.original(rows + self.start)

    def holders(self, rows: Int64) -> pl.Series:
        """Give the accounts of rows, as the position frame has them."""
        return self.snapshot.positions["account"][self.original(rows)]

    def rows_of(self, account: str) -> Int64:
        """Give the rows of an account on this side."""
        rows = self.snapshot.account_rows(account, self.scale.market) - self.start
        return rows[(rows >= 0) & (rows < len(self))]

    def select(self, lots: int, excluded: Int64) -> ranking.Selection:
        """Take the head of the queue that offsets `lots`, in queue order."""
        return ranking.select(
            self.columns,
            self.rate,
            rule=self.rule,
            side=1 if self.side == "long" else -1,
            lots=lots,
            accounts=self.accounts,
            excluded=excluded,
            is_ordered=True,
        )

    def scores(self, rows: Int64 | None = None) -> ranking.Scores:
        """Score some rows, or all."""
        columns = self.columns if rows is None else _taken(self.columns, rows)
        return ranking.score(columns, self.rate, rule=self.rule, accounts=self.accounts)

    def places(self) -> Int64:
        """Give every row's place on this side, 0 for none."""
        if not len(self):
            return _NO_ROWS
        return ranking.rank(self.columns, self.rate, rule=self.rule, accounts=self.accounts).rank

    def work(self, row: int, score: float) -> Working:
        """Score one row by hand, and hold it against the kernel's score.

        Raises:
            InvariantError: the two differ by more than the kernel's bound.
        """
        working = work(self.rule, self._facts(row), money_unit=Fraction(self.scale.money_unit))
        by_hand = float("nan") if working.ratio is None else float(working.ratio)
        if np.isnan(by_hand) != np.isnan(score) or abs(by_hand - score) > _TOLERANCE * (
            1 + abs(score)
        ):
            raise InvariantError(
                f"score of row {self.original(np.array([row]))[0]}: expected {by_hand!r} by the "
                f"rule worked by hand, got {score!r} from the kernel"
            )
        return working

    def _facts(self, row: int) -> Facts:
        columns = self.columns
        names = (
            "margin",
            "maintenance_margin",
            "initial_margin",
            "open_value",
            "leverage",
            "profit_lots",
            "profit_value",
        )
        given = {name: getattr(columns, name) for name in names}
        return Facts(
            lots=int(columns.lots[row]),
            entry_value=int(columns.entry_value[row]),
            lot_value=Fraction(self.scale.mark_num, self.scale.mark_den),
            is_inverse=self.scale.is_inverse,
            pool=self._pool(row),
            **{name: int(column[row]) for name, column in given.items() if column is not None},
        )

    def _pool(self, row: int) -> Pool | None:
        account, table = self.columns.account, self.accounts
        if account is None or table is None or account[row] == ranking.OWN_MARGIN:
            return None
        names = ("equity", "maintenance_margin", "wallet_balance")
        given = {name: getattr(table, name) for name in names}
        place = int(account[row])
        return Pool(**{n: int(column[place]) for n, column in given.items() if column is not None})


def _taken(columns: ranking.Columns, rows: Int64) -> ranking.Columns:
    """Gather rows of every column that a score may read; it reads neither ids nor tiers."""
    names = set(ranking.Columns.__dataclass_fields__) - {"position_id", "tier", "owner"}
    given: dict[str, Any] = {name: getattr(columns, name) for name in names}
    taken = {name: column.take(rows) for name, column in given.items() if column is not None}
    return ranking.Columns(**taken)


def taken_of(column: pl.Series, rows: Int64) -> pl.Series:
    """Give rows of a column of the frame, as `column[rows]` does.

    Whole numbers without a null are taken by NumPy: where each row costs a line of memory it waits
    half as long.
    """
    if not column.dtype.is_integer() or column.null_count() or column.n_chunks() > 1:
        return column[rows]
    return pl.Series(column.name, column.to_numpy().take(rows))


def digits_of(value: Decimal) -> int:
    """Count the digits after the point of a finite decimal, without zeros at the end."""
    return len(spelled(value).partition(".")[2])


def spelled(value: Decimal) -> str:
    """Write a finite decimal without an exponent and without zeros at the end.

    Not by `normalize`, which rounds to whatever decimal context the caller's thread has.
    """
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def contracts(name: str, lots: Int64, scale: MarketScale) -> pl.Series:
    """Give lots as contracts.

    Returns:
        (n,) Decimal(38, digits of the lot size), exact.
    """
    whole = pl.Series(name, lots).cast(pl.Decimal(38, 0))
    lot_size = decimal_of(Fraction(scale.lot_size))
    if lot_size == 1:
        return whole
    kind = pl.Decimal(38, digits_of(lot_size))
    return (whole * pl.Series([lot_size], dtype=kind)).cast(kind)
