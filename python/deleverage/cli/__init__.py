"""The command line: what `deleverage` does with the words behind it.

Commands: `rank`, `plan`, `check`, `paper`, `generate`, `replay`, `simulate`, `compare`, `report`,
`venues`, `demo`, `run`, `verify`, `bench`, `import`.

Data goes to standard output, words and progress to standard error. Exit codes: 0 done, 1 failed,
2 usage or bad input, 3 an invariant broke, 4 not fully covered; 130 interrupted, 141 the reader
of the output went away.
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]

_NEEDED = ("typer", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: words after the program's name; default those of the process.

    Returns:
        The exit code.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"deleverage: the command line needs {' and '.join(missing)}, "
            "which this installation lacks; install it with: pip install 'deleverage[cli]'\n"
        )
        return 1
    try:
        from deleverage.cli.app import run  # noqa: PLC0415 - only once what it needs is there

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return 130
