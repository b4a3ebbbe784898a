"""The journal under fire: killed, out of space, damaged; nothing acknowledged is ever lost.

`kill -9` does not test durability, because what was written survives it in the page cache. That a
commit is synced before it is acknowledged is shown by counting the calls, where the tool is there.
"""

import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

import crash_writer
from bookings import open_accounts
from crash_writer import FILLER, Pausing, request, write_some
from deleverage.errors import AdlError, StateError
from deleverage.ledger import Booking, Command, Journal, Ledger, Receipt, Value, verify

KILLS = int(os.environ.get("KILLS", "20"))
# A long run begins a new journal now and then: each kill is followed by a whole replay.
KILLS_A_JOURNAL = 20
# Every other kill waits inside an open transaction: at least 30 % of them must.
INSIDE = 2
FLIPS = 150
# Entries of the small journal that are in its main file; four more are in its log.
IN_MAIN = 60
# More than any writer lives to see.
ROUNDS = 10**6

Writer = subprocess.Popen[str]


def writer(*arguments: object, before: tuple[str, ...] = ()) -> Writer:
    """Start the process that writes."""
    command = [*before, sys.executable, crash_writer.__file__, *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace"
    )


def end(process: Writer) -> list[dict[str, Any]]:
    """Kill a writer and read what it had still said, whole lines only."""
    process.send_signal(signal.SIGKILL)
    assert process.stdout is not None
    with process:
        rest = process.stdout.readlines()
    return [json.loads(line) for line in rest if line.endswith("\n")]


def receipts_of(said: list[dict[str, Any]]) -> list[Receipt]:
    """Every receipt in what a writer said."""
    return [Receipt.parse(text) for line in said for text in line.get("receipts", [])]


def one_kill(path: Path, random: Random, number: int) -> tuple[list[Receipt], bool]:
    """Let a writer go on from where the file is, and kill it.

    Returns:
        What it acknowledged, and whether it died inside an open transaction.
    """
    with Journal.open(path, Booking()) as journal:
        first = max(journal.head.sequence, 1)
    is_inside = number % INSIDE == 0
    # Batches start one after `first` and hold BATCH commands: the second to the last can pause.
    pause_at = first + random.randint(2, crash_writer.BATCH) if is_inside else 0
    process = writer("run", path, first, pause_at, FILLER if is_inside else 10, ROUNDS)
    assert process.stdout is not None
    said: list[dict[str, Any]] = []
    acknowledged = random.randint(1, 12)
    while len(said) < acknowledged or is_inside:
        said.append(json.loads(process.stdout.readline()))
        if said[-1]["at"] == "inside":
            break
    died_inside = said[-1]["at"] == "inside"
    said += end(process)
    return receipts_of(said), died_inside


def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """After any kill what was acknowledged is there once, and the journal verifies.

    At least 30 % of the kills hit an open transaction with rows in it; no batch is half there.
    """
    random, path, inside, total = Random(7), tmp_path, 0, 0
    acknowledged: dict[int, Receipt] = {}
    for number in range(KILLS):
        if number % KILLS_A_JOURNAL == 0:
            path, acknowledged = tmp_path / f"journal-{number}.db", {}
        receipts, died_inside = one_kill(path, random, number)
        inside, total = inside + died_inside, total + len(receipts)
        acknowledged |= {receipt.sequence: receipt for receipt in receipts}
        found = verify(path, max(acknowledged.values()), Booking())
        assert found.is_intact, found.findings
        with Journal.open(path, Booking()) as journal:
            entries = list(journal.entries())
            state = journal.state
            assert journal.state_hash() == found.state_hash
            again = [journal.execute(*request(1)) for _ in range(2)]
        assert [each.is_repeat for each in again] == [True, True]
        assert all(entries[at - 1].receipt == receipt for at, receipt in acknowledged.items())
        keys = [entry.key for entry in entries]
        assert keys == ["open", *(f"k{n}" for n in range(1, len(keys)))]
        assert state.balance("pool:x", "USDT") == sum(range(len(keys)))

    sys.stderr.write(f"{KILLS} kills, {inside} inside a transaction, {total} acknowledged\n")

    assert total > KILLS
    assert inside >= 0.3 * KILLS


def test_every_acknowledgement_follows_a_sync(tmp_path: Path) -> None:
    """Between two acknowledgements the process syncs a file to the disk.

    Proven where `strace` is there: the order of the system calls `fdatasync` (or `fsync`) and
    `write` of a running writer. Elsewhere only that the live connection asks for it. Neither
    proves that the drive keeps what it said it has.
    """
    if shutil.which("strace") is None:
        with Journal.open(tmp_path / "journal.db", Booking()) as journal:
            assert (journal.setting("journal_mode"), journal.setting("synchronous")) == ("wal", 2)
        return
    trace = tmp_path / "trace"
    calls = ("strace", "-qq", "-o", str(trace), "-e", "trace=fsync,fdatasync,write")
    process = writer("run", tmp_path / "journal.db", 1, 0, 10, 3, before=calls)
    process.communicate()

    synced, gaps = 0, []
    for line in trace.read_text().splitlines():
        synced += re.match(r"f(data)?sync\(\d+\)\s+= 0", line) is not None
        if re.match(r'write\(1, "\{\\"at\\": \\"done', line):
            gaps.append(synced)
            synced = 0
    assert (process.returncode, len(gaps)) == (0, 6)
    assert min(gaps) >= 1


