"""What mends a resource: a command to type, or a variable to set."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agentinfra.results import ResourceHealth

__all__ = ["what_mends"]

_INSTALL = re.compile(r"pip install '[^']+'")

_VARIABLES: Final = {
    "cache": "start the Redis that REDIS_URL names, or unset REDIS_URL to cache in memory",
    "redis": "start the Redis that REDIS_URL names, or unset REDIS_URL to cache in memory",
    "tracing": (
        "start the collector that OTEL_EXPORTER_OTLP_ENDPOINT names, or set "
        "OTEL_TRACES_EXPORTER=none"
    ),
    "logging": "see LOG_LEVEL and STRUCTLOG_JSON",
    "metrics": "set AGENTINFRA_METRICS__ENABLED=true",
    "probes": "set AGENTINFRA_RUNTIME__SERVE to a host:port that is free",
}

_MODEL: Final = (
    ("refuses the key", "export OPENAI_API_KEY=... with a key that is valid there"),
    ("AuthenticationError", "export OPENAI_API_KEY=... with a key that is valid there"),
    ("add /v1", "export OPENAI_BASE_URL=... with /v1 at its end"),
    ("cannot be reached", "correct OPENAI_BASE_URL, or start the server it names"),
    ("quota", "pay for more at the account that OPENAI_API_KEY belongs to, or use another one"),
    ("has no embeddings", "name a model of an endpoint with embeddings: {embedding}"),
    ("web page", "correct OPENAI_BASE_URL; log in where the network asks for it"),
    (
        "no model endpoint",
        (
            "export OPENAI_API_KEY=... ; to try without a model: agentinfra serve-fake, "
            "and the two exports it prints"
        ),
    ),
)
"""What a reason of the model's says, and what mends that."""

_EMBEDDING: Final = (
    'AGENTINFRA_LLM__ENDPOINTS=\'{"other": {"base_url": ...}}\' and '
    "AGENTINFRA_LLM__EMBEDDING_MODEL=other/model"
)


def what_mends(row: ResourceHealth, *, embedded: bool) -> str:
    """Return what to do about a resource that is not ready, empty where nothing is to be done.

    Args:
        row: The resource.
        embedded: Whether the database is the embedded one.
    """
    if row.state in ("ready", "disabled"):
        return ""
    if command := _INSTALL.search(row.reason):
        return command[0]
    if row.name == "llm":
        return _model(row.reason)
    if row.name in ("database", "checkpointer"):
        return _database(embedded=embedded)
    return _VARIABLES.get(row.name, "")


def _model(reason: str) -> str:
    for words, remedy in _MODEL:
        if words in reason:
            return remedy.replace("{embedding}", _EMBEDDING)
    return "see the reason; OPENAI_API_KEY, OPENAI_BASE_URL and AGENTINFRA_LLM__MODEL decide"


def _database(*, embedded: bool) -> str:
    if embedded:
        return (
            "name another folder with AGENTINFRA_DATABASE__DATA_DIR, or a server with "
            "DATABASE_URL=postgresql://user:password@host/database"
        )
    return "correct DATABASE_URL or start that server; unset it to use the embedded one"
