"""What must never leave the process: secrets, known by the name of their key or by their look.

:class:`Redactor` turns any value into one that JSON knows and that holds no secret. It never
raises, whatever the value's own methods do, and its work is bounded: deep, endless and circular
values are cut.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Set
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

__all__ = ["REDACTED", "Redactor", "encodable", "safe_text"]

REDACTED = "[redacted]"
_CUT = "[...]"

_INT = 2**63  # what every JSON reader and OTLP takes
_DEPTH = 8
_NODES = 5_000
_TEXT = 8_000  # characters kept of a repr
_KNOWN_KEYS = 4_096

_ANYWHERE = (
    "password", "passwd", "passphrase", "secret", "apikey", "authorization", "credential",
    "cookie", "privatekey", "accesskey", "signingkey", "encryptionkey", "sessionkey",
)  # fmt: skip
_WORDS = frozenset({"dsn", "pwd", "jwt"})
_WHOLE = frozenset({"auth", "pass", "bearer"})
# "token" is a credential in access_token and a unit of text in first_token and per_token.
_COUNTED_TOKENS = frozenset({"first", "last", "per", "next", "stop", "eos", "bos", "pad", "max"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")

# The bounds on repetition keep every pattern linear on text made to be slow.
_VALUE = r"""(?:"(?:[^"\\]|\\.)*(?:"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z)|\S+)"""
_NAMES = (
    r"api[_\-. ]?key|passw(?:or)?d|passphrase|pwd|secret|token|dsn|credentials?|"
    r"(?:private|access|signing|encryption|session)[_\-]?key"
)
_PROVIDER_KEY = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_\-]{8,}")
_BEARER = re.compile(r"\b(bearer\s{1,4})[^\s\"',;]+", re.IGNORECASE)
_URL_PASSWORD = re.compile(
    r"(://[^\s:/@]{0,256}):(?!\d{1,5}(?:[/?#\"'\s]|\Z))[^\s]{1,512}@"  # a port is no password
)
_HEADER = re.compile(
    r"((?:proxy-)?authorization|(?:set-)?cookie)([\"']?\s{0,4}[=:]\s{0,4})"
    r"(?:\"(?:[^\"\\]|\\.)*(?:\"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z)|[^\r\n]+)",
    re.IGNORECASE | re.DOTALL,
)
_LONG_KEY = re.compile(
    r"(key[\"']?\s{0,4}[=:]\s{0,4}[\"']?)[A-Za-z0-9+/_\-]{16,}={0,2}", re.IGNORECASE
)
_HINT = re.compile(r"key|passw|passp|pwd|secret|token|dsn|credential|cookie|authoriz")


