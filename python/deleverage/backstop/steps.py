"""The steps of a waterfall, each from where a liquidation stands to where it stands after it.

What a step moves is booked where it is moved: the account and whoever takes over from it get one
amount, rounded once, with opposite signs. A pool's own postings are what its record gained in cash
and in open basis, so that the pool and the books cannot part.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from deleverage.backstop.bankruptcy import Bankruptcy, Rounding, gain_of, rounded
from deleverage.backstop.lines import Facts
from deleverage.backstop.liquidation import EVERYBODY, MARKET, Fill, Gate, Liquidation, Move, Step
from deleverage.backstop.pool import Inventory, Pool
from deleverage.backstop.rules import Rules
from deleverage.backstop.settlement import Book, Posting, split_basis
from deleverage.backstop.window import whole
from deleverage.errors import InputError, InvariantError, VenueError
from deleverage.model.quantise import decimal_of
from deleverage.model.scales import MarketScale
from deleverage.model.terms import (
    Payment,
    PoolRole,
    Remainder,
    Standing,
    StepKind,
    Surplus,
)
from deleverage.ranking import Rate

__all__ = [
    "Course",
    "cancel_orders",
    "charge_fee",
    "fill_in_market",
    "gain_at",
    "leave_remainder",
    "pool_postings",
    "pool_steps",
    "rate_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Where a liquidation stands between two steps.

    Attributes:
        left: what is still open; None where nothing is.
        opened: the same position as it came in.
        pool: the pool behind the market, or None.
        scale: units of the market at the mark.
        facts: what is so.
        is_active: the trigger deleverages.
        is_behind: the queue has been walked.
        fills: what the market closed.
        refused: fills that do not count.
        debt: what nobody paid, money units.
        socialised: what everybody is to pay, money units.
        gate: how long withdrawals wait, or None.
        steps: so far.
    """

    left: Liquidation | None
    opened: Liquidation
    pool: Pool | None
    scale: MarketScale
    facts: Facts
    is_active: bool = False
    is_behind: bool = False
    fills: Sequence[Fill] = ()
    refused: tuple[Fill, ...] = ()
    debt: int = 0
    socialised: int = 0
    gate: Gate | None = None
    steps: tuple[Step, ...] = ()

    def posting(self, owner: str, book: Book, amount: int) -> Posting:
        """Give one entry in the market's settlement asset."""
        market = self.scale.market if book is Book.BASIS else ""
        return Posting(
            owner=owner, book=book, asset=self.scale.settle, amount=amount, market=market
        )

    def moves(self, taker: str, lots: int) -> tuple[Move, ...]:
        """Give the lots that go from the liquidated account to another owner, signed."""
        market = self.scale.market
        giver = Move(owner=self.opened.account, market=market, lots=-lots)
        return giver, Move(owner=taker, market=market, lots=lots)

    @property
    def at(self) -> int:
        """The instant of the facts, ns UTC."""
        return self.facts.at

    def money(self, units: int) -> str:
        """Write an amount as its owner says it."""
        return f"{decimal_of(units * Fraction(self.scale.money_unit)):f} {self.scale.settle}"

    def size(self, lots: int) -> str:
        """Write lots as contracts."""
        return f"{decimal_of(lots * Fraction(self.scale.lot_size)):f} contracts"


def rate_of(scale: MarketScale) -> Rate:
    """Give the mark of a market as the value of one lot."""
    return Rate(mark_num=scale.mark_num, mark_den=scale.mark_den, is_inverse=scale.is_inverse)


def cancel_orders(rules: Rules, course: Course) -> Course:
    """Cancel the open orders of the liquidated account; money and lots stay where they are."""
    del rules
    text = f"all open orders of {course.opened.account} are cancelled"
    return _done(course, Step(kind=StepKind.ORDERS, text=text))


