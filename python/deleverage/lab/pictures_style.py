"""How pictures are drawn here: the same bytes for the same input, by our style and nobody's.

No clock, no chance, no font: letters stay letters in an SVG. What is drawn comes from `pictures`
and `pictures_run`; this file holds the colours, lines and legends they share.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "GREY",
    "START",
    "STOP",
    "draw_line",
    "gather_lines",
    "heat",
    "is_alike",
    "legend",
    "markers",
    "nobody_cut",
    "png",
    "scale_of",
    "svg",
]

Shown = TypeVar("Shown")

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
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000", "#f0e442")
START, STOP, GREY = "#d55e00", "#009e73", "#999999"
_DASHES = ("-", "--", "-.", ":")
_THICKEST = 4.0
_DISC = 560.0
_SMALLEST_DISC, _SAME_DISC = 30.0, 120.0
_OTHERS_AROUND = 0.02
_SCALES = ((1e9, "billions"), (1e6, "millions"), (1e3, "thousands"))
_FEW_POINTS = 12
_ALIKE = 1e-9


def svg(draw: Callable[[Shown, Figure], None], shown: Shown) -> str:
    """Draw a picture as SVG that can stand inside a page.

    Args:
        draw: the picture.
        shown: what it is drawn of.

    Returns:
        The element, without a prologue.
    """
    text = _drawn(draw, shown, "svg", {"Date": None, "Creator": None}).decode()
    return text[text.index("<svg") :]


def png(draw: Callable[[Shown, Figure], None], shown: Shown) -> bytes:
    """Draw a picture as PNG.

    Args:
        draw: the picture.
        shown: what it is drawn of.

    Returns:
        The file.
    """
    return _drawn(draw, shown, "png", {"Software": None})


def draw_line(axes: Axes, x: object, y: object, number: int, name: str, *, among: int = 1) -> None:
    """Draw one of several lines in its own colour and dash.

    Lines that lie on each other stay visible: the first is the widest, the last the thinnest.

    Args:
        axes: where.
        x: (n,) numbers.
        y: (n,) numbers.
        number: of the line, from 0.
        name: in the legend.
        among: how many lines there are.
    """
    widest = min(_THICKEST, 1.6 + 0.6 * (among - 1))
    width = widest - (widest - 1.4) * number / max(among - 1, 1)
    axes.plot(
        np.asarray(x),
        np.asarray(y),
        color=COLOURS[number % len(COLOURS)],
        linestyle=_DASHES[number % len(_DASHES)],
        linewidth=width,
        marker="o" if len(np.asarray(x)) <= _FEW_POINTS else None,
        markersize=width + 2,
        label=name,
    )


def scale_of(*amounts: object) -> tuple[float, str]:
    """Choose what an axis counts in, by the largest amount it shows.

    Args:
        amounts: each a number or (n,) numbers; null and NaN count as nothing.

    Returns:
        What one of it is worth, and its word: units, thousands, millions or billions.
    """
    most = max(
        (
            float(np.nanmax(np.abs(values), initial=0.0))
            for values in (np.atleast_1d(np.asarray(one, dtype=float)) for one in amounts)
        ),
        default=0.0,
    )
    return next(((size, word) for size, word in _SCALES if most >= size), (1.0, "units"))


def gather_lines(
    lines: Sequence[tuple[str, Sequence[pl.Series]]],
) -> list[tuple[str, Sequence[pl.Series]]]:
    """Give lines that lie on each other once, under all their names.

    Args:
        lines: name and columns of each, (n,) numbers.

    Returns:
        The different ones in their order; names stand below each other, or "all alike".
    """
    groups: list[tuple[list[str], Sequence[pl.Series]]] = []
    for name, columns in lines:
        names = next((known for known, other in groups if is_alike(columns, other)), None)
        if names is None:
            groups.append(([name], columns))
        else:
            names.append(name)
    if len(groups) == 1 < len(lines):
        return [("all alike", groups[0][1])]
    return [("\n".join(names), columns) for names, columns in groups]


def is_alike(one: Sequence[pl.Series], other: Sequence[pl.Series]) -> bool:
    """Say whether columns have the same figures, but for their last digits.

    Args:
        one: columns, (n,) numbers each.
        other: as many, (m,) numbers each.
    """
    pairs = [
        (np.asarray(a, dtype=float), np.asarray(b, dtype=float))
        for a, b in zip(one, other, strict=True)
    ]
    return all(
        len(a) == len(b) and np.allclose(a, b, rtol=1e-9, atol=1e-6, equal_nan=True)
        for a, b in pairs
    )


def nobody_cut(figure: Figure) -> None:
    """Say that there is nothing to draw, in place of empty axes.

    Args:
        figure: the picture.
    """
    figure.set_size_inches(7.6, 1.2)
    figure.text(0.5, 0.5, "nobody was cut", ha="center", va="center", color="#777777", fontsize=12)


def legend(axes: Axes) -> None:
    """Place the legend beside the picture."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)


def heat(count: int) -> list[str]:
    """Give shades from calm to next in line."""
    shades = ("#2c7bb6", "#7fbfae", "#ffe8a0", "#fdae61", "#d7191c")
    places = np.linspace(0, len(shades) - 1, count).round().astype(int)
    return [shades[place] for place in places.tolist()]


def markers(
    axes: Axes, at: Sequence[tuple[float, float]], sizes: Sequence[float], names: Sequence[str]
) -> None:
    """Draw named discs whose areas say a third figure.

    Names stand beside their discs; those of discs at nearly one place stand below each other.

    Args:
        axes: where.
        at: right and up of each.
        sizes: 0 or more; the least has the smallest disc, the largest the largest.
        names: of each.
    """
    areas = _areas(sizes)
    for number, (place, area) in enumerate(zip(at, areas, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        axes.scatter(*place, s=area, color=colour, alpha=0.55, linewidths=0)
    axes.margins(x=0.12, y=0.2)
    wide, high = (np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim()))
    middle = float(np.mean(axes.get_xlim()))
    for number, (place, area) in enumerate(zip(at, areas, strict=True)):
        crowd = [
            other
            for other in range(len(at))
            if abs(at[other][0] - place[0]) < 8 * _OTHERS_AROUND * wide
            and abs(at[other][1] - place[1]) < 2 * _OTHERS_AROUND * high
        ]
        lift = 11.0 * ((len(crowd) - 1) / 2 - crowd.index(number))
        radius = np.sqrt(area / np.pi) + 3
        is_left = place[0] > middle
        axes.annotate(
            names[number],
            place,
            (-radius if is_left else radius, lift),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="center",
            fontsize=8,
            color=COLOURS[number % len(COLOURS)],
        )


def _areas(sizes: Sequence[float]) -> list[float]:
    """Areas of discs over the range of the sizes; those that are all alike are of one area."""
    least, most = min(sizes, default=0.0), max(sizes, default=0.0)
    if most - least <= _ALIKE * most:
        return [_SAME_DISC] * len(sizes)
    return [_SMALLEST_DISC + _DISC * (size - least) / (most - least) for size in sizes]


def _drawn(
    draw: Callable[[Shown, Figure], None], shown: Shown, kind: str, metadata: Mapping[str, None]
) -> bytes:
    """Draw into memory."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(7.6, 3.9), dpi=150, layout="constrained")
        draw(shown, figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=dict(metadata))
    return buffer.getvalue()
