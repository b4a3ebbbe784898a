"""The durable journal: a command is checked, made durable, applied, and then acknowledged.

`apply` is pure, so trying a command *is* checking it: the new state is worked out first, the entry
with its result is made durable, and only then does the new state come into force and the receipt
go out. What is refused leaves neither a row nor a trace in the state. If the disk fails, nothing is
acknowledged and the journal stops: only the file knows what became durable, so it must be opened
again, and a retry with the same key finds out.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Generic, NoReturn, TypeVar

from deleverage.errors import AdlError, InputError, InvariantError, StateError
from deleverage.ledger.canonical import Value, decode, spell
from deleverage.ledger.chain import FIRST_TIME_NS, Chain, snapshot_fault
from deleverage.ledger.entries import (
    GENESIS,
    Acknowledgement,
    Applier,
    Command,
    Entry,
    Receipt,
    Request,
    chain_hash,
)
from deleverage.ledger.store import FILE_ERRORS, SnapshotRow, Store, pages_fault

__all__ = ["Journal"]

State = TypeVar("State")

_TIME_LIMIT = 1 << 63
_SNAPSHOTS_KEPT = 2


class Journal(Generic[State]):
    """One writer's open journal and the state its commands add up to.

    Use `Journal.open`, and close it, or use it as a context manager. It belongs to the thread that
    opened it.
    """

    def __init__(self, store: Store, applier: Applier[State], chain: Chain[State]) -> None:
        self._store = store
        self._applier = applier
        self._chain = chain
        self._stopped = ""

    @classmethod
    def open(
        cls,
        path: str | Path,
        applier: Applier[State],
        *,
        receipt: Receipt | None = None,
        page_limit: int | None = None,
    ) -> "Journal[State]":
        """Open a journal, or make one, and bring the state up to its last entry.

        The file's pages and indexes are checked, then the newest sound snapshot is loaded and the
        entries after it are checked and replayed. `verify` checks the older ones too.

        Args:
            path: the file; its folder must exist.
            applier: how commands change the state.
            receipt: an acknowledgement that must be in the journal, against a lost tail.
            page_limit: most pages of 4096 bytes the main file may have; None is no limit.

        Raises:
            InputError: the folder is not there.
            StateError: another writer holds the file, it is no journal or of a newer schema, an
                entry is damaged, a replay differs, or the receipt is not in it.
        """
        store = Store.writer(path, page_limit)
        try:
            chain = _restored(store, applier)
            _must_hold(store, receipt)
        except FILE_ERRORS as error:
            store.close()
            raise StateError(f"journal {store.path}: expected to read it, got {error}") from error
        except BaseException:
            store.close()
            raise
        return cls(store, applier, chain)

    def __enter__(self) -> "Journal[State]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; closing twice changes nothing.

        Raises:
            StateError: the file could not be closed; what was acknowledged is durable all the same.
        """
        self._stopped = self._stopped or "it is closed"
        try:
            self._store.close()
        except sqlite3.Error as error:
            path = self._store.path
            raise StateError(f"journal {path}: expected to close it, got {error}") from error

    @property
    def state(self) -> State:
        """The state after the last acknowledged command."""
        return self._current(self._chain)

    @property
    def head(self) -> Receipt:
        """The receipt of the last acknowledged command; sequence 0 if there is none."""
        return self._chain.receipt

    @property
    def time_ns(self) -> int | None:
        """Event time of the last command, int64 nanoseconds UTC; None if there is none."""
        return self._chain.time_ns if self._chain.sequence else None

    def state_hash(self) -> str:
        """The SHA-256 of the state's canonical bytes, in hex."""
        return sha256(self._applier.dump(self.state)).hexdigest()

    def execute(self, key: str, kind: str, time_ns: int, body: object) -> Acknowledgement:
        """Check a command, make it durable, apply it, acknowledge it.

        Args:
            key: unique name of the command; a retry with the same kind and body gets the first
                result and changes nothing, whatever its time.
            kind: what the command is, for the applier.
            time_ns: event time, int64 nanoseconds UTC, not before the last entry's.
            body: a dict of whole numbers, strings, lists and dicts.

        Raises:
            InputError: the request is malformed, or the applier refuses it; nothing is written.
            StateError: the key was used for something else, time runs backwards, the applier
                refuses it (nothing is written), or the disk failed (the journal stops).
            InvariantError: a guarantee would break; nothing is written and the journal stops.
        """
        self._must_run()
        here = self._chain
        try:
            there, acknowledgement = self._step(here, Request(key, kind, time_ns, body))
        except sqlite3.Error as error:
            self._stop(error)
        self._chain = there
        return acknowledgement

    def execute_many(self, requests: Iterable[Request]) -> tuple[Acknowledgement, ...]:
        """Run several commands in one durable transaction: all of them, or none.

        Args:
            requests: in order; each is checked against the state the ones before it leave.

        Raises:
            InputError: as `execute`; nothing of the batch is written.
            StateError: as `execute`; nothing of the batch is acknowledged.
            InvariantError: as `execute`; nothing of the batch is written.
        """
        self._must_run()
        batch = tuple(requests)
        chain, acknowledgements = self._chain, []
        try:
            self._store.begin()
            for request in batch:
                chain, acknowledgement = self._step(chain, request)
                acknowledgements.append(acknowledgement)
            self._store.commit()
        except sqlite3.Error as error:
            self._undo(self._store.roll_back)
            self._stop(error)
        except BaseException:
            self._undo(self._store.roll_back)
            raise
        self._chain = chain
        return tuple(acknowledgements)

    def snapshot(self, keep: int = _SNAPSHOTS_KEPT) -> Receipt:
        """Keep the state, so that the next opening replays only what comes after.

        Args:
            keep: how many of the newest snapshots stay in the file, at least 1.

        Returns:
            The receipt of the last entry the snapshot contains.

        Raises:
            InputError: `keep` is below 1.
            StateError: the disk failed; the journal stops.
        """
        self._must_run()
        if keep < 1:
            raise InputError(f"keep: expected at least 1 snapshot, got {keep}")
        chain = self._chain
        data = self._applier.dump(self._current(chain))
        row = SnapshotRow(chain.sequence, data, sha256(data).digest(), chain.head)
        try:
            self._store.keep(row, keep)
        except sqlite3.Error as error:
            self._undo(self._store.roll_back)
            self._stop(error)
        return chain.receipt

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Every entry after a sequence number, in order, as the file has it now."""
        self._must_run()
        return self._store.after(after)

    def setting(self, name: str) -> int | str:
        """What a PRAGMA of the live connection says, for instance `synchronous` (2 is FULL)."""
        self._must_run()
        return self._store.setting(name)

    def _step(self, here: Chain[State], request: Request) -> tuple[Chain[State], Acknowledgement]:
        """One command on top of a place: its row is written, durable or in the transaction.

        A key is looked up only where the command cannot be new: trying it changes nothing, and
        the table itself refuses a key twice.
        """
        data, body = _checked(request)
        try:
            return self._try(here, request, data, body)
        except (AdlError, sqlite3.IntegrityError) as error:
            known = self._store.find(request.key)
            if known is not None:
                return here, self._repeated(known, request.kind, data)
            if isinstance(error, InvariantError):
                self._stopped = f"command {request.key!r} would break a guarantee ({error})"
            raise

    def _try(
        self, here: Chain[State], request: Request, data: bytes, body: dict[str, Value]
    ) -> tuple[Chain[State], Acknowledgement]:
        """Work a new command out, and write its row."""
        key, kind, time_ns, _ = request
        if time_ns < here.time_ns:
            raise StateError(
                f"command {key!r}, time_ns: expected {here.time_ns} or later, got {time_ns}; "
                "time never runs backwards"
            )
        sequence = here.sequence + 1
        command = Command(sequence, key, kind, time_ns, body)
        state, answer = self._applier.apply(self._current(here), command)
        said, result = spell(answer, f"result of {kind}")
        digest = chain_hash(
            sequence=sequence,
            key=key,
            kind=kind,
            time_ns=time_ns,
            body=data,
            result=said,
            previous=here.head,
        )
        entry = Entry(sequence, key, kind, time_ns, data, said, here.head, digest)
        there = Chain(self._applier, state, sequence, digest, time_ns)
        done = Acknowledgement(receipt=there.receipt, result=result, is_repeat=False)
        # Last, so that nothing is left to do between what is durable and its acknowledgement.
        self._store.insert(entry)
        return there, done

    def _repeated(self, known: Entry, kind: str, body: bytes) -> Acknowledgement:
        """The first result of a key, if the command is the same."""
        if not known.is_sound:
            raise StateError(
                f"journal {self._store.path}: expected entry {known.sequence} to have the hash of "
                "what it says, got another; run verify"
            )
        if (known.kind, known.body) != (kind, body):
            raise StateError(
                f"command {known.key!r}: expected the kind and body of entry {known.sequence}, "
                "got others; a new command needs a new key"
            )
        return Acknowledgement(
            receipt=known.receipt, result=decode(known.result, "result"), is_repeat=True
        )

    def _current(self, chain: Chain[State]) -> State:
        if chain.state is None:
            raise InvariantError("journal: expected a state, got none")
        return chain.state

    def _must_run(self) -> None:
        if self._stopped:
            raise StateError(
                f"journal {self._store.path}: expected it to be running, but {self._stopped}; "
                "open it again"
            )

    def _stop(self, error: sqlite3.Error) -> NoReturn:
        """After a failed write only the file knows what is durable."""
        self._stopped = f"the disk failed ({error})"
        raise StateError(
            f"journal {self._store.path}: expected a durable write, got {error}; nothing was "
            "acknowledged: open it again and repeat the command with its key"
        ) from error

    @staticmethod
    def _undo(roll_back: Callable[[], None]) -> None:
        """Roll back; a file that cannot even do that rolls back when it is opened again."""
        try:
            roll_back()
        except sqlite3.Error:
            return


def _checked(request: Request) -> tuple[bytes, dict[str, Value]]:
    """The canonical bytes of a request's body, and the body as a replay will read it."""
    key, kind, time_ns, body = request
    _must_be_printable("key", key)
    _must_be_printable("kind", kind)
    if type(time_ns) is not int or not -_TIME_LIMIT <= time_ns < _TIME_LIMIT:
        raise InputError(
            f"command {key!r}, time_ns: expected int64 nanoseconds UTC, got {time_ns!r}"
        )
    if not isinstance(body, dict):
        raise InputError(f"command {key!r}, body: expected a dict, got {type(body).__name__}")
    data, twin = spell(body, f"command {key!r}, body")
    if not isinstance(twin, dict):
        raise InputError(f"command {key!r}, body: expected a dict, got another value")
    return data, twin


