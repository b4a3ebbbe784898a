"""Friendly checks of what a kept book is given; the kernel checks lengths and values."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deleverage import _core
from deleverage.book.answers import Rate, Uint64s
from deleverage.errors import InputError
from deleverage.model.arguments import (
    COLUMN_KINDS,
    TABLE_KINDS,
    array_of,
    checked_bands,
    checked_lots,
    checked_threads,
    is_masked,
    is_truth,
    is_whole,
)
from deleverage.model.records import Venue
from deleverage.model.refusals import nearest_name, plain
from deleverage.model.rules import ScoreRule, Weight
from deleverage.model.snapshot import Snapshot

__all__ = [
    "NOBODY",
    "NO_IDS",
    "Arrays",
    "account_rows_of",
    "accounts_of",
    "check_edition",
    "check_snapshot",
    "checked_bands",
    "checked_lots",
    "checked_rates",
    "checked_threads",
    "checked_weight",
    "code_of",
    "columns_of",
    "held_ids",
    "ids_of",
    "names_of",
    "rates_by_code",
    "rules_of",
    "side_of",
]

Arrays = Mapping[str, NDArray[Any]]

_SIDES = {"long": 1, "short": -1}
_RATE_LIMIT = 2**62
_RATE_PARTS = 3
NO_IDS: Uint64s = np.empty(0, dtype=np.uint64)
NOBODY = (NO_IDS, np.empty(0, dtype=np.int64), np.empty(0), None, None)
"""Ids, lots, scores, cut and partial id of a head that takes nobody."""


def columns_of(columns: Arrays, held: Collection[str] | None = None) -> SimpleNamespace:
    """Check kinds and dtypes, and that the book holds such columns if it is made already."""
    given_names = names_of("columns", columns)
    for name in columns:
        if name not in COLUMN_KINDS:
            raise InputError(f"columns: expected names of columns, got {plain(name)}{_hint(name)}")
    _refuse_more("", given_names - {"market"}, held)
    given = {name: _array(name, columns.get(name), kind) for name, kind in COLUMN_KINDS.items()}
    for name in ("lots", "entry_value", "position_id"):
        if given[name] is None:
            raise InputError(f"{name}: expected a column, got none; a book needs it")
    return SimpleNamespace(**given)


def names_of(table: str, arrays: object) -> frozenset[str]:
    """Give the names of the arrays that are there."""
    if not isinstance(arrays, Mapping):
        got = type(arrays).__name__
        raise InputError(f"{table}: expected a mapping from names to arrays, got {got}")
    return frozenset(name for name, values in arrays.items() if values is not None)


def _refuse_more(table: str, given: Collection[str], held: Collection[str] | None) -> None:
    """Refuse a column that a book was made without: its rows would have no value there."""
    more = [] if held is None else sorted(set(given) - set(held))
    if held is not None and more:
        known = ", ".join(sorted(held)) or "none"
        raise InputError(
            f"{table}{more[0]}: expected the columns that the book was made with ({known}), "
            f"got {more[0]} too; leave it out"
        )


def _hint(name: object) -> str:
    return nearest_name(name, COLUMN_KINDS) if isinstance(name, str) else ""


def accounts_of(accounts: Arrays, held: Collection[str] | None = None) -> SimpleNamespace:
    """Check names and dtypes of account tables, and that the book holds such tables."""
    given_names = names_of("accounts", accounts)
    for name in accounts:
        if name not in TABLE_KINDS:
            raise InputError(
                f"accounts: expected names among {tuple(TABLE_KINDS)}, got {plain(name)}"
            )
    _refuse_more("accounts.", given_names, held)
    given = {
        name: _array(f"accounts.{name}", accounts.get(name), kind)
        for name, kind in TABLE_KINDS.items()
    }
    return SimpleNamespace(**given)


def _array(name: str, values: object, dtype: type[np.generic]) -> NDArray[Any] | None:
    return None if values is None else _laid_out(array_of(name, values, dtype))


def _laid_out(values: NDArray[Any]) -> NDArray[Any]:
    """Give an array as the kernel reads it: in one piece, each value where words begin."""
    return np.ascontiguousarray(values if values.flags.aligned else values.copy())


def ids_of(name: str, values: object) -> Uint64s:
    """Give ids as an array."""
    found: Uint64s = _whole_numbers(name, values, np.uint64, "ids from 0 to 2**64 - 1")
    return found


def held_ids(name: str, values: object, core: _core.Book) -> Uint64s:
    """Give ids, each once, that the book must hold."""
    ids = ids_of(name, values)
    try:
        core.require(ids)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return np.unique(ids)


def account_rows_of(rows: object) -> NDArray[np.uint32]:
    """Give rows of the account table as an array."""
    found: NDArray[np.uint32] = _whole_numbers(
        "rows", rows, np.uint32, "rows of the account table, from 0"
    )
    return found


def _whole_numbers(
    name: str, values: object, kind: type[np.unsignedinteger[Any]], expected: str
) -> NDArray[Any]:
    """Give whole numbers as an array; nothing is rounded, and no text or bool is a number."""
    most = int(np.iinfo(kind).max)
    is_row = not isinstance(values, np.ndarray) or values.ndim == 1
    is_text = isinstance(values, (str, bytes))
    if is_text or not isinstance(values, Iterable) or not is_row or is_masked(values):
        raise InputError(f"{name}: expected {expected}, got {plain(values)}")
    if isinstance(values, np.ndarray) and values.dtype == kind:
        return _laid_out(values)
    found = list(values)
    for row, value in enumerate(found):
        if not is_whole(value) or not 0 <= value <= most:
            raise InputError(f"{name}: expected {expected}, got {plain(value)} in row {row}")
    return np.array(found, dtype=kind)


def _checked_rate(name: str, rate: object) -> Rate:
    """Check the parts of a rate and their range."""
    if not isinstance(rate, (tuple, list)) or len(rate) != _RATE_PARTS:
        raise InputError(
            f"{name}: expected (mark_num, mark_den, is_inverse) of a market, got {plain(rate)}"
        )
    num, den, is_inverse = rate
    for part in (num, den):
        if not is_whole(part) or not 0 < part < _RATE_LIMIT:
            raise InputError(
                f"{name}: expected parts of more than 0 and less than 2^62, whole numbers, "
                f"got {rate}"
            )
    if not is_truth(is_inverse):
        raise InputError(f"{name}: expected is_inverse to be True or False, got {rate}")
    return int(num), int(den), bool(is_inverse)


def checked_rates(rates: object) -> list[Rate]:
    """Check the rate of each market."""
    if not isinstance(rates, Sequence) or isinstance(rates, str):
        raise InputError(f"rates: expected a list of one rate a market, got {plain(rates)}")
    return [_checked_rate(f"rates[{code}]", rate) for code, rate in enumerate(rates)]


def rates_by_code(rates: object, count: int) -> list[tuple[int, Rate]]:
    """Check rates by the codes of some of `count` markets."""
    if not isinstance(rates, Mapping):
        raise InputError(f"rates: expected a mapping from codes to rates, got {plain(rates)}")
    for code in rates:
        if not is_whole(code) or not 0 <= code < count:
            raise InputError(
                f"market: expected the code of a market of the book, 0 to {count - 1}, "
                f"got {plain(code)}"
            )
    return [(int(code), _checked_rate("rate", rate)) for code, rate in rates.items()]


def rules_of(rule: object) -> list[ScoreRule]:
    """Give the rule of all markets, or of each, as a list."""
    rules: list[ScoreRule] = []
    for one in rule if isinstance(rule, (tuple, list)) else (rule,):
        if not isinstance(one, ScoreRule):
            raise InputError(f"rule: expected a ScoreRule, or one a market, got {plain(one)}")
        rules.append(one)
    return rules


def code_of(market: object, codes: Mapping[str, int]) -> int:
    """Give a market's code, asked by its name or the code itself."""
    if isinstance(market, str):
        if market not in codes:
            hint = nearest_name(market, codes)
            raise InputError(f"market: expected a market of the book, got {market!r}{hint}")
        return codes[market]
    if not is_whole(market) or not 0 <= market < len(codes):
        most = len(codes) - 1
        raise InputError(f"market: expected a name or a code, 0 to {most}, got {plain(market)}")
    return int(market)


