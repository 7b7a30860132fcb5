"""How long a call may take: what the caller says, else what the settings do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentinfra._mechanics.deadline import Deadline
from agentinfra.errors import ConfigurationError, LLMTimeoutError
from agentinfra.llm.policy.call import Call

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.settings import LLMSettings

__all__ = ["CONFIGURED", "Configured", "begun"]


class Configured:
    """Stands for what the settings say, since None is a time without end."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "CONFIGURED"


CONFIGURED: Final = Configured()


def begun(
    operation: str,
    settings: LLMSettings,
    timeout: float | Configured | None,
    deadline: float | Configured | None,
    *,
    tenant: str,
    clock: Clock,
) -> Call:
    """Return a call that begins now.

    Args:
        operation: ``chat`` or ``embeddings``.
        settings: The client's.
        timeout: Seconds for one attempt; 0 is now, None has no end.
        deadline: Seconds for the whole call; 0 is now, None has no end.
        tenant: Whom it is for.
        clock: Where time comes from.

    Raises:
        ConfigurationError: A time is no number of seconds.
        LLMTimeoutError: There is no time at all.
    """
    within = settings.deadline if deadline is CONFIGURED else _seconds("deadline", deadline)
    patience = settings.timeout if timeout is CONFIGURED else _seconds("timeout", timeout)
    if (within is not None and within <= 0) or (patience is not None and patience <= 0):
        raise LLMTimeoutError(
            "the call was given no time (a timeout or a deadline of 0): nothing was sent",
            impatient=True,
        )
    return Call(
        operation=operation,
        deadline=Deadline(within, clock=clock),
        patience=patience,
        longest_wait=settings.longest_wait,
        started=clock.now(),
        tenant=tenant,
    )


def _seconds(name: str, given: object) -> float | None:
    if given is None or (type(given) is float and given == given):  # no NaN
        return given
    if isinstance(given, bool) or not isinstance(given, int | float) or given != given:
        raise ConfigurationError(
            f"{name} is {given!r}: give seconds as a number, 0 for now or None for no end"
        )
    return given
