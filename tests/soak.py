"""Random events over every edition, with every guarantee checked after each: `python -m soak`.

An edition is played in worlds: a book of two sides, pools near the edition's lines, and events
until the book is worn. A run is repeated by its seed. SOAK_EVENTS says how many events (default
2,000), SOAK_SEED which, SOAK_WORKERS in how many processes. What happened is counted: starts and
stops of triggers, price rules, completion modes, refusals. A run of a million must have reached
each of them a hundred times.
"""

import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path
from typing import Any, cast

import numpy as np

from deleverage.audit import Auditor, examine
from deleverage.backstop.bankruptcy import price_of
from deleverage.backstop.lines import Facts
from deleverage.backstop.trigger import State as Light
from deleverage.backstop.trigger import Status, Trigger
from deleverage.backstop.window import EIGHT_HOURS
from deleverage.engine import Commands, Engine, State
from deleverage.engine.queueing import POOL_PLACE
from deleverage.errors import AdlError, InvariantError
from deleverage.ledger import Command, Journal, decode, encode
from soak_books import (
    ACCOUNTS,
    MARKS,
    OWN,
    POOLS,
    book_of,
    choices_of,
    edition_of,
    editions,
    pools_of,
)
from soak_record import Memory, Tally

__all__ = ["soak"]

