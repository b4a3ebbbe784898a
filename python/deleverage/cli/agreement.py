"""Our plan of an imported event: does it keep its promises, and whom does it cut too.

Promises: the fills and what is unfilled add up to the request; nobody is cut by more than he
holds; at most one position is closed in part; nothing but the other side of the market moves.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal

import polars as pl

from deleverage import planning
from deleverage.interop.hyperliquid import Event, EventFrames
from deleverage.model.snapshot import Snapshot
from deleverage.venue import Venue

__all__ = ["EventPlan", "plan_event_frames"]

_OPPOSITE = {"long": "short", "short": "long"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPlan:
    """Our plan for one bankrupt side of one market, beside the published fills.

    Attributes:
        market: the coin.
        bankrupt_side: `long` or `short`.
        request: bankrupt contracts.
        closed: contracts that the plan closes.
        unfilled: contracts that the plan leaves.
        partials: positions closed in part.
        is_conserved: every position keeps what is not closed, and closed plus unfilled is the
            request.
        accounts: accounts that the plan cuts.
        published_accounts: accounts that the published fills cut.
        shared_accounts: accounts that both cut.
        same_size: accounts that both cut by the same size.
    """

    market: str
    bankrupt_side: str
    request: Decimal
    closed: Decimal
    unfilled: Decimal
    partials: int
    is_conserved: bool
    accounts: int
    published_accounts: int
    shared_accounts: int
    same_size: int

    @property
    def is_met(self) -> bool:
        """Whether the plan closes just what was asked."""
        return self.closed == self.request

    @property
    def is_sound(self) -> bool:
        """Whether every promise of a plan is kept; a shortage breaks none."""
        return self.is_conserved and self.partials <= 1

    def record(self) -> dict[str, object]:
        """The plan for JSON, value by name."""
        return asdict(self) | {"is_met": self.is_met, "is_sound": self.is_sound}


def plan_event_frames(event: Event, frames: EventFrames, venue: Venue) -> tuple[EventPlan, ...]:
    """Plan every bankrupt side of an event on the positions that the event lists.

    Args:
        event: the published fills.
        frames: the same event as frames.
        venue: the edition whose rule orders the queue.

    Returns:
        One plan a bankrupt side.
    """
    snapshot = Snapshot.prepare(
        frames.positions,
        marks=frames.marks,
        venue=venue,
        accounts=frames.accounts,
        markets=frames.markets,
    )
    plans = []
    for market, side, qty in frames.bankrupt.iter_rows():
        plan = planning.plan(snapshot, venue=venue, market=market, bankrupt_side=side, qty=qty)
        held = frames.positions.filter(
            pl.col("market") == market, pl.col("side") == _OPPOSITE[side]
        )
        plans.append(_compare(event, held, plan, market=market, bankrupt_side=side, request=qty))
    return tuple(plans)


def _compare(
    event: Event,
    held: pl.DataFrame,
    plan: planning.Plan,
    *,
    market: str,
    bankrupt_side: str,
    request: Decimal,
) -> EventPlan:
    """One plan against what is held and against what was published."""
    published: dict[str, Decimal] = defaultdict(Decimal)
    for fill in event.fills:
        if fill.market == market and fill.side != bankrupt_side:
            published[fill.account] += fill.size
    closed = _by_id(plan.fills, "qty_closed")
    left = _by_id(plan.fills, "qty_left")
    total = sum(closed.values(), Decimal(0))
    ours = dict(plan.fills.select("account", "qty_closed").iter_rows())
    shared = ours.keys() & published.keys()
    return EventPlan(
        market=market,
        bankrupt_side=bankrupt_side,
        request=request,
        closed=total,
        unfilled=plan.unfilled,
        partials=sum(rest != 0 for rest in left.values()),
        is_conserved=total + plan.unfilled == request
        and _is_kept(_by_id(held, "qty"), closed, left),
        accounts=len(ours),
        published_accounts=len(published),
        shared_accounts=len(shared),
        same_size=sum(ours[account] == published[account] for account in shared),
    )


def _by_id(frame: pl.DataFrame, column: str) -> dict[str, Decimal]:
    """A column by position id."""
    return dict(frame.select("position_id", column).iter_rows())


def _is_kept(
    held: Mapping[str, Decimal], closed: Mapping[str, Decimal], left: Mapping[str, Decimal]
) -> bool:
    """Whether each cut position is one that is held, and only gets smaller."""
    return all(
        name in held and 0 < cut <= held[name] and cut + left[name] == held[name]
        for name, cut in closed.items()
    )
