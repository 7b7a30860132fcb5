"""Whether an endpoint works, found out without a token.

The list of models is asked for, through the transport that calls take. It says little: some
servers give it to everybody, whatever the key, some have none, and a web page answers 200 as well.
So calls themselves are tried with an empty body, which every server has to refuse: the kind of
refusal tells whether they would work. What has worked once is not tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from agentinfra._mechanics.clock import Clock
from agentinfra._types import ResourceState
from agentinfra.errors import (
    AuthenticationError,
    LLMConnectionError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
)
from agentinfra.llm.dialects.failures import status_error

if TYPE_CHECKING:
    from agentinfra.llm.wire.transport import Reply, Transport

__all__ = ["Checkup", "Finding"]

_PATIENCE: Final = 4.0
"""Seconds a checkup may take: less than a health report waits for a resource."""

_NOTHING: Final = b"{}"
_SHOWN: Final = 3

_Kind: TypeAlias = Literal[
    "quota", "key", "rate", "outage", "moved", "page", "odd", "missing", "refused", "answered"
]
_TELLING: Final = ("quota", "key", "rate", "outage", "moved", "page", "odd", "missing")
"""What is wrong, from the most telling down: of two bad answers the first of these is told."""

_PASSING: Final = frozenset({"quota", "rate", "outage"})
"""What passes without a change of settings; the others are there until somebody mends them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a checkup found.

    Attributes:
        state: ``ready``; ``degraded`` by what passes, or is a part only; ``failed`` by what stays
            until a setting is changed.
        reason: Why it is not ready, in a sentence.
        latency: Seconds the first answer took; None where none came.
        detail: What more is known.
    """

    state: ResourceState
    reason: str = ""
    latency: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Answer:
    kind: _Kind
    status: int
    models: tuple[str, ...] | None = None


class Checkup:
    """Looks at one endpoint, again and again; remembers what has worked.

    Args:
        transport: What calls go through.
        address: The endpoint's address as people may see it, without a password.
        setting: The setting that holds the address.
        clock: Where time comes from.
    """

    def __init__(self, transport: Transport, *, address: str, setting: str, clock: Clock) -> None:
        self._transport = transport
        self._address = address.rstrip("/")
        self._setting = setting
        self._clock = clock
        self._works: set[str] = set()
        self._began = 0.0
        self._latency: float | None = None

    async def look(self, *, chat: str | None, embedding: str | None) -> Finding:
        """Return how the endpoint is; never raises but for a cancellation.

        Args:
            chat: The model that chat calls name, None where none go there.
            embedding: The model that embeddings calls name, None where none go there.
        """
        self._began, self._latency = self._clock.now(), None
        try:
            async with self._clock.timeout_at(self._began + _PATIENCE):
                finding = await self._look(chat, embedding)
        except TimeoutError:
            finding = Finding(
                state="degraded", reason=f"{self._address} does not answer within {_PATIENCE:g} s"
            )
        except LLMConnectionError as error:
            reason = f"{self._address} cannot be reached: {error}; see {self._setting}"
            finding = Finding(state="degraded", reason=reason)
        except Exception as error:  # noqa: BLE001 - a provider of keys may raise anything
            reason = f"{self._address} cannot be asked: {type(error).__name__}: {error}"
            finding = Finding(state="failed", reason=reason)
        return finding

    async def _look(self, chat: str | None, embedding: str | None) -> Finding:
        listed = await self._asked(self._transport.get("/models"))
        calls = chat or embedding
        if listed.models is None or (calls and not self._works):
            path, model = ("/chat/completions", chat) if chat else ("/embeddings", embedding)
            refusal = await self._tried(path, model or "")
            # A gateway that says 200 and means "no such path" has refused nothing yet.
            vague = listed.models is None and refusal.status < HTTPStatus.BAD_REQUEST
            if (refusal.kind != "refused" or vague) and await self._is_above(listed):
                return self._without_v1()
            if refusal.kind != "refused":
                return self._fault(listed, refusal)
            self._works.add(path)
        if (
            embedding
            and embedding not in (listed.models or ())
            and "/embeddings" not in self._works
        ):
            refusal = await self._tried("/embeddings", embedding)
            if refusal.kind in ("missing", "page", "odd"):
                return self._without_embeddings(refusal)
            self._works.add("/embeddings")
        return Finding(state="ready", latency=self._latency, detail=_listed(listed.models, chat))

    async def _tried(self, path: str, model: str) -> _Answer:
        """Send an empty call; nothing is generated, since nothing is asked."""
        return await self._asked(self._transport.post(path, _NOTHING, model=model, headers={}))

    async def _asked(self, reply: Awaitable[Reply]) -> _Answer:
        answer = _read(await reply)
        if self._latency is None:
            self._latency = self._clock.now() - self._began
        return answer

    async def _is_above(self, listed: _Answer) -> bool:
        """Say whether the API is below this address, at /v1, which is easily forgotten."""
        if listed.models is not None or listed.kind not in ("page", "odd", "missing", "refused"):
            return False
        return (await self._asked(self._transport.get("/v1/models"))).models is not None

    def _without_v1(self) -> Finding:
        reason = (
            f"{self._address} is not the API, which answers at {self._address}/v1: "
            f"add /v1 to {self._setting}"
        )
        return Finding(state="failed", reason=reason, latency=self._latency)

    def _fault(self, listed: _Answer, refusal: _Answer) -> Finding:
        """Say what is wrong with an endpoint whose calls would fail."""
        answers = [answer for answer in (refusal, listed) if answer.kind in _TELLING]
        worst = min(answers, key=lambda answer: _TELLING.index(answer.kind))
        state: ResourceState = "degraded" if worst.kind in _PASSING else "failed"
        return Finding(state=state, reason=self._sentence(worst, listed), latency=self._latency)

    def _sentence(self, answer: _Answer, listed: _Answer) -> str:
        where, status = self._address, f"HTTP {answer.status}"
        calls = "everything" if listed.models is None else "calls, though it lists its models"
        sentences: dict[str, str] = {
            "quota": (
                f"the account at {where} has no quota left ({status}): see its plan and billing"
            ),
            "key": f"{where} refuses the key ({status})",
            "rate": f"{where} takes no more requests at the moment ({status})",
            "outage": f"{where} answers with {status}",
            "moved": f"{where} sends elsewhere ({status}): set {self._setting} to the new address",
            "page": (
                f"{where} answers with a web page and not with JSON ({status}): a log-in page or "
                f"another server is there; set {self._setting} to the API's address, which mostly "
                "ends in /v1"
            ),
            "odd": (
                f"{where} answers with {status} what no OpenAI-compatible API does: "
                f"see {self._setting}"
            ),
            "missing": (
                f"{where} answers {answer.status} to {calls}: no OpenAI-compatible API is there; "
                f"see {self._setting}"
            ),
        }
        return sentences[answer.kind]

    def _without_embeddings(self, answer: _Answer) -> Finding:
        reason = (
            f"{self._address} has no embeddings (HTTP {answer.status}); chat works there: name "
            "an endpoint that has them, as in AGENTINFRA_LLM__EMBEDDING_MODEL=endpoint/model"
        )
        return Finding(state="degraded", reason=reason, latency=self._latency)


def _read(reply: Reply) -> _Answer:
    """Tell what kind of answer it is: by its content first, since a status alone deceives."""
    status = reply.status
    try:
        content = msgspec.json.decode(reply.body)
    except (msgspec.MsgspecError, RecursionError):
        return _Answer(_unreadable(reply), status)
    if status < HTTPStatus.MULTIPLE_CHOICES:
        if isinstance(content, dict) and content.get("error"):
            # A refusal inside of a 200, as some gateways send it.
            return _Answer(_refusal(status, reply), status)
        models = _models(content)
        return _Answer("odd" if models is None else "answered", status, models)
    if status < HTTPStatus.BAD_REQUEST:
        return _Answer("moved", status)
    return _Answer(_refusal(status, reply), status)


def _unreadable(reply: Reply) -> _Kind:
    """Tell what an answer is that is no JSON; gateways and log-in pages speak HTML."""
    known = _by_status(reply)
    if known is not None:
        return known
    start = reply.body[:200].lstrip().lower()
    return "page" if start.startswith((b"<", b"\xef\xbb\xbf<")) else "odd"


def _refusal(status: int, reply: Reply) -> _Kind:
    known = _by_status(reply)
    if known == "missing" and b"odel" in reply.body and b"eployment" not in reply.body:
        # "Model not found": there is a call, which looks for the model that nobody named.
        return "refused"
    return known or ("refused" if status != HTTPStatus.FORBIDDEN else "key")


def _by_status(reply: Reply) -> _Kind | None:
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


def _listed(models: tuple[str, ...] | None, chat: str | None) -> str:
    """Say where a model is not among those listed: it may be an alias, or a slip."""
    if not models or chat is None or chat in models:
        return ""
    shown = ", ".join(sorted(models)[:_SHOWN])
    more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
    return f"{chat} is not in its list: {shown}{more}"
