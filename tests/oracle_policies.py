"""The slow twin of the allocation policies: exact fractions, one obvious step after the other.

Nothing here is fast, and nothing is shared with the package: a level is found by trying every
point at which something changes, units are dealt out one at a time, and what is best is found by
looking at everything there is.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

Numbers = Sequence[int]


def level(weights: Numbers, caps: Numbers, amount: int) -> Fraction:
    """The least level at which the shares `min(cap, level x weight)` add up to an amount.

    The sum is piecewise linear in the level: between two neighbouring points at which a row fills
    up it grows by the weights that are still open.
    """
    bends = sorted(
        {Fraction(cap, weight) for weight, cap in zip(weights, caps, strict=True) if weight}
    )
    before = Fraction(0)
    for bend in bends:
        if filled(weights, caps, bend) >= amount:
            open_weight = sum(
                weight
                for weight, cap in zip(weights, caps, strict=True)
                if weight and Fraction(cap, weight) > before
            )
            return before + (amount - filled(weights, caps, before)) / Fraction(open_weight)
        before = bend
    raise AssertionError("the amount is more than all caps together")


def filled(weights: Numbers, caps: Numbers, at: Fraction) -> Fraction:
    """What is shared at a level."""
    return sum(shares(weights, caps, at), Fraction(0))


def shares(weights: Numbers, caps: Numbers, at: Fraction) -> list[Fraction]:
    """The exact share of every row at a level."""
    return [min(Fraction(cap), at * weight) for weight, cap in zip(weights, caps, strict=True)]


def capacity(weights: Numbers, caps: Numbers) -> int:
    """What rows with a weight can give."""
    return sum(cap for weight, cap in zip(weights, caps, strict=True) if weight > 0)


def pro_rata(weights: Numbers, caps: Numbers, ids: Numbers, amount: int) -> list[int]:
    """Capped shares in whole units: floors, and what is left to the largest remainders."""
    if amount >= capacity(weights, caps):
        return [cap if weight > 0 else 0 for weight, cap in zip(weights, caps, strict=True)]
    exact = shares(weights, caps, level(weights, caps, amount))
    units = [share.numerator // share.denominator for share in exact]
    order = sorted(range(len(ids)), key=lambda row: (units[row] - exact[row], ids[row]))
    for row in order[: amount - sum(units)]:
        units[row] += 1
    return units


def min_max(weights: Numbers, caps: Numbers, ids: Numbers, amount: int) -> list[int]:
    """One unit at a time, always to the row whose ratio to its weight is then the smallest."""
    units = [0] * len(weights)
    for _ in range(min(amount, capacity(weights, caps))):
        open_rows = [r for r, cap in enumerate(caps) if weights[r] > 0 and units[r] < cap]
        row = min(open_rows, key=lambda r: (Fraction(units[r] + 1, weights[r]), ids[r]))
        units[row] += 1
    return units


def drain(sizes: Numbers, equities: Numbers, ids: Numbers, amount: int) -> list[int]:
    """Leverage draining: floors of the real cut, the rest where leverage is then the highest."""
    placed = [row for row, equity in enumerate(equities) if equity > 0]
    total = sum(sizes[row] for row in placed)
    if amount >= total:
        return [size if equity > 0 else 0 for size, equity in zip(sizes, equities, strict=True)]
    cuts = [0] * len(sizes)
    at = drained_level([sizes[r] for r in placed], [equities[r] for r in placed], amount)
    for row in placed:
        real = max(Fraction(0), sizes[row] - at * equities[row])
        cuts[row] = real.numerator // real.denominator
    order = sorted(placed, key=lambda r: (Fraction(cuts[r] - sizes[r], equities[r]), ids[r]))
    for row in order[: amount - sum(cuts)]:
        cuts[row] += 1
    return cuts


def drained_level(sizes: Numbers, equities: Numbers, amount: int) -> Fraction:
    """The size per equity at which the active set ends: the smallest set that is consistent.

    Rows by leverage, highest first; the first `k` of them are active where the level they end at
    is not below the leverage of the next.
    """
    order = sorted(range(len(sizes)), key=lambda r: Fraction(sizes[r], equities[r]), reverse=True)
    for count in range(1, len(order) + 1):
        size = sum(sizes[row] for row in order[:count])
        equity = sum(equities[row] for row in order[:count])
        found = Fraction(size - amount, equity)
        after = order[count:]
        if not after or found >= Fraction(sizes[after[0]], equities[after[0]]):
            return found
    raise AssertionError("no account is left")


def drain_by_lots(sizes: Numbers, equities: Numbers, ids: Numbers, amount: int) -> list[int]:
    """Always the next lot of the account with the highest leverage, the smaller id first."""
    left = list(sizes)
    total = sum(size for size, equity in zip(sizes, equities, strict=True) if equity > 0)
    for _ in range(min(amount, total)):
        rows = [row for row, equity in enumerate(equities) if equity > 0 and left[row] > 0]
        row = min(rows, key=lambda r: (-Fraction(left[r], equities[r]), ids[r]))
        left[row] -= 1
    return [size - rest for size, rest in zip(sizes, left, strict=True)]


def allocations(caps: Numbers, amount: int) -> Iterator[tuple[int, ...]]:
    """Every way to take exactly an amount from rows with caps."""
    if not caps:
        if amount == 0:
            yield ()
        return
    for units in range(min(caps[0], amount) + 1):
        for rest in allocations(caps[1:], amount - units):
            yield (units, *rest)


def largest(ratios: Iterator[Fraction]) -> Fraction:
    """The largest of some ratios; 0 where there is none."""
    return max(ratios, default=Fraction(0))


def factor_cut(
    exposures: Numbers, equities: Numbers, caps: Numbers, unit: Fraction, amount: int
) -> list[Fraction]:
    """One-factor draining without rounding: cut every book down to one level of its exposure.

    `unit` is what one lot takes off an exposure, negative where cutting raises it. The level is
    looked for among the points at which a cut begins or ends, and in between.
    """

    def cuts(at: Fraction) -> list[Fraction]:
        wanted = ((b - at * e) / unit for b, e in zip(exposures, equities, strict=True))
        return [
            min(max(cut, Fraction(0)), Fraction(cap)) for cut, cap in zip(wanted, caps, strict=True)
        ]

    rows = list(zip(exposures, equities, caps, strict=True))
    bends = {Fraction(b, e) for b, e, _ in rows} | {(b - unit * cap) / e for b, e, cap in rows}
    ordered = sorted(bends, reverse=unit > 0)
    for high, low in pairwise(ordered):
        start, end = sum(cuts(high), Fraction(0)), sum(cuts(low), Fraction(0))
        if end >= amount:
            part = (amount - start) / (end - start) if end > start else Fraction(0)
            return cuts(high + part * (low - high))
    return cuts(ordered[-1])
