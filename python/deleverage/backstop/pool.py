"""An insurance pool: what flows in and out, what it took over, and what it was worth when.

A pool is a frozen record and every step gives a new one. Its balance is its cash plus the profit
or loss, at the last marks, of the positions it has taken over. The profit and loss of one market
is all that market ever brought or cost it (fees, surplus, deficits, margins, positions); what is
contributed from outside belongs to no market. Both are kept as exact rolling windows.

Money is an int in money units, time an int in ns UTC, a quantity an int of lots. What a position
is worth at a mark is rounded down once, against the pool.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from deleverage.backstop.window import EIGHT_HOURS, Window, whole
from deleverage.errors import InputError, StateError
from deleverage.model.quantise import LIMIT
from deleverage.ranking import Rate

__all__ = ["Inventory", "Payment", "Pool", "PoolScope"]


class PoolScope(StrEnum):
    """Which markets a pool stands behind."""

    MARKET = "market"
    GROUP = "group"
    SHARED = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What one market brought and cost a pool, and the position the pool holds in it.

    Attributes:
        market: its name.
        realised: profit and loss booked so far, money units.
        lots: of the position taken over, signed; 0 for none.
        entry_value: of that position, money units without sign.
        rate: the last mark, or None before the first.
        pnls: realised plus unrealised profit, one window a length, as of its last change;
            `Pool.pnl_window` gives it as of now.
    """

    market: str
    realised: int
    lots: int
    entry_value: int
    rate: Rate | None
    pnls: tuple[Window, ...]

    @property
    def unrealised(self) -> int:
        """Profit of the position at the last mark, money units, rounded down."""
        if self.rate is None or self.lots == 0:
            return 0
        rate = self.rate
        value = abs(self.lots) * rate.mark_num - self.entry_value * rate.mark_den
        return _gain(self.lots, is_inverse=rate.is_inverse) * value // rate.mark_den

    @property
    def pnl(self) -> int:
        """Realised plus unrealised profit, money units."""
        return self.realised + self.unrealised


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One insurance pool at one instant.

    Attributes:
        name: of the pool.
        scope: whether it stands behind one market, a group of them, or all.
        markets: the names of its markets; none for a shared pool.
        cash: money units; below zero only where `may_be_negative`, or by what a position that it
            holds has lost when it was closed.
        may_be_negative: deficits are paid in full even if the pool has no money left.
        publication_delay: age of the balance that is shown to the public, ns.
        publication_period: the public balance changes only at multiples of this, ns; 0: always.
        at: the last event, ns UTC.
        inventories: one a market that had an event, by name.
        balances: the balance, one window a length.
        history: the balance for as long as the publication needs it; None if shown at once.
        carved: markets that were taken out of it (`groups.carve_out`).
        group: pools of one group answer for each other; empty where it stands alone.
    """

    name: str
    scope: PoolScope
    markets: tuple[str, ...]
    cash: int
    may_be_negative: bool
    publication_delay: int
    publication_period: int
    at: int
    inventories: tuple[Inventory, ...]
    balances: tuple[Window, ...]
    history: Window | None
    carved: tuple[str, ...] = ()
    group: str = ""

    @classmethod
    def open(
        cls,
        name: str,
        *,
        at: int,
        cash: int = 0,
        scope: PoolScope = PoolScope.SHARED,
        markets: tuple[str, ...] = (),
        lengths: tuple[int, ...] = (EIGHT_HOURS,),
        may_be_negative: bool = False,
        publication_delay: int = 0,
        publication_period: int = 0,
    ) -> Self:
        """Open a pool.

        Args:
            name: of the pool.
            at: ns UTC.
            cash: what it starts with, money units.
            scope: one market, a group, or all of them.
            markets: exactly one for a market, at least one for a group, none if shared.
            lengths: the window lengths that its triggers read, ns.
            may_be_negative: deficits are paid in full even if no money is left.
            publication_delay: age of the balance that is shown, ns.
            publication_period: the shown balance changes at multiples of this, ns; 0: always.

        Raises:
            InputError: a figure is not an int or out of range, or the markets do not fit.
        """
        whole("pool cash", cash, least=None if may_be_negative else 0)
        whole("publication_delay", publication_delay, least=0)
        whole("publication_period", publication_period, least=0)
        fits = {
            PoolScope.MARKET: len(markets) == 1,
            PoolScope.GROUP: len(markets) >= 1,
            PoolScope.SHARED: not markets,
        }
        if not fits[scope] or len(set(markets)) != len(markets):
            wanted = "one market, a group of distinct markets, or none for a shared pool"
            raise InputError(f"pool {name}: expected {wanted}, got {scope} with {list(markets)}")
        if not lengths or len(set(lengths)) != len(lengths):
            raise InputError(f"pool {name}: lengths: expected distinct ones, got {list(lengths)}")
        late = publication_delay + publication_period
        return cls(
            name=name,
            scope=scope,
            markets=markets,
            cash=cash,
            may_be_negative=may_be_negative,
            publication_delay=publication_delay,
            publication_period=publication_period,
            at=at,
            inventories=(),
            balances=tuple(Window.open(length=length, at=at, value=cash) for length in lengths),
            history=Window.open(length=late, at=at, value=cash) if late else None,
        )

    @property
    def balance(self) -> int:
        """Cash plus the unrealised profit of what the pool holds, money units."""
        return self.cash + sum(inventory.unrealised for inventory in self.inventories)

    @property
    def available(self) -> int:
        """What can be paid out now: cash, less what the held positions have lost; not below 0."""
        return max(0, min(self.cash, self.balance))

    @property
    def shown(self) -> int | None:
        """The balance as the public sees it now, money units; None before the first publication."""
        if self.history is None:
            return self.balance
        as_of = self.at - self.publication_delay
        if self.publication_period:
            as_of -= as_of % self.publication_period
        return self.history.value_at(as_of)

    def inventory(self, market: str) -> Inventory:
        """Give what the pool has in one market, an empty inventory where nothing happened yet.

        Raises:
            InputError: the pool does not stand behind the market.
        """
        if (self.markets and market not in self.markets) or market in self.carved:
            wanted = self.markets or f"any market but {self.carved}"
            raise InputError(f"pool {self.name}: expected one of {wanted}, got {market!r}")
        for inventory in self.inventories:
            if inventory.market == market:
                return inventory
        windows = (
            Window.open(length=each.length, at=next(each.segments()).start, value=0)
            for each in self.balances
        )
        pnls = tuple(window.advance(self.at) for window in windows)
        return Inventory(market=market, realised=0, lots=0, entry_value=0, rate=None, pnls=pnls)

    def balance_window(self, length: int) -> Window:
        """Give the rolling window of the balance with this length, ns.

        Raises:
            InputError: the pool keeps no window of that length.
        """
        return self.balances[self._place(length)]

    def pnl_window(self, market: str, length: int) -> Window:
        """Give the rolling window of one market's profit and loss with this length, ns.

        Raises:
            InputError: the pool keeps no such window, or does not know the market.
        """
        return self.inventory(market).pnls[self._place(length)].advance(self.at)

    def notional_with(self, market: str, lots: int, rate: Rate) -> int:
        """Give what the pool would hold at the marks if it took over a position, rounded up.

        Positions of one market are netted, those of different markets add up by size.

        Args:
            market: of the position.
            lots: signed.
            rate: the mark of that market.

        Raises:
            InputError: the market or the mark is not one the pool can hold.
        """
        _check_rate(market, rate)
        held = self.inventory(market).lots + whole("lots", lots)
        rows = [(held, rate)]
        others = (each for each in self.inventories if each.market != market)
        rows += [(each.lots, each.rate) for each in others if each.rate is not None]
        return sum(-(-abs(size) * mark.mark_num // mark.mark_den) for size, mark in rows)

    def advance(self, at: int) -> Self:
        """Let time pass.

        Raises:
            StateError: time runs backwards.
        """
        is_told = at == self.at and self.balances[0].value == self.balance
        return self if is_told else self._step(at)

    def contribute(self, amount: int, *, at: int) -> Self:
        """Put money in from outside; it is no profit of any market.

        Raises:
            InputError: the amount is not above 0.
            StateError: time runs backwards.
        """
        return self._step(at, cash=self.cash + whole("contribution", amount, least=1))

    def withdraw(self, amount: int, *, at: int) -> Self:
        """Take money out; it is no loss of any market.

        Raises:
            InputError: the amount is not above 0.
            StateError: more than is available, or time runs backwards.
        """
        if whole("withdrawal", amount, least=1) > self.available:
            raise StateError(
                f"pool {self.name}: expected at most {self.available} available, got {amount}"
            )
        return self._step(at, cash=self.cash - amount)

    def receive_fee(self, market: str, amount: int, *, at: int) -> Self:
        """Book a liquidation fee.

        Raises:
            InputError: the amount is below 0, or the market unknown to the pool.
            StateError: time runs backwards.
        """
        return self._book(market, whole("liquidation fee", amount, least=0), at)

    def receive_surplus(self, market: str, amount: int, *, at: int) -> Self:
        """Book what a liquidation brought beyond the bankruptcy value.

        Raises:
            InputError: the amount is below 0, or the market unknown to the pool.
            StateError: time runs backwards.
        """
        return self._book(market, whole("surplus", amount, least=0), at)

    def pay_deficit(self, market: str, amount: int, *, at: int) -> "Payment":
        """Pay what a liquidation fell short of the bankruptcy value, as far as the pool can.

        Raises:
            InputError: the amount is below 0, or the market unknown to the pool.
            StateError: time runs backwards.
        """
        whole("deficit", amount, least=0)
        paid = amount if self.may_be_negative else min(amount, self.available)
        return Payment(pool=self._book(market, -paid, at), paid=paid, unpaid=amount - paid)

    def take_over(
        self, market: str, *, lots: int, entry_value: int, rate: Rate, at: int, margin: int = 0
    ) -> Self:
        """Take over a position with its margin; against an opposite one it is netted first.

        Args:
            market: of the position.
            lots: signed, not 0.
            entry_value: what the position counts as bought or sold for, money units.
            rate: the mark.
            at: ns UTC.
            margin: what comes with it; it belongs to the market's profit, money units.

        Raises:
            InputError: a figure is out of range, or the market unknown to the pool.
            StateError: time runs backwards.
        """
        if whole("lots", lots) == 0:
            raise InputError("lots: expected a signed number other than 0, got 0")
        whole("entry_value", entry_value, least=0)
        whole("margin", margin, least=0)
        _check_rate(market, rate)
        before = self._step(at).inventory(market)
        if before.rate is not None and before.rate.is_inverse != rate.is_inverse:
            raise InputError(f"mark of {market}: expected the same kind of contract as before")
        lots, value, gained = _traded(before, lots, entry_value, is_inverse=rate.is_inverse)
        return self._put(
            replace(before, lots=lots, entry_value=value, rate=rate), gained + margin, at
        )

    def shed(self, market: str, *, lots: int, exit_value: int, at: int) -> Self:
        """Close part or all of the position held in a market.

        Args:
            market: of the position.
            lots: how many are closed, above 0.
            exit_value: what they were closed for, money units.
            at: ns UTC.

        Raises:
            InputError: a figure is out of range.
            StateError: the pool holds fewer lots, or time runs backwards.
        """
        whole("lots", lots, least=1)
        whole("exit_value", exit_value, least=0)
        held = self.inventory(market)
        if lots > abs(held.lots) or held.rate is None:
            raise StateError(
                f"pool {self.name}: expected at most {abs(held.lots)} lots of {market}, got {lots}"
            )
        against = -lots if held.lots > 0 else lots
        left, value, gained = _traded(held, against, exit_value, is_inverse=held.rate.is_inverse)
        return self._put(replace(held, lots=left, entry_value=value), gained, at)

    def mark(self, rates: Mapping[str, Rate], *, at: int) -> Self:
        """Value what the pool holds at new marks; marks of other markets are passed over.

        Args:
            rates: the mark by market.
            at: ns UTC.

        Raises:
            InputError: a mark is not above 0.
            StateError: time runs backwards.
        """
        for market, rate in rates.items():
            _check_rate(market, rate)
        moved = tuple(
            replace(each, rate=rates[each.market])
            if each.market in rates and each.rate is not None
            else each
            for each in self.inventories
        )
        return self._step(at, inventories=moved)

    def _place(self, length: int) -> int:
        """Find the window of one length."""
        lengths = [window.length for window in self.balances]
        if length not in lengths:
            raise InputError(
                f"pool {self.name}: expected a window of one of {lengths} ns, got {length}; "
                "open the pool with lengths= of what its trigger reads"
            )
        return lengths.index(length)

    def _book(self, market: str, amount: int, at: int) -> Self:
        """Book money that one market brought or cost."""
        return self._put(self.inventory(market), amount, at)

    def _put(self, inventory: Inventory, gained: int, at: int) -> Self:
        """Put one market's inventory in its place, with what it gained in cash."""
        grown = replace(inventory, realised=inventory.realised + gained)
        others = [each for each in self.inventories if each.market != inventory.market]
        ordered = sorted([*others, grown], key=lambda each: each.market)
        return self._step(at, cash=self.cash + gained, inventories=tuple(ordered))

    def _step(
        self, at: int, *, cash: int | None = None, inventories: tuple[Inventory, ...] | None = None
    ) -> Self:
        """Move to an instant with new cash and inventories, and note both in every window."""
        if whole("time", at) < self.at:
            raise StateError(
                f"pool {self.name}: time: expected at least {self.at}, got {at}; "
                "it runs forwards only"
            )
        held = self.inventories if inventories is None else inventories
        money = self.cash if cash is None else cash
        balance = money + sum(inventory.unrealised for inventory in held)
        self._check_sums(money, balance, held)
        return replace(
            self,
            at=at,
            cash=money,
            inventories=tuple(_noted(each, at) for each in held),
            balances=tuple(window.put(at, balance) for window in self.balances),
            history=None if self.history is None else self.history.put(at, balance),
        )

    def _check_sums(self, cash: int, balance: int, held: tuple[Inventory, ...]) -> None:
        """Refuse a sum that no column could carry."""
        sums = [("cash", cash), ("balance", balance)]
        for each in held:
            sums += [(f"{each.market}: realised", each.realised), (f"{each.market}: pnl", each.pnl)]
            sums += [(f"{each.market}: entry_value", each.entry_value)]
            sums += [(f"{each.market}: lots", each.lots)]
        for name, value in sums:
            if abs(value) >= LIMIT:
                raise InputError(
                    f"pool {self.name}: {name}: expected less than 2^51 in magnitude, got {value}; "
                    "a coarser money unit holds more"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What a pool paid of a deficit.

    Attributes:
        pool: after the payment.
        paid: money units.
        unpaid: what is left of the deficit, money units.
    """

    pool: Pool
    paid: int
    unpaid: int


def _noted(inventory: Inventory, at: int) -> Inventory:
    """Note a market's profit in its windows; what did not change costs nothing."""
    pnl = inventory.pnl
    if pnl == inventory.pnls[0].value:
        return inventory
    return replace(inventory, pnls=tuple(window.put(at, pnl) for window in inventory.pnls))


def _gain(lots: int, *, is_inverse: bool) -> int:
    """Give 1 where a position gains as its value rises, and -1 where it loses."""
    return 1 if (lots > 0) != is_inverse else -1


def _traded(held: Inventory, lots: int, value: int, *, is_inverse: bool) -> tuple[int, int, int]:
    """Add a trade to a position: its lots and entry value after it, and the profit realised.

    Of either side the closed share of the value is rounded down; the rest stays with the rest.
    """
    if held.lots == 0 or (held.lots > 0) == (lots > 0):
        return held.lots + lots, held.entry_value + value, 0
    closed = min(abs(held.lots), abs(lots))
    own = held.entry_value * closed // abs(held.lots)
    other = value * closed // abs(lots)
    gained = _gain(held.lots, is_inverse=is_inverse) * (other - own)
    rest = held.entry_value - own if abs(held.lots) > closed else value - other
    return held.lots + lots, rest, gained


def _check_rate(market: str, rate: Rate) -> None:
    """Refuse a mark that is not above zero."""
    whole(f"mark of {market}", rate.mark_num, least=1)
    whole(f"mark of {market}", rate.mark_den, least=1)
