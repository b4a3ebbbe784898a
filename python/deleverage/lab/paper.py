"""The tables of P2, recomputed from its published files, with the reading that the data bears.

P2 is "Autodeleveraging as Online Learning", arXiv 2602.15182. Its arithmetic is right to the cent;
what three of its figures are called is not what they are:

- the headline overshoot is the signed sum over waves, and waves that took too little lower it;
- one vault's deficit of 10.9 million is counted again in every wave in which the vault stands;
- fairness is the distance to a reference policy, so a fairer policy pays for being fairer.

Beside each printed figure stand the recomputed one and the corrected reading: gross sums,
deficits counted once, and only what is less fair than the reference.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from deleverage.lab import metrics
from deleverage.lab.metric_columns import Floats, total
from deleverage.lab.paper_files import PaperFiles, Shocks, Waves, read_paper_files
from deleverage.lab.paper_printed import BOUND, HORIZONS, SHOCKS, TABLE_1, TABLE_2

__all__ = ["REFERENCE", "Reproduction", "counted_once", "reproduce"]

REFERENCE = "min-max reference"
_Row = tuple[str, float, float | None, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reproduction:
    """The tables, money in USD as float64.

    `printed` is null where the paper has no figure; `agrees` says whether printed and recomputed
    are the same to the last digit printed.

    Attributes:
        table_1: figure, printed, recomputed, agrees, corrected, correction; one row a figure.
        table_2: one row a policy: policy, executed, overshoot, undershoot, tracking, fairness,
            loss (tracking + fairness), printed_tracking, printed_fairness, printed_loss, agrees,
            then the corrected reading: worse_than_reference, fairer_than_reference,
            corrected_loss (tracking + worse_than_reference).
        horizons: one row a horizon: milliseconds, executed, printed, signed, agrees, overshoot,
            undershoot.
        bound: as `table_1`: the instance bound and its parts.
        shocks: as `table_1`: the queue by shock, P1's diagnostic.
    """

    table_1: pl.DataFrame
    table_2: pl.DataFrame
    horizons: pl.DataFrame
    bound: pl.DataFrame
    shocks: pl.DataFrame

    @property
    def agrees(self) -> bool:
        """Whether every figure that the paper prints is reproduced."""
        tables = (self.table_1, self.table_2, self.horizons, self.bound, self.shocks)
        return all(bool(table["agrees"].fill_null(value=True).all()) for table in tables)


def reproduce(directory: Path) -> Reproduction:
    """Recompute the tables from a directory of published outputs.

    Args:
        directory: see `paper_files.read_paper_files`.

    Returns:
        The tables.

    Raises:
        InputError: a file is missing or garbled.
    """
    files = read_paper_files(directory)
    return Reproduction(
        table_1=_compared(_table_1(files.waves), TABLE_1),
        table_2=_table_2(files.waves),
        horizons=_horizons(files),
        bound=_compared(_bound(files.waves), BOUND),
        shocks=_compared(_shocks(files.shocks), SHOCKS),
    )


def counted_once(deficit: Floats, largest_loss: Floats) -> Floats:
    """Take out of each wave's deficit a largest loss that stood in an earlier wave already.

    Two waves with the same largest loss to the last digit name one account that was not made
    whole in between, not two losses.

    Args:
        deficit: (T,) money missing in each wave.
        largest_loss: (T,) its largest single part.

    Returns:
        (T,) float64; a wave that holds nothing new has 0.
    """
    seen: set[float] = set()
    own = deficit.copy()
    for wave, loss in enumerate(largest_loss.tolist()):
        if loss in seen:
            own[wave] = max(own[wave] - loss, 0.0)
        seen.add(loss)
    return own


def _table_1(waves: Waves) -> list[_Row]:
    """Totals of the event: figure, recomputed, corrected, and what the correction is."""
    taken, needed = waves.executed["production"], waves.needed
    once = counted_once(waves.deficit, waves.largest_loss)
    signed = metrics.signed_overshoot(taken, needed)
    over, under = metrics.overshoot(taken, needed), metrics.undershoot(taken, needed)
    return [
        ("waves with a deficit", len(needed), None, ""),
        ("deficits", total(waves.deficit), total(once), "each account's deficit counted once"),
        ("budget needed", total(needed), None, ""),
        ("budget of production", total(taken), None, ""),
        ("overshoot of production", signed, over, f"gross; undershoot is {under:,.2f} apart"),
    ]


def _table_2(waves: Waves) -> pl.DataFrame:
    """One row a policy; see `Reproduction`."""
    reference = waves.largest_haircut[REFERENCE]
    rows = []
    for policy, taken in waves.executed.items():
        own, needed = waves.largest_haircut[policy], waves.needed
        tracking = metrics.tracking_error(taken, needed)
        gap = metrics.fairness_gap(own, reference, needed)
        worse = metrics.worse_than(own, reference, needed)
        printed = TABLE_2.get(policy, (None, None, None))
        found = (tracking, gap, tracking + gap)
        rows.append(
            {
                "policy": policy,
                "executed": total(taken),
                "overshoot": metrics.overshoot(taken, needed),
                "undershoot": metrics.undershoot(taken, needed),
                "tracking": tracking,
                "fairness": gap,
                "loss": tracking + gap,
                "printed_tracking": printed[0],
                "printed_fairness": printed[1],
                "printed_loss": printed[2],
                "agrees": None
                if policy not in TABLE_2
                else all(_is_same(one, other) for one, other in zip(found, printed, strict=True)),
                "worse_than_reference": worse,
                "fairer_than_reference": metrics.worse_than(reference, own, needed),
                "corrected_loss": tracking + worse,
            }
        )
    return pl.DataFrame(rows)


def _horizons(files: PaperFiles) -> pl.DataFrame:
    """One row a horizon; see `Reproduction`."""
    rows = []
    for horizon in files.horizons:
        signed = metrics.signed_overshoot(horizon.executed, horizon.needed)
        printed = HORIZONS.get(horizon.milliseconds)
        rows.append(
            {
                "milliseconds": horizon.milliseconds,
                "executed": total(horizon.executed),
                "printed": printed,
                "signed": signed,
                "agrees": None if printed is None else _is_same(signed, printed),
                "overshoot": metrics.overshoot(horizon.executed, horizon.needed),
                "undershoot": metrics.undershoot(horizon.executed, horizon.needed),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"printed": pl.Float64, "agrees": pl.Boolean})


def _bound(waves: Waves) -> list[_Row]:
    """The instance bound, as printed and with deficits counted once."""
    once = counted_once(waves.deficit, waves.largest_loss)
    theta = waves.severity_needed
    theta_once = metrics.severity(waves.needed, once)
    bound, bound_once = (
        metrics.instance_bound(waves.deficit, theta),
        metrics.instance_bound(once, theta_once),
    )
    words = "deficits counted once"
    rows: list[_Row] = [
        ("root of squared deficits", _root(waves.deficit), _root(once), words),
        (
            "path of needed severity",
            metrics.path_length(theta),
            metrics.path_length(theta_once),
            words,
        ),
        ("instance bound", bound, bound_once, words),
    ]
    reference = waves.largest_haircut[REFERENCE]
    for policy in ("production", "integer pro-rata"):
        own, taken = waves.largest_haircut[policy], waves.executed[policy]
        tracking = metrics.tracking_error(taken, waves.needed)
        gap = metrics.fairness_gap(own, reference, waves.needed)
        worse = metrics.worse_than(own, reference, waves.needed)
        share = (tracking + gap) / bound if bound else 0.0
        share_once = (tracking + worse) / bound_once if bound_once else 0.0
        rows.append((f"loss of {policy} / bound", share, share_once, f"{words}, worse only"))
    return rows


def _shocks(shocks: Shocks) -> list[_Row]:
    """The queue by shock; a diagnostic of P1 in equity dollars, by coin and burst."""
    budget, deficit = shocks.budget, shocks.deficit
    feasible = np.minimum(deficit, shocks.capacity)
    return [
        ("shocks", len(budget), None, ""),
        ("coins", shocks.coins, None, ""),
        ("shocks with a deficit", int((deficit > 0).sum()), None, ""),
        ("deficits by shock", total(deficit), None, ""),
        ("deficits that profits can cover", total(feasible), None, ""),
        ("budget of the queue", total(budget), None, ""),
        ("overshoot of the queue", metrics.overshoot(budget, deficit), None, ""),
        ("residual of the queue", metrics.residual(deficit, budget), None, ""),
    ]


def _root(values: Floats) -> float:
    """The root of the sum of squares."""
    return float(np.sqrt(total(values**2)))


def _compared(rows: list[_Row], printed: dict[str, str]) -> pl.DataFrame:
    """Set figures beside what is printed; the printed text says how many digits count."""
    return pl.DataFrame(
        [
            {
                "figure": figure,
                "printed": float(printed[figure]) if figure in printed else None,
                "recomputed": float(found),
                "agrees": _is_printed(found, printed[figure]) if figure in printed else None,
                "corrected": corrected,
                "correction": words,
            }
            for figure, found, corrected, words in rows
        ],
        schema={
            "figure": pl.String,
            "printed": pl.Float64,
            "recomputed": pl.Float64,
            "agrees": pl.Boolean,
            "corrected": pl.Float64,
            "correction": pl.String,
        },
    )


def _is_same(found: float, printed: float | None) -> bool:
    """Whether two amounts are the same cents."""
    return printed is not None and round(found, 2) == printed


def _is_printed(found: float, printed: str) -> bool:
    """Whether a figure rounds to the digits that are printed."""
    places = len(printed.partition(".")[2])
    return round(found, places) == float(printed)
