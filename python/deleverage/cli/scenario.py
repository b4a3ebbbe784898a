"""A scenario: one TOML file with a venue, its book, its pools, and what happens when.

Read strictly: an unknown key is refused with the nearest known one, and every refusal names the
file, the table, the key and the value. Decimals may stand bare or in quotes; none passes through a
float. A market's tick_size binds settlement prices only: marks and fills may lie between ticks.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import polars as pl

from deleverage.cli.inputs import venue_of
from deleverage.engine import Choices, Frames
from deleverage.engine.intake import name_of, require_pool
from deleverage.errors import InputError, VenueError
from deleverage.model.records import Venue
from deleverage.model.refusals import nearest_name, plain
from deleverage.model.scalars import exact_of

__all__ = ["Scenario", "Step", "read_scenario"]

_TOP = ("title", "story", "venue", "markets", "pools", "accounts", "positions", "neutral", "steps")
_VENUE = ("edition", "parameters", "choices", "lines")
_MARKET: tuple[str, ...] = (
    "market",
    "kind",
    "underlier",
    "contract_size",
    "lot_size",
    "tick_size",
    "price_unit",
)
_MARKET += ("money_unit", "settle", "pool", "mark", "previous_mark", "max_leverage")
_ACCOUNT: tuple[str, ...] = (
    "account",
    "asset",
    "wallet_balance",
    "equity",
    "maintenance_margin",
    "created_at",
)
_POSITION: tuple[str, ...] = (
    "position_id",
    "account",
    "market",
    "side",
    "qty",
    "entry_price",
    "entry_value",
)
_POSITION += ("margin_mode", "margin", "bankruptcy_price", "bankruptcy_value", "leverage")
_POSITION += ("maintenance_margin", "initial_margin", "open_value", "hedged_qty", "status")
_NEUTRAL = ("account", "underlier", "delta_neutral")
_NAMES: frozenset[str] = frozenset(
    {"account", "asset", "kind", "margin_mode", "market", "pool", "position_id", "settle", "side"}
    | {"status", "underlier"}
)
_ABOVE_ZERO = ("leverage", "max_leverage")
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_SECOND = 10**9
_TIME_LIMIT = 1 << 63
_TIME_DIGITS = 19
_SHOWN = 60
_BYTE_ORDER_MARK = "\ufeff"

_STEPS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "marks": (("marks",), ()),
    "deposit": (("account", "amount", "asset"), ()),
    "withdraw": (("account", "amount", "asset"), ()),
    "contribute": (("pool", "amount"), ()),
    "carve": (("pool", "market", "name"), ("cash",)),
    "liquidate": (("name", "position"), ("fills", "cancelled", "bankruptcy_price", "facts")),
    "shed": (("name", "pool", "market"), ("fills", "facts")),
    "outcome": (("name",), ("fills", "cancelled", "facts")),
    "deleverage": (("name",), ("exclude", "manual")),
}
"""What happens, with the keys each needs and those it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happens.

    Attributes:
        do: what.
        at: when, ns.
        values: its keys, checked for their names and kinds.
        say: a sentence for the reader, or empty.
    """

    do: str
    at: int
    values: Mapping[str, Any]
    say: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a scenario file says.

    Attributes:
        title: of the story.
        story: what it is about.
        venue: the edition with its parameters.
        frames: the book.
        pools: insurance pools.
        choices: what the venue left open.
        steps: what happens, in order.
    """

    title: str
    story: str
    venue: Venue
    frames: Frames
    pools: tuple[Mapping[str, Any], ...]
    choices: Choices
    steps: tuple[Step, ...]


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file.

    Args:
        path: of the file; paths in it are relative to its folder.

    Raises:
        InputError: it cannot be read or says something unknown: file, table, key, value.
        VenueError: it names an unknown edition or parameter.
    """
    page = _Page(path.name, path.parent, _toml(path))
    page.only(_TOP)
    markets = page.rows("markets", _MARKET, needed=("market", "mark"))
    venue, choices = _venue(page)
    return Scenario(
        title=page.text("title", path.stem),
        story=page.text("story", ""),
        venue=venue,
        frames=_frames(page, markets),
        pools=tuple(_pools(page)),
        choices=choices,
        steps=tuple(_steps(page)),
    )


def _toml(path: Path) -> dict[str, Any]:
    """Read the file as TOML; its decimals stay as written."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"scenario: expected a TOML file, but there is no file {path}") from None
    except OSError as error:
        raise InputError(f"{path}: expected a TOML file, got: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected TOML in UTF-8, got {error}") from None
    if text.startswith(_BYTE_ORDER_MARK):
        raise InputError(
            f"{path}: expected UTF-8 without a byte order mark, got one; save it without"
        )
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except ValueError as error:  # also a whole number of more digits than Python reads
        raise InputError(f"{path}: expected TOML, got {error}") from None


