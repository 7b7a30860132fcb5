"""What a user brings along as an async context manager, as a resource of the runtime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar

from agentinfra._mechanics.clock import Clock
from agentinfra._mechanics.closing import Window, bounded, cancel_and_wait
from agentinfra._mechanics.hosting import Host
from agentinfra._mechanics.resource import Resource
from agentinfra.errors import ConfigurationError, LifecycleError
from agentinfra.observability.logging import get_logger
from agentinfra.results import ResourceHealth

__all__ = ["Owned", "owned"]

T = TypeVar("T")

log = get_logger("agentinfra.runtime")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_CHECKING = 3.0
"""Seconds a check may take; what does not answer in them is broken. Less than health() gives a
resource to answer, which would otherwise cancel the check before it has said so."""
_LEAVING = 5.0
"""Seconds the leaving of a broken block may take before the next one is entered."""


class Owned(Resource, Generic[T]):
    """An async context manager in the hands of a runtime; `InfraRuntime.own` makes it.

    The block is entered and left in a task of its own. Any task of the loop uses what it gave,
    inside of `use`. Where it was given as a function that makes it, a broken one is left
    and made anew, at once and then with growing pauses; health shows it as failed meanwhile.

    Args:
        make: Makes the context manager.
        name: Its name in health.
        again: Whether ``make`` may be called again.
        check: Raises where what the block gave is broken; None never asks.
        start_timeout: Seconds entering may take.
        clock: Where time comes from.
    """

    def __init__(
        self,
        make: Callable[[], AbstractAsyncContextManager[T]],
        *,
        name: str,
        again: bool,
        check: Callable[[T], Awaitable[object]] | None,
        start_timeout: float,
        clock: Clock,
    ) -> None:
        super().__init__()
        self.name = name
        self._make = make
        self._again = again
        self._check = check
        self._start_timeout = start_timeout
        self._clock = clock
        self._held: _Held[T] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()  # clear only while an attempt is under way
        self._checking = asyncio.Lock()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[T]:
        """Lend what the block gave; many tasks may use it at once.

        While it is being made anew this waits for that attempt. An exception that leaves the
        block has the check run, and is then raised as it was.

        Raises:
            LifecycleError: It is broken, and the last attempt to make it anew failed too.
            ClosedError: The runtime was left.
        """
        with self._working():
            held = await self._current()
            try:
                yield held.value
            except Exception:
                await self._doubt(held)
                raise

    async def probe(self) -> ResourceHealth:
        """Run the check; have what is broken made anew, without waiting for that."""
        self._guard()
        latency = None
        held = self._held
        if held is None:
            self._restart(None)
        elif self._check is not None:
            began = time.perf_counter()
            await self._doubt(held)
            latency = time.perf_counter() - began
        return ResourceHealth(name=self.name, state=self.state, reason=self.reason, latency=latency)

    async def _open(self) -> None:
        try:
            await self._enter()
        finally:
            self._attempted.set()

    async def _close(self) -> None:
        if self._restarting is not None:
            await cancel_and_wait(self._restarting)
        held, self._held = self._held, None
        if held is not None:
            await held.host.leave()

    async def _enter(self) -> None:
        def lost(error: BaseException) -> None:
            if self._held is not None and self._held.host is host:
                self._broken(self._held, f"it ended by itself: {_said(error)}")

        host = Host(self._make(), name=f"hosting {self.name}", lost=lost)
        async with asyncio.timeout(self._start_timeout):
            value = await host.enter()
        self._held = _Held(host, value)

    async def _current(self) -> _Held[T]:
        if self._held is None:
            self._restart(None)
            await self._attempted.wait()
            self._guard()  # it may be closing by now
        if self._held is None:
            raise LifecycleError(f"{self.name} cannot be used: {self.reason}")
        return self._held

    async def _doubt(self, held: _Held[T]) -> None:
        """Look whether what was lent is broken, once for all tasks that it failed at a time."""
        if self._check is None:
            return
        async with self._checking:
            if self._held is not held:  # another task's doubt was justified
                return
            try:
                async with self._clock.timeout_at(self._clock.now() + _CHECKING):
                    await self._check(held.value)
            except TimeoutError:
                if self._held is held:
                    self._broken(held, f"its check did not end within {_CHECKING:g} s")
            except Exception as error:  # noqa: BLE001 - whatever it raises, that says broken
                if self._held is held:
                    self._broken(held, f"its check failed: {_said(error)}")

    def _broken(self, held: _Held[T], why: str) -> None:
        self._held = None
        again = "" if self._again else "; give own() a function that makes it, to have it restarted"
        self.degrade(why + again, state="failed")
        log.warning("runtime.resource_lost", resource=self.name, reason=why)
        self._restart(held.host)

    def _restart(self, broken: Host[T] | None) -> None:
        """Have a new block entered, unless somebody is at it, or nobody may."""
        running = self._restarting is not None and not self._restarting.done()
        if running or self._refusing or self._closed or not (self._again or broken):
            return
        if self._again:
            self._attempted.clear()
        self._restarting = asyncio.create_task(self._renew(broken), name=f"restarting {self.name}")

    async def _renew(self, broken: Host[T] | None) -> None:
        try:
            if broken is not None:
                await self._let_go(broken)
            pause = _FIRST_PAUSE
            while self._again and not await self._attempt():
                await self._clock.sleep(pause)
                self._attempted.clear()
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            self._attempted.set()  # whoever waits looks, also where this was cancelled

    async def _attempt(self) -> bool:
        try:
            await self._enter()
        except Exception as error:  # noqa: BLE001 - the next attempt may do better
            late = isinstance(error, TimeoutError) and not str(error)
            why = f"not started within {self._start_timeout:g} s" if late else _said(error)
            self.degrade(f"it cannot be started again: {why}", state="failed")
        else:
            self.restore()
            log.info("runtime.resource_restarted", resource=self.name)
        self._attempted.set()
        return self._held is not None

    async def _let_go(self, broken: Host[T]) -> None:
        try:
            await bounded(broken.leave(), Window(_LEAVING), name=f"leaving broken {self.name}")
        except Exception as error:  # noqa: BLE001 - it was broken before
            log.debug("runtime.broken_resource_left", resource=self.name, error=_said(error))


class _Held(Generic[T]):
    """A block that is open, and what it gave."""

    __slots__ = ("host", "value")

    def __init__(self, host: Host[T], value: T) -> None:
        self.host = host
        self.value = value


def owned(
    given: Any,
    name: str | None,
    check: Callable[[Any], Awaitable[object]] | None,
    *,
    start_timeout: float,
    clock: Clock,
) -> Resource:
    """Return what a user gave as a resource: itself where it is one.

    Raises:
        ConfigurationError: It is nothing that can be owned, or has no name.
    """
    if isinstance(given, Resource):
        if name is not None or check is not None:
            raise ConfigurationError(
                f"{given.name!r} is a Resource: its name is its attribute `name`, its check its "
                "method probe()"
            )
        return given
    is_manager = hasattr(type(given), "__aenter__") and hasattr(type(given), "__aexit__")
    is_resource_class = isinstance(given, type) and issubclass(given, Resource)
    if is_resource_class or not (is_manager or callable(given)):
        raise ConfigurationError(
            f"own() was given {given!r:.80}: give it a Resource, an async context manager, or a "
            "function that makes one"
        )
    return Owned(
        (lambda: given) if is_manager else given,
        name=name or _name_of(given),
        again=not is_manager,
        check=check,
        start_timeout=start_timeout,
        clock=clock,
    )


def _name_of(given: Any) -> str:
    name = str(getattr(given, "__name__", type(given).__name__))
    if not name.isidentifier():
        raise ConfigurationError(
            "what own() was given has no name of its own: give one, as in own(..., name='tools')"
        )
    return name


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):  # anyio wraps what broke its task group
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
