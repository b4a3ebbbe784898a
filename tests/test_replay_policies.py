"""Policies in a replay: what `deleverage.policy` takes, called plainly; and the demonstration."""

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deleverage import Venue, rank
from deleverage.errors import InputError
from deleverage.lab.dump import Dump
from deleverage.lab.generate import Request, generate_dump
from deleverage.lab.replay import POLICIES, read_results, replay
from deleverage.policy import By, Capped, Contracts, LeverageDraining, MinMax, ProRata, RiskWeighted
from deleverage.policy.risk_weighted import Power
from house import ROOT
from replays import results, step

Int64 = np.ndarray[Any, np.dtype[np.int64]]

OPPOSITE = {"long": "short", "short": "long"}


@pytest.fixture(scope="session")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Dump:
    """A small dump."""
    request = Request(positions=4_000, markets=10, snapshots=2, seed=11)
    return generate_dump(tmp_path_factory.mktemp("policies") / "dump", request)


@pytest.fixture(scope="session")
def shared(dump: Dump, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of every policy; equity is the position's own, and the account's, by edition."""
    run = tmp_path_factory.mktemp("replay") / "shared"
    editions = [Venue.load("bitmex"), Venue.load("cube")]
    replay(dump, run, venues=editions, policies=POLICIES)
    return run


def equities(rows: pl.DataFrame, mark: Decimal, accounts: pl.DataFrame | None) -> Int64:
    """Equity of each row in millionths: its account's, or margin and profit, value rounded down."""
    if accounts is not None:
        found = rows.join(accounts, on="account", how="left", maintain_order="left")["equity"]
        return np.array([int(Decimal(each) * 1_000_000) for each in found], np.int64)
    made = []
    for row in rows.iter_rows(named=True):
        value = int(row["qty"] * mark * 1_000_000)
        gain = value - int(row["entry_value"] * 1_000_000)
        own = int(row["margin"] * 1_000_000)
        made.append(own + (gain if row["side"] == "long" else -gain))
    return np.array(made, np.int64)


def ruled(name: str, lots: Int64, ids: Any, money: tuple[Int64, ...], amount: int) -> Int64:
    """What a policy of `deleverage.policy` takes; money: equity, value and profit."""
    equity, worth, profit = money
    given: Any = Contracts(lots=lots, ids=ids)
    rule: Any = {"pro-rata": ProRata(), "min-max": MinMax()}.get(name)
    if name == "capped":
        given, rule = Contracts(lots=lots, ids=ids, cap=-(-lots // 2)), Capped()
    if name == "pro-rata-profit":
        given, rule = Contracts(lots=lots, ids=ids, profit=profit), ProRata(by=By.PROFIT)
    if name == "leverage-draining":
        given, rule = Contracts(lots=lots, ids=ids, equity=equity), LeverageDraining()
    if name == "risk-weighted":
        pairs = zip(worth.tolist(), equity.tolist(), strict=True)
        leverage = [one * 1_000_000 // own if own > 0 else 0 for one, own in pairs]
        given = Contracts(lots=lots, ids=ids, leverage=np.array(leverage, np.int64))
        rule = RiskWeighted(growth=Power(exponent=1))
    taken: Int64 = rule.allocate(given, amount).taken
    return taken


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "queue"])
@pytest.mark.parametrize("edition", ["bitmex", "cube"])
def test_policies_are_their_rules_called_plainly(
    edition: str, policy: str, dump: Dump, shared: Path
) -> None:
    """An event's cuts are what the policy takes of the candidates that events before have left."""
    market = "BTC"
    (terms,) = dump.markets.filter(pl.col("market").cast(pl.String) == market).iter_rows(named=True)
    lot_size = Decimal(terms["lot_size"])
    own = (pl.col("venue") == edition) & (pl.col("policy") == policy)
    fills = read_results(shared, "fills").filter(own)
    here = pl.col("market").cast(pl.String) == market
    book, accounts = dump.positions(0, market), dump.accounts(0)
    events = dump.bankruptcies.filter(pl.col("snapshot") == 0, here)
    assert events.height > 3
    for event in events.iter_rows(named=True):
        marks = dump.marks_at(0, event["time"]).filter(here)
        ranked = rank(
            book,
            marks=marks,
            venue=Venue.load(edition),
            accounts=accounts,
            markets=dump.markets,
        )
        rows = ranked.filter(
            pl.col("rank").is_not_null(),
            pl.col("side").cast(pl.String) == OPPOSITE[str(event["side"])],
            ~pl.col("account").is_in(events["account"].to_list()),
        )
        lots = np.array([int(qty / lot_size) for qty in rows["qty"]], np.int64)
        mark = marks["mark_price"][0]
        equity = equities(rows, mark, accounts if edition == "cube" else None)
        worth = np.array([int(qty * mark * 1_000_000) for qty in rows["qty"]], np.int64)
        ids = rows["position_id"].cast(pl.UInt64).to_numpy()
        amount = int(event["qty"] / lot_size)
        gain = worth - np.array([int(each * 1_000_000) for each in rows["entry_value"]], np.int64)
        profit = -gain if str(event["side"]) == "long" else gain
        taken = ruled(policy, lots, ids, (equity, worth, profit), amount)
        found = fills.filter(pl.col("event") == event["event"])
        expected = {
            int(one): lot * lot_size
            for one, lot in zip(ids.tolist(), taken.tolist(), strict=True)
            if lot
        }
        assert dict(found.select("position_id", "qty_closed").iter_rows()) == expected
        book = step(book, found)


def test_policies_account_for_every_quantity(dump: Dump, shared: Path) -> None:
    """Each policy has every event with its measures; closed and unfilled make the request."""
    found = results(shared)
    key = ["event", "venue", "policy"]
    closed = found["fills"].group_by(key).agg(pl.col("qty_closed").sum())
    joined = found["events"].join(closed, on=key, how="left")

    assert found["events"].height == dump.bankruptcies.height * 2 * len(POLICIES)
    assert found["metrics"].select(key).equals(found["events"].select(key))
    assert ((joined["qty_closed"].fill_null(0) + joined["unfilled"]) == joined["requested"]).all()
    bitmex = found["metrics"].filter(pl.col("venue") == "bitmex")
    mean = dict(bitmex.group_by("policy").agg(pl.col("participation").mean()).iter_rows())
    assert mean["queue"] < mean["leverage-draining"] < mean["min-max"] <= mean["pro-rata"]


def test_an_edition_without_equities_refuses_who_reads_them(dump: Dump, tmp_path: Path) -> None:
    """A policy that reads equities under an edition that asks for none: one clear error."""
    policies = {"leverage-draining": POLICIES["leverage-draining"]}
    with pytest.raises(InputError, match="asks for neither margins nor equities"):
        replay(dump, tmp_path / "run", venues=[Venue.load("bitget@2025-H1")], policies=policies)


def test_the_demonstration_replaces_what_it_finds(tmp_path: Path) -> None:
    """The script draws a crash, replays it under five policies and names the reports."""
    out = tmp_path / "a lab"
    (out / "run").mkdir(parents=True)
    (out / "run/run.json").write_text("{}")
    words = ["sh", ROOT / "examples/lab.sh", _command(tmp_path), out]
    wrong, done = (
        subprocess.run(
            words, check=False, capture_output=True, text=True, env={**os.environ, "ROWS": rows}
        )
        for rows in ("many", "9000")
    )

    assert (2, "") == (wrong.returncode, wrong.stdout)
    assert "ROWS: expected a whole number, got 'many'" in wrong.stderr
    assert done.returncode == 0, done.stderr
    assert f"the replay:     {out / 'report.html'}" in done.stdout
    assert len(set(read_results(out / "run", "events")["policy"])) == 5
    for name in ("report.html", "simulated.html"):
        assert "<svg" in (out / name).read_text(encoding="utf-8")


def _command(folder: Path) -> Path:
    """The command as a file, of this very package."""
    path = folder / "deleverage"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deleverage.cli "$@"\n')
    path.chmod(0o755)
    return path
