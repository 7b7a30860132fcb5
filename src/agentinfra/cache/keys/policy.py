"""Keys: text made comparable, and digests that no two different questions share."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from itertools import groupby
from typing import Literal, TypeAlias
from unicodedata import combining, normalize

from agentinfra.errors import CacheError, ConfigurationError

__all__ = [
    "KeyPart",
    "Normalize",
    "cache_key",
    "compose",
    "encode_parts",
    "normalize_text",
    "normalizer",
    "text_digest",
]

KeyPart: TypeAlias = str | bytes | int | None

Normalize: TypeAlias = Literal["folded", "exact"] | Callable[[str], str]
"""What makes texts comparable: case and white space folded, composition alone, or a function."""

# Composing sorts every run of combining marks by insertion: the work grows with the square of the
# run. Text of people has a handful in a row; Unicode's own stream-safe format allows 30.
_LONGEST_RUN = 64
_SHORT = 512


def normalize_text(text: str) -> str:
    """Return the text as caches compare it: lower case, single spaces, composed (NFC).

    Nothing else is folded: superscripts, ligatures and ß stay what they are. Normalising what is
    normalised changes nothing. The work is bounded by the text's length: one with a run of more
    than 64 combining marks is not composed.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    # Lower case can take apart what composing has put together, hence the second round.
    return " ".join(compose(compose(text).lower()).split())


def compose(text: str) -> str:
    """Return the text in Unicode's composed form (NFC), in time proportional to its length."""
    if text.isascii() or (len(text) > _SHORT and _has_long_run(text)):
        return text
    return normalize("NFC", text)


def normalizer(choice: Normalize) -> tuple[str, Callable[[str], str]]:
    """Return the name and the function of a choice; the name is a part of the keys.

    Raises:
        ConfigurationError: It is none.
    """
    if choice == "folded":
        return "folded", normalize_text
    if choice == "exact":
        return "exact", compose
    if not callable(choice):
        raise ConfigurationError(
            f"normalize is {choice!r:.80}: give 'folded', 'exact' or a function from text to text"
        )
    kind = type(choice)
    name = getattr(choice, "__qualname__", kind.__qualname__)
    return f"{getattr(choice, '__module__', kind.__module__)}.{name}", _checked(choice)


def cache_key(*parts: KeyPart) -> str:
    """Return the SHA-256 of the parts as 64 hexadecimal digits.

    Parts are written with their kind and length, so no two different lists of parts have the
    same encoding: ``("ab", "c")`` and ``("a", "bc")`` differ, and so do ``1``, ``True`` and
    ``"1"``.

    Args:
        parts: Text, bytes, integers, booleans or None; namespace and tenant come first.

    Raises:
        CacheError: A part is of another kind.
    """
    return sha256(encode_parts(*parts)).hexdigest()


def text_digest(about: bytes, text: str) -> bytes:
    """Return the SHA-256 of encoded parts and of a text that stands behind them.

    The text comes last and needs no length. One encoding of ``about`` serves many texts.
    """
    try:
        return sha256(about + text.encode()).digest()
    except UnicodeEncodeError:  # a lone surrogate
        return sha256(about + text.encode("utf-8", "surrogatepass")).digest()


def encode_parts(*parts: KeyPart) -> bytes:
    """Return the encoding `cache_key` hashes.

    The encodings of two lists of parts, one after the other, are the encoding of both lists
    together: a prefix that is always the same can be encoded once.
    """
    return b"".join([_encode(part) for part in parts])


def _encode(part: KeyPart) -> bytes:
    if isinstance(part, str):
        return f"s{len(part)}:{part}".encode("utf-8", "surrogatepass")
    if part is None:
        return b"n"
    if isinstance(part, bytes):
        return b"b%d:%b" % (len(part), part)
    if isinstance(part, bool):
        return b"t" if part else b"f"
    if isinstance(part, int):
        return b"i%d;" % part
    raise CacheError(
        f"a cache key cannot hold {part!r:.80} of type {type(part).__name__}: "
        "give text, bytes, an integer or None"
    )


def _checked(function: Callable[[str], str]) -> Callable[[str], str]:
    def normal(text: str) -> str:
        result = function(text)
        if not isinstance(result, str):
            raise CacheError(f"normalize gave {result!r:.80} for a text: it has to give text")
        return result

    return normal


def _has_long_run(text: str) -> bool:
    # A run of more than 64 marks covers two neighbours of every 32nd place: most texts are done
    # with a thirty-second part of the look-ups.
    step = _LONGEST_RUN // 2
    if not any(map(combining, text[::step])):
        return False
    return any(
        marks and sum(1 for _ in run) > _LONGEST_RUN
        for marks, run in groupby(text, key=lambda character: combining(character) > 0)
    )
