"""Chat and embeddings requests that OpenAI refuses are refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from agentinfra.testing.outcome import RefusedError
from agentinfra.testing.replies import text_of
from agentinfra.testing.validation.parameters import check_parameters
from agentinfra.testing.validation.schemas import check_schema
from agentinfra.testing.validation.words import (
    Mismatch,
    empty_array,
    invalid_value,
    missing,
    out_of_bounds,
    too_long,
)

__all__ = [
    "check_bounds",
    "check_chat",
    "check_embeddings",
    "check_loosely",
    "check_model",
    "check_name",
    "refusal_of",
]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_INPUTS = 2048
_MOST_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 0,
}
_MOST_OF_ANY = 16_384
_MOST_STOPS = 4
_MOST_TOOLS = 128
_BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "n": (1, 128),
    "max_tokens": (1, None),
    "max_completion_tokens": (1, None),
    "top_logprobs": (0, 20),
}
_ONLY_WITH_TOOLS = ("tool_choice", "parallel_tool_calls")
_PLAIN = frozenset({"model", "messages", "stream"})


def refusal_of(mismatch: Mismatch, *steps: str | int) -> RefusedError:
    """Return the refusal of a value at a place."""
    for step in reversed(steps):
        mismatch.below(step)
    return mismatch.refusal()


def check_model(body: Any, known: Collection[str] | None) -> str:
    """Return the model a request asks for.

    Raises:
        RefusedError: There is none, or the server does not have it.
    """
    if not isinstance(body, dict):
        raise RefusedError("We could not parse the JSON body of your request: send an object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RefusedError("you must provide a model parameter", param="model")
    if known is not None and model not in known:
        raise RefusedError(
            f"The model `{model}` does not exist or you do not have access to it.",
            status=404,
            code="model_not_found",
        )
    return model


def check_loosely(body: Mapping[str, Any]) -> None:
    """Check of a chat request what servers that know no parameters by type check.

    Raises:
        RefusedError: There are no messages with roles.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refusal_of(missing("messages"))
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise refusal_of(missing("role"), "messages", place)
    for name in ("max_tokens", "max_completion_tokens", "n"):
        given = body.get(name)
        if given is not None and (type(given) is not int or given < 1):
            raise invalid_value(name, "give a whole number from 1 up")


def check_chat(body: Mapping[str, Any]) -> None:
    """Check a chat request.

    Raises:
        RefusedError: OpenAI would answer 400.
    """
    check_parameters("chat", body)
    messages = body["messages"]
    if not messages:
        raise refusal_of(empty_array(), "messages")
    _check_turns(messages)
    if body.keys() <= _PLAIN:
        return
    check_bounds(body, _BOUNDS)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise invalid_value("stream_options", "only allowed when 'stream' is true")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise RefusedError(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            param="max_tokens",
            code="invalid_parameter_combination",
        )
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > _MOST_STOPS:
        raise refusal_of(too_long(_MOST_STOPS, len(stop)), "stop")
    _check_tools(body)
    if body.get("response_format") is not None:
        _check_format(body["response_format"], messages)


def check_bounds(
    body: Mapping[str, Any], bounds: Mapping[str, tuple[float | None, float | None]]
) -> None:
    """Check numbers whose types are right.

    Raises:
        RefusedError: One is too small or too large.
    """
    for name, (low, high) in bounds.items():
        value = body.get(name)
        if value is None:
            continue
        if (low is not None and value < low) or (high is not None and value > high):
            raise refusal_of(out_of_bounds(value, low, high), name)


def check_embeddings(body: Mapping[str, Any], *, strict: bool = True) -> list[str | list[int]]:
    """Check an embeddings request.

    Args:
        body: The request.
        strict: Whether it has to be as OpenAI's own types say.

    Returns:
        Its inputs, each a text or a list of tokens.

    Raises:
        RefusedError: OpenAI would answer 400.
    """
    inputs = _as_inputs(body.get("input"))
    if not inputs or len(inputs) > _MAX_INPUTS or not all(map(_is_input, inputs)):
        raise RefusedError(
            "'$.input' is invalid: send a text, a list of up to 2048 texts, or token lists, "
            "none of them empty.",
            param="input",
        )
    if strict:
        check_parameters("embeddings", body)
    size, most = body.get("dimensions"), _MOST_DIMENSIONS.get(body["model"])
    if size is not None and most == 0:
        raise invalid_value("dimensions", "this model does not support specifying dimensions")
    check_bounds(body, {"dimensions": (1, most or _MOST_OF_ANY)})
    return inputs


