"""Is the journal what was acknowledged? Every check, and the first entry that fails one.

The chain shows damage and tampering up to its last entry. That the last entries are missing can
only be seen from outside: with a receipt. That the results are right needs the applier.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Generic, TypeVar

from deleverage.errors import AdlError, StateError
from deleverage.ledger.chain import Chain, snapshot_fault
from deleverage.ledger.entries import GENESIS, Applier, Receipt
from deleverage.ledger.store import FILE_ERRORS, Store, fault, pages_fault

__all__ = ["Finding", "Verification", "verify", "verify_report"]

State = TypeVar("State")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check and what it found.

    Attributes:
        check: `file`, `chain`, `receipt`, `state`, `snapshots` or `pages`.
        is_ok: whether it passed.
        detail: a sentence for a reader.
    """

    check: str
    is_ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `verify` found.

    Attributes:
        path: the file.
        head: receipt of the last entry up to which the journal is intact; sequence 0 if none.
        first_bad: sequence of the first entry that is damaged or missing; None if none is known.
        state_hash: SHA-256 of the replayed state at `head`, in hex; None without an applier.
        findings: every check that was made, in order.
    """

    path: Path
    head: Receipt
    first_bad: int | None
    state_hash: str | None
    findings: tuple[Finding, ...]

    @property
    def is_intact(self) -> bool:
        """Whether every check passed."""
        return all(finding.is_ok for finding in self.findings)


def verify(
    path: str | Path,
    receipt: Receipt | None = None,
    applier: Applier[State] | None = None,
    *,
    closing: Callable[[State], None] | None = None,
) -> Verification:
    """Check a journal from its first entry: pages, chain, snapshots, and what else is given.

    A writer may have the journal open; the check sees one moment of it. Nothing is written.

    Args:
        path: the file.
        receipt: an acknowledgement that must be in the journal; without one a lost tail cannot be
            seen, and `head` says up to where the journal is intact.
        applier: replays every command, and compares results and snapshots; None checks the chain.
        closing: checks the last replayed state as a whole; it raises an `AdlError` if it is wrong.

    Returns:
        What was found. A damaged file is a value, not an error.

    Raises:
        InputError: there is no such file.
    """
    chain = Chain(applier, None if applier is None else applier.start())
    examination = _Examination(chain, applier)
    try:
        store = Store.reader(path)
    except StateError as error:
        examination.note("file", str(error))
    else:
        try:
            examination.examine(store, receipt)
            if closing is not None:
                examination.close(closing)
        finally:
            store.close()
    state_hash = None
    if applier is not None and chain.state is not None:
        state_hash = sha256(applier.dump(chain.state)).hexdigest()
    return Verification(
        path=Path(path),
        head=chain.receipt,
        first_bad=examination.first_bad,
        state_hash=state_hash,
        findings=tuple(examination.findings),
    )


def verify_report(
    path: str | Path,
    head: str | None = None,
    applier: Applier[State] | None = None,
    *,
    closing: Callable[[State], None] | None = None,
) -> tuple[Finding, ...]:
    """The findings of `verify` and a verdict, for printing.

    Args:
        path: the file.
        head: a receipt as printed, `SEQUENCE:HEAD`; None if there is none.
        applier: as for `verify`.
        closing: as for `verify`.

    Returns:
        One record a check, then `verdict`, whose detail names the head or the first bad entry.

    Raises:
        InputError: there is no such file, or the receipt is not of that form.
    """
    receipt = None if head is None else Receipt.parse(head)
    found = verify(path, receipt, applier, closing=closing)
    if found.is_intact and not found.head.sequence:
        verdict = "no entry yet: nothing to verify"
    elif found.is_intact:
        verdict = f"intact up to entry {found.head.sequence}, receipt {found.head}"
        if head is None:
            verdict += "; without a receipt a lost tail cannot be seen"
    else:
        verdict = f"not intact; sound up to entry {found.head.sequence}"
        if found.first_bad is not None:
            verdict += f", the first bad entry is {found.first_bad}"
    return (*found.findings, Finding(check="verdict", is_ok=found.is_intact, detail=verdict))


class _Examination(Generic[State]):
    """The checks in order, and what they found so far."""

    def __init__(self, chain: Chain[State], applier: Applier[State] | None) -> None:
        self._chain = chain
        self._applier = applier
        self.findings: list[Finding] = []
        self.first_bad: int | None = None

    def note(self, check: str, wrong: str, good: str = "") -> None:
        """Keep one finding: what is wrong, or else what is good."""
        self.findings.append(Finding(check=check, is_ok=not wrong, detail=wrong or good))

    def examine(self, store: Store, receipt: Receipt | None) -> None:
        """Run every check; what SQLite cannot read is a finding too."""
        stage = "file"
        try:
            store.connection.execute("BEGIN")
            wrong = fault(store.connection)
            self.note("file", wrong, "a journal of this schema")
            if wrong:
                return
            stage = "snapshots"
            kept = {row.sequence: row.state_hash for row in store.snapshots()}
            wrong = self._snapshots_fault(store)
            stage = "chain"
            wrong = self._examine_entries(store, receipt, kept) or wrong
            self.note("snapshots", wrong, f"{len(kept)} kept, {self._how}")
            stage = "pages"
            wrong = pages_fault(store.connection) or store.size_fault()
            # A writer that came meanwhile explains any fault that was seen.
            wrong = store.disturbed() or wrong
            self.note("pages", wrong, "every page and index is sound")
        except FILE_ERRORS as error:
            if stage == "chain":
                self.first_bad = self._chain.sequence + 1
            self.note(stage, f"expected to read the file, got {error}")

    def close(self, closing: Callable[[State], None]) -> None:
        """Check the last replayed state as a whole."""
        chain, wrong = self._chain, ""
        if chain.state is None or not chain.sequence:
            return
        try:
            closing(chain.state)
        except AdlError as error:
            wrong, self.first_bad = str(error), self.first_bad or chain.sequence
        self.note("state", wrong, f"every guarantee holds on the whole at entry {chain.sequence}")

    @property
    def _how(self) -> str:
        return "not replayed" if self._applier is None else "replayed"

    @staticmethod
    def _snapshots_fault(store: Store) -> str:
        """The first kept state that no opening would use."""
        for row in store.snapshots():
            if wrong := snapshot_fault(row, store.at(row.sequence)):
                return f"snapshot {row.sequence}: {wrong}"
        return ""

    def _examine_entries(
        self, store: Store, receipt: Receipt | None, kept: Mapping[int, bytes]
    ) -> str:
        """Follow the chain, note it and the receipt; what is wrong with a snapshot is returned."""
        chain, wrong, snapshot_wrong = self._chain, "", self._state_fault(kept)
        head_there = GENESIS
        for entry in store.after(0):
            if wrong := chain.follow(entry):
                self.first_bad = chain.sequence + 1
                wrong = f"entry {self.first_bad}: {wrong}"
                break
            snapshot_wrong = snapshot_wrong or self._state_fault(kept)
            if receipt is not None and entry.sequence == receipt.sequence:
                head_there = entry.hash
        self.note("chain", wrong, f"{chain.sequence} entries are sound and linked, {self._how}")
        if receipt is None:
            return snapshot_wrong
        wrong = ""
        if receipt.sequence > chain.sequence:
            self.first_bad = chain.sequence + 1
            wrong = f"expected entries up to {receipt.sequence}, got {chain.sequence}: a lost tail"
        elif head_there.hex() != receipt.head:
            wrong = f"expected the receipt's head at entry {receipt.sequence}, got another history"
        self.note("receipt", wrong, f"entry {receipt.sequence} is the one acknowledged")
        return snapshot_wrong

    def _state_fault(self, kept: Mapping[int, bytes]) -> str:
        """Compare the state kept at this place, if there is one, with the replay."""
        chain, applier = self._chain, self._applier
        if applier is None or chain.state is None or chain.sequence not in kept:
            return ""
        state_hash = sha256(applier.dump(chain.state)).digest()
        is_same = state_hash == kept[chain.sequence]
        return "" if is_same else f"snapshot {chain.sequence}: expected the replayed state"
