"""Blocking work in a thread of its own, which ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agentinfra._mechanics.closing import settle

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(work: Callable[[], T], *, on_cancel: Callable[[], None] | None = None) -> T:
    """Run bounded work to its end off the loop, however often the caller is cancelled.

    A thread cannot be cancelled: a cancellation is remembered, and raised when the work is over.
    The thread is gone when this returns; the loop's shared executor would keep it.

    Args:
        work: What to run.
        on_cancel: Called at the first cancellation, to have the work end early.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="agentinfra") as thread:
        task = asyncio.create_task(_awaited(loop.run_in_executor(thread, work)))
        try:
            await asyncio.wait({task})
            cancelled = False
        except asyncio.CancelledError:
            cancelled = True
            if on_cancel is not None:
                on_cancel()
            await settle(task, timeout=None)
    if cancelled:
        task.exception()  # looked at: the cancellation goes first
        raise asyncio.CancelledError
    return task.result()


async def _awaited(future: asyncio.Future[T]) -> T:
    return await future
