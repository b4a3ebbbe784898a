"""What a caller hands to the engine, read strictly into what the body of a command is made of."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from deleverage.engine.state import State
from deleverage.errors import InputError
from deleverage.ledger import Value
from deleverage.model.quantise import quantise
from deleverage.model.refusals import nearest_name, plain
from deleverage.model.scalars import exact_of
from deleverage.model.scales import MarketScale

__all__ = [
    "Number",
    "event",
    "known_accounts",
    "marks_of",
    "name_of",
    "pool_bodies",
    "require_kind",
    "require_pool",
    "require_time",
    "spelled",
]

Number: TypeAlias = Decimal | str | int

POOL_KEYS = ("name", "cash", "markets", "asset", "may_be_negative", "group")
_MARK_KEYS = ("mark", "previous", "oracle")
_TIME_BITS = 63
_SHOWN = 60
_NAMES = "a list of markets"
_FLAG = "true or false"


def require_kind(value: object, kind: type | tuple[type, ...], what: str, wanted: str) -> None:
    """Refuse a value that is of another kind; a true or false counts as no number.

    Raises:
        InputError: names what, the kind that is wanted and the value.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{what}: expected {wanted}, got {_shown(value)}")


def name_of(value: object, what: str) -> str:
    """Read a name: a text that is not blank, or a whole number.

    Raises:
        InputError: it is something else.
    """
    is_whole = type(value) is int and value.bit_length() <= _TIME_BITS + 1
    if is_whole or (isinstance(value, str) and value.strip()):
        return str(value)
    raise InputError(f"{what}: expected a name that is not blank, got {_shown(value)}")


def spelled(number: object, what: str) -> str:
    """Write a number as text; a float has lost already what a price is about.

    Raises:
        InputError: it is no decimal, whole number, or text that columns take as one.
    """
    require_kind(number, (Decimal, str, int), what, "a decimal, a text or an int")
    exact_of(number, what)
    return f"{number:f}" if isinstance(number, Decimal) else str(number)


def require_time(at: object) -> None:
    """Refuse an event time that is no int64 of nanoseconds.

    Raises:
        InputError: it is none; a time that is too large is not printed.
    """
    require_kind(at, int, "at", "int64 nanoseconds UTC")
    if isinstance(at, int) and (at if at >= 0 else ~at).bit_length() > _TIME_BITS:
        raise InputError(
            f"at: expected int64 nanoseconds UTC, got a whole number of {at.bit_length()} bits"
        )


def marks_of(marks: object) -> dict[str, Value]:
    """Give the tables of prices by market.

    Raises:
        InputError: an unknown price, or one that is no number.
    """
    if not isinstance(marks, Mapping):
        raise InputError(f"marks: expected a price by market, got {_shown(marks)}")
    tables: dict[str, Value] = {}
    for market, given in marks.items():
        name = name_of(market, "marks, market")
        prices = given if isinstance(given, Mapping) else {"mark": given}
        _only(prices, _MARK_KEYS, f"mark of {name}")
        tables[name] = {
            str(key): spelled(price, f"mark of {name}" if key == "mark" else f"{key} of {name}")
            for key, price in prices.items()
        }
    return tables


def event(fills: object, cancelled: object, facts: object) -> dict[str, Value]:
    """Give what the market did, as it was said: numbers as text, for the command to read.

    Raises:
        InputError: the fills are no list of pairs of numbers, the orders no list of ids, the
            facts no table.
    """
    pairs: list[Value] = []
    for number, pair in enumerate(_listed(fills, "fills", "a list of (contracts, price)")):
        what = f"fills[{number}]"
        items = _listed(pair, what, "(contracts, price)")
        if len(items) != 2:  # noqa: PLR2004 - quantity and price
            raise InputError(f"{what}: expected (contracts, price), got {_shown(pair)}")
        pairs.append([spelled(item, what) for item in items])
    orders = _listed(cancelled, "cancelled", "a list of order ids")
    given = {} if facts is None else facts
    if not isinstance(given, Mapping):
        raise InputError(f"facts: expected a table of values by name, got {_shown(facts)}")
    return {
        "fills": pairs,
        "cancelled": [name_of(order, f"cancelled[{n}]") for n, order in enumerate(orders)],
        "facts": {name_of(name, "facts, name"): _fact(name, said) for name, said in given.items()},
    }


