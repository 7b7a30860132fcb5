"""Leaving a runtime: what went wrong on the way, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentinfra.observability import semconv
from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Container

    from agentinfra._mechanics.resource import Resource
    from agentinfra.observability.metrics import Metrics

__all__ = ["Leaving"]

log = get_logger("agentinfra.runtime")


class Leaving:
    """The account of one leaving.

    Each failure is logged and counted at once, while log and metrics are still open. Whatever
    left the block comes out as it was, with the failures as notes on it. Only where nothing left
    the block is the failure of a required resource raised.

    Args:
        metrics: Where failures are counted.
        required: Names of the resources whose failure is raised.
    """

    def __init__(self, metrics: Metrics, required: Container[str]) -> None:
        self._metrics = metrics
        self._required = required
        self._failures: list[tuple[Resource, Exception]] = []

    def failed(self, resource: Resource, error: Exception) -> None:
        """Take down that a resource could not be closed in order."""
        self._failures.append((resource, error))
        self._metrics.counter(semconv.CLOSE_FAILURES, resource.name).inc()
        log.warning(
            "runtime.close_failed", resource=resource.name, error=f"{type(error).__name__}: {error}"
        )

    def note(self, left: BaseException) -> None:
        """Put the failures as notes on what left the block, or on what is going to be raised."""
        for resource, error in self._failures:
            if error is not left:
                left.add_note(f"closing {resource.name} failed: {type(error).__name__}: {error}")

    def raise_required(self) -> None:
        """Raise the first failure of a required resource, with the others as notes."""
        for resource, error in self._failures:
            if resource.name in self._required:
                self.note(error)
                raise error
