"""What a value itself tells: random characters are nobody's words."""

from __future__ import annotations

import re

__all__ = ["is_ordinary", "is_random", "is_secretive", "is_uuid"]

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_PIECE = re.compile(r"[A-Za-z0-9+/=]+")
_TURN = re.compile(r"[A-Za-z]\d|\d[A-Za-z]")
_HEX = re.compile(r"[0-9a-fA-F]+\Z")
_CODE = re.compile(r"\$\d|[?%$:@{<\[(*.]|</")
_CALL = re.compile(r"[A-Za-z_][A-Za-z_.]*[(\[]|[A-Za-z_]+\.[A-Za-z_.]+\Z")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ORDINARY = _words("""
none null nil true false yes no on off str string int bytes bool any object optional
required missing invalid unset empty set default changeme expired wrong incorrect unknown
not is the a an and or see redacted hidden masked secret password token ok
""")
_SHORTEST = 6
_RANDOM = 16  # characters in which no language runs letters and digits together


def is_ordinary(value: str) -> bool:
    """Say whether a value is a word of a language, of a program or a placeholder."""
    bare = value.strip("\"'`.,;:!?()[]{}<>*#").lower()
    return not bare or bare in _ORDINARY or bool(_CODE.match(value) or _CALL.match(value))


def is_secretive(value: str) -> bool:
    """Say whether a value may well be a password: letters and digits in one word, and no path."""
    if len(value) < _SHORTEST or any(sign.isspace() for sign in value):
        return False
    if value[0] in "/.~$" or _UUID.match(value) or is_ordinary(value):
        return False
    if value.isdigit():
        return False
    return any(sign.isdigit() for sign in value) and any(sign.isalpha() for sign in value)


def is_uuid(value: str) -> bool:
    """Say whether a value is a UUID: mostly a number of something, under a secret's name one."""
    return _UUID.match(value) is not None


def is_random(value: str) -> bool:
    """Say whether a value looks drawn by lot: long, and letters and digits change places in it."""
    if len(value) < _RANDOM or _UUID.match(value) or len(set(value)) < _SHORTEST:
        return False
    return any(_drawn(piece) for piece in _PIECE.findall(value))


def _drawn(piece: str) -> bool:
    """Say whether a run of letters and digits is no word with a number: ``v2``, ``gpt4``."""
    if len(piece) < 10:
        return False
    turns = len(_TURN.findall(piece))
    if _HEX.match(piece):
        return len(piece) >= 20 and turns >= 3
    return turns >= 3 or (turns >= 1 and len(piece) >= _RANDOM)
