"""The figures of the project's first page: a tick on a kept book beside everything else.

They stand between two marks in the page; what is around them is written by hand.
"""

from collections.abc import Iterator, Sequence

from deleverage.errors import InputError
from deleverage.lab.bench_report import Figure, Measurement, Report, milliseconds

__all__ = ["BEGIN", "END", "tick_table", "with_ticks"]

BEGIN = "<!-- ticks: written by `deleverage bench --write-readme`, do not edit -->"
END = "<!-- end of ticks -->"

_ORDERED = ", in queue order"
_SLOWEST = "the slowest tick"
_NAMES = {
    "select over all rows": "`ranking.select`, a pass over all rows of the side",
    "floor": "the floor: that side's columns read once",
    "numpy_partition": "NumPy",
    "polars_top_k": "Polars",
    "duckdb_limit": "DuckDB",
}
"""By how a line's reference begins: what the page calls it, in the order of the page."""


def tick_table(report: Report) -> str:
    """Write the ticks of a run as a table of Markdown: a row for each way, a column for each share.

    Args:
        report: a run that measured the section `ticks`.

    Returns:
        A sentence that says what was measured where, and the table.
    """
    lines = [line for line in report.measurements if line.section == "ticks"]
    first = lines[0]
    cases = list(dict.fromkeys(line.case for line in lines if _ORDERED not in line.case))
    machine = report.machine
    head = [
        f"{first.positions:,} positions in one market; the mark moves by a basis point, and the",
        "head of one side is asked for. Medians of one run on",
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:.0f} GiB,",
        f"{first.threads} threads, taken {report.taken_at[:10]};",
        "everything measured, with what falls short: [benches/](benches).",
        "",
        f"| | {' | '.join(cases)} |",
        f"| --- |{' --- |' * len(cases)}",
    ]
    rows = (f"| {name} | {' | '.join(cells)} |" for name, cells in _rows(lines, cases))
    return "\n".join([*head, *rows])


def _rows(lines: Sequence[Measurement], cases: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """What each way took, case by case."""
    yield (
        "`deleverage.Book`: new mark, then the head",
        [_ours(lines, case, "floor") for case in cases],
    )
    ordered = [_ours(lines, case + _ORDERED, "floor") for case in cases]
    yield "the same in the order of the queue", ordered
    yield "its slowest tick", [_ours(lines, case, "", _SLOWEST) for case in cases]
    for reference, name in _NAMES.items():
        found = [_line(lines, case, reference) for case in cases]
        if any(found):
            yield name, [_cell(line.theirs if line else None) for line in found]


def _line(
    lines: Sequence[Measurement], case: str, reference: str, note: str = ""
) -> Measurement | None:
    """The first line of a case beside a reference, and with a note where one is given."""
    found = (line for line in lines if line.case == case and line.reference.startswith(reference))
    return next((line for line in found if note in ("", line.note)), None)


def _ours(lines: Sequence[Measurement], case: str, reference: str, note: str = "") -> str:
    line = _line(lines, case, reference, note)
    return _cell(line.ours if line else None)


def _cell(figure: Figure | None) -> str:
    return "" if figure is None else milliseconds(figure.median)


def with_ticks(page: str, report: Report) -> str:
    """Put the ticks of a run into the project's first page.

    Args:
        page: its text.
        report: a run; without the section `ticks` the page stays as it is.

    Returns:
        The page.

    Raises:
        InputError: the page does not have both marks, in their order.
    """
    if "ticks" not in report.sections():
        return page
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"README.md: expected {BEGIN!r} and below it {END!r}, got none")
    return f"{before}{BEGIN}\n{tick_table(report)}\n{END}{after}"
