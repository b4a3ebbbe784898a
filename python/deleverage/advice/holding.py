"""One position of one account: its whole numbers, its entries in the queue, and who shares them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.errors import InputError
from deleverage.explanation import why_left_out
from deleverage.model.quantise import Int64, read_numbers
from deleverage.model.refusals import nearest_name, plain
from deleverage.model.rules import Reason, Scope, Weight
from deleverage.model.snapshot import Snapshot
from deleverage.model.tiers import HEDGED, NEUTRAL
from deleverage.planning.netting import margin_modes
from deleverage.planning.side import QueueSide, contracts, spelled

__all__ = ["Holding", "State", "find", "holdings", "queue_of", "units_of"]

PPM = Fraction(1, 1_000_000)
_SUMMED = ("lots", "entry_value", "margin", "maintenance_margin", "initial_margin", "open_value")
_LISTED = 5
_SHOWN = ("margin", "maintenance_margin", "initial_margin")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A position as whole numbers, with its hedged part.

    Attributes:
        columns: by the kernel's names, lots signed, money in money units, leverage in ppm; what
            neither the rule reads nor the positions say is not in it.
        hedged: lots that queue behind the rest.
        tier: of the other lots.
        pool: the account's pool by column, or None for a position judged on its own margin.
        joint_lots: what is added to the net lots that hedge legs share.
        joint_value: the same of their net signed entry value.
        opened: signed lots of an opposite leg of the account that was not there before.
    """

    columns: Mapping[str, int]
    hedged: int
    tier: int
    pool: Mapping[str, int] | None
    joint_lots: int = 0
    joint_value: int = 0
    opened: int = 0

    @property
    def size(self) -> int:
        """Lots without sign."""
        return abs(self.columns["lots"])

    @property
    def sign(self) -> int:
        """1 for a long, -1 for a short."""
        return 1 if self.columns["lots"] > 0 else -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holding:
    """A position in its queue.

    Attributes:
        side: its side of its market.
        account: as asked for.
        row: of the position frame.
        entries: the side's rows that it is made of, the exposed part first.
        others: the side's rows of the account's other positions.
        partners: those of them that share the account's margin with it.
        is_isolated: whether its margin is its own, so that no other position hedges it.
        may_be_neutral: whether its account may count as delta-neutral for it.
        state: its numbers.
    """

    side: QueueSide
    account: str
    row: int
    entries: Int64
    others: Int64
    partners: Int64
    is_isolated: bool
    may_be_neutral: bool
    state: State

    @property
    def position_id(self) -> int | str | None:
        """The id as given, or None where the positions have none."""
        positions = self.side.snapshot.positions
        return positions["position_id"][self.row] if "position_id" in positions.columns else None


def holdings(
    snapshot: Snapshot,
    account: str | int,
    *,
    market: str | int | None = None,
    side: str | None = None,
    position_id: int | str | None = None,
) -> list[Holding]:
    """Find the positions of an account that can be scored, in the order the book keeps them in.

    Args:
        snapshot: the book.
        account: as in the positions.
        market: only this market.
        side: only `long` or `short`.
        position_id: only this position.

    Raises:
        InputError: there is no such market, side or account, or nothing of it is a candidate.
    """
    if side not in (None, "long", "short"):
        raise InputError(f"side: expected long or short, got {plain(side)}")
    name = str(account)
    rows = snapshot.account_rows(name, None if market is None else str(market))
    found = []
    for row in dict.fromkeys(snapshot.original(rows).tolist()):
        one = _holding(snapshot, name, row, rows)
        is_meant = side in (None, one.side.side)
        if is_meant and (position_id is None or str(position_id) == str(one.position_id)):
            found.append(one)
    if not found:
        raise _nothing(snapshot, name, market, side, position_id)
    return found


def find(
    snapshot: Snapshot,
    account: str | int,
    *,
    market: str | int | None = None,
    side: str | None = None,
    position_id: int | str | None = None,
) -> Holding:
    """Find the one position that is meant.

    Raises:
        InputError: there is none, or more than one; the message lists them.
    """
    found = holdings(snapshot, account, market=market, side=side, position_id=position_id)
    if len(found) > 1:
        listed = "; ".join(_named(one) for one in found[:_LISTED])
        rest = len(found) - _LISTED
        more = f" and {rest} more" if rest > 0 else ""
        raise InputError(
            f"account: expected one position of {str(account)!r}, got {len(found)}: "
            f"{listed}{more}; pass market=, side= or position_id="
        )
    return found[0]


