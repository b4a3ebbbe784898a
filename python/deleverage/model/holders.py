"""Which rows an account holds: read from the column, or from an index by hash built once.

Reading ten million rows takes some 30 ms and building the index some 500: an event or two are
cheaper to read for, a loop over ticks is not.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deleverage.model.frames import Keys
from deleverage.model.quantise import Int64

__all__ = ["Holders", "scan"]

_BUCKETS = 1 << 16
# Knuth's multiplier for 64 bits: near numbers fall into far buckets.
_SPREAD = np.uint64(0x9E37_79B9_7F4A_7C15)
_SHIFT = np.uint64(48)
_NUMBERS = 1 << 64
_MOST_DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holders:
    """Rows in buckets by the hash of their account.

    Attributes:
        keys: the accounts of the position frame.
        rows: (n,) int64 row of the frame behind each kernel row, or None where they are the same.
        order: (n,) kernel rows, by bucket and rising in each.
        starts: (buckets + 1,) where each bucket starts.
    """

    keys: Keys
    rows: Int64 | None
    order: NDArray[Any]
    starts: Int64

    @classmethod
    def of(cls, keys: Keys, rows: Int64 | None) -> Self:
        """Build the index.

        Args:
            keys: the accounts of the position frame.
            rows: the frame's row of each kernel row, or None.
        """
        buckets = _buckets(keys)
        if rows is not None:
            buckets = buckets.take(rows)
        narrow = np.uint32 if len(buckets) < 1 << 32 else np.int64
        counts = np.bincount(buckets, minlength=_BUCKETS)
        return cls(
            keys=keys,
            rows=rows,
            # Of 16 bits this is a radix sort: some 10 ns a row.
            order=np.argsort(buckets, kind="stable").astype(narrow),
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )

    def find(self, account: str) -> Int64:
        """Give the kernel rows of an account, rising; none where it holds nothing.

        Args:
            account: by its own spelling: `08` is not account 8.
        """
        wanted = _key(self.keys, account)
        if wanted is None:
            return np.empty(0, np.int64)
        bucket = int(_buckets(wanted)[0])
        found: Int64 = self.order[self.starts[bucket] : self.starts[bucket + 1]].astype(np.int64)
        origin = found if self.rows is None else self.rows.take(found)
        if self.keys.numbers is not None and wanted.numbers is not None:
            is_theirs = self.keys.numbers.take(origin) == wanted.numbers[0]
        else:
            is_theirs = (self.keys.as_text().gather(origin) == account).to_numpy()
        mine: Int64 = found[is_theirs]
        return mine


def scan(keys: Keys, rows: Int64 | None, account: str) -> Int64:
    """Give the same as an index would, by reading the whole column.

    Args:
        keys: the accounts of the position frame.
        rows: the frame's row of each kernel row, or None.
        account: by its own spelling.
    """
    wanted = _key(keys, account)
    if wanted is None:
        return np.empty(0, np.int64)
    if keys.numbers is not None and wanted.numbers is not None:
        is_theirs = keys.numbers == wanted.numbers[0]
    else:
        is_theirs = (keys.as_text() == account).to_numpy()
    return np.flatnonzero(is_theirs if rows is None else is_theirs.take(rows))


def _key(keys: Keys, account: str) -> Keys | None:
    """Read an account as the frame's own are; None where it can be none of them."""
    if keys.numbers is None:
        # As a series of one, so that it is hashed as the column is.
        return Keys(texts=keys.as_text().clear().extend_constant(account, 1))
    is_short = len(account) <= _MOST_DIGITS and account.isascii() and account.isdecimal()
    if not is_short or account != str(int(account)) or int(account) >= _NUMBERS:
        return None
    return Keys(numbers=np.array([int(account)], np.uint64))


def _buckets(keys: Keys) -> NDArray[np.uint16]:
    """Give the bucket of each key."""
    hashes = keys.as_text().hash().to_numpy() if keys.numbers is None else keys.numbers * _SPREAD
    return (hashes >> _SHIFT).astype(np.uint16)
