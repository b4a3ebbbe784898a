"""From checked tables to the kernel's columns, market by market."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.model.frames import Table, encode
from deleverage.model.intake import Identity, bounds, identify, order_keys, sort_rows
from deleverage.model.money import Amounts, join, read_amounts
from deleverage.model.pools import (
    Pools,
    Profits,
    equity_of,
    open_pools,
    settle_of,
)
from deleverage.model.quantise import Int64
from deleverage.model.records import Venue
from deleverage.model.refusals import bad_value
from deleverage.model.rules import Factor, Reason, Scope
from deleverage.model.scales import Draft, MarketScale, Stake, fit_money, read_drafts
from deleverage.model.terms import Hedged
from deleverage.model.tiers import (
    HEDGED,
    NEUTRAL,
    hedged_lots,
    joint_profit,
    neutral_accounts,
    split_hedged,
)

__all__ = ["Assembly", "Tables", "assemble"]

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tables:
    """The tables of one call, each with its columns checked."""

    positions: Table
    marks: Table
    markets: Table | None = None
    accounts: Table | None = None
    neutral: Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assembly:
    """What a snapshot is made of; see `Snapshot` for the fields."""

    markets: tuple[MarketScale, ...]
    columns: Columns
    accounts: Columns
    starts: Int64
    splits: Int64
    rows: Int64 | None
    left_out_rows: Int64
    left_out_reasons: NDArray[np.uint8]
    exempt_rows: Int64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Codes:
    """Account codes of each table that compare with one another."""

    positions: NDArray[Any] | None
    accounts: NDArray[Any] | None
    neutral: NDArray[Any] | None


def assemble(tables: Tables, venue: Venue, *, derive_equity: bool) -> Assembly:
    """Validate the tables, infer units and build every column that the edition reads.

    Raises:
        InputError: names table, column, row and value of the first thing that is not as it should.
    """
    _refuse_unknown_kinds(tables, venue)
    drafts = read_drafts(tables.marks, tables.markets, settle_of(tables.accounts))
    codes = _account_codes(tables, venue)
    names = [draft.market for draft in drafts]
    given = identify(tables.positions, names, codes.positions)
    amounts_of = _needs_by_row(venue, given)
    identity = sort_rows(given, by_account=_orders_accounts(tables.positions, venue))
    amounts = read_amounts(tables.positions, rows=identity.rows, **amounts_of)
    settles = [draft.settle for draft in drafts]
    pools = _pools(tables, venue, codes, settles, given, derive_equity=derive_equity)
    work = _Work(
        tables=tables,
        venue=venue,
        identity=identity,
        amounts=amounts,
        pools=pools,
        position_id=order_keys(identity, tables.positions),
    )
    stakes, scales = work.fit(drafts)
    columns = work.columns(scales, stakes)
    accounts = work.place_accounts(scales, columns, derive_equity=derive_equity)
    hedged = work.place_tiers(scales, columns, codes.neutral)
    return _finish(work, scales, columns, accounts, hedged)


def _refuse_unknown_kinds(tables: Tables, venue: Venue) -> None:
    """Refuse to read positions as linear where the edition has inverse contracts only."""
    if tables.markets is None and venue.contracts and "linear" not in venue.contracts:
        kinds = " or ".join(venue.contracts)
        raise InputError(
            f"markets: expected a table with market, kind and contract_size (edition {venue.name} "
            f"has {kinds} contracts only, and their size stands in no position), got none; "
            "pass markets="
        )


def _orders_accounts(positions: Table, venue: Venue) -> bool:
    """Tell whether rows must stand by account: pools are read in their order, or it is the id."""
    return venue.score.scope is not Scope.POSITION or not positions.has("position_id")


def _account_codes(tables: Tables, venue: Venue) -> _Codes:
    """Give accounts codes, where anything asks for them; text is costly."""
    keys = tables.positions.keys("account")
    needs = venue.needs
    is_asked = (
        _orders_accounts(tables.positions, venue)
        or venue.score.joint_hedge
        or bool(needs.accounts)
        or "neutral" in needs.tiers
    )
    if not is_asked:
        return _Codes(positions=keys.numbers, accounts=None, neutral=None)
    others = [table for table in (tables.accounts, tables.neutral) if table is not None]
    found, _ = encode(keys, *(table.keys("account") for table in others))
    by_table = {id(table): code for table, code in zip(others, found[1:], strict=True)}
    return _Codes(
        positions=found[0],
        accounts=by_table.get(id(tables.accounts)),
        neutral=by_table.get(id(tables.neutral)),
    )


def _needs_by_row(venue: Venue, given: Identity) -> dict[str, Any]:
    """Say which columns which rows need, in the order of the frame."""
    is_isolated = given.is_isolated if venue.score.scope is Scope.MARGIN_MODE else None
    if is_isolated is not None and not is_isolated.any():
        is_isolated = None
    return {
        "everywhere": venue.needs.positions,
        "isolated": venue.needs.isolated,
        "is_isolated": is_isolated,
        "why": f"edition {venue.name} needs it",
        "bankruptcy_first": venue.score.factor is Factor.BANKRUPTCY_DISTANCE,
    }


def _pools(
    tables: Tables,
    venue: Venue,
    codes: _Codes,
    settles: Sequence[str],
    given: Identity,
    *,
    derive_equity: bool,
) -> Pools | None:
    """Read the account table, if any row is judged by it."""
    needs, scope = list(venue.needs.accounts), venue.score.scope
    if scope is Scope.MARGIN_MODE and bool(given.is_isolated.all()):
        needs = [name for name in needs if name == "created_at"]
    if not needs or not len(given):
        return None
    if tables.accounts is None or codes.accounts is None:
        raise InputError(
            f"accounts: expected a table with account, {', '.join(needs)} (edition {venue.name} "
            "needs it for rows that are judged on their account), got none; pass accounts="
        )
    return open_pools(
        tables.accounts,
        codes=codes.accounts,
        settles=settles,
        needs=needs,
        why=f"edition {venue.name} needs it",
        derive_equity=derive_equity,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """Rows in the order they are kept in, while their columns are built."""

    tables: Tables
    venue: Venue
    identity: Identity
    amounts: Amounts
    pools: Pools | None
    position_id: NDArray[np.uint64]

    def spans(self, markets: int) -> list[tuple[int, int]]:
        """Give the first row of each market and the row after its last."""
        starts, _ = bounds(self.identity.section, markets)
        return list(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))

    def fit(self, drafts: Sequence[Draft]) -> tuple[list[Stake], tuple[MarketScale, ...]]:
        """Choose every unit, and give signed lots and prices of each market."""
        qty, marks = self.identity.qty, self.tables.marks.numbers("mark_price")
        is_signed = not self.tables.positions.has("side")
        stakes = []
        for draft, (start, stop) in zip(drafts, self.spans(len(drafts)), strict=True):
            part, mark = qty.part(start, stop), marks.part(draft.mark_row, draft.mark_row + 1)
            fitted = draft.fitted(part, self.amounts.prices(start, stop), mark)
            lots = part.units(fitted.lot_size or Decimal(1), way_out=_LOT_WAY_OUT)
            if not is_signed:
                lots = _signed(lots, self.identity.section[start:stop])
            unit = fitted.price_unit or Decimal(1)
            mark.units(unit, way_out="pass markets= with a finer price_unit")
            stakes.append(
                Stake(
                    draft=fitted,
                    lots=lots,
                    valued=self.amounts.valued(lots, unit, start, stop),
                    money=self.amounts.money(start, stop),
                )
            )
        units = {}
        for settle in {draft.settle for draft in drafts}:
            members = [stake for stake in stakes if stake.draft.settle == settle]
            shared = self.pools.money(settle) if self.pools is not None else []
            units[settle] = fit_money(members, shared)
        scales = tuple(stake.draft.scale(units[stake.draft.settle]) for stake in stakes)
        return stakes, scales

    def columns(self, scales: Sequence[MarketScale], stakes: Sequence[Stake]) -> Columns:
        """Build the columns that come from positions alone."""
        parts: list[dict[str, Int64]] = []
        for scale, stake, (start, stop) in zip(
            scales, stakes, self.spans(len(scales)), strict=True
        ):
            found = self.amounts.columns(scale, stake.lots, stake.valued, start, stop)
            found = {"lots": stake.lots, **found}
            if self.venue.score.joint_hedge and self.identity.account is not None:
                found["profit_lots"], found["profit_value"] = joint_profit(
                    stake.lots,
                    found["entry_value"],
                    self.identity.account[start:stop],
                    self._is_isolated(start, stop),
                )
            parts.append(found)
        empty = np.empty(0, np.int64)
        columns: Columns = dict(join(parts)) if parts else {"lots": empty, "entry_value": empty}
        columns["position_id"] = self.position_id
        if not len(self.identity):
            for need in self.venue.needs.isolated:
                columns.setdefault(need.split("|")[0], empty)
            if "created_at" in self.venue.needs.accounts:
                columns["created_at"] = empty
        return columns

    def _is_isolated(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Tell which rows of one market have a margin of their own, by the edition's scope."""
        if self.venue.score.scope is Scope.ACCOUNT:
            return np.zeros(stop - start, np.bool_)
        return self.identity.is_isolated[start:stop]

    def place_accounts(
        self, scales: Sequence[MarketScale], columns: Columns, *, derive_equity: bool
    ) -> Columns:
        """Point rows to their pools, and give the pools' columns."""
        pools, account = self.pools, self.identity.account
        if pools is None or account is None:
            return {}
        by_asset = {scale.settle: scale for scale in scales}
        table: Columns = dict(pools.columns(by_asset))
        profits = Profits(sums=np.zeros(len(pools.account), np.int64))
        pointers, births = [], []
        for scale, (start, stop) in zip(scales, self.spans(len(scales)), strict=True):
            needed = self._needed(start, stop)
            found, lost = pools.find(scale.settle, account[start:stop], needed)
            if lost >= 0:
                raise self._no_pool(start + lost, scale.settle)
            pointers.append(found)
            if pools.created_at is not None:
                births.append(self._births(pools, scale.settle, start, stop))
            if derive_equity and "wallet_balance" in table:
                lots, value = columns["lots"][start:stop], columns["entry_value"][start:stop]
                profits.add(scale, pool=found, lots=lots, entry_value=value)
        if derive_equity and "equity" in self.venue.needs.accounts:
            table["equity"] = equity_of(pools, table, profits)
        if self.venue.score.scope is not Scope.POSITION and table:
            columns["account"] = pointers[0] if len(pointers) == 1 else np.concatenate(pointers)
        if births:
            columns["created_at"] = np.concatenate(births)
        return table

    def _needed(self, start: int, stop: int) -> NDArray[np.bool_] | None:
        """Tell which rows of one market are judged on their account; None means all."""
        scope = self.venue.score.scope
        if scope is Scope.ACCOUNT:
            return None
        if scope is Scope.POSITION:
            return np.zeros(stop - start, np.bool_)
        needed = ~self.identity.is_isolated[start:stop]
        return None if needed.all() else needed

    def _births(self, pools: Pools, settle: str, start: int, stop: int) -> Int64:
        """Give when each row's account was created, isolated rows too."""
        account = self.identity.account
        if account is None or pools.created_at is None:
            return np.empty(0, np.int64)
        found, lost = pools.find(settle, account[start:stop], None)
        if lost >= 0:
            raise self._no_pool(start + lost, settle)
        return pools.created_at[found]

    def _no_pool(self, entry: int, settle: str) -> InputError:
        """Give the error for a row whose account is not in the account table."""
        rows, table = self.identity.rows, self.tables.positions
        row = entry if rows is None else int(rows[entry])
        name = self.tables.accounts.name if self.tables.accounts is not None else "accounts"
        return bad_value(
            table=table.name,
            column="account",
            row=row,
            value=table.keys("account").at(row),
            expected=f"an account of {name}" + (f" with asset {settle}" if settle else ""),
            way_out="add its row: the position is judged on its account",
        )

    def place_tiers(
        self, scales: Sequence[MarketScale], columns: Columns, neutral: NDArray[Any] | None
    ) -> Int64 | None:
        """Put neutral accounts into their tier, and give the hedged lots of every row."""
        needs, account = self.venue.needs, self.identity.account
        if "neutral" in needs.tiers:
            if self.tables.neutral is None or neutral is None or account is None:
                raise InputError(
                    "neutral: expected a table with account, underlier, delta_neutral (edition "
                    f"{self.venue.name} needs it), got none; pass neutral=, empty if no one is"
                )
            members = neutral_accounts(self.tables.neutral, neutral, scales)
            columns["tier"] = self._neutral_tier(scales, members)
        if "hedged_qty" not in needs.tiers:
            return None
        self.tables.positions.require("hedged_qty", why=f"edition {self.venue.name} needs it")
        hedged = self.tables.positions.numbers("hedged_qty").require(positive=False)
        hedged = hedged.take(self.identity.rows)
        columns.setdefault("tier", np.zeros(len(self.identity), np.uint8))
        parts = [np.empty(0, np.int64)]
        for scale, (start, stop) in zip(scales, self.spans(len(scales)), strict=True):
            lots = columns["lots"][start:stop]
            parts.append(hedged_lots(hedged.part(start, stop), scale.lot_size, lots))
        return np.concatenate(parts)

    def _neutral_tier(
        self, scales: Sequence[MarketScale], members: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.uint8]:
        """Give every row's tier; an isolated position never counts as neutral."""
        tier = np.zeros(len(self.identity), np.uint8)
        account, is_isolated = self.identity.account, self.identity.is_isolated
        for scale, (start, stop) in zip(scales, self.spans(len(scales)), strict=True):
            known = members[scale.underlier or scale.market]
            if account is not None and known.size:
                is_member = np.isin(account[start:stop], known)
                tier[start:stop] = NEUTRAL * (is_member & ~is_isolated[start:stop])
        return tier