def check_name(name: str, *where: str | int) -> None:
    """Check the name of a function or a schema.

    Raises:
        RefusedError: It has other characters than it may have, or too many.
    """
    if _NAME.fullmatch(name) is None:
        message = (
            "Invalid '{}': string does not match pattern. Expected a string that matches the "
            "pattern '^[a-zA-Z0-9_-]+$' of at most 64 characters."
        )
        raise refusal_of(Mismatch(message, "invalid_value"), *where)


def _as_inputs(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        return []
    return [given] if given and isinstance(given[0], int) else given


def _is_input(item: Any) -> bool:
    if isinstance(item, str):
        return item != ""
    return isinstance(item, list) and bool(item) and all(type(token) is int for token in item)


def _check_turns(messages: list[dict[str, Any]]) -> None:
    open_calls: dict[str, None] = {}
    for place, message in enumerate(messages):
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in open_calls:
                raise RefusedError(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceding message with 'tool_calls'.",
                    param=f"messages.[{place}].role",
                )
            del open_calls[message["tool_call_id"]]
            continue
        _check_answered(open_calls, place)
        if role == "assistant":
            open_calls = _calls_of(message, place)
    _check_answered(open_calls, len(messages))


def _calls_of(message: Mapping[str, Any], place: int) -> dict[str, None]:
    calls = message.get("tool_calls")
    if calls is not None and not calls:
        raise refusal_of(empty_array(), "messages", place, "tool_calls")
    said = any(message.get(key) for key in ("function_call", "refusal", "audio"))
    if message.get("content") is None and not calls and not said:
        raise refusal_of(missing("content"), "messages", place)
    return dict.fromkeys(call["id"] for call in calls or ())


def _check_answered(open_calls: Collection[str], place: int) -> None:
    if open_calls:
        raise RefusedError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(open_calls),
            param=f"messages.[{place}].role",
        )


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    if tools is None:
        for name in _ONLY_WITH_TOOLS:
            if body.get(name) not in (None, "none"):
                raise invalid_value(name, f"'{name}' is only allowed when 'tools' are specified")
        return
    if not tools:
        raise refusal_of(empty_array(), "tools")
    if len(tools) > _MOST_TOOLS:
        raise refusal_of(too_long(_MOST_TOOLS, len(tools)), "tools")
    names = {_check_tool(tool, place) for place, tool in enumerate(tools)}
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        return
    chosen = choice["allowed_tools"]["tools"] if choice["type"] == "allowed_tools" else [choice]
    for tool in chosen:
        described = tool.get(str(tool.get("type")))
        named = described.get("name") if isinstance(described, dict) else None
        if not isinstance(named, str) or named not in names:
            raise invalid_value("tool_choice", f"Tool choice '{named}' not found in 'tools'")


def _check_tool(tool: Mapping[str, Any], place: int) -> str:
    kind = tool["type"]
    described = tool[kind]
    name: str = described["name"]
    check_name(name, "tools", place, kind, "name")
    if "parameters" in described:
        check_schema(
            described["parameters"],
            f"function '{name}'",
            f"tools[{place}].function.parameters",
            strict=bool(described.get("strict")),
        )
    return name


def _check_format(form: Mapping[str, Any], messages: list[dict[str, Any]]) -> None:
    if form["type"] == "json_object" and not any("json" in text_of(m).lower() for m in messages):
        raise RefusedError(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of "
            "type 'json_object'.",
            param="messages",
        )
    if form["type"] != "json_schema":
        return
    named = form["json_schema"]
    check_name(named["name"], "response_format", "json_schema", "name")
    if named.get("schema") is not None:
        check_schema(
            named["schema"],
            f"response_format '{named['name']}'",
            "response_format",
            strict=bool(named.get("strict")),
        )
