"""Answers that are yes, no, or not known."""

from deleverage.errors import InputError
from deleverage.model.refusals import plain

__all__ = ["require_flag"]


def require_flag(value: object, name: str) -> None:
    """Refuse what is not true, false or None: a text such as "no" would count as yes.

    Raises:
        InputError: names what, and the value.
    """
    if value is not None and not isinstance(value, bool):
        raise InputError(f"{name}: expected True, False or None, got {plain(value)}")
