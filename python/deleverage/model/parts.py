"""The parts of a venue edition, each with its own source, date and evidence.

A venue publishes its score in one place and its price in another, in different years: what a part
says is only as good as the page it comes from, so no part is without one.
"""

from dataclasses import dataclass
from decimal import Decimal

from deleverage.errors import VenueError
from deleverage.model.rules import Basis, Factor, Loss, NoEquity, Scope, Tie, Weight
from deleverage.model.terms import (
    Bound,
    Cancelled,
    Clamp,
    Combine,
    Completion,
    ConditionKind,
    Convention,
    CutScope,
    Effect,
    Evidence,
    Fee,
    Hedged,
    PartFill,
    Payer,
    Payment,
    PoolRole,
    PriceKind,
    Remainder,
    Rerank,
    Rounding,
    Sharing,
    Standing,
    StepKind,
    Surplus,
)

__all__ = [
    "Allocation",
    "Backstop",
    "Condition",
    "Conditions",
    "Eligibility",
    "Fees",
    "Levers",
    "Lights",
    "Needs",
    "Number",
    "Orders",
    "Part",
    "Price",
    "Score",
    "Tiers",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What every part of an edition carries: where its rule comes from.

    Attributes:
        source: public address, or document and section.
        as_of: the date the rule is known to have stood: YYYY, YYYY-MM or YYYY-MM-DD.
        evidence: how much of the part the source says.
        undated: the page prints no date; `as_of` is then the month of our survey.
        note: what a reader must know about the reading, in our words.
    """

    source: str
    as_of: str
    evidence: Evidence
    undated: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A named number of a rule; a ratio is a fraction of one, money is in the pool's asset."""

    name: str
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Score(Part):
    """The ranking rule. The fields are those of `ScoreRule`, the floor in whole assets.

    Attributes:
        wallet_floor: smallest wallet the `wallet` basis divides by, in units of the settlement
            asset (Binance: 1 USDT, or 1 coin); None for every other basis.
        ties_published: whether the venue published its tie keys; if not they are ours.
    """

    basis: Basis
    factor: Factor
    loss: Loss
    no_equity: NoEquity = NoEquity.LEAVE_OUT
    scope: Scope
    joint_hedge: bool = False
    wallet_floor: Decimal | None = None
    ties: tuple[Tie, ...] = (Tie.SIZE,)
    ties_published: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers(Part):
    """Which entries queue behind all others, whatever their score.

    Attributes:
        neutral: delta-neutral accounts form a second tier.
        hedged: the part of a position that is offset in its account forms the last tier.
        bound: whether an account exactly at `delta_limit` still counts as neutral.
        numbers: `delta_limit`, where published.
        required: numbers the venue has and never published.
    """

    neutral: bool
    hedged: bool
    bound: Bound = Bound.UNPUBLISHED
    numbers: tuple[Number, ...] = ()
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligibility(Part):
    """Who may be cut at all; always the other side of the same market.

    Attributes:
        in_profit_only: only positions with a profit strictly above zero are candidates.
        hedged: what happens to the offset part of a position.
        pools: whether the venue's own funds and vaults stand in the queue.
    """

    in_profit_only: bool
    hedged: Hedged = Hedged.CANDIDATE
    pools: Standing = Standing.UNPUBLISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation(Part):
    """How the bankrupt quantity, or what it leaves unpaid, is shared out.

    Attributes:
        policy: by which rule; without one, along the queue.
        completion: what happens where the queue is too short.
        cut_scope: which entries one event may reach.
        rerank: when the remainder of a cut position is scored again.
    """

    policy: Sharing = Sharing.QUEUE
    completion: Completion
    cut_scope: CutScope = CutScope.MARKET
    rerank: Rerank = Rerank.BETWEEN_EVENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Backstop(Part):
    """What stands before the queue, and what becomes of what the queue leaves.

    Attributes:
        order: the steps of a liquidation, in order.
        pool: what the insurance pool does.
        fund_below_zero: whether the pool pays even where it has nothing left.
        payment: whether the pool pays in part what it cannot pay whole.
        surplus: who gets what a market fill brings above bankruptcy.
        part_fill: whether a liquidation that was filled in part is deleveraged at once.
        remainder: what becomes of what nobody offset and nobody paid.
        clamp: what happens to a bankruptcy value below zero.
        rounding: direction of a quote, seen from the liquidated account.
        numbers: `surplus_ratio` (the most of a fill's quote that its surplus may bring the fund),
            `fee_ratio` (liquidation fee, of the closed size at the mark, as far as the account can
            pay), `reserve_ratio` (share of its value a position must keep for its closing fee),
            `gate_hours` or `gate_blocks` (how long withdrawals wait).
        required: numbers the venue has and never published.
    """

    order: tuple[StepKind, ...]
    pool: PoolRole
    fund_below_zero: bool = False
    payment: Payment = Payment.IN_PART
    surplus: Surplus = Surplus.FUND
    part_fill: PartFill = PartFill.PROCEEDS
    remainder: Remainder = Remainder.UNPUBLISHED
    clamp: Clamp = Clamp.ALLOWED
    rounding: Rounding = Rounding.UP
    numbers: tuple[Number, ...] = ()
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One line that is or is not reached.

    Attributes:
        kind: what is measured; `terms.CONDITION_NUMBERS` lists its numbers.
        bound: whether reaching the number exactly counts.
        numbers: the published numbers.
        required: numbers the venue never published; the user must supply them.
    """

    kind: ConditionKind
    bound: Bound = Bound.UNPUBLISHED
    numbers: tuple[Number, ...] = ()
    required: tuple[str, ...] = ()

    def number(self, name: str) -> Decimal:
        """Give one number of the condition.

        Raises:
            VenueError: the condition has no such number, or it must be supplied first.
        """
        for number in self.numbers:
            if number.name == name:
                return number.value
        if name in self.required:
            raise VenueError(
                f"{self.kind}.{name}: the venue never published it; "
                "supply it with Venue.with_parameters"
            )
        raise VenueError(f"{self.kind}: expected a number {name!r}, got none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions(Part):
    """When ADL starts, or when it stops: conditions and how they combine."""

    combine: Combine = Combine.ANY
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Part):
    """The price at which the two sides are closed.

    Attributes:
        kind: the price rule.
        convention: how a cross account's equity becomes one position's bankruptcy price.
        difference: who pays what lies between the settlement and the bankruptcy price.
        numbers: the published numbers of the rule.
        required: numbers the venue never published.
    """

    kind: PriceKind
    convention: Convention = Convention.UNPUBLISHED
    difference: Payer = Payer.UNPUBLISHED
    numbers: tuple[Number, ...] = ()
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees(Part):
    """What the deleveraged trader and the liquidated order pay."""

    deleveraged: Fee
    liquidated: Fee = Fee.UNPUBLISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders(Part):
    """Which open orders of a deleveraged trader are cancelled."""

    cancelled: Cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Lights(Part):
    """The indicator a trader sees, as a straight line over the bands of the queue.

    Attributes:
        bands: number of bands.
        weight: what the bands share out.
        first: the venue's value for the band that is next in line.
        last: its value for the band at the end of the queue.
        none: its value for no place in the queue; None where the venue shows nothing.
    """

    bands: int
    weight: Weight
    first: Decimal
    last: Decimal
    none: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Levers(Part):
    """What a trader can do about the rank of one position in profit, all else equal.

    The position is isolated, or shares its account's equity where the rule's scope is the account.
    An isolated margin follows the setting: margin = entry value / leverage, and a change of size
    moves margin in proportion. At account scope the equity stays as it is.

    Attributes:
        leverage_setting: the setting is raised.
        added_margin: margin is added and nothing else changes.
        part_close: half of the position is closed at the mark.
        hedge: an opposite position of the same size is opened in the same account.
        size: the position is twice as large at the same entry.
    """

    leverage_setting: Effect
    added_margin: Effect
    part_close: Effect
    hedge: Effect
    size: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Input columns the rule reads beyond the key; `a|b` means either.

    Attributes:
        positions: columns of the position frame, for every row.
        isolated: columns of the position frame, for rows judged on their own margin.
        accounts: columns of the account frame, for rows judged on their account.
        tiers: inputs that put entries in a later tier (`neutral` is a frame of its own).
    """

    positions: tuple[str, ...]
    isolated: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
