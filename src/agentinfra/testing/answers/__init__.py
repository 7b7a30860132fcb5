"""The server's default answers: made from what a request holds, the same every time.

They are no model's. A tool that the question names is called, a schema is filled with what the
question holds, a tool's result is stated, and everything else is echoed: enough to try a program
with, too little to be taken for more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agentinfra.testing.answers.evidence import Evidence
from agentinfra.testing.answers.results import state_result
from agentinfra.testing.answers.schema import Filler, Spot
from agentinfra.testing.answers.strings import Wording
from agentinfra.testing.answers.words import content_stems, name_stems
from agentinfra.testing.replies import FunctionCall, Reply, text_of

__all__ = ["default_answer"]

_TOOLS = ("tool", "function")
_ANSWER = {"type": "object", "properties": {"answer": {}}, "required": ["answer"]}


def default_answer(body: dict[str, Any]) -> Reply:
    """Return the answer to a chat request that nothing else answers.

    1. A function that must be called is called; of those that may be, the first whose name has a
       word of the question, as long as no result is there. Its arguments fit its schema.
    2. A response format of JSON gets an object, valid for its schema where it has one.
    3. Results of tools since the last user message are stated.
    4. Anything else is echoed: ``You said: ...``.
    """
    question, results = _read(body["messages"])
    answer = " ".join(map(state_result, results)) or f"You said: {question}"
    wording = Wording(answer=lambda: answer)
    if (function := _called(body, question, answered=bool(results))) is not None:
        schema = function.get("parameters") or {"type": "object"}
        filled = _fill(schema, question, wording, function.get("description") or "")
        return Reply(tool_calls=(FunctionCall(name=function["name"], arguments=filled),))
    schema = _wanted(body.get("response_format") or {})
    if schema is not None:
        return Reply(text=orjson.dumps(_fill(schema, question, wording)).decode())
    return Reply(text=answer)


def _read(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """Return the last user message (else the last one) and what tools answered since."""
    asked = [place for place, message in enumerate(messages) if message.get("role") == "user"]
    last = asked[-1] if asked else len(messages) - 1
    after = messages[last + 1 :]
    results = [text_of(message) for message in after if message.get("role") in _TOOLS]
    return text_of(messages[last]), results


def _called(body: Mapping[str, Any], question: str, *, answered: bool) -> dict[str, Any] | None:
    """Return the function to call, None where the answer is a text."""
    functions, mode = _offered(body)
    if not functions or mode == "none" or (mode == "auto" and answered):
        return None
    asked = set(content_stems(question))
    fitting = next((f for f in functions if asked & set(name_stems(f["name"]))), None)
    return fitting if mode == "auto" else fitting or functions[0]


def _offered(body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """Return the functions that may be called, and whether one is: none, auto or required."""
    functions = [tool["function"] for tool in body.get("tools") or () if "function" in tool]
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, str):
        return functions, choice
    allowed = choice.get("allowed_tools") or {"mode": "required", "tools": [choice]}
    names = {(tool.get("function") or tool).get("name") for tool in allowed["tools"]}
    return [f for f in functions if f["name"] in names], allowed["mode"]


def _wanted(form: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the schema a response format asks for, None where it asks for a text."""
    if form.get("type") == "json_schema":
        schema: Mapping[str, Any] = form["json_schema"].get("schema") or {}
        return schema
    return _ANSWER if form.get("type") == "json_object" else None


def _fill(schema: Mapping[str, Any], question: str, wording: Wording, described: str = "") -> Any:
    return Filler(schema, Evidence(question), wording).fill(schema, Spot(description=described))
