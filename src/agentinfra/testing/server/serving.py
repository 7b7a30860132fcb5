"""The server as a program: ``agentinfra serve-fake``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Collection, Iterator
from typing import TextIO

from agentinfra.testing.server.ratelimit import RateLimits
from agentinfra.testing.server.server import OpenAIServer

__all__ = ["serve"]

_LEDGER_LIMIT = 1000


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    api_key: str | None = None,
    models: Collection[str] | None = None,
    limits: RateLimits | None = None,
    out: TextIO | None = None,
) -> None:
    """Run a server until it is cancelled, or gets SIGINT or SIGTERM.

    Prints where it listens, and the environment that makes OpenAI's clients talk to it.

    Args:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        api_key: The only key let in; None lets everybody in. It is not printed.
        models: The only models there are; None accepts every name.
        limits: Requests and tokens a minute; None has none.
        out: Where to print; None: standard output.
    """
    stopped = asyncio.Event()
    server = OpenAIServer(
        host=host,
        port=port,
        api_key=api_key,
        models=models,
        limits=limits,
        ledger_limit=_LEDGER_LIMIT,
    )
    async with server:
        with _signals(stopped):
            key = "any" if api_key is None else "<the key this server was given>"
            page = sys.stdout if out is None else out
            page.write(
                f"{server.base_url}\n\n"
                f"export OPENAI_BASE_URL={server.base_url}\n"
                f"export OPENAI_API_KEY={key}\n"
            )
            page.flush()
            await stopped.wait()


@contextlib.contextmanager
def _signals(stopped: asyncio.Event) -> Iterator[None]:
    """Set an event on SIGINT and SIGTERM, where the loop can handle signals."""
    loop = asyncio.get_running_loop()
    handled = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stopped.set)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
