"""The kept book: its verbs, as Python sees them."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deleverage import _core
from deleverage.book import checks
from deleverage.book.answers import (
    BookColumns,
    Head,
    LeftOut,
    LightBound,
    Rate,
    Uint8s,
    Uint64s,
)
from deleverage.book.checks import Arrays
from deleverage.errors import InputError
from deleverage.model.frames import read_marks
from deleverage.model.quantise import decimal_of
from deleverage.model.records import Venue
from deleverage.model.rules import Reason, ScoreRule, Weight
from deleverage.model.scales import MarketScale
from deleverage.model.snapshot import Snapshot
from deleverage.model.sources import FrameLike
from deleverage.model.terms import Completion

__all__ = ["Book"]


class Book:
    """Positions of many markets, kept between ticks; make one by `from_frame` or `from_arrays`.

    Positions are known by their `position_id`. A change is made as a whole or not at all. A book of
    an edition remembers its bands and weight of lights, and whether it offsets all or nothing.
    """

    __slots__ = (
        *("_codes", "_core", "_held", "_lights", "_names", "_scales", "_tables", "_threads"),
        "_wants_all",
    )

    def __init__(
        self,
        core: _core.Book,
        *,
        columns: Arrays,
        accounts: Arrays,
        names: Sequence[str],
        scales: Sequence[MarketScale] | None = None,
        venue: Venue | None = None,
        threads: int = 0,
    ) -> None:
        self._core = core
        self._held = checks.names_of("columns", columns)
        self._tables = checks.names_of("accounts", accounts)
        self._names = tuple(names)
        self._codes = {name: code for code, name in enumerate(names)}
        self._scales = None if scales is None else tuple(scales)
        self._threads = threads
        self._lights, self._wants_all = (5, Weight.QUANTITY), False
        if venue is not None:
            self._lights = (venue.lights.bands, venue.lights.weight)
            self._wants_all = venue.allocation.completion is Completion.ALL_OR_NOTHING

    @classmethod
    def from_frame(
        cls,
        positions: FrameLike,
        *,
        marks: FrameLike,
        venue: Venue,
        accounts: FrameLike | None = None,
        markets: FrameLike | None = None,
        neutral: FrameLike | None = None,
        derive_equity: bool = False,
        threads: int = 0,
    ) -> Self:
        """Check the tables and keep their rows.

        Args:
            positions: as in `Snapshot.prepare`.
            marks: market and mark_price.
            venue: the edition.
            accounts: the margin pools.
            markets: contract sizes and units.
            neutral: who is delta-neutral.
            derive_equity: equity follows the marks: it changes by the unrealised profit of the
                positions given. Without it equity is what the accounts say until they say more.
            threads: how many a verb may use, 0 for all.

        Raises:
            InputError: as `Snapshot.prepare`.
        """
        checks.check_edition(venue)
        snapshot = Snapshot.prepare(
            positions,
            marks=marks,
            venue=venue,
            accounts=accounts,
            markets=markets,
            neutral=neutral,
            derive_equity=derive_equity,
        )
        return cls.from_snapshot(snapshot, derive_equity=derive_equity, threads=threads)

    @classmethod
    def from_snapshot(
        cls, snapshot: Snapshot, *, derive_equity: bool = False, threads: int = 0
    ) -> Self:
        """Keep the rows of a snapshot; a position's id is the snapshot's `position_id` column.

        Where the edition's lights count accounts the book holds `owner` too: the place of a row's
        account in `Snapshot.account_names`, or any other number for an account that is new.

        Args:
            snapshot: the book at one moment.
            derive_equity: as in `from_frame`.
            threads: as in `from_frame`.

        Raises:
            InputError: equity shall follow the marks and the accounts hold none.
        """
        checks.check_snapshot(snapshot)
        names = [scale.market for scale in snapshot.markets]
        accounts = dict(snapshot.accounts)
        is_derived = derive_equity and "equity" in accounts
        equity = accounts.get("equity")
        if is_derived and "wallet_balance" not in accounts:
            accounts["wallet_balance"] = np.zeros_like(accounts["equity"])
        columns = {**snapshot.columns, "market": snapshot.market_codes}
        if snapshot.venue.lights.weight is Weight.ACCOUNTS:
            columns["owner"] = snapshot.account_codes
        core = _core.Book(
            checks.columns_of(columns),
            checks.accounts_of(accounts),
            [scale.rate for scale in snapshot.markets],
            [snapshot.rule(name).codes for name in names],
            "auto",
            is_derived,
            checks.checked_threads(threads),
        )
        if is_derived and equity is not None:
            core.rebase(np.ascontiguousarray(equity))
        return cls(
            core,
            columns=columns,
            accounts=accounts,
            names=names,
            scales=snapshot.markets,
            venue=snapshot.venue,
            threads=threads,
        )

    @classmethod
    def from_arrays(
        cls,
        columns: Arrays,
        rates: Sequence[Rate],
        *,
        rule: ScoreRule | Sequence[ScoreRule],
        accounts: Arrays | None = None,
        derive_equity: bool = False,
        simd: str = "auto",
        threads: int = 0,
    ) -> Self:
        """Keep the rows of arrays; markets are then known by their codes.

        Args:
            columns: (n,) arrays by the names of `deleverage.ranking.Columns`, `position_id` among
                them, and `market` where there is more than one.
            rates: (mark_num, mark_den, is_inverse) of each market.
            rule: one for all markets, or one each.
            accounts: (m,) int64 arrays by the names of `deleverage.ranking.Accounts`.
            derive_equity: equity starts as said, else as the wallet plus the unrealised profit of
                the rows that point to the account; each mark value is rounded once, half to even.
            simd: "auto" or an instruction set; the bits are the same.
            threads: how many a verb may use, 0 for all.

        Raises:
            InputError: a column the rule reads is missing, a value is out of range, or an id
                stands there twice.
        """
        tables: Arrays = {} if accounts is None else accounts
        given = checks.checked_rates(rates)
        core = _core.Book(
            checks.columns_of(columns),
            checks.accounts_of(tables),
            given,
            [one.codes for one in checks.rules_of(rule)],
            simd,
            derive_equity,
            checks.checked_threads(threads),
        )
        if derive_equity and tables.get("equity") is not None:
            core.rebase(np.ascontiguousarray(tables["equity"]))
        names = [str(code) for code in range(len(given))]
        return cls(core, columns=columns, accounts=tables, names=names, threads=threads)

    def __len__(self) -> int:
        return len(self._core)

    @property
    def markets(self) -> tuple[str, ...]:
        """Names of the markets, by code."""
        return self._names

    @property
    def version(self) -> int:
        """How often the book has been changed."""
        return self._core.version()

    @property
    def passes(self) -> int:
        """How often a side was passed over to find the rows that are kept at hand."""
        return self._core.passes()

    @property
    def nbytes(self) -> int:
        """Bytes of rows, index and accounts."""
        return self._core.bytes()

    def upsert(self, columns: Arrays) -> None:
        """Add new positions and overwrite known ones.

        Args:
            columns: arrays of the same names as the book was made of.

        Raises:
            InputError: as `from_arrays`; the book is then unchanged.
        """
        self._core.upsert(checks.columns_of(columns, self._held), self._threads)

    def remove(self, position_id: Uint64s | Sequence[int]) -> None:
        """Take positions out.

        Args:
            position_id: (r,) uint64.

        Raises:
            InputError: the book does not hold one, or it is named twice; nothing is then removed.
        """
        self._core.remove(checks.ids_of("position_id", position_id))

    def update_accounts(self, rows: NDArray[np.uint32], accounts: Arrays) -> None:
        """Overwrite rows of the account table.

        Args:
            rows: (r,) uint32.
            accounts: (r,) int64 arrays; a derived equity takes the change of its wallet.

        Raises:
            InputError: a row does not exist, a value is out of range, or a column is not the
                book's; nothing is then changed.
        """
        self._core.update_accounts(
            checks.account_rows_of(rows), checks.accounts_of(accounts, self._tables)
        )

    def set_marks(self, marks: FrameLike) -> int:
        """Set the marks of one market or many; the others keep theirs.

        Args:
            marks: market and mark_price, or a mapping from market to mark price.

        Returns:
            The book's version.

        Raises:
            InputError: a mark is not above zero or of no market here, or the book was made of
                arrays: it knows no units, see `set_rates`.
        """
        return self._core.set_rates(self._rates_at(marks))

    def set_rates(self, rates: Mapping[int, Rate]) -> int:
        """Set marks as the array level knows them.

        Args:
            rates: (mark_num, mark_den, is_inverse) by the market's code.

        Returns:
            The book's version.

        Raises:
            InputError: there is no such market, or a rate is out of range or of the other kind.
        """
        return self._core.set_rates(checks.rates_by_code(rates, len(self._names)))

    def rerank(
        self,
        marks: FrameLike | None = None,
        *,
        rates: Mapping[int, Rate] | None = None,
        bands: int | None = None,
        weight: Weight | str | None = None,
    ) -> int:
        """Set marks and find the edges of all bands of all markets in one call.

        Args:
            marks: as in `set_marks`, or None.
            rates: as in `set_rates`, or None.
            bands: as in `lights`.
            weight: as in `lights`.

        Returns:
            The book's version that the edges hold for.

        Raises:
            InputError: as `set_marks`, `set_rates` and `lights`; the book is then unchanged. Only a
                derived equity that the new marks bring out of range is found after they are set.
        """
        scale = self._scale(bands, weight)
        given = [] if rates is None else checks.rates_by_code(rates, len(self._names))
        if marks is not None:
            given += self._rates_at(marks)
        if given:
            self._core.set_rates(given)
        return self._core.find_edges(*scale, self._threads)

    def select(
        self,
        market: str | int,
        *,
        side: str,
        lots: int,
        excluded: Uint64s | Sequence[int] | None = None,
        is_ordered: bool = False,
    ) -> Head:
        """Take exactly the head of one side's queue that offsets a quantity, at the marks in use.

        Where the edition offsets all or nothing and the side cannot offset all, nobody is taken.
        An account's own legs are not netted first, see `deleverage.plan`.

        Args:
            market: name or code.
            side: of the candidates, `long` or `short`.
            lots: to offset, more than 0 and less than 2**63.
            excluded: (e,) uint64, no candidates.
            is_ordered: the positions come in queue order, with their scores.

        Returns:
            The positions, the lots closed of each, the cut and what is left.

        Raises:
            InputError: no such market or excluded position, or `side` or `lots` is out of range.
        """
        code, sign = checks.code_of(market, self._codes), checks.side_of(side)
        lots = checks.checked_lots(lots)
        barred = (
            checks.NO_IDS if excluded is None else checks.held_ids("excluded", excluded, self._core)
        )
        ids, closed, scores, cut, partial, unfilled, is_kept, version = self._core.select(
            code, sign, lots, barred, bool(is_ordered), self._threads
        )
        if self._wants_all and unfilled:
            ids, closed, scores, cut, partial, unfilled = *checks.NOBODY, lots
        return Head(
            position_id=ids,
            lots=closed,
            scores=scores,
            unfilled=unfilled,
            cut_id=None if cut is None else cut[0],
            cut_score=float("nan") if cut is None else cut[1],
            partial_id=partial,
            is_kept=is_kept,
            version=version,
        )

    def scores(self, position_id: Uint64s | Sequence[int]) -> tuple[NDArray[np.float64], Uint8s]:
        """Score some positions at the marks in use.

        Args:
            position_id: (k,) uint64.

        Returns:
            (k,) float64 scores for display, NaN where there is none, and (k,) uint8 places in
            `Reason`.

        Raises:
            InputError: the book does not hold one.
        """
        return self._core.scores(checks.ids_of("position_id", position_id))

    def left_out(self, market: str | int, *, side: str) -> LeftOut:
        """List the positions of one side that have no place in the queue.

        Args:
            market: name or code.
            side: `long` or `short`.

        Raises:
            InputError: there is no such side.
        """
        ids, codes = self._core.left_out(
            checks.code_of(market, self._codes), checks.side_of(side), self._threads
        )
        names = list(Reason)
        return LeftOut(position_id=ids, reasons=tuple(names[code] for code in codes))

    def rank_of(self, position_id: int) -> int:
        """Give a position's place in its queue: 1 is cut first, 0 is not in the queue.

        Raises:
            InputError: the book does not hold it.
        """
        asked = checks.ids_of("position_id", [position_id])
        return self._core.rank_of(int(asked[0]), self._threads)

    def lights(
        self,
        position_id: Uint64s | Sequence[int] | None = None,
        *,
        bands: int | None = None,
        weight: Weight | str | None = None,
    ) -> Uint8s:
        """Light some positions, or all.

        Args:
            position_id: (k,) uint64, or None for every row in the order of `snapshot`.
            bands: 1 to 100; the edition's if not given, 5 for a book of arrays.
            weight: quantity, entries, or accounts (needs `owner`); the edition's if not given,
                quantity for a book of arrays.

        Returns:
            (k,) uint8: `bands` is next in line, 1 the last, 0 not in the queue.

        Raises:
            InputError: the book does not hold a position, or `bands` or `weight` is out of range.
        """
        ids = None if position_id is None else checks.ids_of("position_id", position_id)
        return self._core.lights(ids, *self._scale(bands, weight), self._threads)

    def light_bounds(
        self,
        market: str | int,
        *,
        side: str,
        bands: int | None = None,
        weight: Weight | str | None = None,
    ) -> tuple[LightBound, ...]:
        """Give the edges between one side's bands of lights.

        Args:
            market: name or code.
            side: `long` or `short`.
            bands: as in `lights`.
            weight: as in `lights`.

        Returns:
            The first entry behind each edge, where there is one; the front of the queue first.

        Raises:
            InputError: there is no such side, or `bands` or `weight` is out of range.
        """
        scale = self._scale(bands, weight)
        found = self._core.light_bounds(
            checks.code_of(market, self._codes), checks.side_of(side), *scale, self._threads
        )
        return tuple(
            LightBound(
                light=scale[0] - edge,
                position_id=one[0],
                tier=one[1],
                score=Fraction(one[3], one[4]),
                shown_score=one[2],
            )
            for edge, one in enumerate(found, 1)
            if one is not None
        )

    def snapshot(self) -> BookColumns:
        """Copy the columns out; a writer goes on meanwhile and copies only what it touches."""
        found = self._core.snapshot()
        return BookColumns(
            columns=found["columns"],
            accounts=found["accounts"],
            rates=tuple(found["rates"]),
            version=found["version"],
        )

    def _scale(self, bands: int | None, weight: Weight | str | None) -> tuple[int, str]:
        """Give bands and weight of lights, as asked or as the edition says."""
        own_bands, own_weight = self._lights
        asked = checks.checked_weight(own_weight if weight is None else weight, self._held)
        return checks.checked_bands(own_bands if bands is None else bands), str(asked)

    def _rates_at(self, marks: FrameLike) -> list[tuple[int, Rate]]:
        if self._scales is None:
            raise InputError("marks: expected rates, as the book was made of arrays: set_rates")
        table = read_marks(marks)
        prices = table.numbers("mark_price").require(positive=True)
        found = []
        for row, name in enumerate(table.texts("market")):
            code = checks.code_of(str(name), self._codes)
            found.append((code, self._scales[code].at(decimal_of(prices.exact(row))).rate))
        return found
