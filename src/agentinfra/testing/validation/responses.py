"""Responses requests that OpenAI refuses are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentinfra.testing.outcome import RefusedError
from agentinfra.testing.validation.chat import check_bounds, check_name, refusal_of
from agentinfra.testing.validation.parameters import check_parameters
from agentinfra.testing.validation.schemas import check_schema
from agentinfra.testing.validation.words import invalid_value, too_long

__all__ = ["check_responses", "check_turns"]

_BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_logprobs": (0, 20),
    "max_output_tokens": (16, None),
    "max_tool_calls": (1, None),
}
_MOST_TOOLS = 128
_SOURCES = ("input", "previous_response_id", "prompt", "conversation")
_CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}


def check_responses(body: Mapping[str, Any], *, counted: bool = False) -> None:
    """Check a request for a response, or for its count of tokens.

    Raises:
        RefusedError: OpenAI would answer 400.
    """
    check_parameters("responses.input_tokens" if counted else "responses", body)
    if not any(body.get(name) for name in _SOURCES):
        raise RefusedError(
            'One of "input" or "previous_response_id" or "prompt" or "conversation" must be '
            "provided.",
            param="input",
            code="missing_required_parameter",
        )
    check_bounds(body, _BOUNDS)
    if body.get("previous_response_id") is not None and body.get("conversation") is not None:
        raise invalid_value(
            "previous_response_id", "it cannot be given together with 'conversation'"
        )
    if body.get("stream_options") is not None and not body.get("stream"):
        raise invalid_value("stream_options", "only allowed when 'stream' is true")
    if body.get("background") and body.get("store") is False:
        raise invalid_value("background", "it requires 'store' to be true")
    _check_tools(body)
    form = (body.get("text") or {}).get("format")
    if form is not None and form["type"] == "json_schema":
        check_name(form["name"], "text", "format", "name")
        check_schema(
            form["schema"],
            f"response_format '{form['name']}'",
            "text.format.schema",
            strict=bool(form.get("strict")),
        )
    if form is not None and form["type"] == "json_object" and "json" not in str(body).lower():
        raise RefusedError(
            "Response input messages must contain the word 'json' in some form to use "
            "'text.format' of type 'json_object'.",
            param="input",
        )


def check_turns(items: Sequence[Mapping[str, Any]]) -> None:
    """Check that every call has its output, and every output its call.

    Raises:
        RefusedError: One is there without the other.
    """
    for kind, output in _CALLS.items():
        open_calls: dict[str, None] = {}
        for item in items:
            if item.get("type") == kind:
                open_calls[item["call_id"]] = None
            elif item.get("type") == output:
                # An output without the id of its call is that of the oldest call.
                name = item.get("call_id") or next(iter(open_calls), None)
                if name not in open_calls:
                    raise RefusedError(
                        f"No tool call found for function call output with call_id {name}.",
                        param="input",
                    )
                open_calls.pop(name)
        if open_calls:
            raise RefusedError(
                f"No tool output found for function call {next(iter(open_calls))}.", param="input"
            )


def _check_tools(body: Mapping[str, Any]) -> None:
    tools, choice = body.get("tools") or (), body.get("tool_choice")
    if len(tools) > _MOST_TOOLS:
        raise refusal_of(too_long(_MOST_TOOLS, len(tools)), "tools")
    if choice == "required" and not tools:
        raise invalid_value(
            "tool_choice", "Tool choice 'required' must be specified with 'tools' parameter"
        )
    names = []
    for place, tool in enumerate(tools):
        if tool["type"] not in ("function", "custom"):
            continue
        check_name(tool["name"], "tools", place, "name")
        names.append(tool["name"])
        if tool.get("parameters") is not None:
            check_schema(
                tool["parameters"],
                f"function '{tool['name']}'",
                f"tools[{place}].parameters",
                strict=bool(tool.get("strict")),
            )
    if not isinstance(choice, dict):
        return
    chosen = choice["tools"] if choice["type"] == "allowed_tools" else [choice]
    for one in chosen:
        if one.get("type") in ("function", "custom") and one.get("name") not in names:
            named = one.get("name")
            raise invalid_value("tool_choice", f"Tool choice '{named}' not found in 'tools'")
