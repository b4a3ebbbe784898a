"""The venue edition as a record: every rule of one venue at one date, as data.

An edition is read from one TOML file (floor 2) and nothing is computed with it here: the parts name
rules and numbers, the floors above turn names into steps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Self, TypeVar

from deleverage.errors import InputError, VenueError
from deleverage.model.parts import (
    Allocation,
    Backstop,
    Condition,
    Conditions,
    Eligibility,
    Fees,
    Levers,
    Lights,
    Needs,
    Number,
    Orders,
    Part,
    Price,
    Score,
    Tiers,
)
from deleverage.model.rules import Basis, Factor, Loss, NoEquity, Scope, ScoreRule, Tie
from deleverage.model.terms import (
    CONDITION_NUMBERS,
    PRICE_NUMBERS,
    Bound,
    Effect,
    Hedged,
    Payer,
    PoolRole,
    PriceKind,
    Remainder,
    Sharing,
    StepKind,
    Surplus,
)

__all__ = ["PART_NAMES", "Venue", "derive_needs", "named_conditions"]

PART_NAMES = (
    "score",
    "tiers",
    "eligibility",
    "allocation",
    "trigger",
    "stop",
    "price",
    "fees",
    "orders",
    "lights",
    "levers",
    "backstop",
)
OWN_MARGIN = "margin|bankruptcy_price|bankruptcy_value"
EQUITY_FACTORS = (
    Factor.NOTIONAL_OVER_EQUITY,
    Factor.MAINTENANCE_OVER_EQUITY,
    Factor.NOTIONAL_OVER_FLOORED_EQUITY,
)
GATES = ("gate_hours", "gate_blocks")
# Of these a smaller number is the worse one.
FALLING_NUMBERS = ("level", "threshold")
MAINTENANCE_FACTORS = (Factor.MAINTENANCE_OVER_EQUITY, Factor.NOTIONAL_OVER_FLOORED_EQUITY)
OWN_MARGIN_FACTORS = (Factor.BANKRUPTCY_DISTANCE, Factor.OPEN_VALUE_OVER_MARGIN)

Holder = TypeVar("Holder", Backstop, Condition, Price, Tiers)
Holders = Backstop | Condition | Price | Tiers
Contradiction = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """One edition of one venue's rules.

    Attributes:
        name: `venue` or `venue@edition`; the file's name.
        title: the name a reader knows.
        edition: a date on which the rule is known to stand (the month of our survey where no page
            prints one); it orders the editions of one venue.
        summary: the edition in one sentence.
        unpublished: what the venue never published, each in a few words.
        contracts: the kinds of its contracts, `linear` or `inverse`; empty where it has both, or
            where a position without a table of markets may be read as linear.
        backstop: what stands before and behind the queue; None where the edition is only ranked
            and planned with.

    Raises:
        VenueError: the edition contradicts itself; the message names part, key and value.
    """

    name: str
    title: str
    edition: str
    summary: str
    score: Score
    tiers: Tiers
    eligibility: Eligibility
    allocation: Allocation
    trigger: Conditions
    stop: Conditions
    price: Price
    fees: Fees
    orders: Orders
    lights: Lights
    levers: Levers
    needs: Needs
    unpublished: tuple[str, ...] = ()
    contracts: tuple[str, ...] = ()
    backstop: Backstop | None = None

    def __post_init__(self) -> None:
        """Refuse an edition that contradicts itself."""
        for where, expected, got in _contradictions(self):
            raise VenueError(f"{where}: expected {expected}, got {got}")

    @property
    def is_ranked(self) -> bool:
        """Whether the edition has a queue; the others share a loss by another rule."""
        return self.allocation.policy is Sharing.QUEUE

    def parts(self) -> Iterator[tuple[str, Part]]:
        """Give the name and the record of every part that carries a source."""
        for name in PART_NAMES:
            part = getattr(self, name)
            if part is not None:
                yield name, part

    def score_rule(self, money_units_per_asset: int) -> ScoreRule:
        """Give the kernel's rule for one settlement asset.

        Args:
            money_units_per_asset: integer money units in one asset (USDT at 1e-6: 1_000_000).

        Raises:
            VenueError: the edition ranks nobody, or the wallet floor is not a whole number of money
                units.
        """
        if not self.is_ranked:
            raise VenueError(
                f"{self.name}: rank: expected an edition with a ranking rule, got one that ranks "
                f"nobody (allocation: {self.allocation.policy}); see deleverage.policy"
            )
        score = self.score
        floor = 1
        if score.wallet_floor is not None:
            scaled = score.wallet_floor * money_units_per_asset
            floor = int(scaled)
            if floor != scaled or floor < 1:
                raise VenueError(
                    f"{self.name}: score.wallet_floor: expected a whole number of money units, "
                    f"got {score.wallet_floor} x {money_units_per_asset}"
                )
        return ScoreRule(
            basis=score.basis,
            factor=score.factor,
            loss=score.loss,
            no_equity=score.no_equity,
            scope=score.scope,
            joint_hedge=score.joint_hedge,
            wallet_floor=floor,
            ties=score.ties,
        )

    def indicator(self, light: int) -> Decimal | None:
        """Show a light on the venue's own scale.

        Args:
            light: 0 (no place in the queue) or 1 (last) to `lights.bands` (next in line).

        Raises:
            InputError: there is no such light.
        """
        lights = self.lights
        if not 0 <= light <= lights.bands:
            raise InputError(f"light: expected 0 to {lights.bands}, got {light}")
        if light == 0:
            return lights.none
        if light == lights.bands:
            return lights.first
        step = (lights.first - lights.last) / (lights.bands - 1)
        return lights.last + step * (light - 1)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the numbers that the user must supply, as `part.kind.name` or `part.name`."""
        names = [f"{path}.{name}" for path, holder in _holders(self) for name in holder.required]
        return tuple(names)

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of all numbers, published or not, as in `required`."""
        return tuple(f"{path}.{name}" for path, holder in _holders(self) for name in _names(holder))

    def with_parameters(self, values: Mapping[str, Decimal]) -> Self:
        """Give the edition with numbers supplied; a published number may be replaced too.

        Args:
            values: number by name, as in `required`.

        Raises:
            VenueError: a name is not a number of this edition.
        """
        known = self.numbers
        for name in values:
            if name not in known:
                wanted = f"one of {', '.join(known)}" if known else "none, as it has no numbers"
                raise VenueError(f"{self.name}: parameter: expected {wanted}, got {name!r}")
        return replace(
            self,
            tiers=_filled("tiers", self.tiers, values),
            trigger=_all_filled("trigger", self.trigger, values),
            stop=_all_filled("stop", self.stop, values),
            price=_filled("price", self.price, values),
            backstop=self.backstop and _filled("backstop", self.backstop, values),
        )


def derive_needs(score: Score, tiers: Tiers, eligibility: Eligibility) -> Needs:
    """Give the inputs that a rule reads; an edition must declare exactly these."""
    every_row = _row_needs(score)
    own, shared = _equity_needs(score)
    if score.scope is Scope.POSITION:
        every_row += [name for name in own if name not in every_row]
        own, shared = [], []
    if score.scope is Scope.ACCOUNT:
        own = []
    if Tie.NEWEST in score.ties or Tie.OLDEST in score.ties:
        shared.append("created_at")
    later = ["neutral"] if tiers.neutral else []
    if eligibility.hedged is not Hedged.CANDIDATE:
        later.append("hedged_qty")
    return Needs(
        positions=tuple(every_row),
        isolated=tuple(own),
        accounts=tuple(shared),
        tiers=tuple(later),
    )


def _row_needs(score: Score) -> list[str]:
    """Give the position columns that a rule reads on every row."""
    names = ["entry_price|entry_value"]
    if score.factor in OWN_MARGIN_FACTORS:
        names.append(OWN_MARGIN)
    if score.factor is Factor.OPEN_VALUE_OVER_MARGIN:
        names.append("open_value")
    if score.factor is Factor.LEVERAGE_SETTING:
        names.append("leverage")
    if score.basis is Basis.INITIAL_MARGIN:
        names.append("initial_margin")
    return names


def _equity_needs(score: Score) -> tuple[list[str], list[str]]:
    """Give what equity, maintenance and wallet are read from: an own margin, and an account."""
    own: list[str] = []
    shared: list[str] = []
    reads_equity = score.factor in EQUITY_FACTORS or score.basis is Basis.EQUITY
    reads_wallet = score.basis is Basis.WALLET or Tie.BALANCE in score.ties
    if reads_equity or reads_wallet:
        own.append(OWN_MARGIN)
    if reads_equity:
        shared.append("equity")
    if score.factor in MAINTENANCE_FACTORS:
        own.append("maintenance_margin")
        shared.append("maintenance_margin")
    if reads_wallet:
        shared.append("wallet_balance")
    return own, shared


def _holders(venue: Venue) -> Iterator[tuple[str, Holders]]:
    """Give every record of an edition that holds numbers, with its dotted name."""
    yield "tiers", venue.tiers
    yield from named_conditions("trigger", venue.trigger)
    yield from named_conditions("stop", venue.stop)
    yield "price", venue.price
    if venue.backstop is not None:
        yield "backstop", venue.backstop


def named_conditions(part: str, group: Conditions) -> Iterator[tuple[str, Condition]]:
    """Give each condition of a trigger or a stop with its dotted name.

    The name is `part.kind`; where one kind is watched over several windows its hours follow:
    `trigger.fund_drawdown.8h`.
    """
    kinds = [item.kind for item in group.conditions]
    for item in group.conditions:
        is_one = kinds.count(item.kind) == 1
        yield f"{part}.{item.kind}" + ("" if is_one else f".{_hours(item)}h"), item


def _hours(item: Condition) -> str:
    """Give the hours of a condition's window, `?` where it has none or they are not known."""
    return next((f"{one.value:f}" for one in item.numbers if one.name == "window_hours"), "?")


