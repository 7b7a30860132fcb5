"""Closing that finishes: bounded, in its own task, deaf to the first cancellations.

``asyncio.shield`` does not do: the await around it dies at the second cancellation while the
shielded work is left to nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["Window", "bounded", "cancel_and_wait", "finish", "settle"]


class Window:
    """The time a closing step has: until ``soft`` to end, until ``hard`` to obey a cancellation.

    Args:
        seconds: The whole window, from now on.
        share: What part of it passes before the step is cancelled.
    """

    __slots__ = ("hard", "seconds", "soft")

    def __init__(self, seconds: float, share: float = 0.7) -> None:
        now = asyncio.get_running_loop().time()
        self.seconds = max(0.0, seconds)
        self.soft = now + self.seconds * share
        self.hard = now + self.seconds


async def bounded(work: Coroutine[Any, Any, None], window: Window, *, name: str) -> bool:
    """Run a closing step within its window, and go on without it when it does not end.

    The step runs as a task of its own; one that obeys no cancellation is left to its loop.

    Returns:
        Whether the caller was cancelled meanwhile; it has to raise that when it is done.

    Raises:
        TimeoutError: It had to be cancelled, or did not end even then.
        Exception: What the step itself raised.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(work, name=name)
    cancelled = await settle(task, timeout=window.soft - loop.time())
    if not task.done():
        task.cancel()
        cancelled = await settle(task, timeout=window.hard - loop.time()) or cancelled
        how = "was cancelled" if task.done() else "goes on though it was cancelled"
        task.add_done_callback(_look_at)
        raise TimeoutError(f"{name} took longer than {window.seconds:.2g} s and {how}")
    if task.cancelled():
        raise TimeoutError(f"{name} was cancelled from inside")
    task.result()
    return cancelled


def _look_at(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # else the loop complains that nobody did


async def finish(work: Coroutine[Any, Any, None], *, grace: float, name: str) -> None:
    """Run a closing step to its end, however often the caller is cancelled meanwhile.

    The step runs as a task of its own. When it takes longer than ``grace`` seconds it is
    cancelled. A cancellation of the caller is remembered and raised when the step is over.

    Args:
        work: The step.
        grace: Seconds it may take, and then once more for winding down.
        name: The task's name, for people who look at a hanging program.

    Raises:
        TimeoutError: It took longer than ``grace``.
        CancelledError: The caller was cancelled meanwhile.
        Exception: What the step itself raised.
    """
    task = asyncio.create_task(work, name=name)
    cancelled = await settle(task, timeout=grace)
    late = not task.done()
    if late:
        task.cancel()
        cancelled = await settle(task, timeout=grace) or cancelled
    if cancelled:
        raise asyncio.CancelledError
    if late:
        raise TimeoutError(f"{name} took longer than {grace:g} s and was cancelled")
    task.result()


async def settle(*tasks: asyncio.Task[Any], timeout: float | None) -> bool:
    """Wait for tasks without owning them, and without dying when the waiter is cancelled.

    Args:
        tasks: What to wait for; none of them is cancelled here.
        timeout: Seconds to wait at most, None for as long as it takes.

    Returns:
        Whether the waiter was cancelled meanwhile; it has to raise that when it is done.
    """
    loop = asyncio.get_running_loop()
    end = None if timeout is None else loop.time() + timeout
    cancelled = False
    while pending := {task for task in tasks if not task.done()}:
        left = None if end is None else end - loop.time()
        if left is not None and left <= 0:
            break
        try:
            await asyncio.wait(pending, timeout=left)
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until each has ended; what they raise is dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
