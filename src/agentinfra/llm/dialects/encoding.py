"""The wire's JSON: what goes out is encoded once, what comes in is typed or a typed error."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from agentinfra.errors import ConfigurationError, LLMResponseError

__all__ = ["REFUSED", "decode", "encode", "unreadable"]

REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises; a text that is no UTF-8 is not one of msgspec's own errors."""

_encode = msgspec.json.Encoder(enc_hook=lambda value: _plain(value), decimal_format="number").encode
_decode = msgspec.json.Decoder().decode


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # a pydantic model, one of the openai package's for instance
        return value.model_dump(mode="json", exclude_none=True)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def encode(value: Any) -> bytes:
    """Encode what goes out.

    Raises:
        ConfigurationError: It cannot be written as JSON.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the request cannot be written as JSON: {error}") from error


def decode(data: bytes) -> Any:
    """Decode what came, whatever it is.

    What Python's own decoder takes is taken, too, since servers write with its encoder: NaN and
    infinities beside the text, half of a surrogate pair in it, a mark of byte order before it.

    Raises:
        LLMResponseError: It is no JSON, or no Unicode.
    """
    try:
        return _decode(data)
    except REFUSED as error:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            raise unreadable(data, error) from error
        return _without_halves(found) if b"\\ud" in data.lower() else found


def _without_halves(value: Any) -> Any:
    """Return a value in whose texts no half of a surrogate pair stands alone."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_halves(part) for part in value]
    if isinstance(value, dict):
        return {_without_halves(name): _without_halves(part) for name, part in value.items()}
    return value


def unreadable(data: bytes, why: object) -> LLMResponseError:
    """Return the error for something that is not an answer."""
    said = data[:500].decode("utf-8", "replace")
    if said.lstrip()[:1] == "<":
        why = "it is a page for people: check that base_url ends as the server wants it (/v1)"
    return LLMResponseError(f"the endpoint sent something that is not an answer: {why}", body=said)
