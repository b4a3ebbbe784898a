"""Why an account was cut, or was not: the rule with its numbers filled in.

A score is worked here once more for a single entry, as an exact fraction and apart from the
kernel, so that the numbers a reader sees are the rule's own and not a rounded column.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from enum import StrEnum
from fractions import Fraction

from deleverage.model.rules import Basis, Factor, Loss, NoEquity, Reason, ScoreRule

__all__ = [
    "EntryNote",
    "Explanation",
    "Facts",
    "Outcome",
    "Pool",
    "Working",
    "show",
    "why_left_out",
    "work",
]

_PPM = 1_000_000
_DIGITS = 12
# The caller's own decimal context must not change a word.
_WORKING_DIGITS = 28
_WHY = {
    Reason.SCORED: "it stands in the queue",
    Reason.LIQUIDATING: "it is in liquidation itself",
    Reason.NO_EQUITY: "the rule divides by an equity that is zero or negative",
    Reason.THROUGH_BANKRUPTCY: "the mark is at or through its own bankruptcy price",
    Reason.NOT_IN_PROFIT: "it is not in profit, and this edition cuts only positions in profit",
    Reason.NO_BASIS: "what the rule divides the profit by is not positive",
    Reason.NO_FACTOR: "the rule's leverage factor is not defined for it",
    Reason.EXCLUDED: "it is excluded by the request",
    Reason.BANKRUPT_ACCOUNT: "it belongs to the bankrupt account",
    Reason.EXEMPT_POOL: "it is an exempt pool",
    Reason.HEDGED_PART: "it is offset inside its account, which this edition never cuts",
}


class Outcome(StrEnum):
    """What became of one entry in a plan."""

    CUT = "cut"
    CUT_IN_PART = "cut_in_part"
    SPARED = "spared"
    LEFT_OUT = "left_out"
    BANKRUPT_SIDE = "bankrupt_side"
    NETTED = "netted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The margin pool of a cross account, in money units.

    Attributes:
        equity: balance with unrealised profit and loss.
        maintenance_margin: of all positions that the pool carries.
        wallet_balance: balance without unrealised profit and loss.
    """

    equity: int = 0
    maintenance_margin: int = 0
    wallet_balance: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The integers from which one entry is scored; money in money units.

    Attributes:
        lots: signed; the sign is the side.
        entry_value: > 0.
        lot_value: money units a lot is worth at the mark, exactly.
        is_inverse: an inverse contract gains for longs as its value falls.
        margin: of the position alone, without unrealised profit and loss.
        maintenance_margin: of the position alone.
        initial_margin: of the position alone.
        open_value: cumulative value of all openings.
        leverage: the setting, in ppm.
        profit_lots: joint net lots, where the long and short legs share one profit.
        profit_value: joint net signed entry value.
        pool: the account's pool, or None for an entry that is judged on its own margin.
    """

    lots: int
    entry_value: int
    lot_value: Fraction
    is_inverse: bool = False
    margin: int = 0
    maintenance_margin: int = 0
    initial_margin: int = 0
    open_value: int = 0
    leverage: int = 0
    profit_lots: int = 0
    profit_value: int = 0
    pool: Pool | None = None

    @property
    def mark_value(self) -> Fraction:
        """Value at the mark, money units, not negative."""
        return abs(self.lots) * self.lot_value

    @property
    def own_profit(self) -> Fraction:
        """Unrealised profit of this entry alone, money units."""
        direction = (1 if self.lots > 0 else -1) * (-1 if self.is_inverse else 1)
        return direction * (self.mark_value - self.entry_value)

    @property
    def joint_profit(self) -> Fraction:
        """Unrealised profit of both legs together, money units."""
        kind = -1 if self.is_inverse else 1
        return kind * (self.profit_lots * self.lot_value - self.profit_value)

    @property
    def equity(self) -> Fraction:
        """The pool's equity, or margin and profit of the position alone."""
        return Fraction(self.pool.equity) if self.pool else self.margin + self.own_profit

    @property
    def maintenance(self) -> int:
        """The pool's maintenance margin, or the position's own."""
        return self.pool.maintenance_margin if self.pool else self.maintenance_margin

    @property
    def wallet(self) -> int:
        """The pool's wallet balance, or the position's own margin."""
        return self.pool.wallet_balance if self.pool else self.margin


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """A score worked by hand.

    Attributes:
        reason: `Reason.SCORED`, or why there is no score.
        ratio: the exact score, or None.
        formula: the rule in words, for this entry's side of profit or loss.
        numbers: the same with the entry's numbers, money in the settlement asset.
    """

    reason: Reason
    ratio: Fraction | None
    formula: str
    numbers: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryNote:
    """What became of one entry of the account, and why.

    Attributes:
        position_id: as given, or None where the frame has no ids.
        market: name.
        side: `long` or `short`.
        qty: contracts before the plan.
        outcome: what became of it.
        why: one sentence.
        place: place in this plan's queue, 1 first; None outside of the queue.
        queue_length: how many entries stand in this plan's queue.
        score: for display.
        working: the score worked by hand, or None where no score is asked.
        closed: contracts closed.
        left: contracts left.
        price: settlement price, or None where the plan states none.
    """

    position_id: int | str | None
    market: str
    side: str
    qty: Decimal
    outcome: Outcome
    why: str
    place: int | None = None
    queue_length: int | None = None
    score: float | None = None
    working: Working | None = None
    closed: Decimal = Decimal(0)
    left: Decimal = Decimal(0)
    price: Decimal | None = None

    def __str__(self) -> str:
        """The note as indented lines."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        name = f"{self.market} {self.side} {self.qty}"
        named = name if self.position_id is None else f"{name} (position {self.position_id})"
        yield f"{named}: {self.outcome.value.replace('_', ' ')}, {self.why}"
        if self.place is not None:
            length = "" if self.queue_length is None else f" of {self.queue_length}"
            yield f"  place {self.place}{length} in the queue"
        if self.working is not None and self.working.formula:
            yield f"  score = {self.working.formula}"
            yield f"        = {self.working.numbers}"
            if self.working.ratio is not None:
                yield f"        = {_exactly(self.working.ratio)}"
        if self.outcome in (Outcome.CUT, Outcome.CUT_IN_PART, Outcome.NETTED):
            price = "" if self.price is None else f" at {self.price}"
            yield f"  closed {self.closed} of {self.qty}{price}, {self.left} left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an account was cut by a plan, or was not. `str()` prints it.

    Attributes:
        account: name.
        is_cut: whether any of its entries is closed, in whole or in part.
        event: the bankrupt quantity and what became of it.
        cut: where the queue was cut.
        entries: one note an entry of the account in this market.
    """

    account: str
    is_cut: bool
    event: str
    cut: str
    entries: tuple[EntryNote, ...]

    def __str__(self) -> str:
        """The explanation as plain text, one fact a line."""
        heading = f"{self.account}: {'cut' if self.is_cut else 'not cut'}"
        notes = (f"  {line}" for note in self.entries for line in str(note).splitlines())
        return "\n".join([heading, f"  {self.event}", *notes, f"  {self.cut}"])


