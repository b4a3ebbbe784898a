"""The slow, obvious twin of the kernel: every figure an exact fraction, every step a plain list.

Nothing here is shared with the product but the names of the rules, so that a mistake in one of
the two is seen as a difference between them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import assert_never

from deleverage.model.rules import Basis, Factor, Loss, NoEquity, Reason, ScoreRule, Tie, Weight

PPM = 1_000_000
"""Parts per million: a leverage column of 1_000_000 is 1x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The mark of a market: a row's mark value is |lots| * mark_num / mark_den money units."""

    mark_num: int
    mark_den: int
    is_inverse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One row of the account table, in money units."""

    equity: int
    maintenance_margin: int = 0
    wallet_balance: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One row of a book: lots are signed, money is in money units, leverage in ppm.

    `account` is a row of the account table, or None for a row judged on its own margin; `owner` is
    the account's number, whatever judges the row, or None where the row is an owner of its own.
    """

    lots: int
    entry_value: int
    position_id: int
    market: int = 0
    margin: int = 0
    maintenance_margin: int = 0
    initial_margin: int = 0
    open_value: int = 0
    leverage: int = 0
    account: int | None = None
    owner: int | None = None
    profit_lots: int = 0
    profit_value: int = 0
    tier: int = 0
    created_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Positions of any number of markets, the marks, the account table and the rule."""

    positions: tuple[Position, ...]
    rates: tuple[Rate, ...]
    rule: ScoreRule
    accounts: tuple[Account, ...] = ()

    def score(self, row: int) -> Fraction | Reason:
        """The score of one row, or why it has none."""
        position = self.positions[row]
        return score(position, self.rates[position.market], self.rule, self.accounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What is closed: (row, lots) down the queue, and what the queue could not give."""

    fills: tuple[tuple[int, int], ...]
    unfilled: int
    available: int
    cut_row: int
    partial_row: int


def mark_value(position: Position, rate: Rate) -> Fraction:
    """Mark value: |lots| * mark_num / mark_den."""
    return Fraction(abs(position.lots) * rate.mark_num, rate.mark_den)


def own_pnl(position: Position, rate: Rate) -> Fraction:
    """Profit: kind * dir * (mark value - entry value); kind is -1 for inverse, dir -1 for short."""
    kind = -1 if rate.is_inverse else 1
    direction = 1 if position.lots > 0 else -1
    return kind * direction * (mark_value(position, rate) - position.entry_value)


def pnl(position: Position, rate: Rate, rule: ScoreRule) -> Fraction:
    """The profit that the rule ranks: own, or kind * (profit_lots * mark - profit_value)."""
    if not rule.joint_hedge:
        return own_pnl(position, rate)
    kind = -1 if rate.is_inverse else 1
    mark = Fraction(rate.mark_num, rate.mark_den)
    return kind * (position.profit_lots * mark - position.profit_value)


def own_equity(position: Position, rate: Rate) -> Fraction:
    """Own equity: margin + own pnl."""
    return position.margin + own_pnl(position, rate)


def equity(position: Position, rate: Rate, accounts: Sequence[Account]) -> Fraction:
    """The account's equity, or margin + own pnl where the row stands alone."""
    if position.account is not None:
        return Fraction(accounts[position.account].equity)
    return own_equity(position, rate)


def maintenance(position: Position, accounts: Sequence[Account]) -> int:
    """The account's maintenance margin, or the row's where the row stands alone."""
    if position.account is not None:
        return accounts[position.account].maintenance_margin
    return position.maintenance_margin


def wallet(position: Position, accounts: Sequence[Account]) -> int:
    """The account's wallet balance, or the row's margin where the row stands alone."""
    if position.account is not None:
        return accounts[position.account].wallet_balance
    return position.margin


def price_ratio(position: Position, rate: Rate) -> Fraction:
    """Price ratio, mark / entry price: mark value / entry value; for inverse the other way up."""
    ratio = mark_value(position, rate) / position.entry_value
    return 1 / ratio if rate.is_inverse else ratio


def lacks_basis(position: Position, rule: ScoreRule, accounts: Sequence[Account]) -> bool:
    """Whether what the basis divides by (entry value, initial margin, wallet) is not positive."""
    if rule.basis is Basis.INITIAL_MARGIN:
        return position.initial_margin <= 0
    if rule.basis is Basis.WALLET:
        return max(rule.wallet_floor, wallet(position, accounts)) <= 0
    if rule.basis in (Basis.ENTRY_VALUE, Basis.PRICE_RATIO, Basis.PRICE_RATIO_LITERAL):
        return position.entry_value <= 0
    return False


