"""`deleverage demo`: a synthetic crash, planned, with what one trader sees of it."""

from collections.abc import Mapping
from decimal import Decimal

import polars as pl

from deleverage import planning
from deleverage.cli.exits import ExitCode, say
from deleverage.cli.inputs import venue_of
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_record
from deleverage.cli.plan import plan_facts
from deleverage.cli.rank import in_queue_order
from deleverage.cli.tables import Page, bar
from deleverage.lab.crash import Bankruptcy, synthetic_crash
from deleverage.model.snapshot import Snapshot

__all__ = ["show_demo"]

HEAD = 10
_OPPOSITE = {"long": "short", "short": "long"}
_NOBODY = pl.DataFrame(
    schema={"account": pl.String, "underlier": pl.String, "delta_neutral": pl.Boolean}
)


def show_demo(
    *, venue: str, account: str, positions: int, seed: int, shape: Format | None, output: str
) -> int:
    """Draw a crash, rank it, plan it and explain it.

    Args:
        venue: edition by name or path.
        account: the trader who asks.
        positions: rows of the book.
        seed: of the crash.
        shape: `--format`; table or JSON.
        output: `-o`.

    Returns:
        The exit code; 4 where the queue was too short.

    Raises:
        InputError: the edition needs an input that the crash lacks, or there is no such account.
    """
    sink = Sink.of(shape, output, allowed=(Format.TABLE, Format.JSON))
    edition = venue_of(venue)
    crash = synthetic_crash(seed, positions)
    event = crash.bankruptcy
    say(f"{positions} positions drawn from seed {seed}; {event.account} is bankrupt")
    snapshot = Snapshot.prepare(
        _unhedged(crash.positions),
        marks=crash.marks,
        venue=edition,
        accounts=crash.accounts,
        markets=_linear(crash.marks),
        neutral=_NOBODY if "neutral" in edition.needs.tiers else None,
    )
    ranked = planning.rank(snapshot)
    plan = planning.plan(
        snapshot,
        marks=crash.marks,
        market=event.market,
        bankrupt_side=event.side,
        qty=event.qty,
        bankruptcy_price=event.price,
        bankrupt_account=event.account,
    )
    record = {
        "venue": venue,
        "bankruptcy": _request(event),
        "queue_head": _queue(ranked, event).head(HEAD),
        "lights": _lights(_queue(ranked, event)),
        "plan": plan_facts(plan),
        "first_fills": plan.fills.head(HEAD),
        "explanation": str(plan.explain(account)),
    }
    emit_record(record, sink, table=lambda: _page(record, is_terminal=sink.is_terminal))
    return ExitCode.NOT_COVERED if plan.unfilled > 0 else ExitCode.DONE


def _unhedged(positions: pl.DataFrame) -> pl.DataFrame:
    """The book with what it implies: everybody opened once, and nobody has a second position."""
    return positions.with_columns(
        open_value=pl.col("qty") * pl.col("entry_price"),
        hedged_qty=pl.lit(Decimal(0), dtype=pl.Decimal(38, 3)),
    )


def _linear(marks: pl.DataFrame) -> pl.DataFrame:
    """The markets of the crash: it draws linear contracts, whatever the edition's own are."""
    return marks.select("market", kind=pl.lit("linear"))


def _queue(ranked: pl.DataFrame, event: Bankruptcy) -> pl.DataFrame:
    """The queue that the event is covered from, first to be cut first."""
    columns = ("rank", "account", "side", "qty", "entry_price", "score", "percentile", "light")
    candidates = in_queue_order(ranked).filter(
        pl.col("market").cast(pl.String) == event.market,
        pl.col("side").cast(pl.String) == _OPPOSITE[event.side],
        pl.col("rank").is_not_null(),
    )
    return candidates.select(columns)


def _request(event: Bankruptcy) -> dict[str, object]:
    """The bankruptcy, value by name."""
    return {
        "account": event.account,
        "market": event.market,
        "side": event.side,
        "qty": event.qty,
        "bankruptcy_price": event.price,
    }


def _lights(queue: pl.DataFrame) -> pl.DataFrame:
    """Entries and contracts by light, next in line first."""
    return (
        queue.group_by("light")
        .agg(entries=pl.len(), contracts=pl.col("qty").sum())
        .sort("light", descending=True)
    )


def _page(record: Mapping[str, object], *, is_terminal: bool) -> str:
    """The demo as it is printed."""
    page = Page(is_terminal=is_terminal)
    _facts(page, "bankrupt", record["bankruptcy"])
    _frame(page, f"head of the queue by {record['venue']}", record["queue_head"])
    lights = record["lights"]
    if isinstance(lights, pl.DataFrame):
        total = max(int(lights["entries"].sum()), 1)
        bars = [bar(count / total) for count in lights["entries"].to_list()]
        _frame(page, "lights (highest: next in line)", lights.with_columns(pl.Series("", bars)))
    _frame(page, "first fills", record["first_fills"])
    _facts(page, "plan", record["plan"])
    page.text(str(record["explanation"]))
    return str(page)


def _facts(page: Page, title: str, facts: object) -> None:
    """Add a part of the record that holds values by name."""
    if isinstance(facts, Mapping):
        page.facts(title, facts)


def _frame(page: Page, title: str, frame: object) -> None:
    """Add a part of the record that holds rows."""
    if isinstance(frame, pl.DataFrame):
        page.frame(title, frame)
