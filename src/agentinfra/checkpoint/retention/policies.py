"""What may go of conversations, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

from agentinfra.errors import ConfigurationError

__all__ = ["Policy", "PruneResult", "liked", "matches"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """What a prune dropped, or would drop.

    Attributes:
        threads: Conversations that lost something.
        checkpoints: Checkpoints.
        writes: Intermediate writes, those without a checkpoint included.
        blobs: Stored channel values.
        bytes: Bytes of the writes and values.
    """

    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    blobs: int = 0
    bytes: int = 0

    def __add__(self, other: PruneResult) -> PruneResult:
        names = (field.name for field in fields(self))
        return PruneResult(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def of_threads(self, number: int) -> PruneResult:
        """Return the same of another number of conversations."""
        return replace(self, threads=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may go of conversations, as a value.

    Several are combined: whatever one of them lets go, goes. What a kept checkpoint needs to be
    returned to never goes, nor does the newest checkpoint of a conversation that has not aged.

    Attributes:
        threads: The conversations it is about, as a pattern of their ids with ``*`` and ``?``.
        older_than: Seconds without a checkpoint after which a conversation goes whole.
        keep_last: Checkpoints a conversation keeps, its newest.
        checkpoints_older_than: Seconds after which a single checkpoint goes.
        keep_bytes: Bytes a conversation keeps, in its newest checkpoints, with the values they
            name and the calls made from them.
        namespace: Empty for the graph. The name of a subgraph with a state of its own spares what
            its history is allowed to keep beside what the graph's checkpoints need of it.

    Raises:
        ConfigurationError: A number makes no sense, or nothing is said at all.
    """

    threads: str = "*"
    older_than: float | None = None
    keep_last: int | None = None
    checkpoints_older_than: float | None = None
    keep_bytes: int | None = None
    namespace: str = ""

    def __post_init__(self) -> None:
        said = {name: getattr(self, name) for name in _LEAST}
        for name, value in said.items():
            if value is not None and not value >= _LEAST[name]:
                raise ConfigurationError(
                    f"Policy({name}={value!r}): give {_LEAST[name]} or more, or None"
                )
        if all(value is None for value in said.values()):
            raise ConfigurationError(f"Policy() lets nothing go: give one of {', '.join(_LEAST)}")
        if self.namespace and self.older_than is not None:
            raise ConfigurationError(
                f"Policy(namespace={self.namespace!r}, older_than={self.older_than!r}): only whole "
                "conversations age; give checkpoints_older_than"
            )

    @property
    def shortens(self) -> bool:
        """Whether it takes single checkpoints away."""
        return not (self.keep_last is self.checkpoints_older_than is self.keep_bytes is None)

    def is_about(self, thread: str) -> bool:
        """Return whether it is about a conversation."""
        return matches(self.threads, thread)


def liked(pattern: str) -> str:
    """Return a pattern with ``*`` and ``?`` in SQL's words, for ``LIKE`` with a backslash."""
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern)
    return escaped.replace("*", "%").replace("?", "_")


def matches(pattern: str, thread: str) -> bool:
    """Return whether a conversation's id is one that a pattern stands for."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, thread, re.DOTALL) is not None


_LEAST = {"older_than": 0, "keep_last": 1, "checkpoints_older_than": 0, "keep_bytes": 1}
