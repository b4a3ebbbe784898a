"""What is settled before a row is drawn: counts, markets, prices, and who trades what, when.

Everything here is a function of the request alone. It is small (markets times bursts), so that
the rows can then be drawn block by block without looking at each other.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.lab import generate_facts as facts
from deleverage.lab.generate_bursts import burst_times, share_out
from deleverage.lab.generate_curves import Counts, Curve, falling, many, matched
from deleverage.lab.generate_joint import Joint, fit_joint
from deleverage.lab.generate_markets import Sample, fit_markets

__all__ = ["BLOCK", "MONEY_PLACES", "PRICE_PLACES", "Request", "Venue", "World", "settle_world"]

BLOCK = 65_536
"""Positions of one block, about: what is drawn at once, whatever is written at once."""
PRICE_PLACES = 8
MONEY_PLACES = 6
FEWEST = 1_000

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

_MOST_POSITIONS = 10**10
_LARGEST_NUMBER = 78
_TAIL_POWER = 2.98
_TAIL_FROM = 10.5
_TRIALS = 48
_SECOND = 1_000_000_000
_WEIGHTED = 0.97
_LOT_VALUE = 0.1  # a lot is worth at most this, USD


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to generate.

    Attributes:
        positions: open positions in the first snapshot.
        markets: number of markets.
        snapshots: number of moments at which the book is written.
        seed: 0 or more; the same request gives the same rows.
    """

    positions: int
    markets: int = facts.MARKETS
    snapshots: int = 1
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be generated.

        Raises:
            InputError: names the number and its range.
        """
        ranges = {
            "positions": (self.positions, FEWEST, _MOST_POSITIONS),
            "markets": (self.markets, 1, 10_000),
            "snapshots": (self.snapshots, 1, len(burst_times().seconds)),
            "seed": (self.seed, 0, 2**63 - 1),
        }
        for name, (value, least, most) in ranges.items():
            if not least <= value <= most:
                raise InputError(f"{name}: expected {least} to {most}, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Venue:
    """The markets and their prices; a market's place is its code.

    Attributes:
        names: (m,) sorted by what is deleveraged in them, largest first.
        lot_places: (m,) a lot is 10^-places contracts.
        max_leverage: (m,) whole.
        long_share: (m,) share of deleveraged accounts that are long.
        prices: (b, m) mark at each burst, in units of 10^-8.
        previous: (b, m) mark three seconds before.
    """

    names: tuple[str, ...]
    lot_places: Int64
    max_leverage: Int64
    long_share: Floats
    prices: Int64
    previous: Int64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """Everything that the blocks have in common.

    Attributes:
        request: what was asked for.
        venue: the markets.
        blocks: number of blocks.
        accounts: number of accounts, those without a position too.
        hit: positions by stratum of the accounts that are deleveraged.
        others: positions by stratum of the other holders.
        singles: further holders of one position, to make the number of positions exact.
        market_odds: (s, m) chance of each market for a deleveraged position, by class of size.
        other_odds: (m,) chance of each market for any other position.
        burst_odds: (m, b) chance of each burst, by market.
        times: (b,) nanoseconds UTC of the bursts.
        snapshot_of: (b,) snapshot on which a burst falls.
        notional: curve of an account's deleveraged notional.
        leverage: curve of its leverage.
        profit: curve of its profit over notional, where it has one.
        cash_of: its cash, by the mean notional of its positions.
        profit_of: its profit, where it has one, by its notional.
    """

    request: Request
    venue: Venue
    blocks: int
    accounts: int
    hit: Counts
    others: Counts
    singles: int
    market_odds: Floats
    other_odds: Floats
    burst_odds: Floats
    times: Int64
    snapshot_of: Int64
    notional: Curve
    leverage: Curve
    profit: Curve
    cash_of: Joint
    profit_of: Joint

    @property
    def first_burst(self) -> Int64:
        """(k,) the first burst of each snapshot: its marks are the snapshot's."""
        return np.searchsorted(self.snapshot_of, np.arange(self.request.snapshots)).astype(np.int64)