def queue_of(holding: Holding, state: State) -> tuple[QueueSide, Int64, Int64]:
    """Give the side with the position in another state.

    Args:
        holding: the position as it is.
        state: as it would be.

    Returns:
        The side; its rows that are the position, the exposed part first; and its rows of the
        account's other positions. The position stands behind all rows: their order decides nothing.
    """
    side = holding.side
    if state == holding.state:
        return side, holding.entries, holding.others
    kept = np.delete(np.arange(len(side)), holding.entries)
    names = [name for name in ranking.Columns.__dataclass_fields__ if name != "market"]
    given = {name: getattr(side.columns, name) for name in names}
    columns = {name: column for name, column in given.items() if column is not None}
    entries = _entries(state, side.snapshot.venue.eligibility.hedged.value)
    first = int(holding.entries[0])
    made = {name: _written(name, column, first, entries) for name, column in columns.items()}
    if "position_id" in columns:
        ids = np.argsort(np.argsort(columns["position_id"])).astype(np.uint64) * np.uint64(2)
        columns["position_id"] = ids
        made["position_id"] = ids[first] + np.arange(len(entries), dtype=np.uint64)
    whole = {name: np.concatenate([column[kept], made[name]]) for name, column in columns.items()}
    others, partners = (np.searchsorted(kept, rows) for rows in (holding.others, holding.partners))
    _share(whole, partners, state)
    made_side = replace(
        side, columns=ranking.Columns(**whole), accounts=_accounts(holding, state.pool)
    )
    return made_side, np.arange(len(kept), len(kept) + len(entries)), others


def units_of(snapshot: Snapshot, row: int, name: str, unit: Fraction) -> Fraction | None:
    """Give a number of the position frame in some unit, or None where it is not said."""
    positions = snapshot.positions
    if name not in positions.columns or positions[name][row] is None:
        return None
    return read_numbers(positions[name].slice(row, 1), table="positions").exact(0) / unit


def _named(holding: Holding) -> str:
    """Name a position among several."""
    scale, number = holding.side.scale, holding.position_id
    lots = contracts("qty", np.array([holding.state.size]), scale)[0]
    return f"{scale.market} {holding.side.side} {spelled(lots)}" + (
        "" if number is None else f" (position {number})"
    )


def _nothing(
    snapshot: Snapshot,
    account: str,
    market: str | int | None,
    side: str | None,
    position_id: int | str | None,
) -> InputError:
    """Give the error for an account without a candidate: left out, filtered away, or unknown."""
    where = "" if market is None else f" of {market}"
    for row, code in zip(
        snapshot.left_out_rows.tolist(), snapshot.left_out_reasons.tolist(), strict=True
    ):
        is_here = market is None or str(snapshot.positions["market"][row]) == str(market)
        if is_here and str(snapshot.positions["account"][row]) == account:
            why = why_left_out(tuple(Reason)[code])
            return InputError(
                f"account: expected a position{where} with a place in a queue, got none of "
                f"{account!r}: {why}"
            )
    names = snapshot.account_names.cast(pl.String).to_list()
    hint = "" if account in names else nearest_name(account, names)
    asked = [f"side {side}"] if side is not None else []
    asked += [f"position {position_id}"] if position_id is not None else []
    more = f" with {' and '.join(asked)}" if asked else ""
    return InputError(f"account: expected one with a position{where}{more}, got {account!r}{hint}")


def _holding(snapshot: Snapshot, account: str, row: int, rows: Int64) -> Holding:
    """Read one position; `rows` are all kernel rows of the account that may be meant."""
    origins = snapshot.original(rows)
    mine = rows[origins == row]
    market = snapshot.markets[int(snapshot.market_codes[mine[0]])].market
    name = "long" if int(snapshot.columns["lots"][mine[0]]) > 0 else "short"
    side = _counted(QueueSide.of(snapshot, market, name))
    entries = mine - side.start
    if side.columns.tier is not None:
        entries = entries[np.argsort(side.columns.tier[entries], kind="stable")]
    theirs = side.rows_of(account)
    others = theirs[~np.isin(theirs, entries)]
    modes = margin_modes(snapshot.positions[side.original(np.append(entries[:1], others))])
    is_shared = np.array([mode != "isolated" for mode in modes[1:]], dtype=np.bool_)
    is_account = snapshot.venue.score.scope is Scope.ACCOUNT
    is_isolated = modes[0] == "isolated" and not is_account
    return Holding(
        side=side,
        account=account,
        row=row,
        entries=entries,
        others=others,
        partners=others[:0] if is_isolated else others[is_shared | is_account],
        is_isolated=is_isolated,
        may_be_neutral=modes[0] != "isolated",
        state=_state(side, entries, row),
    )


