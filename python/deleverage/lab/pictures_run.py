"""Pictures of a replay's run; those whose data the run has, in the order of a report.

Each function draws one picture and says nothing: its caption is the report's.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from deleverage.lab.pictures_style import (
    COLOURS,
    GREY,
    START,
    STOP,
    draw_line,
    gather_lines,
    heat,
    is_alike,
    legend,
    markers,
    nobody_cut,
    scale_of,
)
from deleverage.lab.report_run import Key, RunStory

__all__ = ["RUN_PICTURES", "Draw", "pictures_of"]

_MOST_WAVES = 10
_MOST_PANELS = 6
_CURVE = 200

Draw = Callable[[RunStory, Figure], None]


def pictures_of(story: RunStory) -> dict[str, Draw]:
    """Give the pictures whose data a run has.

    Args:
        story: the run.

    Returns:
        The pictures by name, in the order of `RUN_PICTURES`.
    """
    has = {
        "queue": story.queues.height > 0,
        "waves": story.waves["markout"].count() > 0,
        "pool": story.pool.height > 0,
        "lights": story.lights.height > 0,
        "naked": story.naked is not None and story.naked.height > 0,
    }
    return {name: draw for name, draw in RUN_PICTURES.items() if has.get(name, True)}


def _storm(story: RunStory, figure: Figure) -> None:
    """What was closed by force in each wave, and what it lacked."""
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, name, word in ((above, "notional", "closed"), (below, "needed", "lacked")):
        groups, (worth, unit) = _alike(story, name), scale_of(story.waves[name])
        for number, (names, table) in enumerate(groups):
            at = table["start"].to_numpy()
            colour = COLOURS[number % len(COLOURS)]
            axes.vlines(at, 0, table[name] / worth, color=colour, linewidth=2.2, label=names)
        axes.set_ylabel(f"{word} ({unit})")
        axes.set_ylim(bottom=0)
        if len(groups) > 1:
            legend(axes)
    below.set_xlabel("seconds after the first bankruptcy")


def _queue(story: RunStory, figure: Figure) -> None:
    """Part of each of the first positions that is left, and above them what they held."""
    keys = [key for key in story.keys if story.of(story.queues, key).height][:_MOST_PANELS]
    figure.set_size_inches(7.6, 2.0 + 0.85 * len(keys))
    rows = figure.subplots(len(keys) + 1, 1, sharex=True)
    sizes = story.of(story.queues, keys[0])
    rows[0].plot(sizes["place"], sizes["qty_before"].cast(pl.Float64), "o", color=GREY, ms=3)
    rows[0].set_yscale("log")
    rows[0].set_title("held before, contracts", loc="left", pad=2, fontsize=9)
    qty = pl.col("qty_before", "qty_after").cast(pl.Float64)
    for axes, key in zip(rows[1:], keys, strict=True):
        queue = story.of(story.queues, key).with_columns(qty)
        left = 100 * queue["qty_after"] / queue["qty_before"]
        axes.bar(queue["place"], 100, color="#d9d9d9", width=0.9, label="before")
        axes.bar(queue["place"], left, color=COLOURS[0], width=0.9, label="after")
        axes.set_title(story.label(key), loc="left", pad=2, fontsize=9)
        axes.set_yticks((0, 50, 100))
    rows[1].legend(loc="lower right", bbox_to_anchor=(1.0, 0.96), ncols=2, fontsize=8)
    market, side = story.queues.select("market", "side").row(0)
    rows[-1].set_xlabel(f"place in the queue of {market} {side}s, 1 is next in line")
    figure.supylabel("left of each position, %", fontsize=9)


def _lorenz(story: RunStory, figure: Figure) -> None:
    """Part of what was closed over part of what was held, the smallest parts first."""
    axes = figure.subplots()
    figure.set_size_inches(6.4, 4.4)
    for number, key in enumerate(story.keys):
        closed, held = story.burdens[key]
        x, y = _curve(held), _curve(closed)
        places = np.linspace(0, len(x) - 1, min(len(x), 20_000)).astype(int)
        at = np.linspace(0, 1, _CURVE + 1)
        curve = np.interp(at, x[places], y[places])
        draw_line(axes, at, curve, number, story.label(key), among=len(story.keys))
    axes.plot((0, 1), (0, 1), color=GREY, linewidth=0.8, zorder=0)
    axes.text(0.3, 0.37, "everybody the same part", rotation=37, color="#777777", fontsize=8)
    axes.set_xlabel("share of what the winners held, least burdened first")
    axes.set_ylabel("share of what was closed")
    legend(axes)


def _waves(story: RunStory, figure: Figure) -> None:
    """Over- and undershoot of the largest waves."""
    axes = figure.subplots()
    needed = story.waves.group_by("wave").agg(pl.col("needed").max(), pl.col("start").min())
    largest = needed.top_k(_MOST_WAVES, by=["needed", "wave"]).sort("wave")
    groups = _alike(story, "overshoot", "undershoot")
    width = 0.8 / max(len(groups), 1)
    worth, unit = scale_of(story.waves["overshoot"], story.waves["undershoot"])
    for number, (names, table) in enumerate(groups):
        shown = largest.select("wave").join(table, on="wave", how="left", maintain_order="left")
        at = np.arange(shown.height) + (number - (len(groups) - 1) / 2) * width
        colour = COLOURS[number % len(COLOURS)]
        over, under = shown["overshoot"] / worth, -shown["undershoot"] / worth
        axes.bar(at, over, width * 0.9, color=colour, label=names)
        axes.bar(at, under, width * 0.9, color=colour)
    axes.axhline(0, color="#333333", linewidth=0.8)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(y=0.15)
    words = [f"{wave}\n{start:.0f} s" for wave, start in largest.select("wave", "start").rows()]
    axes.set_xticks(range(len(words)), words, fontsize=8)
    axes.set_xlabel("wave, and seconds after the first bankruptcy")
    axes.set_ylabel(f"beyond need (up), too little (down)\n{unit}")
    legend(axes)


def _pool(story: RunStory, figure: Figure) -> None:
    """Balance of each venue's pool, its lines, and when deleveraging was active."""
    axes = figure.subplots()
    venues = story.pool["venue"].unique().sort().to_list()
    amounts = story.pool.select(pl.col("balance", "paid").cast(pl.Float64))
    worth, unit = scale_of(amounts["balance"], amounts["balance"] + amounts["paid"])
    for number, venue in enumerate(venues):
        own = story.pool.filter(pl.col("venue") == venue).sort("event")
        seconds = ((own["time"] - story.first) / 1e9).to_list()
        balance = (own["balance"].cast(pl.Float64) / worth).to_list()
        # Nothing has come in yet at the first bankruptcy: what it was paid is all that is gone.
        opening = float(own["balance"][0] + own["paid"][0]) / worth
        line = ([seconds[0], *seconds], [opening, *balance])
        draw_line(axes, *line, number, venue, among=len(venues))
        axes.plot(seconds[0], opening, "o", color=COLOURS[number % len(COLOURS)], markersize=6)
    shown = story.pool.filter(pl.col("venue") == venues[0]).sort("event")
    _shade(axes, shown, story.first)
    for name, colour, word in (("start_line", START, "starts"), ("stop_line", STOP, "stops")):
        level = shown[name][0]
        if level is not None:
            axes.axhline(float(level) / worth, color=colour, linewidth=0.9)
            axes.annotate(
                f"deleveraging {word}",
                (1.0, float(level) / worth),
                (-2, 3),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                color=colour,
                fontsize=8,
            )
    lowest = story.pool["balance"].cast(pl.Float64).to_numpy().min()
    axes.set_ylim(bottom=min(0.0, lowest / worth))
    axes.set_xlabel("seconds after the first bankruptcy")
    axes.set_ylabel(f"pool ({unit})")
    if len(venues) > 1:
        legend(axes)


