"""What a collection of vectors needs of the database it is kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from contextlib import AbstractAsyncContextManager

    from agentinfra.db.server import Server
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import Embedder

__all__ = ["Home"]


class Home(Protocol):
    """Lends connections, and knows what is at the other end of them."""

    @property
    def metrics(self) -> Metrics:
        """Where searches are counted."""
        ...

    @property
    def embedder(self) -> Embedder | None:
        """What turns texts into vectors; None where nothing does."""
        ...

    @property
    def server(self) -> Server:
        """What is known of the server: where our tables and pgvector are, and more."""
        ...

    @property
    def building(self) -> asyncio.Lock:
        """Held while an index is built: others of this process wait without a connection."""
        ...

    async def migrate(self) -> tuple[str, ...]:
        """Make what our tables need to be there."""
        ...

    def connection(
        self, *, readonly: bool = True, reset: bool = True
    ) -> AbstractAsyncContextManager[Any]:
        """Lend a connection; errors inside are the database's own."""
        ...

    def apart(self) -> AbstractAsyncContextManager[Any]:
        """Lend a connection beside the pool's, which may be held for long."""
        ...

    def passing(self) -> AbstractAsyncContextManager[Any]:
        """Lend a connection for one search, which leaves nothing behind."""
        ...

    def transaction(self, *, reset: bool = True) -> AbstractAsyncContextManager[Any]:
        """Lend a connection inside of a transaction that may write."""
        ...
