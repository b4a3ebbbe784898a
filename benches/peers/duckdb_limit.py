# ruff: noqa: S608 - the queries are made of our own words and whole numbers
"""Peer: DuckDB, ORDER BY and LIMIT, doubled until a running sum over the head covers the lots."""

import duckdb
from peer_duckdb import prepare
from peer_harness import main
from peer_scores import Ids, Question, first_guess, sql_candidates

__all__ = ["prepare", "select"]


def select(connection: duckdb.DuckDBPyConnection, question: Question) -> Ids:
    """Return the ids of the smallest head of the queue that covers the lots asked for."""
    candidates = sql_candidates(question)
    mean = connection.execute("SELECT avg(abs(lots)) FROM positions").fetchall()[0][0]
    count = first_guess(float(mean), question)
    while True:
        query = (
            "SELECT position_id, size, "
            "sum(size) OVER (ORDER BY score DESC ROWS UNBOUNDED PRECEDING)::BIGINT AS covered "
            f"FROM ({candidates} ORDER BY score DESC LIMIT {count})"
        )
        head = connection.execute(query).fetchnumpy()
        before = head["covered"] - head["size"]
        if before.size < count or head["covered"].max() >= question.lots:
            ids: Ids = head["position_id"][before < question.lots]
            return ids
        count *= 2


if __name__ == "__main__":
    main(prepare, select)
