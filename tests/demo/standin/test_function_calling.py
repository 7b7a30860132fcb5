"""Arguments for the functions of the Berkeley function calling leaderboard."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from agentinfra.demo.standin import stand_in

CASES = Path(__file__).parents[4] / "shared" / "data" / "bfcl"
TYPES = {"dict": "object", "float": "number", "tuple": "array"}


def as_schema(value):
    """Return the leaderboard's way to write a schema as JSON Schema has it."""
    if isinstance(value, list):
        return [as_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        key: inner if key in ("enum", "default") else as_schema(inner)
        for key, inner in value.items()
        if key != "optional"
    }
    kind = kept.get("type")
    if kind == "any":
        del kept["type"]
    elif isinstance(kind, str):
        kept["type"] = TYPES.get(kind, kind)
    return kept


@pytest.mark.skipif(not CASES.exists(), reason="the leaderboard's cases are not here")
@pytest.mark.parametrize("name", ["simple_python", "parallel"])
def test_arguments_are_always_valid(name):
    """Forced to call, the stand-in gives arguments that are valid for every function."""
    lines = (CASES / f"BFCL_v4_{name}.json").read_text().splitlines()
    for case in map(json.loads, lines):
        for function in case["function"]:
            offered = {**function, "parameters": as_schema(function["parameters"])}
            reply = stand_in(
                {
                    "model": "m",
                    "messages": case["question"][0],
                    "tools": [{"type": "function", "function": offered}],
                    "tool_choice": {"type": "function", "function": {"name": function["name"]}},
                }
            )
            assert reply.tool_calls[0].name == function["name"]
            jsonschema.validate(reply.tool_calls[0].arguments, offered["parameters"])
