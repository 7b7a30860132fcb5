"""What is said of values that cannot be used: where they stand and what to do, never the value."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

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


def faults_of(error: ValidationError) -> Iterator[Fault]:
    """Yield what pydantic refuses; of groups in groups what those refuse."""
    for found in error.errors(include_input=False, include_url=False):
        path = tuple(str(part) for part in found["loc"])
        cause = found.get("ctx", {}).get("error")
        if isinstance(cause, RefusedError):
            for fault in cause.faults:
                yield Fault((*path, *fault.path), fault.sentence)
        else:
            yield Fault(path, _sentence(found))


def hint(name: str, known: Iterable[str], shown: Callable[[str], str] = repr) -> str:
    """Return which of the known names may be meant, or all of them."""
    known = tuple(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {shown(close[0])}?)" if close else f" (there are {', '.join(known)})"


def _sentence(found: Any) -> str:
    if found["type"] == "extra_forbidden":
        return "there is no such setting"
    return str(found["msg"]).removeprefix("Value error, ")
