"""The life of a resource: made, opened, used on its loop, closed; or degraded, with a reason."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import ClassVar, Self

from agentinfra._mechanics.inflight import InFlight, Work
from agentinfra._mechanics.vendors import preload
from agentinfra._types import ResourceState
from agentinfra.errors import ClosedError, LifecycleError, NotStartedError, WrongLoopError
from agentinfra.results import ResourceHealth

__all__ = ["Resource"]


class Resource:
    """An async context manager with a state, for one event loop.

    Constructing does no I/O and touches no loop. A subclass gives :meth:`_open` and
    :meth:`_close`; :meth:`_guard` is called first in every method that does work.

    Whoever enters it owns its lifetime. Its tasks may share it. ``aclose`` is idempotent.
    """

    name: ClassVar[str] = "resource"

    vendors: tuple[str, ...] = ()
    """Modules that are slow to import; they are imported off the event loop before opening.
    A resource that is switched off takes them off its instance."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._refusing = False
        self._inflight = InFlight()
        self._state: ResourceState = "ready"
        self._reason = ""

    async def __aenter__(self) -> Self:
        if self._closed:
            raise ClosedError(f"{self.name} was closed and cannot be entered again: make a new one")
        if self._loop is not None:
            raise LifecycleError(f"{self.name} is already entered: enter it once and share it")
        self._loop = asyncio.get_running_loop()
        try:
            await preload(self.vendors)
            await self._open()
        except BaseException:
            self._loop = None
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def drain(self, *, timeout: float, leaving: asyncio.Task[object] | None = None) -> int:
        """Refuse new work and wait for what is under way; cancel it after ``timeout`` seconds.

        Args:
            timeout: Seconds to wait before cancelling.
            leaving: The task that leaves; its own work is neither waited for nor cancelled.

        Returns:
            How many tasks had to be cancelled.
        """
        self._refusing = True
        return await self._inflight.drain(timeout=timeout, leaving=leaving)

    async def aclose(self) -> None:
        """Give back everything the resource holds; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None:
            await self._close()

    @property
    def state(self) -> ResourceState:
        """The resource's state as last known, without asking anybody."""
        return self._state

    @property
    def reason(self) -> str:
        """Why the state is not ``ready``; empty when it is."""
        return self._reason

    async def probe(self) -> ResourceHealth:
        """Return the state now; a subclass that has a server asks it."""
        return ResourceHealth(name=self.name, state=self._state, reason=self._reason)

    def degrade(self, reason: str, *, state: ResourceState = "degraded") -> None:
        """Go on with less: remember the state and why, one line."""
        self._state, self._reason = state, " ".join(reason.split())
        if self._loop is None and not self._closed:
            self._loop = asyncio.get_running_loop()

    def restore(self) -> None:
        """Be ready again."""
        self._state, self._reason = "ready", ""

    async def _open(self) -> None:
        """Acquire what the resource needs; raise one of our errors when it cannot be had."""

    async def _close(self) -> None:
        """Release it."""

    def _guard(self) -> None:
        """Refuse use before entry, after leaving, and from another loop.

        Raises:
            NotStartedError: It was not entered.
            ClosedError: It was left.
            WrongLoopError: The running loop is not the one it was entered on.
        """
        if self._closed or self._refusing:
            what = "closed" if self._closed else "stopping"
            raise ClosedError(f"{self.name} is {what}: use it inside its `async with` block")
        if self._loop is None:
            raise NotStartedError(f"{self.name} is not started: enter it with `async with`")
        running = asyncio.get_running_loop()
        if running is not self._loop:
            raise WrongLoopError(
                f"{self.name} belongs to loop {id(self._loop):#x} and was used from loop "
                f"{id(running):#x}: enter one InfraRuntime in each loop"
            )

    def _working(self) -> Work:
        """Return a context manager around work that leaving has to wait for; guards first."""
        self._guard()
        return self._inflight.begin()
