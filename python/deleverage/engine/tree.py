"""A hash tree that is kept up to date: what changes is hashed again, and nothing else.

A leaf is the SHA-256 of 32 rows, a node that of 32 children. Leaves and nodes begin with different
bytes, so that no row can pose as a node; what is missing at the end counts as zeros, and the number
of rows belongs to what is hashed beside the root.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from deleverage.engine.arrays import Changes

__all__ = ["BLOCK", "Leaves", "dirty", "grow", "is_true", "root"]

BLOCK = 32
"""Rows of a leaf, and children of a node."""
_HASH = 32
_LEAF, _NODE = b"\x00", b"\x01"
_STRIDE = 4096
_NONE: "Int64" = np.empty(0, np.int64)

Hashes: TypeAlias = NDArray[np.uint8]
Int64: TypeAlias = NDArray[np.int64]
Leaves: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Gives the bytes of some blocks, (blocks, bytes) uint8; rows beyond the last are zeros."""


def grow(prefix: str, rows: int, read: Leaves) -> dict[str, Hashes]:
    """Hash everything.

    Args:
        prefix: of the names of the levels.
        rows: how many there are.
        read: gives the bytes of blocks.

    Returns:
        The levels by name, (nodes, 32) uint8 each; the last has one node.
    """
    blocks = max(-(-rows // BLOCK), 1)
    starts = range(0, blocks, _STRIDE)
    spans = (np.arange(start, min(start + _STRIDE, blocks)) for start in starts)
    level = np.concatenate([_hashed(_LEAF, read(span)) for span in spans])
    levels = [level]
    while len(levels[-1]) > 1:
        count = -(-len(levels[-1]) // BLOCK)
        levels.append(_hashed(_NODE, _children(levels[-1], np.arange(count))))
    return {f"{prefix}{number}": level for number, level in enumerate(levels)}


def dirty(
    prefix: str, levels: Mapping[str, Hashes], rows: NDArray[np.int64], read: Leaves
) -> Changes:
    """Hash again what some rows are in.

    Args:
        prefix: of the names of the levels.
        levels: as they are, among other arrays.
        rows: that changed.
        read: gives the bytes of blocks as they are now.

    Returns:
        The changed nodes of every level.
    """
    nodes = np.unique(rows // BLOCK)
    found = _hashed(_LEAF, read(nodes))
    changes: dict[str, tuple[NDArray[np.int64], Hashes]] = {}
    number = 0
    while True:
        changes[f"{prefix}{number}"] = (nodes, found)
        level = levels[f"{prefix}{number}"]
        if len(level) == 1:
            return changes
        parents = np.unique(nodes // BLOCK)
        children = _children(level, parents)
        place = np.searchsorted(parents, nodes // BLOCK)
        children.reshape(len(parents), BLOCK, _HASH)[place, nodes % BLOCK] = found
        nodes, found, number = parents, _hashed(_NODE, children), number + 1


def is_true(
    prefix: str, levels: Mapping[str, Hashes], written: Changes, leaves: Int64, read: Leaves
) -> bool:
    """Tell whether the tree is right wherever it, or what is below it, was written.

    Where nothing was written it is as right as it was, so that checking each change and the first
    tree checks the last one.

    Args:
        prefix: of the names of the levels.
        levels: as they are, among other arrays.
        written: what was written, by the name of an array.
        leaves: (k,) int64, blocks of which a row was written.
        read: gives the bytes of blocks as they are now.
    """
    number, nodes = 0, leaves
    while (name := f"{prefix}{number}") in levels:
        level = levels[name]
        nodes = np.union1d(nodes, written[name][0] if name in written else _NONE)
        if len(nodes):
            is_leaf = number == 0
            below = read(nodes) if is_leaf else _children(levels[f"{prefix}{number - 1}"], nodes)
            if not np.array_equal(level[nodes], _hashed(_LEAF if is_leaf else _NODE, below)):
                return False
        number, nodes = number + 1, np.unique(nodes // BLOCK)
    return True


def root(prefix: str, levels: Mapping[str, Hashes]) -> bytes:
    """Give the root, 32 bytes."""
    number = 0
    while len(levels[f"{prefix}{number}"]) > 1:
        number += 1
    return bytes(levels[f"{prefix}{number}"][0])


def _children(level: Hashes, parents: NDArray[np.int64]) -> Hashes:
    """Give the hashes below some nodes, (parents, 32 x 32) uint8, zeros beyond the last."""
    wanted = parents[:, None] * BLOCK + np.arange(BLOCK)
    found = level[np.minimum(wanted, len(level) - 1)]
    found[wanted >= len(level)] = 0
    joined: Hashes = found.reshape(len(parents), BLOCK * _HASH)
    return joined


def _hashed(tag: bytes, rows: NDArray[np.uint8]) -> Hashes:
    """Hash every row of bytes."""
    view = memoryview(np.ascontiguousarray(rows).tobytes())
    width = rows.shape[1]
    digests = [sha256(tag + view[at : at + width]).digest() for at in range(0, len(view), width)]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(len(rows), _HASH).copy()