def known_accounts(state: State, given: Iterable[str]) -> list[str]:
    """Read a list of accounts of the book.

    Raises:
        InputError: it is one text instead of a list, or an account is not in the book; names the
            nearest.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(
            f"exclude: expected a list of accounts, got {_shown(given)}; one account is a list of "
            "one"
        )
    found = [name_of(account, "exclude") for account in given]
    if not found or state.positions is None:
        return found
    roster = state.book.roster
    for account in found:
        if roster.find_account(account) < 0:
            hint = nearest_name(account, map(str, roster.accounts))
            raise InputError(f"exclude: expected an account of the book, got {account!r}{hint}")
    return found


def require_pool(given: object, where: str) -> None:
    """Refuse a pool whose values are not of their kinds.

    Args:
        given: the pool as it was said.
        where: it was said, for messages.

    Raises:
        InputError: no table, an unknown or a missing key, or a value of another kind.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: expected a table with name and cash, got {_shown(given)}")
    _only(given, POOL_KEYS, where)
    for key in ("name", "cash"):
        if given.get(key) is None:
            raise InputError(f"{where}: {key}: expected a value, got nothing")
    for key in ("name", "asset", "group"):
        if given.get(key) is not None:
            require_kind(given[key], str, f"{where}: {key}", "a text")
            name_of(given[key], f"{where}: {key}")
    for number, market in enumerate(_listed(given.get("markets", ()), f"{where}: markets", _NAMES)):
        name_of(market, f"{where}: markets[{number}]")
    exact_of(given["cash"], f"{where}: cash")
    require_kind(given.get("may_be_negative", False), bool, f"{where}: may_be_negative", _FLAG)


def pool_bodies(pools: object, scales: Mapping[str, MarketScale]) -> list[Value]:
    """Give pools as the command has them: their cash in money units.

    Raises:
        InputError: they are no list, one is not what `require_pool` lets through, or its asset is
            not plain.
    """
    given = _listed(pools, "pools", "a list of tables")
    for number, pool in enumerate(given):
        require_pool(pool, f"pools[{number}]")
    return [_pool(pool, scales) for pool in given if isinstance(pool, Mapping)]


def _pool(given: Mapping[str, Any], scales: Mapping[str, MarketScale]) -> Value:
    """Give one pool as the command has it."""
    name, markets = given["name"], [str(market) for market in given.get("markets", ())]
    settles = {
        scale.settle: scale.money_unit
        for market, scale in scales.items()
        if (not markets or market in markets) and given.get("asset") in {None, scale.settle}
    }
    if len(settles) != 1:
        raise InputError(
            f"pool {name}: expected one settlement asset, got "
            f"{', '.join(sorted(settles)) or 'none'}; say asset="
        )
    ((asset, unit),) = settles.items()
    body: dict[str, Value] = {
        "name": name,
        "asset": asset,
        "markets": list(markets),
        "cash": quantise(given["cash"], unit, name=f"cash of pool {name}"),
        "may_be_negative": given.get("may_be_negative", False),
    }
    # A pool that stands alone is written as it was before there were groups.
    return body | ({"group": given["group"]} if given.get("group") else {})


def _fact(name: object, said: object) -> Value:
    """Write one fact: a flag or a whole number as it is, another number as text."""
    if isinstance(said, bool):
        return said
    text = spelled(said, f"facts, {name}")
    return said if isinstance(said, int) else text


def _listed(value: object, what: str, wanted: str) -> Sequence[object]:
    """Read a list; a text is none."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InputError(f"{what}: expected {wanted}, got {_shown(value)}")
    return value


def _only(given: Mapping[Any, Any], known: Sequence[str], what: str) -> None:
    """Refuse any other key."""
    for key in given:
        if key not in known:
            hint = nearest_name(str(key), known)
            raise InputError(f"{what}: expected only {', '.join(known)}, got {_shown(key)}{hint}")


def _shown(value: object) -> str:
    """Write a value for a message, and only the head of a long one."""
    if isinstance(value, int) and value.bit_length() > _TIME_BITS + 1:
        return f"a whole number of {value.bit_length()} bits"
    text = plain(value)
    return text if len(text) <= _SHOWN + 5 else f"{text[:_SHOWN]}..."
