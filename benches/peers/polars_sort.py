"""Peer: Polars, score and sort the whole side, then cut where the running size covers the lots."""

import polars as pl
from peer_harness import main
from peer_polars import candidates, prepare
from peer_scores import Ids, Question

__all__ = ["prepare", "select"]


def select(frame: pl.DataFrame, question: Question) -> Ids:
    """Return the ids of the smallest head of the queue that covers the lots asked for."""
    before = pl.col("size").cum_sum() - pl.col("size")
    return (
        candidates(frame, question)
        .sort("score", descending=True)
        .filter(before < question.lots)
        .select("position_id")
        .collect()["position_id"]
        .to_numpy()
    )


if __name__ == "__main__":
    main(prepare, select)
