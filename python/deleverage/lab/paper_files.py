"""The published output files of P2's replication, read strictly.

A directory in the shape of the replication's `out/` (github.com/pluriholonomic/
autodeleveraging-analysis, MIT): one row a wave of deleveraging, one a shock, one a wave and
horizon. Money is USD. Numbers keep their 15 to 17 digits; a blank is legal only where a ratio has
no denominator. What the columns promise of each other is checked, so that a garbled file is found
where it is garbled.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from deleverage.errors import InputError
from deleverage.lab.metric_columns import Floats
from deleverage.model.refusals import bad_value
from deleverage.model.sources import load

__all__ = ["POLICIES", "Horizon", "PaperFiles", "Shocks", "Waves", "read_paper_files"]

POLICIES = {
    "production": "prod",
    "integer pro-rata": "contract_pr",
    "vector mirror descent": "vector",
    "min-max reference": "fixed_point_ilp_integer",
    "continuous pro-rata": "pr",
    "profit pro-rata": "pnl_pr",
    "equity pro-rata": "eq_pr",
}
"""The policies of the wave file by the names used here; the last two are not in the paper."""

_WAVES = "policy_per_wave_metrics.csv"
_SHOCKS = "per_shock_metrics_queue.csv"
_SWEEP = "eval_horizon_sweep"
_BY_WAVE = "two_pass_equity_delta_by_wave.csv"
_TOLERANCE = 1e-9
_CENT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waves:
    """Waves with a deficit, in order; every column is (T,) float64, in USD unless said.

    Attributes:
        names: the waves' numbers in the full list, as text.
        needed: budget that was needed, B.
        deficit: money missing, D.
        largest_loss: largest single deficit.
        severity_needed: theta, min(1, B / D).
        executed: money taken, H, by policy.
        largest_haircut: largest haircut on equity, 0..1, by policy.
    """

    names: tuple[str, ...]
    needed: Floats
    deficit: Floats
    largest_loss: Floats
    severity_needed: Floats
    executed: dict[str, Floats]
    largest_haircut: dict[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shocks:
    """Shocks of the queue, one row a coin and burst; columns are (n,) float64 USD.

    Attributes:
        coins: number of different coins.
        deficit: money missing.
        capacity: profit that could be taken.
        budget: what the queue took.
    """

    coins: int
    deficit: Floats
    capacity: Floats
    budget: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Horizon:
    """Production marked at one horizon after each wave; columns are (T,) float64 USD.

    Attributes:
        milliseconds: after the wave's end.
        needed: budget that was needed.
        executed: money that production took.
    """

    milliseconds: int
    needed: Floats
    executed: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PaperFiles:
    """Everything that the tables are made of.

    Attributes:
        waves: by policy.
        shocks: of the queue.
        horizons: by rising milliseconds.
    """

    waves: Waves
    shocks: Shocks
    horizons: tuple[Horizon, ...]


def read_paper_files(directory: Path) -> PaperFiles:
    """Read and check the files of a directory.

    Args:
        directory: holds `policy_per_wave_metrics.csv`, `per_shock_metrics_queue.csv` and
            `eval_horizon_sweep/horizon_ms=N/two_pass_equity_delta_by_wave.csv` for some N.

    Returns:
        The columns that the tables need.

    Raises:
        InputError: a file or column is missing, a value is no number, or two columns contradict
            each other; names file, column and row.
    """
    if not directory.is_dir():
        raise InputError(f"{directory}: expected a directory of published outputs, got none")
    waves = _read_waves(directory / _WAVES)
    folders = sorted(directory.glob(f"{_SWEEP}/horizon_ms=*"), key=_milliseconds)
    if not folders:
        raise InputError(f"{directory / _SWEEP}: expected folders horizon_ms=N, got none")
    return PaperFiles(
        waves=waves,
        shocks=_read_shocks(directory / _SHOCKS),
        horizons=tuple(_read_horizon(folder, waves.names) for folder in folders),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sheet:
    """One CSV file, its cells as text."""

    name: str
    frame: pl.DataFrame

    @classmethod
    def read(cls, path: Path, columns: Iterable[str]) -> "_Sheet":
        """Read a file and refuse one that lacks a column or has no row."""
        name, frame = load(path, name="paper")
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise InputError(f"{name}: expected a column {missing[0]}, got {frame.columns}")
        if not frame.height:
            raise InputError(f"{name}: expected at least one row, got none")
        return cls(name=name, frame=frame)

    def texts(self, column: str) -> tuple[str, ...]:
        """A column of names; a blank is refused."""
        values = self.frame[column]
        if values.null_count():
            raise self.refuse(column, int(values.is_null().arg_max() or 0), "a name")
        return tuple(values.to_list())

    def money(self, column: str) -> Floats:
        """A column of finite numbers."""
        numbers = self.frame[column].cast(pl.Float64, strict=False)
        wrong = numbers.is_null() | ~numbers.is_finite().fill_null(value=False)
        if wrong.any():
            raise self.refuse(column, int(wrong.arg_max() or 0), "a finite number")
        return numbers.to_numpy()

    def gross(self, column: str) -> Floats:
        """A column of finite numbers, 0 or more."""
        numbers = self.money(column)
        if (numbers < 0).any():
            raise self.refuse(column, int(np.argmax(numbers < 0)), "a number, 0 or more")
        return numbers

    def promise(self, column: str, expected: Floats, rule: str) -> None:
        """Refuse a column that is not what two others make it, to within rounding and a cent."""
        numbers = self.money(column)
        wrong = np.abs(numbers - expected) > _TOLERANCE * np.abs(expected) + _CENT
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self.refuse(column, row, f"{rule} = {expected[row]}")

    def refuse(self, column: str, row: int, expected: str) -> InputError:
        """The error for one cell."""
        value = self.frame[column][row]
        return bad_value(table=self.name, column=column, row=row, value=value, expected=expected)


def _read_waves(path: Path) -> Waves:
    """Table 2's file."""
    single = ("wave", "budget_needed", "deficit_usd", "max_loss_usd", "theta_needed_capped")
    kinds = ("budget", "overshoot", "max_pct")
    sheet = _Sheet.read(
        path, [*single, *(f"{kind}_{name}" for name in POLICIES.values() for kind in kinds)]
    )
    needed, deficit = sheet.gross("budget_needed"), sheet.gross("deficit_usd")
    if not (deficit > 0).all():
        raise sheet.refuse("deficit_usd", int(np.argmin(deficit)), "a number above zero")
    executed = _by_policy(sheet.gross, "budget")
    haircut = _by_policy(sheet.gross, "max_pct")
    for policy, name in POLICIES.items():
        sheet.promise(
            f"overshoot_{name}", executed[policy] - needed, f"budget_{name} - budget_needed"
        )
    theta = np.minimum(needed / deficit, 1.0)
    sheet.promise("theta_needed_capped", theta, "min(1, budget_needed / deficit_usd)")
    return Waves(
        names=sheet.texts("wave"),
        needed=needed,
        deficit=deficit,
        largest_loss=sheet.gross("max_loss_usd"),
        severity_needed=sheet.gross("theta_needed_capped"),
        executed=executed,
        largest_haircut={name: np.minimum(own, 1.0) for name, own in haircut.items()},
    )


