"""States what a tool or a query returned."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agentinfra.demo.standin.conversation import ToolResult
from agentinfra.demo.standin.passages import Passage, best_passages, quote, split_context

__all__ = ["state_results"]

_MOST_ROWS = 10
_LONG = 300
_TEXT_KEYS = ("text", "content", "page_content", "snippet", "body", "chunk", "passage")
_SOURCE_KEYS = ("source", "path", "file", "url", "document", "title", "id")
_ROW_KEYS = ("rows", "result", "results", "data", "records", "items")
_HIT_KEYS = ("hits", "documents", "passages", "chunks", "matches", *_ROW_KEYS)


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
            stated.append(_state(_parsed(result.text)))
    if passages:
        stated.append(quote(best_passages(question, passages)))
    return " ".join(stated)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _passages_in(text: str) -> list[Passage]:
    value = _parsed(text)
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


def _state(value: Any) -> str:
    if isinstance(value, dict):
        return _state_object(value)
    if isinstance(value, list):
        return _state_rows(value, ())
    return f"The result is {_shown(value)}."


def _state_object(value: Mapping[str, Any]) -> str:
    if value.get("error"):
        return f"That failed: {_shown(value['error'])}."
    for key in _ROW_KEYS:
        if isinstance(value.get(key), list):
            columns = value.get("columns")
            return _state_rows(value[key], columns if isinstance(columns, list) else ())
    if len(value) == 1:
        return f"The result is {_shown(next(iter(value.values())))}."
    return f"The result is {_pairs(value)}."


def _state_rows(rows: Sequence[Any], columns: Sequence[Any]) -> str:
    if not rows:
        return "There are no results."
    named = [_as_row(row, columns) for row in rows]
    if len(named) == 1:
        only = named[0]
        if len(only) == 1:
            label, value = next(iter(only.items()))
            return f"The answer is {_shown(value)}{_unit(label)}."
        return f"The result is {_pairs(only)}."
    listed = "; ".join(_pairs(row) for row in named[:_MOST_ROWS])
    more = f"; and {len(named) - _MOST_ROWS} more" if len(named) > _MOST_ROWS else ""
    return f"There are {len(named)} results: {listed}{more}."


def _as_row(row: Any, columns: Sequence[Any]) -> Mapping[str, Any]:
    if isinstance(row, dict):
        return row
    values = row if isinstance(row, list) else [row]
    names = [*map(str, columns), *("" for _ in values[len(columns) :])]
    if len(set(names)) < len(names):
        return (
            {str(place): value for place, value in enumerate(values, 1)}
            if len(values) > 1
            else {"": values[0] if values else None}
        )
    return dict(zip(names, values, strict=False))


def _unit(label: str) -> str:
    return f" ({label.replace('_', ' ')})" if label else ""


def _pairs(row: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {_shown(value)}".strip() for name, value in row.items()
    )


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value.strip().rstrip(".")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
