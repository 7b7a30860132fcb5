"""How long a call may take: what the caller says, else what the settings do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agentinfra._mechanics.deadline import Deadline
from agentinfra.errors import LLMTimeoutError
from agentinfra.llm.policy.call import Call

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.settings import LLMSettings

__all__ = ["CONFIGURED", "Configured", "Patience", "begun"]


class Configured:
    """Stands for what the settings say, since None is a time without end."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "CONFIGURED"


CONFIGURED: Final = Configured()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What a caller says of time, in seconds; 0 is now, None has no end.

    Attributes:
        timeout: For one attempt.
        deadline: For the whole call.
    """

    timeout: float | Configured | None
    deadline: float | Configured | None


def begun(
    operation: str, settings: LLMSettings, given: Patience, *, tenant: str, clock: Clock
) -> Call:
    """Return a call that begins now.

    Args:
        operation: ``chat`` or ``embeddings``.
        settings: The client's.
        given: What the caller says of time.
        tenant: Whom it is for.
        clock: Where time comes from.

    Raises:
        LLMTimeoutError: There is no time at all.
    """
    deadline = settings.deadline if isinstance(given.deadline, Configured) else given.deadline
    patience = settings.timeout if isinstance(given.timeout, Configured) else given.timeout
    if (deadline is not None and deadline <= 0) or (patience is not None and patience <= 0):
        raise LLMTimeoutError(
            "the call was given no time (a timeout or a deadline of 0): nothing was sent",
            impatient=True,
        )
    return Call(
        operation=operation,
        deadline=Deadline(deadline, clock=clock),
        patience=patience,
        longest_wait=settings.longest_wait,
        started=clock.now(),
        tenant=tenant,
    )
