"""A request as the default answer reads it: messages, function tools, a response format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["plain_chat"]


def plain_chat(body: dict[str, Any]) -> dict[str, Any]:
    """Return a chat request with nothing in it but functions to call.

    Custom tools are left out, and a list of allowed tools becomes the tools there are.
    """
    tools, choice = body.get("tools"), body.get("tool_choice")
    plain = all(tool.get("type") == "function" for tool in tools or ())
    if plain and not (isinstance(choice, Mapping) and choice.get("type") != "function"):
        return body
    kept = [tool for tool in tools or () if tool.get("type") == "function"]
    mode: Any = choice
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        allowed = choice["allowed_tools"]
        names = [(tool.get("function") or {}).get("name") for tool in allowed["tools"]]
        kept = [tool for tool in kept if tool["function"]["name"] in names]
        mode = allowed["mode"]
    elif isinstance(choice, Mapping) and choice.get("type") != "function":
        mode = None
    changed = {k: v for k, v in body.items() if k not in ("tools", "tool_choice")}
    if kept:
        changed["tools"] = kept
        if mode is not None:
            changed["tool_choice"] = mode
    return changed
