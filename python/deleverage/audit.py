"""Is a journal of the engine true? Every command replayed, every decision derived again.

The chain of hashes shows damage; it does not show that what was decided was right. So each commit
is held against the plan that the edition gives for the very state it was planned in, and after each
command the guarantees are checked wherever something was written, not where the command says it
changed something. The whole book is checked when it is loaded, and once more at the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deleverage.engine import Commands, State
from deleverage.engine.freshness import MOST_COMMANDS
from deleverage.engine.planner import decide
from deleverage.errors import InvariantError, StateError
from deleverage.ledger import Command, Finding, Value, verify_report

__all__ = ["Auditor", "Trail", "audit", "examine", "examine_since"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """A state and those before it that a plan may still rest on.

    Attributes:
        state: the newest.
        earlier: the ones before it, the oldest first.
    """

    state: State
    earlier: tuple[State, ...] = ()


class Auditor:
    """Applies commands like `engine.Commands`, and doubts each of them; see `ledger.Applier`."""

    def __init__(self) -> None:
        self._commands = Commands()

    def start(self) -> Trail:
        """Before the first command."""
        return Trail(state=self._commands.start())

    def apply(self, trail: Trail, command: Command) -> tuple[Trail, Value]:
        """Do one command, derive again what it decided, and check the guarantees.

        Raises:
            AdlError: as the engine's; or StateError, another decision follows from the edition; or
                InvariantError, a guarantee does not hold.
        """
        if command.kind == "commit":
            _derive_again((*trail.earlier, trail.state), command.body)
        state, result = self._commands.apply(trail.state, command)
        examine_since(trail.state, state)
        earlier = (*trail.earlier, trail.state)[-MOST_COMMANDS:]
        return Trail(state=state, earlier=earlier), result

    def dump(self, trail: Trail) -> bytes:
        """The canonical bytes of the newest state."""
        return self._commands.dump(trail.state)

    def load(self, data: bytes) -> Trail:
        """A trail that begins with a kept state.

        Raises:
            InputError: the bytes are not a state's.
        """
        return Trail(state=self._commands.load(data))


def audit(path: str | Path, head: str | None = None) -> tuple[Finding, ...]:
    """Check a journal of the engine: file, chain, every decision, every guarantee.

    Args:
        path: the file.
        head: a receipt as printed, `SEQUENCE:HEAD`, that must be in it; without one a lost tail
            cannot be seen.

    Returns:
        One record a check, then the verdict, which names the first bad entry.

    Raises:
        InputError: there is no such file, or the receipt is not of that form.
    """
    return verify_report(path, head, Auditor(), closing=lambda trail: examine(trail.state))


def examine(state: State) -> None:
    """Check the guarantees on a whole state.

    Raises:
        InvariantError: names the one that does not hold.
    """
    if state.positions is None:
        return
    lots = {market: state.book.net_lots(market) for market in state.scales}
    _examine_sums(state, lots)
    if state.book.regrown() != state.book.root:
        raise InvariantError("positions: expected the root of all rows hashed again, got another")


def examine_since(before: State, state: State) -> None:
    """Check the guarantees on a state, given that they held on the one before.

    Args:
        before: where they held.
        state: after one command.

    Raises:
        InvariantError: names the one that does not hold.
    """
    if before.positions is None:
        examine(state)
        return
    moved = state.book.net_lots_since(before.book)
    lots = {market: before.net[market] + moved.get(market, 0) for market in state.scales}
    _examine_sums(state, lots)
    if not state.book.is_true_since(before.book):
        raise InvariantError("positions: expected the root of what was written, got another")


def _examine_sums(state: State, lots: Mapping[str, int]) -> None:
    """Check what adds up: every asset to zero, every market to what is counted along."""
    if not state.ledger.trial_balance().is_closed:
        raise InvariantError("books: expected every asset to add to 0, got another sum")
    for market in state.scales:
        if lots[market] != state.net[market]:
            raise InvariantError(
                f"{market}: expected {state.net[market]} lots as counted along, got {lots[market]}"
            )
        if state.offset(market) != 0:
            raise InvariantError(
                f"{market}: expected longs and shorts, pool and outside to add to 0 lots, "
                f"got {state.offset(market)}"
            )


def _derive_again(states: Sequence[State], body: dict[str, Value]) -> None:
    """Hold a commit against the plan that follows from the state it was planned in."""
    found = next((state for state in states if state.sequence == body.get("sequence")), None)
    if found is None:
        raise StateError(
            f"plan: expected one of the last {MOST_COMMANDS} states, got {body.get('sequence')!r}"
        )
    exclude = body.get("exclude")
    names = [str(name) for name in exclude] if isinstance(exclude, list) else []
    manual = body.get("manual")
    plan = decide(
        found,
        str(body.get("liquidation")),
        exclude=names,
        manual=manual if isinstance(manual, str) else "",
    )
    for name, value in plan.body.items():
        if body.get(name) != value:
            raise StateError(
                f"plan, {name}: expected {value!r} by the edition, got {body.get(name)!r}"
            )
