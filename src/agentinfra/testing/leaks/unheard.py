"""Failed tasks that went before anybody had looked at their error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agentinfra.testing.leaks.resources import Found
from agentinfra.testing.leaks.sites import site_of_coroutine

__all__ = ["Unheard"]


class Unheard:
    """Listens to what the running loop says of tasks whose error nobody retrieved.

    Such a task is gone when the end of a block looks for it: the loop logs its error, and no test
    fails. Whoever handles the loop's complaints already goes on doing so.
    """

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None
        self._was_there: Callable[[object], bool] = lambda _: False

    def start(self, was_there: Callable[[object], bool]) -> None:
        """Listen from now on; without a running loop there is nothing to listen to.

        Args:
            was_there: Whether a task was there already, and is not to be heard of.
        """
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._was_there = was_there
        self._before = self._loop.get_exception_handler()
        self._loop.set_exception_handler(self._heard)

    def stop(self) -> None:
        """Listen no more; a handler that was set meanwhile stays."""
        loop, self._loop = self._loop, None
        if loop is not None and loop.get_exception_handler() == self._heard:
            loop.set_exception_handler(self._before)

    def _heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task = context.get("future")
        # The one complaint there is about a task that is done.
        if isinstance(task, asyncio.Task) and task.done() and not self._was_there(task):
            coroutine = task.get_coro()
            name = f"{task.get_name()} ({getattr(coroutine, '__qualname__', coroutine)})"
            site = site_of_coroutine(coroutine)
            self.found.append(Found(kind="failed task nobody awaited", name=name, site=site))
        if self._before is None:
            loop.default_exception_handler(context)
        else:
            self._before(loop, context)
