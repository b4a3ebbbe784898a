"""The positions of a venue, in versions, and the kept book that answers who is next.

A version is what a command left: columns in order of places, which ones stand in a queue, the hash
trees over them. The kept book follows whichever version is asked (`keeping`). This is the whole
surface the engine uses.

The equity of an account is no column: it is its cash and the profits of its rows, so that a mark
changes no row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deleverage.engine import rows as steps
from deleverage.engine.arrays import Changes, VersionedArrays
from deleverage.engine.keeping import Kept, Taken, Terms
from deleverage.engine.roster import MODES, SIDES, Roster
from deleverage.engine.rows import ACCOUNT_PREFIX, EQUITY, MONEY
from deleverage.model.scales import MarketScale
from deleverage.ranking import OWN_MARGIN, Accounts, Columns

__all__ = ["Change", "Holding", "Positions", "Side"]

Int64 = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]
_NO_ROWS: Int64 = np.empty(0, np.int64)


class Holding(NamedTuple):
    """One row, in whole units.

    Attributes:
        place: in the roster.
        position_id: as text; a hedged part has the id of its position.
        account: its owner.
        market: its market.
        mode: margin mode.
        lots: signed; 0 once it is closed.
        entry_value: money units.
        margin: own margin, money units; None where the edition reads none.
        maintenance: maintenance margin, money units; None where the edition reads none.
        tier: 0 is cut first.
        pool: row of the account table it is judged by, or `OWN_MARGIN`.
    """

    place: int
    position_id: str
    account: str
    market: str
    mode: str
    lots: int
    entry_value: int
    margin: int | None
    maintenance: int | None
    tier: int
    pool: int

    @property
    def side(self) -> str:
        """Its side while it is open."""
        return SIDES[0] if self.lots > 0 else SIDES[1]


class Change(NamedTuple):
    """What becomes of one row.

    Attributes:
        place: in the roster.
        lots: signed lots after.
        entry_value: money units after.
        paid: what its owner's wallet gained by it, money units.
        is_aside: whether the row is out of the queue from now on.
    """

    place: int
    lots: int
    entry_value: int
    paid: int = 0
    is_aside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """The rows of one side of one market that stand in its queue; copies.

    Attributes:
        places: (k,) int64 of the rows, rising.
        columns: what the ranking takes.
    """

    places: Int64
    columns: Columns


class Positions:
    """One version of every position; a change gives a new version and keeps this one.

    Args:
        roster: who holds what.
        arrays: columns by name in order of places, `account ` before those of the account table,
            `live` for rows in a queue, `stamp` of the last change, and the levels of the hash
            trees.
        kept: the book that all versions share.
    """

    __slots__ = ("_arrays", "_kept", "roster")

    def __init__(self, roster: Roster, arrays: VersionedArrays, kept: Kept) -> None:
        self.roster = roster
        self._arrays = arrays
        self._kept = kept

    @classmethod
    def open(cls, roster: Roster, columns: Arrays, aside: NDArray[np.bool_]) -> "Positions":
        """Start with a book.

        Args:
            roster: who holds what.
            columns: by the kernel's names, in order of places; `account ` before those of the
                account table. They belong to the store from now on.
            aside: (n,) bool, rows that are not in the queue.
        """
        arrays = {name: array for name, array in columns.items() if name != EQUITY}
        arrays["live"] = ~aside
        arrays.setdefault("stamp", np.zeros(len(roster), np.int64))
        store = VersionedArrays({**arrays, **steps.grown(arrays)})
        return cls(roster, store, Kept(roster))

    def _next(self, arrays: VersionedArrays) -> "Positions":
        """Give the version of some arrays."""
        self._kept.note(arrays)
        return Positions(self.roster, arrays, self._kept)

    @property
    def columns(self) -> Arrays:
        """Every array by name, until the next change."""
        return self._arrays.read()

    @property
    def root(self) -> str:
        """The root of the hash tree over every row and every account, in hexadecimal."""
        return steps.root(self._arrays.read())

    def regrown(self) -> str:
        """Give the root with everything hashed again: what `root` must be."""
        return steps.root(steps.grown(self._arrays.read()))

    def is_true_since(self, older: "Positions") -> bool:
        """Tell whether `root` is right, if it was in an older version.

        What was written since is hashed again, and all that stands above it, whatever a command
        said that it changed.
        """
        return steps.is_true(self._arrays.read(), self._written_since(older))

    def net_lots_since(self, older: "Positions") -> dict[str, int]:
        """Give by how much long less short lots of each market changed since an older version."""
        rows, held = self._written_since(older).get("lots", (_NO_ROWS, _NO_ROWS))
        moved = self._arrays.read()["lots"][rows] - held
        markets = np.searchsorted(self.roster.starts[::2], rows, side="right") - 1
        return {
            self.roster.markets[code]: steps.wide_sum(moved[markets == code])
            for code in np.unique(markets).tolist()
        }

    def _written_since(self, older: "Positions") -> Changes:
        """Give what was written since an older version, by array."""
        return self._arrays.written_since(older._arrays)  # noqa: SLF001 - its own kind

    def keep(self, terms: Terms) -> None:
        """Have the kept book ready, so that the next question does not wait until it is made."""
        self._kept.keep(self._arrays, terms)

    def head(self, terms: Terms, market: str, side: str, lots: int, barred: Int64) -> Taken:
        """Take the head of one side's queue.

        Args:
            terms: edition and marks.
            market: its name.
            side: of the candidates.
            lots: to offset.
            barred: (b,) int64 places of rows that are no candidates, wherever they stand.

        Raises:
            InputError: there is no such market or side, or an equity leaves its range.
        """
        section = self.roster.section_of(market, side)
        return self._kept.head(self._arrays, terms, section, lots, barred)

    def side(self, market: str, side: str) -> Side:
        """Give the queue's rows of one side of one market.

        Raises:
            InputError: there is no such market or side.
        """
        section = self.roster.section_of(market, side)
        is_live = self._arrays.read()["live"][section.start : section.stop]
        places = section.start + np.flatnonzero(is_live)
        return Side(places=places, columns=self.picked(places))

    def picked(self, places: Int64) -> Columns:
        """Give some rows as a ranking takes them."""
        arrays = self._arrays.read()
        return Columns(**{name: arrays[name].take(places) for name in steps.row_columns(arrays)})

    def accounts(self, terms: Terms) -> Accounts | None:
        """Give the account table at the marks, or None where no row is judged by it."""
        arrays = self._arrays.read()
        if "account" not in arrays:
            return None
        names = [name for name in Accounts.__dataclass_fields__ if name != "equity"]
        table = {name: arrays.get(f"{ACCOUNT_PREFIX}{name}") for name in names}
        return Accounts(**table, equity=steps.equities(arrays, self.roster.starts, terms.scales))

    def judged(self, terms: Terms, places: Int64) -> tuple[Columns, Accounts | None]:
        """Give some rows, and the accounts that judge them, as a ranking takes them.

        Args:
            terms: edition and marks.
            places: (k,) int64.
        """
        arrays, columns = self._arrays.read(), self.picked(places)
        if columns.account is None:
            return columns, None
        is_shared = columns.account != OWN_MARGIN
        pools, where = np.unique(columns.account[is_shared], return_inverse=True)
        account = columns.account.copy()
        account[is_shared] = where.astype(np.uint32)
        names = [*Accounts.__dataclass_fields__, "cash"]
        table = {
            name: arrays[f"{ACCOUNT_PREFIX}{name}"][pools]
            for name in names
            if f"{ACCOUNT_PREFIX}{name}" in arrays
        }
        if "cash" in table:
            legs = self.roster.places_of_codes(np.unique(self.roster.owner[places]))
            legs = legs[np.isin(arrays["account"][legs], pools)]
            gained = steps.gains(arrays, self.roster.starts, terms.scales, legs)
            table["equity"] = table.pop("cash")
            np.add.at(table["equity"], np.searchsorted(pools, arrays["account"][legs]), gained)
        return replace(columns, account=account), Accounts(**table)

    def stamp(self, places: Int64) -> int:
        """Give the last change of some places: the sequence number of its command."""
        return int(self._arrays.read()["stamp"][places].max(initial=0))

    def is_live(self, place: int) -> bool:
        """Tell whether a row is in the queue."""
        return bool(self._arrays.read()["live"][place])

    def holding(self, place: int) -> Holding:
        """Give one row."""
        return self.holdings(np.array([place], np.int64))[0]

    def holdings(self, places: Int64) -> list[Holding]:
        """Give some rows, in the order of the places."""
        arrays, roster = self._arrays.read(), self.roster
        nothing = [None] * len(places)

        def column(name: str, absent: Sequence[Any] = nothing) -> Sequence[Any]:
            return arrays[name][places].tolist() if name in arrays else absent

        return [
            Holding(*values)
            for values in zip(
                places.tolist(),
                roster.ids_of(places),
                roster.accounts_of(places),
                [roster.markets[number // 2] for number in roster.section[places].tolist()],
                [MODES[mode] for mode in roster.mode[places].tolist()],
                column("lots"),
                column("entry_value"),
                column("margin"),
                column("maintenance_margin"),
                column("tier", [0] * len(places)),
                column("account", [OWN_MARGIN] * len(places)),
                strict=True,
            )
        ]

    def net_lots(self, market: str) -> int:
        """Give long less short lots of a market, set-aside rows too."""
        code = self.roster.code(market)
        rows = slice(int(self.roster.starts[2 * code]), int(self.roster.starts[2 * code + 2]))
        return steps.wide_sum(self._arrays.read()["lots"][rows])

    def in_places(self, terms: Terms) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """Give every column, equities among them, and which rows are set aside; copies."""
        arrays = self._arrays.read()
        names = [*steps.row_columns(arrays), "stamp"]
        names += [name for name in arrays if name.startswith(ACCOUNT_PREFIX)]
        found = {name: arrays[name].copy() for name in names}
        equity = steps.equities(arrays, self.roster.starts, terms.scales)
        return found | ({} if equity is None else {EQUITY: equity}), ~arrays["live"]

    def change(
        self, changes: Sequence[Change], scale: MarketScale, *, sequence: int
    ) -> "Positions":
        """Change rows of one market.

        Args:
            changes: each row once.
            scale: the market at its mark.
            sequence: of the command, for the stamp.
        """
        places = np.array([change.place for change in changes], np.int64)
        arrays = self._arrays.read()
        lots = np.array([change.lots for change in changes], np.int64)
        before = arrays["lots"][places]
        put: dict[str, tuple[Int64, NDArray[Any]]] = {
            "lots": (places, lots),
            "entry_value": (places, np.array([c.entry_value for c in changes], np.int64)),
            "stamp": (places, np.full(len(places), sequence)),
        }
        for name in MONEY[1:]:
            if name in arrays:
                put[name] = (places, steps.kept(arrays[name][places], before, lots))
        is_aside = np.array([change.is_aside for change in changes], np.bool_)
        put["live"] = (places, arrays["live"][places] & (lots != 0) & ~is_aside)
        released = None
        if "maintenance_margin" in put:
            released = arrays["maintenance_margin"][places] - put["maintenance_margin"][1]
        pools = arrays["account"][places] if "account" in arrays else None
        store = self._arrays.put(put)
        if "profit_lots" in arrays:
            store = steps.joined(store, self.roster, places, scale.market)
        if pools is not None:
            paid = np.array([change.paid for change in changes], np.int64)
            store = steps.credited(store, pools, paid, released)
        return self._next(steps.rehashed(store, places, pools))

    def left_queue(self, places: Int64) -> "Positions":
        """Take rows out of their queues.

        Args:
            places: (k,) int64, each once.
        """
        return self._next(self._arrays.put({"live": (places, np.zeros(len(places), np.bool_))}))

    def touched(self, places: Int64, *, sequence: int) -> "Positions":
        """Note that a command changed what some rows stand on."""
        return self._next(self._arrays.put({"stamp": (places, np.full(len(places), sequence))}))

    def folded(self, places: Int64, *, sequence: int) -> "Positions":
        """Put the hedged part of a position back to it.

        Args:
            places: of one position: its row, and that of its hedged part if it has one.
            sequence: of the command, for the stamp.
        """
        if len(places) == 1:
            return self
        arrays = self._arrays.read()
        put: dict[str, tuple[Int64, NDArray[Any]]] = {
            "stamp": (places, np.full(len(places), sequence)),
            "live": (places[1:], np.zeros(len(places) - 1, np.bool_)),
        }
        for name in ("lots", *MONEY):
            if name in arrays:
                whole = np.zeros(len(places), np.int64)
                whole[0] = int(arrays[name][places].sum())
                put[name] = (places, whole)
        return self._next(steps.rehashed(self._arrays.put(put), places, None))

    def credit(self, pool: int, amount: int) -> "Positions":
        """Change what an account has in cash.

        Args:
            pool: row of the account table.
            amount: money units, signed.
        """
        pools = np.array([pool], np.uint32)
        store = steps.credited(self._arrays, pools, np.array([amount], np.int64))
        return self._next(steps.rehashed(store, None, pools))

    def require_mark(self, scale: MarketScale) -> None:
        """Check that a mark gives values in range, where equities follow them.

        Args:
            scale: the market at the mark.

        Raises:
            InputError: the mark value of a position has 2^51 money units or more.
        """
        arrays = self._arrays.read()
        if f"{ACCOUNT_PREFIX}cash" not in arrays:
            return
        code = self.roster.code(scale.market)
        start, stop = int(self.roster.starts[2 * code]), int(self.roster.starts[2 * code + 2])
        lots = arrays["lots"][start:stop]
        ends = np.array([lots.min(initial=0), lots.max(initial=0)])
        steps.profits(scale, ends[ends != 0], np.zeros(np.count_nonzero(ends), np.int64))
