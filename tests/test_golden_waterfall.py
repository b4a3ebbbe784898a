"""The golden cases of the whole waterfall: what is filled, paid, cut, left, and who waits.

The cases give accounts and what the book filled; bankruptcy, steps, cut and settlement are the
product's. The queue is the case's own order, because the ranking has golden cases of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from deleverage.backstop.bankruptcy import Cross, Holding, Rounding
from deleverage.backstop.cover import Layer, cover, per_unit
from deleverage.backstop.fairness import Health, keeps_health
from deleverage.backstop.lines import Facts
from deleverage.backstop.liquidation import MARKET as BOOK
from deleverage.backstop.liquidation import Fill, Gate, Liquidation
from deleverage.backstop.market_stage import size_to_cover
from deleverage.backstop.pool import Pool
from deleverage.backstop.settlement import Book, Cut, split_basis
from deleverage.backstop.waterfall import (
    Outcome,
    Stage,
    Waterfall,
    after_deleveraging,
    before_deleveraging,
)
from deleverage.errors import InputError
from deleverage.model.scales import MarketScale
from deleverage.venue import Venue
from golden.stage_cases import Case, asking, exactly, tables
from liquidations import MARKET, edition, market, settled, total, waterfall_of

FILE = "waterfall.toml"
MONEY = Fraction(10**6)
HEIGHT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A case in whole units: one lot is `lot`, money is in millionths."""

    case: Case
    lot: Fraction

    def lots(self, qty: str) -> int:
        """Signed lots."""
        return exactly(qty, 1 / self.lot)

    def value(self, qty: str, price: str) -> int:
        """Money units of a quantity, without sign."""
        return exactly(price, abs(Fraction(qty)) * MONEY)

    def holding(self, row: Case) -> Holding:
        """One position of the account; without an entry its cash holds it already."""
        mark = self.value(row["qty"], row["mark"])
        return Holding(
            lots=self.lots(row["qty"]),
            entry_value=self.value(row["qty"], row.get("entry", "0")),
            mark_value=mark,
            maintenance=mark * Fraction(self.case["maintenance"]),
        )

    @property
    def cash(self) -> int:
        """Of the account."""
        return exactly(self.case["cash"], MONEY)

    def first(self) -> tuple[Case, Cross]:
        """The position that is closed first, by maintenance margin, and what stands behind all."""
        found = [(self.holding(row), row) for row in self.case["position"]]
        required = sum((Fraction(one.maintenance) for one, _ in found), Fraction(0))
        equity = self.cash + sum((one.pnl for one, _ in found), Fraction(0))
        _, row = max(found, key=lambda pair: Fraction(pair[0].maintenance))
        return row, Cross(equity=equity, maintenance=required)


def steps_of(case: Case) -> Waterfall:
    """The edition that is shipped, or the one that the file states."""
    own = tables(FILE)["edition"].get(case["edition"])
    if own is None:
        given = {name: Decimal(value) for name, value in case["parameters"].items()}
        return waterfall_of(Venue.load(case["edition"]).with_parameters(given))
    rules = {name: own[name] for name in own if name not in {"convention", "price", "trigger"}}
    venue = edition(rules, starts=own["trigger"], price=own["price"], convention=own["convention"])
    return waterfall_of(venue)


def opened(event: Event, waterfall: Waterfall) -> tuple[Liquidation, MarketScale]:
    """The liquidation of the first position, frozen on its full size; a part where that covers."""
    case = event.case
    row, behind = event.first()
    holding = event.holding(row)
    scale = market(row["mark"], lot_size=case["lot_size"])
    lots = abs(holding.lots)
    if "close" in case["expect"]:
        lots = size_to_cover(
            Fraction(behind.maintenance or 0) - Fraction(behind.equity or 0),
            lot_value=Fraction(scale.mark_num, scale.mark_den),
            margin_ratio=Fraction(case["maintenance"]),
            lots=lots,
            rounding=Rounding.UP,
        )
    return Liquidation(
        id=case["id"],
        account="account",
        market=MARKET,
        lots=lots if holding.lots > 0 else -lots,
        entry_value=split_basis(holding.entry_value, holding.lots, lots),
        bankruptcy=waterfall.freeze(holding, behind),
        opened_at=0,
    ), scale


def fills_of(event: Event, liquidation: Liquidation) -> list[Fill]:
    """What the book filled, credited to the account."""
    side = 1 if liquidation.lots > 0 else -1
    return [
        Fill(lots=abs(event.lots(qty)), quote=side * event.value(qty, price))
        for qty, price in event.case.get("fills", ())
    ]


