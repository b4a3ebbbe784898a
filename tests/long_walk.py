"""Random operations on a kept book beside its twin: `python -m long_walk`, from this folder.

WALK_OPERATIONS says how many (default 20,000), WALK_SEED where the episodes' seeds begin. An
episode is one book under one random rule; what it did is counted, and every answer that differs
from the stateless one is printed with the seed that repeats it.
"""

import os
import sys
from collections import Counter
from dataclasses import dataclass, field

from walks import Walk

__all__ = ["EPISODE", "Tally", "walk"]

EPISODE = 80
"""Operations of one episode, questions included."""

_ROWS = (1, 5, 40, 120)
_MANY_MARKETS = 50
_EVERY = 1000


@dataclass(slots=True)
class Tally:
    """What a run did.

    Attributes:
        operations: ticks, changes and questions.
        did: how many of each.
        kept: heads that came from rows at hand.
        differing: seeds of the episodes in which an answer differed, and how.
    """

    operations: int = 0
    did: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    differing: dict[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        did = ", ".join(f"{verb} {count:,}" for verb, count in sorted(self.did.items()))
        return (
            f"{self.operations:,} operations ({did}), {self.kept:,} heads from rows at hand, "
            f"{len(self.differing)} differences"
        )


def episode(seed: int, tally: Tally) -> None:
    """Run one book: marks walk and jump, rows come, change and go, and everything is asked."""
    walk = book_of(seed)
    for _ in range(EPISODE // 2):
        verb = walk.rng.integers(10)
        if verb < 6:
            tally.did["tick"] += 1
            walk.tick()
        else:
            tally.did["change"] += 1
            walk.change()
        if walk.rng.integers(8):
            tally.did["select"] += 1
            tally.kept += walk.assert_select()
        else:
            tally.did["ranks and lights"] += 1
            walk.assert_places()
        tally.operations += 2


def book_of(seed: int) -> Walk:
    """A book of 1 to 120 rows in 1 to 3 markets, or one whose accounts stand in fifty."""
    if seed % 16 == 15:
        return Walk(seed, rows=120, markets=_MANY_MARKETS, is_plain=seed % 32 == 15)
    return Walk(seed, rows=_ROWS[seed % 4], markets=1 + seed % 3, is_plain=bool(seed // 4 % 2))


def walk(operations: int, *, seed: int = 0, say: bool = False) -> Tally:
    """Run episodes until there were enough operations.

    Args:
        operations: at least so many.
        seed: of the first episode; the others follow.
        say: print what happens now and then.

    Returns:
        What was done, and what differed.
    """
    tally = Tally()
    while tally.operations < operations:
        try:
            episode(seed, tally)
        except AssertionError as difference:
            tally.differing[seed] = str(difference)
            if say:
                sys.stdout.write(f"seed {seed}: {difference}\n")
        seed += 1
        if say and seed % _EVERY == 0:
            sys.stdout.write(f"to seed {seed}: {tally}\n")
    return tally


if __name__ == "__main__":
    first = int(os.environ.get("WALK_SEED", "0"))
    done = walk(int(os.environ.get("WALK_OPERATIONS", "20000")), seed=first, say=True)
    sys.stdout.write(f"from seed {first}: {done}\n")
    sys.exit(bool(done.differing))
