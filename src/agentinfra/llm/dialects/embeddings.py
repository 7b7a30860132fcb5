"""Embeddings: what to send for a list of texts, and the vectors back in their order."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from agentinfra.errors import ConfigurationError, LLMResponseError
from agentinfra.llm.dialects.codec import EmbeddingBody

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_INPUTS", "check_texts", "parts", "vectors_of"]

MAX_INPUTS = 2048
"""Texts one request may have (OpenAI's API reference, create embeddings)."""

MAX_REQUEST_TOKENS = 300_000
"""Tokens one request may have, over all its texts (OpenAI's API reference)."""

MAX_TEXT_TOKENS = 8192
"""Tokens one text may have (OpenAI's API reference)."""

_CHARACTERS_PER_TOKEN = 3
"""On the safe side of OpenAI's rule of thumb of 4."""

_INDEX = attrgetter("index")

_LONGEST_WORD_TOKENS = 10
"""No text of this many characters for each token fits, in any language the models know."""


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what the API would refuse, naming the text.

    Raises:
        ConfigurationError: It is one string, or a text is no string, empty or too long.
    """
    if isinstance(texts, str | bytes):
        raise ConfigurationError("texts must be a list of strings, not one string: use [text]")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ConfigurationError(
                f"texts[{index}] is {type(text).__name__}, not a string: convert it first"
            )
        if not text.strip():
            raise ConfigurationError(f"texts[{index}] is empty: leave it out")
        if len(text) > MAX_TEXT_TOKENS * _LONGEST_WORD_TOKENS:
            raise ConfigurationError(
                f"texts[{index}] has {len(text)} characters, more than {MAX_TEXT_TOKENS} tokens "
                "can hold: split it into smaller texts"
            )


def parts(texts: Sequence[str]) -> list[list[str]]:
    """Split texts into requests that the API's limits allow, in order."""
    requests: list[list[str]] = [[]]
    tokens = 0
    for text in texts:
        weight = len(text) // _CHARACTERS_PER_TOKEN + 1
        full = len(requests[-1]) == MAX_INPUTS or tokens + weight > MAX_REQUEST_TOKENS
        if requests[-1] and full:
            requests.append([])
            tokens = 0
        requests[-1].append(text)
        tokens += weight
    return requests if requests[0] else []


def vectors_of(body: EmbeddingBody, count: int) -> NDArray[np.float32]:
    """Return the vectors of an answer, in the order of their texts, each of length 1.

    Raises:
        LLMResponseError: The answer has another number of vectors, or broken or uneven ones.
    """
    import numpy as np

    if len(body.data) != count:
        raise LLMResponseError(f"{count} texts were sent and {len(body.data)} vectors came back")
    try:
        matrix = _matrix([item.embedding for item in sorted(body.data, key=_INDEX)])
    except ValueError as error:
        raise LLMResponseError(f"the endpoint sent broken vectors: {error}") from error
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise LLMResponseError("the endpoint sent a vector of length 0, or not of numbers")
    matrix /= norms[:, np.newaxis]
    return matrix


def _matrix(rows: list[bytes | list[float]]) -> NDArray[np.float32]:
    """Return the rows as one array, copied once."""
    import numpy as np

    packed = [row for row in rows if isinstance(row, bytes)]
    if len(packed) < len(rows):
        plain = [np.frombuffer(row, "<f4") if isinstance(row, bytes) else row for row in rows]
        return np.array(plain, dtype=np.float32)
    if len(sizes := {len(row) for row in packed}) > 1:
        raise ValueError(f"they have different lengths: {sorted(size // 4 for size in sizes)}")
    flat = np.frombuffer(bytearray().join(packed), "<f4")
    return flat.astype(np.float32, copy=False).reshape(len(rows), -1)
