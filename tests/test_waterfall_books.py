"""Any liquidation through any steps: the books close and nothing is changed in place."""

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deleverage.backstop.bankruptcy import Bankruptcy, gain_of
from deleverage.backstop.cover import Layer, cover
from deleverage.backstop.liquidation import EVERYBODY, Fill, Liquidation
from deleverage.backstop.pool import Pool
from deleverage.backstop.settlement import Book, Cut
from deleverage.backstop.steps import rate_of
from deleverage.backstop.waterfall import (
    Outcome,
    Stage,
    Waterfall,
)
from deleverage.model.parts import Backstop
from deleverage.model.scales import MarketScale
from deleverage.model.terms import (
    Payer,
    Payment,
    StepKind,
    Surplus,
)
from liquidations import (
    BEHIND,
    MARKET,
    ORDER,
    WITHOUT,
    cut,
    edition,
    ended,
    enter,
    fund,
    kinds,
    scale_at,
    total,
    waterfall_of,
)

LOTS = st.integers(1, 40)
MONEY = st.integers(0, 5000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A drawn event: its steps, its liquidation, what happens to it."""

    waterfall: Waterfall
    opened: Liquidation
    pool: Pool
    fills: list[Fill]
    scale: MarketScale
    is_emergency: bool
    cuts: list[tuple[int, int]]


@st.composite
def backstops(draw: st.DrawFn) -> dict[str, Any]:
    """Any steps that do not contradict themselves."""
    role = draw(st.sampled_from(["takes_over", "pays", "nothing"]))
    order = list(WITHOUT if role == "nothing" else draw(st.sampled_from([ORDER, BEHIND])))
    remainder = draw(st.sampled_from(["stays", "gated", "pool", "socialised"]))
    surplus = draw(st.sampled_from(["fund", "account"]))
    numbers = {"gate_blocks": "50"} if remainder == "gated" else {}
    if surplus == "fund" and draw(st.booleans()):
        numbers["surplus_ratio"] = "0.02"
    return {
        "order": order,
        "pool": role,
        "remainder": remainder,
        "surplus": surplus,
        "numbers": numbers,
        "payment": draw(st.sampled_from([str(each) for each in Payment])),
        "fund_below_zero": remainder == "pool",
        "part_fill": draw(st.sampled_from(["proceeds", "waits"])),
    }


@st.composite
def courses(draw: st.DrawFn) -> Course:
    """An event of any size and sign, linear or inverse, against any pool."""
    rules = draw(backstops())
    kind = draw(st.sampled_from(["linear", "inverse"]))
    is_inverse = kind == "inverse"
    side = draw(st.sampled_from([1, -1]))
    full, price = draw(LOTS), draw(st.sampled_from(["mark", "bankruptcy"]))
    lots = draw(st.integers(1, full))
    venue = edition(rules, starts=["manual"], price=price)
    payer = Payer.NOBODY if price == "bankruptcy" else draw(st.sampled_from(["nobody", "fund"]))
    venue = replace(venue, price=replace(venue.price, difference=Payer(payer)))
    value = draw(st.fractions(-500, 5000, max_denominator=50))
    mark = draw(st.fractions(Fraction(1, 10), 100, max_denominator=20))
    scale = scale_at(mark, kind)
    gain = gain_of(side, is_inverse=is_inverse)
    fills, left = [], lots
    for _ in range(draw(st.integers(0, 3))):
        size = draw(st.integers(1, 5))
        if size < left:
            fills.append(Fill(lots=size, quote=gain * draw(MONEY)))
            left -= size
    pool = fund(draw(MONEY), may_be_negative=rules["fund_below_zero"])
    held = draw(st.integers(-20, 20))
    if held:
        pool = pool.take_over(MARKET, lots=held, entry_value=draw(MONEY), rate=rate_of(scale), at=0)
    cuts = draw(st.lists(st.tuples(LOTS, MONEY), max_size=4))
    return Course(
        waterfall=waterfall_of(
            venue, money_units=1, standing=draw(st.sampled_from(["netted", "candidate", "exempt"]))
        ),
        opened=Liquidation(
            id="x",
            account="zed",
            market=MARKET,
            lots=side * lots,
            entry_value=draw(MONEY),
            bankruptcy=Bankruptcy(lots=side * full, value=value, is_inverse=is_inverse),
            opened_at=0,
            debt=draw(st.integers(0, 50)),
        ),
        pool=pool,
        fills=fills,
        scale=scale,
        is_emergency=draw(st.booleans()),
        cuts=cuts,
    )


def walk(course: Course) -> tuple[Stage, Outcome]:
    """Take the event through all of it; the queue closes what it can."""
    stage = enter(
        course.waterfall,
        course.opened,
        pool=course.pool,
        fills=course.fills,
        scale=course.scale,
        is_emergency=course.is_emergency,
    )
    cuts: list[Cut] = []
    if stage.permits and stage.left is not None:
        left, side = abs(stage.left.lots), 1 if stage.left.lots > 0 else -1
        for place, (lots, entry) in enumerate(course.cuts):
            closed = min(lots, left)
            if closed:
                cuts.append(cut(-side * lots, closed, entry=entry, name=f"w{place}"))
                left -= closed
    return stage, ended(course.waterfall, stage, *cuts)


@given(course=courses())
def test_the_books_close_and_no_lot_is_lost(course: Course) -> None:
    """Money adds to zero, lots are conserved, and the pool's record is what the books say."""
    stage, outcome = walk(course)
    steps = [*stage.steps, *outcome.steps]
    postings = [each for step in steps for each in step.postings]
    sums: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for step in steps:
        sums.update({each.asset: 0 for each in step.postings})
        for move in step.moves:
            moved[move.owner] += move.lots
    for each in postings:
        sums[each.asset] += each.amount
    left = 0 if outcome.left is None else outcome.left.lots
    assert outcome.pool is not None
    held = outcome.pool.inventory(MARKET).lots

    assert set(sums.values()) <= {0}
    assert moved["zed"] == left - course.opened.lots
    assert moved["fund"] == held - course.pool.inventory(MARKET).lots
    assert sum(moved.values()) == 0
    assert abs(left) + sum(step.lots for step in steps) == abs(course.opened.lots)
    assert left * course.opened.lots >= 0
    assert total(postings, "fund", Book.FUND) == outcome.pool.cash - course.pool.cash
    may = course.pool.may_be_negative or course.pool.inventory(MARKET).lots != 0
    assert may or outcome.pool.cash >= 0
    assert total(postings, EVERYBODY, Book.LOSS) == -outcome.socialised
    assert outcome.debt >= 0


@given(course=courses())
def test_an_account_owes_what_it_did_not_get(course: Course) -> None:
    """What it got, and what it owes more than before, is at least bankruptcy and at most dust more.

    More than bankruptcy it keeps only what a fill or a settlement at the mark brought above it.
    """
    stage, outcome = walk(course)
    postings = [each for step in (*stage.steps, *outcome.steps) for each in step.postings]
    left = 0 if outcome.left is None else abs(outcome.left.lots)
    closed = abs(course.opened.lots) - left
    frozen = course.opened.bankruptcy
    assert frozen is not None
    gain = gain_of(course.opened.lots, is_inverse=course.scale.is_inverse)
    due = gain * frozen.lot_value * closed
    got = total(postings, "zed", Book.WALLET, Book.BASIS) + outcome.debt - course.opened.debt
    kept = course.waterfall.part.surplus is Surplus.ACCOUNT or "surplus_ratio" in {
        number.name for number in course.waterfall.part.numbers
    }
    is_at_mark = course.waterfall.venue.price.kind == "mark"
    nobody = is_at_mark and course.waterfall.difference is Payer.NOBODY
    steps = len(stage.steps) + len(outcome.steps)

    assert got >= due - (1 if is_at_mark else 0)
    assert (course.fills and kept) or nobody or got <= due + steps


@given(course=courses())
def test_the_same_event_gives_the_same_answer_and_changes_nothing(course: Course) -> None:
    """Pure: the inputs are what they were, and a second walk gives equal records."""
    before = (course.opened, course.pool, list(course.fills))
    first, second = walk(course), walk(course)

    assert first == second
    assert (course.opened, course.pool, course.fills) == before


@given(course=courses())
def test_the_queue_is_asked_only_while_the_trigger_deleverages(course: Course) -> None:
    """A stage permits exactly if something is left, the trigger is active and nothing waits."""
    stage, outcome = walk(course)
    part: Backstop = course.waterfall.part
    touched = any(step.kind is StepKind.MARKET for step in stage.steps)
    waits = part.part_fill == "waits" and touched

    assert stage.permits == (stage.left is not None and course.is_emergency and not waits)
    asked = any(step.kind is StepKind.DELEVERAGING for step in outcome.steps)
    assert not asked or stage.permits
    assert kinds(stage.steps) == sorted(kinds(stage.steps), key=part.order.index)
    assert kinds(outcome.steps) == sorted(kinds(outcome.steps), key=part.order.index)


LAYERS = st.lists(
    st.builds(
        Layer,
        name=st.just("layer"),
        held=st.integers(0, 60),
        cost=st.fractions(Fraction(1, 4), 4, max_denominator=8),
        most=st.none() | st.integers(0, 40),
    ),
    max_size=4,
)


@given(loss=st.integers(0, 100), layers=LAYERS, most=st.none() | st.integers(0, 80))
def test_a_loss_is_borne_in_order_and_whole(
    loss: int, layers: list[Layer], most: int | None
) -> None:
    """A layer is asked once the one before has borne all it may and can; nothing gets lost."""
    found = cover(loss, layers, most=most)
    left = loss
    for layer, borne in zip(layers, found.borne, strict=False):
        cost = Fraction(layer.cost)
        assert 0 <= borne.part <= min(left, left if layer.most is None else layer.most)
        assert borne.part * cost <= borne.paid <= layer.held
        assert borne.paid == layer.held or borne.paid - borne.part * cost < 1
        left -= borne.part
        is_done = borne.paid == layer.held or borne.part == min(
            left + borne.part, layer.most if layer.most is not None else loss
        )
        assert is_done or borne is found.borne[-1]
    carried = sum(each.part for each in found.borne)

    assert carried + found.socialised + found.left == loss
    assert most is None or carried <= most
    assert not (found.socialised and found.left)
    if found.socialised:
        assert len(found.borne) == len(layers)