_LOT_WAY_OUT = "pass markets= with a finer lot_size, or round the column first"


def _signed(lots: Int64, section: NDArray[Any]) -> Int64:
    """Give sizes the sign of their side; sections are 2 * market + 1 for short rows."""
    if not lots.size:
        return lots
    split = int(np.searchsorted(section, section.dtype.type(int(section[0]) | 1)))
    signed = lots.copy()
    np.negative(signed[split:], out=signed[split:])
    return signed


def _finish(
    work: _Work,
    scales: tuple[MarketScale, ...],
    columns: Columns,
    accounts: Columns,
    hedged: Int64 | None,
) -> Assembly:
    """Split hedged parts, set aside what is no candidate, and say where markets start."""
    identity, origin = work.identity, None
    if hedged is not None and bool(hedged.any()):
        columns, origin = split_hedged(columns, hedged)
    reasons = np.zeros(len(columns["lots"]), np.uint8)
    if origin is not None and work.venue.eligibility.hedged is Hedged.EXEMPT:
        reasons[columns["tier"] == HEDGED] = _code(Reason.HEDGED_PART)
    if identity.is_liquidating is not None:
        is_out = identity.is_liquidating
        reasons[is_out if origin is None else is_out.take(origin)] = _code(Reason.LIQUIDATING)
    kept = None if not reasons.any() else np.flatnonzero(reasons == 0)
    rows, section = identity.rows, identity.section
    left_rows, left_reasons = np.empty(0, np.int64), np.empty(0, np.uint8)
    exempt = np.empty(0, np.int64)
    if origin is not None:
        rows = origin if rows is None else rows.take(origin)
        section = section.take(origin)
    if kept is not None:
        everyone = np.arange(len(reasons)) if rows is None else rows
        left_rows, left_reasons = _left_out(everyone, reasons)
        is_part = reasons == _code(Reason.HEDGED_PART)
        exempt = np.setdiff1d(everyone[is_part], left_rows)
        columns = {name: column.take(kept) for name, column in columns.items()}
        rows, section = everyone.take(kept), section.take(kept)
    starts, splits = bounds(section, len(scales))
    return Assembly(
        markets=scales,
        columns={name: np.ascontiguousarray(column) for name, column in columns.items()},
        accounts=accounts,
        starts=starts,
        splits=splits,
        rows=rows,
        left_out_rows=left_rows,
        left_out_reasons=left_reasons,
        exempt_rows=exempt,
    )


def _code(reason: Reason) -> int:
    """Give the kernel's code of a reason."""
    return list(Reason).index(reason)


def _left_out(rows: Int64, reasons: NDArray[np.uint8]) -> tuple[Int64, NDArray[np.uint8]]:
    """Give the frame's rows that have no entry left, sorted, and why."""
    is_out = reasons != 0
    left, first = np.unique(rows[is_out], return_index=True)
    why = reasons[is_out][first]
    is_gone = ~np.isin(left, rows[~is_out])
    return left[is_gone], why[is_gone]
