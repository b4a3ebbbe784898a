"""What the DuckDB peers share: a connection with the positions in its own tables."""

import os

import duckdb
import numpy as np
import polars as pl
from peer_scores import Columns, needed


def prepare(columns: Columns, rule: str) -> duckdb.DuckDBPyConnection:
    """Load the columns into native tables, outside the timing: a gift to the peer."""
    connection = duckdb.connect()
    threads = int(os.environ.get("PEER_THREADS", "0")) or os.cpu_count() or 1
    connection.execute(f"SET threads = {threads}")
    connection.execute("SET preserve_insertion_order = false")
    _load(connection, "positions", {name: columns[name] for name in needed(rule)})
    if rule == "hyperliquid":
        account = np.arange(len(columns["equity"]), dtype=np.uint32)
        _load(connection, "accounts", {"account": account, "equity": columns["equity"]})
    return connection


def _load(connection: duckdb.DuckDBPyConnection, name: str, columns: Columns) -> None:
    connection.register("given", pl.DataFrame(columns).to_arrow())
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")  # noqa: S608 - own words
    connection.unregister("given")
