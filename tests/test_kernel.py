"""The kernel against its slow twin: scores, reasons, order and cut, to the last row and lot."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.model.rules import Basis, Factor, Loss, NoEquity, Reason, ScoreRule
from oracle import (
    Account,
    Book,
    Cut,
    Position,
    Rate,
    equity,
    groups,
    own_pnl,
    queue,
    rank,
    select,
)
from strategies import LIMIT, accounts_of, books, columns_of, rates_of, rules

THOROUGH = settings(
    max_examples=max(200, settings().max_examples),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
EVERY_RULE = settings(THOROUGH, max_examples=THOROUGH.max_examples // 12)

ERROR = Fraction(1, 2**28)
"""A float score is this close to the exact one, times 1 + |score|."""

REASONS = list(Reason)


def close_enough(shown: float, exact: Fraction, rule: ScoreRule) -> bool:
    """Whether a float score is as near to the exact one as its rule promises.

    Money units have no natural scale, so there the error is relative only.
    """
    scale = abs(exact) + (0 if rule.basis is Basis.ABSOLUTE else 1)
    return bool(np.isfinite(shown)) and abs(Fraction(shown) - exact) <= ERROR * scale


def assert_scores(book: Book, **options: Any) -> None:
    """Scores and reasons of a book are the oracle's."""
    scores = ranking.score(
        columns_of(book), rates_of(book), rule=book.rule, accounts=accounts_of(book), **options
    )
    for row in range(len(book.positions)):
        exact = book.score(row)
        shown, reason = float(scores.score[row]), REASONS[scores.reason[row]]
        if isinstance(exact, Reason):
            assert (reason, np.isnan(shown)) == (exact, True), row
        else:
            assert reason is Reason.SCORED, row
            assert close_enough(shown, exact, book.rule), (row, shown, exact, float(exact))


def chosen(
    book: Book, *, lots: int, side: int, excluded: list[int] | None = None, **options: Any
) -> ranking.Selection:
    """The kernel's cut of a book of one market."""
    return ranking.select(
        columns_of(book),
        rates_of(book)[0],
        rule=book.rule,
        side=side,
        lots=lots,
        accounts=accounts_of(book),
        excluded=None if excluded is None else np.array(excluded, dtype=np.int64),
        **options,
    )


def fills_of(selection: ranking.Selection) -> dict[int, int]:
    """Lots closed by row; no row comes twice."""
    fills = dict(zip(selection.rows.tolist(), selection.lots.tolist(), strict=True))

    assert len(fills) == len(selection.rows)

    return fills


def figures_of(result: ranking.Selection | Cut) -> dict[str, int]:
    """What a cut reports beside its fills."""
    names = ("unfilled", "cut_row", "partial_row")
    return {name: getattr(result, name) for name in names}


@st.composite
def requests(draw: st.DrawFn) -> tuple[Book, int, int, list[int]]:
    """A book, a side, a quantity near the end of one of its entries, and rows to leave out."""
    book = draw(books())
    side = draw(st.sampled_from([1, -1]))
    numbers = range(len(book.positions))
    excluded = [row for row in numbers if draw(st.integers(0, 7)) == 0]
    rows = queue(book, side=side, excluded=excluded)
    ends = np.cumsum([abs(book.positions[row].lots) for row in rows], dtype=object).tolist()
    near = [end + by for end in ends for by in (-1, 0, 1) if end + by > 0]
    lots = draw(st.one_of(st.integers(1, 100), st.integers(1, 2**57), st.sampled_from(near or [1])))
    return book, side, lots, excluded


def features_of(book: Book) -> set[str]:
    """Names of the hard cases that a book holds."""
    exact = [book.score(row) for row in range(len(book.positions))]
    found = {value.value for value in exact if isinstance(value, Reason)}
    for position in book.positions:
        rate = book.rates[position.market]
        profit, worth = own_pnl(position, rate), equity(position, rate, book.accounts)
        found |= {"flat"} if profit == 0 else {"winner"} if profit > 0 else {"loser"}
        found |= {"equity of a unit"} if 0 < worth <= 1 and abs(position.lots) > 10**6 else set()
        found |= {"at the limit"} if abs(position.lots) == LIMIT else set()
    for rows in groups(book):
        for first, second in pairwise(rows):
            ahead, behind = exact[first], exact[second]
            assert isinstance(ahead, Fraction)
            assert isinstance(behind, Fraction)
            if ahead == behind:
                sizes = {abs(book.positions[row].lots) for row in (first, second)}
                found |= {"tie parted by size" if len(sizes) == 2 else "tie parted by id"}
            elif float(ahead) == float(behind):
                found |= {"one float for two scores"}
    return found


