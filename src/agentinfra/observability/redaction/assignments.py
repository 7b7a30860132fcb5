"""A name with a value behind it, in whatever language: is the value a secret?

``a=b``, ``"a": "b"`` and ``a=>b`` assign; ``a: b`` may be a sentence. What the name says, how it is
written and what the value looks like decide together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from agentinfra.observability.redaction.looks import is_ordinary, is_random, is_secretive, is_uuid
from agentinfra.observability.redaction.names import Verdict, judge, words_of

__all__ = ["KEYS_OF_TABLES", "Assignment", "header", "read"]

_BEFORE: Final = 48  # bytes in which a name has begun
_NAME: Final = re.compile(rb"([A-Za-z]+ )?([A-Za-z0-9_\-.]*)\Z")
_SIGNS: Final = b"\"'\\] \t\r\n:=>"
_VALUE: Final = re.compile(
    rb"""\s{0,8}b?(?:(\\+)(["'])([^"'\\]*)|"((?:[^"\\]|\\.){0,4096})"?|'((?:[^'\\]|\\.){0,4096})'?"""
    rb"""|([^\s"'&;,<>})\]]{1,4096}))""",
    re.DOTALL,
)
_JUDGED: Final = 128  # characters of a value that tell what it is
_BARE: Final = 6
"""The group of a value without quotes."""
_LINE: Final = re.compile(
    rb"""\s{0,8}b?(?:"((?:[^"\\]|\\.){0,4096})|'((?:[^'\\]|\\.){0,4096})|([^\r\n"']{1,4096}))"""
)
_LAST: Final = re.compile(rb"""\s*(?:\Z|[\r\n&;,})\]"'|])""")
_SCHEME: Final = re.compile(
    r"\s*(?:basic|bearer|digest|token|apikey|api-key|key|bot|negotiate|ntlm|hawk|aws4-hmac-\w+)"
    r"\s+\S",
    re.IGNORECASE,
)
_CRUMB: Final = re.compile(r"[\w.\-]+=\S")
_TABLE_KEYS: Final = """
cache primary foreign partition sort row hash object public idempotency trace routing map
dict lookup index shard unique composite natural surrogate
"""
KEYS_OF_TABLES: Final = frozenset(_TABLE_KEYS.split())
_LOOSE: Final = frozenset({"key", "keys", "code"})
_COUNTING: Final = frozenset({"max", "total", "no", "n"})
_PASSWORDS: Final = frozenset(
    {"password", "passwd", "passphrase", "passwort", "kennwort", "pwd", "pass"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A value and the name it stands behind.

    Attributes:
        words: The name, as words.
        before: The word before the name, empty where none stands there.
        value: The value, without its quotes; the beginning of a long one.
        span: Where the value is.
        assigned: Whether the sign is one that only assigns.
        quoted: Whether the value is in quotes.
        last: Whether nothing of a sentence follows the value.
        in_url: Whether the name is a parameter of an address.
    """

    words: tuple[str, ...]
    before: str
    value: str
    span: tuple[int, int]
    assigned: bool
    quoted: bool
    last: bool
    in_url: bool

    @property
    def is_secret(self) -> bool:
        """Whether the value is to be hidden."""
        name, value = self.words[-1], self.value
        verdict = self._verdict()
        if name in _LOOSE and verdict is not Verdict.HIDDEN:
            return self._opens_something()
        if verdict is Verdict.SHOWN or is_ordinary(value) or _is_name(value):
            return False
        if verdict is Verdict.JUDGED:
            return is_secretive(value) if name in _PASSWORDS else is_random(value)
        if is_secretive(value) or is_uuid(value):
            return True
        if name.removesuffix("s") in _PASSWORDS or name in _PASSWORDS:
            return self.assigned or ((self.quoted or self.last) and len(value) > 2)
        if value.isdigit() and len(value) < 8:
            return False
        return (self.assigned and self.last) or (self.quoted and len(value) > 2)

    def _verdict(self) -> Verdict:
        joint = judge((self.before, *self.words)) if self.before else Verdict.SHOWN
        return joint if self.before in _COUNTING else max(joint, judge(self.words))

    def _opens_something(self) -> bool:
        """Say whether what stands behind a bare ``key`` or ``code`` is more than an identifier."""
        before = self.words[-2] if len(self.words) > 1 else self.before
        if before in KEYS_OF_TABLES or not is_random(self.value):
            return False
        if self.in_url or self.words[0] == "x":  # a parameter, a header
            return True
        return self.assigned and self.words[-1] != "code"


def read(text: bytes, start: int, end: int) -> Assignment | None:
    """Read the assignment around a sign; None where there is none.

    Args:
        text: UTF-8.
        start: Where something like a name was found.
        end: Behind the sign.
    """
    first = max(0, start - _BEFORE)
    part = _NAME.search(_before_the_sign(text[first:end]))
    words = words_of(part[2].decode()) if part else ()
    if part is None or not words:
        return None
    compared = text[end : end + 1] == b"="
    value = _VALUE.match(text, end + compared)
    if value is None:
        return None
    group = value.lastindex or _BARE
    span = value.span(group)
    begin = first + part.start(2)
    if _is_prompt(text, begin - 1, end, span[0] - 1):
        return None
    return Assignment(
        words=words,
        before=(part[1] or b"").decode().strip().lower(),
        value=value[group][:_JUDGED].decode("utf-8", "replace"),
        span=span,
        assigned=not compared and text[end - 1 : end] != b":",
        quoted=group != _BARE,
        last=_LAST.match(text, span[1]) is not None,
        in_url=text[begin - 1 : begin] in (b"?", b"&"),
    )


def _before_the_sign(text: bytes) -> bytes:
    bare = text.rstrip(_SIGNS)
    while bare[-3:].lower() in (b"%3a", b"%3d"):
        bare = bare[:-3].rstrip(_SIGNS)
    return bare


def header(text: bytes, end: int, *, cookie: bool) -> tuple[int, int] | None:
    """Look behind the name of a header, to the end of its line or of its quotes.

    Args:
        text: UTF-8.
        end: Behind the sign.
        cookie: Whether it is about cookies; else about authorization.
    """
    line = _LINE.match(text, end)
    if line is None or line.lastindex is None:
        return None
    start, stop = line.span(line.lastindex)
    stop = start + len(text[start:stop].rstrip(b" \\,;})]"))
    value = text[start : min(stop, start + _JUDGED)].decode("utf-8", "replace")
    words = value.split()
    if cookie:
        secret = bool(_CRUMB.match(value.lstrip()))
    else:
        quoted = line.lastindex != len(line.groups()) and len(words) == 1 and not is_ordinary(value)
        secret = bool(_SCHEME.match(value)) or quoted or (bool(words) and is_secretive(words[0]))
    return (start, stop) if secret else None


def _is_prompt(text: bytes, opening: int, end: int, closing: int) -> bool:
    """Say whether the quote behind the sign closes the one before the name: ``'Password: '``."""
    quote = text[closing : closing + 1]
    if opening < 0 or quote not in (b"'", b'"') or text[opening : opening + 1] != quote:
        return False
    return quote not in text[opening + 1 : end]


def _is_name(value: str) -> bool:
    """Say whether a value is itself the name of a secret, as in ``self.password = password``."""
    return value.replace("_", "").replace(".", "").isalpha() and bool(judge(words_of(value)))
