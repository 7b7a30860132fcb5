"""What belongs to something that was open before: a runtime, a client, a pool, a server."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

__all__ = ["open_owners", "owned_by", "slots_taken"]

_OWNERS = (
    "agentinfra.",
    "aiohttp.client",
    "aiohttp.connector",
    "aiohttp.web",
    "asyncpg.pool",
    "httpcore",
    "httpx",
    "openai",
    "psycopg_pool",
    "redis.asyncio",
)
_ENDS = ("aclose", "close", "disconnect", "__aexit__")
_BORDERS = (
    ModuleType,
    type,
    FunctionType,
    CodeType,
    FrameType,
    asyncio.AbstractEventLoop,
    threading.Thread,
    asyncio.Task,
)
_MOST = 300_000


def open_owners(objects: Iterable[Any]) -> list[Any]:
    """Return what opens and closes connections, tasks and the like for itself."""
    return [thing for thing in objects if _is_owner(type(thing))]  # type: ignore[arg-type]


@functools.cache
def _is_owner(kind: Any) -> bool:
    module = _module(kind)
    if not module.startswith(_OWNERS) or module.startswith("agentinfra.testing.leaks"):
        return False
    return any(hasattr(kind, end) for end in _ENDS)


def _module(kind: type) -> str:
    module = getattr(kind, "__module__", "")
    return module if isinstance(module, str) else ""


def owned_by(owners: Iterable[Any]) -> set[int]:
    """Return the identities of everything that owners hold, at whatever depth.

    Loops, tasks, threads, modules and classes are where that ends: through them all is reached.
    """
    seen: set[int] = set()
    left = list(owners)
    while left and len(seen) < _MOST:
        reached = gc.get_referents(*left)
        left = []
        for thing in reached:
            if id(thing) not in seen:
                seen.add(id(thing))
                # By its type: a proxy that is asked for its class makes what it stands for.
                if not issubclass(type(thing), _BORDERS):
                    left.append(thing)
    return seen


def slots_taken(objects: Iterable[Any]) -> Iterator[tuple[Any, int]]:
    """Yield semaphores, locks and pools, each with how much of it is taken.

    A semaphore tells how much is left: less than before, that is.
    """
    for thing in objects:
        kind = type(thing)
        if not _has_slots(kind):  # type: ignore[arg-type]
            continue
        if isinstance(thing, asyncio.Semaphore):
            yield thing, -thing._value  # noqa: SLF001 - there is no other way to ask
        elif isinstance(thing, asyncio.Lock):
            yield thing, int(thing.locked())
        elif kind.__module__.startswith("anyio"):
            yield thing, thing.borrowed_tokens
        elif kind.__module__ == "asyncpg.pool":
            yield thing, thing.get_size() - thing.get_idle_size()
        else:
            stats = thing.get_stats()
            yield thing, stats.get("pool_size", 0) - stats.get("pool_available", 0)


@functools.cache
def _has_slots(kind: Any) -> bool:
    if issubclass(kind, asyncio.Semaphore | asyncio.Lock):
        return True
    if _module(kind) == "asyncpg.pool":
        return str(kind.__name__) == "Pool"
    if _module(kind).startswith("anyio._backends"):
        return str(kind.__name__) == "CapacityLimiter"
    return _module(kind).startswith("psycopg_pool") and hasattr(kind, "get_stats")
