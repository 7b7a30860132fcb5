"""The one table from what an endpoint does wrong to our errors."""

from __future__ import annotations

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

__all__ = ["retry_after", "status_error"]

_BY_CODE: Mapping[str, type[LLMStatusError]] = {
    "context_length_exceeded": ContextLengthError,
    "content_filter": ContentFilterError,
    "content_policy_violation": ContentFilterError,
    "insufficient_quota": QuotaExceededError,
    "billing_hard_limit_reached": QuotaExceededError,
    "billing_not_active": QuotaExceededError,
    "invalid_api_key": AuthenticationError,
    "rate_limit_exceeded": RateLimitedError,
    "server_error": ServerError,
}
_SERVER_STATUSES = frozenset({408, 409, 425})


def status_error(
    status: int, headers: Mapping[str, str], body: bytes | Mapping[str, Any]
) -> LLMStatusError:
    """Return our error for an answer that is one.

    Args:
        status: The HTTP status, 0 for an error event inside a stream.
        headers: The response's headers, names in lower case.
        body: The response's body, or the error object of an event.
    """
    detail = _detail(body)
    code = str(detail.get("code") or detail.get("type") or "")
    kind = _kind(status, code, str(detail.get("message") or ""))
    message = f"{_what(status)}: {detail.get('message') or 'no reason given'}"
    request_id = headers.get("x-request-id")
    if issubclass(kind, RateLimitedError | ServerError):
        wait = retry_after(headers)
        return kind(message, status_code=status, request_id=request_id, retry_after=wait)
    return kind(message + _advice(kind), status_code=status, request_id=request_id)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a response asks to wait; None when it does not, or not readably."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if not (value := headers.get("retry-after")):
            return None
        if value.replace(".", "", 1).strip().isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _kind(status: int, code: str, message: str) -> type[LLMStatusError]:
    if (by_code := _BY_CODE.get(code)) is not None:
        return by_code
    if status in (401, 403):
        return AuthenticationError
    if status == 402:
        return QuotaExceededError
    if status == 429:
        return RateLimitedError
    if status in _SERVER_STATUSES or status >= 500 or status == 0:
        return ServerError
    if "maximum context length" in message:
        return ContextLengthError
    return BadRequestError


def _detail(body: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    data: Any = body
    if isinstance(body, bytes):
        try:
            data = msgspec.json.decode(body)
        except msgspec.MsgspecError:
            return {"message": body[:200].decode("utf-8", "replace").strip()}
    inner = data.get("error", data) if isinstance(data, Mapping) else data
    return inner if isinstance(inner, Mapping) else {"message": str(inner)[:200]}


def _what(status: int) -> str:
    return f"the endpoint answered {status}" if status else "the endpoint broke off its stream"


def _advice(kind: type[LLMStatusError]) -> str:
    if kind is AuthenticationError:
        return " (check OPENAI_API_KEY or Settings.llm.api_key)"
    if kind is QuotaExceededError:
        return " (check the account's plan and billing)"
    return ""
