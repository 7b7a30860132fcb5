"""An approximate token count that anybody can do in the head.

A text has one token per four characters, rounded up. A message costs four tokens besides its
text, a whole prompt three, an image 85, the definition of a tool what its JSON costs as text. No
tokenizer gives these figures; they are close enough for budgets and the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

__all__ = ["CHARACTERS_PER_TOKEN", "count_input", "count_prompt", "count_text"]

CHARACTERS_PER_TOKEN = 4
_PER_MESSAGE = 4
_PER_PROMPT = 3
_PER_IMAGE = 85


def count_text(text: str) -> int:
    """Return the tokens of a text, 0 for an empty one."""
    return (len(text) + CHARACTERS_PER_TOKEN - 1) // CHARACTERS_PER_TOKEN


def count_prompt(body: Mapping[str, Any]) -> int:
    """Return the prompt tokens of a chat request: its messages, tools and response schema."""
    total = _PER_PROMPT + sum(map(_count_message, body["messages"]))
    if tools := body.get("tools"):
        total += count_text(orjson.dumps(tools).decode())
    if form := body.get("response_format"):
        total += count_text(orjson.dumps(form).decode())
    return total


def count_input(texts: Iterable[str | Sequence[int]]) -> int:
    """Return the tokens of an embeddings request, at least one for each text."""
    return sum(max(1, count_text(text)) if isinstance(text, str) else len(text) for text in texts)


def _count_message(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    total = _PER_MESSAGE
    if isinstance(content, str):
        total += count_text(content)
    elif content:
        total += sum(map(_count_part, content))
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        total += count_text(function.get("name") or "")
        total += count_text(function.get("arguments") or "")
    return total


def _count_part(part: Mapping[str, Any]) -> int:
    text = part.get("text")
    return count_text(text) if isinstance(text, str) else _PER_IMAGE
