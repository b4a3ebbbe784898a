"""Double entry: what moves between accounts adds up to zero, asset by asset, or nothing moves.

A balance is an integer of the asset's money unit, positive where the books owe the account. An
event is a set of postings; the ledger checks the whole event before it changes anything, and gives
back a new ledger while the old one still reads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from deleverage.errors import InputError, InvariantError, StateError
from deleverage.ledger.canonical import Value, decode, encode
from deleverage.ledger.versions import VersionedMap

__all__ = [
    "AMOUNT_LIMIT",
    "Account",
    "AccountKind",
    "Ledger",
    "Posting",
    "TrialBalance",
    "TrialLine",
]

# Magnitudes stay below this: sums of money are 128 bits wide.
AMOUNT_LIMIT = 1 << 127

Slot = tuple[str, str]


class AccountKind(StrEnum):
    """What an account is for."""

    TRADER = "trader"
    POOL = "pool"
    FEE = "fee"
    DUST = "dust"
    CLEARING = "clearing"
    OUTSIDE = "outside"


_KINDS = frozenset(kind.value for kind in AccountKind)


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """An account: its kind and its name, written `kind:name`.

    Attributes:
        kind: what it is for. `clearing` is a market's own account between traders, `outside` is
            the world that deposits come from.
        name: not empty, unique within the kind.

    Raises:
        InputError: an unknown kind or an empty name.
    """

    kind: AccountKind
    name: str

    def __post_init__(self) -> None:
        if self.kind not in _KINDS or not self.name:
            raise InputError(
                f"account: expected a kind of {', '.join(AccountKind)} and a name, "
                f"got {self.kind!r} and {self.name!r}"
            )

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> "Account":
        """Read `kind:name`.

        Raises:
            InputError: the text is not of that form.
        """
        kind, colon, name = text.partition(":")
        if not colon or kind not in _KINDS:
            raise InputError(
                f"account: expected kind:name with a kind of {', '.join(AccountKind)}, got {text!r}"
            )
        return cls(AccountKind(kind), name)


class Posting(NamedTuple):
    """One line of an event.

    Attributes:
        account: whose balance moves, as `kind:name`.
        asset: the settlement asset, for instance USDT.
        amount: money units of the asset; positive credits the account, negative debits it.
    """

    account: str
    asset: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialLine:
    """One line of the trial balance: all accounts of one kind, in one asset.

    Attributes:
        asset: the asset.
        kind: the accounts' kind.
        accounts: how many accounts of that kind have a balance.
        credit: sum of the positive balances, in money units.
        debit: sum of the negative balances, as a positive number of money units.
    """

    asset: str
    kind: AccountKind
    accounts: int
    credit: int
    debit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBalance:
    """What all accounts hold, by asset and kind; the books close when each asset adds to zero.

    Attributes:
        lines: sorted by asset, then by kind in the order of `AccountKind`.
    """

    lines: tuple[TrialLine, ...]

    def difference(self, asset: str) -> int:
        """Credits less debits of one asset, in money units; zero if the books close."""
        return sum(line.credit - line.debit for line in self.lines if line.asset == asset)

    @property
    def is_closed(self) -> bool:
        """Whether every asset adds to zero."""
        return not any(self.difference(line.asset) for line in self.lines)


class Ledger:
    """Balances by account and asset; every change is an event that adds up to zero.

    A ledger never changes: `open` and `post` give a new one. The arguments are for the ledger's own
    use; `Ledger()` is empty. An account must be open before
    something is posted to it, so that a misspelt name is an error and not a new account.
    """

    __slots__ = ("_accounts", "_balances")

    def __init__(
        self,
        accounts: VersionedMap[str, bool] | None = None,
        balances: VersionedMap[Slot, int] | None = None,
    ) -> None:
        self._accounts = VersionedMap() if accounts is None else accounts
        self._balances = VersionedMap() if balances is None else balances

    def open(self, accounts: Iterable[str]) -> "Ledger":
        """Open accounts; opening one twice changes nothing.

        Args:
            accounts: each as `kind:name`.

        Raises:
            InputError: a name is not of that form; no account was opened.
        """
        names = {str(Account.parse(text)): True for text in accounts}
        return Ledger(self._accounts.put(names), self._balances)

    def post(self, postings: Iterable[Sequence[object]]) -> "Ledger":
        """Book one event.

        Args:
            postings: (account, asset, amount) each, amounts in money units of the asset. Several
                postings to one account and asset add up; a zero moves nothing.

        Returns:
            The ledger after the event; this one is as it was.

        Raises:
            InputError: no posting, one that is no triple, an account that is not open, an empty
                asset, or an amount that is no integer.
            InvariantError: the postings of an asset do not add up to zero.
            StateError: a balance would leave the range.
        """
        moves = self._moves(postings)
        read = self._balances.reader()
        balances = {slot: (read(slot) or 0) + amount for slot, amount in moves.items()}
        if max(map(abs, balances.values())) >= AMOUNT_LIMIT:
            (account, asset), most = max(balances.items(), key=lambda item: abs(item[1]))
            raise StateError(
                f"balance of {account} in {asset}: expected a magnitude below 2^127, got {most}"
            )
        changes: dict[Slot, int | None] = {**balances}
        if 0 in balances.values():
            changes = {slot: balance or None for slot, balance in balances.items()}
        return Ledger(self._accounts, self._balances.put(changes))

    def _moves(self, postings: Iterable[Sequence[object]]) -> dict[Slot, int]:
        """Add postings up by account and asset, and check that each asset adds to zero."""
        moves: dict[Slot, int] = {}
        totals: dict[str, int] = {}
        is_open = self._accounts.reader()
        number = -1
        for number, posting in enumerate(postings):
            if len(posting) != len(Posting._fields):
                raise InputError(self._complaint(number, posting))
            account, asset, amount = posting
            if type(account) is not str or type(asset) is not str or type(amount) is not int:
                raise InputError(self._complaint(number, posting))
            if not asset or not is_open(account):
                raise InputError(self._complaint(number, posting))
            slot = (account, asset)
            moves[slot] = moves.get(slot, 0) + amount
            totals[asset] = totals.get(asset, 0) + amount
        if number < 0:
            raise InputError("event: expected at least one posting, got none")
        for asset, total in totals.items():
            if total:
                raise InvariantError(
                    f"event: expected postings in {asset} that add up to 0, got {total}; "
                    "nothing was booked"
                )
        return moves

    def _complaint(self, number: int, posting: Sequence[object]) -> str:
        """What is wrong with a posting."""
        if len(posting) != len(Posting._fields):
            return f"posting {number}: expected (account, asset, amount), got {posting!r}"
        account, asset, amount = posting
        if not isinstance(account, str) or account not in self._accounts:
            return (
                f"posting {number}, account: expected an open account, got {account!r}; "
                "open it first"
            )
        if not isinstance(asset, str) or not asset:
            return f"posting {number}, asset: expected a name, got {asset!r}"
        return f"posting {number}, amount: expected an integer, got {amount!r}"

    def balance(self, account: str, asset: str) -> int:
        """What an account holds, in money units of the asset; zero if nothing moved.

        Raises:
            InputError: the account is not open.
        """
        if account not in self._accounts:
            raise InputError(f"account: expected an open account, got {account!r}")
        return self._balances.get((account, asset)) or 0

    def accounts(self) -> tuple[str, ...]:
        """Every open account, sorted."""
        return tuple(sorted(self._accounts))

    def balances(self) -> tuple[Posting, ...]:
        """Every balance that is not zero, sorted by account and asset."""
        return tuple(
            Posting(account, asset, amount)
            for (account, asset), amount in sorted(self._balances.items())
        )

    def trial_balance(self) -> TrialBalance:
        """Add every balance up by asset and kind."""
        groups: dict[tuple[str, int], list[int]] = {}
        kinds = tuple(AccountKind)
        order = {kind.value: number for number, kind in enumerate(kinds)}
        for (account, asset), amount in self._balances.items():
            kind = order[account.partition(":")[0]]
            groups.setdefault((asset, kind), []).append(amount)
        return TrialBalance(
            lines=tuple(
                TrialLine(
                    asset=asset,
                    kind=kinds[kind],
                    accounts=len(amounts),
                    credit=sum(amount for amount in amounts if amount > 0),
                    debit=-sum(amount for amount in amounts if amount < 0),
                )
                for (asset, kind), amounts in sorted(groups.items())
            )
        )

    def dump(self) -> bytes:
        """The canonical bytes: accounts and balances that are not zero, sorted."""
        return encode(
            {
                "accounts": list(self.accounts()),
                "balances": [list(line) for line in self.balances()],
            }
        )

    @classmethod
    def load(cls, data: bytes) -> "Ledger":
        """Read canonical bytes back.

        Raises:
            InputError: the bytes are not what `dump` writes.
            InvariantError: the balances of an asset do not add up to zero.
        """
        accounts, balances = _parts(decode(data, "ledger"))
        ledger = cls().open(accounts)
        loaded = ledger.post(balances) if balances else ledger
        if loaded.dump() != data:
            raise InputError("ledger: expected sorted accounts and balances, got another order")
        return loaded

    def state_hash(self) -> str:
        """The SHA-256 of the canonical bytes, in hex."""
        return sha256(self.dump()).hexdigest()


def _parts(value: Value) -> tuple[list[str], list[list[Value]]]:
    """The accounts and balances of a dumped ledger."""
    match value:
        case {"accounts": [*names], "balances": [*lines]}:
            accounts = [name for name in names if isinstance(name, str)]
            balances = [line for line in lines if isinstance(line, list)]
            if len(accounts) == len(names) and len(balances) == len(lines):
                return accounts, balances
    raise InputError("ledger: expected lists of accounts and balances, got something else")
