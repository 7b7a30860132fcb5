"""The life of a runtime: it claims a loop, opens its parts, and is left once, by whatever."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

from agentinfra._mechanics.closing import cancel_and_wait, settle
from agentinfra._mechanics.lifecycle import Lifecycle
from agentinfra._mechanics.loop_local import LoopLocal
from agentinfra._mechanics.resource import Resource, running_loop, wrong_loop
from agentinfra._mechanics.signals import Interruption
from agentinfra.errors import ClosedError, LifecycleError, NotStartedError
from agentinfra.observability.logging import get_logger
from agentinfra.runtime.leaving import Leaving

if TYPE_CHECKING:
    from collections.abc import Container

    from agentinfra.observability.metrics import Metrics
    from agentinfra.runtime.health import Health
    from agentinfra.runtime.plan import Plan
    from agentinfra.settings.groups import RuntimeSettings

__all__ = ["Life"]

log = get_logger("agentinfra.runtime")

_LIVING: LoopLocal[Life] = LoopLocal()
_TOLD_TO_END: LoopLocal[int] = LoopLocal()
"""The signal that ended a runtime of the loop: a program told to end enters no other one."""


class Life:
    """One entry and one leaving of a runtime, in one event loop.

    Args:
        owner: The runtime, which errors name.
        settings: The time-outs.
        plan: What to open, and in which order.
        metrics: Where failures are counted.
        health: Told of what was opened.
        required: Names of the resources that may not fail.
    """

    def __init__(
        self,
        owner: object,
        settings: RuntimeSettings,
        *,
        plan: Plan,
        metrics: Metrics,
        health: Health,
        required: Container[str],
    ) -> None:
        self.owner = owner
        self._plan = plan
        self._leaving = Leaving(metrics, required)
        self._lifecycle = Lifecycle(
            start_timeout=settings.start_timeout,
            stop_timeout=settings.stop_timeout,
            required=required,
            opened=health.opened,
            not_closed=self._leaving.failed,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._left = False
        self._closing: asyncio.Task[None] | None = None
        self._late: set[asyncio.Task[None]] = set()
        self._interruption: Interruption | None = None

    @classmethod
    def of_this_loop(cls) -> Life:
        """Return the life of the running loop's runtime.

        Raises:
            NotStartedError: This loop has none, or no loop is running.
            ClosedError: It is being left at this moment.
        """
        life = _LIVING.get()
        if life is None:
            raise NotStartedError(
                "no InfraRuntime is entered in this event loop: "
                "use `async with InfraRuntime() as rt:` around the code"
            )
        if life._left:  # noqa: SLF001 - our own class
            raise ClosedError(f"{life.owner!r} is being left: it takes no new work")
        return life

    @property
    def state(self) -> str:
        """What a person wants to know: new, entered or closed."""
        return "closed" if self._left else "new" if self._loop is None else "entered"

    @property
    def took(self) -> dict[str, float]:
        """Seconds each part took to open."""
        return dict(self._lifecycle.took)

    def guard(self) -> None:
        """Refuse use before entry, after leaving, and from another loop.

        Raises:
            NotStartedError: It was not entered.
            ClosedError: It was left.
            WrongLoopError: The running loop, or process, is not the one it was entered in.
        """
        if self._left:
            raise ClosedError(f"{self.owner!r} was left: use it inside its `async with` block")
        if self._loop is None:
            raise NotStartedError(f"{self.owner!r} is not started: enter it with `async with`")
        self._at_home()

    async def enter(self) -> None:
        """Claim the loop and open everything; what fails or is cancelled on the way is undone.

        Raises:
            LifecycleError: The loop has a runtime, or is not asyncio's.
            Exception: What the first required resource that failed raised.
            SystemExit: A signal told the program to end.
        """
        self._claim()
        try:
            for level in self._plan.levels():
                await self._lifecycle.open(*level)
        except BaseException as error:
            interruption = self._interruption
            await self.leave(error)
            if interruption is not None and interruption.ended(error):
                raise SystemExit(128 + (interruption.received or 0)) from None
            raise

    def open_late(self, resource: Resource) -> None:
        """Open a part that was added to the plan after entering, beside what runs.

        Its own level is the last one, so that it is closed first.
        """
        opening = asyncio.create_task(self._lifecycle.open(resource), name=f"own {resource.name}")
        self._late.add(opening)
        opening.add_done_callback(self._opened_late)

    async def exit(self, exc: BaseException | None) -> bool:
        """Leave a block; return whether what left it was our own cancellation, for a signal."""
        interruption = self._interruption
        told = interruption is not None and interruption.ended(exc)
        try:
            await self.leave(None if told else exc)
        except asyncio.CancelledError as error:
            if interruption is None or not interruption.ended(error):
                raise
            told = True
        if told and interruption is not None and interruption.received is not None:
            _TOLD_TO_END.set(interruption.received)
            if not interruption.ends_program:
                # The program goes on in another task, and was told to end all the same.
                signal.raise_signal(interruption.received)
        return told

    async def leave(self, exc: BaseException | None) -> None:
        """Close everything; a second call waits for the first.

        Args:
            exc: What leaves the block; what goes wrong is a note on it.

        Raises:
            WrongLoopError: The running loop is another one.
            Exception: What closing the first required resource that failed raised, without
                ``exc``.
            CancelledError: The caller was cancelled meanwhile, without ``exc``.
        """
        if self._loop is None:
            return
        self._at_home()
        if self._closing is not None:  # somebody leaves already, or has left
            await asyncio.wait({self._closing})
            return
        self._left = True
        leaving = asyncio.current_task()
        unwound = asyncio.Event()
        # In a task of its own: the one that leaves may be cancelled, more than once. It is there
        # from the first moment, for others who leave to wait for.
        self._closing = asyncio.create_task(self._shut(leaving, unwound), name="agentinfra-close")
        cancelled = await self._unwind(leaving)
        unwound.set()
        cancelled = await settle(self._closing, timeout=None) or cancelled
        if exc is not None:
            self._leaving.note(exc)
        elif cancelled:
            interrupted = asyncio.CancelledError()
            self._leaving.note(interrupted)
            raise interrupted
        else:
            self._leaving.raise_required()

    def _claim(self) -> None:
        if self._left:
            raise ClosedError(
                f"{self.owner!r} was left and cannot be entered again: make a new one"
            )
        if self._loop is not None:
            raise LifecycleError(f"{self.owner!r} is already entered: enter it once and share it")
        loop = running_loop("InfraRuntime")
        other = _LIVING.get()
        if other is not None:
            raise LifecycleError(
                f"{self.owner!r} cannot be entered: this event loop already has {other.owner!r}; "
                "use InfraRuntime.current()"
            )
        told = _TOLD_TO_END.get()
        if told is not None:
            raise SystemExit(128 + told)
        self._loop, self._process = loop, os.getpid()
        _LIVING.set(self)
        task = asyncio.current_task()
        if task is not None:
            self._interruption = Interruption(task)
            self._interruption.catch([signal.SIGTERM], only_unhandled=True)

    def _at_home(self) -> None:
        running = asyncio._get_running_loop()  # noqa: SLF001 - documented, and raises nothing
        if self._loop is not None and running is not self._loop:
            raise wrong_loop(repr(self.owner), self._loop, self._process)

    def _opened_late(self, opening: asyncio.Task[None]) -> None:
        self._late.discard(opening)
        if not opening.cancelled():
            opening.exception()  # a required one's; the resource and health say so

    async def _unwind(self, leaving: asyncio.Task[Any] | None) -> bool:
        """Close what the leaving task left suspended; return whether it was cancelled meanwhile."""
        try:
            await self._lifecycle.unwind(leaving)
        except asyncio.CancelledError:
            return True
        except Exception as error:  # noqa: BLE001 - a user's generator; leaving goes on
            log.warning("runtime.generator_failed", error=f"{type(error).__name__}: {error}")
        return False

    async def _shut(self, leaving: asyncio.Task[Any] | None, unwound: asyncio.Event) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await unwound.wait()
            await cancel_and_wait(*self._late)
            await self._lifecycle.close(began=began, leaving=leaving)
        finally:
            _LIVING.discard(self)
            if self._interruption is not None:
                self._interruption.give_back()
