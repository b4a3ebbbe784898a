"""The steps of one edition, with everything chosen that the venue left open."""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import Self

from deleverage.backstop.bankruptcy import PPM, Bankruptcy, Cross, Holding, bankruptcy
from deleverage.backstop.pool import Pool
from deleverage.backstop.settlement import Terms
from deleverage.backstop.trigger import Trigger
from deleverage.backstop.window import HOUR
from deleverage.errors import VenueError
from deleverage.model.parts import Backstop
from deleverage.model.records import Venue
from deleverage.model.scales import MarketScale
from deleverage.model.terms import (
    Fee,
    Payer,
    PoolRole,
    Remainder,
    Standing,
    StepKind,
    Surplus,
)

__all__ = ["Rules", "Waterfall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the steps read of an edition.

    Attributes:
        part: the edition's backstop part.
        standing: what happens to a pool's position on the other side.
        surplus_ratio: the most of a fill's quote that its surplus may bring the fund, or None.
        fee_ratio: liquidation fee, share of the closed size at the mark, or None.
        gate_length: how long withdrawals wait, in ns or blocks, or None.
        is_gate_in_blocks: what `gate_length` counts.
    """

    part: Backstop
    standing: Standing
    surplus_ratio: Fraction | None = None
    fee_ratio: Fraction | None = None
    gate_length: int | None = None
    is_gate_in_blocks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """The steps of one edition with everything chosen that the venue left open.

    Attributes:
        venue: the edition.
        part: its backstop part.
        trigger: when it deleverages.
        standing: what happens to a pool's position on the other side.
        difference: who pays what lies between the settlement and the bankruptcy price.
    """

    venue: Venue
    part: Backstop
    trigger: Trigger
    standing: Standing
    difference: Payer

    @classmethod
    def of(
        cls,
        venue: Venue,
        trigger: Trigger,
        *,
        pool: PoolRole | None = None,
        surplus: Surplus | None = None,
        remainder: Remainder | None = None,
        standing: Standing | None = None,
        difference: Payer | None = None,
    ) -> Self:
        """Take the steps from an edition.

        Args:
            venue: the edition, with its required numbers supplied (`Venue.with_parameters`).
            trigger: of the same edition (`Trigger.of`).
            pool: what the pool does, where it was never published.
            surplus: who gets what a fill brings above bankruptcy, likewise.
            remainder: what becomes of what is left, likewise.
            standing: what happens to a pool's position on the other side, likewise; it is asked
                for only when a pool has one.
            difference: who pays up to bankruptcy where that was never published; it is asked for
                only when there is a difference.

        Raises:
            VenueError: the edition says nothing of its steps, or something must be supplied first
                (all of it is named), or what is chosen is published otherwise.
        """
        part = venue.backstop
        if part is None:
            raise VenueError(
                f"{venue.name}: backstop: the edition says nothing of what stands before and "
                "behind its queue; add the part to a file of your own"
            )
        chosen = {"pool": pool, "surplus": surplus, "remainder": remainder}
        known = {name: getattr(part, name) for name in chosen}
        for name, value in chosen.items():
            if value is not None and known[name] not in {"unpublished", value}:
                raise VenueError(
                    f"{venue.name}: backstop.{name}: expected {known[name]}, as published, "
                    f"got {value}"
                )
        missing = [f"backstop.{name}" for name in part.required]
        missing += [
            f"backstop.{name}"
            for name, value in known.items()
            if value == "unpublished" and chosen[name] in {None, "unpublished"}
        ]
        if missing:
            raise VenueError(
                f"{venue.name}: never published, to be supplied: {', '.join(missing)}; numbers "
                "with Venue.with_parameters, the rest by name (pool=, surplus=, remainder=)"
            )
        stands, pays = venue.eligibility.pools, venue.price.difference
        return cls(
            venue=venue,
            part=replace(
                part,
                pool=pool or part.pool,
                surplus=surplus or part.surplus,
                remainder=remainder or part.remainder,
            ),
            trigger=trigger,
            standing=standing if standing and stands is Standing.UNPUBLISHED else stands,
            difference=difference if difference and pays is Payer.UNPUBLISHED else pays,
        )

    def terms(self, scale: MarketScale, pool: Pool | None) -> Terms:
        """Give what `settlement.settle` books by; a fee that is a step of its own is not there.

        Args:
            scale: units of the market at the mark.
            pool: as the stage left it.
        """
        terms = replace(
            Terms.of_edition(self.venue, scale),
            rounding=self.part.rounding,
            difference=self.difference,
        )
        if StepKind.FEE in self.part.order:
            terms = replace(terms, liquidated=Fee.NONE)
        if pool is None:
            return replace(terms, fund_balance=0)
        most = None if pool.may_be_negative else pool.available
        return replace(terms, fund=pool.name, fund_balance=most)

    @property
    def rules(self) -> Rules:
        """What the steps read."""
        numbers = {one.name: Fraction(one.value) for one in self.part.numbers}
        hours, blocks = numbers.get("gate_hours"), numbers.get("gate_blocks")
        length = blocks if hours is None else hours * HOUR
        return Rules(
            part=self.part,
            standing=self.standing,
            surplus_ratio=numbers.get("surplus_ratio"),
            fee_ratio=numbers.get("fee_ratio"),
            gate_length=None if length is None else floor(length),
            is_gate_in_blocks=blocks is not None,
        )

    def freeze(self, holding: Holding, behind: Cross) -> Bankruptcy:
        """Give the bankruptcy of a position as the edition reckons it; freeze it once.

        Args:
            holding: the full size at takeover, before any fill.
            behind: what stands behind it; the edition's convention says what is read.

        Raises:
            InputError: an amount that the convention reads is missing.
            StateError: the value is below zero and the edition refuses to close there.
            VenueError: the convention was never published, or the reserve is not whole ppm.
        """
        numbers = {one.name: Fraction(one.value) for one in self.part.numbers}
        reserve = numbers.get("reserve_ratio", Fraction(0)) * PPM
        if reserve.denominator != 1:
            raise VenueError(f"backstop.reserve_ratio: expected whole ppm, got {reserve} ppm")
        return bankruptcy(
            holding,
            behind,
            convention=self.venue.price.convention,
            clamp=self.part.clamp,
            reserve_ppm=reserve.numerator,
        )

    def split(self) -> tuple[tuple[StepKind, ...], tuple[StepKind, ...]]:
        """Give the steps before deleveraging and those after it."""
        order = self.part.order
        place = order.index(StepKind.DELEVERAGING)
        return order[:place], order[place + 1 :]
