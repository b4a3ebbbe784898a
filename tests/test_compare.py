"""The same bankruptcies side by side: worked by hand, equal to the planner, blind to row order."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from commandline import call
from deleverage import Venue, plan
from deleverage.errors import InputError
from deleverage.lab.compare import MEASURES, compare, compare_crash
from deleverage.lab.crash import synthetic_crash
from deleverage.lab.policies import POLICIES
from deleverage.planning.inputs import Frames

Capture = pytest.CaptureFixture[bytes]
GENERIC = Venue.load("generic")

POSITIONS = pl.DataFrame(
    {
        "position_id": [1, 2, 3, 4],
        "account": ["ann", "bob", "cat", "zed"],
        "market": ["X"] * 4,
        "side": ["short", "short", "short", "long"],
        "qty": [4, 10, 6, 12],
        "entry_price": [120, 110, 100, 125],
        "margin": [40, 500, 600, 60],
    }
)
MARKS = pl.DataFrame({"market": ["X"], "mark_price": [100]})
FAILED = pl.DataFrame(
    {"market": ["X"], "side": ["long"], "qty": [5], "bankruptcy_price": [110], "account": ["zed"]}
)


def compared(failed: pl.DataFrame = FAILED, positions: pl.DataFrame = POSITIONS) -> pl.DataFrame:
    """The small book under the generic edition and every policy, by policy."""
    frames = Frames(positions=positions, marks=MARKS)
    return compare(frames, failed, venues=[GENERIC], policies=list(POLICIES))


def row(table: pl.DataFrame, policy: str) -> dict[str, object]:
    """The measures of one policy."""
    return table.filter(pl.col("policy") == policy).row(0, named=True)


def test_the_queue_worked_by_hand() -> None:
    """Five lots of a long that went bankrupt at 110 are closed at 110 while the mark is 100.

    ann has won 80 on 480 and is levered 400 / 120; bob 100 on 1,100 and 1,000 / 600; cat nothing.
    ann closes her 4 and bob 1: they lose 40 of 80 and 10 of 100, together the 50 that is missing.
    """
    found = row(compared(), "queue")

    assert (found["cut"], found["candidates"], found["uncovered"]) == (2, 3, 0)
    assert (found["notional"], found["profit"]) == (500.0, 80.0 + 10.0)
    assert (found["needed"], found["lost"]) == (50.0, 50.0)
    assert (found["max_cut"], found["max_haircut"], found["participation"]) == (1.0, 0.5, 1.0)
    assert found["top_share"] == pytest.approx(0.8)


def test_pro_rata_worked_by_hand() -> None:
    """Of 20 lots 5 are a quarter: 1, 2.5 and 1.5 lots; the half lot goes to the lower id.

    bob closes 3 and loses 30 of 100, ann 1 and loses 10 of 80, cat 1 without a profit.
    """
    found = row(compared(), "pro-rata")

    assert (found["cut"], found["lost"]) == (3, 50.0)
    assert found["max_cut"] == pytest.approx(0.3)
    assert found["profit"] == pytest.approx(20 + 30)


def test_leverage_draining_worked_by_hand() -> None:
    """Ann is levered 10/3, bob 5/3, cat 1: she falls to bob's level first, then both together.

    With L = 100 (14 - 5) / (120 + 600) = 5/4 ann keeps 1.5 lots and bob 7.5: 2.5 each. Whole lots:
    2 and 2, and the fifth where leverage is then higher: 200/120 against 800/600, so ann's.
    """
    found = row(compared(), "leverage-draining")

    assert (found["cut"], found["max_cut"]) == (2, 0.75)
    assert found["profit"] == pytest.approx(3 * 20 + 2 * 10)


def test_each_bankruptcy_meets_what_the_last_has_left() -> None:
    """Two of 4 lots are one of 8: after ann is gone bob pays; a third finds too few and says so."""
    twice = pl.concat([FAILED.with_columns(qty=pl.lit(4))] * 2)
    both = row(compared(twice), "queue")
    whole = row(compared(FAILED.with_columns(qty=pl.lit(8))), "queue")
    short = row(compared(FAILED.with_columns(qty=pl.lit(21))), "queue")

    assert both["bankruptcies"] == 2
    assert {**both, "bankruptcies": 1} == whole
    assert (short["uncovered"], short["cut"], short["notional"]) == (1, 3, 2000.0)


def test_the_bankrupt_account_is_no_candidate() -> None:
    """A short leg of the bankrupt account itself is never cut."""
    leg = POSITIONS[:1].with_columns(
        account=pl.lit("zed"), position_id=pl.lit(9, dtype=pl.Int64), qty=pl.lit(4, dtype=pl.Int64)
    )
    with_leg = row(compared(positions=pl.concat([POSITIONS, leg])), "queue")

    assert with_leg == row(compared(), "queue")


def test_the_queue_is_the_planners() -> None:
    """On a drawn crash the queue closes exactly what `plan` closes."""
    crash = synthetic_crash(3, 400)
    event = crash.bankruptcy
    planned = plan(
        crash.positions,
        marks=crash.marks,
        venue=GENERIC,
        market=event.market,
        bankrupt_side=event.side,
        qty=event.qty,
        bankruptcy_price=event.price,
        bankrupt_account=event.account,
    )
    found = row(compare_crash(3, 400, venues=[GENERIC], policies=["queue"]), "queue")
    closed = sum(planned.fills["qty_closed"].to_list(), Decimal(0))
    mark = crash.marks["mark_price"][0]

    assert found["cut"] == planned.fills.height
    assert found["notional"] == pytest.approx(float(closed * mark))
    assert found["lost"] == pytest.approx(float(closed * (event.price - mark)))


def test_the_order_of_the_rows_changes_nothing() -> None:
    """A shuffled book gives the same table under every policy."""
    shuffled = POSITIONS.sample(fraction=1.0, shuffle=True, seed=4)

    assert compared(positions=shuffled).equals(compared())


def test_every_policy_closes_the_same_quantity() -> None:
    """Under every venue that can price a drawn crash, policies differ in who, not in how much."""
    venues = [Venue.load(name) for name in ("bitmex", "hyperliquid", "okx@2025-11")]
    table = compare_crash(1, 300, venues=venues, policies=list(POLICIES))

    assert table.columns == list(MEASURES)
    assert table.height == len(venues) * len(POLICIES)
    for _, group in table.group_by("venue"):
        assert group["notional"].to_list() == pytest.approx([group["notional"][0]] * group.height)
        assert group["uncovered"].sum() == 0


def test_without_a_bankruptcy_price_nothing_is_made_up() -> None:
    """Where neither price nor need can be known the measures that take them are null."""
    found = row(compared(FAILED.drop("bankruptcy_price")), "queue")

    assert (found["needed"], found["lost"], found["max_haircut"]) == (None, None, None)
    assert found["notional"] == 500.0


@pytest.mark.parametrize(
    ("failed", "message"),
    [
        (FAILED.drop("qty"), "expected a column qty"),
        (FAILED.with_columns(price=pl.lit(1)), "got 'price'"),
        (FAILED.clear(), "at least one bankruptcy"),
        (FAILED.with_columns(qty=pl.lit(-5)), "more than 0 contracts"),
        (FAILED.with_columns(side=pl.lit("buy")), "expected long or short"),
        (FAILED.with_columns(market=pl.lit("Y")), "Y"),
    ],
)
def test_a_wrong_list_is_refused(failed: pl.DataFrame, message: str) -> None:
    """The message names the column or the value that is wrong."""
    with pytest.raises(InputError, match=message):
        compared(failed)


def test_the_command_compares_files_and_drawn_crashes(
    capsysbinary: Capture, tmp_path: Path
) -> None:
    """`compare` takes files or draws a crash, writes every shape, and exits 4 when short."""
    book, marks, failed = (tmp_path / f"{name}.csv" for name in ("book", "marks", "failed"))
    POSITIONS.write_csv(book)
    MARKS.write_csv(marks)
    FAILED.with_columns(qty=pl.lit(21)).write_csv(failed)
    words = ("compare", book, "--marks", marks, "--policy", "queue", "--format")
    short = call(capsysbinary, *words, "json", "--bankruptcies", failed)
    drawn = call(capsysbinary, "compare", "--positions", "200", "--format", "csv")
    out = tmp_path / "table.parquet"

    assert short.code == 4
    assert short.json[0]["uncovered"] == 1
    assert drawn.code == 0
    assert len(drawn.text.splitlines()) == 1 + len(POLICIES)
    assert call(capsysbinary, "compare", "--positions", "200", "-o", out).code == 0
    assert pl.read_parquet(out).height == len(POLICIES)
    assert call(capsysbinary, *words, "json").code == 2
    assert call(capsysbinary, "compare", "--marks", marks).code == 2
