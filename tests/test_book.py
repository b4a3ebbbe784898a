"""The kept book beside the stateless verbs and the oracle: same ids, lots, places and lights."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import deleverage as dl
from deleverage import ranking
from deleverage.book import Book
from deleverage.errors import InputError
from deleverage.lab.books import generate
from deleverage.model.rules import Basis, Factor, Loss, Scope, ScoreRule
from long_walk import EPISODE, walk
from oracle import Book as Twin
from oracle import queue, select
from strategies import OWN_MARGIN, accounts_of, books, columns_of
from walks import SIDES, Walk

OPERATIONS = 20_000
"""Of the walk in all; `make walk` takes as many as are wanted."""

BITMEX = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.BANKRUPTCY_DISTANCE, loss=Loss.DIVIDE)
POOLED = ScoreRule(
    basis=Basis.ENTRY_VALUE,
    factor=Factor.NOTIONAL_OVER_EQUITY,
    loss=Loss.DIVIDE,
    scope=Scope.ACCOUNT,
)
LITERAL = replace(BITMEX, basis=Basis.MARK_VALUE)
WORTH = ScoreRule(basis=Basis.EQUITY, factor=Factor.NONE, loss=Loss.EXCLUDE)
MAINTAINED = replace(BITMEX, factor=Factor.MAINTENANCE_OVER_EQUITY)


def test_a_long_walk_never_differs() -> None:
    """Ticks, jumps, changes and removals under every rule: each answer is the stateless one."""
    tally = walk(OPERATIONS)

    assert {} == tally.differing
    assert tally.kept > OPERATIONS // EPISODE


def arrays(columns: object, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The arrays of a record that are there."""
    given = {name: getattr(columns, name) for name in names}
    return {name: values for name, values in given.items() if values is not None}


COLUMNS = tuple(ranking.Columns.__dataclass_fields__)
TABLES = tuple(ranking.Accounts.__dataclass_fields__)


def kept_book(twin: Twin) -> Book:
    """The oracle's book, kept."""
    return Book.from_arrays(
        arrays(columns_of(twin), COLUMNS),
        [(rate.mark_num, rate.mark_den, rate.is_inverse) for rate in twin.rates],
        rule=twin.rule,
        accounts=arrays(accounts_of(twin), TABLES),
    )


@given(twin=books(), data=st.data())
def test_select_equals_the_oracle(twin: Twin, data: st.DataObject) -> None:
    """Asked twice (a pass, then kept rows), the set, its lots, cut and rest are the oracle's."""
    side = data.draw(st.sampled_from(["long", "short"]))
    rows = queue(twin, side=SIDES[side])
    ends = np.cumsum([abs(twin.positions[row].lots) for row in rows], dtype=object).tolist()
    near = [end + by for end in ends for by in (-1, 0, 1) if 0 < end + by < 2**60]
    lots = data.draw(st.one_of(st.integers(1, 100), st.sampled_from(near or [1])))
    expected = select(twin, lots=lots, side=SIDES[side])
    ids = [position.position_id for position in twin.positions]
    book = kept_book(twin)

    for is_ordered in (False, True):
        head = book.select(0, side=side, lots=lots, is_ordered=is_ordered)

        fills = dict(zip(head.position_id.tolist(), head.lots.tolist(), strict=True))
        assert fills == {ids[row]: closed for row, closed in expected.fills}
        assert head.unfilled == expected.unfilled
        assert head.cut_id == (ids[expected.cut_row] if expected.cut_row >= 0 else None)
        if is_ordered:
            assert head.position_id.tolist() == [ids[row] for row, _ in expected.fills]


