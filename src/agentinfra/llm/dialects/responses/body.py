"""The body of a request to the Responses API, from what is said in the words of Chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentinfra.errors import ConfigurationError
from agentinfra.llm.dialects.models import known
from agentinfra.llm.dialects.request import TextRequest
from agentinfra.llm.dialects.responses.items import input_items
from agentinfra.llm.dialects.speech import Speech, drop, without_refused
from agentinfra.llm.dialects.values import as_mapping

__all__ = ["CHAT_ONLY", "RESPONSES_ONLY", "response_payload"]

CHAT_ONLY = (
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "modalities",
    "n",
    "prediction",
    "presence_penalty",
    "seed",
    "stop",
    "web_search_options",
)
"""Parameters that this API has no word for."""

RESPONSES_ONLY = (
    "background",
    "context_management",
    "conversation",
    "include",
    "instructions",
    "max_tool_calls",
    "previous_response_id",
    "prompt",
    "reasoning",
    "text",
    "truncation",
)
"""Parameters that Chat Completions has no word for."""

_SAID_OTHERWISE = frozenset(
    (
        *CHAT_ONLY,
        "reasoning_effort",
        "response_format",
        "verbosity",
        "text",
        "tools",
        "tool_choice",
        "logprobs",
    )
)
"""Parameters that are looked at, or said in other words; most calls have none of them."""

_KEEPS_STATE = frozenset(("background", "conversation", "previous_response_id", "prompt", "store"))
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_LED_TO = ("custom_tool_call", "function_call", "message")
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"


def response_payload(request: TextRequest, model: str, speech: Speech) -> dict[str, Any]:
    """Return what is sent.

    Nothing is kept at the endpoint (``store`` is false, as with Chat Completions) unless the call
    asks for something that needs it; what a reasoning model thought comes back encrypted then, to
    be sent on with the next call.

    Raises:
        ConfigurationError: There is a parameter this API has no word for, or one that the model
            is known to refuse.
    """
    given = dict(request.options)
    payload: dict[str, Any] = {"model": model, "input": input_items(request.messages)}
    limits = [given.pop(name) for name in _LIMITS if name in given]
    if limits:
        payload["max_output_tokens"] = limits[-1]
    if not _SAID_OTHERWISE.isdisjoint(given):
        _refuse_chats_own(given, model, speech)
        _say_reasoning(given)
        _say_text(given)
        _say_tools(given)
        _say_logprobs(given)
    if request.stream or "stream_options" in given:
        _say_streaming(given, request)
    payload |= given
    _keep_nothing(payload, reasons=known(model).reasons or speech.reasons)
    if speech.official:
        effort = as_mapping(payload.get("reasoning")).get("effort")
        without_refused(payload, model, known(model), speech, effort=effort)
    if speech.extra_body:
        payload |= speech.extra_body
    if request.extra_body:
        payload |= request.extra_body
    return payload


def _refuse_chats_own(given: dict[str, Any], model: str, speech: Speech) -> None:
    if given.get("n") == 1:
        del given["n"]
    for name in CHAT_ONLY:
        if name in given:
            drop(
                given, name, f"the Responses API ({model})", speech, why="it has no such parameter"
            )


def _say_reasoning(given: dict[str, Any]) -> None:
    effort = given.pop("reasoning_effort", None)
    if effort is not None:
        given["reasoning"] = {"effort": effort, **as_mapping(given.get("reasoning"))}


def _say_text(given: dict[str, Any]) -> None:
    text = dict(as_mapping(given.get("text")))
    form = given.pop("response_format", None)
    if form is not None:
        text.setdefault("format", _format(form))
    verbosity = given.pop("verbosity", None)
    if verbosity is not None:
        text.setdefault("verbosity", verbosity)
    if text:
        given["text"] = text


def _format(form: Any) -> Any:
    inner = as_mapping(as_mapping(form).get("json_schema"))
    return {"type": "json_schema", **inner} if inner else form


def _say_tools(given: dict[str, Any]) -> None:
    if "tools" in given:
        given["tools"] = [_tool(tool) for tool in given["tools"]]
    choice = given.get("tool_choice")
    if isinstance(choice, Mapping):
        kind = choice.get("type")
        if kind == "allowed_tools" and (inner := as_mapping(choice.get("allowed_tools"))):
            tools = [_chosen(tool) for tool in inner.get("tools", ())]
            given["tool_choice"] = {"type": kind, "mode": inner.get("mode", "auto"), "tools": tools}
        else:
            given["tool_choice"] = _chosen(choice)


def _tool(tool: Any) -> Any:
    """Return a tool flat, as this API has them; built-in ones are so already."""
    if not isinstance(tool, Mapping):
        raise ConfigurationError(f"a tool is {type(tool).__name__}: give OpenAI's definition of it")
    function = tool.get("function")
    if tool.get("type") == "function" and isinstance(function, Mapping):
        # This API is strict unless told otherwise, Chat Completions the other way round.
        flat = {"type": "function", "strict": False, **function}
        flat.setdefault("parameters", {"type": "object", "properties": {}})
        return flat
    custom = tool.get("custom")
    if tool.get("type") == "custom" and isinstance(custom, Mapping):
        flat = {"type": "custom", **custom}
        form = as_mapping(flat.get("format"))
        if grammar := as_mapping(form.get("grammar")):
            flat["format"] = {"type": "grammar", **grammar}
        return flat
    return tool


def _chosen(choice: Any) -> Any:
    for kind in ("function", "custom"):
        inner = as_mapping(as_mapping(choice).get(kind))
        if inner:
            return {"type": kind, "name": inner.get("name")}
    return choice


def _say_streaming(given: dict[str, Any], request: TextRequest) -> None:
    options = {k: v for k, v in given.pop("stream_options", {}).items() if k != "include_usage"}
    if request.stream:
        given["stream"] = True
        if options:
            given["stream_options"] = options


def _say_logprobs(given: dict[str, Any]) -> None:
    if given.pop("logprobs", None):
        given["include"] = [*given.get("include", ()), _LOGPROBS]


def _keep_nothing(payload: dict[str, Any], *, reasons: bool) -> None:
    if _KEEPS_STATE.isdisjoint(payload):
        payload["store"] = False
    if payload.get("store") is not False:
        return
    payload["input"] = _without_references(payload["input"])
    if reasons:
        include = list(payload.get("include", ()))
        if _ENCRYPTED not in include:
            payload["include"] = [*include, _ENCRYPTED]


def _without_references(items: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out thoughts that only refer to what the endpoint was told not to keep.

    What they led to goes without its id: by that the endpoint would look for them.
    """
    if not any(map(_is_reference, items)):
        return items
    kept: list[Mapping[str, Any]] = []
    led = False
    for item in items:
        if _is_reference(item):
            led = True
            continue
        led = led and item.get("type") in _LED_TO
        kept.append({k: v for k, v in item.items() if k != "id"} if led else item)
    return kept


def _is_reference(item: Mapping[str, Any]) -> bool:
    thought = item.get("type") == "reasoning"
    return thought and not (item.get("encrypted_content") or item.get("content"))
