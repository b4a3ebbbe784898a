"""A crash simulated: prices, margin calls, liquidations, the pool and deleveraging, step by step.

There is one market, or several whose prices move together. In each step the prices move (their
paths, a pull back to them, jumps), the order books' depths recover, traders are called for margin,
and those below maintenance are liquidated until nobody is. A liquidated position is taken over with
its cash, which is its bankruptcy price:

- while the pool is above its start line the book takes what its depth allows at any price, the
  pool takes over what its appetite allows and sheds it later;
- from the start line on, until the pool is back at its stop line, the book takes only what is no
  worse than the bankruptcy price, and the pool takes nothing;
- what neither has taken is closed against the other side by a policy.

Liquidations move the price, and what a policy closes is gone in the next round. What nobody could
close the pool takes in the end; its balance may fall below zero, and that is what stays uncovered.
Every step ends with the proof that lots and money add to zero.

With several markets some accounts hold two positions that offset each other over one equity: cross
margin. They are healthy as long as both legs stand; where a policy cuts one, the other moves the
whole account, and it may be liquidated for it. An account is liquidated with all its positions,
its money laid on them by what they are worth.

What it leaves out: partial liquidation, funding, fees of the fills, and an edition's own trigger
(the two lines of the course stand for it).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from deleverage.errors import InputError
from deleverage.lab.policies import known_policies
from deleverage.lab.simulate_course import Course, Traders, draw_paths, draw_traders
from deleverage.lab.simulate_run import PRICES, Run
from deleverage.model.records import Venue
from deleverage.model.terms import PriceKind

__all__ = ["ACCOUNTS", "FILLS", "LIGHTS", "PRICES_OF", "STEPS", "Simulation", "simulate"]

_INT = pl.Int64()
_STEP_COLUMNS = (
    *("step", "price", "depth", "called", "topped_up", "liquidated", "liquidated_lots"),
    *("book_lots", "pool_balance", "pool_lots", "active", "adl_lots", "adl_accounts"),
    *("unfilled_lots", "needed", "executed", "naked_lots", "naked_exposure", "naked_loss"),
)
_ACCOUNT_COLUMNS = (
    *("lots_start", "lots_end", "equity_start", "equity_end", "topped_up", "endowment"),
    *("place", "queued", "cut_lots", "lost", "naked_lots", "naked_loss", "liquidated_at"),
)
STEPS = dict.fromkeys(_STEP_COLUMNS, _INT)
"""One row a step: price (ticks) and depth (lots the book takes from now on) of the first market,
called and liquidated (positions), topped_up (money), lots liquidated, taken by the book,
deleveraged and left to the pool, pool_balance (money), pool_lots (signed, first market), active (1
between start and stop line), needed (what the rest of the bankrupt positions lacked at the mark),
executed (what those who were cut lost against it), and of hedged traders: lots that a cut has left
naked, by how much cuts have made what moves with the markets larger in their accounts, and what
those lots have lost so far by the price (below zero: gained)."""
ACCOUNTS: dict[str, pl.DataType] = {
    "account": pl.String(),
    "market": _INT,
    "side": pl.String(),
    "is_hedged": pl.Boolean(),
    **dict.fromkeys(_ACCOUNT_COLUMNS, _INT),
}
"""One row a position: its account and market, lots without sign, equity of the account, money,
endowment (profit just before the first deleveraging of its side, 0 or more), place and queued (in
the queue then, 0 for none, and lots then), cut_lots and lost (lots deleveraged, and what that cost
against the mark), naked_lots and naked_loss as in the steps, liquidated_at (step, or null)."""
FILLS = {
    "step": _INT,
    "market": _INT,
    "account": pl.String(),
    "side": pl.String(),
    **dict.fromkeys(("lots", "cash", "mark", "lost"), _INT),
}
"""One row a cut: lots closed, cash that its trader received for them (below zero: paid), the mark
then, and what he lost against it, money units."""
LIGHTS = {"step": _INT, "account": pl.String(), "light": pl.UInt8()}
"""Light of a few traders of the first market at the end of each step; 0 is not in the queue."""
PRICES_OF = {"step": _INT, "market": _INT, "price": _INT}
"""The mark of each market at the end of each step, ticks."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """What a crash did under one venue and policy.

    Attributes:
        course: its figures.
        venue: name of the edition.
        policy: name of the policy.
        steps: see `STEPS`.
        accounts: see `ACCOUNTS`.
        fills: see `FILLS`.
        lights: see `LIGHTS`.
        prices: see `PRICES_OF`.
    """

    course: Course
    venue: str
    policy: str
    steps: pl.DataFrame
    accounts: pl.DataFrame
    fills: pl.DataFrame
    lights: pl.DataFrame
    prices: pl.DataFrame


def simulate(
    course: Course,
    *,
    venue: Venue,
    policy: str = "queue",
    price: PriceKind | None = None,
    traders: Traders | None = None,
    path: list[int] | list[list[int]] | None = None,
) -> Simulation:
    """Simulate a crash.

    Args:
        course: its figures.
        venue: the edition whose queue and settlement price are used.
        policy: one of `policies.POLICIES`.
        price: settle at this instead of the edition's own.
        traders: others than the course draws.
        path: another path of the price, one a step, ticks; of several markets a list each.

    Returns:
        Its tables.

    Raises:
        InputError: an argument is unknown or out of range, or the edition settles at a price that
            takes what is not simulated.
        InvariantError: lots or money did not add to zero.
    """
    known_policies([policy])
    kind = venue.price.kind if price is None else price
    if kind not in PRICES:
        known = ", ".join(sorted(PRICES))
        raise InputError(
            f"price: edition {venue.name} settles by {kind}, which is not simulated; "
            f"expected one of {known}, pass one of them instead (--settle)"
        )
    drawn = draw_paths(course) if path is None else _paths(path, course)
    given = draw_traders(course) if traders is None else traders
    if int(given.markets.max(initial=0)) >= course.markets:
        raise InputError(
            f"traders: expected markets below {course.markets}, as the course says, got "
            f"{int(given.markets.max())}"
        )
    run = Run(course=course, venue=venue, policy=policy, kind=kind, traders=given)
    for step, targets in enumerate(zip(*drawn, strict=True)):
        run.play(step, targets)
    return Simulation(
        course=course,
        venue=venue.name,
        policy=policy,
        steps=pl.DataFrame(run.rows, schema=STEPS),
        accounts=_accounts(run),
        fills=pl.DataFrame(run.fills, schema=FILLS, orient="row"),
        lights=pl.DataFrame(run.lights, schema=LIGHTS, orient="row"),
        prices=pl.DataFrame(run.prices, schema=PRICES_OF, orient="row"),
    )


def _paths(path: list[int] | list[list[int]], course: Course) -> list[list[int]]:
    """Read paths that were given: one, or one a market."""
    several = [each for each in path if isinstance(each, list)]
    paths = several or [[each for each in path if isinstance(each, int)]]
    if len(paths) != course.markets:
        raise InputError(f"path: expected one for each of {course.markets} markets")
    for one in paths:
        if len(one) != course.steps or min(one) < 1:
            raise InputError(f"path: expected {course.steps} prices above 0, got {len(one)}")
    return paths


def _accounts(run: Run) -> pl.DataFrame:
    """The table of traders; see `ACCOUNTS`."""
    start, notes, books = run.traders, run.notes, run.books
    sign = np.sign(start.lots)
    gain = sign * (np.abs(start.lots) * run.course.price - start.entry_value)
    own = (start.margin + gain).astype(np.int64)
    at = pl.Series(notes.liquidated_at)
    values = {
        "account": [f"t{account:05d}" for account in books.account.tolist()],
        "market": books.market,
        "side": np.where(sign > 0, "long", "short"),
        "is_hedged": run.is_hedged,
        "lots_start": np.abs(start.lots),
        "lots_end": np.abs(books.lots),
        "equity_start": books.by_account(own),
        "equity_end": books.equity,
        "topped_up": notes.topped_up,
        "endowment": notes.endowment,
        "place": notes.place,
        "queued": notes.queued,
        "cut_lots": notes.cut,
        "lost": notes.lost,
        "naked_lots": notes.naked,
        "naked_loss": run.naked_loss,
        "liquidated_at": at.set(at < 0, None),
    }
    return pl.DataFrame(values, schema=ACCOUNTS)
