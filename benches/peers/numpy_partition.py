"""Peer: NumPy, score the side, then `argpartition` with a doubling k until the lots are covered."""

import numpy as np
from peer_harness import main
from peer_scores import Columns, Ids, Question, first_guess, needed, numpy_score

__all__ = ["prepare", "select"]


def prepare(columns: Columns, rule: str) -> Columns:
    """Return the columns the rule needs; NumPy works on them as they are."""
    names = (*needed(rule), "equity") if rule == "hyperliquid" else needed(rule)
    return {name: columns[name] for name in names}


def select(columns: Columns, question: Question) -> Ids:
    """Return the ids of the smallest head of the queue that covers the lots asked for."""
    rows = np.flatnonzero(columns["lots"] > 0 if question.side > 0 else columns["lots"] < 0)
    taken = {name: values if name == "equity" else values[rows] for name, values in columns.items()}
    score, offered = numpy_score(taken, question)
    np.negative(score, out=score)
    score[~offered] = np.inf
    size = np.abs(taken["lots"])
    candidates = int(np.count_nonzero(offered))
    count = first_guess(float(size.mean()), question)
    while True:
        count = min(count, candidates)
        head = np.argpartition(score, count - 1)[:count]
        if size[head].sum() >= question.lots or count == candidates:
            queue = head[np.argsort(score[head])]
            before = np.cumsum(size[queue]) - size[queue]
            return taken["position_id"][queue[before < question.lots]]
        count *= 2


if __name__ == "__main__":
    main(prepare, select)
