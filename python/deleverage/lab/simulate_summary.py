"""What a simulated crash comes to: its waves, and one row of measures a policy."""

from collections.abc import Iterable, Sequence

import polars as pl

from deleverage.errors import InputError
from deleverage.lab import metrics
from deleverage.lab.simulate import Simulation

__all__ = ["SUMMARY", "WAVES", "summarise", "tidy", "waves"]

_INT, _FLOAT = pl.Int64(), pl.Float64()
WAVES = {
    **dict.fromkeys(("wave", "first", "last", "adl_lots", "adl_accounts", "needed"), _INT),
    **dict.fromkeys(("executed", "overshoot", "undershoot"), _INT),
}
"""One row a wave (steps with cuts, none without one between them): needed is what the bankrupt
positions lacked at the marks, executed what those who were cut would have more by the mark at the
wave's end if they had not been cut (arXiv 2602.15182: a markout; below zero counts as 0)."""
SUMMARY = {
    "venue": pl.String(),
    "policy": pl.String(),
    **dict.fromkeys(
        (
            *("liquidated", "liquidated_later", "adl_lots", "cut_accounts", "unfilled_lots"),
            *("needed", "lost", "overshoot", "undershoot", "pool_low", "pool_end", "uncovered"),
            *("naked_lots", "naked_peak", "naked_worst", "naked_liquidated"),
        ),
        _INT,
    ),
    **dict.fromkeys(
        ("participation", "max_haircut", "gini", "top_share", "concentration", "revenue_lost"),
        _FLOAT,
    ),
}
"""One row a venue and policy. liquidated_later: traders liquidated after the first wave, in which
all policies stand on the same ground; lost: what the cuts cost against the mark; pool_low and
pool_end: balance of the pool; uncovered: by how much it was below zero at worst; naked_peak and
naked_worst: largest value of naked legs, and the most they had lost at any step; naked_liquidated:
accounts that were hedged, lost lots of a leg to a cut, and were liquidated later; the rest as in
`metrics`, of what each trader lost by cuts against his endowment."""


def waves(simulation: Simulation) -> pl.DataFrame:
    """Cut a simulation into waves of deleveraging.

    Args:
        simulation: what happened.

    Returns:
        See `WAVES`.
    """
    steps, prices = simulation.steps, simulation.prices
    found: list[dict[str, object]] = []
    for group in _runs(steps.filter(pl.col("adl_lots") > 0)["step"].to_list()):
        first, last = group[0], group[-1]
        within = steps.filter(pl.col("step").is_between(first, last))
        fills = simulation.fills.filter(pl.col("step").is_between(first, last))
        # A short's lots were bought back: they would be worth the later mark, his cash is spent.
        sign = pl.when(pl.col("side") == "short").then(1).otherwise(-1)
        ended = fills.join(prices.filter(pl.col("step") == last).drop("step"), on="market")
        markout = -ended.select(
            (pl.col("cash") + sign * pl.col("lots") * pl.col("price")).sum()
        ).item()
        needed, executed = int(within["needed"].sum()), max(0, int(markout))
        found.append(
            {
                "wave": len(found) + 1,
                "first": first,
                "last": last,
                "adl_lots": within["adl_lots"].sum(),
                "adl_accounts": fills["account"].n_unique(),
                "needed": needed,
                "executed": executed,
                "overshoot": max(0, executed - needed),
                "undershoot": max(0, needed - executed),
            }
        )
    return pl.DataFrame(found, schema=WAVES)


def summarise(simulations: Iterable[Simulation]) -> pl.DataFrame:
    """Measure simulations, one row each.

    Args:
        simulations: of one course, or several.

    Returns:
        See `SUMMARY`.
    """
    return pl.DataFrame([_row(one) for one in simulations], schema=SUMMARY)


def tidy(simulations: Sequence[Simulation], name: str) -> pl.DataFrame:
    """Put one table of several simulations below each other.

    Args:
        simulations: at least one.
        name: `steps`, `accounts`, `fills`, `lights`, `prices`, `waves` or `summary`.

    Returns:
        The table with venue and policy as its first columns.

    Raises:
        InputError: there is no simulation, or no such table.
    """
    known = ("summary", "steps", "accounts", "fills", "lights", "prices", "waves")
    if not simulations or name not in known:
        raise InputError(f"table: expected one of {', '.join(known)}, got {name!r}")
    if name == "summary":
        return summarise(simulations)
    frames = [
        (waves(one) if name == "waves" else getattr(one, name)).select(
            pl.lit(one.venue).alias("venue"), pl.lit(one.policy).alias("policy"), pl.all()
        )
        for one in simulations
    ]
    return pl.concat(frames)


def _runs(steps: Sequence[int]) -> list[list[int]]:
    """Group steps that follow each other."""
    groups: list[list[int]] = []
    for step in steps:
        if groups and step == groups[-1][-1] + 1:
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _row(one: Simulation) -> dict[str, object]:
    """The measures of one simulation."""
    steps, accounts, found = one.steps, one.accounts, waves(one)
    lost = accounts["lost"].clip(lower_bound=0).to_numpy()
    endowment = accounts["endowment"].to_numpy()
    haircuts = metrics.haircuts(lost, endowment, is_capped=True)
    later = steps.filter(pl.col("step") > found["last"][0]) if found.height else steps.clear()
    low = int(steps["pool_balance"].min())  # type: ignore[arg-type] # a course has a step
    return {
        "venue": one.venue,
        "policy": one.policy,
        "liquidated": steps["liquidated"].sum(),
        "liquidated_later": later["liquidated"].sum(),
        "adl_lots": steps["adl_lots"].sum(),
        "cut_accounts": int((accounts["cut_lots"] > 0).sum()),
        "unfilled_lots": steps["unfilled_lots"].sum(),
        "needed": steps["needed"].sum(),
        "lost": accounts["lost"].sum(),
        "overshoot": found["overshoot"].sum(),
        "undershoot": found["undershoot"].sum(),
        "pool_low": low,
        "pool_end": steps["pool_balance"][-1],
        "uncovered": max(0, -low),
        "naked_lots": steps["naked_lots"].max(),
        "naked_peak": steps["naked_exposure"].max(),
        "naked_worst": max(0, int(steps["naked_loss"].max())),  # type: ignore[arg-type]
        "naked_liquidated": _liquidated_after_a_cut(accounts),
        "participation": metrics.participation(lost, endowment),
        "max_haircut": float(haircuts.max(initial=0.0)),
        "gini": metrics.gini(lost),
        "top_share": metrics.top_share(lost),
        "concentration": metrics.concentration(lost),
        "revenue_lost": metrics.revenue_lost(haircuts, endowment),
    }


def _liquidated_after_a_cut(accounts: pl.DataFrame) -> int:
    """Hedged accounts that lost lots of a leg to a cut, and were liquidated."""
    by_account = accounts.filter("is_hedged").group_by("account")
    ended = by_account.agg(pl.col("cut_lots").sum(), pl.col("liquidated_at").is_not_null().any())
    return ended.filter(pl.col("cut_lots") > 0, pl.col("liquidated_at")).height
