"""How commands end when something fails: one line that says what, and an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress

from agentinfra.errors import AgentInfraError

__all__ = ["INTERRUPTED", "complain", "interrupted", "outcome_of", "said"]

INTERRUPTED = 130
"""What a shell gives a program that Ctrl-C ended: 128 + SIGINT."""


def outcome_of(command: Callable[[], int], *, debug: bool) -> int:
    """Run a command and return its exit status.

    Failures of ours and of the system become a line on standard error; anything else is a defect
    and shows its traceback. Whoever reads our output may leave: that is no failure worth a line,
    but the status tells that not everything was written.

    Args:
        command: The command.
        debug: Show the traceback of every failure.
    """
    try:
        status = command()
        if sys.stdout is not None:
            # Here, and not by the interpreter when it ends: then nobody could be told.
            sys.stdout.flush()
    except KeyboardInterrupt:
        interrupted()
        return INTERRUPTED
    except (AgentInfraError, OSError, ExceptionGroup) as error:
        leaves = list(_leaves(error))
        if any(isinstance(leaf, OSError) for leaf in leaves):
            _spare_the_output()
        if all(isinstance(leaf, BrokenPipeError) for leaf in leaves):
            return 1
        if debug:
            traceback.print_exc()
            return 1
        if not all(isinstance(leaf, AgentInfraError | OSError) for leaf in leaves):
            raise
        complain("; ".join(dict.fromkeys(map(said, leaves))))
        return 1
    return status


def _spare_the_output() -> None:
    """Throw away what cannot be written, or the interpreter fails at it once more at its end."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # a stream that is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(line: str) -> None:
    """Write a line about the program itself to standard error."""
    if sys.stderr is not None:
        with suppress(OSError):  # nobody reads it any more, and there is nobody to tell
            print(f"agentinfra: {line}", file=sys.stderr)


def interrupted() -> None:
    """Say that the program was interrupted, below the ``^C`` that a terminal shows."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(file=sys.stderr)
    complain("interrupted")


def said(error: Exception) -> str:
    """Return what an error says, on one line."""
    if isinstance(error, OSError) and error.strerror:
        about = f"{error.filename}: " if error.filename else ""
        return f"{about}{error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
