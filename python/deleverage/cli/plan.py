"""`deleverage plan`: who is cut, by how much, at what price, and why."""

from dataclasses import dataclass
from decimal import Decimal

from deleverage import planning
from deleverage.cli.exits import ExitCode, say
from deleverage.cli.inputs import Inputs, decimal_of, request_of, venue_of
from deleverage.cli.options import Format, Side
from deleverage.cli.output import Sink, emit_frame, emit_record
from deleverage.cli.tables import Page, cell

__all__ = ["Wish", "plan_event", "plan_facts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was typed; numbers are still text.

    Attributes:
        venue: edition by name or path.
        market: the bankrupt position's market.
        bankrupt_side: its side, or None to take it from the directory.
        qty: contracts, or None to take them from the directory.
        bankruptcy_price: frozen at takeover, or None.
        bankrupt_account: never cut against itself, or None.
        exclude: accounts that are never cut.
        explain: the accounts that ask.
    """

    venue: str
    market: str
    bankrupt_side: Side | None = None
    qty: str | None = None
    bankruptcy_price: str | None = None
    bankrupt_account: str | None = None
    exclude: tuple[str, ...] = ()
    explain: tuple[str, ...] = ()


def plan_event(inputs: Inputs, wish: Wish, *, shape: Format | None, output: str) -> int:
    """Plan one event and write it.

    Args:
        inputs: the paths of the frames.
        wish: what was typed.
        shape: `--format`; CSV and Parquet hold the fills alone.
        output: `-o`.

    Returns:
        The exit code; 4 where the queue was too short.

    Raises:
        InputError: an input is not what the contract says.
    """
    sink = Sink.of(shape, output, allowed=tuple(Format))
    inputs.refuse_as_output(sink.path)
    side = None if wish.bankrupt_side is None else wish.bankrupt_side.value
    request = request_of(inputs, market=wish.market, bankrupt_side=side, qty=wish.qty)
    price = wish.bankruptcy_price
    plan = planning.plan(
        inputs.positions,
        marks=inputs.marks,
        venue=venue_of(wish.venue),
        market=wish.market,
        bankrupt_side=request.bankrupt_side,
        qty=request.qty,
        bankruptcy_price=None if price is None else decimal_of(price, option="--bankruptcy-price"),
        bankrupt_account=wish.bankrupt_account,
        exclude=wish.exclude,
        accounts=inputs.accounts,
        markets=inputs.markets,
        neutral=inputs.neutral,
    )
    asked = dict.fromkeys(wish.explain)
    _write(plan, [str(plan.explain(account)) for account in asked], wish, sink)
    for note in (*plan.notes, plan.price_note):
        if note:
            say(note)
    if plan.unfilled > 0:
        say(f"not fully covered: {cell(plan.unfilled)} of {cell(request.qty)} contracts are left")
        return ExitCode.NOT_COVERED
    return ExitCode.DONE


def plan_facts(plan: planning.Plan) -> dict[str, object]:
    """The plan without its frames, for people and for JSON.

    Args:
        plan: what `plan` returned.

    Returns:
        Value by name.
    """
    return {
        "market": plan.market,
        "bankrupt_side": plan.bankrupt_side,
        "requested": plan.requested,
        "netted": plan.netted,
        "closed": sum(plan.fills["qty_closed"].to_list(), Decimal(0)),
        "unfilled": plan.unfilled,
        "cut": plan.cut,
        "reason": plan.reason,
        "price_note": plan.price_note,
        "digest": plan.digest,
    }


def _write(plan: planning.Plan, explanations: list[str], wish: Wish, sink: Sink) -> None:
    """The plan in the sink's shape."""
    if sink.format in (Format.CSV, Format.PARQUET):
        emit_frame(plan.fills, sink, table=str)
        say(f"{plan}, digest {plan.digest}")
        for explanation in explanations:
            say(explanation)
        return

    def table() -> str:
        page = Page(is_terminal=sink.is_terminal)
        page.frame("fills", plan.fills)
        for title, frame in (("left out", plan.left_out), ("own legs", plan.own_legs)):
            if frame.height:
                page.frame(title, frame)
        page.facts(f"plan by {wish.venue}", plan_facts(plan))
        for explanation in explanations:
            page.text(explanation)
        return str(page)

    frames = {"fills": plan.fills, "left_out": plan.left_out, "own_legs": plan.own_legs}
    told = {"notes": plan.notes, "explanation": "\n\n".join(explanations) or None}
    record = plan_facts(plan) | frames | told
    emit_record(record, sink, table=table)
