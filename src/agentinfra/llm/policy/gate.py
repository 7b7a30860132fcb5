"""What stands between a call and an endpoint: its circuit breaker, and its pace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    from agentinfra._mechanics.deadline import Deadline
    from agentinfra.llm.wire.endpoint import Target

__all__ = ["Gate", "Gates", "Pass"]

_SHOWS_LIMITS = "x-ratelimit-remaining-requests"
_SHOWS_TOKENS = "x-ratelimit-remaining-tokens"
_BROKEN = (LLMConnectionError, LLMResponseError, ServerError)


class Gate:
    """Lets requests of one model through to one endpoint.

    Args:
        name: The endpoint and model, for errors.
        breaker: The endpoint's; its models share it.
        max_running: Requests in flight at most.
        max_queued: Requests waiting at most.
        clock: Where time comes from.
    """

    def __init__(
        self,
        name: str,
        breaker: CircuitBreaker,
        *,
        max_running: int,
        max_queued: int,
        clock: Clock,
    ) -> None:
        self.name = name
        self.breaker = breaker
        self.pacer = Pacer(max_running=max_running, max_queued=max_queued, clock=clock)

    async def enter(self, tokens: float, *, tenant: str, deadline: Deadline) -> Pass:
        """Wait for leave to send one request.

        Args:
            tokens: What it is going to cost.
            tenant: Whom it is for.
            deadline: When the call has to be over.

        Raises:
            CircuitOpenError: The endpoint failed too often of late.
            RateLimitedError: Too many wait already, or the limit leaves no room in time.
            LLMTimeoutError: The deadline passed while waiting.
        """
        admission = self.breaker.admit()
        if admission is None:
            wait = self.breaker.retry_after
            raise CircuitOpenError(
                f"{self.name} failed too often of late: it is tried again in {wait:.1f} s",
                retry_after=wait,
            )
        try:
            permit = self.pacer.try_acquire(tokens)
            if permit is None:
                permit = await self._wait(tokens, tenant, deadline)
        except BaseException:
            admission.end(ok=None)
            raise
        return Pass(self.pacer, admission, permit)

    async def _wait(self, tokens: float, tenant: str, deadline: Deadline) -> Permit:
        expected = self.pacer.expected_wait(tokens)
        if not deadline.allows(expected):
            raise RateLimitedError(
                f"the rate limit of {self.name} leaves no room for {expected:.1f} s, which is past "
                "the call's deadline",
                retry_after=expected,
            )
        try:
            async with deadline.timeout():
                return await self.pacer.acquire(tokens, tenant=tenant)
        except QueueFullError as error:
            raise RateLimitedError(
                f"{self.name}: {error}; raise Settings.llm.max_queued or send less"
            ) from error
        except TimeoutError as error:
            raise LLMTimeoutError(f"the deadline passed while waiting for {self.name}") from error


class Gates:
    """The gates of a client: one for each model of each endpoint, for that is what limits are for.

    Args:
        max_running: Requests in flight at most, through each gate.
        max_queued: Requests waiting at most, before each gate.
        clock: Where time comes from.
    """

    def __init__(self, *, max_running: int, max_queued: int, clock: Clock) -> None:
        self._gates: dict[tuple[str, str], Gate] = {}
        self._max_running = max_running
        self._max_queued = max_queued
        self._clock = clock

    def __iter__(self) -> Iterator[Gate]:
        return iter(self._gates.values())

    def of(self, target: Target) -> Gate:
        """Return what requests to a target pass."""
        key = (target.endpoint.name, target.model)
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = Gate(
                target.label,
                target.endpoint.breaker,
                max_running=self._max_running,
                max_queued=self._max_queued,
                clock=self._clock,
            )
        return gate

    async def aclose(self) -> None:
        """Send away who waits."""
        for gate in self:
            await gate.pacer.aclose()


class Pass:
    """Leave to send one request; ended in exactly one of three ways."""

    __slots__ = ("_admission", "_pacer", "_permit")

    def __init__(self, pacer: Pacer, admission: Admission, permit: Permit) -> None:
        self._pacer = pacer
        self._admission = admission
        self._permit = permit

    @property
    def waited(self) -> float:
        """Seconds the request was held back."""
        return self._permit.waited

    def answered(self, headers: Mapping[str, str]) -> None:
        """The endpoint answered; its headers may show its limits."""
        self._admission.end(ok=True)
        self._pacer.release(self._permit)
        self._pacer.succeeded()
        if _SHOWS_LIMITS in headers or _SHOWS_TOKENS in headers:
            self._pacer.told(limits=limits_in(headers))

    def failed(self, error: LLMError) -> None:
        """The request failed."""
        if isinstance(error, RateLimitedError):
            self._admission.end(ok=None)
            self._pacer.refused(error.retry_after)
        else:
            # An endpoint that refuses a bad request is in good health.
            self._admission.end(ok=not isinstance(error, _BROKEN))
        self._pacer.release(self._permit)

    def abandoned(self) -> None:
        """The caller was cancelled."""
        self._admission.end(ok=None)
        self._pacer.release(self._permit)