def _shade(axes: Axes, shown: pl.DataFrame, first: int) -> None:
    """Shade from each bankruptcy at which deleveraging was active to the next one."""
    seconds = ((shown["time"] - first) / 1e9).to_list()
    is_active = shown["is_active"].to_list()
    since: float | None = None
    for at, now in zip(seconds, is_active, strict=True):
        if now and since is None:
            since = at
        elif not now and since is not None:
            axes.axvspan(since, at, color="#f5e9e2", linewidth=0, zorder=0)
            since = None
    if since is not None:
        axes.axvspan(since, seconds[-1], color="#f5e9e2", linewidth=0, zorder=0)


def _lights(story: RunStory, figure: Figure) -> None:
    """Lights of the watched positions at each bankruptcy, a panel a policy."""
    keys = [key for key in story.keys if story.of(story.lights, key).height][:_MOST_PANELS]
    panels = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    most = max(5, int(story.lights["light"].max() or 0))  # type: ignore[arg-type] # a small number
    shades = ListedColormap(["#eeeeee", *heat(most)])
    scale = ScalarMappable(Normalize(-0.5, most + 0.5), shades)
    for axes, key in zip(panels, keys, strict=True):
        table = story.of(story.lights, key).pivot(
            on="event", index=["place", "position_id"], values="light"
        )
        values = table.drop("place", "position_id").to_numpy()
        axes.imshow(
            values, aspect="auto", cmap=shades, vmin=-0.5, vmax=most + 0.5, interpolation="nearest"
        )
        axes.set_title(story.label(key), loc="left", fontsize=8)
        axes.set_yticks(range(table.height), [f"{place:,}" for place in table["place"]], fontsize=7)
        axes.set_xticks(_ticks(values.shape[1]), [str(one + 1) for one in _ticks(values.shape[1])])
    panels[0].set_ylabel("place in the queue at the start")
    figure.supxlabel("bankruptcy of the side", fontsize=9)
    bar = figure.colorbar(scale, ax=list(panels), ticks=range(most + 1))
    bar.set_label("light (0: not in the queue)")


