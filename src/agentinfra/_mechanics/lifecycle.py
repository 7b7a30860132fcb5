"""Opening resources level by level and closing them all, whatever happens on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from agentinfra._mechanics.closing import finish, settle
from agentinfra._mechanics.resource import Resource

__all__ = ["Lifecycle"]


class Lifecycle:
    """Owns the resources it has opened, in the order it opened them.

    Args:
        start_timeout: Seconds each resource may take to open.
        stop_timeout: Seconds running work gets to end, and then each resource to close.
        required: Names of resources that may not fail.
        on_degraded: Told of each optional resource that failed to open.
    """

    def __init__(
        self,
        *,
        start_timeout: float,
        stop_timeout: float,
        required: Iterable[str],
        on_degraded: Callable[[Resource], None],
    ) -> None:
        self.took: dict[str, float] = {}
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._required = frozenset(required)
        self._on_degraded = on_degraded
        self._opened: list[Resource] = []

    async def open(self, *level: Resource) -> None:
        """Open resources side by side.

        A required one that fails cancels its siblings and is raised; an optional one that fails
        is degraded. What is open stays open: the caller closes.

        Raises:
            Exception: What the first required resource that failed raised.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for resource in level:
                    group.create_task(self._enter(resource), name=f"open {resource.name}")
        except BaseExceptionGroup as errors:
            raise _first(errors) from None

    async def close(self, *, leaving: asyncio.Task[Any] | None) -> None:
        """Drain and then close everything in reverse, each within ``stop_timeout`` seconds.

        Nothing is skipped: neither by an error of one resource nor by cancellations of the
        caller, of which one is raised at the end.

        Args:
            leaving: The task that leaves; its own work is not waited for.

        Raises:
            ExceptionGroup: What went wrong while closing.
            CancelledError: The caller was cancelled meanwhile.
        """
        work = asyncio.create_task(self._close(leaving), name="agentinfra-close")
        cancelled = await settle(work, timeout=None)
        if cancelled:
            if not work.cancelled():
                work.exception()
            raise asyncio.CancelledError
        work.result()

    async def _enter(self, resource: Resource) -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._start_timeout):
                await resource.__aenter__()
        except TimeoutError:
            self._failed(resource, TimeoutError(f"not started within {self._start_timeout:g} s"))
        except Exception as error:  # noqa: BLE001 - whatever a vendor raises, the agent goes on
            self._failed(resource, error)
        self.took[resource.name] = time.perf_counter() - began
        self._opened.append(resource)

    def _failed(self, resource: Resource, error: Exception) -> None:
        if resource.name in self._required:
            raise error
        resource.degrade(str(error) or type(error).__name__)
        self._on_degraded(resource)

    async def _close(self, leaving: asyncio.Task[Any] | None) -> None:
        opened, self._opened = self._opened, []
        errors: list[Exception] = []
        await _all(errors, *(self._drain(resource, leaving) for resource in opened))
        for resource in reversed(opened):
            step = finish(
                resource.aclose(), grace=self._stop_timeout, name=f"closing {resource.name}"
            )
            await _all(errors, step)
        if errors:
            raise ExceptionGroup("not everything could be closed in order", errors)

    async def _drain(self, resource: Resource, leaving: asyncio.Task[Any] | None) -> None:
        await resource.drain(timeout=self._stop_timeout, leaving=leaving)


async def _all(errors: list[Exception], *steps: Coroutine[Any, Any, None]) -> None:
    """Run steps side by side to their end and keep what they raise."""
    tasks = [asyncio.create_task(step) for step in steps]
    # A cancellation here means the loop itself is being torn down: closing goes on to its end.
    await settle(*tasks, timeout=None)
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            errors.append(error)


def _first(errors: BaseExceptionGroup[Any]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
