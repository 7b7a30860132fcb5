"""Secrets inside of texts: one pass finds where to look, a look at the place decides.

The pass is a single expression run by RE2, a linear automaton: 2 KB of prose take a few
microseconds, and no text can make it slow. Python's own engine takes its place where RE2 is not
installed; it finds the same, slower.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.observability.redaction.assignments import header, read
from agentinfra.observability.redaction.names import words_of
from agentinfra.observability.redaction.places import PLACES, Span
from agentinfra.observability.redaction.shapes import (
    ASSIGNED,
    CLOSING,
    HEADERS,
    KEYS,
    PASSWORDS,
    PREFIXES,
    STATED,
)

__all__ = ["Scanner"]

_LOOKED: Final = 600
"""Places of one text that are looked at; each takes some 15 us, and twice that at worst."""
_MEMORY: Final = 32 * 2**20  # bytes the automaton may keep of its states
_HEADERS: Final = frozenset({"authorization", "cookie", "cookies"})

_OPENERS: Final = (
    "password|passwd|passphrase|pass|token|secret|api[_ -]?key|auth[_-]?token|client[_-]?secret|"
    "access[_-]?key|secret[_-]?key"
)
_LINKS: Final = "is|was|ist|lautet|of|provided|supplied|given|used"
_DRAWN: Final = r"[a-z0-9+/_\-]{16}"
_SPOKEN: Final = "password|passwort|passwd|passphrase|secret|token|api[ _-]?key|auth|pwd"

_CLUES: Final = {
    # "a=b" assigns; "a: b" may be a sentence, unless a quote or a digit says otherwise.
    "named": (
        rf"(?:{PASSWORDS}|{HEADERS}{{extra}}){CLOSING}(?:{ASSIGNED}|{STATED})|"
        rf"(?:{KEYS}){CLOSING}(?:{ASSIGNED}|{STATED}\s{{0,8}}b?(?:\\?[\"']|[^\s\"'=?&:]{{0,24}}\d))"
    ),
    "url": "://",
    "hook": r"hooks\.slack\.com/[a-z]|discord(?:app)?\.com/api/webhooks/|\.webhook\.office\.com/",
    "shape": rf"\b(?:{PREFIXES})",
    "scheme": r"\b(?:bearer|basic)\s{1,4}[a-z0-9+/._\-]{6}",
    "pem": r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY",
    "flag": rf"\s--?(?:{_OPENERS}|key)\s{{1,4}}[^\s\-]",
    "client": r"\s(?:-p[^\s]{4}|-u\s[^\s]|--user\s[^\s])",
    "markup": rf"type=[\"']?password|password[\"']\s{{0,4}}value=|<(?:{_OPENERS})>",
    "said": rf"\b(?:{_SPOKEN})\s{{1,4}}(?:(?:{_LINKS})\s{{0,2}}:?\s{{1,4}})?[\"'`]?[a-z0-9+/_]",
    # "key" is half of prose: only what is as long as a token is looked at.
    "key": rf"\bkey\s{{1,4}}(?:(?:{_LINKS})\s{{0,2}}:?\s{{1,4}})?[\"'`]?{_DRAWN}",
    "call": rf"(?:auth|login|token|secret|password)[a-z_]{{0,12}}\([\"']{_DRAWN}",
    "pair": rf"[\"'](?:{PASSWORDS}|{HEADERS}|{KEYS})[\"'],\s?b?[\"']",
}
"""Where to look, by who looks there."""


class Scanner:
    """Finds secrets in texts. Stateless; share it freely.

    Args:
        extra: Names of secrets beside the known ones, as words.
    """

    __slots__ = ("_extra", "_find", "_looks", "_sign", "missing")

    missing: str
    """What to install for speed; empty where nothing lacks."""

    def __init__(self, extra: Iterable[tuple[str, ...]] = ()) -> None:
        self._extra = tuple(extra)
        names = "".join("|" + r"[_\-. ]?".join(map(re.escape, words)) for words in self._extra)
        sign = f"(?i)(?:{PASSWORDS}|{HEADERS}|{KEYS}{names}){CLOSING}(?:{ASSIGNED}|{STATED})"
        self._sign = re.compile(sign.encode())
        clues = "|".join(f"({clue})" for clue in _CLUES.values())
        self._find, self.missing = _compile(f"(?i){clues}".replace("{extra}", names).encode())
        self._looks = tuple(PLACES.get(name, self._named) for name in _CLUES)

    def hide(self, text: bytes, mark: bytes) -> bytes | None:
        """Return the text with a mark in place of each secret; None where there is none.

        Args:
            text: UTF-8.
            mark: What is shown instead.
        """
        pieces: list[bytes] = []
        done = 0
        for looked, clue in enumerate(self._find(text)):
            start, end = clue.span()
            if looked > _LOOKED:  # no text of anybody's: better hidden than looked through
                return b"".join((*pieces, text[done : max(done, start)], mark))
            if start < done:  # inside of what is hidden already
                continue
            found = self._looks[clue.lastindex - 1](text, start, end)
            if found is not None and found[1] > found[0] >= done:
                pieces += (text[done : found[0]], mark)
                done = found[1]
        if not pieces:
            return None
        pieces.append(text[done:])
        return b"".join(pieces)

    def _named(self, text: bytes, start: int, end: int) -> Span | None:
        """Look at a name with a value behind it."""
        sign = self._sign.match(text, start)
        end = sign.end() if sign else end
        name = words_of(text[start:end].decode("utf-8", "replace"))
        if name and name[-1] in _HEADERS:
            return header(text, end, cookie=name[-1] != "authorization")
        found = read(text, start, end)
        if found is None:
            return None
        own = any(found.words[-len(extra) :] == extra for extra in self._extra)
        return found.span if found.is_secret or (own and found.value) else None


def _compile(expression: bytes) -> tuple[Callable[[bytes], Iterable[Any]], str]:
    try:
        engine: Any = load("re2")
    except MissingPackageError as error:
        return re.compile(expression).finditer, str(error)
    options = engine.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    return engine.compile(expression, options).finditer, ""
