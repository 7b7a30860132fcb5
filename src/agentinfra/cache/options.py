"""What every cache can be told beside its time to live and its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from agentinfra.errors import ConfigurationError

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.cache.admission import Eviction
    from agentinfra.cache.keys import Normalize
    from agentinfra.cache.shared.protocol import SharedTier
    from agentinfra.observability.metrics import Metrics

__all__ = ["CacheOptions", "refuse_bounds"]


class CacheOptions(TypedDict, total=False):
    """What every cache can be told beside its time to live and its size.

    Attributes:
        max_bytes: Bytes held in memory at most, estimated; 64 MB where nothing is said.
        eviction: Who goes when there is no room: ``"lru"``, the default, or ``"tinylfu"``, which
            keeps what is asked for often against what is asked for once.
        stale_seconds: Seconds after its time to live in which ``get_or_compute`` still returns a
            value, at once, while it is computed anew behind; when that fails the old value stays
            until the seconds are over, and is tried again after a pause that doubles from 1 s to
            60 s. 0, the default, never does.
        refresh_seconds: Seconds before the end of its time in which ``get_or_compute`` already
            computes a value anew behind. 0, the default, never does.
        negative_ttl: Seconds a None lives, "nothing found"; None, the default, as long as others.
        normalize: What makes texts comparable: ``"folded"``, the default, folds case and white
            space; ``"exact"`` folds nothing but Unicode's composed form; or a function.
        copy: False holds and hands out values as they are, for callers who never change one.
        type: What values are, for the shared tier: a dataclass, a struct, a pydantic model ...;
            None lets every value say itself what it is.
        namespace: The application, the first part of every key.
        tenant: Whose data it is, the second part; tenants never see each other's values.
        shared: A tier other processes use too; None keeps everything in memory.
        metrics: Where operations are counted.
        clock: Where time comes from.
    """

    max_bytes: int
    eviction: Eviction
    stale_seconds: float
    refresh_seconds: float
    negative_ttl: float | None
    normalize: Normalize
    copy: bool
    type: Any
    namespace: str
    tenant: str
    shared: SharedTier | None
    metrics: Metrics | None
    clock: Clock


def refuse_bounds(ttl: float, max_size: int, options: CacheOptions) -> None:
    """Refuse numbers that make no sense.

    Raises:
        ConfigurationError: One does; the message names it.
    """
    negative = options.get("negative_ttl")
    for name, seconds in (("ttl_seconds", ttl), ("negative_ttl", negative)):
        if seconds is not None and not seconds > 0:
            raise ConfigurationError(f"{name} is {seconds!r}: give seconds greater than 0")
    eviction = options.get("eviction", "lru")
    if eviction not in ("lru", "tinylfu"):
        raise ConfigurationError(f"eviction is {eviction!r:.80}: give 'lru' or 'tinylfu'")
    bounds = {
        "max_size": max_size,
        "max_bytes": options.get("max_bytes", 0),
        "stale_seconds": options.get("stale_seconds", 0),
        "refresh_seconds": options.get("refresh_seconds", 0),
    }
    for name, value in bounds.items():
        if not value >= 0:
            raise ConfigurationError(f"{name} is {value!r}: give 0 or more")
