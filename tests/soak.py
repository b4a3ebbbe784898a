"""Random events over every edition, with every guarantee checked after each: `python -m soak`.

A run is repeated by its seed. SOAK_EVENTS says how many events (default 2,000), SOAK_SEED which.
What happened is counted: starts and stops of triggers, price rules, completion modes, refusals.
"""

import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from deleverage.audit import examine
from deleverage.backstop.trigger import State as Light
from deleverage.backstop.trigger import Status, StopReading
from deleverage.backstop.window import EIGHT_HOURS
from deleverage.engine import Choices, Commands, Engine, Frames, State
from deleverage.errors import AdlError, InvariantError
from deleverage.ledger import Acknowledgement, Command, Journal, Receipt, Request, decode, encode
from deleverage.model.records import Venue as Edition
from deleverage.model.terms import (
    Bound,
    ConditionKind,
    Convention,
    Fee,
    Payer,
    PoolRole,
    Remainder,
    Standing,
    Surplus,
)
from deleverage.venue import Venue, venues

__all__ = ["Tally", "editions", "soak"]

HOUR = EIGHT_HOURS // 8
ACCOUNTS = [f"t{number}" for number in range(9)]
LINEAR = {"kind": "linear", "contract_size": "1", "lot_size": "1", "price_unit": "0.01"}
LINEAR |= {"money_unit": "0.000001", "settle": "USDT"}
INVERSE = {"kind": "inverse", "contract_size": "100", "lot_size": "1", "price_unit": "0.1"}
INVERSE |= {"money_unit": "0.00000001", "settle": "BTC"}
MARKETS = [{"market": "A"} | LINEAR, {"market": "B"} | LINEAR, {"market": "C"} | INVERSE]
MARKS = {"A": Decimal(100), "B": Decimal(250), "C": Decimal(20_000)}
NUMBERS = {"limit": "400", "ratio": "0.2", "window_hours": "8", "threshold": "900", "minutes": "5"}
NUMBERS |= {"quantity": "3", "depleted_ratio": "0.1", "loss": "200", "fee_ratio": "0.01"}
NUMBERS |= {"delta_limit": "0.05", "gate_hours": "1"}
STOP_RATIO = "0.1"
MOST_TRIES = 20


@dataclass
class Tally:
    """What a run did."""

    events: int = 0
    did: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    prices: Counter[str] = field(default_factory=Counter)
    completions: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"{self.events} events"]
        for one in fields(self)[1:]:
            counts = sorted(getattr(self, one.name).items())
            lines.append(f"{one.name}: " + (", ".join(f"{k} {n}" for k, n in counts) or "none"))
        return "\n".join(lines)


class Memory:
    """A journal without a file: what `Engine` asks of one, and the requests it was given."""

    def __init__(self) -> None:
        self.commands = Commands()
        self.state = self.commands.start()
        self.requests: list[Request] = []

    @property
    def head(self) -> Receipt:
        """How many commands there were."""
        return Receipt(len(self.requests), "0" * 64)

    def execute(self, key: str, kind: str, time_ns: int, body: object) -> Acknowledgement:
        """Apply a command to the body as a replay will read it."""
        twin = cast("dict[str, Any]", decode(encode(body)))
        command = Command(len(self.requests) + 1, key, kind, time_ns, twin)
        state, result = self.commands.apply(self.state, command)
        self.state = state
        self.requests.append(Request(key, kind, time_ns, body))
        return Acknowledgement(receipt=self.head, result=result, is_repeat=False)


def editions() -> list[str]:
    """The editions that an engine plays: those that cut a queue and say what stands before it."""
    shipped = ((name, Venue.load(name)) for name in venues())
    return [name for name, venue in shipped if venue.is_ranked and venue.backstop is not None]


def edition_of(name: str) -> Edition:
    """An edition with every number that was never published made up."""
    venue = Venue.load(name)
    values = {}
    for path in venue.required:
        number = path.rpartition(".")[2]
        is_stop = path.startswith("stop") and number == "ratio"
        values[path] = Decimal(STOP_RATIO if is_stop else NUMBERS[number])
    return venue.with_parameters(values) if values else venue


