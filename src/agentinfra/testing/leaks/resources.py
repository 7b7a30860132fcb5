"""What a process holds at a moment, by the objects themselves.

An object is told from another by being the same one, not by its ``id``, which a new one may get
as soon as the old one is gone; it is held weakly, so that a check keeps nothing open.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dis
import functools
import gc
import inspect
import io
import signal
import socket
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType
from typing import Any, TypeAlias

from agentinfra.testing.leaks.owned import open_owners, owned_by, slots_taken
from agentinfra.testing.leaks.process import addresses, descriptors, inode_of, processes
from agentinfra.testing.leaks.sites import Sites, is_made_by_finalizer, site_of_coroutine

__all__ = ["Found", "Snapshot", "leaks_since"]

_CLIENTS = ("aiohttp.client", "httpx", "httpx2")
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler, None)
_CONTEXTS = ("agentinfra_log_context", "structlog_")
_Seen: TypeAlias = "weakref.WeakValueDictionary[int, Any]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something that is there: what it is, a name to show, and where it was made."""

    kind: str
    name: str
    site: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f", made at {self.site}" if self.site else "")


class Snapshot:
    """What there is at a moment.

    Attributes:
        seen: The objects that matter, held weakly.
        taken: How much of each semaphore and pool is taken.
        owners: What was open already; what belongs to it is nobody's leak.
        executors: Whose threads come and go as there is work.
    """

    def __init__(self) -> None:
        objects = gc.get_objects()
        self.seen: _Seen = weakref.WeakValueDictionary()
        for thing in _that_matter(objects):
            if isinstance(thing, threading.Thread) and not thing.is_alive():
                continue  # it may be started yet
            with contextlib.suppress(TypeError):
                self.seen[id(thing)] = thing
        self.taken = {id(thing): (_reference(thing), used) for thing, used in slots_taken(objects)}
        self.owners = [weakref.ref(owner) for owner in open_owners(objects) if _weak(owner)]
        # By their types: a proxy that is asked for its class makes what it stands for.
        executors = (t for t in objects if issubclass(type(t), ThreadPoolExecutor))
        self.executors = [weakref.ref(executor) for executor in executors]
        self.descriptors = {key for key, _, _ in descriptors()}
        self.processes = {pid for pid, _ in processes()}
        self.signals = _signals()
        self.context = _context()

    def has(self, thing: object) -> bool:
        """Say whether an object was there."""
        return self.seen.get(id(thing)) is thing


def leaks_since(before: Snapshot, sites: Sites) -> Iterator[Found]:
    """Yield what is there now and was not before."""
    objects = gc.get_objects()
    # Taken before anything below makes objects of its own.
    fresh = [thing for thing in _that_matter(objects) if not before.has(thing)]
    known = [thing for ref, _ in before.taken.values() if (thing := ref()) is not None]
    taken = list({id(thing): (thing, n) for thing, n in slots_taken(known + objects)}.values())
    del objects
    owned = owned_by(owner for ref in before.owners if (owner := ref()) is not None)
    fresh = [thing for thing in fresh if id(thing) not in owned]
    yield from _tasks(fresh)
    yield from _suspended(fresh)
    yield from _timers(fresh)
    running = [t for t in threading.enumerate() if not before.has(t)]
    executors = [executor for ref in before.executors if (executor := ref()) is not None]
    yield from _threads(running, executors, sites)
    yield from _descriptors(before, fresh, owned, sites)
    yield from _clients(fresh)
    yield from _slots(before, taken, owned)
    for pid, name in processes():
        if pid not in before.processes:
            yield Found(kind="process", name=f"{pid} {name}", site=sites.programs.get(name, ""))
    for name, handler in _signals().items():
        if before.signals.get(name) is not handler and handler not in _DEFAULTS:
            yield Found(kind="signal handler", name=name)
    for name, value in _context().items():
        if before.context.get(name, _context) != value:
            yield Found(kind="context", name=name)