HOUR = EIGHT_HOURS // 8
WORLD, TURN = 120, 960
AUDITED, RARELY = 0.25, 0.1
MOST_TRIES = 60
LONG, LEAST, LEAST_EVENTS = 1_000_000, 100, 20_000
GAPS = [0, 0, 0, 10**6, HOUR // 60, HOUR // 7, HOUR, 3 * HOUR, 9 * HOUR]


class World:
    """One edition under random events.

    Args:
        name: of the edition.
        seed: of the world.
        tally: what is counted.
    """

    def __init__(self, name: str, seed: str, tally: Tally) -> None:
        self.draw = random.Random(f"{name} {seed}")
        self.name = name
        self.tally = tally
        self.memory = Memory()
        self.engine = Engine(cast("Journal[State]", self.memory))
        self.at = 0
        self.serial = 0
        self.history: dict[str, dict[int, int]] = {}
        self.venue = edition_of(name, self.draw)
        self.engine.load(
            book_of(self.draw),
            self.venue,
            pools=pools_of(self.venue, self.draw),
            choices=choices_of(self.venue, self.draw),
        )
        self._check()

    def run(self, events: int) -> None:
        """Let things happen, then hold the journal against the live state."""
        for _ in range(events):
            name, act = self._next()
            self.at += self.draw.choice(GAPS)
            before = self.memory.state
            self.tally.events[self.name] += 1
            try:
                act()
            except InvariantError:
                raise
            except AdlError as error:
                self.tally.refused[f"{name} {type(error).__name__}"] += 1
                assert before is self.memory.state, "a refused command changed the state"
            else:
                self.tally.did[name] += 1
            self._check()
        self._replay()

    def _next(self) -> tuple[str, Callable[[], None]]:
        """Draw one of the things that can happen now."""
        acts: list[tuple[int, str, Callable[[], None]]] = [
            (6, "marks", self._marks),
            (1, "deposit", self._deposit),
            (1, "withdraw", self._withdraw),
            (4, "contribute", self._contribute),
            (1, "misuse", self._misuse),
        ]
        state = self.memory.state
        if (state.book.columns["lots"] != 0).any():
            acts.append((5, "liquidate", self._liquidate))
        if state.liquidations:
            acts += [(4, "outcome", self._outcome), (8, "deleverage", self._deleverage)]
        if self._held():
            acts.append((2, "shed", self._shed))
        if self.draw.random() < RARELY:
            acts.append((2, "carve", self._carve))
        chosen = self.draw.choices(acts, [weight for weight, _, _ in acts])[0]
        return chosen[1], chosen[2]

    def _marks(self) -> None:
        scales = self.memory.state.scales
        moved = {}
        for name in self.draw.sample(sorted(scales), self.draw.randint(1, 3)):
            scale = scales[name]
            factor = Decimal(self.draw.choice([60, 80, 95, 99, 100, 101, 105, 120, 150])) / 100
            mark = self.draw.choice([MARKS[name] * factor, *self._bankruptcies(name)])
            mark = max(1, int(mark / scale.price_unit)) * scale.price_unit
            if not MARKS[name] / 20 < mark < MARKS[name] * 20:
                mark = MARKS[name]
            moved[name] = {"mark": f"{mark:f}", "oracle": f"{mark * Decimal('1.01'):f}"}
        self.engine.marks(moved, at=self.at)

    def _bankruptcies(self, market: str) -> list[Decimal]:
        """The prices at which open liquidations of a market are bankrupt, and one unit off."""
        state, found = self.memory.state, []
        scale = state.scales[market]
        for open_ in state.liquidations.values():
            one = open_.liquidation
            if one.market != market or one.bankruptcy is None:
                continue
            price = price_of(
                one.bankruptcy.lot_value, scale.value_ratio, is_inverse=scale.is_inverse
            )
            if price is not None and price > 1:
                found.append((int(price) + self.draw.choice([-1, 0, 1])) * scale.price_unit)
        return found

    def _deposit(self) -> None:
        asset = self.draw.choice(["USDT", "BTC"])
        self.engine.deposit(self.draw.choice(ACCOUNTS), self.draw.randint(1, 90), asset, at=self.at)

    def _withdraw(self) -> None:
        asset = self.draw.choice(["USDT", "BTC"])
        self.engine.withdraw(
            self.draw.choice(ACCOUNTS), self.draw.randint(1, 90), asset, at=self.at
        )

    def _contribute(self) -> None:
        """Bring a pool to a line of its triggers, one unit to either side, or anywhere."""
        state = self.memory.state
        name = self.draw.choice(sorted(state.pools))
        pool = state.pools[name].advance(self.at)
        lines = self._lines(name, pool)
        target = self.draw.choice(lines) + self.draw.choice([-1, 0, 1])
        unit = state.unit(state.assets[name])
        wanted = max(target - pool.balance, -pool.available)
        amounts = [wanted * unit] * 4 * bool(wanted) + [Decimal(-40), Decimal(500)]
        self.engine.contribute(name, f"{self.draw.choice(amounts):f}", at=self.at)

    def _lines(self, name: str, pool: Any) -> list[int]:
        """Balances of a pool at which a line of one of its markets is just reached."""
        state, found = self.memory.state, {0, pool.balance, pool.balances[0].peak}
        for market, backing in state.backing.items():
            if backing != name:
                continue
            for arm in state.triggers[market].arms:
                for line in (*arm.starts, *arm.stops):
                    numbers = line.numbers
                    share = 1 - numbers.get("ratio", Fraction(0))
                    if line.window is not None:
                        window, amount = pool.balance_window(line.window), numbers.get("amount", 0)
                        found |= {int(share * window.peak), int(share * window.average)}
                        found.add(int(window.average - amount))
                    found |= {int(numbers[n]) for n in ("level", "threshold") if n in numbers}
        return sorted(found)

    def _fills(self, market: str, lots: int) -> list[tuple[str, str]]:
        """Up to two fills near the mark, sometimes more than there is."""
        scale = self.memory.state.scales[market]
        mark, unit = scale.mark_price, scale.price_unit
        found = []
        for _ in range(self.draw.choice([0, 0, 0, 1, 2])):
            units = int(mark * Decimal(self.draw.randint(90, 110)) / 100 / unit)
            most = max(1, abs(lots) // self.draw.choice([1, 3]))
            found.append((str(self.draw.randint(1, most)), f"{units * unit:f}"))
        return found

    def _facts(self) -> dict[str, Any]:
        """What only a venue would know."""
        flags = ("is_book_thin", "is_backstop_full", "is_emergency")
        facts: dict[str, Any] = {name: self.draw.random() < 0.5 for name in flags}
        facts |= {"vault_loss": str(self.draw.choice([0, 150, 200, 250])), "position_margin": "10"}
        facts |= {"traders_pnl": str(self.draw.choice([-5, 0, 30, 60])), "pool_value": "100"}
        return facts | {"height": self.at // 10**9}

    def _liquidate(self) -> None:
        """Liquidate a position that is open, more often one that has lost most of its value."""
        state = self.memory.state
        columns = state.book.columns
        lots, is_live = columns["lots"], columns["live"]
        places = [place for place in range(len(lots)) if lots[place] and is_live[place]]
        if not places or self.draw.random() < 0.05:
            places = [place for place in range(len(lots)) if lots[place]]
        some = self.draw.sample(places, min(len(places), self.draw.choice([1, 6, 12])))
        found = state.book.holdings(np.array(some, np.int64))
        held = min(found, key=partial(self._share_gained, state))
        self.serial += 1
        self.engine.liquidate(
            f"l{self.serial}",
            held.position_id,
            fills=self._fills(held.market, held.lots),
            facts=self._facts(),
            at=self.at,
        )

    def _share_gained(self, state: State, held: Any) -> float:
        """What a position has gained, as a share of what it was entered at."""
        scale = state.scales[held.market]
        value = abs(held.lots) * scale.mark_num / scale.mark_den
        side = (1 if held.lots > 0 else -1) * (-1 if scale.is_inverse else 1)
        return float(side * (value / max(held.entry_value, 1) - 1))

    def _outcome(self) -> None:
        name = self.draw.choice(sorted(self.memory.state.liquidations))
        liquidation = self.memory.state.opened(name).liquidation
        fills = self._fills(liquidation.market, liquidation.lots)
        self.engine.outcome(name, fills=fills, facts=self._facts(), at=self.at)

    def _held(self) -> list[tuple[str, str]]:
        """Pools with the markets in which they hold something."""
        pools = self.memory.state.pools.values()
        return [(pool.name, one.market) for pool in pools for one in pool.inventories if one.lots]

    def _shed(self) -> None:
        self.serial += 1
        pool, market = self.draw.choice(self._held())
        self.engine.shed(f"l{self.serial}", pool, market, facts=self._facts(), at=self.at)

    def _carve(self) -> None:
        state = self.memory.state
        market = self.draw.choice(sorted(state.backing))
        cash = self.draw.choice(["0", "10"])
        self.engine.carve(state.backing[market], market, f"own {market}", cash=cash, at=self.at)

    def _misuse(self) -> None:
        """What must be refused, whatever the state."""
        wrong: list[Callable[[], object]] = [
            lambda: self.engine.marks({"A": "0"}, at=self.at),
            lambda: self.engine.marks({"Z": "1"}, at=self.at),
            lambda: self.engine.deposit("nobody", "1", "USDT", at=self.at),
            lambda: self.engine.contribute(next(iter(POOLS)), "0", at=self.at),
            lambda: self.engine.liquidate("x", "p99", at=self.at),
            lambda: self.engine.plan("none"),
        ]
        self.draw.choice(wrong)()
        raise AssertionError("a misuse was accepted")

    def _deleverage(self) -> None:
        before = self.memory.state
        names = sorted(before.liquidations)
        name, hands = self.draw.choice(names), ["", "", "", "by hand"]
        status = before.statuses[before.opened(name).liquidation.market]
        manual = self.draw.choice(hands if status.state is Light.ACTIVE else hands[2:])
        exclude = self.draw.sample(ACCOUNTS, self.draw.choice([0, 0, 0, 0, 1, 11]))
        plan = self.engine.plan(name, manual=manual, exclude=exclude)
        side = "short" if plan.side == "long" else "long"
        queue = self.engine.queue(plan.market, side, 1000)
        self._prefix(plan, queue, exclude)
        lots = dict(self._lots(before))
        done = cast("Mapping[str, Any]", self.engine.commit(plan, at=self.at).result)
        closed = 0
        cut = {fill.place for fill in plan.fills}
        for place, size in self._lots(self.memory.state):
            assert abs(size) <= abs(lots[place]), "a position grew"
            assert size * lots[place] >= 0, "a position flipped"
            closed += abs(lots[place] - size) if place in cut else 0
        # A pool that stands in the queue is no row; its leg says what it holds before and after.
        for leg, fill in zip(done["legs"], plan.fills, strict=True):
            if fill.place == POOL_PLACE:
                assert abs(fill.lots) == leg["closed"] + abs(leg["lots_left"]), "the pool's leg"
                closed += leg["closed"]
        assert closed + plan.unfilled == plan.requested, "fills do not add up to the request"
        assert abs(done.get("dust", 0)) <= len(plan.fills), "more dust than a unit a fill"
        assert done["debt"] >= 0
        self.tally.rules[plan.price.rule.value] += 1
        self.tally.prices[plan.price.kind.value] += 1
        self.tally.completions[self.venue.allocation.completion.value] += 1
        self.tally.reasons[plan.reason.value] += 1

    def _lots(self, state: State) -> list[tuple[int, int]]:
        """Place and lots of every row."""
        return list(enumerate(state.book.columns["lots"].tolist()))

    def _prefix(self, plan: Any, queue: Any, exclude: list[str]) -> None:
        """Nobody is cut while one ahead of him is not fully cut; at most the last in part."""
        barred = {self.memory.state.opened(plan.liquidation).liquidation.account, *exclude}
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

    def _check(self) -> None:
        """Hold every guarantee against the state after an event."""
        state = self.memory.state
        examine(state)
        for name, pool in state.pools.items():
            self._windows(name, pool)
        for turn in self.memory.turns:
            self._turned(*turn)
        self.tally.steps.update(self.memory.steps)
        self.memory.turns.clear()
        self.memory.steps.clear()

    def _windows(self, name: str, pool: Any) -> None:
        """Peak, opening and average of the pool's 8 hours are those of a naive recomputation."""
        history = self.history.setdefault(name, {})
        history[pool.at] = pool.balance
        cut = pool.at - EIGHT_HOURS
        ends = [*pairwise(sorted(history)), (pool.at, pool.at + 1)]
        inside = [history[at] for at, end in ends if end > cut]
        window = pool.balance_window(EIGHT_HOURS)
        assert window.peak == max(inside), f"peak of {name}"
        times = sorted(at for at in history if at <= cut) or [min(history)]
        assert window.opening == history[times[-1]], f"opening of {name}"

    def _turned(self, trigger: Trigger, old: Status, new: Status, facts: Facts) -> None:
        """A trigger begins only where its start lines hold, and ends only where a stop does."""
        for arm, before, after in zip(trigger.arms, old.arms, new.arms, strict=True):
            if not before.is_active and after.is_active:
                assert after.since == facts.at, "an arm began at another time"
                assert after.cause, "an arm began without a cause"
                assert all(one.is_start and one.holds for one in after.cause)
                self.tally.starts.update(one.kind.value for one in after.cause)
            elif before.is_active:
                assert before.since is not None
                is_over, readings = arm.read_stops(facts, before.since)
                assert is_over is not after.is_active, "an arm ended without a reason"
                assert is_over or after == before, "an active arm changed"
                # Without stops of its own an arm ends by a start line that holds no more.
                ended = [one for one in readings if is_over and one.holds is not one.is_start]
                assert bool(ended) is is_over, "it ended without a reason"
                self.tally.stops.update(one.kind.value for one in ended)
            else:
                held = [line.read(facts, is_start=True).holds for line in arm.starts]
                assert not all(held), "an arm slept through its start"

    def _replay(self) -> None:
        """The journal of the same requests gives the same state, each of them once.

        In one world of four every decision is derived again too, as an audit does it.
        """
        live = self.memory.commands.dump(self.memory.state)
        requests = self.memory.requests
        with (
            tempfile.TemporaryDirectory() as folder,
            Journal.open(Path(folder) / "soak.journal", Commands()) as journal,
        ):
            journal.execute_many(requests)
            assert journal.execute(*requests[-1]).is_repeat
            assert Commands().dump(journal.state) == live
        if self.draw.random() < AUDITED:
            auditor = Auditor()
            trail = auditor.start()
            for number, one in enumerate(requests, 1):
                body = cast("dict[str, Any]", decode(encode(one.body)))
                command = Command(number, one.key, one.kind, one.time_ns, body)
                trail, _ = auditor.apply(trail, command)
            assert auditor.dump(trail) == live
        assert Commands().dump(Commands().load(live)) == live


def soak(events: int, seed: int = 0, workers: int = 1, *, into: Tally | None = None) -> Tally:
    """Play every edition, each its share of the events, and ours until no rule is left out.

    Editions take turns, so that what a stopped run has counted is of all of them.

    Args:
        events: about how many.
        seed: of the run.
        workers: processes.
        into: where it is counted, turn by turn.

    Returns:
        What happened.
    """
    names = editions()
    share = max(1, events // len(names))
    if events >= LONG:
        share = max(share, LEAST_EVENTS)
    tally = Tally() if into is None else into
    tasks = [
        (name, f"{seed}.{first // TURN}", min(TURN, share - first))
        for first in range(0, share, TURN)
        for name in names
    ]
    with Pool(workers, _worker) if workers > 1 else nullcontext() as pool:
        for number, one in enumerate((pool.imap if pool else map)(_play, tasks), 1):
            tally.add(one)
            if number % len(names) == 0:
                sys.stderr.write(f"{tally.events.total()} events\n")
                sys.stderr.flush()
    for again in range(1, MOST_TRIES):
        if not [one for one in tally.rare(1) if one.startswith(("rules", "completions"))]:
            break
        tally.add(_play((OWN[1], f"{seed} again {again}", WORLD)))
    return tally


def _play(task: tuple[str, str, int]) -> Tally:
    """Play one edition in worlds; what goes wrong says which, and by which seed."""
    name, seed, events = task
    tally, number = Tally(), 0
    while (left := events - tally.events[name]) > 0:
        number += 1
        world = f"{seed}.{number}"
        try:
            World(name, world, tally).run(min(left, WORLD))
        except Exception as error:
            error.add_note(f"edition {name}, world {world}, {min(left, WORLD)} events")
            raise
    return tally


def _worker() -> None:
    """Let a worker end without a word when the run is told to."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main() -> int:
    """Run as the environment says; 1 where a long run did not reach everything."""
    wanted = int(os.environ.get("SOAK_EVENTS", "2000"))
    seed = int(os.environ.get("SOAK_SEED", "0"))
    workers = int(os.environ.get("SOAK_WORKERS", "2" if wanted >= LONG else "1"))
    # A run that is told to end says what it has counted so far.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tally, is_whole = Tally(), True
    try:
        soak(wanted, seed, workers, into=tally)
    except KeyboardInterrupt:
        is_whole = False
    rare = tally.rare(LEAST)
    below = ", ".join(rare) or "nothing"
    told = "" if is_whole else "stopped before its end: "
    sys.stdout.write(f"{told}{tally}\nfewer than {LEAST} times: {below}\n")
    return 1 if not is_whole or (rare and wanted >= LONG) else 0


if __name__ == "__main__":
    sys.exit(main())
