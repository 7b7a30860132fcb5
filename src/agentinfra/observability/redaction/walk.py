"""Any value as one that JSON knows, without its secrets; deep, endless and circular ones cut."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Collection, Mapping, Set
from datetime import date, time
from enum import Enum
from itertools import takewhile
from typing import Any, Protocol
from uuid import UUID

from agentinfra.observability.redaction.looks import is_secretive
from agentinfra.observability.redaction.names import Verdict

__all__ = ["CUT", "INT", "REDACTED", "Walk", "encodable", "hidden", "safe_text"]

REDACTED = "[redacted]"
CUT = "[...]"
INT = 2**63  # what every JSON reader and OTLP takes

_DEPTH = 8
_NODES = 5_000
_TEXT = 8_000  # characters kept of a repr


class Cleaner(Protocol):
    """What knows names and texts."""

    def verdict(self, key: str) -> Verdict:
        """Say what a name says of its value."""
        ...

    def text(self, text: str) -> str:
        """Return a text without its secrets."""
        ...


class Walk:
    """One pass over one value, with a bound on how much is looked at."""

    __slots__ = ("_cleaner", "_left")

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner
        self._left = _NODES

    def clean(self, value: Any, depth: int = _DEPTH) -> Any:
        """Return the value's clean copy; never raise, whatever its own methods do."""
        try:
            return self._clean(value, depth)
        except Exception:  # noqa: BLE001 - the value's own methods run here
            return _unprintable(value)

    def _clean(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, Enum):
            return self.clean(value.value, depth)
        if isinstance(value, str):
            return self._cleaner.text(str.__str__(value))
        if isinstance(value, int | float):
            return _number(value)
        if isinstance(value, date | time):
            return value.isoformat()
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value, depth) if depth else CUT
        names = getattr(value, "_fields", None)
        if isinstance(value, tuple) and isinstance(names, tuple):  # a named tuple
            return self._mapping(dict(zip(names, value, strict=False)), depth) if depth else CUT
        if isinstance(value, list | tuple | Set | deque):
            return self._sequence(value, depth) if depth else CUT
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            shown = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.repr}
            return self._mapping(shown, depth) if depth else CUT
        if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
            scalar: Any = value
            return self.clean(scalar.item(), depth - 1) if depth else CUT
        # Cut twice: a secret that the first cut halves must not survive as the half.
        return _cut(self._cleaner.text(_cut(safe_text(value), 2 * _TEXT)), _TEXT)

    def under(self, verdict: Verdict, value: Any, depth: int = _DEPTH) -> Any:
        """Return the clean copy of a value whose name is that of a secret, or may be."""
        if verdict is Verdict.HIDDEN:
            return hidden(value)
        if isinstance(value, str):
            return REDACTED if is_secretive(value) else self.clean(value, depth)
        if isinstance(value, list | tuple | Set) and depth:
            items = takewhile(lambda _: self._spend(), value)
            return [self.under(verdict, item, depth - 1) for item in items]
        if isinstance(value, dict) and depth:
            pairs = takewhile(lambda _: self._spend(), value.items())
            return {_key_text(key): self.under(verdict, item, depth - 1) for key, item in pairs}
        return self.clean(value, depth)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        clean: dict[str, Any] = {}
        for key, item in value.items():
            if not self._spend():
                clean[CUT] = CUT
                break
            name = _key_text(key)
            verdict = self._cleaner.verdict(name)
            clean[self._cleaner.text(name)] = (
                self.clean(item, depth - 1)
                if verdict is Verdict.SHOWN
                else self.under(verdict, item, depth - 1)
            )
        return clean

    def _sequence(self, value: Collection[Any], depth: int) -> list[Any]:
        if self._is_secret_pair(value):
            return [_key_text(next(iter(value))), REDACTED]
        clean: list[Any] = []
        for item in value:
            if not self._spend():
                clean.append(CUT)
                break
            clean.append(self.clean(item, depth - 1))
        return clean

    def _is_secret_pair(self, items: Collection[Any]) -> bool:
        """Say whether this is a header or an item, as in ``("x-api-key", "...")``."""
        if len(items) != 2 or not isinstance(items, list | tuple):
            return False
        key = items[0]
        if not isinstance(key, str | bytes):
            return False
        return self._cleaner.verdict(_key_text(key)) is Verdict.HIDDEN

    def _spend(self) -> bool:
        self._left -= 1
        return self._left > 0


def encodable(text: str) -> str:
    """Return the text with ``?`` for what UTF-8 has no bytes for: halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


def safe_text(value: Any) -> str:
    """Return the value's text: ``str`` for numbers and ids, ``repr`` otherwise; never raise."""
    try:
        return str(value) if _is_number(value) else repr(value)
    except Exception:  # noqa: BLE001 - the value's own methods run here
        return _unprintable(value)


def _number(value: float) -> Any:
    if isinstance(value, int):
        plain = int(value)
        return plain if -INT < plain < INT else safe_text(plain)
    return float(value) if math.isfinite(value) else repr(float(value))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + CUT


def _is_number(value: Any) -> bool:
    kind = type(value)
    return kind is UUID or (hasattr(kind, "__float__") and not hasattr(kind, "__len__"))


def _unprintable(value: Any) -> str:
    return f"<unprintable {type(value).__name__}>"


def hidden(value: Any) -> Any:
    """Return what is shown of a secret: whether there is one, by None and bools, is none."""
    return value if value is None or value is True or value is False else REDACTED


def _key_text(key: Any) -> str:
    if isinstance(key, bytes):
        return key.decode("utf-8", "replace")
    return str.__str__(key) if isinstance(key, str) else safe_text(key)
