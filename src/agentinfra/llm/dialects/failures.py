"""The one table from what an endpoint does wrong to our errors."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from agentinfra.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    LLMStatusError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
)
from agentinfra.llm.dialects.values import as_list, as_mapping, count, first_text, plain

__all__ = ["error_in", "hidden_error", "retry_after", "status_error"]

_BY_CODE: Mapping[str, type[LLMStatusError]] = {
    "context_length_exceeded": ContextLengthError,
    "exceed_context_size_error": ContextLengthError,
    "content_filter": ContentFilterError,
    "content_policy_violation": ContentFilterError,
    "responsibleaipolicyviolation": ContentFilterError,
    "insufficient_quota": QuotaExceededError,
    "exceeded_current_quota_error": QuotaExceededError,
    "billing_hard_limit_reached": QuotaExceededError,
    "billing_not_active": QuotaExceededError,
    "invalid_api_key": AuthenticationError,
    "authentication_error": AuthenticationError,
    "rate_limit_exceeded": RateLimitedError,
    "rate_limit_error": RateLimitedError,
    "server_error": ServerError,
    "overloaded_error": ServerError,
}
"""Codes and types that say what it is, whatever the status."""

_BY_CODE_ALONE: Mapping[str, type[LLMStatusError]] = {
    "invalid_request_error": BadRequestError,
    "invalid_prompt": BadRequestError,
    "model_not_found": BadRequestError,
    "not_found_error": BadRequestError,
    "permission_error": AuthenticationError,
}
"""Codes that say it only where there is no status."""

_TOO_LONG = re.compile(
    r"maximum context length|context (window|length|size)|maximum model length"
    r"|maximum number of tokens allowed|prompt is too long|input is too long"
    r"|input length .*exceed|too many input tokens|reduce the length of the messages"
    r"|greater than max_model_len",
    re.IGNORECASE,
)
"""Sentences of OpenAI, llama.cpp, Gemini, Anthropic's compatible endpoint, vLLM and others."""

_WRONG_KEY = re.compile(r"api key not valid|invalid api key|incorrect api key", re.IGNORECASE)
"""Sentences of a refused key under status 400: Gemini's, and those of servers that copy OpenAI."""

_FILTERED = re.compile(r"content (management|filtering) policy|content filter", re.IGNORECASE)
_BY_STATUS: Mapping[int, type[LLMStatusError]] = {
    401: AuthenticationError,
    402: QuotaExceededError,
    403: AuthenticationError,
    408: ServerError,
    409: ServerError,
    425: ServerError,
    429: RateLimitedError,
    501: BadRequestError,  # not there, however often it is asked for
    505: BadRequestError,
}
_LONGEST_TEXT = 1000
_SENSIBLE_WAIT = 7 * 24 * 3600.0
"""Seconds of a Retry-After beyond which it is a mistake (a date in milliseconds, say)."""


def status_error(
    status: int, headers: Mapping[str, str], body: bytes | Mapping[str, Any]
) -> LLMStatusError:
    """Return our error for an answer that is one.

    Args:
        status: The HTTP status, 0 for an error inside a stream or an answer.
        headers: The response's headers, names in lower case.
        body: The response's body, or the error object of an event.
    """
    detail = _detail(body)
    codes = _codes(detail)
    message = _message(detail)
    kind = _kind(status, codes, message)
    said = f"{_what(status)}: {_where_to(status, headers) or message or 'no reason given'}"
    return kind(
        said + _advice(kind, status, codes),
        status_code=status,
        request_id=headers.get("x-request-id"),
        code=codes[0] if codes else None,
        param=plain(detail.get("param")) or None,
        retry_after=retry_after(headers),
    )


def hidden_error(error: Mapping[str, Any], headers: Mapping[str, str]) -> LLMStatusError:
    """Return our error for one that came inside of a 200 or of a stream."""
    status = count(error.get("status")) or count(error.get("code")) or 0
    return status_error(status if 100 <= status < 600 else 0, headers, error)


