"""`deleverage simulate`: one seeded crash under several policies, side by side."""

from dataclasses import dataclass

import polars as pl

from deleverage.cli.exits import ExitCode, say
from deleverage.cli.inputs import venue_of
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_frame
from deleverage.cli.progress import bar
from deleverage.cli.tables import Page
from deleverage.errors import InputError
from deleverage.lab.policies import POLICIES, known_policies
from deleverage.lab.simulate import Simulation, simulate
from deleverage.lab.simulate_course import Course
from deleverage.lab.simulate_run import PRICES
from deleverage.lab.simulate_summary import tidy
from deleverage.model.terms import PriceKind

__all__ = ["TITLES", "Crash", "played", "show_simulation"]

TITLES = {
    "summary": "what each policy did (money in ticks x lots)",
    "steps": "step by step",
    "accounts": "trader by trader",
    "fills": "cut by cut",
    "lights": "lights of a few shorts",
    "prices": "prices market by market",
    "waves": "wave by wave",
}
"""The tables of a simulation, and what is printed above each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """What was typed.

    Attributes:
        venues: editions by name or path.
        policies: by name; none is every one of them.
        seed: of the crash.
        accounts: traders.
        settle: settlement price, or None for the edition's own.
        markets: how many; with several, hedges are cross margined.
    """

    venues: tuple[str, ...]
    policies: tuple[str, ...]
    seed: int
    accounts: int
    settle: str | None
    markets: int = 1


def show_simulation(crash: Crash, *, table: str, shape: Format | None, output: str) -> int:
    """Simulate and print one table of all policies.

    Args:
        crash: what was typed.
        table: which one.
        shape: `--format`.
        output: `-o`.

    Returns:
        The exit code; 4 where a policy left lots to the pool that nobody could close.

    Raises:
        InputError: a figure or a name is unknown or out of range.
        OutputError: the file cannot be written.
    """
    sink = Sink.of(shape, output, allowed=tuple(Format))
    if table not in TITLES:
        raise InputError(f"--table: expected one of {', '.join(TITLES)}, got {table!r}")
    simulations = played(crash)
    emit_frame(
        tidy(simulations, table),
        sink,
        table=lambda frame: _page(frame, table, is_terminal=sink.is_terminal),
    )
    unfilled = sum(int(one.steps["unfilled_lots"].sum()) for one in simulations)
    if unfilled:
        say(f"not fully covered: {unfilled} lots found nobody on the other side")
        return ExitCode.NOT_COVERED
    return ExitCode.DONE


def played(crash: Crash) -> list[Simulation]:
    """Simulate a crash under each venue and policy.

    Args:
        crash: what was typed.

    Returns:
        The simulations, venue by venue.

    Raises:
        InputError: a figure or a name is unknown or out of range.
    """
    policies = list(dict.fromkeys(crash.policies)) or list(POLICIES)
    known_policies(policies)
    kind = None if crash.settle is None else _kind(crash.settle)
    course = Course(seed=crash.seed, accounts=crash.accounts, markets=crash.markets)
    editions = [venue_of(name) for name in dict.fromkeys(crash.venues)]
    found = []
    with bar("simulating", len(editions) * len(policies)) as report:
        for edition in editions:
            for policy in policies:
                found.append(simulate(course, venue=edition, policy=policy, price=kind))
                report(len(found), len(editions) * len(policies))
    return found


def _kind(name: str) -> PriceKind:
    """Read `--settle`."""
    if name not in [str(kind) for kind in PRICES]:
        raise InputError(f"--settle: expected one of {', '.join(PRICES)}, got {name!r}")
    return PriceKind(name)


def _page(frame: pl.DataFrame, table: str, *, is_terminal: bool) -> str:
    """A table as it is printed; the summary stands on its side."""
    page = Page(is_terminal=is_terminal)
    if table != "summary":
        page.frame(TITLES[table], frame)
        return str(page)
    names = frame["policy"].to_list()
    if frame["venue"].n_unique() > 1:
        names = [f"{venue} {policy}" for venue, policy in frame.select("venue", "policy").rows()]
    measures = frame.drop("venue", "policy")
    rows = [(name, *(_shown(value) for value in measures[name])) for name in measures.columns]
    numeric = [False, *[True] * len(names)]
    page.rows(TITLES["summary"], ["measure", *names], rows, numeric=numeric)
    return str(page)


def _shown(value: float) -> str:
    """A count or a share."""
    if isinstance(value, int) or abs(value) >= 1000:  # noqa: PLR2004 - money, not a share
        return f"{value:,.0f}"
    return f"{value:.4g}"
