"""Pictures of simulated crashes, the same bytes for the same crash: no clock, no chance, no font.

Each function draws one picture and says nothing: its caption is the report's. Letters stay letters
in an SVG. The first simulation given is the one that is shown where only one can be.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from deleverage.lab.simulate import Simulation
from deleverage.lab.simulate_summary import summarise, waves

__all__ = ["PICTURES", "label", "png", "svg"]

_STYLE: Any = {
    "svg.hashsalt": "deleverage",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
# Told apart by everybody, colour-blind or not (Okabe and Ito).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000", "#f0e442")
_DASHES = ("-", "--", "-.", ":")
_HEAD = 40
_MILLION = 1e6

Simulations = Sequence[Simulation]


def svg(draw: Callable[[Simulations, Figure], None], simulations: Simulations) -> str:
    """Draw a picture as SVG that can stand inside a page.

    Args:
        draw: one of `PICTURES`.
        simulations: at least one, all of one course.

    Returns:
        The element, without a prologue.
    """
    text = _drawn(draw, simulations, "svg", {"Date": None, "Creator": None}).decode()
    return text[text.index("<svg") :]


def png(draw: Callable[[Simulations, Figure], None], simulations: Simulations) -> bytes:
    """Draw a picture as PNG.

    Args:
        draw: one of `PICTURES`.
        simulations: at least one, all of one course.

    Returns:
        The file.
    """
    return _drawn(draw, simulations, "png", {"Software": None})


def label(one: Simulation, among: Simulations) -> str:
    """Name a simulation: by its policy, and by its venue where there are several.

    Args:
        one: the simulation.
        among: those it is shown with.
    """
    several = len({other.venue for other in among}) > 1
    return f"{one.venue}, {one.policy}" if several else one.policy


def _drawn(
    draw: Callable[[Simulations, Figure], None],
    simulations: Simulations,
    kind: str,
    metadata: Mapping[str, None],
) -> bytes:
    """Draw into memory, by our style and nobody's settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(7.6, 3.9), dpi=150, layout="constrained")
        draw(simulations, figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=dict(metadata))
    return buffer.getvalue()


