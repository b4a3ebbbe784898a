"""The peers: runnable files beside the package, loaded by name and asked the same questions."""

import dataclasses
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from deleverage import ranking
from deleverage.errors import InvariantError
from deleverage.lab.bench_cases import CASES, Case, subject_of
from deleverage.lab.bench_report import Goal, Measurement, measured
from deleverage.lab.bench_select import SIDE, question
from deleverage.lab.bench_timing import cores, milliseconds
from deleverage.lab.books import Book
from deleverage.model.rules import Weight

__all__ = [
    "SELECT_PEERS",
    "load",
    "measure_lights_peer",
    "measure_rank_peer",
    "measure_select_peers",
    "peers_folder",
]

SELECT_PEERS = (
    "polars_top_k",
    "polars_sort",
    "duckdb_limit",
    "duckdb_window",
    "numpy_partition",
)

Answer = npt.NDArray[Any]

_SHARE = 0.001
_SMALLEST_SHARE = 0.0001
_SLOW_MILLISECONDS = 500.0
_SLOW_ROUNDS = 3
_EQUAL_SCORES = 1e-12
_SPEEDUP_SELECT = Goal(limit=6.0, is_speedup=True)
_SPEEDUP_LIGHTS = Goal(limit=12.0, is_speedup=True)
_SPEEDUP_RANK = Goal(limit=3.0, is_speedup=True)


def peers_folder() -> Path | None:
    """Return the folder of the peers, None where only the installed package is at hand.

    It is looked for in the source tree this package belongs to, then in the current directory.
    """
    for root in (Path(__file__).resolve().parents[3], Path.cwd()):
        folder = root / "benches" / "peers"
        if (folder / "peer_harness.py").exists():
            return folder
    return None


def load(folder: Path, name: str) -> ModuleType:
    """Import a peer by its file name.

    Args:
        folder: where the peers are.
        name: file name without ending.

    Returns:
        The module.

    Raises:
        ImportError: the peer's engine is not installed.
    """
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return importlib.import_module(name)


def measure_select_peers(
    book: Book,
    folder: Path,
    *,
    case_names: tuple[str, ...],
    rounds: int,
    progress: Callable[[str], None],
) -> Iterator[Measurement]:
    """Hold `select` against every peer that can be loaded, on all cores.

    Args:
        book: one market, log-normal: scores that floats can tell apart.
        folder: where the peers are.
        case_names: keys of `CASES`; the first is asked for 0.01 % too, all for 0.1 %.
        rounds: calls of each; ours and the peer's take turns. Slow peers get 3 at most.
        progress: told before each group of lines.

    Yields:
        One line for each peer, and one that holds the best of them against the goal.

    Raises:
        InvariantError: a peer returned other ids.
    """
    harness = load(folder, "peer_harness")
    columns = harness.columns_of(book)
    os.environ["PEER_THREADS"] = str(cores())
    for case in (CASES[name] for name in case_names):
        shares = (_SMALLEST_SHARE, _SHARE) if case.name == case_names[0] else (_SHARE,)
        lines: dict[float, list[Measurement]] = {share: [] for share in shares}
        for name in SELECT_PEERS:
            progress(f"peer {name}: {case.name}")
            peer = load(folder, name)
            state = peer.prepare(columns, case.peer)
            for share in shares:
                asked = harness.question_of(book, rule=case.peer, side=SIDE, share=share)
                ask = partial(peer.select, state, asked)
                lines[share].append(
                    _select_line(book, case, share, name=name, ask=ask, rounds=rounds)
                )
                yield lines[share][-1]
            del state
        for share in shares:
            yield _best(lines[share])


def _select_line(
    book: Book,
    case: Case,
    share: float,
    *,
    name: str,
    ask: Callable[[], Answer],
    rounds: int,
) -> Measurement:
    ours = question(subject_of(book, case), share, threads=cores())
    head = ours().rows
    _same(name, np.sort(book.position_id[head]), np.sort(ask()))
    if milliseconds(ask) > _SLOW_MILLISECONDS:
        rounds = min(rounds, _SLOW_ROUNDS)
    pairs = [(milliseconds(ours), milliseconds(ask)) for _ in range(rounds)]
    return measured(
        section="peers",
        case=f"select {case.name}, {share:.2%}",
        distribution=book.distribution.value,
        positions=book.positions,
        selected=len(head),
        threads=cores(),
        ours=[mine for mine, _ in pairs],
        reference=name,
        theirs=[peer for _, peer in pairs],
        goal=_SPEEDUP_SELECT,
        rounds_to_judge=rounds + 1,
    )


