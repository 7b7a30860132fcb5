"""A warning that repeats itself without end is written now and then, with how often it came."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Repeats"]

_BURST: Final = 20
"""Equal events written in one window."""
_WINDOW: Final = 1.0  # seconds
_KNOWN: Final = 512  # kinds remembered


class Repeats:
    """Counts equal events; one event loop or thread may disturb another's count by a few."""

    __slots__ = ("_now", "_seen")

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: dict[object, list[float]] = {}

    def admit(self, logger: str, event: object, fields: dict[str, Any]) -> int | None:
        """Say whether an event is to be written.

        Returns:
            How many equal ones were left out since the last that was written; None to leave this
            one out too.
        """
        key = _key(logger, event, fields)
        now = self._now()
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= _KNOWN:
                self._seen.clear()
            self._seen[key] = [now, 1, 0]
            return 0
        if now - seen[0] > _WINDOW:
            missed, seen[:] = int(seen[2]), [now, 1, 0]
            return missed
        seen[1] += 1
        if seen[1] > _BURST:
            seen[2] += 1
            return None
        return 0


def _key(logger: str, event: object, fields: dict[str, Any]) -> object:
    try:
        key = (logger, event, tuple(fields.items()))
        hash(key)
    except Exception:  # noqa: BLE001 - values of all kinds: one that cannot be compared is its own
        return (logger, id(event), tuple(fields))
    return key