def lacks_equity(
    position: Position, rate: Rate, rule: ScoreRule, accounts: Sequence[Account]
) -> bool:
    """Whether an equity that the rule divides by (after its floor, if any) is not positive."""
    judged = equity(position, rate, accounts)
    dividing = (Factor.NOTIONAL_OVER_EQUITY, Factor.MAINTENANCE_OVER_EQUITY)
    if rule.basis is Basis.EQUITY or rule.factor in dividing:
        return judged <= 0
    if rule.factor is Factor.NOTIONAL_OVER_FLOORED_EQUITY:
        return max(judged, Fraction(maintenance(position, accounts))) <= 0
    return False


def basis_of(
    position: Position, rate: Rate, rule: ScoreRule, accounts: Sequence[Account]
) -> Fraction:
    """Success by the basis, from a profit that may be joint.

    entry_value: pnl / entry value; wallet: max(0, pnl) / max(wallet floor, wallet);
    initial_margin: pnl / initial margin; equity: pnl / equity; absolute: pnl;
    price_ratio_literal: mark / entry price; price_ratio: the same, for a short the other way up;
    unit: 1; mark_value: pnl / mark value.
    """
    profit = pnl(position, rate, rule)
    match rule.basis:
        case Basis.ENTRY_VALUE:
            value = profit / position.entry_value
        case Basis.WALLET:
            floored = max(rule.wallet_floor, wallet(position, accounts))
            value = max(Fraction(0), profit) / floored
        case Basis.INITIAL_MARGIN:
            value = profit / position.initial_margin
        case Basis.EQUITY:
            value = profit / equity(position, rate, accounts)
        case Basis.ABSOLUTE:
            value = profit
        case Basis.MARK_VALUE:
            value = profit / mark_value(position, rate)
        case Basis.PRICE_RATIO:
            ratio = price_ratio(position, rate)
            value = ratio if position.lots > 0 else 1 / ratio
        case Basis.PRICE_RATIO_LITERAL:
            value = price_ratio(position, rate)
        case Basis.UNIT:
            value = Fraction(1)
        case unknown:
            assert_never(unknown)
    return value


def factor_of(
    position: Position, rate: Rate, rule: ScoreRule, accounts: Sequence[Account]
) -> Fraction:
    """Leverage by the factor.

    bankruptcy_distance: mark value / (margin + own pnl), never the account's;
    notional_over_equity: mark value / equity; maintenance_over_equity: maintenance / equity;
    notional_over_floored_equity: mark value / max(equity, maintenance);
    leverage_setting: leverage_ppm / 10^6; open_value_over_margin: open value / margin; none: 1.
    """
    judged = equity(position, rate, accounts)
    match rule.factor:
        case Factor.BANKRUPTCY_DISTANCE:
            value = mark_value(position, rate) / own_equity(position, rate)
        case Factor.NOTIONAL_OVER_EQUITY:
            value = mark_value(position, rate) / judged
        case Factor.MAINTENANCE_OVER_EQUITY:
            value = maintenance(position, accounts) / judged
        case Factor.NOTIONAL_OVER_FLOORED_EQUITY:
            floored = max(judged, Fraction(maintenance(position, accounts)))
            value = mark_value(position, rate) / floored
        case Factor.LEVERAGE_SETTING:
            value = Fraction(position.leverage, PPM)
        case Factor.OPEN_VALUE_OVER_MARGIN:
            value = Fraction(position.open_value, position.margin)
        case Factor.NONE:
            value = Fraction(1)
        case unknown:
            assert_never(unknown)
    return value


def refusal(
    position: Position, rate: Rate, rule: ScoreRule, accounts: Sequence[Account]
) -> Reason | None:
    """Why a row cannot be scored: the first fault that it has, in the order of precedence.

    No basis, no equity, through bankruptcy, not in profit, no factor. A loss that scores 0 needs
    no factor, but all that divides by equity needs one.
    """
    through = rule.factor is Factor.BANKRUPTCY_DISTANCE and own_equity(position, rate) <= 0
    outside = rule.loss is Loss.EXCLUDE and pnl(position, rate, rule) <= 0
    is_zeroed = rule.loss is Loss.ZERO and pnl(position, rate, rule) < 0
    unopened = rule.factor is Factor.OPEN_VALUE_OVER_MARGIN and position.margin <= 0
    checks = (
        (lacks_basis(position, rule, accounts), Reason.NO_BASIS),
        (lacks_equity(position, rate, rule, accounts), Reason.NO_EQUITY),
        (through, Reason.THROUGH_BANKRUPTCY),
        (outside, Reason.NOT_IN_PROFIT),
        (unopened and not is_zeroed, Reason.NO_FACTOR),
    )
    return next((reason for holds, reason in checks if holds), None)


