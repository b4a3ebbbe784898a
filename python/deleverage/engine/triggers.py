"""Reading triggers between liquidations: what can be told from the pool alone."""

from collections.abc import Iterable
from dataclasses import replace

from deleverage.backstop.lines import Facts
from deleverage.backstop.trigger import Status, Trigger
from deleverage.engine.state import State
from deleverage.ledger import Value
from deleverage.model.terms import ConditionKind

__all__ = ["reads_pool_alone", "shown", "watch"]

_OF_THE_POOL = frozenset(
    {
        ConditionKind.FUND_LEVEL,
        ConditionKind.FUND_DRAWDOWN,
        ConditionKind.FUND_BELOW_AVERAGE,
        ConditionKind.FUND_BELOW_THRESHOLD,
        ConditionKind.FUND_RECOVERY,
        ConditionKind.FUND_LOSS,
        ConditionKind.FUND_FLAT,
        ConditionKind.SYMBOL_DRAWDOWN,
        ConditionKind.LOCKOUT,
    }
)


def reads_pool_alone(trigger: Trigger) -> bool:
    """Tell whether every line can be read without a liquidation."""
    lines = (line for arm in trigger.arms for line in (*arm.starts, *arm.stops))
    return all(line.kind in _OF_THE_POOL for line in lines)


def watch(state: State, pools: Iterable[str]) -> tuple[State, dict[str, Value]]:
    """Read the triggers of every market behind which a pool moved.

    Args:
        state: after the pools moved.
        pools: their names.

    Returns:
        The state, and what changed: state and reason by market.
    """
    names = set(pools)
    statuses, changed = dict(state.statuses), {}
    for market, name in state.backing.items():
        if name not in names:
            continue
        trigger = state.triggers[market]
        if not reads_pool_alone(trigger):
            continue
        facts = Facts(at=state.at, pool=state.pools[name], market=market)
        after = trigger.step(statuses[market], facts)
        if after.state is not statuses[market].state:
            changed[market] = shown(after)
        statuses[market] = after
    return replace(state, statuses=statuses), changed


def shown(status: Status) -> Value:
    """Give a status as a result has it: its state and its reason with the numbers."""
    return {"state": status.state.value, "reason": status.reason}
