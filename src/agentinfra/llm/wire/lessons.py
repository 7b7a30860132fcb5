"""What an endpoint's refusals have taught, for a while."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from agentinfra.errors import BadRequestError
from agentinfra.llm.dialects.models import known
from agentinfra.llm.dialects.responses.body import CHAT_ONLY, RESPONSES_ONLY
from agentinfra.llm.dialects.speech import STATEFUL
from agentinfra.llm.wire.forms import FormLessons

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.llm.dialects.request import Api, TextRequest
    from agentinfra.llm.dialects.speech import Speech
    from agentinfra.llm.wire.profile import Profile
    from agentinfra.results import Usage

__all__ = ["Lessons"]

REMEMBERED = 3600.0
"""Seconds a lesson holds: servers are updated, and a model's name may mean another tomorrow."""

_CHAT = re.compile(r"chat/completions|chat completions", re.IGNORECASE)
_RESPONSES = re.compile(r"v1/responses|responses api|/responses\b", re.IGNORECASE)
_WITHOUT_REASONING = re.compile(r"reasoning_effort\W+to\W+none", re.IGNORECASE)
_OTHER_LIMIT: Literal["max_completion_tokens"] = "max_completion_tokens"
_OF_RESPONSES = frozenset(RESPONSES_ONLY)
_OF_CHAT = frozenset(CHAT_ONLY)
_FUNCTIONS = frozenset({"function", "custom"})


