"""Synthetic books: a seed and a size in, the kernel's columns out.

A book is drawn in the units of the contract, so nothing has to be converted before it is
measured: whole lots of 0.001 contracts, money in units of 0.000001 USDT, and per market a mark
value of `mark_num / mark_den` money units a lot. A position's entry price is scattered around
the mark, its leverage is drawn, and its margin follows; nobody but the rows of `ties` is drawn
at or through bankruptcy, as a venue would have liquidated them.

Everything is vectorised, so that ten million rows take seconds, and the same arguments give the
same bytes. The Polars faces of a book are in `frames_of`.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from deleverage.errors import InputError

__all__ = ["Book", "Distribution", "generate", "leverage_scores", "market_sizes"]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_LOTS_MAX = 5_000_000
_MARK_DENOMINATOR = 1_000
_TIE_LEVERAGES = np.array([1, 2, 3, 5, 10, 20, 25, 50, 75, 100, 125], dtype=np.float64)
_MAINTENANCE_RATES = np.array([0.004, 0.005, 0.0065])
_TIE_STEP = 1_500  # divisible by every leverage above: margins of equal trades stay equal ratios
_TIE_LOTS = np.array([1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000], dtype=np.int64)


class Distribution(StrEnum):
    """How a book is drawn; every one but the first is there to find a weak spot.

    `log_normal` is the plain one. `ties` draws sizes, entries and leverages from short lists, so
    that whole groups share one exact score. `giant` gives one market nine tenths of the rows and
    `tiny` gives every market the same few. `loss` puts everybody at a loss. `ascending` and
    `descending` hand the rows over already sorted by score, the wrong way and the right way.
    """

    LOG_NORMAL = "log_normal"
    TIES = "ties"
    GIANT = "giant"
    TINY = "tiny"
    LOSS = "loss"
    ASCENDING = "ascending"
    DESCENDING = "descending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Positions as kernel columns, with the account table and the marks that go with them.

    Attributes:
        lots: (n,) int64, signed: + long, - short; never 0.
        entry_value: (n,) int64 > 0, money units.
        margin: (n,) int64 > 0, money units, without unrealised profit.
        maintenance_margin: (n,) int64 > 0, money units.
        initial_margin: (n,) int64 > 0, money units.
        leverage: (n,) int64, ppm (1_000_000 is 1x).
        position_id: (n,) uint64, unique, in no order.
        market: (n,) uint32 code, 0 to markets - 1.
        account: (n,) uint32 row of the account table.
        equity: (accounts,) int64 money units, unrealised profit included; it may be negative.
        account_maintenance: (accounts,) int64 money units.
        wallet_balance: (accounts,) int64 money units.
        mark_num: (markets,) int64; a lot is worth mark_num / mark_den money units.
        mark_den: int, the same for every market.
        distribution: how the rows were drawn.
        seed: what they were drawn from.
    """

    lots: Integers
    entry_value: Integers
    margin: Integers
    maintenance_margin: Integers
    initial_margin: Integers
    leverage: Integers
    position_id: npt.NDArray[np.uint64]
    market: npt.NDArray[np.uint32]
    account: npt.NDArray[np.uint32]
    equity: Integers
    account_maintenance: Integers
    wallet_balance: Integers
    mark_num: Integers
    mark_den: int
    distribution: Distribution
    seed: int

    @property
    def positions(self) -> int:
        """Number of rows."""
        return len(self.lots)

    @property
    def markets(self) -> int:
        """Number of markets."""
        return len(self.mark_num)

    def open_interest(self, side: int) -> int:
        """Return the lots that one side holds over all markets.

        Args:
            side: +1 long, -1 short.

        Returns:
            Whole lots, positive.
        """
        held = np.maximum(self.lots, 0) if side > 0 else np.minimum(self.lots, 0)
        return abs(int(held.sum()))

    def take(self, rows: npt.NDArray[np.int64]) -> "Book":
        """Return the same positions, or some of them, in another order.

        Args:
            rows: (k,) int64 row numbers.

        Returns:
            A book of k rows with the same accounts and marks.
        """
        return Book(
            lots=self.lots[rows],
            entry_value=self.entry_value[rows],
            margin=self.margin[rows],
            maintenance_margin=self.maintenance_margin[rows],
            initial_margin=self.initial_margin[rows],
            leverage=self.leverage[rows],
            position_id=self.position_id[rows],
            market=self.market[rows],
            account=self.account[rows],
            equity=self.equity,
            account_maintenance=self.account_maintenance,
            wallet_balance=self.wallet_balance,
            mark_num=self.mark_num,
            mark_den=self.mark_den,
            distribution=self.distribution,
            seed=self.seed,
        )

    def by_account(self) -> "Book":
        """Return the rows as a snapshot keeps them: by market, side (long first) and account.

        Returns:
            The sorted book.
        """
        return self.take(np.lexsort((self.account, self.lots < 0, self.market)))

    def shuffled(self) -> "Book":
        """Return the rows in an order drawn from the seed, markets mixed.

        Returns:
            The shuffled book.
        """
        generator = np.random.default_rng([self.seed, 1])
        return self.take(generator.permutation(self.positions))


