"""What a report reads of a replay's run: who was cut, wave by wave, and what is left of hedges.

All of it comes from the run's own tables; only the other legs of those who were cut, whose hedges
a cut may break, stand in the dump. Sums over fills are made by Polars in streaming fashion, so a
report's memory is that of the accounts that were cut. Figures are floats, for reading.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from deleverage.errors import InputError
from deleverage.lab import metrics
from deleverage.lab.dump import Dump
from deleverage.lab.replay import REQUEST, STATE, parts_of, read_results
from deleverage.lab.replay_event import COVERED

__all__ = ["NAKED", "RUN_SUMMARY", "RUN_WAVES", "RunStory", "read_run"]

Float64 = NDArray[np.float64]
Key = tuple[str, str]
Burden = tuple[Float64, Float64]

_BY = ["venue", "policy"]
_PARTS = 2.0**20
_COUNT, _REAL = pl.Int64(), pl.Float64()
RUN_SUMMARY: Mapping[str, pl.DataType] = {
    "venue": pl.String(),
    "policy": pl.String(),
    **dict.fromkeys(("events", "taken_over", "uncovered", "fills", "accounts"), _COUNT),
    **dict.fromkeys(
        (
            *("notional", "profit", "needed", "executed", "missing", "overshoot", "undershoot"),
            *("participation", "gini", "top_share", "concentration", "max_haircut"),
            "revenue_lost",
        ),
        _REAL,
    ),
}
"""One row a venue and policy. taken_over: bankruptcies that the pool took; accounts: that were cut;
notional, profit, needed, executed, missing: sums of `replay_event.METRICS`; over- and undershoot:
markout against needed, wave by wave, gross; participation: accounts over those that any policy of
the venue cut; gini: of the closed parts, weighted by what they are parts of; top_share and
concentration: of the notional over the same accounts; max_haircut: largest part of an account's
profit that the settlement price took against the mark; revenue_lost as in `metrics`. What takes a
price is null where it is not known."""
RUN_WAVES: Mapping[str, pl.DataType] = {
    "venue": pl.String(),
    "policy": pl.String(),
    "wave": pl.Int64(),
    "start": pl.Float64(),
    "events": _COUNT,
    **dict.fromkeys(("notional", "needed", "markout", "overshoot", "undershoot"), _REAL),
}
"""One row a venue, policy and wave; start: seconds after the first bankruptcy."""
NAKED: Mapping[str, pl.DataType] = {
    "venue": pl.String(),
    "policy": pl.String(),
    "snapshot": pl.UInt32(),
    "start": pl.Float64(),
    "hedged": _REAL,
    "naked": _REAL,
}
"""One row a venue, policy and snapshot. hedged: notional of the smaller side of each account that
was cut, before; naked: by how much the cuts made its net position larger; both summed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunStory:
    """A run, read for a report.

    Attributes:
        request: what was replayed, as `run.json` says.
        first: time of the first bankruptcy, ns UTC.
        summary: see `RUN_SUMMARY`.
        waves: see `RUN_WAVES`.
        burdens: notional closed and held, (n,) each, of every account that any policy of the venue
            cut, the smallest part first, by venue and policy.
        queues: see `replay_shown.QUEUES`.
        lights: see `replay_shown.LIGHTS`.
        pool: see `replay_pool.POOL`; no row where none was carried.
        naked: see `NAKED`; None where the dump is not at hand.
        missing: bankruptcies of the dump that the run has not come to; 0 where it is not at hand.
    """

    request: Mapping[str, object]
    first: int
    summary: pl.DataFrame
    waves: pl.DataFrame
    burdens: Mapping[Key, Burden]
    queues: pl.DataFrame
    lights: pl.DataFrame
    pool: pl.DataFrame
    naked: pl.DataFrame | None
    missing: int

    @property
    def keys(self) -> list[Key]:
        """Venue and policy of each line, in the order of the tables."""
        return self.summary.select(_BY).rows()

    def label(self, key: Key) -> str:
        """Name a line: by its policy, and by its venue where there are several."""
        return f"{key[0]}, {key[1]}" if self.summary["venue"].n_unique() > 1 else key[1]

    def of(self, frame: pl.DataFrame, key: Key) -> pl.DataFrame:
        """Give one line's rows of a table."""
        return frame.filter(pl.col("venue") == key[0], pl.col("policy") == key[1])


