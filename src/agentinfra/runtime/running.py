"""Running a program with a runtime: signals end it in order, and its exit status says so."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from agentinfra._mechanics.signals import Interruption
from agentinfra.errors import ConfigurationError, LifecycleError

__all__ = ["run_program"]

T = TypeVar("T")
R = TypeVar("R")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_program(
    main: Callable[..., Awaitable[T]], enter: Callable[[], AbstractAsyncContextManager[R]]
) -> T:
    """Run a program on a new event loop, inside of a runtime.

    The first SIGINT or SIGTERM cancels the program; signals after it are ignored, since leaving
    is bounded by itself.

    Args:
        main: The program; it is given what ``enter`` gives, where it takes an argument.
        enter: Makes the runtime.

    Raises:
        SystemExit: A signal ended it, with 128 and the signal's number.
        BaseException: What the program itself raised.
    """
    takes_it = _takes_an_argument(main)
    if asyncio._get_running_loop() is not None:  # noqa: SLF001 - documented
        raise LifecycleError(
            "InfraRuntime.run() starts an event loop, and one is running already: "
            "use `async with InfraRuntime() as rt:` there"
        )
    received: list[int] = []

    async def program() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio.run made one
        interruption = Interruption(task)
        interruption.catch(_SIGNALS, only_unhandled=False)
        try:
            async with enter() as runtime:
                return await (main(runtime) if takes_it else main())
        except BaseException as error:
            if not interruption.ended(error):
                interruption.received = None  # the program's own error says how it ended
            raise
        finally:
            if interruption.received is not None:
                received.append(interruption.received)
            interruption.give_back()

    try:
        result = asyncio.run(program())
    except asyncio.CancelledError:
        if not received:
            raise
    if received:
        raise SystemExit(128 + received[0])
    return result


def _takes_an_argument(main: Any) -> bool:
    if not callable(main):
        if inspect.iscoroutine(main):
            main.close()  # else Python complains that nobody awaited it
        raise ConfigurationError(
            f"InfraRuntime.run() was given {type(main).__name__}: give it the function itself, as "
            "in InfraRuntime.run(main)"
        )
    try:
        inspect.signature(main).bind(None)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True
