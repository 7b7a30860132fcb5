"""Embeddings: what to send for a list of texts, and the vectors back in their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from agentinfra.errors import BadRequestError, ConfigurationError, LLMResponseError
from agentinfra.llm.dialects.encoding import REFUSED, decode, encode
from agentinfra.llm.dialects.failures import error_in, hidden_error
from agentinfra.llm.dialects.usage import usage_of
from agentinfra.llm.dialects.values import as_list, as_mapping, count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agentinfra.results import Usage

__all__ = [
    "MAX_INPUTS",
    "MAX_REQUEST_TOKENS",
    "Encoding",
    "Limits",
    "checked_texts",
    "embeddings_body",
    "fewer",
    "parts",
    "read_embeddings",
]

Encoding: TypeAlias = Literal["base64", "float"]

MAX_INPUTS = 2048
"""Texts one request may have (OpenAI's API reference, create embeddings)."""

MAX_REQUEST_TOKENS = 300_000
"""Tokens one request may have, over all its texts (OpenAI's API reference)."""

MAX_TEXT_TOKENS = 8192
"""Tokens one text may have, with OpenAI's models (OpenAI's API reference)."""

_CHARACTERS_PER_TOKEN = 3
"""On the safe side of OpenAI's rule of thumb of 4, which is for English text."""

_INDEX = attrgetter("index")

_LONGEST_WORD_TOKENS = 10
"""No text of this many characters for each token fits, in any language the models know."""

_ABOUT_SIZE = re.compile(
    r"batch|too many|too large|at most|no more than|larger than|greater than|exceed|maximum"
    r"|max(imum)? (number|items|inputs)|input.{0,20}length|array",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,6}")


class _Embedding(msgspec.Struct, kw_only=True, gc=False):
    # Bytes where the server sends base64, which is decoded along with the JSON: four times as fast.
    embedding: bytes | list[float]
    index: int


class _Body(msgspec.Struct, kw_only=True, gc=False):
    data: list[_Embedding]
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body).decode


@dataclass(slots=True, kw_only=True)
class Limits:
    """What one endpoint takes in a request for embeddings, as set or as learned.

    Attributes:
        inputs: Texts in a request.
        tokens: Tokens in a request.
        text_tokens: Tokens in a text; None is the model's own, where that is known.
        encoding: How vectors are asked for.
        cut: Models, with the length asked of them, whose vectors come longer and are cut.
    """

    inputs: int = MAX_INPUTS
    tokens: int = MAX_REQUEST_TOKENS
    text_tokens: int | None = None
    encoding: Encoding = "base64"
    cut: set[tuple[str, int | None]] = field(default_factory=set)


def checked_texts(
    texts: Iterable[str], model: str = "", text_tokens: int | None = None
) -> Sequence[str]:
    """Return texts as a sequence; refuse what the API would refuse, naming the text.

    Args:
        texts: The texts.
        model: The model, whose limit is known where it is one of OpenAI's.
        text_tokens: Tokens a text may have.

    Raises:
        ConfigurationError: It is one string, or a text is no string, empty or too long.
    """
    if isinstance(texts, str | bytes):
        raise ConfigurationError("texts must be a list of strings, not one string: use [text]")
    if not isinstance(texts, Sequence):
        if not isinstance(texts, Iterable):
            raise ConfigurationError(f"texts is {texts!r}: give a list of strings")
        texts = list(texts)
    most = text_tokens or (MAX_TEXT_TOKENS if "text-embedding-" in model else None)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ConfigurationError(
                f"texts[{index}] is {type(text).__name__}, not a string: convert it first"
            )
        if not text.strip():
            raise ConfigurationError(f"texts[{index}] is empty: leave it out")
        if most is not None and len(text) > most * _LONGEST_WORD_TOKENS:
            raise ConfigurationError(
                f"texts[{index}] has {len(text)} characters, more than {most} tokens "
                "can hold: split it into smaller texts"
            )
    return texts


def parts(texts: Sequence[str], limits: Limits | None = None) -> list[list[str]]:
    """Split texts into requests that the limits allow, in order."""
    bound = limits or Limits()
    requests: list[list[str]] = [[]]
    tokens = 0
    for text in texts:
        weight = _weight(text)
        full = len(requests[-1]) >= bound.inputs or tokens + weight > bound.tokens
        if requests[-1] and full:
            requests.append([])
            tokens = 0
        requests[-1].append(text)
        tokens += weight
    return requests if requests[0] else []


