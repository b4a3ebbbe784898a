"""Liquidations for the tests: markets, editions with steps of their own, and the queue's part."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from deleverage.backstop.bankruptcy import Bankruptcy
from deleverage.backstop.lines import Facts
from deleverage.backstop.liquidation import Fill, Liquidation, Step
from deleverage.backstop.pool import Pool
from deleverage.backstop.prices import Candidates, price_by_edition
from deleverage.backstop.rules import Waterfall
from deleverage.backstop.settlement import Book, Cut, Posting, Settlement, settle
from deleverage.backstop.trigger import StopReading, Trigger
from deleverage.backstop.waterfall import (
    Outcome,
    Stage,
    after_deleveraging,
    before_deleveraging,
)
from deleverage.backstop.window import HOUR
from deleverage.model.parts import Backstop, Condition, Conditions
from deleverage.model.records import Venue as Edition
from deleverage.model.scales import MarketScale
from deleverage.model.terms import (
    Bound,
    Combine,
    ConditionKind,
    Convention,
    Fee,
    PriceKind,
    StepKind,
)
from deleverage.venue import Venue
from deleverage.venue.strict import build

MARKET = "BTC-PERP"
ORDER = ("orders", "market", "pool", "deleveraging", "remainder")
BEHIND = ("orders", "market", "deleveraging", "pool", "remainder")
WITHOUT = ("orders", "market", "deleveraging", "remainder")


def market(
    mark: Fraction | str,
    *,
    kind: str = "linear",
    lot_size: str = "1",
    money_unit: str = "0.000001",
) -> MarketScale:
    """A market of one contract a lot unless said, at a mark, in millionths."""
    price, lot = Fraction(mark), Fraction(lot_size)
    value = (lot / price if kind == "inverse" else lot * price) / Fraction(money_unit)
    return MarketScale(
        market=MARKET,
        kind=kind,
        contract_size=Decimal(1),
        lot_size=Decimal(lot_size),
        price_unit=Decimal("0.01"),
        money_unit=Decimal(money_unit),
        mark_price=Decimal(price.numerator) / Decimal(price.denominator),
        mark_num=value.numerator,
        mark_den=value.denominator,
        settle="USDT",
    )


def edition(
    steps: Mapping[str, Any],
    *,
    starts: Sequence[str] = ("equity_negative",),
    price: str = "bankruptcy",
    convention: str = "own_margin",
    combine: Combine = Combine.ALL,
) -> Edition:
    """The generic edition without fees, with steps, trigger and price of its own."""
    base = Venue.load("generic")
    words = {"source": "a test", "as_of": "2026", "evidence": "assumed"}
    bounds = {"equity_negative": Bound.STRICT, "fund_level": Bound.INCLUSIVE}
    conditions = tuple(
        build(
            Condition,
            {
                "kind": kind,
                "bound": str(bounds.get(kind, Bound.UNPUBLISHED)),
                "numbers": {"level": "0"} if kind == "fund_level" else {},
            },
            where=kind,
        )
        for kind in starts
    )
    ends = (Condition(kind=ConditionKind.OFFSET, bound=Bound.INCLUSIVE),)
    return replace(
        base,
        backstop=build(Backstop, {**words, **steps}, where="backstop"),
        trigger=replace(base.trigger, combine=combine, conditions=conditions),
        stop=Conditions(
            source="a test", as_of="2026", evidence=base.stop.evidence, conditions=ends
        ),
        price=replace(base.price, kind=PriceKind(price), convention=Convention(convention)),
        fees=replace(base.fees, deleveraged=Fee.NONE, liquidated=Fee.NONE),
    )


def waterfall_of(venue: Edition, *, money_units: int = 10**6, **choices: Any) -> Waterfall:
    """The steps of an edition, its trigger as the tests read it."""
    trigger = Trigger.of(
        venue, money_units_per_asset=money_units, bound=Bound.STRICT, stop=StopReading.CEASES
    )
    return Waterfall.of(venue, trigger, **choices)


def settled(
    waterfall: Waterfall, stage: Stage, cuts: Sequence[Cut], **prices: Fraction | int | None
) -> Settlement | None:
    """Settle the cuts of a stage by its edition's price; None where nobody is cut."""
    left = stage.left
    if left is None or not cuts:
        return None
    scale = stage.scale
    frozen: Bankruptcy | None = left.bankruptcy
    known = Candidates(
        is_inverse=scale.is_inverse,
        is_long=left.lots > 0,
        bankruptcy=None if frozen is None else frozen.lot_value,
        mark=Fraction(scale.mark_num, scale.mark_den),
        **prices,
    )
    price = price_by_edition(waterfall.venue.price, known)
    return settle(cuts, left.bankrupt, price, waterfall.terms(scale, stage.pool))


def total(postings: Sequence[Posting], owner: str, *books: Book) -> int:
    """What an owner gains in some of its books, money units."""
    return sum(each.amount for each in postings if each.owner == owner and each.book in books)


def steps_of(**changes: Any) -> dict[str, Any]:
    """A backstop: the pool takes over, what is left stays."""
    words = {"order": list(ORDER), "pool": "takes_over", "remainder": "stays"}
    return {**words, **changes}


def liquidation(
    lots: int = 10, *, bankrupt: int | Fraction = 900, entry: int = 1000, **changes: Any
) -> Liquidation:
    """A position of one account, with values for all of its lots."""
    value = Fraction(bankrupt)
    frozen = Bankruptcy(lots=lots, value=value, is_inverse=changes.pop("is_inverse", False))
    names = {"id": "x", "account": "zed", "market": MARKET, "opened_at": 0}
    return Liquidation(
        **{**names, "lots": lots, "entry_value": entry, "bankruptcy": frozen, **changes}
    )


def scale_at(mark: str | Fraction = "85", kind: str = "linear") -> MarketScale:
    """The market at a mark, one lot a contract, one money unit an asset."""
    return market(mark, kind=kind, money_unit="1")


def enter(
    waterfall: Waterfall,
    opened: Liquidation,
    *,
    pool: Pool | None = None,
    fills: Sequence[Fill] = (),
    scale: MarketScale | None = None,
    **facts: Any,
) -> Stage:
    """Take a liquidation to the queue; the operator's emergency is the trigger unless said."""
    known = {"is_emergency": True, "account_value": 0, "height": 5} | facts
    return before_deleveraging(
        waterfall,
        opened,
        fills=fills,
        facts=Facts(at=HOUR, pool=pool, **known),
        status=waterfall.trigger.idle(0),
        scale=scale or scale_at(),
    )


def fund(cash: int = 1000, **changes: Any) -> Pool:
    """A fund that stands behind every market."""
    return Pool.open("fund", at=0, cash=cash, **changes)


def manual(**changes: Any) -> Waterfall:
    """An edition of these steps that deleverages when its operator says so."""
    return waterfall_of(edition(steps_of(**changes), starts=["manual"]), money_units=1)


def cut(lots: int, closed: int, *, entry: int = 100, name: str = "w", **changes: Any) -> Cut:
    """A position of the queue."""
    return Cut(
        position_id=name,
        account=changes.pop("account", name),
        lots=lots,
        entry_value=entry,
        closed=closed,
        **changes,
    )


def kinds(steps: Sequence[Step]) -> list[StepKind]:
    """What happened."""
    return [step.kind for step in steps]


def ended(waterfall: Waterfall, stage: Stage, *cuts: Cut, **prices: Any) -> Outcome:
    """Settle the cuts and walk what comes after the queue."""
    return after_deleveraging(waterfall, stage, settled(waterfall, stage, cuts, **prices))
