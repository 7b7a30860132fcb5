"""Embeddings without a model: deterministic, far from as good, and always marked as degraded.

Feature hashing (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning"):
each word and each of its character trigrams adds +1 or -1 to a bucket that its hash names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["HASH_DIMENSIONS", "HASH_MODEL", "hash_embeddings"]

HASH_MODEL = "agentinfra-hash-v1"
"""The name vectors of this fallback carry, so that no store takes them for a real model's."""

HASH_DIMENSIONS = 1536
"""The length where the caller names none: that of the default embedding model."""

_WORD = re.compile(r"\w+")


def hash_embeddings(texts: Sequence[str], dimensions: int = HASH_DIMENSIONS) -> NDArray[np.float32]:
    """Return one vector of length 1 for each text, float32 of shape (texts, dimensions)."""
    import numpy as np

    vectors = np.zeros((len(texts), dimensions), dtype=np.float32)
    for row, text in zip(vectors, texts, strict=True):
        for feature, weight in _features(text):
            digest = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "big")
            row[(digest >> 1) % dimensions] += weight if digest & 1 else -weight
        norm = float(np.linalg.norm(row))
        if norm == 0.0:
            row[0] = 1.0
        else:
            row /= norm
    return vectors


def _features(text: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for word in _WORD.findall(text.casefold()):
        found.append((word, 1.0))
        padded = f"^{word}$"
        found.extend((padded[i : i + 3], 0.3) for i in range(len(padded) - 2))
    return found
