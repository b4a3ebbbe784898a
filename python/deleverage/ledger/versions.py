"""A map that keeps its older versions: changing it gives a new map, and the old one still reads.

The newest version owns the table; an older one holds what differed and a pointer towards the
newest. A change costs what is changed, not what the map holds, and a version nobody holds is freed.
Reading an old version turns the pointers round first (Baker, "Shallow binding makes functional
arrays fast", 1991). One thread at a time may use the versions of one map.
"""

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Generic, TypeVar, cast

__all__ = ["VersionedMap"]

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class _Version(Generic[Key, Item]):
    """One version: the newest has the table, the others a step towards it."""

    __slots__ = ("newer", "table", "undo")

    def __init__(self, table: dict[Key, Item]) -> None:
        self.table = table
        self.newer: _Version[Key, Item] | None = None
        self.undo: Mapping[Key, Item | None] = {}

    def point(self, newer: "_Version[Key, Item]", changes: Collection[Key]) -> None:
        """Hand the table to another version, and keep what these keys hold here."""
        get = self.table.get
        self.undo = dict(zip(changes, map(get, changes), strict=True))
        self.newer, self.table = newer, {}

    def own(self) -> dict[Key, Item]:
        """Bring the table here: undo what newer versions did, and point them this way."""
        if self.newer is None:
            return self.table
        chain = [self]
        while (newer := chain[-1].newer) is not None:
            chain.append(newer)
        while len(chain) > 1:
            holder, older = chain.pop(), chain[-1]
            table, undo = holder.table, older.undo
            holder.point(older, undo)
            _write(table, undo)
            older.newer, older.undo, older.table = None, {}, table
        return self.table


class VersionedMap(Generic[Key, Item]):
    """A map from keys to items that are not None, with cheap new versions.

    Args:
        items: the first version's content; copied.
    """

    __slots__ = ("_version",)

    def __init__(self, items: Mapping[Key, Item] | None = None) -> None:
        self._version = _Version(dict(items or {}))

    def __len__(self) -> int:
        return len(self._version.own())

    def __contains__(self, key: object) -> bool:
        return key in self._version.own()

    def __iter__(self) -> Iterator[Key]:
        return iter(tuple(self._version.own()))

    def get(self, key: Key) -> Item | None:
        """The item of a key, or None."""
        return self._version.own().get(key)

    def read(self) -> dict[Key, Item]:
        """The table of this version, until another version is used.

        Who writes to it must say at once with `changed` what the keys held before.
        """
        return self._version.own()

    def changed(self, undo: Mapping[Key, Item | None]) -> "VersionedMap[Key, Item]":
        """Make the next version of what was written to the table that `read` gave.

        Args:
            undo: what the keys that were written held before; None for nothing.

        Returns:
            The new version; this one reads as before it was written to.
        """
        newer: VersionedMap[Key, Item] = VersionedMap.__new__(VersionedMap)
        old = self._version
        newer._version = _Version(old.table)
        old.newer, old.table, old.undo = newer._version, {}, undo
        return newer

    def items(self) -> tuple[tuple[Key, Item], ...]:
        """Every key with its item, in no promised order; a copy."""
        return tuple(self._version.own().items())

    def put(self, changes: Mapping[Key, Item | None]) -> "VersionedMap[Key, Item]":
        """Make the next version.

        Args:
            changes: new items by key; None takes a key out.

        Returns:
            The new version; this one still reads as before.
        """
        table = self._version.own()
        undo = dict(zip(changes, map(table.get, changes), strict=True))
        _write(table, changes)
        return self.changed(undo)


def _write(table: dict[Key, Item], changes: Mapping[Key, Item | None]) -> None:
    if None not in changes.values():
        table.update(cast("Mapping[Key, Item]", changes))
        return
    for key, item in changes.items():
        if item is None:
            table.pop(key, None)
        else:
            table[key] = item
