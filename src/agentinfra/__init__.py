"""agentinfra: the infrastructure layer of async LLM agents.

One ``async with InfraRuntime() as rt:`` in each event loop gives an LLM client, a database with
vectors, caches, logs, metrics, traces and a LangGraph checkpointer. Importing this package loads
none of the packages behind them; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentinfra._mechanics.resource import Resource
    from agentinfra.cache.caches import (
        EmbeddingCache,
        ResponseCache,
        RoutingCache,
    )
    from agentinfra.cache.keys import normalize_text
    from agentinfra.db.database import Database
    from agentinfra.db.vectors.store import VectorStore
    from agentinfra.errors import (
        AgentInfraError,
        AuthenticationError,
        BadRequestError,
        BudgetExceededError,
        BudgetUnavailableError,
        CacheError,
        CheckpointError,
        CircuitOpenError,
        ClosedError,
        ConfigurationError,
        ConnectionLostError,
        ContentFilterError,
        ContextLengthError,
        DatabaseError,
        DimensionMismatchError,
        EmbeddingModelMismatchError,
        JSONExtractionError,
        LifecycleError,
        LLMConnectionError,
        LLMError,
        LLMResponseError,
        LLMStatusError,
        LLMStreamInterruptedError,
        LLMTimeoutError,
        LLMUnavailableError,
        NotStartedError,
        OutputCutOffError,
        OutputFilteredError,
        OutputRefusedError,
        PoolTimeoutError,
        QueryError,
        QuotaExceededError,
        RateLimitedError,
        ReadOnlyViolationError,
        ServerError,
        StatementTimeoutError,
        StructuredOutputError,
        VectorError,
        WrongLoopError,
    )
    from agentinfra.graphs import instrument_graph
    from agentinfra.jsontext.extract import extract_json
    from agentinfra.llm.calls.stream import LLMStream
    from agentinfra.llm.client import AsyncLLMClient
    from agentinfra.llm.money.budget import Budget
    from agentinfra.observability.logging import (
        bind_context,
        clear_context,
        get_logger,
    )
    from agentinfra.observability.tracing import start_span
    from agentinfra.results import (
        HealthReport,
        LLMResponse,
        Usage,
    )
    from agentinfra.runtime import (
        InfraRuntime,
        get_checkpointer,
        get_llm_client,
    )
    from agentinfra.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "AgentInfraError",
    "AsyncLLMClient",
    "AuthenticationError",
    "BadRequestError",
    "Budget",
    "BudgetExceededError",
    "BudgetUnavailableError",
    "CacheError",
    "CheckpointError",
    "CircuitOpenError",
    "ClosedError",
    "ConfigurationError",
    "ConnectionLostError",
    "ContentFilterError",
    "ContextLengthError",
    "Database",
    "DatabaseError",
    "DimensionMismatchError",
    "EmbeddingCache",
    "EmbeddingModelMismatchError",
    "HealthReport",
    "InfraRuntime",
    "JSONExtractionError",
    "LLMConnectionError",
    "LLMError",
    "LLMResponse",
    "LLMResponseError",
    "LLMStatusError",
    "LLMStream",
    "LLMStreamInterruptedError",
    "LLMTimeoutError",
    "LLMUnavailableError",
    "LifecycleError",
    "NotStartedError",
    "OutputCutOffError",
    "OutputFilteredError",
    "OutputRefusedError",
    "PoolTimeoutError",
    "QueryError",
    "QuotaExceededError",
    "RateLimitedError",
    "ReadOnlyViolationError",
    "Resource",
    "ResponseCache",
    "RoutingCache",
    "ServerError",
    "Settings",
    "StatementTimeoutError",
    "StructuredOutputError",
    "Usage",
    "VectorError",
    "VectorStore",
    "WrongLoopError",
    "bind_context",
    "clear_context",
    "extract_json",
    "get_checkpointer",
    "get_llm_client",
    "get_logger",
    "instrument_graph",
    "normalize_text",
    "start_span",
]

_HOME = {
    "AsyncLLMClient": "llm.client",
    "Budget": "llm.money.budget",
    "Database": "db.database",
    "EmbeddingCache": "cache.caches",
    "HealthReport": "results",
    "InfraRuntime": "runtime",
    "LLMResponse": "results",
    "LLMStream": "llm.calls.stream",
    "Resource": "_mechanics.resource",
    "ResponseCache": "cache.caches",
    "RoutingCache": "cache.caches",
    "Settings": "settings",
    "Usage": "results",
    "VectorStore": "db.vectors.store",
    "bind_context": "observability.logging",
    "clear_context": "observability.logging",
    "extract_json": "jsontext.extract",
    "get_checkpointer": "runtime",
    "get_llm_client": "runtime",
    "get_logger": "observability.logging",
    "instrument_graph": "graphs",
    "normalize_text": "cache.keys",
    "start_span": "observability.tracing",
}
"""Where each name lives; the names not listed here are error classes."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'agentinfra' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"agentinfra.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
