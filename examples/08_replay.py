"""A synthetic venue, and its bankruptcies planned under two venues' rules."""

import tempfile
from pathlib import Path

import polars as pl

from deleverage import Venue
from deleverage.lab.generate import Request, generate_dump
from deleverage.lab.replay import read_results, replay

with tempfile.TemporaryDirectory() as folder:
    dump = generate_dump(Path(folder) / "dump", Request(positions=3_000, markets=8, seed=1))
    print(dump.bankruptcies.height, "bankruptcies in", dump.markets.height, "markets")
    venues = [Venue.load("hyperliquid"), Venue.load("bitmex")]
    replay(dump, Path(folder) / "run", venues=venues)
    fills = read_results(Path(folder) / "run", "fills")
    cut = fills.group_by("venue").agg(accounts=pl.col("account").n_unique(), fills=pl.len())
    for row in cut.sort("venue").iter_rows(named=True):
        print(f"{row['venue']:<12} {row['fills']} fills, {row['accounts']} accounts")