def check_edition(venue: object) -> None:
    """Check that an edition is one, not its name."""
    if not isinstance(venue, Venue):
        raise InputError(
            f"venue: expected an edition, got {plain(venue)}; pass venue=Venue.load(name)"
        )


def check_snapshot(snapshot: object) -> None:
    """Check that a snapshot is one."""
    if not isinstance(snapshot, Snapshot):
        got = type(snapshot).__name__
        raise InputError(f"snapshot: expected a Snapshot, got {got}; see Snapshot.prepare")


def side_of(side: object) -> int:
    """Give a side as the kernel knows it."""
    if not isinstance(side, str) or side not in _SIDES:
        raise InputError(f"side: expected long or short, got {plain(side)}")
    return _SIDES[side]


def checked_weight(weight: object, held: Collection[str]) -> Weight:
    """Check what the bands share out: accounts are counted by the column `owner` alone."""
    if not isinstance(weight, str) or weight not in list(Weight):
        raise InputError(f"weight: expected quantity, entries or accounts, got {plain(weight)}")
    if weight == Weight.ACCOUNTS and "owner" not in held:
        raise InputError(
            "weight: expected quantity or entries, as the book does not know who owns a position, "
            "got 'accounts'; make it of an edition whose lights count accounts, or of arrays "
            "with the column owner"
        )
    return Weight(weight)
