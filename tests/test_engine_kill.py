"""An engine that is killed: what it acknowledged is there, and nothing is there in part."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import crash_engine
from crash_engine import BANKRUPT, DEPOSIT, begin
from deleverage.audit import audit
from deleverage.engine import Commands
from deleverage.ledger import Journal, Receipt

KILLS = int(os.environ.get("KILLS", "20"))
# A new journal now and then: each kill is followed by a whole verification.
KILLS_A_JOURNAL = 10
# Every other kill is aimed at the inside of a statement: 30 % must hit an open transaction.
INSIDE = 2
# At its first steps the statement that writes a command holds the lock and has not committed.
STEPS = 3

Said = list[dict[str, Any]]


def is_open(path: Path) -> bool:
    """Whether somebody is in a transaction that writes: another one cannot begin."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        other.execute("ROLLBACK")
    return False


def one_kill(path: Path, random: Random, number: int) -> tuple[Said, bool]:
    """Let an engine go on from where the file is, and kill it.

    Returns:
        What it said, and whether it died inside an open transaction.
    """
    acknowledged = random.randint(1, 9)
    pause_at = acknowledged + 1 if number % INSIDE == 0 else 0
    steps = random.randint(1, STEPS)
    words = [sys.executable, crash_engine.__file__, str(path), str(pause_at), str(steps)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        said: Said = []
        while len(said) < acknowledged + (pause_at > 0) and "end" not in {s["at"] for s in said}:
            said.append(json.loads(process.stdout.readline()))
        died_inside = said[-1]["at"] == "inside" and is_open(path)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.readlines()
    return said + [json.loads(line) for line in rest if line.endswith("\n")], died_inside


def assert_once(path: Path, acknowledged: dict[int, Receipt]) -> None:
    """Everything that was acknowledged is there once, and nothing is there in part."""
    last = max(acknowledged.values())
    findings = audit(path, str(last))
    assert [] == [finding.detail for finding in findings if not finding.is_ok]
    with Journal.open(path, Commands()) as journal:
        entries = list(journal.entries())
        state = journal.state
    keys = [entry.key for entry in entries]
    deposits = [key for key in keys if key.startswith("deposit ")]
    closed = {key.removeprefix("commit ") for key in keys if key.startswith("commit ")}
    lots = [state.book.holding(place).lots for place in range(BANKRUPT)]

    assert all(entries[at - 1].receipt == receipt for at, receipt in acknowledged.items())
    assert len(keys) == len({*keys})
    assert lots.count(0) == len(closed)
    assert sum(lots) == 2 * (BANKRUPT - len(closed))
    assert len(deposits) in {len(closed), len(closed) - 1}
    assert {key.removeprefix("deposit ") for key in deposits} <= closed
    brought = sum(e.kind == "deposit" for e in entries) * DEPOSIT
    assert state.ledger.balance("outside:s00", "USDT") == -brought if deposits else True


def test_a_killed_engine_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """Killed at random moments of liquidations, plans and commits, a journal stays whole.

    At least 30 % of the kills hit an open transaction, which another writer could not have begun.
    """
    random, path, inside, total = Random(11), tmp_path, 0, 0
    acknowledged: dict[int, Receipt] = {}
    for number in range(KILLS):
        if number % KILLS_A_JOURNAL == 0:
            path, acknowledged = tmp_path / f"engine-{number}.journal", {}
            begin(path)
        said, died_inside = one_kill(path, random, number)
        receipts = [Receipt.parse(line["receipt"]) for line in said if line["at"] == "done"]
        inside, total = inside + died_inside, total + len(receipts)
        acknowledged |= {receipt.sequence: receipt for receipt in receipts}
        assert_once(path, acknowledged)
        if (number + 1) % KILLS_A_JOURNAL == 0 or number + 1 == KILLS:
            said_so_far = f"{inside} inside a transaction, {total} acknowledged"
            sys.stderr.write(f"{number + 1} kills, {said_so_far}\n")

    assert total > KILLS
    assert inside >= 0.3 * KILLS
