"""The measures by their definitions, in exact fractions: slow, obvious, apart from the lab."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, pairwise

__all__ = [
    "best_static_loss",
    "concentration",
    "gini",
    "kendall_counts",
    "largest_haircut",
    "mean_tau",
    "over",
    "path_length",
    "severity",
    "square_bound",
    "survivor_ratios",
    "violations",
    "weighted_gini",
]

Numbers = Sequence[Fraction]


def over(one: Numbers, other: Numbers) -> Fraction:
    """The sum of what one has beyond the other, gross."""
    return sum((a - b for a, b in zip(one, other, strict=True) if a > b), Fraction(0))


def severity(budget: Fraction, deficit: Fraction) -> Fraction:
    """The share of a deficit that a budget covers, at most all of it."""
    if deficit == 0:
        return Fraction(int(budget > 0))
    return min(Fraction(1), budget / deficit)


def path_length(values: Numbers) -> Fraction:
    """The way that a series goes up and down."""
    return sum((abs(b - a) for a, b in pairwise(values)), Fraction(0))


def square_bound(deficits: Numbers, targets: Numbers) -> Fraction:
    """The square of the instance bound."""
    return (1 + 2 * path_length(targets)) * sum((d * d for d in deficits), Fraction(0))


def best_static_loss(deficits: Numbers, targets: Numbers) -> Fraction:
    """The least loss of one severity for all rounds: it is one of the targets."""
    losses = [
        sum((d * abs(theta - t) for d, t in zip(deficits, targets, strict=True)), Fraction(0))
        for theta in targets
    ]
    return min(losses, default=Fraction(0))


def gini(values: Numbers) -> Fraction:
    """Half the mean absolute difference of all pairs, over the mean."""
    whole = sum(values, Fraction(0))
    if whole == 0:
        return Fraction(0)
    differences = sum((abs(a - b) for a in values for b in values), Fraction(0))
    return differences / (2 * len(values) * whole)


def weighted_gini(cuts: Numbers, held: Numbers) -> Fraction:
    """Half the mean absolute difference of all pairs of parts, by weight, over the mean part."""
    pairs = [(x / w, w) for x, w in zip(cuts, held, strict=True) if w > 0]
    whole = sum((part * w for part, w in pairs), Fraction(0))
    if whole == 0:
        return Fraction(0)
    weight = sum((w for _, w in pairs), Fraction(0))
    gaps = (w * v * abs(a - b) for a, w in pairs for b, v in pairs)
    return sum(gaps, Fraction(0)) / (2 * weight * whole)


def concentration(values: Numbers) -> Fraction:
    """The chance that two draws by weight hit the same entry."""
    whole = sum(values, Fraction(0))
    return sum(((v / whole) ** 2 for v in values), Fraction(0)) if whole else Fraction(0)


def largest_haircut(cuts: Numbers, endowments: Numbers) -> Fraction:
    """The largest share of an endowment that is taken; endowments are above zero."""
    return max((x / w for x, w in zip(cuts, endowments, strict=True)), default=Fraction(0))


def kendall_counts(first: Numbers, second: Numbers) -> tuple[int, int, int, int]:
    """Concordant, discordant, tied in the first, tied in the second: every pair looked at."""
    concordant = discordant = tied_first = tied_second = 0
    for i, j in combinations(range(len(first)), 2):
        one, other = first[i] - first[j], second[i] - second[j]
        concordant += one * other > 0
        discordant += one * other < 0
        tied_first += one == 0
        tied_second += other == 0
    return concordant, discordant, tied_first, tied_second


def violations(endowments: Numbers, left: Numbers) -> Fraction:
    """The share of neighbours by endowment, ties by what is left, that change order."""
    ordered = sorted(zip(endowments, left, strict=True))
    pairs = list(pairwise(ordered))
    wrong = sum(a[0] < b[0] and a[1] > b[1] for a, b in pairs)
    return Fraction(wrong, len(pairs) or 1)


def survivor_ratios(
    largest: tuple[Fraction, Fraction], deficit: Fraction, executed: Fraction
) -> dict[str, tuple[Fraction | None, Fraction | None]]:
    """PTSR and PMR by the text, whose base is H, and by the code, whose base is D - H.

    The largest survivor is set over the base, and over the largest loss in the part that the base
    is of the deficit.
    """
    left, loss = largest
    found = {}
    for name, base in (("text", executed), ("code", deficit - executed)):
        over = base * loss / deficit if deficit else Fraction(0)
        found[name] = (left / base if base > 0 else None, left / over if over > 0 else None)
    return found


def mean_tau(rounds: Sequence[Numbers]) -> Fraction | None:
    """The mean of Kendall's tau over neighbours, where no round has ties."""
    taus = []
    for one, other in pairwise(rounds):
        pairs = list(combinations(range(len(one)), 2))
        signs = ((one[a] < one[b]) is (other[a] < other[b]) for a, b in pairs)
        taus.append(Fraction(sum(1 if same else -1 for same in signs), len(pairs)))
    return sum(taus, Fraction(0)) / len(taus) if taus else None
