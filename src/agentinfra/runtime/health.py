"""How the resources are: rows for people, a metric for machines, a warning where one is less."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from agentinfra.observability import semconv
from agentinfra.observability.logging import get_logger
from agentinfra.results import HealthReport, ResourceHealth

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from agentinfra._mechanics.resource import Resource
    from agentinfra.observability.metrics import Metrics
    from agentinfra.settings.origins import SettingsWarning

__all__ = ["HEALTH_TIMEOUT", "Health"]

log = get_logger("agentinfra.runtime")

HEALTH_TIMEOUT = 5.0
"""Seconds one resource gets to say how it is."""


class Health:
    """Knows the resources that have a row, and keeps the metric of their states.

    Args:
        metrics: Has the metric.
        required: Names of the resources that may not be degraded.
        warnings: What of the settings could not be used, for the rows of the resources.
    """

    def __init__(
        self,
        metrics: Metrics,
        required: Container[str],
        warnings: Sequence[SettingsWarning] = (),
    ) -> None:
        self._metrics = metrics
        self._warnings = warnings
        self._required = required
        self._shown: list[Resource] = []

    def show(self, *resources: Resource) -> None:
        """Give resources a row each, after those that have one."""
        for resource in resources:
            self._shown.append(resource)
            resource.watch(self._note)

    async def report(self) -> HealthReport:
        """Ask every resource, side by side."""
        rows = await asyncio.gather(*map(self._ask, self._shown))
        for row in rows:  # an answer may say more than the state that was known
            self._gauge(row.name, row.state)
        return HealthReport(resources=tuple(rows))

    def opened(self, resource: Resource) -> None:
        """Take in that opening a resource was tried."""
        if resource in self._shown:
            self._note(resource)
        if resource.state in ("degraded", "failed"):
            log.warning("runtime.resource_degraded", resource=resource.name, reason=resource.reason)

    def _note(self, resource: Resource) -> None:
        self._gauge(resource.name, resource.state)

    def _gauge(self, name: str, state: str) -> None:
        bad = state in ("degraded", "failed")
        self._metrics.gauge(semconv.RESOURCE_STATE, name).set(1.0 if bad else 0.0)
        # At 0 from now on: a series that begins with its first failure hides it from rates.
        self._metrics.counter(semconv.CLOSE_FAILURES, name)

    async def _ask(self, resource: Resource) -> ResourceHealth:
        row = self._noted(await _answer(resource))
        if row.state == "degraded" and row.name in self._required:
            return replace(row, state="failed")
        return row

    def _noted(self, row: ResourceHealth) -> ResourceHealth:
        """Return a row that also says what of the settings could not be used."""
        told = [warned.sentence for warned in self._warnings if warned.resource == row.name]
        if not told:
            return row
        if row.state == "ready":
            return replace(row, detail="; ".join(filter(None, (row.detail, *told))))
        return replace(row, reason="; ".join(filter(None, (row.reason, *told))))


async def _answer(resource: Resource) -> ResourceHealth:
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT):
            return await resource.probe()
    except TimeoutError:
        reason = f"did not answer within {HEALTH_TIMEOUT:g} s"
    except Exception as error:  # noqa: BLE001 - a health report reports, it does not fail
        reason = f"{type(error).__name__}: {error}"
    return ResourceHealth(name=resource.name, state="failed", reason=reason)
