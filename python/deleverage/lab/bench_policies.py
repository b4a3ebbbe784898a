"""The allocation policies against the floor, and against research code on as many winners.

A figure starts at the `int64` columns and ends at the units taken of every row. Each policy is
measured twice: as it is called, with the answer in fresh memory, and with `out`, an array that is
written again; the floor reads the policy's columns and writes nothing. The lines "least" show what
of that could be reached: the columns summed, read again, and one value a row written.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

from deleverage.errors import InvariantError
from deleverage.lab.bench_peers import load
from deleverage.lab.bench_report import Goal, Measurement, measured
from deleverage.lab.bench_timing import Floor, alternate, repeat
from deleverage.lab.books import Integers
from deleverage.policy import Contracts, Queue
from deleverage.policy.shares import Rounding, Shared, least, share
from deleverage.ranking import FLOOR_VARIANTS

__all__ = ["LEAST_BOOK", "SIZES", "WINNERS", "measure_policies", "measure_policy_peers", "sizes_of"]

WINNERS = 19_230
"""Accounts that the published replication allocates among."""

_PART = 3
"""One part in so many of what all candidates hold is taken."""
_GIANT = 2**50
_LEVERAGES = (2, 3, 5, 10, 20, 50)
_LINEAR = Goal(limit=3.0)
_WHOLE = Goal(limit=8.0)
_FASTER = Goal(limit=50.0, is_speedup=True)
_PEER_ROUNDS = 3

SIZES: dict[str, Callable[[np.random.Generator, int], Integers]] = {
    "log_normal": lambda draws, count: _whole(draws.lognormal(9.0, 1.6, count)),
    "ties": lambda draws, count: draws.choice(
        np.array([3_000, 6_000, 15_000, 30_000, 60_000, 150_000], np.int64), count
    ),
    "one giant": lambda draws, count: _with_giant(_whole(draws.lognormal(9.0, 1.6, count))),
    "all equal": lambda draws, count: np.full(count, 12_345, np.int64) + 0 * draws.integers(1),
}
"""How sizes are drawn; every one but the first is there to find a weak spot."""

LEAST_BOOK = "log_normal"
"""The book beside which the least is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One policy on one book: its columns, its call, and what it is to reach."""

    name: str
    columns: tuple[Integers, ...]
    call: Callable[[Integers | None], object]
    goal: Goal | None


def _whole(values: np.ndarray) -> Integers:
    """Whole lots, at least one and below the giant."""
    whole: Integers = np.clip(values, 1, _GIANT).astype(np.int64)
    return whole


def _with_giant(sizes: Integers) -> Integers:
    """One row that outweighs all others, somewhere among them."""
    sizes[len(sizes) // 3] = _GIANT
    return sizes


def sizes_of(kind: str, count: int, seed: int) -> Integers:
    """Draw what candidates hold.

    Args:
        kind: one of `SIZES`.
        count: candidates.
        seed: the same arguments give the same sizes.

    Returns:
        (count,) int64 lots, above zero.
    """
    return SIZES[kind](np.random.default_rng([seed, 4]), count)


def measure_policies(
    positions: int,
    *,
    threads: tuple[int, ...],
    rounds: int,
    seed: int,
    progress: Callable[[str], None],
) -> Iterator[Measurement]:
    """Hold the policies against the floor over the columns that each reads.

    Args:
        positions: candidates of one side.
        threads: thread counts.
        rounds: alternating pairs a line.
        seed: of the books.
        progress: told before each book.

    Yields:
        The lines, section `policies`.
    """
    out = np.zeros(positions, np.int64)
    for kind in SIZES:
        progress(f"policies: {kind}")
        lots = sizes_of(kind, positions, seed)
        for count in threads:
            # Time without a decision depends on no distribution.
            bare = _least(lots, count) if kind == LEAST_BOOK else ()
            for case in (*bare, *_cases(lots, seed, count)):
                for into, where in ((None, ""), (out, ", out=")):
                    line = partial(_line, case, kind, count, rounds)
                    yield line(where=where, run=partial(case.call, into))
        yield _queue_line(lots, kind, seed)


def _cases(lots: Integers, seed: int, threads: int) -> Iterator[_Case]:
    """Draw caps and equities for the sizes, and set the policies' calls up."""
    draws = np.random.default_rng([seed, 5])
    part = draws.choice(np.array([100, 250, 500, 1000], np.int64), len(lots))
    cap = np.maximum(1, lots // 1000 * part)
    equity = np.maximum(1, lots // draws.choice(np.array(_LEVERAGES, np.int64), len(lots)))
    amount = int(lots.sum()) // _PART + 1
    capped_amount = int(np.minimum(cap, lots).sum()) // _PART + 1

    def pro_rata(out: Integers | None) -> object:
        return share(lots, amount, threads=threads, out=out)

    def capped(out: Integers | None) -> object:
        return share(lots, capped_amount, cap=cap, within_weight=True, threads=threads, out=out)

    def draining(out: Integers | None) -> object:
        kept = Shared.KEPT
        return share(equity, amount, cap=lots, shared=kept, threads=threads, out=out)

    def min_max(out: Integers | None) -> object:
        return share(lots, amount, rounding=Rounding.SMALLEST, threads=threads, out=out)

    yield _Case(name="pro rata", columns=(lots,), call=pro_rata, goal=_LINEAR)
    yield _Case(name="capped", columns=(lots, cap), call=capped, goal=_LINEAR)
    yield _Case(name="leverage draining", columns=(lots, equity), call=draining, goal=_LINEAR)
    yield _Case(name="min-max", columns=(lots,), call=min_max, goal=_WHOLE)


def _least(lots: Integers, threads: int) -> Iterator[_Case]:
    """Set up what no policy can do without, for one column and for two."""
    for name, columns in (("one column", (lots,)), ("two columns", (lots, lots[::-1].copy()))):
        variant = FLOOR_VARIANTS.index(Floor(columns, threads=threads).variant)
        call = partial(_read_twice, columns, variant, threads)
        yield _Case(name=f"least, {name}", columns=columns, call=call, goal=None)


def _read_twice(
    columns: tuple[Integers, ...], variant: int, threads: int, out: Integers | None
) -> object:
    return least(columns, variant=variant, threads=threads, out=out)


def _line(
    case: _Case, kind: str, threads: int, rounds: int, *, where: str, run: Callable[[], object]
) -> Measurement:
    floor = Floor(case.columns, threads=threads)
    theirs, ours = alternate(floor, run, rounds)
    return measured(
        section="policies",
        case=case.name + where,
        distribution=kind,
        positions=len(case.columns[0]),
        threads=threads,
        ours=ours,
        reference=f"floor ({floor.variant})",
        theirs=theirs,
        goal=case.goal,
    )


def _queue_line(lots: Integers, kind: str, seed: int) -> Measurement:
    """Take the head of a queue whose places are known; `select` ranks and takes at once."""
    rank = np.random.default_rng([seed, 6]).permutation(len(lots)) + 1
    amount = int(lots.sum()) // _PART + 1
    floor = Floor((lots, rank), threads=1)
    theirs, ours = alternate(
        floor, lambda: Queue().allocate(Contracts(lots=lots, rank=rank), amount), _PEER_ROUNDS
    )
    return measured(
        section="policies",
        case="queue by given places",
        distribution=kind,
        positions=len(lots),
        threads=1,
        ours=ours,
        reference=f"floor ({floor.variant})",
        theirs=theirs,
        note="in NumPy; a ranked side is cut by `select`",
    )


def measure_policy_peers(
    folder: Path,
    *,
    winners: int = WINNERS,
    rounds: int,
    seed: int,
    progress: Callable[[str], None],
) -> Iterator[Measurement]:
    """Hold three policies against the published formulations, and their largest haircuts too.

    Args:
        folder: of the peers.
        winners: accounts to allocate among.
        rounds: calls of each peer.
        seed: of the winners.
        progress: told before it begins.

    Yields:
        The lines, section `peers`.

    Raises:
        InvariantError: a peer's largest haircut is smaller than ours.
    """
    progress(f"peer numpy_policies, {winners:,} winners")
    peer = load(folder, "numpy_policies")
    profit = peer.winners(winners, seed)
    for name, ours, theirs, unit in _peer_calls(peer, profit):
        note = _objective(name, ours, theirs, profit, unit) if unit else "money, not whole units"
        yield measured(
            section="peers",
            case=f"{name}, {winners:,} winners",
            distribution="log_normal",
            positions=winners,
            threads=1,
            ours=repeat(ours, max(rounds, 21)),
            reference="numpy_policies",
            theirs=repeat(theirs, rounds),
            goal=_FASTER,
            rounds_to_judge=rounds,
            note=note,
        )


_Call = Callable[[], np.ndarray]


def _peer_calls(peer: ModuleType, profit: Integers) -> Iterator[tuple[str, _Call, _Call, int]]:
    """Give what is asked, ours, theirs, and the money units of a whole unit, 0 without one."""
    amount = int(profit.sum()) // _PART
    money = profit / 100
    holdings = [peer.Holding(f"account {row}", float(held)) for row, held in enumerate(profit)]
    dollars = profit // 100
    due = peer.close_for_money(money / _PART, 1.0, dollars).sum()
    whole = partial(share, rounding=Rounding.SMALLEST, threads=1)

    yield (
        "capped pro rata in money",
        lambda: share(profit, amount, threads=1).taken,
        lambda: peer.share_money(amount / 100, money),
        0,
    )
    yield (
        "min-max in contracts",
        lambda: whole(profit, amount).taken,
        lambda: peer.close_contracts(holdings, amount),
        1,
    )
    yield (
        "min-max in lots of a dollar",
        lambda: whole(profit, int(due), cap=dollars).taken,
        lambda: peer.close_for_money(money / _PART, 1.0, dollars),
        100,
    )


def _objective(name: str, ours: _Call, theirs: _Call, profit: Integers, unit: int) -> str:
    """Say what the largest haircuts are; ours may not be the larger."""
    least, most = (float((call() * unit / profit).max()) for call in (ours, theirs))
    if least > most * (1 + 1e-12):
        raise InvariantError(f"{name}: expected a largest haircut up to {most}, got {least}")
    return f"largest haircut {least:.6%} against {most:.6%}"
