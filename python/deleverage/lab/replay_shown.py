"""One side of one market followed closely through a replay, for whoever wants to see a queue.

Everything else of a replay is sums and fills; a queue before and after, and lights over time, need
those who are not cut as well. They are noted of one side only, the one on which the dump's largest
sum of bankruptcies falls, and of its first places. Which side that is depends on the dump alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage import ranking
from deleverage.lab.dump import Dump
from deleverage.lab.replay_book import RemainingSide, Remains
from deleverage.model.rules import Weight
from deleverage.planning.side import contracts

__all__ = ["LIGHTS", "QUEUES", "Shown", "Watch", "Watching", "choose"]

Int64 = NDArray[np.int64]

HEAD = 40
WATCHED = 12
_QTY = pl.Decimal(38, 9)
_KEY: dict[str, pl.DataType] = {"venue": pl.String(), "policy": pl.String()}
QUEUES: Mapping[str, pl.DataType] = {
    **_KEY,
    "snapshot": pl.UInt32(),
    "market": pl.String(),
    "side": pl.String(),
    "place": pl.UInt32(),
    "position_id": pl.UInt64(),
    "qty_before": _QTY,
    "qty_after": _QTY,
}
"""The first places of the side that is shown, by its queue before its first bankruptcy; qty_after
is what all its bankruptcies of the snapshot have left."""
LIGHTS: Mapping[str, pl.DataType] = {
    "event": pl.UInt32(),
    **_KEY,
    "time": pl.Int64(),
    "place": pl.UInt32(),
    "position_id": pl.UInt64(),
    "light": pl.UInt8(),
}
"""Lights of positions from the head of that queue to its end, before each bankruptcy; 0 has no
place, or is closed."""

_OPPOSITE = {"long": "short", "short": "long"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The side that is followed.

    Attributes:
        snapshot: number.
        market: name.
        side: that is cut.
    """

    snapshot: int
    market: str
    side: str

    @property
    def key(self) -> tuple[str, str]:
        """Market and side."""
        return self.market, self.side


def choose(dump: Dump) -> Shown | None:
    """Choose the side that most is asked of in one snapshot; the first by name of equals.

    Args:
        dump: bankruptcies and contract terms.

    Returns:
        The side; None where nothing happens.
    """
    if not dump.bankruptcies.height:
        return None
    size = pl.col("contract_size").cast(pl.String).cast(pl.Float64)
    terms = dump.markets.select(
        pl.col("market").cast(pl.String),
        size=size if "contract_size" in dump.markets.columns else pl.lit(1.0),
        is_inverse=pl.col("kind").cast(pl.String) == "inverse",
    )
    worth = pl.when("is_inverse").then(1.0).otherwise(pl.col("bankruptcy_price").cast(pl.Float64))
    asked = (
        dump.bankruptcies.with_columns(pl.col("market", "side").cast(pl.String))
        .join(terms, on="market", how="left")
        .group_by("snapshot", "market", "side")
        .agg(asked=(pl.col("qty").cast(pl.Float64) * pl.col("size") * worth).sum().round(2))
        .sort("asked", "snapshot", "market", "side", descending=[True, False, False, False])
    )
    snapshot, market, side = asked.select("snapshot", "market", "side").row(0)
    return Shown(snapshot=snapshot, market=market, side=_OPPOSITE[side])


