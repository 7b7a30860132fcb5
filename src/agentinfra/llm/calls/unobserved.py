"""Telemetry that is switched off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agentinfra.llm.calls.telemetry import LLMTelemetry
from agentinfra.observability.traces.spans import UnrecordedSpan

if TYPE_CHECKING:
    from agentinfra.observability.traces.spans import Span
    from agentinfra.results import LLMResponse, Usage

__all__ = ["Unobserved"]


class Unobserved(LLMTelemetry):
    """Records nothing, for programs that want every microsecond."""

    def started(self, operation: str, model: str, attributes: Mapping[str, Any]) -> Span:
        """Return a stand-in that records nothing."""
        del operation, model, attributes
        return UnrecordedSpan()

    def attempted(self, model: str, operation: str, outcome: str) -> None:
        """Do nothing."""

    def waited(self, seconds: float) -> None:
        """Do nothing."""

    def retrying(self, model: str, error: Exception, attempt: int) -> None:
        """Do nothing."""

    def first_token(self, model: str, seconds: float) -> None:
        """Do nothing."""

    def refused(self, budgets: Sequence[str]) -> None:
        """Do nothing."""

    def finished(self, span: Span, operation: str, response: LLMResponse) -> None:
        """Do nothing."""

    def answered(
        self,
        span: Span,
        operation: str,
        *,
        model: str,
        usage: Usage,
        cost: Decimal | None,
        latency: float,
        attempts: int,
    ) -> None:
        """Do nothing."""

    def failed(self, span: Span, operation: str, *, model: str, error: BaseException) -> None:
        """Do nothing."""

    def book(self, model: str, operation: str, usage: Usage, cost: Decimal | None) -> None:
        """Do nothing."""