def charge_fee(rules: Rules, course: Course) -> Course:
    """Charge the liquidation fee on the size at the mark, as far as the account's equity goes.

    `min(ratio x value, max(0, equity))`, rounded down (left-curve/left-curve@c1468da).

    Raises:
        InputError: the account's value or the pool is not known.
    """
    open_ = course.left
    if rules.fee_ratio is None or open_ is None:
        return course
    pool = _needed(course)
    if course.facts.account_value is None:
        raise InputError("account_value: not given, and the liquidation fee is limited by it")
    value = Fraction(abs(open_.lots) * course.scale.mark_num, course.scale.mark_den)
    most = rounded(rules.fee_ratio * value, Rounding.DOWN)
    fee = min(most, max(0, course.facts.account_value))
    postings = _moved(course, fee, (open_.account, Book.WALLET), (pool.name, Book.FUND))
    text = f"liquidation fee {course.money(fee)} of at most {course.money(most)}"
    after = replace(course, pool=pool.receive_fee(open_.market, fee, at=course.at))
    return _done(after, Step(kind=StepKind.FEE, postings=postings, text=text))


def fill_in_market(rules: Rules, course: Course) -> Course:
    """Book what the market closed: surplus over bankruptcy, and deficits as the pool can pay.

    Raises:
        InputError: a fill closes nothing or more than is open, or credits the wrong way.
    """
    for place, fill in enumerate(course.fills):
        open_ = course.left
        if open_ is None or not 0 < fill.lots <= abs(open_.lots):
            held = 0 if open_ is None else abs(open_.lots)
            raise InputError(f"fill {place}: lots: expected 1 to {held}, got {fill.lots}")
        gain = gain_of(open_.lots, is_inverse=course.scale.is_inverse)
        if gain * whole(f"fill {place}: quote", fill.quote) < 0:
            wanted = "0 or more, what is sold" if gain > 0 else "0 or less, what is bought back"
            raise InputError(f"fill {place}: quote: expected {wanted}, got {fill.quote}")
        short = _shortfall(rules, open_, fill)
        pays = rules.part.pool in {PoolRole.TAKES_OVER, PoolRole.PAYS}
        if short > 0 and pays and _refuses(rules, _needed(course), short):
            return replace(course, refused=tuple(course.fills[place:]))
        course = _filled(rules, course, open_, fill, short)
    return course


def pool_steps(rules: Rules, course: Course) -> Course:
    """Let the pool net, take over or pay, whatever the edition has it do.

    Before the queue it takes over unless the trigger deleverages; behind the queue it takes what
    its money bears at the mark, and pays what the account still owes. It takes a position whole or
    not at all: no venue says that its fund takes a part.

    Raises:
        VenueError: it stands on the other side and the edition never said what then.
        InputError: the pool, or the bankruptcy of the position, is not known.
    """
    if course.opened.is_pool or rules.part.pool is PoolRole.NOTHING:
        return course
    course = _net(rules, course)
    if course.is_behind:
        course = _pay_debt(course)
    open_ = course.left
    if open_ is None or rules.part.pool is not PoolRole.TAKES_OVER:
        return course
    if course.is_behind:
        loss = _loss_at_mark(rules, course, open_)
        if loss > _needed(course).available:
            return course
    elif course.is_active:
        return course
    return _taken_over(rules, course, abs(open_.lots), StepKind.POOL, "takes over")


def leave_remainder(rules: Rules, course: Course) -> Course:
    """Do with what is left as the edition says.

    Raises:
        InputError: the pool, or the bankruptcy of the position, is not known.
    """
    open_, kind = course.left, rules.part.remainder
    if open_ is None and course.debt == 0:
        return course
    if course.opened.is_pool or kind is Remainder.STAYS:
        return _stays(course, "stays")
    if kind is Remainder.GATED:
        return _gated(rules, course)
    if kind is Remainder.SOCIALISED:
        return _socialised(rules, course)
    if open_ is not None:
        course = _taken_over(rules, course, abs(open_.lots), StepKind.REMAINDER, "must take over")
    return _pay_debt(course, StepKind.REMAINDER)


def gain_at(open_: Liquidation, scale: MarketScale) -> int:
    """Give the unrealised profit of what is open at the mark, money units, rounded down."""
    value = Fraction(abs(open_.lots) * scale.mark_num, scale.mark_den)
    gain = gain_of(open_.lots, is_inverse=scale.is_inverse)
    return rounded(gain * (value - open_.entry_value), Rounding.DOWN)


