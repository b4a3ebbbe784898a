"""Waves of bankruptcies, and where each market stood when its wave was over.

A wave is a run of bankruptcies over all markets without a gap of more than five seconds between
two of them (arXiv 2602.15182, section 3). What a cut has cost its trader by the end of the wave is
a markout: the published figures of executed severity are of this kind.
"""

import polars as pl

from deleverage.lab.dump import Dump

__all__ = ["GAP", "with_waves"]

GAP = 5_000_000_000
"""The longest pause within a wave, ns."""


def with_waves(dump: Dump) -> pl.DataFrame:
    """Say of each bankruptcy which wave it belongs to, and its market's mark at the wave's end.

    Args:
        dump: what happened.

    Returns:
        Its bankruptcies in event order with `wave` (UInt32, from 1) and `wave_mark`, the last
        mark of the market at or before the wave's last bankruptcy.
    """
    name = pl.col("market").cast(pl.String)
    events = dump.bankruptcies.sort("time", "event").with_columns(
        wave=(pl.col("time").diff() > GAP).fill_null(value=False).cum_sum().cast(pl.UInt32) + 1,
        named=name,
    )
    marks = dump.marks.select(named=name, marked="time", wave_mark="mark_price")
    ended = events.with_columns(wave_end=pl.col("time").max().over("wave"))
    found = ended.sort("wave_end").join_asof(
        marks.unique(["named", "marked"], keep="last").sort("marked"),
        left_on="wave_end",
        right_on="marked",
        by="named",
        check_sortedness=False,  # both are sorted, which is not seen within groups
    )
    return found.sort("event").drop("named", "wave_end", "marked", strict=False)
