"""The kept book under the positions: it follows whichever version is asked, and answers.

All versions of a store share one `deleverage.Book`. Before it answers, the rows and accounts are
written to it in which the version asked differs from the one it holds, newer or older, and the
marks that moved. So a head costs what changed, not what the side is large.

A row that is set aside is no candidate, but its profit counts for its account: such rows are held
in a shadow of their market, where nobody is selected. A closed row is not held. A row is known to
the book by the rank of its id, which orders as the id does and leads back to its place.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deleverage.book import Book
from deleverage.book.answers import Rate
from deleverage.engine.arrays import Changes, VersionedArrays
from deleverage.engine.roster import SIDES, Roster, Section
from deleverage.engine.rows import ACCOUNT_PREFIX, equities, row_columns
from deleverage.errors import InputError
from deleverage.model.records import Venue
from deleverage.model.scales import MarketScale

__all__ = ["Kept", "Taken", "Terms"]

Int64 = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]
_MOST_STEPS = 64
_CASH, _WALLET = f"{ACCOUNT_PREFIX}cash", f"{ACCOUNT_PREFIX}wallet_balance"
_TABLES = ("wallet_balance", "maintenance_margin")


class Terms(NamedTuple):
    """What a queue is ordered by.

    Attributes:
        venue: the edition; the same for all versions of a store.
        scales: the markets at their marks, by code.
    """

    venue: Venue
    scales: tuple[MarketScale, ...]


class Taken(NamedTuple):
    """The head of a queue.

    Attributes:
        places: (k,) int64, in the order of the queue.
        closed: (k,) int64 lots of each.
        scores: (k,) float64 of each, for display.
        unfilled: lots that the side could not offset.
    """

    places: Int64
    closed: Int64
    scores: NDArray[np.float64]
    unfilled: int


class Kept:
    """One book for all versions of a store; it is made when it is first asked.

    Args:
        roster: who holds what.
    """

    __slots__ = ("_at", "_book", "_names", "_places", "_ranks", "_roster", "_scales", "_steps")

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._book: Book | None = None
        self._at = VersionedArrays({})
        self._ranks = self._places = np.empty(0, np.uint32)
        self._names: list[str] = []
        self._scales: tuple[MarketScale, ...] = ()
        self._steps = 0

    def head(
        self, arrays: VersionedArrays, terms: Terms, section: Section, lots: int, barred: Int64
    ) -> Taken:
        """Take the head of one side's queue as a version has it.

        Args:
            arrays: the version.
            terms: edition and marks.
            section: the side.
            lots: to offset.
            barred: (b,) int64 places of rows that are no candidates, wherever they stand.

        Raises:
            InputError: an equity leaves its range.
        """
        book, now = self.keep(arrays, terms), arrays.read()
        is_here = (barred >= section.start) & (barred < section.stop)
        is_open = now["lots"][barred] != 0
        found = book.select(
            section.number // 2,
            side=SIDES[section.number % 2],
            lots=lots,
            excluded=self._ranks[barred[is_here & is_open]].astype(np.uint64),
            is_ordered=True,
        )
        places = self._places[found.position_id].astype(np.int64)
        return Taken(places, found.lots, found.scores, found.unfilled)

    def keep(self, arrays: VersionedArrays, terms: Terms) -> Book:
        """Bring the book to a version and its marks.

        Raises:
            InputError: an account leaves its range.
        """
        self._follow(arrays)
        if self._book is None:
            self._book, self._at = self._made(arrays.read(), terms), arrays
        else:
            self._mark(self._book, terms.scales)
        self._scales = terms.scales
        return self._book

    def note(self, arrays: VersionedArrays) -> None:
        """Take note of a new version: the book follows now and then, unasked.

        It holds on to the version it stands at, and that to all that was written since.
        """
        self._steps += 1
        if self._steps >= _MOST_STEPS:
            self._follow(arrays)

    def _follow(self, arrays: VersionedArrays) -> None:
        """Bring the book, if there is one, to a version.

        One that cannot take what was written is dropped: a new one refuses only what it reads.
        """
        self._steps = 0
        book, self._book = self._book, None
        if book is not None:
            with suppress(InputError):
                self._write(book, arrays)
                self._book, self._at = book, arrays

    def _made(self, now: Arrays, terms: Terms) -> Book:
        """Make the book of a version."""
        order = np.argsort(now["position_id"])
        self._places, self._ranks = order.astype(np.uint32), np.empty(len(order), np.uint32)
        self._ranks[order] = np.arange(len(order), dtype=np.uint32)
        self._names = _read(now, terms.venue)
        rules = [terms.venue.score_rule(scale.money_units_per_asset) for scale in terms.scales]
        rates = [scale.rate for scale in terms.scales]
        accounts = self._accounts(now, slice(None))
        if _WALLET in now:
            # The wallet that a rule reads is not the cash that an equity starts from.
            equity = equities(now, self._roster.starts, terms.scales)
            accounts |= {} if equity is None else {"equity": equity}
        return Book.from_arrays(
            self._columns(now, np.flatnonzero(now["lots"])),
            _twice(rates),
            rule=_twice(rules),
            accounts=accounts,
            derive_equity=_CASH in now,
        )

    def _write(self, book: Book, arrays: VersionedArrays) -> None:
        """Write to the book what differs between the version it stands at and another."""
        now, names = arrays.read(), [*self._names, "live"]
        tables = [name for name in now if name.startswith(ACCOUNT_PREFIX)]
        written = arrays.written_since(self._at, {*names, *tables})
        places = _rows(written, names)
        if len(places):
            was = now["lots"][places]
            changed, held = written.get("lots", (places[:0], was[:0]))
            was[np.searchsorted(places, changed)] = held
            is_open = now["lots"][places] != 0
            gone = places[(was != 0) & ~is_open]
            if len(gone):
                book.remove(self._ranks[gone].astype(np.uint64))
            if is_open.any():
                book.upsert(self._columns(now, places[is_open]))
        pools = _rows(written, tables)
        if len(pools):
            book.update_accounts(pools.astype(np.uint32), self._accounts(now, pools))

    def _mark(self, book: Book, scales: tuple[MarketScale, ...]) -> None:
        """Set the marks that moved."""
        rates: dict[int, Rate] = {}
        for code, (before, after) in enumerate(zip(self._scales, scales, strict=True)):
            if before is not after and before.rate != after.rate:
                rates[code] = rates[code + len(scales)] = after.rate
        if rates:
            book.set_rates(rates)

    def _columns(self, now: Arrays, places: Int64) -> dict[str, NDArray[Any]]:
        """Give rows as the book takes them."""
        found = {name: now[name].take(places) for name in self._names}
        found["position_id"] = self._ranks[places].astype(np.uint64)
        shadow = np.where(now["live"][places], 0, len(self._roster.markets))
        found["market"] = (self._roster.section[places] // 2 + shadow).astype(np.uint32)
        return found

    def _accounts(self, now: Arrays, pools: Int64 | slice) -> dict[str, NDArray[Any]]:
        """Give rows of the account table as the book takes them: equities follow from wallets."""
        tables = {name: now.get(f"{ACCOUNT_PREFIX}{name}") for name in _TABLES}
        if tables["wallet_balance"] is None:
            tables["wallet_balance"] = now.get(_CASH)
        return {name: table[pools] for name, table in tables.items() if table is not None}


def _read(now: Arrays, venue: Venue) -> list[str]:
    """Name the columns that a rule reads; a margin may be there for the books alone."""
    needs = (*venue.needs.positions, *venue.needs.isolated)
    unread = {"margin", "maintenance_margin"}.difference(*(need.split("|") for need in needs))
    return [name for name in row_columns(now) if name not in unread]


def _twice(of_markets: list[Any]) -> list[Any]:
    """Give what holds for markets for their shadows too."""
    return of_markets + of_markets


def _rows(written: Changes, names: Iterable[str]) -> Int64:
    """Give the rows that were written in any of some arrays, rising."""
    parts = [written[name][0] for name in names if name in written]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)
