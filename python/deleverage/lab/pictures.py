"""Pictures of simulated crashes, the same bytes for the same crash.

Each function draws one picture and says nothing: its caption is the report's. The first simulation
given is the one that is shown where only one can be.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import polars as pl
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from deleverage.lab.pictures_style import (
    COLOURS,
    GREY,
    draw_line,
    gather_lines,
    heat,
    legend,
    markers,
    nobody_cut,
    png,
    scale_of,
    svg,
)
from deleverage.lab.simulate import Simulation
from deleverage.lab.simulate_summary import summarise, waves

__all__ = ["PICTURES", "label", "png", "svg"]

_HEAD = 40
_NAKED = ("naked_exposure", "naked_loss")
_SHOTS = ("overshoot", "undershoot")

Simulations = Sequence[Simulation]
Draw = Callable[[Simulations, Figure], None]


def label(one: Simulation, among: Simulations) -> str:
    """Name a simulation: by its policy, and by its venue where there are several.

    Args:
        one: the simulation.
        among: those it is shown with.
    """
    several = len({other.venue for other in among}) > 1
    return f"{one.venue}, {one.policy}" if several else one.policy


def _price(simulations: Simulations, figure: Figure) -> None:
    """Price, depth, and how many are liquidated."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for number, one in enumerate(simulations):
        draw_line(
            above,
            one.steps["step"],
            one.steps["price"] / 1000,
            number,
            label(one, simulations),
            among=len(simulations),
        )
    others = simulations[0].prices.filter(pl.col("market") > 0)
    for _, other in others.group_by("market", maintain_order=True):
        above.plot(other["step"], other["price"] / 1000, color=GREY, linewidth=0.7, zorder=0)
    above.set_ylabel("price (1,000 ticks)")
    steps = simulations[0].steps
    below.fill_between(steps["step"], steps["depth"] / 1000, color="#bbbbbb", step="mid")
    below.set_ylabel("depth (1,000 lots)")
    bars = below.twinx()
    bars.bar(steps["step"], steps["liquidated"], color="#d55e00", width=0.9)
    bars.set_ylabel("liquidated", color="#d55e00")
    below.set_xlabel("step")
    legend(above)


def _queue(simulations: Simulations, figure: Figure) -> None:
    """Lots by place in the queue, before and after the first wave."""
    market, side = _first_side(next(one for one in simulations if one.fills.height))
    rows = figure.subplots(len(simulations), 1, sharex=True, squeeze=False)[:, 0]
    figure.set_size_inches(7.6, 1.0 + 1.05 * len(simulations))
    for axes, one in zip(rows, simulations, strict=True):
        queue = _queue_table(one, market, side).head(_HEAD)
        axes.bar(queue["place"], queue["queued"], color="#d9d9d9", width=0.9, label="before")
        axes.bar(queue["place"], queue["left"], color="#0072b2", width=0.9, label="after")
        axes.set_title(label(one, simulations), loc="left", pad=2)
        axes.set_yscale("symlog", linthresh=10)
    rows[0].legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, fontsize=8)
    rows[-1].set_xlabel(f"place in the queue of {side}s, 1 is next in line (first {_HEAD})")
    figure.supylabel("lots", fontsize=9)


def _lorenz(simulations: Simulations, figure: Figure) -> None:
    """Share of the loss that the least burdened carry."""
    axes = figure.subplots()
    figure.set_size_inches(5.6, 4.4)
    for number, one in enumerate(simulations):
        winners = one.accounts.filter(pl.col("endowment") > 0)
        lost = np.sort(winners["lost"].clip(lower_bound=0).to_numpy())
        whole = int(lost.sum())
        shares = np.concatenate([[0], np.cumsum(lost) / whole if whole else np.zeros(len(lost))])
        people = np.linspace(0, 1, len(shares))
        draw_line(axes, people, shares, number, label(one, simulations), among=len(simulations))
    axes.plot((0, 1), (0, 1), color="#999999", linewidth=0.8)
    axes.text(0.34, 0.42, "everybody the same", rotation=41, color="#777777", fontsize=8)
    axes.set_xlabel("share of winners, least burdened first")
    axes.set_ylabel("share of the loss they carry")
    legend(axes)


def _waves(simulations: Simulations, figure: Figure) -> None:
    """Over- and undershoot of each wave under each policy."""
    axes = figure.subplots()
    count, width = len(simulations), 0.8 / max(len(simulations), 1)
    most, tables = 0, [waves(one) for one in simulations]
    worth, word = scale_of(*(table[name] for table in tables for name in _SHOTS))
    for number, (one, table) in enumerate(zip(simulations, tables, strict=True)):
        most = max(most, table.height)
        at = table["wave"].to_numpy() + (number - (count - 1) / 2) * width
        colour = COLOURS[number % len(COLOURS)]
        over, under = table["overshoot"] / worth, -table["undershoot"] / worth
        axes.bar(at, over, width * 0.9, color=colour, label=label(one, simulations))
        axes.bar(at, under, width * 0.9, color=colour)
    axes.axhline(0, color="#333333", linewidth=0.8)
    axes.set_yscale("symlog", linthresh=1)
    axes.margins(y=0.15)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xticks(range(1, most + 1), [f"wave {number}" for number in range(1, most + 1)])
    axes.set_ylabel(f"taken beyond need (up) or too little (down), {word}")
    legend(axes)