def _price(simulations: Simulations, figure: Figure) -> None:
    """Price, depth, and how many are liquidated."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for number, one in enumerate(simulations):
        _line(above, one.steps["step"], one.steps["price"] / 1000, number, label(one, simulations))
    above.set_ylabel("price (1,000 ticks)")
    steps = simulations[0].steps
    below.fill_between(steps["step"], steps["depth"] / 1000, color="#bbbbbb", step="mid")
    below.set_ylabel("depth (1,000 lots)")
    bars = below.twinx()
    bars.bar(steps["step"], steps["liquidated"], color="#d55e00", width=0.9)
    bars.set_ylabel("liquidated", color="#d55e00")
    below.set_xlabel("step")
    _legend(above)


def _queue(simulations: Simulations, figure: Figure) -> None:
    """Lots by place in the queue, before and after the first wave."""
    first = simulations[0]
    side = _first_side(first)
    rows = figure.subplots(len(simulations), 1, sharex=True, squeeze=False)[:, 0]
    figure.set_size_inches(7.6, 1.0 + 1.05 * len(simulations))
    for axes, one in zip(rows, simulations, strict=True):
        queue = _queue_table(one, side).head(_HEAD)
        axes.bar(queue["place"], queue["queued"], color="#d9d9d9", width=0.9, label="before")
        axes.bar(queue["place"], queue["left"], color="#0072b2", width=0.9, label="after")
        axes.set_title(label(one, simulations), loc="left", pad=2)
        axes.set_yscale("symlog", linthresh=10)
    rows[0].legend(loc="upper right", ncols=2)
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
        _line(axes, people, shares, number, label(one, simulations))
    axes.plot((0, 1), (0, 1), color="#999999", linewidth=0.8)
    axes.text(0.34, 0.42, "everybody the same", rotation=41, color="#777777", fontsize=8)
    axes.set_xlabel("share of winners, least burdened first")
    axes.set_ylabel("share of the loss they carry")
    _legend(axes)


def _waves(simulations: Simulations, figure: Figure) -> None:
    """Over- and undershoot of each wave under each policy."""
    axes = figure.subplots()
    count, width = len(simulations), 0.8 / max(len(simulations), 1)
    most = 0
    for number, one in enumerate(simulations):
        table = waves(one)
        most = max(most, table.height)
        at = table["wave"].to_numpy() + (number - (count - 1) / 2) * width
        colour = _COLOURS[number % len(_COLOURS)]
        over, under = table["overshoot"] / _MILLION, -table["undershoot"] / _MILLION
        axes.bar(at, over, width * 0.9, color=colour, label=label(one, simulations))
        axes.bar(at, under, width * 0.9, color=colour)
    axes.axhline(0, color="#333333", linewidth=0.8)
    axes.set_yscale("symlog", linthresh=1)
    axes.margins(y=0.15)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xticks(range(1, most + 1), [f"wave {number}" for number in range(1, most + 1)])
    axes.set_ylabel("taken beyond need (up) or too little (down), millions")
    _legend(axes)


def _pool(simulations: Simulations, figure: Figure) -> None:
    """Balance of the pool with its start and stop lines."""
    axes = figure.subplots()
    for number, one in enumerate(simulations):
        balance = one.steps["pool_balance"] / _MILLION
        _line(axes, one.steps["step"], balance, number, label(one, simulations))
    course = simulations[0].course
    lines = {"start": (course.start_line, "#d55e00"), "stop": (course.stop_line, "#009e73")}
    for word, (line, colour) in lines.items():
        axes.axhline(line / _MILLION, color=colour, linewidth=0.9)
        axes.annotate(
            f"deleveraging {word}s here",
            (course.steps - 1, line / _MILLION),
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
    axes.set_ylabel("pool (millions)")
    _legend(axes)


def _lights(simulations: Simulations, figure: Figure) -> None:
    """Lights of the watched shorts, step by step."""
    one = simulations[0]
    table = one.lights.pivot(on="step", index="account", values="light")
    values = table.drop("account").to_numpy()
    most = max(5, int(values.max(initial=0)))
    axes = figure.subplots()
    shades = ListedColormap(["#eeeeee", *_heat(most)])
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
    for number, one in enumerate(simulations):
        name, steps = label(one, simulations), one.steps
        _line(left, steps["step"], steps["naked_exposure"] / _MILLION, number, name)
        _line(right, steps["step"], steps["naked_loss"] / _MILLION, number, name)
    left.set_title("value of the leg left naked (millions)", loc="left")
    right.set_title("lost by it so far (below 0: gained)", loc="left")
    right.axhline(0, color="#333333", linewidth=0.8)
    for axes in (left, right):
        axes.set_xlabel("step")
    _legend(left)


def _trilemma(simulations: Simulations, figure: Figure) -> None:
    """Solvency against fairness; the area is the revenue that leaves."""
    axes = figure.subplots()
    table = summarise(simulations)
    revenue = table["revenue_lost"].to_numpy()
    most = float(revenue.max(initial=0.0))
    for number, one in enumerate(simulations):
        row = table.row(number, named=True)
        size = 40 + 600 * row["revenue_lost"] / most if most else 40
        at = (100 * row["max_haircut"], row["needed"] / _MILLION)
        colour = _COLOURS[number % len(_COLOURS)]
        axes.scatter(*at, s=size, color=colour, alpha=0.55, linewidths=0)
        axes.annotate(
            label(one, simulations), at, (0, 0), textcoords="offset points", ha="center", fontsize=8
        )
    axes.margins(0.18)
    axes.set_xlabel("fairness: largest part of a profit that one trader lost, % (left is fairer)")
    axes.set_ylabel("solvency: missing money, millions (down is safer)")


def _line(axes: Axes, x: object, y: object, number: int, name: str) -> None:
    """Draw one simulation's line in its own colour and dash."""
    axes.plot(
        np.asarray(x),
        np.asarray(y),
        color=_COLOURS[number % len(_COLOURS)],
        linestyle=_DASHES[number % len(_DASHES)],
        label=name,
    )


def _legend(axes: Axes) -> None:
    """Place the legend beside the picture."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)


def _heat(count: int) -> list[str]:
    """Shades from calm to next in line."""
    shades = ("#2c7bb6", "#7fbfae", "#ffe8a0", "#fdae61", "#d7191c")
    places = np.linspace(0, len(shades) - 1, count).round().astype(int)
    return [shades[place] for place in places.tolist()]


def _first_side(one: Simulation) -> str:
    """The side that was cut first; shorts where nobody was."""
    return str(one.fills["side"][0]) if one.fills.height else "short"


def _queue_table(one: Simulation, side: str) -> pl.DataFrame:
    """A side's queue at its first deleveraging: place, queued, and left after the first wave."""
    table = waves(one)
    last = int(table["last"][0]) if table.height else -1
    cut = one.fills.filter(pl.col("step") <= last, pl.col("side") == side)
    cut = cut.group_by("account").agg(pl.col("lots").sum())
    return (
        one.accounts.filter(pl.col("side") == side, pl.col("place") > 0)
        .join(cut, on="account", how="left")
        .select("place", "queued", left=pl.col("queued") - pl.col("lots").fill_null(0))
        .sort("place")
    )


PICTURES: Mapping[str, Callable[[Simulations, Figure], None]] = MappingProxyType(
    {
        "price": _price,
        "queue": _queue,
        "lorenz": _lorenz,
        "waves": _waves,
        "pool": _pool,
        "lights": _lights,
        "naked": _naked,
        "trilemma": _trilemma,
    }
)
"""The pictures by name, in the order in which a report shows them."""
