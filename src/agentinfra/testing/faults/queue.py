"""Which faults meet which request."""

from __future__ import annotations

import hashlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from agentinfra.errors import ConfigurationError
from agentinfra.testing.faults.kinds import Fault, Silence, Together
from agentinfra.testing.ledger import Exchange, RequestRecord
from agentinfra.testing.origin import origin

__all__ = ["FaultQueue", "When"]

When: TypeAlias = "Callable[[RequestRecord], bool] | str | None"


@dataclass(slots=True, kw_only=True, eq=False)
class _Armed:
    fault: Fault
    left: int | None
    when: When
    probability: float
    seed: int
    origin: str

    def meets(self, exchange: Exchange, seen: int) -> bool:
        if isinstance(self.when, str):
            met = self.when in exchange.path
        else:
            met = self.when is None or self.when(exchange.record())
        return met and (self.probability >= 1.0 or self._roll(exchange, seen) < self.probability)

    def _roll(self, exchange: Exchange, seen: int) -> float:
        """Return the request's own dice: what is asked decides, not when it comes."""
        digest = hashlib.blake2b(exchange.raw_body, digest_size=16).hexdigest()
        dice = random.Random(f"{self.seed} {exchange.path} {digest} {seen}")  # noqa: S311
        return dice.random()


class FaultQueue:
    """Faults waiting for requests, in the order in which they were armed.

    A request meets the first fault that decides what it is answered, and with it the first that
    only slows the answer and the first that only mislabels it. Armed from any thread, taken from
    the server's. ``silenced`` counts the requests that got no answer at all.
    """

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self._seen: Counter[tuple[str, bytes]] = Counter()
        self.silenced = 0
        # Reentrant: what decides when a fault meets a request is a function of the test, which may
        # arm and disarm.
        self._lock = threading.RLock()

    def arm(
        self,
        fault: Fault | Callable[[], Fault],
        *,
        times: int | None,
        when: When,
        probability: float,
        seed: int,
    ) -> None:
        """Add a fault for ``times`` requests, None for all.

        Raises:
            ConfigurationError: It is no fault, or would meet nothing.
        """
        where = origin()
        fault = fault if isinstance(fault, Fault) or not callable(fault) else fault()
        if not isinstance(fault, Fault):
            raise ConfigurationError(f"{where}: {fault!r:.200} is no fault; take one of faults")
        if (times is not None and times < 1) or not 0 <= probability <= 1:
            raise ConfigurationError(
                f"{where}: times={times!r}, probability={probability!r}: give at least 1 time, "
                "and a probability from 0 to 1"
            )
        armed = _Armed(
            fault=fault, left=times, when=when, probability=probability, seed=seed, origin=where
        )
        with self._lock:
            self._armed.append(armed)

    def clear(self) -> None:
        """Disarm all."""
        with self._lock:
            self._armed.clear()
            self._seen.clear()
            self.silenced = 0

    def left(self) -> list[str]:
        """Return what was armed for a number of requests that did not come."""
        with self._lock:
            return [
                f"{armed.fault.name} x {armed.left} ({armed.origin})"
                for armed in self._armed
                if armed.left is not None and armed.probability >= 1.0
            ]

    def take(self, exchange: Exchange) -> tuple[Fault, ...]:
        """Return the faults that meet a request, and use each up by one."""
        if not self._armed:
            return ()
        met: dict[str, Fault] = {}
        with self._lock:
            seen = self._count(exchange)
            for armed in list(self._armed):
                if armed.fault.part not in met and armed.meets(exchange, seen):
                    met[armed.fault.part] = armed.fault
                    self._use(armed)
        if not met:
            return ()
        exchange.fault = " + ".join(fault.name for fault in met.values())
        found = tuple(_flat(met.values()))
        if any(isinstance(fault, Silence) for fault in found):
            self.silenced += 1
        return found

    def _count(self, exchange: Exchange) -> int:
        # A request that is sent again is another roll, or a retry could never help.
        if all(armed.probability >= 1.0 for armed in self._armed):
            return 0
        key = (exchange.path, hashlib.blake2b(exchange.raw_body, digest_size=16).digest())
        self._seen[key] += 1
        return self._seen[key]

    def _use(self, armed: _Armed) -> None:
        if armed.left is not None:
            armed.left -= 1
            if armed.left == 0 and armed in self._armed:
                self._armed.remove(armed)


def _flat(faults: Iterable[Fault]) -> Iterator[Fault]:
    for fault in faults:
        if isinstance(fault, Together):
            yield from _flat(fault.faults)
        else:
            yield fault
