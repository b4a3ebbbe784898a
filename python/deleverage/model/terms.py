"""The words an edition may use for its parts, and the numbers each rule takes.

Values are what stands in the TOML files. `unpublished` means that the venue's text is silent.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

__all__ = [
    "CONDITION_NUMBERS",
    "PRICE_NUMBERS",
    "Bound",
    "Cancelled",
    "Clamp",
    "Combine",
    "Completion",
    "ConditionKind",
    "Convention",
    "CutScope",
    "Effect",
    "Evidence",
    "Fee",
    "Hedged",
    "PartFill",
    "Payer",
    "Payment",
    "PoolRole",
    "PriceKind",
    "Remainder",
    "Rerank",
    "Rounding",
    "Sharing",
    "Standing",
    "StepKind",
    "Surplus",
]


class Evidence(StrEnum):
    """How much of a part its source says.

    `published` all of it; `partial` some of it, or the source is silent and the part says
    `unpublished`; `assumed` the value is our reading.
    """

    PUBLISHED = "published"
    PARTIAL = "partial"
    ASSUMED = "assumed"


class Bound(StrEnum):
    """Whether a number that is reached exactly counts."""

    INCLUSIVE = "inclusive"
    STRICT = "strict"
    UNPUBLISHED = "unpublished"


class Combine(StrEnum):
    """How several conditions make one answer."""

    ANY = "any"
    ALL = "all"


class Completion(StrEnum):
    """What happens where the queue is too short for the bankrupt quantity."""

    BEST_EFFORT = "best_effort"
    ALL_OR_NOTHING = "all_or_nothing"
    TO_COMPLETION = "to_completion"


class Sharing(StrEnum):
    """Who bears a bankruptcy, and by which rule it is shared; only a `queue` ranks anybody.

    `seeded_ring` the other side from a drawn start; `winners_haircut` who is owed, by profit;
    `holders_charge` every holder, per unit held; `withdrawal_haircut` who withdraws meanwhile;
    `pool_solvency` whom a keeper names, as long as a pool owes too much; `index_scaling` a whole
    side, by one number.
    """

    QUEUE = "queue"
    SEEDED_RING = "seeded_ring"
    WINNERS_HAIRCUT = "winners_haircut"
    HOLDERS_CHARGE = "holders_charge"
    WITHDRAWAL_HAIRCUT = "withdrawal_haircut"
    POOL_SOLVENCY = "pool_solvency"
    INDEX_SCALING = "index_scaling"


class CutScope(StrEnum):
    """Which entries one event may reach."""

    MARKET = "market"


class Rerank(StrEnum):
    """When a position that was cut in part is scored again.

    Between events is all that any venue says (BitMEX and Gate, allocation examples): inside one
    event everybody but the last is cut whole, so that nobody is left to be scored again.
    """

    BETWEEN_EVENTS = "between_events"


class Hedged(StrEnum):
    """What happens to the part of a position that is offset inside its account."""

    CANDIDATE = "candidate"
    BEHIND = "behind"
    EXEMPT = "exempt"


class Standing(StrEnum):
    """What happens to a position that the venue's own fund or vault holds on the other side.

    `candidate`: it stands in the queue like any other; `exempt`: it is never cut; `netted`: it is
    closed against the liquidated position before anybody is cut.
    """

    CANDIDATE = "candidate"
    EXEMPT = "exempt"
    NETTED = "netted"
    UNPUBLISHED = "unpublished"


class ConditionKind(StrEnum):
    """What a start or stop condition measures.

    Start conditions hold when the measure is at or beyond the number, stop conditions when it is
    back on the safe side of it. Ratios are positive fractions: a drawdown of 30 % is 0.30.
    """

    FUND_LEVEL = "fund_level"
    FUND_DRAWDOWN = "fund_drawdown"
    FUND_BELOW_AVERAGE = "fund_below_average"
    FUND_BELOW_THRESHOLD = "fund_below_threshold"
    FUND_RECOVERY = "fund_recovery"
    FUND_SHORT = "fund_short"
    FUND_REJECTS = "fund_rejects"
    FUND_NOTIONAL_CAP = "fund_notional_cap"
    FUND_LOSS = "fund_loss"
    FUND_AND_POSITION = "fund_and_position"
    FUND_FLAT = "fund_flat"
    SYMBOL_DRAWDOWN = "symbol_drawdown"
    UNFILLED_AT_BANKRUPTCY = "unfilled_at_bankruptcy"
    UNFILLED_REMAINDER = "unfilled_remainder"
    LIQUIDATION_BACKLOG = "liquidation_backlog"
    EQUITY_NEGATIVE = "equity_negative"
    VAULT_LOSS = "vault_loss"
    BACKSTOP_FULL = "backstop_full"
    THIN_BOOK = "thin_book"
    LOCKOUT = "lockout"
    OFFSET = "offset"
    MANUAL = "manual"
    GROUP_LEVEL = "group_level"
    POOL_FACTOR = "pool_factor"
    UNPUBLISHED = "unpublished"


class PriceKind(StrEnum):
    """The price at which both sides of a deleveraging are closed; `none`: nobody is closed."""

    BANKRUPTCY = "bankruptcy"
    POOL_BANKRUPTCY = "pool_bankruptcy"
    BANKRUPTCY_UNLESS_FAR = "bankruptcy_unless_far"
    MARK = "mark"
    MARK_UNTIL_DEPLETED = "mark_until_depleted"
    PREVIOUS_MARK = "previous_mark"
    ORACLE_CAPPED_AT_BANKRUPTCY = "oracle_capped_at_bankruptcy"
    COST = "cost"
    NONE = "none"


class Convention(StrEnum):
    """How a cross account's equity becomes the bankruptcy price of one position."""

    OWN_MARGIN = "own_margin"
    BY_MAINTENANCE = "by_maintenance"
    WHOLE_ACCOUNT = "whole_account"
    CASH_BY_NOTIONAL = "cash_by_notional"
    UNPUBLISHED = "unpublished"