def _must_be_printable(name: str, text: str) -> None:
    if type(text) is not str or not text or not text.isprintable():
        raise InputError(f"command, {name}: expected printable text, got {text!r}")


def _restored(store: Store, applier: Applier[State]) -> Chain[State]:
    """The newest sound snapshot and the entries after it."""
    if wrong := pages_fault(store.connection):
        raise StateError(f"journal {store.path}: expected sound pages, got {wrong}; run verify")
    chain = Chain(applier, applier.start())
    for row in store.snapshots():
        entry = store.at(row.sequence)
        if snapshot_fault(row, entry):
            continue
        time_ns = FIRST_TIME_NS if entry is None else entry.time_ns
        chain = Chain(applier, applier.load(row.state), row.sequence, row.head, time_ns)
        break
    for entry in store.after(chain.sequence):
        if wrong := chain.follow(entry):
            raise StateError(f"journal {store.path}, entry {entry.sequence}: {wrong}; run verify")
    return chain


def _must_hold(store: Store, receipt: Receipt | None) -> None:
    """Refuse a journal that a receipt is not in."""
    if receipt is None or receipt == Receipt(0, GENESIS.hex()):
        return
    entry = store.at(receipt.sequence)
    if entry is None:
        last = store.last()
        raise StateError(
            f"journal {store.path}: expected the entry of receipt {receipt.sequence}, got a last "
            f"entry of {last.sequence if last else 0}: the tail is lost"
        )
    if not entry.is_sound or entry.receipt != receipt:
        raise StateError(
            f"journal {store.path}: expected the head of receipt {receipt.sequence}, "
            "got another history"
        )