def _that_matter(objects: list[Any]) -> Iterator[Any]:
    return (thing for thing in objects if _matters(type(thing)))  # type: ignore[arg-type]


@functools.cache
def _matters(kind: Any) -> bool:
    module = getattr(kind, "__module__", "")
    return issubclass(kind, _KINDS) or (isinstance(module, str) and module.startswith(_CLIENTS))


_KINDS = (
    AsyncGeneratorType,
    CoroutineType,
    asyncio.Task,
    asyncio.TimerHandle,
    io.FileIO,
    socket.socket,
    threading.Thread,
)


def _tasks(fresh: list[Any]) -> Iterator[Found]:
    me = _current_task()
    for task in fresh:
        if not isinstance(task, asyncio.Task) or task is me:
            continue
        coroutine = task.get_coro()
        if is_made_by_finalizer(coroutine):
            continue
        name = f"{task.get_name()} ({getattr(coroutine, '__qualname__', coroutine)})"
        site = site_of_coroutine(coroutine)
        if not task.done():
            if not _is_closed(task.get_loop()):
                yield Found(kind="task", name=name, site=site)
        elif not task.cancelled() and getattr(task, "_log_traceback", False):
            yield Found(kind="failed task nobody awaited", name=name, site=site)


def _suspended(fresh: list[Any]) -> Iterator[Found]:
    """Yield generators in the middle, and coroutines that never began."""
    begun_soon = {id(task.get_coro()) for task in fresh if isinstance(task, asyncio.Task)}
    for thing in fresh:
        if type(thing) is AsyncGeneratorType:
            frame = thing.ag_frame
            # One that was never asked for anything has opened nothing.
            if frame is not None and not thing.ag_running and _has_begun(frame):
                place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                yield Found(kind="async generator", name=thing.__qualname__, site=place)
        elif type(thing) is CoroutineType and id(thing) not in begun_soon and _is_idle(thing):
            site = site_of_coroutine(thing)
            yield Found(kind="coroutine never awaited", name=thing.__qualname__, site=site)


def _has_begun(frame: Any) -> bool:
    """Return whether an async generator was ever asked for something."""
    code = frame.f_code
    first = next(i for i in dis.get_instructions(code) if i.opname == "RESUME")
    return bool(frame.f_lasti > first.offset)


def _is_idle(coroutine: Any) -> bool:
    begun = inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED
    return not begun and not is_made_by_finalizer(coroutine)


def _timers(fresh: list[Any]) -> Iterator[Found]:
    for handle in fresh:
        if not isinstance(handle, asyncio.TimerHandle) or handle.cancelled():
            continue
        loop, callback = getattr(handle, "_loop", None), getattr(handle, "_callback", None)
        if getattr(handle, "_scheduled", False) and callback and loop and not loop.is_closed():
            module = getattr(callback, "__module__", "") or ""
            if not module.startswith(("agentinfra.testing.clock", "asyncio")):
                name = getattr(callback, "__qualname__", repr(callback))
                code = getattr(callback, "__code__", None)
                of = f" of {code.co_filename}:{code.co_firstlineno}" if code else ""
                left = handle.when() - loop.time()
                yield Found(kind="timer", name=f"{name}{of} in {left:.3g} s")


def _threads(
    running: list[threading.Thread], executors: Iterable[ThreadPoolExecutor], sites: Sites
) -> Iterator[Found]:
    kept = {thread for executor in executors for thread in _threads_of(executor)}
    kept |= _default_executors_threads()
    for thread in running:
        # The workers of anyio end with their loop, those of its default executor too.
        if thread not in kept and not type(thread).__module__.startswith("anyio"):
            yield Found(kind="thread", name=thread.name, site=sites.of(thread))


