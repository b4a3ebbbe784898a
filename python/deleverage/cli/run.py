"""`deleverage run`: a scenario played on an engine, and told as it goes."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from deleverage.backstop.readings import worded
from deleverage.cli.exits import ExitCode, say
from deleverage.cli.options import Format
from deleverage.cli.output import Sink, emit_record
from deleverage.cli.scenario import Scenario, Step, read_scenario
from deleverage.cli.tables import Page
from deleverage.engine import Engine
from deleverage.errors import InputError, StateError
from deleverage.ledger import Acknowledgement
from deleverage.ledger.store import LOCK_SUFFIX
from deleverage.model.quantise import decimal_of

__all__ = ["Told", "play", "run_scenario"]

_HEAD = 10
_SECONDS = Fraction(1, 10**9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one step did, for a reader.

    Attributes:
        step: the step.
        result: what the engine answered.
        receipt: of its command.
        queue: the head of the queue before a deleveraging, with lights; None otherwise.
        fills: the planned fills; None otherwise.
        unfilled: contracts that nobody can offset.
        pools: what every pool was worth after it, in words, by name.
        triggers: what the trigger of every market said after it, in words, by market.
    """

    step: Step
    result: Mapping[str, Any]
    receipt: str
    queue: pl.DataFrame | None = None
    fills: pl.DataFrame | None = None
    unfilled: Decimal = Decimal(0)
    pools: Mapping[str, str] = field(default_factory=dict)
    triggers: Mapping[str, str] = field(default_factory=dict)


def run_scenario(path: Path, *, shape: Format | None, journal: Path | None) -> int:
    """Play a scenario and tell it.

    Args:
        path: the scenario file.
        shape: `--format`: table or JSON.
        journal: where the journal is kept; None keeps none.

    Returns:
        The exit code; 4 where a queue was too short.

    Raises:
        InputError: the scenario is not what the contract says, one of its steps is not allowed
            when it comes, or the journal is no new file.
        StateError: the journal cannot be written.
    """
    sink = Sink.of(shape, "-", allowed=(Format.TABLE, Format.JSON))
    if journal is not None:
        _require_file(journal, path)
    scenario = read_scenario(path)
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "run.journal" if journal is None else journal
        with _opened(where) as engine:
            if engine.head.sequence:
                raise InputError(
                    f"-o {where}: expected a new journal, got one of {engine.head.sequence} entries"
                )
            story = play(scenario, engine, progress=True)
            record = _record(scenario, engine, story)
            emit_record(record, sink, table=lambda: _page(scenario, engine, story, sink))
            receipt = engine.head
    kept = "no journal was kept; -o FILE keeps it" if journal is None else f"journal {journal}"
    say(f"{kept}, receipt {receipt}")
    short = [told for told in story if told.unfilled > 0]
    for told in short:
        say(f"not fully covered: {told.unfilled} contracts of {told.step.values['name']} are left")
    return ExitCode.NOT_COVERED if short else ExitCode.DONE


def _require_file(journal: Path, scenario: Path) -> None:
    """Refuse a journal that is standard output, no regular file, or the scenario itself."""
    if str(journal) == "-" or (journal.exists() and not journal.is_file()):
        raise InputError(
            f"-o {journal}: expected the name of a file, as a journal is one; "
            "leave -o away to keep none"
        )
    is_same = journal.exists() and scenario.exists() and journal.samefile(scenario)
    if is_same or journal.resolve() == scenario.resolve():
        raise InputError(f"-o {journal}: the journal may not be the scenario; name another file")


@contextmanager
def _opened(journal: Path) -> Iterator[Engine]:
    """Open a journal; what was made for it goes again where nothing was ever written to it."""
    path = journal.resolve()
    files = (path, path.with_name(path.name + LOCK_SUFFIX))
    made = [file for file in files if not file.exists()]
    with ExitStack() as leaving, Engine.open(journal) as engine:
        try:
            yield engine
        finally:
            if not engine.head.sequence:
                for file in made:
                    leaving.callback(file.unlink, missing_ok=True)