def pool_postings(course: Course, before: Pool, after: Pool) -> tuple[Posting, ...]:
    """Give what a pool gained between two moments in cash and in the open basis of the market."""
    market = course.scale.market
    is_inverse = course.scale.is_inverse
    basis = _basis(after.inventory(market), is_inverse=is_inverse)
    basis -= _basis(before.inventory(market), is_inverse=is_inverse)
    pairs = ((Book.FUND, after.cash - before.cash), (Book.BASIS, basis))
    return tuple(course.posting(after.name, book, amount) for book, amount in pairs if amount)


def _done(course: Course, step: Step) -> Course:
    """Note a step."""
    return replace(course, steps=(*course.steps, step))


def _needed(course: Course) -> Pool:
    """Give the pool, or refuse."""
    if course.pool is None:
        raise InputError(f"pool: not given, and {course.opened.market} is liquidated with one")
    return course.pool


def _frozen(open_: Liquidation) -> Bankruptcy:
    """Give the bankruptcy of the position, or refuse."""
    if open_.bankruptcy is None:
        raise InputError(f"liquidation {open_.id}: bankruptcy: not given, and the pool pays by it")
    return open_.bankruptcy


def _basis(inventory: Inventory, *, is_inverse: bool) -> int:
    """Give what closing a pool's position has still to give or take, money units."""
    if inventory.lots == 0:
        return 0
    return -gain_of(inventory.lots, is_inverse=is_inverse) * inventory.entry_value


def _moved(
    course: Course, amount: int, giver: tuple[str, Book], taker: tuple[str, Book]
) -> tuple[Posting, ...]:
    """Book an amount that goes from one to another."""
    if not amount:
        return ()
    return course.posting(*giver, -amount), course.posting(*taker, amount)


def _released(course: Course, open_: Liquidation, closed: int, quote: int) -> tuple[Posting, ...]:
    """Book what the liquidated account gets for a part: its result, and the basis released."""
    gain = gain_of(open_.lots, is_inverse=course.scale.is_inverse)
    released = gain * split_basis(open_.entry_value, open_.lots, closed)
    pairs = ((Book.WALLET, quote - released), (Book.BASIS, released))
    return tuple(course.posting(open_.account, book, amount) for book, amount in pairs if amount)


def _less(open_: Liquidation, closed: int) -> Liquidation | None:
    """Give what is left after a part was closed."""
    return open_.less(closed, split_basis(open_.entry_value, open_.lots, closed))


def _side(open_: Liquidation) -> int:
    """+1 for a long, -1 for a short."""
    return 1 if open_.lots > 0 else -1


def _shortfall(rules: Rules, open_: Liquidation, fill: Fill) -> int:
    """Give what bankruptcy would have credited more than a fill did, money units, signed."""
    if open_.bankruptcy is None:
        return 0
    return open_.bankruptcy.quote(fill.lots, rules.part.rounding) - fill.quote


def _refuses(rules: Rules, pool: Pool, short: int) -> bool:
    """Tell whether a fill does not count because the pool cannot pay the whole of its deficit."""
    is_whole = rules.part.payment is Payment.WHOLE
    return is_whole and not pool.may_be_negative and short > pool.available


def _filled(rules: Rules, course: Course, open_: Liquidation, fill: Fill, short: int) -> Course:
    """Book one fill; a pool that sheds gets it in its own record."""
    after = replace(course, left=_less(open_, fill.lots))
    text = f"the market closes {course.size(fill.lots)} for {course.money(abs(fill.quote))}"
    if open_.is_pool:
        pool = _needed(course)
        value = gain_of(open_.lots, is_inverse=course.scale.is_inverse) * fill.quote
        shed = pool.shed(open_.market, lots=fill.lots, exit_value=value, at=course.at)
        postings = pool_postings(course, pool, shed)
        after = replace(after, pool=shed)
    else:
        postings = _released(course, open_, fill.lots, fill.quote)
        after, more, words = _shared(rules, after, open_, fill, short)
        postings, text = postings + more, text + words
    if fill.quote:
        postings += (course.posting(MARKET, Book.MARKET, -fill.quote),)
    moves = course.moves(MARKET, _side(open_) * fill.lots)
    step = Step(kind=StepKind.MARKET, lots=fill.lots, postings=postings, moves=moves, text=text)
    return _done(after, step)


