"""The journal against bare SQLite, in the same run.

    python benches/bench_journal.py
    python benches/bench_journal.py --pairs 21 --commits 200 --folder FOLDER

Bare SQLite writes the very rows that the journal wrote, into the same table with the same index
and pragmas, commit after commit in turn with the journal. It neither spells, hashes, checks nor
applies anything. A pair is so many commits of each; the ratio is the median over the pairs of bare
time over ours, each the median of its commits; the goal is 0.8 or more. The slower the disk syncs,
the nearer to 1 it comes, so it says little without the bare time beside it.

`--reopen N` writes N commands, a snapshot and a tail of 10,000 more, and times the opening, and the
full replay.
"""

import argparse
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from deleverage.ledger import Booking, Entry, Journal, Ledger, Request, verify
from deleverage.ledger.store import PRAGMAS, TABLES

GOAL = 0.8
POSTINGS = 100
TAIL = 10_000
ACCOUNTS = [f"trader:{number}" for number in range(1000)]


def request(number: int, postings: int) -> Request:
    """A command whose event has so many postings, and what decided beside them."""
    lines = [
        [ACCOUNTS[(number + n) % len(ACCOUNTS)], "USDT", (1000 + n // 2) * (1 if n % 2 else -1)]
        for n in range(postings)
    ]
    return Request(f"command-{number}", "post", number, {"postings": lines, "plan": "ab" * 32})


def open_bare(path: Path) -> sqlite3.Connection:
    """Bare SQLite with the journal's table, index and pragmas."""
    bare = sqlite3.connect(path, isolation_level=None)
    for statement in (*PRAGMAS, *TABLES):
        bare.execute(statement)
    return bare


def write_bare(bare: sqlite3.Connection, rows: list[Entry]) -> None:
    """Write rows in one transaction; one row alone is a transaction by itself."""
    if len(rows) > 1:
        bare.execute("BEGIN IMMEDIATE")
    for row in rows:
        bare.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    if len(rows) > 1:
        bare.execute("COMMIT")


def write_ours(journal: Journal[Ledger], requests: list[Request]) -> None:
    """Write the same through the journal and its ledger."""
    if len(requests) > 1:
        journal.execute_many(requests)
    else:
        journal.execute(*requests[0])


def seconds(work: Callable[[], None]) -> float:
    """How long a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(folder: Path, name: str, shape: tuple[int, int], pairs: int, commits: int) -> None:
    """Time pairs of one shape: (commands a transaction, postings a command)."""
    commands, postings = shape
    ratios, each, bare_each, rows = [], [], [], list[Entry]()
    with (
        Journal.open(folder / f"{name}-ours", Booking()) as journal,
        closing(open_bare(folder / f"{name}-bare")) as bare,
    ):
        journal.execute("open", "open", 0, {"accounts": ACCOUNTS})
        for _ in range(pairs):
            ours, theirs = [], []
            for _ in range(commits):
                after = journal.head.sequence
                requests = [request(after + n, postings) for n in range(commands)]
                ours.append(seconds(partial(write_ours, journal, requests)))
                rows = list(journal.entries(after))
                theirs.append(seconds(partial(write_bare, bare, rows)))
            each.append(statistics.median(ours) * 1e6)
            bare_each.append(statistics.median(theirs) * 1e6)
            ratios.append(bare_each[-1] / each[-1])
    ratio, mine, other = map(statistics.median, (ratios, each, bare_each))
    size = sum(len(row.body) for row in rows) // len(rows)
    print(
        f"{name:<28} body {size:>6,} B   ours {mine:>8.1f} us   bare {other:>8.1f} us   "
        f"ratio {ratio:.2f} (goal {GOAL})   {1e6 / mine * commands * postings:>9,.0f} postings/s"
    )


def reopen(folder: Path, commands: int) -> None:
    """Time opening from a snapshot and a tail, and the replay of everything."""
    path, step = folder / "long", 1000
    with Journal.open(path, Booking()) as journal:
        journal.execute("open", "open", 0, {"accounts": ACCOUNTS})
        for first in range(0, commands + TAIL, step):
            if first == commands:
                journal.snapshot()
            journal.execute_many([request(first + n, 2) for n in range(step)])
        head, state = journal.head, journal.state_hash()
    opened = seconds(lambda: Journal.open(path, Booking(), receipt=head).close())
    start = time.perf_counter()
    found = verify(path, head, Booking())
    replayed = time.perf_counter() - start
    assert (found.is_intact, found.state_hash) == (True, state)
    print(
        f"{head.sequence:,} commands, {path.stat().st_size >> 20:,} MiB: opened from a snapshot "
        f"and {TAIL:,} in {opened:.1f} s; verified with a full replay in {replayed:.1f} s, "
        f"{head.sequence / replayed:,.0f} commands/s"
    )


def main() -> None:
    """Measure every shape and print a line for each."""
    parser = argparse.ArgumentParser(description="The journal against bare SQLite.")
    parser.add_argument("--pairs", type=int, default=21)
    parser.add_argument("--commits", type=int, default=100)
    parser.add_argument("--reopen", type=int, default=0, metavar="COMMANDS")
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        print(f"load before {os.getloadavg()[0]:.2f}, SQLite {sqlite3.sqlite_version}")
        shapes = {"single, 2 postings": (1, 2), "single, 100 postings": (1, POSTINGS)}
        shapes |= {"100 commands of 1 pair": (POSTINGS, 2)}
        for title, shape in shapes.items():
            commits = options.commits if shape[0] == 1 else max(options.commits // 10, 1)
            compare(folder, title, shape, options.pairs, commits)
        if options.reopen:
            reopen(folder, options.reopen)


if __name__ == "__main__":
    main()
