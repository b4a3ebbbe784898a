"""How pictures are drawn here: the same bytes for the same input, by our style and nobody's.

No clock, no chance, no font: letters stay letters in an SVG. What is drawn comes from `pictures`
and `pictures_run`; this file holds the colours, lines and legends they share.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "GREY",
    "START",
    "STOP",
    "draw_line",
    "heat",
    "legend",
    "markers",
    "png",
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
_OTHERS_AROUND = 0.02


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
        label=name,
    )


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
        sizes: 0 or more; the largest has the largest disc.
        names: of each.
    """
    most = max([*sizes, 0.0])
    for number, (place, size) in enumerate(zip(at, sizes, strict=True)):
        area = 30 + _DISC * size / most if most else 60.0
        colour = COLOURS[number % len(COLOURS)]
        axes.scatter(*place, s=area, color=colour, alpha=0.55, linewidths=0)
    axes.margins(x=0.12, y=0.2)
    wide, high = (np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim()))
    middle = float(np.mean(axes.get_xlim()))
    for number, (place, size) in enumerate(zip(at, sizes, strict=True)):
        crowd = [
            other
            for other in range(len(at))
            if abs(at[other][0] - place[0]) < 8 * _OTHERS_AROUND * wide
            and abs(at[other][1] - place[1]) < 2 * _OTHERS_AROUND * high
        ]
        lift = 11.0 * ((len(crowd) - 1) / 2 - crowd.index(number))
        radius = np.sqrt((30 + _DISC * size / most if most else 60.0) / np.pi) + 3
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