def _default_executors_threads() -> set[threading.Thread]:
    """Return the threads of the running loop's default executor, which live as long as it."""
    with contextlib.suppress(RuntimeError):
        executor = getattr(asyncio.get_running_loop(), "_default_executor", None)
        named = {t for t in threading.enumerate() if t.name.startswith("asyncio_")}
        return named | _threads_of(executor)
    return set()


def _threads_of(executor: Any) -> set[threading.Thread]:
    return set(getattr(executor, "_threads", ()))


def _descriptors(
    before: Snapshot, fresh: list[Any], owned: set[int], sites: Sites
) -> Iterator[Found]:
    objects: dict[int, Any] = {}
    for thing in fresh:
        if isinstance(thing, socket.socket | io.FileIO) and not _shut(thing):
            objects[thing.fileno()] = thing
    mine = _sockets_of(owned)
    listed = {number: (key, name) for key, number, name in descriptors()}
    for number, (key, name) in listed.items():
        if key in before.descriptors and number not in objects:
            continue
        if key in mine:
            continue
        site = sites.of(objects[number]) if number in objects else ""
        yield Found(
            kind="descriptor", name=f"{number} {name}", site=site or sites.paths.get(name, "")
        )
    if not listed:  # where the system has no list of them, the sockets
        for number, thing in objects.items():
            if isinstance(thing, socket.socket):
                name = f"{number} socket {addresses(thing)}"
                yield Found(kind="descriptor", name=name, site=sites.of(thing))


def _shut(thing: Any) -> bool:
    return thing.closed if isinstance(thing, io.FileIO) else thing.fileno() < 0


def _sockets_of(owned: set[int]) -> set[str]:
    return {
        inode_of(thing)
        for thing in gc.get_objects()
        if id(thing) in owned and _has_socket(type(thing))  # type: ignore[arg-type]
    }


@functools.cache
def _has_socket(kind: Any) -> bool:
    if issubclass(kind, socket.socket):
        return True
    module = getattr(kind, "__module__", "")
    # A connection of libpq's has no object for its socket.
    return isinstance(module, str) and module.startswith("psycopg") and hasattr(kind, "fileno")


def _clients(fresh: list[Any]) -> Iterator[Found]:
    for thing in fresh:
        kind = type(thing)
        closed = getattr(thing, "closed", getattr(thing, "is_closed", None))
        if kind.__name__ in ("ClientSession", "AsyncClient", "Client") and closed is False:
            yield Found(kind="client", name=f"{kind.__module__}.{kind.__name__} is open")


def _slots(before: Snapshot, taken: list[tuple[Any, int]], owned: set[int]) -> Iterator[Found]:
    for thing, used in taken:
        ref, was = before.taken.get(id(thing), (None, 0))
        known = ref is not None and ref() is thing
        if known and used > was:
            yield Found(kind="slot", name=f"of {type(thing).__qualname__}, {used - was} taken")
        elif not known and id(thing) not in owned and _is_locked(thing):
            yield Found(kind="slot", name=f"of {type(thing).__qualname__}, which is locked")


def _is_locked(thing: Any) -> bool:
    return isinstance(thing, asyncio.Semaphore | asyncio.Lock) and thing.locked()


def _signals() -> dict[str, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number.name: signal.getsignal(number) for number in signal.Signals}


def _context() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, value in contextvars.copy_context().items():
        if variable.name.startswith(_CONTEXTS):
            if isinstance(value, Mapping):
                found.update({f"field {name}": inner for name, inner in value.items()})
            elif value is not Ellipsis:
                found[f"variable {variable.name}"] = value
    return found


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _is_closed(loop: Any) -> bool:
    return loop is None or loop.is_closed()


def _reference(thing: Any) -> Callable[[], Any]:
    """Return what gives a thing back; one that cannot be held weakly is held."""
    return weakref.ref(thing) if _weak(thing) else lambda: thing


def _weak(thing: Any) -> bool:
    return bool(getattr(type(thing), "__weakrefoffset__", 0))
