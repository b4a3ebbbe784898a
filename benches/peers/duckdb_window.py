# ruff: noqa: S608 - the queries are made of our own words and whole numbers
"""Peer: DuckDB, a running sum over the whole side in queue order, by a window."""

import duckdb
from peer_duckdb import prepare
from peer_harness import main
from peer_scores import Ids, Question, sql_candidates

__all__ = ["prepare", "select"]


def select(connection: duckdb.DuckDBPyConnection, question: Question) -> Ids:
    """Return the ids of the smallest head of the queue that covers the lots asked for."""
    query = (
        "SELECT position_id FROM (SELECT position_id, "
        "sum(size) OVER (ORDER BY score DESC ROWS UNBOUNDED PRECEDING) - size AS before "
        f"FROM ({sql_candidates(question)})) "
        f"WHERE before < {question.lots}"
    )
    return connection.execute(query).fetchnumpy()["position_id"]


if __name__ == "__main__":
    main(prepare, select)
