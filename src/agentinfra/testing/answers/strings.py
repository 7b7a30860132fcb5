"""Texts for a schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentinfra.testing.answers.evidence import Evidence
from agentinfra.testing.answers.patterns import fits, text_for
from agentinfra.testing.answers.words import name_stems, root_set

__all__ = ["Wording", "fill_string"]

_QUESTIONS = root_set(
    """
    query question text prompt input message content search q request task sentence keyword
    keywords phrase instruction
    """
)
_ANSWERS = root_set("answer response reply summary result output conclusion statement")
_REASONS = root_set("reason reasoning rationale explanation thought thoughts justification why")
_DATES = root_set("date day start_date end_date time when")
_FORMATS = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "idn-email": "someone@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
}
_FOUND = {
    "email": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "uri": r"https?://[^\s\"'<>)]+",
    "url": r"https?://[^\s\"'<>)]+",
    "date": r"\b\d{4}-\d{2}-\d{2}\b",
    "date-time": r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})",
    "uuid": r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b",
    "ipv4": r"\b(?:\d{1,3}\.){3}\d{1,3}\b",
}


def _nothing(*_: Any) -> None:
    return None


def _first(options: Sequence[str], _: str, default: str | None) -> str:
    return options[0] if default is None else default


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What a schema asks for and the bare question does not hold.

    Attributes:
        answer: Returns the answer in words.
        written: Returns the text of a property by its name and description, None where it is
            taken from the question like any other.
        listed: Returns the texts of an array by its name, None where they are taken from the
            question.
        chosen: Returns one of several options by their description; the third argument is the
            schema's default, None where it has none.
    """

    answer: Callable[[], str]
    written: Callable[[str, str], str | None] = _nothing
    listed: Callable[[str], Sequence[str] | None] = _nothing
    chosen: Callable[[Sequence[str], str, str | None], str] = _first


def fill_string(
    schema: Mapping[str, Any],
    name: str,
    description: str,
    evidence: Evidence,
    wording: Wording,
    *,
    required: bool,
) -> str | None:
    """Return a text for a schema, None for an optional one that nothing speaks for."""
    kind = schema.get("format")
    if kind in _FORMATS:
        return _formatted(kind, schema, evidence, required=required)
    text = _meant(name, description, evidence, wording) or _said(name, evidence, required=required)
    if text is None:
        if not required:
            return None
        default = schema.get("default")
        text = default if isinstance(default, str) else evidence.question
    pattern = schema.get("pattern")
    if pattern and not fits(pattern, text):
        words = [word for word in evidence.question.split() if fits(pattern, word.strip("?.,!"))]
        text = text_for(pattern, *(word.strip("?.,!") for word in words))
    return _sized(text, schema)


def _meant(name: str, description: str, evidence: Evidence, wording: Wording) -> str | None:
    """Return the text for a property whose name says what it is for."""
    roots = frozenset(name_stems(name))
    if (written := wording.written(name, description)) is not None:
        return written
    if roots and roots <= _QUESTIONS:
        return evidence.question
    if roots & _REASONS:
        return f"Chosen by the words of the question: {evidence.question}"
    if roots & _ANSWERS:
        return wording.answer()
    if roots & _DATES:
        return evidence.date()
    return None


def _said(name: str, evidence: Evidence, *, required: bool) -> str | None:
    """Return what the question says for a property."""
    if name and (given := evidence.assigned(name)):
        return given
    return evidence.quoted() or evidence.name(name_stems(name), anywhere=required)


def _formatted(
    kind: str, schema: Mapping[str, Any], evidence: Evidence, *, required: bool
) -> str | None:
    found = evidence.find(_FOUND[kind]) if kind in _FOUND else None
    if found is not None or not required:
        return found
    default = schema.get("default")
    return default if isinstance(default, str) else _FORMATS[kind]


def _sized(text: str, schema: Mapping[str, Any]) -> str:
    longest = schema.get("maxLength")
    text = text.ljust(schema.get("minLength") or 0, ".")
    return text if longest is None else text[:longest]
