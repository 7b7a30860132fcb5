"""The life of a resource: made, opened, used on its loop, closed; or degraded, with a reason."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from agentinfra._mechanics.generators import close_holders
from agentinfra._mechanics.inflight import InFlight, Work
from agentinfra._mechanics.vendors import preload
from agentinfra._types import ResourceState
from agentinfra.errors import ClosedError, LifecycleError, NotStartedError, WrongLoopError
from agentinfra.results import ResourceHealth

__all__ = ["Resource", "running_loop", "wrong_loop"]

_UNWINDING = 0.2
_DRAINING = 0.6
"""The shares of the time for leaving in which generators are closed, and work may still end."""


class Resource:
    """An async context manager with a state, for one event loop.

    Constructing does no I/O and touches no loop. A subclass gives `_open` and
    `_close`, and does its work inside of ``with self._working():``, which refuses work at
    the wrong time and lets leaving wait for it. A method that does no work of its own calls
    `_guard` first.

    Whoever enters it owns its lifetime, or a runtime does that was told so with
    `InfraRuntime.own`. Its tasks may share it. Leaving refuses new work, lets running work
    end, cancels what does not, and closes; a second ``aclose`` waits for the first.

    Attributes:
        name: What it is called in health, logs and metrics.
        vendors: Modules that are slow to import; they are imported off the event loop before
            opening. A resource that is switched off takes them off its instance.
        stop_timeout: Seconds leaving it may take where it was entered alone.
        one_task: Whether it is entered and left in one task, made for it; a runtime does that for
            what it owns.

    Example:
        ```python
        class Queue(Resource):
            name = "queue"

            async def _open(self) -> None:
                self._connection = await connect()

            async def _close(self) -> None:
                await self._connection.close()

            async def put(self, item: bytes) -> None:
                with self._working():
                    await self._connection.send(item)
        ```
    """

    name: str = "resource"
    vendors: tuple[str, ...] = ()
    stop_timeout: float = 10.0
    one_task: bool = False

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        # Mangled where subclasses have no need of it: people's own name their attributes freely.
        self.__process = 0
        self.__opened = False
        self.__reopening = asyncio.Lock()
        self._closed = False
        self._refusing = False
        self.__over: asyncio.Event | None = None
        self.__settled: asyncio.Event | None = None
        self._inflight = InFlight()
        self._state: ResourceState = "ready"
        self._reason = ""
        self.__changed: Callable[[Resource], None] | None = None

    async def __aenter__(self) -> Self:
        if self._closed:
            raise ClosedError(f"{self.name} was closed and cannot be entered again: make a new one")
        if self._loop is not None:
            raise LifecycleError(f"{self.name} is already entered: enter it once and share it")
        self._loop, self.__process = running_loop(self.name), os.getpid()
        try:
            await preload(self.vendors)
            await self._open()
        except BaseException:
            self._loop = None
            raise
        self.__opened = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.aclose()
        except Exception as error:
            if exc is None:
                raise
            exc.add_note(f"closing {self.name} failed: {type(error).__name__}: {error}")

    def refuse(self) -> None:
        """Refuse new work from now on; what is under way goes on."""
        self._refusing = True

    def held(self, leaving: asyncio.Task[Any] | None) -> list[Work]:
        """Return the work that the leaving task itself holds, or tasks that have ended."""
        return self._inflight.held(leaving)

    async def give_up_held(self, leaving: asyncio.Task[Any] | None) -> None:
        """Give back what such work holds: a lease, a stream."""
        await self._inflight.give_up_held(leaving)

    def is_busy(self, leaving: asyncio.Task[Any] | None) -> bool:
        """Return whether another task than the leaving one has work under way."""
        return self._inflight.is_busy(leaving)

    async def drain(
        self, *, until: float, wind_down: float, leaving: asyncio.Task[Any] | None = None
    ) -> int:
        """Wait for what is under way, and cancel what does not end.

        Args:
            until: When to cancel, by the loop's time.
            wind_down: When to stop waiting for what was cancelled.
            leaving: The task that leaves; its own work is neither waited for nor cancelled.

        Returns:
            How many tasks had to be cancelled.
        """
        return await self._inflight.drain(until=until, wind_down=wind_down, leaving=leaving)

    async def aclose(self) -> None:
        """Leave: drain, then give back everything; a second call waits for the first."""
        if self._closed:
            if self.__over is not None:
                await self.__over.wait()
            return
        if self._loop is None:
            self._closed = True
            return
        over = self.__over = asyncio.Event()
        cancelled = False
        try:
            if not self._refusing:  # else a runtime has drained it, with all its others
                cancelled = await self._drain_alone()
            self._closed = True
            await self._close()
        finally:
            self._closed, self.__opened = True, False
            over.set()
        if cancelled:
            raise asyncio.CancelledError

    @property
    def state(self) -> ResourceState:
        """The resource's state as last known, without asking anybody."""
        return self._state

    @property
    def reason(self) -> str:
        """Why the state is not ``ready``; empty when it is."""
        return self._reason

    @property
    def is_open(self) -> bool:
        """Whether it was opened, and not closed since."""
        return self.__opened

    async def opened(self) -> Self:
        """Wait until the runtime that owns it has tried to open it.

        Raises:
            NotStartedError: It is not open, and nobody is opening it; or opening it failed.
        """
        if self.__settled is not None:
            await self.__settled.wait()
        if not self.__opened:
            why = self._reason or "enter it with `async with`"
            raise NotStartedError(f"{self.name} is not open: {why}")
        return self

    async def reopen(self) -> None:
        """Try again to open what could not be opened; what is open stays as it is.

        Raises:
            ClosedError: It was left.
            Exception: What opening raised.
        """
        self._guard()
        async with self.__reopening:
            if not self.__opened:
                await self._open()
                self.__opened = True
                self.restore()

    async def probe(self) -> ResourceHealth:
        """Return the state now; a subclass that has a server asks it."""
        return ResourceHealth(name=self.name, state=self._state, reason=self._reason)

    def degrade(self, reason: str, *, state: ResourceState = "degraded") -> None:
        """Go on with less: remember the state and why, one line."""
        changed = state != self._state
        self._state, self._reason = state, " ".join(reason.split())
        if self._loop is None and not self._closed:
            self._loop, self.__process = running_loop(self.name), os.getpid()
        if changed:
            self._tell()

    def restore(self) -> None:
        """Be ready again."""
        changed = self._state != "ready"
        self._state, self._reason = "ready", ""
        if changed:
            self._tell()

    def expect(self) -> None:
        """Take in that a runtime owns it and is going to open it, in one task."""
        self.one_task, self.__settled = True, asyncio.Event()

    def tried(self) -> None:
        """Take in that its owner has tried to open it, with whatever outcome."""
        if self.__settled is not None:
            self.__settled.set()

    def watch(self, changed: Callable[[Resource], None]) -> None:
        """Have a function called at each change of the state, in the thread that makes it."""
        self.__changed = changed

    async def _open(self) -> None:
        """Acquire what the resource needs; raise one of our errors when it cannot be had."""

    async def _close(self) -> None:
        """Release it."""

    def _guard(self, *, late: bool = False) -> None:
        """Refuse use before entry, after leaving, and from another loop.

        Args:
            late: Whether it may be used while it drains, until it is closed: by what lets others'
                work end, and is closed before it.

        Raises:
            NotStartedError: It was not entered.
            ClosedError: It was left.
            WrongLoopError: The running loop is not the one it was entered on.
        """
        if self._closed or (self._refusing and not late):
            what = "closed" if self._closed else "stopping"
            raise ClosedError(f"{self.name} is {what}: use it inside its `async with` block")
        if self._loop is None:
            raise NotStartedError(f"{self.name} is not started: enter it with `async with`")
        if asyncio._get_running_loop() is not self._loop:  # noqa: SLF001 - documented
            raise wrong_loop(self.name, self._loop, self.__process)

    def _working(self, *, late: bool = False) -> Work:
        """Return a context manager around work that leaving has to wait for; guards first."""
        self._guard(late=late)
        return self._inflight.begin()

    async def _drain_alone(self) -> bool:
        """Refuse, end and drain; return whether the caller was cancelled, which cuts it short."""
        self.refuse()
        leaving = asyncio.current_task()
        began = asyncio.get_running_loop().time()
        end = began + self.stop_timeout
        try:
            async with asyncio.timeout(self.stop_timeout * _UNWINDING):
                await close_holders(self.held(leaving))
            await self.give_up_held(leaving)
            await self.drain(
                until=began + self.stop_timeout * _DRAINING, wind_down=end, leaving=leaving
            )
        except asyncio.CancelledError:
            await self.give_up_held(leaving)
            await self.drain(until=began, wind_down=end, leaving=leaving)
            return True
        return False

    def _tell(self) -> None:
        if self.__changed is not None:
            self.__changed(self)


def running_loop(name: str) -> asyncio.AbstractEventLoop:
    """Return the running loop.

    Raises:
        LifecycleError: None of asyncio's is running, as under trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise LifecycleError(
            f"{name} cannot be entered here: it needs asyncio, and no asyncio event loop is "
            "running in this thread (trio has another kind): use asyncio.run(...)"
        ) from None


def wrong_loop(what: str, home: asyncio.AbstractEventLoop, process: int) -> WrongLoopError:
    """Return the error of use from anywhere but its own loop."""
    if process != os.getpid():
        return WrongLoopError(
            f"{what} belongs to process {process}, of which this one ({os.getpid()}) is a fork: "
            "its connections are the parent's; enter an InfraRuntime of its own in each process"
        )
    running = asyncio._get_running_loop()  # noqa: SLF001 - documented
    where = f"loop {id(running):#x}" if running is not None else "outside of any loop"
    return WrongLoopError(
        f"{what} belongs to loop {id(home):#x} and was used from {where}: "
        "enter one InfraRuntime in each loop"
    )