def _names(holder: Holders) -> tuple[str, ...]:
    """Give the names of the numbers a record holds or asks for."""
    return (*(number.name for number in holder.numbers), *holder.required)


def _filled(path: str, holder: Holder, values: Mapping[str, Decimal]) -> Holder:
    """Put supplied numbers into one record; what is supplied is no longer required."""
    numbers = {number.name: number.value for number in holder.numbers}
    for name in _names(holder):
        if f"{path}.{name}" in values:
            numbers[name] = values[f"{path}.{name}"]
    return replace(
        holder,
        numbers=tuple(Number(name=name, value=value) for name, value in numbers.items()),
        required=tuple(name for name in holder.required if name not in numbers),
    )


def _all_filled(part: str, group: Conditions, values: Mapping[str, Decimal]) -> Conditions:
    """Put supplied numbers into every condition of a trigger or a stop."""
    filled = (_filled(path, item, values) for path, item in named_conditions(part, group))
    return replace(group, conditions=tuple(filled))


def _contradictions(venue: Venue) -> Iterator[Contradiction]:
    """Give what an edition says against itself: where, what was expected, what stands there."""
    yield from _against_score(venue.score)
    yield from _against_queue(venue)
    yield from _against_numbers(venue)
    yield from _against_lights(venue.lights)
    if venue.backstop is not None:
        yield from _against_backstop(venue.backstop)
    for name, part in venue.parts():
        if not part.source.strip():
            yield f"{name}.source", "a public address or a document", repr(part.source)
        if not _is_date(part.as_of):
            yield f"{name}.as_of", "YYYY, YYYY-MM or YYYY-MM-DD", repr(part.as_of)
    if not _is_date(venue.edition):
        yield "edition", "YYYY, YYYY-MM or YYYY-MM-DD", repr(venue.edition)
    needs = derive_needs(venue.score, venue.tiers, venue.eligibility)
    for name in ("positions", "isolated", "accounts", "tiers"):
        wanted, stated = getattr(needs, name), getattr(venue.needs, name)
        if set(wanted) != set(stated):
            yield f"needs.{name}", f"what the rule reads, {list(wanted)}", str(list(stated))


