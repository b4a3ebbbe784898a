"""The positions of a venue, kept between commands: columns that a ranking reads as they stand.

The rows of one side of one market stand together: first those in the queue, then those set aside
(in liquidation, exempt, or closed). A row that leaves the queue changes places with the last one
in it, so a ranking reads one slice and nothing is copied. Whatever order rows stand in, the ranking
and the root are the same. This is the whole surface the engine uses, so that another store can
take its place.

The kept book (`deleverage.Book`) is not that store yet. It has one version, and a plan, a refused
command and an audit read older ones; it gives its rows all at once, and the hash tree reads the
blocks that changed; it has no rows that are held and stand in no queue. With a read by id, a mark
for rows set aside, and an upsert that answers with what stood there before (the undo of a version,
as `arrays` keeps it), `Positions` would be its face, and nothing above would change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deleverage.engine import rows as steps
from deleverage.engine.arrays import Changes, VersionedArrays
from deleverage.engine.roster import MODES, SIDES, Roster
from deleverage.engine.rows import ACCOUNT_PREFIX, MONEY
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
    """The queue's rows of one side of one market; views, true until the next change.

    Attributes:
        start: first row.
        columns: what the ranking takes.
        accounts: the account table, or None.
    """

    start: int
    columns: Columns
    accounts: Accounts | None

    def __len__(self) -> int:
        return len(self.columns.lots)


class Positions:
    """One version of every position; a change gives a new version and keeps this one.

    Args:
        roster: who holds what.
        arrays: columns by name, `account ` before those of the account table, `slot` and `place`
            between places and rows, `live` rows in the queue by section, `stamp` of the last
            change by row, and the levels of the hash trees.
    """

    __slots__ = ("_arrays", "roster")

    def __init__(self, roster: Roster, arrays: VersionedArrays) -> None:
        self.roster = roster
        self._arrays = arrays

    @classmethod
    def open(cls, roster: Roster, columns: Arrays, aside: NDArray[np.bool_]) -> "Positions":
        """Start with a book.

        Args:
            roster: who holds what.
            columns: by the kernel's names, in order of places; `account ` before those of the
                account table. They belong to the store from now on.
            aside: (n,) bool, rows that are not in the queue.
        """
        count = len(roster)
        arrays = dict(columns)
        arrays["slot"] = np.arange(count)
        arrays["place"] = np.arange(count)
        arrays["live"] = np.diff(roster.starts)
        arrays.setdefault("stamp", np.zeros(count, np.int64))
        store = VersionedArrays({**arrays, **steps.grown(arrays)})
        gone = np.flatnonzero(aside)
        return cls(roster, steps.left_queue(store, roster, gone) if len(gone) else store)

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

    def side(self, market: str, side: str) -> Side:
        """Give the queue's rows of one side of one market.

        Raises:
            InputError: there is no such market or side.
        """
        section = self.roster.section_of(market, side)
        arrays = self._arrays.read()
        stop = section.start + int(arrays["live"][section.number])
        rows = slice(section.start, stop)
        names = Columns.__dataclass_fields__
        columns = {name: array[rows] for name, array in arrays.items() if name in names}
        table = {
            name.removeprefix(ACCOUNT_PREFIX): array
            for name, array in arrays.items()
            if name.startswith(ACCOUNT_PREFIX)
            and name.removeprefix(ACCOUNT_PREFIX) in Accounts.__dataclass_fields__
        }
        accounts = Accounts(**table) if "account" in columns else None
        return Side(start=section.start, columns=Columns(**columns), accounts=accounts)

    def places(self, rows: Int64) -> Int64:
        """Give the places of some rows."""
        found: Int64 = self._arrays.read()["place"][rows]
        return found

    def rows(self, places: Int64) -> Int64:
        """Give the rows of some places."""
        found: Int64 = self._arrays.read()["slot"][places]
        return found

    def stamp(self, places: Int64) -> int:
        """Give the last change of some places: the sequence number of its command."""
        return int(self._arrays.read()["stamp"][self.rows(places)].max(initial=0))

    def is_live(self, place: int) -> bool:
        """Tell whether a row is in the queue."""
        number = int(self.roster.section[place])
        row = int(self.rows(np.array([place]))[0])
        start = int(self.roster.starts[number])
        return row < start + int(self._arrays.read()["live"][number])

    def holding(self, place: int) -> Holding:
        """Give one row."""
        return self.holdings(np.array([place], np.int64))[0]

    def holdings(self, places: Int64) -> list[Holding]:
        """Give some rows, in the order of the places."""
        arrays, roster = self._arrays.read(), self.roster
        rows = arrays["slot"][places]
        nothing = [None] * len(rows)

        def column(name: str, absent: Sequence[Any] = nothing) -> Sequence[Any]:
            return arrays[name][rows].tolist() if name in arrays else absent

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
                column("tier", [0] * len(rows)),
                column("account", [OWN_MARGIN] * len(rows)),
                strict=True,
            )
        ]

    def net_lots(self, market: str) -> int:
        """Give long less short lots of a market, set-aside rows too."""
        code = self.roster.code(market)
        rows = slice(int(self.roster.starts[2 * code]), int(self.roster.starts[2 * code + 2]))
        return steps.wide_sum(self._arrays.read()["lots"][rows])

    def in_places(self) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """Give every column in order of places, and which rows are set aside; copies."""
        arrays, roster = self._arrays.read(), self.roster
        slots = arrays["slot"]
        found = {name: arrays[name][slots] for name in (*steps.row_columns(arrays), "stamp")}
        found |= {name: a.copy() for name, a in arrays.items() if name.startswith(ACCOUNT_PREFIX)}
        stops = roster.starts[:-1] + arrays["live"]
        return found, slots >= stops[roster.section]

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
        rows = arrays["slot"][places]
        lots = np.array([change.lots for change in changes], np.int64)
        before = arrays["lots"][rows]
        put: dict[str, tuple[Int64, NDArray[Any]]] = {
            "lots": (rows, lots),
            "entry_value": (rows, np.array([c.entry_value for c in changes], np.int64)),
            "stamp": (rows, np.full(len(rows), sequence)),
        }
        for name in MONEY[1:]:
            if name in arrays:
                put[name] = (rows, steps.kept(arrays[name][rows], before, lots))
        released = None
        if "maintenance_margin" in put:
            released = arrays["maintenance_margin"][rows] - put["maintenance_margin"][1]
        old = arrays["entry_value"][rows]
        pools = arrays["account"][rows] if "account" in arrays else None
        store = self._arrays.put(put)
        if "profit_lots" in arrays:
            store = steps.joined(store, self.roster, places, scale.market)
        if pools is not None:
            paid = np.array([change.paid for change in changes], np.int64)
            unrealised = steps.profits(scale, before, old)
            now = steps.profits(scale, lots, put["entry_value"][1])
            store = steps.credited(store, pools, paid, now - unrealised, released)
        gone = places[(lots == 0) | np.array([change.is_aside for change in changes], np.bool_)]
        store = steps.left_queue(store, self.roster, gone)
        return Positions(self.roster, steps.rehashed(store, places, pools))

    def left_queue(self, places: Int64) -> "Positions":
        """Take rows out of their queues.

        Args:
            places: (k,) int64; what is out already stays where it is.
        """
        return Positions(self.roster, steps.left_queue(self._arrays, self.roster, places))

    def touched(self, places: Int64, *, sequence: int) -> "Positions":
        """Note that a command changed what some rows stand on."""
        rows = self.rows(places)
        return Positions(
            self.roster, self._arrays.put({"stamp": (rows, np.full(len(rows), sequence))})
        )

    def folded(self, places: Int64, *, sequence: int) -> "Positions":
        """Put the hedged part of a position back to it.

        Args:
            places: of one position: its row, and that of its hedged part if it has one.
            sequence: of the command, for the stamp.
        """
        if len(places) == 1:
            return self
        arrays = self._arrays.read()
        rows = arrays["slot"][places]
        put: dict[str, tuple[Int64, NDArray[Any]]] = {"stamp": (rows, np.full(len(rows), sequence))}
        for name in ("lots", *MONEY):
            if name in arrays:
                whole = np.zeros(len(rows), np.int64)
                whole[0] = int(arrays[name][rows].sum())
                put[name] = (rows, whole)
        store = steps.left_queue(self._arrays.put(put), self.roster, places[1:])
        return Positions(self.roster, steps.rehashed(store, places, None))

    def credit(self, pool: int, amount: int) -> "Positions":
        """Change what an account has in cash.

        Args:
            pool: row of the account table.
            amount: money units, signed.
        """
        pools = np.array([pool], np.uint32)
        amounts = np.array([amount], np.int64)
        store = steps.credited(self._arrays, pools, amounts, np.zeros(1, np.int64))
        return Positions(self.roster, steps.rehashed(store, None, pools))

    def marked(self, before: MarketScale, after: MarketScale) -> "Positions":
        """Let the equities of cross accounts follow the mark of one market."""
        arrays = self._arrays.read()
        name = f"{ACCOUNT_PREFIX}equity"
        if name not in arrays or "account" not in arrays:
            return self
        code = self.roster.code(before.market)
        start, stop = int(self.roster.starts[2 * code]), int(self.roster.starts[2 * code + 2])
        pools = arrays["account"][start:stop]
        held = pools != OWN_MARGIN
        lots = arrays["lots"][start:stop][held]
        value = arrays["entry_value"][start:stop][held]
        moved = steps.profits(after, lots, value) - steps.profits(before, lots, value)
        gained = np.zeros(len(arrays[name]), np.int64)
        np.add.at(gained, pools[held], moved)
        rows = np.flatnonzero(gained)
        if not len(rows):
            return self
        put = self._arrays.put({name: (rows, arrays[name][rows] + gained[rows])})
        return Positions(self.roster, put)