def read_run(directory: Path, *, dump: Path | None = None) -> RunStory:
    """Read a run.

    Args:
        directory: written by a replay.
        dump: what was replayed, or None; only with it hedges can be followed.

    Returns:
        What a report shows.

    Raises:
        InputError: it is no run, nothing of it is done, or the dump is another one.
    """
    request = _request(directory)
    events = read_results(directory, "events")
    if not events.height:
        raise InputError(f"{directory}: expected a run with at least one event, got none")
    events = events.join(read_results(directory, "metrics"), on=["event", *_BY])
    first = int(events["time"].min())  # type: ignore[arg-type] # there is one
    cut = _cut(directory, events)
    burdens = _burdens(events, cut)
    waves = _waves(events, first)
    naked, missing = None, 0
    if dump is not None:
        opened = Dump.open(dump)
        if opened.digest != request.get("dump"):
            raise InputError(f"{dump}: expected the dump that {directory} replayed, got another")
        naked = _naked(directory, opened, events, first)
        missing = opened.bankruptcies.height - events["event"].n_unique()
    return RunStory(
        request=request,
        first=first,
        summary=_summary(events, waves, cut, burdens),
        waves=waves,
        burdens=burdens,
        queues=read_results(directory, "queues"),
        lights=read_results(directory, "lights"),
        pool=read_results(directory, "pool"),
        naked=naked,
        missing=missing,
    )


def _request(directory: Path) -> Mapping[str, object]:
    """Read what was replayed; a run that was cut off is read as far as it came."""
    path = directory / REQUEST
    if not path.is_file() or not (directory / STATE).is_file():
        raise InputError(
            f"{directory}: expected a directory that `deleverage replay` wrote, got no {REQUEST}"
        )
    try:
        request = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(request, dict):
        raise InputError(f"{path}: expected an object, got another kind of value")
    return request


def _fills(directory: Path, columns: list[str]) -> pl.LazyFrame:
    """The fills of a run, not read yet."""
    return pl.scan_parquet(parts_of(directory, "fills")).select(columns)


def _cut(directory: Path, events: pl.DataFrame) -> pl.DataFrame:
    """One row a venue, policy and account that was cut: notional, lost, and what it had before."""
    keys = ["event", *_BY]
    asked = events.select(*keys, "snapshot", "notional", "executed").lazy()
    fills = _fills(directory, [*keys, "position_id", "account", "qty_closed", "qty_left", "profit"])
    qty = [pl.col(name).cast(pl.Float64) for name in ("qty_closed", "qty_left")]
    whole = fills.group_by(keys).agg(whole=_total(pl.col("qty_closed").cast(pl.Float64)))
    share = pl.col("qty_closed") / pl.col("whole")
    return (
        fills.with_columns(qty)
        .join(whole, on=keys)
        .join(asked, on=keys)
        .with_columns(pl.col("notional", "executed") * share)
        .group_by(*_BY, "snapshot", "position_id")
        .agg(
            pl.col("account").first(),
            _total(pl.col("notional", "executed", "profit", "qty_closed")),
            held=(pl.col("qty_closed") + pl.col("qty_left")).max(),
            is_priced=pl.col("executed").is_not_null().all(),
        )
        .with_columns(
            endowment=pl.col("profit").clip(lower_bound=0) * pl.col("held") / pl.col("qty_closed"),
            worth=pl.col("notional") * pl.col("held") / pl.col("qty_closed"),
        )
        .group_by(*_BY, "account")
        .agg(
            _total(pl.col("notional", "endowment", "worth")),
            lost=_total(pl.col("executed")),
            is_priced=pl.col("is_priced").all(),
        )
        .sort(*_BY, "account")
        .collect(engine="streaming")
    )