class Payer(StrEnum):
    """Who pays what lies between the settlement price and the bankruptcy price."""

    NOBODY = "nobody"
    FUND = "fund"
    UNPUBLISHED = "unpublished"


class StepKind(StrEnum):
    """The steps of a liquidation that an edition puts in order."""

    ORDERS = "orders"
    FEE = "fee"
    MARKET = "market"
    POOL = "pool"
    DELEVERAGING = "deleveraging"
    REMAINDER = "remainder"


class PoolRole(StrEnum):
    """What the insurance pool does for a liquidation.

    `takes_over`: it takes the position at its bankruptcy price, and pays what a market fill lacks;
    `pays`: it only pays what a fill lacks; `nothing`: the queue comes without it.
    """

    TAKES_OVER = "takes_over"
    PAYS = "pays"
    NOTHING = "nothing"
    UNPUBLISHED = "unpublished"


class Payment(StrEnum):
    """Whether a pool pays as much as it has, or a fill that it cannot pay whole does not count."""

    IN_PART = "in_part"
    WHOLE = "whole"


class Surplus(StrEnum):
    """Who gets what a market fill brings above bankruptcy."""

    FUND = "fund"
    ACCOUNT = "account"
    UNPUBLISHED = "unpublished"


class PartFill(StrEnum):
    """Whether a liquidation that the market filled in part is deleveraged at once or waits."""

    PROCEEDS = "proceeds"
    WAITS = "waits"


class Remainder(StrEnum):
    """What becomes of what nobody offset and nobody paid.

    `stays`: on the liquidated account; `gated`: there too, and withdrawals wait; `pool`: the pool
    takes it, below zero if it must; `socialised`: the pool as far as it can, then everybody.
    """

    STAYS = "stays"
    GATED = "gated"
    POOL = "pool"
    SOCIALISED = "socialised"
    UNPUBLISHED = "unpublished"


