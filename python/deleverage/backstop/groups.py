"""Pools that answer for each other, and markets that are taken out of a pool.

What pools that are empty together still have is shared out among the markets that lost it, and the
price at which each of those is closed follows from its share. A market that is taken out goes with
its position and its history into a pool of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from deleverage.backstop.bankruptcy import Bankruptcy, Clamp, Exact, exact, gain_of, of_pool
from deleverage.backstop.pool import Pool, PoolScope
from deleverage.backstop.settlement import Book, Posting, check_balanced
from deleverage.backstop.window import whole
from deleverage.errors import InputError, StateError

__all__ = [
    "Carved",
    "Share",
    "carve_out",
    "drawdown_bankruptcy",
    "group_bankruptcies",
    "share_loss",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How pools that are empty together share what they still have among the losing markets.

    Attributes:
        common: base fund plus every positive profit, money units, not below 0.
        limits: what each losing market may lose, by market, money units, rounded down.
        remainder: `common` less the limits: units that stay in the fund.
    """

    common: int
    limits: Mapping[str, int]
    remainder: int


def share_loss(base: int, pnl: Mapping[str, int]) -> Share:
    """Share the positive balances of a pool group out among its losing markets.

    `L_i = S x |PnL_i| / sum |PnL_neg|` with `S = base + sum of the positive PnL`: our reading of
    the rule that Bybit states in words (help centre 2025-11; API text 2025-09).

    Args:
        base: the fund apart from the markets, money units.
        pnl: profit and loss by market, money units.

    Raises:
        InputError: a figure is not an int.
        StateError: the group is still above zero, so nothing is to be shared.
    """
    whole("base", base)
    total = base + sum(whole(f"pnl of {market}", value) for market, value in pnl.items())
    if total > 0:
        raise StateError(f"pool group: expected a balance at or below 0, got {total}")
    common = max(0, base + sum(value for value in pnl.values() if value > 0))
    losses = {market: -value for market, value in sorted(pnl.items()) if value < 0}
    lost = sum(losses.values())
    limits = {market: common * loss // lost for market, loss in losses.items()}
    return Share(common=common, limits=limits, remainder=common - sum(limits.values()))


def drawdown_bankruptcy(
    pool: Pool, market: str, *, line: Exact, length: int, clamp: Clamp = Clamp.ALLOWED
) -> Bankruptcy:
    """Give the bankruptcy of a pool's position where its market's drawdown is exactly the line.

    There the market's profit is `line x pool's peak` below its own peak; what it has realised,
    margins that came with positions among it, is out of the position's reach. For a market that
    had brought nothing this is `bankruptcy.most_loss` with the margin (Bybit's own example:
    0.30 x 20,000 + 1,000).

    Args:
        pool: at its marks.
        market: of the position.
        line: drawdown as a positive share of the pool's peak.
        length: of the window, ns.
        clamp: what the edition does below zero.

    Raises:
        InputError: no position, or no such window.
    """
    held = pool.inventory(market)
    if held.rate is None or held.lots == 0:
        raise InputError(f"pool {pool.name}: expected a position in {market}, got none")
    peak = pool.balance_window(length).peak
    loss = exact(line, "line") * peak + held.realised - pool.pnl_window(market, length).peak
    return of_pool(
        lots=held.lots,
        entry_value=held.entry_value,
        loss=Fraction(loss),
        is_inverse=held.rate.is_inverse,
        clamp=clamp,
    )


def group_bankruptcies(
    pools: Sequence[Pool], *, clamp: Clamp = Clamp.ALLOWED
) -> dict[str, Bankruptcy]:
    """Give the bankruptcy of every losing position of pools that are empty together.

    A losing market may lose its share of what the group still has (`share_loss`); what it has
    realised is lost already, its open position may lose the rest. Once every one of them is closed
    there the group holds what rounding left, less than one unit a market.

    Args:
        pools: of one settlement asset, at their marks.
        clamp: what the edition does with a bankruptcy value below zero.

    Returns:
        The bankruptcy by market; markets without a position are not among them.

    Raises:
        InputError: no pools, or two that stand behind one market.
        StateError: the group is still above zero.
    """
    held = [each for pool in pools for each in pool.inventories]
    names = [each.market for each in held]
    if not pools or len(set(names)) != len(names):
        raise InputError(f"pool group: expected pools of distinct markets, got {names}")
    pnl = {each.market: each.pnl for each in held}
    base = sum(pool.balance for pool in pools) - sum(pnl.values())
    limits = share_loss(base, pnl).limits
    return {
        each.market: of_pool(
            lots=each.lots,
            entry_value=each.entry_value,
            loss=limits[each.market] + each.realised,
            is_inverse=each.rate.is_inverse,
            clamp=clamp,
        )
        for each in held
        if each.market in limits and each.lots and each.rate is not None
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Carved:
    """A pool after a market was taken out of it.

    Attributes:
        rest: the pool without the market.
        own: the market's own pool.
        postings: what went from one to the other; they add to zero.
    """

    rest: Pool
    own: Pool
    postings: tuple[Posting, ...]


def carve_out(pool: Pool, market: str, *, name: str, cash: int, asset: str, at: int) -> Carved:
    """Take a market out of a pool, with its position, its history and some money.

    The third case of Bybit's grouped pools (API text, 2025-09): the risk team may move a symbol
    into a temporary pool of its own, which is then judged by its own balance.

    Args:
        pool: the pool.
        market: what is taken out.
        name: of the new pool.
        cash: what the new pool gets, money units, 0 or more.
        asset: settlement asset.
        at: ns UTC.

    Raises:
        InputError: the pool does not stand behind the market, or stands behind it alone.
        StateError: the pool has less money than that, or time runs backwards.
    """
    if pool.scope is PoolScope.MARKET:
        raise InputError(f"pool {pool.name}: expected more than one market, got {market!r} alone")
    pool = pool.advance(at)
    moved = pool.inventory(market)
    others = tuple(each for each in pool.inventories if each.market != market)
    if whole("cash", cash, least=0) > max(0, pool.cash):
        raise StateError(f"pool {pool.name}: cash: expected at most {pool.cash}, got {cash}")
    own = Pool.open(
        name,
        at=at,
        cash=cash,
        scope=PoolScope.MARKET,
        markets=(market,),
        lengths=tuple(window.length for window in pool.balances),
        may_be_negative=pool.may_be_negative,
        publication_delay=pool.publication_delay,
        publication_period=pool.publication_period,
    )
    kept = tuple(each for each in pool.markets if each != market)
    rest = replace(pool, inventories=others, markets=kept, carved=(*pool.carved, market))
    rest = replace(rest, cash=pool.cash - cash).advance(at)
    own = replace(own, inventories=(moved,)).advance(at)
    basis = 0
    if moved.lots and moved.rate is not None:
        basis = -gain_of(moved.lots, is_inverse=moved.rate.is_inverse) * moved.entry_value
    pairs = ((Book.FUND, cash, ""), (Book.BASIS, basis, market))
    postings = tuple(
        Posting(owner=owner, book=book, asset=asset, amount=sign * amount, market=place)
        for book, amount, place in pairs
        for owner, sign in ((pool.name, -1), (name, 1))
        if amount
    )
    check_balanced(postings)
    return Carved(rest=rest, own=own, postings=postings)
