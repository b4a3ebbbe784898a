"""Was the right amount taken: what rounds of deleveraging executed against what they needed.

A round t needs the budget B, executes H and faces the deficit D. Gross figures count over- and
undershoot each by itself; the signed sum lets one round pay for another. They are never mixed
under one name: the published 45.03 million of P2 is a signed sum, its gross overshoot 49.41.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from deleverage.errors import InputError
from deleverage.lab.metric_columns import Floats, columns, total

__all__ = [
    "asymmetric_loss",
    "class_regret",
    "dynamic_regret",
    "instance_bound",
    "overshoot",
    "path_length",
    "residual",
    "round_loss",
    "severity",
    "severity_losses",
    "signed_overshoot",
    "static_regret",
    "tracking_error",
    "undershoot",
]


def tracking_error(executed: ArrayLike, needed: ArrayLike) -> float:
    """Give `sum |H - B|` over rounds (P2, 3.7).

    Args:
        executed: (T,) money taken, H.
        needed: (T,) money that was needed, B.

    Returns:
        Money; overshoot plus undershoot.
    """
    return total(np.abs(_excess(executed, needed)))


def overshoot(executed: ArrayLike, needed: ArrayLike) -> float:
    """Give `sum (H - B)_+` over rounds, gross (P2, 3.7).

    Args:
        executed: (T,) money taken, H.
        needed: (T,) money that was needed, B.

    Returns:
        Money taken beyond need; rounds that took too little do not lower it.
    """
    return total(np.maximum(_excess(executed, needed), 0.0))


def undershoot(executed: ArrayLike, needed: ArrayLike) -> float:
    """Give `V_T = sum (B - H)_+` over rounds, gross (P2, 4.2).

    Args:
        executed: (T,) money taken, H.
        needed: (T,) money that was needed, B.

    Returns:
        Money that was needed and not taken.
    """
    return total(np.maximum(-_excess(executed, needed), 0.0))


def signed_overshoot(executed: ArrayLike, needed: ArrayLike) -> float:
    """Give `sum (H - B)` over rounds, signed: what the headline of P2 calls overshoot.

    Args:
        executed: (T,) money taken, H.
        needed: (T,) money that was needed, B.

    Returns:
        Money; overshoot less undershoot, so it may be negative.
    """
    return total(_excess(executed, needed))


def residual(deficit: ArrayLike, executed: ArrayLike) -> float:
    """Give `sum (D - H)_+` over rounds (P1, section 4).

    Args:
        deficit: (T,) money missing, D.
        executed: (T,) money taken, H.

    Returns:
        Money that stays uncovered.
    """
    return undershoot(executed, deficit)


def severity(budget: ArrayLike, deficit: ArrayLike) -> Floats:
    """Give `theta = min(1, budget / D)` of each round (P1, 2.4).

    Args:
        budget: (T,) money, H or B.
        deficit: (T,) money missing, D.

    Returns:
        (T,) float64 in 0..1; where nothing is missing 1 if something was taken, else 0.
    """
    taken, missing = columns({"budget": budget, "deficit": deficit})
    ratio = np.divide(taken, missing, out=np.ones_like(taken), where=missing > 0)
    capped: Floats = np.where((missing == 0) & (taken == 0), 0.0, np.minimum(ratio, 1.0))
    return capped


def severity_losses(deficit: ArrayLike, chosen: ArrayLike, needed: ArrayLike) -> Floats:
    """Give the loss `D |theta - theta*|` of each round (P2, proposition 1).

    Args:
        deficit: (T,) money missing, D.
        chosen: (T,) severity that was chosen, theta.
        needed: (T,) severity that was needed, theta*.

    Returns:
        (T,) float64 money.
    """
    missing, one, other = columns({"deficit": deficit, "chosen": chosen, "needed": needed})
    losses: Floats = missing * np.abs(one - other)
    return losses


def round_loss(
    executed: ArrayLike,
    needed: ArrayLike,
    unfairness: ArrayLike,
    *,
    tracking_weight: float = 1.0,
    fairness_weight: float = 1.0,
) -> Floats:
    """Give `w_track |H - B| + w_fair G` of each round (P2, equation 10).

    Args:
        executed: (T,) money taken, H.
        needed: (T,) money that was needed, B.
        unfairness: (T,) the fairness term G, such as the largest haircut, or B times it.
        tracking_weight: 0 or more.
        fairness_weight: 0 or more.

    Returns:
        (T,) float64.
    """
    (unfair,) = columns({"unfairness": unfairness})
    gap = np.abs(_excess(executed, needed))
    loss: Floats = tracking_weight * gap + fairness_weight * unfair
    return loss


def asymmetric_loss(
    executed: ArrayLike,
    needed: ArrayLike,
    unfairness: ArrayLike,
    *,
    under_weight: float = 1.0,
    over_weight: float = 1.0,
    fairness_weight: float = 1.0,
) -> Floats:
    """Give `w_under (B - H)_+ + w_over (H - B)_+ + w_fair G` of each round (P2, equation 9).

    Args:
        executed: (T,) money taken, H.
        needed: (T,) money that was needed, B.
        unfairness: (T,) the fairness term G.
        under_weight: 0 or more.
        over_weight: 0 or more.
        fairness_weight: 0 or more.

    Returns:
        (T,) float64.
    """
    (unfair,) = columns({"unfairness": unfairness})
    excess = _excess(executed, needed)
    loss: Floats = (
        under_weight * np.maximum(-excess, 0.0)
        + over_weight * np.maximum(excess, 0.0)
        + fairness_weight * unfair
    )
    return loss


def path_length(severities: ArrayLike) -> float:
    """Give `P = sum |theta_t - theta_(t-1)|` (P2, proposition 1).

    Args:
        severities: (T,) theta of each round, in order.

    Returns:
        0 for one round or none.
    """
    (theta,) = columns({"severities": severities})
    return total(np.abs(np.diff(theta)))


def instance_bound(deficit: ArrayLike, needed: ArrayLike) -> float:
    """Give `sqrt((1 + 2 P) sum D^2)`, the regret that gradient steps cannot exceed (P2, 5.3).

    Args:
        deficit: (T,) money missing, D.
        needed: (T,) severity that was needed, whose path length is P.

    Returns:
        Money.
    """
    missing, theta = columns({"deficit": deficit, "needed": needed})
    return float(np.sqrt((1 + 2 * path_length(theta)) * total(missing**2)))


def dynamic_regret(deficit: ArrayLike, chosen: ArrayLike, needed: ArrayLike) -> float:
    """Give the loss against the best severity of every round (P2, 3.7).

    Args:
        deficit: (T,) money missing, D.
        chosen: (T,) severity that was chosen.
        needed: (T,) severity that was needed; choosing it loses nothing.

    Returns:
        Money, 0 or more.
    """
    return total(severity_losses(deficit, chosen, needed))


def static_regret(deficit: ArrayLike, chosen: ArrayLike, needed: ArrayLike) -> float:
    """Give the loss against the one severity that is best for all rounds together (P2, 3.7).

    The best one is the median of what was needed, weighted by the deficits.

    Args:
        deficit: (T,) money missing, D.
        chosen: (T,) severity that was chosen.
        needed: (T,) severity that was needed.

    Returns:
        Money; negative where the policy followed the rounds better than any fixed severity.
    """
    missing, theta, target = columns({"deficit": deficit, "chosen": chosen, "needed": needed})
    if not len(missing):
        return 0.0
    order = np.argsort(target, kind="stable")
    weights = np.cumsum(missing[order])
    middle = min(int(np.searchsorted(weights, weights[-1] / 2)), len(order) - 1)
    best = np.full_like(target, target[order[middle]])
    own = missing * np.abs(theta - target)
    return total(np.concatenate([own, -missing * np.abs(best - target)]))


def class_regret(losses: Mapping[str, ArrayLike]) -> dict[str, float]:
    """Give each policy's loss over the best of a class of policies (P2, 3.7).

    Args:
        losses: (T,) loss of each round, by policy.

    Returns:
        Money by policy, in the order given; the best has 0.

    Raises:
        InputError: there is no policy, or the rounds differ in number.
    """
    if not losses:
        raise InputError("losses: expected at least one policy, got none")
    sums = dict(zip(losses, map(total, columns(losses, negative=tuple(losses))), strict=True))
    least = min(sums.values())
    return {name: own - least for name, own in sums.items()}


def _excess(executed: ArrayLike, needed: ArrayLike) -> Floats:
    """H - B of each round."""
    taken, wanted = columns({"executed": executed, "needed": needed})
    excess: Floats = taken - wanted
    return excess