def health(cash: int, qty: int, event: Event, scale: MarketScale) -> Health:
    """A counterparty's equity and requirements at the mark."""
    value = Fraction(abs(qty) * scale.mark_num, scale.mark_den)
    ratios = [Fraction(event.case[name]) for name in ("initial", "maintenance")]
    needs = [-((-value * ratio).__floor__()) for ratio in ratios]
    equity = cash + (1 if qty > 0 else -1) * value if qty else Fraction(cash)
    return Health(equity=int(equity), initial=needs[0], maintenance=needs[1])


def cuts_of(event: Event, waterfall: Waterfall, stage: Stage) -> list[Cut]:
    """Walk the case's queue: who can, closes what is left; who would be harmed is passed over."""
    cuts: list[Cut] = []
    if stage.left is None or not stage.permits:
        return cuts
    left = abs(stage.left.lots)
    for row in event.case.get("others", ()):
        lots = event.lots(row["qty"])
        closed = min(left, abs(lots))
        cut = Cut(
            position_id=row["id"],
            account=row["id"],
            lots=lots,
            entry_value=event.value(row["qty"], row.get("entry", "0")),
            closed=closed,
        )
        if closed == 0 or ("initial" in event.case and not may(event, waterfall, stage, cut, row)):
            continue
        cuts.append(cut)
        left -= closed
    return cuts


def may(event: Event, waterfall: Waterfall, stage: Stage, cut: Cut, row: Case) -> bool:
    """Whether a counterparty may stand where the cut leaves it."""
    booked = settled(waterfall, stage, [cut], oracle=lot_value(stage.scale))
    assert booked is not None
    cash = exactly(row["cash"], MONEY)
    leg = booked.legs[0]
    before = health(cash, leg.lots, event, stage.scale)
    return keeps_health(before, health(cash + leg.pnl, leg.lots_left, event, stage.scale))


def lot_value(scale: MarketScale) -> Fraction:
    """One lot at the mark; the cases know one price for mark and oracle."""
    return Fraction(scale.mark_num, scale.mark_den)


def equity_now(event: Event, liquidation: Liquidation, fills: Sequence[Fill]) -> int:
    """The account's equity as the venue reports it: after the fills that count."""
    row, behind = event.first()
    mark = Fraction(event.value(row["qty"], row["mark"]), abs(event.lots(row["qty"])))
    side = 1 if liquidation.lots > 0 else -1
    moved = sum(fill.quote - side * fill.lots * mark for fill in fills)
    return int(Fraction(behind.equity or 0) + moved)


def run(event: Event) -> tuple[Liquidation, Stage, Outcome]:
    """Take the case through the waterfall."""
    waterfall = steps_of(event.case)
    liquidation, scale = opened(event, waterfall)
    fills = fills_of(event, liquidation)
    counted = fills[: len(fills) - event.case["expect"].get("refused", 0)]
    is_negative = waterfall.part.fund_below_zero
    fund = exactly(event.case["fund"], MONEY)
    facts = Facts(
        at=0,
        pool=Pool.open("fund", at=0, cash=fund, may_be_negative=is_negative),
        account_value=equity_now(event, liquidation, [] if is_negative else counted),
        is_emergency=True,
        height=HEIGHT,
    )
    stage = before_deleveraging(
        waterfall,
        liquidation,
        fills=fills,
        facts=facts,
        status=waterfall.trigger.idle(0),
        scale=scale,
    )
    cuts = cuts_of(event, waterfall, stage)
    booked = settled(waterfall, stage, cuts, oracle=lot_value(scale))
    return liquidation, stage, after_deleveraging(waterfall, stage, booked)


