"""What an open client makes its calls with, put together once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agentinfra._mechanics.retry_budget import RetryBudget
from agentinfra.llm.calls.chat import ChatCalls
from agentinfra.llm.calls.embeddings import EmbeddingCalls
from agentinfra.llm.policy.dispatch import Dispatcher
from agentinfra.llm.policy.gate import Gates
from agentinfra.llm.policy.hedging import Hedger
from agentinfra.llm.policy.retry import RetryPolicy
from agentinfra.llm.policy.sharing import SharedPace
from agentinfra.llm.structured.calls import StructuredCalls, Transport

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.calls.telemetry import LLMTelemetry
    from agentinfra.llm.wire.endpoint import Endpoint
    from agentinfra.observability.metrics import Metrics
    from agentinfra.protocols import NoticeBoard, ReplyCache, VectorCache
    from agentinfra.settings import LLMSettings

__all__ = ["Calls"]


class Calls:
    """The kinds of calls, sharing one dispatcher.

    Args:
        settings: The client's settings.
        endpoint: The endpoint called first.
        transport: Makes calls for texts, for structured output.
        telemetry: Where calls leave their traces.
        metrics: Where embeddings that no model made are counted.
        vectors: A cache asked before texts are sent.
        replies: A cache of answers, for calls that want one.
        clock: Where time comes from.
        board: Where processes share the limits of endpoints; None where there is none.
    """

    def __init__(
        self,
        settings: LLMSettings,
        endpoint: Endpoint,
        transport: Transport,
        *,
        telemetry: LLMTelemetry,
        metrics: Metrics,
        vectors: VectorCache | None,
        replies: ReplyCache | None,
        clock: Clock,
        board: NoticeBoard | None = None,
    ) -> None:
        budget = RetryBudget(clock=clock)
        self._endpoint = endpoint
        self._policy = RetryPolicy(max_attempts=settings.max_attempts, budget=budget, clock=clock)
        self._policy.open()
        self.gates = Gates(
            max_running=settings.max_connections,
            max_queued=settings.max_queued,
            clock=clock,
            shared=SharedPace(board, clock) if board and settings.share_limits else None,
        )
        dispatcher = Dispatcher(
            policy=self._policy,
            budget=budget,
            gates=self.gates,
            telemetry=telemetry,
            hedger=Hedger(clock=clock) if settings.hedge else None,
        )
        self.chat = ChatCalls(dispatcher, telemetry, replies=replies, clock=clock)
        self.embeddings = EmbeddingCalls(
            dispatcher, telemetry, metrics=metrics, vectors=vectors, clock=clock
        )
        self.structured = StructuredCalls(
            transport,
            model=settings.model,
            misfit=partial(telemetry.failure, "structured"),
            clock=clock,
        )

    @property
    def weakness(self) -> str:
        """What works with less than it should; empty when nothing does."""
        if self._policy.missing:
            return f"calls are not retried: {self._policy.missing}"
        if self._endpoint.prices.missing:
            return f"costs are unknown: {self._endpoint.prices.missing}"
        return self.gates.weakness

    async def aclose(self) -> None:
        """Send away every call that waits for its turn, and close what dropped streams left."""
        await self.gates.aclose()
        await self.chat.aclose()
