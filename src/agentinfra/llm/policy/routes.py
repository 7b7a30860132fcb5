"""Which of several endpoints of one model is asked first: by weight, those in trouble last."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentinfra.llm.policy.gate import Gates
    from agentinfra.llm.wire.endpoint import Target

__all__ = ["shared_out"]


def shared_out(
    targets: Sequence[Target],
    gates: Gates,
    operation: str,
    *,
    chance: Callable[[], float] = random.random,
) -> tuple[Target, ...]:
    """Return targets in the order in which they are asked.

    Drawn by weight without putting back (Efraimidis and Spirakis, 2006): the first is one in
    proportion to its weight, and so is each that follows.

    Args:
        targets: Endpoints of one model.
        gates: Know which of them are better left alone for now.
        operation: What is asked of them.
        chance: Gives a random number between 0 and 1.
    """

    def place(target: Target) -> tuple[bool, float]:
        cooling = gates.health(target.endpoint.name, operation).cooling
        return cooling, -(chance() ** (1.0 / target.endpoint.weight))

    return tuple(sorted(targets, key=place))
