"""The golden cases: what venues print, asserted through the product's public faces.

Every case runs through the array level with the rule of its venue edition. The expected figures
are exact fractions: the slow twin must give them exactly, the kernel's float64 within its bound,
and the order and the lots must be exact. `golden/index.toml` says of every published example
that was collected whether it is asserted here, waits for a feature, or cannot be asserted.
"""

import hashlib
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import isnan

import numpy as np
import polars as pl
import pytest

import oracle
from deleverage import ranking
from deleverage.model.rules import Basis, Factor, Loss, Reason, ScoreRule
from deleverage.model.terms import Bound
from deleverage.planning import plan, rank
from deleverage.venue import Venue
from golden.cases import (
    Case,
    cases_that_expect,
    golden_files,
    listed_cases,
    number,
    read_index,
)
from strategies import columns_from

REASONS = list(Reason)


def expecting(*names: str) -> pytest.MarkDecorator:
    """Run a test on every case that expects any of these."""
    cases = cases_that_expect(*names)
    return pytest.mark.parametrize("case", cases, ids=[case.id for case in cases])


def rule_of(case: Case) -> ScoreRule:
    """The score rule of the case's edition, in the case's money units."""
    return Venue.load(case.edition).score_rule(case.money_units)


def profit_rule(rule: ScoreRule) -> ScoreRule:
    """The rule whose score is the profit itself, in money units."""
    return replace(rule, basis=Basis.ABSOLUTE, factor=Factor.NONE, loss=Loss.DIVIDE)


def columns_of(case: Case, rows: list[int] | None = None) -> ranking.Columns:
    """The case's rows as the arrays of the product's contract."""
    picked = case.positions if rows is None else [case.positions[row] for row in rows]
    return columns_from(picked)


def accounts_of(case: Case) -> ranking.Accounts | None:
    """The case's account table, if it has one."""
    if not case.accounts:
        return None
    names = ("equity", "maintenance_margin", "wallet_balance")
    arrays = {name: [getattr(row, name) for row in case.accounts] for name in names}
    return ranking.Accounts(**{name: np.array(arrays[name], dtype=np.int64) for name in names})


def rates_of(case: Case) -> list[ranking.Rate]:
    """One product rate a market of the case."""
    return [
        ranking.Rate(mark_num=r.mark_num, mark_den=r.mark_den, is_inverse=r.is_inverse)
        for r in case.rates
    ]


def frame_of(case: Case) -> pl.DataFrame:
    """The case's rows, each isolated on its own margin, as a position frame of decimal text."""
    asset = Fraction(1, case.money_units)
    return pl.DataFrame(
        {
            "position_id": row.position_id,
            "account": f"account {row.position_id}",
            "market": "M",
            "side": "long" if row.lots > 0 else "short",
            "qty": as_text(Fraction(abs(row.lots)) / case.scale.per_contract),
            "entry_value": as_text(row.entry_value * asset),
            "margin": as_text(row.margin * asset),
        }
        for row in case.positions
    )


def as_text(value: Fraction) -> str:
    """A terminating fraction as exact decimal text."""
    text = Decimal(value.numerator) / Decimal(value.denominator)
    assert Fraction(text) == value
    return str(text)


def book_of(case: Case, rule: ScoreRule) -> oracle.Book:
    """The case for the slow twin."""
    return oracle.Book(
        positions=case.positions, rates=case.rates, rule=rule, accounts=case.accounts
    )


def scored(case: Case, rule: ScoreRule) -> list[float]:
    """The product's scores by row; a row without a score fails the test."""
    result = ranking.score(columns_of(case), rates_of(case), rule=rule, accounts=accounts_of(case))
    return [float(value) for value in result.score]


def assert_scores(case: Case, rule: ScoreRule, expected: dict[int, Fraction]) -> None:
    """The twin gives exactly these scores, the product the same within the filter's bound."""
    book = book_of(case, rule)
    values = scored(case, rule)
    for row, exact in expected.items():
        assert book.score(row) == exact
        assert abs(Fraction(values[row]) - exact) <= Fraction(1, 2**28) * (1 + abs(exact))


