"""What a sceptical reader tried: slips that pass silently, and messages that hide the way out."""

import copy
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import deleverage as dl
from commandline import book, call
from deleverage import ranking
from deleverage.errors import InputError
from deleverage.model.rules import Basis, Factor, Loss, Reason, ScoreRule
from witness import MARKETS, MARKS, accounts, neutral, positions

Capture = pytest.CaptureFixture[bytes]

SMALL: dict[str, list[Any]] = {
    "account": ["zed", "ann", "bob", "cat"],
    "market": ["M"] * 4,
    "side": ["long", "short", "short", "long"],
    "qty": ["3", "2", "5.5", "1"],
    "entry_price": ["70", "66", "64", "61"],
    "margin": ["9"] * 4,
}


def planned(frame: dict[str, list[Any]] | None = None, **more: Any) -> dl.Plan:
    """A plan of the small book for a bankrupt long."""
    asked = {"market": "M", "bankrupt_side": "long", "qty": "3", "bankruptcy_price": "61"}
    return dl.plan(
        SMALL if frame is None else frame,
        marks={"M": "60"},
        venue=dl.Venue.load("bitmex"),
        **(asked | more),
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"bankrupt_account": "ann"}, "'ann' holds no long of M, only a short"),
        ({"bankrupt_account": "zed", "qty": "3.5"}, "3.5 contracts are more than the 3 that 'zed'"),
        ({"bankruptcy_price": "59"}, "59 is below the mark of 60, at which this long is not"),
        (
            {"bankruptcy_price": "61", "bankrupt_side": "short", "qty": "1"},
            "61 is above the mark of 60, at which this short is not bankrupt",
        ),
        ({"bankrupt_account": "nil"}, "'nil' holds no position of M"),
    ],
)
def test_an_odd_request_is_noted(more: dict[str, Any], words: str) -> None:
    """A wrong account, more than it holds, a price on the wrong side: planned, and noted."""
    notes = planned(**more).notes

    assert len(notes) == 1
    assert words in notes[0]


def test_a_sound_request_has_no_notes() -> None:
    """The bankrupt account holds what is asked, and its price lies beyond the mark."""
    liquidating = {**SMALL, "status": ["liquidating", "open", "open", "open"]}

    assert planned(bankrupt_account="zed").notes == ()
    assert planned(liquidating, bankrupt_account="zed").notes == ()
    assert planned(bankruptcy_price="60").notes == ()


def test_an_inverse_edition_asks_for_its_markets() -> None:
    """COIN-M contracts are inverse: without a table their positions are not read as linear."""
    asked: dict[str, Any] = {
        "venue": dl.Venue.load("binance-coinm"),
        "marks": MARKS,
        "accounts": accounts(),
    }
    with pytest.raises(InputError, match=r"inverse contracts only.*pass markets="):
        dl.rank(positions(), **asked)
    inverse = MARKETS | {"kind": ["inverse"], "contract_size": [100]}

    assert dl.rank(positions(), markets=inverse, **asked).height == positions().height


def test_an_exempt_hedged_part_is_listed() -> None:
    """Four of h's twelve are hedged: eight stand in the queue, four are listed and explained."""
    plan = dl.plan(
        positions(),
        marks=MARKS,
        venue=dl.Venue.load("bingx"),
        markets=MARKETS,
        market="W",
        bankrupt_side="short",
        qty=1,
    )
    counted = dict(plan.left_out.iter_rows())
    notes = plan.explain("h").entries

    # m is hedged as a whole, h in part.
    assert counted[str(Reason.HEDGED_PART)] == 2
    assert [(note.outcome.value, note.qty) for note in notes] == [
        ("spared", Decimal(8)),
        ("left_out", Decimal(4)),
    ]
    assert "offset inside its account" in str(plan.explain("h"))


