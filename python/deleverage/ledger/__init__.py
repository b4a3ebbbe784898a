"""The books: a double-entry ledger, and a durable journal of what was commanded and decided.

A command is checked, made durable, applied and then acknowledged with a receipt. The ledger is
what a command's postings add up to; the journal knows nothing of it but the `Applier` protocol, so
an engine with more state plugs in the same way.
"""

from deleverage.ledger.booking import Booking
from deleverage.ledger.canonical import Value, decode, encode
from deleverage.ledger.entries import (
    Acknowledgement,
    Applier,
    Command,
    Entry,
    Receipt,
    Request,
)
from deleverage.ledger.journal import Journal
from deleverage.ledger.ledger import (
    Account,
    AccountKind,
    Ledger,
    Posting,
    TrialBalance,
    TrialLine,
)
from deleverage.ledger.verification import Finding, Verification, verify, verify_report
from deleverage.ledger.versions import VersionedMap

__all__ = [
    "Account",
    "AccountKind",
    "Acknowledgement",
    "Applier",
    "Booking",
    "Command",
    "Entry",
    "Finding",
    "Journal",
    "Ledger",
    "Posting",
    "Receipt",
    "Request",
    "TrialBalance",
    "TrialLine",
    "Value",
    "Verification",
    "VersionedMap",
    "decode",
    "encode",
    "verify",
    "verify_report",
]
