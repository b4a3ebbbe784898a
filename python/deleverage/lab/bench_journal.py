"""The journal against bare SQLite that writes the same bytes, and how soon it is back.

Bare SQLite gets the rows ready-made: nothing is encoded, hashed, looked up or applied. It writes
them to a file of its own with the journal's tables, indexes and settings, and so syncs as often.
Commands and rows are made right before the clock starts, as they come to a venue.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Self, TypeVar

from deleverage.errors import InvariantError
from deleverage.lab.bench_engine import measure_engine
from deleverage.lab.bench_report import Goal, Measurement, measured
from deleverage.lab.bench_timing import milliseconds, repeat
from deleverage.lab.books import Book
from deleverage.ledger import Booking, Entry, Journal, Ledger, Request
from deleverage.ledger.store import PRAGMAS, TABLES

__all__ = ["measure_journal"]

_NEARLY_BARE = Goal(limit=0.8, is_speedup=True)
_ACCOUNTS = 5_000
_COMMITS_A_CALL = 10
_COMMANDS_A_BATCH = 50
_COMMANDS_A_TRANSACTION = 1_000
_REOPENINGS = 3
_COMMANDS = 50_000
_TAIL = 10_000
_QUICK_SHARE = 25
_INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

Thing = TypeVar("Thing")


def measure_journal(
    book: Book,
    *,
    rounds: int,
    quick: bool,
    progress: Callable[[str], None],
    folder: Path | None = None,
) -> Iterator[Measurement]:
    """Measure commits against bare SQLite, how long a journal takes to open, and an engine's cuts.

    Args:
        book: positions of one market, for the engine.
        rounds: alternating pairs of a commit line.
        quick: a short journal to open.
        progress: told before each part.
        folder: where the files are made and removed again; None is the system's own.

    Yields:
        The lines, section `journal`.

    Raises:
        InvariantError: the two files do not hold the same bytes.
    """
    with tempfile.TemporaryDirectory(dir=folder) as made:
        where = Path(made)
        for postings in (2, 100):
            progress(f"journal: one commit a command of {postings} postings")
            yield _commits(where / f"single-{postings}", postings, rounds)
        progress(f"journal: one commit for {_COMMANDS_A_BATCH} commands")
        yield _batches(where / "batch", rounds)
        share = _QUICK_SHARE if quick else 1
        progress(f"journal: opening {_COMMANDS // share:,} commands")
        yield from _openings(where / "openings.db", _COMMANDS // share, _TAIL // share)
        yield from measure_engine(book, rounds=rounds, progress=progress, folder=where)


def _commits(path: Path, postings: int, rounds: int) -> Measurement:
    """Commit command by command."""
    requests = _requests((rounds + 1) * _COMMITS_A_CALL, postings)
    with _Pair(path, requests, _COMMITS_A_CALL) as pair:
        theirs, ours = pair.alternate(pair.bare_singly, pair.ours_singly, rounds)
    each = median(ours) / _COMMITS_A_CALL
    return _against_bare(
        f"{_COMMITS_A_CALL} commits of a command of {postings} postings",
        ours,
        theirs,
        len(requests),
        f"{each:.3f} ms a commit, temporary files in {path.parent.parent}",
    )


def _batches(path: Path, rounds: int) -> Measurement:
    """Commit many commands together."""
    requests = _requests((rounds + 1) * _COMMANDS_A_BATCH, 2)
    with _Pair(path, requests, _COMMANDS_A_BATCH) as pair:
        theirs, ours = pair.alternate(pair.bare_together, pair.ours_together, rounds)
    return _against_bare(
        f"one commit of {_COMMANDS_A_BATCH} commands of 2 postings",
        ours,
        theirs,
        len(requests),
        f"{_COMMANDS_A_BATCH / median(ours) * 1e3:,.0f} commands a second",
    )


def _openings(path: Path, commands: int, tail: int) -> Iterator[Measurement]:
    """Open a journal from its first entry, and from a snapshot with a tail after it."""
    requests = _requests(commands + tail, 2)
    with Journal.open(path, Booking()) as journal:
        _write(journal, requests[:commands])
    taken = repeat(lambda: _open(path), _REOPENINGS)
    speed = commands / median(taken) * 1e3
    yield _opening(f"open, replaying all {commands:,} commands", taken, commands, speed)
    with Journal.open(path, Booking()) as journal:
        journal.snapshot()
        _write(journal, requests[commands:])
    taken = repeat(lambda: _open(path), _REOPENINGS)
    case = f"open from a snapshot, replaying the last {tail:,} commands"
    yield _opening(case, taken, commands + tail, tail / median(taken) * 1e3)


class _Pair:
    """A journal and a bare file that are handed the same commands, some with each call."""

    def __init__(self, path: Path, requests: Sequence[Request], size: int) -> None:
        with Journal.open(path.with_suffix(".rows"), Booking()) as journal:
            _write(journal, requests)
            opening, *rows = journal.entries()
        self._parts = zip(_parts(requests, size), _parts(rows, size), strict=True)
        self._requests: Sequence[Request] = ()
        self._rows: Sequence[Entry] = ()
        self._journal = Journal.open(path.with_suffix(".ours"), Booking())
        _write(self._journal, ())
        self._bare = sqlite3.connect(path.with_suffix(".bare"), isolation_level=None)
        for statement in (*PRAGMAS, *TABLES):
            self._bare.execute(statement)
        self._cursor = self._bare.cursor()
        self._cursor.execute(_INSERT, opening)

    def alternate(
        self, first: Callable[[], object], second: Callable[[], object], rounds: int
    ) -> tuple[list[float], list[float]]:
        """Give the milliseconds of pairs of calls, after one pair that does not count."""
        pairs = []
        for _ in range(rounds + 1):
            requests, rows = next(self._parts)
            self._requests, self._rows = deepcopy(requests), [_anew(row) for row in rows]
            pairs.append((milliseconds(first), milliseconds(second)))
        return [one for one, _ in pairs[1:]], [two for _, two in pairs[1:]]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._journal, closing(self._bare):
            bare = map(Entry._make, self._bare.execute("SELECT * FROM entries ORDER BY seq"))
            if list(self._journal.entries()) != list(bare):
                raise InvariantError("journal: expected the rows of the bare file, got others")

    def ours_singly(self) -> None:
        for key, kind, time_ns, body in self._requests:
            self._journal.execute(key, kind, time_ns, body)

    def bare_singly(self) -> None:
        for row in self._rows:
            self._cursor.execute(_INSERT, row)

    def ours_together(self) -> None:
        self._journal.execute_many(self._requests)

    def bare_together(self) -> None:
        self._cursor.execute("BEGIN IMMEDIATE")
        self._cursor.executemany(_INSERT, self._rows)
        self._cursor.execute("COMMIT")


def _anew(row: Entry) -> Entry:
    """Give the same row with bytes of its own."""
    body, result = (bytes(bytearray(data)) for data in (row.body, row.result))
    return row._replace(body=body, result=result)


def _requests(count: int, postings: int) -> list[Request]:
    """Bookings between traders, each trader once a booking."""
    return [
        Request(
            f"command {number}", Booking.POST, number, {"postings": _postings(number, postings)}
        )
        for number in range(1, count + 1)
    ]


def _postings(number: int, count: int) -> list[list[object]]:
    """Credits and debits in turn, of a stretch of the traders that moves on."""
    return [
        [_name(number * 37 + place), "USDT", (-1) ** place * (1_000 + number + place // 2)]
        for place in range(count)
    ]


def _name(number: int) -> str:
    return f"trader:{number % _ACCOUNTS:06d}"


def _write(journal: Journal[Ledger], requests: Sequence[Request]) -> None:
    """Open the traders' accounts if they are not, and run commands in large transactions."""
    accounts = [_name(number) for number in range(_ACCOUNTS)]
    journal.execute("open", Booking.OPEN, 0, {"accounts": accounts})
    for part in _parts(requests, _COMMANDS_A_TRANSACTION):
        journal.execute_many(part)


def _parts(things: Sequence[Thing], size: int) -> list[Sequence[Thing]]:
    return [things[start : start + size] for start in range(0, len(things), size)]


def _open(path: Path) -> None:
    with Journal.open(path, Booking()):
        pass


def _against_bare(
    case: str, ours: list[float], theirs: list[float], entries: int, note: str
) -> Measurement:
    return measured(
        section="journal",
        case=case,
        distribution="",
        positions=entries,
        threads=1,
        simd="",
        ours=ours,
        reference="bare SQLite, the same rows",
        theirs=theirs,
        goal=_NEARLY_BARE,
        note=note,
    )


def _opening(case: str, taken: list[float], entries: int, speed: float) -> Measurement:
    return measured(
        section="journal",
        case=case,
        distribution="",
        positions=entries,
        threads=1,
        simd="",
        ours=taken,
        note=f"{speed:,.0f} commands a second, the check of the file's pages included",
    )