@pytest.mark.parametrize("rule", [BITMEX, LITERAL, WORTH, MAINTAINED, POOLED], ids=str)
@pytest.mark.parametrize("distribution", ["log_normal", "ties", "loss"])
def test_a_large_side_is_answered_from_kept_rows(rule: ScoreRule, distribution: str) -> None:
    """At a size where cuts are sampled and rows screened, a walk of marks changes no answer."""
    drawn = generate(90_000, seed=3, distribution=distribution, accounts=30_000)
    is_pooled = rule.scope is Scope.ACCOUNT
    columns = {
        name: getattr(drawn, name)
        for name in ("lots", "entry_value", "margin", "maintenance_margin", "position_id")
    } | ({"account": drawn.account} if is_pooled else {})
    accounts = {"equity": drawn.equity} if is_pooled else {}
    mark = int(drawn.mark_num[0])
    book = Book.from_arrays(columns, [(mark, drawn.mark_den, False)], rule=rule, accounts=accounts)
    rng = np.random.default_rng(5)
    answers = []

    for tick in range(24):
        mark = round(mark * (1 + rng.normal(0, 2e-4))) if tick % 12 else mark * (2 + tick) // 3
        book.set_rates({0: (mark, drawn.mark_den, False)})
        side = "short" if tick % 2 else "long"
        lots = drawn.open_interest(SIDES[side]) // (20, 100, 1000)[tick % 3]
        head = book.select(0, side=side, lots=lots)
        expected = ranking.select(
            ranking.Columns(**columns),
            ranking.Rate(mark_num=mark, mark_den=drawn.mark_den),
            rule=rule,
            side=SIDES[side],
            lots=lots,
            accounts=ranking.Accounts(**accounts),
        )
        answers.append(head.is_kept)
        lights = ranking.lights(
            ranking.Columns(**columns),
            ranking.Rate(mark_num=mark, mark_den=drawn.mark_den),
            rule=rule,
            accounts=ranking.Accounts(**accounts),
            weight="entries" if tick % 5 == 0 else "quantity",
        )
        some = rng.integers(len(lights), size=200)
        seen = book.lights(
            drawn.position_id[some], weight="entries" if tick % 5 == 0 else "quantity"
        )
        assert seen.tolist() == lights[some].tolist()
        order = np.argsort(head.position_id)
        wanted = np.argsort(drawn.position_id[expected.rows])
        ids = drawn.position_id[expected.rows][wanted]
        assert head.position_id[order].tolist() == ids.tolist()
        assert head.lots[order].tolist() == expected.lots[wanted].tolist()
        assert (head.unfilled, head.cut_score) == (expected.unfilled, expected.cut_score) or (
            expected.cut_row < 0
        )

    assert any(answers) or distribution != "log_normal"


