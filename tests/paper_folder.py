"""A hand-made folder in the shape of the paper's published outputs, small enough to add by hand.

Three waves. Production takes 30, 5 and 45 where 10, 20 and 40 are needed. One account's loss of 80
is the largest of the first two waves: the deficits 100 and 90 share it, so that 190 + 50 = 240
counts it twice, and 100 + 10 + 50 = 160 once.
"""

from pathlib import Path

__all__ = ["HORIZONS", "edit", "paper_folder"]

NEEDED = (10.0, 20.0, 40.0)
DEFICIT = (100.0, 90.0, 50.0)
LARGEST = (80.0, 80.0, 50.0)
EXECUTED = {
    "prod": (30.0, 5.0, 45.0),
    "contract_pr": (8.0, 20.0, 40.0),
    "vector": (10.0, 20.0, 39.0),
    "fixed_point_ilp_integer": (11.0, 20.0, 40.0),
    "pr": NEEDED,
    "pnl_pr": NEEDED,
    "eq_pr": NEEDED,
}
HAIRCUT = {
    "prod": (1.0, 0.5, 0.25),
    "contract_pr": (0.25, 0.25, 0.25),
    "vector": (0.125, 0.125, 0.5),
    "fixed_point_ilp_integer": (0.25, 0.25, 0.25),
    "pr": (0.125, 0.25, 0.25),
    "pnl_pr": (0.25, 0.125, 0.25),
    "eq_pr": (0.125, 0.125, 0.125),
}
HORIZONS = {0: EXECUTED["prod"], 500: (40.0, 30.0, 50.0)}
SHOCKS = (
    ("BTC", 5.0, 100.0, 25.0),
    ("BTC", 0.0, 10.0, 4.0),
    ("ETH", 9.0, 6.0, 6.0),
)


def paper_folder(folder: Path) -> Path:
    """Write the folder.

    Args:
        folder: an empty place.

    Returns:
        The same.
    """
    kinds = ("budget", "overshoot", "max_pct")
    names = [f"{kind}_{policy}" for kind in kinds for policy in EXECUTED]
    head = ["wave", "budget_needed", *names, "deficit_usd", "max_loss_usd", "theta_needed_capped"]
    rows = [",".join(head)]
    for at, wave in enumerate((1, 2, 4)):
        budgets = [own[at] for own in EXECUTED.values()]
        gaps = [budget - NEEDED[at] for budget in budgets]
        cuts = [own[at] for own in HAIRCUT.values()]
        theta = min(1.0, NEEDED[at] / DEFICIT[at])
        row = [wave, NEEDED[at], *budgets, *gaps, *cuts, DEFICIT[at], LARGEST[at], theta]
        rows.append(",".join(str(value) for value in row))
    _write(folder / "policy_per_wave_metrics.csv", rows)
    _write_shocks(folder)
    for horizon, taken in HORIZONS.items():
        _write_horizon(folder / f"eval_horizon_sweep/horizon_ms={horizon}", taken)
    return folder


def edit(path: Path, old: str, new: str) -> None:
    """Garble a file.

    Args:
        path: the file.
        old: stands in it.
        new: takes its place once.
    """
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _write_shocks(folder: Path) -> None:
    """The queue's file."""
    head = "coin,deficit_usd,total_capacity_usd,budget_queue_usd,"
    rows = [f"{head}overshoot_queue_usd,residual_queue_usd"]
    for coin, deficit, capacity, budget in SHOCKS:
        gaps = (max(budget - deficit, 0.0), max(deficit - budget, 0.0))
        rows.append(",".join(map(str, (coin, deficit, capacity, budget, *gaps))))
    _write(folder / "per_shock_metrics_queue.csv", rows)


def _write_horizon(folder: Path, taken: tuple[float, ...]) -> None:
    """One horizon's file."""
    folder.mkdir(parents=True)
    rows = ["wave,budget_needed_usd,budget_prod_usd,overshoot_prod_minus_needed_usd"]
    waves = zip((1, 2, 4), NEEDED, taken, strict=True)
    rows += [f"{wave},{needed},{own},{own - needed}" for wave, needed, own in waves]
    _write(folder / "two_pass_equity_delta_by_wave.csv", rows)


def _write(path: Path, rows: list[str]) -> None:
    """Lines to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")
