"""What the server saw: every request, in the order of arrival."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from agentinfra.results import Usage

__all__ = ["Exchange", "Ledger", "RequestRecord", "mask", "parse_body"]

_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "proxy-authorization"})
_VISIBLE = 4
RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request and what became of it.

    Attributes:
        index: Its place in the order of arrival, from 0.
        time: When it came, on the server's clock.
        method: The HTTP method.
        path: The path, without the query.
        headers: Its headers in lower case; secrets are masked to their last 4 characters.
        authorized: Whether its key was accepted.
        body: The parsed JSON body, its text where it is no JSON, None where there was none.
        model: The model it asked for.
        stream: Whether it asked for a stream.
        status: The status sent, None where no status line was sent (yet).
        fault: The name of the fault that met it, None where none did.
        finished: Whether everything was handed to the connection while the client was there.
            What the client left unread in its own socket cannot be seen from here.
        usage: The tokens the response reports, None where it reports none.
        duration: Seconds until the response was out or given up, None while in flight.
    """

    index: int
    time: float
    method: str
    path: str
    headers: Mapping[str, str]
    authorized: bool
    body: Any
    model: str | None
    stream: bool
    status: int | None
    fault: str | None
    finished: bool
    usage: Usage | None
    duration: float | None


class Exchange:
    """A request while it is being answered; frozen into a record when somebody looks.

    It keeps the bytes that came, not what they were parsed into: ten thousand parsed requests are
    work for the garbage collector that a busy server feels.
    """

    __slots__ = (
        "authorized",
        "duration",
        "fault",
        "finished",
        "index",
        "method",
        "model",
        "path",
        "raw_body",
        "raw_headers",
        "source",
        "started",
        "status",
        "stream",
        "usage",
    )

    def __init__(
        self, index: int, started: float, method: str, path: str, raw_headers: RawHeaders
    ) -> None:
        self.index = index
        self.started = started
        self.method = method
        self.path = path
        self.raw_headers = raw_headers
        self.raw_body = b""
        self.authorized = False
        self.model: str | None = None
        self.stream = False
        self.status: int | None = None
        self.fault: str | None = None
        self.source: object | None = None
        self.finished = False
        self.usage: Usage | None = None
        self.duration: float | None = None

    def record(self) -> RequestRecord:
        """Return what is known of the request now."""
        return RequestRecord(
            index=self.index,
            time=self.started,
            method=self.method,
            path=self.path,
            headers=dict(_readable(self.raw_headers)),
            authorized=self.authorized,
            body=parse_body(self.raw_body),
            model=self.model,
            stream=self.stream,
            status=self.status,
            fault=self.fault,
            finished=self.finished,
            usage=self.usage,
            duration=self.duration,
        )


class Ledger:
    """The requests of one server and their totals.

    Written on the server's thread, read from any. The totals count every request, also those
    whose record was dropped for room.
    """

    def __init__(self, *, limit: int | None = None) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=limit)
        self._paths: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._arrived = 0
        self._next_index = 0
        self._in_flight = 0
        self._max_in_flight = 0
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        # Whoever looks sees a whole step of the server's thread, and a waiter that looks and then
        # waits misses no step in between.
        self._lock = threading.Lock()

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """The records kept, oldest first, requests in flight included."""
        return tuple(exchange.record() for exchange in self.exchanges())

    @property
    def last(self) -> RequestRecord:
        """The newest record.

        Raises:
            LookupError: No request has come yet.
        """
        with self._lock:
            if not self._exchanges:
                raise LookupError("the ledger is empty; send a request first")
            return self._exchanges[-1].record()

    @property
    def in_flight(self) -> int:
        """Requests being answered now."""
        return self._in_flight

    @property
    def max_in_flight(self) -> int:
        """The most requests that were being answered at once."""
        return self._max_in_flight

    def exchanges(self) -> list[Exchange]:
        """Return what the records are made of."""
        with self._lock:
            return list(self._exchanges)

    def count(self, *, path: str | None = None) -> int:
        """Return how many requests came, or came for the paths that end in ``path``."""
        with self._lock:
            if path is None:
                return self._arrived
            return sum(times for known, times in self._paths.items() if known.endswith(path))

    def tokens(self) -> Usage:
        """Return the sum of the usage that was sent."""
        with self._lock:
            counted = Counter(self._tokens)
        return Usage(
            prompt_tokens=counted["prompt"],
            completion_tokens=counted["completion"],
            total_tokens=counted["total"],
            cached_tokens=counted["cached"],
            reasoning_tokens=counted["reasoning"],
        )

    def clear(self) -> None:
        """Forget records and totals; requests in flight stay in flight."""
        with self._lock:
            self._exchanges.clear()
            self._paths.clear()
            self._tokens.clear()
            self._arrived = 0
            self._max_in_flight = self._in_flight

    def open(self, time: float, method: str, path: str, raw_headers: RawHeaders) -> Exchange:
        """Begin a request; the server calls this."""
        with self._lock:
            exchange = Exchange(self._next_index, time, method, path, raw_headers)
            self._next_index += 1
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)
            return exchange

    def arrived(self, exchange: Exchange) -> None:
        """Enter a request whose body is here; the server calls this."""
        with self._lock:
            self._exchanges.append(exchange)
            self._paths[exchange.path] += 1
            self._arrived += 1
            self._wake()

    def close(self, exchange: Exchange, time: float) -> None:
        """End a request, once; the server calls this."""
        with self._lock:
            if exchange.duration is not None:
                return
            exchange.duration = time - exchange.started
            self._in_flight -= 1
            if exchange.usage is not None:
                self._count(exchange.usage)
            self._wake()

    def _count(self, usage: Usage) -> None:
        # Field by field: a sum of two frozen values a request would cost as much as the rest.
        tokens = self._tokens
        tokens["prompt"] += usage.prompt_tokens
        tokens["completion"] += usage.completion_tokens
        tokens["total"] += usage.total_tokens
        tokens["cached"] += usage.cached_tokens
        tokens["reasoning"] += usage.reasoning_tokens

    async def wait_for(self, *, arrived: int = 0, idle: bool = False) -> None:
        """Wait, on any loop, until so many requests have come, or until none is in flight."""
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                if self._arrived >= arrived and not (idle and self._in_flight):
                    return
                changed = asyncio.Event()
                self._waiting.append((loop, changed))
            try:
                await changed.wait()
            finally:
                with self._lock:
                    self._waiting = [entry for entry in self._waiting if entry[1] is not changed]

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for loop, changed in waiting:
            # A loop that was closed while its task waited has nobody left to wake.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)


def parse_body(raw: bytes) -> Any:
    """Return a request's body: parsed where it is JSON, else its text, None for no body."""
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode(errors="replace")


def _readable(raw_headers: RawHeaders) -> Iterator[tuple[str, str]]:
    for raw_name, raw_value in raw_headers:
        name = raw_name.decode("latin-1").lower()
        yield name, mask(name, raw_value.decode("utf-8", "replace"))


def mask(name: str, value: str) -> str:
    """Return a header's value as it may be kept: of a secret the last 4 characters at most."""
    if name.lower() == "cookie":
        return "****"
    if name.lower() not in _SECRET_HEADERS:
        return value
    scheme, _, secret = value.rpartition(" ")
    shown = secret[-_VISIBLE:] if len(secret) > 2 * _VISIBLE else ""
    return f"{scheme} ****{shown}".lstrip()
