"""A kept book over thousands of rebuilds: what it holds does not grow."""

import sys
from subprocess import run

import numpy as np

from deleverage.lab.bench_ticks import kept_book
from deleverage.lab.books import generate

CHURN = """
import resource, sys
import numpy as np
from deleverage.book import Book
from deleverage.lab.books import generate
from deleverage.model.rules import Basis, Factor, Loss, ScoreRule

RULE = ScoreRule(basis=Basis.ENTRY_VALUE, factor=Factor.BANKRUPTCY_DISTANCE, loss=Loss.DIVIDE)
drawn = generate(20_000, seed=1)
names = ("lots", "entry_value", "margin", "position_id")
columns = {name: getattr(drawn, name) for name in names}
mark, den = int(drawn.mark_num[0]), drawn.mark_den
lots = drawn.open_interest(1) // 50
book = Book.from_arrays(columns, [(mark, den, False)], rule=RULE)
some = {name: column[:500] for name, column in columns.items()}

def churn(times):
    for turn in range(times):
        book.set_rates({0: (mark + mark * (turn % 7 - 3) // 20, den, False)})
        book.select(0, side="long", lots=lots, is_ordered=turn % 2 == 0)
        if turn % 5 == 0:
            book.upsert(some)
            book.remove(some["position_id"])
            book.upsert(some)
            book.lights()
            book.snapshot()

churn(200)
passes, before = book.passes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
churn(2000)
print(book.passes - passes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_rebuilds_and_changes_leak_nothing() -> None:
    """Two thousand ticks out of the band, changes and copies raise the peak by nothing to name."""
    done = run([sys.executable, "-c", CHURN], check=True, capture_output=True, text=True)
    passes, kilobytes = map(int, done.stdout.split())

    # A kept head is some 200 kB here: to lose each would be more than 200 MB.
    assert passes > 1000
    assert kilobytes < 8_000


def test_a_head_that_is_cut_again_and_again_is_found_in_one_pass() -> None:
    """What is cut leaves the head, and the next head is among the rows that were kept."""
    drawn = generate(20_000, seed=1)
    book = kept_book(drawn)
    cut: list[int] = []
    for _ in range(40):
        head = book.select(0, side="long", lots=drawn.open_interest(1) // 2000)
        assert head.is_kept
        cut += head.position_id.tolist()
        book.remove(head.position_id)

    assert len(set(cut)) == len(cut) > 40
    assert book.passes == 1


def test_a_band_is_never_so_wide_that_it_bounds_nothing() -> None:
    """Steps of ten basis points widen a band; no tick has to pass over the side in vain."""
    drawn = generate(80_000, seed=5)
    book = kept_book(drawn)
    lots = drawn.open_interest(1) // 500
    steps = np.random.default_rng(1).normal(0, 1e-3, 300)
    marks = (drawn.mark_num[0] * np.exp(np.cumsum(steps))).astype(np.int64)

    for mark in marks.tolist():
        book.set_rates({0: (mark, drawn.mark_den, False)})
        assert book.select(0, side="long", lots=lots).is_kept
