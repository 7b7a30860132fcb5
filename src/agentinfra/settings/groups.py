"""The groups of settings, one for each resource."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from agentinfra.settings.dsn import DSN

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
    "TracingSettings",
]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ModelPrice(_Group):
    """What a model costs, in USD per million tokens.

    Attributes:
        input: Prompt tokens.
        output: Completion tokens.
        cached_input: Cached prompt tokens; None prices them as prompt tokens.
    """

    input: Decimal = Field(ge=0)
    output: Decimal = Field(default=Decimal(0), ge=0)
    cached_input: Decimal | None = Field(default=None, ge=0)


class EndpointSettings(_Group):
    """An address that speaks OpenAI's protocol.

    Attributes:
        api_key: Its key; None for a compatible server that takes none.
        base_url: Its address, ``/v1`` included; None is OpenAI's own.
        organization: OpenAI organisation id, sent as a header.
        project: OpenAI project id, sent as a header.
        api_version: Azure OpenAI's API version; when set, ``base_url`` is an Azure endpoint.
    """

    api_key: SecretStr | None = None
    base_url: str | None = None
    organization: str | None = None
    project: str | None = None
    api_version: str | None = None

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value

    @field_validator("api_key")
    @classmethod
    def _empty_is_unset(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is not None and value.get_secret_value().strip() else None

    @model_validator(mode="after")
    def _azure_needs_an_address(self) -> Self:
        if self.api_version is not None and self.base_url is None:
            raise ValueError("api_version is for Azure OpenAI: set base_url to its endpoint too")
        return self


class LLMSettings(EndpointSettings):
    """The LLM client, and the endpoint it calls first.

    Attributes:
        enabled: False leaves the client out; calls raise ``LLMUnavailableError``.
        model: The chat model of calls that name none.
        embedding_model: The embedding model of calls that name none.
        embedding_dimensions: Length of the vectors; None is the model's own.
        timeout: Seconds one attempt may take.
        deadline: Seconds a whole call may take, waits and retries included; None is no end.
        max_attempts: Requests sent at most for one call; 1 never retries.
        transport: ``direct`` sends through our own connection pool, ``sdk`` through the openai
            package's.
        max_connections: Requests in flight to an endpoint at most, for each model; with the direct
            transport its connections as well, over all models.
        max_queued: Calls that wait for an endpoint at most; more are refused at once.
        fallback_models: Models tried in order when the call's model fails; ``name/model`` is a
            model of the endpoint of that name.
        endpoints: More endpoints, by name.
        hedge: True sends a second request when the first takes longer than 95 % of those before,
            for at most 5 % of the calls, and takes what answers first.
        prices: Prices by model, before the built-in ones; for private deployments.
    """

    enabled: bool = True
    model: str = "gpt-4o-mini"
    embedding_model: str = "text-embedding-3-small"
    embedding_dimensions: int | None = Field(default=None, ge=1)
    timeout: float = Field(default=60.0, gt=0)
    deadline: float | None = Field(default=None, gt=0)
    max_attempts: int = Field(default=4, ge=1)
    transport: Literal["direct", "sdk"] = "direct"
    max_connections: int = Field(default=1000, ge=1)
    max_queued: int = Field(default=10_000, ge=0)
    fallback_models: tuple[str, ...] = ()
    endpoints: dict[str, EndpointSettings] = Field(default_factory=dict)
    hedge: bool = False
    prices: dict[str, ModelPrice] = Field(default_factory=dict)

    @property
    def configured(self) -> bool:
        """Whether there is anything to send a request to."""
        return self.api_key is not None or self.base_url is not None


class DatabaseSettings(_Group):
    """PostgreSQL with pgvector.

    Attributes:
        enabled: False leaves the database out.
        url: The DSN in any form people paste; None uses the embedded server.
        embedded: False never starts the embedded server.
        data_dir: The embedded server's folder; None is the platform's user data folder, the word
            ``temporary`` a folder that is removed at exit.
        min_size: Connections opened at the start; idle ones are closed after five minutes.
        max_size: Connections at most, for each of the writing and the read-only pool.
        pgbouncer: True for a pgbouncer in transaction mode between us and the server.
        connect_timeout: Seconds a new connection may take.
        acquire_timeout: Seconds to wait for a free connection.
        statement_timeout: Seconds one statement may take.
        row_limit: Rows ``query`` returns at most where the call names no limit.
        byte_limit: Bytes ``query`` returns at most.
    """

    enabled: bool = True
    url: SecretStr | None = None
    embedded: bool = True
    data_dir: Path | None = None
    min_size: int = Field(default=1, ge=0)
    max_size: int = Field(default=10, ge=1)
    pgbouncer: bool = False
    connect_timeout: float = Field(default=5.0, gt=0)
    acquire_timeout: float = Field(default=10.0, gt=0)
    statement_timeout: float = Field(default=30.0, gt=0)
    row_limit: int = Field(default=1000, ge=1)
    byte_limit: int = Field(default=8_000_000, ge=1000)

    @field_validator("url")
    @classmethod
    def _is_a_dsn(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        DSN.parse(value.get_secret_value())
        return value

    @property
    def dsn(self) -> DSN | None:
        """The parsed URL, None when none is set."""
        return None if self.url is None else DSN.parse(self.url.get_secret_value())


class CacheSettings(_Group):
    """The three caches.

    Attributes:
        enabled: False makes every get a miss and every set a no-op.
        redis_url: A Redis all processes share; None keeps the caches in memory only.
        namespace: Put in front of every key; set it apart for each application.
        tenant: Put in front of every key, after the namespace.
        routing_ttl: Seconds a routing decision lives.
        routing_size: Routing decisions held at most.
        embedding_ttl: Seconds a vector lives.
        embedding_size: Vectors held at most.
        response_ttl: Seconds a response lives.
        response_size: Responses held at most.
        max_bytes: Bytes each cache holds in memory at most.
        redis_timeout: Seconds one Redis operation may take.
    """

    enabled: bool = True
    redis_url: SecretStr | None = None
    namespace: str = "agentinfra"
    tenant: str = ""
    routing_ttl: float = Field(default=3600.0, gt=0)
    routing_size: int = Field(default=500, ge=1)
    embedding_ttl: float = Field(default=86400.0, gt=0)
    embedding_size: int = Field(default=5000, ge=1)
    response_ttl: float = Field(default=3600.0, gt=0)
    response_size: int = Field(default=1000, ge=1)
    max_bytes: int = Field(default=64_000_000, ge=1000)
    redis_timeout: float = Field(default=0.5, gt=0)

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value


class LoggingSettings(_Group):
    """Structured logging.

    Attributes:
        enabled: False drops every event.
        level: The lowest level written.
        json_output: One JSON object a line; False is coloured text for people, None decides by
            whether stderr is a terminal.
        redact: Keys whose values are never written, beside the built-in ones.
    """

    enabled: bool = True
    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    json_output: bool | None = None
    redact: tuple[str, ...] = ()

    @field_validator("level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class MetricsSettings(_Group):
    """Prometheus metrics.

    Attributes:
        enabled: False counts nothing and exposes an empty page.
        max_series: Label combinations one metric keeps at most; later ones share the series whose
            labels read ``other``.
    """

    enabled: bool = True
    max_series: int = Field(default=1000, ge=1)


class TracingSettings(_Group):
    """OpenTelemetry tracing.

    Attributes:
        enabled: False makes no spans; logs still carry correlation ids.
        exporter: Where spans go: ``none`` keeps ids for correlation and exports nothing.
        endpoint: The collector's address; None is the exporter's own default.
        sample_ratio: The share of traces exported, 0.0 to 1.0.
        capture_content: True puts messages and answers into spans. Off by default: they may hold
            personal data.
        service_name: The name traces carry.
        max_queue: Spans waiting for export at most; later ones are dropped and counted.
    """

    enabled: bool = True
    exporter: Literal["none", "console", "otlp-http", "otlp-grpc"] = "none"
    endpoint: str | None = None
    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    capture_content: bool = False
    service_name: str = "agentinfra"
    max_queue: int = Field(default=2048, ge=1)


class CheckpointerSettings(_Group):
    """The LangGraph checkpointer.

    Attributes:
        enabled: False gives graphs a saver that keeps nothing.
        backend: ``postgres``, or ``memory`` for a saver that dies with the process.
        retention_days: Age at which ``prune`` drops a conversation; None keeps all.
        keep_last: Checkpoints a conversation keeps when pruned.
        max_size: Connections at most.
    """

    enabled: bool = True
    backend: Literal["postgres", "memory"] = "postgres"
    retention_days: float | None = Field(default=None, gt=0)
    keep_last: int = Field(default=1, ge=1)
    max_size: int = Field(default=4, ge=1)


class RuntimeSettings(_Group):
    """The runtime's own life.

    Attributes:
        start_timeout: Seconds each resource may take to start.
        stop_timeout: Seconds running work gets to end, and then each resource to close.
        serve: ``host:port`` where /livez, /readyz and /metrics are served; None serves nothing.
        required: Resources without which entering fails, instead of going on degraded.
    """

    start_timeout: float = Field(default=30.0, gt=0)
    stop_timeout: float = Field(default=10.0, gt=0)
    serve: str | None = None
    required: tuple[
        Literal["llm", "database", "cache", "checkpointer", "logging", "metrics", "tracing"], ...
    ] = ()

    @field_validator("serve")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if not value:
            return None
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError("must be host:port, as in 127.0.0.1:9464")
        return value
