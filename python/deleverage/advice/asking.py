"""What if: the light, rank, score and curve of a position after a change, beside what they are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from deleverage.advice.changes import Change, changed
from deleverage.advice.flags import require_flag
from deleverage.advice.holding import Holding, find
from deleverage.advice.standing import Standing, stand
from deleverage.advice.surroundings import Surroundings, surround
from deleverage.errors import InputError
from deleverage.model.quantise import quantise
from deleverage.model.records import Venue
from deleverage.model.refusals import plain
from deleverage.model.rules import Scope
from deleverage.model.snapshot import Snapshot
from deleverage.model.sources import FrameLike
from deleverage.model.terms import Effect, Hedged
from deleverage.planning.inputs import Frames, Number, read_frames

__all__ = ["WhatIf", "what_if"]

_PPM = Decimal("0.000001")
_TURNED = {Effect.RAISES: Effect.LOWERS, Effect.LOWERS: Effect.RAISES}


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """A position before and after a change.

    Attributes:
        before: as it is.
        after: as it would be, everybody else unchanged.
        moved: what the change does to the order: `raises` is nearer to being cut. A score that
            stays may still change its rank among equals, where size breaks ties.
        declared: for each lever that was moved, what the edition says that move does to the rank
            of a position as in `levers`; see `conditions`.
        conditions: for each of them that the edition says of other positions only, of which.
        is_changed: whether a change was asked for.
        at_risk: contracts that can be cut at all, before and after.
        surroundings: liquidity of the contract and warnings that no score counts.
        notes: what the answer rests on.
    """

    before: Standing
    after: Standing
    moved: Effect
    declared: Mapping[str, Effect]
    conditions: Mapping[str, str]
    is_changed: bool
    at_risk: tuple[Decimal, Decimal]
    surroundings: Surroundings
    notes: tuple[str, ...]

    def cut(self, bankrupt: Decimal | str | float) -> tuple[Decimal, Decimal]:
        """Give the account's contracts that are cut if so many go bankrupt: before and after.

        Args:
            bankrupt: contracts of the other side, of another account.

        Raises:
            InputError: it is negative or no whole number of lots.
        """
        return self.before.curve.cut(bankrupt), self.after.curve.cut(bankrupt)

    def __str__(self) -> str:
        """The answer as plain text."""
        lines = [f"before: {self.before}", f"after:  {self.after}", *self.effects()]
        return "\n".join([*lines, *self.surroundings.lines(), *self.notes])

    def effects(self) -> list[str]:
        """What the change does, a line each: by its edition, here, and to what is at risk."""
        lines = []
        for name, one in self.declared.items():
            only = self.conditions.get(name)
            more = f", but only where a position is {only}, which this one is not" if only else ""
            lines.append(f"{name.replace('_', ' ')}: this edition says it {_does(one)}{more}")
        if self.is_changed:
            lines.append(f"the change {_does(self.moved)} here")
        lines.append(f"at risk: {self.at_risk[0]} contracts before, {self.at_risk[1]} after")
        return lines


def what_if(
    positions: FrameLike | Snapshot,
    *,
    account: str | int,
    market: str | int | None = None,
    side: str | None = None,
    position_id: int | str | None = None,
    leverage: Number | None = None,
    add_margin: Number | None = None,
    close: Number | None = None,
    hedge: Number | None = None,
    delta_neutral: bool | None = None,
    marks: FrameLike | None = None,
    venue: Venue | None = None,
    accounts: FrameLike | None = None,
    markets: FrameLike | None = None,
    neutral: FrameLike | None = None,
) -> WhatIf:
    """Say where a position would stand if its holder changed something, everybody else as they are.

    Several changes are made in this order: close, leverage, add_margin, hedge; without any the
    answer says where the position stands. A part is closed, and a hedge opened, at the mark and
    without fees: equity stays. An isolated margin follows the setting, entry value / leverage plus
    what was added by hand before; an account's equity does not.

    Args:
        positions: a position frame, or a `Snapshot`; then no other frame but `marks` is given.
        account: who asks.
        market: needed where the account has positions in several.
        side: `long` or `short`, where it has both.
        position_id: where it has several.
        leverage: the new setting, above 0.
        add_margin: of the settlement asset, above 0; to the pool of a position judged on one.
        close: contracts, less than the whole position.
        hedge: contracts of an opposite position in the same account. It offsets a cross position
            only; its maintenance margin is taken at the position's own rate.
        delta_neutral: whether the account then counts as delta-neutral. Without it a hedge makes
            the account neutral exactly where it leaves no delta in the underlier.
        marks: market and mark_price.
        venue: the edition; beside a snapshot it may be left out.
        accounts: margin pools of cross accounts.
        markets: contract sizes and units.
        neutral: delta-neutral accounts.

    Raises:
        InputError: an input is not what the contract says; the account has no such position or
            several; or the positions do not say what a change needs. Nothing is done.
    """
    require_flag(delta_neutral, "delta_neutral")
    snapshot = read_frames(
        Frames(
            positions=positions,
            marks=marks,
            venue=venue,
            accounts=accounts,
            markets=markets,
            neutral=neutral,
        )
    )
    holding = find(snapshot, account, market=market, side=side, position_id=position_id)
    asked = _Asked(
        leverage=leverage,
        add_margin=add_margin,
        close=close,
        hedge=hedge,
        delta_neutral=delta_neutral,
    )
    change, notes = _change(holding, asked)
    after = stand(holding, changed(holding, change))
    before = stand(holding, holding.state)
    declared = _declared(holding, change)
    return WhatIf(
        before=before,
        after=after,
        moved=_moved(before, after),
        declared=declared,
        conditions=_conditions(holding, before, declared),
        is_changed=change != Change(),
        at_risk=(before.curve.most, after.curve.most),
        surroundings=surround(holding),
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The changes as they were given."""

    leverage: Number | None
    add_margin: Number | None
    close: Number | None
    hedge: Number | None
    delta_neutral: bool | None