def _by_policy(read: Callable[[str], Floats], kind: str) -> dict[str, Floats]:
    """One kind of column of every policy."""
    return {policy: read(f"{kind}_{name}") for policy, name in POLICIES.items()}


def _read_shocks(path: Path) -> Shocks:
    """The queue's file."""
    money = ("deficit_usd", "total_capacity_usd", "budget_queue_usd")
    gaps = ("overshoot_queue_usd", "residual_queue_usd")
    sheet = _Sheet.read(path, ["coin", *money, *gaps])
    deficit, capacity, budget = (sheet.gross(column) for column in money)
    over = np.maximum(budget - deficit, 0)
    under = np.maximum(deficit - budget, 0)
    sheet.promise("overshoot_queue_usd", over, "(budget - deficit)_+")
    sheet.promise("residual_queue_usd", under, "(deficit - budget)_+")
    return Shocks(
        coins=len(set(sheet.texts("coin"))), deficit=deficit, capacity=capacity, budget=budget
    )


def _read_horizon(folder: Path, waves: tuple[str, ...]) -> Horizon:
    """One folder of the horizon sweep."""
    signed = "overshoot_prod_minus_needed_usd"
    sheet = _Sheet.read(folder / _BY_WAVE, ["wave", "budget_needed_usd", "budget_prod_usd", signed])
    own = sheet.texts("wave")
    if len(own) != len(waves):
        expected = f"{len(waves)} rows, the waves of {_WAVES}"
        raise InputError(f"{sheet.name}: expected {expected}, got {len(own)}")
    for row, (one, other) in enumerate(zip(own, waves, strict=True)):
        if one != other:
            raise sheet.refuse("wave", row, f"{other!r}, the wave of that row of {_WAVES}")
    needed, executed = sheet.gross("budget_needed_usd"), sheet.gross("budget_prod_usd")
    sheet.promise(signed, executed - needed, "budget_prod_usd - budget_needed_usd")
    return Horizon(milliseconds=_milliseconds(folder), needed=needed, executed=executed)


def _milliseconds(folder: Path) -> int:
    """The horizon that a folder names."""
    found = re.fullmatch(r"horizon_ms=(\d+)", folder.name)
    if found is None:
        raise InputError(f"{folder}: expected a folder name horizon_ms=N, N in whole milliseconds")
    return int(found[1])
