"""What each command does to a state: pure, so that trying a command is checking it.

`Commands` is the journal's applier. A command's body is made of whole numbers and text; what was
decided stands in it beside what was asked, so that a replay can hold one against the other.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final, TypeAlias

from deleverage.backstop.groups import carve_out
from deleverage.engine import accounts, dump, liquidating, loading
from deleverage.engine.body import Body
from deleverage.engine.posting import book, prove
from deleverage.engine.state import State, is_gate_in_blocks
from deleverage.engine.triggers import watch
from deleverage.errors import InputError, StateError
from deleverage.ledger import AccountKind, Command, Value
from deleverage.model.scales import MarketScale
from deleverage.ranking import Rate

__all__ = ["Commands"]

Step: TypeAlias = Callable[[State, Body], tuple[State, dict[str, Value]]]


class Commands:
    """Applies commands to states; see `ledger.Applier`."""

    def start(self) -> State:
        """A state before the first command."""
        return State()

    def apply(self, state: State, command: Command) -> tuple[State, Value]:
        """Do one command.

        Returns:
            The state after it and its result.

        Raises:
            InputError: an unknown kind, or the body is not what the command takes.
            StateError: the command is not allowed now.
            InvariantError: a guarantee would break.
        """
        step = _STEPS.get(command.kind)
        if step is None:
            raise InputError(f"kind: expected one of {', '.join(_STEPS)}, got {command.kind!r}")
        at = replace(state, sequence=command.sequence, at=command.time_ns)
        return step(at, Body(command.kind, command.body))

    def dump(self, state: State) -> bytes:
        """The canonical bytes of a state."""
        return dump.dump(state)

    def load(self, data: bytes) -> State:
        """The state of canonical bytes.

        Raises:
            InputError: the bytes are not a state's.
        """
        return dump.load(data)


def _marks(state: State, body: Body) -> tuple[State, dict[str, Value]]:
    """Move marks, and let accounts, pools and triggers follow."""
    marks = body.table("marks")
    scales, stamps = dict(state.scales), dict(state.stamps.marks)
    oracles = dict(state.oracles)
    for market, given in marks.items():
        before = state.scale(market)
        prices = Body(f"mark of {market}", given)
        after = before.at(_price(prices, "mark"), previous=_previous(prices, before))
        state.book.require_mark(after)
        scales[market], stamps[market] = after, state.sequence
        if prices.has("oracle"):
            oracles[market] = _price(prices, "oracle")
    rates = {market: _rate(scales[market]) for market in marks}
    names = sorted({state.backing[market] for market in marks if market in state.backing})
    pools = dict(state.pools)
    for name in names:
        pools[name] = pools[name].mark(rates, at=state.at)
    moved = replace(
        state,
        scales=scales,
        oracles=oracles,
        pools=pools,
        stamps=replace(state.stamps, marks=stamps),
    )
    watched, changed = watch(moved, names)
    return prove(watched, marks), {"triggers": changed}


def _price(body: Body, name: str) -> Decimal:
    """Read a price above zero."""
    text = body.text(name)
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price <= 0:
        raise InputError(f"{body.what}, {name}: expected a price above zero, got {text!r}")
    return price


def _previous(body: Body, before: MarketScale) -> Decimal:
    """Read the mark before, which is the one known unless another is said."""
    return _price(body, "previous") if body.has("previous") else before.mark_price


def _rate(scale: MarketScale) -> Rate:
    """Give a mark as the value of one lot."""
    return Rate(mark_num=scale.mark_num, mark_den=scale.mark_den, is_inverse=scale.is_inverse)


def _deposit(state: State, body: Body) -> tuple[State, dict[str, Value]]:
    """Credit an account with money from outside."""
    return _cash(state, body, 1)


def _withdraw(state: State, body: Body) -> tuple[State, dict[str, Value]]:
    """Give an account money that it can spare."""
    return _cash(state, body, -1)


def _cash(state: State, body: Body, sign: int) -> tuple[State, dict[str, Value]]:
    """Move money between an account and the outside."""
    account, asset = body.text("account"), body.text("asset")
    amount = body.at_least("amount", least=1)
    unit = state.unit(asset)
    if state.book.roster.find_account(account) < 0:
        raise InputError(f"account: expected one of the book, got {account!r}")
    if sign < 0:
        _must_spare(state, body, account, asset, amount)
    name = f"{AccountKind.TRADER.value}:{account}"
    moves = ((name, asset, sign * amount), (f"outside:{account}", asset, -sign * amount))
    after = book(state, (), moves)
    pool = accounts.pool_of(state, account, asset)
    if pool is not None:
        after = replace(after, positions=after.book.credit(pool, sign * amount))
    places = state.book.roster.places_of(account)
    touched = after.book.touched(places, sequence=state.sequence)
    after = replace(after, positions=touched)
    balance = after.ledger.balance(name, asset)
    return prove(after, ()), {"balance": balance, "unit": f"{unit:f}"}


def _must_spare(state: State, body: Body, account: str, asset: str, amount: int) -> None:
    """Refuse a withdrawal of what is not there, is bound, or has to wait."""
    for name, gate in state.gates.items():
        if state.assets[name] != asset:
            continue
        now = body.whole("height") if is_gate_in_blocks(state.rules) else state.at
        if gate.is_closed(now):
            raise StateError(
                f"withdrawal of {account}: expected no loss behind pool {name} in the last "
                f"{gate.length}, got one at {gate.seen}; withdrawals wait until then"
            )
    spare = accounts.spare(state, account, asset)
    if amount > spare:
        raise StateError(
            f"withdrawal of {account}: expected at most "
            f"{accounts.worded(max(spare, 0), state.unit(asset), asset)} that are not bound, "
            f"got {accounts.worded(amount, state.unit(asset), asset)}"
        )


def _contribute(state: State, body: Body) -> tuple[State, dict[str, Value]]:
    """Put money into a pool from outside, or take it out."""
    name, amount = body.text("pool"), body.whole("amount")
    if name not in state.pools:
        raise InputError(f"pool: expected one of {', '.join(state.pools) or 'none'}, got {name!r}")
    pool, asset = state.pools[name], state.assets[name]
    if -amount > pool.available:
        unit = state.unit(asset)
        raise StateError(
            f"pool {name}: expected at most {accounts.worded(pool.available, unit, asset)} "
            f"available, got {accounts.worded(-amount, unit, asset)}"
        )
    moved = (
        pool.contribute(amount, at=state.at) if amount >= 0 else pool.withdraw(-amount, at=state.at)
    )
    after = book(
        state, (), ((f"pool:{name}", asset, amount), ("outside:contributions", asset, -amount))
    )
    stamps = {**state.stamps.pools, name: state.sequence}
    after = replace(
        after,
        pools={**state.pools, name: moved},
        stamps=replace(state.stamps, pools=stamps),
    )
    watched, changed = watch(after, [name])
    return prove(watched, ()), {"balance": moved.balance, "triggers": changed}


def _carve(state: State, body: Body) -> tuple[State, dict[str, Value]]:
    """Take a market out of a pool into one of its own, with its position, history and money."""
    body.only("pool", "market", "name", "cash")
    owner, market, name = body.text("pool"), body.text("market"), body.text("name")
    pool = state.pool_behind(state.scale(market).market)
    if pool is None or pool.name != owner:
        raise InputError(f"pool: expected the one behind {market}, got {owner!r}")
    if name in state.pools:
        raise InputError(f"name: expected that of a new pool, got {name!r}")
    loading.refuse_trader(state, name)
    asset = state.assets[owner]
    cash, most = loading.cash(state, body, owner, asset), max(0, pool.cash)
    if cash > most:
        said = [accounts.worded(units, state.unit(asset), asset) for units in (most, cash)]
        raise StateError(f"pool {owner}, cash: expected at most {said[0]}, got {said[1]}")
    carved = carve_out(pool, market, name=name, cash=cash, asset=asset, at=state.at)
    # The line of 0 opens the new pool's account, where nothing moves.
    after = book(state, carved.postings, ((f"{AccountKind.POOL.value}:{name}", asset, 0),))
    sheds = {
        key: replace(open_, liquidation=replace(open_.liquidation, account=name))
        for key, open_ in state.liquidations.items()
        if open_.liquidation.is_pool and open_.liquidation.market == market
    }
    stamps = {**state.stamps.pools, owner: state.sequence, name: state.sequence}
    after = replace(
        after,
        pools={**state.pools, owner: carved.rest, name: carved.own},
        assets={**state.assets, name: asset},
        backing={**state.backing, market: name},
        liquidations={**state.liquidations, **sheds},
        stamps=replace(state.stamps, pools=stamps),
    )
    watched, changed = watch(after, [owner, name])
    balances: dict[str, Value] = {owner: carved.rest.balance, name: carved.own.balance}
    return prove(watched, [market]), {"balances": balances, "triggers": changed}


_STEPS: Final[Mapping[str, Step]] = MappingProxyType(
    {
        "load": loading.load,
        "marks": _marks,
        "deposit": _deposit,
        "withdraw": _withdraw,
        "contribute": _contribute,
        "carve": _carve,
        "liquidate": liquidating.liquidate,
        "outcome": liquidating.outcome,
        "commit": liquidating.commit,
    }
)
