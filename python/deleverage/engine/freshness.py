"""Whether a plan still rests on what it was made of.

A plan may wait while other markets move. What it stands on must not have changed since: the mark
it pins, the pool, the queue it was cut from, the positions and accounts it touches.
"""

from collections.abc import Sequence

import numpy as np

from deleverage.engine.body import Body
from deleverage.engine.state import Open, State, opposite, queue_name
from deleverage.errors import StateError

__all__ = ["MOST_COMMANDS", "require_fresh"]

MOST_COMMANDS = 64
"""How many commands may come between a plan and its commit."""


def require_fresh(state: State, open_: Open, body: Body, places: Sequence[int]) -> None:
    """Refuse a plan that is stale.

    Args:
        state: at the commit.
        open_: the liquidation.
        body: of the commit.
        places: of the positions that the plan cuts.

    Raises:
        StateError: names what moved since the plan was made.
    """
    since = body.at_least("sequence", least=0)
    if body.table("decision").get("edition") != state.edition:
        raise StateError("plan: expected one by this engine's edition, got another; plan again")
    behind = state.sequence - 1 - since
    if not 0 <= behind <= MOST_COMMANDS:
        raise StateError(
            f"plan: expected one at most {MOST_COMMANDS} commands old, got one made at command "
            f"{since} of {state.sequence - 1}; plan again"
        )
    market, pool = open_.liquidation.market, state.backing.get(open_.liquidation.market, "")
    side = opposite("long" if open_.liquidation.lots > 0 else "short")
    queue, stamps = queue_name(market, side), state.stamps
    rows = np.array(places, np.int64)
    is_known = not len(rows) or int(rows.max()) < len(state.book.roster)
    moved = {
        f"the mark of {market}": stamps.marks.get(market, 0),
        f"pool {pool}": stamps.pools.get(pool, 0),
        f"the queue {queue}": stamps.queues.get(queue, 0),
        f"liquidation {open_.liquidation.id}": open_.touched,
        "a position or an account that it cuts": state.book.stamp(rows) if is_known else since + 1,
    }
    for what, at in moved.items():
        if at > since:
            raise StateError(
                f"plan: expected what it rests on as it was at command {since}, but {what} "
                f"changed at command {at}; plan again"
            )
