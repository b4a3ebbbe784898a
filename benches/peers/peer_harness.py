"""The mains of the peers: draw the book, ask the question, print times and a hash of the ids."""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from peer_scores import RULES, Columns, Ids, Question

from deleverage.lab.books import Book, generate


def columns_of(book: Book) -> Columns:
    """Return a book as the mapping of columns and tables that the peers take."""
    names = ("position_id", "market", "lots", "entry_value", "margin", "maintenance_margin")
    columns = {name: getattr(book, name) for name in (*names, "account", "equity")}
    return columns | {"lot_value": book.mark_num / book.mark_den}


def question_of(book: Book, *, rule: str, side: int, share: float) -> Question:
    """Ask for a share of the side's open interest in a book of one market."""
    return Question(
        rule=rule,
        mark_num=int(book.mark_num[0]),
        mark_den=book.mark_den,
        side=side,
        lots=max(int(book.open_interest(side) * share), 1),
    )


def digest(values: npt.NDArray[Any]) -> str:
    """Return a short hash of whole numbers in the order given."""
    return hashlib.sha256(values.astype("<u8").tobytes()).hexdigest()[:16]


def main(prepare: Callable[[Columns, str], Any], select: Callable[[Any, Question], Ids]) -> None:
    """Run a `select` peer from the command line and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Select the head of one side's queue.")
    parser.add_argument("--rule", choices=RULES, default="bitmex")
    parser.add_argument("--side", type=int, choices=(1, -1), default=-1)
    parser.add_argument("--share", type=float, default=0.001)
    given = _parse(parser)
    book = generate(given.positions, seed=given.seed)
    question = question_of(book, rule=given.rule, side=given.side, share=given.share)
    state = prepare(columns_of(book), given.rule)
    ids, milliseconds = _timed(lambda: select(state, question), given.rounds)
    _print(given, selected=len(ids), milliseconds=milliseconds, ids=digest(np.sort(ids)))


def main_book(prepare: Callable[[Columns], Any], run: Callable[[Any], npt.NDArray[Any]]) -> None:
    """Run a peer over a whole book from the command line and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Rank or light every position of a book.")
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--ungrouped", action="store_true")
    given = _parse(parser)
    book = generate(given.positions, seed=given.seed, markets=given.markets)
    state = prepare(columns_of(book.shuffled() if given.ungrouped else book))
    result, milliseconds = _timed(lambda: run(state), given.rounds)
    _print(given, milliseconds=milliseconds, result=digest(result))


def _parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument("--positions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _timed(
    run: Callable[[], npt.NDArray[Any]], rounds: int
) -> tuple[npt.NDArray[Any], list[float]]:
    result = run()  # not counted: engines start their threads here
    milliseconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = run()
        milliseconds.append(round((time.perf_counter() - start) * 1e3, 3))
    return result, sorted(milliseconds)


def _print(given: argparse.Namespace, **measured: object) -> None:
    print(json.dumps(vars(given) | measured))
