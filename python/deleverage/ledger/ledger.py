"""Double entry: what moves between accounts adds up to zero, asset by asset, or nothing moves.

A balance is an integer of the asset's money unit, positive where the books owe the account. An
event is a set of postings; the ledger checks the whole event before it changes anything, and gives
back a new ledger while the old one still reads.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from deleverage import _core
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

Balances = VersionedMap[str, int]
Lines = list[Sequence[object]]


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
        balances: Mapping[str, Balances] | None = None,
    ) -> None:
        self._accounts = VersionedMap() if accounts is None else accounts
        # By asset: an event has few assets, and a text keeps its hash where a pair does not.
        self._balances = {} if balances is None else balances

    def open(self, accounts: Iterable[str]) -> "Ledger":
        """Open accounts; opening one twice changes nothing.

        Args:
            accounts: each as `kind:name`.

        Raises:
            InputError: a name is not of that form; no account was opened.
        """
        # Most names are right, and need no record to be parsed into.
        names = {text if _is_account(text) else str(Account.parse(text)): True for text in accounts}
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
        lines = postings if type(postings) is list else list(postings)
        tables = {asset: balances.read() for asset, balances in self._balances.items()}
        undo = _core.post(lines, tables, self._accounts.read())
        if undo is None:
            return self.post_slowly(lines)
        moved = {asset: self._balances[asset].changed(before) for asset, before in undo.items()}
        return Ledger(self._accounts, {**self._balances, **moved})

    def post_slowly(self, lines: Lines) -> "Ledger":
        """Do what `post` does the long way: large amounts come here, and wrong events.

        Args:
            lines: as `post` takes them.

        Returns:
            As `post`.

        Raises:
            AdlError: as `post`.
        """
        moves = _moves(lines)
        if not moves:
            raise InputError(self._complaint(lines))
        # Every asset is checked before one is changed.
        changes = {asset: self._changes(asset, to, lines) for asset, to in moves.items()}
        balances = {**self._balances}
        for asset, change in changes.items():
            balances[asset] = self._held(asset).put(change)
        return Ledger(self._accounts, balances)

    def _held(self, asset: str) -> Balances:
        """The balances of an asset, by account."""
        held = self._balances.get(asset)
        return VersionedMap() if held is None else held

    def _changes(
        self, asset: str, moves: Mapping[str, int], lines: Lines
    ) -> Mapping[str, int | None]:
        """The balances of an asset's accounts after an event; None where nothing is left."""
        before = list(map(self._held(asset).read().get, moves))
        # Who has a balance is open; of the others each line is looked at.
        if None in before and (wrong := self._complaint(lines)):
            raise InputError(wrong)
        if total := sum(moves.values()):
            raise InvariantError(
                f"event: expected postings in {asset} that add up to 0, got {total}; "
                "nothing was booked"
            )
        after = [
            amount if balance is None else balance + amount
            for balance, amount in zip(before, moves.values(), strict=True)
        ]
        if max(after) >= AMOUNT_LIMIT or min(after) <= -AMOUNT_LIMIT:
            account, most = max(zip(moves, after, strict=True), key=lambda item: abs(item[1]))
            raise StateError(
                f"balance of {account} in {asset}: expected a magnitude below 2^127, got {most}"
            )
        left = [balance or None for balance in after] if 0 in after else after
        return dict(zip(moves, left, strict=True))

    def _complaint(self, lines: Lines) -> str:
        """What is wrong with the first posting that is no posting; empty if all are."""
        if not lines:
            return "event: expected at least one posting, got none"
        complaints = (self._line_complaint(number, line) for number, line in enumerate(lines))
        return next(filter(None, complaints), "")

    def _line_complaint(self, number: int, posting: object) -> str:
        """What is wrong with a posting; empty if nothing is."""
        where = f"posting {number}"
        if not isinstance(posting, Sequence) or len(posting) != len(Posting._fields):
            return f"{where}: expected (account, asset, amount), got {posting!r}"
        account, asset, amount = posting
        if type(account) is not str or account not in self._accounts:
            return f"{where}, account: expected an open account, got {account!r}; open it first"
        if type(asset) is not str or not asset:
            return f"{where}, asset: expected a name, got {asset!r}"
        return (
            "" if type(amount) is int else f"{where}, amount: expected an integer, got {amount!r}"
        )

    def balance(self, account: str, asset: str) -> int:
        """What an account holds, in money units of the asset; zero if nothing moved.

        Raises:
            InputError: the account is not open.
        """
        if account not in self._accounts:
            raise InputError(f"account: expected an open account, got {account!r}")
        held = self._balances.get(asset)
        return 0 if held is None else held.get(account) or 0

    def __contains__(self, account: object) -> bool:
        return account in self._accounts

    def accounts(self) -> tuple[str, ...]:
        """Every open account, sorted."""
        return tuple(sorted(self._accounts))

    def balances(self) -> tuple[Posting, ...]:
        """Every balance that is not zero, sorted by account and asset."""
        return tuple(
            sorted(
                Posting(account, asset, amount)
                for asset, held in self._balances.items()
                for account, amount in held.items()
            )
        )

    def trial_balance(self) -> TrialBalance:
        """Add every balance up by asset and kind."""
        groups: dict[tuple[str, int], list[int]] = {}
        kinds = tuple(AccountKind)
        order = {kind.value: number for number, kind in enumerate(kinds)}
        for asset, held in self._balances.items():
            for account, amount in held.items():
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


def _is_account(text: object) -> bool:
    """Whether a text is `kind:name`."""
    if type(text) is not str:
        return False
    kind, _, name = text.partition(":")
    return bool(name) and kind in _KINDS


def _parts(value: Value) -> tuple[list[str], list[list[Value]]]:
    """The accounts and balances of a dumped ledger."""
    match value:
        case {"accounts": [*names], "balances": [*lines]}:
            accounts = [name for name in names if isinstance(name, str)]
            balances = [line for line in lines if isinstance(line, list)]
            if len(accounts) == len(names) and len(balances) == len(lines):
                return accounts, balances
    raise InputError("ledger: expected lists of accounts and balances, got something else")


def _moves(lines: Lines) -> dict[str, dict[str, int]] | None:
    """What an event moves, by asset and account; None if one of its lines is no posting."""
    moves: dict[str, dict[str, int]] = {}
    try:
        for account, asset, amount in lines:
            if type(account) is not str or type(asset) is not str or type(amount) is not int:
                return None
            by_account = moves.get(asset)
            if by_account is None:
                by_account = moves[asset] = {}
            by_account[account] = by_account.get(account, 0) + amount
    except (TypeError, ValueError):
        return None
    return None if "" in moves else moves
