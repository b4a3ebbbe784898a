"""The words in which an edition is printed: one for each rule that a preset may name."""

from collections.abc import Mapping
from types import MappingProxyType

from deleverage.model.rules import Basis, Factor, Scope, Tie
from deleverage.model.terms import Completion, ConditionKind, Convention, PriceKind, Sharing

__all__ = [
    "BASES",
    "COMPLETIONS",
    "CONVENTIONS",
    "EQUITIES",
    "FACTORS",
    "GROWING_BASES",
    "GROWING_FACTORS",
    "PRICES",
    "SHARINGS",
    "START_WORDS",
    "STOP_WORDS",
    "TIES",
    "UNRANKED",
]

BASES: Mapping[Basis, str] = MappingProxyType(
    {
        Basis.ENTRY_VALUE: "pnl / entry value",
        Basis.WALLET: "max(0, pnl) / max({floor}, wallet balance)",
        Basis.INITIAL_MARGIN: "pnl / initial margin",
        Basis.EQUITY: "pnl / equity",
        Basis.ABSOLUTE: "pnl",
        Basis.PRICE_RATIO: "(long: mark / entry, short: entry / mark)",
        Basis.PRICE_RATIO_LITERAL: "mark / entry",
        Basis.UNIT: "1",
        Basis.MARK_VALUE: "pnl / mark value",
    }
)
FACTORS: Mapping[Factor, str] = MappingProxyType(
    {
        Factor.NONE: "",
        Factor.BANKRUPTCY_DISTANCE: "mark value / (margin + pnl)",
        Factor.NOTIONAL_OVER_EQUITY: "mark value / equity",
        Factor.MAINTENANCE_OVER_EQUITY: "maintenance margin / equity",
        Factor.NOTIONAL_OVER_FLOORED_EQUITY: "mark value / max(equity, maintenance margin)",
        Factor.LEVERAGE_SETTING: "leverage setting",
        Factor.OPEN_VALUE_OVER_MARGIN: "open value / margin",
    }
)
EQUITIES: Mapping[Scope, str] = MappingProxyType(
    {
        Scope.POSITION: "margin + pnl of the position",
        Scope.ACCOUNT: "the account's equity, for every position",
        Scope.MARGIN_MODE: "isolated: margin + pnl; cross and portfolio: the account's equity",
    }
)
TIES: Mapping[Tie, str] = MappingProxyType(
    {
        Tie.SIZE: "larger size",
        Tie.PROFIT: "larger profit",
        Tie.BALANCE: "lower balance",
        Tie.NEWEST: "newer account",
        Tie.OLDEST: "older account",
    }
)
# With the account's equity fixed, these grow with the position's size.
GROWING_BASES = (Basis.WALLET, Basis.EQUITY, Basis.ABSOLUTE)
GROWING_FACTORS = (
    Factor.NOTIONAL_OVER_EQUITY,
    Factor.MAINTENANCE_OVER_EQUITY,
    Factor.NOTIONAL_OVER_FLOORED_EQUITY,
)