def _weight(text: str) -> int:
    """Return about how many tokens a text has at most; a character beyond ASCII may be one."""
    if text.isascii():
        return len(text) // _CHARACTERS_PER_TOKEN + 1
    wide = len(text.encode("utf-8", "replace")) - len(text)
    return len(text) // _CHARACTERS_PER_TOKEN + wide + 1


def fewer(error: BadRequestError, sent: int) -> int | None:
    """Return how many texts to send at once after a refusal; None where it is not about that."""
    if sent < 2 or error.status_code not in (400, 413, 422):
        return None
    said = str(error).partition(": ")[2]
    if error.status_code != 413 and not _ABOUT_SIZE.search(said):
        return None
    named = [int(number) for number in _NUMBER.findall(said)]
    allowed = [number for number in named if 0 < number < sent]
    return max(allowed) if allowed else sent // 2


def embeddings_body(
    texts: Sequence[str],
    model: str,
    dimensions: int | None,
    encoding: Encoding,
    more: Mapping[str, Any],
) -> bytes:
    """Return the body of a request."""
    payload: dict[str, Any] = {"model": model, "input": texts, "encoding_format": encoding}
    if dimensions is not None:
        payload["dimensions"] = dimensions
    return encode({**payload, **more})


def read_embeddings(
    body: bytes, headers: Mapping[str, str], sent: int
) -> tuple[NDArray[np.float32], Usage | None]:
    """Return the vectors of an answer in the order of their texts, each of length 1, and its usage.

    Args:
        body: The answer.
        headers: Its headers.
        sent: How many texts were sent.

    Raises:
        LLMStatusError: It is an error.
        LLMResponseError: It has another number of vectors, or broken or uneven ones.
    """
    rows, reported = _rows(body, headers)
    if len(rows) != sent:
        raise LLMResponseError(f"{sent} texts were sent and {len(rows)} vectors came back")
    return _normal(rows), usage_of(reported)


def _rows(body: bytes, headers: Mapping[str, str]) -> tuple[list[bytes | list[float]], Any]:
    try:
        usual = _decode(body)
    except REFUSED:
        return _unusual_rows(decode(body), headers)
    if usual.error is not None:
        return _unusual_rows(decode(body), headers)
    return [item.embedding for item in sorted(usual.data, key=_INDEX)], usual.usage


def _unusual_rows(data: Any, headers: Mapping[str, str]) -> tuple[list[bytes | list[float]], Any]:
    """Return the vectors of an answer of another shape: without index, or bare (llama.cpp)."""
    if (error := error_in(data)) is not None:
        raise hidden_error(error, headers)
    given = data if isinstance(data, list) else as_list(as_mapping(data).get("data"))
    if not given:
        given = as_list(as_mapping(data).get("embeddings"))
    found: list[tuple[int, Any]] = []
    for place, item in enumerate(given):
        index = count(as_mapping(item).get("index"))
        vector = as_mapping(item).get("embedding", item)
        found.append((place if index is None else index, vector))
    if len({index for index, _ in found}) < len(found):  # an index that says nothing
        found = list(enumerate(vector for _, vector in found))
    try:
        rows = [_vector(vector) for _, vector in sorted(found, key=itemgetter(0))]
    except (TypeError, ValueError) as error:
        raise LLMResponseError(f"the endpoint sent broken vectors: {error}") from error
    return rows, as_mapping(data).get("usage")


def _vector(value: Any) -> bytes | list[float]:
    if isinstance(value, str):
        return msgspec.convert(value, bytes)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if not isinstance(value, list):
        raise ValueError(f"one is {type(value).__name__}")  # noqa: TRY004 - a value of theirs
    return [float(number) for number in value]


def _normal(rows: list[bytes | list[float]]) -> NDArray[np.float32]:
    import numpy as np

    try:
        # Numbers that are too large become infinite, which is looked for below.
        with np.errstate(over="ignore", invalid="ignore"):
            matrix = _matrix(rows)
            norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    except (ValueError, OverflowError) as error:
        raise LLMResponseError(f"the endpoint sent broken vectors: {error}") from error
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
