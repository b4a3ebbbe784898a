"""Rounds of haircuts among traders who may leave: what a policy does to who is still there.

The model of Chitra, "Autodeleveraging: Impossibilities and Optimization" (arXiv 2512.01112, F.4):
each round a deficit is shared out over those who are present; whoever is left with less than he
gets elsewhere leaves. A policy that charges safe traders for the risk of others drives them out
first, and the next deficit falls on fewer and riskier ones: the death spiral.

The paper gives everybody his endowment back in each round. Then its risk-weighted second round
takes 25.7 from a trader who kept 5.7 of the first. With `is_renewed=False` what was taken is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from deleverage.errors import InputError, InvariantError

if TYPE_CHECKING:
    from deleverage.policy import Policy, Profits

__all__ = ["ROUNDS", "Trader", "play_rounds"]

ROUNDS = {
    "round": pl.Int64(),
    "trader": pl.String(),
    "endowment": pl.Int64(),
    "paid": pl.Int64(),
    "utility": pl.Int64(),
    "leaves": pl.Boolean(),
    "deficit": pl.Int64(),
    "uncovered": pl.Int64(),
}
"""One row a round and trader who is present: endowment before it, what he paid, utility of the round
less what he paid, whether he leaves after it; deficit and what nobody covered are the round's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trader:
    """Somebody who may be cut and may leave; money units.

    Attributes:
        name: unique.
        endowment: what may be taken of him, 0 or more.
        leverage: ppm, 0 or more.
        utility: what a round is worth to him.
    """

    name: str
    endowment: int
    leverage: int
    utility: int


def play_rounds(
    traders: Sequence[Trader],
    deficits: Sequence[int],
    *,
    policy: "Policy[Profits]",
    outside: int,
    is_renewed: bool = True,
) -> pl.DataFrame:
    """Play rounds.

    Args:
        traders: at the start.
        deficits: one a round, 0 or more.
        policy: shares a deficit out; it is given endowments (profit and equity), leverage, the
            places of a queue by endowment, and the traders' numbers as tie keys.
        outside: utility of a round elsewhere; below it a trader leaves.
        is_renewed: whether each round begins with the endowments of the first.

    Returns:
        See `ROUNDS`.

    Raises:
        InputError: a figure is out of range, or two traders have one name.
        InvariantError: the policy's shares and rest do not make the deficit.
    """
    if len({trader.name for trader in traders}) < len(traders):
        raise InputError("traders: expected each name once")
    if min([*deficits, *(min(one.endowment, one.leverage) for one in traders)], default=0) < 0:
        raise InputError("deficits, endowments, leverages: expected 0 or more, got one below")
    kept = {trader.name: trader.endowment for trader in traders}
    present = list(traders)
    rows: list[dict[str, object]] = []
    for number, deficit in enumerate(deficits, start=1):
        held = [one.endowment if is_renewed else kept[one.name] for one in present]
        paid = _shares(present, held, deficit, policy)
        uncovered = deficit - sum(paid)
        staying = []
        for one, before, share in zip(present, held, paid, strict=True):
            kept[one.name] = before - share
            utility = one.utility - share
            if utility >= outside:
                staying.append(one)
            rows.append(
                {
                    "round": number,
                    "trader": one.name,
                    "endowment": before,
                    "paid": share,
                    "utility": utility,
                    "leaves": utility < outside,
                    "deficit": deficit,
                    "uncovered": uncovered,
                }
            )
        present = staying
    return pl.DataFrame(rows, schema=ROUNDS)


def _shares(
    present: Sequence[Trader], held: Sequence[int], deficit: int, policy: "Policy[Profits]"
) -> list[int]:
    """Ask the policy, and hold it to its word."""
    from deleverage.policy import Profits  # noqa: PLC0415 - a rule's room, when it is asked

    if not present:
        return []
    endowment = np.array(held, np.int64)
    order = np.argsort(-endowment, kind="stable")
    rank = np.empty(len(held), np.int64)
    rank[order] = np.arange(1, len(held) + 1)
    candidates = Profits(
        profit=endowment,
        ids=np.arange(len(held), dtype=np.uint64),
        rank=rank,
        equity=endowment,
        leverage=np.array([one.leverage for one in present], np.int64),
    )
    found = policy.allocate(candidates, deficit)
    paid: list[int] = found.taken.tolist()
    is_within = all(0 <= share <= most for share, most in zip(paid, held, strict=True))
    if sum(paid) + found.unfilled != deficit or not is_within:
        raise InvariantError(f"policy: expected shares of {deficit}, got {paid}, {found.unfilled}")
    return paid
