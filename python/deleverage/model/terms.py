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
    "Combine",
    "Completion",
    "ConditionKind",
    "Convention",
    "CutScope",
    "Effect",
    "Evidence",
    "Fee",
    "Hedged",
    "Payer",
    "PriceKind",
    "Rerank",
    "Sharing",
    "Standing",
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
    """When a position that was cut in part is scored again."""

    BETWEEN_EVENTS = "between_events"
    AFTER_EACH_FILL = "after_each_fill"


class Hedged(StrEnum):
    """What happens to the part of a position that is offset inside its account."""

    CANDIDATE = "candidate"
    BEHIND = "behind"
    EXEMPT = "exempt"


class Standing(StrEnum):
    """Whether the venue's own funds and vaults stand in the queue like anyone else."""

    CANDIDATE = "candidate"
    EXEMPT = "exempt"
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
