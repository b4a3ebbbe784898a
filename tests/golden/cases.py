"""What a golden case is, and the strict reader that turns it into positions of whole numbers.

A case states a published fact: what its source gives (`says`), from where and when, the positions,
and what must come out (`expect`). Where a source gives only ratios, `realised` says how positions
of whole lots and money units were made that have exactly these ratios.

Of a position are given: `id`, `side`, `qty`, the mark (its own or the case's), one of
`entry`, `entry_value`, `pnl` (money), `pnl_share` (of the entry value), and at most one of
`margin`, `bankrupt` (price), `bankrupt_value`, `equity` (margin + pnl), `effective_leverage`
(mark value / equity). What is left out follows from what is given, as an exact fraction; a
quantity or an amount of money that is not whole in its unit is a mistake in the case.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import oracle

GOLDEN = Path(__file__).parent
INDEX = "index.toml"

FACTS = ("id", "edition", "says", "source", "date", "evidence")
INPUTS = (
    "realised",
    "kind",
    "mark",
    "contract_size",
    "lot_size",
    "money_unit",
    "each",
    "joint",
    "position",
    "account",
    "cut_qty",
    "cut_market_of",
    "deficit",
    "delta_neutral",
    "isolated",
    "long_delta",
    "short_delta",
    "expect",
)
POSITION = (
    "id",
    "side",
    "qty",
    "mark",
    "entry",
    "entry_value",
    "pnl",
    "pnl_share",
    "margin",
    "bankrupt",
    "bankrupt_value",
    "equity",
    "effective_leverage",
    "maintenance",
    "open_value",
    "leverage",
    "account",
    "tier",
    "created_at",
)
EXPECT = (
    "score",
    "printed",
    "basis",
    "basis_printed",
    "factor",
    "reason",
    "pnl",
    "light",
    "order",
    "queue",
    "order_without_tiers",
    "front",
    "closed",
    "left",
    "pnl_left",
    "partial",
    "unfilled",
    "left_out",
    "borne",
    "completion",
    "executed",
    "scale",
    "difference",
    "neutral",
)

Table = Mapping[str, Any]


def number(value: str) -> Fraction:
    """A decimal or a ratio of two whole numbers, exactly."""
    return Fraction(value)


def whole(value: Fraction, what: str) -> int:
    """The same number as an int; a case whose figures are not whole in their unit is wrong."""
    assert value.denominator == 1, f"{what}: expected a whole number of units, got {value}"
    return value.numerator


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The units of a case: money units in one asset, lots in one contract, and the contract."""

    is_inverse: bool
    per_asset: Fraction
    per_contract: Fraction
    contract_size: Fraction

    def rate(self, mark: Fraction) -> oracle.Rate:
        """The money units that one lot is worth at a mark."""
        lot = self.contract_size / self.per_contract * self.per_asset
        worth = lot / mark if self.is_inverse else lot * mark
        return oracle.Rate(
            mark_num=worth.numerator, mark_den=worth.denominator, is_inverse=self.is_inverse
        )

    def value(self, qty: Fraction, price: Fraction) -> Fraction:
        """What a quantity is worth at a price, in units of the asset."""
        size = qty * self.contract_size
        return size / price if self.is_inverse else size * price


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One golden case: the facts, the book they make, and what must come out.

    Attributes:
        id: name of the published example, or `own-...`.
        edition: the venue edition that must give the expected figures.
        facts: where the case comes from, in words.
        table: the case as it stands in its file.
        scale: the units; `money_units` of the asset are whole.
        positions: the rows, in file order.
        rates: one a market; every mark of the case is a market.
        accounts: the account table.
        expect: what must come out.
    """

    id: str
    edition: str
    facts: Mapping[str, str]
    table: Table
    scale: Scale
    positions: tuple[oracle.Position, ...]
    rates: tuple[oracle.Rate, ...]
    accounts: tuple[oracle.Account, ...]
    expect: Table

    @property
    def money_units(self) -> int:
        """Money units in one asset."""
        return whole(self.scale.per_asset, f"{self.id}: money_unit")

    def row(self, position_id: int | str) -> int:
        """The row of a position."""
        return [row.position_id for row in self.positions].index(int(position_id))

    def lots(self, qty: str) -> int:
        """A quantity of contracts in lots."""
        return whole(number(qty) * self.scale.per_contract, f"{self.id}: {qty} contracts")

    def by_row(self, name: str) -> dict[int, Any]:
        """An expectation that is given by position id, by row."""
        return {self.row(key): value for key, value in self.expect.get(name, {}).items()}


def refuse_unknown(table: Table, known: Iterable[str], what: str) -> None:
    """A misspelt key would be a fact that nothing checks."""
    unknown = set(table) - set(known)
    assert not unknown, f"{what}: expected only {sorted(known)}, got {sorted(unknown)}"


def entry_value(row: Table, scale: Scale, mark_value: Fraction, gain: int) -> Fraction:
    """The entry value, given itself, as a price, or by the profit it leaves at the mark."""
    given = [name for name in ("entry", "entry_value", "pnl", "pnl_share") if name in row]
    assert len(given) == 1, f"position {row['id']}: expected one entry, got {given}"
    figure = number(row[given[0]])
    if given == ["entry"]:
        return scale.value(number(row["qty"]), figure)
    if given == ["entry_value"]:
        return figure
    if given == ["pnl"]:
        return mark_value - gain * figure
    return mark_value / (1 + gain * figure)


def own_margin(
    row: Table, scale: Scale, entry: Fraction, mark_value: Fraction, gain: int
) -> Fraction:
    """The position margin without its profit, given itself or by what it makes bankrupt."""
    names = ("margin", "bankrupt", "bankrupt_value", "equity", "effective_leverage")
    given = [name for name in names if name in row]
    if not given:
        return Fraction(0)
    assert len(given) == 1, f"position {row['id']}: expected one margin, got {given}"
    figure = number(row[given[0]])
    if given == ["margin"]:
        return figure
    if given == ["bankrupt"]:
        return gain * (entry - scale.value(number(row["qty"]), figure))
    if given == ["bankrupt_value"]:
        return gain * (entry - figure)
    pnl = gain * (mark_value - entry)
    return (figure if given == ["equity"] else mark_value / figure) - pnl


def read_position(row: Table, table: Table, scale: Scale, marks: list[str]) -> oracle.Position:
    """One row of a case in lots and money units."""
    refuse_unknown(row, POSITION, f"{table['id']}: position")
    what = f"{table['id']}: position {row['id']}"
    direction = {"long": 1, "short": -1}[row["side"]]
    gain = -direction if scale.is_inverse else direction
    mark = str(row.get("mark", table.get("mark")))
    mark_value = scale.value(number(row["qty"]), number(mark))
    entry = entry_value(row, scale, mark_value, gain)
    margin = own_margin(row, scale, entry, mark_value, gain)
    own = {"qty": direction * number(row["qty"]), "value": direction * entry}
    joint = table.get("joint", own)

    def money(amount: Fraction) -> int:
        return whole(amount * scale.per_asset, what)

    return oracle.Position(
        lots=direction * whole(number(row["qty"]) * scale.per_contract, what),
        entry_value=money(entry),
        position_id=row["id"],
        market=marks.index(mark),
        margin=money(margin),
        maintenance_margin=money(number(row.get("maintenance", "0"))),
        open_value=money(number(row.get("open_value", "0"))),
        leverage=whole(number(row.get("leverage", "0")) * oracle.PPM, what),
        account=row.get("account"),
        profit_lots=whole(Fraction(joint["qty"]) * scale.per_contract, what),
        profit_value=money(Fraction(joint["value"])),
        tier=row.get("tier", 0),
        created_at=row.get("created_at", 0),
    )


def read_account(row: Table, scale: Scale, what: str) -> oracle.Account:
    """One row of a case's account table in money units."""
    refuse_unknown(row, ("equity", "maintenance", "wallet"), f"{what}: account")
    equity, maintenance, wallet = (
        whole(number(row.get(name, "0")) * scale.per_asset, what)
        for name in ("equity", "maintenance", "wallet")
    )
    return oracle.Account(equity=equity, maintenance_margin=maintenance, wallet_balance=wallet)