def _shared(
    rules: Rules, course: Course, open_: Liquidation, fill: Fill, short: int
) -> tuple[Course, tuple[Posting, ...], str]:
    """Share what lies between a fill and bankruptcy between account and pool."""
    account = (open_.account, Book.WALLET)
    if short < 0 and rules.part.surplus is Surplus.FUND:
        surplus = -short
        if rules.surplus_ratio is not None:
            most = rounded(rules.surplus_ratio * abs(fill.quote), Rounding.DOWN)
            surplus = min(surplus, most)
        pool = _needed(course)
        after = replace(course, pool=pool.receive_surplus(open_.market, surplus, at=course.at))
        postings = _moved(course, surplus, account, (pool.name, Book.FUND))
        return after, postings, f"; {course.money(surplus)} above bankruptcy go to {pool.name}"
    if short > 0 and rules.part.pool in {PoolRole.TAKES_OVER, PoolRole.PAYS}:
        pool = _needed(course)
        payment = pool.pay_deficit(open_.market, short, at=course.at)
        after = replace(course, pool=payment.pool, debt=course.debt + payment.unpaid)
        postings = _moved(course, payment.paid, (pool.name, Book.FUND), account)
        paid, owed = course.money(payment.paid), course.money(short)
        return after, postings, f"; {pool.name} pays {paid} of {owed} below bankruptcy"
    return replace(course, debt=course.debt + max(short, 0)), (), ""


def _net(rules: Rules, course: Course) -> Course:
    """Close the liquidation against what the pool holds on the other side, where it is netted."""
    open_ = course.left
    if open_ is None:
        return course
    held = _needed(course).inventory(open_.market).lots
    if held * open_.lots >= 0:
        return course
    if rules.standing is Standing.UNPUBLISHED:
        raise VenueError(
            f"eligibility.pools: never published, and the pool holds {held} lots against "
            f"{open_.lots}; choose standing= candidate, exempt or netted"
        )
    if rules.standing is not Standing.NETTED:
        return course
    return _taken_over(rules, course, min(abs(held), abs(open_.lots)), StepKind.POOL, "nets")


def _taken_over(rules: Rules, course: Course, lots: int, kind: StepKind, verb: str) -> Course:
    """Let the pool take a part at its bankruptcy value.

    A value below zero is no entry value: the pool takes the part at zero and gets the rest in
    cash, or pays it as far as it can.
    """
    open_, pool = course.left, _needed(course)
    if open_ is None:
        return course
    quote = _frozen(open_).quote(lots, rules.part.rounding)
    entry = max(0, gain_of(open_.lots, is_inverse=course.scale.is_inverse) * quote)
    with_it = -quote if entry == 0 else 0
    worth = course.money(gain_of(open_.lots, is_inverse=course.scale.is_inverse) * quote)
    after = pool.take_over(
        open_.market,
        lots=_side(open_) * lots,
        entry_value=entry,
        rate=rate_of(course.scale),
        at=course.at,
        margin=max(0, with_it),
    )
    payment = after.pay_deficit(open_.market, max(0, -with_it), at=course.at)
    postings = _released(course, open_, lots, quote - payment.unpaid)
    postings += pool_postings(course, pool, payment.pool)
    step = Step(
        kind=kind,
        lots=lots,
        postings=postings,
        moves=course.moves(pool.name, _side(open_) * lots),
        text=f"{pool.name} {verb} {course.size(lots)} at the bankruptcy value {worth}",
    )
    left, debt = _less(open_, lots), course.debt + payment.unpaid
    return _done(replace(course, left=left, pool=payment.pool, debt=debt), step)


