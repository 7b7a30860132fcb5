"""The settings: one group a resource, from arguments, the environment and ``.env``.

``Settings`` is the only reader of the environment. Names are ``AGENTINFRA_<GROUP>__<FIELD>``;
the names people already have set (``OPENAI_API_KEY``, ``DATABASE_URL`` ...) work too and give
way to ours. Arguments win over the environment, the environment over ``.env``.
"""

from __future__ import annotations

from agentinfra.settings.groups import (
    CacheSettings,
    CheckpointerSettings,
    DatabaseSettings,
    EndpointSettings,
    LLMSettings,
    LoggingSettings,
    MetricsSettings,
    ModelPrice,
    RuntimeSettings,
    TracingSettings,
)
from agentinfra.settings.settings import Settings

__all__ = [
    "CacheSettings",
    "CheckpointerSettings",
    "DatabaseSettings",
    "EndpointSettings",
    "LLMSettings",
    "LoggingSettings",
    "MetricsSettings",
    "ModelPrice",
    "RuntimeSettings",
    "Settings",
    "TracingSettings",
]
