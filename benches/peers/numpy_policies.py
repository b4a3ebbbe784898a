"""Allocation policies the way research code has them: floats, NumPy, and a Python loop a row.

The public replication code of "Autodeleveraging as Online Learning" (arXiv 2602.15182,
pluriholonomic/autodeleveraging-analysis at aae0be86, read 2026-11-22) shares money out in rounds
with one step of Python a row, closes whole contracts by the largest remainder, and turns money
into contracts one at a time with a look at every row before each. These are formulations of the
same three methods, written anew for this comparison: the same class of algorithm and the same
arithmetic, not its text, so that a figure here stands for the method and not for its file.

    python benches/peers/numpy_policies.py --winners 19230
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_NOTHING = 1e-12
_A_MILLIONTH = 1e-6


class Holding(NamedTuple):
    """One winner's position, as a record of its own."""

    account: str
    contracts: float


def share_money(amount: float, capacity: Floats) -> Floats:
    """Share money out by capacity: in rounds, and in each round row by row up to what is left."""
    taken = np.zeros(len(capacity))
    weight = np.maximum(capacity, _NOTHING)
    missing = amount
    is_open = capacity > _NOTHING
    while missing > _NOTHING and is_open.any():
        rows = np.flatnonzero(is_open)
        parts = missing * (weight[rows] / weight[rows].sum())
        given = 0.0
        for place, row in enumerate(rows):
            room = float(capacity[row] - taken[row])
            part = min(room, float(parts[place]))
            if part > 0:
                taken[row] += part
                given += part
        missing -= given
        is_open = capacity - taken > _NOTHING
        weight[~is_open] = 0.0
    return taken


def close_contracts(holdings: Sequence[Holding], amount: int) -> Ints:
    """Close whole contracts by size: floors first, then one more by the largest remainder."""
    held = np.array([each.contracts for each in holdings])
    most = np.floor(held).astype(np.int64)
    ideal = amount * (held / held.sum())
    closed: Ints = np.minimum(np.floor(ideal).astype(np.int64), most)
    missing = amount - int(closed.sum())
    for row in np.argsort(ideal - np.floor(ideal))[::-1]:
        if missing <= 0:
            break
        if closed[row] < most[row]:
            closed[row] += 1
            missing -= 1
    return closed


def close_for_money(target: Floats, unit: float, most: Ints) -> Ints:
    """Turn money into whole contracts: again and again one of whoever lacks the largest part."""
    closed: Ints = np.minimum(np.floor(target / unit).astype(np.int64), most)
    lacking = target - closed * unit
    missing = float(target.sum() - closed.sum() * unit)
    while missing > _A_MILLIONTH:
        rows = np.flatnonzero((lacking > _A_MILLIONTH / 1000) & (closed < most))
        if not rows.size:
            break
        row = rows[np.argmax(lacking[rows] / unit)]
        closed[row] += 1
        lacking[row] -= unit
        missing -= unit
    return closed


def winners(count: int, seed: int) -> Ints:
    """Draw profits with a heavy tail, whole cents, at least one."""
    drawn = np.random.default_rng([seed, 19_230]).lognormal(9.0, 2.2, count)
    whole: Ints = np.clip(drawn, 1, 1e12).astype(np.int64)
    return whole


def _timed(run: Callable[[], npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], float]:
    start = time.perf_counter_ns()
    found = run()
    return found, (time.perf_counter_ns() - start) / 1e6


def main() -> None:
    """Run all three on one book and print a line of JSON each."""
    parser = argparse.ArgumentParser(description="Share a loss out among winners.")
    parser.add_argument("--winners", type=int, default=19_230)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    profit = winners(given.winners, given.seed)
    amount = int(profit.sum()) // 3
    holdings = [Holding(account=str(row), contracts=float(each)) for row, each in enumerate(profit)]
    money = profit / 100
    runs = {
        "share_money": lambda: share_money(amount / 100, money),
        "close_contracts": lambda: close_contracts(holdings, amount),
        "close_for_money": lambda: close_for_money(money / 3, 1.0, profit // 100),
    }
    for name, run in runs.items():
        found, milliseconds = _timed(run)
        line = {"peer": name, "milliseconds": milliseconds, "sum": float(found.sum())}
        print(json.dumps(line))


if __name__ == "__main__":
    main()