def check_after_full_disk(path: Path, receipts: list[Receipt], error: str) -> None:
    """What was acknowledged is there, what was not is there whole or not at all, and it goes on."""
    assert not error or error.startswith("StateError: journal")
    last = max(receipts, default=None)
    if not path.is_file():
        assert not receipts
        return
    with Journal.open(path, Booking(), receipt=last) as journal:
        keys = [entry.key for entry in journal.entries()]
        assert keys == ["open", "k1", "k2", "k3", "k4", "k5", "k6", "k7"][: len(keys)]
        assert len(keys) in {*range(5), 8}
        open_accounts(journal)
        done = [journal.execute(*request(n, 1500)) for n in range(1, 8)]
        assert [each.receipt for each in done][: max(len(receipts) - 1, 0)] == receipts[1:]
        hashed = journal.state_hash()
    found = verify(path, done[-1].receipt, Booking())
    assert (found.is_intact, found.state_hash) == (True, hashed)


def test_a_full_database_stops_and_goes_on(tmp_path: Path) -> None:
    """With room for 1, 2, 3, ... pages every failure is a clear error, until all commands pass."""
    errors = []
    for limit in range(1, 100):
        path = tmp_path / f"j{limit}"
        receipts, error = write_some(str(path), limit)
        check_after_full_disk(path, receipts, error)
        errors.append(error)
        if not error:
            break

    assert len(errors) > 4
    assert not errors[-1]
    assert all("full" in error for error in errors[:-1])


def test_a_file_that_may_not_grow_stops_and_goes_on(tmp_path: Path) -> None:
    """The same with a growing limit on the size of a file, which fails writes in the middle."""
    process = writer("limit", tmp_path)
    said = [json.loads(line) for line in process.communicate()[0].splitlines()]

    assert process.returncode == 0
    assert len(said) > 8
    assert [bool(line["error"]) for line in said] == [True] * (len(said) - 1) + [False]
    for line in said:
        receipts = [Receipt.parse(text) for text in line["receipts"]]
        check_after_full_disk(Path(line["path"]), receipts, line["error"])


def test_a_failed_write_stops_the_journal(tmp_path: Path) -> None:
    """After a failed write the state is the last acknowledged one, and nothing more is accepted."""
    path = tmp_path / "journal.db"
    journal = Journal.open(path, Booking(), page_limit=8)
    open_accounts(journal)
    before = journal.head, journal.state_hash()

    with pytest.raises(StateError, match="nothing was acknowledged"):
        journal.execute(*request(1, 100_000))
    assert (journal.head, journal.state_hash()) == before
    with pytest.raises(StateError, match="disk failed"):
        journal.execute(*request(1))
    journal.close()
    with Journal.open(path, Booking(), receipt=before[0]) as again:
        assert again.execute(*request(1)).receipt.sequence == 2


def small_journal(folder: Path) -> tuple[Path, Receipt, str]:
    """Files as a killed writer leaves them: a main file, and a log with newer entries."""
    path, copy = folder / "live.db", folder / "copy"
    copy.mkdir()
    with Journal.open(path, Booking()) as journal:
        open_accounts(journal)
        journal.execute_many([request(n, 300) for n in range(1, IN_MAIN)])
        journal.snapshot()
    with Journal.open(path, Booking()) as journal:
        for number in range(IN_MAIN, IN_MAIN + 4):
            journal.execute(*request(number, 300))
        for name in ("live.db", "live.db-wal"):
            shutil.copy(folder / name, copy / name)
        return copy / "live.db", journal.head, journal.state_hash()


def outcome(path: Path, receipt: Receipt) -> tuple[str | None, str | None]:
    """The state hash that verifying and that opening give; None where damage was found."""
    found = verify(path, receipt, Booking())
    verified = found.state_hash if found.is_intact else None
    try:
        with Journal.open(path, Booking(), receipt=receipt) as journal:
            return verified, journal.state_hash()
    except AdlError:
        return verified, None


