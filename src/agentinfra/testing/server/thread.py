"""An event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["LoopThread"]

T = TypeVar("T")
_ENDS_WITHIN = 5.0


class LoopThread:
    """Runs coroutines for callers on any thread and any loop.

    Whoever starts it owns it and stops it. The thread is a daemon: a program that forgets a server
    can still end.
    """

    def __init__(self, name: str) -> None:
        self._running = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start; returns when the loop runs, within a few milliseconds."""
        self._thread.start()
        self._running.wait()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """End the loop with what is left on it, and wait for the thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_ENDS_WITHIN)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._wait())

    async def _wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._running.set()
        await self._stopped.wait()
