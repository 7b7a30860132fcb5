"""The events of a stream merged into the answer they would have been, unknown fields included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentinfra.errors import LLMResponseError
from agentinfra.llm.dialects.encoding import REFUSED, decode
from agentinfra.llm.dialects.toolcalls import CallPieces
from agentinfra.llm.dialects.values import as_arguments, as_list, as_mapping, count

__all__ = ["Merged", "said_by"]

_GROWING = frozenset(
    {
        "content",
        "reasoning_content",
        "reasoning",
        "refusal",
        "text",
        "thinking",
        "summary",
        "transcript",
        "arguments",
        "input",
    }
)
"""Texts that come piece by piece; every other field is said once, or again as it stands."""

_PENDING = 256_000
"""Bytes of events kept as they came; beyond them they are merged, so that a long answer does not
hold its events ten times over."""


class Merged:
    """Keeps the events of a stream and merges them when somebody asks for the whole."""

    __slots__ = ("_calls", "_choices", "_pending", "_size", "_top")

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._size = 0
        self._top: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._calls: dict[int, tuple[CallPieces, list[dict[str, Any]]]] = {}

    def keep(self, event: bytes) -> None:
        """Keep one event."""
        self._pending.append(event)
        self._size += len(event)
        if self._size > _PENDING:
            self._merge()

    def data(self) -> dict[str, Any]:
        """Return the answer so far, as one body of Chat Completions."""
        self._merge()
        choices = [self._choices[index] for index in sorted(self._choices)]
        return {**self._top, "object": "chat.completion", "choices": choices}

    def _merge(self) -> None:
        pending, self._pending, self._size = self._pending, [], 0
        for event in pending:
            try:
                body = decode(event)
            except (LLMResponseError, *REFUSED):  # it broke the stream, and has been said so
                continue
            self._add(as_mapping(body))

    def _add(self, body: Mapping[str, Any]) -> None:
        for name, value in body.items():
            if name != "choices" and value is not None:
                self._top[name] = value
        for place, given in enumerate(as_list(body.get("choices"))):
            choice = as_mapping(given)
            found = count(choice.get("index"))
            index = place if found is None else found
            into = self._choices.setdefault(index, {"index": index, "message": {}})
            begun = bool(into["message"].get("content"))
            for name, value in said_by(choice, begun=begun).items():
                if name in ("delta", "message"):
                    self._add_message(index, into["message"], value)
                elif name == "logprobs" and isinstance(value, Mapping):
                    _grow(into, name, value)
                elif value is not None or name not in into:
                    into[name] = value

    def _add_message(self, index: int, message: dict[str, Any], given: Any) -> None:
        if isinstance(given, str):
            given = {"content": given}
        for name, value in as_mapping(given).items():
            if name == "tool_calls":
                calls, kept = self._calls.setdefault(index, (CallPieces(), []))
                for piece in as_list(value):
                    _add_call(calls, kept, as_mapping(piece))
                if kept:
                    message["tool_calls"] = kept
            elif name == "audio" and isinstance(value, Mapping):
                sound = message.setdefault("audio", {})
                for key, part in value.items():
                    _grow(sound, key, part, also=("data",))
            else:
                _grow(message, name, value)
        message.setdefault("role", "assistant")


def said_by(choice: Mapping[str, Any], *, begun: bool) -> Mapping[str, Any]:
    """Return a choice of an event without what it only repeats.

    Some servers send the whole message along with the last piece, or with none of its own.

    Args:
        choice: The choice as it came.
        begun: Whether pieces of its text have come before.
    """
    if "message" in choice and (begun or as_mapping(choice.get("delta"))):
        return {name: value for name, value in choice.items() if name != "message"}
    return choice


def _add_call(calls: CallPieces, kept: list[dict[str, Any]], piece: Mapping[str, Any]) -> None:
    place = calls.add(piece).index
    while len(kept) <= place:
        kept.append({})
    into = kept[place]
    for name, value in piece.items():
        if name in ("function", "custom") and isinstance(value, Mapping):
            inner = into.setdefault(name, {})
            for key, part in value.items():
                as_text = key in ("arguments", "input", "parameters")
                _grow(inner, key, as_arguments(part) if as_text else part, also=("parameters",))
        elif name != "index" and (value not in (None, "") or name not in into):
            into[name] = value
    if "function" in into:
        into.setdefault("type", "function")


def _grow(into: dict[str, Any], name: str, value: Any, also: tuple[str, ...] = ()) -> None:
    """Put a new piece of a field behind what is there of it."""
    before = into.get(name)
    if value is None:
        into.setdefault(name, None)
    elif isinstance(value, str) and isinstance(before, str) and (name in _GROWING or name in also):
        into[name] = before + value
    elif isinstance(value, list) and isinstance(before, list):
        _grow_list(before, value)
    elif isinstance(value, list) and isinstance(before, str) and before:
        into[name] = [{"type": "text", "text": before}]
        _grow_list(into[name], value)
    elif isinstance(value, str) and isinstance(before, list):
        _grow_list(before, [{"type": "text", "text": value}])
    elif isinstance(value, Mapping) and isinstance(before, dict):
        for key, part in value.items():
            _grow(before, key, part)
    else:
        into[name] = _own(value)


def _grow_list(before: list[Any], more: list[Any]) -> None:
    """Join parts: one of the same index, or the next of the same kind, goes on."""
    for part in more:
        last = before[-1] if before else None
        if isinstance(part, Mapping) and "index" in part:
            same = (p for p in before if isinstance(p, dict) and p.get("index") == part["index"])
            last = next(same, None)
            goes_on = last is not None
        else:
            kind = part.get("type") if isinstance(part, Mapping) else None
            goes_on = isinstance(last, dict) and kind in ("text", "thinking", "reasoning.text")
            goes_on = goes_on and isinstance(last, dict) and last.get("type") == kind
        if goes_on and isinstance(last, dict):
            for key, value in part.items():
                _grow(last, key, value)
        else:
            before.append(_own(part))


def _own(value: Any) -> Any:
    """Return a value that later pieces may be added to."""
    if isinstance(value, Mapping):
        return {key: _own(part) for key, part in value.items()}
    return [_own(part) for part in value] if isinstance(value, list) else value
