"""What is tried first and looked up after: retries, taken places, bodies without an end."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bookings import body, open_accounts
from deleverage.errors import AdlError, InputError, InvariantError, StateError
from deleverage.ledger import Booking, Command, Journal, Ledger, Request, Value


class Once(Booking):
    """An engine that books to a trader once; a second time is refused, or breaks a guarantee."""

    def __init__(self, error: type[AdlError]) -> None:
        self.error = error

    def apply(self, state: Ledger, command: Command) -> tuple[Ledger, Value]:
        """Apply, if nothing was booked yet."""
        if state.balances():
            raise self.error("expected nothing to be booked, got something")
        return super().apply(state, command)


@pytest.mark.parametrize("error", [InputError, StateError, InvariantError])
def test_a_retry_is_known_where_it_would_be_refused(tmp_path: Path, error: type[AdlError]) -> None:
    """A known key gets its first result even if its command could not be applied again."""
    with Journal.open(tmp_path / "journal.db", Once(error)) as journal:
        open_accounts(journal)
        first = journal.execute("one", "post", 5, body(7))
        again = journal.execute("one", "post", 1, body(7))
        batch = journal.execute_many([Request("one", "post", 1, body(7))])

        assert (again.receipt, again.is_repeat) == (first.receipt, True)
        assert (batch[0].receipt, journal.head) == (first.receipt, first.receipt)
        with pytest.raises(error, match="nothing to be booked"):
            journal.execute("two", "post", 5, body(7))


def test_a_place_that_is_taken_stops_the_journal(tmp_path: Path) -> None:
    """A row that is not the journal's own at its next place is a failed write, not a retry."""
    path = tmp_path / "journal.db"
    with Journal.open(path, Booking()) as journal:
        open_accounts(journal)
        with closing(sqlite3.connect(path, timeout=0)) as other, other:
            other.execute("INSERT INTO entries VALUES (2, 'other', 'post', 0, x'', x'', x'', x'')")

        with pytest.raises(StateError, match="expected a durable write"):
            journal.execute("one", "post", 5, body(7))
        with pytest.raises(StateError, match="disk failed"):
            journal.execute("two", "post", 5, body(7))


def test_a_body_that_holds_itself_is_refused(tmp_path: Path) -> None:
    """A body without an end is one clear error, and the journal goes on."""
    endless: dict[str, object] = body(7)
    endless["again"] = endless

    with Journal.open(tmp_path / "journal.db", Booking()) as journal:
        open_accounts(journal)
        with pytest.raises(InputError, match="at most 100 levels"):
            journal.execute("one", "post", 5, endless)
        assert journal.execute("one", "post", 5, body(7)).receipt.sequence == 2
