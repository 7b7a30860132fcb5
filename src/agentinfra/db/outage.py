"""What is known of a database that is away, and when to ask it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentinfra.errors import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentinfra._mechanics.clock import Clock

__all__ = ["Outage"]

_FIRST = 0.5
_LONGEST = 30.0


class Outage:
    """Keeps callers from asking a dead server: they fail at once until the next attempt is due.

    The first attempt is due after half a second, each failed one doubles the wait up to 30 s.

    Args:
        clock: Where time comes from.
        began: Called with the reason when the server goes away, and at each failed attempt.
        ended: Called when it is back.
        connected: Whether there are connections to it; then a failed attempt to open one more
            is no outage: there may only be no room for it.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        began: Callable[[str], None],
        ended: Callable[[], None],
        connected: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._began = began
        self._ended = ended
        self._connected = connected
        self._reason = ""
        self._wait = 0.0
        self._due = 0.0
        self._attempted = False

    @property
    def active(self) -> bool:
        """Whether the server is away as far as is known."""
        return bool(self._reason)

    def refuse(self) -> bool:
        """Refuse a call while the server is away, but for the one that makes the next attempt.

        Returns:
            Whether this call makes the attempt; until it is over, or was due again, no other does.

        Raises:
            ConnectionLostError: With the reason of the last attempt.
        """
        if not self._reason:
            return False
        now = self._clock.now()
        if now < self._due:
            left = f"next attempt in {self._due - now:.1f} s"
            raise ConnectionLostError(f"{self._reason} ({left})")
        self._due = now + self._wait
        self._attempted = True
        return True

    def failed(self, reason: str) -> None:
        """Note that the server could not be reached.

        Calls that fail beside the one that makes the attempt change nothing.
        """
        if self._connected() or (self._reason and not self._attempted):
            return
        self._attempted = False
        self._wait = min(self._wait * 2 or _FIRST, _LONGEST)
        self._due = self._clock.now() + self._wait
        self._reason = reason
        self._began(reason)

    def over(self) -> None:
        """Note that the server answers."""
        if self._reason:
            self._reason, self._wait, self._attempted = "", 0.0, False
            self._ended()