class Clamp(StrEnum):
    """What happens to a bankruptcy value below zero.

    `allowed`: it stands, and the account that is closed pays (dydxprotocol/v4-chain@84d4664,
    liquidations.go). `zero`: it becomes zero (idexio/idex-contracts-ikon@ec734e2;
    code-423n4/2025-08-gte-perps@f43e1ee, LiquidatorPanel.sol). `refused`: nothing can be closed
    until somebody pays in (dydxprotocol/perpetual@87f2263, P1Deleveraging.sol).
    """

    ALLOWED = "allowed"
    ZERO = "zero"
    REFUSED = "refused"


class Rounding(StrEnum):
    """The direction in which one exact amount becomes whole; it is never rounded again.

    Of a signed amount that is credited: `up` is toward +infinity, `down` toward -infinity (the
    floor of Euclid's division), `nearest` half to even. Of the unsigned margin that dYdX v1 moves,
    up for a long and down for a short, it is `up` of the amount credited.
    """

    UP = "up"
    DOWN = "down"
    NEAREST = "nearest"


class Fee(StrEnum):
    """The trading fee of one leg."""

    NONE = "none"
    MAKER = "maker"
    TAKER = "taker"
    LIQUIDATION = "liquidation"
    UNPUBLISHED = "unpublished"


class Cancelled(StrEnum):
    """Which open orders of a deleveraged trader are cancelled."""

    ALL = "all"
    MARKET = "market"
    NONE = "none"
    UNPUBLISHED = "unpublished"


class Effect(StrEnum):
    """What a lever does to the rank: `raises` means nearer to being cut."""

    RAISES = "raises"
    LOWERS = "lowers"
    NONE = "none"
    UNKNOWN = "unknown"


CONDITION_NUMBERS: Mapping[ConditionKind, tuple[str, ...]] = MappingProxyType(
    {
        ConditionKind.FUND_LEVEL: ("level",),
        ConditionKind.FUND_DRAWDOWN: ("ratio", "window_hours"),
        ConditionKind.FUND_BELOW_AVERAGE: ("ratio", "amount", "window_hours"),
        ConditionKind.FUND_BELOW_THRESHOLD: ("threshold",),
        ConditionKind.FUND_RECOVERY: ("ratio", "threshold"),
        ConditionKind.FUND_SHORT: (),
        ConditionKind.FUND_REJECTS: ("limit",),
        ConditionKind.FUND_NOTIONAL_CAP: ("ratio",),
        ConditionKind.FUND_LOSS: ("ratio", "window_hours"),
        ConditionKind.FUND_AND_POSITION: ("level",),
        ConditionKind.FUND_FLAT: (),
        ConditionKind.SYMBOL_DRAWDOWN: ("ratio", "window_hours", "balance"),
        ConditionKind.UNFILLED_AT_BANKRUPTCY: (),
        ConditionKind.UNFILLED_REMAINDER: (),
        ConditionKind.LIQUIDATION_BACKLOG: ("quantity", "minutes"),
        ConditionKind.EQUITY_NEGATIVE: (),
        ConditionKind.VAULT_LOSS: ("loss",),
        ConditionKind.BACKSTOP_FULL: (),
        ConditionKind.THIN_BOOK: (),
        ConditionKind.LOCKOUT: ("hours",),
        ConditionKind.OFFSET: (),
        ConditionKind.MANUAL: (),
        ConditionKind.GROUP_LEVEL: ("level",),
        ConditionKind.POOL_FACTOR: ("ratio",),
        ConditionKind.UNPUBLISHED: (),
    }
)

PRICE_NUMBERS: Mapping[PriceKind, tuple[str, ...]] = MappingProxyType(
    dict.fromkeys(PriceKind, ())
    | {
        PriceKind.BANKRUPTCY_UNLESS_FAR: ("deviation",),
        PriceKind.MARK_UNTIL_DEPLETED: ("depleted_ratio",),
    }
)
