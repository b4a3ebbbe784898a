"""A process that writes a journal and is meant to be killed, or to run out of space.

It says what it does on its standard output, one JSON line each, and `kill_cycle` reads it:
`{"at": "inside", ...}` from inside an open transaction, where it then waits for a line on its
standard input, and `{"at": "done", "receipts": [...]}` after an acknowledgement.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

from bookings import body, open_accounts
from deleverage.errors import AdlError
from deleverage.ledger import Booking, Command, Journal, Ledger, Receipt, Request, Value

BATCH = 8
# Bytes; a batch of these spills from SQLite's page cache into the log before its commit.
FILLER = 300_000


def tell(**said: Any) -> None:
    """Say one thing."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def request(number: int, size: int = 0) -> Request:
    """The booking of a number: the same bytes in every process."""
    return Request(f"k{number}", "post", number, body(-number, fill="x" * size))


class Pausing(Booking):
    """Stops inside the transaction at one command, until somebody writes a line."""

    def __init__(self, pause_at: int) -> None:
        self.pause_at = pause_at

    def apply(self, state: Ledger, command: Command) -> tuple[Ledger, Value]:
        """Apply, after a pause at the command."""
        if command.key == f"k{self.pause_at}":
            tell(at="inside", key=command.key)
            sys.stdin.readline()
        return super().apply(state, command)


def write_until_killed(path: str, first: int, pause_at: int, size: int, rounds: int) -> None:
    """Write single commands and batches in turn, so many of each."""
    with Journal.open(path, Pausing(pause_at)) as journal:
        open_accounts(journal)
        number = first
        for _ in range(rounds):
            done = journal.execute(*request(number))
            tell(at="done", receipts=[str(done.receipt)])
            batch = [request(n, size) for n in range(number + 1, number + 1 + BATCH)]
            done_all = journal.execute_many(batch)
            tell(at="done", receipts=[str(each.receipt) for each in done_all])
            number += 1 + BATCH


def write_with_limit(folder: str) -> None:
    """Run the same commands under a growing limit on file size until they all pass."""
    (_, hard) = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit, passed = 0, False
    while not passed:
        path = str(Path(folder, f"j{limit}"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        receipts, error = write_some(path, None)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        passed = not error
        tell(path=path, limit=limit, receipts=[str(each) for each in receipts], error=error)
        limit += 2048


def write_some(path: str, page_limit: int | None) -> tuple[list[Receipt], str]:
    """Write single commands, a batch and a snapshot; give the receipts and what went wrong."""
    receipts: list[Receipt] = []
    try:
        with Journal.open(path, Booking(), page_limit=page_limit) as journal:
            receipts.append(open_accounts(journal).receipt)
            receipts += [journal.execute(*request(n, 1500)).receipt for n in range(1, 4)]
            journal.snapshot()
            batch = [request(n, 1500) for n in range(4, 8)]
            receipts += [each.receipt for each in journal.execute_many(batch)]
    except AdlError as error:
        return receipts, f"{type(error).__name__}: {error}"
    return receipts, ""


def main() -> None:
    """Run the mode that the command line names."""
    mode, path, *numbers = sys.argv[1:]
    if mode == "limit":
        write_with_limit(path)
    else:
        write_until_killed(path, *map(int, numbers))


if __name__ == "__main__":
    main()
