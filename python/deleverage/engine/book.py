"""A book as it is loaded: frames checked once, and kept as the whole numbers of a command.

What is journalled are the checked integers, not the frames they came from: a replay then needs no
reader of frames, and cannot read them another way than the first time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.engine import packing
from deleverage.engine.roster import MODES, Roster
from deleverage.engine.rows import ACCOUNT_PREFIX, EQUITY, gains
from deleverage.errors import InputError
from deleverage.ledger import Value
from deleverage.model.frames import Table, read_table
from deleverage.model.quantise import quantise
from deleverage.model.records import Venue
from deleverage.model.rules import Scope
from deleverage.model.scales import MarketScale
from deleverage.model.snapshot import Snapshot
from deleverage.model.sources import FrameLike
from deleverage.model.terms import Hedged
from deleverage.model.tiers import HEDGED
from deleverage.ranking import OWN_MARGIN

__all__ = ["Book", "Frames", "pack", "read_book", "unpack"]

Int64 = NDArray[np.int64]
_SCALES = ("lot_size", "price_unit", "money_unit", "settle")
_MARGINS = ("margin", "bankruptcy_price", "bankruptcy_value")
_ID = "position_id"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """The tables of one book; see `Snapshot.prepare`. `markets` must say every unit."""

    positions: FrameLike
    marks: FrameLike
    markets: FrameLike
    accounts: FrameLike | None = None
    neutral: FrameLike | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Book:
    """What a loaded book is.

    Attributes:
        roster: who holds what, by place.
        columns: the store's columns in order of places; `account ` before those of the account
            table, whose rows count from 0.
        aside: (n,) bool, rows that are not in the queue.
        scales: every market at its mark, by code.
        wallets: by asset, (accounts,) int64: what each account has brought, money units.
    """

    roster: Roster
    columns: Mapping[str, NDArray[Any]]
    aside: NDArray[np.bool_]
    scales: tuple[MarketScale, ...]
    wallets: Mapping[str, Int64]


def read_book(frames: Frames, venue: Venue) -> Book:
    """Check the tables of a book.

    Args:
        frames: the tables.
        venue: the edition.

    Raises:
        InputError: one clear message that names table, column, row, value and the way out.
    """
    positions = read_table(frames.positions, kind="positions")
    markets = read_table(frames.markets, kind="markets")
    _require_units(markets)
    frame = _named(positions.frame)
    is_liquidating = _statuses(positions)
    snapshot = Snapshot.prepare(
        frame.drop("status", strict=False),
        marks=frames.marks,
        venue=_whole(venue),
        accounts=frames.accounts,
        markets=markets.frame,
        neutral=frames.neutral,
    )
    accounts = None
    if frames.accounts is not None:
        accounts = read_table(frames.accounts, kind="accounts")
    return _book(snapshot, venue, frame, is_liquidating, accounts)


def _whole(venue: Venue) -> Venue:
    """Give the edition with exempt parts kept: they are not in the queue, but in the books."""
    if venue.eligibility.hedged is not Hedged.EXEMPT:
        return venue
    eligibility = replace(venue.eligibility, hedged=Hedged.BEHIND)
    return replace(venue, eligibility=eligibility, tiers=replace(venue.tiers, hedged=True))


def _require_units(markets: Table) -> None:
    """Refuse units that would have to be guessed."""
    markets.require(*_SCALES, why="an engine never infers units")
    for name in _SCALES:
        column = markets.frame[name]
        if column.null_count():
            row = int(column.is_null().arg_max() or 0)
            raise markets.refuse(name, row, "a value", "an engine never infers units")


def _named(frame: pl.DataFrame) -> pl.DataFrame:
    """Give every row an id, by who holds it where, if it has none."""
    if "position_id" in frame.columns:
        return frame
    side = (
        pl.when(pl.col("qty").cast(pl.Float64) < 0).then(pl.lit("short")).otherwise(pl.lit("long"))
    )
    parts = [pl.col("account"), pl.col("market")]
    parts.append(pl.col("side") if "side" in frame.columns else side)
    if "margin_mode" in frame.columns:
        parts.append(pl.col("margin_mode"))
    spelled = pl.concat_str([part.cast(pl.String) for part in parts], separator="/")
    return frame.with_columns(spelled.alias("position_id"))


def _statuses(positions: Table) -> NDArray[np.bool_]:
    """Tell which rows are in liquidation already."""
    if not positions.has("status"):
        return np.zeros(len(positions), np.bool_)
    return positions.codes("status", ("open", "liquidating")).astype(np.bool_)


def _book(
    snapshot: Snapshot,
    venue: Venue,
    frame: pl.DataFrame,
    is_liquidating: NDArray[np.bool_],
    accounts: Table | None,
) -> Book:
    """Bring everything into the order of places."""
    count = len(snapshot)
    origin = np.arange(count) if snapshot.rows is None else snapshot.rows
    names = _accounts(frame, accounts)
    owner = _owners(frame, names).take(origin)
    lots = snapshot.columns["lots"]
    section = (2 * snapshot.market_codes + (lots < 0)).astype(np.uint32)
    order = np.lexsort((snapshot.columns["position_id"], owner, section))
    mode = _modes(frame).take(origin)[order]
    is_shared = venue.score.scope is Scope.ACCOUNT
    roster = Roster(
        markets=tuple(scale.market for scale in snapshot.markets),
        accounts=names,
        ids=frame["position_id"].gather(origin[order]),
        section=section[order],
        owner=owner[order],
        mode=mode,
        joint=(mode != 0) | is_shared if venue.score.joint_hedge else np.zeros(count, np.bool_),
    )
    columns = {name: column[order] for name, column in snapshot.columns.items()}
    columns |= {f"{ACCOUNT_PREFIX}{n}": column.copy() for n, column in snapshot.accounts.items()}
    if "margin" not in columns:
        columns |= _money(frame, "margin", origin[order], mode == 0, (roster, snapshot.markets))
    if f"{ACCOUNT_PREFIX}maintenance_margin" in columns and "maintenance_margin" not in columns:
        judged = columns["account"] != OWN_MARGIN
        name = "maintenance_margin"
        columns |= _money(frame, name, origin[order], judged, (roster, snapshot.markets))
    aside = is_liquidating[origin[order]]
    if venue.eligibility.hedged is Hedged.EXEMPT:
        aside = aside | (columns["tier"] == HEDGED)
    _add_cash(columns, roster, snapshot.markets)
    return Book(
        roster=roster,
        columns=columns,
        aside=aside,
        scales=snapshot.markets,
        wallets=_wallets(roster, columns, snapshot.markets, accounts),
    )


def _accounts(frame: pl.DataFrame, accounts: Table | None) -> pl.Series:
    """Give every account that is named anywhere, sorted as text."""
    tables = [frame] if accounts is None else [frame, accounts.frame]
    return pl.concat([t["account"].unique().cast(pl.String) for t in tables]).unique().sort()


def _owners(frame: pl.DataFrame, names: pl.Series) -> NDArray[np.uint32]:
    """Give the account of every row by its place among the names; each is spelled once."""
    account = frame["account"].unique()
    codes = names.search_sorted(account.cast(pl.String)).cast(pl.UInt32)
    known = pl.DataFrame({"account": account, "code": codes})
    rows = frame.select("account").join(known, on="account", how="left", maintain_order="left")
    return rows["code"].to_numpy()


def _modes(frame: pl.DataFrame) -> NDArray[np.uint8]:
    """Read margin modes; without the column a given margin says isolated, else cross."""
    if "margin_mode" in frame.columns:
        return (
            Table(kind="positions", name="positions", frame=frame)
            .codes("margin_mode", MODES)
            .astype(np.uint8)
        )
    is_isolated = any(name in frame.columns for name in _MARGINS)
    return np.full(frame.height, 0 if is_isolated else 1, np.uint8)


def _money(
    frame: pl.DataFrame,
    name: str,
    rows: Int64,
    needed: NDArray[np.bool_],
    book: tuple[Roster, tuple[MarketScale, ...]],
) -> dict[str, Int64]:
    """Read a money column where all that matters of it is given, though the rule asks for none.

    A margin says where an isolated position is bankrupt, and what its owner brought; a maintenance
    margin says what a part that is closed releases to its account.
    """
    if name not in frame.columns:
        return {}
    is_null = frame[name].is_null().to_numpy()
    if bool((is_null[rows] & needed).any()):
        return {}
    roster, scales = book
    table = Table(kind="positions", name="positions", frame=frame)
    numbers = table.numbers(name, optional=is_null).take(rows)
    parts = [np.empty(0, np.int64)]
    for code, scale in enumerate(scales):
        start, stop = int(roster.starts[2 * code]), int(roster.starts[2 * code + 2])
        parts.append(numbers.part(start, stop).units(scale.money_unit))
    return {name: np.concatenate(parts)}


def _add_cash(
    columns: dict[str, NDArray[Any]], roster: Roster, scales: tuple[MarketScale, ...]
) -> None:
    """Give each account what its equity is without unrealised profit at the marks."""
    equity = columns.get(EQUITY)
    if equity is None or "account" not in columns:
        return
    cash = equity.copy()
    judged = np.flatnonzero(columns["account"] != OWN_MARGIN)
    np.subtract.at(cash, columns["account"][judged], gains(columns, roster.starts, scales, judged))
    columns[f"{ACCOUNT_PREFIX}cash"] = cash


def _wallets(
    roster: Roster,
    columns: Mapping[str, NDArray[Any]],
    scales: tuple[MarketScale, ...],
    accounts: Table | None,
) -> dict[str, Int64]:
    """Give what each account brought: its balance, and the margins of isolated positions."""
    assets = sorted({scale.settle for scale in scales})
    wallets = {asset: np.zeros(len(roster.accounts), np.int64) for asset in assets}
    units = {scale.settle: scale.money_unit for scale in scales}
    if accounts is not None and accounts.has("wallet_balance"):
        given = accounts.texts("asset") if accounts.has("asset") else assets * len(accounts)
        balances = accounts.frame["wallet_balance"].to_list()
        for name, asset, balance in zip(accounts.texts("account"), given, balances, strict=False):
            if asset in wallets and balance is not None:
                what = f"wallet_balance of {name}"
                place = roster.find_account(str(name))
                wallets[str(asset)][place] += quantise(balance, units[str(asset)], name=what)
    elif f"{ACCOUNT_PREFIX}cash" in columns:
        _add_pools(wallets, roster, columns, scales)
    _add_margins(wallets, roster, columns, scales, sign=1)
    return wallets


def _add_margins(
    wallets: Mapping[str, Int64],
    roster: Roster,
    columns: Mapping[str, NDArray[Any]],
    scales: tuple[MarketScale, ...],
    *,
    sign: int,
) -> None:
    """Add the margins of isolated positions to their owners' wallets, or take them out."""
    if "margin" not in columns:
        return
    for code, scale in enumerate(scales):
        rows = slice(int(roster.starts[2 * code]), int(roster.starts[2 * code + 2]))
        own = roster.mode[rows] == 0
        owners, margins = roster.owner[rows][own], columns["margin"][rows][own]
        np.add.at(wallets[scale.settle], owners, sign * margins)


