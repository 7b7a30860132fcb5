"""Blocking work in a thread of its own, which ends with it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from agentinfra._mechanics.closing import settle

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run bounded work to its end off the loop, however often the caller is cancelled.

    A thread cannot be cancelled: a cancellation is remembered, and raised when the work is over.
    The thread is gone when this returns; the loop's shared executor would keep it.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="agentinfra-db") as thread:
        task = asyncio.create_task(_awaited(loop.run_in_executor(thread, work)))
        cancelled = await settle(task, timeout=None)
    if cancelled:
        task.exception()  # looked at: the cancellation goes first
        raise asyncio.CancelledError
    return task.result()


async def _awaited(future: asyncio.Future[T]) -> T:
    return await future