class Lessons:
    """Decides how a request is put to an endpoint, and learns when that was wrong.

    Args:
        profile: The endpoint's profile.
        clock: Where time comes from.

    Attributes:
        forms: What it has learned of the forms of structured answers.
        learned: How often it has learned something: what was decided before may be wrong now.
    """

    def __init__(self, profile: Profile, clock: Clock) -> None:
        self._profile = profile
        self._clock = clock
        self._speech = profile.speech
        self.forms = FormLessons(clock, remembered=REMEMBERED)
        self.learned = 0
        self._api: dict[tuple[str, bool], tuple[Api, float]] = {}
        self._absent: dict[Api, float] = {}
        self._limited: set[str] = set()
        self._may_not_reason: set[str] = set()
        self._reasoning: set[str] = set()
        self._unreasoned: dict[str, float] = {}
        self._variants: dict[tuple[bool | None, bool, bool, bool], Speech] = {}

    def api(self, request: TextRequest, model: str) -> Api:
        """Return the API a request goes to."""
        pinned = self._profile.api
        if request.resumes:
            return "responses"
        if pinned != "auto":
            return pinned
        given = request.options.keys()
        official = self._speech.official
        tools = request.options.get("tools")
        if request.seen.items or not STATEFUL.isdisjoint(given):
            return "responses"
        if self._api and (learned := self._learned(model, tools=bool(tools))) is not None:
            return learned
        if not official:
            return "chat"
        if not _OF_RESPONSES.isdisjoint(given) or (tools and not _functions_only(tools)):
            return "responses"
        traits = known(model)
        if traits.only_responses:
            return "responses"
        if not tools or not traits.chat_refuses_tools or not _OF_CHAT.isdisjoint(given):
            return "chat"
        return "chat" if request.options.get("reasoning_effort") == "none" else "responses"

    def speech(self, request: TextRequest, model: str) -> Speech:
        """Return how a body is written."""
        if request.lenient is None and not self._learned_to_speak:
            return self._speech
        unreasoned = self._unreasoned.get(model, 0.0) > self._clock.now()
        key = (request.lenient, model in self._limited, unreasoned, model in self._reasoning)
        if key not in self._variants:
            self._variants[key] = self._variant(*key)
        return self._variants[key]

    def heard(self, model: str, usage: Usage) -> None:
        """Take in the usage of an answer of the Responses API.

        A deployment's name does not tell that its model thinks; what it thought has to be asked
        for then, or it cannot be sent on.
        """
        if not usage.reasoning_tokens or model in self._reasoning:
            return
        if self._speech.official and not known(model).reasons:
            self._reasoning.add(model)
            self.learned += 1

    @property
    def _learned_to_speak(self) -> bool:
        return bool(self._limited or self._unreasoned or self._reasoning)

    def learn(self, error: BadRequestError, request: TextRequest, model: str, api: Api) -> bool:
        """Take in a refusal; return whether the request is to be sent again, another way.

        Args:
            error: The refusal.
            request: What was sent.
            model: To which model.
            api: By which API.
        """
        said = str(error)
        if request.resumes:
            return False
        self.learned += 1
        if api == "chat" and self._about_body(said, request, model):
            # Another call may have learned it while this one was under way: what counts is
            # whether the next body would be another than the one that was refused.
            return request.encoded_for[2:] != (self.speech(request, model),)
        other = self._about_api(error, said, request, model, api)
        return other or self.forms.learn(error, request, model)

    def _about_api(
        self, error: BadRequestError, said: str, request: TextRequest, model: str, api: Api
    ) -> bool:
        """Learn which API a request goes to, where a refusal is about that."""
        if api == "chat" and _WITHOUT_REASONING.search(said):
            self._may_not_reason.add(model)
        other = self._named(error, said, api)
        if other is None or self._profile.api != "auto" or request.seen.items:
            return False
        until = self._clock.now() + REMEMBERED
        if self._absent.get(api, 0.0) > self._clock.now():
            return False  # another call has found that out meanwhile
        key = (model, bool(request.options.get("tools")))
        if self._learned(model, tools=key[1]) == api:
            # Each has sent us to the other: the one that is not there is not asked for again.
            del self._api[key]
            self._absent[api] = until
            return self._goes_without_reasoning(request, model)
        if self._absent.get(other, 0.0) > self._clock.now():
            return self._goes_without_reasoning(request, model)
        self._api[key] = (other, until)
        return True

    def _about_body(self, said: str, request: TextRequest, model: str) -> bool:
        """Learn how a body has to be written, where a refusal is about that."""
        if request.stream and "stream_options" in said and request.asks_usage:
            if "stream_options" in request.options:
                return False  # the caller's own
            if self._speech.stream_options:
                self._speech = replace(self._speech, stream_options=False)
                self._variants.clear()
            return True
        if "max_tokens" in request.options and "max_tokens" in said and _OTHER_LIMIT in said:
            self._limited.add(model)
            return True
        return False

    def _goes_without_reasoning(self, request: TextRequest, model: str) -> bool:
        """Take the second way that a refusal of tools names, where there is no Responses API."""
        if model not in self._may_not_reason or "reasoning_effort" in request.options:
            return False
        self._unreasoned[model] = self._clock.now() + REMEMBERED
        # As above: another call may have learned it while this one was under way, with a body of
        # before; the same body once more would only be refused once more.
        return request.encoded_for[2:] != (self.speech(request, model),)

    def _variant(
        self,
        lenient: bool | None,  # noqa: FBT001
        limited: bool,  # noqa: FBT001
        unreasoned: bool,  # noqa: FBT001
        reasons: bool,  # noqa: FBT001
    ) -> Speech:
        speech = replace(self._speech, tools_without_reasoning=unreasoned, reasons=reasons)
        if lenient is not None:
            speech = replace(speech, unsupported="drop" if lenient else "refuse")
        return replace(speech, token_limit=_OTHER_LIMIT) if limited else speech

    def _named(self, error: BadRequestError, said: str, api: Api) -> Api | None:
        """Return the other API where a refusal names it, or where this one is not there."""
        if api == "chat":
            return "responses" if _RESPONSES.search(said) else None
        missing = error.status_code in (404, 405, 501) and error.code != "model_not_found"
        return "chat" if missing or _CHAT.search(said) else None

    def _learned(self, model: str, *, tools: bool) -> Api | None:
        found = self._api.get((model, tools))
        if found is None:
            return None
        if found[1] <= self._clock.now():
            del self._api[model, tools]
            return None
        return found[0]


def _functions_only(tools: object) -> bool:
    return isinstance(tools, list | tuple) and all(
        not isinstance(tool, dict) or tool.get("type", "function") in _FUNCTIONS for tool in tools
    )
