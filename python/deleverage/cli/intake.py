"""`deleverage import`: published data in, frames out, and two checks kept apart.

The first check is arithmetic on the published numbers alone. The second plans the same event with
our engine and asks whether the plan keeps its promises; how many accounts it has in common with
the published fills is printed and never judged, for the list does not say who was spared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from deleverage.cli.agreement import EventPlan, plan_event_frames
from deleverage.cli.exits import ExitCode, OutputError, say
from deleverage.cli.inputs import decimal_of, unknown, venue_of
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_record
from deleverage.cli.tables import Page
from deleverage.errors import InputError
from deleverage.interop.hyperliquid import (
    Event,
    EventFrames,
    MoneyRounding,
    event_frames,
    read_fills,
    split_events,
    write_frames,
)
from deleverage.interop.hyperliquid_check import MarketCheck, check_event

__all__ = ["import_hyperliquid"]

DEVIATIONS_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Imported:
    """One event with everything that is reported about it."""

    directory: Path
    frames: EventFrames
    checks: tuple[MarketCheck, ...]
    plans: tuple[EventPlan, ...]


def import_hyperliquid(
    file: Path,
    directory: Path,
    *,
    rounding: str,
    venue: str,
    published: tuple[str, ...],
    shape: Format | None,
) -> int:
    """Import published ADL fills, check them, and plan the same events.

    Args:
        file: CSV with one ADL fill a row.
        directory: where the frames are written; several events each into their own.
        rounding: how money is brought to 0.000001.
        venue: edition that plans the events.
        published: totals to meet, each `MARKET=QTY`.
        shape: `--format` of the report on standard output; table or JSON.

    Returns:
        The exit code: 1 where a published total is not met, 3 where our plan broke a promise.

    Raises:
        InputError: the file is not what the importer takes, or an option is not.
        OutputError: the directory cannot be written.
    """
    sink = Sink.of(shape, "-", allowed=(Format.TABLE, Format.JSON))
    totals = dict(_total(text) for text in published)
    chosen = _rounding(rounding)
    edition = venue_of(venue)
    events = split_events(read_fills(file))
    _refuse_totals(totals, events)
    imported = []
    frames = [event_frames(event, rounding=chosen) for event in events]
    for event, parts in zip(events, frames, strict=True):
        place = directory if len(events) == 1 else directory / str(event.time_ms)
        plans = plan_event_frames(event, parts, edition)
        checks = check_event(event, published=totals)
        imported.append(_Imported(directory=place, frames=parts, checks=checks, plans=plans))
    for one in imported:
        _write(one)
    say(f"fills: {sum(one.frames.report.fills for one in imported)}, events: {len(imported)}")
    emit_record(
        {"events": [_record(one) for one in imported]},
        sink,
        table=lambda: _page(imported, is_terminal=sink.is_terminal),
    )
    return _code(imported)


def _write(one: _Imported) -> None:
    """The frames of one event as files."""
    try:
        write_frames(one.frames, one.directory)
    except OSError as error:
        raise OutputError(f"{one.directory}: cannot be written: {error.strerror}") from error


def _total(text: str) -> tuple[str, Decimal]:
    """One `MARKET=QTY`."""
    market, separator, qty = text.partition("=")
    if not separator or not market:
        raise InputError(f"--published: expected MARKET=QTY, got {text!r}")
    return market, decimal_of(qty, option="--published")


def _refuse_totals(totals: Mapping[str, Decimal], events: Sequence[Event]) -> None:
    """Totals are for the markets of one event."""
    if totals and len(events) > 1:
        raise InputError(f"--published: expected a file of one event, got {len(events)} events")
    markets = {fill.market for event in events for fill in event.fills}
    for market in totals:
        if market not in markets:
            raise InputError(unknown("--published", market, markets))


def _rounding(name: str) -> MoneyRounding:
    """The rounding of that name."""
    if name not in list(MoneyRounding):
        names = ", ".join(MoneyRounding)
        raise InputError(f"--rounding: expected one of {names}, got {name!r}")
    return MoneyRounding(name)


def _code(imported: list[_Imported]) -> ExitCode:
    """What the checks say about the run."""
    if any(not plan.is_sound for one in imported for plan in one.plans):
        say("our plan broke a promise: see the second table")
        return ExitCode.INVARIANT_BROKE
    if any(check.is_total_met is False for one in imported for check in one.checks):
        say("a published total is not met: see the first table")
        return ExitCode.FAILED
    return ExitCode.DONE


def _record(one: _Imported) -> dict[str, object]:
    """One event for JSON."""
    report = one.frames.report
    return {
        "event": str(report.time_ms),
        "directory": str(one.directory),
        "fills": report.fills,
        "positions": report.positions,
        "accounts": report.accounts,
        "markets": report.markets,
        "merged_fills": report.merged_fills,
        "equity_conflicts": report.equity_conflicts,
        "equity_spread": report.equity_spread,
        "price_conflicts": report.price_conflicts,
        "without_equity": report.without_equity,
        "rounding": report.rounding,
        "rounded_values": report.rounded_values,
        "rounding_error": report.rounding_error,
        "published": [_check_record(check) for check in one.checks],
        "planned": [plan.record() for plan in one.plans],
    }


def _check_record(check: MarketCheck) -> dict[str, object]:
    """The first check of one market for JSON."""
    return {
        "market": check.market,
        "side": check.side,
        "fills": check.fills,
        "lot": check.lot,
        "lots": check.lots,
        "qty": check.qty,
        "published_qty": check.published_qty,
        "is_total_met": check.is_total_met,
        "over_cut_rows": check.over_cut,
        "full_closes": check.full_closes,
        "agreeing": check.agreeing,
        "deviations": [
            {
                "row": found.fill.row,
                "account": found.fill.account,
                "size": found.fill.size,
                "published": found.fill.realised,
                "expected": found.expected,
                "deviation": found.deviation,
                "tolerance": found.tolerance,
            }
            for found in check.deviations
        ],
    }


def _page(imported: list[_Imported], *, is_terminal: bool) -> str:
    """The report as it is printed."""
    page = Page(is_terminal=is_terminal)
    _add_intake(page, imported)
    _add_published(page, imported)
    _add_deviations(page, imported)
    _add_planned(page, imported)
    _add_totals(page, imported)
    return str(page)


def _add_intake(page: Page, imported: list[_Imported]) -> None:
    """What was read and decided."""
    columns = (
        "event",
        "fills",
        "positions",
        "accounts",
        "markets",
        "merged fills",
        "users with several equities",
        "apart by at most",
        "equity <= 0",
        "rounding",
        "values rounded",
        "by at most",
    )
    reports = [one.frames.report for one in imported]
    rows = [
        (
            report.time_ms,
            report.fills,
            report.positions,
            report.accounts,
            report.markets,
            report.merged_fills,
            report.equity_conflicts,
            report.equity_spread,
            report.without_equity,
            report.rounding.value,
            report.rounded_values,
            report.rounding_error,
        )
        for report in reports
    ]
    page.rows("intake", columns, rows)


def _add_published(page: Page, imported: list[_Imported]) -> None:
    """The first check."""
    columns = (
        "event",
        "market",
        "cut side",
        "fills",
        "sum of sizes",
        "in lots",
        "of",
        "published total",
        "met",
        "cut by more than held",
        "full closes",
        "profit follows",
        "deviates",
    )
    rows = [
        (
            check.time_ms,
            check.market,
            check.side,
            check.fills,
            check.qty,
            check.lots,
            check.lot,
            check.published_qty,
            check.is_total_met,
            len(check.over_cut),
            check.full_closes,
            check.agreeing,
            len(check.deviations),
        )
        for one in imported
        for check in one.checks
    ]
    page.rows("check 1: the published fills themselves", columns, rows)


def _add_deviations(page: Page, imported: list[_Imported]) -> None:
    """Full closes whose published profit does not follow, the largest first."""
    found = [
        (check, deviation)
        for one in imported
        for check in one.checks
        for deviation in check.deviations
    ]
    if not found:
        return
    found.sort(key=lambda pair: (-abs(pair[1].deviation), pair[1].fill.row))
    columns = ("row", "market", "account", "size", "published", "expected", "deviation", "within")
    rows = [
        (
            deviation.fill.row,
            check.market,
            deviation.fill.account,
            deviation.fill.size,
            deviation.fill.realised,
            deviation.expected,
            deviation.deviation,
            deviation.tolerance,
        )
        for check, deviation in found[:DEVIATIONS_SHOWN]
    ]
    page.rows("published profit is not side x (price - entry) x size", columns, rows)
    if len(found) > len(rows):
        page.text(f"the largest {len(rows)} of {len(found)}; --format json has all")


def _add_planned(page: Page, imported: list[_Imported]) -> None:
    """The second check."""
    columns = (
        "event",
        "market",
        "bankrupt side",
        "request",
        "closed",
        "unfilled",
        "met exactly",
        "partials",
        "conserved",
        "sound",
        "accounts cut",
        "published",
        "in both",
        "same size",
    )
    rows = [
        (
            one.frames.report.time_ms,
            plan.market,
            plan.bankrupt_side,
            plan.request,
            plan.closed,
            plan.unfilled,
            plan.is_met,
            plan.partials,
            plan.is_conserved,
            plan.is_sound,
            plan.accounts,
            plan.published_accounts,
            plan.shared_accounts,
            plan.same_size,
        )
        for one in imported
        for plan in one.plans
    ]
    page.rows("check 2: our plan on the same positions", columns, rows)


def _add_totals(page: Page, imported: list[_Imported]) -> None:
    """Both checks in one number each, apart from one another."""
    checks = [check for one in imported for check in one.checks]
    plans = [plan for one in imported for plan in one.plans]
    page.facts(
        "check 1 in all",
        {
            "published fills": sum(check.fills for check in checks),
            "cut by more than held": sum(len(check.over_cut) for check in checks),
            "full closes": sum(check.full_closes for check in checks),
            "of which the profit follows": sum(check.agreeing for check in checks),
        },
    )
    page.facts(
        "check 2 in all",
        {
            "plans": len(plans),
            "sound": sum(plan.is_sound for plan in plans),
            "met exactly": sum(plan.is_met for plan in plans),
            "accounts we cut": sum(plan.accounts for plan in plans),
            "accounts published": sum(plan.published_accounts for plan in plans),
            "in both": sum(plan.shared_accounts for plan in plans),
            "in both by the same size": sum(plan.same_size for plan in plans),
        },
    )
