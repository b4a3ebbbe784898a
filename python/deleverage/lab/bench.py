"""The measurements behind `deleverage bench`: this machine against the floor, and the peers.

    report = run(10_000_000, threads=(1, 0), rounds=21, progress=print)
    write_readme(report, Path("benches/README.md"))

Every figure is taken in this process on synthetic books of one seed, except for memory, which is
measured in fresh processes. Nothing is asserted about time: a goal that is missed is reported.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from deleverage.errors import InputError
from deleverage.lab.bench_book import measure_book
from deleverage.lab.bench_cases import CASES
from deleverage.lab.bench_frames import measure_frames
from deleverage.lab.bench_growth import measure_growth, sizes_up_to
from deleverage.lab.bench_journal import measure_journal
from deleverage.lab.bench_memory import measure_memory
from deleverage.lab.bench_peers import (
    load,
    measure_lights_peer,
    measure_rank_peer,
    measure_select_peers,
    peers_folder,
)
from deleverage.lab.bench_policies import WINNERS, measure_policies, measure_policy_peers
from deleverage.lab.bench_queue import (
    GROUPED,
    MANY_MARKETS,
    SOME_MARKETS,
    UNGROUPED,
    measure_lights,
    measure_rank,
    measure_spread,
)
from deleverage.lab.bench_replay import measure_replay
from deleverage.lab.bench_report import Measurement, Report, write_readme
from deleverage.lab.bench_select import measure_select
from deleverage.lab.bench_ticks import measure_ticks
from deleverage.lab.bench_timing import cores, this_machine
from deleverage.lab.books import Book, generate

__all__ = ["KEPT", "SECTIONS", "Report", "run", "write_readme"]

#: Parts of a run, in the order they are taken.
SECTIONS = (
    *("select", "peers", "lights", "rank", "distributions"),
    *("policies", "memory", "frames", "journal", "replay"),
    *("ticks", "book", "growth"),
)

#: Parts that measure a book kept between ticks.
KEPT = ("ticks", "book", "growth")

_FEWEST_POSITIONS = 1_000
_QUICK_ROUNDS = 5
_PEER_ROUNDS = 5
"""Calls of each peer: they take seconds, and the goals leave room for noise."""
_FILE_ROUNDS = 3


def run(
    positions: int = 10_000_000,
    *,
    threads: tuple[int, ...] = (1, 0),
    rounds: int = 21,
    quick: bool = False,
    progress: Callable[[str], None] | None = None,
    sections: tuple[str, ...] = SECTIONS,
    seed: int = 0,
    largest: int = 0,
) -> Report:
    """Measure everything and report it.

    Args:
        positions: rows of each book, at least 1,000.
        threads: thread counts to measure; 0 stands for all cores.
        rounds: alternating pairs of each line against the floor; goals are judged from 21 on.
        quick: 5 pairs at most, one rule for the peers: figures to look at, not to judge by.
        progress: called with a sentence before each part.
        sections: some of `SECTIONS`.
        seed: of the books.
        largest: rows of the largest book of `growth`; 100,000,000 take 17 GiB. 0: `positions`.

    Returns:
        The report.

    Raises:
        InputError: an argument is out of range.
        InvariantError: a peer returned another answer than ours.
    """
    _check(positions, threads, rounds, sections)
    counts = tuple(dict.fromkeys(count or cores() for count in threads))
    plan = _Run(
        positions=positions,
        threads=counts,
        rounds=min(rounds, _QUICK_ROUNDS) if quick else rounds,
        quick=quick,
        seed=seed,
        largest=largest,
        progress=progress or (lambda _: None),
    )
    machine = this_machine()
    taken_at = datetime.now(tz=UTC).isoformat(timespec="seconds")
    start = time.perf_counter()
    lines = [line for name in SECTIONS if name in sections for line in plan.section(name)]
    return Report(
        machine=machine,
        taken_at=taken_at,
        positions=positions,
        threads=counts,
        rounds=plan.rounds,
        is_quick=quick,
        seed=seed,
        seconds=time.perf_counter() - start,
        measurements=tuple(lines),
        skipped=tuple(dict.fromkeys(plan.skipped)),
    )


def _check(
    positions: int, threads: tuple[int, ...], rounds: int, sections: tuple[str, ...]
) -> None:
    if positions < _FEWEST_POSITIONS:
        raise InputError(f"positions: expected at least {_FEWEST_POSITIONS}, got {positions}")
    if not threads or min(threads) < 0:
        raise InputError(f"threads: expected counts of 0 (all) or more, got {threads}")
    if rounds < 1:
        raise InputError(f"rounds: expected at least 1, got {rounds}")
    unknown = [name for name in sections if name not in SECTIONS]
    if unknown:
        raise InputError(f"sections: expected some of {', '.join(SECTIONS)}, got {unknown[0]}")


class _Run:
    """The books of a run, drawn when first needed, and its sections."""

    def __init__(
        self,
        *,
        positions: int,
        threads: tuple[int, ...],
        rounds: int,
        quick: bool,
        seed: int,
        largest: int,
        progress: Callable[[str], None],
    ) -> None:
        self.rounds = rounds
        self.skipped: list[str] = []
        self._positions = positions
        self._threads = threads
        self._quick = quick
        self._seed = seed
        self._largest = largest
        self._progress = progress
        self._books: dict[int, Book] = {}

    def section(self, name: str) -> Iterator[Measurement]:
        """Measure one section."""
        measure: dict[str, Callable[[], Iterator[Measurement]]] = {
            "select": self._select,
            "peers": self._peers,
            "lights": self._lights,
            "rank": self._rank,
            "distributions": self._distributions,
            "policies": self._policies,
            "memory": self._memory,
            "frames": self._frames,
            "journal": self._journal,
            "replay": self._replay,
            "ticks": self._ticks,
            "book": self._kept,
            "growth": self._growth,
        }
        return measure[name]()

    def _book(self, markets: int) -> Book:
        if markets not in self._books:
            self._progress(f"drawing {self._positions:,} positions over {markets:,} markets")
            self._books[markets] = generate(self._positions, seed=self._seed, markets=markets)
        return self._books[markets]

    def _select(self) -> Iterator[Measurement]:
        return measure_select(
            self._book(1), threads=self._threads, rounds=self.rounds, progress=self._progress
        )

    def _lights(self) -> Iterator[Measurement]:
        for markets in (SOME_MARKETS, MANY_MARKETS):
            yield from measure_lights(
                self._book(markets),
                threads=self._threads,
                rounds=self.rounds,
                progress=self._progress,
            )
        del self._books[MANY_MARKETS]

    def _rank(self) -> Iterator[Measurement]:
        self._progress("rank")
        return measure_rank(self._book(1), threads=self._threads, rounds=min(self.rounds, 7))

    def _distributions(self) -> Iterator[Measurement]:
        return measure_spread(
            self._book(1), self._book(SOME_MARKETS), rounds=self.rounds, progress=self._progress
        )

    def _policies(self) -> Iterator[Measurement]:
        return measure_policies(
            self._positions,
            threads=self._threads,
            rounds=self.rounds,
            seed=self._seed,
            progress=self._progress,
        )

    def _memory(self) -> Iterator[Measurement]:
        return measure_memory(
            self._book(1),
            self._book(SOME_MARKETS),
            threads=self._threads,
            progress=self._progress,
        )

    def _frames(self) -> Iterator[Measurement]:
        return measure_frames(
            self._book(1),
            rounds=self.rounds,
            file_rounds=min(self.rounds, _FILE_ROUNDS),
            progress=self._progress,
        )

    def _journal(self) -> Iterator[Measurement]:
        return measure_journal(
            self._book(1), rounds=self.rounds, quick=self._quick, progress=self._progress
        )

    def _replay(self) -> Iterator[Measurement]:
        return measure_replay(
            self._positions,
            rounds=min(self.rounds, _FILE_ROUNDS),
            seed=self._seed,
            progress=self._progress,
        )

    def _ticks(self) -> Iterator[Measurement]:
        return measure_ticks(
            self._book(1),
            folder=self._loaded_peers(),
            rounds=self.rounds,
            quick=self._quick,
            progress=self._progress,
        )

    def _kept(self) -> Iterator[Measurement]:
        return measure_book(
            self._book(1), self._book(SOME_MARKETS), rounds=self.rounds, progress=self._progress
        )

    def _growth(self) -> Iterator[Measurement]:
        self._books.clear()
        return measure_growth(
            sizes_up_to(self._positions, self._largest),
            seed=self._seed,
            rounds=self.rounds,
            quick=self._quick,
            progress=self._progress,
        )

    def _loaded_peers(self) -> Path | None:
        """The folder of the peers; None, and a line of what is left out, where they cannot run."""
        folder = peers_folder()
        if folder is None:
            self.skipped.append("peers: their files are in the source tree, not in the package")
            return None
        try:
            load(folder, "duckdb_window")
        except ImportError as missing:
            self.skipped.append(f"peers: {missing.name} is not installed (extra `bench`)")
            return None
        return folder

    def _peers(self) -> Iterator[Measurement]:
        folder = self._loaded_peers()
        if folder is None:
            return
        rounds = min(self.rounds, 3 if self._quick else _PEER_ROUNDS)
        yield from measure_select_peers(
            self._book(1),
            folder,
            case_names=("bitmex",) if self._quick else tuple(CASES),
            rounds=rounds,
            progress=self._progress,
        )
        self._progress("peer polars_rank")
        yield measure_rank_peer(self._book(1), folder, rounds=rounds)
        self._progress("peer polars_lights")
        book = self._book(SOME_MARKETS)
        yield measure_lights_peer(book, folder, layout=GROUPED, rounds=rounds)
        yield measure_lights_peer(book.shuffled(), folder, layout=UNGROUPED, rounds=rounds)
        yield from measure_policy_peers(
            folder,
            winners=min(WINNERS, self._positions),
            rounds=rounds,
            seed=self._seed,
            progress=self._progress,
        )
