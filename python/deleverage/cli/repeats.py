"""An option that takes one value is given once: the last of several would win in silence."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from typer import TyperException

from deleverage.errors import InputError

__all__ = ["refuse_repeats"]


def refuse_repeats(command: Any, arguments: Sequence[str]) -> None:  # noqa: ANN401 - Typer's tree
    """Refuse an option that stands there twice and keeps only one value.

    Args:
        command: the program, with its commands below.
        arguments: words after the program's name.

    Raises:
        InputError: names the option.
    """
    words = list(arguments)
    while hasattr(command, "commands"):
        place = next((i for i, word in enumerate(words) if not word.startswith("-")), None)
        if place is None or words[place] not in command.commands:
            return
        command = command.commands[words[place]]
        words = words[place + 1 :]
    order: list[Any] = []
    with suppress(TyperException):  # what else is wrong is told when the command runs
        parser = command.make_parser(command.context_class(command))
        _, _, order = parser.parse_args(args=words)
    options = [one for one in order if one.param_type_name == "option" and not one.multiple]
    counts = Counter(one.name for one in options)
    for option in options:
        if counts[option.name] > 1:
            raise InputError(
                f"{option.opts[0]}: expected once, got {counts[option.name]} times; "
                "only one of the values could count"
            )