def _burdens(events: pl.DataFrame, cut: pl.DataFrame) -> dict[Key, Burden]:
    """What was closed of each account that any policy of the venue cut, and what it held."""
    people = cut.group_by("venue", "account").agg(pl.col("worth").max()).sort("venue", "account")
    found: dict[Key, Burden] = {}
    for venue, policy in events.select(_BY).unique().sort(_BY).rows():
        own = cut.filter(pl.col("venue") == venue, pl.col("policy") == policy)
        every = people.filter(pl.col("venue") == venue).join(
            own.select("account", "notional"), on="account", how="left", maintain_order="left"
        )
        held = every["worth"].to_numpy()
        closed = np.minimum(every["notional"].fill_null(0.0).to_numpy(), held)
        order = np.argsort(closed / np.where(held > 0, held, 1.0), kind="stable")
        found[venue, policy] = (closed[order], held[order])
    return found


def _waves(events: pl.DataFrame, first: int) -> pl.DataFrame:
    """Sum up by wave."""
    gap = pl.col("markout") - pl.col("needed")
    return (
        events.group_by(*_BY, "wave")
        .agg(
            start=(pl.col("time").min() - first) / 1e9,
            events=pl.len(),
            notional=pl.col("notional").sum(),
            needed=pl.col("needed").sum(),
            markout=pl.when(pl.col("markout").is_null().any())
            .then(None)
            .otherwise(pl.col("markout").sum().clip(lower_bound=0)),
        )
        .with_columns(overshoot=gap.clip(lower_bound=0), undershoot=(-gap).clip(lower_bound=0))
        .sort(*_BY, "wave")
        .select(list(RUN_WAVES))
        .cast(dict(RUN_WAVES))  # type: ignore[arg-type] # a schema by name
    )


def _summary(
    events: pl.DataFrame,
    waves: pl.DataFrame,
    cut: pl.DataFrame,
    burdens: Mapping[Key, Burden],
) -> pl.DataFrame:
    """One row a venue and policy; see `RUN_SUMMARY`."""
    rows = []
    for (venue, policy), (closed, held) in burdens.items():
        here = (pl.col("venue") == venue) & (pl.col("policy") == policy)
        own, wave, people = events.filter(here), waves.filter(here), cut.filter(here)
        is_priced = own["executed"].null_count() == 0
        lost, endowment = people["lost"].to_numpy(), people["endowment"].to_numpy()
        haircuts = metrics.haircuts(lost, endowment, is_capped=True)
        sums = {name: own[name].sum() for name in ("fills", "notional", "profit", "needed")}
        priced = {
            "executed": own["executed"].sum(),
            "overshoot": wave["overshoot"].sum(),
            "undershoot": wave["undershoot"].sum(),
            "max_haircut": float(haircuts.max(initial=0.0)),
            "revenue_lost": metrics.revenue_lost(haircuts, endowment),
        }
        rows.append(
            {
                "venue": venue,
                "policy": policy,
                "events": own.height,
                "taken_over": own.filter(pl.col("reason") == COVERED).height,
                "uncovered": own.filter(pl.col("unfilled") > 0).height,
                "accounts": people.height,
                **sums,
                "missing": own["missing"].sum(),
                "participation": people.height / max(len(closed), 1),
                "gini": metrics.weighted_gini(closed, held),
                "top_share": metrics.top_share(closed),
                "concentration": metrics.concentration(closed),
                **(priced if is_priced else dict.fromkeys(priced)),
            }
        )
    return pl.DataFrame(rows, schema=dict(RUN_SUMMARY))


