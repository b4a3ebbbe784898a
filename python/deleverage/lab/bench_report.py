"""What a run of the measurements says: the machine, the figures, and whether each goal was met."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median

__all__ = [
    "PAIRS_TO_JUDGE",
    "Figure",
    "Goal",
    "Machine",
    "Measurement",
    "Report",
    "Unit",
    "measured",
    "milliseconds",
    "write_readme",
]

#: Fewer alternating pairs than this show a figure but judge no goal.
PAIRS_TO_JUDGE = 21


class Unit(StrEnum):
    """What a figure counts."""

    MILLISECONDS = "ms"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing measured several times.

    Attributes:
        minimum: the smallest value.
        median: the middle value.
        rounds: how many values there were.
        unit: what is counted.
    """

    minimum: float
    median: float
    rounds: int
    unit: Unit = Unit.MILLISECONDS

    @classmethod
    def of(cls, values: Sequence[float], unit: Unit = Unit.MILLISECONDS) -> "Figure":
        """Return the figure of some values, at least one."""
        return cls(minimum=min(values), median=median(values), rounds=len(values), unit=unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound on a ratio.

    Attributes:
        limit: the bound itself is allowed.
        is_speedup: the ratio is reference over ours and has to reach the limit; otherwise it is
            ours over reference and must not exceed it.
    """

    limit: float
    is_speedup: bool = False

    def __str__(self) -> str:
        return f"{'>=' if self.is_speedup else '<='} {self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One line of the report.

    Attributes:
        section: part of the report it belongs to.
        case: what was asked of what.
        distribution: how the book was drawn, and how its rows lie.
        positions: rows of the book.
        selected: rows of the answer, where the answer is a choice of rows.
        threads: threads of ours; the reference has the same unless `note` says otherwise.
        simd: instruction set of ours, `auto` is the widest.
        ours: our figure.
        reference: what it is held against, by name; empty where there is nothing.
        theirs: the figure of the reference.
        ratio: ours over theirs, or theirs over ours where the goal is a speed-up.
        goal: the bound on the ratio, where one was set.
        is_met: whether the goal was met; None without a goal or with too few rounds to judge.
        note: what a reader must know besides.
    """

    section: str
    case: str
    distribution: str
    positions: int
    selected: int | None
    threads: int
    simd: str
    ours: Figure
    reference: str
    theirs: Figure | None
    ratio: float | None
    goal: Goal | None
    is_met: bool | None
    note: str


def measured(
    *,
    section: str,
    case: str,
    distribution: str,
    positions: int,
    threads: int,
    ours: Sequence[float],
    selected: int | None = None,
    simd: str = "auto",
    reference: str = "",
    theirs: Sequence[float] = (),
    goal: Goal | None = None,
    rounds_to_judge: int = PAIRS_TO_JUDGE,
    unit: Unit = Unit.MILLISECONDS,
    note: str = "",
) -> Measurement:
    """Make a line of the report out of raw values.

    Args:
        section: see `Measurement`.
        case: see `Measurement`.
        distribution: see `Measurement`.
        positions: see `Measurement`.
        threads: see `Measurement`.
        ours: our values. Where there are as many of theirs, they are taken as alternating pairs
            and the ratio is the median of the pairs'; otherwise it is the ratio of the medians.
        selected: see `Measurement`.
        simd: see `Measurement`.
        reference: see `Measurement`.
        theirs: values of the reference, none where there is no reference.
        goal: see `Measurement`.
        rounds_to_judge: with fewer values of ours no goal is judged.
        unit: of both.
        note: see `Measurement`.

    Returns:
        The line.
    """
    is_speedup = goal is not None and goal.is_speedup
    ratio = _ratio(theirs, ours) if is_speedup else _ratio(ours, theirs)
    is_met = None
    if goal is not None and ratio is not None and len(ours) >= rounds_to_judge:
        is_met = ratio >= goal.limit if goal.is_speedup else ratio <= goal.limit
    return Measurement(
        section=section,
        case=case,
        distribution=distribution,
        positions=positions,
        selected=selected,
        threads=threads,
        simd=simd,
        ours=Figure.of(ours, unit),
        reference=reference,
        theirs=Figure.of(theirs, unit) if theirs else None,
        ratio=ratio,
        goal=goal,
        is_met=is_met,
        note=note,
    )


def _ratio(above: Sequence[float], below: Sequence[float]) -> float | None:
    if not above or not below:
        return None
    if len(above) == len(below):
        return median(a / max(b, 1e-9) for a, b in zip(above, below, strict=True))
    return median(above) / max(median(below), 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the figures were taken.

    Attributes:
        cpu: model name as the system gives it.
        cores: cores this process may use.
        memory_gib: memory of the machine.
        simd: instruction sets the kernel can use here, narrowest first.
        load: average number of runnable threads in the minute before; above 0.5 on a machine
            this small the figures are disturbed.
        system: operating system and architecture.
        versions: name and version of what took part.
    """

    cpu: str
    cores: int
    memory_gib: float
    simd: tuple[str, ...]
    load: float
    system: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All figures of one run.

    Attributes:
        machine: where.
        taken_at: when, ISO 8601 in UTC.
        positions: rows of the books.
        threads: thread counts that were measured.
        rounds: alternating pairs of each line that is held against the floor.
        is_quick: a shortened run.
        seed: of the books.
        seconds: how long the run took.
        measurements: the lines.
        skipped: what was left out, with the reason.
    """

    machine: Machine
    taken_at: str
    positions: int
    threads: tuple[int, ...]
    rounds: int
    is_quick: bool
    seed: int
    seconds: float
    measurements: tuple[Measurement, ...]
    skipped: tuple[str, ...]

    def sections(self) -> tuple[str, ...]:
        """Return the names of the sections in the order of their first line."""
        return tuple(dict.fromkeys(line.section for line in self.measurements))

    def to_dict(self) -> dict[str, object]:
        """Return the report as plain values, goals as text."""
        plain = asdict(self)
        for line, values in zip(self.measurements, plain["measurements"], strict=True):
            values["goal"] = None if line.goal is None else str(line.goal)
        return plain

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def to_markdown(self) -> str:
        """Return the report as a page of Markdown tables."""
        lines = ["# Measurements", "", *_head(self), ""]
        for section in self.sections():
            rows = [line for line in self.measurements if line.section == section]
            lines += [f"## {section}", "", *_table(rows), ""]
        if self.skipped:
            lines += ["## Left out", "", *(f"- {reason}" for reason in self.skipped), ""]
        return "\n".join(lines)


def write_readme(report: Report, path: Path) -> None:
    """Write the report as the page of the benches.

    Args:
        report: the figures.
        path: the file, usually `benches/README.md`; it is replaced.
    """
    path.write_text(report.to_markdown(), encoding="utf-8")


def _head(report: Report) -> list[str]:
    machine = report.machine
    judged = [line.is_met for line in report.measurements if line.is_met is not None]
    return [
        "Written by `deleverage bench`; do not edit. Every figure says what it was measured",
        "against; a goal that is missed says so.",
        "",
        f"- taken {report.taken_at} in {report.seconds:.0f} s, seed {report.seed}"
        + (": a quick run, goals against the floor are not judged" if report.is_quick else ""),
        f"- {machine.cpu}, {machine.cores} cores, {machine.memory_gib:.0f} GiB, {machine.system}",
        f"- instruction sets: {', '.join(machine.simd)}",
        f"- load before the run {machine.load:.2f}"
        + (": the machine was not idle, the figures are noisy" if machine.load > _BUSY else ""),
        "- " + ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        f"- {report.positions:,} positions; threads: {', '.join(map(str, report.threads))}",
        f"- {report.rounds} alternating pairs a line",
        f"- goals met: {sum(judged)} of {len(judged)} judged",
        "",
        "The floor is the fastest of four sum loops (columns one after the other or interleaved,",
        "baseline or widest instruction set) over exactly the integer columns that the rule reads,",
        "with the same threads and chunks, in the same run. A ratio is ours over the reference,",
        "or, where the goal is `>=`, the reference over ours; for alternating pairs it is the",
        "median of the pairs' ratios. Peers are the files in `peers/`; they are handed their own",
        "form of the data outside the timing and must return the same ids.",
    ]


_BUSY = 0.5
_SMALL = 0.1
"""Smaller figures are shown with four decimals."""


def _table(rows: Sequence[Measurement]) -> list[str]:
    """Leave out the columns that say the same, or nothing, in every row of the section."""
    columns: list[tuple[str, Callable[[Measurement], str]]] = [
        ("case", lambda row: row.case),
        ("distribution", lambda row: row.distribution),
        ("n", lambda row: f"{row.positions:,}"),
        ("k", lambda row: "" if row.selected is None else f"{row.selected:,}"),
        ("threads", lambda row: str(row.threads)),
        ("simd", lambda row: row.simd),
        ("ours min", lambda row: _least(row.ours)),
        ("ours median", lambda row: _middle(row.ours)),
        ("reference", lambda row: row.reference),
        ("its min", lambda row: _least(row.theirs)),
        ("its median", lambda row: _middle(row.theirs)),
        ("ratio", lambda row: "" if row.ratio is None else _ratio_text(row.ratio)),
        ("goal", lambda row: "" if row.goal is None else str(row.goal)),
        ("met", _verdict),
        ("note", lambda row: row.note),
    ]
    shown = [(name, text) for name, text in columns if any(text(row) for row in rows)]
    head = "| " + " | ".join(name for name, _ in shown) + " |"
    rule = "| " + " | ".join("---" for _ in shown) + " |"
    return [head, rule, *("| " + " | ".join(text(row) for _, text in shown) + " |" for row in rows)]


def _ratio_text(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= _SMALL else f"{ratio:.4f}"


def _verdict(row: Measurement) -> str:
    if row.goal is None:
        return ""
    return {True: "yes", False: "NO", None: "not judged"}[row.is_met]


def _least(figure: Figure | None) -> str:
    return "" if figure is None else _value(figure.minimum, figure.unit)


def _middle(figure: Figure | None) -> str:
    return "" if figure is None else _value(figure.median, figure.unit)


def _value(value: float, unit: Unit) -> str:
    if unit is Unit.BYTES:
        return f"{value:,.0f} B"
    return milliseconds(value)


def milliseconds(value: float) -> str:
    """Write a time; small ones with more decimals."""
    return f"{value:,.2f} ms" if value >= _SMALL else f"{value:.4f} ms"