def test_marks_that_jump_and_come_back() -> None:
    """A mark that halves and returns gives the answers it gave before."""
    walk = Walk(11, rows=200, markets=1, rule=BITMEX)
    first = walk.book.snapshot().rates[0]
    for num in (first[0] // 2, first[0] * 3 // 2, first[0]) * 4:
        walk.set_rates({0: (num, first[1], first[2])})
        for _ in range(6):
            walk.assert_select()
        walk.assert_places()

    assert walk.book.snapshot().rates[0] == first


def test_a_market_is_emptied_and_filled_again() -> None:
    """All positions of a market leave and come back; a market of one position has its queue."""
    walk = Walk(12, rows=60, markets=3)
    for market in range(3):
        gone = {n: row for n, row in walk.twin.rows.items() if row["market"] == market}
        walk.remove(list(gone))
        assert walk.book.select(market, side="long", lots=5).unfilled == 5
        number = next(iter(gone))
        walk.upsert({number: gone[number]})
        for _ in range(8):
            walk.assert_select()
        walk.assert_places()
        walk.upsert(gone)
        for _ in range(8):
            walk.assert_select()

    assert len(walk.book) == len(walk.twin.rows)


def test_equal_scores_everywhere() -> None:
    """Where all scores are equal the larger size is first, then the id, whatever was kept."""
    count = 400
    lots = np.tile([3, 1, 2, 5], count // 4)
    columns = {
        "lots": lots,
        "entry_value": 100 * lots,
        "margin": 10 * lots,
        "position_id": np.arange(count, 0, -1, dtype=np.uint64),
    }
    book = Book.from_arrays(columns, [(110, 1, False)], rule=BITMEX)
    expected = [i for _, i in sorted(zip(-lots, columns["position_id"].tolist(), strict=True))]

    for num in (110, 111, 110, 160, 110):
        book.set_rates({0: (num, 1, False)})
        head = book.select(0, side="long", lots=333, is_ordered=True)
        assert head.position_id.tolist() == expected[: len(head.position_id)]
        assert head.lots.sum() == 333


def test_the_cut_crosses_from_winners_to_losers() -> None:
    """A request that outgrows the winners is filled by losers, the least loss a leverage first."""
    walk = Walk(13, rows=300, markets=1, rule=BITMEX)
    side = walk.twin.side(0, "long")
    whole = sum(row["lots"] for row in side.values())
    for part in range(1, 21):
        columns, given = walk.twin.arguments(0, "long")
        lots = max(1, whole * part // 20)
        expected = ranking.select(
            columns, given["rates"], rule=BITMEX, accounts=given["accounts"], side=1, lots=lots
        )
        head = walk.book.select(0, side="long", lots=lots)
        ids = columns.position_id
        assert ids is not None
        assert set(head.position_id.tolist()) == set(ids[expected.rows].tolist())
        walk.tick()


def test_an_equity_goes_through_zero() -> None:
    """An account with positions in 50 markets loses all its equity and regains it, tick by tick."""
    walk = Walk(14, rows=0, markets=50, rule=POOLED)
    walk.twin.is_derived = True
    rows = {}
    for market, (num, den, _) in enumerate(walk.twin.rates):
        walk.twin.rates[market] = walk.start[market] = (num, den, False)
        for size, account in ((40, 0), (7, 1), (-9, 1)):
            price = abs(size) * num // den
            rows[walk.fresh_id()] = walk.row() | {
                "market": market,
                "lots": size,
                "entry_value": price * 9 // 10,
                "account": account,
            }
    for account in walk.twin.accounts:
        account["wallet_balance"] = 60_000
    walk.twin.rows.update(rows)
    walk.book = Book.from_arrays(
        walk.twin.columns(walk.twin.rows),
        walk.twin.rates,
        rule=POOLED,
        accounts=walk.twin.table(),
        derive_equity=True,
    )
    signs = set()
    for step in (*range(0, -30, -1), *range(-30, 5)):
        moved = {
            market: (max(1, num * (100 + step) // 100), den, False)
            for market, (num, den, _) in enumerate(walk.start)
        }
        walk.set_rates(moved)
        signs.add(walk.twin.equities()[0] > 0)
        walk.assert_select()
        walk.assert_places()

    assert signs == {True, False}


def test_a_derived_equity_follows_the_marks() -> None:
    """Equity is the wallet plus each rounded profit at the marks in use, for every account."""
    walk = next(w for w in (Walk(seed, rows=60) for seed in range(99)) if w.twin.is_derived)
    for _ in range(40):
        walk.tick()
        walk.change()
        kept = walk.book.snapshot()
        assert kept.accounts["equity"].tolist() == walk.twin.equities()
        assert dict(enumerate(kept.rates)) == dict(enumerate(walk.twin.rates))


def test_a_derived_equity_starts_as_said() -> None:
    """Where accounts say an equity it holds at the first marks, and moves by the profits."""
    walk = next(w for w in (Walk(seed, rows=60) for seed in range(99)) if w.twin.is_derived)
    table = walk.twin.table()
    more = np.arange(len(table["equity"])) * 1000
    table["equity"] += more
    columns, rates = walk.twin.columns(walk.twin.rows), walk.twin.rates
    rule = walk.twin.rule
    book = Book.from_arrays(columns, rates, rule=rule, accounts=table, derive_equity=True)
    assert book.snapshot().accounts["equity"].tolist() == table["equity"].tolist()

    walk.tick()
    book.set_rates(dict(enumerate(walk.twin.rates)))
    expected = np.array(walk.twin.equities()) + more
    assert book.snapshot().accounts["equity"].tolist() == expected.tolist()


def test_rows_stand_by_market_side_and_account() -> None:
    """Columns come out by market, long before short; and by account at first."""
    walk = Walk(4, rows=120, markets=3, rule=POOLED)
    columns = walk.book.snapshot().columns
    keys = list(zip(columns["market"], columns["lots"] < 0, columns["account"], strict=True))

    assert all(first <= second for first, second in pairwise(keys))
    for number, lots in zip(columns["position_id"].tolist(), columns["lots"], strict=True):
        assert walk.twin.rows[number]["lots"] == lots


def test_readers_see_one_tick() -> None:
    """While one thread sets marks, every answer of the others is that of the version it names."""
    drawn = generate(40_000, seed=1)
    columns = {
        name: getattr(drawn, name) for name in ("lots", "entry_value", "margin", "position_id")
    }
    mark, den = int(drawn.mark_num[0]), drawn.mark_den
    marks = [mark + mark * by // 1000 for by in (0, 1, 2, -1, 30, 0, -2)]
    lots = drawn.open_interest(-1) // 200
    wanted = []
    for num in marks:
        alone = Book.from_arrays(columns, [(num, den, False)], rule=BITMEX)
        wanted.append(set(alone.select(0, side="short", lots=lots).position_id.tolist()))
    book = Book.from_arrays(columns, [(marks[0], den, False)], rule=BITMEX)
    wrong: list[int] = []

    def read() -> None:
        for _ in range(150):
            head = book.select(0, side="short", lots=lots)
            if set(head.position_id.tolist()) != wanted[head.version % len(marks)]:
                wrong.append(head.version)

    readers = [Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for tick in range(1, 200):
        book.set_rates({0: (marks[tick % len(marks)], den, False)})
    for reader in readers:
        reader.join()

    assert (wrong, book.version) == ([], 199)


def assert_refused(call: Callable[[Book], object], said: str) -> None:
    """A call on a small book is one clear error; rows, marks and version stay as they were."""
    book = small()
    before = book.snapshot()

    with pytest.raises(InputError) as caught:
        call(book)

    after = book.snapshot()
    assert said in str(caught.value)
    assert (after.version, after.rates) == (before.version, before.rates)
    for name, column in before.columns.items():
        assert after.columns[name].tolist() == column.tolist()


def small() -> Book:
    """Three longs and a short of one market."""
    return Book.from_arrays(
        {
            "lots": np.array([3, 4, 5, -6]),
            "entry_value": np.array([270, 480, 500, 660]),
            "margin": np.array([30, 50, 50, 60]),
            "position_id": np.array([1, 2, 3, 4], np.uint64),
        },
        [(100, 1, False)],
        rule=BITMEX,
    )


def rows(**changed: Any) -> dict[str, NDArray[Any]]:
    """One new position, with something changed."""
    given: dict[str, NDArray[Any]] = {
        "lots": np.array([1]),
        "entry_value": np.array([90]),
        "margin": np.array([9]),
        "position_id": np.array([9], np.uint64),
    }
    return {name: value for name, value in (given | changed).items() if value is not None}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda book: book.upsert(rows(lots=np.array([0]))), "lots: expected a position"),
        (lambda book: book.upsert(rows(lots=np.array([2**51]))), "lots: expected less than 2"),
        (lambda book: book.upsert(rows(entry_value=np.array([-1]))), "entry_value: expected 0"),
        (lambda book: book.upsert(rows(margin=None)), "margin: the rule reads this column"),
        (lambda book: book.upsert(rows(tier=np.zeros(1, np.uint8))), "tier: expected the columns"),
        (lambda book: book.upsert(rows(size=np.array([1]))), "columns: expected names"),
        (lambda book: book.upsert(rows(lots=np.array([1.0]))), "lots: expected dtype int64"),
        (lambda book: book.upsert(rows(market=np.array([1], np.uint32))), "market: expected the"),
        (lambda book: book.remove([1, 7]), "position_id: expected a position of the book, got 7"),
        (lambda book: book.remove([1, 1]), "position_id: expected each id once"),
        (lambda book: book.remove([-1]), "position_id: expected ids from 0"),
        (lambda book: book.set_rates({1: (1, 1, False)}), "market: expected the code"),
        (lambda book: book.set_rates({0: (0, 1, False)}), "rate: expected parts"),
        (lambda book: book.set_rates({0: (5, 1, True)}), "is_inverse: expected the market's"),
        (lambda book: book.set_marks({"0": "1"}), "marks: expected rates"),
        (lambda book: book.select(0, side="both", lots=1), "side: expected long or short"),
        (lambda book: book.select(0, side="long", lots=0), "lots: expected more than 0"),
        (lambda book: book.select("BTC", side="long", lots=1), "market: expected a market"),
        (lambda book: book.select(2, side="long", lots=1), "market: expected a name or a code"),
        (lambda book: book.lights(bands=0), "bands: expected 1 to 100"),
        (lambda book: book.lights([1], weight="size"), "weight: expected quantity"),
        (lambda book: book.rank_of(8), "position_id: expected a position of the book"),
        (
            lambda book: book.update_accounts(np.array([0]), {"equity": np.array([1])}),
            "accounts.equity: expected the columns",
        ),
    ],
)
def test_a_refused_call_changes_nothing(call: Any, said: str) -> None:
    """One clear error that names what is wrong; rows, marks and version stay as they were."""
    assert_refused(call, said)


def test_an_id_stands_once() -> None:
    """A repeated id is refused where the book is made and where it is changed."""
    twice = {name: np.repeat(column, 2) for name, column in rows().items()}
    for make in (
        lambda: Book.from_arrays(twice, [(1, 1, False)], rule=BITMEX),
        lambda: small().upsert(twice),
    ):
        with pytest.raises(InputError, match="position_id: expected each id once, got 9 in row 1"):
            make()


def test_a_position_may_change_its_side() -> None:
    """An id that comes back on the other side leaves the one it was on."""
    book = small()
    book.upsert(rows(lots=np.array([-2]), position_id=np.array([1], np.uint64)))

    assert 1 not in book.select(0, side="long", lots=100).position_id
    assert 1 in book.snapshot().columns["position_id"]
    assert len(book) == 4


POSITIONS = {
    "account": ["a", "b", "c", "d"],
    "market": ["BTC-PERP"] * 4,
    "side": ["short", "short", "short", "long"],
    "qty": ["8", "4", "6", "18"],
    "entry_price": ["71000", "64000", "68500", "60000"],
    "margin": ["56000", "20000", "90000", "120000"],
}


def test_a_frame_is_kept_and_its_marks_move() -> None:
    """A book of a frame gives at each mark what a snapshot at that mark gives."""
    venue = dl.Venue.load("bitmex")
    book = dl.Book.from_frame(POSITIONS, marks={"BTC-PERP": "61000"}, venue=venue)
    for mark in ("61000", "61000.5", "59000", "70000"):
        book.set_marks({"BTC-PERP": mark})
        snapshot = dl.prepare(POSITIONS, marks={"BTC-PERP": "61000"}, venue=venue).at(
            {"BTC-PERP": mark}
        )
        kernel = snapshot.kernel("BTC-PERP")
        num, den, _ = kernel.rate
        expected = ranking.select(
            ranking.Columns(**kernel.columns),
            ranking.Rate(mark_num=num, mark_den=den),
            rule=snapshot.rule("BTC-PERP"),
            side=-1,
            lots=9,
        )
        head = book.select("BTC-PERP", side="short", lots=9)
        ids = kernel.columns["position_id"][expected.rows]
        assert sorted(head.position_id.tolist()) == sorted(ids.tolist())

    with pytest.raises(InputError, match="market: expected a market of the book, got 'ETH-PERP'"):
        book.set_marks({"ETH-PERP": "1"})


def test_edges_are_found_for_all_markets_at_once() -> None:
    """After one rerank each market's bounds are those of its own lights."""
    walk = Walk(21, rows=150, markets=4)
    moved = {market: (num + 7, den, inv) for market, (num, den, inv) in enumerate(walk.twin.rates)}
    walk.twin.rates = list(moved.values())

    version = walk.book.rerank(rates=moved)

    assert version == walk.book.version
    for _ in range(20):
        walk.assert_places()


def test_a_book_says_what_it_holds() -> None:
    """Length, markets, bytes and rows out; own-margin rows point to no account."""
    book = small()

    assert (len(book), book.markets, book.version) == (4, ("0",), 0)
    assert book.nbytes >= 4 * 32
    assert "account" not in book.snapshot().columns
    assert OWN_MARGIN == ranking.OWN_MARGIN
