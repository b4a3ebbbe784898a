"""The journal beside a dict: whatever is done in whatever order, the two agree."""

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bookings import ACCOUNTS, body, open_accounts
from deleverage.errors import InputError, InvariantError, StateError
from deleverage.ledger import Booking, Journal, Receipt, Request, verify


class JournalMachine(RuleBasedStateMachine):
    """A journal beside a dict: what is acknowledged is in both, what is refused in neither."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        self.path = self.folder / "journal.db"
        self.journal = Journal.open(self.path, Booking())
        self.model = dict.fromkeys(ACCOUNTS, 0)
        self.done = {"open": (open_accounts(self.journal).receipt, 0)}
        self.time_ns = 0

    def teardown(self) -> None:
        """Verify what is left, and remove it."""
        self.journal.close()
        found = verify(self.path, self.journal.head, Booking())
        shutil.rmtree(self.folder)
        assert found.is_intact
        assert found.head.sequence == len(self.done)

    def book(self, key: str, amount: int, receipt: Receipt) -> None:
        """Put an acknowledged booking into the dict."""
        self.done[key] = (receipt, amount)
        self.model["trader:a"] += amount
        self.model["pool:x"] -= amount

    @rule(amount=st.integers(-(2**50), 2**50), later=st.integers(0, 3))
    def post(self, amount: int, later: int) -> None:
        """A new booking is acknowledged at the next place."""
        self.time_ns += later
        key = f"k{len(self.done)}"
        done = self.journal.execute(key, "post", self.time_ns, body(amount))
        assert (done.is_repeat, done.receipt.sequence) == (False, len(self.done) + 1)
        self.book(key, amount, done.receipt)

    @rule(amounts=st.lists(st.integers(-9, 9), max_size=4), fails=st.booleans())
    def batch(self, amounts: list[int], *, fails: bool) -> None:
        """A batch is booked whole; with one refused command in it, not at all."""
        batch = [
            Request(f"k{len(self.done) + n}", "post", self.time_ns, body(amount))
            for n, amount in enumerate(amounts)
        ]
        if fails:
            with pytest.raises(StateError):
                self.journal.execute_many([*batch, Request("late", "post", -1, body(1))])
            return
        for request, amount, done in zip(
            batch, amounts, self.journal.execute_many(batch), strict=True
        ):
            self.book(request.key, amount, done.receipt)

    @precondition(lambda self: len(self.done) > 1)
    @rule(data=st.data(), change=st.sampled_from([0, 1]))
    def retry(self, data: st.DataObject, change: int) -> None:
        """A retry gets the first receipt; the same key for another booking is refused."""
        key = data.draw(st.sampled_from(sorted(self.done.keys() - {"open"})))
        receipt, amount = self.done[key]
        if change:
            with pytest.raises(StateError):
                self.journal.execute(key, "post", self.time_ns, body(amount + 1))
        else:
            done = self.journal.execute(key, "post", self.time_ns, body(amount))
            assert (done.receipt, done.is_repeat) == (receipt, True)

    @rule(account=st.sampled_from(["trader:zed", "trader:a"]))
    def refuse(self, account: str) -> None:
        """An unknown account is refused; an unbalanced event halts until the next opening."""
        said = {"postings": [[account, "USDT", 1]]}
        with pytest.raises((InputError, InvariantError)):
            self.journal.execute("bad", "post", self.time_ns, said)
        if account == "trader:a":
            self.reopen()

    @rule()
    def snapshot(self) -> None:
        """A snapshot changes nothing that can be seen."""
        assert self.journal.snapshot() == self.journal.head

    @rule()
    def reopen(self) -> None:
        """Opening again gives the same head and the same state."""
        before = self.journal.head, self.journal.state.dump()
        self.journal.close()
        self.journal = Journal.open(self.path, Booking(), receipt=before[0])
        assert (self.journal.head, self.journal.state.dump()) == before

    @invariant()
    def agrees(self) -> None:
        """The state is the dict, and the books close."""
        state = self.journal.state
        assert {name: state.balance(name, "USDT") for name in ACCOUNTS} == self.model
        assert state.trial_balance().is_closed
        assert self.journal.head == max(receipt for receipt, _ in self.done.values())


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=30, stateful_step_count=25)
