"""Following the journal: each entry against the one before it, and against the applier.

Reopening and verifying walk the same way, so what one accepts the other does.
"""

from hashlib import sha256
from typing import Generic, TypeVar

from deleverage.errors import AdlError, InputError
from deleverage.ledger.canonical import Value, decode, encode
from deleverage.ledger.entries import GENESIS, Applier, Command, Entry, Receipt
from deleverage.ledger.store import SnapshotRow

__all__ = ["FIRST_TIME_NS", "Chain", "snapshot_fault"]

# Before every int64 time: the first entry may have any.
FIRST_TIME_NS = -(1 << 63)

State = TypeVar("State")


class Chain(Generic[State]):
    """A place in the journal, and the state there.

    Args:
        applier: replays the entries; None checks the chain alone.
        state: the state at the place; None without an applier.
        sequence: the place; 0 is before the first entry.
        head: hash of the entry there.
        time_ns: its event time.
    """

    __slots__ = ("_applier", "head", "sequence", "state", "time_ns")

    def __init__(
        self,
        applier: Applier[State] | None,
        state: State | None,
        sequence: int = 0,
        head: bytes = GENESIS,
        time_ns: int = FIRST_TIME_NS,
    ) -> None:
        self._applier = applier
        self.state = state
        self.sequence = sequence
        self.head = head
        self.time_ns = time_ns

    @property
    def receipt(self) -> Receipt:
        """The receipt of the place."""
        return Receipt(self.sequence, self.head.hex())

    def follow(self, entry: Entry) -> str:
        """Check the next entry and move to it.

        Returns:
            What is wrong with it, and then nothing moved; empty if it is sound.
        """
        wrong = self._link_fault(entry) or self._replay_fault(entry)
        if not wrong:
            self.sequence, self.head, self.time_ns = entry.sequence, entry.hash, entry.time_ns
        return wrong

    def _link_fault(self, entry: Entry) -> str:
        if entry.sequence != self.sequence + 1:
            return f"expected sequence {self.sequence + 1}, got {entry.sequence}"
        if entry.previous != self.head:
            return "expected the hash of the entry before it, got another"
        if not entry.is_sound:
            return "expected the hash of what it says, got another"
        if entry.time_ns < self.time_ns:
            return f"expected a time from {self.time_ns} on, got {entry.time_ns}"
        return ""

    def _replay_fault(self, entry: Entry) -> str:
        try:
            body: Value = decode(entry.body, "body")
            if self._applier is None:
                decode(entry.result, "result")
        except InputError as error:
            return str(error)
        if not isinstance(body, dict):
            return "expected a body that is a dict, got another value"
        if self._applier is None or self.state is None:
            return ""
        command = Command(entry.sequence, entry.key, entry.kind, entry.time_ns, body)
        try:
            state, result = self._applier.apply(self.state, command)
        except AdlError as error:
            return f"expected the replay to accept it, got {error}"
        if encode(result) != entry.result:
            return "expected the replay to give its result, got another"
        self.state = state
        return ""


def snapshot_fault(row: SnapshotRow, entry: Entry | None) -> str:
    """Why a kept state cannot be used.

    Args:
        row: the kept state.
        entry: the entry at its place; None before the first, or if there is none.
    """
    if type(row.state) is not bytes or sha256(row.state).digest() != row.state_hash:
        return "expected the hash of the state, got another"
    if row.sequence == 0 and row.head == GENESIS:
        return ""
    if entry is None or entry.sequence != row.sequence:
        return "expected an entry at its place, got none"
    return "" if entry.hash == row.head and entry.is_sound else "expected its entry's hash"
