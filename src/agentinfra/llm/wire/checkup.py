"""Whether an endpoint works, found out without a token.

The list of models is asked for, through the transport that calls take, and looked at: a web page
answers 200 as well. Where there is none, and where somebody wants to know for certain, calls
themselves are tried with an empty body, which nearly every server refuses: the kind of refusal
tells whether they would work. For some servers give their list to everybody, whatever the key, or
for nothing that they do. What has worked once is not tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from agentinfra._mechanics.clock import Clock
from agentinfra._types import ResourceState
from agentinfra.errors import (
    AgentInfraError,
    LLMConnectionError,
)
from agentinfra.llm.wire.verdict import TELLING, Verdict, read_answer
from agentinfra.observability.redaction import Redactor

if TYPE_CHECKING:
    from agentinfra.llm.wire.transport import Reply

__all__ = ["Ask", "Checkup", "Finding"]

Ask: TypeAlias = "Callable[[str, str, str], Awaitable[Reply]]"

_PATIENCE: Final = 4.0
"""Seconds a checkup may take: less than a health report waits for a resource."""

_SHOWN: Final = 3

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


class Checkup:
    """Looks at one endpoint, again and again; remembers what has worked.

    Args:
        ask: Sends a request as calls are sent: method, path below the address, model named in
            the address where that is so. Returns whatever comes.
        address: The endpoint's address as people may see it, without a password.
        setting: The setting that holds the address.
        clock: Where time comes from.
        calls: The path of chat calls.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        address: str,
        setting: str,
        clock: Clock,
        calls: str = "/chat/completions",
    ) -> None:
        self._ask = ask
        self._calls = calls
        self._address = address.rstrip("/")
        self._setting = setting
        self._clock = clock
        self._works: set[str] = set()
        self._began = 0.0
        self._latency: float | None = None

    async def look(
        self, *, chat: str | None, embedding: str | None, thorough: bool = False
    ) -> Finding:
        """Return how the endpoint is; never raises but for a cancellation.

        Args:
            chat: The model that chat calls name, None where none go there.
            embedding: The model that embeddings calls name, None where none go there.
            thorough: Try calls, too, where there is a list of models.
        """
        self._began, self._latency = self._clock.now(), None
        try:
            async with self._clock.timeout_at(self._began + _PATIENCE):
                finding = await self._look(chat, embedding, thorough)
        except TimeoutError:
            finding = Finding(
                state="degraded", reason=f"{self._address} does not answer within {_PATIENCE:g} s"
            )
        except LLMConnectionError as error:
            said = Redactor().text(str(error))
            reason = f"{self._address} cannot be reached: {said}; see {self._setting}"
            finding = Finding(state="degraded", reason=reason)
        except Exception as error:  # noqa: BLE001 - a provider of keys may raise anything
            # Of an error of others the name alone: its text may hold the key that it is about.
            ours = f": {error}" if isinstance(error, AgentInfraError) else ""
            reason = f"{self._address} cannot be asked: {type(error).__name__}{ours}"
            finding = Finding(state="failed", reason=reason)
        return finding

    async def _look(self, chat: str | None, embedding: str | None, thorough: bool) -> Finding:  # noqa: FBT001
        listed = await self._asked("GET", "/models", chat or embedding or "")
        calls = chat or embedding
        if listed.models is None or (thorough and calls and not self._works):
            path, model = (self._calls, chat) if chat else ("/embeddings", embedding)
            refusal = await self._asked("POST", path, model or "")
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
            refusal = await self._asked("POST", "/embeddings", embedding)
            if refusal.kind in ("missing", "page", "odd"):
                return self._without_embeddings(refusal)
            self._works.add("/embeddings")
        return Finding(state="ready", latency=self._latency, detail=_listed(listed.models, chat))

    async def _asked(self, method: str, path: str, model: str) -> Verdict:
        """Ask; a POST is an empty call, for which nothing is generated, since nothing is said."""
        answer = read_answer(await self._ask(method, path, model))
        if self._latency is None:
            self._latency = self._clock.now() - self._began
        return answer

    async def _is_above(self, listed: Verdict) -> bool:
        """Say whether the API is below this address, at /v1, which is easily forgotten."""
        if listed.models is not None or listed.kind not in ("page", "odd", "missing", "refused"):
            return False
        return (await self._asked("GET", "/v1/models", "")).models is not None

    def _without_v1(self) -> Finding:
        reason = (
            f"{self._address} is not the API, which answers at {self._address}/v1: "
            f"add /v1 to {self._setting}"
        )
        return Finding(state="failed", reason=reason, latency=self._latency)

    def _fault(self, listed: Verdict, refusal: Verdict) -> Finding:
        """Say what is wrong with an endpoint whose calls would fail."""
        answers = [answer for answer in (refusal, listed) if answer.kind in TELLING]
        worst = min(answers, key=lambda answer: TELLING.index(answer.kind))
        state: ResourceState = "degraded" if worst.kind in _PASSING else "failed"
        return Finding(state=state, reason=self._sentence(worst, listed), latency=self._latency)

    def _sentence(self, answer: Verdict, listed: Verdict) -> str:
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
            "deployment": (
                f"{where} has no deployment of that name ({status}): set AGENTINFRA_LLM__MODEL to "
                "the name of a deployment"
            ),
            "missing": (
                f"{where} answers {answer.status} to {calls}: no OpenAI-compatible API is there; "
                f"see {self._setting}"
            ),
        }
        return sentences[answer.kind]

    def _without_embeddings(self, answer: Verdict) -> Finding:
        reason = (
            f"{self._address} has no embeddings (HTTP {answer.status}); chat works there: name "
            "an endpoint that has them, as in AGENTINFRA_LLM__EMBEDDING_MODEL=endpoint/model"
        )
        return Finding(state="degraded", reason=reason, latency=self._latency)


def _listed(models: tuple[str, ...] | None, chat: str | None) -> str:
    """Say where a model is not among those listed: it may be an alias, or a slip."""
    if not models or chat is None or chat in models:
        return ""
    shown = ", ".join(sorted(models)[:_SHOWN])
    more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
    return f"{chat} is not in its list: {shown}{more}"