@pytest.mark.parametrize(
    "feature",
    [
        *("flat", "winner", "loser", "equity of a unit", "at the limit"),
        *("tie parted by size", "tie parted by id", "one float for two scores"),
        *("no_equity", "through_bankruptcy", "not_in_profit", "no_basis", "no_factor"),
    ],
)
def test_the_books_hold_the_hard_cases(feature: str) -> None:
    """What the properties promise to try is drawn indeed."""
    patient = settings(THOROUGH, max_examples=5000, database=None, phases=[Phase.generate])

    book = find(books(), lambda drawn: feature in features_of(drawn), settings=patient)

    assert book.positions


@pytest.mark.parametrize("factor", Factor)
@pytest.mark.parametrize("basis", Basis)
@given(data=st.data())
@EVERY_RULE
def test_every_rule_scores_and_ranks_as_the_oracle(
    basis: Basis, factor: Factor, data: st.DataObject
) -> None:
    """For each basis and factor, whatever the rest: reasons equal, floats near, order equal."""
    rule = rules(st.just(basis), st.just(factor))
    book = data.draw(books(rule=rule, markets=2, max_rows=40))

    assert_scores(book)
    assert ranks_of(book).tolist() == rank(book)


def ranks_of(book: Book, **options: Any) -> NDArray[np.int64]:
    """The kernel's ranks of a book."""
    return ranking.rank(
        columns_of(book), rates_of(book), rule=book.rule, accounts=accounts_of(book), **options
    ).rank


def small_numbers() -> Book:
    """Every mixture of profit, loss, equity, margin, maintenance and zeros of a few units."""
    positions = []
    mixtures = product((1, -1), (1, 2, 3), (-1, 0, 1), (None, 0, 1, 2), (0, 1), (0, 1), (0, 1))
    for number, mixture in enumerate(mixtures):
        side, entry_value, margin, account, maintenance_margin, other, market = mixture
        position = Position(
            lots=side,
            entry_value=entry_value,
            position_id=number,
            market=market,
            margin=margin,
            maintenance_margin=maintenance_margin,
            initial_margin=other,
            open_value=other,
            leverage=1_000_000 * other,
            account=account,
            profit_lots=-side,
            profit_value=-side * entry_value,
        )
        positions.append(position)
    return Book(
        positions=tuple(positions),
        rates=(Rate(mark_num=2, mark_den=1), Rate(mark_num=4, mark_den=2, is_inverse=True)),
        rule=ScoreRule(basis=Basis.UNIT, factor=Factor.NONE, loss=Loss.DIVIDE),
        accounts=tuple(
            Account(equity=worth, maintenance_margin=due, wallet_balance=worth)
            for worth, due in ((-1, 0), (0, 0), (1, 1))
        ),
    )


@pytest.mark.parametrize("factor", Factor)
@pytest.mark.parametrize("basis", Basis)
def test_every_rule_at_small_numbers(basis: Basis, factor: Factor) -> None:
    """All members of all rules, on all mixtures of -1, 0 and 1: scores, reasons and ranks."""
    book = small_numbers()
    for loss, no_equity, is_joint in product(Loss, NoEquity, (False, True)):
        rule = ScoreRule(
            basis=basis, factor=factor, loss=loss, no_equity=no_equity, joint_hedge=is_joint
        )
        ruled = replace(book, rule=rule)
        assert_scores(ruled)
        assert ranks_of(ruled).tolist() == rank(ruled), rule


@given(book=books(markets=3))
@THOROUGH
def test_rank_equals_the_oracle(book: Book) -> None:
    """Each side of each market is ranked in exact order; what is not scored has rank 0."""
    assert ranks_of(book).tolist() == rank(book)


@given(book=books(markets=3))
@THOROUGH
def test_rank_shows_the_scores(book: Book) -> None:
    """Rank and score give the same floats, bit for bit, and the same reasons."""
    arguments = (columns_of(book), rates_of(book))
    scores = ranking.score(*arguments, rule=book.rule, accounts=accounts_of(book))
    ranked = ranking.rank(*arguments, rule=book.rule, accounts=accounts_of(book))

    assert ranked.score.tobytes() == scores.score.tobytes()
    assert ranked.reason.tolist() == scores.reason.tolist()


