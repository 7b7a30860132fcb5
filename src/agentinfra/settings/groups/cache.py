"""The caches."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from agentinfra.settings.groups.group import Group

__all__ = ["CacheSettings"]

_SCHEMES = frozenset(
    {
        "redis",
        "rediss",
        "unix",
        "valkey",
        "valkeys",
        "redis+sentinel",
        "rediss+sentinel",
        "redis+cluster",
        "rediss+cluster",
    }
)


class CacheSettings(Group):
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
        if value.get_secret_value().partition("://")[0] not in _SCHEMES:
            raise ValueError(
                "must start with redis://, rediss:// or unix://, or be a valkey://, "
                "redis+sentinel:// or redis+cluster:// URL"
            )
        return value
