"""Who is next, and who is cut: rank and plan over frames.

The queue of an event is made of the entries on the other side of the bankrupt position's market.
Not in it: the bankrupt account, accounts that the request excludes, positions in liquidation, and
entries that the edition cannot score.
"""

from deleverage.model.snapshot import Snapshot
from deleverage.planning.plan import Cut, Plan, PlanReason, plan
from deleverage.planning.ranked import rank

__all__ = ["Cut", "Plan", "PlanReason", "Snapshot", "plan", "prepare", "rank"]

prepare = Snapshot.prepare
