"""Bookings that the tests of the journal share: three accounts, and an event between two."""

from deleverage.ledger import Acknowledgement, Journal, Ledger

ACCOUNTS = ["trader:a", "trader:b", "pool:x"]


def body(amount: int, **more: object) -> dict[str, object]:
    """A booking from the pool to a trader, in USDT units."""
    return {"postings": [["trader:a", "USDT", amount], ["pool:x", "USDT", -amount]], **more}


def open_accounts(journal: Journal[Ledger]) -> Acknowledgement:
    """Open the accounts that the tests book to."""
    return journal.execute("open", "open", 0, {"accounts": ACCOUNTS})
