"""Deterministic embeddings in which similar texts are near.

A text becomes a bag of features: its words (stemmed, function words hardly counted), pairs of
neighbouring words and the character trigrams of the words. Every feature is hashed, with the
model's name, to one signed position in each block of 256 dimensions, and the sum is scaled to
length 1. Because each block holds all features, the first ``dimensions`` of a vector are a good
vector too, and another model's vectors have nothing to do with these. It is word overlap, not
meaning: synonyms are strangers.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from agentinfra.results import Usage
from agentinfra.testing.answers.words import STOPWORDS, stem, tokens
from agentinfra.testing.apis.tokens import count_input

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DEFAULT_DIMENSIONS", "Embedder", "embeddings_payload", "embeddings_usage"]

DEFAULT_DIMENSIONS = 1536
_DIMENSIONS = {"text-embedding-3-large": 3072}
_BLOCK = 256
_BLOCKS = 12
_REMEMBERED = 50_000
_REMEMBERED_TEXTS = 2_000
_PAIR, _TRIGRAM, _STOPWORD = 0.5, 0.25, 0.1


class Embedder:
    """Embeds texts; remembers the features and some of the texts it has seen.

    Belongs to one server.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], NDArray[np.int64]] = {}
        self._vectors: dict[tuple[str, int, str | tuple[int, ...]], NDArray[np.float32]] = {}

    def embed(
        self, text: str | Sequence[int], *, model: str, dimensions: int | None = None
    ) -> NDArray[np.float32]:
        """Return the vector of a text, or of a list of tokens, of length 1."""
        size = dimensions or _DIMENSIONS.get(model, DEFAULT_DIMENSIONS)
        key = (model, size, text if isinstance(text, str) else tuple(text))
        vector = self._vectors.get(key)
        if vector is None:
            if len(self._vectors) >= _REMEMBERED_TEXTS:
                self._vectors.clear()
            vector = self._vectors[key] = self._embedded(text, model, size)
            vector.flags.writeable = False
        return vector

    def _embedded(self, text: str | Sequence[int], model: str, size: int) -> NDArray[np.float32]:
        blocks = min(_BLOCKS, -(-size // _BLOCK))
        features = text_features(text) if isinstance(text, str) else token_features(text)
        places = np.concatenate([self._of(model, feature)[:blocks] for feature in features])
        weights = np.repeat(np.fromiter(features.values(), np.float64, len(features)), blocks)
        np.negative(weights, out=weights, where=places < 0)
        slots = np.abs(places) - 1
        if size < _BLOCK:
            slots %= size
        vector = np.bincount(slots, weights, max(size, blocks * _BLOCK))[:size]
        length = math.sqrt(float(vector @ vector))
        if length == 0.0:  # features that cancel one another out
            vector[0] = length = 1.0
        return (vector / length).astype(np.float32)

    def _of(self, model: str, feature: str) -> NDArray[np.int64]:
        places = self._places.get((model, feature))
        if places is None:
            if len(self._places) >= _REMEMBERED:
                self._places.clear()
            places = self._places[model, feature] = _place(model, feature)
        return places


def text_features(text: str) -> dict[str, float]:
    """Return the features of a text and their weights."""
    words = [(word, stem(word)) for word in tokens(text)]
    features: defaultdict[str, float] = defaultdict(float)
    for word, root in words:
        plain = word in STOPWORDS
        features["w:" + root] += _STOPWORD if plain else 1.0
        if not plain:
            padded = f" {root} "
            for start in range(len(padded) - 2):
                features["t:" + padded[start : start + 3]] += _TRIGRAM
    for (_, first), (_, second) in itertools.pairwise(words):
        features[f"p:{first} {second}"] += _PAIR
    if not features:
        features["raw:" + text] = 1.0
    return {feature: _damped(weight) for feature, weight in features.items()}


def token_features(given: Sequence[int]) -> dict[str, float]:
    """Return the features of a list of tokens."""
    return {f"n:{token}": _damped(times) for token, times in Counter(given).items()}


def _damped(weight: float) -> float:
    return weight if weight <= 1.0 else 1.0 + math.log(weight)


def _place(model: str, feature: str) -> NDArray[np.int64]:
    """Return one signed position a block, counted from 1 so that it can be negative."""
    digest = hashlib.blake2b(f"{model}\0{feature}".encode(), digest_size=2 * _BLOCKS).digest()
    drawn = np.frombuffer(digest, "<u2").astype(np.int64)
    position = (drawn & (_BLOCK - 1)) + np.arange(_BLOCKS) * _BLOCK + 1
    return np.where(drawn & _BLOCK, -position, position)


def embeddings_payload(
    vectors: Sequence[NDArray[np.float32]], *, model: str, base64_format: bool, usage: Usage | None
) -> dict[str, Any]:
    """Return the body of an embeddings response; without a usage none is in it."""
    payload: dict[str, Any] = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": place,
                "embedding": _base64(vector) if base64_format else vector,
            }
            for place, vector in enumerate(vectors)
        ],
        "model": model,
    }
    if usage is not None:
        payload["usage"] = {
            "prompt_tokens": usage.prompt_tokens,
            "total_tokens": usage.total_tokens,
        }
    return payload


def embeddings_usage(inputs: Sequence[str | Sequence[int]]) -> Usage:
    """Return the usage of an embeddings request."""
    counted = count_input(inputs)
    return Usage(prompt_tokens=counted, total_tokens=counted)


def _base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4", copy=False).tobytes()).decode()
