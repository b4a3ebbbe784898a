"""Peer: Polars, all rows sorted by the bitmex score, best first.

It sorts both sides of all markets in one go and returns row numbers, which is less than a rank
within each side: the peer is given that for free.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
from peer_harness import main_book
from peer_polars import bitmex_by_market, prepare_book

__all__ = ["prepare_book", "rank"]


def rank(frame: pl.DataFrame) -> npt.NDArray[np.uint32]:
    """Return the row numbers in the order of their scores; rows without a score come last."""
    return (
        frame.lazy()
        .with_row_index("row")
        .select("row", score=bitmex_by_market())
        .sort("score", descending=True, nulls_last=True)
        .collect(engine="streaming")["row"]
        .to_numpy()
    )


if __name__ == "__main__":
    main_book(prepare_book, rank)
