"""What the journal holds and hands out: requests, commands, entries, receipts.

An entry's hash covers the entry before it, so one head hash stands for the whole history.
"""

from hashlib import sha256
from struct import Struct
from typing import NamedTuple, Protocol, TypeVar

from deleverage.errors import InputError
from deleverage.ledger.canonical import Value

__all__ = [
    "GENESIS",
    "Acknowledgement",
    "Applier",
    "Command",
    "Entry",
    "Receipt",
    "Request",
    "chain_hash",
]

# The hash before the first entry.
GENESIS = sha256(b"deleverage journal").digest()

_HEX_DIGITS = 64
# A hash that has begun is copied: looking SHA-256 up costs more than hashing an entry.
_BEGUN = sha256(b"entry\x00")
_NUMBERS = Struct(">qqqqqq")
_TYPES = (int, str, str, int, bytes, bytes, bytes, bytes)

State = TypeVar("State")


class Request(NamedTuple):
    """What a caller asks the journal to do.

    Attributes:
        key: unique name of the command; a retry carries the same one.
        kind: what the command is, for the applier.
        time_ns: event time, int64 nanoseconds UTC; it never runs backwards.
        body: a dict of whole numbers, strings, lists and dicts. What decided belongs in it too:
            snapshot digest, edition and its hash, cut, tie-break.
    """

    key: str
    kind: str
    time_ns: int
    body: object


class Command(NamedTuple):
    """What an applier sees: a request with its place in the journal.

    Attributes:
        sequence: place in the journal, the first is 1.
        key: unique name of the command.
        kind: what the command is.
        time_ns: event time, int64 nanoseconds UTC.
        body: the body as the journal keeps it, the same live and in a replay.
    """

    sequence: int
    key: str
    kind: str
    time_ns: int
    body: dict[str, Value]


class Applier(Protocol[State]):
    """How commands change a state; the journal knows no more of the engine than this.

    All four are pure: no clock, no chance, no file, and a state that was handed in is never
    changed, because a command that cannot be made durable leaves the old state in force.
    """

    def start(self) -> State:
        """The state before the first command."""

    def apply(self, state: State, command: Command) -> tuple[State, Value]:
        """The state after a command, and its result.

        Raises:
            InputError: the command is refused for what it says; nothing is written.
            StateError: the command is refused in this state; nothing is written.
            InvariantError: a guarantee would break; nothing is written and the journal halts.
        """

    def dump(self, state: State) -> bytes:
        """The canonical bytes of a state: equal states, equal bytes."""

    def load(self, data: bytes) -> State:
        """The state of canonical bytes."""


class Receipt(NamedTuple):
    """Proof of an acknowledgement: how far the history went and the hash that stands for it.

    Attributes:
        sequence: place of the entry in the journal, the first is 1; 0 is the empty journal.
        head: hash of the entry, 64 hex digits.
    """

    sequence: int
    head: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.head}"

    @classmethod
    def parse(cls, text: str) -> "Receipt":
        """Read `sequence:head`, as printed.

        Raises:
            InputError: the text is not of that form.
        """
        sequence, _, head = text.partition(":")
        is_number = sequence.isascii() and sequence.isdecimal()
        if not is_number or len(head) != _HEX_DIGITS or set(head) - set("0123456789abcdef"):
            raise InputError(
                f"receipt: expected SEQUENCE:HEAD with {_HEX_DIGITS} hex digits, got {text!r}"
            )
        return cls(int(sequence), head)


class Acknowledgement(NamedTuple):
    """A command is durable and applied.

    Attributes:
        receipt: where it stands.
        result: what the applier gave back, the first time.
        is_repeat: the key was known, so nothing was applied now.
    """

    receipt: Receipt
    result: Value
    is_repeat: bool


class Entry(NamedTuple):
    """One row of the journal.

    Attributes:
        sequence: 1, 2, 3, ... without a gap.
        key: unique name of the command.
        kind: what the command is.
        time_ns: event time, int64 nanoseconds UTC.
        body: canonical bytes of the request's body.
        result: canonical bytes of the applier's result.
        previous: hash of the entry before, 32 bytes.
        hash: hash of this entry, 32 bytes.
    """

    sequence: int
    key: str
    kind: str
    time_ns: int
    body: bytes
    result: bytes
    previous: bytes
    hash: bytes

    @property
    def receipt(self) -> Receipt:
        """The receipt that acknowledges this entry."""
        return Receipt(self.sequence, self.hash.hex())

    @property
    def is_sound(self) -> bool:
        """Whether the types are the row's own and the hash is the hash of what it says."""
        return tuple(map(type, self)) == _TYPES and self.hash == chain_hash(
            sequence=self.sequence,
            key=self.key,
            kind=self.kind,
            time_ns=self.time_ns,
            body=self.body,
            result=self.result,
            previous=self.previous,
        )


def chain_hash(
    *, sequence: int, key: str, kind: str, time_ns: int, body: bytes, result: bytes, previous: bytes
) -> bytes:
    """Hash an entry: SHA-256 over the previous hash, then fixed-width numbers, then the texts.

    Every text has its length in the fixed part, so no two entries share their bytes.
    """
    name, what = key.encode(), kind.encode()
    numbers = _NUMBERS.pack(sequence, time_ns, len(name), len(what), len(body), len(result))
    begun = _BEGUN.copy()
    begun.update(b"".join((previous, numbers, name, what, body, result)))
    return begun.digest()