def market_sizes(positions: int, markets: int, distribution: Distribution) -> Integers:
    """Share positions out over markets, largest first.

    Args:
        positions: rows in all.
        markets: number of markets, at least 1.
        distribution: `tiny` shares evenly, `giant` gives the first nine tenths and shares the
            rest by Zipf's law; all others follow Zipf's law (the i-th market in proportion 1 / i).

    Returns:
        (markets,) int64 row counts that add up to `positions`.
    """
    if distribution is Distribution.TINY:
        weights = np.ones(markets)
    else:
        weights = 1.0 / np.arange(1, markets + 1)
    if distribution is Distribution.GIANT and markets > 1:
        weights[0] = 9.0 * weights[1:].sum()
    edges = np.zeros(markets + 1, dtype=np.int64)
    edges[1:] = np.rint(np.cumsum(weights) / weights.sum() * positions)
    return edges[1:] - edges[:-1]


def generate(
    positions: int,
    *,
    seed: int = 0,
    distribution: Distribution | str = Distribution.LOG_NORMAL,
    markets: int = 1,
    accounts: int | None = None,
) -> Book:
    """Draw a book.

    Args:
        positions: number of rows, at least 1.
        seed: non-negative; the same arguments give the same bytes.
        distribution: one of `Distribution`.
        markets: number of markets; rows come grouped by market.
        accounts: number of accounts that share the rows evenly; default one a row.

    Returns:
        The book, rows grouped by market and otherwise in no order (`ascending` and `descending`
        are sorted by `leverage_scores` inside each market).

    Raises:
        InputError: a count is below 1, or the distribution is unknown.
    """
    for name, count in (("positions", positions), ("markets", markets), ("accounts", accounts)):
        if count is not None and count < 1:
            raise InputError(f"{name}: expected at least 1, got {count}")
    known = [member.value for member in Distribution]
    if distribution not in known:
        raise InputError(f"distribution: expected one of {', '.join(known)}, got {distribution!r}")
    kind = Distribution(distribution)
    generator = np.random.default_rng([seed, 0])
    sizes = market_sizes(positions, markets, kind)
    mark_num = _marks(generator, markets, kind)
    market = np.repeat(np.arange(markets, dtype=np.uint32), sizes)
    value_of_lot = (mark_num / _MARK_DENOMINATOR)[market]
    lots = _lots(generator, positions, kind)
    entry_value, leverage = _entries(generator, lots, value_of_lot, kind)
    book = _assemble(
        generator,
        kind,
        seed=seed,
        market=market,
        mark_num=mark_num,
        lots=lots,
        entry_value=entry_value,
        leverage=leverage,
        accounts=accounts or positions,
    )
    if kind in (Distribution.ASCENDING, Distribution.DESCENDING):
        scores = leverage_scores(book)
        key = scores if kind is Distribution.ASCENDING else -scores
        return book.take(np.lexsort((key, book.market)) if markets > 1 else np.argsort(key))
    return book


def leverage_scores(book: Book) -> Floats:
    """Score a book by return times effective leverage, in floats: only good for sorting rows.

    Args:
        book: the positions.

    Returns:
        (n,) float64, the return on entry value, multiplied by mark value over own equity where
        in profit and divided by it where at a loss.
    """
    mark_value, profit = _mark_value_and_profit(book)
    leverage = mark_value / np.maximum(book.margin + profit, 1.0)
    returns = profit / book.entry_value
    return np.where(profit >= 0, returns * leverage, returns / leverage)


def _mark_value_and_profit(book: Book) -> tuple[Floats, Floats]:
    value_of_lot = (book.mark_num / book.mark_den)[book.market]
    mark_value = np.abs(book.lots) * value_of_lot
    profit = np.where(book.lots > 0, mark_value - book.entry_value, book.entry_value - mark_value)
    return mark_value, profit


