"""Asking the user's judge, within a budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from agentinfra._mechanics.clock import SYSTEM_CLOCK, Clock
from agentinfra.cache.semantic.answer import Pair
from agentinfra.errors import ConfigurationError
from agentinfra.observability.logging import get_logger

__all__ = ["Judge", "Judging"]

_log = get_logger("agentinfra.cache")

Judge: TypeAlias = Callable[[Pair], Awaitable[bool]]
"""Says whether the known answer would have done for the question."""

_HOUR = 3600.0
_FOR_LABELS = 0.8


class Judging:
    """A judge, and how often it may still be asked.

    Args:
        judge: The judge; None until `use`.
        per_hour: How often it is asked at most; a fifth of it is kept for audits.
        clock: Where time comes from.
    """

    __slots__ = ("_asked", "_clock", "_judge", "_per_hour", "_since")

    def __init__(self, judge: Judge | None, per_hour: int, clock: Clock | None) -> None:
        self._clock = clock or SYSTEM_CLOCK
        self._judge = judge
        self._per_hour = _checked(per_hour)
        self._asked = 0
        self._since: float | None = None

    def use(self, judge: Judge, per_hour: int) -> None:
        """Ask this judge from now on.

        Raises:
            ConfigurationError: It may never be asked.
        """
        self._judge, self._per_hour = judge, _checked(per_hour)

    def may_ask(self, *, audit: bool) -> bool:
        """Take one judgement out of the hour's budget; return whether there was one."""
        if self._judge is None:
            return False
        now = self._clock.now()
        if self._since is None or now - self._since >= _HOUR:
            self._since, self._asked = now, 0
        if self._asked >= self._per_hour * (1.0 if audit else _FOR_LABELS):
            return False
        self._asked += 1
        return True

    async def ask(self, pair: Pair) -> bool | None:
        """Return the judgement, None where the judge failed."""
        if self._judge is None:
            return None
        try:
            return bool(await self._judge(pair))
        except Exception as error:  # noqa: BLE001 - a judge of the user's may raise anything
            _log.warning("cache.judge_failed", error=type(error).__name__)
            return None


def _checked(per_hour: int) -> int:
    if per_hour < 1:
        raise ConfigurationError(f"judgements_per_hour is {per_hour!r}: give 1 or more")
    return per_hour