def _ticks(count: int) -> list[int]:
    """Three places at most, first and last among them."""
    return sorted({0, count // 2, count - 1})


def _naked(story: RunStory, figure: Figure) -> None:
    """Net positions that cuts have opened, snapshot by snapshot."""
    left, right = figure.subplots(1, 2)
    table = story.naked if story.naked is not None else pl.DataFrame()
    worth, unit = scale_of(table["naked"])
    part = 100 * pl.col("naked") / pl.col("hedged").replace(0.0, None)
    table = table.with_columns(pl.col("naked") / worth, part=part)
    shown = [
        (story.label(key), story.of(table, key).select("start", "naked", "part").get_columns())
        for key in story.keys
    ]
    lines = gather_lines(shown)
    for number, (name, (start, naked, share)) in enumerate(lines):
        draw_line(left, start, naked, number, name, among=len(lines))
        draw_line(right, start, share, number, name, among=len(lines))
    left.set_title(f"left naked by the cuts ({unit})", loc="left", fontsize=9)
    right.set_title("part of the hedges of those who were cut, %", loc="left", fontsize=9)
    for axes in (left, right):
        axes.set_xlabel("snapshot, seconds after the first bankruptcy", fontsize=8)
    # Below 1 % as wide as from there to 10 %: small parts are told apart. Both begin a little
    # below zero, so that a line on zero is seen whole.
    right.set_yscale("symlog", linthresh=1)
    right.yaxis.set_major_formatter("{x:g}")
    left.set_ylim(bottom=-0.04 * left.get_ylim()[1])
    right.set_ylim(bottom=-0.1)
    legend(right)


def _trilemma(story: RunStory, figure: Figure) -> None:
    """Missing money against unevenness; the area is the revenue that leaves."""
    axes = figure.subplots()
    unpaid = dict(
        story.pool.group_by("venue").agg(pl.col("unpaid").cast(pl.Float64).sum()).iter_rows()
    )
    rows = story.summary.rows(named=True)
    missing = [row["missing"] + unpaid.get(row["venue"], 0.0) for row in rows]
    worth, unit = scale_of(missing)
    at = [(row["gini"], money / worth) for row, money in zip(rows, missing, strict=True)]
    sizes = [row["revenue_lost"] or 0.0 for row in rows]
    most = max([up for _, up in at])
    axes.set_ylim(-0.15 * (most or 1.0), 1.2 * (most or 1.0))
    markers(axes, at, sizes, [story.label(key) for key in story.keys])
    axes.set_xlabel("fairness: how uneven the closed parts are, 0 to 1 (left is fairer)")
    axes.set_ylabel(f"solvency: money nobody gave,\n{unit} (down is safer)")


def _of_cuts(draw: Draw) -> Draw:
    """Draw what cuts did, or say that there were none."""

    def drawn(story: RunStory, figure: Figure) -> None:
        if story.summary["fills"].sum():
            draw(story, figure)
        else:
            nobody_cut(figure)

    return drawn


def _curve(values: np.ndarray) -> np.ndarray:
    """Cumulated shares from 0 to 1."""
    whole = values.sum()
    return np.concatenate([[0.0], np.cumsum(values) / whole if whole else np.zeros(len(values))])


def _alike(story: RunStory, *columns: str) -> list[tuple[str, pl.DataFrame]]:
    """Waves of each line, those that are the same under one name."""
    groups: list[tuple[list[Key], pl.DataFrame]] = []
    for key in story.keys:
        own = story.of(story.waves, key)
        for keys, table in groups:
            if is_alike([table[name] for name in columns], [own[name] for name in columns]):
                keys.append(key)
                break
        else:
            groups.append(([key], own))
    return [(_named(story, keys), table) for keys, table in groups]


def _named(story: RunStory, keys: Sequence[Key]) -> str:
    """One name for several lines."""
    if len(keys) == len(story.keys) > 1:
        return "all alike"
    return "\n".join(story.label(key) for key in keys)


RUN_PICTURES: Mapping[str, Draw] = MappingProxyType(
    {
        "storm": _storm,
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
