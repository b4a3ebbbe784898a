"""What a soak remembers: its counts, the requests it made, and every step of every trigger."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, cast
from unittest.mock import patch

from deleverage.backstop.lines import Facts
from deleverage.backstop.trigger import Status, Trigger
from deleverage.engine import Commands
from deleverage.engine.state import manual_trigger
from deleverage.ledger import Acknowledgement, Command, Receipt, Request, decode, encode
from deleverage.model.terms import Completion, PriceKind
from soak_books import STARTS, STOPS

__all__ = ["Memory", "Tally"]


@dataclass
class Tally:
    """What a run did."""

    events: Counter[str] = field(default_factory=Counter)
    did: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    prices: Counter[str] = field(default_factory=Counter)
    completions: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"{self.events.total()} events, {min(self.events.values())} or more an edition"]
        for one in fields(self)[1:]:
            counts = sorted(getattr(self, one.name).items())
            lines.append(f"{one.name}: " + (", ".join(f"{k} {n}" for k, n in counts) or "none"))
        return "\n".join(lines)

    def add(self, other: "Tally") -> None:
        """Count what another did too."""
        for one in fields(self):
            getattr(self, one.name).update(getattr(other, one.name))

    def rare(self, least: int) -> list[str]:
        """What happened fewer times than that, of all that can happen."""
        wanted: dict[str, Iterable[str]] = {
            "starts": STARTS,
            "stops": STOPS,
            "rules": [kind for kind in PriceKind if kind is not PriceKind.NONE],
            "completions": Completion,
        }
        return [
            f"{name} {one} {getattr(self, name)[one]}"
            for name, every in wanted.items()
            for one in every
            if getattr(self, name)[one] < least
        ]


Turn = tuple[Trigger, Status, Status, Facts]


class Memory:
    """A journal without a file: what `Engine` asks of one, and the requests it was given.

    Attributes:
        turns: what the triggers of the last command read, each step of each.
        steps: the kinds of the steps that the last command walked.
    """

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.steps: list[str] = []
        self.commands = Commands()
        self.state = self.commands.start()
        self.requests: list[Request] = []

    @property
    def head(self) -> Receipt:
        """How many commands there were."""
        return Receipt(len(self.requests), "0" * 64)

    def execute(self, key: str, kind: str, time_ns: int, body: object) -> Acknowledgement:
        """Apply a command to the body as a replay will read it."""
        twin = cast("dict[str, Any]", decode(encode(body)))
        command = Command(len(self.requests) + 1, key, kind, time_ns, twin)
        with stepping() as turns:
            state, result = self.commands.apply(self.state, command)
        self.state, self.turns = state, [turn for turn in turns if turn[0] is not manual_trigger()]
        told = cast("dict[str, Any]", result).get("steps", ())
        self.steps = [step for step, _, _ in told]
        self.requests.append(Request(key, kind, time_ns, body))
        return Acknowledgement(receipt=self.head, result=result, is_repeat=False)


@contextmanager
def stepping() -> Iterator[list[Turn]]:
    """Note every step that a trigger takes meanwhile: a command may read one twice."""
    turns: list[Turn] = []
    step = Trigger.step

    def noted(trigger: Trigger, status: Status, facts: Facts) -> Status:
        after = step(trigger, status, facts)
        turns.append((trigger, status, after, facts))
        return after

    with patch.object(Trigger, "step", noted):
        yield turns
