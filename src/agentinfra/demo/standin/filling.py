"""Fills a schema from a conversation: arguments of a tool, structured answers, plain JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from agentinfra.demo.standin.conversation import Conversation
from agentinfra.demo.standin.passages import best_passages
from agentinfra.demo.standin.routing import choose_option, describe_options
from agentinfra.demo.standin.sql import plan_sql
from agentinfra.demo.standin.text import answer_in_text
from agentinfra.testing.answers.evidence import Evidence
from agentinfra.testing.answers.schema import Filler, Spot
from agentinfra.testing.answers.strings import Wording
from agentinfra.testing.answers.words import name_stems, root_set, tokens

__all__ = ["fill_schema", "json_answer", "schema_in_prompt"]

_KEY = re.compile(r"[\"'`](\w+)[\"'`]\s*:")
_KEYS = re.compile(
    r"\b(?:keys?|fields?|properties)\b[:\s]+((?:(?:and|,|\s|the)*[\"'`]?\w+[\"'`]?)+)"
)
_CITATIONS = root_set("sources source citations citation references")
_QUESTIONS = root_set(
    """
    query question text prompt input message content search q request task sentence keyword
    keywords phrase instruction
    """
)
_QUOTED_WORD = re.compile(r"[\"'`](\w+)[\"'`]")


def fill_schema(
    talk: Conversation,
    schema: Mapping[str, Any],
    *,
    described: str = "",
    evidence: Evidence | None = None,
) -> Any:
    """Return a value for a schema, filled from a conversation.

    Args:
        talk: The conversation.
        schema: The schema; references point into it.
        described: What is said about it; a database schema may stand there too.
        evidence: What is left of the question's evidence; None: all of it.
    """
    evidence = evidence or Evidence(talk.full_question)
    filler = Filler(schema, evidence, _wording(talk, described))
    return filler.fill(schema, Spot(description=described))


def _wording(talk: Conversation, described: str) -> Wording:
    """Return what a conversation says where a schema asks for more than the question holds."""

    def written(name: str, description: str) -> str | None:
        roots = frozenset(name_stems(name))
        if "sql" in roots or (roots & _QUESTIONS and "sql" in tokens(description)):
            return plan_sql(f"{talk.everything}\n{described}", talk.chain) or "SELECT 1"
        return None

    def listed(name: str) -> list[str] | None:
        return _citations(talk) if _CITATIONS & set(name_stems(name)) else None

    def chosen(names: Sequence[str], description: str, default: str | None) -> str:
        options = describe_options(names, description, described, talk.instructions)
        return choose_option(talk.full_question, options, default)

    return Wording(
        answer=lambda: answer_in_text(talk), written=written, listed=listed, chosen=chosen
    )


def json_answer(talk: Conversation) -> Any:
    """Return a JSON object for a request that asks for one without giving a schema.

    A JSON schema quoted in the prompt is filled; else the keys the prompt names get the answer;
    else the object is ``{"answer": ...}``.
    """
    schema = schema_in_prompt(talk.everything)
    if schema is None:
        names = _KEY.findall(talk.everything) or _named_keys(talk.everything)
        properties: dict[str, Any] = {name: {} for name in dict.fromkeys(names)} or {"answer": {}}
        schema = {"type": "object", "properties": properties, "required": list(properties)}
    return fill_schema(talk, schema)


def schema_in_prompt(text: str) -> dict[str, Any] | None:
    """Return the JSON schema of an object quoted in a text, None where there is none."""
    for value in _objects(text):
        inner = value.get("schema")
        schema: dict[str, Any] = inner if isinstance(inner, dict) else value
        if isinstance(schema.get("properties"), dict):
            return schema
    return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text, outermost first."""
    start = text.find("{")
    while start >= 0:
        end = _closing(text, start)
        try:
            value = orjson.loads(text[start:end])
        except orjson.JSONDecodeError:
            start = text.find("{", start + 1)
            continue
        yield value
        start = text.find("{", end)


def _closing(text: str, start: int) -> int:
    """Return the place after the brace that closes the one at ``start``."""
    depth, quoted, place = 0, False, start
    while place < len(text):
        character = text[place]
        if quoted:
            place += character == "\\"
            quoted = character != '"'
        elif character == '"':
            quoted = True
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return place + 1
        place += 1
    return len(text)


def _named_keys(text: str) -> list[str]:
    match = _KEYS.search(text)
    return _QUOTED_WORD.findall(match[1]) if match else []


def _citations(talk: Conversation) -> list[str]:
    found = best_passages(talk.full_question, talk.passages)
    markers = [re.sub(r"^\[(?:source:\s*)?|\]$", "", p.marker) for p in found if p.marker]
    return list(dict.fromkeys(markers))
