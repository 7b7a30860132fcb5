"""Requests OpenAI would refuse are refused here in the same shape."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from agentinfra.testing.outcome import RefusedError
from agentinfra.testing.replies import text_of

__all__ = ["check_chat", "check_embeddings", "check_model"]

_ROLES = frozenset({"developer", "system", "user", "assistant", "tool", "function"})
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_INPUTS = 2048
_MOST_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 0,
}
_MAX_STOPS = 4
_NUMBERS = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}
_INTEGERS = {"n": (1, 128), "max_tokens": (1, None), "max_completion_tokens": (1, None)}
_SCALARS = frozenset({"stream", "stream_options", "stop", *_NUMBERS, *_INTEGERS})


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


def check_chat(body: Mapping[str, Any]) -> None:
    """Check a chat request.

    Raises:
        RefusedError: OpenAI would answer 400.
    """
    messages = body.get("messages")
    if messages is None:
        raise _missing("messages")
    if not isinstance(messages, list):
        raise _wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise _invalid("messages", "expected at least one message")
    for place, message in enumerate(messages):
        _check_message(message, f"messages[{place}]")
    _check_tool_turns(messages)
    _check_scalars(body)
    if "tools" in body or "tool_choice" in body:
        _check_tools(body)
    if body.get("response_format") is not None:
        _check_format(body["response_format"], messages)


def check_embeddings(body: Mapping[str, Any]) -> list[str | list[int]]:
    """Check an embeddings request.

    Returns:
        Its inputs, each a text or a list of tokens.

    Raises:
        RefusedError: OpenAI would answer 400.
    """
    given = body.get("input")
    if given is None:
        raise _missing("input")
    inputs = _as_inputs(given)
    if not inputs or len(inputs) > _MAX_INPUTS or not all(map(_is_input, inputs)):
        raise RefusedError(
            "'$.input' is invalid: send a text, a list of up to 2048 texts, or token lists, "
            "none of them empty.",
            param="input",
        )
    if body.get("encoding_format", "float") not in ("float", "base64"):
        raise _invalid("encoding_format", "expected 'float' or 'base64'")
    size, most = body.get("dimensions"), _MOST_DIMENSIONS.get(body["model"])
    _check_integer("dimensions", size, 1, None)
    if size is not None and most == 0:
        raise _invalid("dimensions", "this model does not support specifying dimensions")
    if size is not None and most is not None and size > most:
        raise _invalid("dimensions", f"got {size}, expected at most {most}")
    return inputs


def _as_inputs(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        raise _wrong_type("input", "a string or an array", given)
    return [given] if given and isinstance(given[0], int) else given


def _is_input(item: Any) -> bool:
    if isinstance(item, str):
        return item != ""
    return isinstance(item, list) and bool(item) and all(isinstance(token, int) for token in item)


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise _wrong_type(where, "an object", message)
    role = message.get("role")
    if role is None:
        raise _missing(f"{where}.role")
    if role not in _ROLES:
        raise _invalid(f"{where}.role", f"got {role!r}, expected one of {sorted(_ROLES)}")
    content = message.get("content")
    if content is None:
        if not (role == "assistant" and (message.get("tool_calls") or message.get("refusal"))):
            raise _missing(f"{where}.content")
    elif not isinstance(content, str):
        _check_parts(content, f"{where}.content")


def _check_parts(content: Any, where: str) -> None:
    if not isinstance(content, list):
        raise _wrong_type(where, "a string or an array of objects", content)
    for place, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise _wrong_type(f"{where}[{place}]", "an object with a type", part)


def _check_tool_turns(messages: list[dict[str, Any]]) -> None:
    open_calls: set[str] = set()
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise RefusedError(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceding message with 'tool_calls'.",
                    param=f"messages[{place}].role",
                )
            open_calls.discard(message["tool_call_id"])
            continue
        _check_answered(open_calls)
        open_calls = {call.get("id") for call in message.get("tool_calls") or ()}
    _check_answered(open_calls)


def _check_answered(open_calls: set[str]) -> None:
    if open_calls:
        raise RefusedError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(sorted(map(str, open_calls))),
            param="messages",
        )


def _check_scalars(body: Mapping[str, Any]) -> None:
    if _SCALARS.isdisjoint(body):
        return
    if not isinstance(body.get("stream") or False, bool):
        raise _wrong_type("stream", "a boolean", body["stream"])
    if body.get("stream_options") is not None and not body.get("stream"):
        raise _invalid("stream_options", "only allowed when 'stream' is true")
    for name, (low, high) in _NUMBERS.items():
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise _wrong_type(name, "a number", value)
        if value is not None and not low <= value <= high:
            raise _invalid(name, f"got {value}, expected {low} to {high}")
    for name, (least, most) in _INTEGERS.items():
        _check_integer(name, body.get(name), least, most)
    _check_stop(body.get("stop"))


def _check_integer(name: str, value: Any, low: int, high: int | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(name, "an integer", value)
    if value < low or (high is not None and value > high):
        raise _invalid(name, f"got {value}, expected at least {low}")


def _check_stop(stop: Any) -> None:
    if stop is None or isinstance(stop, str):
        return
    if not isinstance(stop, list) or not all(isinstance(item, str) for item in stop):
        raise _wrong_type("stop", "a string or an array of strings", stop)
    if len(stop) > _MAX_STOPS:
        raise _invalid("stop", f"got {len(stop)} sequences, expected at most {_MAX_STOPS}")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    tools = [] if tools is None else tools
    if not isinstance(tools, list):
        raise _wrong_type("tools", "an array of objects", tools)
    names = {_check_tool(tool, f"tools[{place}]") for place, tool in enumerate(tools)}
    choice = body.get("tool_choice")
    if choice is None or choice in ("none", "auto"):
        return
    if not tools:
        raise _invalid("tool_choice", "only allowed when 'tools' are given")
    if choice == "required":
        return
    if not isinstance(choice, dict) or not isinstance(choice.get("function"), dict):
        raise _invalid("tool_choice", "expected 'none', 'auto', 'required' or a function")
    if choice["function"].get("name") not in names:
        raise _invalid("tool_choice", "the function it names is not among the 'tools'")


def _check_tool(tool: Any, where: str) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type") != "function":
        raise _wrong_type(where, "an object with type 'function' and a function", tool)
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise _missing(f"{where}.function.name")
    _check_name(name, f"{where}.function.name")
    if function.get("strict"):
        _check_strict(function.get("parameters") or {}, f"function '{name}'")
    return name


def _check_name(name: str, where: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise _invalid(where, f"{name!r} does not match the pattern '^[a-zA-Z0-9_-]{{1,64}}$'")


def _check_format(form: Any, messages: list[dict[str, Any]]) -> None:
    kind = form.get("type") if isinstance(form, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise _invalid("response_format.type", "expected 'text', 'json_object' or 'json_schema'")
    if kind == "json_object" and not any("json" in text_of(m).lower() for m in messages):
        raise RefusedError(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of "
            "type 'json_object'.",
            param="messages",
        )
    if kind == "json_schema":
        named = form.get("json_schema")
        if not isinstance(named, dict) or not named.get("name"):
            raise _missing("response_format.json_schema.name")
        _check_name(named["name"], "response_format.json_schema.name")
        if named.get("strict"):
            _check_strict(named.get("schema") or {}, f"response_format '{named['name']}'")


def _check_strict(schema: Any, owner: str) -> None:
    if isinstance(schema, list):
        for item in schema:
            _check_strict(item, owner)
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if isinstance(properties, dict):
        _check_strict_object(schema, properties, owner)
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions"):
            _check_strict(list(value.values()), owner)
        elif key in ("items", "anyOf", "allOf", "oneOf"):
            _check_strict(value, owner)


def _check_strict_object(
    schema: Mapping[str, Any], properties: Mapping[str, Any], owner: str
) -> None:
    start = f"Invalid schema for {owner}: "
    if schema.get("additionalProperties") is not False:
        raise RefusedError(
            start + "'additionalProperties' is required to be supplied and to be false."
        )
    if missing := sorted(set(properties) - set(schema.get("required") or ())):
        raise RefusedError(
            start + "'required' is required to be an array including every key in properties. "
            f"Missing {missing[0]!r}."
        )


def _missing(param: str) -> RefusedError:
    return RefusedError(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def _wrong_type(param: str, expected: str, value: Any) -> RefusedError:
    return RefusedError(
        f"Invalid type for '{param}': expected {expected}, but got {type(value).__name__}.",
        param=param,
        code="invalid_type",
    )


def _invalid(param: str, why: str) -> RefusedError:
    return RefusedError(f"Invalid value for '{param}': {why}.", param=param, code="invalid_value")
