"""Keys: text made comparable, and digests that no two different questions share."""

from __future__ import annotations

from agentinfra.cache.keys.context import encode_context
from agentinfra.cache.keys.policy import (
    KeyPart,
    Normalize,
    cache_key,
    compose,
    encode_parts,
    normalize_text,
    normalizer,
    text_digest,
)

__all__ = [
    "KeyPart",
    "Normalize",
    "cache_key",
    "compose",
    "encode_context",
    "encode_parts",
    "normalize_text",
    "normalizer",
    "text_digest",
]
