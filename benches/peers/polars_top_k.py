"""Peer: Polars, score and `top_k` in one lazy pass, k doubled until the lots are covered."""

import polars as pl
from peer_harness import main
from peer_polars import candidates, prepare
from peer_scores import Ids, Question, first_guess

__all__ = ["prepare", "select"]


def select(frame: pl.DataFrame, question: Question) -> Ids:
    """Return the ids of the smallest head of the queue that covers the lots asked for."""
    scored = candidates(frame, question)
    before = pl.col("size").cum_sum() - pl.col("size")
    mean_size = frame.select(pl.col("lots").abs().mean()).item()
    count = first_guess(mean_size, question)
    while True:
        head = scored.top_k(count, by="score").collect()
        if head["size"].sum() >= question.lots or len(head) < count:
            queue = head.sort("score", descending=True)
            return queue.filter(before < question.lots)["position_id"].to_numpy()
        count *= 2


if __name__ == "__main__":
    main(prepare, select)