@given(request=requests())
@THOROUGH
def test_select_equals_the_oracle(request: tuple[Book, int, int, list[int]]) -> None:
    """The set, its lots, the cut, the partial row and the rest are the oracle's."""
    book, side, lots, excluded = request
    expected = select(book, lots=lots, side=side, excluded=excluded)

    selection = chosen(book, lots=lots, side=side, excluded=excluded)

    assert fills_of(selection) == dict(expected.fills)
    assert figures_of(selection) == figures_of(expected)
    if expected.cut_row >= 0:
        exact = book.score(expected.cut_row)
        assert isinstance(exact, Fraction)
        assert close_enough(selection.cut_score, exact, book.rule)
    else:
        assert np.isnan(selection.cut_score)


@given(request=requests())
@THOROUGH
def test_select_guarantees(request: tuple[Book, int, int, list[int]]) -> None:
    """G2 no entry grows or flips; G3 fills and rest are the request; G4 a prefix, one partial."""
    book, side, lots, excluded = request

    selection = chosen(book, lots=lots, side=side, excluded=excluded)
    fills = fills_of(selection)
    ranks = ranks_of(book).tolist()
    held = [abs(position.lots) for position in book.positions]
    partial = [row for row, closed in fills.items() if closed < held[row]]
    last = max((ranks[row] for row in fills), default=0)
    candidates = [
        row
        for row, position in enumerate(book.positions)
        if ranks[row] and (position.lots > 0) == (side > 0) and row not in excluded
    ]

    assert all(0 < closed <= held[row] for row, closed in fills.items())
    assert set(fills) <= set(candidates)
    assert sum(fills.values()) + selection.unfilled == lots
    assert len(partial) <= 1
    assert all(ranks[row] == last for row in partial)
    assert {row for row in candidates if ranks[row] <= last} == set(fills)
    assert selection.unfilled == 0 or set(fills) == set(candidates)


@given(request=requests())
@THOROUGH
def test_a_selection_in_order_equals_the_oracle(request: tuple[Book, int, int, list[int]]) -> None:
    """Rows and lots come in the oracle's order, each with the bits of its score."""
    book, side, lots, excluded = request
    expected = select(book, lots=lots, side=side, excluded=excluded)
    scores = ranking.score(
        columns_of(book), rates_of(book)[0], rule=book.rule, accounts=accounts_of(book)
    ).score

    found = chosen(book, lots=lots, side=side, excluded=excluded, is_ordered=True)

    assert list(zip(found.rows.tolist(), found.lots.tolist(), strict=True)) == list(expected.fills)
    assert found.scores.tobytes() == scores[found.rows].tobytes()
    assert figures_of(found) == figures_of(expected)


@given(book=books(), data=st.data())
@THOROUGH
def test_order_equals_the_oracle(book: Book, data: st.DataObject) -> None:
    """Any scored rows of one side, in any order, come back in queue order."""
    side = data.draw(st.sampled_from([1, -1]))
    expected = queue(book, side=side)
    dropped = {row for row in expected if data.draw(st.integers(0, 3)) == 0}
    rows = data.draw(st.permutations([row for row in expected if row not in dropped]))

    ordered = ranking.order(
        columns_of(book),
        rates_of(book)[0],
        np.array(rows, dtype=np.int64),
        rule=book.rule,
        accounts=accounts_of(book),
    )

    assert ordered.tolist() == [row for row in expected if row not in dropped]


@given(book=books(markets=3), data=st.data())
@THOROUGH
def test_permutation_of_rows_changes_nothing(book: Book, data: st.DataObject) -> None:
    """Scores, reasons, ranks and fills follow the position_id wherever its row stands."""
    moved = data.draw(st.permutations(range(len(book.positions))))
    shuffled = replace(book, positions=tuple(book.positions[row] for row in moved))

    def seen(arranged: Book) -> dict[int, tuple[int, bytes, int]]:
        ranked = ranking.rank(
            columns_of(arranged), rates_of(arranged), rule=book.rule, accounts=accounts_of(book)
        )
        return {
            position.position_id: (int(place), score.tobytes(), int(reason))
            for position, place, score, reason in zip(
                arranged.positions, ranked.rank, ranked.score, ranked.reason, strict=True
            )
        }

    assert seen(shuffled) == seen(book)


