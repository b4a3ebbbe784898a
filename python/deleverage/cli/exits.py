"""How a command ends: one exit code, and for a failure one message on standard error."""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum

from typer import Abort, TyperException

from deleverage.errors import AdlError, InputError, InvariantError, VenueError

__all__ = ["TRACEBACK_VARIABLE", "ExitCode", "OutputError", "ReaderWentAway", "guarded", "say"]

TRACEBACK_VARIABLE = "DELEVERAGE_TRACEBACK"
"""Set to 1 to see where an unexpected failure happened."""


class ExitCode(IntEnum):
    """The exit codes of every command; the last two are the shell's for a signal."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    INVARIANT_BROKE = 3
    NOT_COVERED = 4
    INTERRUPTED = 130
    READER_WENT_AWAY = 141


class OutputError(AdlError):
    """The result is ready, and writing it failed."""


class ReaderWentAway(AdlError):  # noqa: N818 - nothing went wrong on our side
    """Whoever read the data closed the pipe. No OSError: Typer would end the process on that."""


def say(message: str) -> None:
    """Print words, never data, to standard error.

    Args:
        message: one line or several.
    """
    if sys.stderr is not None:  # a process may be started without one
        with suppress(OSError):
            sys.stderr.write(f"{message}\n")


def guarded(command: Callable[[], int]) -> int:
    """Run a command and turn whatever it raises into an exit code and one message.

    Args:
        command: does the work and returns its exit code.

    Returns:
        The exit code of the process.
    """
    try:
        code = command()
        if sys.stdout is not None:
            sys.stdout.flush()
    except (BrokenPipeError, ReaderWentAway):
        return _reader_went_away()
    except (KeyboardInterrupt, Abort):
        say("deleverage: interrupted")
        return ExitCode.INTERRUPTED
    except OSError as error:
        # Writing raises OutputError; what names a file and is left is a file that cannot be read.
        return _failed(error, ExitCode.BAD_INPUT if error.filename else ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001 - the last line of defence: nobody sees a traceback
        return _failed(error, _code_of(error))
    except SystemExit as error:  # Typer's answer to a pipe that closes while it prints help
        return _reader_went_away() if error.code == 1 else int(error.code or 0)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return _failed(error, ExitCode.FAILED)
    if code == ExitCode.INTERRUPTED:
        say("deleverage: interrupted")
    return code


def _code_of(error: Exception) -> ExitCode:
    """The code that the contract gives this error."""
    if isinstance(error, InvariantError):
        return ExitCode.INVARIANT_BROKE
    if isinstance(error, InputError | VenueError):
        return ExitCode.BAD_INPUT
    if isinstance(error, TyperException):
        return ExitCode.BAD_INPUT if error.exit_code == ExitCode.BAD_INPUT else ExitCode.FAILED
    return ExitCode.FAILED


def _failed(error: BaseException, code: ExitCode) -> ExitCode:
    """Say what failed in one message."""
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        traceback.print_exc()
    _discard_output()
    say(f"deleverage: {_message(error)}")
    return code


def _message(error: BaseException) -> str:
    """What to tell the user about an error."""
    if isinstance(error, TyperException):
        return error.format_message() or "run `deleverage --help` for the commands"
    if isinstance(error, AdlError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    if isinstance(error, MemoryError):
        return "not enough memory"
    first = (str(error).splitlines() or [""])[0]
    return (
        f"{type(error).__name__}: {first} (a defect, please report it; "
        f"{TRACEBACK_VARIABLE}=1 shows where)"
    )


def _reader_went_away() -> ExitCode:
    """A closed pipe is no failure of ours: end quietly."""
    _discard_output()
    return ExitCode.READER_WENT_AWAY


def _discard_output() -> None:
    """Let the interpreter's last flush of standard output not fail again."""
    try:
        sys.stdout.flush()
    except AttributeError:
        return
    except (OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError):
            os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
