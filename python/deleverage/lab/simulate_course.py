"""The course of a simulated crash: its figures, its price path without traders, and its traders.

Linear markets, one or several. A price is a number of ticks, a quantity a number of lots, and one
money unit is one tick times one lot: what a position is worth is `lots x price`, and nothing is
ever rounded but what says so. The same course gives the same traders and the same paths.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InputError

__all__ = ["PPM", "Course", "Traders", "draw_path", "draw_paths", "draw_traders"]

Int64 = NDArray[np.int64]
PPM = 1_000_000
_LEVERAGES = (1, 2, 3, 5, 10, 20, 25, 50)
_WEIGHTS = (0.10, 0.12, 0.14, 0.18, 0.20, 0.14, 0.08, 0.04)
# A crash in three steps that overshoots, a squeeze of those who are short, and a second fall.
_JUMPS = (
    *((20, -80_000), (21, -70_000), (22, -60_000), (23, 25_000)),
    *((60, 190_000), (61, 150_000), (62, -20_000)),
    *((95, -140_000), (96, -110_000)),
)
_MOST_ACCOUNTS = 100_000
_MOST_STEPS = 100_000
_MOST_MARKETS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The figures of a crash; shares are in ppm.

    Attributes:
        seed: 0 or more.
        accounts: traders, at least 4; every second one is short.
        steps: how long it takes.
        price: at the start, ticks.
        jumps: step and signed size of each jump; the later ones show what the first has left.
        noise: largest move of a step without a jump.
        reversion: part of the gap between the price and its path that closes in a step.
        depth: lots that the book takes in a step, in quiet times.
        depth_left: part of it that is left by a jump.
        depth_recovery: part of what is missing that comes back in a step.
        impact: move of the price when the whole depth of a step is taken.
        maintenance: part of a position's value below which its account is liquidated.
        call: part of it below which a trader is called for margin.
        pool: the insurance pool at the start, money units.
        pool_start: part of that at or below which deleveraging starts.
        pool_stop: part of it at or above which deleveraging stops again.
        appetite: value that the pool holds at most, by its balance.
        income: what the market's fees bring the pool in a step, money units.
        hedged: share of the shorts that hold as many lots long: elsewhere where there is one
            market, else in the next market of the venue, over one equity (cross margin).
        markets: how many; traders are spread over them.
        follows: part of the first market's move without noise that the others take over.
    """

    seed: int = 0
    accounts: int = 400
    steps: int = 120
    price: int = 1_000_000
    jumps: tuple[tuple[int, int], ...] = _JUMPS
    noise: int = 2_500
    reversion: int = 60_000
    depth: int = 12_000
    depth_left: int = 30_000
    depth_recovery: int = 60_000
    impact: int = 15_000
    maintenance: int = 10_000
    call: int = 40_000
    pool: int = 150_000_000
    pool_start: int = 300_000
    pool_stop: int = 600_000
    appetite: int = 8_000_000
    income: int = 1_500_000
    hedged: int = 250_000
    markets: int = 1
    follows: int = 900_000

    def __post_init__(self) -> None:
        """Refuse figures that are out of range.

        Raises:
            InputError: names the figure.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "jumps" and (type(value) is not int or value < 0):
                raise InputError(f"{field.name}: expected a whole number, 0 or more, got {value!r}")
        bounds = {
            "accounts": (4, _MOST_ACCOUNTS),
            "steps": (1, _MOST_STEPS),
            "price": (1_000, 100_000_000),
            "depth": (1, 10**9),
            "impact": (0, PPM // 2),
            "noise": (0, PPM // 10),
            "maintenance": (1, PPM // 2),
            "pool": (0, 10**14),
            "markets": (1, _MOST_MARKETS),
        }
        shares = (
            *("reversion", "depth_left", "depth_recovery", "pool_start", "pool_stop"),
            *("hedged", "follows"),
        )
        for name, (least, most) in {**bounds, **dict.fromkeys(shares, (0, PPM))}.items():
            if not least <= getattr(self, name) <= most:
                raise InputError(f"{name}: expected {least} to {most}, got {getattr(self, name)}")
        if not self.maintenance <= self.call <= PPM:
            limit = f"{self.maintenance} (maintenance) to {PPM}"
            raise InputError(f"call: expected {limit}, got {self.call}")
        if self.pool_start > self.pool_stop:
            limit = f"at most pool_stop, {self.pool_stop}"
            raise InputError(f"pool_start: expected {limit}, got {self.pool_start}")
        for step, size in self.jumps:
            if not 0 <= step < self.steps or not -PPM // 2 <= size <= PPM // 2:
                limit = f"a step below {self.steps} and a size within half of the price"
                raise InputError(f"jumps: expected {limit}, got {(step, size)}")

    @property
    def start_line(self) -> int:
        """Balance of the pool at or below which deleveraging starts, money units."""
        return self.pool * self.pool_start // PPM

    @property
    def stop_line(self) -> int:
        """Balance of the pool at or above which it stops, money units."""
        return self.pool * self.pool_stop // PPM


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traders:
    """Traders before the crash, n rows; one position each.

    Attributes:
        lots: (n,) int64, signed, not 0.
        entry_value: (n,) int64, money units without sign.
        margin: (n,) int64, money behind the position without its profit.
        leverage: (n,) int64, setting, ppm.
        hedge: (n,) int64, signed lots held elsewhere; they are no collateral here.
        reserve: (n,) int64, money elsewhere that a margin call can bring in.
        market: (n,) int64, or None: all in the first.
        account: (n,) int64, whose position it is, or None: each his own, isolated.
    """

    lots: Int64
    entry_value: Int64
    margin: Int64
    leverage: Int64
    hedge: Int64
    reserve: Int64
    market: Int64 | None = None
    account: Int64 | None = None

    @property
    def markets(self) -> Int64:
        """The market of each row."""
        return np.zeros(len(self.lots), np.int64) if self.market is None else self.market

    @property
    def accounts(self) -> Int64:
        """The account of each row."""
        return np.arange(len(self.lots)) if self.account is None else self.account


def draw_traders(course: Course) -> Traders:
    """Draw the traders of a course.

    Longs have bought late and high, shorts have sold on the way: many sit on a profit. Whoever
    would be under water or near it at the start has topped up.

    Args:
        course: its figures.

    Returns:
        The traders; even rows are long, odd ones short, second legs behind them.
    """
    draw = np.random.default_rng([course.seed, 11])
    count = course.accounts
    sign = np.where(np.arange(count) % 2 == 0, 1, -1)
    size = np.clip(draw.lognormal(np.log(60.0), 1.3, count), 1, 5_000).astype(np.int64)
    entry_ppm = draw.integers(970_000, 1_060_000, count)
    entry_value = size * (course.price * entry_ppm // PPM)
    setting = draw.choice(np.array(_LEVERAGES), count, p=np.array(_WEIGHTS)) * PPM
    profit = sign * (size * course.price - entry_value)
    initial = -(-entry_value * PPM // setting)
    healthy = size * course.price // PPM * (course.call * 3 // 2)
    margin = np.maximum(initial, healthy - profit)
    is_hedged = (sign < 0) & (draw.integers(0, PPM, count) < course.hedged)
    reserve = margin * draw.integers(0, 400_000, count) // PPM
    lots = sign * size
    traders = Traders(
        lots=lots,
        entry_value=entry_value,
        margin=margin,
        leverage=setting,
        hedge=np.where(is_hedged, -lots, 0),
        reserve=reserve,
    )
    return traders if course.markets == 1 else _spread(traders, course)


def _spread(traders: Traders, course: Course) -> Traders:
    """Spread traders over the markets; a hedge is a second position of the same account.

    The second leg is entered where the first was, so the two offset each other to the unit at the
    start; it brings as much margin of its own as the price asks for.
    """
    count = len(traders.lots)
    market = np.arange(count) // 2 % course.markets
    legs = np.flatnonzero(traders.hedge)
    own, lots = np.arange(count), traders.hedge[legs]
    worth = np.abs(lots) * course.price
    second = {
        "lots": lots,
        "entry_value": worth,
        "margin": worth // PPM * (course.call * 3 // 2),
        "leverage": traders.leverage[legs],
        "hedge": np.zeros(len(legs), np.int64),
        "reserve": np.zeros(len(legs), np.int64),
        "market": (market[legs] + 1) % course.markets,
        "account": own[legs],
    }
    first = {
        **{name: getattr(traders, name) for name in list(second)[:4]},
        "hedge": np.zeros(count, np.int64),
        "reserve": traders.reserve,
        "market": market,
        "account": own,
    }
    return Traders(**{name: np.concatenate([first[name], second[name]]) for name in second})


def draw_paths(course: Course) -> list[list[int]]:
    """Draw where the prices would go if nobody were liquidated, market by market.

    Args:
        course: its figures.

    Returns:
        For each market one price a step, ticks, at least 1. The first is `draw_path`; the others
        take over a part of its jumps and have a noise of their own.
    """
    paths = [draw_path(course)]
    for market in range(1, course.markets):
        draw = np.random.default_rng([course.seed, 12, market])
        noise: list[int] = draw.integers(-course.noise, course.noise + 1, course.steps).tolist()
        jumps = {step: size * course.follows // PPM for step, size in course.jumps}
        paths.append(_walked(course, noise, jumps))
    return paths


def draw_path(course: Course) -> list[int]:
    """Draw where the first market's price would go if nobody were liquidated.

    Args:
        course: its figures.

    Returns:
        One price a step, ticks, at least 1.
    """
    draw = np.random.default_rng([course.seed, 12])
    noise: list[int] = draw.integers(-course.noise, course.noise + 1, course.steps).tolist()
    return _walked(course, noise, dict(course.jumps))


def _walked(course: Course, noise: list[int], jumps: dict[int, int]) -> list[int]:
    """Walk from the first price."""
    price, path = course.price, []
    for step, move in enumerate(noise):
        price = max(1, price * (PPM + move + jumps.get(step, 0)) // PPM)
        path.append(price)
    return path
