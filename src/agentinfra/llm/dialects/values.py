"""Reading one field of what a server sent, whatever it made of it: never an error, never a guess.

Servers differ in what they write where OpenAI writes a text, a number or a list. Each reader here
takes every shape that says the same, and gives the empty value for what says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = [
    "as_arguments",
    "as_list",
    "as_mapping",
    "count",
    "first_text",
    "joined",
    "plain",
    "reasoning_in",
]

_NOTHING: Mapping[str, Any] = {}
_MOST_TOKENS = 1_000_000_000_000
_TEXT_KINDS = frozenset({None, "text", "output_text", "input_text", "summary_text"})
_THOUGHTS = frozenset({"thinking", "reasoning", "reasoning_text", "thought"})


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return an object, the empty one for anything else."""
    # A decoder gives dicts; asking the abstract class takes ten times as long.
    return value if type(value) is dict or isinstance(value, Mapping) else _NOTHING


def as_list(value: Any) -> Sequence[Any]:
    """Return a list; an object alone is a list of one, anything else the empty list."""
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, Mapping) else ()


def count(value: Any) -> int | None:
    """Return a number of tokens or a place; None where it is neither a number nor one as text."""
    if type(value) is int and 0 <= value <= _MOST_TOKENS:
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, int | float) and 0 <= value <= _MOST_TOKENS:
        return int(value)
    return None


def plain(value: Any) -> str:
    """Return an id, a name or a reason as text; numbers become text, all else is empty."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return ""


def joined(value: Any) -> str:
    """Return a text that may come whole, in parts, or as a value that was meant as text.

    Parts that are thoughts, refusals, pictures or sounds are left out.
    """
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, list):
        return "".join(joined(part) for part in value)
    if isinstance(value, Mapping):
        kind = value.get("type")
        if kind is not None and (not isinstance(kind, str) or kind not in _TEXT_KINDS):
            return ""
        return joined(first_text(value, "text", "content", "value"))
    return plain(value)


def first_text(value: Mapping[str, Any], *names: str) -> Any:
    """Return the first of some fields that holds something, None where none does."""
    for name in names:
        if (found := value.get(name)) not in (None, "", [], {}):
            return found
    return None


def reasoning_in(value: Any) -> str:
    """Return what is thought in a list of content parts (Mistral, Anthropic's shape)."""
    if not isinstance(value, list):
        return ""
    thoughts = (p for p in value if isinstance(p, Mapping) and plain(p.get("type")) in _THOUGHTS)
    names = ("thinking", "reasoning", "text", "content")
    return "".join(joined(first_text(part, *names)) for part in thoughts)


def as_arguments(value: Any) -> str:
    """Return a call's arguments as text; some servers send the object itself."""
    if isinstance(value, Mapping | list):
        return msgspec.json.encode(value).decode()
    return plain(value)