@asking(FILE, "event")
def test_a_liquidation_ends_as_in_the_source(case: Case) -> None:
    """Cash, what is left, the fund, the book's other side and every counterparty are printed so."""
    event = Event(case=case, lot=Fraction(case["lot_size"]))
    liquidation, stage, outcome = run(event)
    postings = [each for step in (*stage.steps, *outcome.steps) for each in step.postings]
    expect: dict[str, Any] = case["expect"]
    row, _ = event.first()
    full = event.lots(row["qty"])
    still = 0 if outcome.left is None else outcome.left.lots
    assert stage.pool is not None
    assert outcome.pool is not None
    booked = total(postings, "account", Book.WALLET)
    cut = sum(step.lots for step in outcome.steps if step.kind == "deleveraging")
    gained = outcome.pool.cash - exactly(case["fund"], MONEY)
    found = {
        "first": row["name"],
        "close": f"{abs(liquidation.lots) * event.lot}",
        "cash": event.cash + booked,
        "left": (full - liquidation.lots + still) * event.lot,
        "cut": cut * event.lot,
        "fund_delta": gained,
        "fund_after": outcome.pool.cash,
        "market": total(postings, BOOK, Book.MARKET),
        "refused": len(stage.refused),
        "permits": stage.permits,
        "gated": outcome.gate == Gate(pool="fund", seen=HEIGHT, length=50),
    }
    found["market"] = -found["market"] if liquidation.lots > 0 else found["market"]
    money = {"cash", "fund_delta", "fund_after", "market"}
    for name in set(expect) & set(found):
        wanted = expect[name]
        if name in money:
            wanted = exactly(wanted, MONEY)
        elif name in {"left", "cut", "close"}:
            wanted, found[name] = Fraction(wanted), Fraction(found[name])
        assert found[name] == wanted, name
    assert total(postings, "fund", Book.FUND) == gained


@asking(FILE, "event")
def test_a_counterparty_stands_where_the_source_leaves_it(case: Case) -> None:
    """Bankruptcy, settlement price, and each counterparty's cash and position are printed so."""
    event = Event(case=case, lot=Fraction(case["lot_size"]))
    liquidation, stage, outcome = run(event)
    expect: dict[str, Any] = case["expect"]
    steps = [step for step in outcome.steps if step.kind == "deleveraging"]
    postings = [each for step in steps for each in step.postings]
    frozen = liquidation.bankruptcy
    assert frozen is not None
    per_contract = MONEY * event.lot
    if "bankruptcy" in expect:
        assert frozen.lot_value == exactly(expect["bankruptcy"], per_contract)
    if "price" in expect:
        (step,) = steps
        quote = total(step.postings, "account", Book.WALLET, Book.BASIS)
        assert abs(Fraction(quote, step.lots)) == exactly(expect["price"], per_contract)
    for row in case.get("others", ()):
        cash, left = expect.get("others", {row["id"]: [row["cash"], row["qty"]]})[row["id"]]
        gained = total(postings, row["id"], Book.WALLET)
        moved = sum(move.lots for step in steps for move in step.moves if move.owner == row["id"])
        assert exactly(row["cash"], MONEY) + gained == exactly(cash, MONEY)
        assert event.lots(row["qty"]) + moved == event.lots(left)
    assert stage.status.at == outcome.status.at


@asking(FILE, "gate")
def test_withdrawals_wait_as_long_as_the_source_says(case: Case) -> None:
    """The gate is closed for its length and open at its end; another loss begins it again."""
    gate = Gate(pool="fund", seen=case["seen"], length=case["length"])

    assert [gate.is_closed(at) for at in case["at"]] == case["closed"]
    assert gate.seen_again(case["at"][-1]).is_closed(case["at"][-1])
    with pytest.raises(InputError, match="time: expected at least"):
        gate.is_closed(case["seen"] - 1)


@asking(FILE, "cover")
def test_a_loss_is_borne_layer_by_layer(case: Case) -> None:
    """What the account, each layer and everybody pay is the source's."""
    layers = []
    if "account" in case:
        own = case["account"]
        layers.append(Layer(name="account", held=own["held"], most=own["most"], share=own["able"]))
    for row in case["layers"]:
        cost = Fraction(row.get("cost", "1"))
        layers.append(Layer(name=row["name"], held=row["held"], cost=cost, most=row.get("most")))
    found = cover(case["loss"], layers, most=case.get("most"))
    paid = [each.paid for each in found.borne]

    assert paid + [0] * (len(layers) - len(paid)) == case["paid"]
    assert found.socialised == case["socialised"]
    assert sum(each.part for each in found.borne) + found.socialised + found.left == case["loss"]
    if "left" in case:
        assert found.left == case["left"]
    if "borne_by_liquidator" in case:
        assert sum(each.part for each in found.borne) == case["borne_by_liquidator"]
    if "funding_delta" in case:
        each = per_unit(found.socialised * 10**12, case["open_interest"], step=1000)
        assert each == case["funding_delta"]


def test_nobody_pays_for_a_market_without_positions() -> None:
    """A loss that is for everybody needs somebody."""
    with pytest.raises(InputError, match="open_interest: expected above zero, got 0"):
        per_unit(1, 0)
    with pytest.raises(InputError, match="layer fund: cost: expected above zero, got 0"):
        cover(1, [Layer(name="fund", held=1, cost=0)])