def _best(lines: list[Measurement]) -> Measurement:
    """The line of the fastest peer again, this time judged."""
    fastest = min(lines, key=lambda line: line.theirs.median if line.theirs else np.inf)
    ratio = fastest.ratio or 0.0
    return dataclasses.replace(
        fastest,
        reference=f"best: {fastest.reference}",
        is_met=ratio >= _SPEEDUP_SELECT.limit,
    )


def measure_lights_peer(book: Book, folder: Path, *, layout: str, rounds: int) -> Measurement:
    """Hold `lights` by entries against Polars' `rank().over()` on the same rows, on all cores.

    Args:
        book: many markets, log-normal.
        folder: where the peers are.
        layout: how the rows lie, for the report.
        rounds: calls of each, in turns.

    Returns:
        The line.

    Raises:
        InvariantError: the lights differ.
    """
    harness, peer = load(folder, "peer_harness"), load(folder, "polars_lights")
    subject = subject_of(book, CASES["bitmex"])
    ours = partial(
        ranking.lights,
        subject.columns,
        subject.rates,
        rule=subject.case.rule,
        weight=Weight.ENTRIES,
        threads=cores(),
    )
    theirs = partial(peer.lights, peer.prepare_book(harness.columns_of(book)))
    _same("polars_lights", ours(), theirs())
    pairs = [(milliseconds(ours), milliseconds(theirs)) for _ in range(rounds)]
    return measured(
        section="peers",
        case=f"lights bitmex by entries, {book.markets:,} markets",
        distribution=f"{book.distribution.value}, {layout}",
        positions=book.positions,
        threads=cores(),
        ours=[mine for mine, _ in pairs],
        reference="polars_lights",
        theirs=[peer for _, peer in pairs],
        goal=_SPEEDUP_LIGHTS,
        rounds_to_judge=1,
    )


def measure_rank_peer(book: Book, folder: Path, *, rounds: int) -> Measurement:
    """Hold `rank` against a Polars sort by the same score, on all cores.

    Args:
        book: one market, log-normal.
        folder: where the peers are.
        rounds: calls of each, in turns.

    Returns:
        The line.

    Raises:
        InvariantError: the orders differ.
    """
    harness, peer = load(folder, "peer_harness"), load(folder, "polars_rank")
    subject = subject_of(book, CASES["bitmex"])
    ours = partial(
        ranking.rank,
        subject.columns,
        subject.rates[0],
        rule=subject.case.rule,
        threads=cores(),
    )
    theirs = partial(peer.rank, peer.prepare_book(harness.columns_of(book)))
    swapped = _same_queues(book, ours(), theirs())
    pairs = [(milliseconds(ours), milliseconds(theirs)) for _ in range(rounds)]
    return measured(
        section="peers",
        case="rank bitmex, both sides",
        distribution=book.distribution.value,
        positions=book.positions,
        threads=cores(),
        ours=[mine for mine, _ in pairs],
        reference="polars_rank",
        theirs=[peer for _, peer in pairs],
        goal=_SPEEDUP_RANK,
        rounds_to_judge=1,
        note="ours: rank, score and reason of every row; theirs: one sort"
        + (f", {swapped} rows of equal score in another order" if swapped else ""),
    )


def _same_queues(book: Book, ours: ranking.Ranking, queue: Answer) -> int:
    """Check that each place of each side has the same score; rows whose place differs.

    The peer knows no tie keys, so rows of equal score may stand in another order.
    """
    swapped = 0
    for side in (1, -1):
        theirs = queue[book.lots[queue] * side > 0]
        rows = np.flatnonzero(book.lots * side > 0)
        expected = rows[np.argsort(ours.rank[rows])]
        differing = theirs != expected
        swapped += int(np.count_nonzero(differing))
        scores = ours.score[expected[differing]], ours.score[theirs[differing]]
        if not np.allclose(*scores, rtol=_EQUAL_SCORES, atol=0):
            raise InvariantError(f"polars_rank: expected our order but for ties, on side {side}")
    return swapped


def _same(name: str, ours: Answer, theirs: Answer) -> None:
    if not np.array_equal(ours, theirs):
        differing = int(np.count_nonzero(ours != theirs)) if len(ours) == len(theirs) else "all"
        raise InvariantError(
            f"{name}: expected the same answer as ours, got {len(theirs)} values for {len(ours)}, "
            f"{differing} differing"
        )
