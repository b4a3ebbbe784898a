"""Reading one message of a venue's interface: fields by name, exact numbers, refusals by place.

Venues write numbers as text or as JSON numbers, and where a field does not apply some write empty
text, some null, and some leave it out; all three are read as nothing.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import cast

from deleverage.errors import InputError
from deleverage.model.refusals import nearest_name, plain
from deleverage.model.scalars import exact_of

__all__ = ["Fields"]

_NS_PER_MS = 1_000_000
_TIME_LIMIT = 1 << 63


class Fields:
    """The fields of a message, or of a part of it.

    Args:
        message: a JSON object.
        place: what and where it is, for the text of an error.

    Raises:
        InputError: it is no object with names.
    """

    def __init__(self, message: object, place: str) -> None:
        if not isinstance(message, Mapping) or not all(isinstance(name, str) for name in message):
            raise InputError(f"{place}: expected an object with named fields, got {plain(message)}")
        self._fields = cast("Mapping[str, object]", message)
        self.place = place

    def given(self, name: str) -> object:
        """A field's value; None where it is absent, null or empty text."""
        value = self._fields.get(name)
        return None if value == "" else value

    def required(self, name: str) -> object:
        """A field's value.

        Raises:
            InputError: it is absent, null or empty.
        """
        value = self.given(name)
        if value is None:
            hint = nearest_name(name, set(self._fields) - {name})
            raise InputError(f"{self.place}: expected a field {name}, got none{hint}")
        return value

    def part(self, name: str) -> "Fields":
        """The fields of a field that is an object itself.

        Raises:
            InputError: it is absent or no object.
        """
        return Fields(self.required(name), f"{self.place}, {name}")

    def names(self) -> tuple[str, ...]:
        """The names of all fields."""
        return tuple(self._fields)

    def text(self, name: str) -> str:
        """A field that is text.

        Raises:
            InputError: it is absent or no text.
        """
        return self._text(name, self.required(name))

    def text_given(self, name: str) -> str | None:
        """A field that is text, where there is one.

        Raises:
            InputError: it is no text.
        """
        value = self.given(name)
        return None if value is None else self._text(name, value)

    def word(self, name: str, words: Mapping[str, str]) -> str:
        """What a field's word stands for.

        Raises:
            InputError: it is absent or none of the words.
        """
        value = self.text(name)
        if value not in words:
            known = ", ".join(words)
            raise InputError(f"{self.place}, {name}: expected one of {known}, got {plain(value)}")
        return words[value]

    def number(self, name: str) -> Fraction:
        """A field that is a number, exactly as printed.

        Raises:
            InputError: it is absent or no number.
        """
        return exact_of(self.required(name), f"{self.place}, {name}")

    def number_given(self, name: str) -> Fraction | None:
        """A field that is a number, where there is one.

        Raises:
            InputError: it is no number.
        """
        value = self.given(name)
        return None if value is None else exact_of(value, f"{self.place}, {name}")

    def time_given(self, name: str) -> int | None:
        """A time in milliseconds UTC, as nanoseconds, where there is one.

        Raises:
            InputError: it is no whole number of milliseconds within 64 bits of nanoseconds.
        """
        value = self.number_given(name)
        if value is None:
            return None
        time_ns = value * _NS_PER_MS
        if value.denominator != 1 or not 0 <= time_ns < _TIME_LIMIT:
            shown = plain(self.given(name))
            raise InputError(f"{self.place}, {name}: expected milliseconds UTC, got {shown}")
        return time_ns.numerator

    def _text(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            raise InputError(f"{self.place}, {name}: expected text, got {plain(value)}")
        return value