def in_units(case: Case, rule: ScoreRule, figure: str) -> Fraction:
    """An expected figure as the product scores it: money counts in money units."""
    scale = case.money_units if rule.basis is Basis.ABSOLUTE else 1
    return number(figure) * scale


def assert_printed(exact: Fraction, printed: str) -> None:
    """A figure rounds to the digits that the venue printed."""
    places = -int(Decimal(printed).as_tuple().exponent)
    assert abs(exact - number(printed)) <= Fraction(1, 2 * 10**places)


def cut_rows(case: Case) -> list[int]:
    """The rows of the one market in which a case cuts."""
    named = case.table.get("cut_market_of", case.positions[0].position_id)
    market = case.positions[case.row(named)].market
    return [row for row, position in enumerate(case.positions) if position.market == market]


def queue_of(case: Case, rule: ScoreRule, *, tiered: bool = True) -> list[int]:
    """The position ids in the order of the product, by both verbs that order."""
    columns = columns_of(case)
    if not tiered:
        columns = replace(columns, tier=np.zeros(len(case.positions), dtype=np.uint8))
    accounts = accounts_of(case)
    ranked = ranking.rank(columns, rates_of(case), rule=rule, accounts=accounts)
    rows = np.flatnonzero(ranked.rank)
    by_rank = rows[np.argsort(ranked.rank[rows])]
    (rate,) = rates_of(case)
    ordered = ranking.order(columns, rate, rows[::-1].copy(), rule=rule, accounts=accounts)
    assert by_rank.tolist() == ordered.tolist()
    return [case.positions[row].position_id for row in ordered]


def test_every_collected_example_is_listed_exactly_once() -> None:
    """Each of the 310 collected examples has one place in the index, and none is made up."""
    index = read_index()
    later = [name for names in index["later"].values() for name in names]
    listed = [*index["asserted"], *later, *index["unassertable"]]
    counts = Counter(listed)

    assert [name for name, count in counts.items() if count > 1] == []
    assert len(listed) == index["total"] == 310
    assert hashlib.sha256("\n".join(sorted(listed)).encode()).hexdigest() == index["digest"]


def test_every_asserted_example_has_a_case_and_every_case_is_listed() -> None:
    """The index names the file of every case, and every case of every file is in the index."""
    index = read_index()
    files = listed_cases()

    assert len(dict(files)) == len(files)
    assert dict(files) == {**index["asserted"], **index["own"]}
    assert all(name.startswith("own-") for name in index["own"])


def test_every_case_and_every_refusal_says_why() -> None:
    """Each case expects something; each wait, refusal and caveat has its words and its example."""
    index = read_index()
    later = {name for names in index["later"].values() for name in names}
    cases = [case for cases in golden_files().values() for case in cases]

    assert [case.id for case in cases if not case.expect] == []
    assert all(feature.strip() and "#" not in feature for feature in index["later"])
    assert all(index["unassertable"].values())
    assert set(index["caveats"]) <= {*index["asserted"], *later}


@expecting("score")
def test_a_score_is_the_printed_formula(case: Case) -> None:
    """The edition scores each position as its source says, to the digits that it prints."""
    rule = rule_of(case)
    expected = {row: in_units(case, rule, figure) for row, figure in case.by_row("score").items()}

    assert_scores(case, rule, expected)
    for row, printed in case.by_row("printed").items():
        assert_printed(number(case.by_row("score")[row]), printed)


@expecting("basis")
def test_a_basis_is_the_return_of_the_source(case: Case) -> None:
    """The edition's measure of success, taken without its factor, is the return of the source."""
    rule = replace(rule_of(case), factor=Factor.NONE)
    expected = {row: number(figure) for row, figure in case.by_row("basis").items()}

    assert_scores(case, rule, expected)
    for row, printed in case.by_row("basis_printed").items():
        assert_printed(expected[row], printed)


@expecting("factor")
def test_a_factor_is_the_leverage_of_the_source(case: Case) -> None:
    """The edition's measure of leverage, taken of a basis of one, is the one of the source."""
    rule = replace(rule_of(case), basis=Basis.UNIT)
    expected = {row: number(figure) for row, figure in case.by_row("factor").items()}

    assert_scores(case, rule, expected)