@given(request=requests(), data=st.data())
@THOROUGH
def test_permutation_of_rows_cuts_the_same(
    request: tuple[Book, int, int, list[int]], data: st.DataObject
) -> None:
    """The same ids are cut by the same lots wherever their rows stand."""
    book, side, lots, _ = request
    moved = data.draw(st.permutations(range(len(book.positions))))
    shuffled = replace(book, positions=tuple(book.positions[row] for row in moved))

    def cut(arranged: Book) -> dict[int, int]:
        fills = fills_of(chosen(arranged, lots=lots, side=side))
        return {arranged.positions[row].position_id: closed for row, closed in fills.items()}

    assert cut(shuffled) == cut(book)


@given(request=requests(), threads=st.sampled_from([1, 2]))
@THOROUGH
def test_threads_and_instruction_sets_change_no_bit(
    request: tuple[Book, int, int, list[int]], threads: int
) -> None:
    """The same float bits, ranks and cuts on every instruction set and number of threads."""
    book, side, lots, excluded = request

    def seen(**options: Any) -> tuple[bytes, bytes, list[int], dict[int, int]]:
        arguments = (columns_of(book), rates_of(book))
        scores = ranking.score(*arguments, rule=book.rule, accounts=accounts_of(book), **options)
        fills = fills_of(chosen(book, lots=lots, side=side, excluded=excluded, **options))
        ranks = ranks_of(book, **options).tolist()
        return scores.score.tobytes(), scores.reason.tobytes(), ranks, fills

    expected = seen()

    for level in ranking.simd_levels():
        assert seen(simd=level, threads=threads) == expected, level


def test_what_was_scored_before_changes_no_bit() -> None:
    """Nothing of one call is left over for the next: same bits after whatever rule came before."""
    third = Rate(mark_num=7, mark_den=3)
    book = replace(small_numbers(), rates=(third, replace(third, is_inverse=True)))
    arguments = (columns_of(book), rates_of(book))
    table = accounts_of(book)
    ruled = [
        ScoreRule(basis=basis, factor=factor, loss=loss)
        for basis, factor, loss in product(Basis, Factor, Loss)
    ]

    def bits(rule: ScoreRule) -> bytes:
        return ranking.score(*arguments, rule=rule, accounts=table, threads=1).score.tobytes()

    forwards = [bits(rule) for rule in ruled]
    backwards = [bits(rule) for rule in reversed(ruled)][::-1]
    differ = [
        rule for rule, *both in zip(ruled, forwards, backwards, strict=True) if len({*both}) > 1
    ]

    assert differ == []


@given(book=books(markets=2))
@THOROUGH
def test_absent_columns_mean_what_they_say(book: Book) -> None:
    """Without ids the row number decides, without tiers there is one, without accounts none."""
    positions = tuple(
        replace(position, position_id=row, tier=0, account=None)
        for row, position in enumerate(book.positions)
    )
    plain = replace(book, positions=positions)
    columns = replace(columns_of(plain), position_id=None, tier=None, account=None)

    ranked = ranking.rank(columns, rates_of(plain), rule=plain.rule)

    assert ranked.rank.tolist() == rank(plain)


def test_sums_beyond_64_bits() -> None:
    """Quantities are added in wide integers: 9000 entries of nearly 2^51 lots are over 2^63."""
    count, size = 9000, 2**51 - 1
    columns = ranking.Columns(
        lots=np.full(count, size),
        entry_value=np.full(count, size),
        position_id=np.arange(count, dtype=np.uint64)[::-1].copy(),
    )
    rule = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.NONE, loss=Loss.DIVIDE)

    selection = ranking.select(
        columns, ranking.Rate(mark_num=1, mark_den=1), rule=rule, side=1, lots=2**63 - 1
    )

    whole, rest = divmod(2**63 - 1, size)
    assert selection.unfilled == 0
    assert sorted(selection.rows.tolist()) == list(range(count - whole - 1, count))
    assert selection.partial_row == selection.cut_row == count - whole - 1
    assert fills_of(selection)[selection.cut_row] == rest


def test_a_profit_of_nothing_is_zero() -> None:
    """A mark exactly at entry scores +0.0, never -0.0, on either side and kind of contract."""
    for lots in (7, -7):
        for is_inverse in (False, True):
            book = Book(
                positions=(Position(lots=lots, entry_value=7, margin=5, position_id=1),),
                rates=(Rate(mark_num=3, mark_den=3, is_inverse=is_inverse),),
                rule=ScoreRule(
                    basis=Basis.ENTRY_VALUE, factor=Factor.BANKRUPTCY_DISTANCE, loss=Loss.DIVIDE
                ),
            )
            scores = ranking.score(columns_of(book), rates_of(book), rule=book.rule)

            assert scores.score.tobytes() == np.zeros(1).tobytes()
