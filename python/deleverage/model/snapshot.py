"""One moment of one venue's book, checked once and kept as whole numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.model.assembly import Tables, assemble
from deleverage.model.digest import leaves, root, text_digest
from deleverage.model.frames import Keys, Table, encode, read_marks, read_table
from deleverage.model.holders import Holders, scan
from deleverage.model.quantise import Int64, decimal_of
from deleverage.model.records import Venue
from deleverage.model.refusals import nearest_name, plain
from deleverage.model.rules import Reason, ScoreRule
from deleverage.model.scales import MarketScale
from deleverage.model.sources import FrameLike

__all__ = ["Kernel", "Snapshot"]

Arrays = Mapping[str, NDArray[Any]]

# What a row that is no candidate is known by.
_IDENTITY = (
    "position_id",
    "account",
    "market",
    "side",
    "qty",
    "entry_price",
    "entry_value",
    "margin_mode",
    "margin",
    "hedged_qty",
    "status",
)

# Questions about an account that are answered by reading its column.
_SCANS = 2


class Kernel(NamedTuple):
    """What the array level takes of one market.

    Attributes:
        columns: arrays by the kernel's names, views of the snapshot's rows start to stop.
        rate: mark_num, mark_den, is_inverse.
        accounts: account table of the whole snapshot by the kernel's names, empty without one.
        start: the snapshot's row of the first entry.
        split: how many entries are long; the short ones follow.
    """

    columns: dict[str, NDArray[Any]]
    rate: tuple[int, int, bool]
    accounts: dict[str, NDArray[Any]]
    start: int
    split: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """Positions, marks and accounts under one edition: prepared once, never changed.

    The arrays may be views of the caller's own columns: those must not be written to.

    Attributes:
        venue: the edition.
        positions: the positions as given, with every column.
        markets: every market that has a mark, sorted by name; its place is its code.
        columns: the kernel's columns by name. Rows stand by market, then long before short; by
            account and margin mode too where the edition judges accounts or rows have no id.
        accounts: the account table by the kernel's names, sorted by asset and account.
        starts: (markets + 1,) int64, where each market's rows start.
        splits: (markets,) int64, where its short rows start.
        rows: (n,) int64, row of `positions` behind each kernel row, or None where they are the
            same. A row whose hedged part queues behind stands twice.
        left_out_rows: (m,) int64, sorted rows of `positions` that are no candidates.
        left_out_reasons: (m,) uint8 places in `Reason`, why.
        exempt_rows: (p,) int64, sorted rows of `positions` that stand in the queue without their
            hedged part, which the edition never cuts.
    """

    venue: Venue
    positions: pl.DataFrame
    markets: tuple[MarketScale, ...]
    columns: Arrays
    accounts: Arrays
    starts: Int64
    splits: Int64
    rows: Int64 | None
    left_out_rows: Int64
    left_out_reasons: NDArray[np.uint8]
    exempt_rows: Int64
    _table: Table
    _is_derived: bool
    _cache: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls,
        positions: FrameLike,
        *,
        marks: FrameLike,
        venue: Venue,
        accounts: FrameLike | None = None,
        markets: FrameLike | None = None,
        neutral: FrameLike | None = None,
        derive_equity: bool = False,
    ) -> Self:
        """Check the tables, infer units and give the snapshot.

        Args:
            positions: account, market, side or a signed qty, qty, and what the edition needs.
            marks: market and mark_price; or a mapping from market to mark price.
            venue: the edition; `venue.needs` says which columns it reads.
            accounts: the margin pools, keyed (account, asset).
            markets: contract sizes and units; without it they are inferred.
            neutral: account, underlier, delta_neutral.
            derive_equity: where no equity is given it is wallet_balance plus the unrealised profit
                of the positions given, so they must be all that the pool carries.

        Raises:
            InputError: one clear message that names table, column, row, value and the way out.
        """
        tables = Tables(
            positions=read_table(positions, kind="positions"),
            marks=read_marks(marks),
            markets=None if markets is None else read_table(markets, kind="markets"),
            accounts=None if accounts is None else read_table(accounts, kind="accounts"),
            neutral=None if neutral is None else read_table(neutral, kind="neutral"),
        )
        made = assemble(tables, venue, derive_equity=derive_equity)
        return cls(
            venue=venue,
            positions=tables.positions.frame,
            markets=made.markets,
            columns=MappingProxyType(made.columns),
            accounts=MappingProxyType(made.accounts),
            starts=made.starts,
            splits=made.splits,
            rows=made.rows,
            left_out_rows=made.left_out_rows,
            left_out_reasons=made.left_out_reasons,
            exempt_rows=made.exempt_rows,
            _table=tables.positions,
            _is_derived=derive_equity,
        )

    def __len__(self) -> int:
        return len(self.columns["lots"])

    def __getstate__(self) -> dict[str, Any]:
        """Give what is pickled: read-only views as plain mappings, and nothing cached."""
        state = {one.name: getattr(self, one.name) for one in fields(self)}
        views = {name: dict(state[name]) for name in ("columns", "accounts")}
        return {**state, **views, "_cache": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take back what was pickled."""
        views = {name: MappingProxyType(state[name]) for name in ("columns", "accounts")}
        for name, value in {**state, **views}.items():
            object.__setattr__(self, name, value)

    def at(self, marks: FrameLike) -> Self:
        """Give the same book at other marks, without checking or moving a row.

        Args:
            marks: as in `prepare`; a market it does not have keeps its mark.

        Raises:
            InputError: a mark is not above zero or of no market here; or equities were derived from
                the marks before, so that the book must be prepared again.
        """
        if self._is_derived:
            raise InputError("marks: expected a new Snapshot.prepare, as equity was derived")
        table = read_marks(marks)
        prices = table.numbers("mark_price").require(positive=True)
        has_before = table.has("previous_mark_price")
        before = table.decimals("previous_mark_price") if has_before else None
        scales = list(self.markets)
        for row, name in enumerate(table.texts("market")):
            place = self.code(str(name))
            scales[place] = scales[place].at(
                decimal_of(prices.exact(row)), previous=before[row] if before else None
            )
        # All that is kept but the digest says who holds what, which no mark changes.
        kept = {name: made for name, made in self._cache.items() if name != "digest"}
        return replace(self, markets=tuple(scales), _cache=kept)

    def code(self, market: str) -> int:
        """Give a market's code, its place in `markets`.

        Raises:
            InputError: there is no such market.
        """
        codes = self._cached("codes", lambda: {s.market: i for i, s in enumerate(self.markets)})
        if market not in codes:
            hint = nearest_name(market, codes)
            raise InputError(f"market: expected a market that has a mark, got {market!r}{hint}")
        return int(codes[market])

    def scale(self, market: str) -> MarketScale:
        """Give a market's units and mark.

        Raises:
            InputError: there is no such market.
        """
        return self.markets[self.code(market)]

    def rule(self, market: str) -> ScoreRule:
        """Give the kernel's rule for one market's settlement asset."""
        return self.venue.score_rule(self.scale(market).money_units_per_asset)

    def kernel(self, market: str) -> Kernel:
        """Give what the array level takes of one market.

        Raises:
            InputError: there is no such market.
        """
        code = self.code(market)
        start, stop = int(self.starts[code]), int(self.starts[code + 1])
        return Kernel(
            columns={name: column[start:stop] for name, column in self.columns.items()},
            rate=self.markets[code].rate,
            accounts=dict(self.accounts),
            start=start,
            split=int(self.splits[code]) - start,
        )

    @property
    def market_codes(self) -> NDArray[np.uint32]:
        """(n,) uint32, the market of each kernel row."""
        codes = np.arange(len(self.markets), dtype=np.uint32)
        made: NDArray[np.uint32] = self._cached(
            "market_codes", lambda: np.repeat(codes, np.diff(self.starts))
        )
        return made

    def original(self, rows: Int64) -> Int64:
        """Give the rows of `positions` behind some kernel rows."""
        return rows if self.rows is None else self.rows.take(rows)

    def holder(self, row: int) -> int | str:
        """Give the account of one kernel row, as it was given."""
        return self._keys("account").at(int(self.original(np.array([row]))[0]))

    def account_rows(self, account: int | str, market: str | None = None) -> Int64:
        """Find the kernel rows of an account.

        Args:
            account: the id as in `positions`.
            market: one market, or all of them.

        Returns:
            (m,) int64, rising; empty if the account holds nothing here.

        Raises:
            InputError: there is no such market.
        """
        start, stop = 0, len(self)
        if market is not None:
            code = self.code(market)
            start, stop = int(self.starts[code]), int(self.starts[code + 1])
        rows = self._rows_of(str(account))
        return rows if market is None else rows[(rows >= start) & (rows < stop)]

    def _rows_of(self, account: str) -> Int64:
        """Give an account's kernel rows; from the third question on by an index."""
        asked = self._cache.get("asked", 0)
        if asked < _SCANS:
            self._cache["asked"] = asked + 1
            return scan(self._keys("account"), self.rows, account)
        index: Holders = self._cached(
            "holders", lambda: Holders.of(self._keys("account"), self.rows)
        )
        return index.find(account)

    @property
    def account_codes(self) -> NDArray[np.uint32]:
        """(n,) uint32 place of each kernel row's account in `account_names`."""
        made: NDArray[np.uint32] = self._accounts()[0]
        return made

    @property
    def account_names(self) -> pl.Series:
        """The accounts of the frame, each once, sorted."""
        made: pl.Series = self._accounts()[1]
        return made

    def _accounts(self) -> tuple[NDArray[np.uint32], pl.Series]:
        def make() -> tuple[NDArray[np.uint32], pl.Series]:
            (codes,), names = encode(self._keys("account"))
            if names is None:
                numbers, places = np.unique(codes, return_inverse=True)
                codes, names = places.astype(np.uint32), pl.Series("account", numbers)
            return codes if self.rows is None else codes.take(self.rows), names

        made: tuple[NDArray[np.uint32], pl.Series] = self._cached("accounts", make)
        return made

    def frame(self) -> pl.DataFrame:
        """Give the kernel rows as a frame: who holds them, and every integer column."""
        rows = np.arange(len(self)) if self.rows is None else self.rows
        names = pl.Series([scale.market for scale in self.markets], dtype=pl.String)
        shown = [
            pl.Series("row", rows),
            self.positions["account"].gather(rows),
            names.gather(self.market_codes).alias("market"),
            pl.Series("side", np.where(self.columns["lots"] > 0, "long", "short")),
        ]
        own = [pl.Series(_shown(name), values) for name, values in self.columns.items()]
        return pl.DataFrame([*shown, *own])

    def left_out(self) -> pl.DataFrame:
        """Give the rows of `positions` that are no candidates, and the reason of each."""
        reasons = pl.Series(list(Reason), dtype=pl.String)
        return pl.DataFrame(
            {"row": self.left_out_rows, "reason": reasons.gather(self.left_out_reasons)}
        )

    @property
    def digest(self) -> str:
        """The root of the hash tree over rows, accounts, left-out rows, scales and edition."""
        made: str = self._cached("digest", self._digest)
        return made

    def _digest(self) -> str:
        ids = self.columns["position_id"]
        order = None if bool((ids[1:] >= ids[:-1]).all()) else np.argsort(ids, kind="stable")
        rows = {
            name: column if order is None else column.take(order)
            for name, column in self.columns.items()
            if name != "position_id"
        }
        market = self.market_codes
        rows["market"] = market if order is None else market.take(order)
        origin = np.arange(len(self)) if self.rows is None else self.rows
        origin = origin if order is None else origin.take(order)
        texts = []
        for name in ("position_id", "account"):
            if not self._table.has(name):
                continue
            keys = self._keys(name)
            if keys.numbers is not None:
                rows[f"given {name}"] = keys.numbers.take(origin)
            else:
                texts.append(_reader(keys.as_text(), origin))
        parts = [root(leaves(rows, texts)), *self._small_digests()]
        return text_digest(part.hex() for part in parts).hex()

    def _small_digests(self) -> list[bytes]:
        """Hash what is not a candidate's row: pools, rows left out, scales, edition."""
        names = [one.name for one in fields(MarketScale) if one.name != "inferred"]
        scales = [plain(getattr(scale, name)) for scale in self.markets for name in names]
        names = [name for name in _IDENTITY if name in self.positions.columns]
        left = self.positions.select(names)[self.left_out_rows]
        rows = zip(left.iter_rows(), self.left_out_reasons.tolist(), strict=True)
        out = [repr((*row, reason)) for row, reason in rows]
        pools = root(leaves(self.accounts))
        return [
            pools,
            text_digest(sorted(out)),
            text_digest(scales),
            text_digest([repr(self.venue)]),
        ]

    def _keys(self, column: str) -> Keys:
        made: Keys = self._cached(f"keys {column}", lambda: self._table.keys(column))
        return made

    def _cached(self, name: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401  # any view
        """Give what was made before; made twice by two threads it is the same."""
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]


def _shown(name: str) -> str:
    """Name the kernel's columns apart from the frame's own."""
    return {"account": "pool", "position_id": "order_key"}.get(name, name)


def _reader(texts: pl.Series, origin: Int64) -> Callable[[int, int], list[str]]:
    """Give what reads rows start to stop of a text column in id order."""

    def read(start: int, stop: int) -> list[str]:
        return list(texts.gather(origin[start:stop]))

    return read
