"""How commands end when something fails: one line that says what, and an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator

from agentinfra.errors import AgentInfraError

__all__ = ["INTERRUPTED", "complain", "interrupted", "outcome_of", "said"]

INTERRUPTED = 130
"""What a shell gives a program that Ctrl-C ended: 128 + SIGINT."""


def outcome_of(command: Callable[[], int], *, debug: bool) -> int:
    """Run a command and return its exit status.

    Failures of ours and of the system become a line on standard error; anything else is a defect
    and shows its traceback.

    Args:
        command: The command.
        debug: Show the traceback of every failure.
    """
    try:
        return command()
    except BrokenPipeError:
        # Who read our output has left; the interpreter must not fail at flushing the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        interrupted()
        return INTERRUPTED
    except (AgentInfraError, OSError, ExceptionGroup) as error:
        if debug:
            traceback.print_exc()
            return 1
        leaves = list(_leaves(error))
        if not all(isinstance(leaf, AgentInfraError | OSError) for leaf in leaves):
            raise
        complain("; ".join(dict.fromkeys(map(said, leaves))))
        return 1


def complain(line: str) -> None:
    """Write a line about the program itself to standard error."""
    print(f"agentinfra: {line}", file=sys.stderr)


def interrupted() -> None:
    """Say that the program was interrupted, below the ``^C`` that a terminal shows."""
    if sys.stderr.isatty():
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
