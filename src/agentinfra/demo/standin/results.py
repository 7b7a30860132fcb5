"""States what a tool or a query returned."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentinfra.demo.standin.conversation import ToolResult
from agentinfra.demo.standin.passages import Passage, best_passages, quote, split_context
from agentinfra.testing.answers.results import ROW_KEYS, parsed, state_result

__all__ = ["state_results"]

_LONG = 300
_TEXT_KEYS = ("text", "content", "page_content", "snippet", "body", "chunk", "passage")
_SOURCE_KEYS = ("source", "path", "file", "url", "document", "title", "id")
_HIT_KEYS = ("hits", "documents", "passages", "chunks", "matches", *ROW_KEYS)


def state_results(question: str, results: Sequence[ToolResult]) -> str:
    """Return an answer that states what the tools returned.

    Rows and objects are read out by column; of documents the sentences nearest to the question
    are quoted with their sources; an error is passed on; a plain text is repeated.
    """
    passages: list[Passage] = []
    stated: list[str] = []
    for result in results:
        found = _passages_in(result.text)
        passages.extend(found)
        if not found:
            stated.append(state_result(result.text))
    if passages:
        stated.append(quote(best_passages(question, passages)))
    return " ".join(stated)


def _passages_in(text: str) -> list[Passage]:
    value = parsed(text)
    if isinstance(value, str):
        marked = [p for p in split_context(text)[0] if p.marker]
        return marked or ([Passage(text=text)] if len(text) > _LONG else [])
    if isinstance(value, dict):
        value = next((value[key] for key in _HIT_KEYS if isinstance(value.get(key), list)), None)
    if not isinstance(value, list) or not value:
        return []
    hits = [_as_passage(hit) for hit in value if isinstance(hit, dict)]
    return [hit for hit in hits if hit is not None] if all(hits) else []


def _as_passage(hit: Mapping[str, Any]) -> Passage | None:
    text = next((hit[key] for key in _TEXT_KEYS if isinstance(hit.get(key), str)), None)
    if text is None:
        return None
    inner = hit.get("metadata")
    places = [hit, inner] if isinstance(inner, dict) else [hit]
    source = next((place[key] for place in places for key in _SOURCE_KEYS if place.get(key)), None)
    if source is None:
        return Passage(text=text)
    marker = f"[{source}]" if re.fullmatch(r"\d+", str(source)) else f"[source: {source}]"
    return Passage(text=text, marker=str(hit["marker"]) if hit.get("marker") else marker)
