"""What a sceptical reader tried: odd spellings, odd decimal contexts, profits near zero."""

import decimal
from decimal import Decimal

import deleverage as dl


def test_an_account_is_known_by_its_own_spelling_only() -> None:
    """`08` is not account 8: it holds nothing, nothing is netted, and the plan says so."""
    book = {
        "account": [8, 8, 9],
        "market": ["M"] * 3,
        "side": ["short", "long", "short"],
        "qty": ["5", "9", "9"],
        "entry_price": ["62", "61", "61"],
        "margin": ["9"] * 3,
        "margin_mode": ["cross", "cross", "isolated"],
    }
    for name in ("08", "\u0668", "\u00b2"):
        made = dl.plan(
            book,
            marks={"M": "60"},
            venue=dl.Venue.load("bitmex"),
            market="M",
            bankrupt_side="long",
            qty=9,
            bankrupt_account=name,
            bankruptcy_price=59,
        )
        closed = sum(made.fills["qty_closed"].to_list())

        assert (made.netted, closed + made.unfilled) == (0, 9)
        assert any(name in note for note in made.notes)


def test_the_callers_decimal_context_changes_nothing() -> None:
    """Price and digest are the same whatever precision the thread's decimal context has."""
    book = {
        "account": ["a", "b"],
        "market": ["M"] * 2,
        "side": ["short"] * 2,
        "qty": ["123456.7", "7"],
        "entry_price": ["61234.56", "70000"],
        "margin": ["100000000.25", "1"],
    }

    def planned() -> tuple[list[Decimal], str]:
        made = dl.plan(
            book,
            marks={"M": "60000.01"},
            venue=dl.Venue.load("bitmex"),
            market="M",
            bankrupt_side="long",
            qty="123456.7",
            bankruptcy_price="59999.99",
        )
        return made.fills["price"].to_list(), made.digest

    with decimal.localcontext() as context:
        context.prec = 5
        narrow = planned()

    assert narrow == planned()
    assert set(narrow[0]) == {Decimal("59999.99")}


def test_a_loss_smaller_than_a_cent_is_still_a_loss() -> None:
    """An inverse long below its entry is never cut where the rule takes winners only."""
    book = {
        "account": ["loser"],
        "market": ["X"],
        "side": ["long"],
        "qty": ["1"],
        "entry_price": ["64990"],
        "margin": ["0.001"],
        "margin_mode": ["isolated"],
    }
    made = dl.plan(
        book,
        marks={"X": "64985"},
        venue=dl.Venue.load("strike-type1"),
        markets={"market": ["X"], "kind": ["inverse"]},
        market="X",
        bankrupt_side="short",
        qty=1,
        bankruptcy_price=65100,
    )

    assert made.fills.height == 0