class Redactor:
    """Cleans values for a log line or a span. Stateless but for a cache; share it freely.

    Args:
        names: Keys whose values are secret, beside the built-in ones. A key is matched word by
            word, whatever its case and separators: ``email`` covers ``user_email`` and ``eMail``
            is ``e_mail``.
    """

    __slots__ = ("_extra", "_extra_hints", "_known", "_named")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._extra = tuple(words for name in names if (words := _words(name)))
        self._extra_hints = tuple(words[0] for words in self._extra)
        self._known: dict[str, bool] = {}
        extra = "".join("|" + r"[_\-. ]?".join(map(re.escape, words)) for words in self._extra)
        self._named = re.compile(
            rf"({_NAMES}{extra})([\"']?\s{{0,4}}[=:]\s{{0,4}}){_VALUE}", re.IGNORECASE | re.DOTALL
        )

    def is_secret(self, key: str) -> bool:
        """Return whether values under this key are never shown."""
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KNOWN_KEYS:  # keys may come from data, without end
                self._known.clear()
            known = self._known[key] = self._judge(key)
        return known

    def text(self, text: str) -> str:
        """Return the text, as UTF-8 can carry it, with all that looks like a secret replaced."""
        if not text.isascii():
            text = encodable(text)
        low = text.lower()
        if "sk-" in low:
            text = _PROVIDER_KEY.sub(REDACTED, text)
        if "bearer" in low:
            text = _BEARER.sub(rf"\1{REDACTED}", text)
        if "=" not in low and ":" not in low:
            return text
        if "@" in low and "://" in low:
            text = _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text)
        if _HINT.search(low) or any(hint in low for hint in self._extra_hints):
            text = _HEADER.sub(rf"\1\2{REDACTED}", text)
            text = self._named.sub(rf"\1\2{REDACTED}", text)
            text = _LONG_KEY.sub(rf"\1{REDACTED}", text)
        return text

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of an event, each cleaned."""
        clean: dict[str, Any] = {}
        known = self._known
        for key, value in fields.items():
            kind = type(value)
            secret = known.get(key)
            if secret or (secret is None and self.is_secret(key)):
                clean[key] = _hidden(value)
            elif kind is str:
                clean[key] = self.text(value)
            elif (
                kind is bool
                or value is None
                or (kind is int and -_INT < value < _INT)
                or (kind is float and value - value == 0.0)  # false for what is not finite
            ):
                clean[key] = value
            elif kind is Decimal:  # what calls cost: on every call's line
                clean[key] = str(value)
            else:
                clean[key] = self.value(value)
        return clean

    def value(self, value: Any) -> Any:
        """Return a copy made of dicts with text keys, lists, text, numbers, bools and None."""
        return _Walk(self).clean(value, _DEPTH)

    def _judge(self, key: str) -> bool:
        words = _words(key)
        joined = "".join(words)
        if any(part in joined for part in _ANYWHERE) or joined in _WHOLE:
            return True
        if not _WORDS.isdisjoint(words):
            return True
        if words and words[-1] == "token":
            return len(words) == 1 or words[-2] not in _COUNTED_TOKENS
        return any(_contains(words, extra) for extra in self._extra)


class _Walk:
    """One pass over one value, with a bound on how much is looked at."""

    __slots__ = ("_left", "_redactor")

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._left = _NODES

    def clean(self, value: Any, depth: int) -> Any:
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
            return self._redactor.text(str.__str__(value))
        if isinstance(value, int | float):
            return _number(value)
        if isinstance(value, date | time):
            return value.isoformat()
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value, depth) if depth else _CUT
        if isinstance(value, list | tuple | Set | deque):
            return self._sequence(value, depth) if depth else _CUT
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            shown = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.repr}
            return self._mapping(shown, depth) if depth else _CUT
        if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
            scalar: Any = value
            return self.clean(scalar.item(), depth - 1) if depth else _CUT
        # Cut twice: a secret that the first cut halves must not survive as the half.
        return _cut(self._redactor.text(_cut(safe_text(value), 2 * _TEXT)), _TEXT)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        clean: dict[str, Any] = {}
        for key, item in value.items():
            if not self._spend():
                clean[_CUT] = _CUT
                break
            name = _key_text(key)
            hidden = self._redactor.is_secret(name)
            name = self._redactor.text(name)
            clean[name] = _hidden(item) if hidden else self.clean(item, depth - 1)
        return clean

    def _sequence(self, value: Collection[Any], depth: int) -> list[Any]:
        if self._is_secret_pair(value):
            return [_key_text(next(iter(value))), REDACTED]
        clean: list[Any] = []
        for item in value:
            if not self._spend():
                clean.append(_CUT)
                break
            clean.append(self.clean(item, depth - 1))
        return clean

    def _is_secret_pair(self, items: Collection[Any]) -> bool:
        """Say whether this is a header or an item, as in ``("x-api-key", "...")``."""
        if len(items) != 2 or not isinstance(items, list | tuple):
            return False
        key = items[0]
        return isinstance(key, str | bytes) and self._redactor.is_secret(_key_text(key))

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
        return plain if -_INT < plain < _INT else safe_text(plain)
    return float(value) if math.isfinite(value) else repr(float(value))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + _CUT


def _is_number(value: Any) -> bool:
    kind = type(value)
    return kind is UUID or (hasattr(kind, "__float__") and not hasattr(kind, "__len__"))


def _unprintable(value: Any) -> str:
    return f"<unprintable {type(value).__name__}>"


def _hidden(value: Any) -> Any:
    """None and bools say whether a secret is set, which is no secret."""
    return value if value is None or value is True or value is False else REDACTED


def _key_text(key: Any) -> str:
    if isinstance(key, bytes):
        return key.decode("utf-8", "replace")
    return str.__str__(key) if isinstance(key, str) else safe_text(key)


def _words(key: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(key))


def _contains(words: tuple[str, ...], part: tuple[str, ...]) -> bool:
    width = len(part)
    return any(words[i : i + width] == part for i in range(len(words) - width + 1))