@dataclass(slots=True, kw_only=True, eq=False)
class Watch:
    """What is noted of the side under one venue and policy.

    Attributes:
        key: the columns every row begins with.
        head: (k,) rows of the whole side, the first places in order.
        before: (k,) lots they held.
        head_ids: (k,) their position ids.
        watched: (w,) rows of the whole side whose lights are followed, in order.
        watched_ids: (w,) their position ids.
        places: (w,) their places at the start.
        lights: rows of `LIGHTS`.
    """

    key: Mapping[str, str]
    head: Int64
    before: Int64
    head_ids: pl.Series
    watched: Int64
    watched_ids: pl.Series
    places: Int64
    lights: list[dict[str, object]] = field(default_factory=list)

    @classmethod
    def of(cls, side: RemainingSide, ids: pl.Series, key: Mapping[str, str]) -> "Watch":
        """Begin, before the first cut.

        Args:
            side: at the mark of its first bankruptcy.
            ids: of all positions of the frame.
            key: venue and policy.
        """
        places = side.places()
        order = np.argsort(places, kind="stable")[int((places == 0).sum()) :]
        spread = np.linspace(0, max(len(order) - 1, 0), min(WATCHED, len(order))).astype(np.int64)
        head, watched = order[:HEAD], order[spread]
        return cls(
            key=key,
            head=side.kept[head],
            before=np.abs(side.columns.lots[head]),
            head_ids=ids.gather(side.original(head)),
            watched=side.kept[watched],
            watched_ids=ids.gather(side.original(watched)),
            places=places[watched].astype(np.int64),
        )

    def note(self, side: RemainingSide, event: Mapping[str, object]) -> None:
        """Note the lights before a cut.

        Args:
            side: what is left, at the event's mark, nobody excluded.
            event: the bankruptcy.
        """
        terms = side.snapshot.venue.lights
        columns = side.columns
        if terms.weight is Weight.ACCOUNTS:
            columns = replace(columns, owner=side.owners())
        shown = np.zeros(0, np.uint8)
        if len(side):
            shown = ranking.lights(
                columns,
                side.rate,
                rule=side.rule,
                accounts=side.accounts,
                bands=terms.bands,
                weight=terms.weight,
            )
        names = ("place", "position_id", "light")
        lights = _found(side.kept, self.watched, shown).tolist()
        rows = zip(self.places.tolist(), self.watched_ids.to_list(), lights, strict=True)
        said = {"event": event["event"], **self.key, "time": event["time"]}
        self.lights += [{**said, **dict(zip(names, row, strict=True))} for row in rows]

    def queue(self, remains: Remains, shown: Shown) -> pl.DataFrame:
        """Give the head of the queue, and what is left of it.

        Args:
            remains: of the side, after its last cut.
            shown: which side it is.
        """
        side = remains.side
        lots = np.abs(side.columns.lots)
        lots[remains.excluded] = 0
        after = _found(side.kept, self.head, lots)
        count = len(self.head)
        return pl.DataFrame(
            [
                *(pl.Series(name, [value] * count) for name, value in self.key.items()),
                pl.Series("snapshot", [shown.snapshot] * count),
                pl.Series("market", [shown.market] * count),
                pl.Series("side", [shown.side] * count),
                pl.Series("place", np.arange(1, count + 1)),
                self.head_ids.alias("position_id"),
                contracts("qty_before", self.before, side.scale),
                contracts("qty_after", after, side.scale),
            ]
        ).cast(dict(QUEUES))  # type: ignore[arg-type] # a schema by name


def _found(kept: Int64, rows: Int64, values: NDArray[Any]) -> NDArray[Any]:
    """Give the value of each row, 0 where it is no longer kept; `kept` rises."""
    places = np.minimum(np.searchsorted(kept, rows), max(len(kept) - 1, 0))
    if not len(kept):
        return np.zeros(len(rows), values.dtype)
    found: NDArray[Any] = np.where(kept[places] == rows, values[places], 0)
    return found


@dataclass(slots=True, kw_only=True, eq=False)
class Watching:
    """A side that is followed through its events under one venue and policy.

    Attributes:
        shown: which side it is.
        events: of the unit.
        ids: of all positions of the frame.
        key: venue and policy.
        watch: begun at the first event.
        queue: see `QUEUES`, when the last is over.
    """

    shown: Shown
    events: pl.DataFrame
    ids: pl.Series
    key: Mapping[str, str]
    watch: Watch | None = None
    queue: pl.DataFrame | None = None

    def note(self, side: RemainingSide, place: int) -> None:
        """Note what stands before an event.

        Args:
            side: what is left, at its mark, nobody excluded.
            place: of the event among those of the unit.
        """
        if self.watch is None:
            self.watch = Watch.of(side, self.ids, self.key)
        self.watch.note(side, self.events.row(place, named=True))

    def end(self, remains: Remains) -> None:
        """Note what the last event has left."""
        if self.watch is not None:
            self.queue = self.watch.queue(remains, self.shown)
