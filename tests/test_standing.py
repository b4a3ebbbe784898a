"""What stands beside a rank, worked by hand: the curve of the cut, and the liquidation price."""

from decimal import Decimal

import pytest

import deleverage as dl
from deleverage.advice import Curve


def test_a_curve_is_flat_then_one_for_one() -> None:
    """An account with 3 contracts behind 10 and 2 behind 20: corners and values between them."""
    curve = Curve(lot_size=Decimal("0.5"), steps=((20, 6), (40, 4)), capacity=100)

    assert [str(curve.cut(x)) for x in (0, 10, "11.5", 13, 19, 20, 21, 22, 50)] == [
        *("0", "0", "1.5", "3", "3", "3", "4", "5", "5")
    ]
    assert (curve.spared_until, curve.most) == (Decimal(10), Decimal(5))
    assert curve.frame().select("bankrupt", "cut").rows() == [
        (Decimal(x), Decimal(y)) for x, y in ((0, 0), (10, 0), (13, 3), (20, 3), (22, 5), (50, 5))
    ]
    whole = Curve(lot_size=Decimal(1), steps=((0, 6),), capacity=10, is_all_or_nothing=True)
    assert [whole.cut(10), whole.cut(11)] == [Decimal(6), Decimal(0)]


@pytest.mark.parametrize(
    ("kind", "side", "price"),
    [
        # margin 100 + 2 (P - 100) = 20; margin 100 + 2 (100 - P) = 20
        ("linear", "long", "60"),
        ("linear", "short", "140"),
    ],
)
def test_an_isolated_position_is_liquidated_where_equity_meets_maintenance(
    kind: str, side: str, price: str
) -> None:
    """The liquidation price solves margin + profit = maintenance margin by hand."""
    book = {
        "account": ["a"],
        "market": ["M"],
        "side": [side],
        "qty": [2],
        "entry_price": [100],
        "margin": [100],
        "maintenance_margin": [20],
    }
    found = dl.what_if(
        book,
        account="a",
        marks={"M": "90"},
        venue=dl.Venue.load("bitmex"),
        markets={"market": ["M"], "kind": [kind]},
    )

    assert found.before.liquidation_price == Decimal(price)


def test_an_inverse_position_is_liquidated_at_the_price_of_its_coins() -> None:
    """A long of 1000 USD at 100 with 2 coins: 2 + 10 - 1000 / P = 1 at P = 90.9, rounded up."""
    book = {
        "account": ["a"],
        "market": ["M"],
        "side": ["long"],
        "qty": [1000],
        "entry_price": [100],
        "margin": [2],
        "maintenance_margin": [1],
    }
    found = dl.what_if(
        book,
        account="a",
        marks={"M": "95"},
        venue=dl.Venue.load("bitmex"),
        markets={"market": ["M"], "kind": ["inverse"], "price_unit": ["0.01"]},
    )

    assert found.before.liquidation_price == Decimal("90.91")