@pytest.mark.parametrize("name", ["live.db", "live.db-wal"])
def test_a_flipped_byte_is_detected_or_harmless(tmp_path: Path, name: str) -> None:
    """A flipped byte in the main file or the log is found, or the state is the same."""
    path, receipt, state_hash = small_journal(tmp_path)
    whole = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    assert outcome(path, receipt) == (state_hash, state_hash)
    random, detected = Random(11), 0
    header = random.sample(range(100), 20)
    for at in header + random.sample(range(len(whole[name])), FLIPS):
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        damaged = bytearray(whole[name])
        damaged[at] ^= 1 << random.randrange(8)
        for each, data in {**whole, name: bytes(damaged)}.items():
            (path.parent / each).write_bytes(data)
        hashes = outcome(path, receipt)
        detected += None in hashes
        assert set(hashes) <= {None, state_hash}, at

    assert detected > FLIPS // 4


def test_a_cut_log_is_found_by_the_receipt(tmp_path: Path) -> None:
    """A log cut anywhere leaves a sound shorter journal, or is the same; the receipt tells."""
    path, receipt, state_hash = small_journal(tmp_path)
    log = path.with_name("live.db-wal")
    whole, main = log.read_bytes(), path.read_bytes()
    lost = 0
    for size in range(0, len(whole), 1031):
        for each in path.parent.iterdir():
            each.unlink()
        path.write_bytes(main)
        log.write_bytes(whole[:size])
        found = verify(path, receipt, Booking())
        without = verify(path, applier=Booking())
        assert without.is_intact
        assert IN_MAIN <= without.head.sequence <= receipt.sequence
        assert found.is_intact == (without.state_hash == state_hash)
        assert found.first_bad == (None if found.is_intact else without.head.sequence + 1)
        lost += not found.is_intact

    assert lost > 4


def test_a_pause_is_inside_the_transaction(tmp_path: Path) -> None:
    """The writer that is killed pauses where a transaction with rows is open; none is durable."""
    path = tmp_path / "journal.db"
    process = writer("run", path, 1, 4, FILLER, ROUNDS)
    assert process.stdout is not None
    said = [json.loads(process.stdout.readline()) for _ in range(2)]
    with closing(sqlite3.connect(path, timeout=0)) as other:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        (rows,) = other.execute("SELECT count(*) FROM entries").fetchone()
    end(process)

    assert [line["at"] for line in said] == ["done", "inside"]
    assert (rows, Pausing(4).pause_at) == (2, 4)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0


LEFT = {
    "closed": ("",),
    "left by a crash": ("", "-wal", "-shm"),
    "its log alone": ("", "-wal"),
}


def listing(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes; what readers share beside a log is theirs."""
    return {f.name: b"" if f.name.endswith("-shm") else f.read_bytes() for f in folder.iterdir()}


@pytest.mark.parametrize("left", LEFT)
def test_verifying_leaves_nothing_behind(tmp_path: Path, left: str) -> None:
    """Every entry is seen, also those in the log, and no file comes, goes or changes."""
    source, there = tmp_path / "journal.db", tmp_path / "there"
    there.mkdir()
    with Journal.open(source, Booking()) as journal:
        open_accounts(journal)
        last = journal.execute(*request(1)).receipt
        for end in LEFT[left][1:]:
            shutil.copyfile(f"{source}{end}", there / f"journal.db{end}")
        if len(LEFT[left]) > 1:
            shutil.copyfile(source, there / "journal.db")
    if len(LEFT[left]) == 1:
        shutil.copyfile(source, there / "journal.db")
    before = listing(there)
    there.chmod(0o555)
    try:
        found = verify(there / "journal.db", last, Booking())
    finally:
        there.chmod(0o755)

    assert found.is_intact, found.findings
    assert found.head == last
    assert listing(there) == before


def test_verifying_beside_a_writer_leaves_it_alone(tmp_path: Path) -> None:
    """One moment of an open journal is read, and the writer goes on."""
    path = tmp_path / "journal.db"
    with Journal.open(path, Booking()) as journal:
        first = open_accounts(journal).receipt
        before = listing(tmp_path)
        assert verify(path, first, Booking()).head == first
        assert listing(tmp_path) == before
        journal.execute(*request(1))
    assert verify(path).head.sequence == 2


def test_a_writer_that_comes_while_a_closed_file_is_read_is_named(tmp_path: Path) -> None:
    """Nobody watches a closed file while it is read; that it was written to is a finding."""
    path = tmp_path / "journal.db"
    with Journal.open(path, Booking()) as journal:
        open_accounts(journal)

    class Meanwhile(Booking):
        """Somebody writes to the file while it is verified."""

        def apply(self, state: Ledger, command: Command) -> tuple[Ledger, Value]:
            """Apply, and let a whole writer come and go."""
            if command.sequence == 1:
                with Journal.open(path, Booking()) as journal:
                    journal.execute(*request(1))
            return super().apply(state, command)

    found = verify(path, applier=Meanwhile())
    assert "got a writer; verify it again" in found.findings[-1].detail
    assert not found.is_intact
    assert verify(path, applier=Booking()).is_intact