def _pools(page: "_Page") -> list[Mapping[str, Any]]:
    """Read the insurance pools."""
    pages = page.pages("pools")
    for pool in pages:
        require_pool(pool.table, pool.where)
    return [pool.table for pool in pages]


@dataclass(frozen=True, slots=True)
class _Page:
    """A table of a file, and where it is.

    Attributes:
        where: file and table, for messages.
        folder: that paths are relative to.
        table: its content.
    """

    where: str
    folder: Path
    table: Mapping[str, Any]

    def only(self, known: Sequence[str]) -> None:
        """Refuse any other key."""
        for key in self.table:
            if key not in known:
                raise InputError(
                    f"{self.where}: key: expected one of {', '.join(known)}, "
                    f"got {key!r}{nearest_name(key, known)}"
                )

    def text(self, key: str, default: str | None = None) -> str:
        """Give a text."""
        value = self.table.get(key, default)
        if not isinstance(value, str):
            raise self.refuse(key, "a text")
        return value

    def refuse(self, key: str, wanted: str) -> InputError:
        """Give the error for one key."""
        got = plain(self.table[key]) if key in self.table else "nothing"
        got = got if len(got) <= _SHOWN + 5 else f"{got[:_SHOWN]}..."
        return InputError(f"{self.where}: {key}: expected {wanted}, got {got}")

    def inner(self, key: str) -> "_Page":
        """Give a table inside; a missing one is empty."""
        value = self.table.get(key, {})
        if not isinstance(value, dict):
            raise self.refuse(key, "a table")
        return _Page(f"{self.where}: {key}", self.folder, value)

    def pages(self, key: str) -> list["_Page"]:
        """Give a list of tables; a missing one is empty."""
        value = self.table.get(key, [])
        if not isinstance(value, list):
            raise self.refuse(key, f"a list of tables, [[{key}]]")
        for number, row in enumerate(value):
            if not isinstance(row, dict):
                one = f"{key}[{number}]"
                raise _Page(self.where, self.folder, {one: row}).refuse(one, f"a table, [[{key}]]")
        return [
            _Page(f"{self.where}: {key}[{number}]", self.folder, row)
            for number, row in enumerate(value)
        ]

    def rows(
        self, key: str, known: Sequence[str], *, needed: Sequence[str]
    ) -> list[Mapping[str, Any]]:
        """Give a list of tables with known keys."""
        found = []
        for page in self.pages(key):
            page.only(known)
            for name in needed:
                if name not in page.table:
                    raise page.refuse(name, "a value")
            for name in page.table:
                page.cell(name)
            found.append(page.table)
        return found

    def cell(self, key: str) -> None:
        """Refuse what no cell of a table of the book can hold."""
        value = self.table[key]
        if isinstance(value, dict | list | datetime | date | time):
            raise self.refuse(key, "a text, a number, or true or false")
        if key in _NAMES:
            name_of(value, f"{self.where}: {key}")
        if key in _ABOVE_ZERO and exact_of(value, f"{self.where}: {key}") <= 0:
            raise self.refuse(key, "a number above zero")


