"""Keys: text made comparable, and digests that no two different questions share."""

from __future__ import annotations

from agentinfra.cache.keys.context import (
    canonical_json,
)
from agentinfra.cache.keys.policy import (
    KeyPart,
    cache_key,
    encode_parts,
    normalize_text,
)

__all__ = ["KeyPart", "cache_key", "canonical_json", "encode_parts", "normalize_text"]