def choices_of(venue: Edition, draw: random.Random) -> Choices:
    """Choose what an edition leaves open, at random where there is a choice."""
    part = venue.backstop
    unknown = any(c.kind is ConditionKind.UNPUBLISHED for c in venue.trigger.conditions)

    def open_(value: object) -> bool:
        return value == "unpublished"

    return Choices(
        bound=Bound.INCLUSIVE,
        stop=draw.choice([StopReading.CEASES, StopReading.OFFSET]),
        pool=PoolRole.PAYS if part and open_(part.pool) else None,
        surplus=Surplus.FUND if part and open_(part.surplus) else None,
        remainder=Remainder.STAYS if part and open_(part.remainder) else None,
        standing=draw.choice([Standing.CANDIDATE, Standing.EXEMPT, Standing.NETTED]),
        difference=Payer.FUND,
        convention=draw.choice([Convention.WHOLE_ACCOUNT, Convention.CASH_BY_NOTIONAL]),
        deleveraged=draw.choice([Fee.NONE, Fee.MAKER]) if open_(venue.fees.deleveraged) else None,
        liquidated=draw.choice([Fee.NONE, Fee.TAKER]) if open_(venue.fees.liquidated) else None,
        maker_ppm=draw.choice([0, 200, -50]),
        taker_ppm=draw.choice([0, 600]),
        liquidation_ppm=draw.choice([0, 5000]),
        is_manual=unknown,
    )


def book_of(draw: random.Random) -> Frames:
    """A book of three markets with every column that any edition reads."""
    rows = []
    for number in range(36):
        name = draw.choice(["A", "A", "B", "B", "C"])
        price = MARKS[name] * Decimal(draw.randint(70, 130)) / 100
        qty = draw.randint(1, 12) * (10 if name == "C" else 1)
        value = float(qty * price) if name != "C" else qty * 100 / float(price)
        digits = 8 if name == "C" else 6
        margin = f"{value * draw.uniform(0.02, 0.4):.{digits}f}"
        rows.append(
            {
                "position_id": f"p{number}",
                "account": draw.choice(ACCOUNTS),
                "market": name,
                "side": draw.choice(["long", "short"]),
                "qty": str(qty),
                "entry_price": f"{price:f}",
                "margin_mode": draw.choice(["isolated", "isolated", "cross"]),
                "margin": margin,
                "maintenance_margin": f"{value * 0.01:.{digits}f}",
                "initial_margin": f"{value * 0.1:.{digits}f}",
                "leverage": str(draw.randint(1, 50)),
                "open_value": f"{value:.{digits}f}",
                "hedged_qty": str(draw.choice([0, 0, 0, draw.randint(0, qty)])),
            }
        )
    accounts = [
        {
            "account": name,
            "asset": asset,
            "wallet_balance": str(draw.randint(1, 900)),
            "equity": str(draw.randint(-50, 900)),
            "maintenance_margin": str(draw.randint(1, 40)),
            "created_at": str(draw.randint(0, 10**9)),
        }
        for name in ACCOUNTS
        for asset in ("USDT", "BTC")
    ]
    nobody = [
        {"account": name, "underlier": market, "delta_neutral": draw.random() < 0.2}
        for name in ACCOUNTS
        for market in MARKS
    ]
    return Frames(
        positions=_columns(rows),
        marks={name: f"{mark:f}" for name, mark in MARKS.items()},
        markets=_columns(MARKETS),
        accounts=_columns(accounts),
        neutral=_columns(nobody),
    )