def _venue(page: _Page) -> tuple[Venue, Choices]:
    """Read the edition, its parameters, and what is chosen where it is silent."""
    inner = page.inner("venue")
    inner.only(_VENUE)
    name = inner.text("edition")
    beside = page.folder / name
    venue = venue_of(str(beside) if name.endswith(".toml") else name)
    given = inner.inner("parameters")
    numbers = {key: _decimal(given, key) for key in given.table}
    try:
        venue = venue.with_parameters(numbers) if numbers else venue
    except VenueError as error:
        raise VenueError(f"{given.where}: {error}") from None
    return venue, replace(_choices(inner.inner("choices")), lines=_lines(inner.inner("lines")))


def _lines(page: _Page) -> dict[str, dict[str, Decimal]]:
    """Read the numbers of a market's own lines, by market."""
    tables = {market: page.inner(market) for market in page.table}
    return {
        market: {name: _decimal(inner, name) for name in inner.table}
        for market, inner in tables.items()
    }


def _choices(page: _Page) -> Choices:
    """Read what is chosen, each by its own words."""
    hints = get_type_hints(Choices)
    page.only([field.name for field in fields(Choices) if field.name != "lines"])
    found: dict[str, Any] = {}
    for key, value in page.table.items():
        options = [
            kind for kind in (get_args(hints[key]) or (hints[key],)) if kind is not type(None)
        ]
        kind = options[0]
        if issubclass(kind, StrEnum):
            words = [word.value for word in kind]
            if value not in words:
                hint = nearest_name(str(value), words)
                raise InputError(
                    f"{page.where}: {key}: expected one of {', '.join(words)}, "
                    f"got {plain(value)}{hint}"
                )
            found[key] = kind(value)
        elif type(value) is not kind:
            raise page.refuse(key, "true or false" if kind is bool else "a whole number")
        else:
            found[key] = value
    return Choices(**found)


def _frames(page: _Page, markets: Sequence[Mapping[str, Any]]) -> Frames:
    """Read the book: tables that stand in the file, or the paths of their own files."""
    if not markets:
        raise InputError(f"{page.where}: markets: expected at least one [[markets]], got none")
    marks = [
        {"market": row["market"], "mark_price": row["mark"]}
        | ({"previous_mark_price": row["previous_mark"]} if "previous_mark" in row else {})
        for row in markets
    ]
    terms = [
        {k: v for k, v in row.items() if k not in {"mark", "previous_mark"}} for row in markets
    ]
    return Frames(
        positions=_table(page, "positions", _POSITION, ("account", "market", "qty")),
        marks=_frame(marks),
        markets=_frame(terms),
        accounts=_optional(page, "accounts", _ACCOUNT, ("account",)),
        neutral=_optional(page, "neutral", _NEUTRAL, _NEUTRAL),
    )


def _optional(
    page: _Page, key: str, known: Sequence[str], needed: Sequence[str]
) -> str | pl.DataFrame | None:
    """Read a table of the book that may be missing."""
    return _table(page, key, known, needed) if key in page.table else None


def _table(
    page: _Page, key: str, known: Sequence[str], needed: Sequence[str]
) -> str | pl.DataFrame:
    """Read a table of the book, or the path of its file."""
    value = page.table.get(key)
    if isinstance(value, str):
        return str(page.folder / value)
    if value is None:
        raise page.refuse(key, f"a list of tables, [[{key}]], or the path of a file")
    if value == []:
        return pl.DataFrame(schema=dict.fromkeys(known, pl.String))
    return _frame(page.rows(key, known, needed=needed))


def _frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Put rows into a frame; what a row does not say is null, and numbers stay as written."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pl.DataFrame(
        {
            name: pl.Series(name, [_cell(row.get(name)) for row in rows], strict=False)
            for name in names
        }
    )


def _cell(value: Any) -> Any:  # noqa: ANN401 - what TOML holds
    """Write a number as text, so that a column has one type and no number changes."""
    if isinstance(value, bool) or value is None:
        return value
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _decimal(page: _Page, key: str) -> Decimal:
    """Read a decimal, bare or in quotes."""
    value = page.table[key]
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise page.refuse(key, "a decimal")
    exact_of(value, f"{page.where}: {key}")
    return Decimal(value)


