"""Peer: Polars, five lights by `rank().over()` within market and side, bitmex rule.

The lights share out the entries of a side: rank over count, front first, in fifths. A row that
cannot be scored shows 0.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
from peer_harness import main_book
from peer_polars import bitmex_by_market, prepare_book

__all__ = ["lights", "prepare_book"]


def lights(frame: pl.DataFrame) -> npt.NDArray[np.uint8]:
    """Return the light of every row, 5 is next in line."""
    key = pl.col("market") * 2 + (pl.col("lots") < 0).cast(pl.UInt32)
    rank = pl.col("score").rank("ordinal", descending=True).over("key")
    count = pl.col("score").count().over("key")
    light = 6 - (5 * rank + count - 1) // count
    return (
        frame.lazy()
        .select(key=key, score=bitmex_by_market())
        .select(light=light.cast(pl.UInt8).fill_null(0))
        .collect()["light"]
        .to_numpy()
    )


if __name__ == "__main__":
    main_book(prepare_book, lights)