def _change(holding: Holding, asked: _Asked) -> tuple[Change, list[str]]:
    """Turn the changes into whole units, and note what the answer rests on."""
    scale = holding.side.scale

    def lots(name: str, value: Number | None) -> int:
        return 0 if value is None else _above_zero(scale.lots(value, name=name), name, value)

    leverage, margin = None, 0
    if asked.leverage is not None:
        units = quantise(asked.leverage, _PPM, name="leverage")
        leverage = _above_zero(units, "leverage", asked.leverage)
    if asked.add_margin is not None:
        units = scale.money(asked.add_margin, name="add_margin")
        margin = _above_zero(units, "add_margin", asked.add_margin)
    change = Change(
        close=lots("close", asked.close),
        leverage=leverage,
        margin=margin,
        hedge=lots("hedge", asked.hedge),
        is_neutral=asked.delta_neutral,
    )
    return _with_neutrality(holding, change)


def _above_zero(units: int, name: str, given: Number) -> int:
    if units <= 0:
        raise InputError(f"{name}: expected a number above zero, got {plain(given)}")
    return units


def _with_neutrality(holding: Holding, change: Change) -> tuple[Change, list[str]]:
    """Say whether a hedge makes the account delta-neutral, and what else a reader should know."""
    notes = []
    if change.leverage is not None and holding.state.pool is not None:
        notes.append("leverage: the position is judged on its account, whose equity stays")
    if change.is_neutral is not None and not holding.side.snapshot.venue.tiers.neutral:
        notes.append("delta_neutral: this edition does not look at it")
    if not change.hedge:
        return change, notes
    if holding.is_isolated:
        notes.append("hedge: an isolated position is not offset by another of its account")
        return change, notes
    if change.is_neutral is None and holding.side.snapshot.venue.tiers.neutral:
        if holding.may_be_neutral and not _delta(holding, change):
            notes.append(
                "hedge: no delta is left, so the account counts as delta-neutral if its mode is on"
            )
            return replace(change, is_neutral=True), notes
        notes.append(
            "hedge: whether so much of it makes the account delta-neutral is the venue's to say; "
            "pass delta_neutral="
        )
    return change, notes


def _delta(holding: Holding, change: Change) -> Fraction:
    """Give what the account holds in the market's underlier once the change is made."""
    snapshot, scale = holding.side.snapshot, holding.side.scale
    name = scale.underlier or scale.market
    total = Fraction(0)
    for row in snapshot.account_rows(holding.account).tolist():
        one = snapshot.markets[int(snapshot.market_codes[row])]
        if (one.underlier or one.market) == name:
            contracts = int(snapshot.columns["lots"][row]) * Fraction(one.lot_size)
            size = contracts * Fraction(one.contract_size)
            total += size / Fraction(one.mark_price) if one.is_inverse else size
    own = -holding.state.sign * (change.close + change.hedge)
    size = own * Fraction(scale.lot_size) * Fraction(scale.contract_size)
    return total + (size / Fraction(scale.mark_price) if scale.is_inverse else size)


def _moved(before: Standing, after: Standing) -> Effect:
    """Compare two standings: tier first, then the exact score."""
    if before.rank is None or after.rank is None:
        if (before.rank is None) == (after.rank is None):
            return Effect.NONE
        return Effect.RAISES if before.rank is None else Effect.LOWERS
    if before.tier != after.tier:
        return Effect.RAISES if after.tier < before.tier else Effect.LOWERS
    scores = [one.working.ratio if one.working else None for one in (before, after)]
    if scores[0] == scores[1] or None in scores:
        return Effect.NONE
    return Effect.RAISES if (scores[1] or 0) > (scores[0] or 0) else Effect.LOWERS


def _declared(holding: Holding, change: Change) -> dict[str, Effect]:
    """Give what the edition says of each lever that is moved, in the direction it is moved."""
    levers = holding.side.snapshot.venue.levers
    found = {}
    if change.close:
        found["part_close"] = levers.part_close
    if change.leverage is not None:
        before = holding.state.columns.get("leverage")
        effect = levers.leverage_setting
        is_raised = before is not None and change.leverage > before
        found["leverage_setting"] = effect if is_raised else _TURNED.get(effect, effect)
    if change.margin:
        found["added_margin"] = levers.added_margin
    if change.hedge:
        found["hedge"] = levers.hedge
    return found


def _conditions(
    holding: Holding, before: Standing, declared: Mapping[str, Effect]
) -> dict[str, str]:
    """Give what a position must be, and this one is not, for what is declared of each lever.

    An edition says it of a position in profit that is judged on its own margin, or on its account
    where the rule's scope is the account; and of a hedge where the position can be offset.
    """
    venue, found = holding.side.snapshot.venue, {}
    is_offset = venue.tiers.neutral or venue.eligibility.hedged is not Hedged.CANDIDATE
    is_shared = holding.state.pool is not None and venue.score.scope is not Scope.ACCOUNT
    for name in declared:
        wanted = [] if before.profit > 0 else ["in profit"]
        if name == "hedge" and is_offset:
            wanted += ["cross"] if holding.is_isolated else []
        elif is_shared:
            wanted.append("isolated")
        if wanted:
            found[name] = " and ".join(wanted)
    return found


def _does(effect: Effect) -> str:
    """Say an effect in words."""
    return {
        Effect.RAISES: "moves the position nearer to the cut",
        Effect.LOWERS: "moves the position away from the cut",
        Effect.NONE: "does not move the score",
        Effect.UNKNOWN: "moves the score one way or the other",
    }[effect]
