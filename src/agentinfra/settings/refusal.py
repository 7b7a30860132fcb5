"""What is said of values that cannot be used: where they stand and what to do, never the value."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from agentinfra.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["Fault", "RefusedError", "faults_of", "hint"]

_TOLD = 3


class Fault(NamedTuple):
    """One value that cannot be used: where it stands, and a sentence on it."""

    path: tuple[str, ...]
    sentence: str


class RefusedError(ConfigurationError, ValueError):
    """A group of settings cannot be made of what it was given.

    A ValueError as well, so that pydantic gathers it where one group is inside of another.
    """

    def __init__(self, message: str, faults: Iterable[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)

    @classmethod
    def of(cls, group: str, faults: Iterable[Fault]) -> RefusedError:
        """Return the error for a group that was made by itself."""
        faults = tuple(faults)
        told = (f"{group}({'.'.join(path)}): {sentence}" for path, sentence in faults[:_TOLD])
        return cls("; ".join(told), faults)


def faults_of(error: ValidationError, fields: Iterable[str]) -> Iterator[Fault]:
    """Yield what pydantic refuses of a group with these fields, and of groups inside of it."""
    for found in error.errors(include_input=False, include_url=False):
        path = tuple(str(part) for part in found["loc"])
        cause = found.get("ctx", {}).get("error")
        if isinstance(cause, RefusedError):
            for fault in cause.faults:
                yield Fault((*path, *fault.path), fault.sentence)
        else:
            unknown = found["type"] == "extra_forbidden"
            yield Fault(path, _unknown(path[-1], fields) if unknown else _sentence(found["msg"]))


def hint(name: str, known: Iterable[str], shown: Callable[[str], str] = repr) -> str:
    """Return which of the known names may be meant, or all of them."""
    known = tuple(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {shown(close[0])}?)" if close else f" (there are {', '.join(known)})"


def _unknown(name: str, fields: Iterable[str]) -> str:
    return f"there is no such setting{hint(name, fields)}"


def _sentence(said: str) -> str:
    return said.removeprefix("Value error, ")
