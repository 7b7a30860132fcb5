"""A Responses request as chat would have it, so that both get the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["as_chat", "as_items"]

_ROLES = frozenset({"user", "assistant", "system", "developer"})


def as_items(given: Any) -> list[dict[str, Any]]:
    """Return an input as a list of items; a text is one message."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return list(given or ())


def as_chat(body: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a chat request that asks for the same.

    Args:
        body: The request.
        items: All items of the conversation, earlier ones too.
    """
    messages: list[dict[str, Any]] = []
    if isinstance(body.get("instructions"), str):
        messages.append({"role": "system", "content": body["instructions"]})
    for item in items:
        _add(messages, item)
    chat: dict[str, Any] = {"model": body.get("model"), "messages": messages}
    tools = [_tool(tool) for tool in body.get("tools") or () if tool["type"] == "function"]
    if tools:
        chat["tools"] = tools
        if (choice := _choice(body.get("tool_choice"), chat)) is not None:
            chat["tool_choice"] = choice
    form = (body.get("text") or {}).get("format")
    if form is not None:
        named = {key: value for key, value in form.items() if key != "type"}
        chat["response_format"] = {
            "type": form["type"],
            **({"json_schema": named} if form["type"] == "json_schema" else {}),
        }
    if body.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    return chat


def _add(messages: list[dict[str, Any]], item: Mapping[str, Any]) -> None:
    kind = item.get("type", "message")
    if kind == "message" and item.get("role") in _ROLES:
        messages.append({"role": item["role"], "content": _content(item["content"])})
    elif kind == "function_call":
        function = {"name": item["name"], "arguments": item["arguments"]}
        call = {"id": item["call_id"], "type": "function", "function": function}
        if messages and messages[-1].get("tool_calls"):
            messages[-1]["tool_calls"].append(call)
        else:
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    elif kind == "function_call_output":
        message = {"role": "tool", "tool_call_id": item.get("call_id")}
        messages.append({**message, "content": _content(item["output"])})


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    text = part.get("text", part.get("refusal"))
    if isinstance(text, str):
        return {"type": "text", "text": text}
    return {"type": str(part.get("type")).removeprefix("input_")}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}


def _choice(choice: Any, chat: dict[str, Any]) -> Any:
    """Return how tools are chosen; where only some are allowed, the others go."""
    if not isinstance(choice, Mapping):
        return choice
    if choice["type"] == "allowed_tools":
        names = [tool.get("name") for tool in choice["tools"]]
        chat["tools"] = [tool for tool in chat["tools"] if tool["function"]["name"] in names]
        return choice["mode"]
    if choice["type"] == "function":
        return {"type": "function", "function": {"name": choice["name"]}}
    return None
