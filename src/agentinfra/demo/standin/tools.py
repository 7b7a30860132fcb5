"""Chooses the tools a question needs and fills their arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentinfra.demo.standin.conversation import Conversation
from agentinfra.demo.standin.filling import fill_schema
from agentinfra.demo.standin.routing import fallback_option, overlap
from agentinfra.demo.standin.sql import speaks_of_schema
from agentinfra.testing.answers.evidence import Evidence
from agentinfra.testing.answers.words import content_stems, name_stems, root_set
from agentinfra.testing.replies import FunctionCall

__all__ = ["choose_calls"]

_NAME_WEIGHT = 2.0
_ENUM_WEIGHT = 2.0
_SQL_WEIGHT, _NO_SQL = 4.0, -1.0
_GENERIC = root_set(
    """
    get find show list make use run call tool return given function user question answer
    based provide specified value name information data
    """
)


def choose_calls(talk: Conversation, body: Mapping[str, Any]) -> list[FunctionCall]:
    """Return the calls to make for a request, none when its answer is a text.

    A named tool is called, and a required one is: the best. With ``auto`` a tool is called only
    before its result is there and only when it shares a word with the question; a second one is
    called beside the best when its name has a word of the question that the best has not.
    """
    functions = [tool["function"] for tool in body.get("tools") or ()]
    choice = body.get("tool_choice") or "auto"
    if not functions or choice == "none":
        return []
    if isinstance(choice, Mapping):
        name = choice["function"]["name"]
        return [_call(talk, next(f for f in functions if f["name"] == name))]
    if choice == "auto" and talk.results:
        return []
    scores = {function["name"]: _score(talk, function) for function in functions}
    best = max(functions, key=lambda function: scores[function["name"]])
    if scores[best["name"]] <= 0:
        if choice == "auto":
            return []
        described = {
            f["name"]: f.get("description") or ""
            for f in functions
            if scores[f["name"]] == scores[best["name"]]
        }
        name = fallback_option(talk.full_question, described)
        return [_call(talk, next(f for f in functions if f["name"] == name))]
    chosen = [best]
    if body.get("parallel_tool_calls") is not False:
        chosen += _beside(talk, best, functions)
        if len(chosen) == 1:
            return _repeated(talk, best)
    evidence = Evidence(talk.full_question)
    calls = []
    for function in chosen:
        calls.append(_call(talk, function, evidence))
        evidence.again()
    return calls


def _score(talk: Conversation, function: Mapping[str, Any]) -> float:
    question = talk.full_question
    asked = set(content_stems(question)) - _GENERIC
    described = " ".join(
        [function.get("description") or "", *_property_texts(function.get("parameters"))]
    )
    plain = " ".join(word for word in content_stems(described) if word not in _GENERIC)
    score = overlap(" ".join(asked), plain) + overlap(question, described) * 0.01
    score += _NAME_WEIGHT * len(asked & set(name_stems(function["name"])))
    score += _ENUM_WEIGHT * _said_values(function.get("parameters"), question)
    if "sql" in (function.get("parameters") or {}).get("properties", {}):
        text = f"{talk.everything}\n{function.get('description') or ''}"
        score += _SQL_WEIGHT if speaks_of_schema(text, question) else _NO_SQL
    return score


def _property_texts(parameters: Any) -> list[str]:
    properties = (parameters or {}).get("properties") or {}
    return [
        f"{' '.join(name_stems(name))} {inner.get('description') or ''}"
        for name, inner in properties.items()
        if isinstance(inner, Mapping)
    ]


def _said_values(parameters: Any, question: str) -> int:
    evidence = Evidence(question)
    properties = ((parameters or {}).get("properties") or {}).values()
    values = [value for inner in properties if isinstance(inner, Mapping)
              for value in inner.get("enum") or ()]  # fmt: skip
    return sum(1 for value in values if evidence.says(str(value)))


def _beside(
    talk: Conversation, best: Mapping[str, Any], functions: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return tools whose names have a word of the question that no chosen one has."""
    asked = set(content_stems(talk.full_question)) - _GENERIC
    covered = set(name_stems(best["name"]))
    more = []
    for function in functions:
        fresh = (asked & set(name_stems(function["name"]))) - covered
        if fresh and function is not best:
            more.append(function)
            covered |= fresh
    return more


def _repeated(talk: Conversation, function: Mapping[str, Any]) -> list[FunctionCall]:
    """Return one call for each name in a question that lists several for the one argument."""
    first = _call(talk, function)
    required = (function.get("parameters") or {}).get("required") or ()
    names = Evidence(talk.question).listed(names=True)
    if len(names) < 2 or not isinstance(first.arguments, Mapping):
        return [first]
    taken = [key for key in required if first.arguments.get(key) == names[0]]
    if len(taken) != 1 or any(value in names[1:] for value in first.arguments.values()):
        return [first]
    return [
        FunctionCall(name=first.name, arguments={**first.arguments, taken[0]: name})
        for name in names
    ]


def _call(
    talk: Conversation, function: Mapping[str, Any], evidence: Evidence | None = None
) -> FunctionCall:
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    filled = fill_schema(
        talk, schema, described=function.get("description") or "", evidence=evidence
    )
    return FunctionCall(name=function["name"], arguments=filled)
