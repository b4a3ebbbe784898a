"""The body of a command, read strictly: a missing or wrong value is one clear error."""

from collections.abc import Mapping
from typing import NamedTuple

from deleverage.errors import InputError
from deleverage.ledger import Value
from deleverage.model.refusals import nearest_name, plain

__all__ = ["Body"]


class Body(NamedTuple):
    """A command's table of values.

    Attributes:
        what: what it is the body of, for messages.
        value: the table.
    """

    what: str
    value: Value

    def has(self, name: str) -> bool:
        """Tell whether a value is there and not null."""
        return self._table.get(name) is not None

    def only(self, *names: str) -> None:
        """Refuse a value of any other name.

        Raises:
            InputError: names it, and the nearest.
        """
        for name in self._table:
            if name not in names:
                hint = nearest_name(name, names)
                raise InputError(
                    f"{self.what}: expected only {', '.join(names)}, got {name!r}{hint}"
                )

    def text(self, name: str) -> str:
        """Give a text.

        Raises:
            InputError: there is none, or it is empty.
        """
        value = self._table.get(name)
        if not isinstance(value, str) or not value:
            raise self._refuse(name, "a text")
        return value

    def whole(self, name: str) -> int:
        """Give a whole number.

        Raises:
            InputError: there is none.
        """
        value = self._table.get(name)
        if type(value) is not int:
            raise self._refuse(name, "a whole number")
        return value

    def at_least(self, name: str, *, least: int) -> int:
        """Give a whole number that is not below a limit.

        Raises:
            InputError: there is none, or it is smaller.
        """
        value = self.whole(name)
        if value < least:
            raise self._refuse(name, f"a whole number of at least {least}")
        return value

    def table(self, name: str) -> Mapping[str, Value]:
        """Give a table; a missing one is empty.

        Raises:
            InputError: it is something else.
        """
        value = self._table.get(name, {})
        if not isinstance(value, dict):
            raise self._refuse(name, "a table")
        return value

    def items(self, name: str) -> list[Value]:
        """Give a list; a missing one is empty.

        Raises:
            InputError: it is something else.
        """
        value = self._table.get(name, [])
        if not isinstance(value, list):
            raise self._refuse(name, "a list")
        return value

    @property
    def _table(self) -> dict[str, Value]:
        if not isinstance(self.value, dict):
            raise InputError(f"{self.what}: expected a table, got {plain(self.value)}")
        return self.value

    def _refuse(self, name: str, wanted: str) -> InputError:
        return InputError(f"{self.what}, {name}: expected {wanted}, got {self._table.get(name)!r}")
