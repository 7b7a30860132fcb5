"""The windows that accounts count in: a run, an hour, a day, a month, the last so many seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from agentinfra.errors import ConfigurationError

__all__ = ["Per", "Window"]

Per: TypeAlias = Literal["run", "hour", "day", "month"] | float
"""A window's name, or the seconds of one that rolls along."""

_MICRO = 1_000_000
_SLICES = 60
"""What a rolling window is counted in: it is too long by one of them, never too short."""

_SHORTEST, _LONGEST = 1.0, 366 * 86_400.0
_STEPS = {"hour": 3600.0, "day": 86_400.0}


@dataclass(frozen=True, slots=True)
class Window:
    """A window of time, cut into periods that spending is booked in.

    Hours, days and months are those of UTC, one period each; a run is one period without end. A
    rolling window is counted in slices. Moments are seconds since the epoch.

    Attributes:
        name: ``run``, ``hour``, ``day``, ``month``, or the seconds of a rolling one, as ``3600s``.
        seconds: The length of a rolling window, 0.0 for any other.
    """

    name: str
    seconds: float = 0.0

    @classmethod
    def of(cls, per: Per) -> Window:
        """Return the window of a name or a number of seconds.

        Raises:
            ConfigurationError: There is no such window.
        """
        if isinstance(per, str) and per in ("run", "hour", "day", "month"):
            return cls(per)
        number = isinstance(per, int | float) and not isinstance(per, bool)
        if number and _SHORTEST <= float(per) <= _LONGEST:
            return cls(f"{float(per):.12g}s", float(per))
        raise ConfigurationError(
            f"per={per!r} is no window: give 'run', 'hour', 'day', 'month', or the seconds of one "
            f"that rolls along, from {_SHORTEST:g} to {_LONGEST:,.0f}"
        )

    @classmethod
    def named(cls, name: str) -> Window:
        """Return the window that has this name.

        Raises:
            ConfigurationError: There is none.
        """
        if name.endswith("s") and name[:-1].replace(".", "", 1).isdigit():
            return cls.of(float(name[:-1]))
        return cls.of(name)  # type: ignore[arg-type]  # which is what it finds out

    @property
    def rolling(self) -> bool:
        """Whether it rolls along."""
        return self.seconds > 0

    def period(self, at: float) -> float:
        """Return when the period of a moment began."""
        if self.rolling:
            # In whole microseconds, as the ledger has moments: all processes cut at the same ones.
            return round(at * _MICRO) // self._slice * self._slice / _MICRO
        if step := _STEPS.get(self.name):
            return math.floor(at / step) * step
        if self.name == "month":
            return datetime.fromtimestamp(at, UTC).replace(**_FIRST).timestamp()
        return 0.0

    def ends(self, period: float) -> float:
        """Return when a period is over, infinity for a run."""
        if self.rolling:
            return (round(period * _MICRO) + self._slice) / _MICRO
        if step := _STEPS.get(self.name):
            return period + step
        if self.name == "month":
            return self.period(period + 40 * 86_400)  # a period begins on the first of a month
        return math.inf

    def horizon(self, at: float) -> float:
        """Return the beginning of the oldest period that counts at a moment."""
        return self.period(at - self.seconds) if self.rolling else self.period(at)

    @property
    def _slice(self) -> int:
        return math.ceil(self.seconds * _MICRO / _SLICES)

    def resets_at(self, at: float) -> datetime | None:
        """Return when something of what counts is going to count no more; None where never."""
        ends = self.ends(self.period(at))
        return None if math.isinf(ends) else datetime.fromtimestamp(ends, UTC)


_FIRST: dict[str, Any] = {"day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0}