def _add_pools(
    wallets: Mapping[str, Int64],
    roster: Roster,
    columns: Mapping[str, NDArray[Any]],
    scales: tuple[MarketScale, ...],
) -> None:
    """Take an account's cash from its pool, where no balance is given."""
    cash = columns[f"{ACCOUNT_PREFIX}cash"]
    for code, scale in enumerate(scales):
        rows = slice(int(roster.starts[2 * code]), int(roster.starts[2 * code + 2]))
        pools = columns["account"][rows]
        held = pools != OWN_MARGIN
        wallets[scale.settle][roster.owner[rows][held]] = cash[pools[held]]


def pack(book: Book, *, is_compressed: bool = True) -> dict[str, Value]:
    """Give a book as a canonical value.

    Args:
        book: what was read.
        is_compressed: smaller, but the bytes are then those of one compressor; for a command,
            which is written once, and not for a state, whose bytes are compared.
    """
    roster = book.roster
    squeeze = partial(packing.pack, is_compressed=is_compressed)
    texts = partial(packing.pack_texts, is_compressed=is_compressed)
    arrays: dict[str, NDArray[Any]] = {"section": roster.section, "owner": roster.owner}
    arrays["mode"] = roster.mode
    arrays |= {"joint": roster.joint, "aside": book.aside}
    columns = dict(book.columns)
    if not roster.ids.dtype.is_integer():
        ids = texts(roster.ids.cast(pl.String).to_list())
    else:
        numbers = roster.ids.to_numpy()
        ids = squeeze(numbers)
        # The kernel's ids are the same numbers, where they are that large.
        is_same = numbers.dtype == columns[_ID].dtype and np.array_equal(numbers, columns[_ID])
        if is_compressed and is_same:
            del columns[_ID]
    # Most of what an account brought are margins, which the columns say already.
    wallets, word = dict(book.wallets), "wallets"
    if is_compressed:
        wallets, word = {asset: array.copy() for asset, array in wallets.items()}, "balances"
        _add_margins(wallets, roster, book.columns, book.scales, sign=-1)
    return {
        "markets": list(roster.markets),
        "accounts": texts(roster.accounts.to_list()),
        "ids": ids,
        "rows": {name: squeeze(array) for name, array in arrays.items()},
        "columns": {name: squeeze(array) for name, array in columns.items()},
        word: {asset: squeeze(array) for asset, array in wallets.items()},
    }