def play(scenario: Scenario, engine: Engine, *, progress: bool = False) -> list[Told]:
    """Give an engine every step of a scenario.

    Args:
        scenario: what happens.
        engine: an empty one.
        progress: say each step on standard error.

    Returns:
        What each step did; the first is the load.

    Raises:
        InputError: a step is refused, and the ones before it stand.
        StateError: the disk of the journal failed.
        InvariantError: a guarantee broke.
    """
    start = scenario.steps[0].at if scenario.steps else 0
    done = engine.load(
        scenario.frames,
        scenario.venue,
        pools=scenario.pools,
        choices=scenario.choices,
        at=min(start, 0),
    )
    load = Step(do="load", at=0, values={}, say=scenario.story)
    first = Told(step=load, result=_result(done), receipt=str(done.receipt))
    story = [replace(first, pools=_balances(engine), triggers=_triggers(engine))]
    for number, step in enumerate(scenario.steps):
        if progress:
            say(f"step {number + 1} of {len(scenario.steps)}: {step.do}")
        try:
            told = _played(engine, step)
        except (InputError, StateError) as error:
            # A step that the state forbids is a fault of the story; a disk that fails, the cause
            # of another error, is none.
            kind = InputError if error.__cause__ is None else type(error)
            raise kind(f"steps[{number}] ({step.do}): {error}") from error
        story.append(replace(told, pools=_balances(engine), triggers=_triggers(engine)))
    return story


def _balances(engine: Engine) -> dict[str, str]:
    """Say what every pool is worth now."""
    state, found = engine.state, {}
    for name, pool in state.pools.items():
        unit = Fraction(state.unit(state.assets[name]))
        cash, worth = decimal_of(pool.cash * unit), decimal_of(pool.balance * unit)
        words = f"{worth:f} {state.assets[name]}"
        found[name] = words if cash == worth else f"{words}, of it {cash:f} in cash"
    return found


def _triggers(engine: Engine) -> dict[str, str]:
    """Say what the trigger of every market says, with its numbers in the asset."""
    state, found = engine.state, {}
    for market, status in state.statuses.items():
        scale = state.scales[market]
        told = [
            worded(
                one,
                money_unit=Fraction(scale.money_unit),
                asset=scale.settle,
                lot_size=Fraction(scale.lot_size),
            )
            for one in status.decided
        ]
        found[market] = f"{status.state}: {'; '.join(told) or 'nothing was read yet'}"
    return found


def _result(done: Acknowledgement) -> Mapping[str, Any]:
    """Give the result of a command."""
    return done.result if isinstance(done.result, dict) else {}


def _played(engine: Engine, step: Step) -> Told:
    """Play one step."""
    values, at = dict(step.values), step.at
    if step.do == "deleverage":
        return _deleveraged(engine, step)
    if step.do == "marks":
        done = engine.marks(values["marks"], at=at)
    elif step.do in {"deposit", "withdraw"}:
        command = engine.deposit if step.do == "deposit" else engine.withdraw
        done = command(values["account"], values["amount"], values["asset"], at=at)
    elif step.do == "contribute":
        done = engine.contribute(values["pool"], values["amount"], at=at)
    elif step.do == "carve":
        names = [values.pop(key) for key in ("pool", "market", "name")]
        done = engine.carve(*names, **values, at=at)
    elif step.do == "liquidate":
        done = engine.liquidate(values.pop("name"), values.pop("position"), **values, at=at)
    elif step.do == "shed":
        done = engine.shed(
            values.pop("name"), values.pop("pool"), values.pop("market"), **values, at=at
        )
    else:
        done = engine.outcome(values.pop("name"), **values, at=at)
    return Told(step=step, result=_result(done), receipt=str(done.receipt))


def _deleveraged(engine: Engine, step: Step) -> Told:
    """Plan and commit one deleveraging."""
    name = step.values["name"]
    plan = engine.plan(
        name, exclude=step.values.get("exclude", ()), manual=step.values.get("manual", "")
    )
    side = "short" if plan.side == "long" else "long"
    queue = engine.queue(plan.market, side, _HEAD)
    done = engine.commit(plan, at=step.at)
    lot = Fraction(plan.scale.lot_size)
    return Told(
        step=step,
        result=_result(done),
        receipt=str(done.receipt),
        queue=queue,
        fills=plan.frame(),
        unfilled=decimal_of(plan.unfilled * lot),
    )


def _record(scenario: Scenario, engine: Engine, story: Sequence[Told]) -> dict[str, object]:
    """Give the whole story as data."""
    return {
        "title": scenario.title,
        "venue": scenario.venue.name,
        "steps": [
            {
                "do": told.step.do,
                "at": told.step.at,
                "receipt": told.receipt,
                "queue": told.queue,
                "fills": told.fills,
                "unfilled": told.unfilled,
                "result": told.result,
            }
            for told in story
        ],
        "pools": _pools(engine),
        "positions": _positions(engine),
        "books": _books(engine),
        "is_balanced": engine.trial_balance.is_closed,
    }


