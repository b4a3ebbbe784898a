"""Large books from a seed, with their exact order: shapes that take the kernel's other paths.

The rules are chosen so that an exact key costs a few products of whole numbers; a test holds each
shape to the oracle at a small size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.model.rules import Basis, Factor, Loss, Scope, ScoreRule
from oracle import Account, Book, Position, Rate
from strategies import LIMIT, OWN_MARGIN

NAMES = tuple(field.name for field in fields(Position) if field.name not in {"market", "owner"})
ACCOUNT_NAMES = tuple(field.name for field in fields(Account))

OWN_FACTORS = (Factor.BANKRUPTCY_DISTANCE, Factor.OPEN_VALUE_OVER_MARGIN)
"""Factors that read the position's own margin, whoever judges it."""

MODES = ("own", "account", "mixed")
"""Whose equity judges the rows of a book: their own, their account's, or now this, now that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeBook:
    """One market, too large for fractions: rows of both sides and the exact queue of the longs."""

    columns: ranking.Columns
    rate: ranking.Rate
    rule: ScoreRule
    queue: NDArray[np.int64]
    equity: NDArray[np.int64] | None = None

    @property
    def accounts(self) -> ranking.Accounts | None:
        """The account table, if the rule reads one."""
        return None if self.equity is None else ranking.Accounts(equity=self.equity)

    def as_book(self) -> Book:
        """The same book for the oracle; only for a small one."""
        rows = np.arange(len(self.columns.lots))
        return book_of(self.columns, self.accounts, self.rate, self.rule, rows)


def book_of(
    columns: ranking.Columns,
    accounts: ranking.Accounts | None,
    rate: ranking.Rate,
    rule: ScoreRule,
    rows: NDArray[np.int64],
) -> Book:
    """Some rows of one market for the oracle."""
    given = {name: getattr(columns, name) for name in NAMES}
    chosen = {name: values[rows].tolist() for name, values in given.items() if values is not None}
    records = [dict(zip(chosen, row, strict=True)) for row in zip(*chosen.values(), strict=True)]
    for record in records:
        if record.get("account") == OWN_MARGIN:
            record["account"] = None
    table = ranking.Accounts() if accounts is None else accounts
    worths = {name: getattr(table, name) for name in ACCOUNT_NAMES}
    held = {name: values.tolist() for name, values in worths.items() if values is not None}
    return Book(
        positions=tuple(Position(**record) for record in records),
        rates=(Rate(mark_num=rate.mark_num, mark_den=rate.mark_den, is_inverse=rate.is_inverse),),
        rule=rule,
        accounts=tuple(
            Account(**dict(zip(held, row, strict=True))) for row in zip(*held.values(), strict=True)
        ),
    )


def exact_keys(scores: Sequence[tuple[int, int] | None]) -> list[int | None]:
    """Whole numbers that compare as the scores (numerator, denominator) do, exactly.

    Unequal fractions differ by at least 1 / (d * d'), which the shift makes at least 1.
    """
    shift = 2 * max((score[1].bit_length() for score in scores if score), default=0)
    return [None if score is None else (score[0] << shift) // score[1] for score in scores]


def arranged(
    rng: np.random.Generator,
    *,
    keys: Sequence[int | None],
    rule: ScoreRule,
    mark: tuple[int, int],
    equity: NDArray[np.int64] | None = None,
    **columns: NDArray[Any],
) -> LargeBook:
    """Rows with random ids and the exact queue of the longs; a key of None has no place."""
    count = len(keys)
    ids = rng.permutation(count) + 1
    lots, tiers = columns["lots"].tolist(), columns.get("tier", np.zeros(count)).tolist()
    queued = [
        (tiers[row], -key, -lots[row], number, row)
        for row, (key, number) in enumerate(zip(keys, ids.tolist(), strict=True))
        if key is not None and lots[row] > 0
    ]
    return LargeBook(
        columns=ranking.Columns(position_id=ids.astype(np.uint64), **columns),
        rate=ranking.Rate(mark_num=mark[0], mark_den=mark[1]),
        rule=rule,
        queue=np.array([key[-1] for key in sorted(queued)], dtype=np.int64),
        equity=equity,
    )


def sizes(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Lots of many magnitudes, a tenth of them short."""
    lots = np.ceil(np.exp(rng.normal(4, 2, count))).astype(np.int64)
    return np.asarray(lots * rng.choice([1] * 9 + [-1], count))


def entries(
    lots: NDArray[np.int64], mark: tuple[int, int], moves: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Entry values as far from the mark value as the moves say."""
    return np.ceil(np.abs(lots) * (mark[0] / mark[1]) * (1 + moves)).astype(np.int64)


def heavy_ties(rng: np.random.Generator, count: int) -> LargeBook:
    """A few prices and leverage settings: groups of thousands of equal scores, two tiers."""
    lots = rng.choice([1, 2, 5, 10, 10, -10], count)
    entry_value = np.abs(lots) * rng.choice([90, 95, 100, 105, 110], count)
    leverage = rng.choice([1, 2, 3, 5, 10, 20, 50, 100], count)
    scores = []
    for size, entry, times in zip(
        lots.tolist(), entry_value.tolist(), leverage.tolist(), strict=True
    ):
        profit = 100 * abs(size) - entry
        scores.append((profit * times, entry) if profit >= 0 else (profit, entry * times))
    return arranged(
        rng,
        keys=exact_keys(scores),
        rule=ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.LEVERAGE_SETTING, loss=Loss.DIVIDE),
        mark=(100, 1),
        lots=lots,
        entry_value=entry_value,
        leverage=leverage * 1_000_000,
        tier=(rng.random(count) < 0.1).astype(np.uint8),
    )


def bankruptcy_distance(
    rng: np.random.Generator, count: int, *, best: float, worst: float
) -> LargeBook:
    """Percentage times leverage to bankruptcy, entries between two distances from the mark.

    Score: p * v / (EV * e) in profit, p * e / (EV * v) at a loss, all times the mark's
    denominator: p pnl, v mark value, EV entry value, e margin + pnl.
    """
    num, den = mark = (6_123_457, 100)
    lots = sizes(rng, count)
    entry_value = entries(lots, mark, rng.uniform(best, worst, count))
    margin = (entry_value * rng.uniform(0.02, 1, count)).astype(np.int64)
    scores: list[tuple[int, int] | None] = []
    columns = zip(lots.tolist(), entry_value.tolist(), margin.tolist(), strict=True)
    for size, entry, own in columns:
        value = abs(size) * num
        profit = (value - entry * den) * (1 if size > 0 else -1)
        left = own * den + profit
        if left <= 0:
            scores.append(None)
        elif profit >= 0:
            scores.append((profit * value, entry * den * left))
        else:
            scores.append((profit * left, entry * den * value))
    return arranged(
        rng,
        keys=exact_keys(scores),
        rule=ScoreRule(
            basis=Basis.ENTRY_VALUE, factor=Factor.BANKRUPTCY_DISTANCE, loss=Loss.DIVIDE
        ),
        mark=mark,
        lots=lots,
        entry_value=entry_value,
        margin=margin,
    )


def all_at_a_loss(rng: np.random.Generator, count: int) -> LargeBook:
    """Every long is at a loss."""
    return bankruptcy_distance(rng, count, best=0.001, worst=0.5)


def mixed(rng: np.random.Generator, count: int) -> LargeBook:
    """Half of the longs are in profit."""
    return bankruptcy_distance(rng, count, best=-0.5, worst=0.5)


def few_in_profit(rng: np.random.Generator, count: int) -> LargeBook:
    """Price ratio times leverage, winners only, and one long in twenty-five is one."""
    num, den = mark = (6_123_457, 100)
    lots = sizes(rng, count)
    entry_value = entries(lots, mark, rng.uniform(-0.02, 0.5, count))
    margin = entry_value // 2
    scores: list[tuple[int, int] | None] = []
    columns = zip(lots.tolist(), entry_value.tolist(), margin.tolist(), strict=True)
    for size, entry, own in columns:
        value = abs(size) * num
        profit = value - entry * den
        scores.append((value * value, entry * den * (own * den + profit)) if profit > 0 else None)
    return arranged(
        rng,
        keys=exact_keys(scores),
        rule=ScoreRule(
            basis=Basis.PRICE_RATIO, factor=Factor.NOTIONAL_OVER_EQUITY, loss=Loss.EXCLUDE
        ),
        mark=mark,
        lots=lots,
        entry_value=entry_value,
        margin=margin,
    )


def by_account(rng: np.random.Generator, count: int) -> LargeBook:
    """Profit over equity, winners only; a quarter stands alone, a tenth of accounts have none."""
    lots = sizes(rng, count)
    entry_value = entries(lots, (61_234, 1), rng.uniform(-0.5, 0.5, count))
    equity = rng.integers(-(10**8), 10**9, max(1, count // 10))
    account = rng.integers(0, len(equity), count)
    is_own = rng.random(count) < 0.25
    margin = entry_value // 3
    profits = np.abs(lots) * 61_234 - entry_value
    worth = np.where(is_own, margin + profits, equity[account])
    scores = [
        (profit, own) if profit > 0 and own > 0 else None
        for profit, own in zip(profits.tolist(), worth.tolist(), strict=True)
    ]
    return arranged(
        rng,
        keys=exact_keys(scores),
        rule=ScoreRule(
            basis=Basis.EQUITY, factor=Factor.NONE, loss=Loss.EXCLUDE, scope=Scope.MARGIN_MODE
        ),
        mark=(61_234, 1),
        lots=lots,
        entry_value=entry_value,
        margin=margin,
        account=np.where(is_own, OWN_MARGIN, account).astype(np.uint32),
        equity=equity,
    )


def near_ties(rng: np.random.Generator, count: int) -> LargeBook:
    """Price ratios that differ by 2^-80: no float can tell most of them apart."""
    lots = 2**40 + rng.permutation(count)
    entry_value = lots + rng.integers(-2, 3, count)
    return arranged(
        rng,
        keys=exact_keys(list(zip(lots.tolist(), entry_value.tolist(), strict=True))),
        rule=ScoreRule(basis=Basis.PRICE_RATIO_LITERAL, factor=Factor.NONE, loss=Loss.MULTIPLY),
        mark=(1, 1),
        lots=lots,
        entry_value=entry_value,
    )


def equal_rows(rng: np.random.Generator, count: int) -> LargeBook:
    """One and the same position over and over: the ids alone decide."""
    return arranged(
        rng,
        keys=[0] * count,
        rule=ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.NONE, loss=Loss.DIVIDE),
        mark=(1, 3),
        lots=np.full(count, 7),
        entry_value=np.full(count, 2),
    )


def by_profit(
    rng: np.random.Generator, profits: NDArray[np.int64], lots: NDArray[np.int64]
) -> LargeBook:
    """Absolute profits as given, all long: 64-bit keys are exact, so it may be very large."""
    ids = rng.permutation(len(lots)) + 1
    return LargeBook(
        columns=ranking.Columns(
            lots=lots, entry_value=60 * lots - profits, position_id=ids.astype(np.uint64)
        ),
        rate=ranking.Rate(mark_num=60, mark_den=1),
        rule=ScoreRule(basis=Basis.ABSOLUTE, factor=Factor.NONE, loss=Loss.MULTIPLY),
        queue=np.lexsort((ids, -lots, -profits)),
    )


def ascending(rng: np.random.Generator, count: int) -> LargeBook:
    """The worst row first: every row beats all before it."""
    return by_profit(rng, np.arange(count) - count // 3, np.full(count, count))


def descending(rng: np.random.Generator, count: int) -> LargeBook:
    """The best row first."""
    return by_profit(rng, count // 3 - np.arange(count), np.full(count, count))


def one_giant(rng: np.random.Generator, count: int) -> LargeBook:
    """One row in the middle of the queue is larger than all the others together."""
    lots = rng.integers(10, 100, count)
    profits = rng.integers(-300, 300, count)
    lots[count // 7], profits[count // 7] = 2**44, 1
    return by_profit(rng, profits, lots)


def periodic(rng: np.random.Generator, count: int, *, period: int, best: int) -> LargeBook:
    """Every so manieth row is far better (or worse) than the rest: what a fixed stride meets."""
    profits = rng.integers(-100, 100, count)
    profits[::period] += best
    return by_profit(rng, profits, rng.integers(10, 100, count))


def stride_meets_the_best(rng: np.random.Generator, count: int) -> LargeBook:
    """A sample at a fixed stride sees only the best rows."""
    return periodic(rng, count, period=count // 2**14 | 1, best=200)


def stride_meets_the_worst(rng: np.random.Generator, count: int) -> LargeBook:
    """A sample at a fixed stride sees only the worst rows."""
    return periodic(rng, count, period=count // 2**14 | 1, best=-200)


Shape = Callable[[np.random.Generator, int], LargeBook]

SHAPES: tuple[Shape, ...] = (
    heavy_ties,
    all_at_a_loss,
    mixed,
    few_in_profit,
    by_account,
    near_ties,
    equal_rows,
    ascending,
    descending,
    one_giant,
    stride_meets_the_best,
    stride_meets_the_worst,
)


def many_markets(rng: np.random.Generator, count: int, *, is_grouped: bool) -> LargeBook:
    """Two hundred markets, the largest a fifth of the rows; `queue` is of all of them together."""
    market = np.minimum(rng.geometric(0.2, count) - 1, 30) * 6 + rng.integers(0, 2, count)
    market = np.sort(market) if is_grouped else market
    lots = rng.integers(1, 50, count) * rng.choice([1, -1], count)
    profits = rng.integers(-20, 20, count)
    ids = rng.permutation(count) + 1
    return LargeBook(
        columns=ranking.Columns(
            lots=lots,
            entry_value=60 * np.abs(lots) - profits * np.sign(lots),
            position_id=ids.astype(np.uint64),
            market=market.astype(np.uint32),
            owner=rng.integers(0, 500, count).astype(np.uint32),
        ),
        rate=ranking.Rate(mark_num=60),
        rule=ScoreRule(basis=Basis.ABSOLUTE, factor=Factor.NONE, loss=Loss.MULTIPLY),
        queue=np.lexsort((ids, -np.abs(lots), -profits)),
    )


def mixture(rng: np.random.Generator, *columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each row from one of the columns, within the limit."""
    choice = rng.integers(0, len(columns), len(columns[0]))
    return np.clip(np.choose(choice, columns), -LIMIT, LIMIT)


def part_of(rng: np.random.Generator, column: NDArray[np.int64], most: float) -> NDArray[np.int64]:
    """Up to so much of each value."""
    return (np.abs(column) * rng.uniform(0, most, len(column))).astype(np.int64)


def anything(
    rng: np.random.Generator, count: int, *, rule: ScoreRule, mode: str, is_wide: bool
) -> tuple[ranking.Columns, ranking.Accounts, ranking.Rate]:
    """A book for any rule, with entries next to the mark and equities next to nothing.

    A wide one has a rate of two numbers near 2^61 whose ratio is nearly 1.
    """
    num, den = (2**61 - 3, 2**61 - 1) if is_wide else (61_234_567, 1000)
    rate = ranking.Rate(mark_num=num, mark_den=den, is_inverse=bool(rng.random() < 0.4))
    sizes = mixture(
        rng,
        np.exp2(rng.uniform(0, 44 if is_wide else 34, count)).astype(np.int64),
        rng.choice([1000, 2000, 3000, 7000], count),
    )
    mark = sizes if is_wide else sizes * num // den
    near, small = rng.integers(-3, 4, (2, count))
    entry_value = np.maximum(
        1, mixture(rng, mark + near, part_of(rng, mark, 1.5), mark + part_of(rng, mark, 1e-7))
    )
    lots = sizes * rng.choice([1, -1], count)
    gain = (mark - entry_value) * np.sign(lots) * (-1 if rate.is_inverse else 1)
    owners = max(1, count // 20)
    own_margin = rng.random(count) < 0.3
    account = np.where(own_margin, OWN_MARGIN, rng.integers(0, owners, count)).astype(np.uint32)
    if mode == "account":
        account = rng.integers(0, owners, count).astype(np.uint32)
    is_own = mode != "account" or rule.factor in OWN_FACTORS
    due = mixture(rng, part_of(rng, mark, 0.1), small * 0)
    columns = ranking.Columns(
        lots=lots,
        entry_value=entry_value,
        position_id=(rng.permutation(count) + 1).astype(np.uint64),
        margin=mixture(rng, small - gain, part_of(rng, mark, 1), small) if is_own else None,
        maintenance_margin=due if is_own else None,
        initial_margin=mixture(rng, part_of(rng, mark, 1), np.abs(small)),
        open_value=mixture(rng, part_of(rng, mark, 3), np.abs(small)),
        leverage=rng.choice([0, 1_000_000, 3_000_000, 125_000_000], count),
        account=None if mode == "own" else account,
        profit_lots=mixture(rng, lots, small),
        profit_value=mixture(rng, mark * np.sign(lots) + near, part_of(rng, mark, 2), small),
        tier=(rng.random(count) < 0.2).astype(np.uint8) if rng.random() < 0.3 else None,
    )
    worth = np.exp2(rng.uniform(0, 50, owners)).astype(np.int64)
    little = rng.integers(-2, 3, owners)
    accounts = ranking.Accounts(
        equity=mixture(rng, worth, worth, -worth, little),
        maintenance_margin=part_of(rng, worth, 0.2),
        wallet_balance=mixture(rng, worth, little),
    )
    return columns, accounts, rate


def bands_of(added: NDArray[np.int64], bands: int) -> NDArray[np.int64]:
    """Light down a queue: bands + 1 - ceil(bands * share), in whole numbers."""
    ends = np.cumsum(added)
    whole = ends[-1] if len(ends) else np.int64(1)
    return np.asarray(bands + 1 + (-bands * ends) // whole)
