"""The Berkeley function-calling cases, end to end: definitions out, arguments back."""

import json
from pathlib import Path

import pytest

from agentinfra.errors import JSONExtractionError, StructuredOutputError
from agentinfra.llm.structured.tools import tool_of
from agentinfra.testing.replies import FunctionCall, Reply

CASES = Path(__file__).parents[3].parent / "shared" / "data" / "bfcl"
TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
BREAKS = {
    "trailing comma": lambda text: text[:-1] + ",}",
    "single quotes": lambda text: text.replace('"', "'"),
    "fenced": lambda text: f"```json\n{text}\n```",
}


def _cut(text):
    return text[:-1]


def _lines(name):
    path = CASES / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _schema(value):
    """Return a parameter schema with JSON Schema's names for types."""
    if isinstance(value, dict):
        named = {key: _schema(item) for key, item in value.items()}
        if isinstance(value.get("type"), str):
            named["type"] = TYPES.get(value["type"], value["type"])
        return named
    return [_schema(item) for item in value] if isinstance(value, list) else value


def _tool(function):
    name = function["name"].replace(".", "_")
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": function["description"],
            "parameters": _schema(function["parameters"]),
        },
    }


def _arguments(accepted):
    """Take the first accepted value of each argument; optional ones may be left out."""
    chosen = {}
    for name, values in accepted.items():
        value = values[0]
        if value == "":
            continue
        chosen[name] = _arguments(value) if isinstance(value, dict) else value
    return chosen


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize("name", ["BFCL_v4_simple_python.json", "BFCL_v4_parallel.json"])
async def test_every_case_passes_end_to_end(client, server, name):
    """Scripted arguments arrive validated, whole and broken in three ways; cut off, never."""
    truths = {row["id"]: row["ground_truth"] for row in _lines(f"possible_answer/{name}")}
    unfit = wrong = cases = 0
    for number, case in enumerate(_lines(name)):
        calls = [
            (function.replace(".", "_"), _arguments(arguments))
            for truth in truths[case["id"]]
            for function, arguments in truth.items()
        ]
        tools = [tool_of(_tool(function)) for function in case["function"]]
        if not all(_fits(tools, *call) for call in calls):
            unfit += 1  # an accepted answer that its own schema refuses
            continue
        for damage in (str, list(BREAKS.values())[number % len(BREAKS)], _cut):
            cases += 1
            server.script(
                Reply(
                    tool_calls=[
                        FunctionCall(name=function, arguments=damage(json.dumps(arguments)))
                        for function, arguments in calls
                    ]
                )
            )
            try:
                reply = await client.chat_completion_with_tools(
                    case["question"][0], tools, repair_rounds=0, tool_choice="auto"
                )
            except StructuredOutputError as error:
                assert damage is not str, case["id"]
                wrong += damage is not _cut
                assert error.attempts == 1
                continue
            assert damage is not _cut, case["id"]
            assert [call.name for call in reply.tool_calls] == [function for function, _ in calls]
            if damage is str:
                assert [call.parsed for call in reply.tool_calls] == [given for _, given in calls]
            wrong += reply.parsed != calls[0][1]
    assert server.ledger.count() == cases > 300
    assert unfit <= 20
    assert wrong <= 0.01 * cases


def _fits(tools, name, arguments):
    (tool,) = [tool for tool in tools if tool.name == name]
    try:
        tool.parse(json.dumps(arguments))
    except JSONExtractionError:
        return False
    return True