def _marks(generator: np.random.Generator, markets: int, kind: Distribution) -> Integers:
    """Mark prices of 0.5 to 60,000 USDT; the first market is always the dearest."""
    prices = np.exp(generator.uniform(np.log(0.5), np.log(60_000.0), markets))
    prices[0] = 61_234.567891
    mark_num: Integers = np.rint(prices * 1_000_000).astype(np.int64)
    if kind is not Distribution.TIES:
        return mark_num
    step = _TIE_STEP * _MARK_DENOMINATOR
    whole_steps: Integers = np.maximum(mark_num // step, 1) * step
    return whole_steps


def _lots(generator: np.random.Generator, positions: int, kind: Distribution) -> Integers:
    if kind is Distribution.TIES:
        sizes = generator.choice(_TIE_LOTS, positions)
    else:
        drawn = generator.lognormal(np.log(500.0), 2.0, positions)
        sizes = np.clip(drawn, 1.0, _LOTS_MAX).astype(np.int64)
    short = generator.integers(0, 2, positions, dtype=np.int8).astype(bool)
    np.negative(sizes, out=sizes, where=short)
    return sizes


def _entries(
    generator: np.random.Generator, lots: Integers, value_of_lot: Floats, kind: Distribution
) -> tuple[Integers, Floats]:
    """Entry values, and leverages at entry (1.0 is unlevered)."""
    sizes = np.abs(lots)
    if kind is Distribution.TIES:
        steps = generator.integers(-15, 16, len(lots))
        # Whole multiples of the step keep equal trades of different size on one exact ratio.
        unit = np.maximum(np.rint(value_of_lot / _TIE_STEP * (1 + steps / 100)), 1) * _TIE_STEP
        leverage = generator.choice(_TIE_LEVERAGES, len(lots))
        loss = np.where(lots > 0, unit - value_of_lot, value_of_lot - unit) / unit
        return sizes * unit.astype(np.int64), np.where(loss * leverage >= 1, 1.0, leverage)
    drift = generator.normal(0.0, 0.05, len(lots))
    if kind is Distribution.LOSS:
        drift = np.where(lots > 0, np.abs(drift), -np.abs(drift)) + np.sign(lots) * 1e-4
    entry_value = np.rint(sizes * value_of_lot * np.exp(drift))
    leverage = np.exp(generator.uniform(0.0, np.log(100.0), len(lots)))
    return np.maximum(entry_value, 1).astype(np.int64), leverage


def _assemble(
    generator: np.random.Generator,
    kind: Distribution,
    *,
    seed: int,
    market: npt.NDArray[np.uint32],
    mark_num: Integers,
    lots: Integers,
    entry_value: Integers,
    leverage: Floats,
    accounts: int,
) -> Book:
    """Add margins, ids and accounts to what was drawn."""
    positions = len(lots)
    mark_value = np.abs(lots) * (mark_num / _MARK_DENOMINATOR)[market]
    profit = np.where(lots > 0, mark_value - entry_value, entry_value - mark_value)
    initial = np.maximum(np.rint(entry_value / leverage), 1).astype(np.int64)
    # The rate does not follow the size: whole offsets would otherwise fall on a few whales.
    rate = generator.choice(_MAINTENANCE_RATES, positions)
    maintenance = np.maximum(np.rint(mark_value * rate), 1).astype(np.int64)
    margin = initial
    if kind is not Distribution.TIES:
        # A row below its maintenance margin would be in liquidation: it has topped up.
        margin = np.maximum(initial, np.ceil(1.2 * maintenance - profit).astype(np.int64))
    account = (generator.permutation(positions) % accounts).astype(np.uint32)

    def per_account(values: Floats | Integers) -> Integers:
        totals = np.bincount(account, weights=values, minlength=accounts)
        return np.rint(totals).astype(np.int64)

    return Book(
        lots=lots,
        entry_value=entry_value,
        margin=margin,
        maintenance_margin=maintenance,
        initial_margin=initial,
        leverage=np.rint(leverage * 1_000_000).astype(np.int64),
        position_id=generator.permutation(positions).astype(np.uint64),
        market=market,
        account=account,
        equity=per_account(margin + profit),
        account_maintenance=per_account(maintenance),
        wallet_balance=per_account(margin),
        mark_num=mark_num,
        mark_den=_MARK_DENOMINATOR,
        distribution=kind,
        seed=seed,
    )
