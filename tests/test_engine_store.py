"""The position store: whatever changes, it reads like a plain list of rows, as do its versions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage.engine import tree
from deleverage.engine.arrays import Changes, VersionedArrays
from deleverage.engine.book import Frames, pack, read_book, unpack
from deleverage.engine.keeping import Kept, Terms
from deleverage.engine.positions import Arrays, Change, Positions
from deleverage.engine.rows import kept
from deleverage.errors import InvariantError
from deleverage.venue import Venue
from engines import market

COUNT = 70


@dataclass
class Twin:
    """The slow, obvious store: a dict of rows by place."""

    lots: dict[int, int]
    entry: dict[int, int]
    margin: dict[int, int]
    aside: set[int] = field(default_factory=set)

    def copy(self) -> "Twin":
        """Another one with the same rows."""
        return Twin(dict(self.lots), dict(self.entry), dict(self.margin), set(self.aside))

    def close(self, place: int, part: int) -> None:
        """Close some lots of a row: entry value and margin give their floor share."""
        size = abs(self.lots[place])
        side = 1 if self.lots[place] > 0 else -1
        for table in (self.entry, self.margin):
            table[place] -= table[place] * part // size
        self.lots[place] -= side * part
        if self.lots[place] == 0:
            self.aside.add(place)


def frame(rows: int, seed: int) -> pl.DataFrame:
    """Positions of two markets and both sides, drawn from a seed."""
    draw = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "position_id": np.arange(rows),
            "account": [f"a{number}" for number in draw.integers(0, 20, rows)],
            "market": draw.choice(["M", "N"], rows),
            "side": draw.choice(["long", "short"], rows),
            "qty": draw.integers(1, 9, rows),
            "entry_price": draw.integers(50, 150, rows),
            "margin": draw.integers(5, 50, rows),
        }
    )


def store(positions: pl.DataFrame, edition: str = "bitmex", **tables: Any) -> Positions:
    """A store of some positions at a mark of 100."""
    terms = [market("M"), market("N")]
    marks = tables.pop("marks", {"M": "100", "N": "100"})
    read = read_book(
        Frames(
            positions=positions,
            marks=marks,
            markets={name: [row[name] for row in terms] for name in terms[0]},
            **tables,
        ),
        Venue.load(edition),
    )
    return Positions.open(read.roster, read.columns, read.aside)


def twin_of(positions: Positions) -> Twin:
    """The twin of a fresh store."""
    held = positions.holdings(np.arange(len(positions.roster)))
    return Twin(
        {one.place: one.lots for one in held},
        {one.place: one.entry_value for one in held},
        {one.place: one.margin or 0 for one in held},
    )


def assert_same(positions: Positions, twin: Twin) -> None:
    """Every row, every queue and the root are those of the twin."""
    held = positions.holdings(np.arange(len(positions.roster)))
    assert twin.lots == {one.place: one.lots for one in held}
    assert twin.entry == {one.place: one.entry_value for one in held}
    assert twin.margin == {one.place: one.margin for one in held}
    for name in ("M", "N"):
        for number, side in enumerate(("long", "short")):
            found = positions.side(name, side)
            places = found.places
            section = 2 * positions.roster.code(name) + number
            expected = np.flatnonzero(positions.roster.section == section).tolist()
            assert sorted(places.tolist()) == sorted(set(expected) - twin.aside)
            lots = found.columns.lots.tolist()
            assert lots == [twin.lots[place] for place in places.tolist()]
        lots = [twin.lots[p] for p in twin.lots if positions.roster.market(p) == name]
        assert positions.net_lots(name) == sum(lots)
    assert positions.regrown() == positions.root


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["close", "aside", "back"]),
        st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=6, unique=True),
        st.integers(1, 8),
    ),
    min_size=1,
    max_size=12,
)


@given(seed=st.integers(0, 50), steps=STEPS)
def test_the_store_reads_like_its_twin(seed: int, steps: list[tuple[str, list[int], int]]) -> None:
    """Closing, setting aside and going back to an older version agree with a dict of rows."""
    positions = store(frame(COUNT, seed))
    twin = twin_of(positions)
    scale = _scale()
    versions = [(positions, twin)]
    for number, (do, places, part) in enumerate(steps, 1):
        twin = twin.copy()
        if do == "back":
            positions, older = versions[part % len(versions)]
            twin = older.copy()
        elif do == "aside":
            positions = positions.left_queue(np.array(places))
            twin.aside |= set(places)
        else:
            name = positions.roster.market(places[0])
            open_ = [p for p in places if twin.lots[p] and positions.roster.market(p) == name]
            for place in open_:
                twin.close(place, min(part, abs(twin.lots[place])))
            changes = [Change(p, twin.lots[p], twin.entry[p]) for p in open_]
            if changes:
                positions = positions.change(changes, scale[name], sequence=number)
        versions.append((positions, twin))
        assert_same(positions, twin)
    first, _ = versions[0]
    for positions, twin in versions:
        assert_same(positions, twin)
        assert positions.is_true_since(first)
        moved = positions.net_lots_since(first)
        nets = {name: first.net_lots(name) + moved.get(name, 0) for name in ("M", "N")}
        assert nets == {name: positions.net_lots(name) for name in ("M", "N")}


SLIPS: dict[str, Callable[[Arrays], Changes]] = {
    "a row": lambda a: {"margin": (np.array([3]), a["margin"][[3]] + 1)},
    "a row's lots": lambda a: {"lots": (np.array([40]), -a["lots"][[40]])},
    "cash": lambda a: {"account cash": (np.array([5]), a["account cash"][[5]] - 1)},
    "a leaf": lambda a: {"rows level 0": (np.array([1]), a["rows level 0"][[0]])},
    "a node": lambda a: {"rows level 1": (np.array([0]), a["rows level 1"] + 1)},
    "the other tree": lambda a: {"accounts level 0": (np.array([0]), a["accounts level 0"] ^ 1)},
}


@pytest.mark.parametrize("slip", SLIPS)
def test_what_is_written_past_the_tree_is_seen(slip: str) -> None:
    """A row, a leaf or a node that was written alone is found, also after a true change."""
    accounts = {"account": [f"a{n}" for n in range(20)], "asset": ["USDT"] * 20}
    accounts |= {name: [1000] * 20 for name in ("equity", "maintenance_margin", "wallet_balance")}
    crossed = frame(COUNT, 3).with_columns(margin_mode=pl.lit("cross")).drop("margin")
    first = store(crossed, "hyperliquid", accounts=pl.DataFrame(accounts)).credit(1, 5)
    if slip == "a row":
        first = store(frame(COUNT, 3))
    arrays = first._arrays  # noqa: SLF001 - a slip has no door
    spoilt = Positions(first.roster, arrays.put(SLIPS[slip](arrays.read())), Kept(first.roster))

    assert not spoilt.is_true_since(first)
    assert first.is_true_since(first)
    assert not spoilt.left_queue(np.array([9])).is_true_since(first)


def test_a_version_of_other_arrays_is_no_older_one() -> None:
    """What was written can only be told of versions that belong together."""
    one, other = (VersionedArrays({"x": np.arange(3)}) for _ in range(2))
    newer = one.put({"x": (np.array([1]), np.array([7]))})
    rows, held = newer.written_since(one)["x"]

    assert ([1], [1]) == (rows.tolist(), held.tolist())
    with pytest.raises(InvariantError, match="expected an older version of these"):
        newer.written_since(other)


def _scale() -> dict[str, Any]:
    """The two markets at their marks."""
    terms = [market("M"), market("N")]
    read = read_book(
        Frames(
            positions=frame(4, 1),
            marks={"M": "100", "N": "100"},
            markets={name: [row[name] for row in terms] for name in terms[0]},
        ),
        Venue.load("bitmex"),
    )
    return {scale.market: scale for scale in read.scales}


@given(seed=st.integers(0, 30), shuffle=st.integers(0, 30))
def test_row_order_never_matters(seed: int, shuffle: int) -> None:
    """The same positions in another order have the same places and the same root."""
    given_ = frame(COUNT, seed)
    order = np.random.default_rng(shuffle).permutation(COUNT)
    first, second = store(given_), store(given_[order])

    assert first.root == second.root
    assert first.holdings(np.arange(COUNT)) == second.holdings(np.arange(COUNT))


def test_many_names_are_found_as_one_is() -> None:
    """Accounts and ids of many places, known or not, whether ids are numbers or text."""
    known = [f"a{number}" for number in range(20)]
    names = [*known, "", "a", "a05", "zz", *reversed(known)]
    for ids in ("position_id", "account"):
        positions = frame(300, 1).with_columns(position_id=pl.col(ids).cast(pl.String))
        positions = positions.unique("position_id", maintain_order=True)
        roster = store(frame(300, 1) if ids == "position_id" else positions).roster
        places = np.arange(len(roster))

        assert roster.find_accounts(names) == [roster.find_account(name) for name in names]
        assert roster.find_accounts(names[:3]) == roster.find_accounts(names)[:3]
        assert roster.accounts_of(places) == [roster.account(place) for place in places.tolist()]
        assert roster.ids_of(places) == [str(name) for name in roster.ids.to_list()]


def test_a_packed_book_is_the_same_book() -> None:
    """What is journalled of a book reads back to the same root, and bytes that compare stay so."""
    terms = [market("M"), market("N")]
    read = read_book(
        Frames(
            positions=frame(COUNT, 3),
            marks={"M": "100", "N": "100"},
            markets={name: [row[name] for row in terms] for name in terms[0]},
        ),
        Venue.load("bitmex"),
    )
    first = Positions.open(read.roster, dict(read.columns), read.aside)
    for squeezed in (True, False):
        again = unpack(pack(read, is_compressed=squeezed), read.scales)
        assert Positions.open(again.roster, again.columns, again.aside).root == first.root


def test_equity_follows_marks_and_cash() -> None:
    """A cross account's equity is its cash and the profit of its rows, after every step."""
    accounts = {
        "account": ["a", "b"],
        "asset": ["USDT"] * 2,
        "equity": ["1000", "500"],
        "maintenance_margin": ["10", "10"],
    }
    positions = {
        "account": ["a", "b", "a"],
        "market": ["M", "M", "N"],
        "side": ["long", "short", "short"],
        "qty": ["3", "3", "2"],
        "entry_price": ["90", "120", "100"],
        "margin_mode": ["cross"] * 3,
    }
    book = store(pl.DataFrame(positions), edition="bybit@2025", accounts=accounts)
    scales = _scale()
    moved = scales["M"].at(scales["M"].mark_price + 7)
    cut = book.change([Change(0, 1, 90_000_000, paid=34_000_000)], moved, sequence=1)
    paid = cut.credit(1, -5_000_000)

    def equities(one: Positions, mark: Any = moved) -> list[int]:
        """Equity of a and of b in USDT, of all accounts and of those that judge some rows."""
        terms = Terms(Venue.load("bybit@2025"), (mark, scales["N"]))
        table = one.accounts(terms)
        _, some = one.judged(terms, np.array([1, 0]))
        assert table is not None
        assert some is not None
        assert table.equity is not None
        assert some.equity is not None
        assert table.equity.tolist() == some.equity.tolist()
        return [int(units) // 10**6 for units in table.equity]

    # At 107: a gains 3 x 7, b loses it. Two of a's lots from 90 close at 107: nothing changes.
    assert [1021, 479] == equities(book)
    assert [1021, 479] == equities(cut)
    assert [1021, 474] == equities(paid)
    assert [1000, 500] == equities(book, scales["M"])
    assert paid.regrown() == paid.root


def test_a_hedged_part_is_put_back() -> None:
    """A position whose hedged part queues behind is one row again when it is taken over."""
    positions = frame(4, 1).with_columns(hedged_qty=pl.lit("0"), market=pl.lit("M"))
    positions = positions.with_columns(
        qty=pl.lit("8"), side=pl.lit("long"), hedged_qty=pl.lit("3"), maintenance_margin=pl.lit("1")
    )
    book = store(positions, edition="okx@2026", accounts=_equities(positions), neutral=_nobody())
    places = book.roster.find(2)
    whole = book.folded(places, sequence=1)
    held = [one.lots for one in book.holdings(places)]

    assert [5, 3] == sorted(held, reverse=True)
    assert [8, 0] == [one.lots for one in whole.holdings(places)]
    assert sum(one.entry_value for one in book.holdings(places)) == (
        whole.holding(int(places[0])).entry_value
    )
    assert not whole.is_live(int(places[1]))
    assert whole.regrown() == whole.root


def _equities(positions: pl.DataFrame) -> pl.DataFrame:
    """An account table for everybody."""
    names = positions["account"].unique()
    return pl.DataFrame(
        {
            "account": names,
            "asset": ["USDT"] * len(names),
            "equity": ["1000"] * len(names),
            "maintenance_margin": ["10"] * len(names),
        }
    )


def _nobody() -> pl.DataFrame:
    """No account is delta-neutral."""
    schema = {"account": pl.String, "underlier": pl.String, "delta_neutral": pl.Boolean}
    return pl.DataFrame(schema=schema)


@given(
    rows=st.integers(0, 3000),
    changed=st.lists(st.integers(0, 2999), max_size=5),
    seed=st.integers(0, 9),
)
def test_a_kept_tree_is_the_grown_tree(rows: int, changed: list[int], seed: int) -> None:
    """Hashing what changed again gives the root of hashing everything, whatever the size."""
    numbers = np.random.default_rng(seed).integers(0, 99, rows)

    def read(blocks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The bytes of blocks of numbers, zeros beyond the last."""
        places = blocks[:, None] * tree.BLOCK + np.arange(tree.BLOCK)
        found = np.where(places < rows, np.append(numbers, 0)[np.minimum(places, rows)], 0)
        return np.ascontiguousarray(found, np.int64).view(np.uint8).reshape(len(blocks), -1)

    levels = VersionedArrays(tree.grow("t", rows, read))
    before = tree.root("t", levels.read())
    touched = np.unique([place for place in changed if place < rows]).astype(np.int64)
    numbers[touched] += 1
    if len(touched):
        newer = levels.put(tree.dirty("t", levels.read(), touched, read))
        assert tree.root("t", newer.read()) == tree.root("t", tree.grow("t", rows, read)) != before

    assert before == tree.root("t", levels.read())


def test_shares_are_floors() -> None:
    """What stays of a margin is what the floor share leaves, also below zero."""
    found = kept(np.array([10, -10, 7]), np.array([3, -3, 7]), np.array([2, -2, 0]))

    assert [10 - 3, -10 + 4, 0] == found.tolist()
    assert Fraction(10, 3) > 3
