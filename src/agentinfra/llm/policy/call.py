"""One call under way: how long it may take, and what has happened to it so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from agentinfra._mechanics.identifiers import random_hex

if TYPE_CHECKING:
    from agentinfra._mechanics.deadline import Deadline
    from agentinfra.llm.wire.endpoint import Target
    from agentinfra.observability.tracing import Span

__all__ = ["Call"]


class Call(msgspec.Struct, kw_only=True):
    """One call under way.

    Attributes:
        operation: ``chat`` or ``embeddings``.
        deadline: When it has to be over.
        patience: Seconds one attempt may take; None has no end.
        longest_wait: Seconds it waits at once where it has no deadline; None has no end.
        started: When it began, on the client's clock.
        tokens: What it is going to cost in the endpoint's rate limit, about.
        tenant: Whom it is for; tenants take turns where calls wait.
        attempts: Requests sent so far.
        hedged: Requests sent beside another, to be first.
        waited: Seconds it was held back.
        target: Where the answer came from.
        fallback: Why that is not where it was meant to come from.
        span: The span that tells of it.
        key: The idempotency key, the same for every attempt.
    """

    operation: str
    deadline: Deadline
    patience: float | None
    longest_wait: float | None
    started: float
    tokens: float = 1.0
    tenant: str = ""
    attempts: int = 0
    hedged: int = 0
    waited: float = 0.0
    target: Target | None = None
    fallback: str | None = None
    span: Span | None = None
    key: str = msgspec.field(default_factory=lambda: f"agentinfra-{random_hex(16)}")

    @property
    def until(self) -> float | None:
        """When waiting before it is sent has to end, by the clock of its deadline."""
        if self.deadline.at is not None or self.longest_wait is None:
            return self.deadline.at
        return self.started + self.longest_wait

    def allows(self, seconds: float) -> bool:
        """Return whether it may wait so long at once.

        A caller who gave a deadline has asked for the waits before it; one who gave none has
        asked for none, and waits as long as the settings let it.
        """
        if self.deadline.at is not None:
            return self.deadline.allows(seconds)
        return self.longest_wait is None or seconds <= self.longest_wait

    def note(self, event: str, attributes: Mapping[str, Any]) -> None:
        """Have the call's span tell of something that happened at this moment."""
        if self.span is not None:
            self.span.event(event, attributes)
