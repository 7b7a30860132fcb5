"""Places where secrets stand without a name: addresses, tokens, keys, command lines, sentences.

Each looks at what the scanner has found and says where the secret is, or that there is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from agentinfra.observability.redaction.assignments import KEYS_OF_TABLES
from agentinfra.observability.redaction.looks import is_ordinary, is_random, is_secretive
from agentinfra.observability.redaction.names import Verdict, judge, words_of

__all__ = ["PLACES", "Look", "Span"]

Span: TypeAlias = tuple[int, int]
"""Where a secret is, from its first byte to behind its last."""

Look: TypeAlias = Callable[[bytes, int, int], Span | None]
"""Takes a text and where in it a clue begins and ends."""

_FAR: Final = 4_096
"""Bytes a secret has at most, but for a private key: what is behind them is not looked at."""
_DRAWN: Final = 16  # bytes of a token that its clue has found already
_WORD_BEFORE: Final = 24
_JUDGED: Final = 256
"""Bytes of a token that tell what it is."""
_PORT: Final = re.compile(rb"\d{1,5}(?:[/?#\"'\s]|\Z)")
_WORD: Final = re.compile(rb"[^\s\"']*")
_ADDRESS: Final = re.compile(rb"[^\s\"'<>]*")
_AUTHORITY: Final = re.compile(rb"[^\s\"'<>/?#]*")
_HOST: Final = re.compile(rb"[A-Za-z0-9_\-]*(?![.\w])")
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_\-+/=.~]*")
_SAID: Final = re.compile(rb"[^\s\"'`,;<>)}\]]*")
_ELEMENT: Final = re.compile(rb"[^\"'<>]*")
_FORM_VALUE: Final = re.compile(rb"""[\"']?[^<>]{0,100}?value=[\"']?""")
_QUOTED: Final = re.compile(rb"""(?:[^\"'\\]|\\.)*""", re.DOTALL)
_NO_QUOTE: Final = re.compile(rb"[^\"']*")
_PEM_END: Final = re.compile(rb"-----END[A-Z0-9 ]*-{0,5}")
_BREAKS: Final = re.compile(r"[_\-]")


def _url(text: bytes, start: int, end: int) -> Span | None:
    """Look at the user and the password of an address, or at the token in their place."""
    if text.find(b"@", end, end + _FAR) < 0:
        return None
    web = text[max(0, start - 5) : start].lower().endswith((b"http", b"https"))
    # People write "@" and "/" in passwords as they are; in a path of http both may stand too.
    stop = _run(text, end, _AUTHORITY if web else _ADDRESS)
    last = text.rfind(b"@", end, stop)
    if last < 0:
        return None
    user, colon, password = text[end:last].partition(b":")
    if not colon:
        return (end, last) if is_random(user.decode("utf-8", "replace")) else None
    begin = end + len(user) + 1
    if not password or b"/" in user or b"[" in user or _PORT.match(text, begin):
        return None
    host = text[last + 1 : _run(text, last + 1, _HOST)].decode("utf-8", "replace")
    # A host drawn by lot is the rest of a password with an "@" in it.
    return begin, last + 1 + len(host.encode()) if is_random(host) else last


def _hook(text: bytes, start: int, end: int) -> Span | None:
    """Hide the path of an address that lets everybody post who knows it."""
    del start
    return end, _run(text, end, _ADDRESS)


def _shape(text: bytes, start: int, end: int) -> Span | None:
    """Look at a token whose maker is known by how it begins."""
    end = _run(text, end, _TOKEN)
    token = text[start:end].rstrip(b".")
    seen = token[:_JUDGED].decode()
    if seen[:3].lower() == "sk-":
        runs = _BREAKS.split(seen[3:])
        if not any(len(run) >= 8 and any(sign.isdigit() for sign in run) for run in runs):
            return None  # the class of a spinner, the name of a package
    elif not any(sign.isdigit() for sign in seen[4:]) and not _mixed(seen[4:]):
        return None
    return start, start + len(token)


def _scheme(text: bytes, start: int, end: int) -> Span | None:
    """Look at what stands behind ``Bearer`` or ``Basic``."""
    word, at = text[start:end].split(maxsplit=1)[0], end - 6
    end = _run(text, end, _TOKEN)
    token = text[at:end].decode("utf-8", "replace").rstrip(".")
    if word.lower() == b"basic":
        secret = is_secretive(token) or token.endswith("=")
    else:
        secret = is_secretive(token) or len(token) > 20 or ("." in token and "-" in token)
    return (at, at + len(token)) if secret else None


