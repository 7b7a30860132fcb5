"""One call's way to an answer: attempts, retries, and the next model when all of them failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from agentinfra.errors import (
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    LLMError,
    LLMTimeoutError,
    LLMUnavailableError,
)
from agentinfra.observability import semconv

if TYPE_CHECKING:
    from agentinfra._mechanics.retry_budget import RetryBudget
    from agentinfra.llm.policy.call import Call
    from agentinfra.llm.policy.gate import Gates
    from agentinfra.llm.policy.hedging import Hedger
    from agentinfra.llm.policy.retry import RetryPolicy
    from agentinfra.llm.wire.endpoint import Target

__all__ = ["Dispatcher"]

A = TypeVar("A", bound="Answered")

_ELSEWHERE = frozenset({404, 410, 501})
"""Statuses by which an endpoint says that it has no such model or operation, or no more."""


class Answered(Protocol):
    """What a request gave: a whole reply or an open stream."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers."""
        ...


class Witness(Protocol):
    """Who is told of a call's requests."""

    def attempted(self, model: str, operation: str, outcome: str) -> None:
        """Count one request sent."""
        ...

    def waited(self, reason: str, seconds: float) -> None:
        """Record that a request was held back."""
        ...

    def retrying(self, model: str, error: Exception, attempt: int) -> None:
        """Say that a request failed and is going to be sent again or elsewhere."""
        ...


class Dispatcher:
    """Sends calls; shared by all calls of a client.

    Args:
        policy: When to send again.
        budget: Bounds retries over all calls.
        gates: What requests pass before they are sent.
        telemetry: Where attempts are counted.
        hedger: Sends second requests beside slow ones; None never does.
    """

    def __init__(
        self,
        *,
        policy: RetryPolicy,
        budget: RetryBudget,
        gates: Gates,
        telemetry: Witness,
        hedger: Hedger | None,
    ) -> None:
        self._policy = policy
        self._gates = gates
        self._budget = budget
        self._telemetry = telemetry
        self._hedger = hedger

    @property
    def hedges(self) -> bool:
        """Whether a call may have two requests under way at once."""
        return self._hedger is not None

    async def run(
        self,
        call: Call,
        targets: Sequence[Target],
        send: Callable[[Target], Awaitable[A]],
        *,
        hedge: bool = False,
    ) -> A:
        """Return what the first target that answers gives.

        Args:
            call: The call; its attempts, target, waits and fallback are filled in.
            targets: Where to send it, in order of preference.
            send: Sends one request and reads what came; what it refuses to read is a failure of
                the attempt.
            hedge: Whether a second request may be sent beside a slow one.

        Raises:
            LLMError: What the last target's last attempt raised.
        """
        self._budget.deposit()
        for place, target in enumerate(targets):
            call.target = target
            following = targets[place + 1] if place + 1 < len(targets) else None
            one = partial(self._attempt, target, call, send)
            if hedge and self._hedger is not None:
                on_second = partial(_hedged, call)
                one = partial(self._hedger.run, target.label, one, on_second=on_second)
            try:
                return await one()
            except LLMError as error:
                first = error
            try:
                return await self._again(first, one, target, call, following)
            except LLMError as error:
                if following is None or not _may_fall_back(error):
                    raise
                self._fell_back(call, target, following, error)
        raise LLMUnavailableError("no model is configured: set Settings.llm.model")

    def _fell_back(self, call: Call, target: Target, following: Target, error: LLMError) -> None:
        if not (target.route and target.route == following.route):
            call.fallback = f"{target.label} failed: {type(error).__name__}"
        call.note(
            semconv.EVENT_FALLBACK,
            {"from": target.label, "to": following.label, semconv.ERROR_TYPE: type(error).__name__},
        )
        self._telemetry.retrying(target.model, error, call.attempts)

    async def _again(
        self,
        first: LLMError,
        one: Callable[[], Awaitable[A]],
        target: Target,
        call: Call,
        following: Target | None,
    ) -> A:
        # Another endpoint of the same model is asked before this one is asked again.
        elsewhere = following is not None and target.route and target.route == following.route
        if elsewhere or not self._policy.worth_it(first):
            raise first
        self._telemetry.retrying(target.model, first, call.attempts)

        def waiting(seconds: float) -> None:
            call.waited += seconds
            call.note(semconv.EVENT_RETRY, {"attempt": call.attempts, semconv.WAIT: seconds})
            self._telemetry.waited("retry", seconds)

        return await self._policy.again(first, one, allows=call.allows, waiting=waiting)

    async def _attempt(
        self,
        target: Target,
        call: Call,
        send: Callable[[Target], Awaitable[A]],
    ) -> A:
        if call.deadline.passed:
            raise LLMTimeoutError(
                "the call's deadline has passed: nothing was sent", impatient=True
            )
        gate = self._gates.of(target, call.operation)
        leave = await gate.enter(call)
        if leave.waited:
            call.waited += leave.waited
            call.note(semconv.EVENT_WAIT, {"reason": "pace", semconv.WAIT: leave.waited})
            self._telemetry.waited("pace", leave.waited)
        call.attempts += 1
        try:
            answer = await send(target)
        except LLMError as error:
            leave.failed(error)
            call.note(
                semconv.EVENT_ATTEMPT_FAILED,
                {
                    "attempt": call.attempts,
                    "target": target.label,
                    semconv.ERROR_TYPE: type(error).__name__,
                },
            )
            self._telemetry.attempted(target.model, call.operation, type(error).__name__)
            raise
        except BaseException:
            leave.abandoned()
            raise
        leave.answered(answer.headers)
        self._telemetry.attempted(target.model, call.operation, "ok")
        return answer


def _hedged(call: Call) -> None:
    call.hedged += 1
    call.note(semconv.EVENT_HEDGE, {"attempt": call.attempts + 1})


def _may_fall_back(error: LLMError) -> bool:
    """Return whether another model could do better.

    Never with a request that is itself bad; a model that is not there, a filter of one maker and
    a window that is too small are no such thing.
    """
    if not isinstance(error, BadRequestError):
        return True
    if isinstance(error, ContextLengthError | ContentFilterError):
        return True
    return error.status_code in _ELSEWHERE or error.code in (
        "model_not_found",
        "DeploymentNotFound",
    )