def read_case(table: Table) -> Case:
    """One case of a golden file."""
    what = f"case {table.get('id')}"
    refuse_unknown(table, (*FACTS, *INPUTS), what)
    refuse_unknown(table["expect"], EXPECT, f"{what}: expect")
    facts = {name: str(table[name]) for name in FACTS}
    assert all(facts.values()), f"{what}: expected {FACTS}, got an empty one"
    scale = Scale(
        is_inverse={"linear": False, "inverse": True}[table.get("kind", "linear")],
        per_asset=1 / number(table.get("money_unit", "0.000001")),
        per_contract=1 / number(table.get("lot_size", "1")),
        contract_size=number(table.get("contract_size", "1")),
    )
    rows = [{**table.get("each", {}), **row} for row in table.get("position", ())]
    marks = list(dict.fromkeys(str(row.get("mark", table.get("mark"))) for row in rows))
    return Case(
        id=table["id"],
        edition=table["edition"],
        facts=facts,
        table=table,
        scale=scale,
        positions=tuple(read_position(row, table, scale, marks) for row in rows),
        rates=tuple(scale.rate(number(mark)) for mark in marks),
        accounts=tuple(read_account(row, scale, what) for row in table.get("account", ())),
        expect=table["expect"],
    )


@cache
def golden_files() -> dict[str, tuple[Case, ...]]:
    """Every case about the queue, by golden file; tables of other questions are read elsewhere."""
    return {
        path.name: tuple(read_case(table) for table in tables)
        for path in sorted(GOLDEN.glob("*.toml"))
        if (tables := tomllib.loads(path.read_text()).get("case")) and path.name != INDEX
    }


def listed_cases() -> list[tuple[str, str]]:
    """The id and the golden file of every case, whatever its question."""
    files = {
        path.name: tomllib.loads(path.read_text())
        for path in sorted(GOLDEN.glob("*.toml"))
        if path.name != INDEX
    }
    return [
        (case["id"], name)
        for name, tables in files.items()
        for rows in tables.values()
        if isinstance(rows, list)
        for case in rows
    ]


def cases_that_expect(*names: str) -> list[Case]:
    """The cases that expect any of these."""
    every = (case for cases in golden_files().values() for case in cases)
    return [case for case in every if any(name in case.expect for name in names)]


def read_index() -> dict[str, Any]:
    """Where every published example stands."""
    return tomllib.loads((GOLDEN / INDEX).read_text())
