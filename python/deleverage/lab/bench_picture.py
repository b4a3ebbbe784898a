"""The picture of how a kept book grows: both axes logarithmic, the floor drawn in."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from deleverage.lab.bench_growth import BATCH, LIGHTS, SECTION, TICK
from deleverage.lab.bench_report import Measurement

__all__ = ["PICTURE", "draw_growth", "write_growth"]

#: Name of the picture beside the page of the benches.
PICTURE = "growth.svg"

_FLOOR = "floor: reading the side once"
_STYLE: Any = {"svg.hashsalt": "deleverage", "svg.fonttype": "none", "font.size": 9.0}
_COLOURS = {_FLOOR: "#000000", LIGHTS: "#009e73", BATCH: "#0072b2", TICK: "#d55e00"}


def draw_growth(measurements: Sequence[Measurement]) -> str:
    """Draw the medians of the section against the rows of the book, both axes logarithmic.

    Args:
        measurements: of a run; only those of the section are drawn.

    Returns:
        The SVG, the same text for the same figures.
    """
    lines = [line for line in measurements if line.section == SECTION]
    curves: dict[str, list[tuple[int, float]]] = {name: [] for name in _COLOURS}
    for line in lines:
        curves[line.case].append((line.positions, line.ours.median))
        if line.case == BATCH and line.theirs is not None:
            curves[_FLOOR].append((line.positions, line.theirs.median))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        for name, points in curves.items():
            sizes, medians = zip(*points, strict=True)
            style = "--" if name == _FLOOR else "-"
            axes.loglog(sizes, medians, style, marker="o", color=_COLOURS[name], label=name)
        axes.set_xlabel("positions")
        axes.set_ylabel("milliseconds, median")
        axes.legend(frameon=False)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue().decode()


def write_growth(measurements: Sequence[Measurement], page: Path) -> bool:
    """Write the picture beside the page of the benches.

    Args:
        measurements: of a run.
        page: the page.

    Returns:
        Whether there is a picture: the section was measured.
    """
    if not any(line.section == SECTION for line in measurements):
        return False
    (page.parent / PICTURE).write_text(draw_growth(measurements), encoding="utf-8")
    return True
