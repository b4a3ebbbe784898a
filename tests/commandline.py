"""Calling the command line from a test, and the small book that it is called with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deleverage.cli import main

__all__ = ["MARKS", "POSITIONS", "Done", "book", "call"]

POSITIONS = """\
position_id,account,market,side,qty,entry_price,margin
1,ann,BTC-PERP,short,2.5,66000,1500
2,bob,BTC-PERP,short,1.0,64000,6400
3,cat,BTC-PERP,short,4.0,62000,24800
4,dan,BTC-PERP,long,3.0,61000,9150
5,eve,ETH-PERP,short,10,3000,3000
6,fay,BTC-PERP,short,1.5,58000,8700
"""
MARKS = "market,mark_price\nBTC-PERP,60000\nETH-PERP,2500\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended.

    Attributes:
        code: exit code.
        out: standard output.
        err: standard error.
    """

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode()

    @property
    def json(self) -> Any:
        """Standard output as JSON; it must hold nothing else."""
        return json.loads(self.out)


def call(capture: pytest.CaptureFixture[bytes], *words: str | Path) -> Done:
    """Run a command in this process.

    Args:
        capture: pytest's `capsysbinary`.
        words: after the program's name.

    Returns:
        How it ended; a traceback on standard error fails the test.
    """
    capture.readouterr()
    code = main([str(word) for word in words])
    out, err = capture.readouterr()
    done = Done(code=code, out=out, err=err.decode())
    assert "Traceback" not in done.err
    return done


def book(folder: Path, *, positions: str = POSITIONS, marks: str = MARKS) -> Sequence[Path | str]:
    """Write a small book.

    Args:
        folder: where.
        positions: CSV text.
        marks: CSV text.

    Returns:
        The words that name it: the positions, --marks and the marks.
    """
    (folder / "positions.csv").write_text(positions)
    (folder / "marks.csv").write_text(marks)
    return (folder / "positions.csv", "--marks", folder / "marks.csv")
