"""The settings: one group a resource, from arguments, the environment and ``.env``.

``Settings`` is the only reader of the environment, and knows of each value where it comes from.
Names are ``AGENTINFRA_<GROUP>__<FIELD>``; the names people already have set (``OPENAI_API_KEY``,
``DATABASE_URL`` ...) work too and give way to ours. Arguments win over the environment, the
environment over ``.env``.
"""

from __future__ import annotations

from agentinfra.settings.groups import (
    BudgetsSettings,
    CacheSettings,
    CheckpointerSettings,
    DatabaseSettings,
    EndpointSettings,
    LLMSettings,
    LoggingSettings,
    MetricsSettings,
    ModelPrice,
    RuntimeSettings,
    StoreSettings,
    TracingSettings,
)
from agentinfra.settings.origins import Origin, SettingsWarning
from agentinfra.settings.secret import Secret
from agentinfra.settings.settings import Settings
from agentinfra.settings.url import CollectorUrl, DatabaseUrl, HttpUrl, RedisUrl, Url

__all__ = [
    "BudgetsSettings",
    "CacheSettings",
    "CheckpointerSettings",
    "CollectorUrl",
    "DatabaseSettings",
    "DatabaseUrl",
    "EndpointSettings",
    "HttpUrl",
    "LLMSettings",
    "LoggingSettings",
    "MetricsSettings",
    "ModelPrice",
    "Origin",
    "RedisUrl",
    "RuntimeSettings",
    "Secret",
    "Settings",
    "SettingsWarning",
    "StoreSettings",
    "TracingSettings",
    "Url",
]
