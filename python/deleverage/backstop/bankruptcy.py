"""The value at which a position taken over has lost everything that stands behind it.

Carried is the bankruptcy *value* of the full size, an exact fraction of money units, fixed when
the liquidation is created and before any fill in the book. A price is only shown: an inverse short
on its whole value is bankrupt at no finite price, and a well covered long at none above zero.

A position's value V and its entry value are unsigned. Its profit is `gain x (V - entry)`, where
`gain` is +1 for a linear long and an inverse short, else -1.
"""

from dataclasses import dataclass
from fractions import Fraction

from deleverage.errors import InputError, StateError, VenueError
from deleverage.model.terms import Clamp, Convention, Rounding

__all__ = [
    "PPM",
    "Bankruptcy",
    "Clamp",
    "Cross",
    "Exact",
    "Holding",
    "Rounding",
    "bankruptcy",
    "closed_lots",
    "exact",
    "gain_of",
    "most_loss",
    "of_pool",
    "price_of",
    "quote_by_maintenance",
    "rounded",
    "rounded_part",
    "to_tick",
]

Exact = Fraction | int
"""A number without error: money units, lots or a ratio, never a float."""

PPM = 1_000_000
"""A booked ratio is a whole number of millionths."""


def exact(value: Exact, name: str) -> Fraction:
    """Give a whole number or a fraction as a fraction.

    Raises:
        InputError: it is neither; a float has already lost what this page is about.
    """
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)):
        raise InputError(f"{name}: expected an int or a Fraction, got {value!r}")
    return Fraction(value)


