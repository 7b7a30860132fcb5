"""Who answers a request: the script, then the rules, then the default, or nobody."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from agentinfra.errors import ConfigurationError
from agentinfra.testing.origin import origin
from agentinfra.testing.replies import Matcher, RawReply, Reply, ReplyLike, last_user_text
from agentinfra.testing.scripts.checks import check_reply, check_scriptable

__all__ = [
    "SCRIPTABLE",
    "Playbook",
    "Told",
    "UnscriptedError",
    "at_home",
    "default_of",
    "make_reply",
]

SCRIPTABLE = ("chat", "responses", "embeddings", "models", "files", "batches")
_GENERATING = frozenset({"chat", "responses"})


class UnscriptedError(Exception):
    """A request that nothing in the script answers."""


@dataclass(slots=True, kw_only=True, eq=False)
class Told:
    """One thing the server was told to answer.

    Attributes:
        reply: What to answer.
        origin: The file and line where it was told.
        endpoints: The endpoints it is for.
        home: The loop on which its coroutines run, None for the server's own.
        matcher: Which requests it answers; None: the next one.
        optional: Whether it may stay unused.
        used: How many requests it has answered.
    """

    reply: ReplyLike
    origin: str
    endpoints: frozenset[str]
    home: asyncio.AbstractEventLoop | None = None
    matcher: Matcher | None = None
    optional: bool = False
    used: int = 0

    def __str__(self) -> str:
        shown = self.reply
        if isinstance(shown, Reply):
            calls = ", ".join(call.name for call in shown.tool_calls)
            text = f"calls {calls}" if calls else repr(shown.text or "".join(shown.chunks))
        elif isinstance(shown, RawReply):
            text = f"raw {shown.status}"
        else:
            text = getattr(shown, "__name__", repr(shown))
        rule = "" if self.matcher is None else f"on {_named(self.matcher)}: "
        return f"{rule}{text:.80} ({self.origin})"


@dataclass(slots=True)
class Playbook:
    """What one server was told. Told from any thread, asked from the server's.

    The default answers what nothing else does: the built-in one only as long as nothing was told
    for that kind of request, one that was given always.
    """

    builtin: Callable[[dict[str, Any]], Reply]
    default: Told | None = None
    strict: bool = True
    _script: deque[Told] = field(default_factory=deque)
    _rules: list[Told] = field(default_factory=list)
    _told_for: frozenset[str] = frozenset()
    # The test's thread appends while the server's thread takes: choosing is one decision.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def script(self, replies: tuple[ReplyLike, ...], to: str | None) -> None:
        """Append replies, each for one request."""
        where, endpoints, home = origin(), _endpoints(to), _running_loop()
        told = [
            Told(reply=check_scriptable(reply, where), origin=where, endpoints=endpoints, home=home)
            for reply in replies
        ]
        with self._lock:
            self._script.extend(told)
            self._told_for |= endpoints if told else frozenset()

    def on(self, matcher: Matcher, reply: ReplyLike, to: str | None, *, optional: bool) -> None:
        """Answer every request the matcher accepts; the first rule that matches answers."""
        where, endpoints = origin(), _endpoints(to)
        if not (isinstance(matcher, str) or callable(matcher)):
            raise ConfigurationError(f"{where}: {matcher!r:.200} matches nothing; give a text")
        told = Told(
            reply=check_scriptable(reply, where),
            origin=where,
            endpoints=endpoints,
            home=_running_loop(),
            matcher=matcher,
            optional=optional,
        )
        with self._lock:
            self._rules.append(told)
            self._told_for |= endpoints

    def clear(self) -> None:
        """Forget the script and the rules."""
        with self._lock:
            self._script.clear()
            self._rules.clear()
            self._told_for = frozenset()

    def is_told(self, endpoint: str) -> bool:
        """Whether the same request to this endpoint can get other replies."""
        default = self.default is not None and endpoint in self.default.endpoints
        return default or endpoint in self._told_for

    @property
    def pending(self) -> int:
        """Scripted replies that no request has taken yet."""
        return len(self._script)

    def left(self) -> list[Told]:
        """Return what was told and nobody asked for, in the order in which it was told."""
        with self._lock:
            rules = [rule for rule in self._rules if not (rule.used or rule.optional)]
            return [*self._script, *rules]

    def next(self, endpoint: str) -> Told | None:
        """Return what the script holds next for an endpoint."""
        with self._lock:
            return next((told for told in self._script if endpoint in told.endpoints), None)

    def choose(
        self, endpoint: str, body: dict[str, Any], messages: list[dict[str, Any]]
    ) -> Told | None:
        """Return what answers a request; None: the built-in default does.

        Args:
            endpoint: What it asks for.
            body: The request.
            messages: Its messages as chat has them.

        Raises:
            UnscriptedError: Something is scripted for such requests, and nothing fits this one.
        """
        with self._lock:
            for told in self._script:
                if endpoint in told.endpoints:
                    self._script.remove(told)
                    told.used += 1
                    return told
            rules = [rule for rule in self._rules if endpoint in rule.endpoints]
        for rule in rules:
            if _matches(rule.matcher, body, messages):
                rule.used += 1
                return rule
        if self.default is not None and endpoint in self.default.endpoints:
            return self.default
        if self.strict and endpoint in self._told_for:
            raise UnscriptedError
        return None


async def make_reply(told: Told, body: dict[str, Any]) -> Reply | RawReply:
    """Return the reply something told makes for a request."""
    if isinstance(told.reply, Reply | RawReply):
        return told.reply
    answer = told.reply(body) if callable(told.reply) else told.reply
    if inspect.isawaitable(answer):
        answer = await at_home(answer, told.home)
    return check_reply(answer, f"what the function of {told.origin} returned")


async def at_home(work: Awaitable[Any], home: asyncio.AbstractEventLoop | None) -> Any:
    """Wait for something on the loop it belongs to.

    A reply that waits for an event of the test's must wait on the test's loop: an asyncio.Event
    that is set on one loop and awaited on another never wakes anybody. A loop that is not running
    any more (the test is over, or is in a sync client) cannot do it; then it is this one's.
    """
    if home is None or not home.is_running() or home is asyncio.get_running_loop():
        return await work

    async def waited() -> Any:
        return await work

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(waited(), home))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _endpoints(to: str | None) -> frozenset[str]:
    if to is None:
        return _GENERATING
    if to not in SCRIPTABLE:
        raise ConfigurationError(f"{origin()}: to={to!r}: give one of {', '.join(SCRIPTABLE)}")
    return frozenset({to})


def _matches(matcher: Matcher | None, body: dict[str, Any], messages: list[dict[str, Any]]) -> bool:
    if callable(matcher):
        return bool(matcher(body))
    return (matcher or "").casefold() in last_user_text(messages).casefold()


def _named(matcher: Matcher) -> str:
    return repr(matcher) if isinstance(matcher, str) else getattr(matcher, "__name__", "a rule")


def default_of(reply: ReplyLike | None) -> Told | None:
    """Return a default as something told, None where there is none."""
    if reply is None:
        return None
    where = origin()
    return Told(
        reply=check_scriptable(reply, where),
        origin=where,
        endpoints=_GENERATING,
        home=_running_loop(),
        optional=True,
    )