def test_a_snapshot_and_a_plan_can_be_pickled() -> None:
    """A copy by pickle has the same digest, ranks alike and stays read-only."""
    snapshot = dl.prepare(
        positions(),
        marks=MARKS,
        venue=dl.Venue.load("okx"),
        accounts=accounts(),
        markets=MARKETS,
        neutral=neutral(),
    )
    plan = dl.plan(snapshot, market="W", bankrupt_side="short", qty=20)
    told, again = pickle.loads(pickle.dumps((snapshot, plan)))  # noqa: S301 - our own bytes

    assert (told.digest, again.digest) == (snapshot.digest, plan.digest)
    assert dl.rank(told).equals(dl.rank(snapshot))
    assert again.fills.equals(plan.fills)
    assert str(again.explain("c")) == str(plan.explain("c"))
    assert copy.deepcopy(snapshot).digest == snapshot.digest
    with pytest.raises(TypeError):
        told.columns["lots"] = told.columns["lots"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"qty": "0.25"}, "inferred from the quantities given; pass markets= with lot_size"),
        ({"bankruptcy_price": "61.5"}, "inferred from the prices given; pass markets= with price_"),
    ],
)
def test_a_number_finer_than_an_inferred_unit_says_so(more: dict[str, Any], words: str) -> None:
    """The unit came from the positions: the message says it, and which table would say another."""
    with pytest.raises(InputError) as inferred:
        planned(**more)
    table = {"market": ["M"], "kind": ["linear"], "lot_size": ["0.5"], "price_unit": ["1"]}
    with pytest.raises(InputError) as given:
        planned(markets=table, **more)

    assert words in str(inferred.value)
    assert "inferred" not in str(given.value)


@pytest.mark.parametrize("qty", [" 4", "4 ", "1_0", "\u0664", "\uff14", "1e400", 10**40, b"4"])
def test_an_odd_spelling_of_a_quantity_is_refused(qty: object) -> None:
    """Blanks, underscores, digits of other scripts and monsters are no quantities."""
    with pytest.raises(InputError, match="qty of M: expected"):
        planned(qty=qty)


@pytest.mark.parametrize(
    ("table", "slip", "column"),
    [
        ("positions", "maintenence_margin", "maintenance_margin"),
        ("positions", "Leverage", "leverage"),
        ("positions", "hedge_qty", "hedged_qty"),
        ("positions", "position_Id", "position_id"),
        ("positions", "statuss", "status"),
        ("accounts", "wallet_balanc", "wallet_balance"),
        ("markets", "lotsize", "lot_size"),
        ("marks", "previous_mark_prices", "previous_mark_price"),
    ],
)
def test_a_slip_in_an_optional_column_is_refused(table: str, slip: str, column: str) -> None:
    """A name that is nearly a column of the contract would not be read: it is offered."""
    tables: dict[str, dict[str, list[Any]]] = {
        "positions": dict(SMALL),
        "accounts": {"account": ["zed"], "equity": ["1"]},
        "markets": {"market": ["M"], "kind": ["linear"]},
        "marks": {"market": ["M"], "mark_price": ["60"]},
    }
    rows = len(next(iter(tables[table].values())))
    tables[table][slip] = ["1"] * rows
    with pytest.raises(InputError, match=rf"got '{slip}', did you mean '{column}'"):
        dl.prepare(**tables, venue=dl.Venue.load("bitmex"))


def test_columns_of_ones_own_are_carried_along() -> None:
    """Names that only contain one of the contract are no slips."""
    own = {**SMALL, "maintenance_margin_rate": ["1"] * 4, "trader_id": ["x"] * 4, "note": [""] * 4}

    assert planned(own).fills.equals(planned().fills)


def test_utf_16_text_is_refused_by_name(tmp_path: Path) -> None:
    """What a spreadsheet saves as Unicode text is no UTF-8: the message says what to do."""
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        path = tmp_path / f"{encoding}.csv"
        path.write_text(pl.DataFrame(SMALL).write_csv(), encoding=encoding)
        with pytest.raises(InputError, match="expected UTF-8 text, got UTF-16"):
            dl.prepare(path, marks={"M": "60"}, venue=dl.Venue.load("bitmex"))


