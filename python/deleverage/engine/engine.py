"""The engine's face: commands in decimals and names, made durable before they count.

    with Engine.open("venue.journal") as engine:
        engine.load(frames, venue, pools=[{"name": "fund", "cash": "1000000"}], at=0)
        engine.marks({"BTC-PERP": "61250"}, at=1)
        engine.liquidate("liq-1", "zed/BTC-PERP/long", fills=[("10", "61300")], at=2)
        engine.commit(engine.plan("liq-1"), at=2)

A command is checked, made durable, applied, and then acknowledged with a receipt. One that is
refused leaves everything as it was. Times are event times, whole nanoseconds UTC, and never run
backwards; the engine itself reads no clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from deleverage.engine import book, codec
from deleverage.engine.book import Frames
from deleverage.engine.commands import Commands
from deleverage.engine.intake import (
    Number,
    event,
    known_accounts,
    marks_of,
    name_of,
    pool_bodies,
    require_kind,
    require_time,
    spelled,
)
from deleverage.engine.loading import edition_hash
from deleverage.engine.planner import Plan, decide
from deleverage.engine.queueing import queue_frame
from deleverage.engine.state import Choices, State
from deleverage.errors import InputError, VenueError
from deleverage.ledger import Acknowledgement, Journal, Receipt, TrialBalance, Value
from deleverage.model.quantise import quantise
from deleverage.model.records import Venue

__all__ = ["Engine", "Number"]


class Engine:
    """One venue's engine on one journal; use `Engine.open`, and close it.

    Args:
        journal: the open journal.
    """

    def __init__(self, journal: Journal[State]) -> None:
        self._journal = journal
        _make_ready(journal.state)

    @classmethod
    def open(cls, path: str | Path, *, receipt: Receipt | None = None) -> Self:
        """Open a journal, or make one, and bring the state up to its last command.

        Args:
            path: the file; its folder must exist.
            receipt: an acknowledgement that must be in it, against a lost tail.

        Raises:
            InputError: the folder is not there, or path or receipt is of another kind.
            StateError: another writer holds the file, it is no journal or of a newer schema, an
                entry is damaged, or the receipt is not in it.
        """
        require_kind(path, (str, PathLike), "path", "the path of a file")
        wanted = "a Receipt; Receipt.parse reads its text"
        require_kind(receipt, (Receipt, type(None)), "receipt", wanted)
        return cls(Journal.open(path, Commands(), receipt=receipt))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    @property
    def state(self) -> State:
        """What every command so far adds up to."""
        return self._journal.state

    @property
    def head(self) -> Receipt:
        """The receipt of the last command."""
        return self._journal.head

    @property
    def trial_balance(self) -> TrialBalance:
        """What all accounts hold, by asset and kind; the books close when each adds to zero."""
        return self.state.ledger.trial_balance()

    def state_hash(self) -> str:
        """SHA-256 of the whole state, hexadecimal; it costs what the state is large."""
        return self._journal.state_hash()

    def snapshot(self) -> Receipt:
        """Keep the state in the journal, so that the next opening replays only what comes after."""
        return self._journal.snapshot()

    def load(
        self,
        frames: Frames,
        venue: Venue,
        *,
        pools: Sequence[Mapping[str, Any]] = (),
        choices: Choices | None = None,
        at: int = 0,
        key: str | None = None,
    ) -> Acknowledgement:
        """Load a book; the first command of a journal.

        Args:
            frames: its tables; `markets` must say every unit. A tick_size binds settlement prices
                only: marks and fills may lie between ticks.
            venue: the edition, with its required numbers supplied.
            pools: insurance pools: name, cash in the asset, and where it matters markets, asset,
                may_be_negative (true or false), group. Without markets a pool is shared; pools of
                one group answer for each other.
            choices: what the venue left open.
            at: event time, ns UTC.
            key: unique name of the command, for retries.

        Raises:
            InputError: a table or a pool is not what the contract says.
            VenueError: the edition cuts no queue, or what the venue never published is to be
                chosen first.
            StateError: a book is loaded already, or time runs backwards.
        """
        require_kind(frames, Frames, "frames", "Frames")
        require_kind(venue, Venue, "venue", "a venue's edition, as Venue.load gives")
        require_kind(choices, (Choices, type(None)), "choices", "Choices")
        if not venue.is_ranked:
            raise VenueError(
                f"{venue.name}: expected an edition that cuts a queue, got one that shares by "
                f"{venue.allocation.policy}; see deleverage.policy"
            )
        read = book.read_book(frames, venue)
        scales = {scale.market: scale for scale in read.scales}
        # A shipped edition is a record with a loader; what is kept is the record.
        body: dict[str, Value] = {
            "book": book.pack(read),
            "scales": codec.pack(scales),
            "venue": codec.pack(venue),
            "edition": edition_hash(venue),
            "choices": codec.pack(choices or Choices()),
            "pools": pool_bodies(pools, scales),
        }
        loaded = self._execute("load", body, at, key)
        _make_ready(self.state)
        return loaded

    def marks(
        self,
        marks: Mapping[str, Number | Mapping[str, Number]],
        *,
        at: int,
        key: str | None = None,
    ) -> Acknowledgement:
        """Move marks.

        Args:
            marks: price by market, or a table with `mark` and where known `previous`, `oracle`.
            at: event time, ns UTC.
            key: unique name of the command.

        Raises:
            InputError: an unknown market or price, or one that is no number above zero.
            StateError: no book is loaded, or time runs backwards.
        """
        return self._execute("marks", {"marks": marks_of(marks)}, at, key)

    def deposit(
        self, account: str, amount: Number, asset: str, *, at: int, key: str | None = None
    ) -> Acknowledgement:
        """Credit an account with money from outside.

        Raises:
            InputError: an unknown account or asset, or an amount not above zero.
            StateError: time runs backwards.
        """
        return self._execute("deposit", self._cash(account, amount, asset), at, key)

    def withdraw(
        self, account: str, amount: Number, asset: str, *, at: int, key: str | None = None
    ) -> Acknowledgement:
        """Pay an account what it can spare.

        Raises:
            InputError: an unknown account or asset, or an amount not above zero.
            StateError: it is bound by a margin, withdrawals wait, or time runs backwards.
        """
        return self._execute("withdraw", self._cash(account, amount, asset), at, key)

    def contribute(
        self, pool: str, amount: Number, *, at: int, key: str | None = None
    ) -> Acknowledgement:
        """Put money into a pool from outside, or take it out where the amount is below zero.

        Raises:
            InputError: an unknown pool, or an amount of zero.
            StateError: more than is available, or time runs backwards.
        """
        state, pool = self.state, name_of(pool, "pool")
        if pool not in state.assets:
            known = ", ".join(state.assets) or "none"
            raise InputError(f"pool: expected one of {known}, got {pool!r}")
        asset = state.assets[pool]
        units = quantise(amount, state.unit(asset), name=f"amount in {asset}")
        return self._execute("contribute", {"pool": pool, "amount": units}, at, key)

    def carve(
        self,
        pool: str,
        market: str,
        name: str,
        *,
        cash: Number = 0,
        at: int,
        key: str | None = None,
    ) -> Acknowledgement:
        """Take a market out of a pool into a pool of its own, which is judged by itself from now.

        Its position goes with it, what it gained and lost, and the liquidation that sheds it.

        Args:
            pool: that stands behind the market with others.
            market: its name.
            name: of the new pool.
            cash: what the new pool gets, in the asset.
            at: event time, ns UTC.
            key: unique name of the command.

        Raises:
            InputError: the pool is not behind the market or stands behind it alone, or the name is
                taken.
            StateError: the pool has less money than that, or time runs backwards.
        """
        state, pool = self.state, name_of(pool, "pool")
        units = 0
        if pool in state.assets:
            asset = state.assets[pool]
            units = quantise(cash, state.unit(asset), name=f"cash in {asset}")
        body: dict[str, Value] = {
            "pool": pool,
            "market": name_of(market, "market"),
            "name": name_of(name, "name"),
            "cash": units,
        }
        return self._execute("carve", body, at, key)

    def liquidate(
        self,
        name: str,
        position_id: str | int,
        *,
        fills: Sequence[tuple[Number, Number]] = (),
        cancelled: Sequence[str] = (),
        bankruptcy_price: Number | None = None,
        facts: Mapping[str, Number] | None = None,
        at: int,
        key: str | None = None,
    ) -> Acknowledgement:
        """Begin the liquidation of a position.

        Args:
            name: of the liquidation.
            position_id: of the position.
            fills: what the market closed at once: contracts and price each.
            cancelled: ids of the orders that were cancelled.
            bankruptcy_price: where the venue knows it; else it follows from the edition.
            facts: what only the venue knows, by the names of `backstop.lines.Facts`; money in
                the settlement asset.
            at: event time, ns UTC.
            key: unique name of the command.

        Raises:
            InputError: an unknown position, a fill that is no part of it, a missing fact.
            StateError: it is in liquidation already, or time runs backwards.
        """
        body = {
            "id": name,
            "position_id": name_of(position_id, "position_id"),
            **event(fills, cancelled, facts),
        }
        if bankruptcy_price is not None:
            body["bankruptcy_price"] = spelled(bankruptcy_price, "bankruptcy_price")
        return self._execute("liquidate", body, at, key)

    def shed(
        self,
        name: str,
        pool: str,
        market: str,
        *,
        fills: Sequence[tuple[Number, Number]] = (),
        facts: Mapping[str, Number] | None = None,
        at: int,
        key: str | None = None,
    ) -> Acknowledgement:
        """Begin to close what a pool has taken over in a market.

        Args:
            name: of the liquidation.
            pool: its name.
            market: of its position.
            fills: what the market closed at once: contracts and price each.
            facts: as for `liquidate`.
            at: event time, ns UTC.
            key: unique name of the command.

        Raises:
            InputError: the pool is not behind the market, or a fill is no part of its position.
            StateError: it holds nothing there, or time runs backwards.
        """
        body = {"id": name, "pool": pool, "market": market, **event(fills, (), facts)}
        return self._execute("liquidate", body, at, key)

    def outcome(
        self,
        name: str,
        *,
        fills: Sequence[tuple[Number, Number]] = (),
        cancelled: Sequence[str] = (),
        facts: Mapping[str, Number] | None = None,
        at: int,
        key: str | None = None,
    ) -> Acknowledgement:
        """Say what the market did with a liquidation since; the trigger is read again.

        Args:
            name: of the liquidation.
            fills: contracts and price each.
            cancelled: ids of the orders that were cancelled.
            facts: as for `liquidate`.
            at: event time, ns UTC.
            key: unique name of the command.

        Raises:
            InputError: a fill is no part of what is open.
            StateError: there is no such open liquidation, or time runs backwards.
        """
        body = {"id": name, **event(fills, cancelled, facts)}
        return self._execute("outcome", body, at, key)

    def plan(self, name: str, *, exclude: Iterable[str] = (), manual: str = "") -> Plan:
        """Plan the deleveraging of an open liquidation; nothing changes.

        Args:
            name: of the liquidation.
            exclude: accounts that are never cut, a list of names of the book.
            manual: why it is done outside of an active trigger, if it is.

        Raises:
            StateError: there is no such liquidation, or the trigger does not permit it.
            InputError: a fact or a price that the edition reads is not known, or an excluded
                account is not in the book.
        """
        require_kind(name, str, "name", "the name of a liquidation")
        require_kind(manual, str, "manual", "a text")
        barred = known_accounts(self.state, exclude)
        return decide(self.state, name, exclude=barred, manual=manual)

    def commit(
        self, plan: Plan, *, at: int | None = None, key: str | None = None
    ) -> Acknowledgement:
        """Cut the queue as planned.

        Args:
            plan: what `plan` gave.
            at: event time, ns UTC; default that of the last command.
            key: unique name of the command.

        Raises:
            InputError: it is no plan.
            StateError: the plan is stale: what it rests on moved.
            InvariantError: a guarantee would break; nothing is written and the journal stops.
        """
        require_kind(plan, Plan, "plan", "what Engine.plan gave")
        return self._execute("commit", plan.body, self.state.at if at is None else at, key)

    def queue(self, market: str, side: str, head: int = 10) -> pl.DataFrame:
        """Show the head of one queue: rank, position_id, account, qty, score, light.

        Args:
            market: its name.
            side: `long` or `short`.
            head: how many, 0 or more, the first to be cut first.

        Raises:
            InputError: there is no such market or side, or the head is below zero.
        """
        require_kind(head, int, "head", "a whole number of 0 or more")
        if head < 0:
            raise InputError(f"head: expected a whole number of 0 or more, got {head}")
        return queue_frame(self.state, market, side, head)

    def _cash(self, account: str, amount: Number, asset: str) -> dict[str, Value]:
        """Give the body of a command that moves money between an account and the outside."""
        asset = name_of(asset, "asset")
        units = quantise(amount, self.state.unit(asset), name=f"amount in {asset}")
        if units <= 0:
            raise InputError(f"amount in {asset}: expected more than 0, got {amount}")
        return {"account": name_of(account, "account"), "asset": asset, "amount": units}

    def _execute(
        self, kind: str, body: dict[str, Value], at: int, key: str | None
    ) -> Acknowledgement:
        """Hand a command to the journal; without a key it is named by its place."""
        require_time(at)
        name = f"{self.head.sequence + 1}:{kind}" if key is None else key
        return self._journal.execute(name, kind, at, body)


def _make_ready(state: State) -> None:
    """Have the kept book made, so that no plan waits for it."""
    if state.positions is not None:
        # An account out of range is refused where its queue is asked for.
        with suppress(InputError):
            state.book.keep(state.terms)
