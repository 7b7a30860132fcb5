"""Messages of a chat as items of the Responses API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentinfra.llm.dialects.request import OUTPUT
from agentinfra.llm.dialects.values import as_arguments, as_list, as_mapping, joined, plain

__all__ = ["input_items"]

_OWN = ("custom_tool_call", "function_call", "message", "reasoning")
"""Items of which no field has to be there as null, as some of built-in tools have to."""


def input_items(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a conversation as input: turns of this API as they came, all else translated."""
    items: list[Mapping[str, Any]] = []
    custom: set[str] = set()
    for message in messages:
        items += _items(message, custom)
    return items


def _items(message: Mapping[str, Any], custom: set[str]) -> Iterable[Mapping[str, Any]]:
    role = message.get("role")
    given = message.get(OUTPUT)
    if role == "assistant" and isinstance(given, list) and given:
        custom |= {
            plain(item.get("call_id"))
            for item in map(as_mapping, given)
            if item.get("type") == "custom_tool_call"
        }
        return map(_without_nulls, given)
    if "type" in message and (role is None or message["type"] != "message"):
        return (message,)  # an item already
    if role == "assistant":
        return _turn(message, custom)
    if role in ("tool", "function"):
        return (_result(message, custom),)
    return ({"role": role, "content": _content(message.get("content"))},)


def _without_nulls(item: Any) -> Any:
    """Return an item as it came, but for fields of nothing.

    Proxies write every field they know into what they pass on; back at OpenAI a null is of the
    wrong type.
    """
    own = isinstance(item, dict) and item.get("type") in _OWN and None in item.values()
    return {name: value for name, value in item.items() if value is not None} if own else item


def _turn(message: Mapping[str, Any], custom: set[str]) -> list[Mapping[str, Any]]:
    items: list[Mapping[str, Any]] = []
    text = joined(message.get("content")) or joined(message.get("refusal"))
    if text:
        # Its type may be left out at OpenAI's, but llama.cpp's server goes by it.
        items.append({"type": "message", "role": "assistant", "content": text})
    for call in map(as_mapping, as_list(message.get("tool_calls"))):
        if (own := as_mapping(call.get("custom"))) or call.get("type") == "custom":
            custom.add(plain(call.get("id")))
            items.append(
                {
                    "type": "custom_tool_call",
                    "call_id": plain(call.get("id")),
                    "name": plain(own.get("name")),
                    "input": plain(own.get("input")),
                }
            )
        else:
            function = as_mapping(call.get("function"))
            items.append(_call(plain(call.get("id")), function))
    if older := as_mapping(message.get("function_call")):
        items.append(_call(plain(older.get("name")), older))
    return items


def _call(call_id: str, function: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": plain(function.get("name")),
        "arguments": as_arguments(function.get("arguments")),
    }


def _result(message: Mapping[str, Any], custom: set[str]) -> Mapping[str, Any]:
    call_id = plain(message.get("tool_call_id")) or plain(message.get("name"))
    kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
    return {"type": kind, "call_id": call_id, "output": _content(message.get("content"))}


def _content(content: Any) -> Any:
    if isinstance(content, list):
        return [_part(part) for part in content]
    return "" if content is None else content


def _part(part: Any) -> Any:
    """Return a part of a message in the words of this API; what it has none for stays as it is."""
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    if not isinstance(part, Mapping):
        return part
    kind = part.get("type")
    if kind == "text":
        rest = {k: v for k, v in part.items() if k == "prompt_cache_breakpoint"}
        return {"type": "input_text", "text": part.get("text", ""), **rest}
    if kind == "image_url":
        image = part.get("image_url")
        if not isinstance(image, Mapping):
            image = {"url": image}
        detail = image.get("detail") or "auto"
        return {"type": "input_image", "image_url": image.get("url"), "detail": detail}
    if kind == "file":
        return {"type": "input_file", **as_mapping(part.get("file"))}
    if kind == "refusal":
        return {"type": "input_text", "text": part.get("refusal", "")}
    return part