def _counted(side: QueueSide) -> QueueSide:
    """Add who holds each row, where the edition's lights count accounts."""
    if side.snapshot.venue.lights.weight is not Weight.ACCOUNTS:
        return side
    owner = side.snapshot.account_codes[side.start : side.start + len(side)]
    return replace(side, columns=replace(side.columns, owner=owner))


def _state(side: QueueSide, entries: Int64, row: int) -> State:
    """Put a position's entries together, and add what only the frame says."""
    found: dict[str, int] = {}
    for name in ranking.Columns.__dataclass_fields__:
        column = getattr(side.columns, name)
        if column is None or name in ("position_id", "market", "owner", "account", "tier"):
            continue
        found[name] = int(column[entries].sum() if name in _SUMMED else column[entries[0]])
    pool = _pool(side, int(entries[0]))
    money = Fraction(side.scale.money_unit)
    for name in _SHOWN:
        if name not in found or pool is not None:
            # A pooled row's own columns may stand empty: the kernel then holds a zero.
            given = units_of(side.snapshot, row, name, money)
            found.pop(name, None)
            if given is not None:
                found[name] = round(given)
    leverage = units_of(side.snapshot, row, "leverage", PPM)
    if leverage is not None:
        found.setdefault("leverage", round(leverage))
    tiers = side.columns.tier
    is_behind = np.zeros(len(entries), np.bool_) if tiers is None else tiers[entries] == HEDGED
    exposed = entries[~is_behind]
    tier = 0 if tiers is None or not len(exposed) else int(tiers[exposed[0]])
    hedged = int(np.abs(side.columns.lots[entries[is_behind]]).sum())
    return State(columns=found, hedged=hedged, tier=tier, pool=pool)


def _pool(side: QueueSide, entry: int) -> dict[str, int] | None:
    """Read the pool that an entry is judged by."""
    pointers, table = side.columns.account, side.accounts
    if pointers is None or table is None or pointers[entry] == ranking.OWN_MARGIN:
        return None
    names = ranking.Accounts.__dataclass_fields__
    columns = {name: getattr(table, name) for name in names}
    place = int(pointers[entry])
    return {name: int(column[place]) for name, column in columns.items() if column is not None}


def _accounts(holding: Holding, pool: Mapping[str, int] | None) -> ranking.Accounts | None:
    """Give the account table with the position's pool in another state."""
    table, pointers = holding.side.accounts, holding.side.columns.account
    if pool is None or table is None or pointers is None:
        return table
    place = int(pointers[int(holding.entries[0])])
    changed = {}
    for name, value in pool.items():
        changed[name] = getattr(table, name).copy()
        changed[name][place] = value
    return ranking.Accounts(**changed)


def _entries(state: State, hedged: str) -> list[dict[str, int]]:
    """Split a position into its entries: the exposed part, and the hedged one behind.

    The hedged part takes floor(value * part / whole) of every money column, as at intake; where
    the edition exempts it, it is no entry at all.
    """
    size, part = state.size, state.hedged
    tail = {
        name: state.sign * part if name == "lots" else value * part // size
        for name, value in state.columns.items()
        if name in _SUMMED
    }
    head = {name: state.columns[name] - value for name, value in tail.items()}
    found = []
    if part < size:
        found.append({**state.columns, **head, "tier": state.tier})
    if part and hedged != "exempt":
        found.append({**state.columns, **tail, "tier": HEDGED})
    return found


def _written(
    name: str, column: NDArray[Any], first: int, entries: list[dict[str, int]]
) -> NDArray[Any]:
    """Give a column's values of new entries; what they do not say stays as it was."""
    values = [entry.get(name, int(column[first])) for entry in entries]
    return np.array(values, dtype=column.dtype)


def _share(columns: dict[str, NDArray[Any]], partners: Int64, state: State) -> None:
    """Let the account's other rows follow: one joint profit, one standing as neutral."""
    if not len(partners):
        return
    if "profit_lots" in columns:
        columns["profit_lots"][partners] += state.joint_lots
        columns["profit_value"][partners] += state.joint_value
    if "tier" in columns:
        tiers = columns["tier"][partners]
        columns["tier"][partners] = np.where(
            tiers == HEDGED, HEDGED, NEUTRAL if state.tier == NEUTRAL else 0
        )
