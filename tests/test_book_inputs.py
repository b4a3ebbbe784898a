"""What a kept book is asked: the edition's own lights and completion, and refusals of bad input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import deleverage as dl
import witness
from deleverage.book import Book
from deleverage.errors import InputError
from deleverage.model.rules import Weight
from deleverage.model.terms import Completion
from test_book import BITMEX, POSITIONS, assert_refused, small

EDITIONS = [name for name in dl.venues() if dl.Venue.load(name).is_ranked]
COUNTING_ACCOUNTS = [n for n in EDITIONS if dl.Venue.load(n).lights.weight is Weight.ACCOUNTS]
ALL_OR_NOTHING = [
    name
    for name in EDITIONS
    if dl.Venue.load(name).allocation.completion is Completion.ALL_OR_NOTHING
]
BLUEFIN = {
    "position_id": [0, 1, 2, 3, 4, 5],
    "account": ["a", "a", "a", "a", "b", "c"],
    "market": ["A"] * 6,
    "side": ["short"] * 6,
    "qty": ["1"] * 6,
    "entry_price": ["130", "125", "120", "115", "110", "105"],
    "margin": ["100"] * 6,
    "maintenance_margin": ["10"] * 6,
    "margin_mode": ["isolated"] * 6,
    "leverage": ["5"] * 6,
}


def prepared(venue: dl.Venue, positions: pl.DataFrame) -> dl.Snapshot:
    """Positions in the witness market, under an edition."""
    return dl.prepare(
        positions,
        marks=witness.MARKS,
        venue=venue,
        accounts=witness.accounts(),
        markets=witness.MARKETS,
        neutral=witness.neutral(),
    )


def shown_lights(snapshot: dl.Snapshot, book: Book) -> list[int]:
    """The book's lights by row of the frame: that of the row's first entry, 0 without one."""
    tiers = snapshot.columns.get("tier", np.zeros(len(snapshot), np.uint8))
    lights = book.lights(snapshot.columns["position_id"])
    found = [0] * snapshot.positions.height
    rows = snapshot.original(np.arange(len(snapshot)))
    for entry in sorted(range(len(snapshot)), key=lambda entry: -int(tiers[entry])):
        found[int(rows[entry])] = int(lights[entry])
    return found


def drawn_positions(seed: int) -> pl.DataFrame:
    """Witness rows drawn again and again: accounts hold several positions, some of one score."""
    rng, frame = np.random.default_rng(seed), witness.positions()
    isolated = pl.lit("isolated").alias("margin_mode")
    return frame[rng.integers(frame.height, size=24).tolist()].with_columns(
        isolated,
        pl.Series("position_id", rng.permutation(24), dtype=pl.UInt64),
        pl.Series("hedged_qty", ["0"] * 24),
        pl.Series("entry_price", [str(price) for price in rng.integers(700, 1300, size=24)]),
    )


@pytest.mark.parametrize("name", EDITIONS)
def test_lights_are_those_of_rank(name: str) -> None:
    """Without a word a book lights as its edition does, on the witness and on drawn books."""
    venue = dl.Venue.load(name)
    for positions in (witness.positions(), *(drawn_positions(seed) for seed in range(6))):
        snapshot = prepared(venue, positions)
        book = Book.from_snapshot(snapshot)
        ranked = dl.rank(snapshot)

        assert shown_lights(snapshot, book) == ranked["light"].to_list()
        book.rerank(witness.MARKS)
        assert shown_lights(snapshot, book) == ranked["light"].to_list()


def test_several_editions_count_accounts() -> None:
    """The comparison above is one of accounts too, and of an edition that takes all or nothing."""
    assert {"aster", "binance-usdm", "bluefin"} <= set(COUNTING_ACCOUNTS)
    assert ALL_OR_NOTHING == ["strike-type2"]


def test_an_account_counts_once() -> None:
    """Three accounts share five bands; the four positions of the first are one of three."""
    book = Book.from_frame(BLUEFIN, marks={"A": "100"}, venue=dl.Venue.load("bluefin"))

    assert book.lights([0, 1, 2, 3, 4, 5]).tolist() == [4, 4, 4, 4, 2, 1]
    assert book.lights([0, 5], weight="entries").tolist() == [5, 1]
    assert book.lights([0, 5], bands=3).tolist() == [3, 1]
    bounds = book.light_bounds("A", side="short")
    assert [(bound.light, bound.position_id) for bound in bounds][-1] == (1, 5)
    owners = book.snapshot().columns["owner"]
    assert len(set(owners.tolist())) == 3


def test_accounts_are_counted_only_where_they_are_known() -> None:
    """A book without owners says so, rather than count every position as an account."""
    book = Book.from_frame(POSITIONS, marks={"BTC-PERP": "61000"}, venue=dl.Venue.load("bitmex"))
    asked: tuple[Callable[[], object], ...] = (
        lambda: book.lights(weight="accounts"),
        lambda: book.light_bounds("BTC-PERP", side="long", weight=Weight.ACCOUNTS),
        lambda: book.rerank({"BTC-PERP": "60000"}, weight="accounts"),
    )
    for ask in asked:
        with pytest.raises(InputError, match="with the column owner"):
            ask()
    assert book.version == 0


@pytest.mark.parametrize("qty", [5, 9])
def test_all_or_nothing_is_that_of_plan(qty: int) -> None:
    """Where the side is too short nobody is taken, as in a plan; a request that fits is filled."""
    positions = {
        "position_id": [0, 1],
        "account": ["a", "b"],
        "market": ["A", "A"],
        "side": ["short", "short"],
        "qty": ["2", "3"],
        "entry_price": ["120", "110"],
        "margin": ["50", "50"],
    }
    given: dict[str, Any] = {
        "marks": {"A": "100"},
        "venue": dl.Venue.load("strike-type2"),
        "accounts": {"account": ["a", "b"], "asset": ["USDT"] * 2, "equity": ["90", "80"]},
    }
    plan = dl.plan(
        positions,
        market="A",
        bankrupt_side="long",
        qty=str(qty),
        bankruptcy_price="100",
        **given,
    )
    head = Book.from_frame(positions, **given).select("A", side="short", lots=qty, is_ordered=True)

    assert head.position_id.tolist() == plan.fills["position_id"].to_list()
    assert head.unfilled == int(plan.unfilled)
    assert (head.cut_id is None) == (qty == 9)
    assert head.lots.sum() + head.unfilled == qty


def ids(*values: int) -> NDArray[np.uint64]:
    """Ids as the kernel takes them."""
    return np.array(values, np.uint64)


TRUE: Any = True
SHORT: dict[str, Any] = {"side": "short", "lots": 5}
EXTRA = {
    "lots": np.array([1]),
    "entry_value": np.array([90]),
    "margin": np.array([9]),
    "position_id": ids(9),
    "leverage": np.array([1]),
}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda book: book.remove([1.5]), "position_id: expected ids from 0 to 2**64 - 1, got 1.5"),
        (lambda book: book.remove([True]), "got True in row 0"),
        (lambda book: book.remove("12"), "position_id: expected ids"),
        (lambda book: book.remove(np.array([1.0])), "got 1.0 in row 0"),
        (lambda book: book.remove(np.array([[1]])), "position_id: expected ids"),
        (lambda book: book.remove(np.array([1, -1])), "got -1 in row 1"),
        (lambda book: book.remove(None), "position_id: expected ids"),
        (lambda book: book.rank_of(1.7), "got 1.7"),
        (lambda book: book.rank_of("1"), "got '1'"),
        (lambda book: book.rank_of(TRUE), "got True"),
        (lambda book: book.rank_of(2**64), "got 18446744073709551616"),
        (lambda book: book.scores([1, None]), "got null in row 1"),
        (lambda book: book.select(0, **SHORT, excluded=[4.9]), "excluded: expected ids"),
        (lambda book: book.select(0, **SHORT, excluded="14"), "excluded: expected ids"),
        (lambda book: book.select(0, **SHORT, excluded=[4, 77]), "excluded: position_id: expected"),
        (lambda book: book.select(0, **SHORT, excluded=[4, 77]), "got 77 in row 1"),
        (lambda book: book.select(0.5, **SHORT), "market: expected a name or a code"),
        (lambda book: book.select(None, **SHORT), "market: expected a name or a code"),
        (lambda book: book.select(TRUE, **SHORT), "market: expected a name or a code"),
        (lambda book: book.select(0, side="long", lots=1.5), "lots: expected more than 0"),
        (lambda book: book.select(0, side="long", lots="5"), "lots: expected more than 0"),
        (lambda book: book.select(0, side="long", lots=True), "lots: expected more than 0"),
        (lambda book: book.select(0, side="long", lots=2**63), "lots: expected more than 0"),
        (lambda book: book.select(0, side=["long"], lots=1), "side: expected long or short"),
        (lambda book: book.lights(bands=2.5), "bands: expected 1 to 100"),
        (lambda book: book.lights(bands="5"), "bands: expected 1 to 100"),
        (lambda book: book.lights(weight=5), "weight: expected quantity"),
        (lambda book: book.lights(3), "position_id: expected ids"),
        (lambda book: book.set_rates({0: (1.5, 1, False)}), "rate: expected parts"),
        (lambda book: book.set_rates({0: (True, 1, False)}), "rate: expected parts"),
        (lambda book: book.set_rates({0: ("1", 1, False)}), "rate: expected parts"),
        (lambda book: book.set_rates({0: (1, 1, 0)}), "rate: expected is_inverse"),
        (lambda book: book.set_rates({0: (1,)}), "rate: expected (mark_num, mark_den"),
        (lambda book: book.set_rates({0: None}), "rate: expected (mark_num, mark_den"),
        (lambda book: book.set_rates({"B": (1, 1, False)}), "market: expected the code"),
        (lambda book: book.set_rates({-1: (1, 1, False)}), "market: expected the code"),
        (lambda book: book.set_rates([1]), "rates: expected a mapping"),
        (lambda book: book.rerank(rates={0: (90, 1, False)}, bands=0), "bands: expected 1 to 100"),
        (lambda book: book.rerank(rates={0: (90, 1, False)}, bands=2.5), "bands: expected 1 to"),
        (lambda book: book.rerank(rates={0: (90, 1, False)}, weight="size"), "weight: expected"),
        (lambda book: book.rerank(rates={0: (90, 1, False), 7: (1, 1, False)}), "0 to 0, got 7"),
        (
            lambda book: book.upsert(EXTRA),
            "leverage: expected the columns that the book was made with (entry_value, lots, ",
        ),
        (lambda book: book.upsert([1]), "columns: expected a mapping"),
        (lambda book: book.upsert({1: np.array([1])}), "columns: expected names"),
        (lambda book: book.update_accounts([0.7], {}), "rows: expected rows of the account table"),
        (lambda book: book.update_accounts([-1], {}), "rows: expected rows of the account table"),
        (lambda book: book.update_accounts([0], None), "accounts: expected a mapping"),
    ],
)
def test_what_is_no_whole_number_is_refused(call: Callable[[Any], object], said: str) -> None:
    """Nothing is rounded, read out of text or counted from a bool, and nothing has changed."""
    assert_refused(call, said)


def test_whole_numbers_of_any_kind_are_taken() -> None:
    """A list, a tuple, an array of any width of whole numbers, and numbers of NumPy."""
    book = small()
    for kind in (list, tuple, ids, lambda *v: np.array(v), lambda *v: np.array(v, np.uint8)):
        given = kind((1, 2)) if kind in {list, tuple} else kind(1, 2)
        assert book.select(0, side="long", lots=9, excluded=given).position_id.tolist() == [3]
    assert book.rank_of(np.int32(1)) == book.rank_of(1)
    assert book.lights([]).tolist() == []
    book.set_rates({np.uint8(0): (np.int64(90), np.int64(1), np.bool_(0))})
    assert book.snapshot().rates == ((90, 1, False),)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rule": "x"}, "rule: expected a ScoreRule"),
        ({"rule": [BITMEX, None]}, "rule: expected a ScoreRule"),
        ({"rates": 5}, "rates: expected a list"),
        ({"rates": [1]}, "rates[0]: expected (mark_num"),
        ({"rates": [(1.5, 1, False)]}, "rates[0]: expected parts"),
        ({"threads": -1}, "threads: expected 0 (all) to 1024"),
        ({"threads": 1.0}, "threads: expected 0 (all) to 1024"),
        ({"threads": 1025}, "threads: expected 0 (all) to 1024"),
        ({"columns": None}, "columns: expected a mapping"),
        ({"accounts": 3}, "accounts: expected a mapping"),
    ],
)
def test_a_book_of_arrays_is_refused_clearly(changed: dict[str, Any], said: str) -> None:
    """Rule, rates, threads and tables are checked where the book is made."""
    given = {"columns": small().snapshot().columns, "rates": [(1, 1, False)], "rule": BITMEX}

    with pytest.raises(InputError) as caught:
        Book.from_arrays(**(given | changed))

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"venue": "bitmex"}, "venue: expected an edition, got 'bitmex'"),
        ({"threads": -1}, "threads: expected 0 (all) to 1024"),
        ({"threads": "2"}, "threads: expected 0 (all) to 1024"),
    ],
)
def test_a_book_of_a_frame_is_refused_clearly(changed: dict[str, Any], said: str) -> None:
    """An edition's name is no edition, and a number of threads is a whole number."""
    given = {"marks": {"BTC-PERP": "61000"}, "venue": dl.Venue.load("bitmex")}

    with pytest.raises(InputError) as caught:
        Book.from_frame(POSITIONS, **(given | changed))

    assert said in str(caught.value)
    with pytest.raises(InputError, match="snapshot: expected a Snapshot, got dict"):
        Book.from_snapshot(POSITIONS)  # type: ignore[arg-type]  # that is the point