def _columns(rows: list[Any]) -> dict[str, list[Any]]:
    """Rows as columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}


class Soak:
    """One edition under random events.

    Args:
        name: of the edition.
        seed: of the run.
        tally: what is counted.
    """

    def __init__(self, name: str, seed: int, tally: Tally) -> None:
        self.draw = random.Random(f"{name} {seed}")
        self.tally = tally
        self.memory = Memory()
        self.engine = Engine(cast("Journal[State]", self.memory))
        self.at = 0
        self.serial = 0
        self.history: dict[str, dict[int, int]] = {}
        self.venue = edition_of(name)
        pools = [
            {"name": "usdt", "asset": "USDT", "cash": self.draw.choice(["0", "60", "1000"])},
            {"name": "btc", "asset": "BTC", "cash": self.draw.choice(["0", "0.01", "1"])},
        ]
        choices = choices_of(self.venue, self.draw)
        self.engine.load(book_of(self.draw), self.venue, pools=pools, choices=choices)
        self._check(self.memory.commands.start())

    def run(self, events: int) -> None:
        """Let things happen, then hold the journal against the live state."""
        acts: list[tuple[int, str, Callable[[], None]]] = [
            (5, "marks", self._marks),
            (1, "deposit", self._deposit),
            (1, "withdraw", self._withdraw),
            (1, "contribute", self._contribute),
            (4, "liquidate", self._liquidate),
            (2, "outcome", self._outcome),
            (6, "deleverage", self._deleverage),
            (1, "shed", self._shed),
            (1, "misuse", self._misuse),
        ]
        weights = [weight for weight, _, _ in acts]
        for _ in range(events):
            _, name, act = self.draw.choices(acts, weights)[0]
            self.at += self.draw.choice([0, 0, 10**6, HOUR // 7, HOUR, 3 * HOUR])
            before = self.memory.state
            self.tally.events += 1
            try:
                act()
            except InvariantError:
                raise
            except AdlError as error:
                self.tally.refused[type(error).__name__] += 1
                assert before is self.memory.state, "a refused command changed the state"
            else:
                self.tally.did[name] += 1
            self._check(before)
        self._replay()

    def _marks(self) -> None:
        scales = self.engine.state.scales
        moved = {}
        for name in self.draw.sample(sorted(scales), self.draw.randint(1, 3)):
            scale = scales[name]
            factor = Decimal(self.draw.choice([50, 80, 95, 99, 100, 101, 105, 120, 180])) / 100
            units = max(1, int(scale.mark_price * factor / scale.price_unit))
            mark = units * scale.price_unit
            if not MARKS[name] / 20 < mark < MARKS[name] * 20:
                mark = MARKS[name]
            moved[name] = {"mark": f"{mark:f}", "oracle": f"{mark * Decimal('1.01'):f}"}
        self.engine.marks(moved, at=self.at)

    def _deposit(self) -> None:
        asset = self.draw.choice(["USDT", "BTC"])
        self.engine.deposit(self.draw.choice(ACCOUNTS), self.draw.randint(1, 90), asset, at=self.at)

    def _withdraw(self) -> None:
        asset = self.draw.choice(["USDT", "BTC"])
        self.engine.withdraw(
            self.draw.choice(ACCOUNTS), self.draw.randint(1, 90), asset, at=self.at
        )

    def _contribute(self) -> None:
        pool = self.draw.choice(["usdt", "btc"])
        self.engine.contribute(pool, self.draw.choice([-40, 5, 500]), at=self.at)

    def _fills(self, market: str, lots: int) -> list[tuple[str, str]]:
        """Up to two fills near the mark, sometimes more than there is."""
        scale = self.engine.state.scales[market]
        mark, unit = scale.mark_price, scale.price_unit
        found = []
        for _ in range(self.draw.choice([0, 0, 1, 2])):
            units = int(mark * Decimal(self.draw.randint(90, 110)) / 100 / unit)
            found.append((str(self.draw.randint(1, abs(lots))), f"{units * unit:f}"))
        return found

    def _facts(self) -> dict[str, Any]:
        """What only a venue would know."""
        flags = ("is_book_thin", "is_backstop_full", "is_emergency")
        facts: dict[str, Any] = {name: self.draw.random() < 0.5 for name in flags}
        facts |= {"vault_loss": str(self.draw.choice([0, 150, 250])), "position_margin": "10"}
        return facts | {"height": self.at // 10**9}

    def _liquidate(self) -> None:
        book = self.engine.state.book
        columns, _ = book.in_places()
        open_ = [place for place, lots in enumerate(columns["lots"].tolist()) if lots]
        if not open_:
            return
        held = book.holding(self.draw.choice(open_))
        self.serial += 1
        self.engine.liquidate(
            f"l{self.serial}",
            held.position_id,
            fills=self._fills(held.market, held.lots),
            facts=self._facts(),
            at=self.at,
        )

    def _outcome(self) -> None:
        names = sorted(self.engine.state.liquidations)
        if not names:
            return
        name = self.draw.choice(names)
        liquidation = self.engine.state.opened(name).liquidation
        fills = self._fills(liquidation.market, liquidation.lots)
        self.engine.outcome(name, fills=fills, facts=self._facts(), at=self.at)

    def _shed(self) -> None:
        pools = self.engine.state.pools.values()
        held = [(pool.name, one.market) for pool in pools for one in pool.inventories if one.lots]
        if held:
            self.serial += 1
            pool, market = self.draw.choice(held)
            self.engine.shed(f"l{self.serial}", pool, market, facts=self._facts(), at=self.at)

    def _misuse(self) -> None:
        """What must be refused, whatever the state."""
        wrong: list[Callable[[], object]] = [
            lambda: self.engine.marks({"A": "0"}, at=self.at),
            lambda: self.engine.marks({"Z": "1"}, at=self.at),
            lambda: self.engine.deposit("nobody", "1", "USDT", at=self.at),
            lambda: self.engine.contribute("usdt", "0", at=self.at),
            lambda: self.engine.liquidate("x", "p99", at=self.at),
            lambda: self.engine.plan("none"),
        ]
        self.draw.choice(wrong)()
        raise AssertionError("a misuse was accepted")

    def _deleverage(self) -> None:
        names = sorted(self.engine.state.liquidations)
        if not names:
            return
        name, manual = self.draw.choice(names), self.draw.choice(["", "", "by hand"])
        exclude = self.draw.sample(ACCOUNTS, self.draw.choice([0, 0, 0, 1, 7]))
        before = self.engine.state
        plan = self.engine.plan(name, manual=manual, exclude=exclude)
        side = "short" if plan.side == "long" else "long"
        queue = self.engine.queue(plan.market, side, 1000)
        self._prefix(plan, queue, exclude)
        lots = dict(self._lots(before))
        done = cast("Mapping[str, Any]", self.engine.commit(plan, at=self.at).result)
        for kind, _, _ in done["steps"]:
            self.tally.steps[kind] += 1
        closed = 0
        for place, size in self._lots(self.engine.state):
            assert abs(size) <= abs(lots[place]), "a position grew"
            assert size * lots[place] >= 0, "a position flipped"
            is_queue = size != lots[place] and place in {fill.place for fill in plan.fills}
            closed += abs(lots[place] - size) if is_queue else 0
        assert closed + plan.unfilled == plan.requested, "fills do not add up to the request"
        assert abs(done.get("dust", 0)) <= len(plan.fills), "more dust than a unit a fill"
        assert done["debt"] >= 0
        self.tally.prices[plan.price.kind.value] += 1
        self.tally.prices[f"rule {plan.price.rule.value}"] += 1
        self.tally.completions[self.venue.allocation.completion.value] += 1
        self.tally.reasons[plan.reason.value] += 1

    def _lots(self, state: State) -> list[tuple[int, int]]:
        """Place and lots of every row."""
        columns, _ = state.book.in_places()
        return list(enumerate(columns["lots"].tolist()))

    def _prefix(self, plan: Any, queue: Any, exclude: list[str]) -> None:
        """Nobody is cut while one ahead of him is not fully cut; at most the last in part."""
        barred = {self.engine.state.opened(plan.liquidation).liquidation.account, *exclude}
        standing = [
            (row["position_id"], int(row["qty"]))
            for row in queue.iter_rows(named=True)
            if row["account"] not in barred
        ]
        cut = [(fill.position_id, abs(fill.lots)) for fill in plan.fills]
        assert cut == standing[: len(cut)], "the cut is no prefix of the queue"
        assert all(abs(fill.lots) == fill.closed for fill in plan.fills[:-1])
        if plan.unfilled and plan.fills:
            assert len(cut) == len(standing), "somebody was spared and something is left"

    def _check(self, before: State) -> None:
        """Hold every guarantee against the state after an event."""
        state = self.memory.state
        examine(state)
        for name, pool in state.pools.items():
            self._windows(name, pool)
        for market, status in state.statuses.items():
            old = before.statuses.get(market)
            if old is not None and status is not old:
                self._transition(old, status)

    def _windows(self, name: str, pool: Any) -> None:
        """The pool's 8-hour peak is that of a naive recomputation."""
        history = self.history.setdefault(name, {})
        history[pool.at] = pool.balance
        cut = pool.at - EIGHT_HOURS
        times = sorted(history)
        ends = [*times[1:], pool.at + 1]
        inside = [history[at] for at, end in zip(times, ends, strict=True) if end > cut]
        assert pool.balance_window(EIGHT_HOURS).peak == max(inside), f"peak of {name}"

    def _transition(self, old: Status, new: Status) -> None:
        """A trigger begins only where a start line holds, and ends only where a stop does."""
        for before, after in zip(old.arms, new.arms, strict=True):
            if after.is_active and before.since != after.since:
                assert after.cause, "an arm began without a cause"
                assert all(one.is_start and one.holds for one in after.cause)
                for one in after.cause:
                    self.tally.starts[one.kind.value] += 1
        if old.state is Light.ACTIVE and new.state is not Light.ACTIVE:
            ended = [one for one in new.decided if one.holds is not one.is_start]
            # One command may read a trigger twice; what is kept is the second reading.
            is_read_once = self.memory.requests[-1].kind in {"marks", "contribute"}
            assert ended or not is_read_once, f"it ended without a reason: {new.reason}"
            for one in ended:
                self.tally.stops[one.kind.value] += 1

    def _replay(self) -> None:
        """The journal of the same requests gives the same state, each of them once."""
        live = self.memory.commands.dump(self.memory.state)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "soak.journal"
            with Journal.open(path, Commands()) as journal:
                journal.execute_many(self.memory.requests)
                assert journal.execute(*self.memory.requests[-1]).is_repeat
                assert Commands().dump(journal.state) == live
        assert Commands().dump(Commands().load(live)) == live


def soak(events: int, seed: int = 0) -> Tally:
    """Run every edition, each its share of the events, then those whose rules were not reached.

    Args:
        events: about how many.
        seed: of the run.

    Returns:
        What happened.
    """
    tally, names = Tally(), editions()
    share = max(1, events // len(names))
    for name in names:
        _run(name, seed, tally, share)
    for name in names:
        for again in range(1, MOST_TRIES):
            venue = Venue.load(name)
            rule, completion = f"rule {venue.price.kind.value}", venue.allocation.completion.value
            if tally.prices[rule] and tally.completions[completion]:
                break
            _run(name, seed + again, tally, share)
    return tally


def _run(name: str, seed: int, tally: Tally, events: int) -> None:
    """Run one edition; what goes wrong says which, and by which seed."""
    try:
        Soak(name, seed, tally).run(events)
    except Exception as error:
        error.add_note(f"edition {name}, seed {seed}, {events} events")
        raise


if __name__ == "__main__":
    wanted = int(os.environ.get("SOAK_EVENTS", "2000"))
    sys.stdout.write(f"{soak(wanted, int(os.environ.get('SOAK_SEED', '0')))}\n")