def settle_world(request: Request) -> World:
    """Settle what the blocks have in common.

    Args:
        request: what to generate.

    Returns:
        The world.

    Raises:
        InputError: a number of the request is out of its range.
    """
    request.check()
    generator = np.random.default_rng([request.seed, 0])
    scale = request.positions / facts.POSITIONS
    bursts = burst_times()
    fills, _ = _market_totals(request.markets)
    struck = len(fills)
    blocks = max(round(request.positions / BLOCK), 1)
    shares = _number_shares(struck)
    hit = Counts.of(max(round(facts.ADL_ACCOUNTS * scale), 1), shares)
    # Each block has a market maker, who balances longs and shorts in every market.
    rest = request.positions - hit.total - blocks * request.markets
    if rest < 0:
        most = (request.positions - hit.total) // blocks
        raise InputError(
            f"markets: expected at most {most} for {request.positions} positions, "
            f"got {request.markets}"
        )
    others = Counts.of(_holders(rest, shares), shares)
    burst_odds = share_out(generator, fills, bursts)
    order = np.arange(len(bursts.seconds))
    market_odds, cash_of, profit_of = _fitted(request.markets)
    tenths = np.rint(bursts.seconds * 10).astype(np.int64)
    return World(
        request=request,
        venue=_venue(generator, request.markets, struck, bursts.seconds),
        blocks=blocks,
        accounts=max(round(facts.ACCOUNTS * scale), 2 * (hit.accounts + others.accounts)),
        hit=hit,
        others=others,
        singles=rest - others.total,
        market_odds=market_odds,
        other_odds=_other_odds(fills, request.markets),
        burst_odds=burst_odds,
        times=facts.FIRST_LIQUIDATION + tenths * (_SECOND // 10),
        snapshot_of=order * request.snapshots // len(order),
        notional=Curve.through(facts.ACCOUNT_NOTIONAL),
        leverage=Curve.through(facts.LEVERAGE),
        profit=Curve.through(facts.RELATIVE_PROFIT),
        cash_of=cash_of,
        profit_of=profit_of,
    )


@lru_cache(maxsize=4)
def _fitted(markets: int) -> tuple[Floats, Joint, Joint]:
    """The odds of markets, of cash and of profit: the same for every size and seed."""
    fills, notional = _market_totals(markets)
    samples = [_sample(len(fills), trial) for trial in range(_TRIALS)]
    odds = fit_markets(fills, notional, samples)
    return odds, _cash_of(samples[0]), _profit_of(samples[0])


def _number_shares(markets: int) -> list[float]:
    """Share of accounts with fewer than 1, 2, ..., 78 positions; the mean is the published one.

    Nobody has positions in more than half of the markets.
    """
    tail = {
        number: 1 - 0.01 * ((number - 0.5) / _TAIL_FROM) ** -_TAIL_POWER
        for number in range(11, _LARGEST_NUMBER + 1)
    }
    known = {**facts.POSITIONS_AN_ACCOUNT, **tail}
    mean = facts.ADL_FILLS / facts.ADL_ACCOUNTS
    two_or_more = mean - 1 - sum(1 - share for share in known.values())
    return [0.0, 1 - two_or_more, *known.values()][: max(markets // 2, 1)]


def _turned(knots: tuple[tuple[float, float], ...]) -> Curve:
    """The curve of 1 / value."""
    return Curve.through([(1 - share, 1 / value) for share, value in reversed(knots)])


def _holders(positions: int, shares: list[float]) -> int:
    """The most holders whose positions fit."""
    mean = sum(1 - share for share in shares)
    holders = int(positions / mean)
    while holders and Counts.of(holders, shares).total > positions:
        holders -= 1 + (Counts.of(holders, shares).total - positions) // 4
    return max(holders, 0)


def _market_totals(markets: int) -> tuple[Floats, Floats]:
    """Fills and notional of the markets where anybody is deleveraged, at the published size."""
    struck = max(round(markets * facts.ADL_MARKETS / facts.MARKETS), 1)
    top = facts.TOP_MARKETS[:struck]
    others = facts.ADL_MARKETS - len(facts.TOP_MARKETS)
    wanted = max(struck - len(top), 0)
    places = np.linspace(0, others - 1, wanted).round().astype(np.int64)
    parts = []
    for knots, own, whole in (
        (facts.OTHER_FILLS, [float(m.fills) for m in top], float(facts.ADL_FILLS)),
        (facts.OTHER_NOTIONAL, [m.notional for m in top], facts.TOTAL_NOTIONAL),
    ):
        rest = falling(knots, others)[places]
        if wanted:
            rest *= (whole - sum(own)) / rest.sum()
        column = np.concatenate([own, rest])
        parts.append(column * whole / column.sum())
    return parts[0], parts[1]


def _sample(markets: int, trial: int) -> Sample:
    """Accounts of the published size, the same every time; who has many positions is drawn."""
    count = facts.ADL_ACCOUNTS
    places = np.arange(count)
    shares = (places + 0.5) / count
    counts = Counts.of(count, _number_shares(markets))
    generator = np.random.default_rng(trial)
    latent = many(generator, shares, generator.standard_normal(count))
    return Sample(
        money=Curve.through(facts.ACCOUNT_NOTIONAL).at(shares),
        numbers=matched(counts.at(places), latent),
    )


def _cash_of(sample: Sample) -> Joint:
    """Cash by the mean notional of an account's positions: the ratio is a leverage, turned over."""
    return fit_joint(
        sample.money / sample.numbers,
        Curve.through(facts.CASH),
        _turned(facts.LEVERAGE),
        correlation=-facts.NOTIONAL_AND_LEVERAGE,
    )


def _profit_of(sample: Sample) -> Joint:
    """Profit by an account's notional.

    Published is the mean over fills; over notional it is less, as larger positions gained less.
    """
    relative = Curve.through(facts.RELATIVE_PROFIT)
    weighted = Curve(odds=relative.odds, heights=relative.heights + np.log(_WEIGHTED))
    return fit_joint(
        sample.money,
        Curve.through(facts.PROFIT),
        weighted,
        correlation=facts.NOTIONAL_AND_PROFIT,
    )


def _other_odds(fills: Floats, markets: int) -> Floats:
    """Chance of each market for positions that are not deleveraged: flatter, and everywhere."""
    weights = np.concatenate([fills, np.full(markets - len(fills), np.median(fills))]) ** 0.8
    odds: Floats = weights / weights.sum()
    return odds


def _venue(generator: np.random.Generator, markets: int, struck: int, seconds: Floats) -> Venue:
    """Names, lots and prices: a fall by a tenth, its bottom in the middle, half of it regained."""
    top = facts.TOP_MARKETS[:markets]
    others = markets - len(top)
    digits = len(str(markets))
    names = [m.name for m in top]
    names += [f"ALT{place:0{digits}d}" for place in range(len(top) + 1, markets + 1)]
    drawn = np.exp(generator.uniform(np.log(0.002), np.log(200.0), others))
    price = np.concatenate([[m.price for m in top], drawn])
    reach = np.concatenate([np.full(min(len(top), 2), 0.04), np.full(markets, 0.08)])[:markets]
    path = _path(seconds)
    prices = np.rint(price * (1 + np.outer(path, reach)) * 10**PRICE_PLACES)
    before = np.rint(price * (1 + np.outer(_path(seconds - 3), reach)) * 10**PRICE_PLACES)
    share = [facts.LONG_SHARE.get(name, facts.LONG_SHARE[""]) for name in names]
    return Venue(
        names=tuple(names),
        lot_places=np.clip(np.ceil(np.log10(price / _LOT_VALUE)), 0, 6).astype(np.int64),
        max_leverage=np.array([m.max_leverage for m in top] + [5] * others, dtype=np.int64),
        long_share=np.where(np.arange(markets) < struck, share, 0.0),
        prices=np.maximum(prices, 1).astype(np.int64),
        previous=np.maximum(before, 1).astype(np.int64),
    )


def _path(seconds: Floats) -> Floats:
    """The way of prices around the average of the fills, -1 at the bottom."""
    bends = ((0, 1.5), (61.7, 0.6), (131, -0.2), (200, -0.7), (262, -1.0), (446, 0.2), (714, 0.6))
    at, height = np.array(bends).T
    path: Floats = np.interp(seconds, at, height)
    return path