def unpack(value: Mapping[str, Any], scales: tuple[MarketScale, ...]) -> Book:
    """Read a book from the body of a command.

    Args:
        value: what `pack` gave.
        scales: the markets at their marks.

    Raises:
        InputError: it is no packed book.
    """
    try:
        rows = {name: packing.unpack(text) for name, text in value["rows"].items()}
        columns = {name: packing.unpack(text) for name, text in value["columns"].items()}
        word = "balances" if "balances" in value else "wallets"
        wallets = {asset: packing.unpack(text) for asset, text in value[word].items()}
        if packing.are_texts(value["ids"]):
            ids = pl.Series(packing.unpack_texts(value["ids"]), dtype=pl.String)
        else:
            numbers = packing.unpack(value["ids"])
            ids = pl.Series(numbers)
            columns.setdefault(_ID, numbers.copy())
        roster = Roster(
            markets=tuple(value["markets"]),
            accounts=pl.Series(packing.unpack_texts(value["accounts"]), dtype=pl.String),
            ids=ids,
            section=rows["section"],
            owner=rows["owner"],
            mode=rows["mode"],
            joint=rows["joint"],
        )
        if word == "balances":
            _add_margins(wallets, roster, columns, scales, sign=1)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(f"book: expected a packed book, got {error!r}") from error
    return Book(
        roster=roster.indexed(),
        columns=columns,
        aside=rows["aside"],
        scales=scales,
        wallets=wallets,
    )