def _against_score(score: Score) -> Iterator[Contradiction]:
    """Find what a score rule says against itself."""
    if (score.basis is Basis.WALLET) != (score.wallet_floor is not None):
        wanted = "a decimal with basis wallet, else absent"
        yield "score.wallet_floor", wanted, str(score.wallet_floor)
    if score.basis is Basis.WALLET and score.loss is not Loss.ZERO:
        yield "score.loss", "zero (basis wallet has no losses)", score.loss
    divides = score.factor in EQUITY_FACTORS or score.basis is Basis.EQUITY
    if score.no_equity is NoEquity.ZERO and not divides:
        yield "score.no_equity", "leave_out (nothing divides by equity)", score.no_equity
    if score.joint_hedge and score.scope is Scope.POSITION:
        yield "score.scope", "account or margin_mode with joint_hedge", score.scope
    reads_account = divides or score.basis is Basis.WALLET or Tie.BALANCE in score.ties
    if not reads_account and score.scope is not Scope.POSITION:
        yield "score.scope", "position (the rule reads no account)", score.scope
    if len(set(score.ties)) != len(score.ties):
        yield "score.ties", "each key once", str([str(tie) for tie in score.ties])


def _against_queue(venue: Venue) -> Iterator[Contradiction]:
    """Find where tiers, eligibility and levers do not fit the score."""
    score, eligibility = venue.score, venue.eligibility
    if eligibility.in_profit_only != (score.loss is Loss.EXCLUDE):
        wanted = "true exactly with score.loss exclude"
        yield "eligibility.in_profit_only", wanted, str(eligibility.in_profit_only).lower()
    if venue.tiers.hedged != (eligibility.hedged is Hedged.BEHIND):
        yield "eligibility.hedged", "behind exactly with tiers.hedged", eligibility.hedged
    orders_nothing = score.basis is Basis.UNIT and score.factor is Factor.NONE
    if orders_nothing and venue.is_ranked:
        yield "score.factor", "a factor (basis unit alone orders nothing)", score.factor
    if not orders_nothing and not venue.is_ranked:
        wanted = f"unit without a factor ({venue.allocation.policy} ranks nobody)"
        yield "score.basis", wanted, score.basis
    if venue.price.kind is PriceKind.NONE and venue.is_ranked:
        yield "price.kind", "a price (a queue closes positions)", venue.price.kind
    by_setting = score.factor is Factor.LEVERAGE_SETTING
    if by_setting and venue.levers.leverage_setting is not Effect.RAISES:
        got = venue.levers.leverage_setting
        yield "levers.leverage_setting", "raises (the score multiplies by it)", got
    tiers = venue.tiers
    if not tiers.neutral and (tiers.numbers or tiers.required):
        yield "tiers.numbers", "none without tiers.neutral", str(_names(tiers))


