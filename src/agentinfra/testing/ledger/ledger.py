"""What the server saw: every request, in the order of arrival."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter, deque
from collections.abc import Mapping
from decimal import Decimal

from agentinfra.results import Usage
from agentinfra.settings import ModelPrice
from agentinfra.testing.ledger import proofs
from agentinfra.testing.ledger.records import Exchange, RawHeaders, RequestRecord

__all__ = ["Ledger"]


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

    def cost(self, *, prices: Mapping[str, ModelPrice] | None = None) -> Decimal:
        """Return what the answers cost in USD, by the usage they reported.

        Args:
            prices: The prices of models, as ``LLMSettings.prices`` has them; models that are not
                in it cost what OpenAI lists for them.

        Raises:
            AssertionError: The price of a model is not known, or records were dropped for room.
        """
        return sum(self._costs(prices).values(), Decimal(0))

    def assert_spend(
        self, at_most: Decimal | float, *, prices: Mapping[str, ModelPrice] | None = None
    ) -> Decimal:
        """Check what the answers cost in all; return it, in USD.

        Every answer is paid for that reached the wire, also one whose client left or asked again:
        what an agent says of its own costs can be held against this.

        Args:
            at_most: In USD.
            prices: As for `cost`.

        Raises:
            AssertionError: It was more, or is not known; the message has the cost of each model.
        """
        return proofs.spend(self._costs(prices), Decimal(str(at_most)))

    def assert_attempts(self, count: int, *, path: str = "", model: str | None = None) -> None:
        """Check that each request was sent so often: the same body to the same path.

        Args:
            count: How often; 1 says that nothing was sent again.
            path: The end of the paths to look at; all by default.
            model: The model to look at; None looks at all.

        Raises:
            AssertionError: One was sent more or less often, or there is none; the message has the
                requests in order.
        """
        proofs.attempts(self._looked_at(path, model), count)

    def assert_single_flight(self, *, path: str = "", model: str | None = None) -> None:
        """Check that nobody asked for what was being asked for, or had been answered, already.

        One that failed may be sent again once it has failed.

        Args:
            path: As for `assert_attempts`.
            model: As for `assert_attempts`.

        Raises:
            AssertionError: Equal requests were in flight at once, or one was answered twice, or
                there is none; the message has the requests in order.
        """
        proofs.single_flight(self._looked_at(path, model))

    def _costs(self, prices: Mapping[str, ModelPrice] | None) -> dict[str, Decimal]:
        return proofs.costs(self._all(), prices or {})

    def _looked_at(self, path: str, model: str | None) -> list[RequestRecord]:
        return [
            record
            for record in self._all()
            if record.path.endswith(path) and model in (None, record.model)
        ]

    def _all(self) -> tuple[RequestRecord, ...]:
        """Return every record there was."""
        records = self.requests
        if len(records) < self._arrived:
            raise AssertionError(
                f"the ledger kept {len(records)} of {self._arrived} requests; give the server a "
                "larger ledger_limit, or None"
            )
        return records

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
