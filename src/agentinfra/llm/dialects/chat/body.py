"""The body of a request to Chat Completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentinfra.errors import ConfigurationError
from agentinfra.llm.dialects.models import known
from agentinfra.llm.dialects.request import OUTPUT, TextRequest
from agentinfra.llm.dialects.speech import STATEFUL, Speech, drop, without_refused

__all__ = ["chat_payload"]

_LIMITS = ("max_output_tokens", "max_tokens", "max_completion_tokens")


def chat_payload(request: TextRequest, model: str, speech: Speech) -> dict[str, Any]:
    """Return what is sent.

    Raises:
        ConfigurationError: The model is known to refuse a parameter, or there are items or
            parameters of the Responses API.
    """
    payload: dict[str, Any] = {"model": model, "messages": _turns(request)}
    payload |= request.options
    if request.stream:
        payload["stream"] = True
        _ask_for_usage(payload, speech, wanted=request.asks_usage)
    if not STATEFUL.isdisjoint(payload):
        _refuse_what_is_stateful(payload, speech)
    if request.limit:
        _name_the_limit(payload, model, speech)
    if speech.official:
        effort = payload.get("reasoning_effort")
        without_refused(payload, model, known(model), speech, effort=effort)
    if speech.tools_without_reasoning and payload.get("tools"):
        payload.setdefault("reasoning_effort", "none")
    if speech.extra_body:
        payload |= speech.extra_body
    if request.extra_body:
        payload |= request.extra_body
    return payload


def _refuse_what_is_stateful(payload: dict[str, Any], speech: Speech) -> None:
    """Refuse what servers pass over in silence, where the other API was ruled out."""
    for name in sorted(STATEFUL & payload.keys()):
        why = "only the Responses API has it: set Settings.llm.api to 'responses' or 'auto'"
        drop(payload, name, "Chat Completions", speech, why=why)


def _turns(request: TextRequest) -> Sequence[Mapping[str, Any]]:
    """Return the messages without what belongs to the other API."""
    if request.seen.items:
        raise ConfigurationError(
            "there are items of the Responses API among the messages, which Chat Completions does "
            "not take: set Settings.llm.api to 'responses'"
        )
    return [*map(_turn, request.messages)] if request.seen.turns else request.messages


def _turn(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if message["role"] != "assistant":
        return message
    turn = {name: value for name, value in message.items() if name != OUTPUT}
    sound = turn.get("audio")
    if isinstance(sound, Mapping) and "id" in sound:
        turn["audio"] = {"id": sound["id"]}  # the sound itself is not sent back
    return turn


def _ask_for_usage(payload: dict[str, Any], speech: Speech, *, wanted: bool) -> None:
    given = payload.get("stream_options", {})
    if wanted and (speech.stream_options or given):
        payload["stream_options"] = {"include_usage": True, **given}


def _name_the_limit(payload: dict[str, Any], model: str, speech: Speech) -> None:
    limits = [name for name in _LIMITS if name in payload]
    wanted = speech.token_limit
    if wanted == "auto":
        if limits[0] != "max_output_tokens" and not known(model).reasons:
            return
        wanted = "max_completion_tokens" if known(model).reasons else "max_tokens"
    limit = payload.pop(limits[0])
    for name in limits[1:]:
        limit = payload.pop(name)
    payload[wanted] = limit
