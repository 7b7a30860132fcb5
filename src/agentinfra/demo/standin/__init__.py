"""The demo's stand-in for a model: it matches English words, and answers the same every time.

It calls the tools whose names and descriptions share words with the question, fills schemas with
what the question holds, states results, quotes documents, plans SELECT statements from keywords,
and echoes what it cannot do anything with. What a model would say is another matter.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from agentinfra.demo.standin.conversation import Conversation, read_conversation
from agentinfra.demo.standin.filling import fill_schema, json_answer, schema_in_prompt
from agentinfra.demo.standin.text import answer_in_text
from agentinfra.demo.standin.tools import choose_calls
from agentinfra.testing.replies import Reply

__all__ = ["CAVEAT", "stand_in"]

CAVEAT: Final = (
    "a local stand-in answers, which is no model: it matches words, and reads English only"
)
"""What is said of each of its answers."""


def stand_in(body: dict[str, Any]) -> Reply:
    """Return the answer to a chat request; ``OpenAIServer(default=stand_in)`` serves it.

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
