"""The journal against bare SQLite, in the same run.

    python benches/bench_journal.py
    python benches/bench_journal.py --pairs 21 --commits 200 --folder FOLDER

Bare SQLite writes the very rows that the journal wrote, into the same table with the same index
and pragmas. It neither spells, hashes, checks nor applies anything. The ratio is the median over
alternating pairs of bare time over ours; the goal is 0.8 or more. `--reopen N` writes N commands, a
snapshot and a tail of 10,000 more, and times the opening, and the full replay.
"""

import argparse
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from deleverage.ledger import Booking, Entry, Journal, Ledger, Request, verify
from deleverage.ledger.store import PRAGMAS, TABLES

GOAL = 0.8
POSTINGS = 100
TAIL = 10_000
ACCOUNTS = [f"trader:{number}" for number in range(1000)]

Write = Callable[[list[Request]], None]


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


def write_bare(bare: sqlite3.Connection, transactions: list[list[Entry]]) -> None:
    """Write rows, so many a transaction; one row alone is a transaction by itself."""
    for rows in transactions:
        if len(rows) > 1:
            bare.execute("BEGIN IMMEDIATE")
        for row in rows:
            bare.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        if len(rows) > 1:
            bare.execute("COMMIT")


def write_ours(journal: Journal[Ledger], transactions: list[list[Request]]) -> None:
    """Write the same through the journal and its ledger."""
    for requests in transactions:
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
    """Time alternating pairs of one shape: (commands a transaction, postings a command)."""
    commands, postings = shape
    ours, theirs, rows = [], [], list[Entry]()
    with (
        Journal.open(folder / f"{name}-ours", Booking()) as journal,
        closing(open_bare(folder / f"{name}-bare")) as bare,
    ):
        journal.execute("open", "open", 0, {"accounts": ACCOUNTS})
        number = 0
        for _ in range(pairs):
            after, transactions = journal.head.sequence, []
            for _ in range(commits):
                transactions.append([request(number + n, postings) for n in range(commands)])
                number += commands
            ours.append(seconds(lambda t=transactions: write_ours(journal, t)))  # type: ignore[misc]
            rows = list(journal.entries(after))
            groups = [rows[at : at + commands] for at in range(0, len(rows), commands)]
            theirs.append(seconds(lambda g=groups: write_bare(bare, g)))  # type: ignore[misc]
    ratio = statistics.median(bare / our for bare, our in zip(theirs, ours, strict=True))
    each, bare_each = (statistics.median(times) / commits * 1e6 for times in (ours, theirs))
    size = sum(len(row.body) for row in rows) // len(rows)
    print(
        f"{name:<28} body {size:>6,} B   ours {each:>8.1f} us   bare {bare_each:>8.1f} us   "
        f"ratio {ratio:.2f} (goal {GOAL})   {1e6 / each * commands * postings:>9,.0f} postings/s"
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
