"""A side asked in turn beside the oracle, which cuts its own book after every turn."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deleverage import ranking
from deleverage.book import Turns, in_turn
from deleverage.errors import InputError
from deleverage.lab.books import generate
from deleverage.model.rules import Basis, Factor, Loss, ScoreRule
from oracle import Book, Position, Rate, select
from strategies import accounts_of, books, columns_of, rates
from test_book import COLUMNS, TABLES, arrays

BITMEX = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.BANKRUPTCY_DISTANCE, loss=Loss.DIVIDE)
SPLIT = ("entry_value", "margin", "maintenance_margin", "initial_margin", "open_value")
SIDES = {"long": 1, "short": -1}


def after(position: Position, closed: int) -> Position:
    """What a part leaves: values in proportion, rounded down."""
    held = abs(position.lots)
    left = {name: int(getattr(position, name)) * (held - closed) // held for name in SPLIT}
    return replace(position, lots=position.lots * (held - closed) // held, **left)


def by_hand(
    book: Book, turns: list[tuple[Rate, int]], side: int, barred: set[int], *, wants_all: bool
) -> list[tuple[list[tuple[int, int, int, int]], int]]:
    """Fills (row, lots, held, entry value) and what is left of each turn."""
    positions, gone, found = list(book.positions), set(barred), []
    for rate, lots in turns:
        now = replace(book, positions=tuple(positions), rates=(rate,))
        cut = select(now, lots=lots, side=side, excluded=gone)
        if wants_all and cut.unfilled:
            found.append(([], lots))
            continue
        fills = []
        for row, closed in cut.fills:
            held = positions[row]
            fills.append((row, closed, abs(held.lots), held.entry_value))
            if closed == abs(held.lots):
                gone.add(row)
            else:
                positions[row] = after(held, closed)
        found.append((fills, cut.unfilled))
    return found


def as_lists(turns: Turns) -> list[tuple[list[tuple[int, int, int, int]], int]]:
    """What the kernel found, turn by turn."""
    columns = (turns.rows, turns.lots, turns.held, turns.entry_value)
    rows = iter(zip(*(column.tolist() for column in columns), strict=True))
    counts = zip(turns.counts.tolist(), turns.unfilled.tolist(), strict=True)
    return [([next(rows) for _ in range(count)], unfilled) for count, unfilled in counts]


@given(twin=books(), data=st.data(), wants_all=st.booleans())
def test_turns_equal_the_oracle(twin: Book, data: st.DataObject, *, wants_all: bool) -> None:
    """Under any rule, mark by mark: the same rows in the same order, lots, values and rests."""
    side = data.draw(st.sampled_from(["long", "short"]))
    is_inverse = twin.rates[0].is_inverse
    sizes = [abs(position.lots) for position in twin.positions]
    lots = st.one_of(st.integers(1, 100), st.sampled_from([each // 2 + 1 for each in sizes] or [1]))
    marks = rates().map(lambda rate: replace(rate, is_inverse=is_inverse))
    turns = data.draw(
        st.lists(st.tuples(st.one_of(st.just(twin.rates[0]), marks), lots), min_size=1, max_size=6)
    )
    last = len(sizes) - 1
    barred = data.draw(st.sets(st.integers(0, last), max_size=3)) if sizes else set()
    columns = arrays(columns_of(twin), COLUMNS)
    del columns["market"]
    found = in_turn(
        columns,
        [(rate.mark_num, rate.mark_den, rate.is_inverse) for rate, _ in turns],
        rule=twin.rule,
        side=side,
        lots=np.array([each for _, each in turns], np.int64),
        accounts=arrays(accounts_of(twin), TABLES),
        excluded=np.array(sorted(barred), np.int64),
        wants_all=wants_all,
    )

    expected = by_hand(twin, turns, SIDES[side], barred, wants_all=wants_all)
    assert as_lists(found) == expected


@pytest.mark.parametrize("distribution", ["log_normal", "ties"])
def test_a_large_side_in_turn_is_the_stateless_verb_turn_by_turn(distribution: str) -> None:
    """Where cuts are sampled and rows that are gone are dropped, answers are those of `select`."""
    drawn = generate(40_000, seed=5, distribution=distribution)
    columns = {name: getattr(drawn, name) for name in ("lots", "entry_value", "margin")}
    columns["position_id"] = np.arange(40_000, dtype=np.uint64)
    columns["lots"] = np.abs(columns["lots"])
    num, den = int(drawn.mark_num[0]), drawn.mark_den
    marks = [(num * (1000 - turn), den * 1000, False) for turn in range(12)]
    lots = np.full(12, int(columns["lots"].sum()) // 60, np.int64)
    found = in_turn(columns, marks, rule=BITMEX, side="long", lots=lots)

    kept = {name: column.copy() for name, column in columns.items()}
    gone = np.zeros(0, np.int64)
    for (above, below, _), (fills, unfilled) in zip(marks, as_lists(found), strict=True):
        head = ranking.select(
            ranking.Columns(**kept),
            ranking.Rate(mark_num=above, mark_den=below),
            rule=BITMEX,
            side=1,
            lots=int(lots[0]),
            excluded=gone,
            is_ordered=True,
        )
        assert (head.unfilled, len(fills) > 0) == (unfilled, True)
        assert [(row, closed) for row, closed, _, _ in fills] == list(
            zip(head.rows.tolist(), head.lots.tolist(), strict=True)
        )
        row, closed = int(head.rows[-1]), int(head.lots[-1])
        left = int(kept["lots"][row]) - closed
        if left:
            for name in ("entry_value", "margin"):
                kept[name][row] = int(kept[name][row]) * left // (left + closed)
            kept["lots"][row] = left
        whole = head.rows[:-1] if left else head.rows
        gone = np.sort(np.concatenate((gone, whole)))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"lots": np.array([0], np.int64)}, "lots: expected more than 0"),
        ({"lots": np.array([1, 2], np.int64)}, "rates: expected one a turn, got 1 rates and 2"),
        ({"excluded": np.array([9], np.int64)}, "excluded: expected row numbers"),
        ({"side": "up"}, "side: expected long or short"),
        ({"rates": [(0, 1, False)]}, r"rates\[0\]: expected parts of more than 0"),
        ({"wants_all": 1}, "wants_all: expected"),
    ],
)
def test_turns_refuse_what_makes_no_sense(change: dict[str, object], complaint: str) -> None:
    """No lots, a rate too few, rows that are not there: one clear error each."""
    column = np.array([5, 6], np.int64)
    columns = {"lots": column, "entry_value": column, "margin": column}
    columns["position_id"] = np.array([1, 2], np.uint64)
    words = {"rates": [(1, 1, False)], "side": "long", "lots": column[:1], "rule": BITMEX, **change}
    given_rates = words.pop("rates")

    with pytest.raises(InputError, match=complaint):
        in_turn(columns, given_rates, **words)  # type: ignore[arg-type] # wrong on purpose
    without = {name: values for name, values in columns.items() if name != "position_id"}
    with pytest.raises(InputError, match="position_id: expected a column"):
        in_turn(without, [(1, 1, False)], rule=BITMEX, side="long", lots=column[:1])