START_WORDS: Mapping[ConditionKind, str] = MappingProxyType(
    {
        ConditionKind.FUND_LEVEL: "fund balance at or below {level}",
        ConditionKind.FUND_DRAWDOWN: "fund down {ratio} from its {window_hours} h peak",
        ConditionKind.FUND_BELOW_AVERAGE: (
            "fund below its {window_hours} h average less the larger of {ratio} of it and {amount}"
        ),
        ConditionKind.FUND_BELOW_THRESHOLD: "fund below a preset line {threshold}",
        ConditionKind.FUND_RECOVERY: "fund back to {ratio} of the line {threshold}",
        ConditionKind.FUND_SHORT: "fund cannot cover the loss",
        ConditionKind.FUND_REJECTS: "fund refuses the position, limit {limit}",
        ConditionKind.FUND_NOTIONAL_CAP: "fund's net notional would pass {ratio} of its balance",
        ConditionKind.FUND_LOSS: "fund lost {ratio} in {window_hours} h and has left the market",
        ConditionKind.FUND_AND_POSITION: "fund balance + position margin + pnl at or below {level}",
        ConditionKind.FUND_FLAT: "fund equity not negative and no position left in it",
        ConditionKind.SYMBOL_DRAWDOWN: (
            "the pool's pnl on the symbol is {ratio} of the pool's {window_hours} h peak below its "
            "own peak, pool balance above {balance}"
        ),
        ConditionKind.UNFILLED_AT_BANKRUPTCY: (
            "the liquidation is not filled when the mark reaches its bankruptcy price"
        ),
        ConditionKind.UNFILLED_REMAINDER: "the book leaves a remainder",
        ConditionKind.LIQUIDATION_BACKLOG: (
            "unmatched liquidation orders beyond {quantity} for {minutes} minutes"
        ),
        ConditionKind.EQUITY_NEGATIVE: "equity of the account or isolated position below zero",
        ConditionKind.VAULT_LOSS: "the liquidator vault's loss passes {loss}",
        ConditionKind.BACKSTOP_FULL: "no backstop capacity is left",
        ConditionKind.THIN_BOOK: "the order book is too thin",
        ConditionKind.LOCKOUT: "{hours} h have passed",
        ConditionKind.OFFSET: "the bankrupt quantity is offset, or no candidate is left",
        ConditionKind.MANUAL: "an emergency decision of the venue",
        ConditionKind.GROUP_LEVEL: "the pools of the group together at or below {level}",
        ConditionKind.POOL_FACTOR: "the traders' profit over the pool's value beyond {ratio}",
        ConditionKind.UNPUBLISHED: "unpublished",
    }
)
STOP_WORDS: Mapping[ConditionKind, str] = MappingProxyType(
    {
        **START_WORDS,
        ConditionKind.FUND_LEVEL: "fund balance back above {level}",
        ConditionKind.GROUP_LEVEL: "the pools of the group together back above {level}",
        ConditionKind.POOL_FACTOR: "the traders' profit back to {ratio} of the pool's value",
        ConditionKind.FUND_DRAWDOWN: "fund within {ratio} of its {window_hours} h peak again",
        ConditionKind.SYMBOL_DRAWDOWN: (
            "the symbol's drawdown is back to {ratio} of the pool's {window_hours} h peak"
        ),
    }
)
PRICES: Mapping[PriceKind, str] = MappingProxyType(
    {
        PriceKind.BANKRUPTCY: "bankruptcy price of the liquidated position",
        PriceKind.POOL_BANKRUPTCY: (
            "average entry -/+ the pool's maximum loss / size taken over (long / short)"
        ),
        PriceKind.BANKRUPTCY_UNLESS_FAR: (
            "bankruptcy price; mark where it is more than {deviation} away from mark"
        ),
        PriceKind.MARK: "mark price",
        PriceKind.MARK_UNTIL_DEPLETED: (
            "mark price; bankruptcy price once the fund is nearly empty ({depleted_ratio} of peak)"
        ),
        PriceKind.PREVIOUS_MARK: "previous mark price",
        PriceKind.ORACLE_CAPPED_AT_BANKRUPTCY: "oracle mark, no worse than the bankruptcy price",
        PriceKind.COST: "cost price of the liquidated position",
        PriceKind.NONE: "no position is closed",
    }
)
SHARINGS: Mapping[Sharing, str] = MappingProxyType(
    {
        Sharing.QUEUE: "along the queue, the last position in part",
        Sharing.SEEDED_RING: "the other side of the market, in a ring from a drawn start",
        Sharing.WINNERS_HAIRCUT: "those who are owed a profit, in proportion to it",
        Sharing.HOLDERS_CHARGE: "every holder of the market, long and short, per unit held",
        Sharing.WITHDRAWAL_HAIRCUT: "those who withdraw meanwhile, in proportion to what they take",
        Sharing.POOL_SOLVENCY: "positions that a keeper names, while the pool owes too much",
        Sharing.INDEX_SCALING: "the whole other side at once, by an index",
    }
)
UNRANKED = "nobody is ranked"
COMPLETIONS: Mapping[Completion, str] = MappingProxyType(
    {
        Completion.BEST_EFFORT: "best effort: what cannot be offset is reported",
        Completion.ALL_OR_NOTHING: "all or nothing",
        Completion.TO_COMPLETION: "runs until nothing is left to offset",
    }
)
CONVENTIONS: Mapping[Convention, str] = MappingProxyType(
    {
        Convention.OWN_MARGIN: "each position's own margin",
        Convention.BY_MAINTENANCE: "account equity shared by maintenance margin",
        Convention.WHOLE_ACCOUNT: "the whole account's equity on one position",
        Convention.CASH_BY_NOTIONAL: "cash margin shared by notional, from entry",
        Convention.UNPUBLISHED: "unpublished for cross margin",
    }
)
