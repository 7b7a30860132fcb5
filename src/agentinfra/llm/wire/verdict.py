"""What an endpoint's answer to a question that costs nothing tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import msgspec

from agentinfra.errors import (
    AuthenticationError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
)
from agentinfra.llm.dialects.failures import status_error

if TYPE_CHECKING:
    from agentinfra.llm.wire.transport import Reply

__all__ = ["TELLING", "Kind", "Verdict", "read_answer"]

Bad: TypeAlias = Literal[
    "quota", "key", "rate", "outage", "moved", "page", "odd", "deployment", "missing"
]
Kind: TypeAlias = Bad | Literal["refused", "answered"]
TELLING: Final = get_args(Bad)
"""What is wrong, from the most telling down: of two bad answers the first of these is told."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one answer tells.

    Attributes:
        kind: What kind of answer it is; ``refused`` is a working call, ``answered`` a list.
            An empty call that got an answer all the same works as well.
        status: Its HTTP status.
        models: The names in a list of models, None where it is none.
    """

    kind: Kind
    status: int
    models: tuple[str, ...] | None = None


def read_answer(reply: Reply) -> Verdict:
    """Tell what kind of answer it is: by its content first, since a status alone deceives.

    Args:
        reply: Whatever came.
    """
    status = reply.status
    try:
        content = msgspec.json.decode(reply.body)
    except (msgspec.MsgspecError, RecursionError):
        return Verdict(_unreadable(reply), status)
    if status < HTTPStatus.MULTIPLE_CHOICES:
        if isinstance(content, dict) and content.get("error"):
            # A refusal inside of a 200, as some gateways send it.
            return Verdict(_refusal(status, reply), status)
        if isinstance(content, dict) and (content.get("choices") or content.get("output")):
            return Verdict("refused", status)  # asked for nothing, llama-cpp-python says something
        models = _models(content)
        return Verdict("odd" if models is None else "answered", status, models)
    if status < HTTPStatus.BAD_REQUEST:
        return Verdict("moved", status)
    return Verdict(_refusal(status, reply), status)


def _unreadable(reply: Reply) -> Kind:
    """Tell what an answer is that is no JSON; gateways and log-in pages speak HTML."""
    known = _by_status(reply)
    if known is not None:
        return known
    start = reply.body[:200].lstrip().lower()
    return "page" if start.startswith((b"<", b"\xef\xbb\xbf<")) else "odd"


def _refusal(status: int, reply: Reply) -> Kind:
    known = _by_status(reply)
    if known == "missing" and b"DeploymentNotFound" in reply.body:
        return "deployment"
    if known == "missing" and b"model" in reply.body.lower():
        # "Model not found": there is a call, which looks for the model that nobody named.
        return "refused"
    return known or ("refused" if status != HTTPStatus.FORBIDDEN else "key")


def _by_status(reply: Reply) -> Kind | None:
    status = reply.status
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "moved"
    error = status_error(status if status >= HTTPStatus.BAD_REQUEST else 400, {}, reply.body)
    if isinstance(error, QuotaExceededError):
        return "quota"
    if isinstance(error, AuthenticationError):
        return "key"
    if isinstance(error, RateLimitedError):
        return "rate"
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED):
        return "missing"
    if isinstance(error, ServerError) and not _names_what_lacks(reply):
        return "outage"
    return None


def _names_what_lacks(reply: Reply) -> bool:
    """Say whether a 500 is how a server refuses a call without messages or input: some do."""
    found = b"messages" in reply.body or b"input" in reply.body
    return found and reply.status == HTTPStatus.INTERNAL_SERVER_ERROR


def _models(content: Any) -> tuple[str, ...] | None:
    """Return the names in a list of models, None where it is none."""
    found = content
    if isinstance(content, dict):
        found = content.get("data", content.get("models"))
    if not isinstance(found, list):
        return None
    names = (one.get("id") or one.get("name") for one in found if isinstance(one, dict))
    return tuple(name for name in names if isinstance(name, str))
