"""JSON Schemas as people write them, by the hundred: from a folder named by SCHEMA_CORPUS.

Made for public corpora (JSONSchemaBench, SchemaStore), none of which is part of the project.
"""

import json
import os
import random
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from strict_rules import broken_rules, example

from agentinfra.errors import ConfigurationError, JSONExtractionError
from agentinfra.llm.structured.plan import Plan, chosen
from agentinfra.llm.structured.tools import tool_of
from agentinfra.testing.validation.schemas import check_schema

FOLDER = os.environ.get("SCHEMA_CORPUS", "")


@pytest.mark.timeout(900)
@pytest.mark.skipif(not FOLDER, reason="SCHEMA_CORPUS names no folder")
def test_schemas_of_a_corpus_are_requests_and_their_values_come_back(record_property):
    """Each is a request; strict where it can be, within the rules; what fits comes back."""
    seen = dict.fromkeys(("built", "strict", "loose", "refused", "round trips", "narrower"), 0)
    for file in sorted(Path(FOLDER).rglob("*.json")):
        schema = json.loads(file.read_bytes())
        if not isinstance(schema, dict):
            continue
        try:
            tool = tool_of({"title": "answer", **schema})
        except ConfigurationError:
            seen["refused"] += 1  # no JSON Schema after all
            continue
        plan = Plan(tools=(tool,), choice=chosen((tool,), None))
        assert all(json.dumps(plan.options(form)) for form in plan.forms)
        seen["built"] += 1
        if not tool.is_strict:
            assert tool.loose_because, file
            seen["loose"] += 1
            continue
        seen["strict"] += 1
        form = tool.schema.strict.schema
        assert broken_rules(form) == [], file
        check_schema(form, "it", "tools", strict=True)  # as the test server does
        value = example(form, form, random.Random(1).choice)
        if list(Draft202012Validator(form).iter_errors(value)):
            continue  # a pattern, or bounds, that the example does not meet
        try:
            parsed = tool.parse(json.dumps(value))
        except JSONExtractionError:
            seen["narrower"] += 1  # what strict mode has no word for
            continue
        assert _bare(parsed) == _bare(value.get("value", value) if tool.schema.wraps else value)
        seen["round trips"] += 1
    for what, many in seen.items():
        record_property(what, many)
    assert seen["round trips"] >= 0.7 * seen["strict"]


def _bare(value):
    """Return a value without its nulls, which may stand for what was left out."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if item is not None}
    return [_bare(item) for item in value] if isinstance(value, list) else value
