"""Which fault meets which request."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from agentinfra.testing.faults import Fault
from agentinfra.testing.ledger import Exchange, RequestRecord

__all__ = ["FaultQueue", "When"]

When: TypeAlias = "Callable[[RequestRecord], bool] | str | None"


@dataclass(slots=True, kw_only=True)
class _Armed:
    fault: Fault
    left: int | None
    when: When
    probability: float
    dice: random.Random

    def meets(self, exchange: Exchange) -> bool:
        if isinstance(self.when, str):
            met = self.when in exchange.path
        else:
            met = self.when is None or self.when(exchange.record())
        return met and (self.probability >= 1.0 or self.dice.random() < self.probability)


class FaultQueue:
    """Faults waiting for requests, in the order in which they were armed."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []

    def arm(
        self,
        fault: Fault | Callable[[], Fault],
        *,
        times: int | None,
        when: When,
        probability: float,
        seed: int,
    ) -> None:
        """Add a fault for ``times`` requests, None for all."""
        fault = fault if isinstance(fault, Fault) else fault()
        dice = random.Random(seed)  # noqa: S311 - it has to be repeatable, not secret
        self._armed.append(
            _Armed(fault=fault, left=times, when=when, probability=probability, dice=dice)
        )

    def clear(self) -> None:
        """Disarm all."""
        self._armed.clear()

    def take(self, exchange: Exchange) -> Fault | None:
        """Return the first fault that meets a request, and use it up by one."""
        for armed in self._armed:
            if armed.meets(exchange):
                if armed.left is not None:
                    armed.left -= 1
                    if armed.left == 0:
                        self._armed.remove(armed)
                exchange.fault = armed.fault.name
                return armed.fault
        return None
