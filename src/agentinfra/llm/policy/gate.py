"""What stands between a call and an endpoint: its circuit breaker, and its pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from agentinfra._mechanics.breaker import Admission, CircuitBreaker
from agentinfra._mechanics.pacer import Pacer, Permit, QueueFullError
from agentinfra.errors import (
    CircuitOpenError,
    LLMConnectionError,
    LLMError,
    LLMResponseError,
    LLMTimeoutError,
    RateLimitedError,
    ServerError,
)
from agentinfra.llm.policy.ratelimit import limits_in

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.policy.call import Call
    from agentinfra.llm.policy.sharing import SharedPace
    from agentinfra.llm.wire.endpoint import Target

__all__ = ["Gate", "Gates", "Health", "Pass"]

_SHOWS_LIMITS = "x-ratelimit-remaining-requests"
_SHOWS_TOKENS = "x-ratelimit-remaining-tokens"


class Health:
    """How one operation of one endpoint is doing; its models share it.

    Embeddings that an endpoint does not have say nothing of its chat.

    Args:
        name: The endpoint.
        operation: ``chat`` or ``embeddings``.
        clock: Where time comes from.
    """

    def __init__(self, name: str, operation: str, clock: Clock) -> None:
        self.name = name
        self.operation = operation
        self.breaker = CircuitBreaker(clock=clock)
        self.cause: LLMError | None = None
        self._clock = clock
        self._cool_until = 0.0

    @property
    def cooling(self) -> bool:
        """Whether it is better left alone for now, where another endpoint has the model."""
        return self.breaker.state == "open" or self._cool_until > self._clock.now()

    def cool(self, seconds: float) -> None:
        """Leave it alone for a while."""
        self._cool_until = max(self._cool_until, self._clock.now() + seconds)

    def open_error(self, label: str) -> CircuitOpenError:
        """Return the error for who is not let through."""
        wait = self.breaker.retry_after
        said = f"; the last failure: {self.cause}" if self.cause is not None else ""
        error = CircuitOpenError(
            f"{label} failed too often of late: {self.operation} is tried again in "
            f"{wait:.1f} s{said}",
            retry_after=wait,
        )
        error.__cause__ = self.cause
        return error


class Gate:
    """Lets requests of one model through to one endpoint.

    Args:
        name: The endpoint and model, for errors.
        health: The endpoint's, of this operation.
        max_running: Requests in flight at most.
        max_queued: Requests waiting at most.
        clock: Where time comes from.
        follow: Shares the pacer's limits with other processes; None where there are none.
    """

    def __init__(
        self,
        name: str,
        health: Health,
        *,
        max_running: int,
        max_queued: int,
        clock: Clock,
        follow: Callable[[Pacer], None] | None = None,
    ) -> None:
        self.name = name
        self.health = health
        self.pacer = Pacer(
            max_running=max_running,
            max_queued=max_queued,
            clock=clock,
            limited=None if follow is None else self._limited,
        )
        self._follow = follow
        self._clock = clock

    def _limited(self) -> None:
        if self._follow is not None:
            self._follow(self.pacer)

    async def enter(self, call: Call) -> Pass:
        """Wait for leave to send one request of a call.

        Raises:
            CircuitOpenError: The endpoint failed too often of late.
            RateLimitedError: Too many wait already, or the limit leaves no room in time.
            LLMTimeoutError: The deadline passed while waiting.
        """
        admission = self.health.breaker.admit()
        if admission is None:
            raise self.health.open_error(self.name)
        try:
            permit = self.pacer.try_acquire(call.tokens)
            if permit is None:
                permit = await self._wait(call)
        except BaseException:
            admission.end(ok=None)
            raise
        return Pass(self, admission, permit, call.longest_wait)

    async def _wait(self, call: Call) -> Permit:
        expected = self.pacer.expected_wait(call.tokens)
        if not call.allows(expected):
            raise RateLimitedError(
                f"the rate limit of {self.name} leaves no room for {expected:.1f} s, which is "
                "longer than the call may wait (its deadline, or Settings.llm.longest_wait)",
                retry_after=expected,
            )
        # Without a deadline nobody has asked for this wait: it is bounded all the same.
        within = None if call.deadline.at is not None else call.longest_wait
        try:
            async with call.deadline.timeout(within):
                return await self.pacer.acquire(call.tokens, tenant=call.tenant)
        except QueueFullError as error:
            raise RateLimitedError(
                f"{self.name}: {error}; raise Settings.llm.max_queued or send less"
            ) from error
        except TimeoutError as error:
            if call.deadline.at is None:
                raise RateLimitedError(
                    f"{self.name} had no room for {within:g} s: give the call a deadline, or "
                    "raise Settings.llm.longest_wait, to wait longer"
                ) from error
            raise LLMTimeoutError(
                f"the deadline passed while waiting for {self.name}", impatient=True
            ) from error


class Gates:
    """The gates of a client: one for each model of each endpoint, for that is what limits are for.

    Args:
        max_running: Requests in flight at most, through each gate.
        max_queued: Requests waiting at most, before each gate.
        clock: Where time comes from.
        shared: Shares limits with other processes; None where there are none.
    """

    def __init__(
        self,
        *,
        max_running: int,
        max_queued: int,
        clock: Clock,
        shared: SharedPace | None = None,
    ) -> None:
        self._shared = shared
        self._gates: dict[tuple[str, str, str], Gate] = {}
        self._healths: dict[tuple[str, str], Health] = {}
        self._max_running = max_running
        self._max_queued = max_queued
        self._clock = clock

    def __iter__(self) -> Iterator[Gate]:
        return iter(self._gates.values())

    def of(self, target: Target, operation: str) -> Gate:
        """Return what requests to a target pass."""
        key = (target.endpoint.name, target.model, operation)
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = Gate(
                target.label,
                self.health(target.endpoint.name, operation),
                max_running=self._max_running,
                max_queued=self._max_queued,
                clock=self._clock,
                follow=self._follower(target, operation),
            )
        return gate

    def _follower(self, target: Target, operation: str) -> Callable[[Pacer], None] | None:
        if self._shared is None:
            return None
        topic = f"pace:{target.endpoint.account}:{target.model}:{operation}"
        return partial(self._shared.follow, topic)

    def health(self, endpoint: str, operation: str) -> Health:
        """Return how an operation of an endpoint is doing."""
        key = (endpoint, operation)
        if key not in self._healths:
            self._healths[key] = Health(endpoint, operation, self._clock)
        return self._healths[key]

    @property
    def weakness(self) -> str:
        """What endpoints suffer from; empty when nothing."""
        suffered = [
            f"the endpoint {health.name!r} failed too often of late ({health.operation}); it is "
            f"tried again in {health.breaker.retry_after:.0f} s"
            for health in self._healths.values()
            if health.breaker.state != "closed"
        ]
        if self._shared is not None and self._shared.failing:
            suffered.append(f"limits are not shared with other processes: {self._shared.failing}")
        return "; ".join(suffered)

    async def aclose(self) -> None:
        """Send away who waits, and tell other processes that nothing more is sent."""
        if self._shared is not None:
            await self._shared.aclose()
        for gate in self:
            await gate.pacer.aclose()


class Pass:
    """Leave to send one request; ended in exactly one of three ways."""

    __slots__ = ("_admission", "_gate", "_longest", "_permit")

    def __init__(
        self, gate: Gate, admission: Admission, permit: Permit, longest: float | None
    ) -> None:
        self._gate = gate
        self._admission = admission
        self._permit = permit
        self._longest = longest

    @property
    def waited(self) -> float:
        """Seconds the request was held back."""
        return self._permit.waited

    def answered(self, headers: Mapping[str, str]) -> None:
        """The endpoint answered; its headers may show its limits."""
        pacer = self._gate.pacer
        self._admission.end(ok=True)
        pacer.release(self._permit)
        pacer.succeeded()
        if _SHOWS_LIMITS in headers or _SHOWS_TOKENS in headers:
            pacer.told(limits=limits_in(headers))

    def failed(self, error: LLMError) -> None:
        """The request failed."""
        health, pacer = self._gate.health, self._gate.pacer
        ok = _says_of_the_endpoint(error)
        if ok is not True:
            health.cause = error
            health.cool(_cool_down(error))
        self._admission.end(ok=ok)
        if isinstance(error, RateLimitedError):
            pacer.refused(_bounded(error.retry_after, self._longest))
        pacer.release(self._permit)

    def abandoned(self) -> None:
        """The caller was cancelled."""
        self._admission.end(ok=None)
        self._gate.pacer.release(self._permit)


COOL_DOWN = 5.0
"""Seconds an endpoint is left alone after a failure, where others have the model too."""


def _says_of_the_endpoint(error: LLMError) -> bool | None:
    """Return whether a failure shows an endpoint alive or broken; None where it shows neither.

    A caller's own impatience shows neither, nor does an answer of one model that nobody can read.
    An endpoint that refuses a bad request is in good health.
    """
    if isinstance(error, RateLimitedError | LLMResponseError):
        return None
    if isinstance(error, LLMTimeoutError) and error.impatient:
        return None
    return not isinstance(error, LLMConnectionError | ServerError)


def _cool_down(error: LLMError) -> float:
    wait = getattr(error, "retry_after", None)
    return max(COOL_DOWN, min(float(wait), 60.0)) if wait else COOL_DOWN


def _bounded(wait: float | None, longest: float | None) -> float | None:
    """Return a wait that an endpoint asks for, no longer than anybody is going to wait."""
    return wait if wait is None or longest is None else min(wait, longest)