def _steps(page: _Page) -> list[Step]:
    """Read what happens, in order."""
    found: list[Step] = []
    for step in page.pages("steps"):
        do = step.text("do")
        if do not in _STEPS:
            hint = nearest_name(do, _STEPS)
            raise InputError(
                f"{step.where}: do: expected one of {', '.join(_STEPS)}, got {do!r}{hint}"
            )
        needed, optional = _STEPS[do]
        step.only(("do", "at", "say", *needed, *optional))
        for key in needed:
            if key not in step.table:
                raise step.refuse(key, "a value")
        last = found[-1].at if found else None
        at = _instant(step, 0 if last is None else last)
        if last is not None and at < last:
            raise step.refuse("at", f"{last} ns or later, as time never runs backwards")
        values = {key: _value(step, key) for key in (*needed, *optional) if key in step.table}
        found.append(Step(do=do, at=at, values=values, say=step.text("say", "")))
    return found


def _instant(page: _Page, last: int) -> int:
    """Read a time: ns, a number with a unit such as "8h" or "250ms", or a date-time with a zone."""
    at = _nanoseconds(page, page.table.get("at", last))
    if not -_TIME_LIMIT <= at < _TIME_LIMIT:
        raise page.refuse("at", "a time within int64 ns, the years 1678 to 2261,")
    return at


def _nanoseconds(page: _Page, value: object) -> int:
    """Read a time that may be any whole number."""
    if type(value) is int:
        return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        passed = value - datetime(1970, 1, 1, tzinfo=UTC)
        whole = passed.days * 86_400 + passed.seconds
        return whole * _SECOND + passed.microseconds * 1000
    if isinstance(value, str):
        for unit in ("ns", "us", "ms", "s", "m", "h"):
            number = value.removesuffix(unit)
            is_number = number.isascii() and number.isdecimal() and len(number) <= _TIME_DIGITS
            if number != value and is_number:
                return int(number) * _UNITS[unit]
    wanted = 'ns as a whole number, a time such as "8h" or "250ms", or a date-time with a zone'
    raise page.refuse("at", wanted)


def _value(page: _Page, key: str) -> Any:  # noqa: ANN401 - each key has its own kind
    """Read one value of a step by what its key holds."""
    if key == "marks":
        return {market: _marks(page.inner(key), market) for market in page.inner(key).table}
    if key == "fills":
        if not isinstance(page.table[key], list):
            raise page.refuse(key, "a list of [contracts, price]")
        return [_fill(page, number, item) for number, item in enumerate(page.table[key])]
    if key in {"cancelled", "exclude"}:
        value = page.table[key]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise page.refuse(key, "a list of texts")
        return value
    if key in {"amount", "bankruptcy_price", "cash"}:
        return _decimal(page, key)
    if key == "facts":
        return dict(page.inner(key).table)
    if key in {"account", "position"} and type(page.table[key]) is int:
        return str(page.table[key])
    return page.text(key)


def _marks(page: _Page, market: str) -> Any:  # noqa: ANN401 - a price, or a table of prices
    """Read the mark of one market."""
    if not isinstance(page.table[market], dict):
        return _decimal(page, market)
    inner = page.inner(market)
    inner.only(("mark", "previous", "oracle"))
    return {name: _decimal(inner, name) for name in inner.table}


def _fill(page: _Page, number: int, item: object) -> tuple[Decimal, Decimal]:
    """Read one fill of the market: contracts and price."""
    inner = _Page(page.where, page.folder, {f"fills[{number}]": item})
    if not isinstance(item, list) or len(item) != 2:  # noqa: PLR2004 - quantity and price
        raise inner.refuse(f"fills[{number}]", "[contracts, price]")
    pair = _Page(f"{page.where}: fills[{number}]", page.folder, {"qty": item[0], "price": item[1]})
    return _decimal(pair, "qty"), _decimal(pair, "price")
