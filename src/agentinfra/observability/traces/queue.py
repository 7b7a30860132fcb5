"""A bound on the spans that wait for export, and a count of those that never leave."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ExportQueue", "Outcome", "Queue", "Unbounded"]


class Outcome(Protocol):
    """Who is told how the export goes, from the thread that exports."""

    def lost(self, spans: int) -> None:
        """Spans were dropped."""
        ...

    def answered(self, *, well: bool) -> None:
        """The collector took a batch, or did not."""
        ...


class Queue(Protocol):
    """Bounds the spans that wait."""

    def admit(self) -> bool:
        """Make room for one span; False, and counted as lost, when there is none."""
        ...

    def refuse(self) -> None:
        """Admit nothing any more."""
        ...

    def abort(self) -> None:
        """Send nothing any more."""
        ...

    def write_off(self) -> None:
        """Count what still waits as lost."""
        ...


class Unbounded:
    """Bounds nothing: a program's own provider has bounds of its own."""

    def admit(self) -> bool:
        """There is always room."""
        return True

    def refuse(self) -> None:
        """Nothing is refused."""

    def abort(self) -> None:
        """Nothing is on its way."""

    def write_off(self) -> None:
        """Nothing waits."""


class ExportQueue:
    """Keeps count of the spans that wait, and is the exporter the SDK's thread calls.

    The SDK's own queue, when full, drops the oldest span and only logs that it did. No span
    enters it here that does not fit, so it never does.
    """

    def __init__(self, exporter: Any, success: object, capacity: int, outcome: Outcome) -> None:
        self._exporter = exporter
        self._success = success
        self._capacity = capacity
        self._outcome = outcome
        self._lock = Lock()
        self._waiting = 0
        self._refusing = False
        self._aborted = False
        self._written_off = False

    def admit(self) -> bool:
        """Make room for one span; False, and counted as lost, when there is none."""
        with self._lock:
            fits = not self._refusing and self._waiting < self._capacity
            self._waiting += fits
        if not fits:
            self._outcome.lost(1)
        return fits

    def refuse(self) -> None:
        """Admit nothing any more."""
        with self._lock:
            self._refusing = True

    def abort(self) -> None:
        """Send nothing any more, and wake the exporter where it waits to try again."""
        self._aborted = True
        self._exporter.shutdown()

    def write_off(self) -> None:
        """Count what still waits as lost; the batch under way counts when it is over."""
        with self._lock:
            left, self._waiting = self._waiting, 0
            self._written_off = True
        if left:
            self._outcome.lost(left)

    def export(self, spans: Sequence[Any]) -> Any:
        """Send a batch; called by the SDK's thread."""
        with self._lock:
            if self._written_off:
                return None
            self._waiting -= len(spans)
        try:
            result = None if self._aborted else self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - whatever it is, these spans are lost and the next may not
            result = None
        if result is not self._success:
            self._outcome.lost(len(spans))
        self._outcome.answered(well=result is self._success)
        return result

    def shutdown(self) -> None:
        """Close the exporter; called by the SDK."""
        if not self._aborted:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 0) -> bool:  # noqa: ARG002 - the SDK's name
        """Nothing waits in here; called by the SDK."""
        return True
