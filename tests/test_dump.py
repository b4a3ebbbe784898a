"""A dump as it stands on a disk: whole, and of events that can be, or refused by name."""

import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from deleverage.errors import InputError
from deleverage.lab.dump import MANIFEST, Dump, positions_folder
from deleverage.lab.generate import Request, generate_dump


def test_a_dump_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    """A dump whose writing was cut off, or with a missing or broken table, does not open."""
    place = tmp_path / "dump"
    dump = generate_dump(place, Request(positions=1_000, markets=2))
    manifest = json.loads((place / MANIFEST).read_text())
    with pytest.raises(InputError, match="expected positions of snapshot 7"):
        dump.positions(7)
    with pytest.raises(InputError, match="expected accounts"):
        dump.accounts(7)
    with pytest.raises(InputError, match="expected marks of snapshot 0 at 1"):
        dump.marks_at(0, 1)
    (positions_folder(place, 0, "BTC") / "part-00000.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match="expected whole parts"):
        dump.positions(0, "BTC")
    (place / "marks.parquet").unlink()
    with pytest.raises(InputError, match=r"marks\.parquet: expected a file"):
        Dump.open(place)
    dump.markets.drop("kind").write_parquet(place / "markets.parquet")
    with pytest.raises(InputError, match="expected a column kind"):
        Dump.open(place)
    for broken, says in (
        ({**manifest, "complete": False}, "cut off"),
        ({**manifest, "layout": 99}, "layout 1"),
    ):
        (place / MANIFEST).write_text(json.dumps(broken))
        with pytest.raises(InputError, match=says):
            Dump.open(place)
    (place / MANIFEST).write_text("{")
    with pytest.raises(InputError, match="expected JSON"):
        Dump.open(place)
    with pytest.raises(InputError, match=r"expected a dump with dump\.json"):
        Dump.open(tmp_path)


@pytest.mark.parametrize(
    ("column", "row", "value", "says"),
    [
        ("event", 4, 0, "column event, row 4: expected a number that no other row has, got 0"),
        ("time", 4, 1, "column time, row 4: expected one not before the event before, got 1"),
        ("market", 3, "", "column market, row 3: expected a name, got"),
        ("side", 2, "up", "column side, row 2: expected long or short, got up"),
        ("qty", 1, Decimal(0), "column qty, row 1: expected a number above zero, got 0"),
        ("qty", 1, None, "column qty, row 1: expected a number above zero, got null"),
    ],
)
def test_an_event_that_cannot_be_is_refused_by_name(
    column: str, row: int, value: object, says: str, tmp_path: Path
) -> None:
    """What no bankruptcy can be is one error with file, column, row and value."""
    generate_dump(tmp_path / "dump", Request(positions=1_000, markets=2))
    path = tmp_path / "dump/bankruptcies.parquet"
    frame = pl.read_parquet(path).cast({"market": pl.String, "side": pl.String})
    values = frame[column].to_list()
    values[row] = value
    changed = pl.Series(column, values, dtype=frame.schema[column])
    frame.with_columns(changed).write_parquet(path)
    with pytest.raises(InputError, match=f"bankruptcies.parquet: {says}"):
        Dump.open(tmp_path / "dump")
    frame.with_columns(qty=pl.lit("much")).write_parquet(path)
    with pytest.raises(InputError, match="column qty: expected a number above zero, got type Str"):
        Dump.open(tmp_path / "dump")