def score(
    position: Position, rate: Rate, rule: ScoreRule, accounts: Sequence[Account]
) -> Fraction | Reason:
    """Score: basis * factor, or why there is none.

    At a loss (pnl < 0) the basis is divided by the factor, multiplied, or the score is 0, as the
    loss rule says. Where equity divides and is not positive the score is 0 if the rule says so.
    """
    reason = refusal(position, rate, rule, accounts)
    if reason in (Reason.NO_EQUITY, Reason.THROUGH_BANKRUPTCY):
        return Fraction(0) if rule.no_equity is NoEquity.ZERO else reason
    if reason is not None:
        return reason
    is_loss = pnl(position, rate, rule) < 0
    if is_loss and rule.loss is Loss.ZERO:
        return Fraction(0)
    basis = basis_of(position, rate, rule, accounts)
    factor = factor_of(position, rate, rule, accounts)
    if not is_loss or rule.loss is Loss.MULTIPLY:
        return basis * factor
    return Reason.NO_FACTOR if factor == 0 else basis / factor


def tie_key(book: Book, row: int, tie: Tie) -> Fraction | int:
    """A number that is smaller for the row that goes first by one tie key."""
    position = book.positions[row]
    if tie is Tie.SIZE:
        return -abs(position.lots)
    if tie is Tie.PROFIT:
        return -pnl(position, book.rates[position.market], book.rule)
    if tie is Tie.BALANCE:
        return wallet(position, book.accounts)
    return -position.created_at if tie is Tie.NEWEST else position.created_at


def queue(
    book: Book, *, market: int = 0, side: int = 1, excluded: Collection[int] = ()
) -> list[int]:
    """Rows of one market and side, the first to be cut first.

    Tier ascending, exact score descending, the rule's ties, position_id ascending.
    """
    keyed = []
    for row, position in enumerate(book.positions):
        if position.market != market or (position.lots > 0) != (side > 0) or row in excluded:
            continue
        value = book.score(row)
        if isinstance(value, Reason):
            continue
        ties = [tie_key(book, row, tie) for tie in book.rule.ties]
        keyed.append((position.tier, -value, *ties, position.position_id, row))
    return [int(key[-1]) for key in sorted(keyed)]


def groups(book: Book) -> list[list[int]]:
    """The queue of every market and side that has one."""
    markets = range(len(book.rates))
    queues = [queue(book, market=market, side=side) for market in markets for side in (1, -1)]
    return [rows for rows in queues if rows]


def rank(book: Book) -> list[int]:
    """The place of each row in its queue: 1 is the first to be cut, 0 has no place."""
    ranks = [0] * len(book.positions)
    for rows in groups(book):
        for place, row in enumerate(rows, start=1):
            ranks[row] = place
    return ranks


def select(
    book: Book, *, lots: int, market: int = 0, side: int = 1, excluded: Collection[int] = ()
) -> Cut:
    """Close whole entries down the queue until the lots are found; the last may be partial."""
    rows = queue(book, market=market, side=side, excluded=excluded)
    fills: list[tuple[int, int]] = []
    left = lots
    partial_row = -1
    for row in rows:
        if left == 0:
            break
        size = abs(book.positions[row].lots)
        closed = min(size, left)
        left -= closed
        fills.append((row, closed))
        if closed < size:
            partial_row = row
    available = sum(abs(book.positions[row].lots) for row in rows)
    cut_row = fills[-1][0] if fills else -1
    return Cut(
        fills=tuple(fills),
        unfilled=left,
        available=available,
        cut_row=cut_row,
        partial_row=partial_row,
    )


def left_out(
    book: Book, *, market: int = 0, side: int = 1, excluded: Collection[int] = ()
) -> dict[Reason, int]:
    """How many rows of one market and side have no place in the queue, by reason."""
    counts: dict[Reason, int] = {}
    for row, position in enumerate(book.positions):
        if position.market != market or (position.lots > 0) != (side > 0):
            continue
        value = book.score(row)
        if row in excluded:
            value = Reason.EXCLUDED
        if isinstance(value, Reason):
            counts[value] = counts.get(value, 0) + 1
    return counts


def weights(book: Book, rows: Sequence[int], weight: Weight) -> list[int]:
    """What each entry of a queue adds: its lots, 1, or 1 if its owner was not met before."""
    if weight is Weight.QUANTITY:
        return [abs(book.positions[row].lots) for row in rows]
    if weight is Weight.ENTRIES:
        return [1 for _ in rows]
    met: set[int] = set()
    added = []
    for row in rows:
        owner = book.positions[row].owner
        added.append(0 if owner in met else 1)
        if owner is not None:
            met.add(owner)
    return added


def percentile(book: Book, rows: Sequence[int], weight: Weight) -> list[Fraction]:
    """Share of a queue's weight at or before each entry: near 0 in front, 1 at the end."""
    added = weights(book, rows, weight)
    total = sum(added)
    return [Fraction(sum(added[: place + 1]), total) for place in range(len(rows))]


def lights(book: Book, *, bands: int = 5, weight: Weight = Weight.QUANTITY) -> list[int]:
    """Light: bands + 1 - ceil(bands * percentile); 0 for a row with no place in a queue."""
    shown = [0] * len(book.positions)
    for rows in groups(book):
        for row, share in zip(rows, percentile(book, rows, weight), strict=True):
            shown[row] = bands + 1 - ceil(bands * share)
    return shown
