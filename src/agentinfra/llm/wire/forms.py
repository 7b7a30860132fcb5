"""Which forms of structured answers the models of an endpoint take, as its refusals teach it.

A form is named by its kind and what there is to it: ``tools strict forced``, ``tools forced``,
``json_schema strict``, ``json_schema``, ``json_object``, ``words``. ``strict`` is OpenAI's strict
form of the schemas, ``forced`` a ``tool_choice`` that leaves the model none. Each of these words
is learned by itself: who refuses to be forced still takes tools. Only a refusal that names the
parameter teaches, or being ignored again and again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agentinfra.observability.logging import get_logger

if TYPE_CHECKING:
    from agentinfra._mechanics.clock import Clock
    from agentinfra.errors import BadRequestError
    from agentinfra.llm.dialects.request import TextRequest

__all__ = ["FormLessons"]

log = get_logger("agentinfra.llm")

IGNORED: Final = 2
"""Answers in a row that did not heed a form, before it is given up for a while."""

_STATUSES: Final = frozenset({0, 400, 404, 405, 415, 422, 501})
_NOT_TAKEN: Final = re.compile(
    r"not? (?:\w+ )?(?:support|permit|allow|enabl|implement|availab|recogni[sz]|accept|handl)"
    r"|n't support|unsupported|unrecogni[sz]ed|unknown|unavailable|unexpected|no \w+ found"
    r"|extra (?:inputs|fields)|does not exist|invalid (?:parameter|type|value)"
    r"|supported (?:\w+ )?values|requires? (?:--|\w+ flag)|\bno (?:tools?|functions?)\b"
    r"|must be '(?:json_schema|text)",
    re.IGNORECASE,
)
_ABOUT: Final = {
    "tools": re.compile(
        r"\btools?\b|\bfunctions?\b|\bfunction.call|\btool.(?:us|call(?!s|_id)|choice)",
        re.IGNORECASE,
    ),
    "json_schema": re.compile(
        r"response.?format|json.?schema|structured.outputs?|guided|text\.format", re.IGNORECASE
    ),
    "json_object": re.compile(
        r"response.?format|json.?(?:object|mode)|text\.format", re.IGNORECASE
    ),
}
_PARAMS: Final = {
    "tools": ("tools", "tool_choice", "functions", "function_call"),
    "json_schema": ("response_format", "response_format.type", "text.format", "text.format.type"),
    "json_object": ("response_format", "response_format.type", "text.format", "text.format.type"),
}
_CHOICE: Final = re.compile(r"tool.choice(?! requires --)|force[sd]? tool", re.IGNORECASE)
_STRICT: Final = re.compile(r"\bstrict\b", re.IGNORECASE)
_SCHEMA: Final = re.compile(
    r"invalid.{0,12}schema|schema.{0,40}(?:invalid|not valid)", re.IGNORECASE
)
_SCHEMA_CODES: Final = ("invalid_function_parameters", "invalid_json_schema")
_WITH_REASONING: Final = re.compile(r"function tools with reasoning", re.IGNORECASE)
"""OpenAI's own words, where neither the other API nor reasoning less is a way."""

_HISTORY: Final = re.compile(
    r"tool_calls?\b|tool_call_id|tool messages?|\brole\b|'tool'|\"tool\"|tool (?:output|result)",
    re.IGNORECASE,
)
"""Words of refusals that are about the conversation, not about what may be called."""


class FormLessons:
    """Remembers which forms the models of one endpoint do not take.

    Args:
        clock: Where time comes from.
        remembered: Seconds a lesson holds.

    Attributes:
        learned: How often a form was given up.
    """

    def __init__(self, clock: Clock, *, remembered: float) -> None:
        self._clock = clock
        self._remembered = remembered
        self.learned = 0
        self._refused: dict[tuple[str, str], float] = {}
        self._ignored: dict[tuple[str, str], int] = {}

    def best(self, request: TextRequest, model: str) -> str:
        """Return the form a request is put in; the last one where none is left."""
        names = request.forms.names if request.forms is not None else ("",)
        return next((n for n in names if self._may(n, request, model)), names[-1])

    def _may(self, form: str, request: TextRequest, model: str) -> bool:
        if form in request.unfit:
            return False
        if not self._refused:
            return True
        return not any(self._holds(model, word) for word in form.split())

    def _holds(self, model: str, what: str) -> bool:
        until = self._refused.get((model, what))
        if until is None:
            return False
        if until <= self._clock.now():
            del self._refused[model, what]
            return False
        return True

    def learn(self, error: BadRequestError, request: TextRequest, model: str) -> bool:
        """Take in a refusal; return whether the request goes into another form now."""
        refused = request.form
        if not refused or error.status_code not in _STATUSES:
            return False
        kind, *traits = refused.split()
        if "strict" in traits and _is_about_schema(error):
            # Of this schema, not of the model.
            request.unfit |= {refused}
        elif "strict" in traits and _says(_STRICT, error):
            self._give_up(model, "strict", str(error))
        elif not _is_about(kind, error):
            return False
        elif "forced" in traits and (error.param == "tool_choice" or _says(_CHOICE, error)):
            self._give_up(model, "forced", str(error))
        else:
            self._give_up(model, kind, str(error))
        # Another call may have learned it while this one was under way.
        return self.best(request, model) != refused

    def ignored(self, form: str, model: str) -> None:
        """Take in an answer that did not heed a form."""
        kind = form.partition(" ")[0]
        key = (model, kind)
        self._ignored[key] = self._ignored.get(key, 0) + 1
        if self._ignored[key] >= IGNORED and kind != "words":
            del self._ignored[key]
            self._give_up(model, kind, f"it was ignored {IGNORED} times")

    def heeded(self, form: str, model: str) -> None:
        """Take in an answer that did heed a form."""
        if self._ignored:
            self._ignored.pop((model, form.partition(" ")[0]), None)

    def _give_up(self, model: str, what: str, why: str) -> None:
        self._refused[model, what] = self._clock.now() + self._remembered
        self.learned += 1
        log.warning("llm.structured_mode_changed", model=model, without=what, why=why[:300])


def _is_about_schema(error: BadRequestError) -> bool:
    return error.code in _SCHEMA_CODES or _SCHEMA.search(str(error)) is not None


def _says(what: re.Pattern[str], error: BadRequestError) -> bool:
    """Whether a refusal says of something that it is not taken."""
    said = str(error)
    return what.search(said) is not None and _NOT_TAKEN.search(said) is not None


def _is_about(kind: str, error: BadRequestError) -> bool:
    """Whether a refusal says that a kind of form is not taken at all."""
    about = _ABOUT.get(kind)
    if about is None or _is_about_schema(error):
        return False
    said = str(error)
    if kind == "tools" and _WITH_REASONING.search(said):
        return True
    if error.param:
        named = error.param.removeprefix("body.") in _PARAMS[kind]
        refused = _NOT_TAKEN.search(said) is not None or "unsupported" in (error.code or "")
        return named and refused
    return _says(about, error) and not (kind == "tools" and _HISTORY.search(said))