def _naked(directory: Path, dump: Dump, events: pl.DataFrame, first: int) -> pl.DataFrame:
    """How much hedges the cuts have broken, snapshot by snapshot; see `NAKED`."""
    keys = ["event", *_BY]
    asked = events.select(*keys, "snapshot", "market", "time")
    rows: list[pl.DataFrame] = []
    for snapshot in sorted(asked["snapshot"].unique().to_list()):
        here = asked.filter(pl.col("snapshot") == snapshot)
        worth = _worth(dump, snapshot)
        closed = (
            _fills(directory, [*keys, "account", "side", "qty_closed"])
            .join(here.lazy(), on=keys)
            .join(worth.lazy(), on="market")
            .group_by(*_BY, "account")
            .agg(
                cut_long=_total(_valued("qty_closed", "long")),
                cut_short=_total(_valued("qty_closed", "short")),
            )
            .collect(engine="streaming")
        )
        held = _held(dump, snapshot, worth, closed.select("account").unique())
        net, left = pl.col("long") - pl.col("short"), pl.col("cut_long") - pl.col("cut_short")
        by_account = closed.join(held, on="account").with_columns(
            hedged=pl.min_horizontal("long", "short"),
            naked=((net - left).abs() - net.abs()).clip(lower_bound=0),
        )
        start = (int(here["time"].min()) - first) / 1e9  # type: ignore[arg-type] # there is one
        rows.append(
            by_account.group_by(_BY)
            .agg(_total(pl.col("hedged", "naked")))
            .with_columns(snapshot=pl.lit(snapshot, pl.UInt32), start=pl.lit(start))
            .select(list(NAKED))
        )
    found = pl.concat(rows) if rows else pl.DataFrame(schema=dict(NAKED))
    return found.sort(*_BY, "snapshot")


def _worth(dump: Dump, snapshot: int) -> pl.DataFrame:
    """What a contract of each market is worth at the first marks of a snapshot, money."""
    size = pl.lit(1.0)
    if "contract_size" in dump.markets.columns:
        size = pl.col("contract_size").cast(pl.String).cast(pl.Float64)
    mark = pl.col("mark_price").cast(pl.Float64)
    is_inverse = pl.col("kind").cast(pl.String) == "inverse"
    terms = dump.markets.select(pl.col("market").cast(pl.String), size=size, is_inverse=is_inverse)
    marks = dump.marks_at(snapshot).select(pl.col("market").cast(pl.String), mark=mark)
    price = pl.when("is_inverse").then(1 / pl.col("mark")).otherwise(pl.col("mark"))
    return terms.join(marks, on="market").select("market", worth=pl.col("size") * price)


def _total(addend: pl.Expr) -> pl.Expr:
    """Sum in whole millionths, about: floats would add up otherwise in another order."""
    return (addend * _PARTS).round().cast(pl.Int128).sum().cast(pl.Float64) / _PARTS


def _valued(qty: str, side: str) -> pl.Expr:
    """What one side's contracts are worth."""
    worth = pl.col(qty).cast(pl.Float64) * pl.col("worth")
    return pl.when(pl.col("side").cast(pl.String) == side).then(worth).otherwise(0.0)


def _held(dump: Dump, snapshot: int, worth: pl.DataFrame, accounts: pl.DataFrame) -> pl.DataFrame:
    """What some accounts hold on either side over all markets, before any cut."""
    folder = dump.directory / "positions" / f"snapshot={snapshot:04d}"
    return (
        pl.scan_parquet(sorted(folder.glob("market=*/part-*.parquet")), hive_partitioning=False)
        .select("account", pl.col("market").cast(pl.String), "side", "qty")
        .join(accounts.lazy(), on="account", how="semi")
        .join(worth.lazy(), on="market")
        .group_by("account")
        .agg(long=_total(_valued("qty", "long")), short=_total(_valued("qty", "short")))
        .collect(engine="streaming")
    )