def why_left_out(reason: Reason) -> str:
    """One clause that says why an entry has no place in the queue."""
    return _WHY[reason]


def show(value: Fraction | int) -> str:
    """A fraction in decimals: exact where that takes at most 12 digits, else rounded with `~`."""
    fraction = Fraction(value)
    with localcontext(Context(prec=_WORKING_DIGITS)):
        rounded = Decimal(fraction.numerator) / Decimal(fraction.denominator)
        shortened = Decimal(f"{rounded:.{_DIGITS}g}")
        text = f"{shortened.normalize():f}"
    return text if Fraction(shortened) == fraction else f"~{text}"


def _exactly(ratio: Fraction) -> str:
    """A score in decimals, and as a fraction where they do not say it all."""
    shown = show(ratio)
    return f"{shown}, exactly {ratio}" if shown.startswith("~") else shown


def work(rule: ScoreRule, facts: Facts, *, money_unit: Fraction = Fraction(1)) -> Working:
    """Score one entry by hand.

    Args:
        rule: the edition's score rule.
        facts: the entry's integers.
        money_unit: one money unit in the settlement asset, for the numbers shown.

    Returns:
        The working; its ratio is the exact score, of which the score column is the nearest
        `float64` up to the kernel's rounding.
    """
    profit = _profit(rule, facts)
    refused = _refused(rule, facts, profit)
    by_equity = (Reason.NO_EQUITY, Reason.THROUGH_BANKRUPTCY)
    if refused in by_equity and rule.no_equity is NoEquity.ZERO:
        return _zero("0, as equity is not positive", f"equity {show(facts.equity * money_unit)}")
    if refused is not Reason.SCORED:
        return Working(reason=refused, ratio=None, formula="", numbers="")
    if profit < 0 and rule.loss is Loss.ZERO:
        return _zero("0 at a loss", f"pnl {show(profit * money_unit)}")
    basis = _basis(rule, facts, profit, money_unit)
    factor = _factor(rule, facts, money_unit)
    divides = profit < 0 and rule.loss is Loss.DIVIDE
    return _joined(basis, factor, divides=divides, has_factor=rule.factor is not Factor.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    """One part of a score: its words, its numbers, its value."""

    words: str
    numbers: str
    value: Fraction


def _zero(formula: str, numbers: str) -> Working:
    return Working(reason=Reason.SCORED, ratio=Fraction(0), formula=formula, numbers=numbers)


def _joined(basis: _Term, factor: _Term, *, divides: bool, has_factor: bool) -> Working:
    if not has_factor:
        return Working(
            reason=Reason.SCORED, ratio=basis.value, formula=basis.words, numbers=basis.numbers
        )
    sign = "/" if divides else "x"
    if divides and factor.value == 0:
        return Working(reason=Reason.NO_FACTOR, ratio=None, formula="", numbers="")
    value = basis.value / factor.value if divides else basis.value * factor.value
    return Working(
        reason=Reason.SCORED,
        ratio=value,
        formula=f"({basis.words}) {sign} ({factor.words})",
        numbers=f"({basis.numbers}) {sign} ({factor.numbers})",
    )


def _profit(rule: ScoreRule, facts: Facts) -> Fraction:
    return facts.joint_profit if rule.joint_hedge else facts.own_profit


def _refused(rule: ScoreRule, facts: Facts, profit: Fraction) -> Reason:
    if _lacks_basis(rule, facts):
        return Reason.NO_BASIS
    if _lacks_equity(rule, facts):
        return Reason.NO_EQUITY
    through = facts.margin + facts.own_profit <= 0
    if rule.factor is Factor.BANKRUPTCY_DISTANCE and through:
        return Reason.THROUGH_BANKRUPTCY
    if rule.loss is Loss.EXCLUDE and profit <= 0:
        return Reason.NOT_IN_PROFIT
    is_zeroed = profit < 0 and rule.loss is Loss.ZERO
    unopened = rule.factor is Factor.OPEN_VALUE_OVER_MARGIN and facts.margin <= 0
    return Reason.NO_FACTOR if unopened and not is_zeroed else Reason.SCORED


def _lacks_basis(rule: ScoreRule, facts: Facts) -> bool:
    if rule.basis is Basis.INITIAL_MARGIN:
        return facts.initial_margin <= 0
    if rule.basis is Basis.WALLET:
        return max(rule.wallet_floor, facts.wallet) <= 0
    by_entry = (Basis.ENTRY_VALUE, Basis.PRICE_RATIO, Basis.PRICE_RATIO_LITERAL)
    return rule.basis in by_entry and facts.entry_value <= 0


def _lacks_equity(rule: ScoreRule, facts: Facts) -> bool:
    by_equity = (Factor.NOTIONAL_OVER_EQUITY, Factor.MAINTENANCE_OVER_EQUITY)
    if rule.basis is Basis.EQUITY or rule.factor in by_equity:
        return facts.equity <= 0
    if rule.factor is Factor.NOTIONAL_OVER_FLOORED_EQUITY:
        return max(facts.equity, Fraction(facts.maintenance)) <= 0
    return False


def _basis(rule: ScoreRule, facts: Facts, profit: Fraction, unit: Fraction) -> _Term:
    pnl = "joint pnl" if rule.joint_hedge else "pnl"
    if rule.basis is Basis.ENTRY_VALUE:
        return _quotient(pnl, profit, "entry value", facts.entry_value, unit)
    if rule.basis is Basis.INITIAL_MARGIN:
        return _quotient(pnl, profit, "initial margin", facts.initial_margin, unit)
    if rule.basis is Basis.EQUITY:
        return _quotient(pnl, profit, "equity", facts.equity, unit)
    if rule.basis is Basis.MARK_VALUE:
        return _quotient(pnl, profit, "mark value", facts.mark_value, unit)
    if rule.basis is Basis.WALLET:
        floor = f"max({show(rule.wallet_floor * unit)}, wallet)"
        wallet = max(rule.wallet_floor, facts.wallet)
        return _quotient(f"max(0, {pnl})", max(Fraction(0), profit), floor, wallet, unit)
    if rule.basis is Basis.ABSOLUTE:
        return _Term(words=f"{pnl} in money units", numbers=show(profit), value=profit)
    if rule.basis is Basis.UNIT:
        return _Term(words="1", numbers="1", value=Fraction(1))
    return _price_ratio(rule, facts, unit)


def _price_ratio(rule: ScoreRule, facts: Facts, unit: Fraction) -> _Term:
    """Mark over entry price, or the other way up, from the values: inverse values run opposite."""
    literal = rule.basis is Basis.PRICE_RATIO_LITERAL
    is_mark_first = literal or facts.lots > 0
    words = "mark price / entry price" if is_mark_first else "entry price / mark price"
    top, bottom = facts.mark_value, Fraction(facts.entry_value)
    if is_mark_first == facts.is_inverse:
        top, bottom = bottom, top
    numbers = f"{show(top * unit)} / {show(bottom * unit)}"
    return _Term(words=words, numbers=numbers, value=top / bottom)


def _factor(rule: ScoreRule, facts: Facts, unit: Fraction) -> _Term:
    if rule.factor is Factor.BANKRUPTCY_DISTANCE:
        distance = facts.margin + facts.own_profit
        return _quotient("mark value", facts.mark_value, "margin + pnl", distance, unit)
    if rule.factor is Factor.NOTIONAL_OVER_EQUITY:
        return _quotient("mark value", facts.mark_value, "equity", facts.equity, unit)
    if rule.factor is Factor.MAINTENANCE_OVER_EQUITY:
        return _quotient("maintenance margin", facts.maintenance, "equity", facts.equity, unit)
    if rule.factor is Factor.NOTIONAL_OVER_FLOORED_EQUITY:
        floored = max(facts.equity, Fraction(facts.maintenance))
        words = "max(equity, maintenance margin)"
        return _quotient("mark value", facts.mark_value, words, floored, unit)
    if rule.factor is Factor.LEVERAGE_SETTING:
        value = Fraction(facts.leverage, _PPM)
        return _Term(words="leverage", numbers=show(value), value=value)
    if rule.factor is Factor.OPEN_VALUE_OVER_MARGIN:
        return _quotient("open value", facts.open_value, "margin", facts.margin, unit)
    return _Term(words="1", numbers="1", value=Fraction(1))


def _quotient(
    top_words: str,
    top: Fraction | int,
    bottom_words: str,
    bottom: Fraction | int,
    unit: Fraction,
) -> _Term:
    is_sum = " + " in bottom_words
    words = f"({bottom_words})" if is_sum else bottom_words
    return _Term(
        words=f"{top_words} / {words}",
        numbers=f"{show(top * unit)} / {show(bottom * unit)}",
        value=Fraction(top) / Fraction(bottom),
    )