def _pem(text: bytes, start: int, end: int) -> Span | None:
    closing = text.find(b"-----END", end)
    close = _run(text, closing, _PEM_END) if closing >= 0 else _NO_QUOTE.match(text, end).end()  # type: ignore[union-attr]
    return start, close


def _flag(text: bytes, start: int, end: int) -> Span | None:
    """Look at what is given to an option of a command."""
    stop = _run(text, end - 1, _WORD)
    value = text[end - 1 : stop].decode("utf-8", "replace").strip("\"'")
    # A "--key" is mostly a file's name.
    loose = text[start:end].split()[0].strip(b"-").lower() == b"key"
    return (end - 1, stop) if is_random(value) or (is_secretive(value) and not loose) else None


def _client(text: bytes, start: int, end: int) -> Span | None:
    """Look at the short options of clients that take a password on their command line."""
    before = text[max(0, start - 120) : start].lower()
    if text[start + 1 : start + 3] == b"-p":
        if b"mysql" not in before and b"mariadb" not in before:
            return None
        at = start + 3
    else:
        if b"curl" not in before and b"http" not in before:
            return None
        at = text.find(b":", end, _run(text, end, _WORD)) + 1  # the first may be a quote
        if not at:
            return None
    stop = _run(text, at, _WORD)
    return (at, stop) if stop - at > 2 else None


def _markup(text: bytes, start: int, end: int) -> Span | None:
    """Look at the value of a form's password, or at an element named for a secret."""
    if text[start : start + 1] != b"<":
        at = end - len(b"value=") if text[end - 1 : end] == b"=" else end
        value = _FORM_VALUE.match(text, at)
        if value is None:
            return None
        end = value.end()
    stop = _run(text, end, _ELEMENT)
    return (end, stop) if not is_ordinary(text[end:stop].decode("utf-8", "replace")) else None


def _said(text: bytes, start: int, end: int) -> Span | None:
    """Look at a sentence that gives a secret away: "the password is ..."."""
    del start
    at = end - 1
    value = text[at : _run(text, at, _SAID)].decode("utf-8", "replace").rstrip(".:!?")
    secret = is_random(value) or (len(value) >= 10 and is_secretive(value) and _mixed(value))
    return (at, at + len(value.encode())) if secret else None


def _drawn(text: bytes, start: int, end: int) -> Span | None:
    """Look at what stands behind a loose word, "key" or the name of a call, as long as a token."""
    before = text[max(0, start - _WORD_BEFORE) : start].split()
    if before and before[-1].decode("utf-8", "replace").lower() in KEYS_OF_TABLES:
        return None
    at = end - _DRAWN
    value = text[at : _run(text, at, _SAID)].decode("utf-8", "replace").rstrip(".:!?")
    return (at, at + len(value.encode())) if is_random(value) else None


def _mixed(value: str) -> bool:
    return any(c.isupper() for c in value) and any(c.islower() for c in value)


def _pair(text: bytes, start: int, end: int) -> Span | None:
    """Look at a name and a value side by side, as the repr of a tuple shows them."""
    name = text[start + 1 : end].split(text[start : start + 1])[0].decode()
    stop = _run(text, end, _QUOTED)
    value = text[end:stop].decode("utf-8", "replace")
    verdict = judge(words_of(name))
    hidden = verdict is Verdict.HIDDEN or (verdict is Verdict.JUDGED and is_secretive(value))
    return (end, stop) if hidden else None


def _run(text: bytes, at: int, pattern: re.Pattern[bytes]) -> int:
    match = pattern.match(text, at, at + _FAR)
    return match.end() if match else at


PLACES: Final[Mapping[str, Look]] = MappingProxyType(
    {
        "url": _url,
        "hook": _hook,
        "shape": _shape,
        "scheme": _scheme,
        "pem": _pem,
        "flag": _flag,
        "client": _client,
        "markup": _markup,
        "said": _said,
        "key": _drawn,
        "call": _drawn,
        "pair": _pair,
    }
)
"""Who looks, by the name of the clue."""
