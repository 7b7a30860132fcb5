"""When the next request may be sent: within the server's limits, and fair between tenants.

The decision is synchronous; one task waits, for all that cannot be sent yet.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra._mechanics.closing import cancel_and_wait
from agentinfra._mechanics.rate import ServerBucket
from agentinfra.errors import ClosedError

__all__ = ["Pacer", "Permit", "QueueFullError"]

FIRST_SHARE = 1 / 16
"""The part of what a server lets through that is taken while nobody knows how many share it."""

FIRST_WINDOW = 16.0
"""Requests in flight at first; doubled with each window that passes without a refusal."""


class QueueFullError(Exception):
    """Too many are waiting already."""


@dataclass(slots=True, eq=False)
class Permit:
    """Leave to send one request, to be given back with `Pacer.release`.

    Attributes:
        tokens: What it was taken to cost.
        waited: Seconds it was waited for.
    """

    tokens: float
    waited: float = 0.0


class Pacer:
    """Lets requests through as fast as a server takes them.

    Where the server sends its limits they are kept to. Where it does not, the number in flight
    grows until the server refuses and is halved then (slow start and AIMD, as in TCP congestion
    control, RFC 5681). Waiting requests are served in turn by tenant, each tenant's in order.

    Several processes may send to one server: each is told its share of what all may send.

    Args:
        max_running: Requests in flight at most.
        max_queued: Requests waiting at most.
        clock: Where time comes from.
        limited: Called when the server has shown a limit. Until `share` is called then, a sixteenth
            of what remains there is taken: it may be meant for others too.
    """

    def __init__(
        self,
        *,
        max_running: int,
        max_queued: int,
        clock: Clock = SYSTEM_CLOCK,
        limited: Callable[[], None] | None = None,
    ) -> None:
        self.requests = ServerBucket(clock)
        self.tokens = ServerBucket(clock)
        self._clock = clock
        self._all_running = self._max_running = max_running
        self._limited = limited
        if limited is not None:
            self.requests.share(FIRST_SHARE)
            self.tokens.share(FIRST_SHARE)
        self._sent = 0
        self._max_queued = max_queued
        self._window = min(FIRST_WINDOW, float(max_running))
        self._refused = False
        self._blocked_until = 0.0
        self._running: dict[Permit, None] = {}
        self._sent_tokens = 0.0
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._queued = 0
        self._changed = asyncio.Event()  # set and read only while somebody waits
        self._pump: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """Requests in flight."""
        return len(self._running)

    @property
    def queued(self) -> int:
        """Requests waiting."""
        return self._queued

    @property
    def shows_limits(self) -> bool:
        """Whether the server has shown how much it takes, or refused something for it."""
        known = (self.requests.limit, self.tokens.limit)
        return known != (None, None) or self._refused

    @property
    def blocked(self) -> float:
        """Seconds the server wants nothing to be sent."""
        return max(0.0, self._blocked_until - self._clock.now())

    def demand(self) -> int:
        """Return how much is wanted: what runs, what waits, and what was sent since the last."""
        sent, self._sent = self._sent, 0
        return max(len(self._running), sent) + self._queued

    def share(self, part: float) -> None:
        """Take a part of what the server lets through; the rest is for other processes.

        Args:
            part: Above 0, at most 1.
        """
        first = self._limited is not None
        self.requests.share(part, first=first)
        self.tokens.share(part, first=first)
        self._max_running = max(1, round(self._all_running * part))
        self._window = min(self._window, float(self._max_running))
        self._limited = None  # what is one's own is known from now on
        self._wake()

    def pause(self, seconds: float) -> None:
        """Send nothing for a while: the server has refused another process."""
        self._blocked_until = max(self._blocked_until, self._clock.now() + seconds)

    @property
    def window(self) -> float:
        """Requests that may be in flight at once, by what the server has shown."""
        return self._window

    def try_acquire(self, tokens: float) -> Permit | None:
        """Return a permit if one can be had without waiting and nobody waits."""
        if self._queued or self._wait(tokens) != 0.0:
            return None
        return self._take(tokens)

    async def acquire(self, tokens: float, *, tenant: str = "") -> Permit:
        """Wait for a permit; cancelling gives up the place.

        Args:
            tokens: What the request is going to cost.
            tenant: Whom it is for.

        Raises:
            QueueFullError: ``max_queued`` are waiting already.
            ClosedError: The pacer was closed meanwhile.
        """
        permit = self.try_acquire(tokens)
        if permit is not None:
            return permit
        if self._queued >= self._max_queued:
            raise QueueFullError(f"{self._queued} requests are waiting already")
        waiter = _Waiter(tokens, asyncio.get_running_loop().create_future())
        began = self._clock.now()
        self._enqueue(tenant, waiter)
        try:
            permit = await waiter.future
        except BaseException:
            self._leave(tenant, waiter)
            raise
        permit.waited = self._clock.now() - began
        return permit

    def expected_wait(self, tokens: float) -> float:
        """Return the seconds a new request waits at least, as far as limits tell."""
        return max(
            self._blocked_until - self._clock.now(),
            self.requests.seconds_until(1.0 + self._queued),
            self.tokens.seconds_until(tokens),
            0.0,
        )

    def release(self, permit: Permit) -> None:
        """Give a permit back; a second time does nothing."""
        if permit in self._running:
            del self._running[permit]
            self._sent_tokens -= permit.tokens
            if self._queued:
                self._changed.set()

    def succeeded(self) -> None:
        """Take in that the server took a request."""
        if self._window < self._max_running:
            step = 1.0 / self._window if self._refused else 1.0
            self._window = min(self._max_running, self._window + step)
            if self._queued:
                self._changed.set()

    def refused(self, retry_after: float | None) -> None:
        """Take in that the server refused a request for its rate.

        Args:
            retry_after: Seconds it asks to wait, None when it did not say.
        """
        now = self._clock.now()
        if now >= self._blocked_until:
            # One halving for each burst of refusals, not for each of its requests.
            self._window = max(1.0, self._window / 2)
        self._refused = True
        if self._limited is not None:
            self._limited()
        self._blocked_until = max(self._blocked_until, now + (retry_after or 0.0))
        self.requests.empty()

    def told(self, *, limits: dict[str, tuple[float | None, float, float | None]]) -> None:
        """Take in the limits an answer showed: by kind its size, rest, and seconds to reset."""
        if self._limited is not None and limits:
            self._limited()
        if (requests := limits.get("requests")) is not None:
            limit, remaining, reset = requests
            self.requests.told(
                limit=limit, remaining=remaining, reset=reset, on_the_way=len(self._running)
            )
            self._window = float(self._max_running)
        if (tokens := limits.get("tokens")) is not None:
            limit, remaining, reset = tokens
            self.tokens.told(
                limit=limit, remaining=remaining, reset=reset, on_the_way=self._sent_tokens
            )
        self._wake()

    async def aclose(self) -> None:
        """Send everybody away who waits, with a ClosedError."""
        if self._pump is not None:
            await cancel_and_wait(self._pump)
        for queue in self._queues.values():
            for waiter in queue:
                if not waiter.future.done():  # done: cancelled, and its task has yet to run
                    waiter.future.set_exception(
                        ClosedError("this waited for its turn when the client was closed")
                    )

    def _wake(self) -> None:
        """Have the task that serves those who wait look again."""
        if self._queued:
            self._changed.set()

    def _wait(self, tokens: float) -> float | None:
        """Return the seconds until a request fits; None when only a release can tell."""
        if len(self._running) >= self._window:
            return None
        if self.requests.limit is None and self.tokens.limit is None and not self._blocked_until:
            return 0.0  # a server that has shown no limit
        return max(
            0.0,
            self._blocked_until - self._clock.now(),
            self.requests.seconds_until(1.0),
            self.tokens.seconds_until(tokens),
        )

    def _take(self, tokens: float) -> Permit:
        permit = Permit(tokens)
        self._running[permit] = None
        self._sent += 1
        self._sent_tokens += tokens
        if self.requests.limit is not None:
            self.requests.take(1.0)
        if self.tokens.limit is not None:
            self.tokens.take(tokens)
        return permit

    def _enqueue(self, tenant: str, waiter: _Waiter) -> None:
        self._queues.setdefault(tenant, deque()).append(waiter)
        self._queued += 1
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._serve(), name="agentinfra-pacer")

    def _leave(self, tenant: str, waiter: _Waiter) -> None:
        future = waiter.future
        if future.done() and not future.cancelled() and future.exception() is None:
            # Handed over and cancelled before it could be taken.
            self.release(future.result())
        elif tenant in self._queues and waiter in self._queues[tenant]:
            self._queues[tenant].remove(waiter)
            self._queued -= 1
            if not self._queues[tenant]:
                del self._queues[tenant]
        self._changed.set()

    async def _serve(self) -> None:
        while self._queues:
            tenant, queue = next(iter(self._queues.items()))
            wait = self._wait(queue[0].tokens)
            if wait == 0.0:
                self._hand_over(tenant, queue)
                continue
            self._changed.clear()
            when = None if wait is None else self._clock.now() + wait
            try:
                async with self._clock.timeout_at(when):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _hand_over(self, tenant: str, queue: deque[_Waiter]) -> None:
        waiter = queue.popleft()
        self._queued -= 1
        if queue:
            self._queues.move_to_end(tenant)
        else:
            del self._queues[tenant]
        if not waiter.future.done():
            waiter.future.set_result(self._take(waiter.tokens))


@dataclass(slots=True, eq=False)
class _Waiter:
    tokens: float
    future: asyncio.Future[Permit]
