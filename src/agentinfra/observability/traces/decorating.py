"""Functions whose calls are spans."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, copy_context
from functools import wraps
from typing import Any, TypeVar, cast

__all__ = ["decorated"]

F = TypeVar("F", bound=Callable[..., Any])
Make = Callable[[], AbstractContextManager[Any]]


def decorated(function: F, span: Make) -> F:
    """Return a function whose calls run in a span of their own.

    Args:
        function: It, a coroutine function or a generator function, whose span lasts until it is
            exhausted or left and is the current one while its body runs, not where it is iterated.
        span: Makes the span of one call.
    """
    if inspect.isasyncgenfunction(function):
        wrapped: Any = _of_async_generator(function, span)
    elif inspect.isgeneratorfunction(function):
        wrapped = _of_generator(function, span)
    elif inspect.iscoroutinefunction(function):
        wrapped = _of_coroutine(function, span)
    else:
        wrapped = _of_function(function, span)
    return cast("F", wraps(function)(wrapped))


def _of_function(function: Callable[..., Any], span: Make) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        with span():
            return function(*args, **kwargs)

    return called


def _of_coroutine(function: Callable[..., Any], span: Make) -> Callable[..., Any]:
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        with span():
            return await function(*args, **kwargs)

    return awaited


def _of_generator(function: Callable[..., Any], span: Make) -> Callable[..., Any]:
    def iterated(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with _apart(span) as context:
            return (yield from _Steps(function(*args, **kwargs), context))

    return iterated


def _of_async_generator(function: Callable[..., Any], span: Make) -> Callable[..., Any]:
    async def streamed(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with _apart(span) as context:
            items, sent = function(*args, **kwargs), None
            try:
                while True:
                    try:
                        item = await _Inside(items.asend(sent), context)
                    except StopAsyncIteration:
                        return
                    sent = yield item
            finally:  # left at its yield: the body's own clean-up belongs to the span as well
                await _Inside(items.aclose(), context)

    return streamed


@contextmanager
def _apart(span: Make) -> Iterator[Context]:
    """Enter a span in a context of its own, and give that.

    A generator runs in the context of whoever iterates: entered there, its span would be the
    current one of the iterating code between two items.
    """
    context = copy_context()
    entered = span()
    context.run(entered.__enter__)
    try:
        yield context
    except BaseException:
        context.run(entered.__exit__, *sys.exc_info())
        raise
    context.run(entered.__exit__, None, None, None)


class _Steps:
    """A generator whose steps run in a context."""

    def __init__(self, steps: Any, context: Context) -> None:
        self._steps = steps
        self._context = context

    def __iter__(self) -> _Steps:
        return self

    def __next__(self) -> Any:
        return self._context.run(next, self._steps)

    def send(self, value: Any) -> Any:
        return self._context.run(self._steps.send, value)

    def throw(self, *error: Any) -> Any:
        return self._context.run(self._steps.throw, *error)

    def close(self) -> None:
        self._context.run(self._steps.close)


class _Inside:
    """Something to wait for, whose steps run in a context."""

    def __init__(self, awaitable: Awaitable[Any], context: Context) -> None:
        self._awaitable = awaitable
        self._context = context

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from _Steps(self._awaitable.__await__(), self._context))
