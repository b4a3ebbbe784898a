"""Who holds which position where: what is said once, when a book is loaded, and never changes.

Every row has a *place*, its number in canonical order: by market, long before short, by account,
by id. Whatever order a book came in, its places are the same. Accounts and ids are text here, as
everybody spells them outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.model.refusals import nearest_name

__all__ = ["MODES", "SIDES", "Roster", "Section"]

Int64 = NDArray[np.int64]
SIDES = ("long", "short")
MODES = ("isolated", "cross", "portfolio")
_NEAR_MOST = 1000
# Up to so many names are read, or found, one by one: asking for all at once costs more.
_READ_SINGLY, _FOUND_SINGLY = 200, 16


class Section(NamedTuple):
    """One side of one market: the rows start to stop of the columns.

    Attributes:
        number: 2 x the market's code, plus 1 for the short side.
        start: first row.
        stop: row after the last.
    """

    number: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Roster:
    """The identity of every row, by place.

    Attributes:
        markets: names, sorted; a market's place here is its code.
        accounts: every account, sorted as text.
        ids: (n,) the positions' ids; a hedged part has the id of its position.
        section: (n,) uint32, rising, 2 x market code + 1 for short.
        owner: (n,) uint32 place in `accounts`.
        mode: (n,) uint8 place in `MODES`.
        joint: (n,) bool, rows that share one profit with their account's other leg, where the
            edition joins hedge legs.
    """

    markets: tuple[str, ...]
    accounts: pl.Series
    ids: pl.Series
    section: NDArray[np.uint32]
    owner: NDArray[np.uint32]
    mode: NDArray[np.uint8]
    joint: NDArray[np.bool_]
    _codes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._codes.update({market: code for code, market in enumerate(self.markets)})

    def __len__(self) -> int:
        return len(self.section)

    @cached_property
    def starts(self) -> Int64:
        """(2 x markets + 1,) int64, where each section starts."""
        wanted = np.arange(2 * len(self.markets) + 1, dtype=np.uint32)
        return np.searchsorted(self.section, wanted).astype(np.int64)

    @cached_property
    def _numbers(self) -> NDArray[Any] | None:
        """The ids, where they are whole numbers."""
        return self.ids.to_numpy() if self.ids.dtype.is_integer() else None

    @cached_property
    def _by_owner(self) -> tuple[Int64, Int64]:
        """Places sorted by account, and where each account starts."""
        order = np.argsort(self.owner, kind="stable")
        wanted = np.arange(len(self.accounts) + 1, dtype=np.uint32)
        return order, np.searchsorted(self.owner[order], wanted).astype(np.int64)

    @cached_property
    def _by_id(self) -> tuple[Int64, pl.Series]:
        """Places sorted by id, and the sorted ids."""
        order = self.ids.arg_sort()
        return order.to_numpy().astype(np.int64), self.ids.gather(order)

    def indexed(self) -> "Roster":
        """Build what finds accounts and ids, so that no later command waits for it."""
        _ = self._by_owner, self._by_id, self._numbers
        return self

    def code(self, market: str) -> int:
        """Give a market's code.

        Raises:
            InputError: there is no such market; names the nearest.
        """
        code = self._codes.get(market)
        if code is None:
            hint = nearest_name(str(market), self._codes)
            raise InputError(f"market: expected a market of the book, got {market!r}{hint}")
        return code

    def market(self, place: int) -> str:
        """Give the market of a place."""
        return self.markets[int(self.section[place]) // 2]

    def section_of(self, market: str, side: str) -> Section:
        """Give one side of one market.

        Raises:
            InputError: there is no such market, or the side is neither long nor short.
        """
        if side not in SIDES:
            raise InputError(f"side: expected long or short, got {side!r}")
        number = 2 * self.code(market) + SIDES.index(side)
        return Section(number, int(self.starts[number]), int(self.starts[number + 1]))

    def find_account(self, account: str) -> int:
        """Give the code of an account, -1 where the book knows none of that name."""
        return _find(self.accounts, str(account))

    def find_accounts(self, accounts: Sequence[str]) -> list[int]:
        """Give the codes of some accounts, as `find_account` does; many of them in one pass."""
        if len(accounts) <= _FOUND_SINGLY or not len(self.accounts):
            return [self.find_account(account) for account in accounts]
        wanted = pl.Series(accounts, dtype=pl.String)
        places = self.accounts.search_sorted(wanted).to_numpy()
        places = np.minimum(places, len(self.accounts) - 1)
        found = self.accounts.gather(places) == wanted
        pairs = zip(places.tolist(), found.to_list(), strict=True)
        return [code if is_there else -1 for code, is_there in pairs]

    def account(self, place: int) -> str:
        """Give the account of a place."""
        return str(self.accounts[int(self.owner[place])])

    def accounts_of(self, places: Int64) -> list[str]:
        """Give the accounts of some places."""
        return _taken(self.accounts, self.owner[places])

    def ids_of(self, places: Int64) -> list[str]:
        """Give the ids of some places, as text."""
        if self._numbers is not None:
            return list(map(str, self._numbers[places].tolist()))
        return list(map(str, _taken(self.ids, places)))

    def places_of(self, account: str) -> Int64:
        """Give the places of an account, rising; none where it is unknown."""
        code = self.find_account(account)
        return self.places_of_codes(np.array([code] if code >= 0 else [], np.int64))

    def places_of_codes(self, codes: Int64) -> Int64:
        """Give the places of accounts by their codes, rising."""
        order, starts = self._by_owner
        parts = zip(starts[codes].tolist(), starts[codes + 1].tolist(), strict=True)
        found = [order[start:stop] for start, stop in parts]
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)

    def find(self, position_id: str | int) -> Int64:
        """Give the places of a position: one, or two where a hedged part queues behind.

        Raises:
            InputError: there is no such position; names the nearest.
        """
        order, ids = self._by_id
        wanted = self._spelled(position_id)
        first = -1 if wanted is None else _find(ids, wanted)
        if first < 0:
            near = ids.cast(pl.String).head(_NEAR_MOST).to_list()
            hint = nearest_name(str(position_id), near)
            raise InputError(f"position_id: expected one of the book, got {position_id!r}{hint}")
        last = first + 1
        while last < len(ids) and ids[last] == wanted:
            last += 1
        return np.sort(order[first:last])

    def _spelled(self, position_id: str | int) -> Any:  # noqa: ANN401 - as the ids' type
        """Give an id as the column has it; None where it cannot be one."""
        text = str(position_id)
        if not self.ids.dtype.is_integer():
            return text
        is_plain = text.isascii() and text.isdecimal() and text == str(int(text))
        return int(text) if is_plain and int(text) < 1 << 64 else None


def _taken(names: pl.Series, places: NDArray[Any]) -> list[Any]:
    """Give some values of a series; a few are read one by one, which is quicker."""
    if len(places) <= _READ_SINGLY:
        return [names[place] for place in places.tolist()]
    return names.gather(places).to_list()


def _find(sorted_names: pl.Series, wanted: Any) -> int:  # noqa: ANN401 - as the column's type
    """Give the first place of a value among sorted ones, or -1."""
    low, high = 0, len(sorted_names)
    while low < high:
        middle = (low + high) // 2
        if sorted_names[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(sorted_names) and sorted_names[low] == wanted else -1
