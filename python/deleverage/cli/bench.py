"""`deleverage bench`: this machine against the floor of reading the columns once."""

from deleverage.cli.exits import say
from deleverage.cli.options import Format
from deleverage.cli.output import Sink

__all__ = ["measure"]


def measure(
    *,
    positions: int,
    is_quick: bool,
    is_readme_written: bool,
    shape: Format | None,
    output: str,
) -> int:
    """Run the benchmark and write its figures.

    Args:
        positions: rows of the book.
        is_quick: fewer rounds.
        is_readme_written: write benches/README.md too.
        shape: `--format`; table or JSON.
        output: `-o`.

    Returns:
        The exit code.

    Raises:
        InputError: a figure that was asked for cannot be measured here.
    """
    sink = Sink.of(shape, output, allowed=(Format.TABLE, Format.JSON))
    say(f"measuring {positions} positions")
    raise NotImplementedError
