"""When it happens: bursts in time, and which markets each of them strikes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deleverage.lab import generate_facts as facts

__all__ = ["Bursts", "burst_times", "share_out"]

Floats = NDArray[np.float64]

_REACH = 2.15
_REACH_POWER = 0.5
_FITTING_ROUNDS = 200
_LEAST = 4.0
_MOST = 900.0  # less than the smallest published one
_PATTERN = (0.15, 0.34, 1.0)  # where bursts stand in each three steps: fitted to the gaps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bursts:
    """The bursts, in time.

    Attributes:
        seconds: (b,) after the first liquidation, rising.
        fills: (b,) fills at the published size of the world.
    """

    seconds: Floats
    fills: Floats


def burst_times() -> Bursts:
    """Give the hundred bursts: the ten largest as published, ninety others between them.

    Returns:
        The bursts; the same every time.
    """
    taken = {seconds for seconds, _ in facts.BURSTS}
    rows = [(seconds, float(fills)) for seconds, fills in facts.BURSTS]
    for stretch in facts.OTHER_BURSTS:
        sizes = stretch.ratio ** np.arange(stretch.bursts)
        sizes = np.maximum(sizes * stretch.fills / sizes.sum(), _LEAST)
        sizes[0] -= sizes.sum() - stretch.fills
        over = max(sizes[0] - _MOST, 0.0)
        sizes[:2] += (-over, over)
        # Large and small in turn: neither end of a stretch has all of the large ones.
        turn = np.argsort(np.arange(stretch.bursts) * 7 % (stretch.bursts + 1), kind="stable")
        step = (stretch.end - stretch.start) / stretch.bursts
        for place, size in enumerate(sizes[turn]):
            in_step = _PATTERN[place % len(_PATTERN)] if place + 1 < stretch.bursts else 1.0
            seconds = place // len(_PATTERN) * len(_PATTERN) + in_step * len(_PATTERN)
            seconds = round(min(stretch.start + step * seconds, stretch.end), 1)
            while seconds in taken:
                seconds = round(seconds - 0.7, 1)
            taken.add(seconds)
            rows.append((seconds, float(size)))
    rows.sort()
    return Bursts(
        seconds=np.array([seconds for seconds, _ in rows]),
        fills=np.array([fills for _, fills in rows]),
    )


def share_out(generator: np.random.Generator, fills: Floats, bursts: Bursts) -> Floats:
    """Give how the fills of each market fall on the bursts.

    A market with f fills is struck by about 2.15 sqrt(f) of the bursts (fitted to the published
    number of partial fills, one a market and burst), the larger bursts more likely. Then rows
    and columns are brought to their sums in turn.

    Args:
        generator: draws which bursts strike a market.
        fills: (m,) fills of each market at the published size, largest markets first.
        bursts: when, and how large.

    Returns:
        (m, b) probabilities; each row adds up to 1.
    """
    markets, count = len(fills), len(bursts.fills)
    reach = np.clip(np.rint(_REACH * fills**_REACH_POWER), 1, count).astype(np.int64)
    keys = generator.gumbel(size=(markets, count)) + 0.7 * np.log(bursts.fills)
    keys[:, 0] += 2.0  # the first burst is a third of everything
    limit = np.full(count, min(facts.LARGEST_BURST_MARKETS, markets))
    limit[0] = min(facts.FIRST_BURST_MARKETS, markets)
    places = np.argsort(np.argsort(-keys, axis=1), axis=1)
    is_struck = places < reach[:, None]
    # A burst has room for so many markets: the largest go first.
    is_struck &= np.cumsum(is_struck, axis=0) <= limit
    is_struck[~is_struck.any(axis=1), int(np.argmax(bursts.fills[1:])) + 1 if count > 1 else 0] = (
        True
    )
    table = np.where(is_struck, bursts.fills, 0.0)
    for _ in range(_FITTING_ROUNDS):
        columns = table.sum(axis=0)
        table *= np.divide(bursts.fills, columns, out=np.zeros(count), where=columns > 0)
        table *= (fills / table.sum(axis=1))[:, None]
    shares: Floats = table / table.sum(axis=1, keepdims=True)
    return shares
