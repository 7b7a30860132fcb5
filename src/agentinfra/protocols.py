"""What one adapter needs of another, said without naming it.

Adapters never import one another; the runtime hands each what these describe.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentinfra.results import EmbeddingBatch

__all__ = [
    "Address",
    "Connections",
    "Embedder",
    "NoticeBoard",
    "ReplyCache",
    "Tables",
    "VectorCache",
]

Address: TypeAlias = Callable[[], Awaitable[str]]
"""Says where a database is, when that is needed; raises a DatabaseError that says why nowhere."""


class Connections(Protocol):
    """Lends asyncpg connections of one database; the checkpointer's operations run on them.

    What goes wrong is raised as a ``DatabaseError``.
    """

    @property
    def server(self) -> Any:
        """What is known of it: ``pooled``, where a session is not ours after a transaction."""
        ...

    def connection(
        self, *, readonly: bool = True, reset: bool = True, late: bool = False
    ) -> AbstractAsyncContextManager[Any]:
        """Lend a connection; without ``reset`` giving it back costs nothing.

        ``late`` lends while the database is being left, to what is closed before it.
        """
        ...

    def passing(self, *, late: bool = False) -> AbstractAsyncContextManager[Any]:
        """Lend one for a statement that leaves nothing behind; it goes on to the next caller."""
        ...

    def transaction(
        self, *, reset: bool = True, late: bool = False
    ) -> AbstractAsyncContextManager[Any]:
        """Lend one inside of a transaction that may write."""
        ...


class Tables(Protocol):
    """Lends connections as `Connections` does, and makes our own tables; the ledger is in them."""

    @property
    def server(self) -> Any:
        """What is known of it: ``pooled``, and where our tables are: ``schema``, ``layout``."""
        ...

    def connection(
        self, *, readonly: bool = True, reset: bool = True, late: bool = False
    ) -> AbstractAsyncContextManager[Any]:
        """Lend a connection; ``late`` also while it is being left, to what is closed before."""
        ...

    async def migrate(self) -> tuple[str, ...]:
        """Bring the schema of our own tables to the newest layout."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors; the vector store searches with it."""

    async def get_embeddings(
        self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None
    ) -> EmbeddingBatch:
        """Return one normalised vector per text, in order."""
        ...


class NoticeBoard(Protocol):
    """Where processes that run at this moment tell one another something, topic by topic."""

    async def exchange(
        self, notes: Mapping[str, str], *, member: str, lifetime: float
    ) -> Sequence[tuple[str, str]]:
        """Put a note up under each topic, in place of one's own, and read those of the others.

        Args:
            notes: What to put up, by topic.
            member: Who does.
            lifetime: Seconds after which a note that was not put up again is gone.

        Returns:
            The topic and the text of each note of others that are still there.

        Raises:
            AgentInfraError: The board cannot be reached.
        """
        ...

    async def leave(self, member: str) -> None:
        """Take every note of a member down.

        Raises:
            AgentInfraError: The board cannot be reached.
        """
        ...


class VectorCache(Protocol):
    """Remembers vectors; the LLM client asks it before it sends texts."""

    async def get(
        self, text: str, model: str, dimensions: int | None = None
    ) -> NDArray[np.float32] | None:
        """Return the vector of a text, None when unknown."""
        ...

    async def set(self, text: str, model: str, vector: Any, dimensions: int | None = None) -> None:
        """Remember the vector of a text."""
        ...

    async def get_many(
        self, texts: Sequence[str], model: str, dimensions: int | None = None
    ) -> list[NDArray[np.float32] | None]:
        """Return the vector of each text, None where unknown, in one step."""
        ...

    async def set_many(
        self,
        texts: Sequence[str],
        model: str,
        vectors: Sequence[Any],
        dimensions: int | None = None,
    ) -> None:
        """Remember the vectors of texts, in one step."""
        ...

    async def get_or_compute_many(
        self,
        texts: Sequence[str],
        model: str,
        loader: Callable[[list[str]], Awaitable[Sequence[Any]]],
        dimensions: int | None = None,
    ) -> list[NDArray[np.float32]]:
        """Return the vector of each text; ``loader`` gets those that nobody has or is loading.

        It is called once at most, with each text once, and gives their vectors in that order.
        """
        ...


class ReplyCache(Protocol):
    """Remembers whole answers; the LLM client asks it where a call wants that."""

    async def get(self, request: bytes, tenant: str) -> bytes | None:
        """Return the answer to a request, None where there is none that is fresh."""
        ...

    async def set(self, request: bytes, tenant: str, reply: bytes, *, ttl: float) -> None:
        """Keep the answer to a request for ``ttl`` seconds."""
        ...