def _pool(simulations: Simulations, figure: Figure) -> None:
    """Balance of the pool with its start and stop lines."""
    axes, course = figure.subplots(), simulations[0].course
    balances = [one.steps["pool_balance"] for one in simulations]
    worth, unit = scale_of(*balances, course.start_line, course.stop_line)
    for number, one in enumerate(simulations):
        balance = balances[number] / worth
        draw_line(
            axes,
            one.steps["step"],
            balance,
            number,
            label(one, simulations),
            among=len(simulations),
        )
    lines = {"start": (course.start_line, "#d55e00"), "stop": (course.stop_line, "#009e73")}
    for word, (line, colour) in lines.items():
        axes.axhline(line / worth, color=colour, linewidth=0.9)
        axes.annotate(
            f"deleveraging {word}s here",
            (course.steps - 1, line / worth),
            (0, 3),
            textcoords="offset points",
            ha="right",
            color=colour,
            fontsize=8,
        )
    active = simulations[0].steps.filter(pl.col("active") == 1)["step"].to_list()
    for step in active:
        axes.axvspan(step - 0.5, step + 0.5, color="#f5e9e2", linewidth=0, zorder=0)
    axes.set_xlabel("step")
    axes.set_ylabel(f"pool ({unit})")
    legend(axes)


def _lights(simulations: Simulations, figure: Figure) -> None:
    """Lights of the watched shorts, step by step."""
    one = simulations[0]
    table = one.lights.pivot(on="step", index="account", values="light")
    values = table.drop("account").to_numpy()
    most = max(5, int(values.max(initial=0)))
    axes = figure.subplots()
    shades = ListedColormap(["#eeeeee", *heat(most)])
    image = axes.imshow(
        values, aspect="auto", cmap=shades, vmin=-0.5, vmax=most + 0.5, interpolation="nearest"
    )
    axes.set_yticks(range(table.height), table["account"].to_list(), fontsize=7)
    axes.set_xlabel("step")
    bar = figure.colorbar(image, ax=axes, ticks=range(most + 1))
    bar.set_label("light (0: not in the queue)")


def _naked(simulations: Simulations, figure: Figure) -> None:
    """Naked exposure of hedged traders, and what it has cost them."""
    left, right = figure.subplots(1, 2)
    shown = [
        (label(one, simulations), [one.steps[name] for name in ("step", *_NAKED)])
        for one in simulations
    ]
    lines = gather_lines(shown)
    scales = [scale_of(*(one.steps[name] for one in simulations)) for name in _NAKED]
    for number, (name, (steps, *columns)) in enumerate(lines):
        for axes, column, (worth, _) in zip((left, right), columns, scales, strict=True):
            draw_line(axes, steps, column / worth, number, name, among=len(lines))
    left.set_title(f"value of legs left naked ({scales[0][1]})", loc="left", fontsize=9)
    right.set_title(f"what they have lost so far ({scales[1][1]})", loc="left", fontsize=9)
    right.axhline(0, color="#333333", linewidth=0.8)
    for axes in (left, right):
        axes.set_xlabel("step")
    legend(right)


def _trilemma(simulations: Simulations, figure: Figure) -> None:
    """Solvency against fairness; the area is the revenue that leaves."""
    axes = figure.subplots()
    table = summarise(simulations)
    worth, word = scale_of(table["needed"])
    at = [
        (100 * haircut, needed / worth)
        for haircut, needed in table.select("max_haircut", "needed").iter_rows()
    ]
    names = [label(one, simulations) for one in simulations]
    markers(axes, at, table["revenue_lost"].to_list(), names)
    axes.set_xlabel("fairness: largest part of a profit that one trader lost, % (left is fairer)")
    axes.set_ylabel(f"solvency: missing money, {word} (down is safer)")


def _of_cuts(draw: Draw) -> Draw:
    """Draw what cuts did, or say that there were none."""

    def drawn(simulations: Simulations, figure: Figure) -> None:
        if any(one.fills.height for one in simulations):
            draw(simulations, figure)
        else:
            nobody_cut(figure)

    return drawn


def _first_side(one: Simulation) -> tuple[int, str]:
    """The market and side that were cut first."""
    market, side = one.fills.select("market", "side").row(0)
    return int(market), str(side)


def _queue_table(one: Simulation, market: int, side: str) -> pl.DataFrame:
    """A side's queue at its first deleveraging: place, queued, and left after the first wave."""
    table = waves(one)
    last = int(table["last"][0]) if table.height else -1
    here = (pl.col("side") == side) & (pl.col("market") == market)
    cut = one.fills.filter(pl.col("step") <= last, here)
    cut = cut.group_by("account").agg(pl.col("lots").sum())
    return (
        one.accounts.filter(here, pl.col("place") > 0)
        .join(cut, on="account", how="left")
        .select("place", "queued", left=pl.col("queued") - pl.col("lots").fill_null(0))
        .sort("place")
    )


PICTURES: Mapping[str, Draw] = MappingProxyType(
    {
        "price": _price,
        "queue": _of_cuts(_queue),
        "lorenz": _of_cuts(_lorenz),
        "waves": _of_cuts(_waves),
        "pool": _pool,
        "lights": _lights,
        "naked": _of_cuts(_naked),
        "trilemma": _of_cuts(_trilemma),
    }
)
"""The pictures by name, in the order in which a report shows them."""