def rounded(value: Fraction, rounding: Rounding) -> int:
    """Make an exact amount whole, in a named direction.

    Args:
        value: an exact amount in the unit that is wanted.
        rounding: the direction; of a signed amount, seen from the account it is credited to.
    """
    if rounding is Rounding.UP:
        return -((-value.numerator) // value.denominator)
    if rounding is Rounding.DOWN:
        return value.numerator // value.denominator
    return round(value)


def rounded_part(value: Fraction, parts: int, rounding: Rounding) -> int:
    """Give `rounded(value * parts)`; for many parts of one value, without a fraction for each."""
    num, den = value.numerator * parts, value.denominator
    if rounding is Rounding.UP:
        return -(-num // den)
    whole, rest = divmod(num, den)
    if rounding is Rounding.DOWN:
        return whole
    return whole + (2 * rest > den or (2 * rest == den and whole % 2 == 1))


def to_tick(price: Fraction, tick: Exact, rounding: Rounding) -> Fraction:
    """Put a price on the market's grid.

    Args:
        price: exact price.
        tick: step of the grid, above zero, in the same unit.
        rounding: the direction. Bybit's 2020 page prints 7735.372549 as 7735.50, the nearest
            half (help.bybit.com 900000031623, 2020).

    Raises:
        InputError: the tick is not above zero.
    """
    step = exact(tick, "tick")
    if step <= 0:
        raise InputError(f"tick: expected a step above zero, got {step}")
    return rounded(price / step, rounding) * step


def gain_of(lots: int, *, is_inverse: bool) -> int:
    """Tell whether a position gains (+1) or loses (-1) as its value in money rises.

    Raises:
        InputError: there is no position.
    """
    if lots == 0:
        raise InputError("lots: expected a position, got 0")
    side = 1 if lots > 0 else -1
    return -side if is_inverse else side


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A position as it is taken over, on its full size.

    Attributes:
        lots: signed lots, not zero.
        entry_value: money units, 0 or more; 0 where the account's cash already holds it.
        mark_value: its value at the mark or the oracle price, exact money units.
        maintenance: its maintenance margin, exact money units; only where it is shared by it.
        is_inverse: whether the price divides.

    Raises:
        InputError: no lots, a negative value, or a number that is not exact.
    """

    lots: int
    entry_value: int
    mark_value: Exact
    maintenance: Exact = 0
    is_inverse: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no position."""
        gain_of(self.lots, is_inverse=self.is_inverse)
        for name in ("entry_value", "mark_value", "maintenance"):
            if exact(getattr(self, name), name) < 0:
                raise InputError(f"{name}: expected 0 or more, got {getattr(self, name)}")

    @property
    def gain(self) -> int:
        """+1 where the position gains as its value rises, else -1."""
        return gain_of(self.lots, is_inverse=self.is_inverse)

    @property
    def pnl(self) -> Fraction:
        """Unrealised profit at the mark, exact money units."""
        return self.gain * (exact(self.mark_value, "mark_value") - self.entry_value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cross:
    """What stands behind a position, in exact money units; each convention reads some of it.

    Attributes:
        margin: own margin of the position without unrealised profit (`own_margin`).
        equity: equity of the account with all unrealised profit (`by_maintenance`,
            `whole_account`).
        maintenance: maintenance margin of all its positions (`by_maintenance`).
        cash: its margin without unrealised profit (`cash_by_notional`).
        notional: value of all its positions at the mark (`cash_by_notional`).
    """

    margin: Exact | None = None
    equity: Exact | None = None
    maintenance: Exact | None = None
    cash: Exact | None = None
    notional: Exact | None = None

    def read(self, name: str, convention: Convention) -> Fraction:
        """Give one amount.

        Raises:
            InputError: it is not given, and the convention reads it.
        """
        value = getattr(self, name)
        if value is None:
            raise InputError(f"{name}: not given, and the convention {convention} reads it")
        return exact(value, name)

    def divisor(self, name: str, convention: Convention) -> Fraction:
        """Give one amount that is divided by.

        Raises:
            InputError: it is not given, or not above zero.
        """
        value = self.read(name, convention)
        if value <= 0:
            raise InputError(f"{name}: expected an amount above zero to share by, got {value}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Bankruptcy:
    """The bankruptcy value of one position, frozen when its liquidation is created.

    Attributes:
        lots: signed lots of the full size at takeover.
        value: exact money units of the full size; below zero only where the edition allows it.
        is_inverse: whether the price divides.
        is_clamped: the value was below zero and the edition makes it zero.
    """

    lots: int
    value: Fraction
    is_inverse: bool = False
    is_clamped: bool = False

    @property
    def lot_value(self) -> Fraction:
        """Value of one lot, exact money units: what a settlement price is here."""
        return self.value / abs(self.lots)

    def price(self, value_ratio: Exact) -> Fraction | None:
        """Give the price, for display and for the grid.

        Args:
            value_ratio: money units of one lot at one price unit (inverse: over one).

        Returns:
            Price units; None where an inverse contract has no finite price.
        """
        return price_of(self.lot_value, value_ratio, is_inverse=self.is_inverse)

    def quote(self, closed: int, rounding: Rounding) -> int:
        """Give what the account is credited for closing a part.

        Args:
            closed: lots, above zero, at most the full size.
            rounding: direction, seen from the bankrupt account; `up` is for it.

        Returns:
            Money units, signed: a short pays where a linear value is above zero.

        Raises:
            InputError: the part is not above zero or above the full size.
        """
        closed_lots(self.lots, -closed if self.lots > 0 else closed)
        gain = gain_of(self.lots, is_inverse=self.is_inverse)
        return rounded(gain * self.lot_value * closed, rounding)


def price_of(lot_value: Fraction, value_ratio: Exact, *, is_inverse: bool) -> Fraction | None:
    """Give the price at which one lot has a value.

    Args:
        lot_value: exact money units of one lot.
        value_ratio: money units of one lot at one price unit (inverse: over one price unit).
        is_inverse: whether the price divides.

    Returns:
        Price units; None where no finite price above zero gives an inverse lot that value.
    """
    ratio = exact(value_ratio, "value_ratio")
    if not is_inverse:
        return lot_value / ratio
    return ratio / lot_value if lot_value > 0 else None


def closed_lots(lots: int, delta: int) -> int:
    """Give how many lots a change of a position closes.

    Args:
        lots: signed lots before.
        delta: signed change; the other sign, and no more than the position.

    Raises:
        InputError: no position, no change, a change that would grow the position or flip it.
    """
    if lots * delta >= 0 or abs(delta) > abs(lots):
        raise InputError(f"delta: expected a part of {-lots} lots, got {delta}")
    return abs(delta)


def bankruptcy(
    holding: Holding,
    behind: Cross,
    *,
    convention: Convention,
    clamp: Clamp = Clamp.ALLOWED,
    reserve_ppm: int = 0,
) -> Bankruptcy:
    """Give the value at which what stands behind a position is used up.

    `own_margin`: entry and the position's own margin (BitMEX, Bybit, Strike). With the equity Q
    of a cross account, the position's mark value M, and what all positions have in brackets:
    A `by_maintenance`, `M - gain x Q x mm / (mm)` (dydxprotocol/v4-chain@84d4664, StarkEx, IDEX,
    Lighter's zero price); B `whole_account`, `M - gain x Q`, all of it behind this one position
    (left-curve/left-curve@c1468da, cubexch/gitbook liquidation.md); C `cash_by_notional`,
    `entry - gain x cash x M / (M)` (code-423n4/2025-08-gte-perps@f43e1ee).

    Args:
        holding: the full size at takeover.
        behind: what stands behind it, exact money units.
        convention: the edition's.
        clamp: what the edition does below zero.
        reserve_ppm: share of the value that must be left at the close: a closing fee; with a
            maintenance rate the result is the liquidation price (hyperliquid.gitbook.io,
            liquidations: `price - side x available / size / (1 - rate x side)`).

    Raises:
        InputError: an amount that the convention reads is missing, or it divides by zero.
        StateError: the value is below zero and the edition refuses to close there.
        VenueError: the venue never published its convention.
    """
    if not 0 <= reserve_ppm < PPM:
        raise InputError(f"reserve_ppm: expected 0 to {PPM - 1}, got {reserve_ppm}")
    start, share = _start_and_share(holding, behind, convention)
    value = start - holding.gain * share
    rate = Fraction(reserve_ppm, PPM) * (1 if value >= 0 else -1)
    value /= 1 - holding.gain * rate
    return _clamped(holding, value, clamp)


def _start_and_share(
    holding: Holding, behind: Cross, convention: Convention
) -> tuple[Fraction, Fraction]:
    """Give the value a convention starts from, and the money it puts behind the position."""
    entry = Fraction(holding.entry_value)
    mark = exact(holding.mark_value, "mark_value")
    if convention is Convention.OWN_MARGIN:
        return entry, behind.read("margin", convention)
    if convention is Convention.BY_MAINTENANCE:
        own = exact(holding.maintenance, "maintenance")
        whole = behind.divisor("maintenance", convention)
        return mark, behind.read("equity", convention) * own / whole
    if convention is Convention.WHOLE_ACCOUNT:
        return mark, behind.read("equity", convention)
    if convention is Convention.CASH_BY_NOTIONAL:
        whole = behind.divisor("notional", convention)
        return entry, behind.read("cash", convention) * mark / whole
    raise VenueError(
        "price.convention: never published; choose own_margin, by_maintenance, whole_account "
        "or cash_by_notional"
    )


def _clamped(holding: Holding, value: Fraction, clamp: Clamp) -> Bankruptcy:
    """Apply an edition's clamp and freeze the value."""
    below = value < 0
    if below and clamp is Clamp.REFUSED:
        raise StateError(
            "bankruptcy value: expected 0 or more, got "
            f"{value}; position and margin both owe: pay in before it can be closed"
        )
    is_clamped = below and clamp is Clamp.ZERO
    return Bankruptcy(
        lots=holding.lots,
        value=Fraction(0) if is_clamped else value,
        is_inverse=holding.is_inverse,
        is_clamped=is_clamped,
    )


def most_loss(*, trigger_line: Exact, peak: Exact, margin: Exact = 0) -> Fraction:
    """Give the loss of a pool's position at which the pool stands exactly on its trigger line.

    `(loss - margin) / peak = line`, so `line x peak + margin`: worked out from the example of
    Bybit's help centre (testnet.bybitx.global, 2025-11-07): 0.30 x 20,000 + 1,000 = 7,000.

    Args:
        trigger_line: drawdown as a positive share of the peak.
        peak: highest balance of the pool in the window, money units.
        margin: margin that came with the position, money units.

    Raises:
        InputError: line or peak below zero.
    """
    line, top = exact(trigger_line, "trigger_line"), exact(peak, "peak")
    if line < 0 or top < 0:
        raise InputError(f"trigger_line, peak: expected 0 or more, got {line} and {top}")
    return line * top + exact(margin, "margin")


def of_pool(
    *,
    lots: int,
    entry_value: int,
    loss: Exact,
    is_inverse: bool = False,
    clamp: Clamp = Clamp.ALLOWED,
) -> Bankruptcy:
    """Give a pool's own bankruptcy: where its whole position has lost the most it may lose.

    Long `average entry - loss / size`, short `+` (article 'What is Auto-Deleveraging (ADL)?',
    2026-03-21, on Bybit since 2025-11); size is all that the pool has taken over.

    Args:
        lots: signed lots the pool holds.
        entry_value: their entry value, money units.
        loss: the most it may lose, exact money units; see `most_loss`.
        is_inverse: whether the price divides.
        clamp: what the edition does below zero.

    Raises:
        InputError: no lots.
        StateError: the value is below zero and the edition refuses to close there.
    """
    holding = Holding(lots=lots, entry_value=entry_value, mark_value=0, is_inverse=is_inverse)
    return bankruptcy(holding, Cross(margin=loss), convention=Convention.OWN_MARGIN, clamp=clamp)


def quote_by_maintenance(
    *,
    lots: int,
    delta: int,
    notional_change: int,
    maintenance_released: Exact,
    equity: Exact,
    maintenance: Exact,
    rounding: Rounding = Rounding.UP,
    clamp: Clamp = Clamp.ALLOWED,
) -> int:
    """Give the quote of a part by convention A where margins are whole numbers of their own.

    `-change - equity x released / maintenance`, rounded once. The venue's own requirements are
    not linear in size, so what a part releases is an input and not a share of the whole
    (dydxprotocol/v4-chain@84d4664, liquidations.go; toward +infinity, for the account).

    Args:
        lots: signed lots before.
        delta: signed change.
        notional_change: signed net notional after less before, money units.
        maintenance_released: maintenance margin before less after, money units.
        equity: of the account, exact money units.
        maintenance: of all its positions, above zero.
        rounding: direction, seen from the account.
        clamp: what the edition does where the position's value would be below zero.

    Returns:
        Money units credited to the account, signed.

    Raises:
        InputError: the change closes nothing or too much, or there is nothing to share by.
        StateError: the value is below zero and the edition refuses to close there.
    """
    closed_lots(lots, delta)
    whole = Cross(maintenance=maintenance).divisor("maintenance", Convention.BY_MAINTENANCE)
    share = exact(equity, "equity") * exact(maintenance_released, "maintenance_released") / whole
    quote = -notional_change - share
    side = 1 if lots > 0 else -1
    if quote * side >= 0 or clamp is Clamp.ALLOWED:
        return rounded(quote, rounding)
    if clamp is Clamp.REFUSED:
        raise StateError(f"quote: expected a value of 0 or more, got {quote * side}")
    return 0
