"""The plainest engine: a journal of bookings, whose state is a ledger."""

from typing import Final, cast

from deleverage.errors import InputError
from deleverage.ledger.canonical import Value
from deleverage.ledger.entries import Command
from deleverage.ledger.ledger import Ledger

__all__ = ["Booking"]


class Booking:
    """Applies two kinds of command to a ledger.

    `open` opens the accounts in its body's `accounts`; `post` books the (account, asset, amount)
    lists in its body's `postings` as one event. Other fields of a body are kept as they are.
    """

    OPEN: Final = "open"
    POST: Final = "post"

    def start(self) -> Ledger:
        """An empty ledger."""
        return Ledger()

    def apply(self, state: Ledger, command: Command) -> tuple[Ledger, Value]:
        """Open accounts or book an event.

        Returns:
            The ledger after it, and how many accounts or postings the command named.

        Raises:
            InputError: an unknown kind, a missing list, an account that is not open.
            InvariantError: the postings of an asset do not add up to zero.
        """
        if command.kind == self.POST:
            lines = _listed(command, "postings")
            if {*map(type, lines)} - {list}:
                raise InputError(f"postings: expected lists of three, got {lines!r}")
            return state.post(cast("list[list[Value]]", lines)), {"postings": len(lines)}
        if command.kind == self.OPEN:
            accounts = _listed(command, "accounts")
            names = [name for name in accounts if isinstance(name, str)]
            if len(names) != len(accounts):
                raise InputError(f"accounts: expected kind:name texts, got {accounts!r}")
            return state.open(names), {"accounts": len(names)}
        raise InputError(f"kind: expected {self.OPEN} or {self.POST}, got {command.kind!r}")

    def dump(self, state: Ledger) -> bytes:
        """The ledger's canonical bytes."""
        return state.dump()

    def load(self, data: bytes) -> Ledger:
        """The ledger of canonical bytes.

        Raises:
            InputError: the bytes are not a ledger's.
        """
        return Ledger.load(data)


def _listed(command: Command, name: str) -> list[Value]:
    """A list in a command's body."""
    value = command.body.get(name)
    if not isinstance(value, list):
        raise InputError(f"{command.kind} command: expected a list {name}, got {value!r}")
    return value
