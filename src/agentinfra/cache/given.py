"""What callers hand over, refused by name where it is something else than was meant."""

from __future__ import annotations

from inspect import isawaitable, iscoroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agentinfra.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["as_seconds", "as_tags", "begin", "no_text"]

T = TypeVar("T")

_SHOWN = 80


def as_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags, each once.

    Raises:
        CacheError: They are one text: each of its letters would be a tag.
    """
    if not tags:
        return ()
    if isinstance(tags, str):
        raise CacheError(f"tags is {_shown(tags)}: give a list of texts")
    return tuple(dict.fromkeys(tags))


def as_seconds(ttl: Any) -> float:
    """Return a time to live.

    Raises:
        CacheError: It is no number of seconds greater than 0.
    """
    if not isinstance(ttl, int | float) or not ttl > 0:
        raise CacheError(f"ttl is {_shown(ttl)}: give seconds greater than 0")
    return ttl


def begin(loader: Callable[[], Awaitable[T]]) -> Awaitable[T]:
    """Call a loader, and return what is to be awaited.

    Raises:
        CacheError: It is no async function.
        Exception: What it raised.
    """
    if not callable(loader):
        raise _no_loader(loader)
    begun: Any = loader()
    if type(begun) is not CoroutineType and not isawaitable(begun):
        raise CacheError(
            f"the loader gave a {type(begun).__name__}, which cannot be awaited: give an async "
            "function"
        )
    return cast("Awaitable[T]", begun)


def _no_loader(loader: Any) -> CacheError:
    if iscoroutine(loader):
        loader.close()  # it was called already, and will never run
    return CacheError(f"the loader is {_shown(loader)}: give an async function, not what it gives")


def no_text(text: Any) -> CacheError:
    """Return the error for what should have been a text."""
    return CacheError(f"{_shown(text)} is a {type(text).__name__}: a text is asked for")


def _shown(value: Any) -> str:
    return repr(value)[:_SHOWN]
