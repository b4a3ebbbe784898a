"""One block of the synthetic venue: its accounts and positions, drawn from its number alone."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from deleverage.lab import generate_facts as facts
from deleverage.lab.generate_curves import correlated, even, many, matched, strata
from deleverage.lab.generate_joint import Joint
from deleverage.lab.generate_markets import distinct_markets, picked, size_class, split, within
from deleverage.lab.generate_world import World

__all__ = ["Block", "Rows", "draw_block", "lot_values"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

NEVER = -1
"""The burst of a position that is not deleveraged."""

_FILL_NOISE = 0.2
_FILL_POWER = 0.09
_NUMBER_POWER = 0.28
_LARGEST_GAIN = 0.95
_SHARE_NOISE = 0.8
_LONG_OTHERS = 0.6
_MOST_ENTRY = 2e15  # money units; the contract's limit is 2^51
_LEAST_LEVERAGE = 0.2  # of other holders: their cash stays in the range of the contract
_SETTINGS = np.array([2, 3, 5, 5, 10, 10, 20, 25, 40], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Positions before the first burst; (n,) each.

    Attributes:
        account: place in the block's accounts.
        market: code.
        lots: int64, signed: + long, - short.
        entry: int64 entry value in money units.
        margin: int64 money units, its share of the account's cash.
        leverage: int64 setting.
        burst: int64 in which it is deleveraged, or `NEVER`.
        closed: int64 lots that are closed then, not signed; 0 for never.
    """

    account: Int64
    market: Int64
    lots: Int64
    entry: Int64
    margin: Int64
    leverage: Int64
    burst: Int64
    closed: Int64

    def take(self, rows: Int64) -> "Rows":
        """Give some rows, or all in another order."""
        return Rows(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    @classmethod
    def join(cls, *parts: "Rows") -> "Rows":
        """Give the rows of several, one after the other."""
        names = [one.name for one in fields(cls)]
        return cls(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """A block's accounts and positions.

    Attributes:
        number: its place, from 0.
        first_account: id of its first account; the others follow.
        accounts: number of accounts, those without a position too; the last is a market maker
            without a row in `rows`, who balances the block.
        wallet: (accounts,) int64 money units, cash.
        rows: sorted by account.
    """

    number: int
    first_account: int
    accounts: int
    wallet: Int64
    rows: Rows


def lot_values(world: World, prices: Int64) -> Floats:
    """Give what a lot is worth in money units.

    Args:
        world: whose lots.
        prices: (..., m) in price units.

    Returns:
        (..., m) float64.
    """
    # A price unit is 10^-8, a lot 10^-places contracts, a money unit 10^-6.
    values: Floats = prices / 10.0 ** (2 + world.venue.lot_places)
    return values


def draw_block(world: World, number: int, has_partial: NDArray[np.bool_]) -> Block:
    """Draw a block.

    Args:
        world: what the blocks share.
        number: which.
        has_partial: (m, b, 2) bool, the events that have their partly closed position; updated.
            This is all that a block takes from the ones before.

    Returns:
        The block.
    """
    generator = np.random.default_rng([world.request.seed, 1, number])
    first = world.accounts * number // world.blocks
    size = world.accounts * (number + 1) // world.blocks - first
    ids = generator.permutation(size)
    hit = _hit_rows(world, number, generator, has_partial)
    others = _other_rows(world, number, generator)
    hits = int(hit.account.max(initial=-1)) + 1
    places = np.concatenate([ids[hit.account], ids[hits + others.account]])
    rows = Rows.join(hit, others)
    order = np.lexsort((rows.market, places))
    rows = rows.take(order)
    rows = Rows(**{**_columns(rows), "account": places[order]})
    wallet = _idle_cash(generator, size)
    held = np.bincount(rows.account, weights=rows.margin, minlength=size)
    wallet = np.where(held > 0, np.rint(held).astype(np.int64), wallet)
    return Block(
        number=number,
        first_account=first + number,
        accounts=size + 1,
        wallet=np.append(wallet, 0),
        rows=rows,
    )


def _columns(rows: Rows) -> dict[str, Int64]:
    return {one.name: getattr(rows, one.name) for one in fields(rows)}


def _idle_cash(generator: np.random.Generator, size: int) -> Int64:
    """Cash of accounts without a position: whole dollars."""
    dollars = np.clip(generator.lognormal(np.log(50.0), 2.5, size), 0, 1e9).astype(np.int64)
    return dollars * 1_000_000


def _hit_rows(
    world: World, number: int, generator: np.random.Generator, has_partial: NDArray[np.bool_]
) -> Rows:
    """Positions that the venue deleverages, and when, and by how much."""
    count = world.hit.accounts
    places = np.arange(number, count, world.blocks)
    shares = strata(generator, places, count)
    money = world.notional.at(shares)
    slack = generator.standard_normal(len(places))  # the latent leverage, turned over
    numbers = matched(world.hit.at(places), many(generator, (places + 0.5) / count, -slack))
    mean = money / numbers
    has_cash = even(generator, generator.random(len(places))) >= facts.WITHOUT_CASH
    among = _Among(generator=generator, number=number, blocks=world.blocks)
    cash = np.zeros(len(places))
    cash[has_cash] = among.values(world.cash_of, mean[has_cash], slack[has_cash])
    profit = _profits(world, among, money, slack, numbers)
    account = np.repeat(np.arange(len(places)), numbers)
    kind = size_class(mean)[account]
    market = distinct_markets(generator, account, kind, world.market_odds)
    share = split(generator, world.market_odds[kind, market], account)
    fill_money = money[account] * share
    # Within an account the larger positions gained less.
    noise = np.exp(_FILL_NOISE * generator.standard_normal(len(account))) * share**-_FILL_POWER
    gain = (profit / np.bincount(account, weights=share * noise))[account] * noise
    is_long = generator.random(len(account)) < world.venue.long_share[market]
    # Nothing falls by more than all of it, and nobody short loses more than the price.
    is_long &= gain < _LARGEST_GAIN
    gain = np.where(is_long, gain, np.maximum(gain, -_LARGEST_GAIN))
    burst = _bursts(world, generator, market)
    lot_value = lot_values(world, world.venue.prices)[burst, market]
    closed = np.maximum(np.rint(fill_money * 1e6 / lot_value), 1).astype(np.int64)
    lots = closed + _kept(generator, closed, (market, burst, is_long.astype(np.int64)), has_partial)
    value = lots * lot_value
    # No entry value may leave the range of the contract, however rare the gain.
    gain = np.minimum(gain, np.maximum(_MOST_ENTRY / value - 1, 0.0))
    entry = value * np.where(is_long, 1 - gain, 1 + gain)
    margin = np.rint(cash[account] * 1e6 * share)
    return Rows(
        account=account,
        market=market,
        lots=np.where(is_long, lots, -lots),
        entry=np.maximum(np.rint(entry), 1).astype(np.int64),
        margin=np.maximum(margin, 1).astype(np.int64),
        leverage=_settings(world, generator, market),
        burst=burst,
        closed=closed,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Among:
    """A block among all: which values of a published column are its own, and who has them."""

    generator: np.random.Generator
    number: int
    blocks: int

    def values(self, joint: Joint, size: Floats, latent: Floats) -> Floats:
        """Give each size its value, the larger the latent column the more for its size."""
        count = len(size) * self.blocks
        places = np.arange(self.number, count, self.blocks)
        shares = strata(self.generator, places, count)
        at = even(self.generator, latent, size)
        return joint.values(size, at, self.generator.random(len(size)), shares)


def _profits(world: World, among: _Among, money: Floats, slack: Floats, numbers: Int64) -> Floats:
    """Profit over notional of each account; a few lost."""
    generator = among.generator
    latent = correlated(generator, slack, -facts.LEVERAGE_AND_PROFIT)
    # Of two who are as levered, the one with more positions gained less.
    latent -= _NUMBER_POWER * np.log(numbers)
    has_gained = even(generator, generator.random(len(money))) >= facts.LOSERS
    profit = -facts.LOSS * generator.random(len(money))
    gained = among.values(world.profit_of, money[has_gained], latent[has_gained])
    profit[has_gained] = gained / money[has_gained]
    return profit


def _bursts(world: World, generator: np.random.Generator, market: Int64) -> Int64:
    """The burst of each position, spread evenly over the odds of its market."""
    at = np.empty(len(market))
    order = np.argsort(market, kind="stable")
    counts = np.bincount(market, minlength=world.burst_odds.shape[0])
    start = np.concatenate([[0], np.cumsum(counts)])[:-1]
    place = np.arange(len(market)) - start[market[order]]
    # A shuffle first, so that a place in a market says nothing about size.
    shuffled = order[np.lexsort((generator.random(len(market)), market[order]))]
    at[shuffled] = (place + generator.random(len(market))) / counts[market[order]]
    return picked(world.burst_odds, market, at)


def _kept(
    generator: np.random.Generator,
    closed: Int64,
    event: tuple[Int64, Int64, Int64],
    has_partial: NDArray[np.bool_],
) -> Int64:
    """Lots that are left open: of one position an event, the first that is drawn."""
    key = np.ravel_multi_index(event, has_partial.shape)
    _, first = np.unique(key, return_index=True)
    first = first[~has_partial.ravel()[key[first]]]
    has_partial.ravel()[key[first]] = True
    kept = np.zeros(len(closed), dtype=np.int64)
    share = generator.uniform(0.1, 3.0, len(first))
    kept[first] = np.maximum(np.rint(closed[first] * share), 1).astype(np.int64)
    return kept


def _other_rows(world: World, number: int, generator: np.random.Generator) -> Rows:
    """Everybody else: longs that lost and hold out, shorts that gained less (assumed)."""
    count = world.others.accounts
    places = np.arange(number, count, world.blocks)
    single = len(range(number, world.singles, world.blocks))
    numbers = np.concatenate(
        [generator.permutation(world.others.at(places)), np.ones(single, np.int64)]
    )
    holders = len(numbers)
    shares = generator.permutation((np.arange(holders) + 0.5) / max(holders, 1))
    money, leverage = world.notional.at(shares), world.leverage.at(generator.random(holders))
    account = np.repeat(np.arange(holders), numbers)
    rows = len(account)
    odds = world.other_odds[None, :]
    market = distinct_markets(generator, account, np.zeros(rows, np.int64), odds)
    share = within(np.exp(_SHARE_NOISE * generator.standard_normal(rows)), account)
    is_long = generator.random(rows) < _LONG_OTHERS
    move = np.abs(world.profit.at(generator.random(rows)))
    lot_value = lot_values(world, world.venue.prices)[0, market]
    lots = np.maximum(np.rint(money[account] * share * 1e6 / lot_value), 1).astype(np.int64)
    value = lots * lot_value
    move = np.minimum(move, 0.9) * np.where(is_long, 0.5, 0.35)
    entry = np.maximum(np.rint(value * (1 + move)), 1).astype(np.int64)
    cap = world.venue.max_leverage[market]
    margin = value / np.clip(leverage[account], _LEAST_LEVERAGE, cap)
    # A long that lost has topped up: equity is at least 1.1 maintenance margins.
    least = np.where(is_long, entry - value, 0.0) + 1.1 * value / (2 * cap)
    return Rows(
        account=account,
        market=market,
        lots=np.where(is_long, lots, -lots),
        entry=entry,
        margin=np.maximum(np.ceil(np.maximum(margin, least)), 1).astype(np.int64),
        leverage=_settings(world, generator, market),
        burst=np.full(rows, NEVER),
        closed=np.zeros(rows, dtype=np.int64),
    )


def _settings(world: World, generator: np.random.Generator, market: Int64) -> Int64:
    """Leverage settings, up to what the market allows."""
    chosen = generator.choice(_SETTINGS, len(market))
    settings: Int64 = np.minimum(chosen, world.venue.max_leverage[market])
    return settings
