"""An engine that is killed: what it acknowledged is there, and nothing is there in part."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deleverage.audit import audit
from deleverage.engine import Engine
from deleverage.ledger import Receipt
from engines import ready

WRITER = """
import sys
from deleverage.engine import Engine
with Engine.open(sys.argv[1]) as engine:
    for number in range(1, 10_000):
        at = engine.state.at + 1
        engine.marks({"ETH": str(1700 + number % 200)}, at=at)
        done = engine.deposit("dave", "1", "USDT", at=at, key=f"deposit {engine.head.sequence}")
        print(done.receipt, flush=True)
"""


@pytest.mark.parametrize("count", [1, 4, 9])
def test_a_killed_engine_loses_nothing_it_acknowledged(tmp_path: Path, count: int) -> None:
    """After kill -9 the journal holds the last receipt that was seen, and every guarantee."""
    path = tmp_path / "venue.journal"
    ready(path).close()
    words = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=dict(os.environ)) as writer:
        assert writer.stdout is not None
        seen = [writer.stdout.readline().decode().strip() for _ in range(count)]
        writer.send_signal(signal.SIGKILL)
    last = Receipt.parse(seen[-1])
    findings = audit(path, str(last))
    with Engine.open(path, receipt=last) as engine:
        paid = engine.state.ledger.balance("trader:dave", "USDT") - 6000 * 10**6

        assert engine.head.sequence >= last.sequence
        assert paid >= count * 10**6
        assert paid % 10**6 == 0
    assert [] == [finding.detail for finding in findings if not finding.is_ok]