@expecting("reason")
def test_a_refused_position_has_the_reason_of_the_source(case: Case) -> None:
    """A position that the source never selects has no score, and the reason is named."""
    rule = rule_of(case)
    result = ranking.score(columns_of(case), rates_of(case), rule=rule, accounts=accounts_of(case))

    for row, reason in case.by_row("reason").items():
        assert book_of(case, rule).score(row) is Reason(reason)
        assert REASONS[result.reason[row]] is Reason(reason)
        assert isnan(result.score[row])


@expecting("pnl")
def test_a_profit_is_exact_in_money(case: Case) -> None:
    """The profit that a rule ranks is the one of the source, to the money unit."""
    rule = profit_rule(rule_of(case))
    expected = {row: in_units(case, rule, text) for row, text in case.by_row("pnl").items()}

    assert_scores(case, rule, expected)
    assert {row: scored(case, rule)[row] for row in expected} == expected


@expecting("order", "front", "order_without_tiers")
def test_an_order_is_the_queue_of_the_source(case: Case) -> None:
    """The queue, or the front of it that the source is sure of, is the source's."""
    rule = rule_of(case)
    ids = queue_of(case, rule)
    side = 1 if case.positions[0].lots > 0 else -1
    twin = [case.positions[row].position_id for row in oracle.queue(book_of(case, rule), side=side)]

    assert ids == twin
    assert ids == case.expect.get("order", ids)
    front = case.expect.get("front", [])
    assert ids[: len(front)] == front
    if "order_without_tiers" in case.expect:
        assert queue_of(case, rule, tiered=False) == case.expect["order_without_tiers"]


@expecting("closed")
def test_a_cut_closes_what_the_source_says(case: Case) -> None:
    """The head of the queue is closed up to the bankrupt quantity, the last position in part."""
    rows = cut_rows(case)
    lots = case.lots(case.table["cut_qty"])
    (market,) = {case.positions[row].market for row in rows}
    cut = ranking.select(
        replace(columns_of(case, rows), market=np.zeros(len(rows), dtype=np.uint32)),
        rates_of(case)[market],
        rule=rule_of(case),
        side=1 if case.positions[rows[0]].lots > 0 else -1,
        lots=lots,
        accounts=accounts_of(case),
    )
    closed = {rows[at]: int(size) for at, size in zip(cut.rows, cut.lots, strict=True)}

    assert closed == {row: case.lots(qty) for row, qty in case.by_row("closed").items()}
    assert cut.unfilled == case.lots(case.expect.get("unfilled", "0"))
    assert sum(closed.values()) + cut.unfilled == lots
    for row, qty in case.by_row("left").items():
        assert abs(case.positions[row].lots) - closed[row] == case.lots(qty)
    partial = case.expect.get("partial")
    assert cut.partial_row == (-1 if partial is None else rows.index(case.row(partial)))
    for row, share in case.by_row("borne").items():
        assert number(case.table["deficit"]) * closed[row] / sum(closed.values()) == number(share)


@expecting("left_out")
def test_a_queue_leaves_out_whom_the_source_leaves_out(case: Case) -> None:
    """Who has no place in the queue is counted by reason, and the reasons are the source's."""
    rule = rule_of(case)
    result = ranking.score(columns_of(case), rates_of(case), rule=rule, accounts=accounts_of(case))
    reasons = Counter(REASONS[code] for code in result.reason if code)
    side = 1 if case.positions[0].lots > 0 else -1

    assert reasons == case.expect["left_out"]
    assert reasons == oracle.left_out(book_of(case, rule), side=side)


@expecting("executed")
def test_a_plan_executes_what_the_completion_rule_allows(case: Case) -> None:
    """Best effort executes what the queue gives; all or nothing executes all of it or nothing."""
    venue = Venue.load(case.edition)
    outcome = plan(
        frame_of(case),
        marks={"market": ["M"], "mark_price": [case.table["mark"]]},
        venue=venue,
        market="M",
        bankrupt_side="short" if case.positions[0].lots > 0 else "long",
        qty=case.table["cut_qty"],
        bankruptcy_price=case.table["mark"],
    )
    closed = dict(outcome.fills.select("position_id", "qty_closed").iter_rows())
    executed = {int(key): Decimal(qty) for key, qty in case.expect["executed"].items()}

    assert venue.allocation.completion == case.expect["completion"]
    assert closed == executed
    assert outcome.unfilled == Decimal(case.table["cut_qty"]) - sum(executed.values())


