"""One call's way to an answer: attempts, retries, and the next model when all of them failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from agentinfra._mechanics.deadline import Deadline
from agentinfra._mechanics.identifiers import random_hex
from agentinfra.errors import (
    BadRequestError,
    ContextLengthError,
    LLMError,
    LLMUnavailableError,
)

if TYPE_CHECKING:
    from agentinfra._mechanics.retry_budget import RetryBudget
    from agentinfra.llm.policy.gate import Gates
    from agentinfra.llm.policy.hedging import Hedger
    from agentinfra.llm.policy.retry import RetryPolicy
    from agentinfra.llm.wire.endpoint import Target

__all__ = ["Call", "Dispatcher"]

T = TypeVar("T")
A = TypeVar("A", bound="Answered")


@dataclass(slots=True, kw_only=True)
class Call:
    """One call under way.

    Attributes:
        operation: ``chat`` or ``embeddings``.
        deadline: When it has to be over.
        patience: Seconds one attempt may take.
        started: When it began, on the client's clock.
        tokens: What it is going to cost in the endpoint's rate limit, about.
        tenant: Whom it is for; tenants take turns where calls wait.
        attempts: Requests sent so far.
        hedged: Requests sent beside another, to be first.
        waited: Seconds it was held back.
        target: Where the answer came from.
        fallback: Why that is not where it was meant to come from.
        key: The idempotency key, the same for every attempt.
    """

    operation: str
    deadline: Deadline
    patience: float
    started: float
    tokens: float = 1.0
    tenant: str = ""
    attempts: int = 0
    hedged: int = 0
    waited: float = 0.0
    target: Target | None = None
    fallback: str | None = None
    key: str = field(default_factory=lambda: f"agentinfra-{random_hex(16)}")


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

    def waited(self, seconds: float) -> None:
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
        read: Callable[[A], T],
        *,
        hedge: bool = False,
    ) -> T:
        """Return what the first target that answers gives.

        Args:
            call: The call; its attempts, target, waits and fallback are filled in.
            targets: Where to send it, in order of preference.
            send: Sends one request.
            read: Reads what came; what it refuses is a failure of the attempt.
            hedge: Whether a second request may be sent beside a slow one.

        Raises:
            LLMError: What the last target's last attempt raised.
        """
        self._budget.deposit()
        for target in targets:
            call.target = target
            one = partial(self._attempt, target, call, send, read)
            if hedge and self._hedger is not None:
                on_second = partial(_hedged, call)
                one = partial(self._hedger.run, target.label, one, on_second=on_second)
            try:
                return await one()
            except LLMError as error:
                first = error
            try:
                return await self._again(first, one, target, call)
            except LLMError as error:
                if target is targets[-1] or not _may_fall_back(error):
                    raise
                call.fallback = f"{target.label} failed: {type(error).__name__}"
                self._telemetry.retrying(target.model, error, call.attempts)
        raise LLMUnavailableError("no model is configured: set Settings.llm.model")

    async def _again(
        self, first: LLMError, one: Callable[[], Awaitable[T]], target: Target, call: Call
    ) -> T:
        if not self._policy.worth_it(first):
            raise first
        self._telemetry.retrying(target.model, first, call.attempts)
        return await self._policy.again(first, one, deadline=call.deadline)

    async def _attempt(
        self,
        target: Target,
        call: Call,
        send: Callable[[Target], Awaitable[A]],
        read: Callable[[A], T],
    ) -> T:
        gate = self._gates.of(target)
        leave = await gate.enter(call.tokens, tenant=call.tenant, deadline=call.deadline)
        if leave.waited:
            call.waited += leave.waited
            self._telemetry.waited(leave.waited)
        call.attempts += 1
        try:
            answer = await send(target)
            value = read(answer)
        except LLMError as error:
            leave.failed(error)
            self._telemetry.attempted(target.model, call.operation, type(error).__name__)
            raise
        except BaseException:
            leave.abandoned()
            raise
        leave.answered(answer.headers)
        self._telemetry.attempted(target.model, call.operation, "ok")
        return value


def _hedged(call: Call) -> None:
    call.hedged += 1


def _may_fall_back(error: LLMError) -> bool:
    """Return whether another model could do better: never with a request that is itself bad."""
    return not isinstance(error, BadRequestError) or isinstance(error, ContextLengthError)
