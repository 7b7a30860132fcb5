"""The default answers: made from what a request holds, the same every time.

This is no model. It matches words: it calls the tools whose names and descriptions share words
with the question, fills schemas with what the question holds, states results, quotes documents,
plans SELECT statements from keywords, and echoes what it cannot do anything with. Programs can be
developed, tested and shown with it; what they would say with a model is another matter.
"""

from __future__ import annotations

from typing import Any

import orjson

from agentinfra.demo.standin.conversation import Conversation, read_conversation
from agentinfra.demo.standin.filling import fill_schema, json_answer, schema_in_prompt
from agentinfra.demo.standin.text import answer_in_text
from agentinfra.demo.standin.tools import choose_calls
from agentinfra.testing.replies import Reply

__all__ = ["default_answer"]


def default_answer(body: dict[str, Any]) -> Reply:
    """Return the answer to a chat request nobody scripted.

    1. Tools are called where they are offered and fit (see ``choose_calls``).
    2. A response format of JSON gets an object, valid against its schema where it has one.
    3. Everything else gets a text (see ``answer_in_text``).
    """
    talk = read_conversation(body["messages"])
    if body.get("tools") and (calls := choose_calls(talk, body)):
        return Reply(tool_calls=calls)
    value = _structured(talk, body.get("response_format") or {})
    if value is not None:
        return Reply(text=orjson.dumps(value).decode())
    return Reply(text=answer_in_text(talk))


def _structured(talk: Conversation, form: dict[str, Any]) -> Any:
    """Return the value a request's response format asks for, None where it asks for a text."""
    kind = form.get("type", "text")
    if kind == "json_schema":
        wanted = form["json_schema"]
        return fill_schema(
            talk, wanted.get("schema") or {}, described=wanted.get("description") or ""
        )
    if kind == "json_object":
        return json_answer(talk)
    if "json" in talk.instructions.lower() and (schema := schema_in_prompt(talk.instructions)):
        return fill_schema(talk, schema)
    return None
