"""The sockets of a server, and the requests that come through them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra.testing.validation.parameters import load

if TYPE_CHECKING:
    from agentinfra.testing.server.endpoints import Endpoints

__all__ = ["Listener"]

_LARGEST_BODY = 256 * 2**20
_BACKLOG = 1024
_CLOSING = 0.05
_HEADER_LINE = 65_536


class Listener:
    """Listens on the loop it is opened on, until it is closed there."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._runner: web.ServerRunner | None = None
        self._opening: asyncio.Task[Any] | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            OSError: The address cannot be listened on.
        """
        self._opening = asyncio.current_task()
        load()
        server = web.Server(
            self._endpoints.handle,  # type: ignore[arg-type]
            request_factory=_make_request,
            handler_cancellation=True,
            access_log=None,
            lingering_time=0.0,
            max_field_size=_HEADER_LINE,
            max_line_size=_HEADER_LINE,
        )
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_CLOSING)
        try:
            await runner.setup()
            await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        except BaseException:  # a socket that listens already must not outlive a cancellation
            await runner.cleanup()
            raise
        self._runner = runner
        return int(runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening, cancel what is in flight, close every connection."""
        if self._opening is not None:
            # Whoever waited for the port may have gone while it was being opened.
            await cancel_and_wait(self._opening)
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in list(runner.sites):
            await site.stop()
        await cancel_and_wait(*self._endpoints.tasks)
        await runner.cleanup()
        # The tasks of idle connections were told to end; they need a turn of the loop to do it.
        for _ in range(3):
            await asyncio.sleep(0)


def _make_request(
    message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]
) -> web.BaseRequest:
    """Return a request that may be as large as a batch of embeddings."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_BODY
    )
