"""History replayed: every bankruptcy of a dump, planned under each venue, in event order.

Some markets of a snapshot are read at a time, only the columns that the editions ask for; the next
ones are read, and checked under the first edition, while the present ones are planned. Memory is
that of the largest market, or of as many as have `rows_at_once` positions together, twice, and of
their fills, whatever the dump's size. The positions are the snapshot's, the marks those of the
event's own time. Within a snapshot each venue and policy lives with its own cuts: what it closed is
gone for its later events, a part keeps its share of entry value and margins. The next snapshot is
again what really was.

Results are Parquet under the run's directory, a file each for what was read at once:

- `fills`: event, venue, policy, rank_in_queue, position_id, account, side, qty_closed, qty_left,
  price (null where the edition's price takes more than a plan knows), profit (of what was closed,
  at the mark); a policy without a queue has its fills by position;
- `events`: event, time, wave, snapshot, market, bankrupt_side, venue, policy, requested, unfilled,
  fills, reason, price, mark;
- `metrics`: event, venue, policy and the measures of `replay_event`;
- `queues`, `lights`: one side of one market followed closely, see `replay_shown`;
- `pool`: event by event, where a pool is carried along, see `replay_pool`: it takes bankruptcies
  over while it can, and only the others reach the policies.

What was read at once is done when its line is in `state.jsonl`; a run that was cut off goes on with
the rest. Results do not depend on threads, on parts, or on where a run was cut off.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

import polars as pl

from deleverage.errors import InputError, StateError
from deleverage.lab.dump import Dump
from deleverage.lab.replay_book import Columns, Unit, prepared, read_columns, read_positions, split
from deleverage.lab.replay_event import EVENTS, FILLS, METRICS, Results, replay_unit
from deleverage.lab.replay_policy import POLICIES, Policy
from deleverage.lab.replay_pool import POOL, PoolTerms, carried
from deleverage.lab.replay_shown import LIGHTS, QUEUES, choose
from deleverage.model.digest import text_digest
from deleverage.model.records import Venue
from deleverage.model.snapshot import Snapshot

__all__ = ["POLICIES", "TABLES", "Run", "parts_of", "read_results", "replay"]

STATE = "state.jsonl"
REQUEST = "run.json"
ROWS_AT_ONCE = 1 << 19
QUEUE: Mapping[str, Policy] = MappingProxyType({"queue": POLICIES["queue"]})
_BY_EVENT = ("event", "venue", "policy")
TABLES: Mapping[str, tuple[Mapping[str, pl.DataType], tuple[str, ...]]] = MappingProxyType(
    {
        "fills": (FILLS, (*_BY_EVENT, "rank_in_queue")),
        "events": (EVENTS, _BY_EVENT),
        "metrics": (METRICS, _BY_EVENT),
        "queues": (QUEUES, ("venue", "policy", "place")),
        "lights": (LIGHTS, (*_BY_EVENT, "place")),
        "pool": (POOL, ("event", "venue")),
    }
)
"""The tables of a run: their columns, and what they are sorted by when they are read."""
_SOMEWHERE = ("queues", "lights")
_EVERYWHERE = ("fills", "events", "metrics")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a replay did.

    Attributes:
        directory: of the results.
        events: bankruptcies that are done, in this run and before.
        rows: positions that were read in this run.
        resumed: bankruptcies that an earlier run had done.
    """

    directory: Path
    events: int
    rows: int
    resumed: int


def replay(
    dump: Dump,
    directory: Path,
    *,
    venues: Sequence[Venue],
    policies: Mapping[str, Policy] = QUEUE,
    rows_at_once: int = ROWS_AT_ONCE,
    pool: PoolTerms | None = None,
    progress: Progress | None = None,
) -> Run:
    """Replay a dump, or go on with a replay that was cut off.

    Args:
        dump: what happened.
        directory: of the results: new, empty, or that of the same replay.
        venues: the editions, each under its own name.
        policies: how a quantity is shared out, by name.
        rows_at_once: positions that are read at once, at most; one market is never split.
        pool: what each venue's pool begins with and its lines; None deleverages everything.
        progress: called with the positions read and those to read.

    Returns:
        What was done.

    Raises:
        InputError: there is no venue or policy, a table of the dump is not what it must be, or a
            pool cannot be carried under an edition.
        StateError: the directory holds another replay, or something else.
        VenueError: an edition's trigger was never published, and the pool has no lines.
    """
    request = _request(dump, venues, policies, rows_at_once, pool)
    pools = {} if pool is None else {one.name: carried(dump, one, pool) for one in venues}
    _open(directory, request)
    if pools:
        _write_table(directory, "pool", "all", pl.concat([one.history for one in pools.values()]))
    covered = {name: one.covered for name, one in pools.items()}
    shown = choose(dump)
    _mend_state(directory)
    done = _read_state(directory)
    units = split(dump, rows_at_once)
    left = [unit for unit in units if unit.key not in done]
    columns = read_columns(dump, venues) if left else Columns(names=(), has_cross=False)
    total = sum(unit.rows for unit in units)
    read = sum(unit.rows for unit in units if unit.key in done)
    rows = 0
    with (directory / STATE).open("a", encoding="utf-8") as state:
        for unit, positions, book in _ahead(dump, left, columns, venues[0]):
            results = replay_unit(
                dump,
                unit,
                positions,
                venues=venues,
                policies=policies,
                book=book,
                covered=covered,
                shown=shown,
            )
            _write(directory, unit, results)
            line = {"snapshot": unit.snapshot, "part": unit.part, "events": unit.events.height}
            state.write(json.dumps(line) + "\n")
            state.flush()
            os.fsync(state.fileno())
            rows += unit.rows
            if progress is not None:
                progress(read + rows, total)
    resumed = sum(unit.events.height for unit in units if unit.key in done)
    return Run(directory=directory, events=dump.bankruptcies.height, rows=rows, resumed=resumed)


