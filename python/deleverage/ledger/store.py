"""The journal's file: embedded SQLite, one writer, every commit on the disk before it counts.

Write-ahead log with `synchronous=FULL` (a commit returns after the log is synced), STRICT tables,
an application id and a schema number. A second SQLite file beside the journal carries the writer's
lock: it is held by the operating system and gone when the process is, however it ends, while
readers go on.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from deleverage.errors import InputError, StateError
from deleverage.ledger.entries import Entry

__all__ = [
    "APPLICATION_ID",
    "FILE_ERRORS",
    "LOCK_SUFFIX",
    "PRAGMAS",
    "SCHEMA",
    "TABLES",
    "SnapshotRow",
    "Store",
    "fault",
    "pages_fault",
]

APPLICATION_ID = 0x41444C4A
# 1 was never released: its results and positions were spelt otherwise.
SCHEMA = 2
LOCK_SUFFIX = "-lock"

_ENTRIES = (
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, "
    "time_ns INTEGER NOT NULL, body BLOB NOT NULL, result BLOB NOT NULL, previous BLOB NOT NULL, "
    "hash BLOB NOT NULL) STRICT"
)
_SNAPSHOT_ROWS = (
    "CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, state BLOB NOT NULL, "
    "state_hash BLOB NOT NULL, head BLOB NOT NULL) STRICT"
)
# What reading a damaged file may raise; SQLite's message can hold bytes that are no text.
FILE_ERRORS = (sqlite3.Error, UnicodeError)

TABLES = (_ENTRIES, _SNAPSHOT_ROWS)
# What makes a commit durable; the last two matter where a plain sync stops at the drive's cache.
PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA fullfsync=ON",
    "PRAGMA checkpoint_fullfsync=ON",
)
_GUARDS = ("PRAGMA trusted_schema=OFF", "PRAGMA cell_size_check=ON")

_INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_BY_KEY = "SELECT * FROM entries WHERE key = ?"
_BY_SEQUENCE = "SELECT * FROM entries WHERE seq = ?"
_AFTER = "SELECT * FROM entries WHERE seq > ? ORDER BY seq"
_LAST = "SELECT * FROM entries ORDER BY seq DESC LIMIT 1"
_SNAPSHOTS = "SELECT seq, state, state_hash, head FROM snapshots ORDER BY seq DESC"
_KEEP = (
    "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)"
)


class SnapshotRow(NamedTuple):
    """A kept state.

    Attributes:
        sequence: the last entry it contains; 0 is the start.
        state: canonical bytes.
        state_hash: SHA-256 of the bytes.
        head: hash of that entry.
    """

    sequence: int
    state: bytes
    state_hash: bytes
    head: bytes


class Store:
    """One open journal file. Every method may raise `sqlite3.Error`; the openers translate it.

    Args:
        path: the file.
        connection: an open connection to it.
        lock: the connection that holds the writer's lock; None for a reader.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: sqlite3.Connection | None
    ) -> None:
        self.path = path
        self._connection = connection
        self._inserting = connection.cursor()
        self._lock = lock
        self._copies: TemporaryDirectory[str] | None = None
        self._seen: tuple[int, int, int] | None = None

    @classmethod
    def writer(cls, path: str | Path, page_limit: int | None = None) -> "Store":
        """Open the file for writing, and make it if it is not there.

        Args:
            path: the file; its folder must exist.
            page_limit: most pages the main file may have; None is SQLite's own limit.

        Raises:
            InputError: the folder is not there, or the file is something else than a journal.
            StateError: another writer holds it, its schema is newer, or it cannot be opened.
        """
        where = Path(path).resolve()
        if not where.parent.is_dir() or where.is_dir():
            raise InputError(f"journal: expected a file in an existing folder, got {where}")
        lock = _take_lock(where)
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(where, isolation_level=None, timeout=0)
            wrong = _prepare(connection, page_limit)
        except FILE_ERRORS as error:
            wrong = f"expected to open it, got {error}"
        if connection is None or wrong:
            for held in filter(None, (connection, lock)):
                held.close()
            raise StateError(f"journal {where}: {wrong}")
        return cls(where, connection, lock)

    @classmethod
    def reader(cls, path: str | Path) -> "Store":
        """Open the file for reading only, beside a writer if there is one; nothing is left there.

        The whole reading is one transaction: what is written meanwhile is not seen. Where no log
        and no shared memory is beside the file, nobody has it open and SQLite is told so, or it
        would put both there. A log alone was left behind, and is read as a copy.

        Raises:
            InputError: there is no such file.
            StateError: it cannot be opened.
        """
        where = Path(path).resolve()
        if not where.is_file():
            raise InputError(f"journal: expected a file, got {where}")
        log, shared = (where.with_name(where.name + end) for end in ("-wal", "-shm"))
        copies: TemporaryDirectory[str] | None = None
        source, mode = where, "mode=ro"
        try:
            seen = _seen(where)
            if not log.exists() or (not shared.exists() and log.stat().st_size == 0):
                mode = "mode=ro&immutable=1"
            elif not shared.exists():
                copies = TemporaryDirectory(prefix="deleverage-")
                source = Path(copies.name, where.name)
                shutil.copyfile(where, source)
                shutil.copyfile(log, source.with_name(log.name))
            uri = f"{source.as_uri()}?{mode}"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"journal {where}: expected to open it, got {error}") from error
        store = cls(where, connection, None)
        store._copies, store._seen = copies, seen if mode != "mode=ro" else None
        return store

    def disturbed(self) -> str:
        """Why what was read may be no one moment of the file; empty if it is."""
        if self._seen is None or self._seen == _seen(self.path):
            return ""
        return "expected nobody to write to it while it was read, got a writer; verify it again"

    def size_fault(self) -> str:
        """Why a file that nobody has open is not just its pages; empty if it is, or is open."""
        if self._seen is None or self._copies is not None:
            return ""
        pages, wide, (_, size, _) = (
            self.setting("page_count"),
            self.setting("page_size"),
            self._seen,
        )
        wanted = int(pages) * int(wide)
        return "" if size == wanted else f"expected a file of {wanted} bytes, got {size}"

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for checks of the file as a whole."""
        return self._connection

    def close(self) -> None:
        """Close the file and let go of the lock."""
        try:
            self._connection.close()
        finally:
            if self._lock is not None:
                self._lock.close()
            if self._copies is not None:
                self._copies.cleanup()

    def setting(self, name: str) -> int | str:
        """What a PRAGMA of the live connection says."""
        (value,) = self._connection.execute(f"PRAGMA {name}").fetchone()
        return value if isinstance(value, int) else str(value)

    def insert(self, entry: Entry) -> None:
        """Write an entry: durable on return, or with the transaction that is open.

        Raises:
            sqlite3.IntegrityError: its key, or its place, is taken; nothing is written.
        """
        self._inserting.execute(_INSERT, entry)

    def begin(self) -> None:
        """Open a transaction for several entries."""
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the open transaction durable."""
        self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        """Leave the open transaction, if SQLite has not left it already."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def find(self, key: str) -> Entry | None:
        """The entry of a key."""
        row = self._connection.execute(_BY_KEY, (key,)).fetchone()
        return None if row is None else Entry._make(row)

    def at(self, sequence: int) -> Entry | None:
        """The entry at a place."""
        row = self._connection.execute(_BY_SEQUENCE, (sequence,)).fetchone()
        return None if row is None else Entry._make(row)

    def last(self) -> Entry | None:
        """The newest entry."""
        row = self._connection.execute(_LAST).fetchone()
        return None if row is None else Entry._make(row)

    def after(self, sequence: int) -> Iterator[Entry]:
        """Every entry after a place, in order."""
        return map(Entry._make, self._connection.execute(_AFTER, (sequence,)))

    def snapshots(self) -> Iterator[SnapshotRow]:
        """Every kept state, the newest first."""
        return map(SnapshotRow._make, self._connection.execute(_SNAPSHOTS))

    def keep(self, row: SnapshotRow, count: int) -> None:
        """Write a state and drop all but the newest, in one transaction."""
        self.begin()
        self._connection.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)", row)
        self._connection.execute(_KEEP, (count,))
        self.commit()


def fault(connection: sqlite3.Connection) -> str:
    """Why a file is no journal of this schema; empty if it is one."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        return f"expected a journal, got application id {application:#x}"
    if schema > SCHEMA:
        return (
            f"expected schema {SCHEMA}, got the newer schema {schema}; "
            "open it with a newer deleverage"
        )
    if schema != SCHEMA:
        return (
            f"expected schema {SCHEMA}, got {schema}; read it with the deleverage that wrote it, "
            "or play its commands again"
        )
    found = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql <> ''")]
    return (
        "" if sorted(map(str, found)) == sorted(TABLES) else "expected its own tables, got others"
    )


def pages_fault(connection: sqlite3.Connection) -> str:
    """What is wrong with the file's pages and indexes; empty if nothing is."""
    (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    return "" if said == "ok" else str(said)


def _seen(path: Path) -> tuple[int, int, int]:
    """What tells a file from the same one written to."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _take_lock(path: Path) -> sqlite3.Connection:
    """Hold the writer's lock until the connection is closed or the process ends."""
    beside = path.with_name(path.name + LOCK_SUFFIX)
    try:
        lock = sqlite3.connect(beside, isolation_level=None, timeout=0)
    except sqlite3.Error as error:
        raise StateError(f"journal {path}: expected to open {beside}, got {error}") from error
    try:
        lock.execute("PRAGMA journal_mode=MEMORY")
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        raise StateError(
            f"journal {path}: expected to be its only writer, got {error}; "
            "close the other writer, or read with verify"
        ) from error
    return lock


def _prepare(connection: sqlite3.Connection, page_limit: int | None) -> str:
    """Set a writer's connection up; nothing is changed in a file that is no journal.

    Returns:
        Why the file cannot be used; empty if it can.
    """
    for pragma in _GUARDS:
        connection.execute(pragma)
    is_new = _is_empty(connection)
    if not is_new and (wrong := fault(connection)):
        return wrong
    for pragma in PRAGMAS:
        connection.execute(pragma)
    if page_limit is not None:
        connection.execute(f"PRAGMA max_page_count={int(page_limit)}")
    if is_new:
        _create(connection)
    return ""


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file is new: nothing in it, not even another program's mark."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return not (application or schema or objects)


def _create(connection: sqlite3.Connection) -> None:
    """Write tables, application id and schema number in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for table in TABLES:
        connection.execute(table)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA}")
    connection.execute("COMMIT")
