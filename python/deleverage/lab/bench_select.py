"""`select` and `order` against the floor: rules, shares of the side, threads, instruction sets."""

from collections.abc import Callable, Iterator
from functools import partial

from deleverage import ranking
from deleverage.lab.bench_cases import CASES, Case, Subject, subject_of
from deleverage.lab.bench_report import Goal, Measurement, measured
from deleverage.lab.bench_timing import Floor, alternate, repeat
from deleverage.lab.books import Book
from deleverage.ranking import Selection

__all__ = ["SHARES", "SIDE", "measure_select", "question"]

#: Share of the side's open interest that is to be offset.
SHARES = (0.0001, 0.001, 0.01, 0.1)
SIDE = -1

_SMALL_SHARE = 0.001
_MIDDLE_SHARE = 0.01


def question(
    subject: Subject, share: float, *, threads: int, simd: str = "auto"
) -> Callable[[], Selection]:
    """Return the call that is measured: the head of the shorts' queue in a book of one market.

    Args:
        subject: the book and the rule.
        share: of the shorts' open interest.
        threads: how many to use.
        simd: instruction set.

    Returns:
        A function without arguments.
    """
    return partial(
        ranking.select,
        subject.columns,
        subject.rates[0],
        rule=subject.case.rule,
        side=SIDE,
        lots=max(int(subject.book.open_interest(SIDE) * share), 1),
        accounts=subject.accounts,
        threads=threads,
        simd=simd,
    )


def measure_select(
    book: Book, *, threads: tuple[int, ...], rounds: int, progress: Callable[[str], None]
) -> Iterator[Measurement]:
    """Measure `select` and `order` on one book of one market.

    Args:
        book: log-normal, rows and accounts in no order.
        threads: thread counts.
        rounds: alternating pairs a line.
        progress: told before each group of lines.

    Yields:
        The lines, section `select` and section `order`.
    """
    for case in CASES.values():
        lying = [("random accounts", book), ("rows by account", book.by_account())]
        for layout, rows in lying if case.is_account_level else [("", book)]:
            subject = subject_of(rows, case)
            for count in threads:
                progress(f"select: {case.name} {layout} on {count} threads")
                yield from _measure_subject(subject, layout, count, rounds)


def _measure_subject(
    subject: Subject, layout: str, threads: int, rounds: int
) -> Iterator[Measurement]:
    floor = subject.floor(threads)
    for share in SHARES:
        for simd in _levels(subject.case, share):
            yield _line(
                subject, layout, floor, share=share, threads=threads, simd=simd, rounds=rounds
            )
    for share in SHARES:
        head = question(subject, share, threads=threads)().rows
        call = partial(
            ranking.order,
            subject.columns,
            subject.rates[0],
            head,
            rule=subject.case.rule,
            accounts=subject.accounts,
            threads=threads,
        )
        yield measured(
            section="order",
            case=f"{subject.case.name}, {share:.2%}",
            distribution=_lying(subject, layout),
            positions=subject.book.positions,
            selected=len(head),
            threads=threads,
            ours=repeat(call, min(rounds, 7)),
        )


def _line(
    subject: Subject,
    layout: str,
    floor: Floor,
    *,
    share: float,
    threads: int,
    simd: str,
    rounds: int,
) -> Measurement:
    call = question(subject, share, threads=threads, simd=simd)
    answer = call()
    theirs, ours = alternate(floor, call, rounds)
    return measured(
        section="select",
        case=f"{subject.case.name}, {share:.2%}",
        distribution=_lying(subject, layout),
        positions=subject.book.positions,
        selected=len(answer.rows),
        threads=threads,
        simd=simd,
        ours=ours,
        reference=f"floor ({floor.variant})",
        theirs=theirs,
        goal=_goal(subject.case, layout, share, simd),
        note=f"{answer.rescans} rescans" if answer.rescans else "",
    )


def _levels(case: Case, share: float) -> tuple[str, ...]:
    """Narrower sets are forced where they say something: no gathers, and up to 0.1 %."""
    if case.is_account_level or share > _SMALL_SHARE:
        return ("auto",)
    return ("auto", *reversed(ranking.simd_levels()[:-1]))


def _goal(case: Case, layout: str, share: float, simd: str) -> Goal | None:
    widest = ranking.simd_levels()[-1]
    level = widest if simd == "auto" else simd
    if case.is_account_level:
        limit = 2.0 if layout == "random accounts" else 1.5
    else:
        limit = {"avx512": 1.25, "avx2": 1.5}.get(level, 0.0)
    if share > _SMALL_SHARE:
        limit = max(limit, 1.6 if share <= _MIDDLE_SHARE else 3.5)
    return Goal(limit=limit) if limit else None


def _lying(subject: Subject, layout: str) -> str:
    return ", ".join(filter(None, (subject.book.distribution.value, layout)))
