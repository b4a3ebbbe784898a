"""Reading triggers between liquidations: what can be told from the pool alone."""

from collections.abc import Collection
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
        ConditionKind.GROUP_LEVEL,
        ConditionKind.SYMBOL_DRAWDOWN,
        ConditionKind.LOCKOUT,
    }
)


def reads_pool_alone(trigger: Trigger) -> bool:
    """Tell whether every line can be read without a liquidation."""
    lines = (line for arm in trigger.arms for line in (*arm.starts, *arm.stops))
    return all(line.kind in _OF_THE_POOL for line in lines)


def watch(state: State, pools: Collection[str]) -> tuple[State, dict[str, Value]]:
    """Read the triggers of every market behind which a pool moved, or one of its group.

    Args:
        state: after the pools moved.
        pools: their names.

    Returns:
        The state, and what changed: state and reason by market.
    """
    groups = {state.pools[name].group for name in pools} - {""}
    names = {*pools, *(name for name, pool in state.pools.items() if pool.group in groups)}
    statuses, changed = dict(state.statuses), {}
    for market, name in state.backing.items():
        if name not in names:
            continue
        trigger = state.triggers[market]
        if not reads_pool_alone(trigger):
            continue
        pool = state.pools[name].advance(state.at)
        facts = Facts(at=state.at, pool=pool, market=market, group=state.group_of(pool))
        after = trigger.step(statuses[market], facts)
        if after.state is not statuses[market].state:
            changed[market] = shown(after)
        statuses[market] = after
    return replace(state, statuses=statuses), changed


def shown(status: Status) -> Value:
    """Give a status as a result has it: its state and its reason with the numbers."""
    return {"state": status.state.value, "reason": status.reason}
