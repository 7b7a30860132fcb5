"""What other processes change, as they say it on a channel of the server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import ref

import msgspec

from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agentinfra._mechanics.clock import Clock
    from agentinfra.cache.shared.protocol import Listener
    from agentinfra.cache.shared.redis_store import RedisStore

__all__ = ["Hearing", "say"]

_log = get_logger("agentinfra.cache")

_LISTEN = 5.0
_SWALLOWED = 0.05
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0


def say(
    origin: str, *, prefix: str, keys: Sequence[str] | None = None, tag: str | None = None
) -> bytes:
    """Return the message that keys, a tag, or else everything under a prefix has changed."""
    return msgspec.msgpack.encode((origin, prefix, keys, tag))


_READ = msgspec.msgpack.Decoder(tuple[str, str, list[str] | None, str | None])


class Hearing:
    """Listens on one connection and tells the caches of this process.

    While nothing can be heard a change may be missed, so that on hearing again all caches drop
    what they hold. Listeners are held weakly: a cache nobody uses any more is told nothing.

    Args:
        clock: Where time comes from.
        said: Called with what is wrong, and with an empty text when it is right again.
    """

    def __init__(self, clock: Clock, said: Callable[[str], None]) -> None:
        self._clock = clock
        self._said = said
        self._listeners: dict[str, dict[str, ref[Listener]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._hears = asyncio.Event()
        self._missed = False

    def add(self, prefix: str, origin: str, listener: Listener) -> None:
        """Tell a listener from now on, as long as it lives."""
        there = self._listeners.setdefault(prefix, {})
        there[origin] = ref(listener, lambda _: self._remove(prefix, origin))

    async def start(self, store: RedisStore, channel: str, *, timeout: float) -> None:
        """Listen on a new connection; wait so long at most until something could be heard.

        A connection from before an outage may not know yet that it is dead.
        """
        await self.stop()
        self._hears.clear()
        self._task = asyncio.create_task(self._listen(store, channel), name="cache.redis hear")
        try:
            async with asyncio.timeout(timeout):
                await self._hears.wait()
        except TimeoutError:
            self._missed = True

    async def stop(self) -> None:
        """Listen no more."""
        task, self._task = self._task, None
        if task is None:
            return
        self._missed = True
        # Again and again: the client lets a cancellation pass for the end of a wait of its own.
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_SWALLOWED)

    def tell(self, message: bytes) -> None:
        """Tell the listeners what a message says; one that cannot be read tells them all."""
        try:
            origin, prefix, keys, tag = _READ.decode(message)
        except msgspec.MsgspecError:
            self._tell_all()
            return
        for name, listener in list(self._listeners.get(prefix, {}).items()):
            one = listener()
            if one is None or name == origin:
                continue
            if keys is not None:
                one.changed(keys)
            elif tag is not None:
                one.untagged(tag)
            else:
                one.cleared()

    def _tell_all(self) -> None:
        for there in self._listeners.values():
            for listener in list(there.values()):
                one = listener()
                if one is not None:
                    one.cleared()

    def _remove(self, prefix: str, origin: str) -> None:
        there = self._listeners.get(prefix)
        if there is not None:
            there.pop(origin, None)
            if not there:
                del self._listeners[prefix]

    async def _listen(self, store: RedisStore, channel: str) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._hear(store, channel)
            except store.failures as error:
                if self._task is not asyncio.current_task():
                    return  # cancelled: the client lets that come out as an error of its own
                if self._hears.is_set():
                    pause = _FIRST_PAUSE
                    self._hears.clear()
                self._missed = True
                self._said(f"changes of other processes are not heard ({type(error).__name__})")
            await self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _hear(self, store: RedisStore, channel: str) -> None:
        listening: Any = store.client.pubsub()
        try:
            async with asyncio.timeout(_LISTEN):
                if not store.cluster:
                    await listening.connect()
                    await _heed_flushes(listening.connection, channel, self._tell_all, store)
                await listening.subscribe(channel)
            silent = False
            while True:
                message = await listening.get_message(timeout=_LISTEN)
                if message is None:
                    if silent:
                        raise TimeoutError("no answer to a ping")
                    # A connection that lost its other end is silent for ever.
                    await listening.ping()
                    silent = True
                    continue
                silent = False
                if message["type"] == "subscribe":
                    self._begin()
                elif message["type"] == "message":
                    self.tell(message["data"])
        finally:
            await listening.aclose()

    def _begin(self) -> None:
        if self._missed:
            self._missed = False
            self._tell_all()
        self._hears.set()
        self._said("")


async def _heed_flushes(
    connection: Any, unused: str, flushed: Callable[[], None], store: RedisStore
) -> None:
    """Have the server say when somebody flushes its database.

    That is the one change of others that our channel does not carry. To track every key would tell
    each process of every load of all of them, its own too, which it cannot tell apart. So what is
    tracked begins like the channel, as no key does: a flush is told all the same, and nothing else.
    """

    async def invalidated(message: Sequence[Any]) -> None:
        if message[1] is None:
            flushed()

    # The client has a way for this, but offers none for asyncio; the older protocol has no parser
    # that knows it.
    heed = getattr(connection._parser, "set_invalidation_push_handler", None)  # noqa: SLF001
    if heed is None:
        return
    heed(invalidated)
    await connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", unused)
    with suppress(*store.refusals):  # too old, or without the right: a flush is not heard
        await connection.read_response()
