"""Loading a book: the first command of a journal, and the opening of its accounts."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

import numpy as np

from deleverage.backstop.liquidation import EVERYBODY, MARKET
from deleverage.backstop.pool import Pool, PoolScope
from deleverage.backstop.window import EIGHT_HOURS
from deleverage.engine import book as books
from deleverage.engine import codec
from deleverage.engine.accounts import worded
from deleverage.engine.body import Body
from deleverage.engine.positions import Positions
from deleverage.engine.posting import OPENING, REST, Line, book, prove
from deleverage.engine.rows import wide_sum
from deleverage.engine.state import Choices, State, triggers_of, waterfall_of
from deleverage.engine.triggers import watch
from deleverage.errors import InputError, StateError, VenueError
from deleverage.ledger import Value, encode
from deleverage.model.records import Venue
from deleverage.model.refusals import nearest_name
from deleverage.model.scales import MarketScale

__all__ = ["cash", "edition_hash", "load", "refuse_trader"]


def edition_hash(venue: Venue) -> str:
    """Give the SHA-256 of an edition with every number in it, hexadecimal."""
    return sha256(encode(codec.pack(venue))).hexdigest()


def load(state: State, body: Body) -> tuple[State, dict[str, Value]]:
    """Load a book, its edition, its pools.

    Raises:
        StateError: a book is loaded already.
        InputError: the body is no packed book, or a pool does not fit the markets.
        VenueError: what the venue never published is to be chosen first.
    """
    if state.positions is not None:
        raise StateError("load: expected an empty journal, got a loaded book; open another file")
    venue = codec.unpack(Venue, body.table("venue"))  # type: ignore[arg-type]
    if edition_hash(venue) != body.text("edition"):
        raise VenueError(f"{venue.name}: expected the edition of this hash, got another")
    scales = {
        name: codec.unpack(MarketScale, value) for name, value in body.table("scales").items()
    }
    read = books.unpack(body.table("book"), tuple(scales.values()))
    positions = Positions.open(read.roster, read.columns, read.aside)
    opened = replace(
        state,
        venue=venue,
        edition=body.text("edition"),
        choices=codec.unpack(Choices, body.table("choices")),  # type: ignore[arg-type]
        scales=scales,
        positions=positions,
        wallets=read.wallets,
        net={market: positions.net_lots(market) for market in scales},
    )
    for name in (MARKET, EVERYBODY):
        if opened.book.roster.find_account(name) >= 0:
            raise InputError(
                f"account: expected a name other than {name!r}, which is kept for the books"
            )
    triggers = triggers_of(opened.rules, opened.choices, scales)
    opened = _with_pools(
        replace(opened, triggers=triggers), [Body("pool", value) for value in body.items("pools")]
    )
    opened = replace(opened, outside={m: -lots for m, lots in opened.net.items()})
    opened = _with_ledger(opened)
    watched, changed = watch(opened, opened.pools)
    result: dict[str, Value] = {
        "positions": len(read.roster),
        "accounts": len(read.roster.accounts),
        "markets": len(scales),
        "root": positions.root,
        "outside": {market: lots for market, lots in opened.outside.items() if lots},
        "triggers": changed,
    }
    return prove(watched, scales), result


def _with_pools(state: State, given: list[Body]) -> State:
    """Open the pools, and put one behind every market that has one."""
    pools: dict[str, Pool] = {}
    assets: dict[str, str] = {}
    for body in given:
        name = body.text("name")
        if name in pools:
            raise InputError(f"pool {name}: expected each name once, got it twice")
        refuse_trader(state, name)
        markets = tuple(str(market) for market in body.items("markets"))
        assets[name] = _asset(state, name, markets, body)
        scopes = (PoolScope.SHARED, PoolScope.MARKET)
        scope = scopes[len(markets)] if len(markets) < len(scopes) else PoolScope.GROUP
        may_be_negative = bool(
            body.value.get("may_be_negative")  # type: ignore[union-attr]
        ) or _may_be_negative(state.rules)
        opened = Pool.open(
            name,
            at=state.at,
            cash=cash(state, body, name, assets[name], may_be_negative=may_be_negative),
            scope=scope,
            markets=markets,
            lengths=_lengths(state, markets or tuple(state.scales)),
            may_be_negative=may_be_negative,
        )
        pools[name] = replace(opened, group=body.text("group") if body.has("group") else "")
    _require_one_asset(pools, assets)
    backing = {
        market: name
        for market, scale in state.scales.items()
        if (name := _behind(scale, pools, assets))
    }
    statuses = {}
    for market in state.scales:
        waterfall_of(state, market)
        statuses[market] = state.triggers[market].idle(state.at)
    return replace(state, pools=pools, assets=assets, backing=backing, statuses=statuses)


def _require_one_asset(pools: Mapping[str, Pool], assets: Mapping[str, str]) -> None:
    """Refuse a group whose pools hold different assets: their balances do not add up."""
    held: dict[str, str] = {}
    for name, pool in pools.items():
        first = held.setdefault(pool.group, assets[name])
        if pool.group and assets[name] != first:
            raise InputError(
                f"pool {name}, group {pool.group}: expected one asset in a group, {first}, "
                f"got {assets[name]}"
            )


def refuse_trader(state: State, name: str) -> None:
    """Refuse a pool of the name of a trader: the books would take one for the other.

    Raises:
        InputError: the book has an account of that name.
    """
    if state.book.roster.find_account(name) >= 0:
        raise InputError(
            f"pool: expected a name that no account has, got {name!r}, the name of a trader"
        )


def cash(state: State, body: Body, pool: str, asset: str, *, may_be_negative: bool = False) -> int:
    """Give the cash that a pool starts with, money units.

    Raises:
        InputError: there is none, or it is below zero where it may not be.
    """
    units = body.whole("cash")
    if units < 0 and not may_be_negative:
        said = worded(units, state.unit(asset), asset)
        raise InputError(f"pool {pool}, cash: expected at least 0 {asset}, got {said}")
    return units


def _may_be_negative(venue: Venue) -> bool:
    """Tell whether the edition lets its fund pay what it does not have."""
    return venue.backstop is not None and venue.backstop.fund_below_zero


def _asset(state: State, name: str, markets: tuple[str, ...], body: Body) -> str:
    """Give the asset of a pool: that of its markets, or the one that is said."""
    for market in markets:
        state.scale(market)
    settles = {state.scales[market].settle for market in markets or state.scales}
    asset = body.text("asset") if body.has("asset") else None
    if asset is None and len(settles) == 1:
        return settles.pop()
    if asset is None or (markets and settles != {asset}) or asset not in settles:
        raise InputError(
            f"pool {name}, asset: expected the settlement asset of its markets "
            f"({', '.join(sorted(settles))}), got {asset!r}"
        )
    return asset


def _lengths(state: State, markets: tuple[str, ...]) -> tuple[int, ...]:
    """Give the windows that the triggers and the price of some markets read."""
    found = {EIGHT_HOURS}
    for market in markets:
        found |= set(state.triggers[market].lengths)
    return tuple(sorted(found))


def _behind(scale: MarketScale, pools: Mapping[str, Pool], assets: Mapping[str, str]) -> str:
    """Give the pool behind a market: one that names it, the one it names, a shared one, or ""."""
    if scale.pool is not None and scale.pool not in pools:
        known = ", ".join(pools) or "none"
        raise InputError(
            f"market {scale.market}, pool: expected one of {known}, "
            f"got {scale.pool!r}{nearest_name(scale.pool, pools)}"
        )
    naming = [name for name, pool in pools.items() if scale.market in pool.markets]
    if len(naming) > 1:
        raise InputError(f"market {scale.market}: expected one pool behind it, got {naming}")
    if naming:
        return naming[0]
    shared = [
        name
        for name, pool in pools.items()
        if pool.scope is PoolScope.SHARED and assets[name] == scale.settle
    ]
    if scale.pool is not None and scale.pool in shared:
        return scale.pool
    if len(shared) > 1:
        raise InputError(
            f"market {scale.market}: expected one pool behind it, got {shared}; "
            "say which in the column pool of markets"
        )
    return shared[0] if shared else ""


def _with_ledger(state: State) -> State:
    """Open the books: what traders and pools brought, and the open basis of every market."""
    lines: list[Line] = []
    for asset, wallets in state.wallets.items():
        lines += [(REST, asset, wide_sum(wallets)), (OPENING, asset, -wide_sum(wallets))]
    columns, roster = state.book.columns, state.book.roster
    for code, (market, scale) in enumerate(state.scales.items()):
        rows = slice(int(roster.starts[2 * code]), int(roster.starts[2 * code + 2]))
        signed = np.sign(columns["lots"][rows]) * columns["entry_value"][rows]
        basis = wide_sum(signed) * (1 if scale.is_inverse else -1)
        lines += [(f"clearing:{market}", scale.settle, basis), (OPENING, scale.settle, -basis)]
    for name, pool in state.pools.items():
        asset = state.assets[name]
        lines += [(f"pool:{name}", asset, pool.cash), (OPENING, asset, -pool.cash)]
    return book(state, (), lines)
