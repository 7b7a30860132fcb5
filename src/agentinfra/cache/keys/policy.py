"""Keys: text made comparable, and digests that no two different questions share."""

from __future__ import annotations

from hashlib import sha256
from typing import TypeAlias
from unicodedata import normalize

from agentinfra.errors import CacheError

__all__ = ["KeyPart", "cache_key", "encode_parts", "normalize_text"]

KeyPart: TypeAlias = str | bytes | int | None


def normalize_text(text: str) -> str:
    """Return the text as caches compare it: NFKC, casefold, single spaces, none at the ends.

    Normalising what is normalised changes nothing.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    # Case folding can take apart what NFKC has composed, hence the second round.
    folded = normalize("NFKC", normalize("NFKC", text).casefold())
    return " ".join(folded.split())


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


def encode_parts(*parts: KeyPart) -> bytes:
    """Return the encoding :func:`cache_key` hashes.

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
