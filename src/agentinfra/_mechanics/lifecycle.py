"""Opening resources level by level and closing them all, whatever happens on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Iterable
from typing import Any

from agentinfra._mechanics.closing import Window, bounded, settle
from agentinfra._mechanics.generators import close_holders
from agentinfra._mechanics.hosting import Host
from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import preload
from agentinfra.errors import LifecycleError

__all__ = ["Lifecycle"]

_UNWINDING = 0.2
_DRAINING = 0.6
_WINDING_DOWN = 0.7
"""The shares of ``stop_timeout``: one for generators and leases of the leaving task, and those
by which work is cancelled, and is waited for no longer."""

_QUIET = 50
"""Turns of the event loop without work under way, after which nobody is waited for."""

_AT_LEAST = 0.02
"""The share each level gets for closing, whatever is left."""


class Lifecycle:
    """Owns the resources it has opened, in the levels it opened them.

    Args:
        start_timeout: Seconds each resource may take to open.
        stop_timeout: Seconds closing may take in all.
        required: Names of resources that may not fail; read at each opening.
        opened: Told of each resource after the attempt to open it, whatever its state.
        not_closed: Told of each resource that could not be closed in order, at once.
    """

    def __init__(
        self,
        *,
        start_timeout: float,
        stop_timeout: float,
        required: Container[str],
        opened: Callable[[Resource], None],
        not_closed: Callable[[Resource, Exception], None],
    ) -> None:
        self.took: dict[str, float] = {}
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._required = required
        self._told = opened
        self._not_closed = not_closed
        self._levels: list[list[Resource]] = []
        self._hosts: dict[Resource, Host[Any]] = {}

    async def open(self, *level: Resource) -> None:
        """Open resources side by side.

        A required one that fails cancels its siblings and is raised; an optional one that fails
        is degraded. What is open stays open: the caller closes.

        Raises:
            Exception: What the first required resource that failed raised.
        """
        # Together and before all: single imports would queue up behind one another's threads.
        await preload(name for resource in level for name in resource.vendors)
        self._levels.append([])
        try:
            async with asyncio.TaskGroup() as group:
                for resource in level:
                    step = self._enter(resource, self._levels[-1])
                    group.create_task(step, name=f"open {resource.name}")
        except BaseExceptionGroup as errors:
            raise _first(errors) from None

    async def unwind(self, leaving: asyncio.Task[Any] | None) -> None:
        """Refuse new work, and close the generators that the leaving task did not exhaust.

        Called in that task: what they are in the middle of may belong to it, and to its context.

        Raises:
            Exception: What one of them raised.
        """
        everything = self._everything()
        for resource in everything:
            resource.refuse()
        held = [work for resource in everything for work in resource.held(leaving)]
        async with asyncio.timeout(self._stop_timeout * _UNWINDING):
            await close_holders(held)

    async def close(self, *, began: float, leaving: asyncio.Task[Any] | None) -> None:
        """Refuse, drain, and close level by level in reverse, all within ``stop_timeout``.

        Nothing is skipped, by whatever one of them raises: that is told. A step that does not
        end is cancelled, and one that does not obey is gone on without. Every level gets an equal
        share of the time that is left, so that one that hangs leaves the others theirs.

        Args:
            began: When leaving began, by the loop's time.
            leaving: The task that leaves; what it still holds is given back first.
        """
        loop = asyncio.get_running_loop()
        everything = self._everything()
        levels, self._levels = [level for level in self._levels if level], []
        for resource in everything:
            resource.refuse()
        share = Window(self._stop_timeout * _UNWINDING)
        await self._all(
            share, "giving back the leases of", everything, lambda r: r.give_up_held(leaving)
        )
        until, wind_down = (began + self._stop_timeout * s for s in (_DRAINING, _WINDING_DOWN))
        await self._drain(everything, until=until, wind_down=wind_down, leaving=leaving)
        while levels:
            left = began + self._stop_timeout - loop.time()
            # A loop that stood still has eaten the time; what closes at once closes all the same.
            window = Window(max(left / len(levels), self._stop_timeout * _AT_LEAST))
            await self._all(window, "closing", levels.pop(), self._leave)

    async def _drain(
        self,
        everything: list[Resource],
        *,
        until: float,
        wind_down: float,
        leaving: asyncio.Task[Any] | None,
    ) -> None:
        """Drain until nothing is under way, and nobody who was goes on with another part.

        A graph whose model has just answered saves its checkpoint some turns of the loop later.
        """
        quiet = 0
        while quiet < _QUIET:
            busy = [resource for resource in everything if resource.is_busy(leaving)]
            draining = (
                asyncio.create_task(
                    resource.drain(until=until, wind_down=wind_down, leaving=leaving),
                    name=f"draining {resource.name}",
                )
                for resource in busy
            )
            await settle(*draining, timeout=None)
            if asyncio.get_running_loop().time() >= until:
                return  # what goes on all the same is told that its part is closed
            quiet = 0 if busy else quiet + 1
            await asyncio.sleep(0)

    def _everything(self) -> list[Resource]:
        return [resource for level in reversed(self._levels) for resource in level]

    async def _enter(self, resource: Resource, level: list[Resource]) -> None:
        began = time.perf_counter()
        level.append(resource)  # before anything is waited for: what is half open is closed too
        try:
            async with asyncio.timeout(self._start_timeout):
                if resource.one_task:
                    await self._host(resource).enter()
                else:
                    await resource.__aenter__()
            self._refuse_less(resource)
        except TimeoutError as error:
            late = TimeoutError(f"not started within {self._start_timeout:g} s")
            self._failed(resource, error if str(error) else late)
        except Exception as error:  # noqa: BLE001 - whatever a vendor raises, the agent goes on
            self._failed(resource, error)
        finally:
            resource.tried()
        self.took[resource.name] = time.perf_counter() - began
        self._told(resource)

    def _host(self, resource: Resource) -> Host[Any]:
        def lost(error: BaseException) -> None:
            resource.degrade(f"it ended by itself: {_said(error)}", state="failed")

        host = self._hosts[resource] = Host(resource, name=f"hosting {resource.name}", lost=lost)
        return host

    def _refuse_less(self, resource: Resource) -> None:
        """Refuse a required resource that opened, and says itself that it works in part only."""
        if resource.name in self._required and resource.state in ("degraded", "failed"):
            raise LifecycleError(f"{resource.name} is required and not ready: {resource.reason}")

    def _failed(self, resource: Resource, error: Exception) -> None:
        resource.degrade(_said(error))
        if resource.name in self._required:
            raise error

    async def _leave(self, resource: Resource) -> None:
        host = self._hosts.get(resource)
        if host is not None:
            await host.leave()
        await resource.aclose()  # also where the host is gone, or never came as far as entering

    async def _all(
        self,
        window: Window,
        doing: str,
        resources: Iterable[Resource],
        step: Callable[[Resource], Any],
    ) -> None:
        """Do one thing with each resource, side by side, and tell of what goes wrong."""

        async def one(resource: Resource) -> None:
            try:
                await bounded(step(resource), window, name=f"{doing} {resource.name}")
            except Exception as error:  # noqa: BLE001 - told below; nothing may stop the others
                self._not_closed(resource, error)

        await settle(*(asyncio.create_task(one(resource)) for resource in resources), timeout=None)


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _first(errors: BaseExceptionGroup[Any]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
