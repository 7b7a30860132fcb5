"""What went otherwise than it was scripted, said when the server is left."""

from __future__ import annotations

import threading
import traceback
import warnings
from collections.abc import Sequence

from agentinfra.testing.faults.queue import FaultQueue
from agentinfra.testing.ledger import Exchange, Ledger, shown
from agentinfra.testing.scripts.playbook import Playbook

__all__ = ["ScriptError", "ScriptWarning", "Verdict"]

_SHOWN = 40


class ScriptError(AssertionError):
    """A server was asked otherwise than it was scripted; the message holds the timeline."""


class ScriptWarning(UserWarning):
    """What a server that is not strict says in place of a `ScriptError`."""


class Verdict:
    """Collects what the handlers of one server could not do, for the one who leaves it."""

    def __init__(self, playbook: Playbook, faults: FaultQueue, ledger: Ledger) -> None:
        self.strict = True
        self._playbook = playbook
        self._faults = faults
        self._ledger = ledger
        self._unanswered: list[Exchange] = []
        self._raised: list[tuple[Exchange, BaseException]] = []
        self._lock = threading.Lock()

    def unscripted(self, exchange: Exchange) -> None:
        """Note a request that nothing answers."""
        with self._lock:
            self._unanswered.append(exchange)

    def raised(self, exchange: Exchange, error: BaseException) -> None:
        """Note what a scripted function raised."""
        with self._lock:
            self._raised.append((exchange, error))

    def clear(self) -> None:
        """Forget what was noted."""
        with self._lock:
            self._unanswered.clear()
            self._raised.clear()

    def complaints(self) -> list[str]:
        """Return what is wrong, empty where all went as scripted."""
        found = [
            f"a function that answers raised {type(error).__name__}: {error}"
            for _, error in self._raised
        ]
        found += [
            f"{shown(exchange.record())} was asked and nothing is scripted for it"
            for exchange in self._unanswered
        ]
        # Who gets no answer at all cannot go on, and need not come back for it.
        forgiven = self._faults.silenced
        found += [f"nobody asked for {told}" for told in self._playbook.left()[forgiven:]]
        found += [f"no request met the fault {fault}" for fault in self._faults.left()]
        return found

    def judge(self, error: BaseException | None) -> None:
        """Raise what is wrong, or note it on the error that is on its way already.

        Raises:
            ScriptError: A request was not scripted, or a reply or a fault was left over.
            BaseException: What a scripted function raised, as it was.
        """
        complaints = self.complaints()
        if not complaints:
            return
        if error is not None:
            error.add_note("The test server: " + self._told(complaints))
            for _, raised in self._raised:
                if raised is not error:
                    error.add_note("".join(traceback.format_exception(raised)))
            return
        if not self.strict:
            warnings.warn(self._told(complaints), ScriptWarning, stacklevel=3)
            return
        if self._raised:
            first = self._raised[0][1]
            first.add_note("The test server: " + self._told(complaints))
            raise first
        raise ScriptError(self._told(complaints))

    def _told(self, complaints: Sequence[str]) -> str:
        return "\n".join(["; ".join(complaints), *self._timeline()])

    def _timeline(self) -> list[str]:
        exchanges = self._ledger.exchanges()
        lines = [f"  {exchange.index}. {_answered(exchange)}" for exchange in exchanges[-_SHOWN:]]
        if len(exchanges) > _SHOWN:
            lines.insert(0, f"  ... {len(exchanges) - _SHOWN} more before")
        expected = self._playbook.left()
        after = f"  expected next: {expected[0]}" if expected else "  nothing more was expected"
        return ["what was asked:", *(lines or ["  nothing"]), after]


def _answered(exchange: Exchange) -> str:
    fault = f", fault {exchange.fault}" if exchange.fault else ""
    status = exchange.status if exchange.status is not None else "no answer"
    by = f" by {exchange.source}" if exchange.source else ""
    return f"{shown(exchange.record())} -> {status}{by}{fault}"