@expecting("queue")
def test_a_frame_gives_the_tiers_of_the_source(case: Case) -> None:
    """Delta-neutral accounts queue behind the others, but a position on isolated margin never."""
    isolated = [row.position_id in case.table["isolated"] for row in case.positions]
    asset = Fraction(1, case.money_units)
    frame = frame_of(case).with_columns(
        pl.Series("margin_mode", ["isolated" if alone else "cross" for alone in isolated]),
        pl.Series(
            "maintenance_margin",
            [as_text(row.maintenance_margin * asset) for row in case.positions],
        ),
        margin=pl.when(pl.Series(isolated)).then("margin"),
    )
    shared = [row for row, alone in zip(case.positions, isolated, strict=True) if not alone]
    twin = book_of(case, rule_of(case))
    equities = [oracle.equity(row, twin.rates[row.market], ()) * asset for row in shared]
    neutral = [f"account {number}" for number in case.table["delta_neutral"]]
    ranked = rank(
        frame,
        marks={"market": ["M"], "mark_price": [case.table["mark"]]},
        venue=Venue.load(case.edition),
        accounts={
            "account": [f"account {row.position_id}" for row in shared],
            "asset": ["USDT"] * len(shared),
            "equity": [as_text(equity) for equity in equities],
            "maintenance_margin": [as_text(row.maintenance_margin * asset) for row in shared],
        },
        neutral={
            "account": neutral,
            "underlier": ["M"] * len(neutral),
            "delta_neutral": [True] * len(neutral),
        },
    )

    assert ranked.sort("rank")["position_id"].to_list() == case.expect["queue"]


@expecting("pnl_left")
def test_what_a_cut_leaves_keeps_its_share_of_the_profit(case: Case) -> None:
    """What is left of a position keeps its share of the entry value, so of the profit."""
    rule = profit_rule(rule_of(case))
    kept = {row: case.lots(qty) for row, qty in case.by_row("left").items()}
    positions = list(case.positions)
    for row, lots in kept.items():
        whole = positions[row]
        direction = 1 if whole.lots > 0 else -1
        share, rest = divmod(whole.entry_value * lots, abs(whole.lots))
        assert rest == 0
        positions[row] = replace(whole, lots=direction * lots, entry_value=share)
    left = replace(case, positions=tuple(positions))
    expected = {row: in_units(case, rule, text) for row, text in case.by_row("pnl_left").items()}

    assert_scores(left, rule, expected)


@expecting("light")
def test_a_light_is_the_share_of_the_queue_in_front(case: Case) -> None:
    """The light of each position is the one that the venue's table shows."""
    venue = Venue.load(case.edition)
    rule = rule_of(case)
    shown = ranking.lights(
        columns_of(case),
        rates_of(case),
        rule=rule,
        accounts=accounts_of(case),
        bands=venue.lights.bands,
        weight=venue.lights.weight,
    )

    assert dict(enumerate(shown.tolist())) == case.by_row("light")


@expecting("scale")
def test_an_indicator_is_the_light_on_the_venues_own_scale(case: Case) -> None:
    """First, last and no place in the queue have the values that the venue's interface gives."""
    venue = Venue.load(case.edition)
    scale = {light: Decimal(value) for light, value in case.expect["scale"].items()}

    assert {light: venue.indicator(int(light)) for light in scale} == scale


@expecting("neutral")
def test_delta_neutral_is_what_the_editions_limit_says(case: Case) -> None:
    """The edition's limit, and whether it is strict, tell neutral accounts as the source does."""
    tiers = Venue.load(case.edition).tiers
    longs, shorts = (number(case.table[name]) for name in ("long_delta", "short_delta"))
    difference = abs(longs - shorts) / max(longs, shorts)
    (limit,) = (Fraction(item.value) for item in tiers.numbers if item.name == "delta_limit")

    assert tiers.neutral
    assert difference == number(case.expect["difference"])
    at_limit = tiers.bound is Bound.INCLUSIVE and difference == limit
    assert (difference < limit or at_limit) is case.expect["neutral"]
