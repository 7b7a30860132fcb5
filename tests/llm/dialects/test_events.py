"""Every event of OpenAI's description is read, handed on, or said again by the items at the end."""

import json

import pytest
from openapi_support import DESCRIPTION, schema

from agentinfra.errors import LLMStatusError
from agentinfra.llm.dialects.request import text_request
from agentinfra.llm.dialects.responses.dialect import ResponsesDialect

REQUEST = text_request([{"role": "user", "content": "x"}], "m", {}, stream=True)

READ = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.function_call_arguments.delta": "tool_calls",
    "response.custom_tool_call_input.delta": "tool_calls",
    "response.completed": "finish_reason",
    "response.incomplete": "finish_reason",
}
FAILURES = {"response.failed", "error"}
STATES = {"response.created", "response.in_progress", "response.queued"}
SAID_AGAIN = {
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.done",
    "response.refusal.done",
    "response.reasoning_text.done",
    "response.reasoning_summary_text.done",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    "response.function_call_arguments.done",
    "response.custom_tool_call_input.done",
}
"""Ends of pieces; ``response.output_item.done`` and ``response.completed`` hold the same."""


def _types():
    if not DESCRIPTION.is_file():
        return []
    names = [each["$ref"].rpartition("/")[2] for each in schema("ResponseStreamEvent")["anyOf"]]
    return sorted(schema(name)["properties"]["type"]["enum"][0] for name in names)


def _sample(kind):
    """Return an event of a kind, with more in it than anybody asks for."""
    part = {"type": "output_text", "text": "piece", "annotations": []}
    item = {"id": "i", "type": "web_search_call", "status": "completed"}
    return {
        "type": kind,
        "sequence_number": 3,
        "output_index": 0,
        "item_id": "i",
        "content_index": 0,
        "delta": "piece",
        "part": part,
        "item": item,
        "response": {"id": "r", "status": "completed", "model": "m", "output": [item]},
        "message": "it failed",
        "unknown": {"kept": True},
    }


@pytest.mark.parametrize("kind", _types())
def test_no_event_is_lost(kind):
    """A new one that nobody knows yet is handed on as it came."""
    event = _sample(kind)
    if kind not in ("response.failed", "error"):
        del event["message"]
    assembly = ResponsesDialect().assembly(REQUEST)
    if kind in FAILURES:
        with pytest.raises(LLMStatusError):
            assembly.add(json.dumps(event).encode())
        return
    chunks = assembly.add(json.dumps(event).encode())
    assert assembly.place == 3
    if kind in READ:
        assert getattr(chunks[0], READ[kind])
    elif kind in STATES | SAID_AGAIN:
        assert chunks == []
    else:
        assert [chunk.event for chunk in chunks] == [event]


def test_what_ends_said_again_is_in_the_items():
    """The item at a piece's end is kept whole, with fields that nobody knows."""
    item = {"id": "m", "type": "message", "content": [{"type": "output_text", "text": "hi"}]}
    item |= {"phase": "final", "unknown": [1]}
    assembly = ResponsesDialect().assembly(REQUEST)
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    end = {"type": "response.completed", "response": {"id": "r", "status": "completed"}}
    for event in (done, end):
        assembly.add(json.dumps(event).encode())
    answer = assembly.answer()
    assert answer.source.data["output"] == [item]
    assert answer.source.choices[0].message["output"] == [item]
    assert answer.text == "hi"