def _against_numbers(venue: Venue) -> Iterator[Contradiction]:
    """Find numbers that a condition or price rule does not take, or lacks."""
    for part, group in (("trigger", venue.trigger), ("stop", venue.stop)):
        if not group.conditions:
            yield f"{part}.conditions", "at least one condition", "none"
        paths = [path for path, _ in named_conditions(part, group)]
        if len(set(paths)) != len(paths):
            yield f"{part}.conditions", "each kind once a window", str(paths)
        for where, item in named_conditions(part, group):
            wanted = CONDITION_NUMBERS[item.kind]
            if sorted(wanted) != sorted(_names(item)):
                yield where, f"the numbers {list(wanted)}, given or required", str(_names(item))
    yield from _against_stops(venue)
    price = venue.price
    if sorted(PRICE_NUMBERS[price.kind]) != sorted(_names(price)):
        wanted_names = f"the numbers {list(PRICE_NUMBERS[price.kind])}, given or required"
        yield f"price.{price.kind}", wanted_names, str(_names(price))
    if price.kind is PriceKind.BANKRUPTCY and price.difference is not Payer.NOBODY:
        yield "price.difference", "nobody (settlement is at bankruptcy)", price.difference
    if not set(_names(venue.tiers)) <= {"delta_limit"}:
        yield "tiers.numbers", "only delta_limit", str(_names(venue.tiers))