def _pools(engine: Engine) -> pl.DataFrame:
    """Give every pool: cash, balance, what it holds."""
    state = engine.state
    rows = []
    for name, pool in state.pools.items():
        unit = Fraction(state.unit(state.assets[name]))
        held = [
            f"{each.market} {_lots(engine, each.market, each.lots)}"
            for each in pool.inventories
            if each.lots
        ]
        rows.append(
            {
                "pool": name,
                "asset": state.assets[name],
                "cash": str(decimal_of(pool.cash * unit)),
                "balance": str(decimal_of(pool.balance * unit)),
                "holds": ", ".join(held) or "nothing",
            }
        )
    return pl.DataFrame(rows)


def _lots(engine: Engine, market: str, lots: int) -> str:
    """Write lots as contracts."""
    return str(decimal_of(lots * Fraction(engine.state.scales[market].lot_size)))


def _positions(engine: Engine) -> pl.DataFrame:
    """Give every position that is still open."""
    state, rows = engine.state, []
    columns = state.book.columns
    for place in (columns["lots"] != 0).nonzero()[0].tolist():
        held = state.book.holding(place)
        scale = state.scales[held.market]
        rows.append(
            {
                "position_id": held.position_id,
                "account": held.account,
                "market": held.market,
                "side": held.side,
                "qty": _lots(engine, held.market, abs(held.lots)),
                "entry_value": str(decimal_of(held.entry_value * Fraction(scale.money_unit))),
                "status": "open" if state.book.is_live(place) else "aside",
            }
        )
    return pl.DataFrame(rows)


def _books(engine: Engine) -> pl.DataFrame:
    """Give the trial balance."""
    rows = []
    for line in engine.trial_balance.lines:
        unit = Fraction(engine.state.unit(line.asset))
        rows.append(
            {
                "asset": line.asset,
                "kind": line.kind.value,
                "accounts": line.accounts,
                "credit": str(decimal_of(line.credit * unit)),
                "debit": str(decimal_of(line.debit * unit)),
            }
        )
    return pl.DataFrame(rows)


def _page(scenario: Scenario, engine: Engine, story: Sequence[Told], sink: Sink) -> str:
    """Give the story as a page for people."""
    page = Page(is_terminal=sink.is_terminal)
    page.text(f"{scenario.title} ({scenario.venue.title})\n{scenario.story}".rstrip())
    page.text("\n".join(f"pool {name}: {words}" for name, words in story[0].pools.items()))
    for before, told in pairwise(story):
        _tell(page, told, before)
    page.frame("pools", _pools(engine))
    page.frame("books", _books(engine))
    closed = engine.trial_balance.is_closed
    page.text("every asset adds to zero" if closed else "the books do not close")
    return str(page)


def _tell(page: Page, told: Told, before: Told) -> None:
    """Tell one step: when and what, the trigger, the queue, the fills, the notices."""
    step, result = told.step, told.result
    when = f"{decimal_of(step.at * _SECONDS)} s"
    lines = [f"{when}  {step.do} {_what(step)}".rstrip()]
    if step.say:
        lines.append(f"  {step.say}")
    lines += [f"  {kind}: {text}" for kind, _, text in result.get("steps", [])]
    for market, words in told.triggers.items():
        was = before.triggers.get(market, "")
        # A market that was idle and stays it has nothing to tell.
        is_calm = words.startswith("idle:") and was.startswith("idle:")
        if words != was and not is_calm:
            lines.append(f"  trigger of {market} {words}")
    for name, words in told.pools.items():
        if words != before.pools.get(name):
            lines.append(f"  pool {name}: {words}")
    page.text("\n".join(lines))
    if told.queue is not None:
        page.frame("head of the queue before it", told.queue)
    if told.fills is not None and told.fills.height:
        page.frame("fills", told.fills)
    for account, _, text in result.get("notices", [])[:_HEAD]:
        page.text(f"  to {account}: {text}")


def _what(step: Step) -> str:
    """Say what a step is about."""
    if step.do == "marks":
        marks = step.values["marks"].items()
        parts = [f"{m} {p['mark'] if isinstance(p, dict) else p}" for m, p in marks]
        return ", ".join(parts[:_HEAD])
    names = ("name", "position", "account", "pool", "market", "amount", "asset", "manual")
    return " ".join(str(step.values[name]) for name in names if name in step.values)
