"""`deleverage what-if`: before and after, the curve, and one line for what cannot be answered."""

from pathlib import Path

import pytest

from commandline import MARKS, POSITIONS, Done, book, call

Capture = pytest.CaptureFixture[bytes]


def ask(capture: Capture, folder: Path, *words: str, venue: str = "bitmex") -> Done:
    """Ask about a position of the small book."""
    return call(capture, "what-if", *book(folder), "--venue", venue, *words)


def test_a_part_close_only_lowers_what_is_at_risk(tmp_path: Path, capsysbinary: Capture) -> None:
    """Ann's 2.5 stand at 100/121 before and after; 1 contract less can be cut."""
    found = ask(capsysbinary, tmp_path, "--account", "ann", "--close", "1", "--format", "json").json

    # 6,000 of 66,000 times 60,000 over 600 + 6,000 a contract.
    assert ["100/121"] * 2 == [found[when]["exact_score"] for when in ("before", "after")]
    assert "none" == found["moved"] == found["declared"]["part_close"]
    assert {"before": "2.5", "after": "1.5"} == found["at_risk"]
    assert [("0", "0", "0"), ("1.5", "1.5", "1.5"), ("2.5", "2.5", "1.5")] == [
        (row["bankrupt"], row["cut_before"], row["cut_after"]) for row in found["curve"][:3]
    ]


def test_margin_moves_a_position_away(tmp_path: Path, capsysbinary: Capture) -> None:
    """100 more of margin takes bob from 75/208 to 5/14; behind ann's 2.5 he gives half of 3."""
    words = ("--account", "bob", "--add-margin", "100", "--bankrupt", "3", "--bankrupt", "2.5")
    done = ask(capsysbinary, tmp_path, *words, "--format", "json")
    page = ask(capsysbinary, tmp_path, *words).text

    assert ("75/208", "5/14") == tuple(done.json[w]["exact_score"] for w in ("before", "after"))
    assert "lowers" == done.json["moved"]
    assert [("3", "0.5", "0.5"), ("2.5", "0", "0")] == [
        tuple(row.values()) for row in done.json["curve"]
    ]
    assert "added margin: this edition says it moves the position away from the cut" in page
    assert "warning: a one-way crowd" in page
    assert "liquidation price: positions do not say maintenance_margin" in done.err


def test_without_a_change_it_says_where_one_stands(tmp_path: Path, capsysbinary: Capture) -> None:
    """Both columns are the same, and nothing moved."""
    found = ask(capsysbinary, tmp_path, "--account", "cat", "--format", "json").json

    assert found["before"] == found["after"]
    assert ("none", {}) == (found["moved"], found["declared"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--account", "cut"), "did you mean 'cat'"),
        (("--account", "ann", "--close", "3"), "got 3 of 2.5 contracts"),
        (("--account", "ann", "--close", "0"), "close: expected a number above zero, got '0'"),
        (("--account", "ann", "--leverage", "-1"), "leverage: expected a number above zero"),
        (("--account", "ann", "--bankrupt", "x"), "bankrupt: expected a decimal number"),
        (("--account", "ann", "--bankrupt", "-1"), "bankrupt: expected contracts, 0 or more"),
        (("--account", "ann", "--format", "csv"), "csv"),
        (("--account", "ann", "--side", "long"), "long"),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    tmp_path: Path, capsysbinary: Capture, words: tuple[str, ...], said: str
) -> None:
    """An unknown account, more than there is, a number that is none: exit 2, no data."""
    done = ask(capsysbinary, tmp_path, *words)

    assert 2 == done.code
    assert b"" == done.out
    assert said in done.err
    assert 1 == done.err.count("\n")


def test_an_answer_is_not_written_over_its_input(tmp_path: Path, capsysbinary: Capture) -> None:
    """-o refuses the positions themselves; another file gets the answer."""
    same = ask(capsysbinary, tmp_path, "--account", "ann", "-o", str(tmp_path / "positions.csv"))
    other = ask(capsysbinary, tmp_path, "--account", "ann", "-o", str(tmp_path / "answer.json"))

    assert 2 == same.code
    assert POSITIONS == (tmp_path / "positions.csv").read_text()
    assert MARKS == (tmp_path / "marks.csv").read_text()
    assert 0 == other.code
    assert '"account": "ann"' in (tmp_path / "answer.json").read_text()
