"""The digest of a snapshot: a SHA-256 tree over blocks of id-sorted rows.

A leaf is the hash of up to 4096 rows, column after column; a node is the hash of its two children,
and an odd child moves up alone. Leaves and nodes begin with different bytes, so that no row can
pose as a node. Row order, threads and the number of markets' rows never matter.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK_ROWS", "leaves", "root", "text_digest"]

BLOCK_ROWS = 4096
_LEAF, _NODE, _TEXT = b"\x00", b"\x01", b"\x02"
_THREADS = 4


def text_digest(parts: Iterable[str]) -> bytes:
    """Hash several texts, each with its length before it."""
    digest = sha256(_TEXT)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.digest()


def leaves(
    columns: Mapping[str, NDArray[Any]],
    texts: Sequence[Callable[[int, int], Sequence[str]]] = (),
) -> list[bytes]:
    """Hash every block of rows.

    Args:
        columns: (n,) arrays in id order, of fixed little-endian types; the names are hashed too.
        texts: for columns of text, what gives rows start to stop.

    Returns:
        One hash a block.
    """
    names = sorted(columns)
    count = len(columns[names[0]]) if names else 0
    head = text_digest([*names, *(columns[name].dtype.str for name in names)])

    def leaf(start: int) -> bytes:
        stop = min(start + BLOCK_ROWS, count)
        digest = sha256(_LEAF + head)
        for name in names:
            digest.update(np.ascontiguousarray(columns[name][start:stop]).data)
        for text in texts:
            digest.update(text_digest(text(start, stop)))
        return digest.digest()

    starts = range(0, count, BLOCK_ROWS)
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(leaf, starts, chunksize=16))


def root(hashes: Sequence[bytes]) -> bytes:
    """Give the root of the tree over some leaves; of none, the hash of nothing."""
    level = list(hashes)
    if not level:
        return sha256(_NODE).digest()
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        level = [sha256(_NODE + left + right).digest() for left, right in pairs] + odd
    return level[0]
