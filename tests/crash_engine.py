"""A process that runs an engine and is meant to be killed.

It says what it does on its standard output, one JSON line each: `{"at": "done", ...}` after an
acknowledgement, and `{"at": "inside"}` from inside the statement that writes one command, where it
then waits for a line on its standard input.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deleverage.engine import Engine, Frames
from deleverage.ledger import Acknowledgement, Entry
from deleverage.ledger.store import Store
from deleverage.venue import Venue
from engines import CHOICES, market

BANKRUPT = 60
"""Longs that can be liquidated, one after the other."""
DEPOSIT = 10**6
"""Money units of each deposit."""


def tell(**said: Any) -> None:
    """Say one thing."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def book() -> Frames:
    """Bankrupt longs of two contracts each, and shorts that can take all of them."""
    longs = [(f"z{n:02d}", "long", "2", "2000", "200") for n in range(BANKRUPT)]
    shorts = [(f"s{n:02d}", "short", "12", "2100", f"{300 + n}") for n in range(BANKRUPT // 6)]
    names = ("account", "side", "qty", "entry_price", "margin")
    rows = [*longs, *shorts]
    positions: dict[str, list[str]] = {
        name: [row[place] for row in rows] for place, name in enumerate(names)
    }
    terms = market("ETH")
    return Frames(
        positions={**positions, "market": ["ETH"] * len(rows)},
        marks={"ETH": "1800"},
        markets={name: [value] for name, value in terms.items()},
    )


def begin(path: Path) -> None:
    """Load the book, if the journal is new."""
    with Engine.open(path) as engine:
        if engine.head.sequence == 0:
            pools = [{"name": "fund", "cash": "0"}]
            engine.load(book(), Venue.load("bitmex"), pools=pools, choices=CHOICES)


def commands(engine: Engine) -> Iterator[Acknowledgement]:
    """Go on from where the journal is, until every bankrupt long is closed.

    Only the last one that is closed can lack its deposit; it is made again with its key, which
    changes nothing where it was made.
    """
    names = [f"z{number:02d}" for number in range(BANKRUPT)]
    closed = [name for name in names if lots(engine, name) == 0]
    for name in closed[-1:]:
        yield engine.deposit("s00", "1", "USDT", at=engine.state.at, key=f"deposit {name}")
    for number, name in enumerate(names[len(closed) :], len(closed)):
        at = engine.state.at + 1
        yield engine.marks({"ETH": f"{1800 + number % 7}"}, at=at)
        if name not in engine.state.liquidations:
            yield engine.liquidate(name, position(name), at=at, key=f"liquidate {name}")
        yield engine.commit(engine.plan(name), at=at, key=f"commit {name}")
        yield engine.deposit("s00", "1", "USDT", at=at, key=f"deposit {name}")


def position(name: str) -> str:
    """The id of a bankrupt long."""
    return f"{name}/ETH/long"


def lots(engine: Engine, name: str) -> int:
    """What a bankrupt long still holds."""
    store = engine.state.book
    return store.holding(int(store.roster.find(position(name))[0])).lots


def pause_inside(store: Store, steps: int) -> None:
    """Stop at a step of the statement that is run next, until somebody writes a line."""
    left = [steps]

    def step() -> None:
        left[0] -= 1
        if left[0] == 0:
            tell(at="inside")
            sys.stdin.readline()

    store.connection.set_progress_handler(step, 1)


def run(path: str, pause_at: int, steps: int) -> None:
    """Run commands; before the one of this number is written, stop inside its statement."""
    insert, count = Store.insert, [0]

    def counted(store: Store, entry: Entry) -> None:
        count[0] += 1
        if count[0] == pause_at:
            pause_inside(store, steps)
        insert(store, entry)
        store.connection.set_progress_handler(None, 0)

    Store.insert = counted  # type: ignore[method-assign]
    with Engine.open(path) as engine:
        for done in commands(engine):
            tell(at="done", receipt=str(done.receipt), is_repeat=done.is_repeat)
    tell(at="end")


if __name__ == "__main__":
    run(sys.argv[1], *map(int, sys.argv[2:]))
