"""Async generators that were not exhausted, and hold what is going to be closed.

``async for row in rows(): break`` leaves a generator suspended inside of its ``async with``
blocks until somebody collects it, which may be after everything it uses was closed.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterable
from types import AsyncGeneratorType, MethodType
from typing import Any

__all__ = ["close_holders"]


async def close_holders(held: Collection[object]) -> None:
    """Close the suspended generators of the running loop inside of which some things are held.

    The outermost ones, in the running task: their blocks are left from the inside out, as if the
    loop over them had ended. Loops that do not show their generators (uvloop) have none closed.

    Args:
        held: Local variables of the generators looked for; nothing is done where there are none.

    Raises:
        Exception: What the first one raised that failed; all were closed.
    """
    if not held:
        return
    failure: Exception | None = None
    for generator in _outermost(held):
        try:
            await generator.aclose()
        except Exception as error:  # noqa: BLE001 - the others are closed all the same
            failure = failure or error
    if failure is not None:
        raise failure


def _outermost(held: Collection[object]) -> list[AsyncGenerator[Any, Any]]:
    wanted = set(map(id, held))
    open_ones: Iterable[Any] = getattr(asyncio.get_running_loop(), "_asyncgens", ())
    inside: dict[Any, list[object]] = {
        generator: _inside(generator)
        for generator in list(open_ones)
        if generator.ag_frame is not None and not generator.ag_running
    }
    holding = {g for g, things in inside.items() if any(id(thing) in wanted for thing in things)}
    while wider := {
        g
        for g, things in inside.items()
        if g not in holding and not holding.isdisjoint(_gens(things))
    }:
        holding |= wider
    inner = {id(found) for g in holding for found in _gens(inside[g])}
    return [g for g in holding if id(g) not in inner]


def _inside(generator: object) -> list[object]:
    """Return what a suspended frame has: its variables, and the blocks it is in with theirs.

    Only through contextlib's objects: through any object everything would be found.
    """
    found: list[object] = []
    todo = deque(gc.get_referents(generator))
    while todo:
        thing = todo.popleft()
        found.append(thing)
        if isinstance(thing, MethodType):  # the __aexit__ of a block that is open
            todo.append(thing.__self__)
        elif type(thing).__module__ == "contextlib":
            for value in vars(thing).values():
                todo.extend(_callbacks(value) if isinstance(value, deque) else [value])
    return found


def _callbacks(stack: Iterable[Any]) -> Iterable[object]:
    """Return the exits an AsyncExitStack has in store."""
    return [item for entry in stack for item in (entry if isinstance(entry, tuple) else ())]


def _gens(things: Iterable[object]) -> list[Any]:
    return [thing for thing in things if isinstance(thing, AsyncGeneratorType)]