def _against_backstop(part: Backstop) -> Iterator[Contradiction]:
    """Find steps that cannot be walked, and numbers that no step reads or that one lacks."""
    kinds = [str(kind) for kind in part.order]
    if len(set(kinds)) != len(kinds) or StepKind.DELEVERAGING not in part.order:
        yield "backstop.order", "each step once, and deleveraging among them", str(kinds)
        return
    place = part.order.index(StepKind.DELEVERAGING)
    first = {StepKind.ORDERS, StepKind.FEE, StepKind.MARKET}
    if first & set(part.order[place:]) or part.order[-1] is not StepKind.REMAINDER:
        wanted = "orders, fee and market before deleveraging, and remainder last"
        yield "backstop.order", wanted, str(kinds)
    if (part.pool is PoolRole.NOTHING) != (StepKind.POOL not in part.order):
        yield "backstop.pool", "nothing exactly where the order has no step pool", part.pool
    if part.remainder is Remainder.POOL and not part.fund_below_zero:
        wanted = "true with remainder pool (it takes what is left, whatever it has)"
        yield "backstop.fund_below_zero", wanted, "false"
    names = _names(part)
    gates = [name for name in GATES if name in names]
    if len(gates) != (part.remainder is Remainder.GATED):
        yield "backstop.remainder", "gated exactly with gate_hours or gate_blocks", str(gates)
    if ("fee_ratio" in names) != (StepKind.FEE in part.order):
        yield "backstop.fee_ratio", "a number exactly where the order has a step fee", str(names)
    if "surplus_ratio" in names and part.surplus is Surplus.ACCOUNT:
        yield "backstop.surplus_ratio", "none where the account keeps its surplus", str(names)
    known = {"surplus_ratio", "fee_ratio", "reserve_ratio", *GATES}
    if not set(names) <= known:
        yield "backstop.numbers", f"only {sorted(known)}", str(names)


def _against_stops(venue: Venue) -> Iterator[Contradiction]:
    """Find a stop line on the unsafe side of the start line of its kind and window."""
    for where, stop in named_conditions("stop", venue.stop):
        starts = [item for item in venue.trigger.conditions if item.kind is stop.kind]
        hours = [_hours(item) for item in starts]
        if starts and _hours(stop) not in hours:
            yield f"{where}.window_hours", f"that of a start, {hours}", _hours(stop)
        for start in starts:
            if _hours(start) != _hours(stop):
                continue
            begins = {number.name: number.value for number in start.numbers}
            pairs = [
                (one.name, begins[one.name], one.value)
                for one in stop.numbers
                if one.name in begins
            ]
            for name, begin, end in pairs:
                if name == "balance" and begin != end:
                    yield f"{where}.{name}", f"that of the start, {begin}", str(end)
                elif (end < begin) if name in FALLING_NUMBERS else (end > begin):
                    yield f"{where}.{name}", f"the safe side of the start, {begin}", str(end)
            is_one = len(pairs) == len(begins) and all(begin == end for _, begin, end in pairs)
            if (
                is_one
                and pairs
                and not start.required
                and start.bound is stop.bound is Bound.INCLUSIVE
            ):
                yield f"{where}.bound", "a line not reached where the start is", str(stop.bound)


def _against_lights(lights: Lights) -> Iterator[Contradiction]:
    """Find an indicator scale that cannot be read."""
    if lights.bands < 1:
        yield "lights.bands", "at least 1", str(lights.bands)
    if lights.bands > 1 and lights.first == lights.last:
        yield "lights.last", "a value other than lights.first", str(lights.last)


def _is_date(text: str) -> bool:
    """Tell whether a text is a year, a month or a day of the calendar."""
    missing = {4: "-01-01", 7: "-01", 10: ""}.get(len(text))
    if missing is None:
        return False
    try:
        date.fromisoformat(text + missing)
    except ValueError:
        return False
    return True