def read_results(directory: Path, table: str) -> pl.DataFrame:
    """Read one table of a run, in event order.

    Args:
        directory: of the run.
        table: one of `TABLES`.

    Returns:
        Its rows, sorted.

    Raises:
        InputError: there is no such table, or a part of it is missing or broken.
    """
    if table not in TABLES:
        raise InputError(f"table: expected one of {', '.join(TABLES)}, got {table!r}")
    schema, keys = TABLES[table]
    parts = parts_of(directory, table)
    if not parts:
        return pl.DataFrame(schema=dict(schema))
    return pl.concat([pl.read_parquet(part) for part in parts]).sort(keys)


def parts_of(directory: Path, table: str) -> list[Path]:
    """Give the files of one table of a run, and see that they are there and whole.

    Args:
        directory: of the run.
        table: one of `TABLES`.

    Returns:
        The files, sorted.

    Raises:
        InputError: a part of what is done is missing, or is no Parquet.
    """
    way_out = "replay into a new directory"
    if table in _EVERYWHERE:
        for snapshot, part in sorted(_read_state(directory)):
            path = directory / table / f"{_label(snapshot, part)}.parquet"
            if not path.is_file():
                raise InputError(
                    f"{path}: expected the part that {STATE} says is done, got none; {way_out}"
                )
    parts = sorted((directory / table).glob("*.parquet"))
    for path in parts:
        try:
            pl.read_parquet_schema(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            first = str(error).strip().split("\n", 1)[0]
            raise InputError(f"{path}: expected whole Parquet, got: {first}; {way_out}") from error
    return parts


def _ahead(
    dump: Dump, units: list[Unit], columns: Columns, venue: Venue
) -> Iterator[tuple[Unit, pl.DataFrame, Snapshot]]:
    """Give units with their positions, and their snapshots under the first edition.

    The next unit is read and prepared while the caller is busy; one edition's only, so that memory
    does not grow with the number of editions.
    """

    def made(unit: Unit) -> tuple[Unit, pl.DataFrame, Snapshot]:
        positions = read_positions(dump, unit, columns)
        return unit, positions, prepared(dump, unit, positions, venue, columns)

    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = [pool.submit(made, unit) for unit in units[:1]]
        for place in range(len(units)):
            ready = waiting.pop().result()
            if place + 1 < len(units):
                waiting.append(pool.submit(made, units[place + 1]))
            yield ready


def _request(
    dump: Dump,
    venues: Sequence[Venue],
    policies: Mapping[str, Policy],
    rows_at_once: int,
    pool: PoolTerms | None,
) -> str:
    """Say which run it is."""
    if not venues or not policies:
        raise InputError("replay: expected at least one venue and one policy, got none")
    names = [venue.name for venue in venues]
    if len(set(names)) < len(names):
        raise InputError(f"venues: expected each edition once, got {', '.join(names)}")
    if rows_at_once < 1:
        raise InputError(f"rows_at_once: expected 1 or more, got {rows_at_once!r}")
    request = {
        "layout": 3,
        "dump": dump.digest,
        "venues": {venue.name: text_digest([repr(venue)]).hex() for venue in venues},
        "policies": sorted(policies),
        "rows_at_once": rows_at_once,
        "pool": None
        if pool is None
        else {one.name: str(getattr(pool, one.name)) for one in fields(pool)},
    }
    return json.dumps(request, indent=2) + "\n"


def _open(directory: Path, text: str) -> None:
    """Start a run, or see that it is the same one."""
    path = directory / REQUEST
    if path.is_file():
        if path.read_text(encoding="utf-8") != text:
            raise StateError(
                f"{directory}: expected a run of this dump, these venues and policies, "
                "got another; name a new directory"
            )
        return
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise StateError(f"{directory}: expected a new or empty directory, or a run to go on with")
    directory.mkdir(parents=True, exist_ok=True)
    beside = directory / f".{REQUEST}.part"
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _mend_state(directory: Path) -> None:
    """Take a last line away that was cut off."""
    path = directory / STATE
    if path.is_file():
        data = path.read_bytes()
        with path.open("r+b") as state:
            state.truncate(data.rfind(b"\n") + 1)


def _read_state(directory: Path) -> set[tuple[int, int]]:
    """Read which units are done; a last line that was cut off does not count."""
    path = directory / STATE
    if not path.is_file():
        return set()
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    done = set()
    for number, line in enumerate(whole.decode("utf-8", errors="replace").splitlines(), start=1):
        try:
            found = json.loads(line)
            done.add((int(found["snapshot"]), int(found["part"])))
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"{path}: line {number}: expected a unit that is done") from error
    return done


def _write(directory: Path, unit: Unit, results: Results) -> None:
    """Write a unit's tables; those that few units have only where there is something."""
    for name, frame in results.items():
        if frame.height or name not in _SOMEWHERE:
            _write_table(directory, name, _label(unit.snapshot, unit.part), frame)


def _label(snapshot: int, part: int) -> str:
    """Name the files of a unit."""
    return f"snapshot={snapshot:04d},part={part:05d}"


def _write_table(directory: Path, name: str, label: str, frame: pl.DataFrame) -> None:
    """Write a table, whole or not at all."""
    folder = directory / name
    folder.mkdir(exist_ok=True)
    path = folder / f"{label}.parquet"
    beside = folder / f".{path.name}.part"
    frame.write_parquet(beside)
    beside.replace(path)