def test_a_list_of_json_records_is_read(tmp_path: Path) -> None:
    """What `--format json` writes can be read again, exactly."""
    path = tmp_path / "positions.json"
    rows = pl.DataFrame(SMALL).to_dicts()
    path.write_text(json.dumps(rows).replace('"5.5"', "5.5"))
    found = dl.plan(
        path,
        marks={"M": "60"},
        venue=dl.Venue.load("bitmex"),
        market="M",
        bankrupt_side="long",
        qty="3",
        bankruptcy_price="61",
    )

    assert found.digest == planned().digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"account": "a"}', "expected a JSON list of objects, one a row .*got one dict"),
        ('{"account": "a"}\n{"account": "b"}', "one object a line is a .jsonl file"),
        ("[1]", "row 0: expected a JSON object, got 1"),
        ("[", "expected a JSON list of objects"),
    ],
)
def test_other_json_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    """One object, lines of them, a list of numbers, half a file: one clear error."""
    path = tmp_path / "positions.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        dl.prepare(path, marks={"M": "60"}, venue=dl.Venue.load("bitmex"))


def test_each_explained_position_has_its_exact_ratio() -> None:
    """Not only the cut: every score that decimals do not say whole is given as a fraction."""
    told = str(planned(qty="1").explain("bob"))
    note = planned(qty="1").explain("bob").entries[0]

    assert note.working is not None
    assert f"exactly {note.working.ratio}" in told.split("cut:", maxsplit=1)[0]


def test_explain_may_be_repeated(tmp_path: Path, capsysbinary: Capture) -> None:
    """Each `--explain` prints its account, once."""
    event = ["--venue", "bitmex", "--market", "BTC-PERP", "--bankrupt-side", "long", "--qty", "1"]
    more = ["--explain", "ann", "--explain", "fay", "--explain", "ann"]
    done = call(capsysbinary, "plan", *book(tmp_path), *event, *more)

    assert [done.text.count(f"{name}: ") for name in ("ann", "fay")] == [1, 1]


@pytest.mark.parametrize("again", [["--qty", "2"], ["--market", "X"], ["-o", "-", "--output", "-"]])
def test_an_option_with_one_value_is_given_once(
    tmp_path: Path, capsysbinary: Capture, again: list[str]
) -> None:
    """The last of several would win in silence: exit code 2 and the option's name."""
    event = ["--venue", "bitmex", "--market", "BTC-PERP", "--bankrupt-side", "long", "--qty", "1"]
    done = call(capsysbinary, "plan", *book(tmp_path), *event, *again)

    assert (done.code, done.out) == (2, b"")
    assert f"{again[0]}: expected once, got 2 times" in done.err.replace("--output", "-o")


@pytest.mark.parametrize("command", ["rank", "plan", "check"])
def test_the_help_lists_the_columns(capsysbinary: Capture, command: str) -> None:
    """Whoever asks a command for help reads which columns its frames hold."""
    words = call(capsysbinary, command, "--help").text

    for column in ("entry_price", "maintenance_margin", "mark_price", "contract_size", "underlier"):
        assert column in words


def test_more_threads_than_any_machine_has_are_a_slip() -> None:
    """A thread count far beyond any machine is refused before a thread of it is made."""
    lots = np.array([1, -1], np.int64)
    columns = ranking.Columns(lots=lots, entry_value=np.array([10, 10]), margin=np.array([1, 1]))

    rate = ranking.Rate(mark_num=11, mark_den=1)
    rule = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.NONE, loss=Loss.DIVIDE)

    with pytest.raises(InputError, match=r"expected 0 \(all\) to 1024,.* got 5000"):
        ranking.score(columns, rate, rule=rule, threads=5000)
    with pytest.raises(InputError, match=r"expected 0 \(all\) to 1024,.* got 5000"):
        dl.Book.from_frame(SMALL, marks={"M": "60"}, venue=dl.Venue.load("bitmex"), threads=5000)
