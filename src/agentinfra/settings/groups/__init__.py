"""The groups of settings, one for each resource."""

from __future__ import annotations

from agentinfra.settings.groups.budgets import (
    BudgetsSettings,
)
from agentinfra.settings.groups.cache import (
    CacheSettings,
)
from agentinfra.settings.groups.checkpointer import (
    CheckpointerSettings,
)
from agentinfra.settings.groups.database import (
    DatabaseSettings,
)
from agentinfra.settings.groups.llm import (
    EndpointSettings,
    LLMSettings,
    ModelPrice,
)
from agentinfra.settings.groups.observability import (
    LoggingSettings,
    MetricsSettings,
    TracingSettings,
)
from agentinfra.settings.groups.runtime import (
    RuntimeSettings,
)
from agentinfra.settings.groups.store import (
    StoreSettings,
)

__all__ = [
    "BudgetsSettings",
    "CacheSettings",
    "CheckpointerSettings",
    "DatabaseSettings",
    "EndpointSettings",
    "LLMSettings",
    "LoggingSettings",
    "MetricsSettings",
    "ModelPrice",
    "RuntimeSettings",
    "StoreSettings",
    "TracingSettings",
]