def _pay_debt(course: Course, kind: StepKind = StepKind.POOL) -> Course:
    """Let the pool pay what the account owes below bankruptcy, as far as it can."""
    if course.debt == 0:
        return course
    pool = _needed(course)
    payment = pool.pay_deficit(course.opened.market, course.debt, at=course.at)
    giver, taker = (pool.name, Book.FUND), (course.opened.account, Book.WALLET)
    step = Step(
        kind=kind,
        postings=_moved(course, payment.paid, giver, taker),
        text=f"{pool.name} pays {course.money(payment.paid)} of {course.money(course.debt)} owed",
    )
    return _done(replace(course, pool=payment.pool, debt=payment.unpaid), step)


def _mark_quote(rules: Rules, course: Course, open_: Liquidation) -> int:
    """Give what closing all of it at the mark would credit the account."""
    rate = rate_of(course.scale)
    value = Fraction(abs(open_.lots) * rate.mark_num, rate.mark_den)
    return rounded(gain_of(open_.lots, is_inverse=rate.is_inverse) * value, rules.part.rounding)


def _loss_at_mark(rules: Rules, course: Course, open_: Liquidation) -> int:
    """Give what the pool would lose at once by taking all of it, money units, 0 or more."""
    quote = _frozen(open_).quote(abs(open_.lots), rules.part.rounding)
    return max(0, quote - _mark_quote(rules, course, open_))


def _stays(course: Course, words: str) -> Course:
    """Leave what is left on the account."""
    lots = 0 if course.left is None else abs(course.left.lots)
    debt = course.money(course.debt)
    text = f"{course.size(lots)} and a debt of {debt} {words} on {course.opened.account}"
    return _done(course, Step(kind=StepKind.REMAINDER, text=text))


def _gated(rules: Rules, course: Course) -> Course:
    """Leave it there, and let withdrawals wait."""
    if rules.gate_length is None:
        raise InvariantError("gate: expected a length beside a gated remainder, got none")
    seen = course.facts.height if rules.is_gate_in_blocks else course.at
    if seen is None:
        raise InputError("height: not given, and the withdrawal gate counts blocks")
    gate = Gate(pool=_needed(course).name, seen=seen, length=rules.gate_length)
    return _stays(replace(course, gate=gate), f"stay; withdrawals of {gate.pool} wait,")


def _socialised(rules: Rules, course: Course) -> Course:
    """Close the rest at the mark against the pool; what it cannot pay, everybody owes."""
    course = _pay_debt(course, StepKind.REMAINDER)
    open_, pool = course.left, _needed(course)
    loss = 0 if open_ is None else _loss_at_mark(rules, course, open_)
    if open_ is not None and loss == 0:
        verb = "takes over"
        course = _taken_over(rules, course, abs(open_.lots), StepKind.REMAINDER, verb)
    postings: tuple[Posting, ...] = ()
    moves: tuple[Move, ...] = ()
    after, lots, owed = pool, 0, course.debt
    account = (course.opened.account, Book.WALLET)
    if open_ is not None and loss > 0:
        lots = abs(open_.lots)
        quote = _mark_quote(rules, course, open_)
        payment = pool.take_over(
            open_.market,
            lots=open_.lots,
            entry_value=abs(quote),
            rate=rate_of(course.scale),
            at=course.at,
        ).pay_deficit(open_.market, loss, at=course.at)
        after, owed = payment.pool, owed + payment.unpaid
        postings = _released(course, open_, lots, quote + payment.paid)
        postings += pool_postings(course, pool, after)
        moves = course.moves(pool.name, open_.lots)
        course = replace(course, left=None, pool=after)
    postings += _moved(course, owed, (EVERYBODY, Book.LOSS), account)
    text = (
        f"{course.size(lots)} are closed at the mark; {course.money(owed)} are for everybody to pay"
    )
    step = Step(kind=StepKind.REMAINDER, lots=lots, postings=postings, moves=moves, text=text)
    return _done(replace(course, debt=0, socialised=owed), step) if lots or owed else course