def error_in(data: Any) -> Mapping[str, Any] | None:
    """Return the error object of a body or an event, wherever it hides, None without one."""
    body = as_mapping(data)
    for place in (body, *map(as_mapping, as_list(body.get("choices")))):
        error = place.get("error")
        if isinstance(error, Mapping) and error:
            return error
        if isinstance(error, str) and error.strip():
            return {"message": error, **{k: body[k] for k in ("code", "status") if k in body}}
    if plain(body.get("object")) == "error" or plain(body.get("type")) == "error":
        return body
    if isinstance(data, list):
        found = [error_in(part) for part in data[:3]]
        return next((error for error in found if error is not None), None)
    if not any(body.get(name) for name in ("choices", "output", "data", "usage", "id")):
        said = first_text(body, "detail", "errors", "error_msg")
        if said is None and isinstance(body.get("message"), str) and body["message"].strip():
            said = body["message"]
        if said is not None:
            return body
    return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a response asks to wait; None when it does not, or makes no sense."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return _sensible(float(milliseconds) / 1000)
        if not (value := headers.get("retry-after")):
            return None
        try:
            return _sensible(float(value))
        except ValueError:
            return _sensible(max(0.0, parsedate_to_datetime(value).timestamp() - time.time()))
    except (ValueError, TypeError, OverflowError):
        return None


def _sensible(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and 0.0 <= seconds <= _SENSIBLE_WAIT else None


def _kind(status: int, codes: list[str], message: str) -> type[LLMStatusError]:
    for code in codes:
        if (by_code := _BY_CODE.get(code.lower())) is not None:
            return by_code
    if status in (0, 400, 413, 422, 500) and _TOO_LONG.search(message):
        return ContextLengthError
    if status in (0, 400, 403) and _FILTERED.search(message):
        return ContentFilterError
    if status in (0, 400) and _WRONG_KEY.search(message):
        return AuthenticationError
    if status == 0:
        alone = (_BY_CODE_ALONE.get(code.lower()) for code in codes)
        return next((kind for kind in alone if kind is not None), ServerError)
    return _BY_STATUS.get(status, ServerError if status >= 500 else BadRequestError)


def _codes(detail: Mapping[str, Any]) -> list[str]:
    inner = as_mapping(detail.get("innererror"))
    given = (detail.get("code"), detail.get("type"), inner.get("code"), detail.get("status"))
    return [code for code in map(plain, given) if code]


def _detail(body: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    data: Any = body
    if isinstance(body, bytes):
        try:
            data = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return {"message": _prose(body)}
    if isinstance(data, list) and data and isinstance(data[0], Mapping):
        data = data[0]
    if not isinstance(data, Mapping):
        return {"message": str(data)[:_LONGEST_TEXT]}
    inner = data.get("error")
    if isinstance(inner, str):
        return {**data, "message": inner}
    return inner if isinstance(inner, Mapping) and inner else data


def _prose(body: bytes) -> str:
    """Return what a body that is no JSON says."""
    text = body[:5000].decode("utf-8", "replace").strip()
    if text[:1] == "<":
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        named = f" ({' '.join(title.group(1).split())})" if title else ""
        return (
            f"a page for people{named} came in place of an answer: check that base_url is the "
            "API's address, /v1 included where the server wants it"
        )
    return text[:200]


def _message(detail: Mapping[str, Any]) -> str:
    """Return what an error says, out of the fields that servers put it in."""
    said = first_text(detail, "message", "detail", "error_msg", "msg", "errors", "error")
    text = _said(said)
    raw = as_mapping(detail.get("metadata")).get("raw")  # OpenRouter: what the maker said
    if isinstance(raw, str) and raw.strip():
        text = f"{text} ({raw.strip()})"
    return " ".join(text.split())[:_LONGEST_TEXT]


def _said(value: Any) -> str:
    if isinstance(value, list):  # FastAPI's list of what is wrong with a body
        return "; ".join(filter(None, (_said(part) for part in value[:5])))
    if isinstance(value, Mapping):
        where = ".".join(plain(part) for part in _parts(value.get("loc")))
        text = _said(first_text(value, "msg", "message", "detail", "error"))
        return f"{where}: {text}" if where else text
    return plain(value)


def _parts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _what(status: int) -> str:
    return f"the endpoint answered {status}" if status else "the endpoint broke off its answer"


def _where_to(status: int, headers: Mapping[str, str]) -> str:
    """Return what to do about a redirect, which is never followed with a key."""
    if not 300 <= status < 400:
        return ""
    target = (headers.get("location") or "another address").split("?", 1)[0]
    return f"it redirects to {target}, where the key is not sent: set base_url to that address"


def _advice(kind: type[LLMStatusError], status: int, codes: list[str]) -> str:
    if kind is AuthenticationError:
        return " (check OPENAI_API_KEY or Settings.llm.api_key)"
    if kind is QuotaExceededError:
        return " (check the account's plan and billing)"
    if status == 404 and "model_not_found" not in codes:
        return " (check Settings.llm.base_url and the model's name)"
    return ""
