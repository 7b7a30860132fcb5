"""Conversations in the shape that OpenTelemetry's conventions for generative AI give them.

Sounds and pictures are named, not copied: an attribute of megabytes makes collectors refuse the
whole batch it comes in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from agentinfra.llm.dialects.values import as_list, as_mapping, joined, plain

if TYPE_CHECKING:
    from agentinfra.results import Choice

__all__ = ["input_messages", "output_messages", "tool_definitions"]

_ROLES = {"developer": "system", "function": "tool"}
_FINISHES = {"tool_calls": "tool_call", "function_call": "tool_call", None: "error"}


def input_messages(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return what is asked, as the value of ``gen_ai.input.messages``."""
    return _json([_message(message) for message in messages])


def output_messages(choices: Iterable[Choice]) -> str:
    """Return what was answered, as the value of ``gen_ai.output.messages``."""
    return _json(
        [
            {
                **_message({"role": "assistant", **choice.message}, reasoning=choice.reasoning),
                "finish_reason": _FINISHES.get(choice.finish_reason, choice.finish_reason),
            }
            for choice in choices
        ]
    )


def tool_definitions(tools: Iterable[Any]) -> str:
    """Return the tools on offer, as the value of ``gen_ai.tool.definitions``."""
    return _json([_tool(as_mapping(tool)) for tool in tools])


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _message(message: Mapping[str, Any], *, reasoning: str = "") -> dict[str, Any]:
    role = plain(message.get("role")) or "user"
    if role in ("tool", "function"):
        answer = {
            "type": "tool_call_response",
            "id": plain(message.get("tool_call_id")) or None,
            "response": joined(message.get("content")),
        }
        return {"role": "tool", "parts": [answer]}
    parts = [{"type": "reasoning", "content": reasoning}] if reasoning else []
    parts += _parts(message.get("content"))
    if refusal := joined(message.get("refusal")):
        parts.append({"type": "refusal", "content": refusal})
    parts += [_call(as_mapping(call)) for call in as_list(message.get("tool_calls"))]
    shown: dict[str, Any] = {"role": _ROLES.get(role, role), "parts": parts}
    if name := plain(message.get("name")):
        shown["name"] = name
    return shown


def _parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    return [_part(as_mapping(part)) for part in as_list(content)]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = plain(part.get("type"))
    if kind in ("image_url", "input_image"):
        given = part.get("image_url")
        url = plain(given) or plain(as_mapping(given).get("url"))
        if url.startswith("data:"):
            kept, _, data = url.partition(",")
            return {"type": "uri", "modality": "image", "uri": kept, "characters": len(data)}
        return {"type": "uri", "modality": "image", "uri": url}
    if kind == "input_audio":
        sound = as_mapping(part.get("input_audio"))
        size = len(plain(sound.get("data")))
        kept = f"data:audio/{plain(sound.get('format')) or 'wav'}"
        return {"type": "uri", "modality": "audio", "uri": kept, "characters": size}
    if kind in ("file", "input_file"):
        file = as_mapping(part.get("file")) or part
        return {"type": "file_part", "filename": plain(file.get("filename"))}
    text = joined(part)
    return {"type": "text", "content": text} if text else {"type": kind or "unknown"}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    custom = as_mapping(call.get("custom"))
    function = as_mapping(call.get("function")) or custom
    given = function.get("input") if custom else function.get("arguments")
    try:
        arguments = msgspec.json.decode(given) if isinstance(given, str) else given
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        arguments = given
    return {
        "type": "tool_call",
        "id": plain(call.get("id")) or None,
        "name": plain(function.get("name")),
        "arguments": arguments,
    }


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = plain(tool.get("type")) or "function"
    function = as_mapping(tool.get(kind)) or tool
    shown: dict[str, Any] = {"type": kind, "name": plain(function.get("name")) or kind}
    for name in ("description", "parameters"):
        if name in function:
            shown[name] = function[name]
    return shown
