"""Arrays that keep their older versions: changing rows gives a new version, the old still reads.

The newest version owns the arrays; an older one holds the rows that differed and a pointer towards
the newest, as in `ledger.versions`. A change costs the rows that are changed, not the arrays. One
thread at a time may use the versions of one set, and what `read` gives is true until another
version is read or made.
"""

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deleverage.errors import InvariantError

__all__ = ["Changes", "VersionedArrays"]

Array: TypeAlias = NDArray[Any]
Changes: TypeAlias = Mapping[str, tuple[NDArray[np.int64], Array]]
"""By the name of an array: distinct rows, and what they hold from now on."""


class _Version:
    """One version: the newest has the arrays, the others a step towards it."""

    __slots__ = ("arrays", "newer", "undo")

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays
        self.newer: _Version | None = None
        self.undo: Changes = {}

    def own(self) -> dict[str, Array]:
        """Bring the arrays here: undo what newer versions did, and point them this way."""
        if self.newer is None:
            return self.arrays
        chain = [self]
        while (newer := chain[-1].newer) is not None:
            chain.append(newer)
        while len(chain) > 1:
            holder, older = chain.pop(), chain[-1]
            undo = older.undo
            older.arrays, older.newer, older.undo = holder.arrays, None, {}
            holder.arrays, holder.newer, holder.undo = {}, older, _write(older.arrays, undo)
        return self.arrays


class VersionedArrays:
    """Named arrays with cheap new versions.

    Args:
        arrays: the first version's content; it belongs to this object from now on.
    """

    __slots__ = ("_version",)

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._version = _Version(dict(arrays))

    def read(self) -> Mapping[str, Array]:
        """The arrays of this version, until another version is read; they must not be written."""
        return self._version.own()

    def put(self, changes: Changes) -> "VersionedArrays":
        """Make the next version.

        Args:
            changes: distinct rows of some arrays, and their new values.

        Returns:
            The new version; this one still reads as before.
        """
        arrays = self._version.own()
        newer = VersionedArrays({})
        newer._version.arrays = arrays
        undo = _write(arrays, changes)
        self._version.arrays, self._version.newer, self._version.undo = {}, newer._version, undo
        return newer

    def written_since(
        self, older: "VersionedArrays", names: Collection[str] | None = None
    ) -> Changes:
        """Give what was written between another version and this one, whichever came first.

        Args:
            older: another version of these arrays.
            names: of the arrays that are asked about, all if not given.

        Returns:
            By the name of an array: the rows that were written, rising, and what the other
            version has there.

        Raises:
            InvariantError: it is a version of other arrays.
        """
        self._version.own()
        steps, step = [], older._version  # noqa: SLF001 - its own kind
        while step is not self._version:
            steps.append(step.undo)
            if step.newer is None:
                raise InvariantError("arrays: expected an older version of these, got others")
            step = step.newer
        found = {}
        for name in sorted({name for undo in steps for name in undo}):
            if names is not None and name not in names:
                continue
            parts = [undo[name] for undo in steps if name in undo]
            rows, first = np.unique(np.concatenate([r for r, _ in parts]), return_index=True)
            found[name] = (rows, np.concatenate([held for _, held in parts])[first])
        return found


def _write(arrays: Mapping[str, Array], changes: Changes) -> Changes:
    """Write rows, and give what they held before."""
    undo = {}
    for name, (rows, values) in changes.items():
        array = arrays[name]
        undo[name] = (rows, array[rows])
        array[rows] = values
    return undo
