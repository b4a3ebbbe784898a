"""`deleverage check`: five questions about one's own position, with their numbers and the sum."""

from dataclasses import dataclass

from deleverage.advice.holding import holdings
from deleverage.advice.self_check import Check, Conditions, check_holding
from deleverage.cli.exits import ExitCode, say
from deleverage.cli.inputs import Inputs, venue_of
from deleverage.cli.options import Format, Side
from deleverage.cli.output import Sink, emit_record
from deleverage.cli.tables import Page
from deleverage.planning.inputs import Frames, read_frames

__all__ = ["Question", "check_positions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was typed; numbers are still text.

    Attributes:
        venue: edition by name or path.
        account: who asks.
        market: only this market, or None.
        side: only this side, or None.
        funding_rate: of one interval as a fraction, or None.
        funding_line: from which on it is extreme.
        liquidation_spike: whether there is one, or None.
        thin_session: whether it is one, or None.
        pool_balance: of the insurance pool, or None.
        pool_peak: its highest balance of the window, or None.
    """

    venue: str
    account: str
    market: str | None
    side: Side | None
    funding_rate: str | None
    funding_line: str
    liquidation_spike: bool | None
    thin_session: bool | None
    pool_balance: str | None
    pool_peak: str | None


def check_positions(
    inputs: Inputs, question: Question, *, shape: Format | None, output: str
) -> int:
    """Check every position of an account that is meant, and write the answers.

    Args:
        inputs: the paths of the frames.
        question: what was typed.
        shape: `--format`; table or JSON.
        output: `-o`.

    Returns:
        The exit code.

    Raises:
        InputError: an input is not what the contract says, or there is no such position.
    """
    sink = Sink.of(shape, output, allowed=(Format.TABLE, Format.JSON))
    inputs.refuse_as_output(sink.path)
    conditions = Conditions.of(
        funding_rate=question.funding_rate,
        funding_line=question.funding_line,
        liquidation_spike=question.liquidation_spike,
        thin_session=question.thin_session,
        pool_balance=question.pool_balance,
        pool_peak=question.pool_peak,
    )
    snapshot = read_frames(
        Frames(
            positions=inputs.positions,
            marks=inputs.marks,
            venue=venue_of(question.venue),
            accounts=inputs.accounts,
            markets=inputs.markets,
            neutral=inputs.neutral,
        )
    )
    side = None if question.side is None else question.side.value
    asked = holdings(snapshot, question.account, market=question.market, side=side)
    found = [check_holding(one, conditions) for one in asked]
    emit_record([_record(one) for one in found], sink, table=lambda: _page(found, sink))
    for note in dict.fromkeys(note for one in found for note in _notes(one)):
        say(note)
    return ExitCode.DONE


def _record(check: Check) -> dict[str, object]:
    """One check for JSON."""
    return {
        "account": check.standing.account,
        "market": check.standing.market,
        "side": check.standing.side,
        "position_id": check.standing.position_id,
        "points": check.frame(),
        "sum": check.facts(),
        "standing": check.standing.facts(),
        "surroundings": check.surroundings.facts(),
        "warnings": check.surroundings.warnings,
    }


def _page(found: list[Check], sink: Sink) -> str:
    """The checks as they are printed."""
    page = Page(is_terminal=sink.is_terminal)
    for one in found:
        standing = one.standing
        page.frame(f"{standing.account}: {standing.market} {standing.side}", one.frame())
        page.facts("sum of five questions, two points each", one.facts())
        page.facts("in the queue", standing.facts())
        page.facts("around it (not scored)", one.surroundings.facts())
        page.text("\n".join(f"warning: {words}" for words in one.surroundings.warnings))
    return str(page)


def _notes(check: Check) -> list[str]:
    """What could not be answered."""
    open_questions = [one.question for one in check.points if one.is_met is None]
    notes = [f"not known: {question}" for question in open_questions]
    if check.standing.liquidation_note:
        notes.append(check.standing.liquidation_note)
    return notes
