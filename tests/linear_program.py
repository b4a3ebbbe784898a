"""Small linear programs, exactly: the simplex method in fractions, with Bland's rule."""

from collections.abc import Sequence
from fractions import Fraction

Row = Sequence[Fraction | int]


def least(costs: Row, rows: Sequence[Row], bounds: Row) -> Fraction:
    """The least `costs x` over all `x >= 0` with `rows x >= bounds`; costs are 0 or more.

    Solved is the dual, the most `bounds y` over all `y >= 0` with `y rows <= costs`: there `y = 0`
    is a vertex to begin at. By strong duality the two optima are one number. There has to be one.
    """
    count = len(rows)
    table = [
        [Fraction(row[place]) for row in rows]
        + [Fraction(place == other) for other in range(len(costs))]
        + [Fraction(costs[place])]
        for place in range(len(costs))
    ]
    gains = [-Fraction(bound) for bound in bounds] + [Fraction(0)] * (len(costs) + 1)
    basis = [count + place for place in range(len(costs))]
    while True:
        # The first that gains, and of the tightest the first: Bland's rule never goes in a circle.
        enters = next((place for place, gain in enumerate(gains[:-1]) if gain < 0), None)
        if enters is None:
            return gains[-1]
        tight = [
            (line[-1] / line[enters], basis[place], place)
            for place, line in enumerate(table)
            if line[enters] > 0
        ]
        leaves = min(tight)[2]
        basis[leaves] = enters
        pivot = [value / table[leaves][enters] for value in table[leaves]]
        table = [
            pivot if place == leaves else _without(line, pivot, enters)
            for place, line in enumerate(table)
        ]
        gains = _without(gains, pivot, enters)


def _without(line: list[Fraction], pivot: list[Fraction], place: int) -> list[Fraction]:
    """A line less so much of the pivot that it has nothing at a place."""
    return [value - line[place] * other for value, other in zip(line, pivot, strict=True)]
