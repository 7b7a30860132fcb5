"""From a completion to a response object."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from agentinfra.results import Usage
from agentinfra.testing.apis.chat import Completion

__all__ = ["response_object", "unfinished", "usage_object"]

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
_IF_GIVEN = ("prompt_cache_key", "safety_identifier", "user")


def response_object(
    completion: Completion,
    body: Mapping[str, Any],
    *,
    index: int,
    failure: str | None,
    usage: bool,
    output: bool,
) -> dict[str, Any]:
    """Return the response that a completion becomes.

    Args:
        completion: What is answered.
        body: The request; much of it is repeated in the response.
        index: The request's place in the ledger; the ids are made of it.
        failure: Why it failed, None where it did not.
        usage: False leaves the usage out.
        output: False leaves all items out.
    """
    reason = _REASONS.get(completion.finish_reason)
    status = "failed" if failure is not None else "incomplete" if reason else "completed"
    items = _items(completion, body, index, status) if output and failure is None else []
    echoed = {
        key: body[key] if body.get(key) is not None else default for key, default in _ECHOED.items()
    }
    echoed |= {key: body[key] for key in _IF_GIVEN if body.get(key) is not None}
    reasoning = body.get("reasoning") or {}
    text = body.get("text") or {}
    return {
        "id": f"resp_{index:048d}",
        "object": "response",
        "created_at": completion.created,
        "completed_at": completion.created if status == "completed" else None,
        "status": status,
        "error": None if failure is None else {"code": "server_error", "message": failure},
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "model": completion.model,
        "output": items,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": "default",
        "store": body.get("store") is not False,
        "text": {
            "format": _format(text.get("format")),
            "verbosity": text.get("verbosity") or "medium",
        },
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        **({"usage": usage_object(completion.usage)} if usage and failure is None else {}),
        **echoed,
    }


def unfinished(response: Mapping[str, Any], status: str) -> dict[str, Any]:
    """Return a response as it is before it is done, or when it was cancelled."""
    shown = {key: value for key, value in response.items() if key != "usage"}
    gone: dict[str, Any] = {
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
    }
    return {**shown, **gone, "status": status}


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return a usage as a response holds it."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _items(
    completion: Completion, body: Mapping[str, Any], index: int, status: str
) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if completion.reasoning:
        item: dict[str, Any] = {
            "id": f"rs_{index:048d}",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": completion.reasoning}],
        }
        if "reasoning.encrypted_content" in (body.get("include") or ()):
            sealed = base64.b64encode(completion.reasoning.encode()).decode()
            item["encrypted_content"] = f"gAAAAAB{sealed}"
        items.append(item)
    if completion.text is not None or completion.refusal is not None:
        items.append(
            {
                "id": f"msg_{index:048d}",
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [_part(completion)],
            }
        )
    for place, call in enumerate(completion.calls):
        items.append(
            {
                "id": f"fc_{index:044d}{place:04d}",
                "type": "function_call",
                "status": status,
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
        )
    return items


def _part(completion: Completion) -> dict[str, Any]:
    if completion.text is None:
        return {"type": "refusal", "refusal": completion.refusal}
    return {"type": "output_text", "text": completion.text, "annotations": [], "logprobs": []}


def _format(form: Mapping[str, Any] | None) -> dict[str, Any]:
    if form is None:
        return {"type": "text"}
    if form["type"] != "json_schema":
        return dict(form)
    return {"strict": False, **form}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool["type"] != "function":
        return dict(tool)
    return {"description": None, "parameters": None, "strict": True, **tool}
